//! One client's state machine: frames in order, answers of requests as they come, keep-alive.
//!
//! One task reads and decides; [`super::outgoing`] writes. Requests that wait for storage run as tasks of their own, so that
//! they hold up neither each other nor messages; their results come back here, where the tables of producers and consumers
//! are. Reading stops while too much is in flight: entries, requests, or answers that the client does not take.
//!
//! When the connection ends, its producers and consumers leave with it, and what was in flight is answered to nobody.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use super::command::{Command, Empty};
use super::consuming::Subscribed;
use super::frame::{self, Frame, FrameError};
use super::greeting::{Greeted, greet};
use super::outgoing::Outgoing;
use super::producing::{Produced, Queued};
use super::refusal;
use super::server::{Shared, next_connection_id};
use crate::access::{NotLetIn, Principal};
use crate::topic::ConsumerHandle;
use crate::topic::client::ClientInfo;
use crate::topic::producer::ProducerHandle;

/// How long a client that is being left has to take what is queued for it.
const FAREWELL_MAX: Duration = Duration::from_secs(5);
/// Room made for each read from the socket, bytes.
const READ_BYTES: usize = 64 * 1024;

/// Why a connection is ended by the broker.
#[derive(Debug, thiserror::Error)]
pub(super) enum Violation {
    /// The client closed it, or the network did.
    #[error("connection lost")]
    Lost(#[from] io::Error),
    /// A frame cannot be read.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A command out of place.
    #[error("{0}")]
    Command(String),
    /// Nobody knows who it is.
    #[error(transparent)]
    NotLetIn(#[from] NotLetIn),
    /// What it showed is out of date.
    #[error("the token of role `{0}` has expired")]
    Expired(String),
    /// No sign of life.
    #[error("no sign of life")]
    Silence,
}

/// A producer or consumer of the connection, by the client's number.
pub(super) enum Slot<T> {
    /// Being made by the request of this number; a consumer may have permits already.
    Pending { request: u64, permits: u32 },
    /// There.
    Live(T),
}

/// What a request's task brings back.
pub(super) enum Outcome {
    /// The answer.
    Reply(Command),
    /// A producer, or why there is none.
    Produced(Produced),
    /// A producer that must wait for its topic.
    Queued(Queued),
    /// A consumer, or why there is none.
    Subscribed(Subscribed),
    /// A consumer whose subscription could not be deleted, and the answer.
    Kept(u64, ConsumerHandle, Command),
}

/// The state of one client.
pub(super) struct Connection {
    pub(super) shared: Arc<Shared>,
    pub(super) principal: Principal,
    pub(super) out: Arc<Outgoing>,
    pub(super) producers: HashMap<u64, Slot<ProducerHandle>>,
    pub(super) consumers: HashMap<u64, Slot<ConsumerHandle>>,
    pub(super) requests: JoinSet<Outcome>,
    /// Producers that wait for their topics.
    pub(super) turns: JoinSet<Produced>,
    /// The same, by the client's number.
    pub(super) queued: HashMap<u64, AbortHandle>,
    pub(super) next_request: u64,
    /// Entries in flight that are left.
    pub(super) publishes: Arc<Semaphore>,
    /// Producers and consumers that the broker had closed at the last ping.
    closed: [HashSet<u64>; 2],
    heard: bool,
    pinged: bool,
}

/// Serves one client until it leaves, breaks the protocol, or `stop`.
pub(super) async fn run(
    shared: Arc<Shared>,
    address: String,
    mut reader: impl AsyncRead + Unpin,
    mut writer: impl AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) {
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(
            shared.settings.keep_alive_interval,
            greet(&shared, &mut reader, &mut writer, &mut buffer),
        ) => greeted.unwrap_or(Err(Violation::Silence)),
        () = stop.cancelled() => return,
    };
    let Greeted { version, protocol_version, principal } = match greeted {
        Ok(greeted) => greeted,
        Err(violation) => return tracing::debug!(client = address, %violation, "no handshake"),
    };
    tracing::debug!(client = address, version, protocol_version, role = principal.name(), "connected");
    let info = ClientInfo { connection_id: next_connection_id(), address, version };
    let bytes_max = shared.settings.outgoing_bytes_max;
    let out = Arc::new(Outgoing::new(info, protocol_version, bytes_max, stop));
    let mut writing = tokio::spawn(out.clone().write(writer));
    Connection::new(shared, principal, out).serve(&mut reader, buffer).await;
    if tokio::time::timeout(FAREWELL_MAX, &mut writing).await.is_err() {
        writing.abort();
    }
}

impl Connection {
    fn new(shared: Arc<Shared>, principal: Principal, out: Arc<Outgoing>) -> Self {
        let publishes = Arc::new(Semaphore::new(shared.settings.max_pending_publish_requests.max(1)));
        Self {
            shared,
            principal,
            out,
            producers: HashMap::new(),
            consumers: HashMap::new(),
            requests: JoinSet::new(),
            turns: JoinSet::new(),
            queued: HashMap::new(),
            next_request: 0,
            publishes,
            closed: Default::default(),
            heard: true,
            pinged: false,
        }
    }

    async fn serve(mut self, reader: &mut (impl AsyncRead + Unpin), buffer: BytesMut) {
        if let Err(violation) = self.read_frames(reader, buffer).await {
            tracing::debug!(client = self.client().address, %violation, "connection closed");
        }
        self.consumers.clear();
        self.producers.clear();
        self.turns.abort_all();
        // Requests run to their end, since half of one may be done; what they bring leaves at once.
        self.requests.detach_all();
        self.out.finish();
        self.out.ended.cancel();
    }

    pub(super) fn client(&self) -> &ClientInfo {
        crate::topic::client::Client::info(&*self.out)
    }

