//! The meeting point: what a ledger's entries are, and the traits behind which hot and cold copies are kept.
//!
//! Hot (`ledger`) and cold (`plugin`) never import each other; both implement [`ReadHandle`], and whoever reads a topic
//! knows nothing else. This room knows no other room.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;
use uuid::Uuid;

/// Names one ledger: cluster-wide, ascending, never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LedgerId(pub u64);

impl fmt::Display for LedgerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// One record of a ledger. `entry_id` is 0-based and dense; `payload` is what the client sent, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Place in the ledger.
    pub entry_id: u64,
    /// The bytes; cheap to clone.
    pub payload: Bytes,
}

/// What is known of a ledger that is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerMetadata {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Number of entries.
    pub entry_count: u64,
    /// Sum of the payload lengths in bytes.
    pub length_bytes: u64,
    /// When the ledger was created, milliseconds since 1970; 0 where unknown.
    pub created_ms: u64,
    /// Whether no entry can follow.
    pub closed: bool,
    /// The managed ledger that it belongs to; empty where unknown.
    pub managed_ledger: String,
}

/// Why a ledger could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Stored bytes are not what was written. Never retried on the same copy.
    #[error("{place} is damaged at offset {offset}: {problem}")]
    Corrupt {
        /// File or object.
        place: String,
        /// Bytes from its start.
        offset: u64,
        /// What does not match.
        problem: String,
    },
    /// There is no such copy.
    #[error("{0}")]
    NotFound(String),
    /// The caller asked for what the ledger does not have.
    #[error("entries {first}..={last} of ledger {ledger_id} were asked for, it has {entry_count}")]
    OutOfRange {
        /// The ledger.
        ledger_id: LedgerId,
        /// First entry asked for.
        first: u64,
        /// Last entry asked for.
        last: u64,
        /// Entries there are.
        entry_count: u64,
    },
    /// A passing fault: the same read may succeed later.
    #[error("{0}")]
    Unavailable(String),
    /// The driver answered with an error; its text names the plugin.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// A fault that a retry will not mend.
    #[error("{0}")]
    Failed(String),
}

impl ReadError {
    /// Whether the same read may succeed later.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Driver(error) => error.is_retryable(),
            Self::Corrupt { .. } | Self::NotFound(_) | Self::OutOfRange { .. } | Self::Failed(_) => false,
        }
    }
}

/// Reads one ledger, hot or cold. Reads are positional, stateless and concurrent.
#[async_trait]
pub trait ReadHandle: Send + Sync {
    /// What is known of the ledger. For an open ledger, of this moment.
    fn metadata(&self) -> LedgerMetadata;

    /// Whole entries from `first` on, in order, up to `last` (inclusive): at least one, and no further one that would
    /// make the sum of payloads exceed `max_bytes`.
    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError>;

    /// Tells the reader's owner that `bytes` more bytes of it reached a store; counts as progress of an offload.
    fn progress(&self, bytes: u64) {
        let _ = bytes;
    }
}

/// Why the hot store refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Writing or flushing failed; the ledger refuses further writes until it is recovered by a restart.
    #[error("{0}")]
    WriteFailed(String),
    /// The disk is full; entries that were acknowledged stay readable.
    #[error("{0}")]
    StorageFull(String),
    /// The ledger is sealed, deleted or unknown.
    #[error("ledger {0} is not open for appending")]
    NotOpen(LedgerId),
    /// Stored bytes are damaged.
    #[error(transparent)]
    Read(#[from] ReadError),
}

/// How many entries and bytes a ledger holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerSummary {
    /// Number of entries.
    pub entry_count: u64,
    /// Sum of the payload lengths in bytes.
    pub length_bytes: u64,
}

/// Keeps hot ledgers. All appends of all ledgers share one commit point: an append is answered when it is on disk.
#[async_trait]
pub trait LedgerStore: Send + Sync {
    /// Makes an empty open ledger; durable on return.
    async fn create(&self, ledger_id: LedgerId, managed_ledger: &str, created_ms: u64) -> Result<(), StoreError>;

    /// Queues one entry, whose id must be the number of entries queued before it. Entries of one ledger become durable in
    /// order. Never blocks; the caller bounds what is in flight. A dropped sender means that the store has stopped.
    fn append(&self, ledger_id: LedgerId, entry_id: u64, payload: Bytes) -> oneshot::Receiver<Result<(), StoreError>>;

    /// Closes a ledger for ever, after all queued appends. Sealing a sealed ledger answers its summary again.
    async fn seal(&self, ledger_id: LedgerId) -> Result<LedgerSummary, StoreError>;

    /// Opens a ledger for reading, sealed or not.
    async fn open(&self, ledger_id: LedgerId) -> Result<Arc<dyn ReadHandle>, ReadError>;

    /// Deletes a ledger and frees its space at once. Deleting a missing ledger is a success.
    async fn delete(&self, ledger_id: LedgerId) -> Result<(), StoreError>;

    /// All ledgers that the store holds, ascending.
    fn ledgers(&self) -> Vec<LedgerId>;
}

