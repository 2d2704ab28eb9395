//! Figures of loaded topics and their subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::{Family, namespace, subscription as of_subscription, topic as of_topic};
use super::detail::Detail;
use super::text::{Exposition, Labels};
use crate::admin::model::stats::{backlog_bytes, offloaded_bytes};
use crate::managed_ledger::figures::LedgerFigures;
use crate::managed_ledger::{ManagedLedger, Snapshot};
use crate::measure::Spread;
use crate::topic::Topic;
use crate::topic::stats::{SubscriptionStats, TopicStats};
use crate::topic::terms::BacklogQuotas;

type Value = (&'static Family, f64);

/// What a bound is shown as that nobody set.
const NO_LIMIT: f64 = -1.0;

/// Families whose values over several topics are not the sum of them: a mean, an age, bounds.
const NOT_SUMS: [&str; 4] =
    [of_topic::MESSAGE_SIZE.name, of_topic::BACKLOG_AGE.name, of_topic::QUOTA.name, of_topic::QUOTA_TIME.name];

/// A namespace's topics together.
#[derive(Default)]
struct Namespace {
    topic_count: u64,
    /// By name; empty where topics have series of their own.
    sums: BTreeMap<&'static str, Value>,
}

/// All loaded topics.
pub(super) fn add(out: &mut Exposition, cluster: &Labels, detail: Detail, loaded: &[Arc<Topic>], now_ms: u64) {
    let mut namespaces: BTreeMap<String, Namespace> = BTreeMap::new();
    for topic in loaded {
        let namespace = namespaces.entry(topic.name().namespace().to_string()).or_default();
        namespace.topic_count += 1;
        let (stats, snapshot, backlog) = (topic.stats(), topic.ledger().snapshot(), topic.terms().backlog);
        let scene = Scene { stats, snapshot, backlog, ledger: topic.ledger(), now_ms };
        match detail.labels(cluster, topic.name()) {
            Some(labels) => add_topic(out, &labels, &scene),
            None => namespace.take_in(&scene),
        }
    }
    for (name, found) in namespaces {
        let labels = cluster.with("namespace", &name);
        out.sample(&namespace::TOPICS, &labels, found.topic_count as f64);
        found.sums.values().for_each(|(family, value)| out.sample(family, &labels, *value));
    }
}

impl Namespace {
    fn take_in(&mut self, scene: &Scene) {
        let out = scene.stats.subscriptions.values().flat_map(sent);
        let all = scene.topic_values().into_iter().chain(out);
        for (family, value) in all.filter(|(family, _)| !NOT_SUMS.contains(&family.name)) {
            self.sums.entry(family.name).or_insert((family, 0.0)).1 += value;
        }
    }
}

/// A topic at one moment.
struct Scene<'a> {
    stats: TopicStats,
    snapshot: Snapshot,
    backlog: BacklogQuotas,
    ledger: &'a ManagedLedger,
    now_ms: u64,
}

fn add_topic(out: &mut Exposition, labels: &Labels, scene: &Scene) {
    for (family, value) in scene.topic_values() {
        out.sample(family, labels, value);
    }
    for (quota, count) in [("size", scene.stats.evicted_by_size), ("time", scene.stats.evicted_by_age)] {
        out.sample(&of_topic::EVICTIONS, &labels.with("quota_type", quota), count as f64);
    }
    for (name, subscription) in &scene.stats.subscriptions {
        let labels = labels.with("subscription", name);
        for (family, value) in scene.subscription_values(name, subscription).into_iter().chain(sent(subscription)) {
            out.sample(family, &labels, value);
        }
    }
}

