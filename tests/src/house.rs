//! The storage half of a broker in a folder: hot store, metadata, managed ledgers and the offload engine, over a memory
//! driver and a clock of the test's own. A crash is [`House::crash`]: everything is dropped, the folder stays.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use bytes::Bytes;
use longshore::ledger::{FileLedgerStore, LedgerStoreSettings};
use longshore::managed_ledger::cache::CacheBudget;
use longshore::managed_ledger::factory::LedgerIds;
use longshore::managed_ledger::offload_context::ReadPriority;
use longshore::managed_ledger::rollover::RolloverLimits;
use longshore::managed_ledger::trim::{DeletionLag, Retention};
use longshore::managed_ledger::{
    ManagedLedger, ManagedLedgerSettings, ManagedLedgers, OffloadPolicy, Position, Rooms, WirePosition,
};
use longshore::metadata::MetadataStore;
use longshore::offload::{OffloadSettings, OffloadStatus, Offloads, VerifyMode};
use longshore::storage::{Clock, DriverSettings};
use tokio::sync::mpsc;

use crate::memory_driver::{MemoryDriver, MemoryDrivers};
use crate::socket::Socket;

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct TestClock(AtomicU64);

impl Default for TestClock {
    fn default() -> Self {
        Self(AtomicU64::new(1_700_000_000_000))
    }
}

impl TestClock {
    /// Lets time pass.
    pub fn advance(&self, ms: u64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// What survives a crash, and what the test holds.
pub struct Ground {
    /// The data folder.
    pub folder: tempfile::TempDir,
    /// The cold tier.
    pub driver: Arc<MemoryDriver>,
    /// The time.
    pub clock: Arc<TestClock>,
    /// Settings of the next managed ledger that is opened.
    pub settings: Mutex<ManagedLedgerSettings>,
}

/// Ledgers of ten entries, driver `memory`, no automatic offload, hot copies stay, everything is retained.
pub fn settings() -> ManagedLedgerSettings {
    ManagedLedgerSettings {
        rollover: RolloverLimits {
            entries_max: 10,
            size_bytes_max: 1 << 30,
            age_min_ms: 0,
            age_max_ms: 3_600_000,
            idle_max_ms: None,
        },
        retention: Retention { time_ms: None, size_bytes: None },
        offload: OffloadPolicy {
            driver: Some("memory".to_owned()),
            driver_settings: DriverSettings::default(),
            threshold_bytes: None,
            threshold_ms: None,
            deletion_lag: DeletionLag::Never,
            read_priority: ReadPriority::ColdFirst,
        },
        cursor_flush_interval_ms: 1000,
        cursor_ranges_max: 1000,
        cache_age_max_ms: 1000,
        idle_copy_max_ms: u64::MAX,
        copies_open_max: 32,
    }
}

impl Ground {
    /// An empty one.
    pub fn new() -> Result<Self> {
        Ok(Self {
            folder: tempfile::tempdir()?,
            driver: Arc::default(),
            clock: Arc::default(),
            settings: Mutex::new(settings()),
        })
    }

    /// Changes what the next opened managed ledger is told.
    pub fn set(&self, change: impl FnOnce(&mut ManagedLedgerSettings)) {
        change(&mut self.settings.lock().expect("no panic while locked"));
    }

    /// Builds the house on it, as a start of the broker does.
    pub async fn house(&self, metadata: Arc<dyn MetadataStore>) -> Result<House> {
        let folder: PathBuf = self.folder.path().join("ledgers");
        let (store, _) = FileLedgerStore::open(&folder, LedgerStoreSettings::default()).await?;
        let store = Arc::new(Socket::new(store));
        let drivers = Arc::new(MemoryDrivers(self.driver.clone()));
        let (closed, announcements) = mpsc::unbounded_channel();
        let managed = ManagedLedgers::new(Rooms {
            store: store.clone(),
            metadata: metadata.clone(),
            drivers: drivers.clone(),
            clock: self.clock.clone(),
            ids: LedgerIds::default(),
            cache_budget: Arc::new(CacheBudget::new(8 << 20)),
            closed,
        });
        managed.clean_up().await?;
        managed.finish_removals(&DriverSettings::default()).await?;
        let settings = OffloadSettings { attempts_max: 2, verify: VerifyMode::Full, rate_period_ms: 60_000 };
        let offloads = Offloads::new(drivers, self.clock.clone(), settings);
        Ok(House { store, metadata, managed, offloads, announcements: tokio::sync::Mutex::new(announcements) })
    }
}

/// The storage half of a running broker.
pub struct House {
    /// Hot.
    pub store: Arc<Socket>,
    /// Records.
    pub metadata: Arc<dyn MetadataStore>,
    /// All managed ledgers.
    pub managed: ManagedLedgers,
    /// The engine.
    pub offloads: Arc<Offloads>,
    /// Names of managed ledgers in which a ledger closed.
    pub announcements: tokio::sync::Mutex<mpsc::UnboundedReceiver<String>>,
}

/// The topic that tests use.
pub const TOPIC: &str = "public/default/persistent/t";

/// Entry `i` of a test: its number, then bytes that no other entry has.
pub fn payload(i: u64) -> Bytes {
    let mut bytes = format!("{i:08}|").into_bytes();
    let mut random = fastrand::Rng::with_seed(i);
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(50));
    bytes.into()
}

impl House {
    /// Opens the test's topic and carries out what a load does.
    pub async fn open(&self, ground: &Ground) -> Result<Arc<ManagedLedger>> {
        let settings = Arc::new(ground.settings.lock().expect("no panic while locked").clone());
        let ledger = self.managed.open(TOPIC, true, settings).await?;
        self.offloads.recover(&ledger).await;
        Ok(ledger)
    }

