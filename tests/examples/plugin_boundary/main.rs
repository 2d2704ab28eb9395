//! Measures what the plugin boundary costs: each call through a real shared library against the same work in this process.
//!
//! ```text
//! cargo run --release -p longshore-tests --example plugin_boundary [idle look inline tasks logs read]
//! ```
//!
//! Prints one table: what, here, through the `.so`, the ratio (medians of several rounds), and the bound that we keep to. Tasks,
//! whose cost is waiting, are measured by the clock on the wall, all else in processor time of all threads, which other work on
//! the machine disturbs least. It asks for `strip`. Expectation: a sync call is a jump through a pointer, 1 to 2 ns on both sides; a call that takes time is a task on the
//! plugin's runtime, so one call at a time costs two thread wake-ups (tens of microseconds), many at once share them; a
//! read that needs no waiting is answered in the call and costs its permit, its clock and its counters; bytes never move, so
//! that 1 MiB costs what 1 byte costs.

mod calls;
mod idle;
mod in_process;
mod logs;
mod reading;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use longshore::plugin::{PluginHost, PluginSettings, inspect, scan};
use longshore::storage::{DriverSettings, LedgerId, StoredLedger};
use longshore_tests::plugins::stage;
use uuid::Uuid;

const ROUNDS: usize = 7;
const FILE: &str = "misbehaving.so";
/// Files of the figure about looking at a folder.
const COPIES: usize = 100;

/// One line of the table.
struct Row {
    what: String,
    here: Option<f64>,
    across: f64,
    unit: &'static str,
    /// The most that `across` may be.
    bound: Option<f64>,
}

impl Row {
    fn new(what: impl Into<String>, here: Option<f64>, across: f64, unit: &'static str) -> Self {
        Self { what: what.into(), here, across, unit, bound: None }
    }

    fn at_most(self, bound: f64) -> Self {
        Self { bound: Some(bound), ..self }
    }
}

fn median(rounds: impl Iterator<Item = f64>) -> f64 {
    let mut rounds: Vec<f64> = rounds.collect();
    rounds.sort_by(f64::total_cmp);
    rounds[rounds.len() / 2]
}

fn mode(mode: &str) -> DriverSettings {
    let properties = BTreeMap::from([("managedLedgerOffloadExtraConfigMode".to_owned(), mode.to_owned())]);
    DriverSettings { properties, search_folders: Vec::new() }
}

fn stored(ledger_id: u64) -> StoredLedger {
    StoredLedger {
        ledger_id: LedgerId(ledger_id),
        uid: Uuid::new_v4(),
        managed_ledger: "a/b/persistent/c".to_owned(),
        driver_metadata: BTreeMap::new(),
    }
}

/// Rows appear as they are measured.
fn print(rows: Vec<Row>) {
    for row in rows {
        let here = row.here.map_or_else(String::new, |here| format!("{here:.1}"));
        let ratio = row.here.map_or_else(String::new, |here| format!("{:.3}", row.across / here));
        let bound = row.bound.map_or_else(String::new, |bound| {
            format!("{bound:.1}{}", if row.across <= bound { "" } else { " (missed)" })
        });
        println!("| {} | {here} | {:.1} | {} | {ratio} | {bound} |", row.what, row.across, row.unit);
    }
}

/// Looks at a folder of copies as the host does, without loading any.
fn look(folder: &Path) -> Result<()> {
    for candidate in scan::scan(folder)? {
        let image = inspect::read(&candidate.path, u64::MAX).map_err(anyhow::Error::from)?;
        inspect::identify(&image).map_err(anyhow::Error::from)?;
    }
    Ok(())
}

/// Stages a library as it is delivered, without what debuggers read.
fn stage_stripped(package: &str, folder: &Path, name: &str) -> Result<PathBuf> {
    let path = stage(package, folder, name);
    let status = Command::new("strip").arg("--strip-unneeded").arg(&path).status().context("run strip, of binutils")?;
    anyhow::ensure!(status.success(), "strip {} ended with {status}", path.display());
    Ok(path)
}

/// Nanoseconds that the threads of this process spent on processors: what a call costs, however busy the machine is.
fn cpu_ns() -> Result<f64> {
    let mut sum = 0.0;
    for task in std::fs::read_dir("/proc/self/task").context("list the threads")? {
        // A thread that ended meanwhile worked for nobody here.
        let Ok(text) = std::fs::read_to_string(task?.path().join("schedstat")) else { continue };
        let ns = text.split_whitespace().next().context("schedstat begins with a number")?;
        sum += ns.parse::<f64>().context("a number of nanoseconds")?;
    }
    Ok(sum)
}

fn looking() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("make a folder of copies")?;
    let one = stage_stripped("example-folder", folder.path(), "copy-000.so")?;
    for n in 1..COPIES {
        std::fs::copy(&one, folder.path().join(format!("copy-{n:03}.so"))).context("copy the library")?;
    }
    look(folder.path())?;
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let began = cpu_ns()?;
        look(folder.path())?;
        rounds.push((cpu_ns()? - began) / 1e6);
    }
    let (kib, ms) = (std::fs::metadata(&one)?.len() / 1024, median(rounds.into_iter()));
    let what = format!("scan and inspection of {COPIES} files of {kib} KiB, warm");
    Ok(vec![Row::new(what, None, ms, "ms").at_most(200.0)])
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("start the asynchronous runtime")?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let counted = logs::Counted::install()?;
    let folder = tempfile::tempdir().context("make a folder for the plugin")?;
    println!("| what | in process | through the `.so` | unit | ratio | at most |\n|---|---:|---:|---|---:|---:|");
    let parts: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |part: &str| parts.is_empty() || parts.iter().any(|wanted| wanted == part);
    // First, while nothing else is mapped.
    if wanted("idle") {
        print(idle::figures()?);
    }
    stage("misbehaving-plugin", folder.path(), FILE);
    stage("tiered-storage-file-system", folder.path(), "tiered-storage-file-system.so");
    let began = Instant::now();
    let host = PluginHost::load(folder.path(), PluginSettings::default());
    print(vec![Row::new("load two plugins, cold", None, began.elapsed().as_secs_f64() * 1e3, "ms")]);
    if wanted("look") {
        print(looking()?);
    }
    if wanted("inline") {
        print(calls::inline(&host).await?);
    }
    if wanted("tasks") {
        print(calls::tasks(&host).await?);
    }
    if wanted("logs") {
        print(logs::figures(&host, &counted).await?);
    }
    if wanted("read") {
        print(reading::figures(&host).await?);
    }
    Ok(())
}
