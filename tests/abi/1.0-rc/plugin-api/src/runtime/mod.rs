//! The plugin's side of the boundary: its own tokio runtime, one for each library, and the only implementors of the ABI
//! interfaces.
//!
//! Every operation is a task on the plugin's runtime; what crosses is a future that waits for that task and aborts it when it
//! is dropped. So the host's threads never run an author's code, a plugin that blocks hurts itself alone, and a panic ends
//! in the task and becomes an error. The runtime lives until the host stops the library, or the process ends.
//!
//! One exception is asked for twice, by the host with a flag of the call and by the author for the very read
//! ([`ReadHandle::answers_inline`](crate::read_handle::ReadHandle::answers_inline)): then the operation is polled once in the call
//! itself. What is not ready by then becomes a task as any other, so that nothing is polled on the host's thread twice, nor
//! dropped there half done.
//!
//! `guard` turns panics into errors, `adapter` implements the interfaces over the author's traits, `ledger_source` is
//! the host's ledger as the author sees it, `context` knows which call runs, `log_bridge` carries `tracing` events to the host,
//! `services` keeps what the host offers.

pub(crate) mod adapter;
pub(crate) mod context;
pub(crate) mod guard;
pub(crate) mod ledger_source;
pub(crate) mod log_bridge;
pub(crate) mod services;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};

use abi_stable::std_types::{RErr, ROk};
use async_ffi::FutureExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};
use tracing::{Instrument, Span};

use crate::abi::{FfiCall, FfiCallContext, FfiError, FfiLibraryStats, FfiStartOptions, HostServicesBox, OffloaderBox};
use crate::error::{Error, ErrorCode, Result};
use crate::offloader::Offloader;

/// Worker threads of a plugin's runtime where the host does not say.
pub const WORKERS_DEFAULT: usize = 2;

/// The most worker threads that a host can ask for.
pub const WORKERS_MAX: usize = 64;

/// The most threads for blocking work (file I/O) of a plugin's runtime.
pub const BLOCKING_THREADS_MAX: usize = 64;

/// What the threads are called where the host does not say.
const THREAD_NAME_DEFAULT: &str = "offloader";

static RUNTIME: OnceLock<PluginRuntime> = OnceLock::new();

/// An address that tells one copy of this crate from another: equal on both sides only where the plugin is linked into the
/// host.
pub fn library_marker() -> usize {
    static MARKER: u8 = 0;
    &raw const MARKER as usize
}

/// Where a library's operations run. The host has one for each library that brings none, as those written in C.
#[derive(Debug)]
pub struct PluginRuntime {
    handle: Handle,
    /// `None` once it was stopped.
    runtime: Mutex<Option<Runtime>>,
    stopped: AtomicBool,
    pub(crate) counts: Counts,
}

/// What a library holds and runs.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    threads: Arc<AtomicU64>,
    pub(crate) offloaders: AtomicU64,
    pub(crate) read_handles: AtomicU64,
    calls: AtomicU64,
}

