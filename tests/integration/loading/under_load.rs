//! The proof under load: a thousand readers and an offload go through a plugin while its file is replaced again and again, by
//! rename and in place. No call fails, each ends on the version that it began with, every old version drains.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use longshore::plugin::status::GenerationPhase;
use longshore::plugin::{Cause, ChangeKind, PluginHost, PluginSettings};
use longshore::storage::{DriverLookup, DriverSettings, Entry, LedgerMetadata, ReadError, ReadHandle, StoredLedger};
use longshore_tests::plugins::{put, rebuilt};
use tempfile::TempDir;

use super::{MemoryLedger, read_all, settings};

const PACKAGE: &str = "example-folder";
const FILE: &str = "example-folder.so";
const DRIVER: &str = "example-folder";
const READERS: usize = 1000;
const REPLACEMENTS: usize = 10;

/// The example plugin as one of ten later versions.
fn build(n: usize) -> (String, Vec<u8>) {
    let version = format!("0.{}.{}", 2 + n / 10, n % 10);
    let bytes = rebuilt(PACKAGE, "\"version\":\"0.1.0\"", &format!("\"version\":\"{version}\""));
    (version, bytes)
}

/// A ledger that gives its entries one by one and takes its time, until it is told to hurry.
struct SlowLedger {
    ledger: Arc<MemoryLedger>,
    hurry: Arc<AtomicBool>,
}

#[async_trait]
impl ReadHandle for SlowLedger {
    fn metadata(&self) -> LedgerMetadata {
        self.ledger.metadata()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        if self.hurry.load(Ordering::Relaxed) {
            return self.ledger.read(first, last, max_bytes).await;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        self.ledger.read(first, first, max_bytes).await
    }
}

/// A host with the example plugin, and a ledger in its folder.
struct Scene {
    folder: TempDir,
    _cold: TempDir,
    host: Arc<PluginHost>,
    settings: DriverSettings,
    ledger: Arc<MemoryLedger>,
    target: StoredLedger,
}

impl Scene {
    async fn new() -> Self {
        let (folder, cold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        longshore_tests::plugins::stage(PACKAGE, folder.path(), FILE);
        // Whatever the pace of the machine, what still runs is still draining.
        let patient = PluginSettings { drain_timeout: Duration::from_secs(3600), ..PluginSettings::default() };
        let host = Arc::new(PluginHost::load(folder.path(), patient));
        let settings = settings(&[("managedLedgerOffloadExtraConfigFolder", cold.path().to_str().unwrap())]);
        let (ledger, driver) = (MemoryLedger::new(50, 100), host.driver(DRIVER, &settings).await.unwrap());
        let target = ledger.target();
        driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
        Self { folder, _cold: cold, host, settings, ledger, target }
    }

    /// Starts the readers: even ones keep the copy that they opened first, odd ones open another for each read.
    fn readers(&self, stop: &Arc<AtomicBool>, reads: &Arc<AtomicU64>) -> Vec<tokio::task::JoinHandle<()>> {
        let reader = |n: usize| {
            let (host, settings, target) = (Arc::clone(&self.host), self.settings.clone(), self.target.clone());
            let (ledger, stop, reads) = (Arc::clone(&self.ledger), Arc::clone(stop), Arc::clone(reads));
            tokio::spawn(async move {
                let mut kept: Option<Arc<dyn ReadHandle>> = None;
                for turn in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        return;
                    }
                    let handle = match kept.take() {
                        Some(handle) => handle,
                        None => host.driver(DRIVER, &settings).await.unwrap().open(&target).await.unwrap(),
                    };
                    let first = ((n + turn) % ledger.payloads.len()) as u64;
                    let entries = handle.read(first, first, 1).await.unwrap();
                    assert_eq!(entries[0].payload, ledger.payloads[first as usize]);
                    reads.fetch_add(1, Ordering::Relaxed);
                    kept = n.is_multiple_of(2).then_some(handle);
                }
            })
        };
        (0..READERS).map(reader).collect()
    }
}

