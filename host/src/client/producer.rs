//! Sends messages: a window of entries on their way, single or in batches.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use crate::protocol::command::{CloseProducer, Command, Producer as ProducerCommand, Send};

use super::connection::Connection;
use super::entry::{self, Metadata};
use super::routes::Pending;
use super::{ClientError, MessageId};

/// Entries on their way where nothing else is asked for.
const IN_FLIGHT_DEFAULT: u32 = 1000;

/// Metadata of a batch beside its names: six fields of at most a two-byte tag and a ten-byte number each.
const BATCH_METADATA_BYTES_MAX: usize = 6 * 12;

/// When a batch is sent: with so many messages or so many bytes, or when it is flushed. There is no timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchLimits {
    /// Messages in a batch, 1 or more.
    pub messages_max: usize,
    /// Bytes of payload in a batch; a single larger message is a batch of its own.
    pub size_max_bytes: usize,
}

impl Default for BatchLimits {
    fn default() -> Self {
        Self { messages_max: 1000, size_max_bytes: 128 << 10 }
    }
}

/// How a producer sends.
#[derive(Clone, Debug)]
pub struct ProducerOptions {
    /// Its name, one producer of a topic each; `None` lets the broker make one.
    pub name: Option<String>,
    /// Entries on their way: a call that would send one more waits. 1 or more.
    pub in_flight_max: u32,
    /// Batches, or `None` for an entry per message.
    pub batch: Option<BatchLimits>,
}

impl Default for ProducerOptions {
    fn default() -> Self {
        Self { name: None, in_flight_max: IN_FLIGHT_DEFAULT, batch: None }
    }
}

/// A message as it is handed in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Outgoing<'a> {
    /// What is sent.
    pub payload: &'a [u8],
    /// Routing key.
    pub key: Option<&'a str>,
    /// Properties in order.
    pub properties: &'a [(String, String)],
}

/// Sends messages to one topic, in order.
pub struct Producer {
    connection: Arc<Connection>,
    producer_id: u64,
    name: String,
    next_sequence_id: u64,
    in_flight_max: u32,
    places: Arc<Semaphore>,
    limits: Option<BatchLimits>,
    batch: Batch,
}

/// Messages of one key, because Key_Shared subscriptions give out entries by the key of the entry.
#[derive(Default)]
struct Batch {
    key: Option<String>,
    payload: BytesMut,
    waiting: Vec<oneshot::Sender<Result<MessageId, ClientError>>>,
}

/// The broker's word on one message. May be dropped: [`Producer::flush`] reports failures too.
pub struct Receipt {
    answer: oneshot::Receiver<Result<MessageId, ClientError>>,
    connection: Arc<Connection>,
}

impl Receipt {
    /// Waits until the message is stored.
    ///
    /// # Errors
    /// `Refused` by the broker or `Closed`.
    pub async fn message_id(self) -> Result<MessageId, ClientError> {
        self.answer.await.unwrap_or_else(|_| Err(self.connection.ended()))
    }
}

impl Producer {
    pub(super) async fn open(
        connection: Arc<Connection>,
        topic: &str,
        options: ProducerOptions,
    ) -> Result<Self, ClientError> {
        const WHAT: &str = "open a producer";
        let producer_id = connection.next_id();
        let request_id = connection.next_id();
        connection.routes.add_producer(producer_id);
        let command = ProducerCommand {
            topic: topic.to_owned(),
            producer_id,
            request_id,
            user_provided_producer_name: Some(options.name.is_some()),
            producer_name: options.name,
            ..ProducerCommand::default()
        };
        let answer = connection.request(WHAT, request_id, Command::Producer(Box::new(command))).await;
        let success = match answer {
            Ok(Command::ProducerSuccess(success)) => success,
            other => {
                connection.routes.remove_producer(producer_id);
                return Err(other.map_or_else(|error| error, |answer| ClientError::unexpected(WHAT, &answer)));
            }
        };
        let in_flight_max = options.in_flight_max.max(1);
        Ok(Self {
            connection,
            producer_id,
            next_sequence_id: success.last_sequence_id().saturating_add(1).max(0) as u64,
            name: success.producer_name,
            in_flight_max,
            places: Arc::new(Semaphore::new(in_flight_max as usize)),
            limits: options.batch,
            batch: Batch::default(),
        })
    }

    /// The producer's name, given or made by the broker.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Sends one message, or adds it to the batch. Waits only for a place in the window.
    ///
    /// # Errors
    /// `TooLarge`, `Closed`.
    /// # Cancel
    /// The message, or the batch that it would complete, is sent as a whole or not at all.
    pub async fn send(&mut self, payload: &[u8]) -> Result<Receipt, ClientError> {
        self.send_message(Outgoing { payload, ..Outgoing::default() }).await
    }

    /// As [`Producer::send`], with a key and properties.
    ///
    /// # Errors
    /// As for `send`.
    /// # Cancel
    /// As for `send`.
    pub async fn send_message(&mut self, message: Outgoing<'_>) -> Result<Receipt, ClientError> {
        let sequence_id = self.next_sequence_id;
        let Some(limits) = self.limits else {
            let place = self.place().await?;
            let metadata = Metadata {
                partition_key: message.key.map(str::to_owned),
                properties: entry::properties_of(&message),
                ..self.metadata(sequence_id)
            };
            let (sender, answer) = oneshot::channel();
            self.send_entry(metadata, message.payload, vec![sender], place).await?;
            self.next_sequence_id += 1;
            return Ok(self.receipt(answer));
        };
        let single_bytes = entry::single_size(sequence_id, &message);
        if !self.fits(message.key, single_bytes) {
            // The largest count takes the most room in the metadata.
            let metadata = self.batch_metadata(i32::MAX as usize, message.key.map(str::to_owned));
            self.check_size(&metadata, single_bytes)?;
        }
        let would_be = self.batch.payload.len() + single_bytes;
        let is_full = would_be > limits.size_max_bytes || !self.fits(message.key, would_be);
        if !self.batch.waiting.is_empty() && (is_full || self.batch.key.as_deref() != message.key) {
            self.send_batch().await?;
        }
        if self.batch.waiting.is_empty() {
            self.batch.key = message.key.map(str::to_owned);
        }
        let (sender, answer) = oneshot::channel();
        entry::put_single(sequence_id, &message, &mut self.batch.payload);
        self.batch.waiting.push(sender);
        self.next_sequence_id += 1;
        if self.batch.waiting.len() >= limits.messages_max.max(1) || self.batch.payload.len() >= limits.size_max_bytes {
            self.send_batch().await?;
        }
        Ok(self.receipt(answer))
    }

