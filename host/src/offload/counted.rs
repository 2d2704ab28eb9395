//! Drivers whose work is counted: a wrapper at the seam, so that whoever uses a driver need not know of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::counters::DriverCounters;
use crate::storage::{
    DriverError, DriverLookup, DriverOrigin, DriverSettings, Entry, LedgerMetadata, OffloadDriver, ReadError,
    ReadHandle, ScanPage, ScanRequest, StoredLedger,
};

/// Finds drivers, and counts what they do.
pub struct CountedDrivers {
    drivers: Arc<dyn DriverLookup>,
    counters: Arc<DriverCounters>,
}

impl CountedDrivers {
    /// Over another lookup.
    pub fn new(drivers: Arc<dyn DriverLookup>, counters: Arc<DriverCounters>) -> Self {
        Self { drivers, counters }
    }
}

#[async_trait]
impl DriverLookup for CountedDrivers {
    async fn driver(&self, name: &str, settings: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        let driver = self.drivers.driver(name, settings).await?;
        Ok(Arc::new(CountedDriver { driver, counters: self.counters.clone() }))
    }
}

struct CountedDriver {
    driver: Arc<dyn OffloadDriver>,
    counters: Arc<DriverCounters>,
}

#[async_trait]
impl OffloadDriver for CountedDriver {
    fn name(&self) -> &str {
        self.driver.name()
    }

    fn origin(&self) -> DriverOrigin {
        self.driver.origin()
    }

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        self.driver.driver_metadata()
    }

    async fn offload(&self, ledger: Arc<dyn ReadHandle>, target: StoredLedger) -> Result<(), DriverError> {
        let managed_ledger = target.managed_ledger.clone();
        let hot = CountedHandle::new(ledger, &self.counters, &managed_ledger, Copy::Hot);
        let copied = self.driver.offload(Arc::new(hot), target).await;
        if copied.is_err() {
            self.counters.count(&managed_ledger, |figures, _| figures.offload_error_count += 1);
        }
        copied
    }

    async fn open(&self, stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        let begun = Instant::now();
        let opened = self.driver.open(stored).await;
        self.counters.count(&stored.managed_ledger, |figures, _| {
            figures.open_latency.add(begun.elapsed());
            figures.read_error_count += u64::from(opened.is_err());
        });
        Ok(Arc::new(CountedHandle::new(opened?, &self.counters, &stored.managed_ledger, Copy::Cold)))
    }

    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError> {
        let deleted = self.driver.delete(stored).await;
        self.counters.count(&stored.managed_ledger, |figures, _| match &deleted {
            Ok(()) => figures.deleted_count += 1,
            Err(_) => figures.delete_error_count += 1,
        });
        deleted
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage, DriverError> {
        self.driver.scan(request).await
    }

    async fn health(&self) -> Result<(), DriverError> {
        self.driver.health().await
    }

    async fn shutdown(&self, deadline: Duration) -> Result<u64, DriverError> {
        self.driver.shutdown(deadline).await
    }
}

/// Which copy a handle reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Copy {
    /// The hot one, on its way to the driver.
    Hot,
    /// The driver's.
    Cold,
}

struct CountedHandle {
    handle: Arc<dyn ReadHandle>,
    counters: Arc<DriverCounters>,
    managed_ledger: String,
    copy: Copy,
}

impl CountedHandle {
    fn new(handle: Arc<dyn ReadHandle>, counters: &Arc<DriverCounters>, managed_ledger: &str, copy: Copy) -> Self {
        Self { handle, counters: counters.clone(), managed_ledger: managed_ledger.to_owned(), copy }
    }
}

#[async_trait]
impl ReadHandle for CountedHandle {
    fn metadata(&self) -> LedgerMetadata {
        self.handle.metadata()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let begun = Instant::now();
        let read = self.handle.read(first, last, max_bytes).await;
        let latency = begun.elapsed();
        let bytes = read.iter().flatten().map(|entry| entry.payload.len() as u64).sum();
        self.counters.count(&self.managed_ledger, |figures, now_ms| match self.copy {
            Copy::Hot => {
                figures.hot_read_latency.add(latency);
                figures.offloaded.add(bytes, now_ms);
            }
            Copy::Cold => {
                figures.read_latency.add(latency);
                figures.read.add(bytes, now_ms);
                figures.read_error_count += u64::from(read.is_err());
            }
        });
        read
    }

    fn progress(&self, bytes: u64) {
        self.handle.progress(bytes);
    }
}
