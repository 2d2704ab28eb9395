//! Messages that a producer sends again are known, and not stored twice.
//!
//! A producer numbers its messages. What numbers are stored is recorded now and then, in the numbers of a cursor of its own
//! (`pulsar.dedup`, as the original has it) together with the place up to which the record holds; what lies behind is read
//! from the log when the topic is loaded. So a crash at any point forgets nothing that is stored: see
//! [`Deduplication::recover`]. The place is one that every entry before it is counted for: entries get tickets in the order
//! of the log, and the record goes up to the last ticket before the first that is still under way.

mod sequences;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub(super) use sequences::{Numbers, Verdict};

use super::error::TopicError;
use super::message::MessageView;
use super::settings::DeduplicationSettings;
use crate::managed_ledger::{Cursor, ManagedLedger, Position};
use sequences::Sequences;

/// The cursor's name; the original's.
pub(super) const CURSOR: &str = "pulsar.dedup";
/// Entries read at a time when a topic is loaded.
const READ_ENTRIES: usize = 1000;
/// Bytes read at a time then.
const READ_BYTES: u64 = 4 << 20;
/// Least time between two records, milliseconds, however many entries come.
const RECORD_INTERVAL_MIN_MS: u64 = 1000;

/// The numbers of a topic's producers.
pub(super) struct Deduplication {
    cursor: Arc<Cursor>,
    settings: DeduplicationSettings,
    state: Mutex<State>,
    /// Held across a write of the record.
    recording: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    sequences: Sequences,
    /// Entries on their way, in the order of the log; a place where one is stored and waits for those before it.
    underway: VecDeque<Option<Position>>,
    /// The ticket of the first of them.
    first_ticket: u64,
    /// Everything up to here is counted.
    counted: Option<Position>,
    /// Entries counted since the last record.
    unrecorded: u64,
    recorded_ms: u64,
}

/// An entry that is on its way to the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ticket {
    number: u64,
    numbers: Numbers,
}

impl Deduplication {
    /// Takes up what is recorded, and reads what lies behind in the log.
    pub(super) async fn recover(
        ledger: &Arc<ManagedLedger>,
        settings: DeduplicationSettings,
        now_ms: u64,
    ) -> Result<Self, TopicError> {
        let cursor = ledger.open_cursor(CURSOR, ledger.end(), Default::default()).await?;
        let mut state = State { recorded_ms: now_ms, ..State::default() };
        for (producer, last) in cursor.properties() {
            state.sequences.recorded(producer, last, now_ms);
        }
        let end = ledger.end();
        let mut next = ledger.valid_from(cursor.first_unacked());
        while next < end {
            let entries = ledger.read(next, READ_ENTRIES, READ_BYTES).await?;
            let Some(last) = entries.last().map(|(position, _)| *position) else { break };
            for (position, entry) in entries {
                // One that cannot be understood was never counted: it has no numbers.
                if let Ok(view) = MessageView::of(&entry) {
                    state.sequences.stored(view.producer_name, numbers_of(&view), Some(now_ms));
                }
                state.counted = Some(position);
                state.unrecorded += 1;
            }
            next = ledger.valid_from(last.next());
        }
        Ok(Self { cursor, settings, state: Mutex::new(state), recording: tokio::sync::Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds the numbers of producers")
    }

    /// Judges an entry; a fresh one is handed to the log by `append`, in the order of the tickets.
    pub(super) fn admit<T>(
        &self,
        producer: &str,
        numbers: Numbers,
        append: impl FnOnce() -> T,
    ) -> Result<(Ticket, T), Verdict> {
        let mut state = self.lock();
        match state.sequences.judge(producer, numbers) {
            Verdict::Fresh => {
                let number = state.first_ticket + state.underway.len() as u64;
                state.underway.push_back(None);
                Ok((Ticket { number, numbers }, append()))
            }
            known => Err(known),
        }
    }

    /// An entry is in the log at `position`. Answers whether the record is due.
    pub(super) fn stored(&self, producer: &str, ticket: Ticket, position: Position, now_ms: u64) -> bool {
        let mut state = self.lock();
        state.sequences.stored(producer, ticket.numbers, None);
        let place = ticket.number.checked_sub(state.first_ticket).and_then(|place| usize::try_from(place).ok());
        if let Some(underway) = place.and_then(|place| state.underway.get_mut(place)) {
            *underway = Some(position);
        }
        while let Some(Some(position)) = state.underway.front().copied() {
            state.underway.pop_front();
            state.first_ticket += 1;
            state.counted = Some(position);
            state.unrecorded += 1;
        }
        let is_due = state.unrecorded >= self.settings.entries_interval
            && now_ms.saturating_sub(state.recorded_ms) >= RECORD_INTERVAL_MIN_MS;
        if is_due {
            // Whoever is told so records it; nobody else is told meanwhile.
            state.recorded_ms = now_ms;
        }
        is_due
    }

    /// Records what is counted.
    pub(super) async fn record(&self, now_ms: u64) {
        let _recording = self.recording.lock().await;
        let (counted, known) = {
            let mut state = self.lock();
            state.recorded_ms = now_ms;
            let Some(counted) = state.counted.filter(|_| state.unrecorded > 0) else { return };
            state.unrecorded = 0;
            (counted, state.sequences.record(self.settings.producers_max))
        };
        if let Err(error) = self.cursor.keep(counted.next(), known).await {
            tracing::warn!(%error, "the numbers of producers were not recorded; the next load reads more of the log");
        }
    }

    /// What the clock does: forgets producers that are long gone, records what was not for `interval`.
    pub(super) async fn tick(&self, now_ms: u64, interval: Option<Duration>) {
        let interval = interval.unwrap_or(self.settings.record_interval);
        let is_due = {
            let mut state = self.lock();
            let before_ms = now_ms.saturating_sub(self.settings.producer_gone_max.as_millis() as u64);
            state.sequences.forget(before_ms, self.settings.producers_max);
            now_ms.saturating_sub(state.recorded_ms) >= interval.as_millis() as u64
        };
        if is_due {
            self.record(now_ms).await;
        }
    }

    /// The highest number of a producer.
    pub(super) fn last(&self, producer: &str) -> Option<u64> {
        self.lock().sequences.last(producer)
    }

    /// A producer is connected.
    pub(super) fn came(&self, producer: &str) {
        self.lock().sequences.came(producer);
    }

    /// A producer is gone.
    pub(super) fn left(&self, producer: &str, now_ms: u64) {
        self.lock().sequences.left(producer, now_ms);
    }
}

fn numbers_of(view: &MessageView<'_>) -> Numbers {
    Numbers {
        first: view.sequence_id,
        last: view.highest_sequence_id.max(view.sequence_id),
        completes: view.chunk().is_none_or(|chunk| chunk.id + 1 >= chunk.count),
    }
}

/// The numbers of an entry that comes from a producer.
pub(super) fn numbers(sequence_id: u64, highest_sequence_id: u64, is_chunk: bool, entry: &[u8]) -> Numbers {
    let completes = || MessageView::of(entry).is_ok_and(|view| numbers_of(&view).completes);
    Numbers { first: sequence_id, last: highest_sequence_id.max(sequence_id), completes: !is_chunk || completes() }
}

#[cfg(test)]
mod tests;
