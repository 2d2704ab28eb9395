//! Serves one consumer in order: Exclusive and Failover.
//!
//! Of several Failover consumers those of the best priority level stand for election. On partition `p` the one at place
//! `p` modulo their number, by name, is active; on a plain topic the one with the greatest hash of topic and name, so that
//! different topics choose differently and a newcomer takes over as few topics as possible. A new active consumer starts
//! after a delay, at the first entry that is not acknowledged.

use bytes::Bytes;

use super::keys::murmur3_32;
use super::{Look, Outbox, Plan, Scene, Wanted, look};
use crate::managed_ledger::Position;
use crate::topic::consumer::{Consumer, ConsumerKey, SubscriptionKind};

/// The state of an Exclusive or Failover subscription.
#[derive(Debug)]
pub(in crate::topic) struct Single {
    pub(in crate::topic) kind: SubscriptionKind,
    pub(in crate::topic) consumers: Vec<Consumer>,
    active: Option<ConsumerKey>,
    /// The active consumer gets nothing before this time.
    starts_ms: u64,
    read: Position,
}

impl Single {
    pub(in crate::topic) fn new(kind: SubscriptionKind, read: Position) -> Self {
        Self { kind, consumers: Vec::new(), active: None, starts_ms: 0, read }
    }

    pub(in crate::topic) fn active(&self) -> Option<&Consumer> {
        self.consumers.iter().find(|consumer| Some(consumer.key) == self.active)
    }

    pub(in crate::topic) fn read_position(&self) -> Position {
        self.read
    }

    pub(in crate::topic) fn add(&mut self, consumer: Consumer, topic: &str, scene: &Scene<'_>) {
        let key = consumer.key;
        self.consumers.push(consumer);
        if !self.elect(topic, scene) {
            self.announce(|consumer| consumer.key == key);
        }
    }

    pub(in crate::topic) fn remove(&mut self, key: ConsumerKey, topic: &str, scene: &Scene<'_>) -> Option<Consumer> {
        let index = self.consumers.iter().position(|consumer| consumer.key == key)?;
        let consumer = self.consumers.remove(index);
        self.elect(topic, scene);
        Some(consumer)
    }

    /// Goes back to the first entry that is not acknowledged, if the active consumer asks for it.
    pub(in crate::topic) fn rewind(&mut self, asked_by: ConsumerKey, scene: &Scene<'_>) {
        if self.active == Some(asked_by) {
            self.read = scene.cursor.first_unacked();
        }
    }

    /// Elects the active consumer. False if it stays.
    fn elect(&mut self, topic: &str, scene: &Scene<'_>) -> bool {
        let elected = self.favourite(topic, scene.partition);
        if elected == self.active {
            return false;
        }
        let takes_over = self.active.is_some() && elected.is_some();
        self.starts_ms = if takes_over { scene.now_ms + scene.settings.failover_delay.as_millis() as u64 } else { 0 };
        self.active = elected;
        self.read = scene.cursor.first_unacked();
        self.announce(|_| true);
        true
    }

    fn favourite(&self, topic: &str, partition: Option<u32>) -> Option<ConsumerKey> {
        let best = self.consumers.iter().map(|consumer| consumer.request.priority).min()?;
        let mut candidates: Vec<_> = self.consumers.iter().filter(|c| c.request.priority == best).collect();
        candidates.sort_by_key(|consumer| (&consumer.request.name, consumer.key));
        let favourite = match partition {
            Some(partition) => candidates[partition as usize % candidates.len()],
            None => {
                let weight = |name: &str| murmur3_32(format!("{topic}/{name}").as_bytes());
                candidates.into_iter().max_by_key(|consumer| weight(&consumer.request.name))?
            }
        };
        Some(favourite.key)
    }

    fn announce(&self, to_whom: impl Fn(&Consumer) -> bool) {
        if self.kind != SubscriptionKind::Failover {
            return;
        }
        for consumer in self.consumers.iter().filter(|consumer| to_whom(consumer)) {
            consumer.client().active_changed(consumer.request.consumer_id, Some(consumer.key) == self.active);
        }
    }

    pub(in crate::topic) fn plan(&self, end: Position, scene: &Scene<'_>) -> Plan {
        let Some(consumer) = self.active() else { return Plan::Wait(None) };
        if scene.now_ms < self.starts_ms {
            return Plan::Wait(Some(self.starts_ms));
        }
        if self.read >= end {
            return Plan::AtEnd(None);
        }
        if consumer.permits <= 0 {
            return Plan::Wait(None);
        }
        let room = scene.room(consumer);
        if room == 0 {
            return Plan::Wait(None);
        }
        Plan::Read(Wanted {
            from: self.read,
            entries_max: consumer.entries_wanted().clamp(1, scene.settings.dispatch_read_entries_max.max(1)),
            bytes_max: scene.settings.dispatch_read_bytes_max.min(room as u64),
        })
    }

    /// Steps over a gap that has no entries any more.
    pub(in crate::topic) fn skip(&mut self, from: Position, to: Position) {
        if self.read == from {
            self.read = to;
        }
    }

    /// Gives out entries read from `from` on. False if that changed nothing.
    pub(in crate::topic) fn accept(
        &mut self,
        from: Position,
        entries: Vec<(Position, Bytes)>,
        scene: &Scene<'_>,
    ) -> bool {
        if from != self.read {
            return true;
        }
        let active = self.active;
        let Some(consumer) = self.consumers.iter_mut().find(|consumer| Some(consumer.key) == active) else {
            return false;
        };
        let room = scene.room(consumer);
        let mut outbox = Outbox { batch: Vec::with_capacity(entries.len()), ..Outbox::default() };
        for (position, entry) in entries {
            let messages = match look(scene, position, &entry) {
                Look::Done => {
                    self.read = position.next();
                    continue;
                }
                Look::Deliver(view) => view.map_or(1, |view| view.messages()),
            };
            if consumer.permits <= 0 || outbox.bytes >= room {
                break;
            }
            outbox.push(scene, consumer, (position, entry), messages, 0);
            self.read = position.next();
        }
        outbox.flush(scene, consumer);
        self.read != from
    }
}
