//! One producer: entries go to the managed ledger in the order sent, receipts come back in the same order.
//!
//! A task for each producer awaits the answers one after the other. That order is what clients rely on: a receipt out of
//! order makes them reconnect and send everything again, and a refusal must take its place among the receipts too.
//! What is in flight holds permits of the caller's, which bound it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

pub use super::access::AccessMode;
use super::client::{Client, Receipt};
use super::deduplication::{Deduplication, Ticket, Verdict, numbers};
pub use super::producers::{Admitted, QueuedProducer};
use super::stats::{Counter, ProducerStats};
use super::topic::Topic;
use crate::managed_ledger::{AppendError, Position};
use crate::schema::Version;

/// Answers that are looked at in one go.
const SETTLE_BATCH: usize = 256;

/// Why an entry was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// Its bytes changed on the way.
    #[error("{0}")]
    Checksum(String),
    /// The topic takes no more messages.
    #[error("Topic was already terminated")]
    Terminated,
    /// Storage failed.
    #[error("{0}")]
    Storage(String),
    /// This broker does not store such entries.
    #[error("{0}")]
    NotAllowed(String),
}

/// What a client asks for when it makes a producer.
#[derive(Clone, Debug)]
pub struct ProducerRequest {
    /// The client's number for it.
    pub producer_id: u64,
    /// Name; the broker makes one if absent.
    pub name: Option<String>,
    /// Grows with each reconnection.
    pub epoch: u64,
    /// How it shares.
    pub access: AccessMode,
    /// The term of an exclusive producer that comes back.
    pub topic_epoch: Option<u64>,
    /// Shown in stats.
    pub metadata: BTreeMap<String, String>,
    /// Shown in stats.
    pub supports_partial: bool,
    /// The version of its schema, if it has one.
    pub schema_version: Option<Version>,
    /// A subscription to make beforehand.
    pub initial_subscription: Option<String>,
    /// Entries in flight at most.
    pub pending_max: usize,
    /// Where its receipts go.
    pub client: Arc<dyn Client>,
}

/// One entry to store.
pub struct Publish {
    /// Number of the (first) message.
    pub sequence_id: u64,
    /// Number of the last message; 0 if not given.
    pub highest_sequence_id: u64,
    /// Messages in the entry.
    pub messages: u32,
    /// Whether it is part of a message.
    pub is_chunk: bool,
    /// Headers and payload as received.
    pub entry: Bytes,
    /// What the entry holds of the caller's bounds, on entries and on bytes, until it is answered for.
    pub permits: [OwnedSemaphorePermit; 2],
}

/// Where an entry is counted, and as what.
type Counted = (Arc<Deduplication>, Ticket);

/// What becomes of an entry in flight.
enum Fate {
    /// The log answers; with a ticket where what is sent again is known.
    Log(oneshot::Receiver<Result<Position, AppendError>>, Option<Counted>),
    /// It is in the log already.
    Known,
    /// It is refused.
    Refused(PublishError),
}

struct InFlight {
    sequence_id: u64,
    highest_sequence_id: u64,
    fate: Fate,
    _permits: Option<[OwnedSemaphorePermit; 2]>,
}

/// A producer as its topic knows it.
#[derive(Debug)]
pub(super) struct Producer {
    pub(super) key: u64,
    pub(super) name: String,
    pub(super) epoch: u64,
    pub(super) access: AccessMode,
    pub(super) producer_id: u64,
    pub(super) client: Arc<dyn Client>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) supports_partial: bool,
    pub(super) connected_ms: u64,
    pub(super) counter: Counter,
    /// Set when the broker closed it, or another took its place.
    pub(super) closed: AtomicBool,
    /// Whether it was put out. Held from the look at it until the entry has its place in the log.
    pub(super) fenced: Mutex<bool>,
    pub(super) schema_version: Option<Version>,
}

impl Producer {
    pub(super) fn stats(&self) -> ProducerStats {
        let info = self.client.info();
        ProducerStats {
            traffic_in: self.counter.snapshot(),
            producer_id: self.producer_id,
            name: self.name.clone(),
            access_mode: self.access.as_str(),
            address: info.address.clone(),
            connected_since_ms: self.connected_ms,
            client_version: info.version.clone(),
            metadata: self.metadata.clone(),
            supports_partial: self.supports_partial,
        }
    }

    /// Puts it out: on return, none of its entries can get a place in the log any more.
    pub(super) fn fence(&self) {
        self.close();
        *self.lock_fenced() = true;
    }

    fn lock_fenced(&self) -> MutexGuard<'_, bool> {
        self.fenced.lock().expect("no code panics while a producer sends")
    }

    fn refuse(&self, sequence_id: u64, error: &PublishError) {
        self.client.refuse(self.producer_id, sequence_id, error);
    }

    /// Has the client come again, unless it was told already.
    pub(super) fn close(&self) {
        if !self.closed.swap(true, Relaxed) {
            self.client.close_producer(self.producer_id);
        }
    }
}

/// A connected producer. Dropping it disconnects it; what is in flight is still answered.
pub struct ProducerHandle {
    topic: Arc<Topic>,
    producer: Arc<Producer>,
    queue: mpsc::Sender<InFlight>,
    settled: Option<tokio::task::JoinHandle<()>>,
    topic_epoch: Option<u64>,
}

impl ProducerHandle {
    pub(super) fn new(
        topic: Arc<Topic>,
        producer: Arc<Producer>,
        pending_max: usize,
        topic_epoch: Option<u64>,
    ) -> Self {
        let (queue, in_flight) = mpsc::channel(pending_max.max(1));
        let settled = tokio::spawn(settle(in_flight, producer.clone(), topic.clone()));
        Self { topic, producer, queue, settled: Some(settled), topic_epoch }
    }

