//! A small Pulsar client over TCP, used by the command line, the tests and the benches.
//!
//! Start at [`Client::connect`]; it gives [`Producer`]s and [`Consumer`]s. One connection has one reading and one writing
//! task; both end with the last user of the connection. Nothing reconnects: when the connection is lost, every
//! waiting call ends with [`ClientError::Closed`], which says why. What was acknowledged by the broker before that is
//! stored, what was not may be or may not be.
//!
//! Bounds: messages on their way by the producer's window, messages not yet received by the consumer's queue, bytes not
//! yet written by `outbox`.
//!
//! Not offered: compression, encryption of messages, schemas, chunks, partitioned topics as a whole (name one partition).

mod address;
mod connection;
mod consumer;
mod entry;
mod error;
mod outbox;
mod producer;
mod routes;
#[cfg(test)]
pub(crate) mod tests;
mod tls;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

pub use consumer::{Consumer, ConsumerOptions, Received, Start, SubscriptionKind};
pub use error::ClientError;
pub use producer::{BatchLimits, Outgoing, Producer, ProducerOptions, Receipt};
pub use tls::TlsOptions;

use crate::protocol::command::{Command, Lookup, NONE, PartitionedMetadata};
use address::Address;
use connection::Connection;

/// Names a message: ledger, entry, and its place in a batch if it was in one.
///
/// As text `ledger:entry` or `ledger:entry:batch index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The ledger.
    pub ledger_id: u64,
    /// The entry in it.
    pub entry_id: u64,
    /// The message in the entry, where that is a batch.
    pub batch_index: Option<u32>,
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger_id, self.entry_id)?;
        self.batch_index.map_or(Ok(()), |index| write!(f, ":{index}"))
    }
}

impl FromStr for MessageId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no message id; allowed: ledger:entry or ledger:entry:batch-index");
        let mut parts = text.split(':').map(|part| part.parse::<u64>().map_err(|_| wrong()));
        let ledger_id = parts.next().ok_or_else(wrong)??;
        let entry_id = parts.next().ok_or_else(wrong)??;
        let batch_index = parts.next().transpose()?.map(u32::try_from).transpose().map_err(|_| wrong())?;
        match parts.next() {
            None => Ok(Self { ledger_id, entry_id, batch_index }),
            Some(_) => Err(wrong()),
        }
    }
}

impl MessageId {
    /// From the wire; `None` for the ids that stand for "none".
    fn from_wire(id: &crate::protocol::command::MessageId) -> Option<Self> {
        let batch_index = u32::try_from(id.batch_index()).ok();
        let is_none = id.ledger_id == NONE || id.entry_id == NONE;
        (!is_none).then_some(Self { ledger_id: id.ledger_id, entry_id: id.entry_id, batch_index })
    }

    fn to_wire(self) -> crate::protocol::command::MessageId {
        crate::protocol::command::MessageId {
            ledger_id: self.ledger_id,
            entry_id: self.entry_id,
            batch_index: self.batch_index.and_then(|index| i32::try_from(index).ok()),
            ..Default::default()
        }
    }
}

/// How a client comes to its broker.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ClientOptions {
    /// What it logs in with.
    pub token: Option<String>,
    /// For brokers at `pulsar+ssl://`.
    pub tls: TlsOptions,
}

/// A connection to a broker. Cheap to clone; ends when the last clone, producer and consumer is dropped.
#[derive(Clone)]
pub struct Client {
    connection: Arc<Connection>,
}

impl Client {
    /// Connects to `url`, which is `pulsar://host:port` (port 6650 where none is named) or `pulsar+ssl://host:port` (6651).
    ///
    /// # Errors
    /// `Url`, `Tls`, `Connect`, or `Refused` by the broker.
    pub async fn connect(url: &str) -> Result<Self, ClientError> {
        Self::connect_with(url, ClientOptions::default()).await
    }

