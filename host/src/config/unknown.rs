//! Keys that no table has. Whether they are mistakes is for the plugins to say, whose schemas name keys of their own; so they are
//! kept, with what is to be told if nobody knows them.

use std::collections::BTreeMap;

use super::settings::Config;

/// A key that nothing here knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownKey {
    /// As it stands in the file.
    pub key: String,
    /// Its value; what it is, a secret perhaps, is not known either.
    pub value: String,
    /// The key, its file and line, and what it may have been meant to be.
    pub told: String,
}

impl Config {
    /// Unknown keys that have a value.
    pub fn foreign_properties(&self) -> BTreeMap<String, String> {
        let given = self.unknown_keys.iter().filter(|unknown| !unknown.value.is_empty());
        given.map(|unknown| (unknown.key.clone(), unknown.value.clone())).collect()
    }
}
