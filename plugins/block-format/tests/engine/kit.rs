//! What the tests share: a store that misbehaves, an engine over it, and ledgers.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use block_format::keys::CopyKeys;
use block_format::layout::WriteOptions;
use block_format::store::memory::MemoryStore;
use block_format::store::{
    BlobStore, Body, Fetched, ListPage, ListRequest, ObjectAttributes, ObjectHead, OpenMultipart, PartTag,
    RequestOptions, StoreLimits, UploadId,
};
use block_format::{CopyEngine, CopyHandle, EngineOptions, IndexForm, ReadOptions, UploadOptions, Verify};
use bytes::Bytes;
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerReader, OffloadRequest, ReadHandle, Result, StoredLedger};
use uuid::Uuid;

pub(crate) const MANAGED_LEDGER: &str = "public/default/persistent/orders";
pub(crate) const LEDGER_ID: u64 = 7;
pub(crate) const FORMS: [IndexForm; 3] = [IndexForm::Sparse, IndexForm::Dense, IndexForm::Checked];

/// A request that arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub(crate) name: &'static str,
    pub(crate) key: String,
    /// Of its body or its answer.
    pub(crate) bytes: u64,
}

/// What the store does wrong.
#[derive(Clone, Debug, Default)]
pub(crate) enum Fault {
    #[default]
    None,
    /// The request of this number is answered with this error; whether it takes effect all the same.
    Fail { at: usize, code: Option<ErrorCode>, applied: bool },
    /// Each request from this number on.
    FailFrom { at: usize, code: ErrorCode },
    /// The request of this number is never answered; whether it takes effect all the same.
    Hang { at: usize, applied: bool },
    /// The request of this number takes effect, and the process is gone before the answer: no later request arrives.
    Crash { at: usize },
    /// Asks for fewer requests where there are more than this at once.
    Crowded { at_once: usize },
    /// Every n-th request is answered with this error.
    Every { nth: usize, code: ErrorCode },
    /// The answer to the `get` of this number has a flipped bit, or lacks its last byte.
    Torn { at: usize, flipped: bool },
    /// Bodies lose a bit on their way into the store.
    DamageWrites,
    /// User metadata is not kept.
    LoseUserMetadata,
}

/// A bucket in memory that misbehaves.
pub(crate) struct FaultyStore {
    pub(crate) inner: MemoryStore,
    fault: Mutex<Fault>,
    calls: Mutex<Vec<Call>>,
    latency: Mutex<Duration>,
    now: AtomicUsize,
    /// Requests that came when there were too many.
    pub(crate) refused: AtomicUsize,
    parts_now: AtomicUsize,
    parts_answered: AtomicUsize,
    pub(crate) parts_at_once: AtomicUsize,
}

impl FaultyStore {
    pub(crate) fn new() -> Arc<Self> {
        Self::with_limits(StoreLimits {
            part_bytes_min: 1,
            part_bytes_max: 1 << 30,
            parts_max: 10_000,
            verifies_crc32c: true,
        })
    }

    pub(crate) fn with_limits(limits: StoreLimits) -> Arc<Self> {
        Arc::new(Self {
            inner: MemoryStore::with_limits("tier", limits),
            fault: Mutex::default(),
            calls: Mutex::default(),
            latency: Mutex::default(),
            now: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            parts_now: AtomicUsize::new(0),
            parts_answered: AtomicUsize::new(0),
            parts_at_once: AtomicUsize::new(0),
        })
    }

    /// From now on, do this wrong; requests are counted from here, beginning with 0.
    pub(crate) fn misbehave(&self, fault: Fault) {
        self.calls.lock().unwrap().clear();
        *self.fault.lock().unwrap() = fault;
    }

    pub(crate) fn delay(&self, latency: Duration) {
        *self.latency.lock().unwrap() = latency;
    }

    /// Requests since the last [`misbehave`](Self::misbehave).
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(crate) fn gets(&self) -> Vec<Call> {
        self.calls().into_iter().filter(|call| call.name == "get").collect()
    }

    /// Parts that are under way.
    pub(crate) fn parts_now(&self) -> usize {
        self.parts_now.load(Ordering::SeqCst)
    }

    /// Parts that nobody waited for any more.
    pub(crate) fn cut_off(&self) -> usize {
        let sent = self.calls().iter().filter(|call| call.name == "part").count();
        sent - self.parts_now() - self.parts_answered.load(Ordering::SeqCst)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.inner.keys().is_empty() && self.inner.open_uploads() == 0
    }