impl Scene<'_> {
    fn topic_values(&self) -> Vec<Value> {
        let (stats, snapshot) = (&self.stats, &self.snapshot);
        let durable = || stats.subscriptions.values().filter(|subscription| subscription.durable);
        let slowest = durable().map(|subscription| subscription.backlog_entries).max().unwrap_or(0);
        let consumers: usize = stats.subscriptions.values().map(|subscription| subscription.consumers.len()).sum();
        let backlog: u64 = durable().map(|subscription| subscription.backlog_entries).sum();
        let mut values: Vec<Value> = vec![
            (&of_topic::SUBSCRIPTIONS, stats.subscriptions.len() as f64),
            (&of_topic::PRODUCERS, stats.producers.len() as f64),
            (&of_topic::CONSUMERS, consumers as f64),
            (&of_topic::RATE_IN, stats.traffic_in.messages_per_s),
            (&of_topic::RATE_OUT, stats.traffic_out.messages_per_s),
            (&of_topic::THROUGHPUT_IN, stats.traffic_in.bytes_per_s),
            (&of_topic::THROUGHPUT_OUT, stats.traffic_out.bytes_per_s),
            (&of_topic::MESSAGE_SIZE, stats.traffic_in.message_size()),
            (&of_topic::IN_MESSAGES, stats.traffic_in.messages as f64),
            (&of_topic::IN_BYTES, stats.traffic_in.bytes as f64),
            (&of_topic::BACKLOG, backlog as f64),
            (&of_topic::STORAGE_SIZE, snapshot.size_bytes as f64),
            (&of_topic::LOGICAL_SIZE, snapshot.size_bytes as f64),
            (&of_topic::OFFLOADED_SIZE, offloaded_bytes(snapshot) as f64),
            (&of_topic::BACKLOG_SIZE, backlog_bytes(self.ledger, snapshot, slowest) as f64),
            (&of_topic::BACKLOG_AGE, self.backlog_age_s(slowest)),
            (&of_topic::QUOTA, self.backlog.bytes.map_or(NO_LIMIT, |quota| quota.limit as f64)),
            (&of_topic::QUOTA_TIME, self.backlog.age.map_or(NO_LIMIT, |quota| quota.limit.as_secs_f64())),
        ];
        values.extend(written(&self.ledger.figures()));
        values
    }

    /// How long the ledger with the oldest unacknowledged entry has been closed, in seconds; -1 where that is not known.
    fn backlog_age_s(&self, slowest_backlog: u64) -> f64 {
        let oldest = self.ledger.cursors().iter().filter(|cursor| cursor.is_durable()).map(|c| c.first_unacked()).min();
        let oldest = oldest.filter(|_| slowest_backlog > 0).map(|position| self.ledger.valid_from(position));
        let ledger = oldest.and_then(|position| self.snapshot.ledgers.by_id.get(&position.ledger_id));
        let closed_ms = ledger.and_then(|info| info.closed_ms);
        closed_ms.map_or(-1.0, |closed_ms| (self.now_ms.saturating_sub(closed_ms) / 1000) as f64)
    }

    fn subscription_values(&self, name: &str, subscription: &SubscriptionStats) -> Vec<Value> {
        let due = subscription.backlog_entries.saturating_sub(subscription.delayed_entries);
        let bytes = backlog_bytes(self.ledger, &self.snapshot, subscription.backlog_entries);
        let moved_ms = self.ledger.cursor(name).map_or(0, |cursor| cursor.snapshot().moved_ms);
        vec![
            (&of_subscription::BACKLOG, subscription.backlog_entries as f64),
            (&of_subscription::BACKLOG_DUE, due as f64),
            (&of_subscription::BACKLOG_SIZE, bytes as f64),
            (&of_subscription::DELAYED, subscription.delayed_entries as f64),
            (&of_subscription::IN_REPLAY, subscription.replay_entries as f64),
            (&of_subscription::UNACKED, subscription.unacked_messages as f64),
            (&of_subscription::BLOCKED, f64::from(subscription.blocked_on_unacked)),
            (&of_subscription::CONSUMERS, subscription.consumers.len() as f64),
            (&of_subscription::RATE_OUT, subscription.traffic_out.messages_per_s),
            (&of_subscription::THROUGHPUT_OUT, subscription.traffic_out.bytes_per_s),
            (&of_subscription::RATE_REDELIVER, subscription.redelivered.messages_per_s),
            (&of_subscription::RATE_ACK, subscription.acknowledged.messages_per_s),
            (&of_subscription::RATE_EXPIRED, subscription.expired.messages_per_s),
            (&of_subscription::EXPIRED, subscription.expired.messages as f64),
            (&of_subscription::LAST_EXPIRED, subscription.last_expired_ms as f64),
            (&of_subscription::LAST_FLOW, subscription.last_flow_ms as f64),
            (&of_subscription::LAST_CONSUMED, subscription.last_consumed_ms as f64),
            (&of_subscription::LAST_ACKED, subscription.last_acked_ms as f64),
            (&of_subscription::LAST_MOVED, moved_ms as f64),
        ]
    }
}

/// The counters of a subscription, which a namespace's series add up.
fn sent(subscription: &SubscriptionStats) -> [Value; 2] {
    let traffic = &subscription.traffic_out;
    [(&of_subscription::OUT_MESSAGES, traffic.messages as f64), (&of_subscription::OUT_BYTES, traffic.bytes as f64)]
}

/// What the managed ledger counted in the last period.
fn written(figures: &LedgerFigures) -> impl Iterator<Item = Value> {
    let rates = [
        (&of_topic::WRITE_RATE, figures.added_entries_per_s),
        (&of_topic::READ_RATE, figures.read_entries_per_s),
        (&of_topic::MISSES_RATE, figures.missed_entries_per_s),
    ];
    rates
        .into_iter()
        .chain(spread(&of_topic::WRITE_LATENCY, figures.append_latency))
        .chain(spread(&of_topic::STORE_LATENCY, figures.store_latency))
        .chain(spread(&of_topic::ENTRY_SIZE, figures.entry_size))
}

/// The families of a spread stand in this order: within each bound, beyond them, count, sum.
fn spread<const N: usize>(families: &'static [Family], spread: Spread<N>) -> impl Iterator<Item = Value> {
    let values = spread.within.into_iter().chain([spread.beyond, spread.count(), spread.sum]);
    families.iter().zip(values.map(|value| value as f64))
}
