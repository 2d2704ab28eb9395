//! A plugin that serves: its identity, its root module, and the rules under which every call to it runs.
//!
//! A call waits for a permit of its plugin, runs under a deadline, and ends as a value or as a [`DriverError`] that names
//! plugin, driver, call and target. A call that is given up is dropped, which aborts its task inside the plugin.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use abi_stable::std_types::{RErr, ROk};
use futures_util::FutureExt;
use longshore_plugin_api::abi::{FfiCall, FfiCallContext, FfiError, FfiStartOptions, OffloaderModuleRef, Pairs};
use longshore_plugin_api::note::PluginNote;
use longshore_plugin_api::{Error, ErrorCode, runtime};
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::services::services;
use super::settings::PluginSettings;
use super::state::Standing;
use super::threads;
use crate::storage::{DriverError, DriverErrorKind, DriverOrigin};

/// The longest text of a plugin's error that is kept, in characters.
pub(super) const ERROR_CHARS_MAX: usize = 4096;

/// One library with its limits.
pub(super) struct LoadedPlugin {
    pub(super) note: PluginNote,
    pub(super) file: String,
    pub(super) module: OffloaderModuleRef,
    pub(super) settings: Arc<PluginSettings>,
    pub(super) standing: Standing,
    /// See [`threads`].
    thread_name: String,
    permits: Semaphore,
}

/// What a library holds and runs at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryStats {
    /// Threads of the process that the library started and that its author gave no name of their own.
    pub threads: u64,
    /// Threads of its runtime, which come and go with its work.
    pub runtime_threads: u64,
    /// Tasks on its runtime that have not ended.
    pub tasks: u64,
    /// Driver instances that have not been dropped.
    pub offloaders: u64,
    /// Open copies that have not been dropped.
    pub read_handles: u64,
    /// Calls that have not ended inside, those that the host gave up included.
    pub calls: u64,
}

impl LibraryStats {
    /// Threads beside the runtime's: an author's own, which nobody ends.
    pub fn leaked_threads(&self) -> u64 {
        self.threads.saturating_sub(self.runtime_threads)
    }
}

/// Which call on what: the words of an error.
#[derive(Clone, Copy)]
pub(super) struct Call<'a> {
    /// The driver, in the claimed spelling.
    pub(super) driver: &'a str,
    /// Verb and object: `read entries 3..=9 of ledger 5`.
    pub(super) what: &'a str,
}

impl LoadedPlugin {
    /// Starts a library: its runtime and its log.
    ///
    /// # Errors
    /// A sentence with what the library says.
    pub(super) fn start(
        note: PluginNote,
        file: String,
        module: OffloaderModuleRef,
        settings: Arc<PluginSettings>,
    ) -> Result<Self, String> {
        let thread_name = threads::name_for(&note.name);
        let options = FfiStartOptions {
            runtime_workers: settings.runtime_workers,
            reserved: 0,
            host_marker: runtime::library_marker(),
            thread_name: thread_name.as_str().into(),
            extras: Pairs::new(),
        };
        let services = services(&format!("{} {}", note.name, note.version));
        if let RErr(error) = module.start()(services, options) {
            return Err(format!("it could not be started: {}", Error::from(error)));
        }
        let standing = Standing::new(settings.degraded_after);
        let permits = Semaphore::new(settings.concurrent_calls_max.min(Semaphore::MAX_PERMITS));
        Ok(Self { note, file, module, settings, standing, thread_name, permits })
    }

    /// What the library holds and runs at this moment.
    pub(super) fn stats(&self) -> LibraryStats {
        let stats = self.module.stats()();
        LibraryStats {
            threads: threads::count(&self.thread_name),
            runtime_threads: stats.runtime_threads,
            tasks: stats.tasks,
            offloaders: stats.offloaders,
            read_handles: stats.read_handles,
            calls: stats.calls,
        }
    }

