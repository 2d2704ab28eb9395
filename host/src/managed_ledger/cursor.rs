//! A subscription's place in a managed ledger: everything before `first_unacked` is deleted, and so are the ranges of
//! individual acknowledgements behind it.
//!
//! A durable cursor's record is written when it is created or reset, when it is closed, and at a bounded rate while it
//! moves ([`Cursor::flush`] is driven by the clock): a crash may deliver acknowledged entries again, never skip one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, Weak};

use super::ManagedLedger;
use super::error::ManagedLedgerError;
use super::ledgers::Ledgers;
use super::position::Position;
use super::ranges::AckedRanges;
use super::records::{StoredCursor, encode_cursor};
use crate::metadata::Expect;

/// A cursor, durable or not. Locks: a cursor's state may take the list's lock inside, never the reverse.
pub struct Cursor {
    name: String,
    durable: bool,
    ledger: Weak<ManagedLedger>,
    /// What the subscription was made with.
    labels: BTreeMap<String, String>,
    state: Mutex<CursorState>,
    /// Held across a write of the record, so that an older state never overwrites a newer one.
    writing: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct CursorState {
    first_unacked: Position,
    acked: AckedRanges,
    properties: BTreeMap<String, u64>,
    last_active_ms: u64,
    dirty: bool,
    flushed_ms: u64,
    moved_ms: u64,
}

/// A cursor as the admin shows it.
#[derive(Clone, Debug)]
pub struct CursorSnapshot {
    /// The subscription.
    pub name: String,
    /// Whether it survives a restart.
    pub durable: bool,
    /// First position that is not deleted.
    pub first_unacked: Position,
    /// Ranges behind it that are.
    pub acked: AckedRanges,
    /// Entries not acknowledged.
    pub backlog: u64,
    /// The subscriber's numbers.
    pub properties: BTreeMap<String, u64>,
    /// When the first unacknowledged position moved last, milliseconds since 1970; 0 for never.
    pub moved_ms: u64,
}

impl Cursor {
    pub(super) fn new(name: &str, durable: bool, ledger: Weak<ManagedLedger>, stored: StoredCursor) -> Self {
        let StoredCursor { first_unacked, acked, properties, last_active_ms, labels } = stored;
        Self {
            name: name.to_owned(),
            durable,
            ledger,
            labels,
            state: Mutex::new(CursorState {
                first_unacked,
                acked,
                properties,
                last_active_ms,
                dirty: false,
                flushed_ms: 0,
                moved_ms: 0,
            }),
            writing: tokio::sync::Mutex::new(()),
        }
    }

    /// The subscription's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its subscription was made with; nothing here acts on it.
    pub fn labels(&self) -> &BTreeMap<String, String> {
        &self.labels
    }

    /// Whether it survives a restart and holds ledgers back.
    pub fn is_durable(&self) -> bool {
        self.durable
    }

    /// The first position that is not deleted; what a new consumer reads first.
    pub fn first_unacked(&self) -> Position {
        self.lock().first_unacked
    }

    /// Whether the entry is acknowledged.
    pub fn is_acknowledged(&self, position: Position) -> bool {
        let state = self.lock();
        position < state.first_unacked || state.acked.contains(position)
    }

    /// Acknowledges single entries.
    pub fn acknowledge(&self, positions: &[Position]) {
        self.change(|state, _, _| {
            for position in positions.iter().filter(|position| **position >= state.first_unacked) {
                state.acked.insert(position.ledger_id, position.entry_id, position.entry_id + 1);
            }
        });
    }

    /// Acknowledges everything up to and including `last`.
    pub fn acknowledge_through(&self, last: Position) {
        self.advance(last.next());
    }

    /// Moves the first unacknowledged position forward to `to`, never back.
    pub(super) fn advance(&self, to: Position) {
        self.change(|state, _, _| state.first_unacked = state.first_unacked.max(to));
    }

    /// Makes `next` the first unacknowledged position and forgets acknowledgements behind it. Durable on return.
    ///
    /// # Errors
    /// Those of the metadata store; the cursor has moved in memory all the same.
    pub async fn reset(&self, next: Position) -> Result<(), ManagedLedgerError> {
        {
            let mut state = self.lock();
            state.first_unacked = next;
            state.acked = AckedRanges::default();
            state.dirty = true;
        }
        self.write().await
    }

