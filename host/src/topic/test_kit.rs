//! For tests of topics and of the protocol: topics over real files, a store that fails or hangs when told to, a clock that
//! is set by hand, and a client that records what it is sent.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::client::{Client, ClientInfo, ConsumerAddress, Delivery, Receipt};
use super::consumer::{ConsumerRequest, KeySharing, SubscriptionKind};
use super::message::tests::{Metadata, entry};
use super::producer::{AccessMode, ProducerHandle, ProducerRequest, Publish, PublishError};
use super::{
    AutoCreate, LedgerFactory, Missing, OpenRules, StartAt, SubscribeRequest, Topic, TopicName, TopicSettings, Topics,
};
use crate::ledger::{FileLedgerStore, LedgerStoreSettings};
use crate::managed_ledger::cache::CacheBudget;
use crate::managed_ledger::factory::LedgerIds;
use crate::managed_ledger::rollover::RolloverLimits;
use crate::managed_ledger::trim::Retention;
use crate::managed_ledger::{
    ManagedLedger, ManagedLedgerError, ManagedLedgerSettings, ManagedLedgers, OffloadPolicy, Position, Rooms,
};
use crate::metadata::memory::MemoryMetadataStore;
use crate::schema::Schemas;
use crate::storage::{
    Clock, DriverError, DriverErrorKind, DriverLookup, DriverSettings, Entry, LedgerId, LedgerMetadata, LedgerStore,
    LedgerSummary, OffloadDriver, ReadError, ReadHandle, StoreError,
};

/// Longest that a test waits for something to happen.
const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl Fn() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    assert!(waited.await.is_ok(), "waited in vain: {what}");
}

/// Gives whatever should not happen time to happen.
pub(crate) async fn moment() {
    tokio::time::sleep(Duration::from_millis(60)).await;
}

/// A clock that is set by hand.
pub(crate) struct HandClock(AtomicU64);

impl HandClock {
    pub(crate) fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, SeqCst);
    }
}

impl Clock for HandClock {
    fn now_ms(&self) -> u64 {
        self.0.load(SeqCst)
    }
}

/// What a store does wrong.
#[derive(Default)]
pub(crate) struct Faults {
    pub(crate) fail_appends: AtomicBool,
    pub(crate) hold_appends: AtomicBool,
    pub(crate) fail_reads: AtomicBool,
    pub(crate) hang_reads: AtomicBool,
    pub(crate) reads: AtomicUsize,
    held: Mutex<Vec<HeldAppend>>,
}

type HeldAppend = (LedgerId, u64, Bytes, oneshot::Sender<Result<(), StoreError>>);

struct FaultyStore {
    files: FileLedgerStore,
    faults: Arc<Faults>,
}

#[async_trait]
impl LedgerStore for FaultyStore {
    async fn create(&self, ledger_id: LedgerId, managed_ledger: &str, created_ms: u64) -> Result<(), StoreError> {
        self.files.create(ledger_id, managed_ledger, created_ms).await
    }

    fn append(&self, ledger_id: LedgerId, entry_id: u64, payload: Bytes) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, answer) = oneshot::channel();
        if self.faults.fail_appends.load(SeqCst) {
            let _ = done.send(Err(StoreError::WriteFailed("the test's disk is broken".to_owned())));
            return answer;
        }
        let mut held = self.faults.held.lock().expect("no test panics here");
        if self.faults.hold_appends.load(SeqCst) {
            held.push((ledger_id, entry_id, payload, done));
            return answer;
        }
        for (ledger_id, entry_id, payload, done) in held.drain(..) {
            let written = self.files.append(ledger_id, entry_id, payload);
            tokio::spawn(async move { done.send(written.await.expect("the store runs")) });
        }
        drop(held);
        self.files.append(ledger_id, entry_id, payload)
    }

    async fn seal(&self, ledger_id: LedgerId) -> Result<LedgerSummary, StoreError> {
        self.files.seal(ledger_id).await
    }

    async fn open(&self, ledger_id: LedgerId) -> Result<Arc<dyn ReadHandle>, ReadError> {
        let inner = self.files.open(ledger_id).await?;
        Ok(Arc::new(FaultyHandle { inner, faults: self.faults.clone() }))
    }

    async fn delete(&self, ledger_id: LedgerId) -> Result<(), StoreError> {
        self.files.delete(ledger_id).await
    }

    fn ledgers(&self) -> Vec<LedgerId> {
        self.files.ledgers()
    }
}

