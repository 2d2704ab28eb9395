//! One child, from its start to its end: the connection, the log, and the task that watches over both.
//!
//! Whatever ends a child (its own exit, a signal, a frame that is none, silence, an order) ends here: the child is reaped, every
//! call that waits gets an error that names the cause, and whoever started the session is told once.

use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use longshore_plugin_api::abi::{FfiCallContext, LedgerReaderBox};
use longshore_plugin_api::{Entry, Error, ErrorCode, Retry};
use prost::Message;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStderr};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tracing::level_filters::LevelFilter;

use super::frame::{Kind, ProtocolError};
use super::host_side::{HostSide, Spanned};
use super::link::{Call, Limits, Link, NOTHING, Reserved};
use super::message::{self, Context, Number};
use super::process::{self, Plan};
use super::words::Words;
use super::{CRASHED, CRASHED_BESIDE};

/// How long a session whose owner went away gives the driver to finish.
const FINISH_PATIENCE: Duration = Duration::from_secs(10);

/// How long answers and last words of a child that has ended are waited for.
const DRAIN: Duration = Duration::from_millis(200);

/// The longest part of a child's last words that is repeated in an error, in characters.
const LAST_WORDS_CHARS_MAX: usize = 300;

/// A running child.
pub(super) struct Session {
    pub(super) link: Arc<Link>,
    pub(super) pid: u32,
    host_side: Arc<HostSide>,
    log_level: AtomicU32,
    orders: mpsc::UnboundedSender<Stop>,
    ended: watch::Receiver<bool>,
}

/// Tells a session to end, and where to say how many calls were given up.
struct Stop {
    deadline: Duration,
    answer: oneshot::Sender<Option<u64>>,
}

/// How a session ended.
pub(super) enum End {
    /// It was told to.
    Ordered,
    /// By itself; the sentence is for people.
    Crashed(String),
}

impl End {
    /// What a call gets that was waiting.
    fn error(&self, crashed: ErrorCode) -> Error {
        let error = match self {
            Self::Ordered => Error::new(ErrorCode::Unavailable, "the driver was shut down"),
            Self::Crashed(cause) => Error::new(crashed, format!("the driver's process ended: {cause}")),
        };
        error.with_retry(Retry::Later)
    }
}

impl Session {
    /// Starts a child and lets it load its library. `on_end` is told how a session ended that was started.
    ///
    /// # Errors
    /// `Crashed` where the child ends, `Timeout`, and what the child says about its library.
    pub(super) async fn start(
        plan: &Arc<Plan>,
        driver: &str,
        on_end: impl FnOnce(&End, u32) + Send + 'static,
    ) -> Result<Arc<Self>, Error> {
        let isolation = &plan.settings.isolation;
        let started = process::start(plan, driver);
        let (mut child, stream) = started.map_err(|error| Error::io("start a process for the driver", &error))?;
        let pid = child.id().unwrap_or_default();
        let limits = Limits {
            entries_bytes_max: isolation.frame_bytes_max,
            calls_max: isolation.calls_max,
            patience: plan.settings.call_timeout.mul_f32(0.9),
            unanswered_max: plan.settings.degraded_after,
        };
        let link = Link::new(stream, limits);
        let host_side = Arc::new(HostSide::new(&plan.label, Arc::clone(&plan.own)));
        let reading = tokio::spawn(Arc::clone(&link).run(Arc::clone(&host_side) as _));
        let words = Arc::new(Mutex::new(Words::new(Instant::now())));
        let stderr = child.stderr.take().expect("it was asked for");
        let listening = tokio::spawn(listen(stderr, Arc::clone(&words), plan.label.clone(), driver.to_owned(), pid));
        let (orders, received) = mpsc::unbounded_channel();
        let (ending, ended) = watch::channel(false);
        let watched = Watched { child, link: Arc::clone(&link), reading, listening, words, pid };
        tokio::spawn(async move {
            let (end, link) = watched.watch(received).await;
            // Whoever is told by its call must find everything settled when it calls again.
            on_end(&end, pid);
            let _ = ending.send(true);
            link.end(end.error(CRASHED), &end.error(CRASHED_BESIDE));
        });
        let log_level = level_now();
        let session = Self { link, pid, host_side, log_level: AtomicU32::new(log_level), orders, ended };
        let hello = message::Hello {
            version: message::VERSION,
            file: plan.file.clone(),
            sha256: plan.sha256.to_vec(),
            runtime_workers: plan.settings.runtime_workers,
            entries_bytes_max: isolation.frame_bytes_max as u64,
            calls_max: isolation.calls_max as u64,
            log_level,
            memory_bytes_max: isolation.memory_bytes_max,
        };
        let error = match timeout(isolation.start_timeout, session.link.call(Kind::Hello, &Context::default(), &hello))
            .await
        {
            Ok(Ok(_)) => return Ok(Arc::new(session)),
            Ok(Err(error)) => error,
            Err(_) => {
                let limit = isolation.start_timeout.as_millis();
                let text = format!(
                    "its process did not load the library within offloadersIsolationStartTimeoutMs={limit}; it was ended"
                );
                Error::new(ErrorCode::Timeout, text)
            }
        };
        session.stop(Duration::ZERO).await;
        Err(error)
    }

