//! The keys of a configuration as a driver looks them up, and what is found wrong with them.
//!
//! Pulsar spells a property as `managedLedgerOffload<Property>`, and for some drivers as `s3ManagedLedgerOffload<Property>` or
//! `gcsManagedLedgerOffload<Property>` as well. The first of a driver's spellings that has a value counts. To the original an
//! empty value is one; here it is none, so that a key that the shipped file lists empty hides no other.
//!
//! Keys that the original does not have are extra configuration: `managedLedgerOffloadExtraConfig<Name>` of a broker,
//! `managedLedgerExtraConfigurations` of a policy.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use longshore_plugin_api::{ConfigProblem, DriverConfig};

use crate::environment::Environment;

/// What the keys of all drivers begin with.
pub(crate) const GENERIC: &str = "managedLedgerOffload";
/// What further keys of S3 begin with.
pub(crate) const S3: &str = "s3ManagedLedgerOffload";
/// What further keys of Google Cloud Storage begin with.
pub(crate) const GCS: &str = "gcsManagedLedgerOffload";
/// What keys that the original does not have begin with.
const EXTRA: &str = "managedLedgerOffloadExtraConfig";

/// A configuration that is being read.
pub(crate) struct Keys<'a> {
    config: &'a DriverConfig,
    environment: &'a Environment,
    /// What the driver's keys begin with, what counts more first.
    spellings: &'static [&'static str],
    problems: Vec<ConfigProblem>,
}

impl<'a> Keys<'a> {
    pub(crate) fn new(
        config: &'a DriverConfig,
        environment: &'a Environment,
        spellings: &'static [&'static str],
    ) -> Self {
        Self { config, environment, spellings, problems: Vec::new() }
    }

    /// The environment beside the keys.
    pub(crate) fn environment(&self) -> &'a Environment {
        self.environment
    }

    /// The key that a property is best given by.
    pub(crate) fn key_of(&self, property: &str) -> String {
        format!("{}{property}", self.spellings.first().unwrap_or(&GENERIC))
    }

    /// The value of a key in full.
    pub(crate) fn value(&self, key: &str) -> Option<&'a str> {
        self.config.get(key)
    }

    /// The value of a property, and the key that gives it.
    pub(crate) fn property(&self, property: &str) -> Option<(String, &'a str)> {
        self.spellings.iter().find_map(|spelling| {
            let key = format!("{spelling}{property}");
            let value = self.config.get(&key)?;
            Some((key, value))
        })
    }

    /// The value of a key that the original does not have, and the key.
    pub(crate) fn extra(&self, name: &str) -> Option<(String, &'a str)> {
        let key = format!("{EXTRA}{name}");
        let value = self.config.get(&key)?;
        Some((key, value))
    }

    /// The file that a key names, which must be there. Quotes around its name are none of it: documents show them.
    pub(crate) fn file(&mut self, key: &str) -> Option<PathBuf> {
        let value = self.config.get(key)?;
        let bare = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        self.config.find_file(key, bare).map_err(|problem| self.wrong(problem)).ok()
    }

    /// Notes something wrong.
    pub(crate) fn wrong(&mut self, problem: ConfigProblem) {
        self.problems.push(problem);
    }

    /// Ends with what was read, or with all that is wrong.
    pub(crate) fn finish<T>(self, read: Option<T>) -> Result<T, Vec<ConfigProblem>> {
        match read {
            Some(read) if self.problems.is_empty() => Ok(read),
            _ => Err(self.problems),
        }
    }

    /// A number, where there is one.
    pub(crate) fn number<T: FromStr + PartialOrd + Display>(
        &mut self,
        given: Option<(String, &str)>,
        allowed: RangeInclusive<T>,
    ) -> Option<T> {
        let (key, value) = given?;
        let number = value.parse().ok().filter(|number| allowed.contains(number));
        if number.is_none() {
            let problem = format!("not a number from {} to {}", allowed.start(), allowed.end());
            self.wrong(ConfigProblem::new(key, problem).with_value(value));
        }
        number
    }

    /// One of some words, where there is one.
    pub(crate) fn word<T: Copy>(&mut self, given: Option<(String, &str)>, words: &[(&str, T)]) -> Option<T> {
        let (key, value) = given?;
        let meant = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(value)).map(|(_, meant)| *meant);
        if meant.is_none() {
            let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            self.wrong(ConfigProblem::new(key, format!("not one of {}", known.join(", "))).with_value(value));
        }
        meant
    }

    /// `true` or `false`, where there is one.
    pub(crate) fn flag(&mut self, given: Option<(String, &str)>) -> Option<bool> {
        self.word(given, &[("true", true), ("false", false)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_spelling_with_a_value_counts() {
        type Given = &'static [(&'static str, &'static str)];
        let table: &[(Given, Option<&str>)] = &[
            (&[("s3ManagedLedgerOffloadBucket", "a"), ("managedLedgerOffloadBucket", "b")], Some("a")),
            (&[("s3ManagedLedgerOffloadBucket", ""), ("managedLedgerOffloadBucket", "b")], Some("b")),
            (&[("managedLedgerOffloadBucket", " b ")], Some("b")),
            (&[("gcsManagedLedgerOffloadBucket", "c")], None),
            (&[], None),
        ];
        for (given, expected) in table {
            let config = DriverConfig {
                properties: given.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect(),
                ..DriverConfig::default()
            };
            let environment = Environment::default();
            let keys = Keys::new(&config, &environment, &[S3, GENERIC]);
            assert_eq!(keys.property("Bucket").map(|(_, value)| value), *expected, "{given:?}");
        }
    }
}
