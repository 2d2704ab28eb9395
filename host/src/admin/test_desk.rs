//! A whole admin server for tests, on a loopback port: metadata in memory, hot ledgers in a temporary folder, a driver in
//! memory that can be held. Requests go over HTTP, so that paths are decoded as in a broker.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{AdminState, BrokerFacts, BrokerHealth, HttpLimits, OffloaderReport, serve};
use crate::access::Access;
use crate::config::{Config, Source};
use crate::ledger::{FileLedgerStore, LedgerStoreSettings};
use crate::managed_ledger::cache::CacheBudget;
use crate::managed_ledger::factory::LedgerIds;
use crate::managed_ledger::{ManagedLedger, ManagedLedgerError, ManagedLedgers, Rooms};
use crate::metadata::memory::MemoryMetadataStore;
use crate::metadata::{Expect, MetadataStore};
use crate::namespace::Namespaces;
use crate::offload::{OffloadSettings, Offloads, VerifyMode};
use crate::schema::Schemas;
use crate::storage::{
    DriverError, DriverErrorKind, DriverLookup, DriverOrigin, DriverSettings, Entry, LedgerId, LedgerMetadata,
    OffloadDriver, ReadError, ReadHandle, ScanPage, ScanRequest, ScannedLedger, StoredLedger, SystemClock,
};
use crate::topic::message::tests::entry;
use crate::topic::{LedgerFactory, Missing, Topic, TopicName, TopicSettings, Topics};
use crate::trace::{self, TraceContext};

/// Bytes of each entry, as in the recorded answers.
pub(super) const ENTRY_BYTES: usize = 99;
/// The first ledger's id in the recorded answers.
const FIRST_LEDGER: &str = "5";
/// What the broker of the recorded answers was configured with.
const CONFIGURATION: &str = "managedLedgerMaxEntriesPerLedger=10\n\
    managedLedgerMinLedgerRolloverTimeMinutes=0\n\
    defaultRetentionTimeInMinutes=-1\n\
    defaultRetentionSizeInMB=-1\n\
    managedLedgerOffloadDriver=aws-s3\n\
    s3ManagedLedgerOffloadBucket=main-offload\n\
    s3ManagedLedgerOffloadServiceEndpoint=http://127.0.0.1:1\n\
    managedLedgerOffloadDeletionLagMs=86400000\n";

/// The server and what it works with.
pub(super) struct Desk {
    pub(super) state: Arc<AdminState>,
    pub(super) web_address: String,
    pub(super) driver: Arc<HeldDriver>,
    pub(super) store: Arc<FileLedgerStore>,
    agent: ureq::Agent,
    _stop: DropGuard,
    _folder: tempfile::TempDir,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: u16,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) bytes: Vec<u8>,
}

impl Got {
    /// The body as JSON, as text where it is none.
    pub(super) fn body(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_else(|_| String::from_utf8_lossy(&self.bytes).into_owned().into())
    }
}

impl Desk {
    pub(super) async fn open() -> Self {
        Self::open_as("", super::Detail::Topics, HttpLimits::default()).await
    }

    /// One that gives its clients so much.
    pub(super) async fn open_limited(http: HttpLimits) -> Self {
        Self::open_as("", super::Detail::Topics, http).await
    }

    /// With further lines of configuration.
    pub(super) async fn open_configured(more: &str) -> Self {
        Self::open_as(more, super::Detail::Topics, HttpLimits::default()).await
    }

    /// One whose metrics tell topics apart as `metrics_detail` says.
    pub(super) async fn open_with(metrics_detail: super::Detail) -> Self {
        Self::open_as("", metrics_detail, HttpLimits::default()).await
    }

