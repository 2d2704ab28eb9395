//! What is measured, one function for each table.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use longshore_plugin_api::{Offloader, ReadHandle};
use tiered_storage_jcloud::ObjectStoreOffloader;

use crate::Target;
use crate::ledger::{Ledger, Pool};
use crate::process::{Peak, cpu_seconds};
use crate::raw::Raw;

/// What a broker asks for at once while it reads a topic back.
const READ_BYTES: u64 = 4 << 20;
/// Ledgers at once, and the payload of each.
const LEDGERS: u64 = 16;
const SMALL_BYTES: u64 = 64 << 20;
/// The payload of the ledger that many read.
const SHARED_BYTES: u64 = 256 << 20;
/// Random entries of a run.
const RANDOM_READS: usize = 200;
/// The spacing of a dense index: what a random entry's one request fetches, about.
const GRANULE_BYTES: u64 = 64 << 10;

/// What to measure.
pub(crate) struct Plan {
    pub(crate) ledger_bytes: u64,
    pub(crate) runs: usize,
    pub(crate) only: String,
}

struct Bench<'a> {
    target: &'a Target,
    plan: &'a Plan,
    pool: Pool,
    raw: Raw,
}

/// Prints all tables.
pub(crate) async fn measure(target: &Target, plan: &Plan) -> Result<()> {
    let pool = Pool::new();
    let raw = Raw::new(target, &pool)?;
    let bench = Bench { target, plan, raw, pool };
    bench.one_ledger().await?;
    bench.many_ledgers().await?;
    bench.many_readers().await?;
    bench.random_entries().await
}

/// The size that the engine's rule gives: about a thirty-second of the ledger, within bounds.
fn part_bytes(ledger_bytes: u64) -> u64 {
    (ledger_bytes / 32).clamp(8 << 20, 32 << 20)
}

