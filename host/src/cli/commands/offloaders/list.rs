//! `longshore offloaders list`: the running broker is asked; where none runs, the configuration's folder is loaded here.

use std::collections::BTreeMap;
use std::io::{self, Write};

use anyhow::Context as _;

use crate::broker::{offloaders_directory, plugin_settings};
use crate::cli::args::OffloadersListArgs;
use crate::cli::http::Admin;
use crate::config::Config;
use crate::plugin::{PluginReport, PluginStatus};

use super::table::{ListError, Rows, list};

const DRIVER_KEY: &str = "managedLedgerOffloadDriver";

/// Lists the plugins; answers whether the folder could be read.
///
/// # Errors
/// The configuration is wrong, or the output went away.
pub(super) fn run(args: &OffloadersListArgs) -> anyhow::Result<bool> {
    let mut out = io::stdout().lock();
    let asked = if args.directory.is_none() && args.config.is_none() { ask(&args.admin_url) } else { None };
    let (listed, driver) = match (&args.directory, asked) {
        (Some(directory), _) => (list(Rows::Folder(directory, Box::default()), args.json, &mut out), None),
        (None, Some((rows, unserved))) => (list(Rows::Running(rows), args.json, &mut out), unserved),
        (None, None) => {
            let (config, _) = Config::load(args.config.as_deref()).context("read the configuration")?;
            let directory = offloaders_directory(&config);
            let host = crate::plugin::PluginHost::load(&directory, plugin_settings(&config));
            if let Some(problem) = host.folder_error() {
                eprintln!("error: {problem}");
                return Ok(false);
            }
            let unserved = config.offload_driver.filter(|driver| host.origin(driver).is_none());
            (list(Rows::Running(host.reports()), args.json, &mut out), unserved)
        }
    };
    out.flush()?;
    if let Some(driver) = driver {
        eprintln!("error: {DRIVER_KEY}={driver}: no offloader serves it, so every offload ends in error");
    }
    match listed {
        Ok(()) => Ok(true),
        Err(ListError::Folder(problem)) => {
            eprintln!("error: {problem}");
            Ok(false)
        }
        Err(error @ ListError::Output(_)) => Err(error.into()),
    }
}

/// The running broker's rows, and its configured driver where nobody serves that; `None` where no broker answers.
fn ask(url: &str) -> Option<(Vec<PluginReport>, Option<String>)> {
    let admin = Admin::new(url);
    let rows = admin.get("/brokers/offloaders").ok()?;
    let settings: BTreeMap<String, String> = admin.get("/brokers/configuration/runtime").unwrap_or_default();
    let status: Option<PluginStatus> = admin.get("/brokers/offloaders/status").ok();
    let serves = |driver: &str| {
        let drivers = status.iter().flat_map(|status| &status.drivers);
        drivers.filter(|row| row.plugin.is_some()).any(|row| row.driver.eq_ignore_ascii_case(driver))
    };
    let driver = settings.get(DRIVER_KEY).filter(|driver| !driver.is_empty() && !serves(driver));
    Some((rows, driver.cloned()))
}
