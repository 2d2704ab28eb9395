//! The plugins as the admin room sees them, and the looks at their folder: by the clock and by request.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use super::plugin_metrics;
use crate::admin::{MetricFamily, OffloaderReport};
use crate::plugin::{Cause, ChangeKind, PluginHost, Rescan};
use crate::storage::{Clock, DriverOrigin, SystemClock};
use crate::topic::Topics;

/// The running plugins, and whoever keeps copies of theirs open.
pub(super) struct LiveOffloaders {
    plugins: Arc<PluginHost>,
    topics: Arc<Topics>,
    /// Zero is never.
    interval: Duration,
    /// The next look by the clock, milliseconds since 1970; 0 is none.
    next_ms: AtomicU64,
}

impl LiveOffloaders {
    pub(super) fn new(plugins: Arc<PluginHost>, topics: Arc<Topics>, interval: Duration) -> Arc<Self> {
        Arc::new(Self { plugins, topics, interval, next_ms: AtomicU64::new(0) })
    }

    /// Looks at the folder at each interval, until `stop`.
    pub(super) async fn look_by_the_clock(self: Arc<Self>, stop: CancellationToken) {
        if self.interval.is_zero() {
            return;
        }
        let mut ticks = interval_at(Instant::now() + self.interval, self.interval);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let interval_ms = self.interval.as_millis() as u64;
            self.next_ms.store(SystemClock.now_ms() + interval_ms, Ordering::Relaxed);
            if stop.run_until_cancelled(ticks.tick()).await.is_none() {
                return;
            }
            let _ = stop.run_until_cancelled(self.look(Cause::Clock)).await;
        }
    }

    async fn look(&self, cause: Cause) -> Rescan {
        let rescan = self.plugins.rescan(cause).await;
        if rescan.changes.iter().any(|change| change.change == ChangeKind::Retired || change.replaces.is_some()) {
            self.reopen_copies();
        }
        rescan
    }

    /// Copies that a replaced plugin opened would keep it in use for as long as somebody reads them. Reads that run end on
    /// them; the next ones open copies of what is in charge now.
    fn reopen_copies(&self) {
        for topic in self.topics.loaded() {
            topic.ledger().forget_cold_copies();
        }
    }
}

#[async_trait]
impl OffloaderReport for LiveOffloaders {
    fn report(&self) -> serde_json::Value {
        serde_json::to_value(self.plugins.reports()).expect("a report has only text keys")
    }

    fn status(&self) -> serde_json::Value {
        let next_ms = Some(self.next_ms.load(Ordering::Relaxed)).filter(|next_ms| *next_ms > 0);
        let status = self.plugins.status(self.interval.as_secs(), next_ms);
        serde_json::to_value(status).expect("a status has only text keys")
    }

    async fn rescan(&self) -> serde_json::Value {
        serde_json::to_value(self.look(Cause::Operator).await).expect("a rescan has only text keys")
    }

    fn metrics(&self) -> Vec<MetricFamily> {
        plugin_metrics::families(&self.plugins.figures(), &self.plugins.retired())
    }

    fn origin(&self, driver: &str) -> Option<DriverOrigin> {
        self.plugins.origin(driver)
    }

    fn secret_keys(&self) -> BTreeSet<String> {
        self.plugins.secret_keys()
    }
}