    async fn read_frames(
        &mut self,
        reader: &mut (impl AsyncRead + Unpin),
        mut buffer: BytesMut,
    ) -> Result<(), Violation> {
        let frame_bytes_max = self.shared.settings.frame_bytes_max();
        let mut keep_alive = keep_alive(self.shared.settings.keep_alive_interval);
        let stop = self.out.stop.clone();
        loop {
            while self.requests.len() < self.shared.settings.requests_max
                && let Some(frame) = frame::take(&mut buffer, frame_bytes_max)?
            {
                tokio::select! {
                    biased;
                    handled = self.handle(frame) => handled?,
                    () = stop.cancelled() => return Ok(()),
                }
            }
            if buffer.capacity() - buffer.len() < READ_BYTES / 4 {
                buffer.reserve(READ_BYTES);
            }
            let may_read = self.requests.len() < self.shared.settings.requests_max;
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                Some(outcome) = self.requests.join_next() => match outcome {
                    Ok(outcome) => self.complete(outcome),
                    Err(error) => tracing::error!(client = self.client().address, %error, "a request was lost"),
                },
                Some(turn) = self.turns.join_next() => match turn {
                    Ok(produced) => self.produced(produced),
                    Err(error) if error.is_cancelled() => {}
                    Err(error) => tracing::error!(client = self.client().address, %error, "a waiting producer was lost"),
                },
                read = reader.read_buf(&mut buffer), if may_read => {
                    if read? == 0 {
                        return Ok(());
                    }
                }
                _ = keep_alive.tick() => self.check_life()?,
            }
        }
    }

    /// Pings, and ends the connection when the last ping met nothing but silence.
    fn check_life(&mut self) -> Result<(), Violation> {
        if self.pinged && !self.heard {
            return Err(Violation::Silence);
        }
        if self.principal.is_expired() {
            return Err(Violation::Expired(self.principal.name().to_owned()));
        }
        self.out.send(Command::Ping(Empty {}));
        (self.pinged, self.heard) = (true, false);
        self.forget_closed();
        Ok(())
    }

    /// Forgets producers and consumers that the broker closed before the last ping and the client did not take up again.
    /// Until then what it still sends for them is ignored.
    fn forget_closed(&mut self) {
        forget(&mut self.producers, &mut self.closed[0], ProducerHandle::is_closed);
        forget(&mut self.consumers, &mut self.closed[1], |consumer| !consumer.is_live());
    }

    async fn handle(&mut self, frame: Frame) -> Result<(), Violation> {
        self.heard = true;
        self.out.hear();
        if self.out.is_overfull() {
            self.out.paused.store(true, Relaxed);
            self.out.answers_fit().await;
            self.out.paused.store(false, Relaxed);
        }
        let Some(command) = frame.command.command else {
            tracing::warn!(client = self.client().address, kind = frame.command.kind, "unknown command ignored");
            return Ok(());
        };
        match command {
            Command::Send(send) => return self.send(send, frame.payload).await,
            Command::Flow(flow) => return self.flow(&flow),
            Command::Ack(ack) => self.ack(ack),
            Command::Ping(_) => self.out.send(Command::Pong(Empty {})),
            Command::Pong(_) | Command::AuthResponse(_) => {}
            Command::Redeliver(redeliver) => self.redeliver(&redeliver),
            Command::Producer(producer) => self.produce(*producer),
            Command::CloseProducer(close) => self.close_producer(close),
            Command::Subscribe(subscribe) => self.subscribe(*subscribe),
            Command::CloseConsumer(close) => self.close_consumer(close),
            Command::Unsubscribe(unsubscribe) => self.unsubscribe(unsubscribe),
            Command::Seek(seek) => self.seek(&seek),
            Command::GetLastMessageId(question) => self.last_message_id(question),
            Command::ConsumerStats(question) => self.consumer_stats(&question),
            Command::PartitionedMetadata(question) => self.partitioned_metadata(question),
            Command::Lookup(question) => self.lookup(question),
            Command::GetTopicsOfNamespace(question) => self.topics_of_namespace(question),
            Command::GetSchema(question) => self.get_schema(question),
            Command::GetOrCreateSchema(question) => self.get_or_create_schema(question),
            other => match refusal::unserved(&other) {
                Some(answer) => self.out.send(answer),
                None => return Err(Violation::Command(format!("{} is not for a broker", other.name()))),
            },
        }
        Ok(())
    }

    fn complete(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Reply(answer) => self.out.send(answer),
            Outcome::Produced(produced) => self.produced(produced),
            Outcome::Queued(queued) => self.queued(queued),
            Outcome::Subscribed(subscribed) => self.subscribed(subscribed),
            Outcome::Kept(consumer_id, consumer, answer) => {
                self.consumers.insert(consumer_id, Slot::Live(consumer));
                self.out.send(answer);
            }
        }
    }

    /// Numbers a request, so that its result is told from that of an earlier one for the same producer or consumer.
    pub(super) fn number(&mut self) -> u64 {
        self.next_request += 1;
        self.next_request
    }
}

fn forget<T>(slots: &mut HashMap<u64, Slot<T>>, closed_before: &mut HashSet<u64>, is_closed: impl Fn(&T) -> bool) {
    let closed_now = |slot: &Slot<T>| matches!(slot, Slot::Live(handle) if is_closed(handle));
    slots.retain(|id, slot| !(closed_before.contains(id) && closed_now(slot)));
    *closed_before = slots.iter().filter(|(_, slot)| closed_now(slot)).map(|(id, _)| *id).collect();
}

fn keep_alive(interval: Duration) -> Interval {
    let interval = interval.max(Duration::from_millis(1));
    let mut ticks = tokio::time::interval_at(Instant::now() + interval, interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