    /// The same, with options.
    ///
    /// # Errors
    /// As for [`Client::connect`].
    pub async fn connect_with(url: &str, options: ClientOptions) -> Result<Self, ClientError> {
        Ok(Self { connection: Connection::open(url.parse()?, Arc::new(options)).await? })
    }

    /// How many partitions `topic` has; 0 for a topic without.
    ///
    /// # Errors
    /// `Refused` by the broker, `Closed`, `TimedOut`.
    pub async fn partitions(&self, topic: &str) -> Result<u32, ClientError> {
        const WHAT: &str = "tell the topic's partitions";
        let request_id = self.connection.next_id();
        let ask = PartitionedMetadata { topic: topic.to_owned(), request_id, auto_creation: None };
        let answer = self.connection.request(WHAT, request_id, Command::PartitionedMetadata(ask)).await?;
        let Command::PartitionedMetadataResponse(answer) = answer else {
            return Err(ClientError::unexpected(WHAT, &answer));
        };
        if answer.error.is_some() {
            return Err(ClientError::refused(WHAT, answer.error(), answer.message()));
        }
        Ok(answer.partitions())
    }

    /// A producer on `topic`.
    ///
    /// # Errors
    /// `Unsupported` for a partitioned topic, `Refused` by the broker, `Closed`, `TimedOut`.
    pub async fn producer(&self, topic: &str, options: ProducerOptions) -> Result<Producer, ClientError> {
        let connection = self.serving(topic).await?;
        Producer::open(connection, topic, options).await
    }

    /// A consumer of `topic`: of a durable subscription, or a reader without one.
    ///
    /// # Errors
    /// As for [`Client::producer`].
    pub async fn consumer(&self, topic: &str, options: ConsumerOptions) -> Result<Consumer, ClientError> {
        let connection = self.serving(topic).await?;
        Consumer::open(connection, topic, options).await
    }

    /// The connection to the broker that serves `topic`: this one, or a new one where the lookup names another address.
    async fn serving(&self, topic: &str) -> Result<Arc<Connection>, ClientError> {
        self.refuse_partitioned(topic).await?;
        let request_id = self.connection.next_id();
        let lookup = Lookup { topic: topic.to_owned(), request_id, authoritative: None };
        let answer = self.connection.request("look up the topic", request_id, Command::Lookup(lookup)).await?;
        let Command::LookupResponse(answer) = answer else {
            return Err(ClientError::unexpected("lookup", &answer));
        };
        if answer.error.is_some() || answer.response() == LOOKUP_FAILED {
            return Err(ClientError::refused("look up the topic", answer.error(), answer.message()));
        }
        // Who came encrypted goes on encrypted.
        let is_encrypted = self.connection.address().is_encrypted;
        let url = if is_encrypted { answer.broker_service_url_tls } else { answer.broker_service_url };
        let url = url.unwrap_or_default();
        if url.is_empty() || answer.proxy_through_service_url == Some(true) {
            return Ok(Arc::clone(&self.connection));
        }
        let address: Address = url.parse()?;
        if address == *self.connection.address() {
            return Ok(Arc::clone(&self.connection));
        }
        Connection::open(address, self.connection.options()).await
    }

    async fn refuse_partitioned(&self, topic: &str) -> Result<(), ClientError> {
        match self.partitions(topic).await? {
            0 => Ok(()),
            count => Err(ClientError::Unsupported(format!(
                "{topic} has {count} partitions; name one of them, such as {topic}-partition-0"
            ))),
        }
    }
}

/// A payload and its properties.
pub type Unpacked = (bytes::Bytes, Vec<(String, String)>);

/// The messages in the payload of a batch of `count` that is not compressed, for who got it by another way than this client.
///
/// # Errors
/// What is wrong with the bytes.
pub fn unpack_batch_payload(count: u32, payload: bytes::Bytes) -> Result<Vec<Unpacked>, String> {
    let messages = entry::unpack_payload(count, payload)?;
    Ok(messages.into_iter().map(|message| (message.payload, message.properties)).collect())
}

/// `LookupResponse.response` of a lookup that failed.
const LOOKUP_FAILED: i32 = 2;
