//! A driver's configuration as the host hands it over, and the problems a plugin may find in it.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// The configuration of one driver instance.
///
/// `properties` are the merged offload settings in Pulsar's own key spelling (`fileSystemURI`,
/// `managedLedgerOffloadBucket`, `managedLedgerOffloadExtraConfig…`), values trimmed; an empty value is absent. The host
/// hands over every offload key, also those that this driver does not know: ignore them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DriverConfig {
    /// The driver as the plugin claims it (`filesystem`), whatever letter case the configuration used.
    pub driver: String,
    /// Key to value.
    pub properties: BTreeMap<String, String>,
    /// Where a relative path is looked for, in this order: the working folder, then the configuration file's folder.
    pub search_folders: Vec<PathBuf>,
}

impl DriverConfig {
    /// The value of `key`, or `None` where it is absent or empty.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.properties.get(key).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// Finds the existing file that `path` (the value of `key`) names: absolute as it is, relative in each search folder.
    ///
    /// # Errors
    /// A [`ConfigProblem`] that names every place that was looked at.
    pub fn find_file(&self, key: &str, path: &str) -> Result<PathBuf, ConfigProblem> {
        let path_as_given = Path::new(path);
        let candidates: Vec<PathBuf> = if path_as_given.is_absolute() || self.search_folders.is_empty() {
            vec![path_as_given.to_owned()]
        } else {
            self.search_folders.iter().map(|folder| folder.join(path_as_given)).collect()
        };
        if let Some(found) = candidates.iter().find(|candidate| candidate.is_file()) {
            return Ok(found.clone());
        }
        let looked: Vec<String> = candidates.iter().map(|candidate| candidate.display().to_string()).collect();
        Err(ConfigProblem::new(key, format!("no file at {}", looked.join(" nor at "))).with_value(path))
    }
}

/// One thing wrong with a configuration: the key, its value where that may be shown, and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigProblem {
    /// The key, in Pulsar's spelling.
    pub key: String,
    /// The value, never a secret.
    pub value: Option<String>,
    /// What is wrong and what is allowed; lower case, no full stop.
    pub problem: String,
}

impl ConfigProblem {
    /// A problem with `key`.
    pub fn new(key: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { key: key.into(), value: None, problem: problem.into() }
    }

    /// Shows the value as well; never call this for a secret.
    #[must_use]
    pub fn with_value(mut self, value: impl Into<String>) -> Self {
        self.value = Some(value.into());
        self
    }
}

impl fmt::Display for ConfigProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.value {
            Some(value) => write!(f, "{}={}: {}", self.key, value, self.problem),
            None => write!(f, "{}: {}", self.key, self.problem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_relative_file_names_every_place() {
        let config = DriverConfig {
            search_folders: vec!["/nowhere/work".into(), "/nowhere/conf".into()],
            ..DriverConfig::default()
        };
        let problem = config.find_file("fileSystemProfilePath", "p.xml").unwrap_err();
        assert_eq!(
            problem.to_string(),
            "fileSystemProfilePath=p.xml: no file at /nowhere/work/p.xml nor at /nowhere/conf/p.xml"
        );
    }

    #[test]
    fn an_empty_value_is_absent() {
        let config = DriverConfig { properties: [("a".to_owned(), " ".to_owned())].into(), ..DriverConfig::default() };
        assert_eq!(config.get("a"), None);
    }
}
