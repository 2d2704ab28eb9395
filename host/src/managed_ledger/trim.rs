//! What a trim removes: whole ledgers that nobody needs, and hot copies whose lag has passed. Pure; the effects are in
//! `removal`.
//!
//! Source: Pulsar `ManagedLedgerImpl.internalTrimLedgers`, `isOffloadedNeedsDelete`.

use super::ledgers::{LedgerInfo, Ledgers};
use super::offload_context::OffloadState;
use super::position::Position;
use crate::storage::LedgerId;

/// How much acknowledged data is kept. `None` means no limit of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retention {
    /// Age of a closed ledger, milliseconds.
    pub time_ms: Option<u64>,
    /// Bytes of all ledgers, hot or cold.
    pub size_bytes: Option<u64>,
}

/// How long both copies of an offloaded ledger live (`managedLedgerOffloadDeletionLagMs`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeletionLag {
    /// Unset or negative: the hot copy stays until retention removes the ledger.
    #[default]
    Never,
    /// Milliseconds since the offload was completed; the hot copy goes once more than this has passed.
    AfterMs(u64),
}

/// What a trim looks at.
#[derive(Clone, Copy, Debug)]
pub struct TrimInput<'a> {
    /// The list.
    pub ledgers: &'a Ledgers,
    /// The exclusive end of what is durable.
    pub end: Position,
    /// Bytes in the open ledger.
    pub open_size_bytes: u64,
    /// The first unacknowledged position over all durable cursors; `None` without one.
    pub slowest: Option<Position>,
    /// Limits.
    pub retention: Retention,
    /// The lag.
    pub lag: DeletionLag,
    /// Milliseconds since 1970.
    pub now_ms: u64,
    /// Deletes every closed ledger, whatever the limits say.
    pub truncate: bool,
}

/// What a trim does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrimPlan {
    /// Ledgers that leave the list, with all their copies.
    pub delete: Vec<LedgerId>,
    /// Ledgers that lose their hot copy.
    pub delete_hot: Vec<LedgerId>,
}

/// Chooses.
pub fn plan(input: &TrimInput<'_>) -> TrimPlan {
    let closed = || input.ledgers.by_id.values().filter(|info| info.closed_ms.is_some());
    let total = input.ledgers.closed_size_bytes() + input.open_size_bytes;
    let mut removed = 0;
    let mut delete = Vec::new();
    for info in closed() {
        removed += info.size_bytes;
        let needed = input.slowest.is_some_and(|slowest| is_needed(info, slowest)) && !input.truncate;
        if needed || !(input.truncate || is_expendable(input, info, total - removed)) {
            break;
        }
        delete.push(info.ledger_id);
    }
    let delete_hot = closed()
        .filter(|info| !delete.contains(&info.ledger_id) && lag_has_passed(input, info))
        .map(|info| info.ledger_id)
        .collect();
    TrimPlan { delete, delete_hot }
}

/// Whether an entry of the ledger is not acknowledged by the slowest cursor.
fn is_needed(info: &LedgerInfo, slowest: Position) -> bool {
    slowest.ledger_id < info.ledger_id || (slowest.ledger_id == info.ledger_id && slowest.entry_id < info.entry_count)
}

/// Whether retention lets the ledger go: `left` bytes remain without it and all before it.
fn is_expendable(input: &TrimInput<'_>, info: &LedgerInfo, left: u64) -> bool {
    let over = input.retention.size_bytes.is_some_and(|max| left >= max);
    let age_ms = input.now_ms.saturating_sub(info.closed_ms.unwrap_or(input.now_ms));
    let expired = input.retention.time_ms.is_some_and(|max| age_ms > max);
    over || expired
}

