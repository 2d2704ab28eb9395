//! The hot store behind a plug: pulled, it is gone for whoever still holds it, as after a crash of the process.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bytes::Bytes;
use longshore::ledger::FileLedgerStore;
use longshore::storage::{LedgerId, LedgerStore, LedgerSummary, ReadError, ReadHandle, StoreError};
use tokio::sync::oneshot;

/// Forwards to the store until the plug is pulled.
pub struct Socket {
    store: Mutex<Option<Arc<FileLedgerStore>>>,
}

impl Socket {
    /// Plugged in.
    pub fn new(store: FileLedgerStore) -> Self {
        Self { store: Mutex::new(Some(Arc::new(store))) }
    }

    /// Takes the store away from everybody.
    pub fn pull(&self) -> Option<Arc<FileLedgerStore>> {
        self.store.lock().expect("no panic while locked").take()
    }

    fn store(&self) -> Result<Arc<FileLedgerStore>, StoreError> {
        let store = self.store.lock().expect("no panic while locked").clone();
        store.ok_or_else(|| StoreError::WriteFailed("the plug was pulled".to_owned()))
    }
}

#[async_trait]
impl LedgerStore for Socket {
    async fn create(&self, ledger_id: LedgerId, managed_ledger: &str, created_ms: u64) -> Result<(), StoreError> {
        self.store()?.create(ledger_id, managed_ledger, created_ms).await
    }

    fn append(&self, ledger_id: LedgerId, entry_id: u64, payload: Bytes) -> oneshot::Receiver<Result<(), StoreError>> {
        match self.store() {
            Ok(store) => store.append(ledger_id, entry_id, payload),
            Err(_) => oneshot::channel().1,
        }
    }

    async fn seal(&self, ledger_id: LedgerId) -> Result<LedgerSummary, StoreError> {
        self.store()?.seal(ledger_id).await
    }

    async fn open(&self, ledger_id: LedgerId) -> Result<Arc<dyn ReadHandle>, ReadError> {
        let store = self.store().map_err(|error| ReadError::Unavailable(error.to_string()))?;
        store.open(ledger_id).await
    }

    async fn delete(&self, ledger_id: LedgerId) -> Result<(), StoreError> {
        self.store()?.delete(ledger_id).await
    }

    fn ledgers(&self) -> Vec<LedgerId> {
        self.store().map(|store| store.ledgers()).unwrap_or_default()
    }
}
