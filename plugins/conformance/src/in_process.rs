//! Any [`OffloaderFactory`] on the bench, called directly: for tests in an author's own crate, without a library.

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Entry, LedgerMetadata, LedgerReader, OffloadRequest, Offloader, OffloaderFactory,
    ReadHandle, Result, ScanPage, ScanRequest, StoredLedger,
};

use crate::subject::{Bench, BoxFuture, OpenCopy, Subject};

/// The bench of the factory `F`.
#[derive(Debug)]
pub struct InProcess<F> {
    config: DriverConfig,
    factory: PhantomData<fn() -> F>,
}

impl<F: OffloaderFactory> InProcess<F> {
    /// Instances are made with `config`.
    pub fn new(config: DriverConfig) -> Self {
        Self { config, factory: PhantomData }
    }
}

impl<F: OffloaderFactory> Bench for InProcess<F> {
    fn name(&self) -> String {
        format!("{} in process", self.config.driver)
    }

    fn config(&self) -> &DriverConfig {
        &self.config
    }

    fn validate(&self, config: &DriverConfig) -> Option<Vec<ConfigProblem>> {
        Some(F::validate(config))
    }

    fn create(&self, config: DriverConfig) -> BoxFuture<'_, Result<Arc<dyn Subject>>> {
        Box::pin(async move { Ok(Arc::new(Direct(F::create(config).await?)) as Arc<dyn Subject>) })
    }
}

/// An author's object behind the suite's trait.
struct Direct<T>(T);

impl<O: Offloader> Subject for Direct<O> {
    fn driver_metadata(&self) -> BTreeMap<String, String> {
        self.0.driver_metadata()
    }

    fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.offload(ledger, request))
    }

    fn open_read(&self, stored: StoredLedger) -> BoxFuture<'_, Result<Arc<dyn OpenCopy>>> {
        Box::pin(async move { Ok(Arc::new(Direct(self.0.open_read(stored).await?)) as Arc<dyn OpenCopy>) })
    }

    fn delete(&self, stored: StoredLedger) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.delete(stored))
    }

    fn scan(&self, request: ScanRequest) -> BoxFuture<'_, Result<ScanPage>> {
        Box::pin(self.0.scan(request))
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.0.health())
    }

    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        Box::pin(self.0.shutdown(deadline))
    }
}

impl<R: ReadHandle> OpenCopy for Direct<R> {
    fn metadata(&self) -> LedgerMetadata {
        self.0.metadata().clone()
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(self.0.read(first, last, max_bytes))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.0.close())
    }
}
