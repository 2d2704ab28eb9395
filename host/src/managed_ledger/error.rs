//! What goes wrong in a managed ledger.

use crate::metadata::MetadataError;
use crate::storage::{ReadError, StoreError};

/// Why a managed ledger could not do something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ManagedLedgerError {
    /// No such managed ledger.
    #[error("managed ledger {0} does not exist")]
    NotFound(String),
    /// It is closed, or being closed.
    #[error("managed ledger [{0}] has already closed")]
    Closed(String),
    /// Somebody else wrote its record, or a write failed: it must be loaded again.
    #[error("managed ledger [{name}] is fenced: {reason}")]
    Fenced {
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// Its record cannot be understood.
    #[error("metadata of managed ledger {name}: {problem}")]
    BadRecord {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The metadata store refused.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// The hot store refused.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A ledger could not be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// Why an entry was not added.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The topic was terminated.
    #[error("the topic was terminated")]
    Terminated,
    /// The managed ledger is closed; load the topic again.
    #[error("the managed ledger is closed")]
    Closed,
    /// The entry may or may not be on disk; the managed ledger accepts no more until it is loaded again.
    #[error("{0}")]
    Storage(String),
}
