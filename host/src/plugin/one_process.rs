//! Host and plugin linked into one process: everything that crosses the boundary, by the product's code on both sides, without a
//! library in between. So it runs under Miri (`scripts/miri`), which knows neither `dlopen` nor memory files.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use longshore_plugin_api::export::{ExportedPlugin, root_module};
use longshore_plugin_api::note::{Identity, PANIC_UNWIND, PluginNote, json, json_len};
use longshore_plugin_api::{self as api, ConfigProblem, DriverConfig, OffloaderFactory};
use tokio::runtime::{Builder, Runtime};
use uuid::Uuid;

use super::driver::PluginDriver;
use super::isolation::Homes;
use super::loaded::LoadedPlugin;
use super::module::Module;
use super::own_metrics::OwnMetrics;
use super::settings::PluginSettings;
use crate::storage::{
    DriverError, DriverErrorKind, DriverSettings, Entry, LedgerId, LedgerMetadata, OffloadDriver, ReadError,
    ReadHandle, StoredLedger,
};

/// What the driver does instead of its work.
const DO_KEY: &str = "do";

/// Told when a call that waits for ever is dropped.
static DROPPED: Mutex<Option<Sender<()>>> = Mutex::new(None);

const IDENTITY: Identity = Identity {
    name: "shelf",
    version: "1.2.3",
    description: "",
    license: "Apache-2.0",
    homepage: "",
    drivers: &["shelf"],
    panic: PANIC_UNWIND,
    config_schema: "",
};
const JSON: [u8; json_len(&IDENTITY)] = json(&IDENTITY);

struct Exported;

impl ExportedPlugin for Exported {
    type Factory = Factory;
    const NOTE_JSON: &'static [u8] = &JSON;
}

struct Factory;

/// Keeps ledgers in memory.
struct Shelf {
    copies: Mutex<HashMap<Uuid, Copy>>,
    instead: String,
}

#[derive(Clone)]
struct Copy(api::LedgerMetadata, Vec<api::Entry>);

impl OffloaderFactory for Factory {
    type Offloader = Shelf;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        let wrong = config.get(DO_KEY).filter(|value| *value == "dance");
        wrong.map(|value| ConfigProblem::new(DO_KEY, "cannot be done").with_value(value)).into_iter().collect()
    }

    async fn create(config: DriverConfig) -> api::Result<Shelf> {
        Ok(Shelf { copies: Mutex::default(), instead: config.get(DO_KEY).unwrap_or_default().to_owned() })
    }
}

struct Witness(Sender<()>);

impl Drop for Witness {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

impl api::Offloader for Shelf {
    type ReadHandle = Copy;

    async fn offload(&self, ledger: api::LedgerReader, request: api::OffloadRequest) -> api::Result<()> {
        let last = ledger.metadata().entry_count - 1;
        let mut entries = ledger.read(0, 0, u64::MAX).await?;
        entries.extend(ledger.read(1, last, u64::MAX).await?);
        ledger.progress(ledger.metadata().length_bytes);
        self.copies.lock().unwrap().insert(request.uid, Copy(ledger.metadata().clone(), entries));
        Ok(())
    }

    async fn open_read(&self, stored: api::StoredLedger) -> api::Result<Copy> {
        let copy = self.copies.lock().unwrap().get(&stored.uid).cloned();
        let cause = std::io::Error::other("the shelf is empty");
        copy.ok_or_else(|| api::Error::new(api::ErrorCode::NotFound, "find the copy").with_source(&cause))
    }

    async fn delete(&self, stored: api::StoredLedger) -> api::Result<()> {
        self.copies.lock().unwrap().remove(&stored.uid);
        Ok(())
    }

    async fn health(&self) -> api::Result<()> {
        match self.instead.as_str() {
            "panic" => panic!("the shelf fell"),
            "wait" => {
                let _witness = DROPPED.lock().unwrap().take().map(Witness);
                std::future::pending().await
            }
            _ => Ok(()),
        }
    }
}

impl api::ReadHandle for Copy {
    fn metadata(&self) -> &api::LedgerMetadata {
        &self.0
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> api::Result<Vec<api::Entry>> {
        Ok(self.1[first as usize..=last as usize].to_vec())
    }
}

/// The ledger that goes out.
struct Hot {
    metadata: LedgerMetadata,
    payloads: Vec<Bytes>,
    progress: AtomicU64,
}

impl Hot {
    fn new() -> Arc<Self> {
        let metadata = LedgerMetadata {
            ledger_id: LedgerId(7),
            entry_count: 3,
            length_bytes: 310,
            created_ms: 5,
            closed: true,
            managed_ledger: "a/b/persistent/c".to_owned(),
        };
        let payloads = vec![Bytes::from(vec![1; 300]), Bytes::new(), Bytes::from_static(b"0123456789")];
        Arc::new(Self { metadata, payloads, progress: AtomicU64::new(0) })
    }
}

#[async_trait]
impl ReadHandle for Hot {
    fn metadata(&self) -> LedgerMetadata {
        self.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, _max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let payload = |entry_id: u64| self.payloads[entry_id as usize].clone();
        Ok((first..=last).map(|entry_id| Entry { entry_id, payload: payload(entry_id) }).collect())
    }