fn lag_has_passed(input: &TrimInput<'_>, info: &LedgerInfo) -> bool {
    let DeletionLag::AfterMs(lag_ms) = input.lag else { return false };
    let OffloadState::Complete { completed_ms, damaged: None, .. } = info.offload else { return false };
    input.now_ms.saturating_sub(completed_ms) > lag_ms
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use uuid::Uuid;

    use super::super::offload_context::Attempt;
    use super::*;

    const NO_LIMIT: Retention = Retention { time_ms: None, size_bytes: None };
    const NOTHING: Retention = Retention { time_ms: Some(0), size_bytes: Some(0) };

    /// Three closed ledgers 1, 2, 3 of ten entries and 100 bytes, closed at 1000, 2000, 3000; an empty open one.
    fn list() -> Ledgers {
        let closed = (1..=3).map(|id| LedgerInfo {
            entry_count: 10,
            size_bytes: 100,
            closed_ms: Some(id * 1000),
            ..LedgerInfo::open(LedgerId(id))
        });
        let infos = closed.chain([LedgerInfo::open(LedgerId(4))]);
        Ledgers { by_id: infos.map(|info| (info.ledger_id, info)).collect(), ..Ledgers::default() }
    }

    fn ids(plan: &[LedgerId]) -> Vec<u64> {
        plan.iter().map(|id| id.0).collect()
    }

    fn input(ledgers: &Ledgers) -> TrimInput<'_> {
        TrimInput {
            ledgers,
            end: Position::new(LedgerId(3), 10),
            open_size_bytes: 0,
            slowest: None,
            retention: NOTHING,
            lag: DeletionLag::Never,
            now_ms: 3500,
            truncate: false,
        }
    }

    #[test]
    fn acknowledged_ledgers_go_as_a_prefix() {
        let ledgers = list();
        let at = |ledger, entry| Some(Position::new(LedgerId(ledger), entry));
        let table = [
            (None, vec![1, 2, 3]),
            (at(1, 0), vec![]),
            (at(1, 9), vec![]),
            (at(1, 10), vec![1]),
            (at(2, 5), vec![1]),
            (at(3, 10), vec![1, 2, 3]),
            (at(4, 0), vec![1, 2, 3]),
        ];
        for (slowest, want) in table {
            let plan = plan(&TrimInput { slowest, ..input(&ledgers) });
            assert_eq!(ids(&plan.delete), want, "{slowest:?}");
        }
    }

    #[test]
    fn either_limit_alone_suffices_and_none_keeps_everything() {
        let ledgers = list();
        let table = [
            (NO_LIMIT, vec![]),
            (Retention { time_ms: Some(1400), size_bytes: None }, vec![1, 2]),
            (Retention { time_ms: Some(1500), size_bytes: None }, vec![1]),
            (Retention { time_ms: None, size_bytes: Some(200) }, vec![1]),
            (Retention { time_ms: None, size_bytes: Some(201) }, vec![]),
            (Retention { time_ms: None, size_bytes: Some(0) }, vec![1, 2, 3]),
        ];
        for (retention, want) in table {
            let plan = plan(&TrimInput { retention, ..input(&ledgers) });
            assert_eq!(ids(&plan.delete), want, "{retention:?}");
        }
    }

    #[test]
    fn truncation_ignores_limits_and_cursors() {
        let ledgers = list();
        let slowest = Some(Position::new(LedgerId(1), 0));
        let plan = plan(&TrimInput { retention: NO_LIMIT, slowest, truncate: true, ..input(&ledgers) });
        assert_eq!(ids(&plan.delete), [1, 2, 3]);
    }

    #[test]
    fn hot_copies_go_strictly_after_the_lag_and_never_from_an_unsound_copy() {
        let attempt = Attempt { uid: Uuid::nil(), driver: "d".into(), driver_metadata: BTreeMap::new() };
        let complete = OffloadState::Complete { attempt: attempt.clone(), completed_ms: 3000, damaged: None };
        let damaged = OffloadState::Complete { attempt: attempt.clone(), completed_ms: 0, damaged: Some("x".into()) };
        let mut ledgers = list();
        ledgers.by_id.get_mut(&LedgerId(1)).unwrap().offload = OffloadState::Prepared(attempt);
        ledgers.by_id.get_mut(&LedgerId(2)).unwrap().offload = complete;
        ledgers.by_id.get_mut(&LedgerId(3)).unwrap().offload = damaged;
        let table = [
            (DeletionLag::Never, vec![]),
            (DeletionLag::AfterMs(0), vec![2]),
            (DeletionLag::AfterMs(499), vec![2]),
            (DeletionLag::AfterMs(500), vec![]),
        ];
        for (lag, want) in table {
            let plan = plan(&TrimInput { retention: NO_LIMIT, lag, ..input(&ledgers) });
            assert_eq!(ids(&plan.delete_hot), want, "{lag:?}");
            assert!(plan.delete.is_empty());
        }
    }

    #[test]
    fn a_ledger_that_leaves_the_list_does_not_lose_its_hot_copy_apart() {
        let attempt = Attempt { uid: Uuid::nil(), driver: "d".into(), driver_metadata: BTreeMap::new() };
        let mut ledgers = list();
        for info in ledgers.by_id.values_mut().take(3) {
            info.offload = OffloadState::Complete { attempt: attempt.clone(), completed_ms: 0, damaged: None };
        }
        let slowest = Some(Position::new(LedgerId(2), 0));
        let plan = plan(&TrimInput { slowest, lag: DeletionLag::AfterMs(0), ..input(&ledgers) });
        assert_eq!((ids(&plan.delete), ids(&plan.delete_hot)), (vec![1], vec![2, 3]));
    }
}
