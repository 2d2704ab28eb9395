//! Measures what the plugin boundary costs: each call through a real shared library against the same trait in process.
//!
//! ```text
//! cargo run --release -p longshore-tests --example plugin_boundary
//! ```
//!
//! Prints one line for each figure, the median of several rounds: what, nanoseconds in process, nanoseconds through the `.so`,
//! ratio. Expectation: a sync call is a jump through a pointer, 1 to 2 ns on both sides; a call that takes time is a task on
//! the plugin's runtime, so one call at a time costs two thread wake-ups (tens of microseconds), many at once share them;
//! bytes never move, so that 1 MiB costs what 1 byte costs.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::join_all;
use longshore::plugin::{PluginHost, PluginSettings};
use longshore::storage::{
    DriverError, DriverLookup, DriverOrigin, DriverSettings, Entry, LedgerId, LedgerMetadata, OffloadDriver, ReadError,
    ReadHandle, ScanPage, ScanRequest, StoredLedger,
};
use longshore_tests::plugins::stage;
use uuid::Uuid;

const ROUNDS: usize = 7;
const FILE: &str = "misbehaving.so";
const PAYLOAD_BYTES: usize = 1 << 20;
/// Calls at once in the figures that hide the wake-ups.
const AT_ONCE: usize = 64;

/// The same traits, in process: what the fixture plugin does, without a boundary.
struct InProcess(Bytes);

trait Describe {
    fn describe(&self) -> &'static str;
}

impl Describe for InProcess {
    fn describe(&self) -> &'static str {
        "{}"
    }
}

fn metadata() -> LedgerMetadata {
    LedgerMetadata {
        ledger_id: LedgerId(1),
        entry_count: 1,
        length_bytes: PAYLOAD_BYTES as u64,
        created_ms: 0,
        closed: true,
        managed_ledger: String::new(),
    }
}

#[async_trait]
impl ReadHandle for InProcess {
    fn metadata(&self) -> LedgerMetadata {
        metadata()
    }
    async fn read(&self, first: u64, _last: u64, _max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        Ok(vec![Entry { entry_id: first, payload: self.0.clone() }])
    }
}

#[async_trait]
impl OffloadDriver for InProcess {
    fn name(&self) -> &str {
        "in process"
    }
    fn origin(&self) -> DriverOrigin {
        DriverOrigin { plugin: String::new(), version: String::new(), file: String::new() }
    }
    fn driver_metadata(&self) -> BTreeMap<String, String> {
        BTreeMap::new()
    }
    async fn offload(&self, _ledger: Arc<dyn ReadHandle>, _target: StoredLedger) -> Result<(), DriverError> {
        Ok(())
    }
    async fn open(&self, _stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        Ok(Arc::new(InProcess(self.0.clone())))
    }
    async fn delete(&self, _stored: &StoredLedger) -> Result<(), DriverError> {
        Ok(())
    }
    async fn scan(&self, _request: ScanRequest) -> Result<ScanPage, DriverError> {
        Ok(ScanPage::default())
    }
    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }
    async fn shutdown(&self, _deadline: Duration) -> Result<u64, DriverError> {
        Ok(0)
    }
}

/// Nanoseconds for one call: the median of the rounds.
fn sync_ns(calls: u32, mut call: impl FnMut()) -> f64 {
    median((0..ROUNDS).map(|_| {
        let began = Instant::now();
        (0..calls).for_each(|_| call());
        began.elapsed().as_nanos() as f64 / f64::from(calls)
    }))
}

async fn async_ns<F: Future>(calls: u32, at_once: usize, mut call: impl FnMut() -> F) -> f64 {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = Instant::now();
        for _ in 0..calls {
            if at_once == 1 {
                black_box(call().await);
            } else {
                black_box(join_all((0..at_once).map(|_| call())).await);
            }
        }
        rounds.push(began.elapsed().as_nanos() as f64 / (f64::from(calls) * at_once as f64));
    }
    median(rounds.into_iter())
}

fn median(rounds: impl Iterator<Item = f64>) -> f64 {
    let mut rounds: Vec<f64> = rounds.collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn print(what: &str, in_process: f64, across: f64) {
    println!("{what:<28} {in_process:>12.1} ns {across:>12.1} ns {:>10.2}x", across / in_process);
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir().context("make a folder for the plugin")?;
    stage("misbehaving-plugin", folder.path(), FILE);
    let began = Instant::now();
    let host = PluginHost::load(folder.path(), PluginSettings::default());
    let load = began.elapsed();
    let properties = BTreeMap::from([("managedLedgerOffloadExtraConfigMode".to_owned(), "ok".to_owned())]);
    let settings = DriverSettings { properties, search_folders: Vec::new() };
    let across = host.driver("misbehaving", &settings).await?;
    let in_process: Arc<dyn OffloadDriver> = Arc::new(InProcess(Bytes::from(vec![7; PAYLOAD_BYTES])));

    println!("{:<28} {:>15} {:>15} {:>11}", "call", "in process", "through .so", "ratio");
    let library = host.library(FILE).context("the plugin was not loaded")?;
    let describe: Box<dyn Describe> = Box::new(InProcess(Bytes::new()));
    let describe = black_box(describe);
    print(
        "sync",
        sync_ns(10_000_000, || _ = black_box(describe.describe())),
        sync_ns(10_000_000, || _ = black_box(library.describe())),
    );
    for at_once in [1, AT_ONCE] {
        let calls = (20_000 / at_once) as u32;
        print(
            &format!("async ready, {at_once} at once"),
            async_ns(calls * 50, at_once, || in_process.health()).await,
            async_ns(calls, at_once, || across.health()).await,
        );
    }
    let stored = StoredLedger {
        ledger_id: LedgerId(1),
        uid: Uuid::new_v4(),
        managed_ledger: "a/b/persistent/c".to_owned(),
        driver_metadata: BTreeMap::new(),
    };
    let source = in_process.open(&stored).await?;
    across.offload(Arc::clone(&source), stored.clone()).await?;
    let (near, far) = (source, across.open(&stored).await?);
    for at_once in [1, AT_ONCE] {
        let calls = (20_000 / at_once) as u32;
        print(
            &format!("read 1 MiB, {at_once} at once"),
            async_ns(calls * 10, at_once, || near.read(0, 0, u64::MAX)).await,
            async_ns(calls, at_once, || far.read(0, 0, u64::MAX)).await,
        );
    }
    println!("scan, inspect and load one plugin: {:.1} ms", load.as_secs_f64() * 1e3);
    Ok(())
}
