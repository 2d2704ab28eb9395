//! What would be recorded of a topic, or why it cannot be. Pure.
//!
//! Invariant: a plan names complete cold copies only, and its `next_ledger_id` lies behind every ledger that the original ever
//! named for the topic, so that whatever is written here comes after what was written there.

use std::collections::BTreeMap;

use super::source::{CursorOrigin, SourceCopy, SourceCursor, SourceLedger, SourceTopic};
use crate::managed_ledger::offload_context::{Attempt, OffloadState};
use crate::managed_ledger::records::StoredCursor;
use crate::managed_ledger::{LedgerInfo, Ledgers, Position};
use crate::storage::LedgerId;

/// No ledger's id may be greater: ids are signed 64-bit numbers for clients, and new ones must follow.
const LEDGER_ID_MAX: u64 = i64::MAX as u64 - (1 << 32);

/// How ledgers that cannot be read are treated, and what stands in for what the original does not tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    /// Whether a topic is imported without the ledgers that have no complete cold copy.
    pub leave_behind: bool,
    /// The driver of copies whose driver is not told.
    pub driver: String,
    /// What that driver would record.
    pub driver_metadata: BTreeMap<String, String>,
    /// What is recorded in any case, such as another bucket.
    pub overrules: BTreeMap<String, String>,
}

/// What is to be recorded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPlan {
    /// The list.
    pub ledgers: Ledgers,
    /// Subscriptions, and where each place comes from.
    pub cursors: BTreeMap<String, (StoredCursor, CursorOrigin)>,
    /// Ledgers that stay where they are, and why.
    pub left_behind: Vec<(u64, String)>,
    /// The least id of a ledger that is made here afterwards.
    pub next_ledger_id: u64,
}

/// Why a topic is not imported; one sentence for each reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal(pub Vec<String>);

/// What stands under the topic's name already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Nothing.
    Absent,
    /// What the plan would record, and perhaps ledgers that came later.
    Imported,
    /// Something else; the sentence says what.
    Other(String),
}

/// Plans the import of a topic.
///
/// # Errors
/// Every reason against it.
pub fn plan(topic: &SourceTopic, rules: &Rules) -> Result<TopicPlan, Refusal> {
    let (mut by_id, mut left_behind) = (BTreeMap::new(), Vec::new());
    for (id, ledger) in &topic.ledgers {
        match adopt(*id, ledger, rules) {
            Ok(Some(info)) => drop(by_id.insert(info.ledger_id, info)),
            Ok(None) => {}
            Err(reason) => left_behind.push((*id, reason)),
        }
    }
    let mut reasons = Vec::new();
    if !rules.leave_behind {
        reasons.extend(left_behind.iter().map(|(id, reason)| format!("ledger {id} {reason}")));
    }
    let places = topic.cursors.values().filter_map(|cursor| cursor.first_unacked).map(|place| place.ledger_id.0);
    let greatest = topic.ledgers.keys().copied().chain(places).max().unwrap_or(0);
    if greatest > LEDGER_ID_MAX {
        reasons
            .push(format!("ledger id {greatest} leaves no room for new ledgers; at most {LEDGER_ID_MAX} is possible"));
    }
    let Some(first) = by_id.keys().next().map(|id| Position::new(*id, 0)) else {
        if reasons.is_empty() {
            reasons.push("it has no offloaded ledger".to_owned());
        }
        return Err(Refusal(reasons));
    };
    if !reasons.is_empty() {
        return Err(Refusal(reasons));
    }
    let ledgers = Ledgers { terminated_end: terminated_end(topic, &by_id), by_id, ..Ledgers::default() };
    let cursors = topic.cursors.iter().map(|(name, cursor)| (name.clone(), (place(cursor, first), cursor.origin)));
    Ok(TopicPlan { ledgers, cursors: cursors.collect(), left_behind, next_ledger_id: greatest + 1 })
}

