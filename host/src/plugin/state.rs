//! The states of a plugin file and their legal moves.
//!
//! A file enters as one of `loaded`, `refused`, `incomplete`, `shadowed` and `conflict`, decided once per look at the folder.
//! While it serves, calls move it between `loaded` and `degraded`; a replaced one ends as `retired`. `retired` and `refused`
//! are final for one content.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

/// What became of a plugin file. The names are part of the JSON that users read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PluginState {
    /// It serves its drivers.
    Loaded,
    /// It cannot be a plugin of this host.
    Refused,
    /// It may be complete at another look.
    Incomplete,
    /// A higher version of the same plugin, or the same content under another name, serves instead.
    Shadowed,
    /// Another plugin claims one of its drivers, which therefore nobody serves; its other drivers work.
    Conflict,
    /// It serves, but its last calls all timed out, panicked or broke the contract.
    Degraded,
    /// It was replaced; what began with it ends with it.
    Retired,
}

impl PluginState {
    /// Whether a file in this state may move to `next`.
    pub fn may_become(self, next: Self) -> bool {
        use PluginState::{Conflict, Degraded, Incomplete, Loaded, Refused, Retired, Shadowed};
        match self {
            Loaded => matches!(next, Degraded | Conflict | Shadowed | Retired),
            Degraded => matches!(next, Loaded | Conflict | Shadowed | Retired),
            Conflict => matches!(next, Loaded | Degraded | Shadowed | Retired),
            Shadowed => matches!(next, Loaded | Conflict | Refused | Retired),
            Incomplete => matches!(next, Loaded | Refused | Shadowed | Conflict),
            Refused | Retired => false,
        }
    }
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
    /// A plugin that serves; `degraded_after` faults in a row degrade it.
    pub(super) fn new(degraded_after: u32) -> Self {
        let now = Now { state: PluginState::Loaded, reason: None, failures: 0 };
        Self { degraded_after, now: Mutex::new(now) }
    }

    /// State and reason.
    pub(super) fn get(&self) -> (PluginState, Option<String>) {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        (now.state, now.reason.clone())
    }

    /// A driver of it is claimed by another plugin too.
    pub(super) fn conflict(&self, reason: String) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.become_state(PluginState::Conflict, Some(reason));
    }

    /// A call was answered, with a success or with an orderly error.
    pub(super) fn answered(&self) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.failures = 0;
        if now.state == PluginState::Degraded {
            now.become_state(PluginState::Loaded, None);
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
        now.become_state(PluginState::Degraded, Some(reason));
        true
    }
}

impl Now {
    fn become_state(&mut self, next: PluginState, reason: Option<String>) {
        if self.state == next || self.state.may_become(next) {
            self.state = next;
            self.reason = reason;
        }
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

    #[test]
    fn a_conflict_is_not_hidden_by_calls_of_other_drivers() {
        let standing = Standing::new(1);
        standing.conflict("driver `x`".to_owned());
        standing.faulted("timeout");
        standing.answered();
        assert_eq!(standing.get().0, PluginState::Conflict);
    }

    #[test]
    fn what_is_refused_or_retired_stays_so() {
        for next in [PluginState::Loaded, PluginState::Degraded, PluginState::Conflict] {
            assert!(!PluginState::Refused.may_become(next));
            assert!(!PluginState::Retired.may_become(next));
        }
    }
}
