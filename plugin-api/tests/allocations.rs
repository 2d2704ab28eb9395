//! Host and plugin in one process under an allocator that counts: payloads cross in both directions without being copied, and
//! what a call allocates does not grow with them.

// The counting allocator is the one thing here that the language calls unsafe.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RResult, RStr, RVec};
use async_ffi::FutureExt;
use bytes::Bytes;
use longshore_plugin_api::abi::context::CALL_MAY_ANSWER_INLINE;
use longshore_plugin_api::abi::requests::to_batch;
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiEntry, FfiError, FfiHostServices, FfiLedgerMetadata, FfiLedgerReader, FfiLogEvent,
    FfiMetric, FfiReadRequest, FfiStartOptions, HostServicesBox, LedgerReaderBox, OffloaderModuleRef, Pairs,
};
use longshore_plugin_api::export::{ExportedPlugin, root_module};
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Entry, LedgerMetadata, LedgerReader, OffloadRequest, Offloader, OffloaderFactory,
    ReadHandle, Result, StoredLedger,
};

/// The system's allocator, counting.
struct Counting;

static BYTES: AtomicUsize = AtomicUsize::new(0);
static CALLS: AtomicUsize = AtomicUsize::new(0);

// SAFETY: every method passes its arguments on to the system's allocator and answers what that answers.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        BYTES.fetch_add(layout.size(), Ordering::Relaxed);
        CALLS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those of this very method.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above; the pointer came from `alloc` of the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const PAYLOAD_BYTES: usize = 1 << 20;
const ENTRIES: u64 = 8;

/// Keeps what it is given.
struct Keeper(tokio::sync::Mutex<Option<Kept>>);

#[derive(Clone)]
struct Kept(LedgerMetadata, Arc<Vec<Entry>>);

struct Factory;

impl OffloaderFactory for Factory {
    type Offloader = Keeper;

    fn validate(_config: &DriverConfig) -> Vec<ConfigProblem> {
        Vec::new()
    }

    async fn create(_config: DriverConfig) -> Result<Keeper> {
        Ok(Keeper(tokio::sync::Mutex::new(None)))
    }
}

impl Offloader for Keeper {
    type ReadHandle = Kept;

    async fn offload(&self, ledger: LedgerReader, _request: OffloadRequest) -> Result<()> {
        let entries = ledger.read(0, ENTRIES - 1, u64::MAX).await?;
        *self.0.lock().await = Some(Kept(ledger.metadata().clone(), Arc::new(entries)));
        Ok(())
    }

    async fn open_read(&self, _stored: StoredLedger) -> Result<Kept> {
        Ok(self.0.lock().await.clone().expect("the test offloads first"))
    }

    async fn delete(&self, _stored: StoredLedger) -> Result<()> {
        Ok(())
    }
}

impl ReadHandle for Kept {
    fn metadata(&self) -> &LedgerMetadata {
        &self.0
    }

    fn answers_inline(&self, _first: u64, _last: u64, _max_bytes: u64) -> bool {
        true
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> Result<Vec<Entry>> {
        Ok(self.1[first as usize..=last as usize].to_vec())
    }
}

struct Exported;

impl ExportedPlugin for Exported {
    type Factory = Factory;
    const NOTE_JSON: &'static [u8] = b"{}";
}

struct Silent;

impl FfiHostServices for Silent {
    fn log_enabled(&self, _level: u32, _target: RStr<'_>) -> bool {
        false
    }
    fn log_generation(&self) -> u64 {
        0
    }
    fn log_event(&self, _event: FfiLogEvent<'_>) {}
    fn metric(&self, _metric: FfiMetric<'_>) -> u64 {
        0
    }
    fn metric_record(&self, _series: u64, _value: f64) {}
}

struct Lent(LedgerMetadata, Vec<Bytes>);

impl FfiLedgerReader for Lent {
    fn metadata(&self) -> FfiLedgerMetadata {
        FfiLedgerMetadata::from(&self.0)
    }

