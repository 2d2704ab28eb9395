//! The four interfaces. Each grows at its end only: a new method has a default body and stands after the last prefix field.

use abi_stable::sabi_trait;
use abi_stable::std_types::{RBox, RStr, RVec};

use super::FfiCall;
use super::requests::{
    FfiEntry, FfiLedgerMetadata, FfiLogEvent, FfiOffloadRequest, FfiScanPage, FfiScanRequest, FfiStoredLedger, Pairs,
};

/// A driver's instance. Implemented by the plugin, called by the host on any thread, any number of calls at once.
///
/// Dropping the object gives it back; that returns at once, and the author's own drop runs on the plugin's runtime.
#[sabi_trait]
pub trait FfiOffloader: Send + Sync + 'static {
    /// What the host records with each ledger. Computed once when the instance was made; does not block.
    fn driver_metadata(&self) -> Pairs;

    /// Copies one ledger. The plugin owns `ledger` from now on and drops it when it is done.
    fn offload(&self, ledger: LedgerReaderBox, request: FfiOffloadRequest) -> FfiCall<()>;

    /// Opens a complete copy. The host owns the handle, which may outlive this object.
    fn open_read(&self, stored: FfiStoredLedger) -> FfiCall<ReadHandleBox>;

    /// Deletes whatever an attempt left.
    fn delete(&self, stored: FfiStoredLedger) -> FfiCall<()>;

    /// One page of the listing.
    fn scan(&self, request: FfiScanRequest) -> FfiCall<FfiScanPage>;

    /// Whether the store can be reached.
    fn health(&self) -> FfiCall<()>;

    /// Called once, before the process ends. Waits for what runs until `deadline_ms` have passed; the answer is how many
    /// calls were given up.
    #[sabi(last_prefix_field)]
    fn shutdown(&self, deadline_ms: u64) -> FfiCall<u64>;
}

/// A complete cold copy, open for reading. Implemented by the plugin, called by the host on any thread, reads overlap.
///
/// Dropping the object closes the handle; that returns at once, and the author's `close` runs on the plugin's runtime.
#[sabi_trait]
pub trait FfiReadHandle: Send + Sync + 'static {
    /// The ledger's metadata. Read once when the handle was opened; does not block.
    fn metadata(&self) -> FfiLedgerMetadata;

    /// Whole entries from `first` on, at least one, up to `last` (inclusive) or `max_bytes` of payload.
    #[sabi(last_prefix_field)]
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> FfiCall<RVec<FfiEntry>>;
}

/// The ledger that is copied. Implemented by the host, called by the plugin on any thread during one `offload`.
///
/// After the host gave up on that call each read answers `Cancelled`.
#[sabi_trait]
pub trait FfiLedgerReader: Send + Sync + 'static {
    /// The ledger's metadata; does not block.
    fn metadata(&self) -> FfiLedgerMetadata;

    /// As [`FfiReadHandle::read`]; the work runs on the host's runtime.
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> FfiCall<RVec<FfiEntry>>;

    /// So many more bytes reached the store; does not block.
    #[sabi(last_prefix_field)]
    fn progress(&self, bytes: u64);
}

/// What the host does for a library. Implemented by the host, called by the plugin on any thread until the process ends.
#[sabi_trait]
pub trait FfiHostServices: Send + Sync + 'static {
    /// Whether the host's log wants events of this level (1 error to 5 trace) and target; does not block.
    fn log_enabled(&self, level: u32, target: RStr<'_>) -> bool;

    /// Writes one event to the host's log; may wait for the log's writer.
    #[sabi(last_prefix_field)]
    fn log_event(&self, event: FfiLogEvent);
}

/// An [`FfiOffloader`], owned.
pub type OffloaderBox = FfiOffloader_TO<RBox<()>>;
/// An [`FfiReadHandle`], owned.
pub type ReadHandleBox = FfiReadHandle_TO<RBox<()>>;
/// An [`FfiLedgerReader`], owned.
pub type LedgerReaderBox = FfiLedgerReader_TO<RBox<()>>;
/// An [`FfiHostServices`], owned.
pub type HostServicesBox = FfiHostServices_TO<RBox<()>>;
