//! The same traits without a boundary: what the fixture plugin does, in this process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore::storage::{
    DriverError, DriverOrigin, Entry, LedgerId, LedgerMetadata, OffloadDriver, ReadError, ReadHandle, ScanPage,
    ScanRequest, StoredLedger,
};

/// Entries in memory.
pub(crate) struct InProcess(pub(crate) Vec<Bytes>);

/// A sync call.
pub(crate) trait Describe {
    fn describe(&self) -> &'static str;
}

impl Describe for InProcess {
    fn describe(&self) -> &'static str {
        "{}"
    }
}

#[async_trait]
impl ReadHandle for InProcess {
    fn metadata(&self) -> LedgerMetadata {
        LedgerMetadata {
            ledger_id: LedgerId(1),
            entry_count: self.0.len() as u64,
            length_bytes: self.0.iter().map(|payload| payload.len() as u64).sum(),
            created_ms: 0,
            closed: true,
            managed_ledger: String::new(),
        }
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let entry = |entry_id| Entry { entry_id, payload: self.0[entry_id as usize].clone() };
        Ok((first..=last).map(entry).collect())
    }
}

#[async_trait]
impl OffloadDriver for InProcess {
    fn name(&self) -> &str {
        "in process"
    }
    fn origin(&self) -> DriverOrigin {
        DriverOrigin { plugin: String::new(), version: String::new(), file: String::new() }
    }
    fn driver_metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    async fn offload(&self, _ledger: Arc<dyn ReadHandle>, _target: StoredLedger) -> Result<(), DriverError> {
        Ok(())
    }
    async fn open(&self, _stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        Ok(Arc::new(InProcess(self.0.clone())))
    }
    async fn delete(&self, _stored: &StoredLedger) -> Result<(), DriverError> {
        Ok(())
    }
    async fn scan(&self, _request: ScanRequest) -> Result<ScanPage, DriverError> {
        Ok(ScanPage::default())
    }
    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
    async fn shutdown(&self, _deadline: Duration) -> Result<u64, DriverError> {
        Ok(0)
    }
}