/// Names one copy, or one attempt at it, in a driver's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredLedger {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// The attempt.
    pub uid: Uuid,
    /// The managed ledger's name, `tenant/namespace/persistent/<url-encoded topic>`.
    pub managed_ledger: String,
    /// What the driver answered as its metadata when the attempt was prepared.
    pub driver_metadata: BTreeMap<String, String>,
}

/// Where a driver comes from, for tables and logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverOrigin {
    /// The plugin's name.
    pub plugin: String,
    /// The plugin's version.
    pub version: String,
    /// The file it was loaded from, without its folder; empty for a driver that is part of the host.
    pub file: String,
}

/// Copies ledgers to a store and reads them back: the host's view of a plugin's offloader.
#[async_trait]
pub trait OffloadDriver: Send + Sync {
    /// The driver's name in the spelling that the plugin claims; recorded with each ledger.
    fn name(&self) -> &str;

    /// Where it comes from.
    fn origin(&self) -> DriverOrigin;

    /// Recorded with each ledger before a byte moves, handed back on read and delete.
    fn driver_metadata(&self) -> BTreeMap<String, String>;

    /// Copies one closed ledger; `Ok` means complete and durable.
    async fn offload(&self, ledger: Arc<dyn ReadHandle>, target: StoredLedger) -> Result<(), DriverError>;

    /// Opens a complete copy.
    async fn open(&self, stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError>;

    /// Deletes whatever an attempt left; deleting what is missing is a success.
    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError>;

    /// One page of the complete copies in the driver's store, in an order that stays. A page may be empty and still not the last.
    ///
    /// # Errors
    /// `Unsupported` where the driver cannot list.
    async fn scan(&self, request: ScanRequest) -> Result<ScanPage, DriverError>;

    /// Whether the store can be reached.
    async fn health(&self) -> Result<(), DriverError>;

    /// Lets what runs finish, within `deadline`; the answer is how many calls were given up. Nobody calls the driver afterwards.
    async fn shutdown(&self, deadline: Duration) -> Result<u64, DriverError>;
}

/// Asks for one page of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// Where to go on: the `next` of the page before, or `None` for the first page.
    pub after: Option<String>,
    /// How many copies a page may hold at most; at least 1.
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

/// One complete copy in a driver's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScannedLedger {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// The attempt that wrote it.
    pub uid: Uuid,
    /// The managed ledger's name, where the store knows it.
    pub managed_ledger: Option<String>,
    /// Bytes that the copy takes in the store.
    pub size_bytes: u64,
}

/// What kind of fault a driver had; a caller acts differently on each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DriverErrorKind {
    /// No plugin claims the driver.
    Unclaimed,
    /// The configuration cannot work.
    InvalidConfig,
    /// No such copy.
    NotFound,
    /// Stored bytes are damaged.
    Corrupt,
    /// The plugin panicked.
    Panicked,
    /// The process that the driver ran in ended, or may not be started again yet.
    Crashed,
    /// A deadline passed.
    Timeout,
    /// The plugin broke its contract.
    Misbehaved,
    /// It failed too often in a row and is asked for its health alone until it answers.
    Suspended,
    /// The driver does not offer this.
    Unsupported,
    /// Anything else that the plugin reports.
    Failed,
}

/// A driver's error. `message` is for people and contains no secret; `plugin` names who said it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DriverError {
    /// The kind.
    pub kind: DriverErrorKind,
    /// The driver asked for.
    pub driver: String,
    /// `name version`, or empty where no plugin was involved.
    pub plugin: String,
    /// The plugin's own error code, by its name in the contract; `None` where the host itself says so.
    pub code: Option<String>,
    /// What was tried, on what, what to do, causes appended.
    pub message: String,
    /// Whether the same call may succeed later.
    pub retryable: bool,
}

impl DriverError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        self.retryable
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plugin.is_empty() {
            return f.write_str(&self.message);
        }
        write!(f, "driver `{}` of {}: {}", self.driver, self.plugin, self.message)
    }
}

impl std::error::Error for DriverError {}

/// The settings that make a driver: offload keys in Pulsar's spelling, and where relative paths are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DriverSettings {
    /// Key to value.
    pub properties: BTreeMap<String, String>,
    /// The working folder, then the configuration file's.
    pub search_folders: Vec<PathBuf>,
}

/// Finds the driver of a name, case-insensitively; makes it at the first call with these settings.
#[async_trait]
pub trait DriverLookup: Send + Sync {
    /// The driver `name` made with `settings`.
    ///
    /// # Errors
    /// `Unclaimed` with a text that lists what is claimed, `InvalidConfig`, or what the plugin's factory says.
    async fn driver(&self, name: &str, settings: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError>;
}

/// Time of day in milliseconds since 1970. Injected, so that a lag of four hours is a test of a millisecond.
pub trait Clock: Send + Sync {
    /// Now.
    fn now_ms(&self) -> u64;
}

/// The machine's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_ms(&self) -> u64 {
        let since_1970 = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        since_1970.map_or(0, |duration| duration.as_millis() as u64)
    }
}
