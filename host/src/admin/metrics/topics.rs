//! Figures of loaded topics and their subscriptions.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::text::{Exposition, Kind, Labels};
use crate::admin::model::stats::{backlog_bytes, offloaded_bytes};
use crate::managed_ledger::{ManagedLedger, Snapshot};
use crate::topic::Topic;
use crate::topic::stats::{SubscriptionStats, TopicStats};

/// Sums over the loaded topics of a namespace.
#[derive(Default)]
struct Namespace {
    topic_count: u64,
    stored_bytes: u64,
    backlog_entries: u64,
}

/// All loaded topics.
pub(super) fn add(out: &mut Exposition, cluster: &Labels, loaded: &[Arc<Topic>]) {
    let mut namespaces: BTreeMap<String, Namespace> = BTreeMap::new();
    for topic in loaded {
        let namespace = topic.name().namespace().to_string();
        let labels = cluster.with("namespace", &namespace).with("topic", &topic.name().to_string());
        add_topic(out, &labels, topic, namespaces.entry(namespace).or_default());
    }
    for (namespace, sum) in namespaces {
        let labels = cluster.with("namespace", &namespace);
        out.sample("pulsar_topics_count", Kind::Gauge, &labels, sum.topic_count as f64);
        let labels = cluster.with("namespace", &format!("{namespace}/persistent"));
        out.sample("pulsar_ml_StoredMessagesSize", Kind::Gauge, &labels, sum.stored_bytes as f64);
        out.sample("pulsar_ml_NumberOfMessagesInBacklog", Kind::Gauge, &labels, sum.backlog_entries as f64);
    }
}

fn add_topic(out: &mut Exposition, labels: &Labels, topic: &Topic, sum: &mut Namespace) {
    let (stats, snapshot) = (topic.stats(), topic.ledger().snapshot());
    let durable = || stats.subscriptions.values().filter(|subscription| subscription.durable);
    let slowest = durable().map(|subscription| subscription.backlog_entries).max().unwrap_or(0);
    let consumers: usize = stats.subscriptions.values().map(|subscription| subscription.consumers.len()).sum();
    let backlog: u64 = durable().map(|subscription| subscription.backlog_entries).sum();
    sum.topic_count += 1;
    sum.stored_bytes += snapshot.size_bytes;
    sum.backlog_entries += backlog;
    let gauges = [
        ("pulsar_subscriptions_count", stats.subscriptions.len() as f64),
        ("pulsar_producers_count", stats.producers.len() as f64),
        ("pulsar_consumers_count", consumers as f64),
        ("pulsar_rate_in", stats.traffic_in.messages_per_s),
        ("pulsar_rate_out", stats.traffic_out.messages_per_s),
        ("pulsar_throughput_in", stats.traffic_in.bytes_per_s),
        ("pulsar_throughput_out", stats.traffic_out.bytes_per_s),
        ("pulsar_average_msg_size", stats.traffic_in.message_size()),
        ("pulsar_storage_size", snapshot.size_bytes as f64),
        ("pulsar_storage_logical_size", snapshot.size_bytes as f64),
        ("pulsar_storage_offloaded_size", offloaded_bytes(&snapshot) as f64),
        ("pulsar_storage_backlog_size", backlog_bytes(topic.ledger(), &snapshot, slowest) as f64),
        ("pulsar_storage_backlog_quota_limit", -1.0),
        ("pulsar_msg_backlog", backlog as f64),
    ];
    for (name, value) in gauges {
        out.sample(name, Kind::Gauge, labels, value);
    }
    // Counters whose names end in _total already: the original's own lines have no bare name.
    out.sample("pulsar_in_messages_total", Kind::Counter, labels, stats.traffic_in.messages as f64);
    out.sample("pulsar_in_bytes_total", Kind::Counter, labels, stats.traffic_in.bytes as f64);
    add_subscriptions(out, labels, topic.ledger(), &snapshot, &stats);
}

fn add_subscriptions(
    out: &mut Exposition,
    topic: &Labels,
    ledger: &ManagedLedger,
    snapshot: &Snapshot,
    stats: &TopicStats,
) {
    for (name, subscription) in &stats.subscriptions {
        let labels = topic.with("subscription", name);
        for (name, value) in subscription_gauges(subscription) {
            out.sample(name, Kind::Gauge, &labels, value);
        }
        let bytes = backlog_bytes(ledger, snapshot, subscription.backlog_entries);
        out.sample("pulsar_subscription_back_log_size", Kind::Gauge, &labels, bytes as f64);
        out.sample("pulsar_out_messages_total", Kind::Counter, &labels, subscription.traffic_out.messages as f64);
        out.sample("pulsar_out_bytes_total", Kind::Counter, &labels, subscription.traffic_out.bytes as f64);
    }
}

fn subscription_gauges(subscription: &SubscriptionStats) -> [(&'static str, f64); 13] {
    let no_delayed = subscription.backlog_entries.saturating_sub(subscription.delayed_entries);
    [
        ("pulsar_subscription_back_log", subscription.backlog_entries as f64),
        ("pulsar_subscription_back_log_no_delayed", no_delayed as f64),
        ("pulsar_subscription_delayed", subscription.delayed_entries as f64),
        ("pulsar_subscription_in_replay", subscription.replay_entries as f64),
        ("pulsar_subscription_unacked_messages", subscription.unacked_messages as f64),
        ("pulsar_subscription_blocked_on_unacked_messages", f64::from(subscription.blocked_on_unacked)),
        ("pulsar_subscription_consumers_count", subscription.consumers.len() as f64),
        ("pulsar_subscription_msg_rate_out", subscription.traffic_out.messages_per_s),
        ("pulsar_subscription_msg_throughput_out", subscription.traffic_out.bytes_per_s),
        ("pulsar_subscription_msg_rate_redeliver", subscription.redelivered.messages_per_s),
        ("pulsar_subscription_msg_ack_rate", subscription.acknowledged.messages_per_s),
        ("pulsar_subscription_last_acked_timestamp", subscription.last_acked_ms as f64),
        ("pulsar_subscription_last_consumed_timestamp", subscription.last_consumed_ms as f64),
    ]
}
