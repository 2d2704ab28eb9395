//! `longshore offloaders conformance`: the kit over the driver of a plugin file, with the keys of a configuration file.

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use longshore_conformance::{FolderProbe, Profile, Report, Suite};

use super::loaded_driver::{LoadedDriver, WantedDriver};
use super::{DONE, FAILED, WRONG_INPUT};
use crate::broker::plugin_settings;
use crate::cli::args::ConformanceArgs;
use crate::config::Config;
use crate::namespace::Defaults;

/// Threads of the runtime: a plugin that blocks some of them must not stop the clock.
const WORKERS: usize = 8;
/// How long the end of the process waits for what a plugin left running.
const END_DEADLINE: Duration = Duration::from_secs(1);

/// Runs the suite; answers the exit code.
///
/// # Errors
/// The output went away, or the file for JUnit's readers cannot be written.
pub(super) fn run(args: &ConformanceArgs) -> anyhow::Result<u8> {
    let suite = match suite(args) {
        Ok(suite) => suite,
        Err(problem) => return could_not_run(&problem),
    };
    let (Some(file), Some(config), false) = (&args.file, &args.config, args.list) else {
        return list(&suite);
    };
    let driver = match driver(file, config, args.driver.clone()) {
        Ok(driver) => driver,
        Err(problem) => return could_not_run(&problem),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.context("start the asynchronous runtime")?;
    let each = |row: &longshore_conformance::Row| {
        if !args.json {
            println!("{row}");
        }
    };
    let report = runtime.block_on(suite.run(Arc::new(driver), each));
    runtime.shutdown_timeout(END_DEADLINE);
    match report {
        Ok(report) => tell(args, &report),
        Err(problem) => could_not_run(&problem.to_string()),
    }
}

fn could_not_run(problem: &str) -> anyhow::Result<u8> {
    eprintln!("error: {problem}");
    Ok(WRONG_INPUT)
}

fn suite(args: &ConformanceArgs) -> Result<Suite, String> {
    let profile: Profile = args.profile.parse()?;
    let mut suite = Suite::new(profile);
    if let Some(part) = &args.case {
        suite = suite.only(part);
    }
    if let Some(seed) = args.seed {
        suite = suite.seed(seed);
    }
    if let Some(folder) = &args.store {
        suite = suite.probe(FolderProbe::new(folder));
    }
    Ok(suite)
}

fn driver(file: &Path, config: &Path, named: Option<String>) -> Result<LoadedDriver, String> {
    let (config, _) = Config::load(Some(config)).map_err(|mistakes| mistakes.to_string())?;
    let settings = Defaults::from_config(&config).driver_settings();
    let wanted = WantedDriver { named, configured: config.offload_driver.clone() };
    LoadedDriver::new(file, plugin_settings(&config), settings, wanted)
}

fn list(suite: &Suite) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    for case in suite.cases() {
        writeln!(out, "{:<28} {:<72} {}", case.id, case.title, case.repeats)?;
    }
    Ok(DONE)
}

fn tell(args: &ConformanceArgs, report: &Report) -> anyhow::Result<u8> {
    let mut out = io::stdout().lock();
    match args.json {
        true => writeln!(out, "{}", report.json())?,
        false => writeln!(out, "{}", report.summary())?,
    }
    if let Some(path) = &args.junit {
        std::fs::write(path, report.junit()).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(if report.passed() { DONE } else { FAILED })
}
