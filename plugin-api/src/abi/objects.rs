//! The four interfaces. Each grows at its end only: a new method has a default body and stands after the last prefix field.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RStr, RVec};

use super::requests::{
    FfiEntry, FfiLedgerMetadata, FfiOffloadRequest, FfiReadRequest, FfiScanPage, FfiScanRequest, FfiStoredLedger, Pairs,
};
use super::telemetry::{FfiLogEvent, FfiMetric};
use super::{FfiCall, FfiCallContext};

/// A driver's instance. Implemented by the plugin, called by the host on any thread, any number of calls at once.
///
/// Dropping the object gives it back; that returns at once, and the author's own drop runs on the plugin's runtime.
#[sabi_trait]
pub trait FfiOffloader: Send + Sync + 'static {
    /// What the host records with each ledger. Computed once when the instance was made; does not block.
    fn driver_metadata(&self) -> Pairs;

    /// Copies one ledger. The plugin owns `ledger` from now on and drops it when it is done.
    fn offload(&self, context: FfiCallContext, ledger: LedgerReaderBox, request: FfiOffloadRequest) -> FfiCall<()>;

    /// Opens a complete copy. The host owns the handle, which may outlive this object.
    fn open_read(&self, context: FfiCallContext, stored: FfiStoredLedger) -> FfiCall<ReadHandleBox>;

    /// Deletes whatever an attempt left.
    fn delete(&self, context: FfiCallContext, stored: FfiStoredLedger) -> FfiCall<()>;

    /// One page of the listing.
    fn scan(&self, context: FfiCallContext, request: FfiScanRequest) -> FfiCall<FfiScanPage>;

    /// Whether the store can be reached.
    fn health(&self, context: FfiCallContext) -> FfiCall<()>;

    /// Called once, before the process ends. Waits for what runs until `deadline_ms` have passed; the answer is how many
    /// calls were given up.
    #[sabi(last_prefix_field)]
    fn shutdown(&self, context: FfiCallContext, deadline_ms: u64) -> FfiCall<u64>;
}

/// A complete cold copy, open for reading. Implemented by the plugin, called by the host on any thread, reads overlap.
///
/// Dropping the object closes the handle; that returns at once, and the author's `close` runs on the plugin's runtime.
#[sabi_trait]
pub trait FfiReadHandle: Send + Sync + 'static {
    /// The ledger's metadata. Read once when the handle was opened; does not block.
    fn metadata(&self) -> FfiLedgerMetadata;

    /// Whole entries from `first` on, at least one, up to `last` (inclusive) or `max_bytes` of payload. Where the context allows
    /// it ([`CALL_MAY_ANSWER_INLINE`](crate::abi::context::CALL_MAY_ANSWER_INLINE)) the plugin may answer before it returns.
    #[sabi(last_prefix_field)]
    fn read(&self, context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>>;
}

/// The ledger that is copied. Implemented by the host, called by the plugin on any thread during one `offload`.
///
/// After the host gave up on that call each read answers `Cancelled`.
#[sabi_trait]
pub trait FfiLedgerReader: Send + Sync + 'static {
    /// The ledger's metadata; does not block.
    fn metadata(&self) -> FfiLedgerMetadata;

    /// As [`FfiReadHandle::read`]; the work runs on the host's runtime.
    fn read(&self, context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>>;

    /// So many more bytes reached the store; does not block.
    #[sabi(last_prefix_field)]
    fn progress(&self, bytes: u64);
}

/// What the host does for a library. Implemented by the host, called by the plugin on any thread until the process ends.
#[sabi_trait]
pub trait FfiHostServices: Send + Sync + 'static {
    /// Whether the host's log wants events of this level (1 error to 5 trace) and target; does not block.
    fn log_enabled(&self, level: u32, target: RStr<'_>) -> bool;

    /// A number that changes whenever [`log_enabled`](Self::log_enabled) may answer differently from before; does not block.
    /// The library looks at it when a call begins, so that a level that was raised later is seen.
    fn log_generation(&self) -> u64;

    /// Writes one event to the host's log; may wait for the log's writer.
    fn log_event(&self, event: FfiLogEvent<'_>);

    /// The number of a metric's series, never 0; the same description has the same number. 0 where the host refuses it (a name
    /// that cannot be, more series than it allows), which it says in its log. Does not block.
    fn metric(&self, metric: FfiMetric<'_>) -> u64;

    /// Adds to, sets or observes, as the kind of the series says; 0 and unknown numbers are ignored. Does not block.
    #[sabi(last_prefix_field)]
    fn metric_record(&self, series: u64, value: f64);
}

/// An [`FfiOffloader`], owned.
pub type OffloaderBox = FfiOffloader_TO<RBox<()>>;
/// An [`FfiReadHandle`], owned.
pub type ReadHandleBox = FfiReadHandle_TO<RBox<()>>;
/// An [`FfiLedgerReader`], owned.
pub type LedgerReaderBox = FfiLedgerReader_TO<RBox<()>>;
/// An [`FfiHostServices`], owned.
pub type HostServicesBox = FfiHostServices_TO<RBox<()>>;
