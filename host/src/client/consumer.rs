//! Receives messages: permits in halves of the queue, entries taken apart, acknowledgements by entry.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::mpsc;

use crate::protocol::command::{
    Ack, CloseConsumer, Command, Flow, GetLastMessageId, MessageId as WireId, NONE, Subscribe,
};
use crate::protocol::frame;

use super::connection::Connection;
use super::routes::{Delivery, closed_by_broker};
use super::{ClientError, MessageId, entry};

/// Messages that may wait here where nothing else is asked for.
const QUEUE_DEFAULT: u32 = 1000;

const ACK_INDIVIDUAL: i32 = 0;
const ACK_CUMULATIVE: i32 = 1;

/// How consumers of one subscription share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SubscriptionKind {
    /// One consumer only.
    #[default]
    Exclusive,
    /// Messages go round.
    Shared,
    /// One consumer at a time; another takes over when it goes.
    Failover,
    /// Messages go round, those of one key to one consumer.
    KeyShared,
}

/// Where messages begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// With the first message that is there.
    Earliest,
    /// With the next message that is sent.
    Latest,
    /// With this message. For a reader only: a subscription is made at an end of the topic.
    At(MessageId),
}

/// What is consumed, and how.
#[derive(Clone, Debug)]
pub struct ConsumerOptions {
    /// The subscription; `None` is a reader, which leaves nothing behind.
    pub subscription: Option<String>,
    /// How it is shared.
    pub kind: SubscriptionKind,
    /// Whether the subscription outlives its consumers; a reader's never does.
    pub is_durable: bool,
    /// Where a reader, or a subscription that does not exist yet, begins.
    pub start: Start,
    /// Messages that may wait here, 1 or more.
    pub queue: u32,
}

impl ConsumerOptions {
    /// A reader from `start`.
    pub fn reader(start: Start) -> Self {
        Self { subscription: None, kind: SubscriptionKind::Exclusive, is_durable: false, start, queue: QUEUE_DEFAULT }
    }

    /// A consumer of `subscription`, made at the beginning of the topic if it does not exist.
    pub fn subscription(name: &str) -> Self {
        Self { subscription: Some(name.to_owned()), is_durable: true, ..Self::reader(Start::Earliest) }
    }
}

/// One message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Its id.
    pub id: MessageId,
    /// What was sent.
    pub payload: Bytes,
    /// Routing key.
    pub key: Option<String>,
    /// Properties in the order sent.
    pub properties: Vec<(String, String)>,
    /// Who sent it.
    pub producer_name: String,
    /// Its number.
    pub sequence_id: u64,
    /// When it was sent, milliseconds since 1970, by the producer's clock.
    pub publish_time_ms: u64,
    /// When it happened, by the producer's word, milliseconds since 1970; 0 where it did not say.
    pub event_time_ms: u64,
    /// How often its entry was delivered before.
    pub redelivery_count: u32,
    /// Messages in its batch, where it was in one.
    pub batch_messages: Option<u32>,
}

/// Receives messages of one topic.
pub struct Consumer {
    connection: Arc<Connection>,
    consumer_id: u64,
    is_reader: bool,
    queue: u32,
    deliveries: mpsc::Receiver<Delivery>,
    unpacked: VecDeque<Received>,
    /// Messages taken since the last permits were given.
    taken: u32,
    /// Batches of a subscription that are not wholly acknowledged, by ledger and entry.
    open_batches: HashMap<(u64, u64), OpenBatch>,
}

/// Which messages of a batch are not acknowledged.
struct OpenBatch {
    messages: u32,
    open: HashSet<u32>,
}

impl Consumer {
    pub(super) async fn open(
        connection: Arc<Connection>,
        topic: &str,
        options: ConsumerOptions,
    ) -> Result<Self, ClientError> {
        const WHAT: &str = "open a consumer";
        let consumer_id = connection.next_id();
        let queue = options.queue.max(1);
        let (sender, deliveries) = mpsc::channel(queue as usize);
        connection.routes.add_consumer(consumer_id, sender);
        let is_reader = options.subscription.is_none();
        let request_id = connection.next_id();
        let command = subscribe(topic, consumer_id, request_id, options);
        let answer = connection.request(WHAT, request_id, Command::Subscribe(Box::new(command))).await;
        match answer {
            Ok(Command::Success(_)) => {}
            other => {
                connection.routes.remove_consumer(consumer_id);
                return Err(other.map_or_else(|error| error, |answer| ClientError::unexpected(WHAT, &answer)));
            }
        }
        let consumer = Self {
            connection,
            consumer_id,
            is_reader,
            queue,
            deliveries,
            unpacked: VecDeque::new(),
            taken: 0,
            open_batches: HashMap::new(),
        };
        consumer.permit(queue).await;
        Ok(consumer)
    }

    /// The next message; waits for one as long as it takes.
    ///
    /// # Errors
    /// `Corrupt`, `Unsupported` (the next call goes on behind that entry), `Closed`.
    /// # Cancel
    /// Safe: no message is lost.
    pub async fn receive(&mut self) -> Result<Received, ClientError> {
        while self.unpacked.is_empty() {
            let Some((command, bytes)) = self.deliveries.recv().await else {
                return Err(self.connection.routes.ended().unwrap_or_else(|| closed_by_broker("consumer")));
            };
            let unpacked = entry::unpack(&command.message_id, command.redelivery_count(), &command.ack_set, &bytes);
            // An entry without a message for us has used up permits all the same.
            if unpacked.as_ref().map_or(true, Vec::is_empty) {
                self.note_taken().await;
            }
            self.note_batch(unpacked.as_deref().unwrap_or_default());
            self.unpacked.extend(unpacked?);
        }
        self.note_taken().await;
        Ok(self.unpacked.pop_front().expect("the loop above ends with a message"))
    }

