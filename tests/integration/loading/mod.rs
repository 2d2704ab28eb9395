//! Proves that plugins are loaded from real `.so` files, that bad files are refused each with its own sentence, and that a
//! plugin that panics, blocks or lies costs one failed operation.

mod c_plugins;
mod c_swapping;
mod containment;
pub(crate) mod refusals;
mod schemas;
mod serving;
mod swapping;
mod under_load;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore::plugin::{PluginHost, PluginReport, PluginSettings};
use longshore::storage::{
    DriverError, DriverLookup, DriverSettings, Entry, LedgerId, LedgerMetadata, OffloadDriver, ReadError, ReadHandle,
    StoredLedger,
};
use longshore_tests::plugins::stage;
use tempfile::TempDir;
use uuid::Uuid;

pub(super) const MODE_KEY: &str = "managedLedgerOffloadExtraConfigMode";

/// Deadlines short enough for tests, long enough for a busy machine.
pub(super) fn quick() -> PluginSettings {
    PluginSettings {
        call_timeout: Duration::from_millis(1500),
        offload_stall_timeout: Duration::from_millis(1500),
        ..PluginSettings::default()
    }
}

pub(super) fn settings(pairs: &[(&str, &str)]) -> DriverSettings {
    let properties = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    DriverSettings { properties, search_folders: Vec::new() }
}

/// A folder with the misbehaving plugin alone, loaded.
fn misbehaving_host(settings: PluginSettings) -> (TempDir, PluginHost) {
    let folder = tempfile::tempdir().unwrap();
    stage("misbehaving-plugin", folder.path(), "misbehaving-1.2.3.so");
    let host = PluginHost::load(folder.path(), settings);
    (folder, host)
}

async fn misbehaving(host: &PluginHost, mode: &str) -> Result<Arc<dyn OffloadDriver>, DriverError> {
    host.driver("misbehaving", &settings(&[(MODE_KEY, mode)])).await
}

/// The row of a file.
pub(super) fn row(host: &PluginHost, file: &str) -> PluginReport {
    let rows = host.reports();
    rows.iter().find(|row| row.file == file).unwrap_or_else(|| panic!("no row for {file} in {rows:?}")).clone()
}

/// A closed ledger in memory.
pub(super) struct MemoryLedger {
    metadata: LedgerMetadata,
    pub(super) payloads: Vec<Bytes>,
    /// The largest `max_bytes` that was asked for.
    max_bytes: AtomicU64,
    /// Bytes reported as stored.
    pub(super) progress: AtomicU64,
}

impl MemoryLedger {
    pub(super) fn new(count: usize, payload_bytes: usize) -> Arc<Self> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let ledger_id = LedgerId(NEXT_ID.fetch_add(1, Ordering::Relaxed));
        let payloads: Vec<Bytes> = (0..count).map(|id| Bytes::from(vec![id as u8; payload_bytes])).collect();
        let metadata = LedgerMetadata {
            ledger_id,
            entry_count: count as u64,
            length_bytes: (count * payload_bytes) as u64,
            created_ms: 1_700_000_000_000,
            closed: true,
            managed_ledger: "public/default/persistent/t".to_owned(),
        };
        Arc::new(Self { metadata, payloads, max_bytes: AtomicU64::new(0), progress: AtomicU64::new(0) })
    }

    pub(super) fn target(&self) -> StoredLedger {
        StoredLedger {
            ledger_id: self.metadata.ledger_id,
            uid: Uuid::new_v4(),
            managed_ledger: self.metadata.managed_ledger.clone(),
            driver_metadata: BTreeMap::new(),
        }
    }
}

#[async_trait]
impl ReadHandle for MemoryLedger {
    fn metadata(&self) -> LedgerMetadata {
        self.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        self.max_bytes.fetch_max(max_bytes, Ordering::Relaxed);
        let mut sum = 0;
        let entries =
            (first..=last).map(|entry_id| Entry { entry_id, payload: self.payloads[entry_id as usize].clone() });
        Ok(entries
            .take_while(|entry| {
                sum += entry.payload.len() as u64;
                entry.entry_id == first || sum <= max_bytes
            })
            .collect())
    }

    fn progress(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// Reads a whole copy.
pub(super) async fn read_all(handle: &dyn ReadHandle, max_bytes: u64) -> Result<Vec<Bytes>, ReadError> {
    let (mut payloads, count) = (Vec::new(), handle.metadata().entry_count);
    while (payloads.len() as u64) < count {
        let batch = handle.read(payloads.len() as u64, count - 1, max_bytes).await?;
        payloads.extend(batch.into_iter().map(|entry| entry.payload));
    }
    Ok(payloads)
}
