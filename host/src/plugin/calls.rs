//! The rules under which every call to a driver runs, and what is counted of it.
//!
//! A call passes the driver's gate, waits for a permit of its plugin, runs under a deadline, and ends as a value or as a
//! [`DriverError`] that names plugin, driver, call and target. A call that is given up is dropped, which aborts its task inside
//! the plugin. A read may be answered in the call itself, on this thread, where [`inline`](super::inline) has room.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, OnceLock, Weak};
use std::task::Poll;

use abi_stable::std_types::{RErr, ROk};
use futures_util::{FutureExt, poll};
use longshore_plugin_api::abi::context::CALL_MAY_ANSWER_INLINE;
use longshore_plugin_api::abi::{FfiCall, FfiCallContext, FfiError, OffloaderBox};
use longshore_plugin_api::{Error, ErrorCode};
use tokio::sync::SemaphorePermit;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{Instrument, Span};
use uuid::Uuid;

use super::figures::{DriverCounters, Failure, RunningCall, Verb};
use super::gate::Gate;
use super::isolation::{CRASHED, CRASHED_BESIDE};
use super::loaded::LoadedPlugin;
use crate::storage::{DriverError, DriverErrorKind, LedgerId, StoredLedger};
use crate::trace;

/// The longest text of a plugin's error that is kept, in characters.
pub(super) const ERROR_CHARS_MAX: usize = 4096;

/// Which call on what: the words of an error, put together only where there is one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) verb: Verb,
    target: Target,
}

#[derive(Clone, Copy, Debug)]
enum Target {
    Driver,
    Copy(LedgerId, Uuid),
    Entries { ledger_id: LedgerId, first: u64, last: u64 },
}

impl Call {
    /// Of the driver as a whole.
    pub(super) fn of(verb: Verb) -> Self {
        Self { verb, target: Target::Driver }
    }

    /// On one copy.
    pub(super) fn on(verb: Verb, stored: &StoredLedger) -> Self {
        Self { verb, target: Target::Copy(stored.ledger_id, stored.uid) }
    }

    /// A read.
    pub(super) fn read(ledger_id: LedgerId, first: u64, last: u64) -> Self {
        Self { verb: Verb::Read, target: Target::Entries { ledger_id, first, last } }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.verb, self.target) {
            (Verb::Validate, _) => f.write_str("check the configuration"),
            (Verb::Create, _) => f.write_str("create the driver"),
            (Verb::Scan, _) => f.write_str("list the copies"),
            (Verb::Shutdown, _) => f.write_str("shut the driver down"),
            (verb, Target::Driver) => f.write_str(verb.as_str()),
            (verb, Target::Copy(ledger_id, uid)) => write!(f, "{} ledger {ledger_id} as {uid}", verb.as_str()),
            (_, Target::Entries { ledger_id, first, last }) => {
                write!(f, "read entries {first}..={last} of ledger {ledger_id}")
            }
        }
    }
}

/// One driver of one plugin, as far as its calls go.
pub(super) struct DriverCalls {
    pub(super) plugin: Arc<LoadedPlugin>,
    /// In the claimed spelling.
    pub(super) driver: String,
    pub(super) counters: Arc<DriverCounters>,
    gate: Gate,
    /// The instance, once it was made.
    offloader: OnceLock<OffloaderBox>,
}

/// How far a call came.
enum Outcome<T> {
    /// It was answered before anybody had to wait; on this thread, if `inline`.
    AtOnce {
        answer: Settled<T>,
        inline: bool,
    },
    Answered(Settled<T>),
    TimedOut,
}

impl DriverCalls {
    pub(super) fn new(plugin: Arc<LoadedPlugin>, driver: &str) -> Arc<Self> {
        let counters = plugin.counters(driver);
        let gate = Gate::new(plugin.settings.degraded_after);
        Arc::new(Self { plugin, driver: driver.to_owned(), counters, gate, offloader: OnceLock::new() })
    }

    /// Keeps the instance that was made; one that came before stays.
    pub(super) fn keep(&self, offloader: OffloaderBox) -> &OffloaderBox {
        self.offloader.get_or_init(|| offloader)
    }

    /// The instance.
    pub(super) fn offloader(&self) -> &OffloaderBox {
        self.offloader.get().expect("a driver is handed out with its instance")
    }

    /// Runs one call under `offloadersCallTimeoutMs`, the wait for a permit included.
    pub(super) async fn call<T>(
        self: &Arc<Self>,
        call: Call,
        start: impl FnOnce(FfiCallContext) -> FfiCall<T>,
    ) -> Result<T, DriverError> {
        self.call_for(call, start, Ok).await
    }

