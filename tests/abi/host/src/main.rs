//! `abi-host FOLDER`: loads the one plugin in a folder with the product's own code, tries its driver `shelf`, and says in one
//! line of JSON what became of it. Built against every version of the contract.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use async_trait::async_trait;
use bytes::Bytes;
use longshore::plugin::{PluginHost, PluginSettings, PluginState};
use longshore::storage::{
    DriverErrorKind, DriverLookup, DriverSettings, Entry, LedgerId, LedgerMetadata, ReadError,
    ReadHandle, StoredLedger,
};
use longshore_plugin_api::version::ABI_VERSION;
use serde_json::json;
use uuid::Uuid;

const DRIVER: &str = "shelf";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let folder = std::env::args_os().nth(1).context("usage: abi-host FOLDER")?;
    let host = PluginHost::load(Path::new(&folder), PluginSettings::default());
    let report = host.reports().pop().context("there is no plugin in the folder")?;
    let driver_metadata = match report.state {
        PluginState::Loaded => Some(try_driver(&host).await?),
        _ => None,
    };
    let answer = json!({
        "host_api": ABI_VERSION,
        "plugin_api": report.api,
        "rustc": host.library(&report.file).map(|library| rustc(library.describe())),
        "state": report.state,
        "reason": report.reason,
        "driver_metadata": driver_metadata,
    });
    println!("{answer}");
    host.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// The compiler that a note names.
fn rustc(note: &str) -> serde_json::Value {
    serde_json::from_str::<serde_json::Value>(note).map(|note| note["rustc"].clone()).unwrap_or_default()
}

/// Every call of the contract, with entries, errors and a panic; answers what the driver wants recorded.
async fn try_driver(host: &PluginHost) -> Result<BTreeMap<String, String>> {
    let driver = host.driver(DRIVER, &settings(&[])).await?;
    let ledger = Lent::new();
    let target = ledger.target();
    driver.offload(ledger.clone(), target.clone()).await?;
    ensure!(ledger.progress.load(Ordering::Relaxed) == ledger.metadata.length_bytes, "progress was not told");

    let copy = driver.open(&target).await?;
    let metadata = copy.metadata();
    ensure!(metadata.entry_count == 3 && metadata.managed_ledger == ledger.metadata.managed_ledger, "{metadata:?}");
    let entries = copy.read(0, 2, u64::MAX).await?;
    let payloads: Vec<&Bytes> = entries.iter().map(|entry| &entry.payload).collect();
    ensure!(payloads.iter().copied().eq(&ledger.payloads), "other entries came back");
    ensure!(copy.read(0, 2, 1).await?.len() == 1, "max_bytes was not heeded");

    driver.delete(&target).await?;
    let missing = driver.open(&target).await.err().context("a deleted copy was opened")?;
    ensure!(missing.kind == DriverErrorKind::NotFound, "{missing}");
    driver.health().await?;
    for (fail, kind, words) in [
        ("error", DriverErrorKind::Failed, "the shelf is locked"),
        ("panic", DriverErrorKind::Panicked, "the shelf fell"),
    ] {
        let failing = host.driver(DRIVER, &settings(&[("fail", fail)])).await?;
        let error = failing.health().await.err().context("a failing health call succeeded")?;
        ensure!(error.kind == kind && error.to_string().contains(words), "{error}");
    }
    let invalid = host.driver(DRIVER, &settings(&[("fail", "softly")])).await.err().context("it was configured")?;
    ensure!(invalid.kind == DriverErrorKind::InvalidConfig, "{invalid}");
    Ok(driver.driver_metadata())
}

fn settings(pairs: &[(&str, &str)]) -> DriverSettings {
    let properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    DriverSettings { properties, search_folders: Vec::new() }
}

/// The ledger that is lent: three entries, one of them empty.
struct Lent {
    metadata: LedgerMetadata,
    payloads: Vec<Bytes>,
    progress: AtomicU64,
}

impl Lent {
    fn new() -> Arc<Self> {
        let payloads = vec![Bytes::from(vec![1; 1000]), Bytes::new(), Bytes::from(vec![3; 10])];
        let metadata = LedgerMetadata {
            ledger_id: LedgerId(7),
            entry_count: 3,
            length_bytes: 1010,
            created_ms: 1_700_000_000_000,
            closed: true,
            managed_ledger: "public/default/persistent/t".to_owned(),
        };
        Arc::new(Self { metadata, payloads, progress: AtomicU64::new(0) })
    }

    fn target(&self) -> StoredLedger {
        StoredLedger {
            ledger_id: self.metadata.ledger_id,
            uid: Uuid::from_u128(7),
            managed_ledger: self.metadata.managed_ledger.clone(),
            driver_metadata: BTreeMap::new(),
        }
    }
}

#[async_trait]
impl ReadHandle for Lent {
    fn metadata(&self) -> LedgerMetadata {
        self.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let entries = (first..=last).map(|entry_id| Entry { entry_id, payload: self.payloads[entry_id as usize].clone() });
        Ok(entries.collect())
    }

    fn progress(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }
}