    /// Moves forward to `next` and replaces the subscriber's numbers, in one write. Durable on return.
    ///
    /// # Errors
    /// Those of the metadata store; the cursor has moved in memory all the same, and is written again later.
    pub async fn keep(&self, next: Position, properties: BTreeMap<String, u64>) -> Result<(), ManagedLedgerError> {
        self.lock().properties = properties;
        self.advance(next);
        self.write().await
    }

    /// Notes that somebody uses it; written with its next write.
    pub fn touch(&self, now_ms: u64) {
        let mut state = self.lock();
        state.last_active_ms = state.last_active_ms.max(now_ms);
        state.dirty = true;
    }

    /// When somebody used it last, milliseconds since 1970; 0 where nobody noted that.
    pub fn last_active_ms(&self) -> u64 {
        self.lock().last_active_ms
    }

    /// The subscriber's numbers.
    pub fn properties(&self) -> BTreeMap<String, u64> {
        self.lock().properties.clone()
    }

    /// Entries that are not acknowledged, up to the managed ledger's end.
    pub fn backlog(&self) -> u64 {
        self.snapshot().backlog
    }

    /// What the admin shows.
    pub fn snapshot(&self) -> CursorSnapshot {
        let state = self.lock();
        let ahead = self.ledger.upgrade().map_or(0, |ledger| ledger.count(state.first_unacked, ledger.end()));
        CursorSnapshot {
            name: self.name.clone(),
            durable: self.durable,
            first_unacked: state.first_unacked,
            acked: state.acked.clone(),
            backlog: ahead.saturating_sub(state.acked.len()),
            properties: state.properties.clone(),
            moved_ms: state.moved_ms,
        }
    }

    /// Writes the record if it changed.
    pub async fn flush(&self) {
        if self.lock().dirty
            && let Err(error) = self.write().await
        {
            tracing::warn!(cursor = self.name, %error, "a cursor's position was not written; it will be tried again");
        }
    }

    /// Writes the record if it changed and the last write is `interval_ms` old.
    pub(super) async fn flush_if_older(&self, now_ms: u64, interval_ms: u64) {
        if now_ms.saturating_sub(self.lock().flushed_ms) >= interval_ms {
            self.flush().await;
        }
    }

    /// Writes the record now, if the cursor is durable.
    pub(super) async fn write(&self) -> Result<(), ManagedLedgerError> {
        let Some(ledger) = self.ledger.upgrade().filter(|_| self.durable) else { return Ok(()) };
        let _writing = self.writing.lock().await;
        let stored = {
            let mut state = self.lock();
            state.dirty = false;
            state.flushed_ms = ledger.rooms.clock.now_ms();
            StoredCursor {
                first_unacked: state.first_unacked,
                acked: state.acked.clone(),
                properties: state.properties.clone(),
                last_active_ms: state.last_active_ms,
                labels: self.labels.clone(),
            }
        };
        let value = encode_cursor(&stored, ledger.settings().cursor_ranges_max);
        let key = super::keys::cursor(ledger.name(), &self.name);
        if let Err(error) = ledger.rooms.metadata.put(&key, value, Expect::Anything).await {
            self.lock().dirty = true;
            return Err(error.into());
        }
        Ok(())
    }

    /// Applies `change`, then swallows acknowledged ranges and finished ledgers at the front.
    fn change(&self, change: impl FnOnce(&mut CursorState, &Ledgers, Position)) {
        let Some(ledger) = self.ledger.upgrade() else { return };
        let moved = {
            let mut state = self.lock();
            let before = state.first_unacked;
            ledger.with_ledgers(|ledgers, end| {
                change(&mut state, ledgers, end);
                swallow(&mut state, ledgers);
            });
            state.dirty = true;
            let moved = (before != state.first_unacked).then_some((before, state.first_unacked));
            if moved.is_some() {
                state.moved_ms = ledger.rooms.clock.now_ms();
            }
            moved
        };
        if moved.is_some() {
            ledger.counters.cursor_moved();
        }
        if let Some((before, after)) = moved.filter(|_| self.durable) {
            ledger.cursor_moved(before, after);
        }
    }

    fn lock(&self) -> MutexGuard<'_, CursorState> {
        self.state.lock().expect("no code panics while it holds a cursor's state")
    }
}