    /// As [`call`](Self::call), for an answer that `accept` has to find possible; the sentence says why it is not.
    pub(super) async fn call_for<T, A>(
        self: &Arc<Self>,
        call: Call,
        start: impl FnOnce(FfiCallContext) -> FfiCall<T>,
        accept: impl FnOnce(T) -> Result<A, String>,
    ) -> Result<A, DriverError> {
        self.pass(call)?;
        let running = self.counters.begin(call.verb);
        let deadline = Instant::from_std(running.began) + self.plugin.settings.call_timeout;
        let permit = match self.permit(call, deadline).await {
            Ok(permit) => permit,
            Err(busy) => {
                running.end();
                return Err(busy);
            }
        };
        let outcome = self.outcome(call, &running, deadline, start).await;
        drop(permit);
        let took = running.end();
        match outcome {
            Outcome::AtOnce { answer, inline } => {
                if inline {
                    self.plugin.inline.took(took, &self.plugin.label);
                }
                self.judge(call, answer, accept)
            }
            Outcome::Answered(answer) => self.judge(call, answer, accept),
            Outcome::TimedOut => {
                let limit = self.plugin.settings.call_timeout.as_millis();
                let text = format!("no answer within offloadersCallTimeoutMs={limit}; the call was given up");
                Err(self.timed_out(call, &text))
            }
        }
    }

    /// Starts the call and waits for it.
    async fn outcome<T>(
        &self,
        call: Call,
        running: &RunningCall<'_>,
        deadline: Instant,
        start: impl FnOnce(FfiCallContext) -> FfiCall<T>,
    ) -> Outcome<T> {
        let span = self.span(call);
        let place = if call.verb == Verb::Read { self.plugin.inline.enter() } else { None };
        let inline = place.is_some();
        let flags = if inline { CALL_MAY_ANSWER_INLINE } else { 0 };
        let mut settled = pin!(settled(start(FfiCallContext { flags, ..self.context(span.as_ref()) })));
        drop(place);
        // What is there already needs no timer.
        if let Poll::Ready(answer) = poll!(settled.as_mut()) {
            return Outcome::AtOnce { answer, inline };
        }
        if inline {
            self.plugin.inline.took(running.began.elapsed(), &self.plugin.label);
        }
        let waiting = timeout_at(deadline, settled);
        let answer = match span {
            Some(span) => waiting.instrument(span).await,
            None => waiting.await,
        };
        answer.map_or(Outcome::TimedOut, Outcome::Answered)
    }

    /// Whether a call may begin; questions about the driver's health always may.
    pub(super) fn pass(&self, call: Call) -> Result<(), DriverError> {
        if matches!(call.verb, Verb::Health | Verb::Shutdown) {
            return Ok(());
        }
        self.gate.pass().map_err(|reason| {
            self.counters.failed(call.verb, Failure::Suspended);
            let text = format!("not asked, because {reason}; it is asked again once its health call is answered");
            self.error(call, DriverErrorKind::Suspended, &text, true)
        })
    }

