//! Requests, results and records: plain data. All are frozen, and owned by their receiver.

use std::collections::BTreeMap;
use std::path::PathBuf;

use abi_stable::StableAbi;
use abi_stable::std_types::{ROption, RString, RVec, Tuple2};
use uuid::Uuid;

use super::bytes::FfiBytes;
use crate::config::{ConfigProblem, DriverConfig};
use crate::error::{Error, ErrorCode, Result};
use crate::ledger::{Entry, LedgerMetadata};
use crate::offloader::{OffloadRequest, ScanPage, ScanRequest, ScannedLedger, StoredLedger};

/// Names and values. Order has no meaning; of a name that comes twice the last one counts.
pub type Pairs = RVec<Tuple2<RString, RString>>;

/// One entry of a batch: its id and its payload, which crosses without a copy.
#[repr(C)]
#[derive(StableAbi)]
pub struct FfiEntry {
    /// 0-based, dense in its ledger.
    pub entry_id: u64,
    /// The payload.
    pub payload: FfiBytes,
}

/// See [`LedgerMetadata`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiLedgerMetadata {
    pub ledger_id: u64,
    pub entry_count: u64,
    pub length_bytes: u64,
    pub created_ms: u64,
    pub closed: bool,
    /// Names and values kept with the ledger; values are small, so they are copied.
    pub custom: RVec<Tuple2<RString, RVec<u8>>>,
    pub extras: Pairs,
}

/// See [`DriverConfig`].
#[repr(C)]
#[derive(StableAbi, Clone)]
pub struct FfiDriverConfig {
    /// In the spelling that the plugin claims.
    pub driver: RString,
    pub properties: Pairs,
    /// UTF-8; a folder whose name is not is left out by the host.
    pub search_folders: RVec<RString>,
    pub extras: Pairs,
}

/// See [`ConfigProblem`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiConfigProblem {
    pub key: RString,
    pub value: ROption<RString>,
    pub problem: RString,
    pub extras: Pairs,
}

/// See [`OffloadRequest`]. `uid` is in the order of RFC 9562, most significant byte first.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiOffloadRequest {
    pub ledger_id: u64,
    pub uid: [u8; 16],
    pub managed_ledger: RString,
    pub extra: Pairs,
    pub extras: Pairs,
}

/// See [`StoredLedger`]. `uid` is in the order of RFC 9562, most significant byte first.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiStoredLedger {
    pub ledger_id: u64,
    pub uid: [u8; 16],
    pub managed_ledger: RString,
    pub driver_metadata: Pairs,
    pub extras: Pairs,
}

/// See [`ScanRequest`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiScanRequest {
    pub after: ROption<RString>,
    pub limit: u32,
    pub extras: Pairs,
}

/// See [`ScannedLedger`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiScannedLedger {
    pub ledger_id: u64,
    pub uid: [u8; 16],
    pub managed_ledger: ROption<RString>,
    pub size_bytes: u64,
    pub extras: Pairs,
}

/// See [`ScanPage`].
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiScanPage {
    pub ledgers: RVec<FfiScannedLedger>,
    pub next: ROption<RString>,
    pub extras: Pairs,
}

/// Asks for entries. Frozen.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiReadRequest {
    /// The first entry.
    pub first: u64,
    /// The last entry, inclusive.
    pub last: u64,
    /// The most bytes of payload, but for the first entry.
    pub max_bytes: u64,
    pub extras: Pairs,
}

impl FfiReadRequest {
    /// Asks for `first..=last`, at most `max_bytes`.
    pub fn new(first: u64, last: u64, max_bytes: u64) -> Self {
        Self { first, last, max_bytes, extras: Pairs::new() }
    }
}

/// How a library is started, once for each process.
#[repr(C)]
#[derive(StableAbi, Clone, Debug)]
pub struct FfiStartOptions {
    /// Worker threads of the plugin's runtime; 0 leaves the choice to the plugin.
    pub runtime_workers: u32,
    pub reserved: u32,
    /// The address of the host's own copy of [`crate::runtime::library_marker`]: a plugin that finds its own address there
    /// is linked into the host and leaves process-wide hooks alone.
    pub host_marker: usize,
    /// What the plugin's threads are called, at most 15 bytes; threads that they start inherit it.
    pub thread_name: RString,
    pub extras: Pairs,
}

/// What a library holds and runs at a moment. Frozen; a reserved part is 0.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FfiLibraryStats {
    /// Threads of the plugin's runtime, those for blocking work included.
    pub runtime_threads: u64,
    /// Tasks on the plugin's runtime that have not ended.
    pub tasks: u64,
    /// Offloaders that have not been dropped.
    pub offloaders: u64,
    /// Read handles that have not been dropped.
    pub read_handles: u64,
    /// Calls of the host that have not ended, those that it gave up included; without `shutdown`.
    pub calls: u64,
    pub reserved: [u64; 3],
}

/// Names and values as they cross.
pub fn to_pairs(map: &BTreeMap<String, String>) -> Pairs {
    map.iter().map(|(key, value)| Tuple2(key.as_str().into(), value.as_str().into())).collect()
}

/// Names and values as they are used.
pub fn from_pairs(pairs: Pairs) -> BTreeMap<String, String> {
    pairs.into_iter().map(|Tuple2(key, value)| (key.into_string(), value.into_string())).collect()
}

fn to_option(value: Option<String>) -> ROption<RString> {
    value.map(RString::from).into()
}

fn from_option(value: ROption<RString>) -> Option<String> {
    value.into_option().map(RString::into_string)
}

/// A batch as it crosses: one vector, payloads in place.
pub fn to_batch(entries: Vec<Entry>) -> RVec<FfiEntry> {
    entries.into_iter().map(|entry| FfiEntry { entry_id: entry.entry_id, payload: entry.payload.into() }).collect()
}