    /// Sends the batch and waits until every message is stored.
    ///
    /// # Errors
    /// The first failure of any message since the last flush.
    pub async fn flush(&mut self) -> Result<(), ClientError> {
        self.send_batch().await?;
        let all = self.places.acquire_many(self.in_flight_max).await;
        drop(all.map_err(|_| self.connection.ended())?);
        match self.connection.routes.take_failure(self.producer_id).or_else(|| self.connection.routes.ended()) {
            Some(failure) => Err(failure),
            None => Ok(()),
        }
    }

    /// Flushes and tells the broker that this producer ends.
    ///
    /// # Errors
    /// As for [`Producer::flush`].
    pub async fn close(mut self) -> Result<(), ClientError> {
        self.flush().await?;
        let request_id = self.connection.next_id();
        let close = CloseProducer { producer_id: self.producer_id, request_id };
        self.connection.request("close a producer", request_id, Command::CloseProducer(close)).await?;
        Ok(())
    }

    fn receipt(&self, answer: oneshot::Receiver<Result<MessageId, ClientError>>) -> Receipt {
        Receipt { answer, connection: Arc::clone(&self.connection) }
    }

    fn metadata(&self, sequence_id: u64) -> Metadata {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Metadata {
            producer_name: self.name.clone(),
            sequence_id,
            publish_time: since_1970.as_millis() as u64,
            ..Metadata::default()
        }
    }

    /// Metadata of a batch of `messages` that ends before the next message, its first number still to be set.
    fn batch_metadata(&self, messages: usize, partition_key: Option<String>) -> Metadata {
        Metadata {
            partition_key,
            num_messages_in_batch: Some(messages as i32),
            highest_sequence_id: Some(self.next_sequence_id),
            ..self.metadata(self.next_sequence_id)
        }
    }

    /// Whether a batch of so many bytes is surely taken; looked at for each message, so that it makes no metadata.
    fn fits(&self, key: Option<&str>, payload_bytes: usize) -> bool {
        let metadata_bytes_max = BATCH_METADATA_BYTES_MAX + self.name.len() + key.map_or(0, str::len);
        metadata_bytes_max + payload_bytes <= self.connection.message_size_max_bytes()
    }

    fn check_size(&self, metadata: &Metadata, payload_bytes: usize) -> Result<(), ClientError> {
        let size = entry::limited_size(metadata, payload_bytes);
        let limit = self.connection.message_size_max_bytes();
        if size > limit { Err(ClientError::TooLarge { size, limit }) } else { Ok(()) }
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, ClientError> {
        Arc::clone(&self.places).acquire_owned().await.map_err(|_| self.connection.ended())
    }

    /// Sends what waits in the batch, and waits only for a place in the window.
    ///
    /// # Errors
    /// As for [`Producer::send`].
    pub async fn send_batch(&mut self) -> Result<(), ClientError> {
        if self.batch.waiting.is_empty() {
            return Ok(());
        }
        let place = self.place().await?;
        let Batch { key, payload, waiting } = std::mem::take(&mut self.batch);
        let mut metadata = self.batch_metadata(waiting.len(), key);
        metadata.sequence_id = self.next_sequence_id - waiting.len() as u64;
        metadata.highest_sequence_id = Some(self.next_sequence_id - 1);
        self.send_entry(metadata, &payload, waiting, place).await?;
        // The payload was copied into the outbox; its memory serves the next batch.
        self.batch.payload = payload;
        self.batch.payload.clear();
        Ok(())
    }

    async fn send_entry(
        &self,
        metadata: Metadata,
        payload: &[u8],
        waiting: Vec<oneshot::Sender<Result<MessageId, ClientError>>>,
        place: OwnedSemaphorePermit,
    ) -> Result<(), ClientError> {
        self.check_size(&metadata, payload.len())?;
        let is_batch = metadata.num_messages_in_batch.is_some();
        let send = Send {
            producer_id: self.producer_id,
            sequence_id: metadata.sequence_id,
            num_messages: metadata.num_messages_in_batch,
            highest_sequence_id: metadata.highest_sequence_id,
            ..Send::default()
        };
        let pending = Pending { sequence_id: metadata.sequence_id, waiting, is_batch, place };
        let routes = &self.connection.routes;
        // Noted and written in one go, so that no entry is waited for that was not sent.
        let sent = self.connection.outbox.put(|out| {
            routes.sent(self.producer_id, pending)?;
            entry::put(send, &metadata, payload, out);
            Ok(())
        });
        sent.await.unwrap_or_else(|| Err(self.connection.ended()))
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.connection.routes.remove_producer(self.producer_id);
        let close = CloseProducer { producer_id: self.producer_id, request_id: self.connection.next_id() };
        self.connection.outbox.put_now(|out| crate::protocol::frame::put(Command::CloseProducer(close), out));
    }
}
