//! The plugin's side of the boundary: its own tokio runtime, one for each library, and the only implementors of the ABI
//! interfaces.
//!
//! Every operation is a task on the plugin's runtime; what crosses is a future that waits for that task and aborts it when it
//! is dropped. So the host's threads never run an author's code, a plugin that blocks hurts itself alone, and a panic ends
//! in the task and becomes an error. The runtime lives until the process ends, as the library does.
//!
//! `guard` turns panics into errors, `adapter` implements the interfaces over the author's traits, `ledger_source` is
//! the host's ledger as the author sees it, `log_bridge` carries `tracing` events to the host.

pub(crate) mod adapter;
pub(crate) mod guard;
pub(crate) mod ledger_source;
pub(crate) mod log_bridge;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll};

use abi_stable::std_types::{RErr, ROk};
use async_ffi::FutureExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::{JoinError, JoinHandle};

use crate::abi::{FfiCall, FfiError, FfiStartOptions, HostServicesBox, OffloaderBox};
use crate::error::{Error, ErrorCode, Result};
use crate::offloader::Offloader;

/// Worker threads of a plugin's runtime where the host does not say.
pub const WORKERS_DEFAULT: usize = 2;

/// The most worker threads that a host can ask for.
pub const WORKERS_MAX: usize = 64;

/// The most threads for blocking work (file I/O) of a plugin's runtime.
pub const BLOCKING_THREADS_MAX: usize = 64;

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
    runtime: Runtime,
}

/// Starts the runtime and connects the log; what was started already stays as it is.
pub(crate) fn start(host: HostServicesBox, options: &FfiStartOptions) -> Result<()> {
    if RUNTIME.get().is_some() {
        return Ok(());
    }
    guard::catch("start", || {
        let workers = match options.runtime_workers as usize {
            0 => WORKERS_DEFAULT,
            asked => asked.min(WORKERS_MAX),
        };
        let runtime = PluginRuntime::new(workers)?;
        if options.host_marker != library_marker() {
            log_bridge::install(host);
        }
        // Another thread may have been quicker; then this runtime, which never ran a task, goes again.
        if let Err(unused) = RUNTIME.set(runtime) {
            unused.runtime.shutdown_background();
        }
        Ok(())
    })
}

/// The library's runtime.
pub(crate) fn started() -> Result<&'static PluginRuntime> {
    RUNTIME.get().ok_or_else(|| Error::new(ErrorCode::Internal, "the host called the plugin before it was started"))
}

impl PluginRuntime {
    /// A runtime with so many worker threads, and up to [`BLOCKING_THREADS_MAX`] threads for blocking work when they are needed.
    ///
    /// # Errors
    /// Where the system gives no threads.
    pub fn new(workers: usize) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(workers)
            .max_blocking_threads(BLOCKING_THREADS_MAX)
            .thread_name("offloader")
            .enable_all()
            .build()
            .map_err(|e| Error::io("start the plugin's runtime", &e))?;
        Ok(Self { runtime })
    }

    /// Where to spawn.
    pub fn handle(&self) -> &Handle {
        self.runtime.handle()
    }

    /// Presents an author's offloader, as soon as `make` has made it, as the object that crosses.
    pub fn offloader<O: Offloader>(
        &'static self,
        make: impl Future<Output = Result<O>> + Send + 'static,
    ) -> FfiCall<OffloaderBox> {
        adapter::create(self, make)
    }

    /// Runs `body` as a task of the plugin; the answer crosses. `call` names it in an error.
    pub fn call<T, F>(&self, call: &'static str, body: F) -> FfiCall<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T>> + Send + 'static,
    {
        join(call, self.runtime.spawn(body))
    }

    /// Runs `body` on a thread of the plugin that may block; the answer crosses.
    pub(crate) fn call_blocking<T, F>(&self, call: &'static str, body: F) -> FfiCall<T>
    where
        T: Send + 'static,
        F: FnOnce() -> Result<T> + Send + 'static,
    {
        join(call, self.runtime.spawn_blocking(body))
    }
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
