//! Which form of durability is quickest for how many topics, and what the metadata and a start cost.
//!
//! Each row appends the same bytes through one form: `files` flushes each ledger's file, `journal` lets the shared journal speak
//! for all, `mixed` is the product's choice per group. `raw` is one file, written and flushed in groups of what is in
//! flight: the most that the disk gives to anybody. Expectation: with few topics `files` wins by not writing twice, with many
//! it loses by one flush each, and `mixed` is never far from the better one.
//!
//! `cargo run --release -p longshore --example hot_store_forms -- [--folder DIR] [--quick]`

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bytes::Bytes;
use clap::Parser;
use futures_util::stream::{FuturesOrdered, StreamExt};
use longshore::ledger::{FileLedgerStore, LedgerStoreSettings};
use longshore::metadata::store::RedbMetadataStore;
use longshore::metadata::{Expect, MetadataStore};
use longshore::storage::{LedgerId, LedgerStore, SystemClock};

#[derive(Parser)]
struct Arguments {
    /// Folder on the disk to measure; a new one below it is made and removed.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// A tenth of the bytes.
    #[arg(long)]
    quick: bool,
    /// Measure only the forms' rows whose text contains this.
    #[arg(long)]
    only: Option<String>,
}

/// One load: how many topics append entries of which size, and how many each has in flight.
#[derive(Clone, Copy)]
struct Load {
    topics: u64,
    entry_bytes: usize,
    in_flight: usize,
    total_entries: u64,
}

