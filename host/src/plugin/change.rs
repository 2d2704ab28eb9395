//! What a look at the folder changed, as plain data for the log, the admin API and the command line. Pure.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use super::report::PluginReport;
use super::state::PluginState;

/// What happened to a row. The names are part of the JSON that users read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeKind {
    /// A plugin serves that did not.
    Added,
    /// A plugin took over from another version, or other bytes, of itself.
    Replaced,
    /// A plugin is out of charge.
    Retired,
    /// A file cannot be loaded, or did not prove that it works.
    Refused,
    /// A file may be complete at another look.
    Incomplete,
    /// A file may be loaded, but something else serves.
    Shadowed,
    /// A plugin claims a driver that another one claims too.
    Conflict,
    /// A plugin serves as before, but something else is to be said of it.
    Changed,
    /// A file, or what ran of it, is no more.
    Removed,
}

/// One row that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What happened.
    pub change: ChangeKind,
    /// For `replaced`, the version that served before; else null.
    pub replaces: Option<String>,
    /// The row as it is now; of a removed one, as it was.
    #[serde(flatten)]
    pub row: PluginReport,
}

/// The answer to a rescan. The JSON form is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rescan {
    /// Why the folder could not be listed; then nothing was changed.
    pub folder_error: Option<String>,
    /// Entries `*.so` of the folder.
    pub files_seen: usize,
    /// Of those, how many were read, because they were new or may have changed.
    pub files_read: usize,
    /// How long it took, milliseconds, waiting for another rescan not included.
    pub duration_ms: u64,
    /// What changed, in the order of the rows.
    pub changes: Vec<Change>,
}

/// What differs between two looks.
pub(super) fn changes(before: &[PluginReport], after: &[PluginReport]) -> Vec<Change> {
    let key = |row: &PluginReport| (row.file.clone(), row.sha256.clone());
    let mut were: HashMap<_, &PluginReport> = before.iter().map(|row| (key(row), row)).collect();
    let mut changes = Vec::new();
    for row in after {
        let was = were.remove(&key(row));
        if was == Some(row) {
            continue;
        }
        let replaces = replaced_by(row, was, before);
        let change = match row.state {
            PluginState::Loaded | PluginState::Degraded if replaces.is_some() => ChangeKind::Replaced,
            PluginState::Loaded | PluginState::Degraded if was.is_some_and(serves) => ChangeKind::Changed,
            PluginState::Loaded | PluginState::Degraded => ChangeKind::Added,
            PluginState::Refused => ChangeKind::Refused,
            PluginState::Incomplete => ChangeKind::Incomplete,
            PluginState::Shadowed => ChangeKind::Shadowed,
            PluginState::Conflict => ChangeKind::Conflict,
            PluginState::Retired => ChangeKind::Retired,
        };
        changes.push(Change { change, replaces, row: row.clone() });
    }
    let mut removed: Vec<&PluginReport> = were.into_values().collect();
    removed.sort_by(|a, b| (&a.file, &a.sha256).cmp(&(&b.file, &b.sha256)));
    let removed = removed.into_iter().filter(|row| !moved(row, after));
    changes.extend(removed.map(|row| Change { change: ChangeKind::Removed, replaces: None, row: row.clone() }));
    changes
}

fn serves(row: &PluginReport) -> bool {
    matches!(row.state, PluginState::Loaded | PluginState::Degraded | PluginState::Conflict)
}

/// The version that `row` took over from.
fn replaced_by(row: &PluginReport, was: Option<&PluginReport>, before: &[PluginReport]) -> Option<String> {
    if !serves(row) || was.is_some_and(serves) {
        return None;
    }
    let served = before.iter().find(|other| serves(other) && other.name == row.name && row.name.is_some())?;
    (served.sha256 != row.sha256).then(|| served.version.clone()).flatten()
}

/// Whether what a row was of has another row now: the same bytes, or another file of that name.
fn moved(row: &PluginReport, after: &[PluginReport]) -> bool {
    after.iter().any(|now| now.file == row.file || (now.sha256.is_some() && now.sha256 == row.sha256))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(file: &str, version: u64, state: PluginState) -> PluginReport {
        PluginReport {
            file: file.to_owned(),
            path: format!("plugins/{file}"),
            state,
            reason: None,
            name: Some("tape".to_owned()),
            version: Some(format!("{version}.0.0")),
            api: None,
            api_min: None,
            drivers: None,
            size: Some(1),
            sha256: Some(format!("{version:064}")),
            processes: Vec::new(),
        }
    }

    fn words(before: Vec<PluginReport>, after: Vec<PluginReport>) -> Vec<(ChangeKind, String, Option<String>)> {
        changes(&before, &after).into_iter().map(|c| (c.change, c.row.file, c.replaces)).collect()
    }

    #[test]
    fn each_row_that_differs_is_told_by_what_became_of_it() {
        use ChangeKind::{Added, Incomplete, Removed, Replaced, Retired, Shadowed};
        let (old, new) = (row("a.so", 1, PluginState::Loaded), row("b.so", 2, PluginState::Loaded));
        let retired = row("a.so", 1, PluginState::Retired);
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(words(vec![old.clone()], vec![old.clone()]), []);
        assert_eq!(words(vec![], vec![old.clone()]), [(Added, "a.so".to_owned(), None)]);
        assert_eq!(
            words(vec![old.clone()], vec![retired, new.clone()]),
            [(Retired, "a.so".to_owned(), None), (Replaced, "b.so".to_owned(), some("1.0.0"))]
        );
        let shadowed = row("c.so", 1, PluginState::Shadowed);
        assert_eq!(words(vec![new.clone()], vec![new.clone(), shadowed]), [(Shadowed, "c.so".to_owned(), None)]);
        let half = PluginReport { sha256: None, state: PluginState::Incomplete, ..row("d.so", 1, PluginState::Loaded) };
        assert_eq!(words(vec![], vec![half.clone()]), [(Incomplete, "d.so".to_owned(), None)]);
        assert_eq!(words(vec![half], vec![]), [(Removed, "d.so".to_owned(), None)]);
    }

    #[test]
    fn a_file_that_was_written_over_or_renamed_is_not_removed() {
        let (old, new) = (row("a.so", 1, PluginState::Loaded), row("a.so", 2, PluginState::Loaded));
        assert_eq!(words(vec![old.clone()], vec![new]).len(), 1);
        assert_eq!(words(vec![old], vec![row("b.so", 1, PluginState::Loaded)]).len(), 1);
    }
}
