//! A client's end of a connection, as far as topics know it: implemented by the protocol room, and by tests.
//!
//! Every call queues and returns at once. Deliveries are bounded by [`Client::room_bytes`], which dispatchers ask first.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::Notify;

use super::producer::PublishError;
use crate::managed_ledger::Position;
use crate::storage::LedgerId;

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Names the connection, unique while the process lives.
    pub connection_id: u64,
    /// `/ip:port`, as Pulsar shows it.
    pub address: String,
    /// As the client says, for instance `Pulsar-CPP-v4.2.0`.
    pub version: String,
}

/// One entry on its way to a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where it is stored.
    pub position: Position,
    /// The bytes as the producer sent them.
    pub payload: Bytes,
    /// How often it was given out before.
    pub redelivery_count: u32,
    /// Bits of a batch's messages that are still wanted, least significant first; empty for all.
    pub ack_set: Vec<i64>,
}

/// One stored entry, for its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// As sent.
    pub sequence_id: u64,
    /// As sent.
    pub highest_sequence_id: u64,
    /// Where it is stored, or [`KNOWN`](Self::KNOWN).
    pub position: Position,
}

impl Receipt {
    /// In the place of a position: it was stored before, nobody knows where.
    pub const KNOWN: Position = Position::new(LedgerId(u64::MAX), u64::MAX);
}

/// Which consumer of a client, and what its messages carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsumerAddress {
    /// The client's number for it.
    pub consumer_id: u64,
    /// The topic's partition.
    pub partition: Option<u32>,
    /// The consumer's epoch, if it has one.
    pub epoch: Option<u64>,
}

/// A client's end of a connection.
pub trait Client: Send + Sync {
    /// Who it is.
    fn info(&self) -> &ClientInfo;

    /// How many bytes may be queued for it now; 0 when it reads too slowly.
    fn room_bytes(&self) -> usize;

    /// Has `wake` notified once there is room; false, and nothing kept, if there is some now.
    fn wake_when_room(&self, consumer_id: u64, wake: &Arc<Notify>) -> bool;

    /// Queues entries for a consumer, in order.
    fn deliver(&self, to: ConsumerAddress, batch: &[Delivery]);

    /// Queues receipts for a producer, in order.
    fn receipts(&self, producer_id: u64, batch: &[Receipt]);

    /// Tells a producer that an entry was not stored.
    fn refuse(&self, producer_id: u64, sequence_id: u64, error: &PublishError);

    /// Tells a producer to come again.
    fn close_producer(&self, producer_id: u64);

    /// Tells a consumer to come again.
    fn close_consumer(&self, consumer_id: u64);

    /// Tells a failover consumer whether it is the active one.
    fn active_changed(&self, consumer_id: u64, is_active: bool);

    /// Tells a consumer that nothing will follow.
    fn end_of_topic(&self, consumer_id: u64);

    /// Asks for a sign of life; the connection is closed if none comes. Answers whether the client lives.
    fn probe(&self) -> futures_util::future::BoxFuture<'static, bool>;
}

impl fmt::Debug for dyn Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info().fmt(f)
    }
}