impl Bench<'_> {
    fn wants(&self, row: &str) -> bool {
        row.contains(&self.plan.only)
    }

    async fn one_ledger(&self) -> Result<()> {
        let title = format!("A ledger of {} MiB", self.plan.ledger_bytes >> 20);
        let columns = [
            "raw PUT MB/s",
            "offload MB/s",
            "of raw",
            "CPU s/GB",
            "memory MiB",
            "PUTs/GiB",
            "raw GET MB/s",
            "read MB/s",
            "of raw",
            "CPU s/GB",
            "GETs/GiB",
        ];
        let rows: Vec<(String, u64)> = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")]
            .map(|(bytes, name)| (format!("entries of {name}"), bytes))
            .into_iter()
            .filter(|(name, _)| self.wants(name))
            .collect();
        let mut table = Table::new(&title, "", &columns, rows.is_empty());
        for (name, entry_bytes) in rows {
            let ledger = Ledger::new(&self.pool, 1, self.plan.ledger_bytes, entry_bytes);
            // Once more than asked for: the first run touches memory that the others use again.
            for run in 0..=self.plan.runs {
                let figures = self.out_and_back(&ledger).await?;
                if run > 0 {
                    table.add(figures);
                }
            }
            table.row(&name);
        }
        Ok(())
    }

    async fn out_and_back(&self, ledger: &Ledger) -> Result<Vec<f64>> {
        let (bytes, gib) = (ledger.bytes(), ledger.bytes() as f64 / f64::from(1 << 30));
        let raw_write = self.raw.write("raw", bytes, part_bytes(bytes)).await?;
        let driver = self.target.driver(&[]).await?;
        let (peak, cpu, before) = (Peak::begin(), cpu_seconds(), self.target.counters().await?);
        let write = timed(driver.offload(ledger.reader(), ledger.request())).await?;
        let (write_cpu, after) = (cpu_seconds() - cpu, self.target.counters().await?);
        let memory = peak.end();
        let raw_read = self.raw.read("raw", bytes).await?;
        // Nothing in the caches.
        let driver = self.target.driver(&[]).await?;
        let cpu = cpu_seconds();
        let read = timed(read_all(&driver, ledger)).await?;
        let (read_cpu, end) = (cpu_seconds() - cpu, self.target.counters().await?);
        driver.delete(ledger.stored()).await?;
        self.raw.delete("raw").await?;
        let (puts, gets) = match (before, after, end) {
            (Some(before), Some(after), Some(end)) => (after.puts - before.puts, end.gets - after.gets),
            _ => (0, 0),
        };
        // The raw client's reading lies between.
        let raw_gets = bytes.div_ceil(16 << 20);
        let gb = bytes as f64 / 1e9;
        Ok(vec![
            rate(bytes, raw_write),
            rate(bytes, write),
            ratio(raw_write, write),
            write_cpu / gb,
            memory,
            puts as f64 / gib,
            rate(bytes, raw_read),
            rate(bytes, read),
            ratio(raw_read, read),
            read_cpu / gb,
            gets.saturating_sub(raw_gets) as f64 / gib,
        ])
    }

    async fn many_ledgers(&self) -> Result<()> {
        let columns = ["raw MB/s", "offload MB/s", "of raw", "slowest / fastest"];
        let title = format!("{LEDGERS} ledgers of {} MiB at once, entries of 64 KiB", SMALL_BYTES >> 20);
        let wanted = self.wants("ledgers at once");
        let mut table = Table::new(&title, "", &columns, !wanted);
        let ledgers: Vec<Ledger> =
            (0..LEDGERS).map(|at| Ledger::new(&self.pool, 100 + at, SMALL_BYTES, 64 << 10)).collect();
        let total = LEDGERS * SMALL_BYTES;
        for run in 0..=if wanted { self.plan.runs } else { return Ok(()) } {
            let keys: Vec<String> = (0..LEDGERS).map(|at| format!("raw-{at}")).collect();
            let started = Instant::now();
            try_join_all(keys.iter().map(|key| self.raw.write(key, SMALL_BYTES, part_bytes(SMALL_BYTES)))).await?;
            let raw = started.elapsed();
            let driver = self.target.driver(&[]).await?;
            let started = Instant::now();
            let each = ledgers.iter().map(|ledger| timed(driver.offload(ledger.reader(), ledger.request())));
            let each = try_join_all(each).await?;
            let ours = started.elapsed();
            let slowest = each.iter().max().copied().unwrap_or_default();
            let fastest = each.iter().min().copied().unwrap_or_default();
            if run > 0 {
                table.add(vec![rate(total, raw), rate(total, ours), ratio(raw, ours), ratio(slowest, fastest)]);
            }
            for (ledger, key) in ledgers.iter().zip(&keys) {
                driver.delete(ledger.stored()).await?;
                self.raw.delete(key).await?;
            }
        }
        table.row("together");
        Ok(())
    }

    async fn many_readers(&self) -> Result<()> {
        let columns = ["MB/s of all", "of one reader", "bytes fetched / ledger"];
        let title = format!("Readers of one ledger of {} MiB, entries of 64 KiB", SHARED_BYTES >> 20);
        if !self.wants("readers") {
            return Ok(());
        }
        let ledger = Ledger::new(&self.pool, 2, SHARED_BYTES, 64 << 10);
        let mut table = Table::new(&title, "readers", &columns, false);
        self.target.driver(&[]).await?.offload(ledger.reader(), ledger.request()).await?;
        let mut alone = f64::NAN;
        for readers in [1, 2, 8, 64] {
            for _ in 0..self.plan.runs {
                let driver = self.target.driver(&[]).await?;
                let before = self.target.counters().await?;
                let took = timed(try_join_all((0..readers).map(|_| read_all(&driver, &ledger)))).await?;
                let fetched = match (before, self.target.counters().await?) {
                    (Some(before), Some(after)) => (after.bytes_out - before.bytes_out) as f64,
                    _ => f64::NAN,
                };
                let all = rate(ledger.bytes() * readers, took);
                table.add(vec![all, all / alone, fetched / ledger.bytes() as f64]);
            }
            let medians = table.row(&readers.to_string());
            if readers == 1 {
                alone = medians[0];
            }
        }
        Ok(self.target.driver(&[]).await?.delete(ledger.stored()).await?)
    }

    async fn random_entries(&self) -> Result<()> {
        let columns = ["raw p50 us", "entry p50 us", "difference us", "GETs", "KiB fetched"];
        let mut table = Table::new("A random entry, its index at hand", "", &columns, !self.wants("random"));
        for (name, entry_bytes) in [("random, 1 KiB", 1 << 10), ("random, 64 KiB", 64 << 10)] {
            if !self.wants(name) {
                continue;
            }
            let ledger = Ledger::new(&self.pool, 3, SHARED_BYTES, entry_bytes);
            let driver = self.target.driver(&[]).await?;
            driver.offload(ledger.reader(), ledger.request()).await?;
            for _ in 0..self.plan.runs {
                table.add(self.random_run(&ledger).await?);
            }
            driver.delete(ledger.stored()).await?;
            table.row(name);
        }
        Ok(())
    }

    async fn random_run(&self, ledger: &Ledger) -> Result<Vec<f64>> {
        let driver = self.target.driver(&[("managedLedgerOffloadExtraConfigReadCacheSizeInBytes", "4194304")]).await?;
        let handle = driver.open_read(ledger.stored()).await?;
        let mut random = fastrand::Rng::with_seed(7);
        let (mut raws, mut ours, mut fetched) = (Vec::new(), Vec::new(), (0, 0));
        for _ in 0..RANDOM_READS {
            let entry = random.u64(0..ledger.entries);
            let first = (entry * ledger.entry_bytes).min(ledger.bytes() - 2 * GRANULE_BYTES);
            raws.push(self.raw.read_range(&ledger.data_key(), first, GRANULE_BYTES.max(ledger.entry_bytes)).await?);
            let before = self.target.counters().await?.unwrap_or_default();
            ours.push(timed(handle.read(entry, entry, ledger.entry_bytes)).await?);
            let after = self.target.counters().await?.unwrap_or_default();
            fetched = (fetched.0 + after.gets - before.gets, fetched.1 + after.bytes_out - before.bytes_out);
        }
        let micros = |times: Vec<Duration>| median(times.iter().map(|time| time.as_secs_f64() * 1e6).collect());
        let (raw, own, reads) = (micros(raws), micros(ours), RANDOM_READS as f64);
        Ok(vec![raw, own, own - raw, fetched.0 as f64 / reads, fetched.1 as f64 / 1024.0 / reads])
    }
}

