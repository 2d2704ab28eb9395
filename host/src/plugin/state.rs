//! The states of a plugin file, as every report spells them, and the standing of a plugin that serves.
//!
//! A file's state is decided anew by each look at the folder. Calls move a plugin that serves between `loaded` and `degraded`,
//! whatever else is to be said of its file.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What became of a plugin file. The names are part of the JSON that users read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// It serves its drivers.
    Loaded,
    /// It cannot be a plugin of this host, or did not prove that it works.
    Refused,
    /// It may be complete at another look.
    Incomplete,
    /// A better version of the same plugin, the same content under another name, or the plugins that its drivers are pinned to
    /// serve instead.
    Shadowed,
    /// Another plugin claims one of its drivers, which that one serves or nobody; its other drivers work.
    Conflict,
    /// It serves, but its last calls all timed out, panicked or broke the contract.
    Degraded,
    /// It was replaced; what began with it ends with it.
    Retired,
}

impl fmt::Display for PluginState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Loaded => "loaded",
            Self::Refused => "refused",
            Self::Incomplete => "incomplete",
            Self::Shadowed => "shadowed",
            Self::Conflict => "conflict",
            Self::Degraded => "degraded",
            Self::Retired => "retired",
        })
    }
}

/// The state of a plugin that serves, as its calls move it.
#[derive(Debug)]
pub(super) struct Standing {
    degraded_after: u32,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    state: PluginState,
    reason: Option<String>,
    /// Calls that failed by the plugin's fault, since the last one that did not.
    failures: u32,
}

impl Standing {
    /// A plugin that is loaded; `degraded_after` faults in a row degrade it.
    pub(super) fn new(degraded_after: u32) -> Self {
        let now = Now { state: PluginState::Loaded, reason: None, failures: 0 };
        Self { degraded_after, now: Mutex::new(now) }
    }

    /// State and reason.
    pub(super) fn get(&self) -> (PluginState, Option<String>) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (now.state, now.reason.clone())
    }

    /// A call was answered, with a success or with an orderly error.
    pub(super) fn answered(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.failures = 0;
        if now.state == PluginState::Degraded {
            (now.state, now.reason) = (PluginState::Loaded, None);
        }
    }

    /// A call timed out, panicked or broke the contract. The answer is whether the plugin is degraded by it.
    pub(super) fn faulted(&self, fault: &str) -> bool {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.failures = now.failures.saturating_add(1);
        if now.failures < self.degraded_after || now.state != PluginState::Loaded {
            return false;
        }
        let reason = format!("its last {} calls failed by its own fault, the latest: {fault}", now.failures);
        (now.state, now.reason) = (PluginState::Degraded, Some(reason));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_a_row_degrade_and_one_answer_restores() {
        let standing = Standing::new(3);
        assert!(!standing.faulted("timeout"));
        standing.answered();
        assert!(!standing.faulted("timeout") && !standing.faulted("timeout"));
        assert!(standing.faulted("panic"));
        let (state, reason) = standing.get();
        assert_eq!(state, PluginState::Degraded);
        assert!(reason.unwrap().ends_with("panic"));
        standing.answered();
        assert_eq!(standing.get(), (PluginState::Loaded, None));
    }
}