    /// Name.
    pub fn name(&self) -> &str {
        &self.producer.name
    }

    /// The version of its schema.
    pub fn schema_version(&self) -> Option<Version> {
        self.producer.schema_version
    }

    /// The highest number that a producer of its name has sent, where the topic knows that.
    pub fn last_sequence_id(&self) -> Option<u64> {
        self.topic.deduplication()?.last(&self.producer.name)
    }

    /// The term of an exclusive producer.
    pub fn topic_epoch(&self) -> Option<u64> {
        self.topic_epoch
    }

    /// Whether the broker closed it: what the client still sends is ignored, it comes again.
    pub fn is_closed(&self) -> bool {
        self.producer.closed.load(Relaxed)
    }

    /// Sends one entry to storage. Waits only while `pending_max` entries are in flight.
    pub async fn publish(&self, publish: Publish) {
        let bytes = publish.entry.len() as u64;
        let messages = u64::from(publish.messages);
        let fate = {
            let fenced = self.producer.lock_fenced();
            if *fenced {
                // The client was told, and sends again when it is back.
                return;
            }
            self.hand_over(&publish)
        };
        if matches!(fate, Fate::Log(..)) {
            self.producer.counter.add(messages, bytes);
            self.topic.count_in(messages, bytes, publish.is_chunk);
        }
        self.put(publish.sequence_id, publish.highest_sequence_id, fate, Some(publish.permits)).await;
    }

    /// Hands an entry to the log, unless the topic knows it.
    fn hand_over(&self, publish: &Publish) -> Fate {
        let append = || self.topic.ledger().append(publish.entry.clone());
        let Some(deduplication) = self.topic.deduplication() else { return Fate::Log(append(), None) };
        let Publish { sequence_id, highest_sequence_id, is_chunk, ref entry, .. } = *publish;
        let numbers = numbers(sequence_id, highest_sequence_id, is_chunk, entry);
        match deduplication.admit(&self.producer.name, numbers, append) {
            Ok((ticket, answer)) => Fate::Log(answer, Some((deduplication, ticket))),
            Err(Verdict::Stored) => Fate::Known,
            // The client comes again, and by then it is known.
            Err(_) => {
                let text =
                    format!("message {sequence_id} was sent before, and it is not known yet whether it is stored");
                Fate::Refused(PublishError::Storage(text))
            }
        }
    }

    /// Refuses one entry, in its place among the others.
    pub async fn refuse(&self, sequence_id: u64, highest_sequence_id: u64, error: PublishError) {
        self.put(sequence_id, highest_sequence_id, Fate::Refused(error), None).await;
    }

    async fn put(
        &self,
        sequence_id: u64,
        highest_sequence_id: u64,
        fate: Fate,
        permits: Option<[OwnedSemaphorePermit; 2]>,
    ) {
        let in_flight = InFlight { sequence_id, highest_sequence_id, fate, _permits: permits };
        // The task ends only after this handle.
        let _ = self.queue.send(in_flight).await;
    }

    /// Disconnects, after what is in flight is answered.
    pub async fn close(mut self) {
        let settled = self.settled.take();
        // Without a sender the task ends when everything is answered.
        let (closed, _) = mpsc::channel(1);
        self.queue = closed;
        if let Some(settled) = settled {
            // A panic of the task is reported by the runtime; nothing is in flight then either.
            let _ = settled.await;
        }
    }
}

impl Drop for ProducerHandle {
    fn drop(&mut self) {
        self.topic.remove_producer(&self.producer);
    }
}

/// Awaits answers in order, and tells the client.
async fn settle(mut queue: mpsc::Receiver<InFlight>, producer: Arc<Producer>, topic: Arc<Topic>) {
    let mut batch = Vec::with_capacity(SETTLE_BATCH);
    let mut receipts = Vec::with_capacity(SETTLE_BATCH);
    while queue.recv_many(&mut batch, SETTLE_BATCH).await > 0 {
        for in_flight in batch.drain(..) {
            let InFlight { sequence_id, highest_sequence_id, fate, _permits } = in_flight;
            let receipt = |position| Receipt { sequence_id, highest_sequence_id, position };
            let (answer, counted) = match fate {
                Fate::Log(mut answer, counted) => match answer.try_recv() {
                    Ok(result) => (result, counted),
                    Err(_) => {
                        flush(&producer, &mut receipts);
                        // A dropped sender means that the broker stops: the client hears it from the closed connection.
                        (answer.await.unwrap_or(Err(AppendError::Closed)), counted)
                    }
                },
                Fate::Known => {
                    receipts.push(receipt(Receipt::KNOWN));
                    continue;
                }
                Fate::Refused(error) => {
                    flush(&producer, &mut receipts);
                    producer.refuse(sequence_id.max(highest_sequence_id), &error);
                    continue;
                }
            };
            let error = match answer {
                Ok(position) => {
                    if let Some((deduplication, ticket)) = counted {
                        topic.count_stored(deduplication, &producer.name, ticket, position);
                    }
                    receipts.push(receipt(position));
                    continue;
                }
                // The topic is being unloaded: the client comes again, and sends again.
                Err(AppendError::Closed) => {
                    producer.close();
                    continue;
                }
                Err(AppendError::Terminated) => PublishError::Terminated,
                Err(error) => {
                    topic.storage_failed(&error);
                    PublishError::Storage(error.to_string())
                }
            };
            flush(&producer, &mut receipts);
            producer.refuse(sequence_id.max(highest_sequence_id), &error);
        }
        flush(&producer, &mut receipts);
    }
}

fn flush(producer: &Producer, receipts: &mut Vec<Receipt>) {
    if !receipts.is_empty() {
        producer.client.receipts(producer.producer_id, receipts);
        receipts.clear();
    }
}
