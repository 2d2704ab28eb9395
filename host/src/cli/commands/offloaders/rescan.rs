//! `longshore offloaders rescan`: the running broker looks at its folder now, and tells what changed.

use std::io::{self, Write};
use std::time::Duration;

use super::files::printable;
use super::{DONE, NOT_READ, NOT_WELL};
use crate::cli::args::OffloadersBrokerArgs;
use crate::cli::http::Admin;
use crate::plugin::{Change, ChangeKind, Rescan};

/// A new version proves itself on every configuration in use, each call within its own deadline.
const RESCAN_TIMEOUT: Duration = Duration::from_secs(600);

/// Asks for a look and prints what changed; answers the exit code.
///
/// # Errors
/// No broker answers, or the output went away.
pub(super) fn run(args: &OffloadersBrokerArgs) -> anyhow::Result<u8> {
    let rescan: Rescan = Admin::new(&args.admin_url).post_for("/brokers/offloaders/rescan", RESCAN_TIMEOUT)?;
    let mut out = io::stdout().lock();
    if args.json {
        serde_json::to_writer_pretty(&mut out, &rescan).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write_text(&rescan, &mut out)?;
    }
    out.flush()?;
    if let Some(problem) = &rescan.folder_error {
        eprintln!("error: {problem}");
    }
    Ok(exit_code(&rescan))
}

fn exit_code(rescan: &Rescan) -> u8 {
    let is_bad = |change: &Change| matches!(change.change, ChangeKind::Refused | ChangeKind::Conflict);
    match rescan {
        Rescan { folder_error: Some(_), .. } => NOT_READ,
        Rescan { changes, .. } if changes.iter().any(is_bad) => NOT_WELL,
        _ => DONE,
    }
}

/// One line for each change, its reason indented below it, and a sum.
fn write_text(rescan: &Rescan, out: &mut dyn Write) -> io::Result<()> {
    for Change { change, replaces, row } in &rescan.changes {
        let word = format!("{change:?}").to_lowercase();
        let plugin = match (&row.name, &row.version) {
            (Some(name), Some(version)) => format!("  {name} {version}"),
            _ => String::new(),
        };
        let replaces = replaces.as_ref().map(|version| format!(" in place of {version}")).unwrap_or_default();
        writeln!(out, "{word:<10}  {}{plugin}{replaces}", printable(&row.file))?;
        if let Some(reason) = &row.reason {
            writeln!(out, "    {}", printable(reason))?;
        }
    }
    let Rescan { files_seen, files_read, duration_ms, changes, .. } = rescan;
    writeln!(out, "{files_seen} files, {files_read} read, {} changes, {duration_ms} ms", changes.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::{PluginReport, PluginState};

    fn rescan(changes: Vec<Change>) -> Rescan {
        Rescan { folder_error: None, files_seen: 3, files_read: 1, duration_ms: 12, changes }
    }

    fn change(change: ChangeKind, state: PluginState, replaces: Option<&str>) -> Change {
        let row = PluginReport {
            file: "tape.so".to_owned(),
            path: "offloaders/tape.so".to_owned(),
            state,
            reason: (state != PluginState::Loaded).then(|| "it is\u{1b} what it is".to_owned()),
            name: Some("tape".to_owned()),
            version: Some("1.1.0".to_owned()),
            api: None,
            api_min: None,
            drivers: None,
            size: None,
            sha256: None,
            processes: Vec::new(),
        };
        Change { change, replaces: replaces.map(str::to_owned), row }
    }

    #[test]
    fn changes_are_lines_and_bad_ones_have_an_exit_code() {
        let fine = rescan(vec![change(ChangeKind::Replaced, PluginState::Loaded, Some("1.0.0"))]);
        let mut out = Vec::new();
        write_text(&fine, &mut out).unwrap();
        let expected = "replaced    tape.so  tape 1.1.0 in place of 1.0.0\n3 files, 1 read, 1 changes, 12 ms\n";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
        let bad = rescan(vec![change(ChangeKind::Refused, PluginState::Refused, None)]);
        let mut out = Vec::new();
        write_text(&bad, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().contains("\n    it is\u{fffd} what it is\n"));
        let unread = Rescan { folder_error: Some("no folder".to_owned()), ..rescan(vec![]) };
        assert_eq!((exit_code(&fine), exit_code(&bad), exit_code(&unread)), (DONE, NOT_WELL, NOT_READ));
    }

    #[test]
    fn the_json_of_a_change_is_its_row_with_two_fields_more() {
        let json = serde_json::to_value(rescan(vec![change(ChangeKind::Added, PluginState::Loaded, None)])).unwrap();
        let fields: Vec<&String> = json["changes"][0].as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), 13, "{fields:?}");
        assert_eq!((&json["changes"][0]["change"], &json["changes"][0]["file"]), (&"added".into(), &"tape.so".into()));
        let back: Rescan = serde_json::from_value(json).unwrap();
        assert_eq!(back.changes[0].change, ChangeKind::Added);
    }
}
