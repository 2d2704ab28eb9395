//! The state of a topic's manual offload.

use serde_json::{Value, json};

use super::message::full_message_id;
use crate::managed_ledger::WirePosition;
use crate::offload::OffloadStatus;

const NONE: WirePosition = WirePosition { ledger_id: -1, entry_id: -1 };

/// The original's `OffloadProcessStatus`.
pub(in crate::admin) fn status(status: &OffloadStatus) -> Value {
    let (name, error, first) = match status {
        OffloadStatus::NotRun => ("NOT_RUN", "", NONE),
        OffloadStatus::Running => ("RUNNING", "", NONE),
        OffloadStatus::Success { first_unoffloaded } => ("SUCCESS", "", first_unoffloaded.on_wire()),
        OffloadStatus::Error(text) => ("ERROR", text.as_str(), NONE),
    };
    json!({ "status": name, "lastError": error, "firstUnoffloadedMessage": full_message_id(first) })
}