    fn progress(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The host's runtime: one thread, a clock, no files and no network.
fn host() -> Runtime {
    Builder::new_current_thread().enable_time().build().unwrap()
}

async fn driver(instead: &str) -> Result<PluginDriver, DriverError> {
    let settings = PluginSettings { runtime_workers: 1, ..PluginSettings::default() };
    driver_with(instead, settings).await
}

async fn driver_with(instead: &str, settings: PluginSettings) -> Result<PluginDriver, DriverError> {
    let note = PluginNote::parse(&JSON).unwrap();
    let homes = Homes { library: Some(Module::Rust(root_module::<Exported>())), processes: None };
    let own = Arc::new(OwnMetrics::new("shelf"));
    let plugin = LoadedPlugin::start(note, &[0; 32], "shelf.so".to_owned(), homes, own, Arc::new(settings));
    let properties = [(DO_KEY.to_owned(), instead.to_owned())].into();
    let settings = DriverSettings { properties, search_folders: Vec::new() };
    PluginDriver::create(Arc::new(plugin.unwrap()), "shelf", &settings).await
}

fn target() -> StoredLedger {
    StoredLedger {
        ledger_id: LedgerId(7),
        uid: Uuid::from_u128(9),
        managed_ledger: "a/b/persistent/c".to_owned(),
        driver_metadata: BTreeMap::new(),
    }
}

#[test]
fn entries_go_out_and_come_back_in_place_and_outlive_everything() {
    host().block_on(async {
        let (driver, hot) = (driver("").await.unwrap(), Hot::new());
        driver.offload(hot.clone(), target()).await.unwrap();
        assert_eq!(hot.progress.load(Ordering::Relaxed), 310);
        let copy = driver.open(&target()).await.unwrap();
        assert_eq!(copy.metadata(), hot.metadata);
        let back = copy.read(0, 2, u64::MAX).await.unwrap();
        assert_eq!(back[0].payload.as_ptr(), hot.payloads[0].as_ptr());
        let sent = hot.payloads.clone();
        driver.delete(&target()).await.unwrap();
        drop((driver, copy, hot));
        assert!(back.iter().map(|entry| &entry.payload).eq(&sent));
    });
}

#[test]
fn errors_problems_and_panics_end_as_errors() {
    host().block_on(async {
        let missing = driver("").await.unwrap().open(&target()).await.err().unwrap();
        assert_eq!(missing.kind, DriverErrorKind::NotFound);
        assert!(missing.to_string().contains("find the copy: the shelf is empty"), "{missing}");
        let invalid = driver("dance").await.err().unwrap();
        assert_eq!(invalid.kind, DriverErrorKind::InvalidConfig);
        assert!(invalid.to_string().contains("do=dance: cannot be done"), "{invalid}");
        let panicked = driver("panic").await.unwrap().health().await.err().unwrap();
        assert_eq!(panicked.kind, DriverErrorKind::Panicked);
        assert!(panicked.to_string().contains("the shelf fell"), "{panicked}");
    });
}

#[test]
fn a_call_that_is_given_up_is_dropped_inside() {
    let (sender, dropped) = channel();
    *DROPPED.lock().unwrap() = Some(sender);
    host().block_on(async {
        // Interpreted, a call takes a thousand times as long.
        let call_timeout = Duration::from_millis(if cfg!(miri) { 20_000 } else { 200 });
        let settings = PluginSettings { runtime_workers: 1, call_timeout, ..PluginSettings::default() };
        let driver = driver_with("wait", settings).await.unwrap();
        assert_eq!(driver.health().await.err().unwrap().kind, DriverErrorKind::Timeout);
    });
    dropped.recv_timeout(Duration::from_secs(10)).unwrap();
}