/// One more of something, until it is dropped.
pub(crate) struct Counted(&'static AtomicU64);

impl Counted {
    pub(crate) fn new(count: &'static AtomicU64) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Starts the runtime and connects the log; what was started already stays as it is.
pub(crate) fn start(host: HostServicesBox, options: &FfiStartOptions) -> Result<()> {
    if RUNTIME.get().is_some() {
        return Ok(());
    }
    guard::catch("start", || {
        let runtime = PluginRuntime::new(options)?;
        let services = services::keep(host);
        if options.host_marker != library_marker() {
            log_bridge::install(services);
        }
        // Another thread may have been quicker; then this runtime, which never ran a task, goes again.
        if let Err(unused) = RUNTIME.set(runtime) {
            unused.stop();
        }
        Ok(())
    })
}

/// The call of the host in which this is asked; zeros outside of calls.
pub fn current_call() -> FfiCallContext {
    context::call()
}

/// Runs `body`, on this thread, as part of the host's call `context`.
pub fn in_call<T>(context: FfiCallContext, body: impl FnOnce() -> T) -> T {
    let _call = context::enter(context);
    body()
}

/// The library's runtime.
pub(crate) fn started() -> Result<&'static PluginRuntime> {
    RUNTIME.get().ok_or_else(|| Error::new(ErrorCode::Internal, "the host called the plugin before it was started"))
}

/// What the library holds and runs; zeros before it was started.
pub(crate) fn stats() -> FfiLibraryStats {
    RUNTIME.get().map(PluginRuntime::stats).unwrap_or_default()
}

/// Ends the library's runtime.
pub(crate) fn stop() {
    if let Some(runtime) = RUNTIME.get() {
        runtime.stop();
    }
}

impl PluginRuntime {
    /// A runtime with as many worker threads as the options say, and up to [`BLOCKING_THREADS_MAX`] threads for blocking work when
    /// they are needed.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn new(options: &FfiStartOptions) -> Result<Self> {
        let workers = match options.runtime_workers as usize {
            0 => WORKERS_DEFAULT,
            asked => asked.min(WORKERS_MAX),
        };
        let name = if options.thread_name.is_empty() { THREAD_NAME_DEFAULT } else { options.thread_name.as_str() };
        let counts = Counts::default();
        let (started, stopped) = (Arc::clone(&counts.threads), Arc::clone(&counts.threads));
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name(name)
            .on_thread_start(move || _ = started.fetch_add(1, Ordering::Relaxed))
            .on_thread_stop(move || _ = stopped.fetch_sub(1, Ordering::Relaxed))
            .enable_all()
            .build()
            .map_err(|e| Error::io("start the plugin's runtime", &e))?;
        let handle = runtime.handle().clone();
        Ok(Self { handle, runtime: Mutex::new(Some(runtime)), stopped: AtomicBool::new(false), counts })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Presents an author's offloader, as soon as `make` has made it, as the object that crosses.
    pub fn offloader<O: Offloader>(
        &'static self,
        context: FfiCallContext,
        make: impl Future<Output = Result<O>> + Send + 'static,
    ) -> FfiCall<OffloaderBox> {
        adapter::create(self, context, make)
    }

    /// Ends it for good: tasks end at their next `await`, threads when they come back from blocking work. Returns at once; calls
    /// afterwards answer `Unavailable`.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Release);
        let runtime = self.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(runtime) = runtime {
            runtime.shutdown_background();
        }
    }

    /// What the library holds and runs.
    pub fn stats(&self) -> FfiLibraryStats {
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        FfiLibraryStats {
            runtime_threads: count(&self.counts.threads),
            tasks: self.handle.metrics().num_alive_tasks() as u64,
            offloaders: count(&self.counts.offloaders),
            read_handles: count(&self.counts.read_handles),
            calls: count(&self.counts.calls),
            reserved: [0; 3],
        }
    }

    /// Runs `body` as a task of the plugin and as part of the host's call `context`; the answer crosses. `call` names it in an
    /// error and in the log.
    pub fn call<T, F>(&'static self, call: &'static str, context: FfiCallContext, body: F) -> FfiCall<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if let Err(error) = self.ready() {
            return answered(Err(error));
        }
        self.spawn(call, context, Some(Counted::new(&self.counts.calls)), body)
    }

    /// As [`call`](Self::call), for what waits for the calls that run, and is none of them.
    pub(crate) fn call_aside<T, F>(&'static self, call: &'static str, context: FfiCallContext, body: F) -> FfiCall<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if let Err(error) = self.ready() {
            return answered(Err(error));
        }
        self.spawn(call, context, None, body)
    }

    /// As [`call`](Self::call), but `body` is polled once right here, with the runtime entered; the task is spawned only where
    /// it is not ready by then. A panic of that poll is the answer.
    pub(crate) fn call_inline<T, F>(&'static self, call: &'static str, context: FfiCallContext, body: F) -> FfiCall<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        if let Err(error) = self.ready() {
            return answered(Err(error));
        }
        let mut body = Box::pin(body);
        let polled = {
            let _runtime = self.handle.enter();
            let _call = context::enter(context);
            // Nobody is to be woken: whoever is not ready is polled again by its task.
            guard::catch(call, || Ok(body.as_mut().poll(&mut Context::from_waker(Waker::noop()))))
        };
        match polled {
            Ok(Poll::Pending) => self.spawn(call, context, Some(Counted::new(&self.counts.calls)), body),
            Ok(Poll::Ready(answer)) => {
                guard::drop_quietly(body);
                answered(answer)
            }
            Err(panicked) => {
                guard::drop_quietly(body);
                answered(Err(panicked))
            }
        }
    }

    /// Runs `body` on a thread of the plugin that may block; the answer crosses.
    pub(crate) fn call_blocking<T, F>(&'static self, call: &'static str, context: FfiCallContext, body: F) -> FfiCall<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        if let Err(error) = self.ready() {
            return answered(Err(error));
        }
        let counted = Counted::new(&self.counts.calls);
        let span = span(call, context);
        let body = move || {
            let _counted = counted;
            let _call = context::enter(context);
            span.in_scope(body)
        };
        join(call, self.handle.spawn_blocking(body))
    }

    fn spawn<T, F>(
        &'static self,
        call: &'static str,
        context: FfiCallContext,
        counted: Option<Counted>,
        body: F,
    ) -> FfiCall<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        let body = body.instrument(span(call, context));
        let task = async move {
            let _counted = counted;
            context::within(context, body).await
        };
        join(call, self.handle.spawn(task))
    }

    /// What is done before each call.
    fn ready(&self) -> Result<()> {
        log_bridge::refresh();
        if self.stopped.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Unavailable, "this version of the plugin was stopped"));
        }
        Ok(())
    }
}

/// The span of a call.
fn span(call: &'static str, context: FfiCallContext) -> Span {
    let _call = context::enter(context);
    tracing::info_span!("call", verb = call)
}

/// The future of a call that is over.
fn answered<T: Send + 'static>(answer: Result<T>) -> FfiCall<T> {
    std::future::ready(answer.map_err(FfiError::from).into()).into_ffi()
}

/// Waits for a task, from whatever runtime polls it, and aborts the task when it is dropped.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Future for AbortOnDrop<T> {
    type Output = Result<T, JoinError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(context)
    }
}

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The inert future that crosses for a spawned task. For either side: the host answers `LedgerReader::read` with it.
pub fn join<T: Send + 'static>(call: &'static str, task: JoinHandle<Result<T>>) -> FfiCall<T> {
    let task = AbortOnDrop(task);
    async move {
        match task.await {
            Ok(Ok(answer)) => ROk(answer),
            Ok(Err(error)) => RErr(FfiError::from(error)),
            Err(lost) => RErr(FfiError::from(guard::lost_task(call, lost))),
        }
    }
    .into_ffi()
}
