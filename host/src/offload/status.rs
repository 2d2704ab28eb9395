//! What the admin shows of offloads: the manual run's outcome in the original's words, and when ledgers were copied last.

use crate::managed_ledger::Position;
use crate::storage::LedgerId;

/// The outcome of the manual runs since the topic was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OffloadStatus {
    /// None was asked for.
    #[default]
    NotRun,
    /// One is under way.
    Running,
    /// The last one copied everything it was asked for.
    Success {
        /// The first entry that it left hot.
        first_unoffloaded: Position,
    },
    /// The last one failed; the text is the original's `lastError`.
    Error(String),
}

/// What happened to ledgers since the topic was loaded, whoever asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OffloadHistory {
    /// The ledger that was copied last.
    pub last_ledger_id: Option<LedgerId>,
    /// When, milliseconds since 1970.
    pub last_success_ms: Option<u64>,
    /// When an attempt failed last, milliseconds since 1970.
    pub last_failure_ms: Option<u64>,
    /// Attempts that failed.
    pub failed_count: u64,
    /// Payload bytes of the ledgers copied.
    pub copied_bytes: u64,
}

/// The class that the original names in front of every error of an offload.
const MANAGED_LEDGER_EXCEPTION: &str = "org.apache.bookkeeper.mledger.ManagedLedgerException";

/// `lastError` for an error of the engine: the original's exception, then what happened.
pub(super) fn managed_ledger_error(what: impl std::fmt::Display) -> String {
    format!("{MANAGED_LEDGER_EXCEPTION}: {what}")
}

/// `lastError` for a subclass of the original's exception.
pub(super) fn specific_error(class: &str, what: impl std::fmt::Display) -> String {
    format!("{MANAGED_LEDGER_EXCEPTION}${class}: {what}")
}