    /// Whether the child is gone, and everybody was told who had to be.
    pub(super) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Makes a call; log events of it go under the span of `context`.
    pub(super) fn call(&self, kind: Kind, context: &FfiCallContext, asked: &impl Message) -> SpannedCall {
        self.send(self.link.reserve(), kind, context, asked)
    }

    /// The same under a number that is known already.
    pub(super) fn send(
        &self,
        reserved: Reserved,
        kind: Kind,
        context: &FfiCallContext,
        asked: &impl Message,
    ) -> SpannedCall {
        let spanned = HostSide::spanned(&self.host_side, reserved.id, context);
        SpannedCall { call: reserved.send(kind, &Context::from(*context), asked), _spanned: spanned }
    }

    /// Lends the child a ledger, under the number of an offload, for as long as the answer lives.
    pub(super) fn lend(&self, offload: u64, ledger: LedgerReaderBox) -> impl Sized + use<> {
        HostSide::lend(&self.host_side, offload, ledger)
    }

    /// Tells the child when the host's log wants other levels than it knows.
    pub(super) fn refresh_log_level(&self) {
        let now = level_now();
        if self.log_level.load(Ordering::Relaxed) != now {
            self.log_level.store(now, Ordering::Relaxed);
            self.link.notice(Kind::LogLevel, NOTHING, &Number { number: u64::from(now) });
        }
    }

    /// Lets the driver finish and ends the child; the answer is how many of its calls were given up, or `None` where it did not
    /// say. Whoever stops waiting changes nothing of it.
    pub(super) async fn stop(&self, deadline: Duration) -> Option<u64> {
        let (answer, answered) = oneshot::channel();
        if self.orders.send(Stop { deadline, answer }).is_err() {
            return Some(0);
        }
        let abandoned = answered.await.ok().flatten();
        // Until the child is reaped.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
        abandoned
    }
}

/// A call that was made, and the span that its log events go under until it ends.
pub(super) struct SpannedCall {
    call: Call,
    _spanned: Option<Spanned>,
}

impl SpannedCall {
    /// Waits for an answer that is a message.
    pub(super) async fn message<M: Message + Default>(self) -> Result<M, Error> {
        self.call.message().await
    }

    /// Waits for an answer that is entries.
    pub(super) async fn entries(self) -> Result<Vec<Entry>, Error> {
        self.call.entries().await
    }
}

/// The most detailed level that the host's log wants: 0 none, 1 error to 5 trace.
fn level_now() -> u32 {
    match LevelFilter::current().into_level() {
        None => 0,
        Some(tracing::Level::ERROR) => 1,
        Some(tracing::Level::WARN) => 2,
        Some(tracing::Level::INFO) => 3,
        Some(tracing::Level::DEBUG) => 4,
        Some(tracing::Level::TRACE) => 5,
    }
}

/// A child and everything that listens to it.
struct Watched {
    child: Child,
    link: Arc<Link>,
    reading: JoinHandle<Result<(), ProtocolError>>,
    listening: JoinHandle<()>,
    words: Arc<Mutex<Words>>,
    pid: u32,
}