    /// Counts one message, and gives permits for half a queue of them.
    async fn note_taken(&mut self) {
        if self.taken + 1 < self.queue.div_ceil(2) {
            self.taken += 1;
        } else {
            self.permit(self.taken + 1).await;
            self.taken = 0;
        }
    }

    fn note_batch(&mut self, messages: &[Received]) {
        let Some((first, false)) = messages.first().map(|first| (first, self.is_reader)) else { return };
        if let Some(count) = first.batch_messages {
            let open = messages.iter().filter_map(|message| message.id.batch_index).collect();
            self.open_batches.insert(place_of(first.id), OpenBatch { messages: count, open });
        }
    }

    /// Acknowledges one message. A batch is acknowledged when all its messages are. Nothing is waited for; a close is.
    pub async fn ack(&mut self, id: MessageId) {
        if let (Some(index), Some(batch)) = (id.batch_index, self.open_batches.get_mut(&place_of(id))) {
            batch.open.remove(&index);
            if !batch.open.is_empty() {
                return;
            }
        }
        self.open_batches.remove(&place_of(id));
        self.send_ack(ACK_INDIVIDUAL, MessageId { batch_index: None, ..id }).await;
    }

    /// Acknowledges all messages up to `id`. Inside a batch, the entries before it.
    pub async fn ack_cumulative(&mut self, id: MessageId) {
        let batch = self.open_batches.get(&place_of(id));
        let is_inside = id.batch_index.zip(batch).is_some_and(|(index, batch)| index + 1 < batch.messages);
        let entry = MessageId { batch_index: None, ..id };
        if !is_inside {
            self.open_batches.retain(|place, _| *place > place_of(id));
            self.send_ack(ACK_CUMULATIVE, entry).await;
        } else if let Some(entry_id) = id.entry_id.checked_sub(1) {
            self.open_batches.retain(|place, _| *place >= place_of(id));
            self.send_ack(ACK_CUMULATIVE, MessageId { entry_id, ..entry }).await;
        }
    }

    /// The newest message of the topic; `None` while it has none.
    ///
    /// # Errors
    /// `Refused` by the broker, `Closed`, `TimedOut`.
    pub async fn last_message_id(&self) -> Result<Option<MessageId>, ClientError> {
        const WHAT: &str = "tell the newest message";
        let request_id = self.connection.next_id();
        let ask = GetLastMessageId { consumer_id: self.consumer_id, request_id };
        match self.connection.request(WHAT, request_id, Command::GetLastMessageId(ask)).await? {
            Command::GetLastMessageIdResponse(answer) => Ok(MessageId::from_wire(&answer.last_message_id)),
            other => Err(ClientError::unexpected(WHAT, &other)),
        }
    }

    /// Tells the broker that this consumer ends; acknowledgements sent before have arrived when this returns.
    ///
    /// # Errors
    /// `Closed`, `TimedOut`.
    pub async fn close(self) -> Result<(), ClientError> {
        let request_id = self.connection.next_id();
        let close = CloseConsumer { consumer_id: self.consumer_id, request_id };
        self.connection.request("close a consumer", request_id, Command::CloseConsumer(close)).await?;
        Ok(())
    }

    async fn permit(&self, permits: u32) {
        let flow = Flow { consumer_id: self.consumer_id, permits };
        self.connection.outbox.put(|out| frame::put(Command::Flow(flow), out)).await;
    }

    async fn send_ack(&self, kind: i32, id: MessageId) {
        let ack = Ack { consumer_id: self.consumer_id, kind, message_ids: vec![id.to_wire()], ..Ack::default() };
        self.connection.outbox.put(|out| frame::put(Command::Ack(ack), out)).await;
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        self.connection.routes.remove_consumer(self.consumer_id);
        let close = CloseConsumer { consumer_id: self.consumer_id, request_id: self.connection.next_id() };
        self.connection.outbox.put_now(|out| frame::put(Command::CloseConsumer(close), out));
    }
}

/// Ledger and entry.
fn place_of(id: MessageId) -> (u64, u64) {
    (id.ledger_id, id.entry_id)
}

fn subscribe(topic: &str, consumer_id: u64, request_id: u64, options: ConsumerOptions) -> Subscribe {
    let is_durable = options.subscription.is_some() && options.is_durable;
    let start = match options.start {
        Start::Earliest => WireId { ledger_id: NONE, entry_id: NONE, ..WireId::default() },
        Start::Latest => WireId { ledger_id: i64::MAX as u64, entry_id: i64::MAX as u64, ..WireId::default() },
        Start::At(id) => id.to_wire(),
    };
    Subscribe {
        topic: topic.to_owned(),
        subscription: options.subscription.unwrap_or_else(|| format!("reader-{:010x}", fastrand::u64(..) >> 24)),
        kind: match options.kind {
            SubscriptionKind::Exclusive => 0,
            SubscriptionKind::Shared => 1,
            SubscriptionKind::Failover => 2,
            SubscriptionKind::KeyShared => 3,
        },
        consumer_id,
        request_id,
        durable: Some(is_durable),
        start_message_id: (!is_durable).then_some(start),
        initial_position: Some(i32::from(is_durable && options.start != Start::Latest)),
        ..Subscribe::default()
    }
}
