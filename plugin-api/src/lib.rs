//! The contract between Longshore and its tiered storage plugins.
//!
//! An author implements [`OffloaderFactory`], [`Offloader`] and [`ReadHandle`].

pub mod config;
pub mod error;
pub mod ledger;
pub mod offloader;
pub mod read_handle;

pub use config::{ConfigProblem, DriverConfig};
pub use error::{Error, ErrorCode, Result, Retry};
pub use ledger::{Entry, LedgerMetadata};
pub use offloader::{OffloadRequest, Offloader, OffloaderFactory, ScanPage, ScanRequest, ScannedLedger, StoredLedger};
pub use read_handle::{LedgerReader, ReadHandle};
