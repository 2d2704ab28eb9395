//! Every family that this broker shows of itself: name, kind, labels, unit, meaning. One row each.
//!
//! Names, kinds and labels are the original's, as recorded from Apache Pulsar 4.0.6, also where a check of style would have
//! them otherwise (`pulsar_ml_StoredMessagesSize`, gauges that end in `_count`). The sentences are ours: the original writes
//! none. `docs/operate/metrics.md` is written from these rows (see `page`). What plugins bring comes as
//! [`super::families`].

use super::text::Kind;

/// What is known of a family before anything is counted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    /// The name; that of a counter whose line in the original lacks `_total` lacks it here.
    pub(super) name: &'static str,
    /// What the samples mean.
    pub(super) kind: Kind,
    /// Labels beside those of its section.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page is written from it, and samples are held to it"))]
    pub(super) labels: &'static [&'static str],
    /// What one is.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page is written from it"))]
    pub(super) unit: &'static str,
    /// A sentence.
    pub(super) help: &'static str,
}

/// Families that stand for the same kind of thing.
#[derive(Debug)]
pub(super) struct Section {
    /// Of what.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page is written from it"))]
    pub(super) title: &'static str,
    /// Labels of all its families.
    #[cfg_attr(not(test), expect(dead_code, reason = "the page is written from it, and samples are held to it"))]
    pub(super) labels: &'static [&'static str],
    /// The families, in groups.
    pub(super) families: &'static [&'static [Family]],
}

/// All of them, in the order of the page.
pub(super) const SECTIONS: &[Section] = &[
    Section {
        title: "Topics",
        labels: &["cluster", "namespace", "topic"],
        families: &[topic::ALL, &topic::WRITE_LATENCY, &topic::STORE_LATENCY, &topic::ENTRY_SIZE],
    },
    Section {
        title: "Subscriptions",
        labels: &["cluster", "namespace", "topic", "subscription"],
        families: &[subscription::ALL],
    },
    Section { title: "Namespaces", labels: &["cluster", "namespace"], families: &[namespace::ALL] },
    Section {
        title: "Managed ledgers of a namespace",
        labels: &["cluster", "namespace"],
        families: &[managed_ledger::ALL],
    },
    Section { title: "The broker", labels: &["cluster"], families: &[broker::ALL] },
    Section { title: "Tiered storage", labels: &["cluster", "namespace", "topic"], families: &[offloader::ALL] },
];

/// Every family.
pub(super) fn all() -> impl Iterator<Item = &'static Family> {
    SECTIONS.iter().flat_map(|section| section.families).copied().flatten()
}

/// Rows of one section: a constant each, and all of them.
macro_rules! rows {
    ($( $id:ident = $kind:ident $name:literal $([$label:literal])? $unit:literal: $help:literal; )+) => {
        $(
            pub(in super::super) const $id: Family = Family {
                name: $name, kind: Kind::$kind, labels: &[$($label)?], unit: $unit, help: $help,
            };
        )+
        /// All of the rows.
        pub(super) const ALL: &[Family] = &[$($id),+];
    };
}

/// One figure spread over families of its own: how many values fell between a bound and the one before, then those beyond
/// the last bound, all of them, their sum.
macro_rules! spread {
    ($base:literal, $unit:literal, $what:literal; $( $suffix:literal = $bound:literal, )+ beyond $beyond:literal) => {
        [
            $( Family {
                name: concat!($base, $suffix), kind: Kind::Gauge, labels: &[], unit: "entries",
                help: concat!($what, " ", $bound, " and more than the bound before, in the last period."),
            }, )+
            Family {
                name: concat!($base, $beyond), kind: Kind::Gauge, labels: &[], unit: "entries",
                help: concat!($what, " more than the last bound, in the last period."),
            },
            Family {
                name: concat!($base, "_count"), kind: Kind::Gauge, labels: &[], unit: "entries",
                help: concat!("All entries of ", $base, "_le_, in the last period."),
            },
            Family {
                name: concat!($base, "_sum"), kind: Kind::Gauge, labels: &[], unit: $unit,
                help: concat!("The sum over all entries of ", $base, "_count."),
            },
        ]
    };
}

