//! One end of a connection: calls in both directions at once, each with its number, its answer and its cancellation.
//!
//! Both ends are the same: each makes calls and [serves](Serve) those of the other. A call that its maker drops is cancelled at
//! the other end. Whatever the other end does wrong ends the connection with a [`ProtocolError`]; nothing it sends is believed
//! before it was checked.

mod call;

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use longshore_plugin_api::{Entry, Error, ErrorCode};
use prost::Message;
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};
use tokio::task::{AbortHandle, JoinError, JoinHandle};

pub(super) use self::call::{Call, Reserved, nonsense};
use super::frame::{Frame, HEADER_BYTES, Header, Kind, MESSAGE_BYTES_MAX, ProtocolError};
use super::inbox::read_frame;
use super::message::Context as CallContext;
use super::outbox::Outbox;
use super::{CRASHED, CRASHED_BESIDE, entries, message};

/// The number of a message that is a notice of nothing in particular.
pub(super) const NOTHING: u64 = 0;

/// What a call is answered with.
#[derive(Debug)]
pub(super) enum Answer {
    /// A message, encoded.
    Message(Bytes),
    /// Entries.
    Entries(Vec<Entry>),
}

impl Answer {
    /// An answer that says nothing but yes.
    pub(super) fn done() -> Self {
        Self::Message(Bytes::new())
    }

    /// A message.
    pub(super) fn message(message: &impl Message) -> Self {
        Self::Message(message.encode_to_vec().into())
    }
}

/// The work of a call that came.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<Answer, Error>> + Send>>;

/// What one end does for the other.
pub(super) trait Serve: Send + Sync + 'static {
    /// Begins a call; its answer is sent when the work ends, and the work is dropped when the call is cancelled.
    fn call(self: Arc<Self>, frame: &Frame) -> Result<Work, ProtocolError>;

    /// Takes a notice.
    fn notice(&self, frame: &Frame) -> Result<(), ProtocolError>;

    /// A call is cancelled, or was answered when nobody waited any longer.
    fn cancelled(&self, id: u64) {
        let _ = id;
    }
}

/// The bounds of a connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The longest body of entries.
    pub(super) entries_bytes_max: usize,
    /// Calls at once, in each direction.
    pub(super) calls_max: usize,
    /// A call that is dropped after so long counts as unanswered.
    pub(super) patience: Duration,
    /// Unanswered calls in a row after which the other end counts as hung.
    pub(super) unanswered_max: u32,
}

/// One end.
pub(super) struct Link {
    stream: Arc<UnixStream>,
    outbox: Outbox,
    limits: Limits,
    calls: Mutex<Calls>,
    serving: Mutex<HashMap<u64, AbortHandle>>,
    unanswered: AtomicU32,
    hung: Notify,
}

/// Where a call's answer goes.
type Waiting = oneshot::Sender<Result<Answer, Error>>;

/// The calls that this end made.
struct Calls {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    /// Why there can be no more.
    ended: Option<Error>,
}

impl Link {
    pub(super) fn new(stream: UnixStream, limits: Limits) -> Arc<Self> {
        let stream = Arc::new(stream);
        Arc::new(Self {
            outbox: Outbox::new(Arc::clone(&stream)),
            stream,
            limits,
            calls: Mutex::new(Calls { next: 1, waiting: HashMap::new(), ended: None }),
            serving: Mutex::default(),
            unanswered: AtomicU32::new(0),
            hung: Notify::new(),
        })
    }

    /// The longest body of entries.
    pub(super) fn entries_bytes_max(&self) -> usize {
        self.limits.entries_bytes_max
    }

    /// Whether notices should be left out for now.
    pub(super) fn is_congested(&self) -> bool {
        self.outbox.is_congested()
    }

    /// Whether everything was written.
    pub(super) fn is_flushed(&self) -> bool {
        self.outbox.is_empty()
    }

    /// Ends when too many calls in a row found no answer.
    pub(super) async fn hung(&self) {
        self.hung.notified().await;
    }

    /// Makes a call.
    pub(super) fn call(self: &Arc<Self>, kind: Kind, context: &CallContext, asked: &impl Message) -> Call {
        self.reserve().send(kind, context, asked)
    }

