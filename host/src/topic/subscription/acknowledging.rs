//! What a subscription does with acknowledgements.

use std::sync::atomic::Ordering::Relaxed;

use super::{Acknowledged, Dispatcher, State, Subscription};
use crate::managed_ledger::Position;
use crate::topic::consumer::ConsumerKey;

impl Subscription {
    /// Entries, or parts of batches, are done with. Those that do not exist are ignored.
    pub(in crate::topic) fn acknowledge(&self, key: ConsumerKey, entries: Vec<Acknowledged>) {
        let end = self.ledger().end();
        let exists = |position: Position| position < end && self.ledger().valid_from(position) == position;
        let mut state = self.lock();
        let State { dispatcher, partial, acked_ms, .. } = &mut *state;
        let mut done = Vec::with_capacity(entries.len());
        for entry in entries.into_iter().filter(|entry| exists(entry.position)) {
            if entry.remaining.is_empty() || partial.note(entry.position, &entry.remaining) {
                partial.forget(entry.position);
                done.push(entry.position);
            }
        }
        let scene = self.scene(partial);
        *acked_ms = scene.now_ms;
        self.acknowledged.add(done.len() as u64, 0);
        if let Some(consumer) = dispatcher.consumer(key) {
            consumer.acked(done.len() as u64, scene.now_ms);
        }
        self.cursor.acknowledge(&done);
        let wakes = match dispatcher {
            Dispatcher::Multi(multi) => multi.acknowledged(&done, &scene),
            _ => false,
        };
        drop(state);
        if wakes || self.surroundings.terminated.load(Relaxed) {
            self.wake.notify_one();
        }
    }

    /// Everything up to and including `last` is done with; with a set, of `last` only what it does not name. Not on Shared.
    pub(in crate::topic) fn acknowledge_through(&self, key: ConsumerKey, last: Acknowledged) {
        let mut state = self.lock();
        let State { dispatcher, partial, acked_ms, .. } = &mut *state;
        if matches!(dispatcher, Dispatcher::Multi(_)) {
            return;
        }
        let ledger = self.ledger();
        let is_partial = !last.remaining.is_empty() && !partial.note(last.position, &last.remaining);
        let exists = last.position < ledger.end() && ledger.valid_from(last.position) == last.position;
        let through = if exists && !is_partial { Some(last.position) } else { ledger.previous(last.position) };
        if let Some(through) = through {
            let before = self.cursor.backlog();
            self.cursor.acknowledge_through(through);
            let count = before.saturating_sub(self.cursor.backlog());
            self.acknowledged.add(count, 0);
            partial.forget_before(through.next());
            let now_ms = self.surroundings.clock.now_ms();
            *acked_ms = now_ms;
            if let Some(consumer) = dispatcher.consumer(key) {
                consumer.acked(count, now_ms);
            }
        }
        drop(state);
        if self.surroundings.terminated.load(Relaxed) {
            self.wake.notify_one();
        }
    }
}