    /// Waits for one of `offloadersConcurrentCallsMax`, until `deadline`.
    pub(super) async fn permit(&self, call: Call, deadline: Instant) -> Result<SemaphorePermit<'_>, DriverError> {
        if let Ok(permit) = self.plugin.permits.try_acquire() {
            return Ok(permit);
        }
        if let Ok(Ok(permit)) = timeout_at(deadline, self.plugin.permits.acquire()).await {
            return Ok(permit);
        }
        self.counters.failed(call.verb, Failure::Busy);
        let max = self.plugin.settings.concurrent_calls_max;
        let text = format!("did not begin: offloadersConcurrentCallsMax={max} calls of the plugin are running");
        Err(self.error(call, DriverErrorKind::Timeout, &text, true))
    }

    /// The span of a call. Reads for consumers are many and belong to no trace: they have none.
    pub(super) fn span(&self, call: Call) -> Option<Span> {
        let wanted = call.verb != Verb::Read || trace::current().is_some();
        wanted
            .then(|| tracing::info_span!("plugin_call", plugin = self.plugin.label, driver = self.driver, call = %call))
    }

    /// What goes along with a call that begins now.
    pub(super) fn context(&self, span: Option<&Span>) -> FfiCallContext {
        let mut context = FfiCallContext { timeout_ms: self.plugin.settings.call_timeout_ms(), ..Default::default() };
        if let Some(trace) = trace::current().map(trace::TraceContext::child) {
            context.trace_id = trace.trace_id.to_be_bytes();
            context.span_id = trace.span_id.to_be_bytes();
            context.trace_flags = u32::from(trace.flags);
        }
        if let Some(id) = span.and_then(Span::id) {
            context.host_span = id.into_u64();
        }
        context
    }

    /// Turns an answer into a value or an error, and remembers whose fault it was. An answer that cannot be is a fault as a panic
    /// is: it says nothing good of the plugin.
    pub(super) fn judge<T, A>(
        self: &Arc<Self>,
        call: Call,
        answer: Settled<T>,
        accept: impl FnOnce(T) -> Result<A, String>,
    ) -> Result<A, DriverError> {
        match answer {
            Settled::Answer(value) => match accept(value) {
                Ok(accepted) => {
                    self.answered();
                    Ok(accepted)
                }
                Err(problem) => {
                    Err(self.fault(call, DriverErrorKind::Misbehaved, Failure::Misbehaved, &problem, false))
                }
            },
            Settled::Error(error) => {
                let error = Error::from(error);
                let kind = kind_of(error.code());
                let failure = match kind {
                    DriverErrorKind::Misbehaved => Failure::Misbehaved,
                    DriverErrorKind::Crashed => Failure::Crashed,
                    _ => Failure::Code(error.code()),
                };
                let text = match kind {
                    DriverErrorKind::Crashed => error.to_string(),
                    _ => format!("{error} ({})", error.code()),
                };
                // A crash has none of the plugin's: the host alone makes that one.
                let code = (kind != DriverErrorKind::Crashed).then(|| error.code().to_string());
                // One crash is one fault; what else ran in the process says neither good nor bad of the plugin.
                let crashed = error.code() == CRASHED;
                if crashed || matches!(kind, DriverErrorKind::Panicked | DriverErrorKind::Misbehaved) {
                    return Err(DriverError { code, ..self.fault(call, kind, failure, &text, error.is_retryable()) });
                }
                self.counters.failed(call.verb, failure);
                if kind != DriverErrorKind::Crashed {
                    self.answered();
                }
                Err(DriverError { code, ..self.error(call, kind, &text, error.is_retryable()) })
            }
            Settled::Unwound => {
                let text = "the plugin's future panicked while it was polled";
                let failure = Failure::Code(ErrorCode::Panicked);
                Err(self.fault(call, DriverErrorKind::Panicked, failure, text, false))
            }
        }
    }

    /// The plugin did not answer in time.
    pub(super) fn timed_out(self: &Arc<Self>, call: Call, text: &str) -> DriverError {
        self.fault(call, DriverErrorKind::Timeout, Failure::TimedOut, text, true)
    }

    /// An error that is the plugin's own fault; several in a row suspend the instance and degrade the plugin.
    fn fault(
        self: &Arc<Self>,
        call: Call,
        kind: DriverErrorKind,
        failure: Failure,
        text: &str,
        retryable: bool,
    ) -> DriverError {
        self.counters.failed(call.verb, failure);
        let error = self.error(call, kind, text, retryable);
        self.plugin.faulted(&error.message);
        let reason =
            format!("its last {} calls failed by its own fault, the latest: {}", self.gate.faults_max(), error.message);
        if self.gate.faulted(&reason) && self.offloader.get().is_some() {
            tracing::error!(plugin = self.plugin.label, driver = self.driver, reason, "driver is suspended");
            tokio::spawn(probe(Arc::downgrade(self)));
        }
        error
    }

    fn answered(&self) {
        self.plugin.answered();
        if self.gate.answered() {
            tracing::info!(plugin = self.plugin.label, driver = self.driver, "driver answers again");
        }
    }

    /// The error of a call.
    pub(super) fn error(&self, call: Call, kind: DriverErrorKind, text: &str, retryable: bool) -> DriverError {
        self.plugin.error(&self.driver, call, kind, text, retryable)
    }
}

/// Asks a suspended instance for its health, at pauses that grow, until it answers or nobody has it any more.
async fn probe(calls: Weak<DriverCalls>) {
    while let Some(pause) = calls.upgrade().and_then(|calls| calls.gate.next_pause()) {
        sleep(pause).await;
        let Some(calls) = calls.upgrade() else { return };
        let health = calls.call(Call::of(Verb::Health), |context| calls.offloader().health(context)).await;
        if let Err(error) = health {
            tracing::debug!(plugin = calls.plugin.label, driver = calls.driver, %error, "a suspended driver was probed");
        }
    }
}

/// How a call ended.
pub(super) enum Settled<T> {
    Answer(T),
    Error(FfiError),
    /// The future itself panicked in the plugin; it cannot be polled again.
    Unwound,
}

/// Waits for a call. A panic that async-ffi raises here for one that happened over there ends here too.
pub(super) async fn settled<T>(call: FfiCall<T>) -> Settled<T> {
    match AssertUnwindSafe(call).catch_unwind().await {
        Ok(ROk(value)) => Settled::Answer(value),
        Ok(RErr(error)) => Settled::Error(error),
        Err(_) => Settled::Unwound,
    }
}

fn kind_of(code: ErrorCode) -> DriverErrorKind {
    match code {
        ErrorCode::NotFound => DriverErrorKind::NotFound,
        ErrorCode::Corrupt => DriverErrorKind::Corrupt,
        ErrorCode::Panicked => DriverErrorKind::Panicked,
        ErrorCode::Misbehaved => DriverErrorKind::Misbehaved,
        ErrorCode::Timeout => DriverErrorKind::Timeout,
        ErrorCode::InvalidConfig => DriverErrorKind::InvalidConfig,
        ErrorCode::Unsupported => DriverErrorKind::Unsupported,
        CRASHED | CRASHED_BESIDE => DriverErrorKind::Crashed,
        _ => DriverErrorKind::Failed,
    }
}
