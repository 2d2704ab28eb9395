//! What commands on plugin files have in common: which files, under which settings, and how a line is printed.

use std::io::{self, Write};
use std::path::PathBuf;

use anyhow::Context as _;

use crate::broker::plugin_settings;
use crate::cli::args::OffloadersFileArgs;
use crate::config::Config;
use crate::plugin::PluginSettings;
use crate::plugin::scan;

/// The width of the labels before a line's text.
const LABEL_WIDTH: usize = 12;

/// The files that are meant, and what they are judged by.
pub(super) struct Files {
    pub(super) paths: Vec<PathBuf>,
    pub(super) settings: PluginSettings,
}

impl Files {
    /// The named files, then those of the named folder, by name. Where a folder cannot be listed, the inner error says so.
    ///
    /// # Errors
    /// The configuration is wrong.
    pub(super) fn of(target: &OffloadersFileArgs) -> anyhow::Result<Result<Self, String>> {
        let settings = match &target.config {
            None => PluginSettings::default(),
            Some(file) => plugin_settings(&Config::load(Some(file)).context("read the configuration")?.0),
        };
        let mut paths = target.files.clone();
        if let Some(directory) = &target.directory {
            match scan::scan(directory) {
                Ok(candidates) => paths.extend(candidates.into_iter().map(|candidate| candidate.path)),
                Err(error) => return Ok(Err(error.to_string())),
            }
        }
        Ok(Ok(Self { paths, settings }))
    }
}

/// Writes `text` after its label; nothing where there is no text.
pub(super) fn hanging(out: &mut dyn Write, label: &str, text: &str) -> io::Result<()> {
    if text.is_empty() { Ok(()) } else { writeln!(out, "  {label:<LABEL_WIDTH$}{}", printable(text)) }
}

/// A file's name or a library's words may hold anything; a terminal shall not obey them.
pub(super) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
