//! Measures what the plugin boundary costs: each call through a real shared library against the same work in this process.
//!
//! ```text
//! cargo run --release -p longshore-tests --example plugin_boundary
//! ```
//!
//! Prints one table: what, here, through the `.so`, the ratio (medians of several rounds, taken in turns), and the bound that we
//! keep to. Expectation: a sync call is a jump through a pointer, 1 to 2 ns on both sides; a call that takes time is a task on the
//! plugin's runtime, so one call at a time costs two thread wake-ups (tens of microseconds), many at once share them; a
//! read that needs no waiting is answered in the call and costs its permit, its clock and its counters; bytes never move, so
//! that 1 MiB costs what 1 byte costs.

mod calls;
mod idle;
mod in_process;
mod logs;
mod reading;

use std::collections::BTreeMap;
use std::path::Path;
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

fn print(rows: &[Row]) {
    println!("| what | in process | through the `.so` | unit | ratio | at most |\n|---|---:|---:|---|---:|---:|");
    for row in rows {
        let here = row.here.map_or_else(String::new, |here| format!("{here:.1}"));
        let ratio = row.here.map_or_else(String::new, |here| format!("{:.3}", row.across / here));
        let bound = row
            .bound
            .map_or_else(String::new, |bound| format!("{bound}{}", if row.across <= bound { "" } else { " (missed)" }));
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

fn looking() -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("make a folder of copies")?;
    for n in 0..COPIES {
        stage("example-folder", folder.path(), &format!("copy-{n:03}.so"));
    }
    look(folder.path())?;
    let ms = median((0..ROUNDS).filter_map(|_| {
        let began = Instant::now();
        look(folder.path()).ok().map(|()| began.elapsed().as_secs_f64() * 1e3)
    }));
    Ok(vec![Row::new(format!("scan and inspection of {COPIES} files, warm"), None, ms, "ms").at_most(200.0)])
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Runtime::new().context("start the asynchronous runtime")?;
    runtime.block_on(run())
}

async fn run() -> Result<()> {
    let counted = logs::Counted::install()?;
    let folder = tempfile::tempdir().context("make a folder for the plugin")?;
    // First, while nothing else is mapped.
    let mut rows = idle::figures()?;
    stage("misbehaving-plugin", folder.path(), FILE);
    stage("tiered-storage-file-system", folder.path(), "tiered-storage-file-system.so");
    let began = Instant::now();
    let host = PluginHost::load(folder.path(), PluginSettings::default());
    rows.push(Row::new("load two plugins, cold", None, began.elapsed().as_secs_f64() * 1e3, "ms"));
    rows.extend(looking()?);
    rows.extend(calls::figures(&host).await?);
    rows.extend(logs::figures(&host, &counted).await?);
    rows.extend(reading::figures(&host).await?);
    print(&rows);
    Ok(())
}
