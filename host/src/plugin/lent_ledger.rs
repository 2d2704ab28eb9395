//! The host's ledger as it is lent to a plugin for one offload, and the clock of that offload's progress.
//!
//! The plugin's runtime polls the answers, the work runs on the host's. When the offload ends, however it ends, the loan is
//! called back: later reads answer `Cancelled`, and a plugin that hoards the object holds nothing of the host's.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RVec;
use longshore_plugin_api::abi::requests::to_batch;
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiEntry, FfiLedgerMetadata, FfiLedgerReader, FfiReadRequest, LedgerReaderBox,
};
use longshore_plugin_api::read_handle::check_range;
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerMetadata, runtime};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::figures::DriverCounters;
use crate::storage::{self, ReadError, ReadHandle};

/// Reads of one offload that the host works on at once; further ones wait.
const READS_MAX: usize = 16;

/// The key under which Pulsar keeps the managed ledger's name in a ledger's metadata.
pub(super) const MANAGED_LEDGER_KEY: &str = "pulsar/managed-ledger";

/// When an offload last showed a sign of life.
#[derive(Debug)]
pub(super) struct Progress {
    began: Instant,
    /// Milliseconds from `began` to the last sign.
    last_ms: AtomicU64,
    /// Reads that the plugin waits for.
    reads: AtomicUsize,
}

impl Progress {
    fn new() -> Self {
        Self { began: Instant::now(), last_ms: AtomicU64::new(0), reads: AtomicUsize::new(0) }
    }

    fn sign(&self) {
        let now_ms = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// When the last sign came.
    pub(super) fn last(&self) -> Instant {
        self.began + Duration::from_millis(self.last_ms.load(Ordering::Relaxed))
    }

    /// Reads that the host has not answered yet.
    pub(super) fn reads_running(&self) -> usize {
        self.reads.load(Ordering::Relaxed)
    }
}

/// The host's end of a loan; dropping it calls the ledger back.
pub(super) struct Loan {
    lent: Arc<Lent>,
}

struct Lent {
    /// `None` once it was called back.
    ledger: Mutex<Option<Arc<dyn ReadHandle>>>,
    metadata: LedgerMetadata,
    progress: Progress,
    reads: Arc<Semaphore>,
    read_bytes_max: u64,
    counters: Arc<DriverCounters>,
    host: Handle,
}

impl Loan {
    /// Lends `ledger`; must be called on the host's runtime, which will do the reading.
    pub(super) fn new(
        ledger: Arc<dyn ReadHandle>,
        managed_ledger: &str,
        read_bytes_max: u64,
        counters: Arc<DriverCounters>,
    ) -> Self {
        let metadata = for_plugin(&ledger.metadata(), managed_ledger);
        let lent = Lent {
            ledger: Mutex::new(Some(ledger)),
            metadata,
            progress: Progress::new(),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            read_bytes_max,
            counters,
            host: Handle::current(),
        };
        Self { lent: Arc::new(lent) }
    }

    /// The plugin's end.
    pub(super) fn reader(&self) -> LedgerReaderBox {
        LedgerReaderBox::from_value(LentReader(Arc::clone(&self.lent)), TD_Opaque)
    }

    pub(super) fn progress(&self) -> &Progress {
        &self.lent.progress
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let called_back = self.lent.ledger.lock().unwrap_or_else(PoisonError::into_inner).take();
        drop(called_back);
    }
}

struct LentReader(Arc<Lent>);

impl FfiLedgerReader for LentReader {
    fn metadata(&self) -> FfiLedgerMetadata {
        FfiLedgerMetadata::from(&self.0.metadata)
    }

    fn read(&self, _context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>> {
        let FfiReadRequest { first, last, max_bytes, .. } = request;
        self.0.progress.sign();
        let lent = Arc::clone(&self.0);
        let task = self.0.host.spawn(async move { lent.read(first, last, max_bytes).await.map(to_batch) });
        runtime::join("read of the host's ledger", task)
    }

    fn progress(&self, bytes: u64) {
        self.0.progress.sign();
        let ledger = self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(ledger) = ledger {
            // A panic must not unwind into the plugin; the panic hook has reported it.
            let _ = catch_unwind(AssertUnwindSafe(|| ledger.progress(bytes)));
        }
    }
}

impl Lent {
    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, Error> {
        check_range(&self.metadata, first, last)?;
        let cancelled = || Error::new(ErrorCode::Cancelled, "the host has given up this offload");
        let _permit = self.reads.acquire().await.map_err(|_| cancelled())?;
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(cancelled)?;
        let _running = ReadRunning::enter(&self.progress);
        let entries = ledger.read(first, last, max_bytes.min(self.read_bytes_max)).await.map_err(from_host)?;
        let bytes = entries.iter().map(|entry| entry.payload.len() as u64).sum();
        self.counters.bytes_in.fetch_add(bytes, Ordering::Relaxed);
        Ok(entries.into_iter().map(|entry| Entry { entry_id: entry.entry_id, payload: entry.payload }).collect())
    }
}

struct ReadRunning<'a>(&'a Progress);

impl<'a> ReadRunning<'a> {
    fn enter(progress: &'a Progress) -> Self {
        progress.reads.fetch_add(1, Ordering::Relaxed);
        Self(progress)
    }
}

impl Drop for ReadRunning<'_> {
    fn drop(&mut self) {
        self.0.reads.fetch_sub(1, Ordering::Relaxed);
        // The answer is a sign too: the time that the host took is not the plugin's.
        self.0.sign();
    }
}

/// A ledger's metadata as a plugin stores it, with the names and values that Pulsar keeps with every ledger of a topic.
fn for_plugin(metadata: &storage::LedgerMetadata, managed_ledger: &str) -> LedgerMetadata {
    LedgerMetadata {
        ledger_id: metadata.ledger_id.0,
        entry_count: metadata.entry_count,
        length_bytes: metadata.length_bytes,
        created_ms: metadata.created_ms,
        closed: metadata.closed,
        custom: vec![
            ("application".to_owned(), b"pulsar".to_vec()),
            ("component".to_owned(), b"managed-ledger".to_vec()),
            (MANAGED_LEDGER_KEY.to_owned(), managed_ledger.as_bytes().to_vec()),
        ],
    }
}

fn from_host(error: ReadError) -> Error {
    let code = match &error {
        ReadError::Corrupt { .. } => ErrorCode::Corrupt,
        ReadError::NotFound(_) => ErrorCode::NotFound,
        ReadError::OutOfRange { .. } => ErrorCode::OutOfRange,
        _ if error.is_retryable() => ErrorCode::Unavailable,
        _ => ErrorCode::Internal,
    };
    Error::new(code, error.to_string())
}
