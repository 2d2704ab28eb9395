//! `internal-info`: a managed ledger and its cursors, as they are recorded. The topic need not be loaded.

use std::collections::BTreeMap;

use serde::Serialize;
use uuid::Uuid;

use super::iso;
use crate::admin::error::AdminError;
use crate::managed_ledger::factory::StoredLedgers;
use crate::managed_ledger::records::decode_cursor;
use crate::managed_ledger::{LedgerInfo, ManagedLedgerError, WirePosition};
use crate::metadata::Record;

/// The original's `ManagedLedgerInfo`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct StoredInfo {
    version: u64,
    creation_date: String,
    modification_date: String,
    ledgers: Vec<LedgerBody>,
    #[serde(skip_serializing_if = "Option::is_none")]
    terminated_position: Option<PositionBody>,
    cursors: BTreeMap<String, CursorBody>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LedgerBody {
    ledger_id: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    entries: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    timestamp: u64,
    is_offloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    offloaded_context_uuid: Option<Uuid>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PositionBody {
    ledger_id: i64,
    entry_id: i64,
}

#[derive(Debug, Serialize)]
struct RangeBody {
    from: PositionBody,
    to: PositionBody,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CursorBody {
    version: u64,
    creation_date: String,
    modification_date: String,
    cursors_ledger_id: i64,
    mark_delete: PositionBody,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    individual_deleted_messages: Vec<RangeBody>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<String, u64>,
}

impl From<WirePosition> for PositionBody {
    fn from(position: WirePosition) -> Self {
        Self { ledger_id: position.ledger_id, entry_id: position.entry_id }
    }
}

impl StoredInfo {
    /// Of the records; an open ledger carries the time of the request.
    ///
    /// # Errors
    /// 500 where a cursor's record cannot be understood.
    pub(in crate::admin) fn new(stored: &StoredLedgers, now_ms: u64) -> Result<Self, AdminError> {
        let cursors = stored.cursors.iter().map(|(name, record)| Ok((name.clone(), cursor_body(name, record)?)));
        Ok(Self {
            version: stored.record.version,
            creation_date: iso(stored.record.created_ms),
            modification_date: iso(stored.record.modified_ms),
            ledgers: stored.ledgers.by_id.values().map(|info| ledger_body(info, now_ms)).collect(),
            terminated_position: stored.ledgers.terminated_end.map(|end| end.before().into()),
            cursors: cursors.collect::<Result<_, AdminError>>()?,
        })
    }
}

fn ledger_body(info: &LedgerInfo, now_ms: u64) -> LedgerBody {
    let closed = info.closed_ms.is_some();
    LedgerBody {
        ledger_id: info.ledger_id.0,
        entries: closed.then_some(info.entry_count),
        size: closed.then_some(info.size_bytes),
        timestamp: info.closed_ms.unwrap_or(now_ms),
        is_offloaded: info.offload.is_complete(),
        offloaded_context_uuid: info.offload.attempt().map(|attempt| attempt.uid),
    }
}

fn cursor_body(name: &str, record: &Record) -> Result<CursorBody, AdminError> {
    let cursor = decode_cursor(&record.value).map_err(|problem| {
        AdminError::from(ManagedLedgerError::BadRecord { name: name.to_owned(), problem: problem.to_string() })
    })?;
    Ok(CursorBody {
        version: record.version,
        creation_date: iso(record.created_ms),
        modification_date: iso(record.modified_ms),
        cursors_ledger_id: -1,
        mark_delete: cursor.first_unacked.before().into(),
        individual_deleted_messages: cursor
            .acked
            .ranges()
            .map(|(first, end)| RangeBody { from: first.before().into(), to: end.before().into() })
            .collect(),
        properties: cursor.properties,
    })
}
