//! Who gets which entry: decisions over positions, permits and room, without I/O.
//!
//! A subscription's task asks a dispatcher for a [`Plan`], reads what it names, and hands the entries back. A dispatcher
//! keeps the place where reading goes on; entries that no longer fit it, because the place moved meanwhile, are dropped.
//! [`single`] serves one consumer in order (Exclusive, Failover), [`multi`] many (Shared, Key_Shared).

pub(super) mod keys;
pub(super) mod multi;
pub(super) mod single;

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::acks::PartialAcks;
use super::client::Delivery;
use super::consumer::Consumer;
use super::message::{self, MessageView};
use super::settings::TopicSettings;
use super::stats::Counter;
use crate::managed_ledger::{Cursor, Position};

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Plan {
    /// Read on from here.
    Read(Wanted),
    /// Read these again; entries that are not waiting to be given out again are passed over.
    Replay(Wanted),
    /// Nothing until something changes, or until this time, milliseconds since 1970.
    Wait(Option<u64>),
    /// The same, but new entries are such a change.
    AtEnd(Option<u64>),
}

/// Entries to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) from: Position,
    pub(super) entries_max: usize,
    pub(super) bytes_max: u64,
}

impl Plan {
    /// Where a read would begin. Two plans that begin at the same place want the same.
    pub(super) fn from(&self) -> Option<Position> {
        match self {
            Self::Read(wanted) | Self::Replay(wanted) => Some(wanted.from),
            Self::Wait(_) | Self::AtEnd(_) => None,
        }
    }
}

/// What a dispatcher works with while it decides.
pub(super) struct Scene<'a> {
    pub(super) cursor: &'a Cursor,
    pub(super) partial: &'a PartialAcks,
    pub(super) settings: &'a TopicSettings,
    pub(super) wake: &'a Arc<Notify>,
    pub(super) partition: Option<u32>,
    pub(super) now_ms: u64,
    /// Messages out of the subscription and of the topic.
    pub(super) out: [&'a Counter; 2],
    pub(super) redelivered: &'a Counter,
}

impl Scene<'_> {
    /// Room at the consumer's client; if there is none, its task is woken when there is.
    fn room(&self, consumer: &Consumer) -> usize {
        let client = consumer.client();
        let room = client.room_bytes();
        if room > 0 || client.wake_when_room(consumer.request.consumer_id, self.wake) {
            return room;
        }
        client.room_bytes()
    }
}

/// What an entry means for delivery.
enum Look<'a> {
    /// It is not for consumers, or all of it is acknowledged.
    Done,
    /// It is for them. Without a view if its metadata cannot be read: the client will say so.
    Deliver(Option<MessageView<'a>>),
}

fn look<'a>(scene: &Scene<'_>, position: Position, entry: &'a Bytes) -> Look<'a> {
    if scene.cursor.is_acknowledged(position) {
        return Look::Done;
    }
    let view = MessageView::of(entry).ok();
    if view.as_ref().is_some_and(|view| view.marker) {
        scene.cursor.acknowledge(&[position]);
        return Look::Done;
    }
    Look::Deliver(view)
}

/// Entries collected for one consumer.
#[derive(Default)]
struct Outbox {
    batch: Vec<Delivery>,
    messages: u64,
    again: u64,
    bytes: usize,
}

impl Outbox {
    /// Adds an entry and takes its permits. Answers how many of its messages are wanted.
    fn push(
        &mut self,
        scene: &Scene<'_>,
        consumer: &mut Consumer,
        (position, entry): (Position, Bytes),
        messages: u32,
        redelivery_count: u32,
    ) -> u32 {
        let ack_set = scene.partial.remaining(position);
        let wanted = if ack_set.is_empty() { messages } else { super::acks::count_ones(&ack_set).min(messages) };
        consumer.charge(messages, wanted);
        self.messages += u64::from(wanted);
        if redelivery_count > 0 {
            self.again += u64::from(wanted);
        }
        let payload = message::sent_bytes(entry);
        self.bytes += payload.len();
        self.batch.push(Delivery { position, payload, redelivery_count, ack_set });
        wanted
    }

    fn flush(self, scene: &Scene<'_>, consumer: &mut Consumer) {
        if self.batch.is_empty() {
            return;
        }
        let bytes = consumer.send(&self.batch, self.messages, self.again, scene.partition, scene.now_ms);
        scene.out.iter().for_each(|counter| counter.add(self.messages, bytes));
        scene.redelivered.add(self.again, 0);
    }
}
