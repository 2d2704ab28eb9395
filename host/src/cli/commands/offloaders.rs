//! `offloaders list`: where its rows come from.

use std::io::Write as _;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::cli::args::OffloadersListArgs;
use crate::cli::http::Admin;
use crate::cli::offloaders::{ListError, Rows, list};
use crate::config::Config;
use crate::plugin::{PluginReport, PluginSettings};

/// Where a running broker tells what became of its plugins: a JSON array of [`PluginReport`].
const REPORTS_PATH: &str = "/brokers/offloaders";

/// Runs `offloaders list`. A folder that is named is loaded in this process; else the running broker is asked; without one
/// the configuration names the folder, and `by_config` takes it and the bounds out of it. Answers whether the folder could
/// be read; if not, the reason is on the standard error.
///
/// # Errors
/// The broker's answer, the configuration, or the output.
pub fn run_offloaders_list(
    args: &OffloadersListArgs,
    by_config: impl FnOnce(&Config) -> (PathBuf, PluginSettings),
) -> anyhow::Result<bool> {
    let folder: PathBuf;
    let rows = if let Some(directory) = &args.directory {
        Rows::Folder(directory, PluginSettings::default())
    } else if let Some(reports) = running(args)? {
        Rows::Running(reports)
    } else {
        let (config, _) = Config::load(args.config.as_deref())?;
        let (directory, settings) = by_config(&config);
        folder = directory;
        Rows::Folder(&folder, settings)
    };
    let mut out = std::io::stdout().lock();
    match list(rows, args.json, &mut out) {
        Ok(()) => out.flush().context("write the list").map(|()| true),
        Err(ListError::Folder(problem)) => {
            eprintln!("error: {problem}");
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

/// What the running broker says; `None` where none answers, or where a configuration is named, which need not be its own.
fn running(args: &OffloadersListArgs) -> anyhow::Result<Option<Vec<PluginReport>>> {
    if args.config.is_some() {
        return Ok(None);
    }
    let admin = Admin::new(&args.admin_url);
    if admin.is_there() { admin.get(REPORTS_PATH).map(Some) } else { Ok(None) }
}
