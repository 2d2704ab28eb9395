//! One library that was put in charge, and its way out: it serves, then it drains, then it is retired.
//!
//! A generation keeps the only share of its [`LoadedPlugin`] that means nothing. Every other share is an instance, kept or in
//! the making, and an instance is shared by its callers and its open copies. So counting shares is counting users
//! ([`Instances::user_count`]), and nobody has to report in or out. Whoever keeps a share for another purpose must keep a
//! `Weak` one.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::instances::Instances;
use super::loaded::LoadedPlugin;
use super::look::Content;

/// Time between two looks at the users of a generation that drains.
const LOOK: Duration = Duration::from_millis(20);
/// The same after the deadline.
const LATE_LOOK: Duration = Duration::from_secs(1);
/// How long a driver of a generation without users may take to shut down.
const SHUTDOWN: Duration = Duration::from_secs(10);

/// A library in the order in which libraries were put in charge.
pub(super) struct Generation {
    /// 1 is the first of this host; never used twice.
    pub(super) number: u64,
    /// The bytes that run.
    pub(super) content: Content,
    /// When it was loaded, milliseconds since 1970.
    pub(super) loaded_ms: u64,
    plugin: Arc<LoadedPlugin>,
    phase: Mutex<Phase>,
}

/// Where a generation stands. The moves go down the list only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// New calls go to it.
    Serving,
    /// New calls go elsewhere; what began with it is not over.
    Draining {
        /// Milliseconds since 1970.
        since_ms: u64,
        /// What took over, or why nothing had to.
        why: String,
    },
    /// It is out of charge for good.
    Retired {
        /// Milliseconds since 1970.
        since_ms: u64,
        /// What took over, or why nothing had to.
        why: String,
        /// Users that were left at the deadline and have not gone since.
        left_count: usize,
    },
}

impl Generation {
    pub(super) fn new(number: u64, content: Content, plugin: LoadedPlugin, now_ms: u64) -> Self {
        let phase = Mutex::new(Phase::Serving);
        Self { number, content, loaded_ms: now_ms, plugin: Arc::new(plugin), phase }
    }

    /// For questions; no user.
    pub(super) fn plugin(&self) -> &LoadedPlugin {
        &self.plugin
    }

    /// A user's share.
    pub(super) fn share(&self) -> Arc<LoadedPlugin> {
        Arc::clone(&self.plugin)
    }

    /// Shares beside its own: instances, kept or in the making.
    pub(super) fn share_count(&self) -> usize {
        Arc::strong_count(&self.plugin) - 1
    }

    pub(super) fn phase(&self) -> Phase {
        self.phase.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it went and nobody is left.
    pub(super) fn is_over(&self) -> bool {
        matches!(self.phase(), Phase::Retired { left_count: 0, .. })
    }

    /// Takes it out of charge, once.
    pub(super) fn relieve(&self, why: &str, now_ms: u64) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        if *phase == Phase::Serving {
            *phase = Phase::Draining { since_ms: now_ms, why: why.to_owned() };
        }
    }

    fn retire(&self, left_count: usize, now_ms: u64) {
        let mut phase = self.phase.lock().unwrap_or_else(PoisonError::into_inner);
        let (since_ms, why) = match &*phase {
            Phase::Serving => return,
            Phase::Draining { why, .. } => (now_ms, why.clone()),
            Phase::Retired { since_ms, why, .. } => (*since_ms, why.clone()),
        };
        *phase = Phase::Retired { since_ms, why, left_count };
    }

    /// `file (name version)`.
    pub(super) fn label(&self) -> String {
        format!("{} ({})", self.plugin.file, self.plugin.label())
    }
}

/// Waits for the users of a generation that was relieved, then shuts its drivers down. At the deadline it says who is left and
/// counts it as retired; it waits on, so that nothing is shut down under its user.
pub(super) async fn drain(
    generation: Arc<Generation>,
    instances: Arc<Instances>,
    deadline: Duration,
    now_ms: impl Fn() -> u64,
) {
    let ends = Instant::now() + deadline;
    loop {
        let left_count = instances.user_count(&generation);
        if left_count == 0 {
            break;
        }
        let late = Instant::now() >= ends;
        if late && matches!(generation.phase(), Phase::Draining { .. }) {
            tracing::warn!(
                plugin = generation.plugin.label(),
                generation = generation.number,
                calls = generation.plugin.calls_running(),
                users = left_count,
                deadline_ms = deadline.as_millis() as u64,
                "a replaced plugin is still in use at its drain deadline; it goes on until its users end"
            );
        }
        if late {
            generation.retire(left_count, now_ms());
        }
        sleep(if late { LATE_LOOK } else { LOOK }).await;
    }
    instances.shutdown_of(&generation, SHUTDOWN).await;
    generation.retire(0, now_ms());
    tracing::info!(
        plugin = generation.plugin.label(),
        file = generation.plugin.file,
        generation = generation.number,
        "a replaced plugin has drained"
    );
}
