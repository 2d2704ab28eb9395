//! One message through a topic and back: what tells that producers and consumers are served.
//!
//! It takes the way of any client's message but for the network: a producer of the topic, the log on disk, a subscription and
//! its dispatcher. The subscription is not durable, so that nothing is left but the entry, which retention takes.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use prost::Message;
use tokio::sync::{Notify, Semaphore, mpsc};

use super::access::AccessMode;
use super::client::{Client, ClientInfo, ConsumerAddress, Delivery, Receipt};
use super::consumer::{ConsumerRequest, KeySharing, SubscriptionKind};
use super::error::TopicError;
use super::message::checked_entry;
use super::names::TopicName;
use super::operations::StartAt;
use super::producer::{ProducerRequest, Publish, PublishError};
use super::topic::SubscribeRequest;
use super::topics::{Missing, Topics};
use crate::managed_ledger::Position;

/// What may be heard before somebody listens; whoever else writes into the topic is not heard.
const HEARD_MAX: usize = 16;
/// Entries that the consumer has room for: others may have written into the topic.
const PERMITS: u32 = 1000;
/// Bytes that the consumer has room for.
const ROOM_BYTES: usize = 1 << 20;
/// What the producer is called in the message.
const PRODUCER: &str = "health-check";

/// The fields of a message's metadata that none goes without. Source: Pulsar `PulsarApi.proto`, `MessageMetadata`.
#[derive(Clone, PartialEq, Message)]
struct Metadata {
    #[prost(string, required, tag = "1")]
    producer_name: String,
    #[prost(uint64, required, tag = "2")]
    sequence_id: u64,
    #[prost(uint64, required, tag = "3")]
    publish_time_ms: u64,
}

/// An entry as a client would send it: see [`super::message`].
fn entry(payload: &[u8], now_ms: u64) -> Bytes {
    let metadata = Metadata { producer_name: PRODUCER.to_owned(), sequence_id: 0, publish_time_ms: now_ms };
    checked_entry(&metadata, payload)
}

/// What the topic told.
enum Heard {
    Stored(Position),
    Delivered(Position),
    Failed(String),
}

/// Both ends of the message, producer and consumer.
struct Ear {
    info: ClientInfo,
    entry: Bytes,
    heard: mpsc::Sender<Heard>,
}

impl Ear {
    fn hear(&self, heard: Heard) {
        // The first few words decide.
        let _ = self.heard.try_send(heard);
    }
}

impl Client for Ear {
    fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn room_bytes(&self) -> usize {
        ROOM_BYTES
    }

    fn wake_when_room(&self, _consumer_id: u64, _wake: &Arc<Notify>) -> bool {
        false
    }

    fn deliver(&self, _to: ConsumerAddress, batch: &[Delivery]) {
        for delivery in batch.iter().filter(|delivery| delivery.payload == self.entry) {
            self.hear(Heard::Delivered(delivery.position));
        }
    }

    fn receipts(&self, _producer_id: u64, batch: &[Receipt]) {
        batch.iter().for_each(|receipt| self.hear(Heard::Stored(receipt.position)));
    }

    fn refuse(&self, _producer_id: u64, _sequence_id: u64, error: &PublishError) {
        self.hear(Heard::Failed(format!("the message was not stored: {error}")));
    }

    fn close_producer(&self, _producer_id: u64) {
        self.hear(Heard::Failed("the producer was closed before its message was stored".to_owned()));
    }

    fn close_consumer(&self, _consumer_id: u64) {
        self.hear(Heard::Failed("the consumer was closed before it got the message".to_owned()));
    }

    fn active_changed(&self, _consumer_id: u64, _is_active: bool) {}

    fn end_of_topic(&self, _consumer_id: u64) {
        self.hear(Heard::Failed("the topic was terminated".to_owned()));
    }

    fn probe(&self) -> BoxFuture<'static, bool> {
        Box::pin(async { true })
    }
}

impl Topics {
    /// Sends a message through the topic `name`, made if it is missing, and gets it back. `word` is in the message, and names the
    /// subscription: no two calls have the same.
    ///
    /// # Errors
    /// What the topic could not do; a message that was not stored or came back from elsewhere is `NotReady`.
    /// # Cancel
    /// Safe: producer and subscription go.
    pub async fn beat(&self, name: &TopicName, word: &str) -> Result<(), TopicError> {
        let topic = self.load(name, Missing::Create).await?;
        let (heard, mut ear) = mpsc::channel(HEARD_MAX);
        let info = ClientInfo { connection_id: u64::MAX, address: "/self".to_owned(), version: PRODUCER.to_owned() };
        let entry = entry(word.as_bytes(), self.clock().now_ms());
        let client = Arc::new(Ear { info, entry: entry.clone(), heard });
        let consumer = topic.subscribe(listening(word, client.clone())).await?;
        consumer.flow(PERMITS);
        let producer = topic.add_producer(speaking(client)).await?;
        producer.publish(publish(entry)).await;
        let (mut stored, mut delivered) = (None, None);
        while stored.is_none() || delivered.is_none() {
            match ear.recv().await {
                Some(Heard::Stored(position)) => stored = Some(position),
                Some(Heard::Delivered(position)) => delivered = Some(position),
                Some(Heard::Failed(why)) => return Err(TopicError::NotReady(why)),
                None => return Err(TopicError::NotReady("the topic let go of its clients".to_owned())),
            }
        }
        if stored != delivered {
            let text = format!("the message was stored at {stored:?} and came back from {delivered:?}");
            return Err(TopicError::NotReady(text));
        }
        Ok(())
    }
}

fn listening(word: &str, client: Arc<dyn Client>) -> SubscribeRequest {
    let consumer = ConsumerRequest {
        consumer_id: 0,
        name: PRODUCER.to_owned(),
        kind: SubscriptionKind::Exclusive,
        priority: 0,
        metadata: BTreeMap::new(),
        key_sharing: KeySharing::default(),
        epoch: None,
        client,
    };
    SubscribeRequest {
        subscription: format!("{PRODUCER}-{word}"),
        durable: false,
        start: StartAt::Latest,
        start_entry: None,
        properties: BTreeMap::new(),
        read_compacted: false,
        consumer,
    }
}

fn speaking(client: Arc<dyn Client>) -> ProducerRequest {
    ProducerRequest {
        producer_id: 0,
        name: None,
        epoch: 0,
        access: AccessMode::Shared,
        topic_epoch: None,
        metadata: BTreeMap::new(),
        supports_partial: false,
        schema_version: None,
        initial_subscription: None,
        pending_max: 1,
        client,
    }
}

fn publish(entry: Bytes) -> Publish {
    let bounds = Arc::new(Semaphore::new(2));
    let permit = || bounds.clone().try_acquire_owned().expect("there are as many as are taken");
    Publish {
        sequence_id: 0,
        highest_sequence_id: 0,
        messages: 1,
        is_chunk: false,
        entry,
        permits: [permit(), permit()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::message::MessageView;

    #[test]
    fn the_entry_is_one_that_consumers_read() {
        let entry = entry(b"word", 17);
        let view = MessageView::of(&entry).expect("well formed");
        assert_eq!((view.producer_name, view.time_ms()), (PRODUCER, 17));
        let layout = super::super::message::Layout::of(&entry).expect("well formed");
        assert_eq!(layout.checksum, Some(crc32c::crc32c(&entry[layout.checked_from..])));
        assert_eq!(&entry[layout.payload_from..], b"word");
    }
}
