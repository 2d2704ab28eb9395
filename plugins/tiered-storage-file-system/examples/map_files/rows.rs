//! What is measured, one function for each table.

use std::time::Duration;

use anyhow::Result;
use futures_util::future::try_join_all;
use longshore_plugin_api::{Offloader, ReadHandle};
use tiered_storage_file_system::FileSystemOffloader;

use crate::ledger::{Ledger, Pool};
use crate::place::Place;
use crate::process::{Peak, cpu_seconds, timed};
use crate::raw::Care;
use crate::table::{self, Runs, median};

/// Ledgers at once, and the payload of each.
const LEDGERS: u64 = 16;
const SMALL_BYTES: u64 = 64 << 20;
/// The payload of the ledger that many read.
const SHARED_BYTES: u64 = 256 << 20;
/// The most payload of a ledger that is compressed, some tens of MB a second.
const COMPRESSED_BYTES_MAX: u64 = 256 << 20;
/// Random entries of a run.
const RANDOM_READS: usize = 200;

const SIZES: [(u64, &str); 2] = [(1 << 10, "1 KiB"), (64 << 10, "64 KiB")];
/// What the raw client's files are called.
const RAW: &str = "raw";

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
}

impl Cost {
    /// The raw clients' figures, ours, and ours beside each of theirs.
    fn row(raw: &[Self], ours: Self) -> Vec<f64> {
        let figures = |figure: fn(&Self) -> f64| {
            let own = figure(&ours);
            let raw: Vec<f64> = raw.iter().map(figure).collect();
            let beside: Vec<f64> = raw.iter().map(|raw| own / raw).collect();
            [raw, vec![own], beside].concat()
        };
        [figures(|cost| cost.rate), figures(|cost| cost.cpu)].concat()
    }
}

/// The names of what [`Cost::row`] answers.
fn columns(cares: &[Care]) -> Vec<String> {
    let name = |care: &Care| if *care == Care::Plain { "raw" } else { "raw, checked" };
    let of = |what: &str| {
        let raw = cares.iter().map(|care| format!("{} {what}", name(care)));
        let unit = what.split(' ').next().unwrap_or_default();
        let beside = cares.iter().map(|care| format!("{unit} of {}", name(care)));
        raw.chain([format!("driver {what}")]).chain(beside).collect::<Vec<_>>()
    };
    [of("MB/s"), of("CPU s/GB")].concat()
}

struct Bench<'a> {
    place: &'a Place,
    plan: &'a Plan,
    pool: &'a Pool,
}

/// Prints all tables.
pub(crate) async fn measure(place: &Place, pool: &Pool, plan: &Plan) -> Result<()> {
    let bench = Bench { place, plan, pool };
    bench.out_and_back().await?;
    if place.can_forget() {
        bench.read_from_disk().await?;
    }
    bench.many_ledgers().await?;
    bench.many_readers().await?;
    bench.random_entries().await
}

/// The figures of both ways of one kind of ledger.
struct BothWays {
    name: String,
    out: Runs,
    back: Runs,
}