macro_rules! latency {
    ($base:literal, $what:literal) => {
        spread!(
            $base, "microseconds", $what;
            "_le_0_5" = "0.5 ms", "_le_1" = "1 ms", "_le_5" = "5 ms", "_le_10" = "10 ms", "_le_20" = "20 ms",
            "_le_50" = "50 ms", "_le_100" = "100 ms", "_le_200" = "200 ms", "_le_1000" = "1000 ms",
            beyond "_overflow"
        )
    };
}

/// Of a loaded topic.
pub(super) mod topic {
    use super::{Family, Kind};

    rows! {
        SUBSCRIPTIONS = Gauge "pulsar_subscriptions_count" "": "Subscriptions of a topic.";
        PRODUCERS = Gauge "pulsar_producers_count" "": "Producers of a topic.";
        CONSUMERS = Gauge "pulsar_consumers_count" "": "Consumers of a topic.";
        RATE_IN = Gauge "pulsar_rate_in" "messages/s": "Messages that came into a topic, a second.";
        RATE_OUT = Gauge "pulsar_rate_out" "messages/s": "Messages that went out of a topic, a second.";
        THROUGHPUT_IN = Gauge "pulsar_throughput_in" "bytes/s": "Bytes that came into a topic, a second.";
        THROUGHPUT_OUT = Gauge "pulsar_throughput_out" "bytes/s": "Bytes that went out of a topic, a second.";
        MESSAGE_SIZE = Gauge "pulsar_average_msg_size" "bytes":
            "Mean size of the messages that came in lately, in bytes.";
        IN_MESSAGES = Counter "pulsar_in_messages_total" "messages": "Messages that producers sent to a topic.";
        IN_BYTES = Counter "pulsar_in_bytes_total" "bytes": "Bytes that producers sent to a topic.";
        BACKLOG = Gauge "pulsar_msg_backlog" "entries":
            "Entries of a topic that durable subscriptions have not acknowledged.";
        STORAGE_SIZE = Gauge "pulsar_storage_size" "bytes": "Bytes of a topic's ledgers.";
        LOGICAL_SIZE = Gauge "pulsar_storage_logical_size" "bytes":
            "Bytes of a topic's ledgers, each counted once.";
        OFFLOADED_SIZE = Gauge "pulsar_storage_offloaded_size" "bytes":
            "Bytes of a topic's ledgers that have a cold copy.";
        BACKLOG_SIZE = Gauge "pulsar_storage_backlog_size" "bytes":
            "Bytes of a topic that its slowest durable subscription has not acknowledged.";
        BACKLOG_AGE = Gauge "pulsar_storage_backlog_age_seconds" "seconds":
            "Time since the ledger was closed that holds the oldest unacknowledged entry, in seconds: that entry is at least as old. -1 where there is none, or its ledger is open.";
        QUOTA = Gauge "pulsar_storage_backlog_quota_limit" "bytes":
            "The most bytes of a topic's backlog; -1 is no limit.";
        QUOTA_TIME = Gauge "pulsar_storage_backlog_quota_limit_time" "seconds":
            "The greatest age of a topic's backlog, in seconds; -1 is no limit.";
        EVICTIONS = Counter "pulsar_storage_backlog_quota_exceeded_evictions_total" ["quota_type"] "":
            "How often a topic's backlog was cut since the topic was loaded; quota_type is the quota that was exceeded, size or time.";
        WRITE_RATE = Gauge "pulsar_storage_write_rate" "entries/s": "Entries that were stored, a second.";
        READ_RATE = Gauge "pulsar_storage_read_rate" "entries/s": "Entries that were read, a second.";
        MISSES_RATE = Gauge "pulsar_storage_read_cache_misses_rate" "entries/s":
            "Entries that were read from a hot or cold copy and not from memory, a second.";
    }

    /// From the coming until it is on disk.
    pub(in super::super) const WRITE_LATENCY: [Family; 12] =
        latency!("pulsar_storage_write_latency", "Entries that were durable after up to");
    /// The hot store's share.
    pub(in super::super) const STORE_LATENCY: [Family; 12] =
        latency!("pulsar_storage_ledger_write_latency", "Entries that the hot store had written after up to");
    /// Payload.
    pub(in super::super) const ENTRY_SIZE: [Family; 11] = spread!(
        "pulsar_entry_size", "bytes", "Entries with up to";
        "_le_128" = "128 bytes", "_le_512" = "512 bytes", "_le_1_kb" = "1 KiB", "_le_2_kb" = "2 KiB",
        "_le_4_kb" = "4 KiB", "_le_16_kb" = "16 KiB", "_le_100_kb" = "100 KiB", "_le_1_mb" = "1 MiB",
        beyond "_le_overflow"
    );
}

