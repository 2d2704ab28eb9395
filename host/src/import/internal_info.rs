//! The answers of the original's REST API, `internal-info` and `internalStats`, as files or fresh.
//!
//! `internal-info` tells ledgers, uids and durable subscriptions, but neither driver nor bucket; `internalStats` adds how many
//! entries the open ledger has, and where subscriptions are in the broker's memory. Ledgers come in no order.
//!
//! Source: Pulsar 4.0 `ManagedLedgerInfo`, `ManagedLedgerInternalStats`.

use std::collections::BTreeMap;

use serde::Deserialize;
use uuid::Uuid;

use super::BadSource;
use super::source::{CursorOrigin, SourceCopy, SourceCursor, SourceLedger, SourceTopic};
use crate::managed_ledger::ranges::AckedRanges;
use crate::managed_ledger::{Position, WirePosition};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Info {
    /// Absent in the answer for the parent of partitions.
    ledgers: Option<Vec<LedgerBody>>,
    #[serde(default)]
    cursors: BTreeMap<String, CursorBody>,
    terminated_position: Option<PositionBody>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LedgerBody {
    ledger_id: i64,
    entries: Option<i64>,
    size: Option<i64>,
    timestamp: Option<i64>,
    #[serde(default)]
    is_offloaded: bool,
    offloaded_context_uuid: Option<Uuid>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct PositionBody {
    ledger_id: i64,
    entry_id: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CursorBody {
    mark_delete: Option<PositionBody>,
    #[serde(default)]
    individual_deleted_messages: Vec<RangeBody>,
}

#[derive(Debug, Deserialize)]
struct RangeBody {
    from: PositionBody,
    to: PositionBody,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stats {
    current_ledger_entries: i64,
    ledgers: Vec<StatsLedger>,
    cursors: BTreeMap<String, StatsCursor>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatsLedger {
    ledger_id: i64,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct StatsCursor {
    mark_delete_position: String,
    #[serde(default)]
    individually_deleted_messages: String,
}

/// A topic by its `internal-info`. `what` names the answer or file for messages.
///
/// # Errors
/// The text is no such answer, or a number in it makes no sense.
pub fn from_info(what: &str, text: &str) -> Result<SourceTopic, BadSource> {
    let info: Info = parse(what, text)?;
    let Some(bodies) = info.ledgers else {
        return Err(BadSource::new(
            what,
            "it has no ledgers; of a partitioned topic, take the answer for each partition",
        ));
    };
    let mut topic = SourceTopic { terminated: info.terminated_position.map(wire), ..SourceTopic::default() };
    for body in bodies {
        let id = body.ledger_id;
        let number = |name: &str, value: i64| {
            u64::try_from(value).map_err(|_| BadSource::new(what, format!("ledger {id} has the {name} {value}")))
        };
        let entry_count = body.entries.map(|entries| number("number of entries", entries)).transpose()?;
        let ledger = SourceLedger {
            entry_count,
            size_bytes: number("size", body.size.unwrap_or(0))?,
            // The open ledger has the time of the request here.
            closed_ms: entry_count.and(body.timestamp).map(|ms| number("timestamp", ms)).transpose()?,
            copy: match (body.is_offloaded, body.offloaded_context_uuid) {
                (true, Some(uid)) => SourceCopy::Complete { uid, driver: None, completed_ms: None },
                (true, None) => SourceCopy::Unnamed,
                (false, Some(uid)) => SourceCopy::Incomplete(uid),
                (false, None) => SourceCopy::None,
            },
        };
        if topic.ledgers.insert(number("id", id)?, ledger).is_some() {
            return Err(BadSource::new(what, format!("ledger {id} is there twice")));
        }
    }
    topic.cursors = info.cursors.into_iter().map(|(name, body)| (name, cursor(body))).collect();
    Ok(topic)
}

/// Adds what `internalStats` knows better.
///
/// # Errors
/// The text is no such answer.
pub fn add_stats(topic: &mut SourceTopic, what: &str, text: &str) -> Result<(), BadSource> {
    let stats: Stats = parse(what, text)?;
    let open = stats.ledgers.iter().map(|ledger| ledger.ledger_id).max().and_then(|id| u64::try_from(id).ok());
    // An answer from before or after a rollover speaks of another ledger.
    if let Some(ledger) = open.and_then(|id| topic.ledgers.get_mut(&id)).filter(|ledger| ledger.entry_count.is_none()) {
        ledger.entry_count = u64::try_from(stats.current_ledger_entries).ok();
    }
    for (name, cursor) in &mut topic.cursors {
        let Some(told) = stats.cursors.get(name) else { continue };
        let problem = || BadSource::new(what, format!("subscription {name} is at {}", told.mark_delete_position));
        let place = position(&told.mark_delete_position).ok_or_else(problem)?;
        cursor.first_unacked = place.after();
        cursor.acked = ranges(&told.individually_deleted_messages).unwrap_or_default();
        cursor.origin = CursorOrigin::Stats;
    }
    Ok(())
}

/// How many partitions the answer to `…/partitions` tells; 0 for a topic that has none.
///
/// # Errors
/// The text is no such answer.
pub fn partitions(what: &str, text: &str) -> Result<u32, BadSource> {
    #[derive(Deserialize)]
    struct Body {
        partitions: u32,
    }
    parse::<Body>(what, text).map(|body| body.partitions)
}

fn parse<'a, T: Deserialize<'a>>(what: &str, text: &'a str) -> Result<T, BadSource> {
    serde_json::from_str(text).map_err(|error| BadSource::new(what, error.to_string()))
}

fn cursor(body: CursorBody) -> SourceCursor {
    let first_unacked = body.mark_delete.and_then(|place| wire(place).after());
    let mut acked = AckedRanges::default();
    for RangeBody { from, to } in body.individual_deleted_messages {
        insert(&mut acked, wire(from), wire(to));
    }
    let origin = if first_unacked.is_some() { CursorOrigin::Info } else { CursorOrigin::Unknown };
    SourceCursor { first_unacked, acked, origin }
}

fn wire(body: PositionBody) -> WirePosition {
    WirePosition { ledger_id: body.ledger_id, entry_id: body.entry_id }
}

/// A range that is open below and closed above. One over several ledgers is left out: its entries come again, none is lost.
fn insert(acked: &mut AckedRanges, below: WirePosition, last: WirePosition) {
    if let (Some(Position { ledger_id, entry_id: first }), Some(end)) = (below.after(), last.after())
        && end.ledger_id == ledger_id
    {
        acked.insert(ledger_id, first, end.entry_id);
    }
}

/// `ledger:entry`.
pub fn position(text: &str) -> Option<WirePosition> {
    let (ledger_id, entry_id) = text.split_once(':')?;
    Some(WirePosition { ledger_id: ledger_id.parse().ok()?, entry_id: entry_id.parse().ok()? })
}

/// `[(1:3..1:5],(1:7..1:8]]`, as the original prints it. Another form leaves the acknowledgements out.
fn ranges(text: &str) -> Option<AckedRanges> {
    let mut acked = AckedRanges::default();
    let inner = text.strip_prefix('[')?.strip_suffix(']')?;
    for range in inner.split(',').map(str::trim).filter(|range| !range.is_empty()) {
        let (below, last) = range.strip_prefix('(')?.strip_suffix(']')?.split_once("..")?;
        insert(&mut acked, position(below)?, position(last)?);
    }
    Some(acked)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LedgerId;

    /// The body of a recorded answer of Pulsar 4.0.6.
    fn recorded(name: &str) -> String {
        let path = format!("{}/../tests/fixtures/admin/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let recorded: serde_json::Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        recorded["body"].to_string()
    }

    #[test]
    fn answers_of_the_original_are_understood() {
        let mut topic = from_info("info", &recorded("internal-info-offloaded")).unwrap();
        assert_eq!(topic.ledgers.keys().copied().collect::<Vec<_>>(), [5, 6, 7, 8]);
        assert_eq!((topic.ledgers[&8].entry_count, topic.ledgers[&8].closed_ms), (None, None));
        let SourceLedger { entry_count, size_bytes, closed_ms, copy } = &topic.ledgers[&5];
        assert_eq!((*entry_count, *size_bytes, *closed_ms), (Some(10), 990, Some(1_795_251_631_060)));
        let uid = "8a31e322-8b36-4b6b-8f85-dfe59d9a05b4".parse().unwrap();
        assert_eq!(*copy, SourceCopy::Complete { uid, driver: None, completed_ms: None });
        let place = Position::new(LedgerId(7), 10);
        assert_eq!(topic.cursors["sub"].first_unacked, Some(place));
        assert_eq!(topic.cursors["sub"].origin, CursorOrigin::Info);

        add_stats(&mut topic, "stats", &recorded("internalStats-offloaded")).unwrap();
        assert_eq!(topic.ledgers[&8].entry_count, Some(4), "the open ledger's entries");
        let cursor = &topic.cursors["sub"];
        assert_eq!((cursor.first_unacked, cursor.origin), (Some(place), CursorOrigin::Stats));
    }

    #[test]
    fn single_acknowledgements_come_over_and_those_over_ledgers_are_left_out() {
        let acked = ranges("[(1:3..1:5],(2:-1..2:0],(3:1..4:1]]").unwrap();
        assert_eq!(acked.to_string(), "[(1:3..1:5],(2:-1..2:0]]");
        assert!(ranges("[]").unwrap().is_empty());
        assert_eq!(ranges("(1:3..1:5]"), None);
    }

    #[test]
    fn answers_that_make_no_sense_are_refused() {
        for (text, part) in [
            ("{", "read x"),
            ("{}", "no ledgers"),
            (r#"{"ledgers":[{"ledgerId":-4}]}"#, "id -4"),
            (r#"{"ledgers":[{"ledgerId":1,"entries":-1}]}"#, "entries -1"),
            (r#"{"ledgers":[{"ledgerId":1},{"ledgerId":1}]}"#, "twice"),
        ] {
            let error = from_info("x", text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