impl Bench<'_> {
    fn wants(&self, row: &str) -> bool {
        row.contains(&self.plan.only)
    }

    async fn out_and_back(&self) -> Result<()> {
        let cares = self.place.raw.cares();
        let mut columns = columns(cares);
        columns.push("peak memory MiB".to_owned());
        let title = format!("Offload of a ledger of {} MiB", self.plan.ledger_bytes >> 20);
        let kinds = |compression: &'static str| {
            SIZES.map(|(bytes, size)| (format!("{size}, {compression}"), bytes, compression))
        };
        let kinds = ["NONE", "RECORD", "BLOCK"].map(kinds).concat();
        let kinds: Vec<_> = kinds.into_iter().filter(|(name, ..)| self.wants(name)).collect();
        if kinds.is_empty() {
            return Ok(());
        }
        table::head(&title, "entries", &columns);
        let mut measured = Vec::new();
        for (name, entry_bytes, compression) in kinds {
            let both = self.ledger(&name, entry_bytes, compression).await?;
            table::row(&both.name, both.out);
            measured.push((both.name, both.back));
        }
        table::head("Reading it back, from memory", "entries", &columns);
        for (name, back) in measured {
            table::row(&name, back);
        }
        Ok(())
    }

    async fn ledger(&self, name: &str, entry_bytes: u64, compression: &str) -> Result<BothWays> {
        let compressed = compression != "NONE";
        let bytes = if compressed { self.plan.ledger_bytes.min(COMPRESSED_BYTES_MAX) } else { self.plan.ledger_bytes };
        let ledger = Ledger::new(self.pool, 1, bytes, entry_bytes);
        let (mut out, mut back) = (Runs::default(), Runs::default());
        // The first run touches memory that the others use again, and is the one whose memory is watched.
        let (out_memory, back_memory, stored_bytes) = self.watched(&ledger, compression).await?;
        for _ in 0..if compressed { 1 } else { self.plan.runs } {
            let (one_out, one_back) = self.both_ways(&ledger, compression).await?;
            out.add([&one_out[..], &[out_memory]].concat());
            back.add([&one_back[..], &[back_memory]].concat());
        }
        let share = stored_bytes.filter(|_| compressed).map(|stored| stored as f64 / ledger.bytes() as f64);
        let name = share.map_or(name.to_owned(), |share| format!("{name}, files of {share:.2} of the payload"));
        Ok(BothWays { name, out, back })
    }

    /// How much memory an offload and a sequential read take at most, in MiB, and how long the files are.
    async fn watched(&self, ledger: &Ledger, compression: &str) -> Result<(f64, f64, Option<u64>)> {
        let driver = self.place.driver(compression).await?;
        let peak = Peak::begin();
        driver.offload(ledger.reader(), ledger.request()).await?;
        let out = peak.end();
        let stored_bytes = self.place.copies_bytes()?;
        let driver = self.place.driver(compression).await?;
        let peak = Peak::begin();
        ledger.read_back(&driver).await?;
        let back = peak.end();
        driver.delete(ledger.stored()).await?;
        Ok((out, back, stored_bytes))
    }

    async fn both_ways(&self, ledger: &Ledger, compression: &str) -> Result<(Vec<f64>, Vec<f64>)> {
        let (bytes, raw) = (ledger.bytes(), &self.place.raw);
        let mut raws = Vec::new();
        for care in raw.cares() {
            // The last one stays, to be read.
            if !raws.is_empty() {
                raw.delete(RAW).await?;
            }
            raws.push(costs(bytes, raw.write(RAW, bytes, *care)).await?);
        }
        let driver = self.place.driver(compression).await?;
        let ours = costs(bytes, timed(driver.offload(ledger.reader(), ledger.request()))).await?;
        let out = Cost::row(&raws, ours);
        raws.clear();
        for care in raw.cares() {
            raws.push(costs(bytes, raw.read(RAW, *care)).await?);
        }
        // One that knows nothing of the copy.
        let driver = self.place.driver(compression).await?;
        let ours = costs(bytes, timed(ledger.read_back(&driver))).await?;
        driver.delete(ledger.stored()).await?;
        raw.delete(RAW).await?;
        Ok((out, Cost::row(&raws, ours)))
    }

    async fn read_from_disk(&self) -> Result<()> {
        let names = SIZES.map(|(bytes, size)| (format!("{size}, from the disk"), bytes));
        let names: Vec<_> = names.into_iter().filter(|(name, _)| self.wants(name)).collect();
        if names.is_empty() {
            return Ok(());
        }
        let title = format!("Reading back from the disk, NONE, a ledger of {} MiB", self.plan.ledger_bytes >> 20);
        table::head(&title, "entries", &columns(self.place.raw.cares()));
        for (name, entry_bytes) in names {
            let ledger = Ledger::new(self.pool, 1, self.plan.ledger_bytes, entry_bytes);
            let driver = self.place.driver("NONE").await?;
            driver.offload(ledger.reader(), ledger.request()).await?;
            self.place.raw.write(RAW, ledger.bytes(), Care::Plain).await?;
            let mut runs = Runs::default();
            for _ in 0..self.plan.runs {
                runs.add(self.back_from_disk(&ledger).await?);
            }
            driver.delete(ledger.stored()).await?;
            self.place.raw.delete(RAW).await?;
            table::row(&name, runs);
        }
        Ok(())
    }

    async fn back_from_disk(&self, ledger: &Ledger) -> Result<Vec<f64>> {
        let mut raws = Vec::new();
        for care in self.place.raw.cares() {
            self.place.forget()?;
            raws.push(costs(ledger.bytes(), self.place.raw.read(RAW, *care)).await?);
        }
        let driver = self.place.driver("NONE").await?;
        self.place.forget()?;
        let ours = costs(ledger.bytes(), timed(ledger.read_back(&driver))).await?;
        Ok(Cost::row(&raws, ours))
    }

    async fn many_ledgers(&self) -> Result<()> {
        if !self.wants("ledgers at once") {
            return Ok(());
        }
        let cares = self.place.raw.cares();
        let mut columns = columns(cares);
        columns.push("slowest / fastest".to_owned());
        table::head(&format!("{LEDGERS} ledgers of {} MiB at once, NONE", SMALL_BYTES >> 20), "entries", &columns);
        for (entry_bytes, size) in SIZES {
            let ledger = |at| Ledger::new(self.pool, 100 + at, SMALL_BYTES, entry_bytes);
            let ledgers: Vec<Ledger> = (0..LEDGERS).map(ledger).collect();
            let mut runs = Runs::default();
            for _ in 0..self.plan.runs {
                runs.add(self.at_once(&ledgers).await?);
            }
            table::row(size, runs);
        }
        Ok(())
    }

    async fn at_once(&self, ledgers: &[Ledger]) -> Result<Vec<f64>> {
        let (raw, total) = (&self.place.raw, LEDGERS * SMALL_BYTES);
        let names: Vec<String> = (0..LEDGERS).map(|at| format!("{RAW}-{at}")).collect();
        let mut raws = Vec::new();
        for care in raw.cares() {
            let writing = names.iter().map(|name| raw.write(name, SMALL_BYTES, *care));
            raws.push(costs(total, timed(try_join_all(writing))).await?);
            try_join_all(names.iter().map(|name| raw.delete(name))).await?;
        }
        let driver = self.place.driver("NONE").await?;
        let mut each = Vec::new();
        let ours = costs(
            total,
            timed(async {
                each =
                    try_join_all(ledgers.iter().map(|ledger| timed(driver.offload(ledger.reader(), ledger.request()))))
                        .await?;
                anyhow::Ok(())
            }),
        )
        .await?;
        try_join_all(ledgers.iter().map(|ledger| driver.delete(ledger.stored()))).await?;
        let extreme = |found: Option<&Duration>| found.map_or(f64::NAN, Duration::as_secs_f64);
        let fairness = extreme(each.iter().max()) / extreme(each.iter().min());
        Ok([&Cost::row(&raws, ours)[..], &[fairness]].concat())
    }

    async fn many_readers(&self) -> Result<()> {
        if !self.wants("readers") {
            return Ok(());
        }
        let title = format!("Readers of one ledger of {} MiB, entries of 64 KiB, NONE", SHARED_BYTES >> 20);
        table::head(&title, "readers", &["MB/s of all", "of one reader", "CPU s/GB"]);
        let ledger = Ledger::new(self.pool, 2, SHARED_BYTES, 64 << 10);
        self.place.driver("NONE").await?.offload(ledger.reader(), ledger.request()).await?;
        let mut alone = None;
        for readers in [1, 2, 8, 64] {
            let mut runs = Runs::default();
            for _ in 0..self.plan.runs {
                let driver = self.place.driver("NONE").await?;
                let reading = (0..readers).map(|_| ledger.read_back(&driver));
                let cost = costs(ledger.bytes() * readers, timed(try_join_all(reading))).await?;
                runs.add(vec![cost.rate, cost.rate / alone.unwrap_or(cost.rate), cost.cpu]);
            }
            let medians = table::row(&readers.to_string(), runs);
            alone = alone.or(medians.first().copied());
        }
        Ok(self.place.driver("NONE").await?.delete(ledger.stored()).await?)
    }

    async fn random_entries(&self) -> Result<()> {
        if !self.wants("random") {
            return Ok(());
        }
        let title = format!("A random entry of an open copy of {} MiB, NONE", SHARED_BYTES >> 20);
        table::head(&title, "entries", &["raw p50 us", "entry p50 us", "difference us"]);
        for (entry_bytes, size) in SIZES {
            let ledger = Ledger::new(self.pool, 3, SHARED_BYTES, entry_bytes);
            let driver = self.place.driver("NONE").await?;
            driver.offload(ledger.reader(), ledger.request()).await?;
            self.place.raw.write(RAW, ledger.bytes(), Care::Plain).await?;
            let mut runs = Runs::default();
            for run in 0..self.plan.runs {
                runs.add(self.random_run(&driver, &ledger, run as u64).await?);
            }
            driver.delete(ledger.stored()).await?;
            self.place.raw.delete(RAW).await?;
            table::row(size, runs);
        }
        Ok(())
    }

    async fn random_run(&self, driver: &FileSystemOffloader, ledger: &Ledger, seed: u64) -> Result<Vec<f64>> {
        let handle = driver.open_read(ledger.stored()).await?;
        let file = self.place.raw.open(RAW).await?;
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut raws, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..RANDOM_READS {
            let entry = random.u64(0..ledger.entries);
            raws.push(file.read_range(entry * ledger.entry_bytes, ledger.entry_bytes).await?);
            ours.push(timed(handle.read(entry, entry, ledger.entry_bytes)).await?);
        }
        let micros = |times: Vec<Duration>| median(times.iter().map(|time| time.as_secs_f64() * 1e6).collect());
        let (raw, own) = (micros(raws), micros(ours));
        Ok(vec![raw, own, own - raw])
    }
}

/// What moving so many bytes costs.
async fn costs<E>(bytes: u64, work: impl Future<Output = Result<Duration, E>>) -> Result<Cost>
where
    anyhow::Error: From<E>,
{
    let cpu = cpu_seconds();
    let took = work.await?;
    let cpu = (cpu_seconds() - cpu) / (bytes as f64 / 1e9);
    Ok(Cost { rate: bytes as f64 / 1e6 / took.as_secs_f64(), cpu })
}