/// Of a subscription of a loaded topic.
pub(super) mod subscription {
    use super::{Family, Kind};

    rows! {
        BACKLOG = Gauge "pulsar_subscription_back_log" "entries": "Entries that a subscription has not acknowledged.";
        BACKLOG_DUE = Gauge "pulsar_subscription_back_log_no_delayed" "entries":
            "Entries that a subscription has not acknowledged and that are due.";
        BACKLOG_SIZE = Gauge "pulsar_subscription_back_log_size" "bytes":
            "Bytes of the entries that a subscription has not acknowledged.";
        DELAYED = Gauge "pulsar_subscription_delayed" "entries": "Entries of a subscription that are not due yet.";
        IN_REPLAY = Gauge "pulsar_subscription_in_replay" "entries":
            "Entries of a subscription that are to be delivered again.";
        UNACKED = Gauge "pulsar_subscription_unacked_messages" "messages":
            "Messages that were delivered and not acknowledged.";
        BLOCKED = Gauge "pulsar_subscription_blocked_on_unacked_messages" "":
            "1 where a subscription waits for acknowledgements, 0 where it does not.";
        CONSUMERS = Gauge "pulsar_subscription_consumers_count" "": "Consumers of a subscription.";
        RATE_OUT = Gauge "pulsar_subscription_msg_rate_out" "messages/s":
            "Messages that a subscription's consumers were sent, a second.";
        THROUGHPUT_OUT = Gauge "pulsar_subscription_msg_throughput_out" "bytes/s":
            "Bytes that a subscription's consumers were sent, a second.";
        RATE_REDELIVER = Gauge "pulsar_subscription_msg_rate_redeliver" "messages/s":
            "Messages that were delivered again, a second.";
        RATE_ACK = Gauge "pulsar_subscription_msg_ack_rate" "messages/s": "Messages that were acknowledged, a second.";
        RATE_EXPIRED = Gauge "pulsar_subscription_msg_rate_expired" "entries/s":
            "Entries that were too old to be delivered, a second.";
        EXPIRED = Gauge "pulsar_subscription_total_msg_expired" "entries":
            "Entries that were too old to be delivered, since the topic was loaded.";
        LAST_EXPIRED = Gauge "pulsar_subscription_last_expire_timestamp" "ms since 1970":
            "When entries were last found to be too old, in milliseconds since 1970; 0 for never.";
        LAST_FLOW = Gauge "pulsar_subscription_last_consumed_flow_timestamp" "ms since 1970":
            "When a consumer last had room for more, in milliseconds since 1970; 0 for never.";
        LAST_CONSUMED = Gauge "pulsar_subscription_last_consumed_timestamp" "ms since 1970":
            "The last delivery, in milliseconds since 1970; 0 for never.";
        LAST_ACKED = Gauge "pulsar_subscription_last_acked_timestamp" "ms since 1970":
            "The last acknowledgement, in milliseconds since 1970; 0 for never.";
        LAST_MOVED = Gauge "pulsar_subscription_last_mark_delete_advanced_timestamp" "ms since 1970":
            "When the first unacknowledged entry last became a later one, in milliseconds since 1970; 0 for never.";
        OUT_MESSAGES = Counter "pulsar_out_messages_total" "messages":
            "Messages that a subscription's consumers were sent.";
        OUT_BYTES = Counter "pulsar_out_bytes_total" "bytes": "Bytes that a subscription's consumers were sent.";
    }
}

/// Over the loaded topics of a namespace.
pub(super) mod namespace {
    use super::{Family, Kind};

    rows! {
        TOPICS = Gauge "pulsar_topics_count" "": "Loaded topics of a namespace.";
    }
}

/// Over the managed ledgers of a namespace; `namespace` is `tenant/namespace/persistent` here.
pub(super) mod managed_ledger {
    use super::{Family, Kind};

