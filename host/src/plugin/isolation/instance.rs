//! One driver with one configuration in a process of its own, across the lives of that process.
//!
//! The process is started by the call that needs it, and started again by the next call after it crashed, when
//! [`Restarts`] allows. A call never waits for a pause: it fails at once with an error that names the crash and may be retried.
//! A process that is started again makes the driver again, from the same configuration.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use longshore_plugin_api::{Error, ErrorCode, Retry};
use serde::{Deserialize, Serialize};

use super::frame::Kind;
use super::message::{Config, Context, Pairs};
use super::process::Plan;
use super::restarts::{Restarts, Verdict};
use super::session::{End, Session};
use super::{CRASHED, CRASHED_BESIDE};

/// What is remembered of a driver and a configuration whatever becomes of its instance: a configuration that crashes its process
/// is no better for being asked for again.
pub(super) struct Record {
    pub(super) driver: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    restarts: Restarts,
    /// Processes that were started.
    starts: u64,
    /// The latest of them.
    session: Weak<Session>,
}

/// A driver's process, as users see it. The JSON form is stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessReport {
    /// The driver.
    pub driver: String,
    /// Its process; null where none runs.
    pub pid: Option<u32>,
    /// Memory of it that is resident, in bytes; null where it is unknown.
    pub resident_bytes: Option<u64>,
    /// Its threads, those of its own frame included; null where it is unknown.
    pub threads: Option<u64>,
    /// Processes that were started so far.
    pub starts: u64,
    /// Crashes so far.
    pub crashes: u64,
    /// How the latest crash was; null where there was none.
    pub last_crash: Option<String>,
}

/// The number behind `name` in the system's account of a process.
///
/// Source: proc(5), `/proc/pid/status`.
fn number_in(status: &str, name: &str) -> Option<u64> {
    status.lines().find_map(|line| line.strip_prefix(name))?.split_whitespace().next()?.parse().ok()
}

impl Record {
    pub(super) fn new(driver: &str) -> Self {
        Self { driver: driver.to_owned(), state: Mutex::default() }
    }

    pub(super) fn report(&self) -> ProcessReport {
        let state = self.state();
        let (crashes, latest) = state.restarts.history();
        let pid = state.session.upgrade().filter(|session| !session.has_ended()).map(|session| session.pid);
        let status =
            pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok()).unwrap_or_default();
        ProcessReport {
            driver: self.driver.clone(),
            pid,
            resident_bytes: number_in(&status, "VmRSS:").map(|kib| kib * 1024),
            threads: number_in(&status, "Threads:"),
            starts: state.starts,
            crashes,
            last_crash: (crashes > 0).then(|| latest.to_owned()),
        }
    }

    fn crashed(&self, plan: &Plan, cause: &str) {
        let mut state = self.state();
        state.restarts.crashed(Instant::now(), cause, &plan.settings.isolation);
        let (count, _) = state.restarts.history();
        drop(state);
        tracing::error!(plugin = plan.label, driver = self.driver, cause, count, "a driver's process crashed");
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// See the module.
pub(super) struct Instance {
    plan: Arc<Plan>,
    record: Arc<Record>,
    current: Mutex<Option<Arc<Session>>>,
    /// Held while a process is started, so that one is.
    starting: tokio::sync::Mutex<()>,
    /// What the driver was made with, once it was.
    config: OnceLock<Config>,
    shut_down: OnceLock<()>,
}

impl Instance {
    pub(super) fn new(plan: Arc<Plan>, record: Arc<Record>) -> Self {
        Self {
            plan,
            record,
            current: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            config: OnceLock::new(),
            shut_down: OnceLock::new(),
        }
    }

    /// From now on a process that is started again makes the driver with `config`.
    pub(super) fn created(&self, config: Config) {
        // One instance makes one driver.
        let _ = self.config.set(config);
    }

    /// The process, started if need be.
    ///
    /// # Errors
    /// `Crashed` where it may not be started yet, or ends while it starts; what its library, or the driver's factory, says.
    pub(super) async fn session(self: &Arc<Self>) -> Result<Arc<Session>, Error> {
        if let Some(session) = self.running() {
            session.refresh_log_level();
            return Ok(session);
        }
        // Whoever gives up waiting does not end the start: the next caller will want it.
        let this = Arc::clone(self);
        let started = tokio::spawn(async move { this.start().await }).await;
        started.unwrap_or_else(|error| {
            Err(Error::new(ErrorCode::Internal, "start a process for the driver").with_source(&error))
        })
    }

    /// Lets the driver finish and ends its process; see [`Session::stop`]. It is not started again.
    pub(super) async fn shut_down(&self, deadline: Duration) -> Option<u64> {
        let _ = self.shut_down.set(());
        let session = self.current().take();
        match session {
            Some(session) if !session.has_ended() => session.stop(deadline).await,
            _ => Some(0),
        }
    }

    fn running(&self) -> Option<Arc<Session>> {
        self.current().as_ref().filter(|session| !session.has_ended()).cloned()
    }

    async fn start(self: &Arc<Self>) -> Result<Arc<Session>, Error> {
        let _one = self.starting.lock().await;
        if let Some(session) = self.running() {
            return Ok(session);
        }
        if self.shut_down.get().is_some() {
            return Err(Error::new(ErrorCode::Unavailable, "the driver was shut down"));
        }
        let verdict = self.record.state().restarts.verdict(Instant::now(), &self.plan.settings.isolation);
        if let Verdict::Wait { why, .. } = verdict {
            return Err(Error::new(CRASHED, why).with_retry(Retry::Later));
        }
        let (plan, record, this) = (Arc::clone(&self.plan), Arc::clone(&self.record), Arc::downgrade(self));
        let on_end = move |end: &End, pid: u32| {
            // What a session holds, a descriptor among it, is not kept until somebody calls again.
            let ended = this.upgrade().and_then(|instance| instance.current().take_if(|session| session.pid == pid));
            drop(ended);
            match end {
                End::Ordered => {
                    tracing::debug!(plugin = plan.label, driver = record.driver, "a driver's process ended")
                }
                End::Crashed(cause) => record.crashed(&plan, cause),
            }
        };
        let session = Session::start(&self.plan, &self.record.driver, on_end).await.inspect_err(|error| {
            // What crashed has been noted.
            if ![CRASHED, CRASHED_BESIDE].contains(&error.code()) {
                self.record.crashed(&self.plan, &error.to_string());
            }
        })?;
        if let Some(config) = self.config.get() {
            session.link.call(Kind::Create, &Context::default(), config).message::<Pairs>().await?;
        }
        let starts = {
            let mut state = self.record.state();
            state.starts += 1;
            state.session = Arc::downgrade(&session);
            state.starts
        };
        tracing::info!(
            plugin = self.plan.label,
            driver = self.record.driver,
            pid = session.pid,
            starts,
            "driver in a process"
        );
        *self.current() = Some(Arc::clone(&session));
        Ok(session)
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Session>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