/// The record of a ledger with a complete copy, nothing for an empty one, or why it has to stay.
fn adopt(id: u64, ledger: &SourceLedger, rules: &Rules) -> Result<Option<LedgerInfo>, String> {
    let Some(entry_count) = ledger.entry_count else {
        return Err(
            "is open, and nothing tells how many entries it has: give the answer to internalStats as well".to_owned()
        );
    };
    if entry_count == 0 {
        return Ok(None);
    }
    let Some(closed_ms) = ledger.closed_ms else {
        return Err(format!("is open; its {entry_count} entries were never offloaded"));
    };
    let (uid, driver, completed_ms) = match &ledger.copy {
        SourceCopy::Complete { uid, driver, completed_ms } => (*uid, driver.clone(), *completed_ms),
        SourceCopy::None => return Err(format!("was never offloaded ({entry_count} entries)")),
        SourceCopy::Incomplete(uid) => return Err(format!("has an offload that is not complete (uid {uid})")),
        SourceCopy::Unnamed => {
            return Err("is offloaded, but its uid is not told: take the record of the metadata store".to_owned());
        }
    };
    let told = driver.filter(|(name, _)| !name.is_empty());
    let (driver, mut driver_metadata) = told.unwrap_or_else(|| (rules.driver.clone(), rules.driver_metadata.clone()));
    driver_metadata.extend(rules.overrules.clone());
    let attempt = Attempt { uid, driver, driver_metadata };
    let completed_ms = completed_ms.unwrap_or(closed_ms);
    Ok(Some(LedgerInfo {
        ledger_id: LedgerId(id),
        entry_count,
        size_bytes: ledger.size_bytes,
        // 0 would be an open ledger.
        closed_ms: Some(closed_ms.max(1)),
        offload: OffloadState::HotDeleted { attempt, completed_ms },
    }))
}

/// Where a terminated topic ends here: with the last ledger that came over, if that is earlier.
fn terminated_end(topic: &SourceTopic, by_id: &BTreeMap<LedgerId, LedgerInfo>) -> Option<Position> {
    let end = topic.terminated?.after()?;
    let last = by_id.values().next_back().map(|info| Position::new(info.ledger_id, info.entry_count))?;
    Some(end.min(last))
}

fn place(cursor: &SourceCursor, first: Position) -> StoredCursor {
    let first_unacked = cursor.first_unacked.unwrap_or(first).max(first);
    let mut acked = cursor.acked.clone();
    acked.forget_before(first_unacked);
    let (properties, labels) = (BTreeMap::new(), BTreeMap::new());
    StoredCursor { first_unacked, acked, properties, last_active_ms: 0, labels }
}