    rows! {
        ADD_BYTES_RATE = Gauge "pulsar_ml_AddEntryBytesRate" "bytes/s": "Payload that was stored, in bytes a second.";
        ADD_REPLICAS_RATE = Gauge "pulsar_ml_AddEntryWithReplicasBytesRate" "bytes/s":
            "Payload that was stored, over all replicas, in bytes a second; there is one replica here.";
        ADD_RATE = Gauge "pulsar_ml_AddEntryMessagesRate" "entries/s": "Entries that were stored, a second.";
        ADD_SUCCEEDED = Gauge "pulsar_ml_AddEntrySucceed" "entries": "Entries that were stored in the last period.";
        ADD_ERRORS = Gauge "pulsar_ml_AddEntryErrors" "entries":
            "Entries that were refused or not stored in the last period.";
        ADD_LATENCY = Gauge "pulsar_ml_AddEntryLatencyBuckets" ["quantile"] "entries/s":
            "Entries that took so many milliseconds to be durable, a second; quantile is the range.";
        ADD_LATENCY_BEYOND = Gauge "pulsar_ml_AddEntryLatencyBuckets_OVERFLOW" "entries/s":
            "Entries that took longer than all ranges to be durable, a second.";
        STORE_LATENCY = Gauge "pulsar_ml_LedgerAddEntryLatencyBuckets" ["quantile"] "entries/s":
            "Entries that the hot store took so many milliseconds to write, a second; quantile is the range.";
        STORE_LATENCY_BEYOND = Gauge "pulsar_ml_LedgerAddEntryLatencyBuckets_OVERFLOW" "entries/s":
            "Entries that the hot store took longer than all ranges to write, a second.";
        SWITCH_LATENCY = Gauge "pulsar_ml_LedgerSwitchLatencyBuckets" ["quantile"] "ledgers/s":
            "Full ledgers that were replaced within so many milliseconds, a second; quantile is the range.";
        SWITCH_LATENCY_BEYOND = Gauge "pulsar_ml_LedgerSwitchLatencyBuckets_OVERFLOW" "ledgers/s":
            "Full ledgers whose replacing took longer than all ranges, a second.";
        ENTRY_SIZE = Gauge "pulsar_ml_EntrySizeBuckets" ["quantile"] "entries/s":
            "Entries with so many bytes of payload, a second; quantile is the range.";
        ENTRY_SIZE_BEYOND = Gauge "pulsar_ml_EntrySizeBuckets_OVERFLOW" "entries/s":
            "Entries with more bytes of payload than all ranges, a second.";
        MARK_DELETE_RATE = Gauge "pulsar_ml_MarkDeleteRate" "moves/s":
            "Moves of cursors' first unacknowledged positions, a second.";
        BACKLOG = Gauge "pulsar_ml_NumberOfMessagesInBacklog" "entries":
            "Entries of a namespace's loaded topics that subscriptions have not acknowledged.";
        READ_BYTES_RATE = Gauge "pulsar_ml_ReadEntriesBytesRate" "bytes/s": "Payload that was read, in bytes a second.";
        READ_ERRORS = Gauge "pulsar_ml_ReadEntriesErrors" "reads":
            "Reads in the last period that no copy could answer.";
        MISSES_RATE = Gauge "pulsar_ml_ReadEntriesOpsCacheMissesRate" "entries/s":
            "Entries that were read from a hot or cold copy and not from memory, a second.";
        READ_RATE = Gauge "pulsar_ml_ReadEntriesRate" "entries/s": "Entries that were read, a second.";
        READ_SUCCEEDED = Gauge "pulsar_ml_ReadEntriesSucceeded" "reads":
            "Reads that were answered in the last period.";
        STORED_SIZE = Gauge "pulsar_ml_StoredMessagesSize" "bytes": "Bytes of all ledgers of a namespace's loaded topics.";
    }
}

/// Of the whole process.
pub(super) mod broker {
    use super::{Family, Kind};