    /// The number of a call that will be made.
    pub(super) fn reserve(self: &Arc<Self>) -> Reserved {
        let mut calls = self.calls();
        let id = calls.next;
        calls.next += 1;
        Reserved { link: Arc::clone(self), id }
    }

    /// Sends a notice.
    pub(super) fn notice(&self, kind: Kind, id: u64, body: &impl Message) {
        self.send(kind, id, &body.encode_to_vec());
    }

    /// No call will be answered any more: one that waits gets `error`, the others and later ones get `beside`.
    pub(super) fn end(&self, error: Error, beside: &Error) {
        let waiting = {
            let mut calls = self.calls();
            calls.ended.get_or_insert_with(|| beside.clone());
            std::mem::take(&mut calls.waiting)
        };
        let errors = std::iter::once(error).chain(std::iter::repeat_with(|| beside.clone()));
        for (answer, error) in waiting.into_values().zip(errors) {
            // Whoever does not wait any longer needs no answer.
            let _ = answer.send(Err(error));
        }
        let serving = std::mem::take(&mut *self.serving.lock().unwrap_or_else(PoisonError::into_inner));
        serving.values().for_each(AbortHandle::abort);
    }

    /// Reads, serves and writes until the other end closes.
    ///
    /// # Errors
    /// What the other end did wrong.
    pub(super) async fn run(self: Arc<Self>, serve: Arc<dyn Serve>) -> Result<(), ProtocolError> {
        let reading = async {
            let mut buffer = BytesMut::new();
            while let Some(frame) = read_frame(&self.stream, &mut buffer, self.limits.entries_bytes_max).await? {
                self.take(&serve, frame)?;
            }
            Ok(())
        };
        tokio::select! {
            ended = reading => ended,
            // It ends where nothing can be written; then reading, which gets what is left, has the last word.
            () = async { self.outbox.run().await; std::future::pending().await } => unreachable!("it never ends"),
        }
    }

    fn take(self: &Arc<Self>, serve: &Arc<dyn Serve>, frame: Frame) -> Result<(), ProtocolError> {
        match frame.kind {
            Kind::Answer => self.settle(frame.id, Ok(Answer::Message(frame.body))),
            Kind::Entries => self.settle(frame.id, entries::take(frame.body).map(Answer::Entries).map(Ok)?),
            Kind::Failure => self.settle(frame.id, Err(failure(&frame)?)),
            Kind::Cancel => {
                let cancelled = self.serving().remove(&frame.id);
                if let Some(work) = cancelled {
                    work.abort();
                }
                serve.cancelled(frame.id);
                Ok(())
            }
            Kind::Close | Kind::LogLevel | Kind::Progress | Kind::Log | Kind::Metric | Kind::Samples => {
                serve.notice(&frame)
            }
            _ => self.begin(serve, &frame),
        }
    }

    /// Hands an answer to whoever waits for it; one that nobody waits for any longer goes.
    fn settle(&self, id: u64, answer: Result<Answer, Error>) -> Result<(), ProtocolError> {
        self.unanswered.store(0, Ordering::Relaxed);
        let mut calls = self.calls();
        if id == NOTHING || id >= calls.next {
            return Err(ProtocolError::UnknownCall(id));
        }
        if let Some(waiting) = calls.waiting.remove(&id) {
            let _ = waiting.send(answer);
        }
        Ok(())
    }

    fn begin(self: &Arc<Self>, serve: &Arc<dyn Serve>, frame: &Frame) -> Result<(), ProtocolError> {
        let id = frame.id;
        let mut serving = self.serving();
        if serving.len() >= self.limits.calls_max {
            return Err(ProtocolError::TooManyCalls(self.limits.calls_max));
        }
        if serving.contains_key(&id) {
            return Err(ProtocolError::malformed(frame.kind, format!("call {id} is running already")));
        }
        let work = Arc::clone(serve).call(frame)?;
        let link = Arc::clone(self);
        let task = tokio::spawn(async move {
            let served = Served { link: &link, id };
            let answer = work.await;
            drop(served);
            link.answer(id, answer);
        });
        // The task cannot have removed its row yet: that waits for this lock.
        serving.insert(id, task.abort_handle());
        Ok(())
    }