    /// Stops in order.
    pub async fn stop(self, ledger: Arc<ManagedLedger>) -> Result<()> {
        self.offloads.stop(&ledger).await;
        ledger.close().await?;
        self.pull().await
    }

    /// Ends without any order; acknowledged bytes are on disk, nothing else is promised.
    pub async fn crash(self) -> Result<()> {
        self.pull().await
    }

    async fn pull(self) -> Result<()> {
        let store = self.store.pull().ok_or_else(|| anyhow::anyhow!("the plug was pulled before"))?;
        store.close().await?;
        // Whoever still reads or writes lets go soon.
        while Arc::strong_count(&store) > 1 {
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Starts a manual offload of everything before the open ledger and waits for its end.
    pub async fn offload_all(&self, ledger: &Arc<ManagedLedger>) -> Result<OffloadStatus> {
        let last = ledger.snapshot().ledgers.by_id.keys().next_back().copied();
        let last = last.ok_or_else(|| anyhow::anyhow!("no ledgers"))?;
        let position = WirePosition { ledger_id: last.0 as i64, entry_id: 0 };
        self.offloads.start(ledger.clone(), position)?;
        loop {
            match self.offloads.status(ledger) {
                OffloadStatus::Running => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
                status => return Ok(status),
            }
        }
    }
}

/// Adds entries `range` and waits until they are durable.
pub async fn fill(ledger: &ManagedLedger, range: std::ops::Range<u64>) -> Result<Vec<Position>> {
    let answers: Vec<_> = range.map(|i| ledger.append(payload(i))).collect();
    let mut positions = Vec::new();
    for answer in answers {
        positions.push(answer.await??);
    }
    Ok(positions)
}

/// Reads everything from the first entry on.
pub async fn read_all(ledger: &ManagedLedger) -> Result<Vec<Bytes>> {
    let mut next = ledger.first();
    let mut found = Vec::new();
    loop {
        let entries = ledger.read(next, 7, 1 << 20).await?;
        let Some((last, _)) = entries.last() else { return Ok(found) };
        next = last.next();
        found.extend(entries.into_iter().map(|(_, payload)| payload));
    }
}

/// Fails unless the topic holds exactly entries `range`.
pub async fn check_all(ledger: &ManagedLedger, range: std::ops::Range<u64>) -> Result<()> {
    let want: Vec<Bytes> = range.clone().map(payload).collect();
    let found = read_all(ledger).await?;
    anyhow::ensure!(found == want, "{} entries found, {} wanted ({range:?})", found.len(), want.len());
    Ok(())
}
