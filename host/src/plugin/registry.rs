//! Who serves which driver, and what is said when nobody does. Pure: made by each look at the folder, then only read.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::claims::{Rule, Ruling};
use super::generation::Generation;
use super::pins::{self, PIN_KEY_PREFIX, Pins};
use super::report::PluginReport;
use super::rows::Row;
use super::state::PluginState;

/// The most edits between a name that was asked for and one that is suggested.
const NEAR_EDITS_MAX: usize = 2;

/// The most files that an error lists with their reasons.
const LISTED_FILES_MAX: usize = 20;

/// A plugin's claim on a driver.
#[derive(Clone)]
pub(super) struct Claim {
    /// In the plugin's spelling.
    pub(super) driver: String,
    pub(super) generation: Arc<Generation>,
}

/// A driver, who claims it and who serves it.
#[derive(Clone)]
pub(super) struct Service {
    /// In the first claimant's spelling.
    pub(super) driver: String,
    /// By file name; never empty.
    pub(super) claims: Vec<Claim>,
    pub(super) ruling: Ruling,
}

impl Service {
    /// Who serves it, if anybody does.
    pub(super) fn server(&self) -> Option<&Claim> {
        self.claims.get(self.ruling.server?)
    }

    /// What an operator should do something about: completes "driver X …".
    pub(super) fn problem(&self, pins: &Pins) -> Option<String> {
        let claimants: Vec<String> = self.claims.iter().map(|claim| claim.generation.label()).collect();
        let claimants = claimants.join(" and ");
        match self.ruling.rule {
            Rule::Alone | Rule::Pinned => None,
            Rule::Incumbent => {
                let server = &self.server()?.generation.plugin().file;
                let danger = format!("at the next start nobody does unless {} names one", self.key());
                Some(format!("is claimed by {claimants}; {server} had it first and serves on, {danger}"))
            }
            Rule::Conflict => Some(format!("is claimed by {claimants}, so nobody serves it")),
            Rule::PinUnmatched => {
                let line = pins.of(&self.driver).map(|pin| pins::line(&self.driver, pin)).unwrap_or_default();
                Some(format!("is claimed by {claimants}, but {line} names what is not there"))
            }
        }
    }

    /// The key that pins it.
    pub(super) fn key(&self) -> String {
        format!("{PIN_KEY_PREFIX}{}", self.driver.to_ascii_lowercase())
    }
}

/// What a look came to.
pub(super) struct Registry {
    pub(super) directory: PathBuf,
    /// Why the folder could not be listed.
    pub(super) folder_error: Option<String>,
    /// What is wrong with the policy.
    pub(super) policy_problems: Vec<String>,
    pub(super) rows: Vec<Row>,
    /// By driver, in lower case.
    pub(super) services: Vec<Service>,
    pub(super) pins: Pins,
    /// The generations in charge, by plugin.
    pub(super) serving: Vec<Arc<Generation>>,
    /// Those that went, oldest first.
    pub(super) relieved: Vec<Arc<Generation>>,
    /// Bytes of libraries that are loaded and not in charge, by name and version of their plugins.
    pub(super) retired: BTreeMap<(String, String), u64>,
    /// When it was made, milliseconds since 1970.
    pub(super) looked_ms: u64,
}

impl Registry {
    /// The driver, in any letter case, if anybody claims it.
    pub(super) fn service(&self, driver: &str) -> Option<&Service> {
        self.services.iter().find(|service| service.driver.eq_ignore_ascii_case(driver))
    }

    /// The plugin that serves `driver`, in any letter case.
    ///
    /// # Errors
    /// The sentence that tells what is there instead.
    pub(super) fn claim(&self, driver: &str) -> Result<&Claim, String> {
        let Some(service) = self.service(driver) else { return Err(self.unclaimed(driver)) };
        service.server().ok_or_else(|| self.unserved(driver, service))
    }