struct FaultyHandle {
    inner: Arc<dyn ReadHandle>,
    faults: Arc<Faults>,
}

#[async_trait]
impl ReadHandle for FaultyHandle {
    fn metadata(&self) -> LedgerMetadata {
        self.inner.metadata()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        self.faults.reads.fetch_add(1, SeqCst);
        if self.faults.hang_reads.load(SeqCst) {
            std::future::pending::<()>().await;
        }
        if self.faults.fail_reads.load(SeqCst) {
            return Err(ReadError::Unavailable("the test's store does not answer".to_owned()));
        }
        self.inner.read(first, last, max_bytes).await
    }
}

struct NoDrivers;

#[async_trait]
impl DriverLookup for NoDrivers {
    async fn driver(&self, name: &str, _: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        Err(DriverError {
            kind: DriverErrorKind::Unclaimed,
            driver: name.to_owned(),
            plugin: String::new(),
            code: None,
            message: "no drivers in this test".to_owned(),
            retryable: false,
        })
    }
}

struct Factory(ManagedLedgers);

fn ledger_settings() -> Arc<ManagedLedgerSettings> {
    Arc::new(ManagedLedgerSettings {
        rollover: RolloverLimits {
            entries_max: 10,
            size_bytes_max: 1 << 30,
            age_min_ms: 0,
            age_max_ms: u64::MAX,
            idle_max_ms: None,
        },
        // Nothing is trimmed, so that tests can seek back.
        retention: Retention { time_ms: None, size_bytes: None },
        offload: OffloadPolicy::default(),
        cursor_flush_interval_ms: 1000,
        cursor_ranges_max: 10_000,
        cache_age_max_ms: 1000,
        idle_copy_max_ms: u64::MAX,
        copies_open_max: 32,
    })
}

#[async_trait]
impl LedgerFactory for Factory {
    async fn open(&self, name: &str, create: bool) -> Result<Arc<ManagedLedger>, ManagedLedgerError> {
        self.0.open(name, create, ledger_settings()).await
    }

    async fn close(&self, ledger: &Arc<ManagedLedger>) -> Result<(), ManagedLedgerError> {
        ledger.close().await
    }