async fn read_all(driver: &ObjectStoreOffloader, ledger: &Ledger) -> longshore_plugin_api::Result<()> {
    let handle = driver.open_read(ledger.stored()).await?;
    let mut next = 0;
    while next < ledger.entries {
        next += handle.read(next, ledger.entries - 1, READ_BYTES).await?.len() as u64;
    }
    Ok(())
}

async fn timed<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<Duration, E> {
    let started = Instant::now();
    work.await.map(|_| started.elapsed())
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}

/// The middle one; of two middle ones the larger.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Rows in Markdown: of each column the median of the runs since the last row.
struct Table {
    runs: Vec<Vec<f64>>,
}

impl Table {
    fn new(title: &str, first: &str, columns: &[&str], empty: bool) -> Self {
        if !empty {
            println!("\n{title}\n\n| {first} | {} |\n|---{}|", columns.join(" | "), "|---:".repeat(columns.len()));
        }
        Self { runs: Vec::new() }
    }

    fn add(&mut self, run: Vec<f64>) {
        self.runs.push(run);
    }

    fn row(&mut self, name: &str) -> Vec<f64> {
        let runs = std::mem::take(&mut self.runs);
        let columns = runs.first().map_or(0, Vec::len);
        let medians: Vec<f64> = (0..columns).map(|at| median(runs.iter().map(|run| run[at]).collect())).collect();
        let digits = |figure: &f64| if figure.abs() < 20.0 { format!("{figure:.2}") } else { format!("{figure:.0}") };
        println!("| {name} | {} |", medians.iter().map(digits).collect::<Vec<_>>().join(" | "));
        medians
    }
}