    fn read(&self, _context: FfiCallContext, request: FfiReadRequest) -> FfiCall<RVec<FfiEntry>> {
        let ids = request.first..=request.last;
        let entries = ids.map(|id| Entry { entry_id: id, payload: self.1[id as usize].clone() });
        std::future::ready(RResult::ROk(to_batch(entries.collect()))).into_ffi()
    }

    fn progress(&self, _bytes: u64) {}
}

/// Bytes and allocations of `work`, on all threads.
async fn counted<T>(work: impl Future<Output = T>) -> (T, usize, usize) {
    let before = (BYTES.load(Ordering::Relaxed), CALLS.load(Ordering::Relaxed));
    let done = work.await;
    (done, BYTES.load(Ordering::Relaxed) - before.0, CALLS.load(Ordering::Relaxed) - before.1)
}

fn answered<T>(answer: RResult<T, FfiError>) -> T {
    answer.into_result().unwrap_or_else(|error| panic!("{}", error.message))
}

fn started() -> OffloaderModuleRef {
    let module = root_module::<Exported>();
    let options = FfiStartOptions {
        runtime_workers: 1,
        reserved: 0,
        host_marker: longshore_plugin_api::runtime::library_marker(),
        thread_name: "counted".into(),
        extras: Pairs::new(),
    };
    answered(module.start()(HostServicesBox::from_value(Silent, TD_Opaque), options));
    module
}

#[tokio::test]
async fn payloads_cross_in_place_and_a_call_allocates_little() {
    let module = started();
    let context = FfiCallContext::default();
    let config =
        DriverConfig { driver: "keeper".to_owned(), properties: Default::default(), search_folders: Vec::new() };
    let offloader = answered(module.create()(context, config.into()).await);
    let payloads: Vec<Bytes> = (0..ENTRIES).map(|n| Bytes::from(vec![n as u8; PAYLOAD_BYTES])).collect();
    let metadata = LedgerMetadata {
        ledger_id: 1,
        entry_count: ENTRIES,
        length_bytes: ENTRIES * PAYLOAD_BYTES as u64,
        created_ms: 0,
        closed: true,
        custom: Vec::new(),
    };
    let uid = uuid::Uuid::nil();
    let request =
        OffloadRequest { ledger_id: 1, uid, managed_ledger: "a/b/persistent/c".to_owned(), extra: Default::default() };
    let stored = StoredLedger {
        ledger_id: 1,
        uid,
        managed_ledger: "a/b/persistent/c".to_owned(),
        driver_metadata: Default::default(),
    };
    let lent = LedgerReaderBox::from_value(Lent(metadata, payloads.clone()), TD_Opaque);
    let (offloaded, bytes, _) = counted(offloader.offload(context, lent, request.into())).await;
    answered(offloaded);
    assert!(bytes < PAYLOAD_BYTES / 16, "an offload of 8 MiB allocated {bytes} bytes");

    let handle = answered(offloader.open_read(context, stored.into()).await);
    let inline = FfiCallContext { flags: CALL_MAY_ANSWER_INLINE, ..context };
    for (context, calls_max) in [(context, 40), (inline, 5)] {
        // Once to warm up: threads and callsites allocate when they are first met.
        answered(handle.read(context, FfiReadRequest::new(0, 0, u64::MAX)).await);
        let read = handle.read(context, FfiReadRequest::new(0, ENTRIES - 1, u64::MAX));
        let (batch, bytes, _) = counted(read).await;
        let batch = answered(batch);
        assert!(bytes < PAYLOAD_BYTES / 16, "a read of 8 MiB allocated {bytes} bytes");
        for (entry, payload) in batch.into_iter().zip(&payloads) {
            assert_eq!(Bytes::from(entry.payload).as_ptr(), payload.as_ptr(), "a payload was copied");
        }
        let (one, _, calls) = counted(async { handle.read(context, FfiReadRequest::new(3, 3, u64::MAX)).await }).await;
        answered(one);
        assert!(calls <= calls_max, "a read of one entry took {calls} allocations");
    }
}
