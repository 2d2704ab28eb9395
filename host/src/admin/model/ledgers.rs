//! Our own table of a topic's ledgers: where each one's copies are, and which plugin wrote the cold one.

use serde::Serialize;
use uuid::Uuid;

use crate::managed_ledger::offload_context::OffloadState;
use crate::managed_ledger::{LedgerInfo, Snapshot};
use crate::storage::DriverOrigin;

/// One ledger.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct LedgerRow {
    ledger_id: u64,
    entries: u64,
    size: u64,
    state: &'static str,
    #[serde(rename = "where")]
    place: &'static str,
    driver: Option<String>,
    plugin_name: Option<String>,
    plugin_file: Option<String>,
    plugin_version: Option<String>,
    uid: Option<Uuid>,
    /// What was found wrong with the cold copy; the next offload makes another.
    damaged: Option<String>,
}

/// Which copies are there: `hot`, `cold` or `both`.
pub(super) fn place(offload: &OffloadState) -> &'static str {
    match (offload.has_hot(), offload.is_complete()) {
        (true, true) => "both",
        (true, false) => "hot",
        (false, _) => "cold",
    }
}

/// All ledgers, ascending; `origin` tells which plugin claims a driver now.
pub(in crate::admin) fn rows(snapshot: &Snapshot, origin: impl Fn(&str) -> Option<DriverOrigin>) -> Vec<LedgerRow> {
    snapshot.ledgers.by_id.values().map(|info| row(info, snapshot, &origin)).collect()
}

fn row(info: &LedgerInfo, snapshot: &Snapshot, origin: &impl Fn(&str) -> Option<DriverOrigin>) -> LedgerRow {
    let is_open = info.closed_ms.is_none();
    // Only a complete copy is shown: of one under way nothing can be read.
    let attempt = info.offload.attempt().filter(|_| info.offload.is_complete());
    let origin = attempt.and_then(|attempt| origin(&attempt.driver));
    LedgerRow {
        ledger_id: info.ledger_id.0,
        entries: if is_open { snapshot.open_entry_count } else { info.entry_count },
        size: if is_open { snapshot.open_size_bytes } else { info.size_bytes },
        state: if is_open { "open" } else { "closed" },
        place: place(&info.offload),
        driver: attempt.map(|attempt| attempt.driver.clone()),
        plugin_name: origin.as_ref().map(|origin| origin.plugin.clone()),
        plugin_file: origin.as_ref().map(|origin| origin.file.clone()),
        plugin_version: origin.map(|origin| origin.version),
        uid: attempt.map(|attempt| attempt.uid),
        damaged: info.offload.damage().map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::managed_ledger::offload_context::Attempt;

    #[test]
    fn a_ledger_is_where_its_copies_are() {
        let attempt = || Attempt { uid: Uuid::new_v4(), driver: "d".into(), driver_metadata: BTreeMap::new() };
        let table = [
            (OffloadState::None, "hot"),
            (OffloadState::Prepared(attempt()), "hot"),
            (OffloadState::Complete { attempt: attempt(), completed_ms: 1, damaged: None }, "both"),
            (OffloadState::HotDeleted { attempt: attempt(), completed_ms: 1 }, "cold"),
        ];
        for (state, want) in table {
            assert_eq!(place(&state), want, "{state:?}");
        }
    }
}