/// Waits until every reader could have read once more.
async fn let_them_read(reads: &AtomicU64) {
    let goal = reads.load(Ordering::Relaxed) + READERS as u64;
    while reads.load(Ordering::Relaxed) < goal {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn ten_replacements_under_a_thousand_readers_and_an_offload_fail_no_call() {
    let scene = Scene::new().await;
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers = scene.readers(&stop, &reads);

    let hurry = Arc::new(AtomicBool::new(false));
    let slow = SlowLedger { ledger: MemoryLedger::new(100_000, 20), hurry: Arc::clone(&hurry) };
    let (slow_payloads, slow_target) = (slow.ledger.payloads.clone(), slow.ledger.target());
    let first = scene.host.driver(DRIVER, &scene.settings).await.unwrap();
    assert_eq!(first.origin().version, "0.1.0");
    let offload = tokio::spawn({
        let target = slow_target.clone();
        async move { first.offload(Arc::new(slow), target).await }
    });

    let_them_read(&reads).await;
    for n in 0..REPLACEMENTS {
        let (version, bytes) = build(n);
        put(scene.folder.path(), FILE, &bytes);
        let rescan = scene.host.rescan(Cause::Clock).await;
        let kinds: Vec<ChangeKind> = rescan.changes.iter().map(|change| change.change).collect();
        assert!(kinds.contains(&ChangeKind::Replaced), "{version}: {rescan:?}");
        assert_eq!(scene.host.origin(DRIVER).unwrap().version, version);
        let_them_read(&reads).await;
        assert!(!offload.is_finished(), "the offload goes on through all of it");
    }
    let status = scene.host.status(0, None);
    assert_eq!((status.plugins.len(), status.plugins[0].generation), (1 + REPLACEMENTS, 1 + REPLACEMENTS as u64));
    assert_eq!(status.retired.count, REPLACEMENTS);
    let of_first = status.plugins.iter().find(|plugin| plugin.generation == 1).unwrap();
    assert_eq!(of_first.phase, GenerationPhase::Draining);
    assert!(of_first.users > READERS / 2, "the copies that are kept, and the offload: {of_first:?}");

    hurry.store(true, Ordering::Relaxed);
    offload.await.unwrap().unwrap();
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    let copy = scene.host.driver(DRIVER, &scene.settings).await.unwrap().open(&slow_target).await.unwrap();
    assert_eq!(read_all(&*copy, 1 << 20).await.unwrap(), slow_payloads);
    assert_all_drained(&scene.host).await;
}

async fn assert_all_drained(host: &PluginHost) {
    for _ in 0..500 {
        let status = host.status(0, None);
        let old: Vec<_> = status.plugins.iter().filter(|plugin| plugin.phase != GenerationPhase::Serving).collect();
        if old.iter().all(|plugin| plugin.phase == GenerationPhase::Retired && plugin.users == 0) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("somebody still uses an old version: {:#?}", host.status(0, None));
}

/// As `cp` does it: the file is cut to nothing and filled again, under the same number, while what was loaded from it runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_file_that_is_written_over_in_place_hurts_nobody_who_reads() {
    let scene = Scene::new().await;
    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers = scene.readers(&stop, &reads);
    let (version, bytes) = build(12);
    let path = scene.folder.path().join(FILE);
    let mut file = OpenOptions::new().write(true).truncate(true).open(&path).unwrap();
    for piece in bytes.chunks(bytes.len() / 7 + 1) {
        scene.host.rescan(Cause::Clock).await;
        assert_eq!(scene.host.origin(DRIVER).unwrap().version, "0.1.0");
        file.write_all(piece).unwrap();
        let_them_read(&reads).await;
    }
    drop(file);
    scene.host.rescan(Cause::Clock).await;
    assert_eq!(scene.host.origin(DRIVER).unwrap().version, version);
    let_them_read(&reads).await;
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    assert_all_drained(&scene.host).await;
}
