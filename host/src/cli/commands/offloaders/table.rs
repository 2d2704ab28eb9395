//! The rows of `longshore offloaders list`: one for every `*.so` entry of the folder.
//!
//! The rows come from the running broker where there is one, else from loading the folder in this process. The JSON form is
//! stable: an array of [`PluginReport`]; the table is for people.

use std::io::{self, Write};
use std::path::Path;

use crate::plugin::{PluginHost, PluginReport, PluginSettings};

use super::files::printable;

/// Where the rows come from.
#[derive(Debug)]
pub(super) enum Rows<'a> {
    /// The running broker's own.
    Running(Vec<PluginReport>),
    /// Load this folder here and now; constructors of its libraries run in this process.
    Folder(&'a Path, Box<PluginSettings>),
}

/// Why nothing could be listed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListError {
    /// The folder is missing or unreadable; exit code 2.
    #[error("{0}")]
    Folder(String),
    /// The output went away.
    #[error("write the list: {0}")]
    Output(#[from] io::Error),
}

/// Writes the list.
///
/// # Errors
/// See [`ListError`]. A bad plugin is a row, never an error.
pub(super) fn list(rows: Rows<'_>, json: bool, out: &mut dyn Write) -> Result<(), ListError> {
    let rows = match rows {
        Rows::Running(rows) => rows,
        Rows::Folder(directory, settings) => load(directory, *settings)?,
    };
    if json {
        serde_json::to_writer_pretty(&mut *out, &rows).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write_table(&rows, out)?;
    }
    Ok(())
}

fn load(directory: &Path, settings: PluginSettings) -> Result<Vec<PluginReport>, ListError> {
    let host = PluginHost::load(directory, settings);
    match host.folder_error() {
        Some(problem) => Err(ListError::Folder(problem)),
        None => Ok(host.reports()),
    }
}

const HEADINGS: [&str; 6] = ["FILE", "STATE", "PLUGIN", "API", "DRIVERS", "SIZE"];

/// One line for each file, its reason indented below it.
fn write_table(rows: &[PluginReport], out: &mut dyn Write) -> io::Result<()> {
    if rows.is_empty() {
        return writeln!(out, "no plugins: the folder has no file *.so");
    }
    let lines: Vec<[String; 6]> = rows.iter().map(cells).collect();
    let widths: [usize; 6] = std::array::from_fn(|column| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.chain([HEADINGS[column].len()]).max().unwrap_or(0)
    });
    write_line(out, &HEADINGS.map(str::to_owned), &widths)?;
    for (line, row) in lines.iter().zip(rows) {
        write_line(out, line, &widths)?;
        if let Some(reason) = &row.reason {
            writeln!(out, "    {}", printable(reason))?;
        }
    }
    Ok(())
}

fn cells(row: &PluginReport) -> [String; 6] {
    let unknown = || "-".to_owned();
    let plugin = match (&row.name, &row.version) {
        (Some(name), Some(version)) => format!("{name} {version}"),
        _ => unknown(),
    };
    [
        printable(&row.file),
        row.state.to_string(),
        plugin,
        row.api.clone().unwrap_or_else(unknown),
        row.drivers.as_ref().map_or_else(unknown, |drivers| drivers.join(",")),
        row.size.map_or_else(unknown, |size| size.to_string()),
    ]
}

fn write_line(out: &mut dyn Write, cells: &[String; 6], widths: &[usize; 6]) -> io::Result<()> {
    let padded: Vec<String> = cells.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
    writeln!(out, "{}", padded.join("  ").trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::PluginState;

    fn rows() -> Vec<PluginReport> {
        let bad = PluginReport {
            file: "broken\u{1b}[2J.so".to_owned(),
            path: "offloaders/broken.so".to_owned(),
            state: PluginState::Refused,
            reason: Some("it is a folder".to_owned()),
            name: None,
            version: None,
            api: None,
            api_min: None,
            drivers: None,
            size: None,
            sha256: None,
            processes: Vec::new(),
        };
        let good = PluginReport {
            file: "tape.so".to_owned(),
            state: PluginState::Loaded,
            reason: None,
            name: Some("tape".to_owned()),
            version: Some("1.2.3".to_owned()),
            api: Some("1.0.0".to_owned()),
            api_min: Some("1.0.0".to_owned()),
            drivers: Some(vec!["tape".to_owned(), "reel".to_owned()]),
            size: Some(1000),
            sha256: Some("00".repeat(32)),
            ..bad.clone()
        };
        vec![bad, good]
    }

    fn listed(rows: Rows<'_>, json: bool) -> String {
        let mut out = Vec::new();
        list(rows, json, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn the_table_shows_reasons_below_their_files() {
        let expected = "\
FILE           STATE    PLUGIN      API    DRIVERS    SIZE
broken\u{fffd}[2J.so  refused  -           -      -          -
    it is a folder
tape.so        loaded   tape 1.2.3  1.0.0  tape,reel  1000
";
        assert_eq!(listed(Rows::Running(rows()), false), expected);
    }

    #[test]
    fn the_json_has_every_field_and_null_for_what_is_unknown() {
        let json: serde_json::Value = serde_json::from_str(&listed(Rows::Running(rows()), true)).unwrap();
        let fields: Vec<&str> = json[0].as_object().unwrap().keys().map(String::as_str).collect();
        let expected =
            ["api", "api_min", "drivers", "file", "name", "path", "reason", "sha256", "size", "state", "version"];
        assert_eq!(fields, expected);
        assert_eq!(json[0]["state"], "refused");
        assert!(json[0]["drivers"].is_null() && json[1]["reason"].is_null());
        assert_eq!(json[1]["drivers"], serde_json::json!(["tape", "reel"]));
        let back: Vec<PluginReport> = serde_json::from_value(json).unwrap();
        assert_eq!(back, rows());
    }

    #[test]
    fn a_missing_folder_is_an_error_and_an_empty_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("none");
        let mut out = Vec::new();
        let error = list(Rows::Folder(&missing, Box::default()), true, &mut out).unwrap_err();
        assert!(matches!(&error, ListError::Folder(problem) if problem.contains("none")), "{error}");
        assert_eq!(listed(Rows::Folder(folder.path(), Box::default()), true), "[]\n");
    }
}