struct Outcome {
    elapsed: Duration,
    flushes: u64,
    groups: u64,
    written_bytes: u64,
    p50: Duration,
    p99: Duration,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    raise_file_limit();
    let folder = arguments.folder.join(format!("hot-store-forms-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let measured = runtime.block_on(measure(&arguments, &folder));
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    measured
}

fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if setrlimit(Resource::Nofile, limit).is_err() {
        eprintln!("the limit of open files stays as it is");
    }
}

async fn measure(arguments: &Arguments, folder: &Path) -> Result<()> {
    println!("| load | form | entries/s | MB/s | p50 ms | p99 ms | flushes | groups | written x | of raw |");
    println!("|---|---|---|---|---|---|---|---|---|---|");
    for load in loads(arguments.quick) {
        if arguments.only.as_ref().is_some_and(|only| !load.title().contains(only.as_str())) {
            continue;
        }
        let raw = raw(load, folder)?;
        print_row(load, "raw", &raw, &raw);
        for (name, settings) in forms() {
            let outcome = append(load, settings, &folder.join("store")).await?;
            print_row(load, name, &outcome, &raw);
        }
    }
    if arguments.only.is_none() {
        start_with_many_ledgers(&folder.join("many")).await?;
        metadata(&folder.join("metadata")).await?;
    }
    Ok(())
}

fn forms() -> [(&'static str, LedgerStoreSettings); 4] {
    let usual = LedgerStoreSettings::default();
    let files = LedgerStoreSettings { direct_bytes_min: 0, direct_ledgers_max: usize::MAX, ..usual };
    let journal = LedgerStoreSettings { direct_bytes_min: u64::MAX, ..usual };
    let unsynced = LedgerStoreSettings { sync: false, ..usual };
    [("files", files), ("journal", journal), ("mixed", usual), ("sync off", unsynced)]
}

fn loads(quick: bool) -> Vec<Load> {
    let small = |topics, in_flight, total_entries| Load { topics, entry_bytes: 1 << 10, in_flight, total_entries };
    let large = |topics, in_flight, total_entries| Load { topics, entry_bytes: 64 << 10, in_flight, total_entries };
    let mut loads = vec![
        small(1, 1, 4_000),
        small(2, 1, 8_000),
        small(4, 1, 16_000),
        small(8, 1, 24_000),
        small(1, 1000, 300_000),
        small(4, 250, 300_000),
        small(16, 64, 300_000),
        small(100, 1, 100_000),
        small(100, 10, 300_000),
        small(1000, 1, 300_000),
        small(1000, 10, 300_000),
        large(1, 32, 6_000),
        large(4, 8, 6_000),
        large(100, 1, 6_000),
        large(1000, 1, 6_000),
    ];
    if quick {
        loads.iter_mut().for_each(|load| load.total_entries = (load.total_entries / 10).max(load.topics));
    }
    loads
}

impl Load {
    fn title(&self) -> String {
        format!("{} x {} KiB, {} in flight each", self.topics, self.entry_bytes >> 10, self.in_flight)
    }

    fn per_topic(&self) -> u64 {
        self.total_entries / self.topics
    }

    fn total_bytes(&self) -> u64 {
        self.per_topic() * self.topics * self.entry_bytes as u64
    }
}

fn print_row(load: Load, form: &str, outcome: &Outcome, raw: &Outcome) {
    let seconds = outcome.elapsed.as_secs_f64();
    println!(
        "| {} | {form} | {:.0} | {:.1} | {:.2} | {:.2} | {} | {} | {:.2} | {:.2} |",
        load.title(),
        (load.per_topic() * load.topics) as f64 / seconds,
        load.total_bytes() as f64 / 1e6 / seconds,
        outcome.p50.as_secs_f64() * 1e3,
        outcome.p99.as_secs_f64() * 1e3,
        outcome.flushes,
        outcome.groups,
        outcome.written_bytes as f64 / load.total_bytes() as f64,
        raw.elapsed.as_secs_f64() / seconds,
    );
}

/// One file, one flush for what is in flight.
fn raw(load: Load, folder: &Path) -> Result<Outcome> {
    let path = folder.join("raw");
    let mut file = File::create(&path)?;
    let entries_per_group = load.topics * load.in_flight as u64;
    let group = vec![0x5a; (entries_per_group as usize * load.entry_bytes).min(2 << 20)];
    let mut took = Vec::new();
    let (start, mut left) = (Instant::now(), load.total_bytes());
    while left > 0 {
        let began = Instant::now();
        let bytes = left.min(group.len() as u64);
        file.write_all(&group[..bytes as usize])?;
        file.sync_data()?;
        left -= bytes;
        took.push(began.elapsed());
    }
    let elapsed = start.elapsed();
    fs::remove_file(path)?;
    let groups = took.len() as u64;
    let (p50, p99) = quantiles(&mut took);
    Ok(Outcome { elapsed, flushes: groups, groups, written_bytes: load.total_bytes(), p50, p99 })
}

async fn append(load: Load, settings: LedgerStoreSettings, folder: &Path) -> Result<Outcome> {
    let (store, _) = FileLedgerStore::open(folder, settings).await?;
    let store = Arc::new(store);
    for topic in 0..load.topics {
        store.create(LedgerId(topic), "public/default/persistent/bench", 0).await?;
    }
    let before = store.counters();
    let start = Instant::now();
    let tasks = (0..load.topics).map(|topic| tokio::spawn(append_topic(store.clone(), LedgerId(topic), load)));
    let tasks: Vec<_> = tasks.collect();
    let mut took = Vec::new();
    for task in tasks {
        took.extend(task.await??);
    }
    let elapsed = start.elapsed();
    let after = store.counters();
    store.close().await?;
    drop(store);
    fs::remove_dir_all(folder)?;
    let (p50, p99) = quantiles(&mut took);
    Ok(Outcome {
        elapsed,
        flushes: after.flushes - before.flushes,
        groups: after.groups - before.groups,
        written_bytes: after.written_bytes - before.written_bytes,
        p50,
        p99,
    })
}

async fn append_topic(store: Arc<FileLedgerStore>, id: LedgerId, load: Load) -> Result<Vec<Duration>> {
    let payload = Bytes::from(vec![0x5a; load.entry_bytes]);
    let mut took = Vec::with_capacity(load.per_topic() as usize);
    let mut waiting = FuturesOrdered::new();
    for entry in 0..load.per_topic() {
        if waiting.len() == load.in_flight {
            took.extend(waiting.next().await.transpose()?);
        }
        let (began, answer) = (Instant::now(), store.append(id, entry, payload.clone()));
        waiting.push_back(async move {
            answer.await??;
            anyhow::Ok(began.elapsed())
        });
    }
    while let Some(answered) = waiting.next().await {
        took.push(answered?);
    }
    Ok(took)
}

fn quantiles(took: &mut [Duration]) -> (Duration, Duration) {
    took.sort_unstable();
    let at = |share: f64| took.get((took.len() as f64 * share) as usize).copied().unwrap_or_default();
    (at(0.5), at(0.99))
}

/// A start reads names only, so the files may be empty.
async fn start_with_many_ledgers(folder: &Path) -> Result<()> {
    const LEDGERS: u64 = 100_000;
    for id in 0..LEDGERS {
        let bucket = folder.join((id / 4096).to_string());
        if id.is_multiple_of(4096) {
            fs::create_dir_all(&bucket)?;
        }
        File::create(bucket.join(format!("{id}.ledger")))?;
    }
    let start = Instant::now();
    let (store, report) = FileLedgerStore::open(folder, LedgerStoreSettings::default()).await?;
    println!("\nstart with {} sealed ledgers: {:.0} ms", report.sealed_count, start.elapsed().as_secs_f64() * 1e3);
    store.close().await?;
    Ok(())
}

async fn metadata(folder: &Path) -> Result<()> {
    let file = folder.join("records.redb");
    let clock = Arc::new(SystemClock);
    let store = Arc::new(RedbMetadataStore::open(&file, clock.clone())?);
    put_all(&store, 100_000, 400).await?;
    let start = Instant::now();
    put_all(&store, 1000, 100).await?;
    println!("1,000 records written at once: {:.1} ms", start.elapsed().as_secs_f64() * 1e3);
    let start = Instant::now();
    for _ in 0..200 {
        put_all(&store, 1, 100).await?;
    }
    println!("one record written: {:.2} ms", start.elapsed().as_secs_f64() * 1e3 / 200.0);
    drop(store);
    let start = Instant::now();
    let store = RedbMetadataStore::open(&file, clock)?;
    println!("start with 100,000 records of 400 bytes: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    drop(store);
    Ok(())
}

async fn put_all(store: &Arc<RedbMetadataStore>, count: u32, bytes: usize) -> Result<()> {
    let puts = (0..count).map(|record| {
        let store = store.clone();
        tokio::spawn(async move { store.put(&format!("cursors/{record:06}"), vec![7; bytes], Expect::Anything).await })
    });
    for put in puts.collect::<Vec<_>>() {
        put.await??;
    }
    Ok(())
}