    /// Counts a request and does what is to be done wrong before it, or instead of it.
    async fn request<T>(
        &self,
        name: &'static str,
        key: &str,
        bytes: u64,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        let number = {
            let mut calls = self.calls.lock().unwrap();
            calls.push(Call { name, key: key.to_owned(), bytes });
            calls.len() - 1
        };
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        let _leaves = Leaves(&self.now);
        if matches!(*self.fault.lock().unwrap(), Fault::Crowded { at_once } if now > at_once) {
            self.refused.fetch_add(1, Ordering::SeqCst);
            return Err(Error::new(ErrorCode::RateLimited, "slow down"));
        }
        let latency = *self.latency.lock().unwrap();
        if latency > Duration::ZERO {
            tokio::time::sleep(latency).await;
        }
        let fault = self.fault.lock().unwrap().clone();
        let error =
            |code: ErrorCode| Err(Error::new(code, format!("{name} of {key} in bucket tier, request r-{number}")));
        match fault {
            Fault::Fail { at, code, applied } if at == number => {
                if applied {
                    // Nobody hears of its answer.
                    let _ = work.await;
                }
                error(code.unwrap_or(ErrorCode::Unavailable))
            }
            Fault::FailFrom { at, code } if number >= at => error(code),
            Fault::Every { nth, code } if number % nth == nth - 1 => error(code),
            Fault::Hang { at, applied } if at == number => {
                if applied {
                    let _ = work.await;
                }
                std::future::pending().await
            }
            Fault::Crash { at } if number >= at => {
                if number == at {
                    let _ = work.await;
                }
                std::future::pending().await
            }
            _ => work.await,
        }
    }

    fn damaged(&self, body: Body) -> Body {
        match (&*self.fault.lock().unwrap(), body.len()) {
            (Fault::DamageWrites, 1..) => {
                let mut bytes = body.to_bytes().to_vec();
                bytes[body.len() / 2] ^= 4;
                bytes.into()
            }
            _ => body,
        }
    }

    fn kept(&self, attributes: &ObjectAttributes) -> ObjectAttributes {
        match &*self.fault.lock().unwrap() {
            Fault::LoseUserMetadata => ObjectAttributes::default(),
            _ => attributes.clone(),
        }
    }
}

#[async_trait]
impl BlobStore for FaultyStore {
    fn limits(&self) -> StoreLimits {
        self.inner.limits()
    }

    async fn put(&self, key: &str, body: Body, attributes: &ObjectAttributes) -> Result<()> {
        let (len, attributes) = (body.len() as u64, self.kept(attributes));
        self.request("put", key, len, self.inner.put(key, self.damaged(body), &attributes)).await
    }

    async fn begin_multipart(&self, key: &str, attributes: &ObjectAttributes) -> Result<UploadId> {
        let attributes = self.kept(attributes);
        self.request("begin", key, 0, self.inner.begin_multipart(key, &attributes)).await
    }

    async fn put_part(&self, key: &str, upload: &UploadId, number: u32, body: Body, crc32c: u32) -> Result<PartTag> {
        let now = self.parts_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.parts_at_once.fetch_max(now, Ordering::SeqCst);
        let _leaves = Leaves(&self.parts_now);
        let len = body.len() as u64;
        let body = self.damaged(body);
        // A store that damages what it stores does not notice.
        let crc32c = if matches!(*self.fault.lock().unwrap(), Fault::DamageWrites) {
            crc32c::crc32c(&body.to_bytes())
        } else {
            crc32c
        };
        let answer = self.request("part", key, len, self.inner.put_part(key, upload, number, body, crc32c)).await;
        self.parts_answered.fetch_add(1, Ordering::SeqCst);
        answer
    }

    async fn complete_multipart(&self, key: &str, upload: &UploadId, parts: &[PartTag]) -> Result<()> {
        self.request("complete", key, 0, self.inner.complete_multipart(key, upload, parts)).await
    }

    async fn abort_multipart(&self, key: &str, upload: &UploadId) -> Result<()> {
        self.request("abort", key, 0, self.inner.abort_multipart(key, upload)).await
    }

    async fn list_multiparts(&self, prefix: &str) -> Result<Vec<OpenMultipart>> {
        self.request("list uploads", prefix, 0, self.inner.list_multiparts(prefix)).await
    }