    /// Answers the call that came before the connection was served, when its work on another thread ends.
    pub(super) fn serve_first(self: &Arc<Self>, id: u64, work: JoinHandle<Result<Answer, Error>>) {
        let link = Arc::clone(self);
        tokio::spawn(async move {
            let lost = |error: JoinError| Error::new(ErrorCode::Panicked, "the work of a call").with_source(&error);
            let answer = work.await.unwrap_or_else(|error| Err(lost(error)));
            link.answer(id, answer);
        });
    }

    fn answer(&self, id: u64, answer: Result<Answer, Error>) {
        match answer {
            Ok(Answer::Message(body)) if body.len() <= MESSAGE_BYTES_MAX => self.send(Kind::Answer, id, &body),
            Ok(Answer::Message(body)) => self.answer_too_long(id, body.len(), MESSAGE_BYTES_MAX),
            Ok(Answer::Entries(batch)) => self.send_entries(id, batch),
            Err(error) => self.send(Kind::Failure, id, &message::Failure::from(error).encode_to_vec()),
        }
    }

    /// Sends as many of the entries as fit a frame: who asked goes on where they end.
    fn send_entries(&self, id: u64, mut batch: Vec<Entry>) {
        let max = self.limits.entries_bytes_max;
        let fitting = entries::fitting(&batch, max);
        if fitting == 0 && !batch.is_empty() {
            return self.answer_too_long(id, entries::body_bytes(&batch[..1]), max);
        }
        batch.truncate(fitting);
        let len = entries::body_bytes(&batch);
        let mut head = BytesMut::with_capacity(HEADER_BYTES + entries::table_bytes(batch.len()));
        Header { kind: Kind::Entries, id, len }.put(&mut head);
        entries::put_table(&batch, &mut head);
        self.outbox.push(head.freeze(), batch.into_iter().map(|entry| entry.payload));
    }

    fn answer_too_long(&self, id: u64, len: usize, max: usize) {
        let text =
            format!("an answer of {len} bytes does not fit a frame of {max} bytes (offloadersIsolationFrameBytesMax)");
        self.answer(id, Err(Error::new(ErrorCode::InvalidArgument, text)));
    }

    fn send(&self, kind: Kind, id: u64, body: &[u8]) {
        let mut head = BytesMut::with_capacity(HEADER_BYTES + body.len());
        Header { kind, id, len: body.len() }.put(&mut head);
        head.put_slice(body);
        self.outbox.push(head.freeze(), []);
    }

    /// Notes a call that waits from now on, unless it cannot be made; then its sender comes back.
    fn admit(&self, id: u64, len: usize, sender: Waiting) -> Result<(), (Waiting, Error)> {
        let mut calls = self.calls();
        let refused = if let Some(ended) = &calls.ended {
            ended.clone()
        } else if len > MESSAGE_BYTES_MAX {
            let text = format!("a request of {len} bytes is longer than a frame of {MESSAGE_BYTES_MAX} bytes");
            Error::new(ErrorCode::InvalidArgument, text)
        } else if calls.waiting.len() >= self.limits.calls_max {
            let text =
                format!("offloadersIsolationCallsMax={} calls of the process are running", self.limits.calls_max);
            Error::new(ErrorCode::Unavailable, text)
        } else {
            calls.waiting.insert(id, sender);
            return Ok(());
        };
        Err((sender, refused))
    }

    fn given_up(&self, id: u64, waited: Duration) {
        if self.calls().waiting.remove(&id).is_none() {
            return;
        }
        self.send(Kind::Cancel, id, &[]);
        if waited >= self.limits.patience {
            let unanswered = self.unanswered.fetch_add(1, Ordering::Relaxed).saturating_add(1);
            if unanswered >= self.limits.unanswered_max {
                self.hung.notify_one();
            }
        }
    }

    fn calls(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serving(&self) -> MutexGuard<'_, HashMap<u64, AbortHandle>> {
        self.serving.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes the row of a call that came, however its work ends.
struct Served<'a> {
    link: &'a Link,
    id: u64,
}

impl Drop for Served<'_> {
    fn drop(&mut self) {
        self.link.serving().remove(&self.id);
    }
}

/// A failure that came, without what only the host may say.
fn failure(frame: &Frame) -> Result<Error, ProtocolError> {
    let mut failure: message::Failure = message::read(frame)?;
    if [CRASHED.0, CRASHED_BESIDE.0].contains(&failure.code) {
        failure.code = ErrorCode::Internal.0;
    }
    Ok(failure.into())
}
