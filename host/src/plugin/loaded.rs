//! A plugin that serves: its identity, its root module, and the rules under which every call to it runs.
//!
//! A call waits for a permit of its plugin, runs under a deadline, and ends as a value or as a [`DriverError`] that names
//! plugin, driver, call and target. A call that is given up is dropped, which aborts its task inside the plugin.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use abi_stable::std_types::{RErr, ROk};
use futures_util::FutureExt;
use longshore_plugin_api::abi::{FfiCall, FfiError};
use longshore_plugin_api::note::PluginNote;
use longshore_plugin_api::{Error, ErrorCode};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::module::Module;
use super::settings::PluginSettings;
use super::state::Standing;
use crate::storage::{DriverError, DriverErrorKind, DriverOrigin};

/// The longest text of a plugin's error that is kept, in characters.
pub(super) const ERROR_CHARS_MAX: usize = 4096;

/// One library with its limits.
pub(super) struct LoadedPlugin {
    pub(super) note: PluginNote,
    pub(super) file: String,
    pub(super) module: Module,
    pub(super) settings: Arc<PluginSettings>,
    pub(super) standing: Standing,
    permits: Semaphore,
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
    pub(super) fn new(note: PluginNote, file: String, module: Module, settings: Arc<PluginSettings>) -> Self {
        let standing = Standing::new(settings.degraded_after);
        let permits = Semaphore::new(settings.concurrent_calls_max.min(Semaphore::MAX_PERMITS));
        Self { note, file, module, settings, standing, permits }
    }

    /// `name version`.
    pub(super) fn label(&self) -> String {
        format!("{} {}", self.note.name, self.note.version)
    }

    pub(super) fn origin(&self) -> DriverOrigin {
        DriverOrigin { plugin: self.note.name.clone(), version: self.note.version.to_string(), file: self.file.clone() }
    }

    /// Runs one call under `offloadersCallTimeoutMs`, the wait for a permit included.
    pub(super) async fn call<T>(&self, call: Call<'_>, start: impl FnOnce() -> FfiCall<T>) -> Result<T, DriverError> {
        let deadline = Instant::now() + self.settings.call_timeout;
        let _permit = self.permit(call, deadline).await?;
        match timeout_at(deadline, settled(start())).await {
            Ok(answer) => self.judge(call, answer),
            Err(_) => {
                let limit = self.settings.call_timeout.as_millis();
                let text = format!("no answer within offloadersCallTimeoutMs={limit}; the call was given up");
                Err(self.fault(call, DriverErrorKind::Timeout, &text, true))
            }
        }
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
                if matches!(kind, DriverErrorKind::Panicked | DriverErrorKind::Misbehaved) {
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
        ErrorCode::Misbehaved => DriverErrorKind::Misbehaved,
        ErrorCode::Timeout => DriverErrorKind::Timeout,
        ErrorCode::InvalidConfig => DriverErrorKind::InvalidConfig,
        ErrorCode::Unsupported => DriverErrorKind::Unsupported,
        _ => DriverErrorKind::Failed,
    }
}