/// Holds a plan against what is recorded under the topic's name.
pub fn standing(plan: &TopicPlan, recorded: Option<&Ledgers>) -> Standing {
    let Some(recorded) = recorded else { return Standing::Absent };
    let uid = |info: &LedgerInfo| info.offload.attempt().map(|attempt| attempt.uid);
    for (id, planned) in &plan.ledgers.by_id {
        match recorded.by_id.get(id) {
            None => return Standing::Other(format!("the topic is here already, without ledger {id}")),
            Some(there) if (uid(there), there.entry_count) != (uid(planned), planned.entry_count) => {
                return Standing::Other(format!("the topic is here already, with another ledger {id}"));
            }
            Some(_) => {}
        }
    }
    let foreign = recorded.by_id.keys().find(|id| id.0 < plan.next_ledger_id && !plan.ledgers.by_id.contains_key(id));
    match foreign {
        Some(id) => {
            Standing::Other(format!("the topic is here already, with ledger {id} that is not among the imported ones"))
        }
        None => Standing::Imported,
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::managed_ledger::WirePosition;

    fn ledger(entry_count: u64, copy: SourceCopy) -> SourceLedger {
        SourceLedger { entry_count: Some(entry_count), size_bytes: entry_count * 10, closed_ms: Some(50), copy }
    }

    fn complete(uid: u128) -> SourceCopy {
        SourceCopy::Complete { uid: Uuid::from_u128(uid), driver: None, completed_ms: None }
    }

    fn open(entry_count: Option<u64>) -> SourceLedger {
        SourceLedger { entry_count, size_bytes: 0, closed_ms: None, copy: SourceCopy::None }
    }

    fn rules() -> Rules {
        let pair = |name: &str, value: &str| [(name.to_owned(), value.to_owned())].into();
        let (driver_metadata, overrules) = (pair("region", "r"), pair("bucket", "b"));
        Rules { leave_behind: false, driver: "S3".to_owned(), driver_metadata, overrules }
    }

    fn topic(ledgers: impl IntoIterator<Item = (u64, SourceLedger)>) -> SourceTopic {
        SourceTopic { ledgers: ledgers.into_iter().collect(), ..SourceTopic::default() }
    }

    #[test]
    fn offloaded_ledgers_are_recorded_without_a_hot_copy_and_new_ones_follow() {
        let mut source = topic([(5, ledger(10, complete(1))), (7, ledger(3, complete(2))), (9, open(Some(0)))]);
        let cursor =
            |place| SourceCursor { first_unacked: place, origin: CursorOrigin::Info, ..SourceCursor::default() };
        source.cursors.insert("a".to_owned(), cursor(Some(Position::new(LedgerId(7), 2))));
        source.cursors.insert("b".to_owned(), cursor(None));
        source.cursors.insert("c".to_owned(), cursor(Some(Position::new(LedgerId(1), 2))));
        let plan = plan(&source, &rules()).unwrap();
        assert_eq!(plan.next_ledger_id, 10);
        assert_eq!(plan.left_behind, []);
        let info = &plan.ledgers.by_id[&LedgerId(7)];
        assert_eq!((info.entry_count, info.size_bytes, info.closed_ms), (3, 30, Some(50)));
        assert!(!info.offload.has_hot() && info.offload.is_sound());
        let attempt = info.offload.attempt().unwrap();
        assert_eq!((attempt.driver.as_str(), attempt.driver_metadata.len()), ("S3", 2));
        let places: Vec<String> = plan.cursors.values().map(|(it, _)| it.first_unacked.to_string()).collect();
        assert_eq!(places, ["7:2", "5:0", "5:0"]);
        assert_eq!(plan.ledgers.by_id.len(), 2, "an empty open ledger is nothing");
    }

    #[test]
    fn every_ledger_that_cannot_be_read_is_named() {
        let source = topic([
            (1, ledger(10, complete(1))),
            (2, ledger(10, SourceCopy::None)),
            (3, ledger(10, SourceCopy::Incomplete(Uuid::from_u128(4)))),
            (4, ledger(10, SourceCopy::Unnamed)),
            (5, open(Some(2))),
            (6, open(None)),
        ]);
        let Refusal(reasons) = plan(&source, &rules()).unwrap_err();
        let words =
            ["2 was never offloaded", "3 has an offload", "4 is offloaded, but", "5 is open; its 2", "6 is open, and"];
        assert_eq!(reasons.len(), words.len());
        for (reason, words) in reasons.iter().zip(words) {
            assert!(reason.contains(words), "{reason}");
        }
        let without = plan(&source, &Rules { leave_behind: true, ..rules() }).unwrap();
        assert_eq!((without.left_behind.len(), without.ledgers.by_id.len(), without.next_ledger_id), (5, 1, 7));
        let nothing = topic([(2, ledger(10, SourceCopy::None))]);
        assert!(plan(&nothing, &Rules { leave_behind: true, ..rules() }).is_err());
    }

    #[test]
    fn ids_that_leave_no_room_are_refused() {
        let source = topic([(LEDGER_ID_MAX + 1, ledger(1, complete(1)))]);
        assert!(plan(&source, &rules()).unwrap_err().0[0].contains("no room"));
    }

    #[test]
    fn a_terminated_topic_ends_with_what_came_over() {
        let mut source = topic([(5, ledger(10, complete(1))), (6, ledger(2, SourceCopy::None))]);
        source.terminated = Some(WirePosition { ledger_id: 6, entry_id: 1 });
        let plan = plan(&source, &Rules { leave_behind: true, ..rules() }).unwrap();
        assert_eq!(plan.ledgers.terminated_end, Some(Position::new(LedgerId(5), 10)));
    }

    #[test]
    fn a_second_import_is_recognised_and_another_topic_is_left_alone() {
        let plan = plan(&topic([(5, ledger(10, complete(1))), (9, open(Some(0)))]), &rules()).unwrap();
        assert_eq!(standing(&plan, None), Standing::Absent);
        let mut recorded = plan.ledgers.clone();
        assert_eq!(standing(&plan, Some(&recorded)), Standing::Imported);
        recorded.by_id.insert(LedgerId(70), LedgerInfo::open(LedgerId(70)));
        assert_eq!(standing(&plan, Some(&recorded)), Standing::Imported, "it was loaded since");
        recorded.by_id.insert(LedgerId(3), LedgerInfo::open(LedgerId(3)));
        assert!(matches!(standing(&plan, Some(&recorded)), Standing::Other(text) if text.contains("ledger 3")));
        let mut other = plan.ledgers.clone();
        other.by_id.get_mut(&LedgerId(5)).unwrap().entry_count = 9;
        assert!(matches!(standing(&plan, Some(&other)), Standing::Other(text) if text.contains("another ledger 5")));
        assert!(matches!(standing(&plan, Some(&Ledgers::default())), Standing::Other(_)));
    }
}