    async fn get(&self, key: &str, range: Range<u64>) -> Result<Fetched> {
        let number = self.calls.lock().unwrap().len();
        let there = self.inner.object(key).map_or(0, |object| object.bytes.len() as u64);
        let bytes = range.end.min(there).saturating_sub(range.start);
        let mut fetched = self.request("get", key, bytes, self.inner.get(key, range)).await?;
        if let Fault::Torn { at, flipped } = *self.fault.lock().unwrap()
            && at == number
            && !fetched.bytes.is_empty()
        {
            let mut bytes = fetched.bytes.to_vec();
            if flipped {
                bytes[0] ^= 1
            } else {
                bytes.truncate(bytes.len() - 1)
            }
            fetched.bytes = bytes.into();
        }
        Ok(fetched)
    }

    async fn head(&self, key: &str) -> Result<ObjectHead> {
        self.request("head", key, 0, self.inner.head(key)).await
    }

    async fn delete(&self, key: &str) -> Result<()> {
        self.request("delete", key, 0, self.inner.delete(key)).await
    }

    async fn list(&self, request: &ListRequest) -> Result<ListPage> {
        self.request("list", &request.prefix, 0, self.inner.list(request)).await
    }
}

struct Leaves<'a>(&'a AtomicUsize);

impl Drop for Leaves<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Small sizes everywhere, so that small ledgers have many of everything.
pub(crate) fn options(index: IndexForm) -> EngineOptions {
    EngineOptions {
        requests: RequestOptions {
            attempts_max: 1,
            throttled_attempts_max: 1,
            first_pause: Duration::from_millis(1),
            pause_max: Duration::from_millis(2),
            ..RequestOptions::default()
        },
        upload: UploadOptions {
            write: WriteOptions { block_bytes_max: 20_000, granule_bytes: 2_000, index },
            part_bytes: Some(3_000),
            parts_in_flight_max: 3,
            batch_bytes: 2_000,
            verify: Verify::WhereNeeded,
            settle_time: Duration::from_millis(100),
        },
        read: ReadOptions { extents_bytes_max: 1 << 20, indexes_bytes_max: 1 << 20, ..ReadOptions::default() },
    }
}

/// The same, but that passing faults are tried again.
pub(crate) fn patient(index: IndexForm) -> EngineOptions {
    let mut options = options(index);
    options.requests.attempts_max = 4;
    options.requests.throttled_attempts_max = 4;
    options
}

pub(crate) fn engine(store: &Arc<FaultyStore>, options: EngineOptions) -> CopyEngine {
    CopyEngine::new(store.clone(), options).unwrap()
}

pub(crate) fn uid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

pub(crate) fn request(uid: Uuid) -> OffloadRequest {
    let extra = BTreeMap::from([("pulsarclustername".to_owned(), "standalone".to_owned())]);
    OffloadRequest { ledger_id: LEDGER_ID, uid, managed_ledger: MANAGED_LEDGER.to_owned(), extra }
}

pub(crate) fn stored(uid: Uuid) -> StoredLedger {
    StoredLedger {
        ledger_id: LEDGER_ID,
        uid,
        managed_ledger: MANAGED_LEDGER.to_owned(),
        driver_metadata: BTreeMap::new(),
    }
}

pub(crate) fn keys(uid: Uuid) -> CopyKeys {
    CopyKeys::new(LEDGER_ID, uid)
}

pub(crate) fn random_payloads(random: &mut fastrand::Rng, count: usize, longest: usize) -> Vec<Bytes> {
    let payload = |random: &mut fastrand::Rng| {
        let len = random.usize(0..=longest);
        std::iter::repeat_with(|| random.u8(..)).take(len).collect::<Vec<u8>>().into()
    };
    (0..count).map(|_| payload(random)).collect()
}

/// 40 entries of up to 900 bytes: several parts, granules, one or two blocks.
pub(crate) fn small_ledger() -> Vec<Bytes> {
    random_payloads(&mut fastrand::Rng::with_seed(3), 40, 900)
}

pub(crate) fn reader(payloads: &[Bytes]) -> LedgerReader {
    LedgerReader::in_memory(LEDGER_ID, payloads.to_vec())
}

pub(crate) async fn read_all(handle: &CopyHandle, max_bytes: u64) -> Result<Vec<Bytes>> {
    let count = handle.metadata().entry_count;
    let mut payloads = Vec::new();
    while (payloads.len() as u64) < count {
        let entries = handle.read(payloads.len() as u64, count - 1, max_bytes).await?;
        assert!(!entries.is_empty());
        for Entry { entry_id, payload } in entries {
            assert_eq!(entry_id, payloads.len() as u64);
            payloads.push(payload);
        }
    }
    Ok(payloads)
}