    async fn open_as(more: &str, metrics_detail: super::Detail, http: HttpLimits) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("{CONFIGURATION}{more}");
        let (config, _) = Config::from_sources(&[Source::text("test", &text)]).unwrap();
        let clock = Arc::new(SystemClock);
        let metadata = Arc::new(MemoryMetadataStore::new(clock.clone()));
        metadata.put("next-ledger-id", FIRST_LEDGER.into(), Expect::Absent).await.unwrap();
        let (store, _) = FileLedgerStore::open(folder.path(), LedgerStoreSettings::default()).await.unwrap();
        let store = Arc::new(store);
        let driver = Arc::new(HeldDriver::default());
        let settings = OffloadSettings { attempts_max: 2, verify: VerifyMode::Full, rate_period_ms: 60_000 };
        let offloads = Offloads::new(Arc::new(OnlyDriver(driver.clone())), clock.clone(), settings);
        let cache_budget = Arc::new(CacheBudget::new(1 << 20));
        let managed = Arc::new(ManagedLedgers::new(Rooms {
            store: store.clone(),
            metadata: metadata.clone(),
            drivers: offloads.counted_drivers(),
            clock: clock.clone(),
            ids: LedgerIds::default(),
            cache_budget: cache_budget.clone(),
            closed: mpsc::unbounded_channel().0,
        }));
        let namespaces = Arc::new(Namespaces::open(metadata.clone(), &config).await.unwrap());
        let ledgers = Ledgers { managed: managed.clone(), namespaces: namespaces.clone(), offloads: offloads.clone() };
        let schemas = Arc::new(Schemas::new(metadata.clone()));
        let settings = TopicSettings::default();
        let topics = Topics::new(Arc::new(ledgers), namespaces.clone(), settings, clock.clone(), schemas);
        let access = Access::new(&config, namespaces.clone()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let web_address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(AdminState {
            access: Arc::new(access),
            facts: BrokerFacts {
                force_delete_namespace_allowed: true,
                force_delete_tenant_allowed: false,
                cluster: "standalone".to_owned(),
                web_address: web_address.clone(),
                service_address: "127.0.0.1:6650".to_owned(),
                web_address_tls: None,
                service_address_tls: None,
                authenticate_metrics: false,
                offloaders_directory: "./plugins".to_owned(),
                extra_offload_drivers: Vec::new(),
                metrics_detail,
                configuration: [("managedLedgerMaxEntriesPerLedger".to_owned(), "10".to_owned())].into(),
            },
            http,
            namespaces,
            topics: topics.clone(),
            managed_ledgers: managed,
            offloads,
            cache_budget,
            offloaders: Arc::new(OnlyReport),
            health: Arc::new(BrokerHealth::new(metadata, topics.clone(), &web_address)),
            clock,
        });
        let stop = CancellationToken::new();
        tokio::spawn(serve(listener, None, state.clone(), stop.clone()));
        let agent = ureq::Agent::config_builder().http_status_as_error(false).max_redirects(0).build().into();
        Self { state, web_address, driver, store, agent, _stop: stop.drop_guard(), _folder: folder }
    }

    /// Sends a request; `body` as the bytes that they are.
    pub(super) async fn send(&self, method: &str, path: &str, body: Option<Vec<u8>>) -> Got {
        self.send_with(method, path, &[], body).await
    }

    /// Sends a request with further headers.
    pub(super) async fn send_with(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Got {
        let (agent, url) = (self.agent.clone(), format!("http://{}{path}", self.web_address));
        let request = ureq::http::Request::builder().method(method).uri(url);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        tokio::task::spawn_blocking(move || {
            let sent = match body {
                Some(body) => agent.run(request.header("content-type", "application/json").body(body).unwrap()),
                None => agent.run(request.body(()).unwrap()),
            };
            let mut answer = sent.unwrap();
            let headers = answer.headers().iter();
            let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
            Got { status: answer.status().as_u16(), headers, bytes: answer.body_mut().read_to_vec().unwrap() }
        })
        .await
        .unwrap()
    }

    /// A request under `/admin/v2`.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<Value>) -> Got {
        self.send(method, &format!("/admin/v2{path}"), body.map(|body| body.to_string().into_bytes())).await
    }

    /// A request that must be answered with 2xx; its body.
    pub(super) async fn ok(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let got = self.call(method, path, body).await;
        assert!((200..300).contains(&got.status), "{method} {path}: {} {}", got.status, got.body());
        got.body()
    }

    /// The topic, loaded, made if it is missing.
    pub(super) async fn topic(&self, name: &str) -> Arc<Topic> {
        let name: TopicName = name.parse().unwrap();
        self.state.topics.load(&name, Missing::Create).await.unwrap()
    }

    /// Adds entries of 99 bytes to a topic, made if it is missing, and waits until their ledgers are closed.
    pub(super) async fn fill(&self, name: &str, count: u64) {
        let topic = self.topic(name).await;
        let empty = entry(b"", |_| ()).len();
        for i in 0..count {
            let payload = vec![b'a' + (i % 26) as u8; ENTRY_BYTES - empty];
            topic.ledger().append(entry(&payload, |_| ())).await.unwrap().unwrap();
        }
        self.until("the full ledger closed", || async { topic.ledger().snapshot().open_entry_count < 10 }).await;
    }

    /// Waits until `done`.
    pub(super) async fn until<F: Future<Output = bool>>(&self, what: &str, mut done: impl FnMut() -> F) {
        for _ in 0..1000 {
            if done().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("not within 5 s: {what}");
    }

    /// Waits for the end of a topic's manual offload; its status.
    pub(super) async fn offloaded(&self, path: &str) -> Value {
        let status = format!("{path}/offload");
        self.until("the offload ended", || async { self.ok("GET", &status, None).await["status"] != "RUNNING" }).await;
        self.ok("GET", &status, None).await
    }
}

/// What the broker's own factory does.
struct Ledgers {
    managed: Arc<ManagedLedgers>,
    namespaces: Arc<Namespaces>,
    offloads: Arc<Offloads>,
}

#[async_trait]
impl LedgerFactory for Ledgers {
    async fn open(&self, name: &str, create: bool) -> Result<Arc<ManagedLedger>, ManagedLedgerError> {
        let topic = TopicName::from_managed_ledger(name).unwrap();
        let settings = match self.namespaces.settings(&topic).await {
            Ok(settings) => settings,
            Err(_) => return Err(ManagedLedgerError::NotFound(name.to_owned())),
        };
        self.managed.open(name, create, settings).await
    }

