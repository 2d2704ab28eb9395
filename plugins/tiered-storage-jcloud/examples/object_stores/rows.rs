//! What is measured, one function for each table.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use longshore_plugin_api::{Offloader, ReadHandle, StoredLedger};

use crate::Target;
use crate::ledger::{Ledger, Pool};
use crate::process::{Peak, cpu_seconds, timed};
use crate::raw::{Checksum, Raw};
use crate::table::{self, Runs, median};

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

/// What it took to move bytes.
#[derive(Clone, Copy, Debug)]
struct Cost {
    /// MB/s.
    rate: f64,
    /// Processor seconds of this process for each GB.
    cpu: f64,
    /// Requests for each GiB.
    puts: f64,
    gets: f64,
}

impl Cost {
    fn row(raw: Self, summing: Self, ours: Self, requests: f64) -> Vec<f64> {
        let (of_raw, of_summing, of_cpu) = (ours.rate / raw.rate, ours.rate / summing.rate, ours.cpu / summing.cpu);
        vec![raw.rate, summing.rate, ours.rate, of_raw, of_summing, raw.cpu, summing.cpu, ours.cpu, of_cpu, requests]
    }
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
        let mib = self.plan.ledger_bytes >> 20;
        let rows: Vec<(String, u64)> = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")]
            .map(|(bytes, name)| (format!("entries of {name}"), bytes))
            .into_iter()
            .filter(|(name, _)| self.wants(name))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        let (mut out, mut back) = (Vec::new(), Vec::new());
        for (name, entry_bytes) in &rows {
            let ledger = Ledger::new(&self.pool, 1, self.plan.ledger_bytes, *entry_bytes);
            let (mut outs, mut backs) = (Runs::default(), Runs::default());
            // The first run touches memory that the others use again, and is the one whose memory is watched.
            let (out_memory, back_memory) = self.watched(&ledger).await?;
            for _ in 0..self.plan.runs {
                let (out, back) = self.out_and_back(&ledger).await?;
                outs.add([&out[..], &[out_memory]].concat());
                backs.add([&back[..], &[back_memory]].concat());
            }
            out.push((name, outs));
            back.push((name, backs));
        }
        for (title, per_gib, rows) in [("Offload", "PUTs/GiB", out), ("Read back", "GETs/GiB", back)] {
            let columns =
                ["raw MB/s", "raw with CRC", "driver", "of raw", "of raw with CRC", "raw CPU s/GB", "with CRC"];
            let columns: Vec<&str> =
                columns.into_iter().chain(["driver", "of raw with CRC", per_gib, "memory MiB"]).collect();
            table::head(&format!("{title} of a ledger of {mib} MiB"), "", &columns);
            for (name, runs) in rows {
                table::row(name, runs);
            }
        }
        Ok(())
    }

    /// How much memory an offload and a sequential read take at most, in MiB.
    async fn watched(&self, ledger: &Ledger) -> Result<(f64, f64)> {
        let driver = self.target.driver(&[]).await?;
        let peak = Peak::begin();
        driver.offload(ledger.reader(), ledger.request()).await?;
        let out = peak.end();
        let driver = self.target.driver(&[]).await?;
        let peak = Peak::begin();
        ledger.read_back(&driver).await?;
        let back = peak.end();
        driver.delete(ledger.stored()).await?;
        Ok((out, back))
    }

    async fn out_and_back(&self, ledger: &Ledger) -> Result<(Vec<f64>, Vec<f64>)> {
        let bytes = ledger.bytes();
        let raw = self.costs(bytes, self.raw.write("raw", bytes, part_bytes(bytes), Checksum::None)).await?;
        let summing = self.costs(bytes, self.raw.write("raw", bytes, part_bytes(bytes), Checksum::Crc32c)).await?;
        let driver = self.target.driver(&[]).await?;
        let ours = self.costs(bytes, timed(driver.offload(ledger.reader(), ledger.request()))).await?;
        let out = Cost::row(raw, summing, ours, ours.puts);
        let raw = self.costs(bytes, self.raw.read("raw", bytes, Checksum::None)).await?;
        let summing = self.costs(bytes, self.raw.read("raw", bytes, Checksum::Crc32c)).await?;
        // Nothing in the caches.
        let driver = self.target.driver(&[]).await?;
        let ours = self.costs(bytes, timed(ledger.read_back(&driver))).await?;
        driver.delete(ledger.stored()).await?;
        self.raw.delete("raw").await?;
        Ok((out, Cost::row(raw, summing, ours, ours.gets)))
    }

    /// What moving so many bytes costs.
    async fn costs<E>(&self, bytes: u64, work: impl Future<Output = Result<Duration, E>>) -> Result<Cost>
    where
        anyhow::Error: From<E>,
    {
        let (before, cpu) = (self.target.counters().await?.unwrap_or_default(), cpu_seconds());
        let took = work.await?;
        let cpu = (cpu_seconds() - cpu) / (bytes as f64 / 1e9);
        let after = self.target.counters().await?.unwrap_or_default();
        let per_gib = |count: u64| count as f64 / (bytes as f64 / f64::from(1 << 30));
        let (puts, gets) = (per_gib(after.puts - before.puts), per_gib(after.gets - before.gets));
        Ok(Cost { rate: rate(bytes, took), cpu, puts, gets })
    }

    async fn many_ledgers(&self) -> Result<()> {
        if !self.wants("ledgers at once") {
            return Ok(());
        }
        let columns = ["raw MB/s", "with CRC", "offload MB/s", "of raw", "of raw with CRC", "slowest / fastest"];
        let title = format!("{LEDGERS} ledgers of {} MiB at once, entries of 64 KiB", SMALL_BYTES >> 20);
        table::head(&title, "", &columns);
        let mut runs = Runs::default();
        let ledgers: Vec<Ledger> =
            (0..LEDGERS).map(|at| Ledger::new(&self.pool, 100 + at, SMALL_BYTES, 64 << 10)).collect();
        let total = LEDGERS * SMALL_BYTES;
        for run in 0..=self.plan.runs {
            let keys: Vec<String> = (0..LEDGERS).map(|at| format!("raw-{at}")).collect();
            let raw = self.raw_at_once(&keys, Checksum::None).await?;
            let summing = self.raw_at_once(&keys, Checksum::Crc32c).await?;
            let driver = self.target.driver(&[]).await?;
            let started = Instant::now();
            let each = ledgers.iter().map(|ledger| timed(driver.offload(ledger.reader(), ledger.request())));
            let each = try_join_all(each).await?;
            let ours = started.elapsed();
            let slowest = each.iter().max().copied().unwrap_or_default();
            let fastest = each.iter().min().copied().unwrap_or_default();
            if run > 0 {
                let rates = [raw, summing, ours].map(|took| rate(total, took));
                runs.add([&rates[..], &[ratio(raw, ours), ratio(summing, ours), ratio(slowest, fastest)]].concat());
            }
            for (ledger, key) in ledgers.iter().zip(&keys) {
                driver.delete(ledger.stored()).await?;
                self.raw.delete(key).await?;
            }
        }
        table::row("together", runs);
        Ok(())
    }

    async fn raw_at_once(&self, keys: &[String], checksum: Checksum) -> Result<Duration> {
        let each = keys.iter().map(|key| self.raw.write(key, SMALL_BYTES, part_bytes(SMALL_BYTES), checksum));
        timed(try_join_all(each)).await
    }

    async fn many_readers(&self) -> Result<()> {
        if !self.wants("readers") {
            return Ok(());
        }
        let title = format!("Readers of one ledger of {} MiB, entries of 64 KiB", SHARED_BYTES >> 20);
        table::head(&title, "readers", &["MB/s of all", "of one reader", "bytes fetched / ledger"]);
        let ledger = Ledger::new(&self.pool, 2, SHARED_BYTES, 64 << 10);
        self.target.driver(&[]).await?.offload(ledger.reader(), ledger.request()).await?;
        let mut alone = None;
        for readers in [1, 2, 8, 64] {
            let mut runs = Runs::default();
            for _ in 0..self.plan.runs {
                let driver = self.target.driver(&[]).await?;
                let before = self.target.counters().await?;
                let took = timed(try_join_all((0..readers).map(|_| ledger.read_back(&driver)))).await?;
                let fetched = match (before, self.target.counters().await?) {
                    (Some(before), Some(after)) => (after.bytes_out - before.bytes_out) as f64,
                    _ => f64::NAN,
                };
                let all = rate(ledger.bytes() * readers, took);
                runs.add(vec![all, all / alone.unwrap_or(all), fetched / ledger.bytes() as f64]);
            }
            let medians = table::row(&readers.to_string(), runs);
            alone = alone.or(medians.first().copied());
        }
        Ok(self.target.driver(&[]).await?.delete(ledger.stored()).await?)
    }

    async fn random_entries(&self) -> Result<()> {
        let kinds = [("random, 1 KiB", 1 << 10), ("random, 64 KiB", 64 << 10)];
        let kinds: Vec<(&str, u64)> = kinds.into_iter().filter(|(name, _)| self.wants(name)).collect();
        if kinds.is_empty() {
            return Ok(());
        }
        let columns = ["raw p50 us", "entry p50 us", "difference us", "GETs", "KiB fetched"];
        table::head("A random entry, its index at hand", "", &columns);
        for (name, entry_bytes) in kinds {
            let ledger = Ledger::new(&self.pool, 3, SHARED_BYTES, entry_bytes);
            let driver = self.target.driver(&[]).await?;
            driver.offload(ledger.reader(), ledger.request()).await?;
            let mut runs = Runs::default();
            for _ in 0..self.plan.runs {
                runs.add(self.random_run(&ledger).await?);
            }
            driver.delete(ledger.stored()).await?;
            table::row(name, runs);
        }
        Ok(())
    }

    async fn random_run(&self, ledger: &Ledger) -> Result<Vec<f64>> {
        let driver = self.target.driver(&[("managedLedgerOffloadExtraConfigReadCacheSizeInBytes", "4194304")]).await?;
        let handle = driver.open_read(ledger.stored()).await?;
        let key = data_key(&ledger.stored());
        let mut random = fastrand::Rng::with_seed(7);
        let (mut raws, mut ours, mut fetched) = (Vec::new(), Vec::new(), (0, 0));
        for _ in 0..RANDOM_READS {
            let entry = random.u64(0..ledger.entries);
            let first = (entry * ledger.entry_bytes).min(ledger.bytes() - 2 * GRANULE_BYTES);
            raws.push(self.raw.read_range(&key, first, GRANULE_BYTES.max(ledger.entry_bytes)).await?);
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

/// The key of the data object, as docs/formats/data-block.md has it.
fn data_key(copy: &StoredLedger) -> String {
    format!("{}-ledger-{}", copy.uid, copy.ledger_id)
}

fn rate(bytes: u64, took: Duration) -> f64 {
    bytes as f64 / 1e6 / took.as_secs_f64()
}

fn ratio(of: Duration, to: Duration) -> f64 {
    of.as_secs_f64() / to.as_secs_f64()
}
