//! Who serves which driver, and what is said when nobody does. Pure: built once for each look at the folder, then only read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::loaded::LoadedPlugin;
use super::report::PluginReport;
use super::state::PluginState;

/// The most edits between a name that was asked for and one that is suggested.
const NEAR_EDITS_MAX: usize = 2;

/// The most files that an error lists with their reasons.
const LISTED_FILES_MAX: usize = 20;

/// One file of the folder after everything was decided.
pub(super) struct Row {
    /// As it was when the folder was looked at.
    pub(super) report: PluginReport,
    /// Present where the plugin serves; then its standing overrides the report's state.
    pub(super) plugin: Option<Arc<LoadedPlugin>>,
}

impl Row {
    pub(super) fn now(&self) -> PluginReport {
        let mut report = self.report.clone();
        if let Some(plugin) = &self.plugin {
            (report.state, report.reason) = plugin.standing.get();
        }
        report
    }
}

/// A driver that one plugin serves.
#[derive(Clone)]
pub(super) struct Claim {
    /// In the plugin's spelling.
    pub(super) driver: String,
    pub(super) plugin: Arc<LoadedPlugin>,
}

/// The rows in the order of the file names, and the claims of the plugins among them.
pub(super) struct Registry {
    directory: PathBuf,
    /// Why the folder could not be listed.
    pub(super) folder_error: Option<String>,
    pub(super) rows: Vec<Row>,
    /// By driver name in lower case; several plugins mean that nobody serves it.
    claims: BTreeMap<String, Vec<Claim>>,
}

impl Registry {
    /// Records the claims of the rows that serve; marks both sides of a doubled claim.
    pub(super) fn new(directory: PathBuf, folder_error: Option<String>, rows: Vec<Row>) -> Self {
        let mut claims: BTreeMap<String, Vec<Claim>> = BTreeMap::new();
        for plugin in rows.iter().filter_map(|row| row.plugin.as_ref()) {
            for driver in &plugin.note.drivers {
                let claim = Claim { driver: driver.clone(), plugin: Arc::clone(plugin) };
                claims.entry(driver.to_ascii_lowercase()).or_default().push(claim);
            }
        }
        let registry = Self { directory, folder_error, rows, claims };
        registry.mark_conflicts();
        registry
    }

    fn mark_conflicts(&self) {
        let mut reasons: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for claims in self.claims.values().filter(|claims| claims.len() > 1) {
            for claim in claims {
                let others: Vec<String> = claims
                    .iter()
                    .filter(|other| !Arc::ptr_eq(&other.plugin, &claim.plugin))
                    .map(|other| format!("{} ({})", other.plugin.file, other.plugin.label()))
                    .collect();
                let text = format!("driver `{}` is also claimed by {}", claim.driver, others.join(" and "));
                reasons.entry(&claim.plugin.file).or_default().push(text);
            }
        }
        for plugin in self.rows.iter().filter_map(|row| row.plugin.as_ref()) {
            if let Some(reasons) = reasons.get(plugin.file.as_str()) {
                let advice = "nobody serves it until one of the files is removed";
                plugin.standing.conflict(format!("{}; {advice}", reasons.join("; ")));
            }
        }
    }

    /// The plugin that serves `driver`, in any letter case.
    ///
    /// # Errors
    /// The sentence that tells what is there instead.
    pub(super) fn claim(&self, driver: &str) -> Result<&Claim, String> {
        match self.claims.get(&driver.to_ascii_lowercase()).map(Vec::as_slice) {
            Some([claim]) => Ok(claim),
            Some(claims) => Err(self.doubled(driver, claims)),
            None => Err(self.unclaimed(driver)),
        }
    }

    fn doubled(&self, driver: &str, claims: &[Claim]) -> String {
        let files: Vec<String> =
            claims.iter().map(|claim| format!("{} ({})", claim.plugin.file, claim.plugin.label())).collect();
        format!(
            "driver `{driver}` is claimed by {} in {}, so nobody serves it; remove one of the files",
            files.join(" and "),
            self.directory.display()
        )
    }

    fn unclaimed(&self, driver: &str) -> String {
        let mut text =
            format!("no offloader claims driver `{driver}`; looked in {}, found: ", self.directory.display());
        let served: Vec<&str> =
            self.claims.values().filter_map(|claims| claims.first()).map(|claim| claim.driver.as_str()).collect();
        text += &if served.is_empty() { "none".to_owned() } else { served.join(", ") };
        if let Some(problem) = &self.folder_error {
            text += &format!(" ({problem})");
        }
        let near: Vec<String> =
            served.iter().filter(|served| is_near(driver, served)).map(|near| format!("`{near}`")).collect();
        if !near.is_empty() {
            text += &format!("; did you mean {}?", near.join(" or "));
        }
        let refused: Vec<PluginReport> = self
            .rows
            .iter()
            .map(Row::now)
            .filter(|row| matches!(row.state, PluginState::Refused | PluginState::Incomplete))
            .collect();
        if !refused.is_empty() {
            let listed = refused.iter().take(LISTED_FILES_MAX);
            let listed = listed.map(|row| format!("{}: {}", row.file, row.reason.as_deref().unwrap_or_default()));
            text += &format!("; not loaded: {}", listed.collect::<Vec<_>>().join("; "));
            if refused.len() > LISTED_FILES_MAX {
                text += &format!("; and {} more", refused.len() - LISTED_FILES_MAX);
            }
        }
        text + "; put the plugin there or change managedLedgerOffloadDriver"
    }
}

/// Whether `served` may be what was meant by `asked`: few edits apart, or one inside the other (`S3` in `aws-s3`).
fn is_near(asked: &str, served: &str) -> bool {
    let (asked, served) = (asked.to_ascii_lowercase(), served.to_ascii_lowercase());
    let contained = asked.len() >= 2 && (served.contains(&asked) || asked.contains(&served));
    contained || edits(&asked, &served) <= NEAR_EDITS_MAX.min(asked.len() / 2)
}

/// Insertions, deletions and replacements that lead from `a` to `b` (Levenshtein).
pub(super) fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().take(longshore_plugin_api::note::NAME_BYTES_MAX).collect();
    let mut previous: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().take(longshore_plugin_api::note::NAME_BYTES_MAX).enumerate() {
        let mut row = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replaced = previous[j] + usize::from(from != *to);
            row.push(replaced.min(previous[j + 1] + 1).min(row[j] + 1));
        }
        previous = row;
    }
    previous[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_may_be_meant() {
        for (asked, served) in [("S3", "aws-s3"), ("filesytem", "filesystem"), ("file-system", "filesystem")] {
            assert!(is_near(asked, served), "{asked} {served}");
        }
        for (asked, served) in [("azureblob", "filesystem"), ("x", "s3"), ("ab", "cd")] {
            assert!(!is_near(asked, served), "{asked} {served}");
        }
    }

    #[test]
    fn edits_are_counted() {
        assert_eq!(edits("kitten", "sitting"), 3);
        assert_eq!(edits("", "abc"), 3);
        assert_eq!(edits("same", "same"), 0);
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let registry = Registry::new("offloaders".into(), None, Vec::new());
        let text = registry.claim("aws-s3").err().unwrap();
        assert_eq!(
            text,
            "no offloader claims driver `aws-s3`; looked in offloaders, found: none; put the plugin there or change \
             managedLedgerOffloadDriver"
        );
    }
}
