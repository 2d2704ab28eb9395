//! Serves many consumers: Shared and Key_Shared.
//!
//! Every entry given out is pending until it is acknowledged, given back, or its consumer leaves; then it waits in the
//! replay set, before anything new. On Shared, consumers of the best priority level that have room take turns. On
//! Key_Shared an entry goes to the owner of its key's hash; while the owner has no room, or somebody else still holds
//! entries of that hash, it waits in the replay set, and later entries of the hash behind it.
//!
//! All chunks of one message go to one consumer. Entries with a delivery time wait for it.
//!
//! What is kept is bounded: pending entries by the limits on unacknowledged messages, held-back ones by
//! [`HELD_PER_CONSUMER_MAX`], [`HELD_MAX`] and [`DELAYED_MAX`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use bytes::Bytes;

use super::keys::{Owners, hash_of};
use super::{Look, Outbox, Plan, Scene, Wanted, look};
use crate::managed_ledger::Position;
use crate::topic::consumer::{Consumer, ConsumerKey, ConsumerRequest, SubscriptionKind};
use crate::topic::message::MessageView;

/// Entries of Key_Shared that may wait for busy consumers, for each consumer, before reading on stops.
const HELD_PER_CONSUMER_MAX: usize = 2_000;
/// The same for all consumers of a subscription.
const HELD_MAX: usize = 20_000;
/// Entries of a subscription that may wait for their time before reading on stops.
const DELAYED_MAX: usize = 1_000_000;
/// Messages in chunks whose consumer is remembered at a time.
const CHUNKED_MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Pending {
    owner: ConsumerKey,
    messages: u32,
    hash: Option<u16>,
}

/// Where an entry goes.
enum Choice {
    /// To the consumer at this place.
    To(usize),
    /// It waits for a consumer; others may go before it.
    Hold,
    /// It waits, and all behind it.
    Stop,
}

/// The state of a Shared or Key_Shared subscription.
#[derive(Debug)]
pub(in crate::topic) struct Multi {
    pub(in crate::topic) consumers: Vec<Consumer>,
    pub(in crate::topic) unacked: u64,
    pub(in crate::topic) allow_out_of_order: bool,
    /// `None` on Shared.
    owners: Option<Owners>,
    turn: usize,
    read: Position,
    pending: BTreeMap<Position, Pending>,
    /// Entries pending by hash, and at whom: never at two.
    pending_by_hash: HashMap<u16, (ConsumerKey, u32)>,
    replay: BTreeMap<Position, Option<u16>>,
    held_by_hash: HashMap<u16, BTreeSet<Position>>,
    redeliveries: HashMap<Position, u32>,
    delayed: BTreeSet<(u64, Position, Option<u16>)>,
    chunked: HashMap<String, ConsumerKey>,
}

impl Multi {
    pub(in crate::topic) fn new(first: &ConsumerRequest, read: Position) -> Self {
        let owners = (first.kind == SubscriptionKind::KeyShared).then(|| match first.key_sharing.ranges {
            None => Owners::ring(),
            Some(_) => Owners::Ranges(Vec::new()),
        });
        Self {
            consumers: Vec::new(),
            unacked: 0,
            allow_out_of_order: first.key_sharing.allow_out_of_order,
            owners,
            turn: 0,
            read,
            pending: BTreeMap::new(),
            pending_by_hash: HashMap::new(),
            replay: BTreeMap::new(),
            held_by_hash: HashMap::new(),
            redeliveries: HashMap::new(),
            delayed: BTreeSet::new(),
            chunked: HashMap::new(),
        }
    }

    pub(in crate::topic) fn kind(&self) -> SubscriptionKind {
        if self.owners.is_some() { SubscriptionKind::KeyShared } else { SubscriptionKind::Shared }
    }

    pub(in crate::topic) fn read_position(&self) -> Position {
        self.read
    }

    pub(in crate::topic) fn delayed_count(&self) -> usize {
        self.delayed.len()
    }

    pub(in crate::topic) fn replay_count(&self) -> usize {
        self.replay.len()
    }

    /// Takes a consumer in.
    ///
    /// # Errors
    /// The text for the client, when its key ranges clash with another's.
    pub(in crate::topic) fn add(&mut self, consumer: Consumer) -> Result<(), String> {
        if let Some(owners) = &mut self.owners {
            let sharing = &consumer.request.key_sharing;
            if sharing.ranges.is_none() != owners.is_ring() || sharing.allow_out_of_order != self.allow_out_of_order {
                return Err("the consumers of the subscription share keys in another way".to_owned());
            }
            owners.add(consumer.key, &consumer.request.name, sharing.ranges.as_deref())?;
        }
        self.consumers.push(consumer);
        Ok(())
    }