    async fn close(&self, ledger: &Arc<ManagedLedger>) -> Result<(), ManagedLedgerError> {
        self.offloads.stop(ledger).await;
        ledger.close().await
    }

    async fn exists(&self, name: &str) -> Result<bool, ManagedLedgerError> {
        self.managed.exists(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), ManagedLedgerError> {
        self.managed.delete(name, &DriverSettings::default()).await?;
        self.namespaces.forget_topic(&TopicName::from_managed_ledger(name).unwrap()).await.unwrap();
        Ok(())
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>, ManagedLedgerError> {
        self.managed.names(prefix).await
    }
}

struct OnlyReport;

#[async_trait]
impl OffloaderReport for OnlyReport {
    fn metrics(&self) -> Vec<super::MetricFamily> {
        Vec::new()
    }

    fn report(&self) -> Value {
        json!([{ "file": "held.so", "state": "loaded", "drivers": ["aws-s3"] }])
    }

    fn status(&self) -> Value {
        json!({ "files": self.report() })
    }

    async fn rescan(&self) -> Value {
        json!({ "files_seen": 1, "changes": [] })
    }

    fn origin(&self, driver: &str) -> Option<DriverOrigin> {
        driver.eq_ignore_ascii_case("aws-s3").then(origin)
    }
}

fn origin() -> DriverOrigin {
    DriverOrigin { plugin: "held".to_owned(), version: "1.2.3".to_owned(), file: "held.so".to_owned() }
}

/// A driver that copies to memory, while its gate is open.
pub(super) struct HeldDriver {
    copies: Mutex<BTreeMap<LedgerId, (LedgerMetadata, Vec<Entry>)>>,
    /// The traces that its offloads belonged to.
    pub(super) traces: Mutex<Vec<Option<TraceContext>>>,
    pub(super) gate: Semaphore,
}

impl Default for HeldDriver {
    fn default() -> Self {
        Self { copies: Mutex::default(), traces: Mutex::default(), gate: Semaphore::new(1) }
    }
}

impl HeldDriver {
    pub(super) fn copy_count(&self) -> usize {
        self.copies.lock().unwrap().len()
    }
}

struct OnlyDriver(Arc<HeldDriver>);

#[async_trait]
impl DriverLookup for OnlyDriver {
    async fn driver(&self, _name: &str, _settings: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        Ok(self.0.clone())
    }
}

#[async_trait]
impl OffloadDriver for HeldDriver {
    fn name(&self) -> &str {
        "aws-s3"
    }

    fn origin(&self) -> DriverOrigin {
        origin()
    }

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }

    async fn offload(&self, ledger: Arc<dyn ReadHandle>, target: StoredLedger) -> Result<(), DriverError> {
        let _open = self.gate.acquire().await.unwrap();
        self.traces.lock().unwrap().push(trace::current());
        let metadata = ledger.metadata();
        let entries = ledger.read(0, metadata.entry_count - 1, u64::MAX).await.unwrap();
        self.copies.lock().unwrap().insert(target.ledger_id, (metadata, entries));
        Ok(())
    }

    async fn open(&self, stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        let copies = self.copies.lock().unwrap();
        let (metadata, entries) = copies.get(&stored.ledger_id).cloned().ok_or_else(|| DriverError {
            kind: DriverErrorKind::NotFound,
            driver: "aws-s3".to_owned(),
            plugin: "held 1.2.3".to_owned(),
            code: None,
            message: "there is no such copy".to_owned(),
            retryable: false,
        })?;
        Ok(Arc::new(Held { metadata, entries }))
    }

    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError> {
        self.copies.lock().unwrap().remove(&stored.ledger_id);
        Ok(())
    }

    async fn scan(&self, _request: ScanRequest) -> Result<ScanPage, DriverError> {
        let copies = self.copies.lock().unwrap();
        let ledgers = copies.iter().map(|(ledger_id, (metadata, _))| ScannedLedger {
            ledger_id: *ledger_id,
            uid: uuid::Uuid::nil(),
            managed_ledger: None,
            size_bytes: metadata.length_bytes,
        });
        Ok(ScanPage { ledgers: ledgers.collect(), next: None })
    }

    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn shutdown(&self, _deadline: Duration) -> Result<u64, DriverError> {
        Ok(0)
    }
}

struct Held {
    metadata: LedgerMetadata,
    entries: Vec<Entry>,
}

#[async_trait]
impl ReadHandle for Held {
    fn metadata(&self) -> LedgerMetadata {
        self.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        Ok(self.entries[first as usize..=last as usize].to_vec())
    }
}

/// A message id.
pub(super) fn message_id(ledger_id: i64, entry_id: i64) -> Value {
    json!({ "ledgerId": ledger_id, "entryId": entry_id, "partitionIndex": -1 })
}

/// An entry with properties.
pub(super) fn entry_with_property(payload: &[u8], key: &str, value: &str) -> Bytes {
    entry(payload, |metadata| {
        let pair = crate::topic::message::tests::Pair { key: key.to_owned(), value: value.to_owned() };
        metadata.properties.push(pair);
    })
}
