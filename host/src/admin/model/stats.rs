//! `stats` and `partitioned-stats`. What this broker does not have, such as transactions or throttling, is shown as the
//! original shows it when it is not used.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::iso;
use crate::managed_ledger::{ManagedLedger, Snapshot};
use crate::offload::status::OffloadHistory;
use crate::topic::stats::{ConsumerStats, ProducerStats, SubscriptionStats, TopicStats, Traffic};

/// The original's `TopicStats`.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::admin) struct StatsBody {
    msg_rate_in: f64,
    msg_throughput_in: f64,
    msg_rate_out: f64,
    msg_throughput_out: f64,
    bytes_in_counter: u64,
    msg_in_counter: u64,
    system_topic_bytes_in_counter: u64,
    bytes_out_counter: u64,
    msg_out_counter: u64,
    bytes_out_internal_counter: u64,
    average_msg_size: f64,
    msg_chunk_published: bool,
    storage_size: u64,
    backlog_size: u64,
    backlog_quota_limit_size: i64,
    backlog_quota_limit_time: i64,
    oldest_backlog_message_age_seconds: i64,
    publish_rate_limited_times: u64,
    earliest_msg_publish_time_in_backlogs: u64,
    offloaded_storage_size: u64,
    last_offload_ledger_id: u64,
    last_offload_success_time_stamp: u64,
    last_offload_failure_time_stamp: u64,
    ongoing_txn_count: u64,
    aborted_txn_count: u64,
    committed_txn_count: u64,
    publishers: Vec<PublisherBody>,
    waiting_publishers: u64,
    subscriptions: BTreeMap<String, SubscriptionBody>,
    replication: BTreeMap<String, ()>,
    deduplication_status: &'static str,
    non_contiguous_deleted_messages_ranges: usize,
    non_contiguous_deleted_messages_ranges_serialized_size: u64,
    delayed_message_index_size_in_bytes: u64,
    compaction: CompactionBody,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_broker: Option<String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct CompactionBody {
    last_compaction_removed_event_count: u64,
    last_compaction_succeed_timestamp: u64,
    last_compaction_failed_timestamp: u64,
    last_compaction_duration_time_in_mills: u64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PublisherBody {
    access_mode: &'static str,
    msg_rate_in: f64,
    msg_throughput_in: f64,
    average_msg_size: f64,
    chunked_message_rate: f64,
    producer_id: u64,
    supports_partial_producer: bool,
    producer_name: String,
    address: String,
    connected_since: String,
    client_version: String,
    metadata: BTreeMap<String, String>,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct SubscriptionBody {
    msg_rate_out: f64,
    msg_throughput_out: f64,
    bytes_out_counter: u64,
    msg_out_counter: u64,
    msg_rate_redeliver: f64,
    message_ack_rate: f64,
    chunked_message_rate: f64,
    msg_backlog: u64,
    backlog_size: u64,
    earliest_msg_publish_time_in_backlog: u64,
    msg_backlog_no_delayed: u64,
    blocked_subscription_on_unacked_msgs: bool,
    msg_delayed: u64,
    msg_in_replay: u64,
    unacked_messages: u64,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    active_consumer_name: Option<String>,
    msg_rate_expired: f64,
    total_msg_expired: u64,
    last_expire_timestamp: u64,
    last_consumed_flow_timestamp: u64,
    last_consumed_timestamp: u64,
    last_acked_timestamp: u64,
    last_mark_delete_advanced_timestamp: u64,
    consumers: Vec<ConsumerBody>,
    is_durable: bool,
    is_replicated: bool,
    allow_out_of_order_delivery: bool,
    consumers_after_mark_delete_position: BTreeMap<String, String>,
    draining_hashes_count: u64,
    draining_hashes_cleared_total: u64,
    draining_hashes_unacked_messages: u64,
    non_contiguous_deleted_messages_ranges: usize,
    non_contiguous_deleted_messages_ranges_serialized_size: u64,
    delayed_message_index_size_in_bytes: u64,
    subscription_properties: BTreeMap<String, String>,
    filter_processed_msg_count: u64,
    filter_accepted_msg_count: u64,
    filter_rejected_msg_count: u64,
    filter_rescheduled_msg_count: u64,
    dispatch_throttled_msg_events_by_subscription_limit: u64,
    dispatch_throttled_bytes_events_by_subscription_limit: u64,
    dispatch_throttled_msg_events_by_topic_limit: u64,
    dispatch_throttled_bytes_events_by_topic_limit: u64,
    dispatch_throttled_msg_events_by_broker_limit: u64,
    dispatch_throttled_bytes_events_by_broker_limit: u64,
    durable: bool,
    replicated: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ConsumerBody {
    msg_rate_out: f64,
    msg_throughput_out: f64,
    bytes_out_counter: u64,
    msg_out_counter: u64,
    msg_rate_redeliver: f64,
    message_ack_rate: f64,
    chunked_message_rate: f64,
    consumer_name: String,
    available_permits: i64,
    unacked_messages: u64,
    avg_messages_per_entry: u32,
    blocked_consumer_on_unacked_msgs: bool,
    draining_hashes_count: u64,
    draining_hashes_cleared_total: u64,
    draining_hashes_unacked_messages: u64,
    address: String,
    connected_since: String,
    client_version: String,
    last_acked_timestamp: u64,
    last_consumed_timestamp: u64,
    last_consumed_flow_timestamp: u64,
    metadata: BTreeMap<String, String>,
    last_acked_time: String,
    last_consumed_time: String,
}

/// Sum of the sizes of ledgers with a complete cold copy, bytes.
pub(in crate::admin) fn offloaded_bytes(snapshot: &Snapshot) -> u64 {
    let offloaded = snapshot.ledgers.by_id.values().filter(|info| info.offload.is_complete());
    offloaded.map(|info| info.size_bytes).sum()
}

/// The slowest durable subscription's backlog in bytes: whole ledgers by their size, parts by the mean size of an entry.
pub(in crate::admin) fn backlog_bytes(ledger: &ManagedLedger, snapshot: &Snapshot, backlog_entries: u64) -> u64 {
    let from = ledger.nth(ledger.first(), snapshot.entry_count.saturating_sub(backlog_entries));
    let Some(from) = from.filter(|_| backlog_entries > 0) else { return 0 };
    let part = |bytes: u64, entries: u64, of: u64| {
        if of == 0 { 0 } else { (u128::from(bytes) * u128::from(entries) / u128::from(of)) as u64 }
    };
    snapshot
        .ledgers
        .by_id
        .range(from.ledger_id..)
        .map(|(id, info)| {
            let (entries, bytes) = match info.closed_ms {
                Some(_) => (info.entry_count, info.size_bytes),
                None => (snapshot.open_entry_count, snapshot.open_size_bytes),
            };
            let skipped = if *id == from.ledger_id { from.entry_id.min(entries) } else { 0 };
            part(bytes, entries - skipped, entries)
        })
        .sum()
}

impl StatsBody {
    /// Of a loaded topic.
    pub(in crate::admin) fn new(
        ledger: &ManagedLedger,
        stats: TopicStats,
        history: OffloadHistory,
        owner: &str,
    ) -> Self {
        let snapshot = ledger.snapshot();
        let Traffic { messages, bytes, messages_per_s, bytes_per_s } = stats.traffic_in;
        let subscriptions: BTreeMap<_, _> = stats
            .subscriptions
            .into_iter()
            .map(|(name, stats)| {
                let body = SubscriptionBody::new(ledger, &snapshot, &name, stats);
                (name, body)
            })
            .collect();
        let durable = subscriptions.values().filter(|subscription| subscription.durable);
        Self {
            msg_rate_in: messages_per_s,
            msg_throughput_in: bytes_per_s,
            bytes_in_counter: bytes,
            msg_in_counter: messages,
            average_msg_size: stats.traffic_in.message_size(),
            msg_rate_out: stats.traffic_out.messages_per_s,
            msg_throughput_out: stats.traffic_out.bytes_per_s,
            bytes_out_counter: stats.traffic_out.bytes,
            msg_out_counter: stats.traffic_out.messages,
            msg_chunk_published: stats.chunk_published,
            storage_size: snapshot.size_bytes,
            backlog_size: durable.map(|subscription| subscription.backlog_size).max().unwrap_or(0),
            backlog_quota_limit_size: stats.backlog_bytes_max.map_or(-1, |bytes| bytes as i64),
            backlog_quota_limit_time: stats.backlog_age_max.map_or(-1, |age| age.as_secs() as i64),
            oldest_backlog_message_age_seconds: stats.oldest_age.map_or(-1, |age| age.as_secs() as i64),
            offloaded_storage_size: offloaded_bytes(&snapshot),
            last_offload_ledger_id: history.last_ledger_id.map_or(0, |id| id.0),
            last_offload_success_time_stamp: history.last_success_ms.unwrap_or(0),
            last_offload_failure_time_stamp: history.last_failure_ms.unwrap_or(0),
            publishers: stats.producers.into_iter().map(PublisherBody::new).collect(),
            waiting_publishers: stats.waiting_producers,
            non_contiguous_deleted_messages_ranges: subscriptions
                .values()
                .map(|subscription| subscription.non_contiguous_deleted_messages_ranges)
                .sum(),
            subscriptions,
            deduplication_status: if stats.deduplication { "Enabled" } else { "Disabled" },
            owner_broker: Some(owner.to_owned()),
            ..Self::default()
        }
    }

    /// Adds a partition's figures.
    fn add(&mut self, other: &Self) {
        let messages = |stats: &Self| stats.msg_rate_in;
        let weight = messages(self) + messages(other);
        if weight > 0.0 {
            let sum = self.average_msg_size * messages(self) + other.average_msg_size * messages(other);
            self.average_msg_size = sum / weight;
        }
        self.msg_rate_in += other.msg_rate_in;
        self.msg_throughput_in += other.msg_throughput_in;
        self.msg_rate_out += other.msg_rate_out;
        self.msg_throughput_out += other.msg_throughput_out;
        self.bytes_in_counter += other.bytes_in_counter;
        self.msg_in_counter += other.msg_in_counter;
        self.bytes_out_counter += other.bytes_out_counter;
        self.msg_out_counter += other.msg_out_counter;
        self.msg_chunk_published |= other.msg_chunk_published;
        self.storage_size += other.storage_size;
        self.backlog_size += other.backlog_size;
        self.offloaded_storage_size += other.offloaded_storage_size;
        self.non_contiguous_deleted_messages_ranges += other.non_contiguous_deleted_messages_ranges;
        for (name, theirs) in &other.subscriptions {
            self.subscriptions.entry(name.clone()).or_default().add(theirs);
        }
    }

    /// All partitions together, and each by itself if `each`.
    pub(in crate::admin) fn partitioned(partitions: BTreeMap<String, Self>, metadata: Value, each: bool) -> Value {
        let mut sum = Self { deduplication_status: "Disabled", ..Self::default() };
        (sum.backlog_quota_limit_size, sum.backlog_quota_limit_time) = (-1, -1);
        sum.oldest_backlog_message_age_seconds = -1;
        partitions.values().for_each(|partition| sum.add(partition));
        let mut body = json!(sum);
        body["metadata"] = metadata;
        body["partitions"] = if each { json!(partitions) } else { json!({}) };
        body
    }
}

impl PublisherBody {
    fn new(stats: ProducerStats) -> Self {
        Self {
            access_mode: stats.access_mode,
            msg_rate_in: stats.traffic_in.messages_per_s,
            msg_throughput_in: stats.traffic_in.bytes_per_s,
            average_msg_size: stats.traffic_in.message_size(),
            chunked_message_rate: 0.0,
            producer_id: stats.producer_id,
            supports_partial_producer: stats.supports_partial,
            producer_name: stats.name,
            address: stats.address,
            connected_since: iso(stats.connected_since_ms),
            client_version: stats.client_version,
            metadata: stats.metadata,
        }
    }
}

impl SubscriptionBody {
    fn new(ledger: &ManagedLedger, snapshot: &Snapshot, name: &str, stats: SubscriptionStats) -> Self {
        let cursor = ledger.cursor(name).map(|cursor| cursor.snapshot());
        Self {
            msg_rate_out: stats.traffic_out.messages_per_s,
            msg_throughput_out: stats.traffic_out.bytes_per_s,
            bytes_out_counter: stats.traffic_out.bytes,
            msg_out_counter: stats.traffic_out.messages,
            msg_rate_redeliver: stats.redelivered.messages_per_s,
            message_ack_rate: stats.acknowledged.messages_per_s,
            msg_backlog: stats.backlog_entries,
            backlog_size: backlog_bytes(ledger, snapshot, stats.backlog_entries),
            msg_backlog_no_delayed: stats.backlog_entries.saturating_sub(stats.delayed_entries),
            blocked_subscription_on_unacked_msgs: stats.blocked_on_unacked,
            msg_delayed: stats.delayed_entries,
            msg_in_replay: stats.replay_entries,
            unacked_messages: stats.unacked_messages,
            kind: stats.kind,
            active_consumer_name: stats.active_consumer,
            msg_rate_expired: stats.expired.messages_per_s,
            total_msg_expired: stats.expired.messages,
            last_expire_timestamp: stats.last_expired_ms,
            last_consumed_flow_timestamp: stats.last_flow_ms,
            last_consumed_timestamp: stats.last_consumed_ms,
            last_acked_timestamp: stats.last_acked_ms,
            last_mark_delete_advanced_timestamp: cursor.as_ref().map_or(0, |cursor| cursor.moved_ms),
            consumers: stats.consumers.into_iter().map(ConsumerBody::new).collect(),
            is_durable: stats.durable,
            allow_out_of_order_delivery: stats.allow_out_of_order,
            non_contiguous_deleted_messages_ranges: cursor.map_or(0, |cursor| cursor.acked.ranges().count()),
            subscription_properties: stats.properties,
            durable: stats.durable,
            ..Self::default()
        }
    }

    fn add(&mut self, other: &Self) {
        self.msg_rate_out += other.msg_rate_out;
        self.msg_throughput_out += other.msg_throughput_out;
        self.bytes_out_counter += other.bytes_out_counter;
        self.msg_out_counter += other.msg_out_counter;
        self.msg_rate_redeliver += other.msg_rate_redeliver;
        self.message_ack_rate += other.message_ack_rate;
        self.msg_backlog += other.msg_backlog;
        self.backlog_size += other.backlog_size;
        self.msg_backlog_no_delayed += other.msg_backlog_no_delayed;
        self.blocked_subscription_on_unacked_msgs |= other.blocked_subscription_on_unacked_msgs;
        self.msg_delayed += other.msg_delayed;
        self.msg_in_replay += other.msg_in_replay;
        self.unacked_messages += other.unacked_messages;
        self.kind = self.kind.or(other.kind);
        self.is_durable |= other.is_durable;
        self.durable |= other.durable;
        self.allow_out_of_order_delivery |= other.allow_out_of_order_delivery;
        self.non_contiguous_deleted_messages_ranges += other.non_contiguous_deleted_messages_ranges;
        self.last_consumed_flow_timestamp = self.last_consumed_flow_timestamp.max(other.last_consumed_flow_timestamp);
        self.last_consumed_timestamp = self.last_consumed_timestamp.max(other.last_consumed_timestamp);
        self.last_acked_timestamp = self.last_acked_timestamp.max(other.last_acked_timestamp);
    }
}

impl ConsumerBody {
    fn new(stats: ConsumerStats) -> Self {
        Self {
            msg_rate_out: stats.traffic_out.messages_per_s,
            msg_throughput_out: stats.traffic_out.bytes_per_s,
            bytes_out_counter: stats.traffic_out.bytes,
            msg_out_counter: stats.traffic_out.messages,
            msg_rate_redeliver: stats.redelivered.messages_per_s,
            message_ack_rate: stats.acknowledged.messages_per_s,
            chunked_message_rate: 0.0,
            consumer_name: stats.name,
            available_permits: stats.permits,
            unacked_messages: stats.unacked_messages,
            avg_messages_per_entry: stats.messages_per_entry,
            blocked_consumer_on_unacked_msgs: stats.blocked_on_unacked,
            draining_hashes_count: 0,
            draining_hashes_cleared_total: 0,
            draining_hashes_unacked_messages: 0,
            address: stats.address,
            connected_since: iso(stats.connected_since_ms),
            client_version: stats.client_version,
            last_acked_timestamp: stats.last_acked_ms,
            last_consumed_timestamp: stats.last_consumed_ms,
            last_consumed_flow_timestamp: stats.last_flow_ms,
            metadata: stats.metadata,
            last_acked_time: iso(stats.last_acked_ms),
            last_consumed_time: iso(stats.last_consumed_ms),
        }
    }
}
