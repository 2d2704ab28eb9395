//! Why a tool could not do what it was told, and how each tool says so.

use serde_json::json;

use crate::cli::http::CallError;

/// Why something was not done.
#[derive(Debug)]
pub(in crate::cli) enum Failure {
    /// The broker said no.
    Refused {
        /// HTTP status.
        status: u16,
        /// Its words.
        reason: String,
    },
    /// Nobody answers there.
    Unreachable {
        /// Where.
        url: String,
        /// What the system said.
        problem: String,
    },
    /// The tool found out by itself.
    Found(String),
    /// The line is wrong in a way that only the command sees; the usage follows.
    Usage(String),
    /// A name or a value is wrong; the usage would not help.
    Wrong(String),
    /// It has been said already, on the standard output; this explains.
    Said(String),
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match error {
            CallError::Refused { status, reason } => Self::Refused { status, reason },
            CallError::Unreachable { url, problem } => Self::Unreachable { url, problem },
        }
    }
}

impl Failure {
    /// In one sentence.
    pub(in crate::cli) fn sentence(&self) -> String {
        match self {
            Self::Refused { reason, .. } => reason.clone(),
            Self::Unreachable { url, problem } => {
                format!("Could not reach {url}: {problem}. Is the broker running, and is this its REST API?")
            }
            Self::Found(text) | Self::Usage(text) | Self::Wrong(text) | Self::Said(text) => text.clone(),
        }
    }

    /// As pulsar-admin prints it: the broker's word or `null`, a blank line, the reason.
    pub(in crate::cli) fn as_pulsar_admin(&self, usage: &str) -> String {
        let sentence = self.sentence();
        match self {
            Self::Refused { .. } => format!("{sentence}\n\nReason: {sentence}\n"),
            Self::Unreachable { .. } | Self::Found(_) | Self::Said(_) => format!("null\n\nReason: {sentence}\n"),
            Self::Usage(_) => format!("{sentence}\n{usage}"),
            Self::Wrong(_) => format!("{sentence}\n"),
        }
    }

    /// As pulsarctl prints it.
    pub(in crate::cli) fn as_pulsarctl(&self) -> String {
        match self {
            Self::Refused { status, reason } => format!("[✖]  code: {status} reason: {reason}\n"),
            other => format!("[✖]  {}\n", other.sentence()),
        }
    }

    /// As `--json` has it.
    pub(in crate::cli) fn as_json(&self) -> String {
        let status = match self {
            Self::Refused { status, .. } => Some(*status),
            _ => None,
        };
        format!("{}\n", json!({ "error": self.sentence(), "status": status }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_tool_has_its_own_way_to_say_no() {
        let refused = Failure::Refused { status: 404, reason: "Topic t not found".to_owned() };
        assert_eq!(refused.as_pulsar_admin("u"), "Topic t not found\n\nReason: Topic t not found\n");
        assert_eq!(refused.as_pulsarctl(), "[✖]  code: 404 reason: Topic t not found\n");
        assert_eq!(refused.as_json(), "{\"error\":\"Topic t not found\",\"status\":404}\n");
        assert_eq!(Failure::Found("why".to_owned()).as_pulsar_admin("u"), "null\n\nReason: why\n");
        assert_eq!(Failure::Usage("bad".to_owned()).as_pulsar_admin("usage\n"), "bad\nusage\n");
        assert_eq!(Failure::Wrong("bad".to_owned()).as_pulsar_admin("usage\n"), "bad\n");
    }
}
