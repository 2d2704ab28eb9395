//! What a managed ledger is told by configuration and policies: plain data.

use super::offload_context::ReadPriority;
use super::rollover::RolloverLimits;
use super::trim::{DeletionLag, Retention};
use crate::storage::DriverSettings;

/// The settings of one managed ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagedLedgerSettings {
    /// When ledgers close.
    pub rollover: RolloverLimits,
    /// How much acknowledged data is kept.
    pub retention: Retention,
    /// Where ledgers are copied to and when.
    pub offload: OffloadPolicy,
    /// Least time between two writes of a moving cursor, milliseconds (`managedLedgerDefaultMarkDeleteRateLimit`).
    pub cursor_flush_interval_ms: u64,
    /// Ranges of individual acknowledgements that a cursor's record keeps (`managedLedgerMaxUnackedRangesToPersist`).
    pub cursor_ranges_max: usize,
    /// Age at which an entry leaves the cache, milliseconds (`managedLedgerCacheEvictionTimeThresholdMillis`).
    pub cache_age_max_ms: u64,
    /// Idle time after which a read handle is closed, milliseconds
    /// (`managedLedgerInactiveOffloadedLedgerEvictionTimeSeconds`); `u64::MAX` for never.
    pub idle_copy_max_ms: u64,
    /// Copies of ledgers that are kept open for reading at once (`longshoreOpenCopiesPerTopicMax`); at least 1.
    pub copies_open_max: usize,
}

/// Where and when ledgers are copied: the merge of broker, namespace and topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OffloadPolicy {
    /// The driver, in any letter case; `None` for no offloading.
    pub driver: Option<String>,
    /// What the driver is made with.
    pub driver_settings: DriverSettings,
    /// Bytes of the newest closed ledgers that stay; `None` for no automatic offload by size.
    pub threshold_bytes: Option<u64>,
    /// Age of a closed ledger at which it is copied, milliseconds; `None` for no automatic offload by age.
    pub threshold_ms: Option<u64>,
    /// How long both copies live.
    pub deletion_lag: DeletionLag,
    /// Which copy is read first.
    pub read_priority: ReadPriority,
}
