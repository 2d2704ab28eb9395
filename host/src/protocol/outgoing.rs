//! What goes out to one client: a queue of bytes, and the task that writes it.
//!
//! Commands and the heads of entries are written into one growing buffer; payloads are queued as they are. The writer takes
//! everything there is and hands it to the socket in few calls. Dispatchers ask [`Client::room_bytes`] first, so what is
//! queued stays near the bound; the reader of the connection stops while answers alone exceed it.

use std::collections::{BTreeMap, VecDeque};
use std::io::{self, IoSlice};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::future::BoxFuture;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use super::command::{
    ActiveConsumerChange, CloseConsumer, CloseProducer, Command, Empty, Message, MessageId, NONE, ReachedEndOfTopic,
    SendError, SendReceipt, ServerError,
};
use super::frame;
use crate::managed_ledger::Position;
use crate::topic::client::{Client, ClientInfo, ConsumerAddress, Delivery, Receipt};
use crate::topic::producer::PublishError;

/// Payloads up to this are copied beside their heads: cheaper than a slice of their own.
const COPIED_BYTES_MAX: usize = 512;
/// Slices handed to the socket in one call.
const SLICES_MAX: usize = 512;
/// What one buffer of heads holds before another is taken.
const HEADS_BYTES: usize = 16 * 1024;
/// Answers may exceed the bound for entries by this before the socket is not read.
const ANSWERS_BYTES_MAX: usize = 1024 * 1024;
/// How long a client has to answer a ping that asks whether it lives: `connectionLivenessCheckTimeoutMillis`.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// First protocol version whose clients understand ACTIVE_CONSUMER_CHANGE.
const ACTIVE_CHANGE_VERSION: i32 = 12;
/// Clients of this kind alone understand REACHED_END_OF_TOPIC; others reconnect without end.
const JAVA: &str = "Pulsar-Java";

/// A client's end of the connection.
pub(super) struct Outgoing {
    info: ClientInfo,
    protocol_version: i32,
    bytes_max: usize,
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
    /// Counts signs of life while somebody probes.
    heard: watch::Sender<u64>,
    /// Set while the socket is not read on purpose: silence means nothing then.
    pub(super) paused: AtomicBool,
    /// Ends the connection.
    pub(super) stop: CancellationToken,
    /// Cancelled when all producers and consumers of the connection are gone.
    pub(super) ended: CancellationToken,
}

struct Queue {
    parts: VecDeque<Bytes>,
    /// The last part, still growing.
    tail: BytesMut,
    /// Bytes queued or being written.
    bytes: usize,
    waiting: BTreeMap<u64, Arc<Notify>>,
    finished: bool,
}

impl Queue {
    fn payload(&mut self, payload: &Bytes) {
        self.bytes += payload.len();
        if payload.len() <= COPIED_BYTES_MAX {
            self.tail.extend_from_slice(payload);
            return;
        }
        self.cut();
        self.parts.push_back(payload.clone());
    }

    fn command(&mut self, command: Command, payload_bytes: usize) {
        if self.tail.len() >= HEADS_BYTES {
            self.cut();
        }
        let before = self.tail.len();
        frame::put_before_payload(command, payload_bytes, &mut self.tail);
        self.bytes += self.tail.len() - before;
    }

    fn cut(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push_back(self.tail.split().freeze());
        }
    }
}

impl Outgoing {
    pub(super) fn new(info: ClientInfo, protocol_version: i32, bytes_max: usize, stop: CancellationToken) -> Self {
        let queue = Queue {
            parts: VecDeque::new(),
            tail: BytesMut::with_capacity(HEADS_BYTES),
            bytes: 0,
            waiting: BTreeMap::new(),
            finished: false,
        };
        Self {
            info,
            protocol_version,
            bytes_max,
            queue: Mutex::new(queue),
            filled: Notify::new(),
            drained: Notify::new(),
            heard: watch::channel(0).0,
            paused: AtomicBool::new(false),
            stop,
            ended: CancellationToken::new(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().expect("no code panics while it holds a client's queue")
    }

    /// Queues a command.
    pub(super) fn send(&self, command: Command) {
        self.lock().command(command, 0);
        self.filled.notify_one();
    }

    /// The client gave a sign of life.
    pub(super) fn hear(&self) {
        if self.heard.receiver_count() > 0 {
            self.heard.send_modify(|count| *count += 1);
        }
    }

    /// Waits while so many answers are queued that no more should be asked for.
    pub(super) async fn answers_fit(&self) {
        while self.lock().bytes > self.bytes_max + ANSWERS_BYTES_MAX {
            self.drained.notified().await;
        }
    }

    /// Whether [`Self::answers_fit`] would wait.
    pub(super) fn is_overfull(&self) -> bool {
        self.lock().bytes > self.bytes_max + ANSWERS_BYTES_MAX
    }

    /// Lets the writer end once everything is written.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.filled.notify_one();
    }

    /// Writes what is queued, until [`Self::finish`] or an error of the socket, which ends the connection.
    pub(super) async fn write(self: Arc<Self>, mut socket: impl AsyncWrite + Unpin) {
        if let Err(error) = self.write_all(&mut socket).await {
            tracing::debug!(client = self.info.address, %error, "connection lost while writing");
        }
        self.stop.cancel();
        // The peer may be gone already.
        let _ = socket.shutdown().await;
    }

    async fn write_all(&self, socket: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let mut parts = VecDeque::new();
        loop {
            let finished = {
                let mut queue = self.lock();
                queue.cut();
                std::mem::swap(&mut queue.parts, &mut parts);
                queue.finished
            };
            if parts.is_empty() {
                if finished {
                    return Ok(());
                }
                self.filled.notified().await;
                continue;
            }
            while !parts.is_empty() {
                let written = write_some(socket, &parts).await?;
                if written == 0 {
                    return Err(io::ErrorKind::WriteZero.into());
                }
                advance(&mut parts, written);
                self.written(written);
            }
        }
    }

    fn written(&self, bytes: usize) {
        let mut queue = self.lock();
        queue.bytes -= bytes;
        if queue.bytes <= self.bytes_max / 2 {
            std::mem::take(&mut queue.waiting).into_values().for_each(|wake| wake.notify_one());
        }
        let answers_fit = queue.bytes <= self.bytes_max + ANSWERS_BYTES_MAX;
        drop(queue);
        if answers_fit && self.paused.load(Relaxed) {
            self.drained.notify_one();
        }
    }
}

async fn write_some(socket: &mut (impl AsyncWrite + Unpin), parts: &VecDeque<Bytes>) -> io::Result<usize> {
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    let count = parts.len().min(SLICES_MAX);
    for (slice, part) in slices.iter_mut().zip(parts) {
        *slice = IoSlice::new(part);
    }
    socket.write_vectored(&slices[..count]).await
}

fn advance(parts: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(part) = parts.front_mut() {
        if written < part.len() {
            part.advance(written);
            return;
        }
        written -= part.len();
        parts.pop_front();
    }
}

/// An entry's position on the wire.
pub(super) fn message_id(position: Position, partition: Option<u32>) -> MessageId {
    MessageId {
        ledger_id: position.ledger_id.0,
        entry_id: position.entry_id,
        partition: partition.and_then(|index| i32::try_from(index).ok()),
        ..MessageId::default()
    }
}

impl Client for Outgoing {
    fn info(&self) -> &ClientInfo {
        &self.info
    }

