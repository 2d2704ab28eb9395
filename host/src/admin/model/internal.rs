//! `internalStats`: a managed ledger and its cursors, as they are in memory.

use std::collections::BTreeMap;

use serde::Serialize;

use super::iso;
use crate::managed_ledger::{CursorSnapshot, LedgerInfo, ManagedLedger, Position, Snapshot};
use crate::topic::stats::SubscriptionStats;

/// The original's `PersistentTopicInternalStats`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct InternalStats {
    entries_added_counter: u64,
    number_of_entries: u64,
    total_size: u64,
    current_ledger_entries: u64,
    current_ledger_size: u64,
    last_ledger_created_timestamp: String,
    waiting_cursors_count: usize,
    pending_add_entries_count: usize,
    last_confirmed_entry: String,
    state: &'static str,
    ledgers: Vec<LedgerBody>,
    cursors: BTreeMap<String, CursorBody>,
    schema_ledgers: [(); 0],
    compacted_ledger: CompactedLedger,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LedgerBody {
    ledger_id: u64,
    entries: u64,
    size: u64,
    offloaded: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<String>,
    /// Every hot ledger has the one copy it is meant to have.
    under_replicated: bool,
}

/// No topic is compacted here.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactedLedger {
    ledger_id: i64,
    entries: i64,
    size: i64,
    offloaded: bool,
    under_replicated: bool,
}

/// Cursors have records of their own and no ledgers: what tells of a cursor's ledger says that there is none.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CursorBody {
    mark_delete_position: String,
    read_position: String,
    waiting_read_op: bool,
    pending_read_ops: u32,
    messages_consumed_counter: u64,
    cursor_ledger: i64,
    cursor_ledger_last_entry: i64,
    individually_deleted_messages: String,
    last_ledger_switch_timestamp: String,
    state: &'static str,
    active: bool,
    number_of_entries_since_first_not_acked_message: u64,
    total_non_contiguous_deleted_messages_range: usize,
    subscription_have_pending_read: bool,
    subscription_have_pending_replay_read: bool,
    properties: BTreeMap<String, u64>,
}

impl InternalStats {
    /// Of a loaded managed ledger and its subscriptions' figures; with what the hot store knows of each ledger if
    /// `metadata`.
    pub(in crate::admin) fn new(
        ledger: &ManagedLedger,
        subscriptions: &BTreeMap<String, SubscriptionStats>,
        metadata: bool,
    ) -> Self {
        let snapshot = ledger.snapshot();
        let cursors: BTreeMap<_, _> = ledger
            .cursors()
            .iter()
            .map(|cursor| {
                let body = cursor_body(ledger, &snapshot, &cursor.snapshot(), subscriptions.get(cursor.name()));
                (cursor.name().to_owned(), body)
            })
            .collect();
        Self {
            entries_added_counter: snapshot.entries_added,
            number_of_entries: snapshot.entry_count,
            total_size: snapshot.size_bytes,
            current_ledger_entries: snapshot.open_entry_count,
            current_ledger_size: snapshot.open_size_bytes,
            last_ledger_created_timestamp: iso(snapshot.open_created_ms),
            waiting_cursors_count: cursors.values().filter(|cursor| cursor.waiting_read_op).count(),
            pending_add_entries_count: snapshot.pending_count,
            last_confirmed_entry: snapshot.end.before().to_string(),
            state: snapshot.state,
            ledgers: snapshot.ledgers.by_id.values().map(|info| ledger_body(info, metadata)).collect(),
            cursors,
            schema_ledgers: [],
            compacted_ledger: CompactedLedger {
                ledger_id: -1,
                entries: -1,
                size: -1,
                offloaded: false,
                under_replicated: false,
            },
        }
    }
}

fn ledger_body(info: &LedgerInfo, metadata: bool) -> LedgerBody {
    LedgerBody {
        ledger_id: info.ledger_id.0,
        entries: info.entry_count,
        size: info.size_bytes,
        offloaded: info.offload.is_complete(),
        metadata: metadata.then(|| ledger_metadata(info)),
        under_replicated: false,
    }
}

/// In the form of the original's, without what only bookies have.
fn ledger_metadata(info: &LedgerInfo) -> String {
    let copies = super::ledgers::place(&info.offload);
    match info.closed_ms {
        None => format!("LedgerMetadata{{state=OPEN, copies={copies}}}"),
        Some(_) => {
            let (length, last) = (info.size_bytes, info.entry_count as i64 - 1);
            format!("LedgerMetadata{{state=CLOSED, length={length}, lastEntryId={last}, copies={copies}}}")
        }
    }
}

fn cursor_body(
    ledger: &ManagedLedger,
    snapshot: &Snapshot,
    cursor: &CursorSnapshot,
    subscription: Option<&SubscriptionStats>,
) -> CursorBody {
    let reached = subscription.and_then(|stats| stats.read_position);
    let reached = reached.map_or(cursor.first_unacked, |(ledger_id, entry_id)| {
        Position::new(crate::storage::LedgerId(ledger_id), entry_id).max(cursor.first_unacked)
    });
    let read_position = ledger.valid_from(reached);
    let connected = subscription.is_some_and(|stats| !stats.consumers.is_empty());
    let has_permits = subscription.is_some_and(|stats| stats.consumers.iter().any(|consumer| consumer.permits > 0));
    let waiting = has_permits && reached >= snapshot.end;
    let switched_ms = if cursor.moved_ms > 0 { cursor.moved_ms } else { snapshot.open_created_ms };
    CursorBody {
        mark_delete_position: cursor.first_unacked.before().to_string(),
        read_position: read_position.to_string(),
        waiting_read_op: waiting,
        pending_read_ops: 0,
        messages_consumed_counter: snapshot.entries_added.saturating_sub(cursor.backlog),
        cursor_ledger: -1,
        cursor_ledger_last_entry: -1,
        individually_deleted_messages: cursor.acked.to_string(),
        last_ledger_switch_timestamp: iso(switched_ms),
        state: "NoLedger",
        active: connected,
        number_of_entries_since_first_not_acked_message: ledger.count(cursor.first_unacked, reached) + 1,
        total_non_contiguous_deleted_messages_range: cursor.acked.ranges().count(),
        subscription_have_pending_read: waiting,
        subscription_have_pending_replay_read: false,
        properties: cursor.properties.clone(),
    }
}
