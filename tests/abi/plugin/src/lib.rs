//! A plugin that keeps ledgers in memory: driver `shelf`. One source, built against every version of the contract, so that it
//! uses only what every version has.
#![forbid(unsafe_code)]

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use longshore_plugin_api::read_handle::check_range;
use longshore_plugin_api::*;
use uuid::Uuid;

export_offloader! { factory: Factory, name: "shelf", drivers: ["shelf"] }

/// The key that makes the driver fail: `error` in its health call, `panic` by a panic in it, anything else is refused.
const FAIL_KEY: &str = "fail";

struct Factory;

struct Shelf {
    copies: Mutex<HashMap<Uuid, Copy>>,
    fail: Option<String>,
}

#[derive(Clone)]
struct Copy(LedgerMetadata, Vec<Entry>);

impl OffloaderFactory for Factory {
    type Offloader = Shelf;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        let value = config.get(FAIL_KEY).filter(|value| !["error", "panic"].contains(value));
        value.map(|value| ConfigProblem::new(FAIL_KEY, "must be error or panic").with_value(value)).into_iter().collect()
    }

    async fn create(config: DriverConfig) -> Result<Shelf> {
        Ok(Shelf { copies: Mutex::default(), fail: config.get(FAIL_KEY).map(str::to_owned) })
    }
}

impl Shelf {
    fn copies(&self) -> std::sync::MutexGuard<'_, HashMap<Uuid, Copy>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Offloader for Shelf {
    type ReadHandle = Copy;

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        [("shelf".to_owned(), "first".to_owned())].into()
    }

    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        ledger.metadata().ensure_offloadable()?;
        let (mut entries, count) = (Vec::new(), ledger.metadata().entry_count);
        while (entries.len() as u64) < count {
            let batch = ledger.read(entries.len() as u64, count - 1, 1 << 20).await?;
            ledger.progress(batch.iter().map(|entry| entry.payload.len() as u64).sum());
            entries.extend(batch);
        }
        tracing::info!(ledger_id = request.ledger_id, "ledger is on the shelf");
        self.copies().insert(request.uid, Copy(ledger.metadata().clone(), entries));
        Ok(())
    }

    async fn open_read(&self, stored: StoredLedger) -> Result<Copy> {
        let copy = self.copies().get(&stored.uid).cloned();
        copy.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("no copy {} is on the shelf", stored.uid)))
    }

    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        self.copies().remove(&stored.uid);
        Ok(())
    }

    async fn health(&self) -> Result<()> {
        match self.fail.as_deref() {
            None => Ok(()),
            Some("error") => Err(Error::new(ErrorCode::Unavailable, "the shelf is locked")),
            Some(_) => panic!("the shelf fell"),
        }
    }
}

impl ReadHandle for Copy {
    fn metadata(&self) -> &LedgerMetadata {
        &self.0
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        check_range(&self.0, first, last)?;
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.payload.len() as u64;
            entry.entry_id == first || bytes <= max_bytes
        };
        Ok(self.1[first as usize..=last as usize].iter().take_while(fits).cloned().collect())
    }
}