    fn room_bytes(&self) -> usize {
        self.bytes_max.saturating_sub(self.lock().bytes)
    }

    fn wake_when_room(&self, consumer_id: u64, wake: &Arc<Notify>) -> bool {
        let mut queue = self.lock();
        if queue.bytes < self.bytes_max {
            return false;
        }
        queue.waiting.insert(consumer_id, wake.clone());
        true
    }

    fn deliver(&self, to: ConsumerAddress, batch: &[Delivery]) {
        let mut queue = self.lock();
        for delivery in batch {
            let message = Message {
                consumer_id: to.consumer_id,
                message_id: message_id(delivery.position, to.partition),
                redelivery_count: (delivery.redelivery_count > 0).then_some(delivery.redelivery_count),
                ack_set: delivery.ack_set.clone(),
                consumer_epoch: to.epoch,
            };
            queue.command(Command::Message(message), delivery.payload.len());
            queue.payload(&delivery.payload);
        }
        drop(queue);
        self.filled.notify_one();
    }

    fn receipts(&self, producer_id: u64, batch: &[Receipt]) {
        let mut queue = self.lock();
        for receipt in batch {
            let receipt = SendReceipt {
                producer_id,
                sequence_id: receipt.sequence_id,
                message_id: Some(message_id(receipt.position, None)),
                highest_sequence_id: Some(receipt.highest_sequence_id),
            };
            queue.command(Command::SendReceipt(receipt), 0);
        }
        drop(queue);
        self.filled.notify_one();
    }

    fn refuse(&self, producer_id: u64, sequence_id: u64, error: &PublishError) {
        let code = match error {
            PublishError::Checksum(_) => ServerError::Checksum,
            PublishError::Terminated => ServerError::TopicTerminated,
            PublishError::Storage(_) => ServerError::Persistence,
            PublishError::NotAllowed(_) => ServerError::NotAllowed,
        };
        let message = error.to_string();
        self.send(Command::SendError(SendError { producer_id, sequence_id, error: code as i32, message }));
    }

    fn close_producer(&self, producer_id: u64) {
        self.send(Command::CloseProducer(CloseProducer { producer_id, request_id: NONE }));
    }

    fn close_consumer(&self, consumer_id: u64) {
        self.send(Command::CloseConsumer(CloseConsumer { consumer_id, request_id: NONE }));
    }

    fn active_changed(&self, consumer_id: u64, is_active: bool) {
        if self.protocol_version >= ACTIVE_CHANGE_VERSION {
            let change = ActiveConsumerChange { consumer_id, is_active: Some(is_active) };
            self.send(Command::ActiveConsumerChange(change));
        }
    }

    fn end_of_topic(&self, consumer_id: u64) {
        if self.info.version.starts_with(JAVA) {
            self.send(Command::ReachedEndOfTopic(ReachedEndOfTopic { consumer_id }));
        }
    }

    fn probe(&self) -> BoxFuture<'static, bool> {
        let mut heard = self.heard.subscribe();
        let (stop, ended) = (self.stop.clone(), self.ended.clone());
        let paused = self.paused.load(Relaxed);
        self.send(Command::Ping(Empty {}));
        Box::pin(async move {
            if paused {
                return true;
            }
            let answered = tokio::select! {
                changed = heard.changed() => changed.is_ok(),
                () = stop.cancelled() => false,
                () = tokio::time::sleep(PROBE_MAX) => false,
            };
            if !answered {
                stop.cancel();
                // Its producers and consumers leave at once; the bound is for a connection that is stuck itself.
                let _ = tokio::time::timeout(PROBE_MAX, ended.cancelled()).await;
            }
            answered
        })
    }
}
