//! One consumer as its subscription sees it: what it asked for, its room, and its figures.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::client::{Client, ConsumerAddress, Delivery};
use super::stats::{ConsumerStats, Counter};

/// How the consumers of a subscription share its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// One consumer gets everything, in order.
    Exclusive,
    /// All get some, one after the other.
    Shared,
    /// One gets everything in order, the others wait for their turn.
    Failover,
    /// All get some; the messages of a key go to one, in order.
    KeyShared,
}

impl SubscriptionKind {
    /// As Pulsar's stats spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exclusive => "Exclusive",
            Self::Shared => "Shared",
            Self::Failover => "Failover",
            Self::KeyShared => "Key_Shared",
        }
    }

    /// Whether entries are given out and acknowledged one by one, to several consumers.
    pub fn is_shared(self) -> bool {
        matches!(self, Self::Shared | Self::KeyShared)
    }
}

/// How a Key_Shared consumer wants its keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySharing {
    /// Inclusive ranges of hashes that the consumer insists on; `None` to let the broker split.
    pub ranges: Option<Vec<(u16, u16)>>,
    /// Whether order within a key may be given up.
    pub allow_out_of_order: bool,
}

/// What a client asks for when it subscribes.
#[derive(Clone, Debug)]
pub struct ConsumerRequest {
    /// The client's number for it.
    pub consumer_id: u64,
    /// Name; may be empty.
    pub name: String,
    /// How to share.
    pub kind: SubscriptionKind,
    /// 0 is served first.
    pub priority: i32,
    /// Shown in stats.
    pub metadata: BTreeMap<String, String>,
    /// For Key_Shared.
    pub key_sharing: KeySharing,
    /// The epoch its messages carry.
    pub epoch: Option<u64>,
    /// Where its messages go.
    pub client: Arc<dyn Client>,
}

/// Names a consumer within the process, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct ConsumerKey(pub(super) u64);

/// One consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) key: ConsumerKey,
    pub(super) request: ConsumerRequest,
    pub(super) permits: i64,
    pub(super) unacked: u64,
    pub(super) out: Counter,
    pub(super) redelivered: Counter,
    pub(super) acknowledged: Counter,
    pub(super) told_end: bool,
    messages_per_entry: f64,
    connected_ms: u64,
    flow_ms: u64,
    consumed_ms: u64,
    acked_ms: u64,
}

impl Consumer {
    pub(super) fn new(key: ConsumerKey, request: ConsumerRequest, now_ms: u64) -> Self {
        Self {
            key,
            request,
            permits: 0,
            unacked: 0,
            out: Counter::default(),
            redelivered: Counter::default(),
            acknowledged: Counter::default(),
            told_end: false,
            messages_per_entry: 1.0,
            connected_ms: now_ms,
            flow_ms: 0,
            consumed_ms: 0,
            acked_ms: 0,
        }
    }

    pub(super) fn client(&self) -> &Arc<dyn Client> {
        &self.request.client
    }

    pub(super) fn flow(&mut self, permits: u32, now_ms: u64) {
        self.permits = self.permits.saturating_add(i64::from(permits));
        self.flow_ms = now_ms;
    }

    /// Entries that its permits are worth, by the batches it got so far: at least one while there are permits.
    pub(super) fn entries_wanted(&self) -> usize {
        let permits = self.permits.max(0) as f64;
        (permits / self.messages_per_entry).ceil() as usize
    }

    /// Takes permits for one entry of `messages` messages, `wanted` of which are not acknowledged yet.
    pub(super) fn charge(&mut self, messages: u32, wanted: u32) {
        self.permits -= i64::from(wanted);
        self.messages_per_entry += 0.1 * (f64::from(messages) - self.messages_per_entry);
    }

    /// Queues a batch of `messages` messages, `again` of them given out before.
    pub(super) fn send(
        &mut self,
        batch: &[Delivery],
        messages: u64,
        again: u64,
        partition: Option<u32>,
        now_ms: u64,
    ) -> u64 {
        let bytes = batch.iter().map(|delivery| delivery.payload.len() as u64).sum();
        self.out.add(messages, bytes);
        self.redelivered.add(again, 0);
        self.consumed_ms = now_ms;
        let to = ConsumerAddress { consumer_id: self.request.consumer_id, partition, epoch: self.request.epoch };
        self.request.client.deliver(to, batch);
        bytes
    }

    pub(super) fn acked(&mut self, messages: u64, now_ms: u64) {
        self.acknowledged.add(messages, 0);
        self.acked_ms = now_ms;
    }

    pub(super) fn stats(&self, unacked_max: u64) -> ConsumerStats {
        let info = self.request.client.info();
        ConsumerStats {
            traffic_out: self.out.snapshot(),
            redelivered: self.redelivered.snapshot(),
            acknowledged: self.acknowledged.snapshot(),
            name: self.request.name.clone(),
            consumer_id: self.request.consumer_id,
            permits: self.permits,
            unacked_messages: self.unacked,
            messages_per_entry: self.messages_per_entry.round() as u32,
            blocked_on_unacked: unacked_max > 0 && self.unacked >= unacked_max,
            address: info.address.clone(),
            connected_since_ms: self.connected_ms,
            client_version: info.version.clone(),
            metadata: self.request.metadata.clone(),
            last_flow_ms: self.flow_ms,
            last_consumed_ms: self.consumed_ms,
            last_acked_ms: self.acked_ms,
        }
    }
}
