//! The records of managed ledgers and cursors as bytes: the original's protobuf messages, so that its tools and ours
//! can read each other's.
//!
//! Source: Pulsar `MLDataFormats.proto` (`ManagedLedgerInfo`, `LedgerInfo`, `OffloadContext`, `ManagedCursorInfo`).

use std::collections::BTreeMap;

use prost::Message;
use uuid::Uuid;

use super::ledgers::{LedgerInfo, Ledgers};
use super::offload_context::{Attempt, OffloadState};
use super::position::{Position, WirePosition};
use super::ranges::AckedRanges;
use crate::storage::LedgerId;

/// A record's bytes that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("record cannot be decoded: {0}")]
pub struct BadRecord(String);

/// The property of a ledger that keeps what was found wrong with its cold copy.
const DAMAGED_PROPERTY: &str = "longshore.cold-copy-damaged";

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, required, tag = "1")]
    key: String,
    #[prost(string, required, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, Message)]
struct DriverMetadata {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(message, repeated, tag = "2")]
    properties: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct OffloadContext {
    #[prost(int64, optional, tag = "1")]
    uid_msb: Option<i64>,
    #[prost(int64, optional, tag = "2")]
    uid_lsb: Option<i64>,
    #[prost(bool, optional, tag = "3")]
    complete: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    bookkeeper_deleted: Option<bool>,
    #[prost(int64, optional, tag = "5")]
    timestamp: Option<i64>,
    #[prost(message, optional, tag = "6")]
    driver_metadata: Option<DriverMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct LedgerRecord {
    #[prost(int64, required, tag = "1")]
    ledger_id: i64,
    #[prost(int64, optional, tag = "2")]
    entries: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    size: Option<i64>,
    #[prost(int64, optional, tag = "4")]
    timestamp: Option<i64>,
    #[prost(message, optional, tag = "5")]
    offload_context: Option<OffloadContext>,
    #[prost(message, repeated, tag = "6")]
    properties: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct NestedPosition {
    #[prost(int64, required, tag = "1")]
    ledger_id: i64,
    #[prost(int64, required, tag = "2")]
    entry_id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct ManagedLedgerRecord {
    #[prost(message, repeated, tag = "1")]
    ledgers: Vec<LedgerRecord>,
    #[prost(message, optional, tag = "2")]
    terminated_position: Option<NestedPosition>,
    #[prost(message, repeated, tag = "3")]
    properties: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct MessageRange {
    #[prost(message, required, tag = "1")]
    lower: NestedPosition,
    #[prost(message, required, tag = "2")]
    upper: NestedPosition,
}

#[derive(Clone, PartialEq, Message)]
struct LongProperty {
    #[prost(string, required, tag = "1")]
    name: String,
    #[prost(int64, required, tag = "2")]
    value: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CursorRecord {
    #[prost(int64, required, tag = "1")]
    cursors_ledger_id: i64,
    #[prost(int64, optional, tag = "2")]
    mark_delete_ledger_id: Option<i64>,
    #[prost(int64, optional, tag = "3")]
    mark_delete_entry_id: Option<i64>,
    #[prost(message, repeated, tag = "4")]
    individual_deleted_messages: Vec<MessageRange>,
    #[prost(message, repeated, tag = "5")]
    properties: Vec<LongProperty>,
    #[prost(int64, optional, tag = "6")]
    last_active: Option<i64>,
    /// The original's `StringProperty` has its fields as a `KeyValue` has them.
    #[prost(message, repeated, tag = "8")]
    cursor_properties: Vec<KeyValue>,
}

/// A managed ledger's record.
pub fn encode_ledgers(ledgers: &Ledgers) -> Vec<u8> {
    ManagedLedgerRecord {
        ledgers: ledgers.by_id.values().map(ledger_record).collect(),
        terminated_position: ledgers.terminated_end.map(|end| nested(end.before())),
        properties: key_values(&ledgers.properties),
    }
    .encode_to_vec()
}

/// Reads a managed ledger's record.
///
/// # Errors
/// [`BadRecord`] where the bytes or their numbers make no sense.
pub fn decode_ledgers(bytes: &[u8]) -> Result<Ledgers, BadRecord> {
    let record = ManagedLedgerRecord::decode(bytes).map_err(|e| BadRecord(e.to_string()))?;
    let infos = record.ledgers.into_iter().map(ledger_info).collect::<Result<Vec<_>, _>>()?;
    let terminated = record.terminated_position.map(|p| WirePosition { ledger_id: p.ledger_id, entry_id: p.entry_id });
    Ok(Ledgers {
        by_id: infos.into_iter().map(|info| (info.ledger_id, info)).collect(),
        terminated_end: terminated.and_then(WirePosition::after),
        properties: record.properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
    })
}

fn ledger_record(info: &LedgerInfo) -> LedgerRecord {
    let closed = info.closed_ms.is_some();
    let mut properties = Vec::new();
    if let Some(problem) = info.offload.damage() {
        properties.push(KeyValue { key: DAMAGED_PROPERTY.to_owned(), value: problem.to_owned() });
    }
    LedgerRecord {
        ledger_id: info.ledger_id.0 as i64,
        entries: closed.then_some(info.entry_count as i64),
        size: closed.then_some(info.size_bytes as i64),
        timestamp: Some(info.closed_ms.unwrap_or(0) as i64),
        offload_context: info.offload.attempt().map(|attempt| OffloadContext {
            uid_msb: Some((attempt.uid.as_u128() >> 64) as i64),
            uid_lsb: Some(attempt.uid.as_u128() as i64),
            complete: Some(info.offload.is_complete()),
            bookkeeper_deleted: Some(!info.offload.has_hot()),
            timestamp: info.offload.completed_ms().map(|ms| ms as i64),
            driver_metadata: Some(DriverMetadata {
                name: attempt.driver.clone(),
                properties: key_values(&attempt.driver_metadata),
            }),
        }),
        properties,
    }
}

fn key_values(pairs: &BTreeMap<String, String>) -> Vec<KeyValue> {
    pairs.iter().map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

fn ledger_info(record: LedgerRecord) -> Result<LedgerInfo, BadRecord> {
    let id = record.ledger_id;
    let number = |what: &str, value: Option<i64>| {
        u64::try_from(value.unwrap_or(0)).map_err(|_| BadRecord(format!("ledger {id} has a negative {what}")))
    };
    let closed_ms = number("timestamp", record.timestamp)?;
    let damaged = record.properties.into_iter().find(|p| p.key == DAMAGED_PROPERTY).map(|p| p.value);
    Ok(LedgerInfo {
        ledger_id: LedgerId(u64::try_from(id).map_err(|_| BadRecord(format!("ledger id {id} is negative")))?),
        entry_count: number("number of entries", record.entries)?,
        size_bytes: number("size", record.size)?,
        closed_ms: (closed_ms > 0).then_some(closed_ms),
        offload: offload_state(record.offload_context, damaged),
    })
}

fn offload_state(context: Option<OffloadContext>, damaged: Option<String>) -> OffloadState {
    let Some(context) = context else { return OffloadState::None };
    let (Some(msb), Some(lsb)) = (context.uid_msb, context.uid_lsb) else { return OffloadState::None };
    let driver = context.driver_metadata.unwrap_or_default();
    let attempt = Attempt {
        uid: Uuid::from_u64_pair(msb as u64, lsb as u64),
        driver: driver.name,
        driver_metadata: driver.properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
    };
    let completed_ms = context.timestamp.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
    match (context.complete.unwrap_or(false), context.bookkeeper_deleted.unwrap_or(false)) {
        (true, true) => OffloadState::HotDeleted { attempt, completed_ms },
        (true, false) => OffloadState::Complete { attempt, completed_ms, damaged },
        (false, _) => OffloadState::Prepared(attempt),
    }
}

fn nested(position: WirePosition) -> NestedPosition {
    NestedPosition { ledger_id: position.ledger_id, entry_id: position.entry_id }
}

/// What is recorded of a durable cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCursor {
    /// The first position that is not deleted.
    pub first_unacked: Position,
    /// Positions behind it that are.
    pub acked: AckedRanges,
    /// The subscriber's own numbers.
    pub properties: BTreeMap<String, u64>,
    /// When somebody used it last, milliseconds since 1970; 0 where nobody noted that.
    pub last_active_ms: u64,
    /// What the subscription was made with, for whoever looks at it.
    pub labels: BTreeMap<String, String>,
}

/// A cursor's record; at most `ranges_max` ranges of individual acknowledgements are kept, the first ones.
pub fn encode_cursor(cursor: &StoredCursor, ranges_max: usize) -> Vec<u8> {
    let mark_delete = cursor.first_unacked.before();
    CursorRecord {
        cursors_ledger_id: -1,
        mark_delete_ledger_id: Some(mark_delete.ledger_id),
        mark_delete_entry_id: Some(mark_delete.entry_id),
        individual_deleted_messages: cursor
            .acked
            .ranges()
            .take(ranges_max)
            .map(|(first, end)| MessageRange { lower: nested(first.before()), upper: nested(end.before()) })
            .collect(),
        properties: cursor
            .properties
            .iter()
            .map(|(name, value)| LongProperty { name: name.clone(), value: *value as i64 })
            .collect(),
        last_active: (cursor.last_active_ms > 0).then_some(cursor.last_active_ms as i64),
        cursor_properties: key_values(&cursor.labels),
    }
    .encode_to_vec()
}

/// Reads a cursor's record.
///
/// # Errors
/// [`BadRecord`] where the bytes or their numbers make no sense.
pub fn decode_cursor(bytes: &[u8]) -> Result<StoredCursor, BadRecord> {
    let record = CursorRecord::decode(bytes).map_err(|e| BadRecord(e.to_string()))?;
    let mark_delete = WirePosition {
        ledger_id: record.mark_delete_ledger_id.unwrap_or(-1),
        entry_id: record.mark_delete_entry_id.unwrap_or(-1),
    };
    let mut acked = AckedRanges::default();
    for range in record.individual_deleted_messages {
        let end = |p: NestedPosition| WirePosition { ledger_id: p.ledger_id, entry_id: p.entry_id }.after();
        let (Some(first), Some(end)) = (end(range.lower), end(range.upper)) else {
            return Err(BadRecord("a range of acknowledgements has a negative ledger".to_owned()));
        };
        if first.ledger_id == end.ledger_id {
            acked.insert(first.ledger_id, first.entry_id, end.entry_id);
        }
    }
    Ok(StoredCursor {
        first_unacked: mark_delete.after().unwrap_or(Position::new(LedgerId(0), 0)),
        acked,
        properties: record.properties.into_iter().map(|p| (p.name, p.value as u64)).collect(),
        last_active_ms: record.last_active.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
        labels: record.cursor_properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            uid: Uuid::from_u64_pair(0xfedc_ba98_7654_4321, 0x8123_4567_89ab_cdef),
            driver: "filesystem".into(),
            driver_metadata: [("storageBasePath".to_owned(), "file:///tier".to_owned())].into(),
        }
    }

    #[test]
    fn every_state_survives_its_record() {
        let states = [
            OffloadState::None,
            OffloadState::Prepared(attempt()),
            OffloadState::Complete { attempt: attempt(), completed_ms: 9, damaged: None },
            OffloadState::Complete { attempt: attempt(), completed_ms: 9, damaged: Some("data at 3".into()) },
            OffloadState::HotDeleted { attempt: attempt(), completed_ms: 9 },
        ];
        for offload in states {
            let info = LedgerInfo {
                ledger_id: LedgerId(7),
                entry_count: 3,
                size_bytes: 30,
                closed_ms: Some(5),
                offload: offload.clone(),
            };
            let open = LedgerInfo::open(LedgerId(9));
            let ledgers = Ledgers {
                by_id: [(LedgerId(7), info), (LedgerId(9), open)].into(),
                terminated_end: Some(Position::new(LedgerId(9), 0)),
                properties: [("whose".to_owned(), "ours".to_owned())].into(),
            };
            assert_eq!(decode_ledgers(&encode_ledgers(&ledgers)).unwrap(), ledgers, "{offload:?}");
        }
    }

    #[test]
    fn cursors_survive_and_keep_a_bounded_number_of_ranges() {
        let mut acked = AckedRanges::default();
        for i in 0..10 {
            acked.insert(LedgerId(4), 2 * i + 5, 2 * i + 6);
        }
        let cursor = StoredCursor {
            first_unacked: Position::new(LedgerId(4), 0),
            acked,
            properties: [("n".to_owned(), 3)].into(),
            last_active_ms: 17,
            labels: [("team".to_owned(), "billing".to_owned())].into(),
        };
        assert_eq!(decode_cursor(&encode_cursor(&cursor, 100)).unwrap(), cursor);
        let cut = decode_cursor(&encode_cursor(&cursor, 3)).unwrap();
        assert_eq!(cut.acked.ranges().count(), 3);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(decode_ledgers(b"\xff\xff").is_err());
        let negative = ManagedLedgerRecord {
            ledgers: vec![LedgerRecord { ledger_id: -4, ..LedgerRecord::default() }],
            ..ManagedLedgerRecord::default()
        };
        assert!(decode_ledgers(&negative.encode_to_vec()).is_err());
    }
}