    rows! {
        LEDGERS = Gauge "pulsar_ml_count" "": "Managed ledgers that are loaded.";
        CACHE_SIZE = Gauge "pulsar_ml_cache_used_size" "bytes":
            "Bytes of recent entries, and of what is read ahead, that are kept in memory.";
        CACHE_ENTRIES = Gauge "pulsar_ml_cache_entries" "entries": "Recent entries that are kept in memory.";
        CACHE_ADDED = Counter "pulsar_ml_cache_inserted_entries_total" "entries": "Recent entries that were kept in memory.";
        CACHE_DROPPED = Counter "pulsar_ml_cache_evicted_entries_total" "entries": "Recent entries that memory let go.";
        CACHE_EVICTIONS = Gauge "pulsar_ml_cache_evictions" "":
            "Times in the last period that recent entries gave way since there was no room.";
        CACHE_HITS = Gauge "pulsar_ml_cache_hits_rate" "entries/s": "Entries that reads found in memory, a second.";
        CACHE_HIT_BYTES = Gauge "pulsar_ml_cache_hits_throughput" "bytes/s":
            "Payload that reads found in memory, in bytes a second.";
        CACHE_MISSES = Gauge "pulsar_ml_cache_misses_rate" "entries/s":
            "Entries that reads had to go to a hot or cold copy for, a second.";
        CACHE_MISSED_BYTES = Gauge "pulsar_ml_cache_misses_throughput" "bytes/s":
            "Payload that reads had to go to a hot or cold copy for, in bytes a second.";
        CPU = Counter "process_cpu_seconds_total" "seconds": "Processor time that the broker used, in seconds.";
        STARTED = Gauge "process_start_time_seconds" "s since 1970": "When the broker started, in seconds since 1970.";
        RESIDENT = Gauge "process_resident_memory_bytes" "bytes": "Memory of the broker that is in RAM.";
        VIRTUAL = Gauge "process_virtual_memory_bytes" "bytes": "Addresses that the broker has reserved.";
        OPEN_FILES = Gauge "process_open_fds" "": "Files and sockets that the broker has open.";
        OPEN_FILES_MAX = Gauge "process_max_fds" "": "The most files and sockets that it may have open.";
        THREADS = Gauge "process_threads" "": "Threads of the broker, those of plugins included.";
    }
}

/// What a driver did for a topic. The original prints these counters with `_total` and `_created` under the bare name's line.
pub(super) mod offloader {
    use super::{Family, Kind};

    rows! {
        OFFLOAD_ERROR = Counter "brk_ledgeroffloader_offload_error" "ledgers": "Offloads of a ledger that failed.";
        OFFLOAD_RATE = Gauge "brk_ledgeroffloader_offload_rate" "bytes/s":
            "Payload that was offloaded, in bytes a second.";
        DELETE_OPS = Counter "brk_ledgeroffloader_delete_offload_ops" ["status"] "copies":
            "Deletions of cold copies, by outcome: succeed or failed.";
        WRITE_ERROR = Counter "brk_ledgeroffloader_write_storage_error" "ledgers":
            "Offloads of a ledger that failed while the driver wrote.";
        READ_ERROR = Counter "brk_ledgeroffloader_read_offload_error" "reads": "Reads of cold copies that failed.";
        READ_RATE = Gauge "brk_ledgeroffloader_read_offload_rate" "bytes/s":
            "Payload that was read from cold copies, in bytes a second.";
        READ_BYTES = Counter "brk_ledgeroffloader_read_bytes" "bytes":
            "Payload that was read from cold copies, in bytes.";
        HOT_READ_LATENCY = Summary "brk_ledgeroffloader_read_ledger_latency" ["quantile"] "microseconds":
            "How long reads of hot copies took, in microseconds.";
        OPEN_LATENCY = Summary "brk_ledgeroffloader_read_offload_index_latency" ["quantile"] "microseconds":
            "How long opening cold copies took, in microseconds.";
        READ_LATENCY = Summary "brk_ledgeroffloader_read_offload_data_latency" ["quantile"] "microseconds":
            "How long reads of cold copies took, in microseconds.";
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_has_a_name_of_its_own_and_a_sentence() {
        let mut names = BTreeSet::new();
        for family in all() {
            assert!(names.insert(family.name), "{} stands twice", family.name);
            assert!(family.help.ends_with('.'), "{}: a sentence ends with a full stop", family.name);
            assert!(!family.help.contains(['\n', '\\', '|']), "{}: it stands in a line and in a table", family.name);
        }
        assert!(names.len() > 100, "{}", names.len());
    }
}