    pub(in crate::topic) fn remove(&mut self, key: ConsumerKey) -> Option<Consumer> {
        let index = self.consumers.iter().position(|consumer| consumer.key == key)?;
        self.give_back(key, None);
        if let Some(owners) = &mut self.owners {
            owners.remove(key);
        }
        self.chunked.retain(|_, owner| *owner != key);
        Some(self.consumers.remove(index))
    }

    /// Has pending entries of a consumer given out again: those named, or all.
    pub(in crate::topic) fn give_back(&mut self, key: ConsumerKey, only: Option<&[Position]>) {
        let positions: Vec<_> = match only {
            Some(only) => only.to_vec(),
            None => self.pending.iter().filter(|(_, p)| p.owner == key).map(|(position, _)| *position).collect(),
        };
        for position in positions {
            let Some(pending) = self.pending.get(&position).copied().filter(|p| p.owner == key) else { continue };
            self.settle(position, pending);
            *self.redeliveries.entry(position).or_default() += 1;
            self.hold(position, pending.hash);
        }
    }

    /// Forgets entries that are acknowledged. Answers whether something may go out that could not before.
    pub(in crate::topic) fn acknowledged(&mut self, positions: &[Position], scene: &Scene<'_>) -> bool {
        let was_blocked = self.is_blocked(scene) || self.consumers.iter().any(|c| is_full(c, scene));
        for position in positions {
            if let Some(pending) = self.pending.get(position).copied() {
                self.settle(*position, pending);
            }
            self.release(*position);
            self.redeliveries.remove(position);
        }
        was_blocked || !self.held_by_hash.is_empty()
    }

    /// Forgets everything before `end`.
    pub(in crate::topic) fn forget_before(&mut self, end: Position, scene: &Scene<'_>) {
        let gone: Vec<_> = self.pending.range(..end).map(|(position, _)| *position).collect();
        let waiting: Vec<_> = self.replay.range(..end).map(|(position, _)| *position).collect();
        self.acknowledged(&gone, scene);
        self.acknowledged(&waiting, scene);
        self.delayed.retain(|(_, position, _)| *position >= end);
        self.read = self.read.max(end);
    }

