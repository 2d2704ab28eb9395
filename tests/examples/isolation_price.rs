//! Measures what a process of its own costs a driver: each figure in the broker's process, then in the driver's, in one run.
//!
//! ```text
//! cargo run --release -p longshore-tests --example isolation_price -- [--folder DIR] [--rounds N] [--mib N]
//! ```
//!
//! `health` and the reads of a ledger in memory (the fixture plugin) show the boundary alone: nothing else is done. The driver
//! `filesystem` without compression shows what is left of it beside real work. Each figure is the median of several rounds,
//! and the rounds of the two sides alternate, because a shared machine changes its mind. MB is 10^6 bytes of payload.
//!
//! Expectation: a call is two more wake-ups and two system calls on each side, some tens of microseconds; a byte is copied
//! into the kernel and out of it, so a mebibyte costs a few hundred microseconds, whatever the driver does beside.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use async_trait::async_trait;
use bytes::Bytes;
use clap::Parser;
use futures_util::future::join_all;
use longshore::plugin::isolation::{Isolation, IsolationSettings};
use longshore::plugin::{PluginHost, PluginSettings};
use longshore::storage::{
    DriverLookup, DriverSettings, Entry, LedgerId, LedgerMetadata, OffloadDriver, ReadError, ReadHandle, StoredLedger,
};
use longshore_tests::broker::binary;
use longshore_tests::plugins::stage;
use uuid::Uuid;

/// Calls at once in the figures that hide the wake-ups.
const AT_ONCE: usize = 64;
/// Payload of one read of the figures in MB/s, as the engine and the readers of closed ledgers ask for.
const READ_BYTES: u64 = 4 << 20;
const MIB: u64 = 1 << 20;

#[derive(Parser)]
struct Arguments {
    /// Folder on the disk to use; a new one below it is made and removed.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Rounds of each figure, of which the median is shown.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// Payload of a ledger, MiB.
    #[arg(long, default_value_t = 256)]
    mib: u64,
}

/// A closed ledger in memory, whose entries share one payload.
struct Ledger {
    metadata: LedgerMetadata,
    payload: Bytes,
}

impl Ledger {
    fn new(ledger_id: u64, bytes: u64, entry_bytes: u64) -> Arc<Self> {
        let mut random = fastrand::Rng::with_seed(ledger_id);
        let payload: Vec<u8> =
            std::iter::repeat_with(|| random.alphanumeric() as u8).take(entry_bytes as usize).collect();
        let metadata = LedgerMetadata {
            ledger_id: LedgerId(ledger_id),
            entry_count: bytes / entry_bytes,
            length_bytes: bytes,
            created_ms: 0,
            closed: true,
            managed_ledger: "public/default/persistent/price".to_owned(),
        };
        Arc::new(Self { metadata, payload: payload.into() })
    }

    fn target(&self) -> StoredLedger {
        StoredLedger {
            ledger_id: self.metadata.ledger_id,
            uid: Uuid::new_v4(),
            managed_ledger: self.metadata.managed_ledger.clone(),
            driver_metadata: BTreeMap::new(),
        }
    }
}

#[async_trait]
impl ReadHandle for Ledger {
    fn metadata(&self) -> LedgerMetadata {
        self.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let count = (max_bytes / self.payload.len() as u64).clamp(1, last - first + 1);
        Ok((first..first + count).map(|entry_id| Entry { entry_id, payload: self.payload.clone() }).collect())
    }
}

/// The same driver twice.
struct Sides {
    near: Arc<dyn OffloadDriver>,
    far: Arc<dyn OffloadDriver>,
    host: PluginHost,
    /// Making the driver, each side.
    made: [Duration; 2],
}