/// What ended a session.
enum Event {
    Exited(std::io::Result<ExitStatus>),
    Closed(Result<(), ProtocolError>),
    Hung,
    Told(Option<Stop>),
}

impl Watched {
    async fn watch(mut self, mut orders: mpsc::UnboundedReceiver<Stop>) -> (End, Arc<Link>) {
        let event = tokio::select! {
            status = self.child.wait() => Event::Exited(status),
            closed = &mut self.reading => Event::Closed(closed.unwrap_or(Ok(()))),
            () = self.link.hung() => Event::Hung,
            order = orders.recv() => Event::Told(order),
        };
        let end = match event {
            Event::Exited(status) => {
                // What it answered before counts.
                let _ = timeout(DRAIN, &mut self.reading).await;
                self.crashed(status, None).await
            }
            // A child that is killed stops in the middle of a frame; its status says more.
            Event::Closed(Ok(()) | Err(ProtocolError::CutOff | ProtocolError::Io(_))) => {
                let status = process::end(&mut self.child).await;
                self.crashed(status, None).await
            }
            Event::Closed(Err(error)) => {
                let status = process::kill(&mut self.child).await;
                self.crashed(status, Some(format!("it broke the protocol: {error}"))).await
            }
            Event::Hung => {
                let status = process::kill(&mut self.child).await;
                self.crashed(status, Some("it let too many calls in a row wait for nothing".to_owned())).await
            }
            Event::Told(stop) => {
                self.finish(stop).await;
                End::Ordered
            }
        };
        self.reading.abort();
        self.listening.abort();
        (end, self.link)
    }

    /// Lets the driver finish, then ends the child within the deadline.
    async fn finish(&mut self, stop: Option<Stop>) {
        let deadline = stop.as_ref().map_or(FINISH_PATIENCE, |stop| stop.deadline);
        // What ending by force takes is left over.
        let for_driver = deadline.saturating_sub(process::EXIT_PATIENCE * 2).max(deadline / 2);
        let deadline_ms = u64::try_from(for_driver.as_millis()).unwrap_or(u64::MAX);
        let call = self.link.call(Kind::Shutdown, &Context::default(), &Number { number: deadline_ms });
        let abandoned = match timeout(for_driver, call.message::<Number>()).await {
            Ok(Ok(Number { number })) => Some(number),
            Ok(Err(_)) | Err(_) => None,
        };
        let ended = match abandoned {
            Some(_) => process::end(&mut self.child).await,
            None => process::terminate(&mut self.child).await,
        };
        if let Err(error) = ended {
            tracing::warn!(pid = self.pid, %error, "a driver's process could not be waited for");
        }
        if let Some(stop) = stop {
            let _ = stop.answer.send(abandoned);
        }
    }

    /// The sentence about a child that ended by itself, or was ended since it did what it must not (`fault`).
    async fn crashed(&mut self, status: std::io::Result<ExitStatus>, fault: Option<String>) -> End {
        let _ = timeout(DRAIN, &mut self.listening).await;
        let status = match status {
            Ok(status) => status.to_string(),
            Err(error) => format!("it could not be waited for: {error}"),
        };
        let mut cause = match fault {
            Some(fault) => format!("{fault} (process {})", self.pid),
            None => format!("{status} (process {})", self.pid),
        };
        let words = self.words.lock().unwrap_or_else(PoisonError::into_inner);
        let last: String = words.last().chars().take(LAST_WORDS_CHARS_MAX).collect();
        if !last.is_empty() {
            cause += &format!("; its last words: {last}");
        }
        End::Crashed(cause)
    }
}

/// Carries what a child writes to its standard error into the log.
async fn listen(mut stderr: ChildStderr, words: Arc<Mutex<Words>>, plugin: String, driver: String, pid: u32) {
    let log = |line: &str| tracing::warn!(target: "offloader_process", plugin, driver, pid, "{line}");
    let mut buffer = vec![0; 4096];
    loop {
        let read = stderr.read(&mut buffer).await.unwrap_or(0);
        let mut words = words.lock().unwrap_or_else(PoisonError::into_inner);
        match read {
            0 => return words.end(Instant::now(), log),
            read => words.push(&buffer[..read], Instant::now(), log),
        }
    }
}