    /// An entry is no longer pending.
    fn settle(&mut self, position: Position, pending: Pending) {
        self.pending.remove(&position);
        self.unacked = self.unacked.saturating_sub(u64::from(pending.messages));
        if let Some(owner) = self.consumers.iter_mut().find(|consumer| consumer.key == pending.owner) {
            owner.unacked = owner.unacked.saturating_sub(u64::from(pending.messages));
        }
        let Some(hash) = pending.hash else { return };
        if let Some((_, count)) = self.pending_by_hash.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                self.pending_by_hash.remove(&hash);
            }
        }
    }

    fn hold(&mut self, position: Position, hash: Option<u16>) {
        self.replay.insert(position, hash);
        if let Some(hash) = hash {
            self.held_by_hash.entry(hash).or_default().insert(position);
        }
    }

    fn release(&mut self, position: Position) {
        let Some(Some(hash)) = self.replay.remove(&position) else { return };
        if let Some(held) = self.held_by_hash.get_mut(&hash) {
            held.remove(&position);
            if held.is_empty() {
                self.held_by_hash.remove(&hash);
            }
        }
    }

    fn is_blocked(&self, scene: &Scene<'_>) -> bool {
        let limit = scene.settings.unacked_per_subscription_max;
        limit > 0 && self.unacked >= limit
    }

    pub(in crate::topic) fn is_blocked_on_unacked(&self, limit: u64) -> bool {
        limit > 0 && self.unacked >= limit
    }

    pub(in crate::topic) fn plan(&mut self, end: Position, scene: &Scene<'_>) -> Plan {
        self.wake_delayed(scene.now_ms);
        let next_delayed = self.delayed.first().map(|(time_ms, ..)| *time_ms);
        let rooms: Vec<_> = self.consumers.iter().map(|consumer| available(consumer, scene)).collect();
        let room = rooms.iter().copied().max().unwrap_or(0);
        if self.is_blocked(scene) || room == 0 {
            return Plan::Wait(next_delayed);
        }
        let entries_wanted = self.consumers.iter().zip(&rooms).filter(|(_, room)| **room > 0);
        let entries_wanted: usize = entries_wanted.map(|(consumer, _)| consumer.entries_wanted()).sum();
        let wanted = |from, run: usize| Wanted {
            from,
            entries_max: entries_wanted.clamp(1, scene.settings.dispatch_read_entries_max.max(1)).min(run),
            bytes_max: scene.settings.dispatch_read_bytes_max.min(room as u64),
        };
        if let Some(from) = self.first_deliverable(&rooms) {
            return Plan::Replay(wanted(from, self.run_from(from, scene.settings.dispatch_read_entries_max)));
        }
        let held_max = HELD_MAX.min(HELD_PER_CONSUMER_MAX * self.consumers.len());
        if self.read >= end {
            return Plan::AtEnd(next_delayed);
        }
        if self.replay.len() < held_max && self.delayed.len() < DELAYED_MAX {
            return Plan::Read(wanted(self.read, usize::MAX));
        }
        Plan::Wait(next_delayed)
    }

    /// Steps over a gap that has no entries any more.
    pub(in crate::topic) fn skip(&mut self, from: Position, to: Position) {
        if self.read == from {
            self.read = to;
        }
    }

    fn wake_delayed(&mut self, now_ms: u64) {
        while let Some((time_ms, position, hash)) = self.delayed.first().copied() {
            if time_ms > now_ms {
                break;
            }
            self.delayed.pop_first();
            self.hold(position, hash);
        }
    }

    /// The first entry waiting to be given out again that somebody can take now.
    fn first_deliverable(&self, rooms: &[usize]) -> Option<Position> {
        if self.owners.is_none() {
            return self.replay.keys().next().copied();
        }
        let firsts =
            self.held_by_hash.iter().filter(|(hash, _)| self.owner_of(**hash).is_some_and(|index| rooms[index] > 0));
        firsts.filter_map(|(_, held)| held.first().copied()).min()
    }

    /// How many entries from `from` on wait to be given out again without a gap.
    fn run_from(&self, from: Position, run_max: usize) -> usize {
        let in_run = |(n, position): (usize, &Position)| {
            position.ledger_id == from.ledger_id && position.entry_id == from.entry_id + n as u64
        };
        self.replay
            .range(from..)
            .map(|(position, _)| position)
            .take(run_max.max(1))
            .enumerate()
            .take_while(|(n, position)| in_run((*n, position)))
            .count()
    }

    /// The place of the consumer that may get entries of a hash: its owner, unless somebody else still holds some.
    fn owner_of(&self, hash: u16) -> Option<usize> {
        let owner = self.owners.as_ref()?.owner(hash)?;
        let held_elsewhere = self.pending_by_hash.get(&hash).is_some_and(|(holder, _)| *holder != owner);
        if held_elsewhere && !self.allow_out_of_order {
            return None;
        }
        self.consumers.iter().position(|consumer| consumer.key == owner)
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
        let mut pass = Pass::begin(self, scene);
        for (position, entry) in entries {
            if !self.offer(&mut pass, position, entry, scene, true) {
                break;
            }
            self.read = position.next();
        }
        pass.end(self, scene);
        self.read != from
    }

    /// Gives out again what is waiting for that among `entries`. False if that changed nothing.
    pub(in crate::topic) fn accept_replay(
        &mut self,
        from: Position,
        entries: Vec<(Position, Bytes)>,
        scene: &Scene<'_>,
    ) -> bool {
        let waiting_before = self.replay.len();
        // Between the place asked for and the first entry found there is nothing any more: it was trimmed.
        let end_of_gap = entries.first().map_or(from.next(), |(position, _)| *position);
        let trimmed: Vec<_> = self.replay.range(from..end_of_gap.max(from)).map(|(position, _)| *position).collect();
        self.acknowledged(&trimmed, scene);
        let mut pass = Pass::begin(self, scene);
        for (position, entry) in entries {
            if self.replay.contains_key(&position) && !self.offer(&mut pass, position, entry, scene, false) {
                break;
            }
        }
        pass.end(self, scene);
        self.replay.len() != waiting_before
    }

    /// Places one entry. False if it and all behind it must wait.
    fn offer(&mut self, pass: &mut Pass, position: Position, entry: Bytes, scene: &Scene<'_>, is_new: bool) -> bool {
        let view = match look(scene, position, &entry) {
            Look::Done => {
                self.release(position);
                self.redeliveries.remove(&position);
                return true;
            }
            Look::Deliver(view) => view,
        };
        let hash = self.owners.as_ref().map(|_| view.as_ref().map_or(1, hash_of));
        let deliver_at = view.as_ref().and_then(|view| view.deliver_at_ms).and_then(|time| u64::try_from(time).ok());
        if let Some(time_ms) = deliver_at.filter(|time_ms| is_new && *time_ms > scene.now_ms) {
            self.delayed.insert((time_ms, position, hash));
            return true;
        }
        let messages = view.as_ref().map_or(1, MessageView::messages);
        match self.choose(pass, position, hash, view.as_ref()) {
            Choice::To(index) => {
                self.release(position);
                self.give(pass, index, (position, entry), messages, hash, scene);
                true
            }
            Choice::Hold => {
                self.hold(position, hash);
                true
            }
            Choice::Stop => false,
        }
    }

    fn choose(&mut self, pass: &mut Pass, at: Position, hash: Option<u16>, view: Option<&MessageView<'_>>) -> Choice {
        if let Some(hash) = hash {
            let behind = self.held_by_hash.get(&hash).and_then(BTreeSet::first).is_some_and(|first| *first < at);
            if behind && !self.allow_out_of_order {
                return Choice::Hold;
            }
            return match self.owner_of(hash) {
                Some(index) if pass.can_take(self, index) => Choice::To(index),
                _ => Choice::Hold,
            };
        }
        let chunk = view.and_then(MessageView::chunk);
        if let Some(chunk) = &chunk
            && let Some(owner) = self.chunked.get(chunk.uuid)
            && let Some(index) = self.consumers.iter().position(|consumer| consumer.key == *owner)
        {
            if chunk.id + 1 >= chunk.count {
                self.chunked.remove(chunk.uuid);
            }
            return if pass.can_take(self, index) { Choice::To(index) } else { Choice::Stop };
        }
        let Some(index) = self.next_in_turn(pass) else { return Choice::Stop };
        if let Some(chunk) = chunk.filter(|chunk| chunk.count > 1 && self.chunked.len() < CHUNKED_MAX) {
            self.chunked.insert(chunk.uuid.to_owned(), self.consumers[index].key);
        }
        Choice::To(index)
    }

    /// The consumer whose turn it is: the next one with room, of the best priority level that has one.
    fn next_in_turn(&mut self, pass: &mut Pass) -> Option<usize> {
        if pass.turn_left > 0 && pass.can_take(self, self.turn) {
            pass.turn_left -= 1;
            return Some(self.turn);
        }
        let count = self.consumers.len();
        let able: Vec<_> =
            (1..=count).map(|n| (self.turn + n) % count).filter(|index| pass.can_take(self, *index)).collect();
        let next = able.into_iter().min_by_key(|index| self.consumers[*index].request.priority)?;
        self.turn = next;
        pass.turn_left = pass.turn_length - 1;
        Some(next)
    }

    fn give(
        &mut self,
        pass: &mut Pass,
        index: usize,
        entry: (Position, Bytes),
        messages: u32,
        hash: Option<u16>,
        scene: &Scene<'_>,
    ) {
        let position = entry.0;
        let consumer = &mut self.consumers[index];
        let redeliveries = self.redeliveries.get(&position).copied().unwrap_or(0);
        let wanted = pass.outboxes[index].push(scene, consumer, entry, messages, redeliveries);
        consumer.unacked += u64::from(wanted);
        self.unacked += u64::from(wanted);
        self.pending.insert(position, Pending { owner: consumer.key, messages: wanted, hash });
        if let Some(hash) = hash {
            let held = self.pending_by_hash.entry(hash).or_insert((consumer.key, 0));
            *held = (consumer.key, held.1 + 1);
        }
    }
}