    async fn exists(&self, name: &str) -> Result<bool, ManagedLedgerError> {
        self.0.exists(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), ManagedLedgerError> {
        self.0.delete(name, &DriverSettings::default()).await
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>, ManagedLedgerError> {
        self.0.names(prefix).await
    }
}

/// Topics over a folder that goes away.
pub(crate) struct Kit {
    pub(crate) topics: Arc<Topics>,
    pub(crate) rules: Arc<OpenRules>,
    pub(crate) faults: Arc<Faults>,
    pub(crate) clock: Arc<HandClock>,
    _folder: TempDir,
}

/// Topics with ledgers of ten entries, and no cache, so that every read meets the store.
pub(crate) async fn kit(settings: TopicSettings) -> Kit {
    kit_with(settings, AutoCreate::Plain).await
}

pub(crate) async fn kit_with(settings: TopicSettings, auto_create: AutoCreate) -> Kit {
    let folder = TempDir::new().expect("a temporary folder");
    let clock = Arc::new(HandClock(AtomicU64::new(1_000_000)));
    let faults = Arc::new(Faults::default());
    let rooms = rooms(folder.path(), clock.clone(), faults.clone()).await;
    let rules = Arc::new(OpenRules::new(auto_create));
    let schemas = Arc::new(Schemas::new(rooms.metadata.clone()));
    let factory = Arc::new(Factory(ManagedLedgers::new(rooms)));
    let topics = Topics::new(factory, rules.clone(), settings, clock.clone(), schemas);
    Kit { topics, rules, faults, clock, _folder: folder }
}

async fn rooms(folder: &Path, clock: Arc<HandClock>, faults: Arc<Faults>) -> Rooms {
    let settings = LedgerStoreSettings { sync: false, ..LedgerStoreSettings::default() };
    let (files, _) = FileLedgerStore::open(folder, settings).await.expect("an empty folder");
    Rooms {
        store: Arc::new(FaultyStore { files, faults }),
        metadata: Arc::new(MemoryMetadataStore::new(clock.clone())),
        drivers: Arc::new(NoDrivers),
        clock,
        ids: LedgerIds::default(),
        cache_budget: Arc::new(CacheBudget::new(0)),
        closed: mpsc::unbounded_channel().0,
    }
}

impl Kit {
    pub(crate) async fn topic(&self, name: &str) -> Arc<Topic> {
        self.topics.load(&topic_name(name), Missing::Ask).await.expect("the topic is made")
    }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    name.parse().expect("a valid name")
}

/// What a client was sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sent {
    Message(u64, Delivery),
    Receipt(u64, u64, Position),
    Refused(u64, u64, PublishError),
    CloseProducer(u64),
    CloseConsumer(u64),
    Active(u64, bool),
    End(u64),
}

/// A client that records what it is sent.
pub(crate) struct Recorder {
    info: ClientInfo,
    pub(crate) room: AtomicUsize,
    pub(crate) alive: AtomicBool,
    sent: Mutex<Vec<Sent>>,
    waiting: Mutex<Vec<Arc<Notify>>>,
    permits: Arc<Semaphore>,
}

impl Recorder {
    pub(crate) fn new(connection_id: u64) -> Arc<Self> {
        Arc::new(Self {
            info: ClientInfo { connection_id, address: format!("/test:{connection_id}"), version: "test".to_owned() },
            room: AtomicUsize::new(usize::MAX >> 1),
            alive: AtomicBool::new(true),
            sent: Mutex::default(),
            waiting: Mutex::default(),
            permits: Arc::new(Semaphore::new(Semaphore::MAX_PERMITS)),
        })
    }

    pub(crate) fn sent(&self) -> Vec<Sent> {
        self.sent.lock().expect("no test panics here").clone()
    }

    pub(crate) fn forget(&self) {
        self.sent.lock().expect("no test panics here").clear();
    }

    pub(crate) fn make_room(&self, bytes: usize) {
        self.room.store(bytes, SeqCst);
        self.waiting.lock().expect("no test panics here").drain(..).for_each(|wake| wake.notify_one());
    }

    fn note(&self, sent: Sent) {
        self.sent.lock().expect("no test panics here").push(sent);
    }

    /// Deliveries to a consumer, in order.
    pub(crate) fn deliveries(&self, consumer_id: u64) -> Vec<Delivery> {
        let to_consumer = |sent| match sent {
            Sent::Message(id, delivery) if id == consumer_id => Some(delivery),
            _ => None,
        };
        self.sent().into_iter().filter_map(to_consumer).collect()
    }

    /// Payloads delivered to a consumer, as text.
    pub(crate) fn texts(&self, consumer_id: u64) -> Vec<String> {
        self.deliveries(consumer_id).iter().map(|delivery| text(&delivery.payload)).collect()
    }

    pub(crate) async fn expect(&self, consumer_id: u64, count: usize) -> Vec<Delivery> {
        until(&format!("{count} deliveries"), || self.deliveries(consumer_id).len() >= count).await;
        moment().await;
        let deliveries = self.deliveries(consumer_id);
        assert_eq!(deliveries.len(), count, "deliveries to consumer {consumer_id}");
        deliveries
    }

    pub(crate) fn receipts(&self) -> Vec<Position> {
        let receipt = |sent| match sent {
            Sent::Receipt(_, _, position) => Some(position),
            _ => None,
        };
        self.sent().into_iter().filter_map(receipt).collect()
    }
}

impl Client for Recorder {
    fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn room_bytes(&self) -> usize {
        self.room.load(SeqCst)
    }

    fn wake_when_room(&self, _: u64, wake: &Arc<Notify>) -> bool {
        let mut waiting = self.waiting.lock().expect("no test panics here");
        if self.room.load(SeqCst) > 0 {
            return false;
        }
        waiting.push(wake.clone());
        true
    }