    /// `name version`.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.note.name, self.note.version)
    }

    /// Calls that run now.
    pub(super) fn calls_running(&self) -> usize {
        let max = self.settings.concurrent_calls_max.min(Semaphore::MAX_PERMITS);
        max.saturating_sub(self.permits.available_permits())
    }

    pub(super) fn origin(&self) -> DriverOrigin {
        DriverOrigin { plugin: self.note.name.clone(), version: self.note.version.to_string(), file: self.file.clone() }
    }

    /// Runs one call under `offloadersCallTimeoutMs`, the wait for a permit included.
    pub(super) async fn call<T>(
        &self,
        call: Call<'_>,
        start: impl FnOnce(FfiCallContext) -> FfiCall<T>,
    ) -> Result<T, DriverError> {
        let deadline = Instant::now() + self.settings.call_timeout;
        let _permit = self.permit(call, deadline).await?;
        match timeout_at(deadline, settled(start(self.context()))).await {
            Ok(answer) => self.judge(call, answer),
            Err(_) => {
                let limit = self.settings.call_timeout.as_millis();
                let text = format!("no answer within offloadersCallTimeoutMs={limit}; the call was given up");
                Err(self.fault(call, DriverErrorKind::Timeout, &text, true))
            }
        }
    }

    /// What goes along with a call that begins now.
    pub(super) fn context(&self) -> FfiCallContext {
        let timeout_ms = u64::try_from(self.settings.call_timeout.as_millis()).unwrap_or(u64::MAX);
        FfiCallContext { timeout_ms, ..FfiCallContext::default() }
    }

    /// Waits for one of `offloadersConcurrentCallsMax`, until `deadline`.
    pub(super) async fn permit(&self, call: Call<'_>, deadline: Instant) -> Result<SemaphorePermit<'_>, DriverError> {
        if let Ok(Ok(permit)) = timeout_at(deadline, self.permits.acquire()).await {
            return Ok(permit);
        }
        let max = self.settings.concurrent_calls_max;
        let text = format!("did not begin: offloadersConcurrentCallsMax={max} calls of the plugin are running");
        Err(self.busy(call, &text))
    }

    /// The call did not begin, by nobody's fault.
    pub(super) fn busy(&self, call: Call<'_>, text: &str) -> DriverError {
        self.error(call, DriverErrorKind::Timeout, text, true)
    }

    /// Turns an answer into a value or an error, and remembers whose fault it was.
    pub(super) fn judge<T>(&self, call: Call<'_>, answer: Settled<T>) -> Result<T, DriverError> {
        match answer {
            Settled::Answer(value) => {
                self.standing.answered();
                Ok(value)
            }
            Settled::Error(error) => {
                let error = Error::from(error);
                let kind = kind_of(error.code());
                let text = format!("{error} ({})", error.code());
                if kind == DriverErrorKind::Panicked {
                    return Err(self.fault(call, kind, &text, error.is_retryable()));
                }
                self.standing.answered();
                Err(self.error(call, kind, &text, error.is_retryable()))
            }
            Settled::Unwound => {
                let text = "the plugin's future panicked while it was polled";
                Err(self.fault(call, DriverErrorKind::Panicked, text, false))
            }
        }
    }

    /// The plugin broke its contract.
    pub(super) fn misbehaved(&self, call: Call<'_>, text: &str) -> DriverError {
        self.fault(call, DriverErrorKind::Misbehaved, text, false)
    }

    /// An error that is the plugin's own fault; several in a row degrade it.
    pub(super) fn fault(&self, call: Call<'_>, kind: DriverErrorKind, text: &str, retryable: bool) -> DriverError {
        let error = self.error(call, kind, text, retryable);
        if self.standing.faulted(&error.message) {
            tracing::error!(plugin = self.label(), file = self.file, reason = error.message, "plugin is degraded");
        }
        error
    }

    fn error(&self, call: Call<'_>, kind: DriverErrorKind, text: &str, retryable: bool) -> DriverError {
        let text: String = text.chars().take(ERROR_CHARS_MAX).collect();
        DriverError {
            kind,
            driver: call.driver.to_owned(),
            plugin: self.label(),
            message: format!("{}: {text}", call.what),
            retryable,
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
        ErrorCode::Timeout => DriverErrorKind::Timeout,
        ErrorCode::InvalidConfig => DriverErrorKind::InvalidConfig,
        ErrorCode::Unsupported => DriverErrorKind::Unsupported,
        _ => DriverErrorKind::Failed,
    }
}
