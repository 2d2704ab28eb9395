//! What the broker does by the clock and by itself: ticks of managed ledgers, trims, rates, automatic offloads, expiry of
//! messages and subscriptions, quotas of backlogs, deletion of topics that nobody uses. Each is a loop that ends with the broker.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at};
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::managed_ledger::ManagedLedgers;
use crate::namespace::Namespaces;
use crate::offload::Offloads;
use crate::topic::Topics;
use crate::topic::names::TopicName;

/// Time between two looks at each managed ledger: age and idleness of its open ledger, moved cursors, old cache entries.
const TICK: Duration = Duration::from_secs(1);

pub(super) struct Periodic {
    pub(super) topics: Arc<Topics>,
    pub(super) offloads: Arc<Offloads>,
    pub(super) managed: Arc<ManagedLedgers>,
    pub(super) namespaces: Arc<Namespaces>,
}

impl Periodic {
    pub(super) fn start(
        self,
        config: &Config,
        closed_ledgers: UnboundedReceiver<String>,
        stop: &CancellationToken,
        tasks: &mut JoinSet<()>,
    ) {
        let this = Arc::new(self);
        let seconds = Duration::from_secs;
        tasks.spawn(every(TICK, stop.clone(), this.clone(), |this| async move { this.tick().await }));
        let trim = seconds(config.retention_check_seconds);
        tasks.spawn(every(trim, stop.clone(), this.clone(), |this| async move { this.trim().await }));
        let rates = seconds(config.ledger_stats_seconds);
        tasks.spawn(this.clone().rates(rates, stop.clone()));
        let ttl = seconds(config.message_expiry_check_minutes * 60);
        tasks.spawn(every(ttl, stop.clone(), this.clone(), |this| async move { this.expire_messages().await }));
        if config.backlog_quota_check {
            let quotas = seconds(config.backlog_quota_check_seconds);
            tasks.spawn(every(quotas, stop.clone(), this.clone(), |this| async move { this.keep_quotas().await }));
        }
        let expiry = seconds(config.subscription_expiry_check_minutes * 60);
        tasks.spawn(every(expiry, stop.clone(), this.clone(), |this| async move { this.expire_subscriptions().await }));
        // A namespace may ask for it where the broker does not.
        let inactive = seconds(config.delete_inactive_topics_check_seconds);
        tasks.spawn(every(inactive, stop.clone(), this.clone(), |this| async move { this.delete_inactive().await }));
        tasks.spawn(this.clone().offload_closed(closed_ledgers, stop.clone()));
        tasks.spawn(this.finish_removals(stop.clone()));
    }

    async fn tick(&self) {
        for topic in self.topics.loaded() {
            topic.tick().await;
        }
    }

    async fn trim(&self) {
        for topic in self.topics.loaded() {
            topic.ledger().ask_trim();
        }
    }

    async fn rates(self: Arc<Self>, period: Duration, stop: CancellationToken) {
        let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = Instant::now();
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let elapsed = last.elapsed();
            last = Instant::now();
            self.topics.tick_rates(elapsed);
            self.managed.tick_figures(elapsed);
        }
    }

    /// A closed ledger may push older ones over a threshold.
    async fn offload_closed(self: Arc<Self>, mut closed: UnboundedReceiver<String>, stop: CancellationToken) {
        while let Some(Some(name)) = stop.run_until_cancelled(closed.recv()).await {
            let topic = TopicName::from_managed_ledger(&name).and_then(|name| self.topics.get(&name));
            if let Some(topic) = topic {
                let offloads = self.offloads.clone();
                // A run may take long; calls while one waits are one.
                tokio::spawn(async move { offloads.check(topic.ledger()).await });
            }
        }
    }

    /// Cold copies whose removal a crash interrupted; a dead store must not hold up the start.
    async fn finish_removals(self: Arc<Self>, stop: CancellationToken) {
        let settings = self.namespaces.defaults().driver_settings();
        if let Some(Err(error)) = stop.run_until_cancelled(self.managed.finish_removals(&settings)).await {
            tracing::warn!(%error, "removals of an earlier run were not finished; the next start tries again");
        }
    }

    async fn expire_messages(&self) {
        for topic in self.topics.loaded() {
            topic.expire_messages().await;
        }
    }

    async fn keep_quotas(&self) {
        for topic in self.topics.loaded() {
            topic.keep_backlog_quotas().await;
        }
    }

    async fn expire_subscriptions(&self) {
        for topic in self.topics.loaded() {
            topic.expire_subscriptions().await;
        }
    }

    /// Deletes topics that their terms give up, never under a running offload.
    async fn delete_inactive(&self) {
        for topic in self.topics.loaded() {
            let is_unused = topic.is_abandoned() && !self.offloads.is_running(topic.ledger());
            if is_unused && let Err(error) = self.topics.delete_abandoned(topic.name()).await {
                tracing::debug!(topic = %topic.name(), %error, "an unused topic was not deleted");
            }
        }
    }
}

async fn every<F: Future<Output = ()> + Send>(
    period: Duration,
    stop: CancellationToken,
    periodic: Arc<Periodic>,
    act: impl Fn(Arc<Periodic>) -> F + Send,
) {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        act(periodic.clone()).await;
    }
}