/// A batch as it is used, payloads in place.
///
/// # Errors
/// `Internal` where a payload's pointer or length cannot be right.
pub fn from_batch(batch: RVec<FfiEntry>) -> Result<Vec<Entry>> {
    batch
        .into_iter()
        .map(|entry| {
            if !entry.payload.is_sound() {
                let problem = format!("entry {} came with an impossible pointer or length", entry.entry_id);
                return Err(Error::new(ErrorCode::Internal, problem));
            }
            Ok(Entry { entry_id: entry.entry_id, payload: entry.payload.into() })
        })
        .collect()
}

impl From<&LedgerMetadata> for FfiLedgerMetadata {
    fn from(metadata: &LedgerMetadata) -> Self {
        let custom = metadata.custom.iter();
        Self {
            ledger_id: metadata.ledger_id,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
            created_ms: metadata.created_ms,
            closed: metadata.closed,
            custom: custom.map(|(key, value)| Tuple2(key.as_str().into(), value.as_slice().into())).collect(),
            extras: Pairs::new(),
        }
    }
}

impl From<FfiLedgerMetadata> for LedgerMetadata {
    fn from(metadata: FfiLedgerMetadata) -> Self {
        let custom = metadata.custom.into_iter();
        Self {
            ledger_id: metadata.ledger_id,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
            created_ms: metadata.created_ms,
            closed: metadata.closed,
            custom: custom.map(|Tuple2(key, value)| (key.into_string(), value.into_vec())).collect(),
        }
    }
}

impl From<DriverConfig> for FfiDriverConfig {
    fn from(config: DriverConfig) -> Self {
        let folders = config.search_folders.iter().filter_map(|folder| folder.to_str());
        Self {
            driver: config.driver.into(),
            properties: to_pairs(&config.properties),
            search_folders: folders.map(RString::from).collect(),
            extras: Pairs::new(),
        }
    }
}

impl From<FfiDriverConfig> for DriverConfig {
    fn from(config: FfiDriverConfig) -> Self {
        let folders = config.search_folders.into_iter();
        Self {
            driver: config.driver.into_string(),
            properties: from_pairs(config.properties),
            search_folders: folders.map(|folder| PathBuf::from(folder.into_string())).collect(),
        }
    }
}

impl From<ConfigProblem> for FfiConfigProblem {
    fn from(problem: ConfigProblem) -> Self {
        Self {
            key: problem.key.into(),
            value: to_option(problem.value),
            problem: problem.problem.into(),
            extras: Pairs::new(),
        }
    }
}

impl From<FfiConfigProblem> for ConfigProblem {
    fn from(problem: FfiConfigProblem) -> Self {
        Self {
            key: problem.key.into_string(),
            value: from_option(problem.value),
            problem: problem.problem.into_string(),
        }
    }
}

impl From<OffloadRequest> for FfiOffloadRequest {
    fn from(request: OffloadRequest) -> Self {
        Self {
            ledger_id: request.ledger_id,
            uid: request.uid.into_bytes(),
            managed_ledger: request.managed_ledger.into(),
            extra: to_pairs(&request.extra),
            extras: Pairs::new(),
        }
    }
}

impl From<FfiOffloadRequest> for OffloadRequest {
    fn from(request: FfiOffloadRequest) -> Self {
        Self {
            ledger_id: request.ledger_id,
            uid: Uuid::from_bytes(request.uid),
            managed_ledger: request.managed_ledger.into_string(),
            extra: from_pairs(request.extra),
        }
    }
}

impl From<StoredLedger> for FfiStoredLedger {
    fn from(stored: StoredLedger) -> Self {
        Self {
            ledger_id: stored.ledger_id,
            uid: stored.uid.into_bytes(),
            managed_ledger: stored.managed_ledger.into(),
            driver_metadata: to_pairs(&stored.driver_metadata),
            extras: Pairs::new(),
        }
    }
}

impl From<FfiStoredLedger> for StoredLedger {
    fn from(stored: FfiStoredLedger) -> Self {
        Self {
            ledger_id: stored.ledger_id,
            uid: Uuid::from_bytes(stored.uid),
            managed_ledger: stored.managed_ledger.into_string(),
            driver_metadata: from_pairs(stored.driver_metadata),
        }
    }
}

impl From<ScanRequest> for FfiScanRequest {
    fn from(request: ScanRequest) -> Self {
        Self { after: to_option(request.after), limit: request.limit, extras: Pairs::new() }
    }
}

impl From<FfiScanRequest> for ScanRequest {
    fn from(request: FfiScanRequest) -> Self {
        Self { after: from_option(request.after), limit: request.limit }
    }
}

impl From<ScanPage> for FfiScanPage {
    fn from(page: ScanPage) -> Self {
        let ledgers = page.ledgers.into_iter().map(|ledger| FfiScannedLedger {
            ledger_id: ledger.ledger_id,
            uid: ledger.uid.into_bytes(),
            managed_ledger: to_option(ledger.managed_ledger),
            size_bytes: ledger.size_bytes,
            extras: Pairs::new(),
        });
        Self { ledgers: ledgers.collect(), next: to_option(page.next), extras: Pairs::new() }
    }
}

impl From<FfiScanPage> for ScanPage {
    fn from(page: FfiScanPage) -> Self {
        let ledgers = page.ledgers.into_iter().map(|ledger| ScannedLedger {
            ledger_id: ledger.ledger_id,
            uid: Uuid::from_bytes(ledger.uid),
            managed_ledger: from_option(ledger.managed_ledger),
            size_bytes: ledger.size_bytes,
        });
        Self { ledgers: ledgers.collect(), next: from_option(page.next) }
    }
}
