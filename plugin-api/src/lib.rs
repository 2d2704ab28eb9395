//! The contract between Longshore and its tiered storage plugins.
//!
//! An author implements [`OffloaderFactory`], [`Offloader`] and [`ReadHandle`].
#![warn(unsafe_op_in_unsafe_fn)]

pub mod abi;
pub mod config;
pub mod error;
pub mod export;
pub mod ledger;
pub mod note;
pub mod offloader;
pub mod read_handle;
pub mod runtime;
pub mod version;

pub use config::{ConfigProblem, DriverConfig};
pub use error::{Error, ErrorCode, Result, Retry};
pub use ledger::{Entry, LedgerMetadata};
pub use offloader::{OffloadRequest, Offloader, OffloaderFactory, ScanPage, ScanRequest, ScannedLedger, StoredLedger};
pub use read_handle::{LedgerReader, ReadHandle};