async fn sides(plugins: &Path, driver: &str, properties: &[(&str, String)]) -> Result<Sides> {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
    let settings = DriverSettings { properties, search_folders: Vec::new() };
    let isolation =
        IsolationSettings { everywhere: Isolation::Process, binary: binary(), ..IsolationSettings::default() };
    let near = PluginHost::load(plugins, PluginSettings::default());
    let far = PluginHost::load(plugins, PluginSettings { isolation, ..PluginSettings::default() });
    let mut made = Vec::new();
    let mut drivers = Vec::new();
    for host in [&near, &far] {
        let began = Instant::now();
        drivers.push(host.driver(driver, &settings).await?);
        made.push(began.elapsed());
    }
    let (far_driver, near_driver) = (drivers.remove(1), drivers.remove(0));
    Ok(Sides { near: near_driver, far: far_driver, host: far, made: [made[0], made[1]] })
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Microseconds for one call on each side, with rounds that alternate.
async fn calls<F: Future, G: Future>(
    rounds: usize,
    calls: u32,
    at_once: usize,
    near: impl Fn() -> F,
    far: impl Fn() -> G,
) -> [f64; 2] {
    let mut figures = [Vec::new(), Vec::new()];
    for _ in 0..rounds {
        figures[0].push(one_round(calls, at_once, &near).await);
        figures[1].push(one_round(calls, at_once, &far).await);
    }
    figures.map(median)
}

async fn one_round<F: Future>(calls: u32, at_once: usize, call: &impl Fn() -> F) -> f64 {
    let began = Instant::now();
    for _ in 0..calls {
        join_all((0..at_once).map(|_| call())).await;
    }
    began.elapsed().as_secs_f64() * 1e6 / (f64::from(calls) * at_once as f64)
}

fn print_calls(what: &str, [near, far]: [f64; 2]) {
    println!("| {what} | {near:.1} us | {far:.1} us | {:.1} | {:+.1} us |", far / near, far - near);
}

fn print_rates(what: &str, bytes: u64, [near, far]: [f64; 2]) {
    let rate = |seconds: f64| bytes as f64 / 1e6 / seconds;
    println!("| {what} | {:.0} | {:.0} | {:.2} |", rate(near), rate(far), near / far);
}

async fn boundary(arguments: &Arguments, plugins: &Path) -> Result<()> {
    let mode = [("managedLedgerOffloadExtraConfigMode", "ok".to_owned())];
    let Sides { near, far, host, made } = sides(plugins, "misbehaving", &mode).await?;
    println!("\n#### One call (a driver that does nothing, a copy in its memory)\n");
    println!("| call | in the broker | in a process | ratio | more |\n|---|---:|---:|---:|---:|");
    for at_once in [1, AT_ONCE] {
        let count = (4000 / at_once) as u32;
        let figures = calls(arguments.rounds, count, at_once, || near.health(), || far.health()).await;
        print_calls(&format!("health, {at_once} at once"), figures);
    }
    for bytes in [1 << 10, 64 << 10, MIB, READ_BYTES] {
        let ledger = Ledger::new(bytes, bytes, bytes);
        let target = ledger.target();
        near.offload(Arc::clone(&ledger) as _, target.clone()).await?;
        far.offload(Arc::clone(&ledger) as _, target.clone()).await?;
        let (near, far) = (near.open(&target).await?, far.open(&target).await?);
        for at_once in [1, 16] {
            let count = (((256 * MIB) / bytes).min(2000) as usize / at_once) as u32;
            let read = |handle: &Arc<dyn ReadHandle>| {
                let handle = Arc::clone(handle);
                async move { handle.read(0, 0, u64::MAX).await.map(|entries| entries.len()) }
            };
            let figures = calls(arguments.rounds, count, at_once, || read(&near), || read(&far)).await;
            print_calls(&format!("read {} KiB, {at_once} at once", bytes >> 10), figures);
        }
    }
    println!("\nMaking a driver: {:.1} ms in the broker, {:.1} ms with its process.", ms(made[0]), ms(made[1]));
    if let Some(pid) = host.reports().into_iter().flat_map(|row| row.processes).find_map(|process| process.pid) {
        let memory =
            std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("read the process's memory")?;
        let kib = |name: &str| {
            let line = memory.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok()).unwrap_or(f64::NAN)
        };
        let own = kib("Private_Dirty:") + kib("Private_Clean:");
        println!(
            "Its process after that: {:.1} MiB of its own, {:.1} MiB resident.",
            own / 1024.0,
            kib("Rss:") / 1024.0
        );
    }
    Ok(())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

async fn throughput(arguments: &Arguments, plugins: &Path, folder: &Path) -> Result<()> {
    let profile = folder.join("none.xml");
    let text = "<configuration><property><name>io.seqfile.compression.type</name><value>NONE</value></property></configuration>";
    std::fs::write(&profile, text)?;
    let keys = [
        ("fileSystemURI", format!("file://{}", folder.join("cold").display())),
        ("fileSystemProfilePath", profile.display().to_string()),
    ];
    let Sides { near, far, .. } = sides(plugins, "filesystem", &keys).await?;
    println!("\n#### Driver `filesystem`, NONE, a ledger of {} MiB, MB/s\n", arguments.mib);
    println!("| what | in the broker | in a process | ratio |\n|---|---:|---:|---:|");
    for entry_bytes in [1 << 10, 64 << 10] {
        let bytes = arguments.mib * MIB;
        let ledger = Ledger::new(entry_bytes, bytes, entry_bytes);
        let mut took: [[Vec<f64>; 2]; 2] = Default::default();
        for _ in 0..arguments.rounds {
            for (side, driver) in [&near, &far].into_iter().enumerate() {
                let target = ledger.target();
                let began = Instant::now();
                driver.offload(Arc::clone(&ledger) as _, target.clone()).await?;
                took[0][side].push(began.elapsed().as_secs_f64());
                let copy = driver.open(&target).await?;
                let began = Instant::now();
                read_all(&*copy).await?;
                took[1][side].push(began.elapsed().as_secs_f64());
                driver.delete(&target).await?;
            }
        }
        let [offload, read] = took.map(|sides| sides.map(median));
        print_rates(&format!("offload, entries of {} KiB", entry_bytes >> 10), bytes, offload);
        print_rates(&format!("read, 4 MiB each, entries of {} KiB", entry_bytes >> 10), bytes, read);
    }
    Ok(())
}

async fn read_all(copy: &dyn ReadHandle) -> Result<()> {
    let (mut next, count) = (0, copy.metadata().entry_count);
    while next < count {
        next += copy.read(next, count - 1, READ_BYTES).await?.len() as u64;
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let folder = tempfile::tempdir_in(&arguments.folder).context("make a folder for the measurement")?;
    let folder = folder.path().canonicalize()?;
    let plugins = folder.join("offloaders");
    std::fs::create_dir(&plugins)?;
    stage("misbehaving-plugin", &plugins, "misbehaving.so");
    stage("tiered-storage-file-system", &plugins, "filesystem.so");
    boundary(&arguments, &plugins).await?;
    throughput(&arguments, &plugins, &folder).await
}
