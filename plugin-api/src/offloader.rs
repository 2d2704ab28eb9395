//! The safe traits that an author implements: a factory for a driver's instances, and the offloader itself.
//!
//! Authors write ordinary `async` Rust on tokio; every call runs on the plugin's own runtime ([`crate::runtime`]), a panic
//! becomes an error, and dropping a call on the host's side aborts its task here.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::Duration;

use uuid::Uuid;

pub use crate::config::{ConfigProblem, DriverConfig};
use crate::error::{Error, ErrorCode, Result};
pub use crate::ledger::{Entry, LedgerMetadata};
pub use crate::read_handle::{LedgerReader, ReadHandle};

/// Makes offloaders for the drivers that a plugin claims.
pub trait OffloaderFactory: Send + Sync + 'static {
    /// What this factory makes.
    type Offloader: Offloader;

    /// Checks a configuration without touching the store, and answers *all* problems at once.
    ///
    /// # Behavior
    /// - Called before [`create`](Self::create), with the same configuration; no problem means that `create` can only
    ///   fail because of the store.
    /// - Does no network request and changes nothing.
    fn validate(config: &DriverConfig) -> Vec<ConfigProblem>;

    /// Makes one offloader. Called once for each distinct configuration, not once for each ledger.
    ///
    /// # Errors
    /// `InvalidConfig` for a mistake that [`validate`](Self::validate) cannot see; errors of the store.
    fn create(config: DriverConfig) -> impl Future<Output = Result<Self::Offloader>> + Send;
}

/// Copies closed ledgers to a store, reads them back, deletes them. Mirrors Pulsar's `LedgerOffloader`.
///
/// # Behavior
/// - All methods may run at once, for the same and for different ledgers.
pub trait Offloader: Send + Sync + 'static {
    /// Reads one cold ledger.
    type ReadHandle: ReadHandle;

    /// Names and values that the host records with each ledger before a byte moves, and hands back on read and delete
    /// (Pulsar's `getOffloadDriverMetadata`): whatever finds the copy again after the configuration changed. The same for each
    /// instance with the same configuration. No secrets.
    fn driver_metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    /// Copies one closed ledger.
    ///
    /// # Behavior
    /// - `Ok` means: complete, durable and readable. The host may delete its own copy afterwards.
    /// - Readers see nothing of an attempt before it is complete.
    /// - Idempotent for each (ledger, uid): a repeated call overwrites. Two such calls at once each end in a sound copy or in
    ///   `Conflict`; so may one that follows a call that was dropped, which can be writing still.
    /// - Refuses an empty or open ledger ([`LedgerMetadata::ensure_offloadable`]).
    /// - Reads the ledger through `ledger`, whose host notices a stall: call [`LedgerReader::progress`] when bytes reached
    ///   the store.
    ///
    /// # Errors
    /// Any; an error of `ledger` ends the call and keeps its code. A partial copy may stay, and [`delete`](Self::delete) with
    /// the same uid will come for it.
    ///
    /// # Cancel
    /// Dropping the call aborts the task; what it wrote may stay, as after an error.
    fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> impl Future<Output = Result<()>> + Send;

    /// Opens the cold copy that an earlier successful [`offload`](Self::offload) with this uid wrote, through whatever instance.
    /// The handle may outlive this one.
    ///
    /// # Errors
    /// `NotFound` where there is no complete copy; `Corrupt` where its index or metadata is damaged.
    fn open_read(&self, stored: StoredLedger) -> impl Future<Output = Result<Self::ReadHandle>> + Send;

    /// Deletes whatever the attempt with this uid left, complete or not.
    ///
    /// # Behavior
    /// - Deleting what does not exist is a success, also when repeated.
    fn delete(&self, stored: StoredLedger) -> impl Future<Output = Result<()>> + Send;

    /// Lists complete copies in a stable order, a page at a time.
    ///
    /// # Behavior
    /// - Foreign objects and unfinished attempts are left out; concurrent deletes do not end the listing early.
    ///
    /// # Errors
    /// `Unsupported` unless implemented.
    fn scan(&self, request: ScanRequest) -> impl Future<Output = Result<ScanPage>> + Send {
        let _ = request;
        async { Err(Error::new(ErrorCode::Unsupported, "this driver cannot list its ledgers")) }
    }

    /// Whether the store can be reached with this configuration, cheaply and without leaving anything behind.
    fn health(&self) -> impl Future<Output = Result<()>> + Send {
        async { Ok(()) }
    }

    /// Called once before the process ends; finish what cannot be left, within `deadline`.
    fn shutdown(&self, deadline: Duration) -> impl Future<Output = ()> + Send {
        let _ = deadline;
        async {}
    }
}

/// Names one attempt to copy one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OffloadRequest {
    /// The ledger.
    pub ledger_id: u64,
    /// This attempt; recorded by the host before the call. Must decide the copy's names in the store.
    pub uid: Uuid,
    /// Pulsar's managed ledger name, `tenant/namespace/persistent/<url-encoded topic>`.
    pub managed_ledger: String,
    /// Further names and values that the host passes through (software version, cluster name); drivers may store them.
    pub extra: BTreeMap<String, String>,
}

/// Names a copy that an earlier attempt wrote, or tried to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLedger {
    /// The ledger.
    pub ledger_id: u64,
    /// The attempt.
    pub uid: Uuid,
    /// Pulsar's managed ledger name.
    pub managed_ledger: String,
    /// What [`Offloader::driver_metadata`] answered when the ledger was offloaded.
    pub driver_metadata: BTreeMap<String, String>,
}

/// Asks for one page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanRequest {
    /// Where to go on: the `next` of the page before, or `None` for the first page.
    pub after: Option<String>,
    /// How many ledgers a page may hold at most; at least 1.
    pub limit: u32,
}

/// One page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// The copies.
    pub ledgers: Vec<ScannedLedger>,
    /// Where the next page begins; `None` after the last one.
    pub next: Option<String>,
}

/// One complete copy in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedLedger {
    /// The ledger.
    pub ledger_id: u64,
    /// The attempt that wrote it.
    pub uid: Uuid,
    /// The managed ledger's name, where the store knows it.
    pub managed_ledger: Option<String>,
    /// Bytes that the copy takes in the store.
    pub size_bytes: u64,
}