/// Moves the front over acknowledged ranges, across the ends of closed ledgers.
fn swallow(state: &mut CursorState, ledgers: &Ledgers) {
    loop {
        let front = state.first_unacked;
        if let Some(end) = state.acked.end_of(front) {
            state.first_unacked.entry_id = end;
            continue;
        }
        let next_ledger = match ledgers.by_id.get(&front.ledger_id) {
            Some(info) if info.closed_ms.is_none() || front.entry_id < info.entry_count => break,
            _ => ledgers.by_id.range(front.ledger_id..).find(|(id, _)| **id > front.ledger_id).map(|(id, _)| *id),
        };
        match next_ledger.map(|id| Position::new(id, 0)).filter(|start| state.acked.contains(*start)) {
            Some(start) => state.first_unacked = start,
            None => break,
        }
    }
    state.acked.forget_before(state.first_unacked);
}

impl ManagedLedger {
    /// Opens a durable cursor: an existing one keeps its place and its labels, a new one begins at `start` with these and is
    /// durable on return.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn open_cursor(
        self: &Arc<Self>,
        name: &str,
        start: Position,
        labels: BTreeMap<String, String>,
    ) -> Result<Arc<Cursor>, ManagedLedgerError> {
        let (cursor, is_new) = {
            let mut cursors = self.cursors.lock().expect("no code panics while it holds the cursors");
            if let Some(cursor) = cursors.get(name) {
                (cursor.clone(), false)
            } else {
                let (acked, properties) = (AckedRanges::default(), BTreeMap::new());
                let stored = StoredCursor { first_unacked: start, acked, properties, last_active_ms: 0, labels };
                let cursor = Arc::new(Cursor::new(name, true, Arc::downgrade(self), stored));
                cursors.insert(name.to_owned(), cursor.clone());
                (cursor, true)
            }
        };
        if is_new && let Err(error) = cursor.write().await {
            self.cursors.lock().expect("no code panics while it holds the cursors").remove(name);
            return Err(error);
        }
        Ok(cursor)
    }

    /// Opens a non-durable cursor at `start`; it holds nothing back and is gone when it is deleted.
    pub fn open_reader(self: &Arc<Self>, name: &str, start: Position) -> Arc<Cursor> {
        let (acked, properties, labels) = (AckedRanges::default(), BTreeMap::new(), BTreeMap::new());
        let stored = StoredCursor { first_unacked: start, acked, properties, last_active_ms: 0, labels };
        let cursor = Arc::new(Cursor::new(name, false, Arc::downgrade(self), stored));
        self.cursors.lock().expect("no code panics while it holds the cursors").insert(name.to_owned(), cursor.clone());
        cursor
    }

    /// The cursor of that name.
    pub fn cursor(&self, name: &str) -> Option<Arc<Cursor>> {
        self.cursors.lock().expect("no code panics while it holds the cursors").get(name).cloned()
    }

    /// All cursors, by name.
    pub fn cursors(&self) -> Vec<Arc<Cursor>> {
        self.cursors.lock().expect("no code panics while it holds the cursors").values().cloned().collect()
    }

    /// Deletes a cursor and its record; deleting an unknown one is a success.
    ///
    /// # Errors
    /// Those of the metadata store; the cursor stays then.
    pub async fn delete_cursor(&self, name: &str) -> Result<(), ManagedLedgerError> {
        let Some(cursor) = self.cursor(name) else { return Ok(()) };
        if cursor.durable {
            let _writing = cursor.writing.lock().await;
            cursor.lock().dirty = false;
            self.rooms.metadata.delete(&super::keys::cursor(self.name(), name), Expect::Anything).await?;
        }
        self.cursors.lock().expect("no code panics while it holds the cursors").remove(name);
        if cursor.durable {
            self.ask_trim();
        }
        Ok(())
    }

    /// The first unacknowledged position over all durable cursors.
    pub(super) fn slowest_cursor(&self) -> Option<Position> {
        self.cursors().iter().filter(|cursor| cursor.durable).map(|cursor| cursor.first_unacked()).min()
    }

    /// A durable cursor left a ledger: what it held back may go.
    fn cursor_moved(&self, before: Position, after: Position) {
        let finished = self.with_ledgers(|ledgers, _| {
            let info = ledgers.by_id.get(&after.ledger_id);
            info.is_some_and(|info| info.closed_ms.is_some() && after.entry_id >= info.entry_count)
        });
        if before.ledger_id != after.ledger_id || finished {
            self.ask_trim();
        }
    }
}
