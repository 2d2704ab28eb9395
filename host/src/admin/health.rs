//! Whether the broker can do its work: a record and an entry are written, read and removed.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::metadata::{Expect, MetadataStore};
use crate::storage::{LedgerId, LedgerStore};

/// Tells whether the broker can do its work.
#[async_trait]
pub trait HealthCheck: Send + Sync {
    /// `Err` says what does not answer, and how.
    async fn check(&self) -> Result<(), String>;
}

/// The record that a check writes.
const KEY: &str = "health";
/// The ledger that a check makes and deletes. The counter of ledgers never gets there; what a crash leaves of it is removed
/// at the next start like any ledger that no record names.
const LEDGER: LedgerId = LedgerId(i64::MAX as u64);
/// The entry that it holds.
const ENTRY: &[u8] = b"health";

/// Writes to both stores and reads back.
pub struct StoreHealth {
    metadata: Arc<dyn MetadataStore>,
    store: Arc<dyn LedgerStore>,
    /// One check at a time: they share a ledger.
    turn: tokio::sync::Mutex<()>,
}

impl StoreHealth {
    /// Over the stores that the broker works with.
    pub fn new(metadata: Arc<dyn MetadataStore>, store: Arc<dyn LedgerStore>) -> Self {
        Self { metadata, store, turn: tokio::sync::Mutex::default() }
    }

    async fn check_metadata(&self) -> Result<(), String> {
        let failed = |error| format!("the metadata store does not answer: {error}");
        self.metadata.put(KEY, ENTRY.to_vec(), Expect::Anything).await.map_err(failed)?;
        match self.metadata.get(KEY).await.map_err(failed)? {
            Some(record) if record.value == ENTRY => Ok(()),
            _ => Err(format!("the metadata store lost record `{KEY}` that was just written")),
        }
    }

    async fn check_hot_store(&self) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| format!("the hot store does not answer: {error}");
        self.store.delete(LEDGER).await.map_err(|error| failed(&error))?;
        self.store.create(LEDGER, KEY, 0).await.map_err(|error| failed(&error))?;
        let appended = self.store.append(LEDGER, 0, Bytes::from_static(ENTRY)).await;
        appended.map_err(|_| failed(&"it has stopped"))?.map_err(|error| failed(&error))?;
        let handle = self.store.open(LEDGER).await.map_err(|error| failed(&error))?;
        let entries = handle.read(0, 0, u64::MAX).await.map_err(|error| failed(&error))?;
        self.store.seal(LEDGER).await.map_err(|error| failed(&error))?;
        self.store.delete(LEDGER).await.map_err(|error| failed(&error))?;
        match entries.first() {
            Some(entry) if entry.payload == ENTRY => Ok(()),
            _ => Err("the hot store lost an entry that was just written".to_owned()),
        }
    }
}

#[async_trait]
impl HealthCheck for StoreHealth {
    async fn check(&self) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.check_metadata().await?;
        self.check_hot_store().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{FileLedgerStore, LedgerStoreSettings};
    use crate::metadata::memory::MemoryMetadataStore;
    use crate::storage::SystemClock;

    #[tokio::test]
    async fn a_check_leaves_nothing_and_names_the_store_that_does_not_answer() {
        let folder = tempfile::tempdir().unwrap();
        let (store, _) = FileLedgerStore::open(folder.path(), LedgerStoreSettings::default()).await.unwrap();
        let store = Arc::new(store);
        let health = StoreHealth::new(Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock))), store.clone());
        assert_eq!(health.check().await, Ok(()));
        assert_eq!(health.check().await, Ok(()));
        assert!(store.ledgers().is_empty());
        store.close().await.unwrap();
        let problem = health.check().await.unwrap_err();
        assert!(problem.starts_with("the hot store does not answer: "), "{problem}");
    }
}