/// Whether a consumer holds as many unacknowledged messages as it may.
fn is_full(consumer: &Consumer, scene: &Scene<'_>) -> bool {
    let limit = scene.settings.unacked_per_consumer_max;
    limit > 0 && consumer.unacked >= limit
}

/// Bytes a consumer can take now.
fn available(consumer: &Consumer, scene: &Scene<'_>) -> usize {
    if consumer.permits <= 0 || is_full(consumer, scene) { 0 } else { scene.room(consumer) }
}

/// One round of giving out: what each consumer gets, and how much room it had at the beginning.
struct Pass {
    outboxes: Vec<Outbox>,
    rooms: Vec<usize>,
    unacked_max: u64,
    turn_length: usize,
    turn_left: usize,
}

impl Pass {
    fn begin(multi: &mut Multi, scene: &Scene<'_>) -> Self {
        if multi.turn >= multi.consumers.len() {
            multi.turn = 0;
        }
        let limit = scene.settings.unacked_per_consumer_max;
        Self {
            outboxes: multi.consumers.iter().map(|_| Outbox::default()).collect(),
            rooms: multi.consumers.iter().map(|consumer| available(consumer, scene)).collect(),
            unacked_max: if limit == 0 { u64::MAX } else { limit },
            turn_length: scene.settings.round_robin_entries_max.max(1),
            turn_left: 0,
        }
    }

    fn can_take(&self, multi: &Multi, index: usize) -> bool {
        let Some(consumer) = multi.consumers.get(index) else { return false };
        self.outboxes[index].bytes < self.rooms[index] && consumer.permits > 0 && consumer.unacked < self.unacked_max
    }

    fn end(self, multi: &mut Multi, scene: &Scene<'_>) {
        for (outbox, consumer) in self.outboxes.into_iter().zip(&mut multi.consumers) {
            outbox.flush(scene, consumer);
        }
    }
}