    fn deliver(&self, to: ConsumerAddress, batch: &[Delivery]) {
        for delivery in batch {
            let bytes = delivery.payload.len();
            let _ = self.room.fetch_update(SeqCst, SeqCst, |room| Some(room.saturating_sub(bytes)));
            self.note(Sent::Message(to.consumer_id, delivery.clone()));
        }
    }

    fn receipts(&self, producer_id: u64, batch: &[Receipt]) {
        batch.iter().for_each(|r| self.note(Sent::Receipt(producer_id, r.sequence_id, r.position)));
    }

    fn refuse(&self, producer_id: u64, sequence_id: u64, error: &PublishError) {
        self.note(Sent::Refused(producer_id, sequence_id, error.clone()));
    }

    fn close_producer(&self, producer_id: u64) {
        self.note(Sent::CloseProducer(producer_id));
    }

    fn close_consumer(&self, consumer_id: u64) {
        self.note(Sent::CloseConsumer(consumer_id));
    }

    fn active_changed(&self, consumer_id: u64, is_active: bool) {
        self.note(Sent::Active(consumer_id, is_active));
    }

    fn end_of_topic(&self, consumer_id: u64) {
        self.note(Sent::End(consumer_id));
    }

    fn probe(&self) -> BoxFuture<'static, bool> {
        let alive = self.alive.load(SeqCst);
        Box::pin(async move { alive })
    }
}

/// The payload of an entry made by [`publish`].
pub(crate) fn text(entry: &Bytes) -> String {
    let layout = super::message::Layout::of(entry).expect("a test's entry");
    String::from_utf8(entry[layout.payload_from..].to_vec()).expect("a test's payload")
}

pub(crate) fn producer_request(client: &Arc<Recorder>, producer_id: u64, name: Option<&str>) -> ProducerRequest {
    ProducerRequest {
        producer_id,
        name: name.map(str::to_owned),
        epoch: 0,
        access: AccessMode::Shared,
        topic_epoch: None,
        metadata: Default::default(),
        supports_partial: false,
        schema_version: None,
        initial_subscription: None,
        pending_max: 1000,
        client: client.clone(),
    }
}

pub(crate) fn subscribe_request(
    client: &Arc<Recorder>,
    consumer_id: u64,
    subscription: &str,
    kind: SubscriptionKind,
) -> SubscribeRequest {
    SubscribeRequest {
        subscription: subscription.to_owned(),
        durable: true,
        start: StartAt::Earliest,
        start_entry: None,
        properties: Default::default(),
        read_compacted: false,
        consumer: ConsumerRequest {
            consumer_id,
            name: format!("c{consumer_id}"),
            kind,
            priority: 0,
            metadata: Default::default(),
            key_sharing: KeySharing::default(),
            epoch: None,
            client: client.clone(),
        },
    }
}

/// Sends one entry with `text` as payload.
pub(crate) async fn publish(
    producer: &ProducerHandle,
    client: &Recorder,
    sequence_id: u64,
    text: &str,
    change: impl FnOnce(&mut Metadata),
) {
    let permit = || client.permits.clone().try_acquire_owned().expect("there are more permits than entries");
    let publish = Publish {
        sequence_id,
        highest_sequence_id: 0,
        messages: 1,
        is_chunk: false,
        entry: entry(text.as_bytes(), change),
        permits: [permit(), permit()],
    };
    producer.publish(publish).await;
}

/// Stores entries with the payloads `0`, `1`, ... and awaits their receipts.
pub(crate) async fn fill(topic: &Arc<Topic>, count: u64) -> Vec<Position> {
    fill_with(topic, count, |_, _| {}).await
}

pub(crate) async fn fill_with(
    topic: &Arc<Topic>,
    count: u64,
    mut change: impl FnMut(u64, &mut Metadata),
) -> Vec<Position> {
    let client = Recorder::new(u64::MAX);
    let producer = topic.add_producer(producer_request(&client, 1, None)).await.expect("a producer");
    for n in 0..count {
        publish(&producer, &client, n, &n.to_string(), |metadata| change(n, metadata)).await;
    }
    producer.close().await;
    let receipts = client.receipts();
    assert_eq!(receipts.len() as u64, count);
    receipts
}