    /// Several claim it, or what is pinned is not there.
    fn unserved(&self, driver: &str, service: &Service) -> String {
        let problem = service.problem(&self.pins).unwrap_or_default();
        let advice = match service.ruling.rule {
            Rule::PinUnmatched => format!("put the pinned plugin there or change {}", service.key()),
            _ => format!("remove one of the files, or name one by {}", service.key()),
        };
        let text = format!("driver `{driver}` {problem}; looked in {}", self.directory.display());
        format!("{text}{}; {advice}", self.not_loaded())
    }

    fn unclaimed(&self, driver: &str) -> String {
        let mut text =
            format!("no offloader claims driver `{driver}`; looked in {}, found: ", self.directory.display());
        let claimed: Vec<String> = self.services.iter().map(described).collect();
        text += &if claimed.is_empty() { "none".to_owned() } else { claimed.join(", ") };
        if let Some(problem) = &self.folder_error {
            text += &format!(" ({problem})");
        }
        let near = self.services.iter().map(|service| &service.driver).filter(|claimed| is_near(driver, claimed));
        let near: Vec<String> = near.map(|near| format!("`{near}`")).collect();
        if !near.is_empty() {
            text += &format!("; did you mean {}?", near.join(" or "));
        }
        if let Some(pin) = self.pins.of(driver) {
            text += &format!("; {} names what is not there", pins::line(driver, pin));
        }
        text += &self.not_loaded();
        text + "; put the plugin there or change managedLedgerOffloadDriver"
    }

    /// `; not loaded: FILE: REASON; …`, where there are such files.
    fn not_loaded(&self) -> String {
        let is_out = |row: &PluginReport| {
            matches!(row.state, PluginState::Refused | PluginState::Incomplete | PluginState::Shadowed)
        };
        let out: Vec<PluginReport> = self.rows.iter().map(Row::now).filter(is_out).collect();
        if out.is_empty() {
            return String::new();
        }
        let listed = out.iter().take(LISTED_FILES_MAX).map(|row| {
            let claimed = row.drivers.as_ref().map(|drivers| format!(" (for {})", drivers.join(", ")));
            let reason = row.reason.as_deref().unwrap_or_default();
            format!("{}{}: {reason}", row.file, claimed.unwrap_or_default())
        });
        let mut text = format!("; not loaded: {}", listed.collect::<Vec<_>>().join("; "));
        if out.len() > LISTED_FILES_MAX {
            text += &format!("; and {} more", out.len() - LISTED_FILES_MAX);
        }
        text
    }
}

/// A claimed driver, and what is wrong with it.
fn described(service: &Service) -> String {
    let note = match service.ruling.rule {
        Rule::Conflict => " (claimed twice, served by nobody)",
        Rule::PinUnmatched => " (pinned to what is not there)",
        Rule::Alone | Rule::Pinned | Rule::Incumbent => "",
    };
    format!("{}{note}", service.driver)
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

    fn empty(pins: Pins) -> Registry {
        Registry {
            directory: "offloaders".into(),
            folder_error: None,
            policy_problems: Vec::new(),
            rows: Vec::new(),
            services: Vec::new(),
            pins,
            serving: Vec::new(),
            relieved: Vec::new(),
            retired: BTreeMap::new(),
            looked_ms: 0,
        }
    }

    #[test]
    fn an_empty_folder_says_what_to_do() {
        let text = empty(Pins::default()).claim("aws-s3").err().unwrap();
        assert_eq!(
            text,
            "no offloader claims driver `aws-s3`; looked in offloaders, found: none; put the plugin there or change \
             managedLedgerOffloadDriver"
        );
    }

    #[test]
    fn a_pin_that_names_nothing_is_told() {
        let pin = pins::Pin { plugin: "tape".to_owned(), version: None };
        let text = empty(Pins([("aws-s3".to_owned(), pin)].into())).claim("AWS-S3").err().unwrap();
        assert!(text.contains("managedLedgerOffloadDriverPlugin.aws-s3=tape names what is not there"), "{text}");
    }
}
