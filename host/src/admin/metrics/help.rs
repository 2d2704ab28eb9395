//! A sentence for each metric that has a name of the original's, which itself writes none. Names stay as they were recorded, also
//! those that a check of style would have otherwise (`pulsar_ml_StoredMessagesSize`, gauges that end in `_count`).

use std::borrow::Cow;

/// The sentence for a family; empty for a name that is not here.
pub(super) fn of(name: &str) -> Cow<'static, str> {
    if let Some(family) = name.strip_suffix("_created") {
        return Cow::Owned(format!("When counting {family} began, in seconds since 1970."));
    }
    let is_it = |known: &str| name == known || name.strip_suffix("_total") == Some(known);
    let found = SENTENCES.iter().find(|(known, _)| is_it(known));
    Cow::Borrowed(found.map_or("", |(_, sentence)| sentence))
}

/// By name; that of a counter whose line in the original lacks `_total` lacks it here.
const SENTENCES: [(&str, &str); 47] = [
    ("brk_ledgeroffloader_delete_offload_ops", "Deletions of cold copies, by outcome."),
    ("brk_ledgeroffloader_offload_error", "Offloads of a ledger that failed."),
    ("brk_ledgeroffloader_offload_rate", "Payload that was offloaded, in bytes a second."),
    ("brk_ledgeroffloader_read_bytes", "Payload that was read from cold copies, in bytes."),
    ("brk_ledgeroffloader_read_ledger_latency", "How long reads of hot copies took, in microseconds."),
    ("brk_ledgeroffloader_read_offload_data_latency", "How long reads of cold copies took, in microseconds."),
    ("brk_ledgeroffloader_read_offload_error", "Reads of cold copies that failed."),
    ("brk_ledgeroffloader_read_offload_index_latency", "How long opening cold copies took, in microseconds."),
    ("brk_ledgeroffloader_read_offload_rate", "Payload that was read from cold copies, in bytes a second."),
    ("brk_ledgeroffloader_write_storage_error", "Offloads of a ledger that failed while the driver wrote."),
    ("pulsar_average_msg_size", "Mean size of the messages that came in lately, in bytes."),
    ("pulsar_consumers_count", "Consumers of a topic."),
    ("pulsar_in_bytes_total", "Bytes that producers sent to a topic."),
    ("pulsar_in_messages_total", "Messages that producers sent to a topic."),
    (
        "pulsar_ml_NumberOfMessagesInBacklog",
        "Entries of a namespace's loaded topics that subscriptions have not acknowledged.",
    ),
    ("pulsar_ml_StoredMessagesSize", "Bytes of all ledgers of a namespace's loaded topics."),
    ("pulsar_ml_cache_used_size", "Bytes of recent entries that are kept in memory."),
    ("pulsar_ml_count", "Managed ledgers that are loaded."),
    ("pulsar_msg_backlog", "Entries of a topic that durable subscriptions have not acknowledged."),
    ("pulsar_out_bytes_total", "Bytes that a subscription's consumers were sent."),
    ("pulsar_out_messages_total", "Messages that a subscription's consumers were sent."),
    ("pulsar_producers_count", "Producers of a topic."),
    ("pulsar_rate_in", "Messages that came into a topic, a second."),
    ("pulsar_rate_out", "Messages that went out of a topic, a second."),
    ("pulsar_storage_backlog_quota_limit", "The most bytes of a topic's backlog; -1 is no limit."),
    ("pulsar_storage_backlog_size", "Bytes of a topic that its slowest durable subscription has not acknowledged."),
    ("pulsar_storage_logical_size", "Bytes of a topic's ledgers, each counted once."),
    ("pulsar_storage_offloaded_size", "Bytes of a topic's ledgers that have a cold copy."),
    ("pulsar_storage_size", "Bytes of a topic's ledgers."),
    ("pulsar_subscription_back_log", "Entries that a subscription has not acknowledged."),
    ("pulsar_subscription_back_log_no_delayed", "Entries that a subscription has not acknowledged and that are due."),
    ("pulsar_subscription_back_log_size", "Bytes of the entries that a subscription has not acknowledged."),
    (
        "pulsar_subscription_blocked_on_unacked_messages",
        "1 where a subscription waits for acknowledgements, 0 where it does not.",
    ),
    ("pulsar_subscription_consumers_count", "Consumers of a subscription."),
    ("pulsar_subscription_delayed", "Entries of a subscription that are not due yet."),
    ("pulsar_subscription_in_replay", "Entries of a subscription that are to be delivered again."),
    ("pulsar_subscription_last_acked_timestamp", "The last acknowledgement, in milliseconds since 1970."),
    ("pulsar_subscription_last_consumed_timestamp", "The last delivery, in milliseconds since 1970."),
    ("pulsar_subscription_msg_ack_rate", "Messages that were acknowledged, a second."),
    ("pulsar_subscription_msg_rate_out", "Messages that a subscription's consumers were sent, a second."),
    ("pulsar_subscription_msg_rate_redeliver", "Messages that were delivered again, a second."),
    ("pulsar_subscription_msg_throughput_out", "Bytes that a subscription's consumers were sent, a second."),
    ("pulsar_subscription_unacked_messages", "Messages that were delivered and not acknowledged."),
    ("pulsar_subscriptions_count", "Subscriptions of a topic."),
    ("pulsar_throughput_in", "Bytes that came into a topic, a second."),
    ("pulsar_throughput_out", "Bytes that went out of a topic, a second."),
    ("pulsar_topics_count", "Loaded topics of a namespace."),
];
