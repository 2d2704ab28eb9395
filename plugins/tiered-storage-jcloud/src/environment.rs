//! The process's environment, as it was when a driver was configured, or one of a test's making.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Variables and the home folder. Values are shown to nobody: some of them are secrets.
#[derive(Clone, Default)]
pub(crate) struct Environment(Arc<reqsign_core::StaticEnv>);

impl Environment {
    /// That of the process; variables that are no text are left out.
    pub(crate) fn of_process() -> Self {
        let variables = std::env::vars_os();
        let envs = variables.filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        Self(Arc::new(reqsign_core::StaticEnv { home_dir: std::env::home_dir(), envs: envs.collect() }))
    }

    /// One with these variables alone.
    #[cfg(test)]
    pub(crate) fn of(variables: &[(&str, &str)]) -> Self {
        let envs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Self(Arc::new(reqsign_core::StaticEnv { home_dir: None, envs }))
    }

    /// The value of a variable, or `None` where it is absent or empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.envs.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }

    /// The value of the first of these variables that has one.
    pub(crate) fn first_of(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Environment").field("variables", &self.0.envs.len()).finish_non_exhaustive()
    }
}

impl reqsign_core::Env for Environment {
    fn var(&self, key: &str) -> Option<String> {
        self.get(key).map(str::to_owned)
    }

    fn vars(&self) -> HashMap<String, String> {
        self.0
            .envs
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    fn home_dir(&self) -> Option<PathBuf> {
        self.0.home_dir.clone()
    }
}
