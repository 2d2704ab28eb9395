//! What is tried out: a driver's instance, a copy that it opened, and the bench on which instances are made.
//!
//! The suite knows these three alone. [`crate::InProcess`] puts any factory behind them; the host does the same with a driver
//! that it loaded from a shared library.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub use longshore_plugin_api::read_handle::BoxFuture;
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Entry, LedgerMetadata, LedgerReader, OffloadRequest, Result, ScanPage, ScanRequest,
    StoredLedger,
};

/// A driver's instance: [`longshore_plugin_api::Offloader`] as an object. The promises are those of that trait.
pub trait Subject: Send + Sync {
    /// See [`longshore_plugin_api::Offloader::driver_metadata`].
    fn driver_metadata(&self) -> BTreeMap<String, String>;
    /// See [`longshore_plugin_api::Offloader::offload`].
    fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> BoxFuture<'_, Result<()>>;
    /// See [`longshore_plugin_api::Offloader::open_read`].
    fn open_read(&self, stored: StoredLedger) -> BoxFuture<'_, Result<Arc<dyn OpenCopy>>>;
    /// See [`longshore_plugin_api::Offloader::delete`].
    fn delete(&self, stored: StoredLedger) -> BoxFuture<'_, Result<()>>;
    /// See [`longshore_plugin_api::Offloader::scan`].
    fn scan(&self, request: ScanRequest) -> BoxFuture<'_, Result<ScanPage>>;
    /// See [`longshore_plugin_api::Offloader::health`].
    fn health(&self) -> BoxFuture<'_, Result<()>>;
    /// See [`longshore_plugin_api::Offloader::shutdown`].
    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()>;
}

/// An open copy: [`longshore_plugin_api::ReadHandle`] as an object. Dropping it closes it.
pub trait OpenCopy: Send + Sync {
    /// See [`longshore_plugin_api::ReadHandle::metadata`].
    fn metadata(&self) -> LedgerMetadata;
    /// See [`longshore_plugin_api::ReadHandle::read`].
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>>;
    /// See [`longshore_plugin_api::ReadHandle::close`]; nothing where dropping is all there is.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

/// Makes instances of one driver.
pub trait Bench: Send + Sync {
    /// Which driver this is, for people: `filesystem of tiered-storage-file-system 0.1.0`.
    fn name(&self) -> String;

    /// The configuration that the driver is tried with.
    fn config(&self) -> &DriverConfig;

    /// Asks the driver's factory to check a configuration; `None` where it is never asked apart from making an instance.
    fn validate(&self, config: &DriverConfig) -> Option<Vec<ConfigProblem>>;

    /// Makes an instance that shares nothing with earlier ones but the store.
    fn create(&self, config: DriverConfig) -> BoxFuture<'_, Result<Arc<dyn Subject>>>;

    /// Keys whose values are secret, beside those whose names say so.
    fn secret_keys(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether somebody between the suite and the driver refuses bad ranges, so that the driver never hears of them.
    fn checks_ranges(&self) -> bool {
        false
    }
}
