//! Figures of topics: counters that the data path feeds, and snapshots for whoever shows them.
//!
//! Rates are taken over the time between two calls of [`super::Topics::tick_rates`], which the broker makes once in a
//! statistics period. Until the first one they are 0. Times are milliseconds since 1970, 0 for never.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::measure::Meter;

/// Messages and bytes that went by.
#[derive(Debug, Default)]
pub struct Counter {
    messages: Meter,
    bytes: Meter,
}

impl Counter {
    /// Counts.
    pub fn add(&self, messages: u64, bytes: u64) {
        self.messages.add(messages);
        self.bytes.add(bytes);
    }

    /// Takes the rates of the time since the last call, which was `elapsed` ago.
    pub fn tick(&self, elapsed: Duration) {
        self.messages.tick(elapsed);
        self.bytes.tick(elapsed);
    }

    /// The figures now.
    pub fn snapshot(&self) -> Traffic {
        Traffic {
            messages: self.messages.total(),
            bytes: self.bytes.total(),
            messages_per_s: self.messages.per_second(),
            bytes_per_s: self.bytes.per_second(),
        }
    }
}

/// What a [`Counter`] shows.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Traffic {
    /// Messages so far.
    pub messages: u64,
    /// Bytes of entries so far.
    pub bytes: u64,
    /// Messages a second, of the last period.
    pub messages_per_s: f64,
    /// Bytes a second, of the last period.
    pub bytes_per_s: f64,
}

impl Traffic {
    /// Mean size of the last period's messages, bytes.
    pub fn message_size(&self) -> f64 {
        if self.messages_per_s > 0.0 { self.bytes_per_s / self.messages_per_s } else { 0.0 }
    }
}

/// A topic's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TopicStats {
    /// From producers, since the topic was loaded.
    pub traffic_in: Traffic,
    /// To consumers, since the topic was loaded.
    pub traffic_out: Traffic,
    /// Whether messages came in chunks.
    pub chunk_published: bool,
    /// Connected producers, by name.
    pub producers: Vec<ProducerStats>,
    /// Producers that wait for the topic.
    pub waiting_producers: u64,
    /// The most bytes that may wait for the slowest subscription.
    pub backlog_bytes_max: Option<u64>,
    /// The longest that a message may wait.
    pub backlog_age_max: Option<Duration>,
    /// Age of the oldest message that waits, where somebody looked.
    pub oldest_age: Option<Duration>,
    /// Whether messages that are sent again are known.
    pub deduplication: bool,
    /// How often its backlog was cut since it was loaded, since it held too much.
    pub evicted_by_size: u64,
    /// The same, since something in it was too old.
    pub evicted_by_age: u64,
    /// Subscriptions, by name.
    pub subscriptions: BTreeMap<String, SubscriptionStats>,
}

/// A producer's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProducerStats {
    /// Since it connected.
    pub traffic_in: Traffic,
    /// The client's number.
    pub producer_id: u64,
    /// Name.
    pub name: String,
    /// `Shared`, `Exclusive`, `WaitForExclusive` or `ExclusiveWithFencing`.
    pub access_mode: &'static str,
    /// `/ip:port`.
    pub address: String,
    /// When it connected.
    pub connected_since_ms: u64,
    /// The client's version.
    pub client_version: String,
    /// What the client says of it.
    pub metadata: BTreeMap<String, String>,
    /// Whether it makes partitions' producers only when needed.
    pub supports_partial: bool,
}

/// A subscription's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubscriptionStats {
    /// To its consumers, since the topic was loaded.
    pub traffic_out: Traffic,
    /// Of those, given out again; its bytes are not counted.
    pub redelivered: Traffic,
    /// Acknowledged messages; bytes are not counted.
    pub acknowledged: Traffic,
    /// Messages that were not acknowledged in time; bytes are not counted.
    pub expired: Traffic,
    /// Last time that some were not.
    pub last_expired_ms: u64,
    /// Entries not acknowledged.
    pub backlog_entries: u64,
    /// Entries held back until their time.
    pub delayed_entries: u64,
    /// Entries waiting to be given out again.
    pub replay_entries: u64,
    /// Messages given out and not acknowledged, on Shared and Key_Shared.
    pub unacked_messages: u64,
    /// Whether so many are unacknowledged that nothing is given out.
    pub blocked_on_unacked: bool,
    /// `Exclusive`, `Shared`, `Failover`, `Key_Shared`, or `None` before the first consumer.
    pub kind: Option<&'static str>,
    /// The consumer that is served, on Exclusive and Failover.
    pub active_consumer: Option<String>,
    /// Whether the place outlives the consumers.
    pub durable: bool,
    /// Whether consumers gave up order within a key.
    pub allow_out_of_order: bool,
    /// Connected consumers.
    pub consumers: Vec<ConsumerStats>,
    /// What the subscriber says of it.
    pub properties: BTreeMap<String, String>,
    /// Last permits from a consumer.
    pub last_flow_ms: u64,
    /// Last delivery.
    pub last_consumed_ms: u64,
    /// Last acknowledgement.
    pub last_acked_ms: u64,
    /// Where reading goes on, `(ledger, entry)`.
    pub read_position: Option<(u64, u64)>,
}

/// A consumer's figures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConsumerStats {
    /// Since it connected.
    pub traffic_out: Traffic,
    /// Of those, given out again; its bytes are not counted.
    pub redelivered: Traffic,
    /// Acknowledged messages; bytes are not counted.
    pub acknowledged: Traffic,
    /// Name.
    pub name: String,
    /// The client's number.
    pub consumer_id: u64,
    /// Messages it has room for; may be negative.
    pub permits: i64,
    /// Messages given out and not acknowledged, on Shared and Key_Shared.
    pub unacked_messages: u64,
    /// Mean messages of an entry.
    pub messages_per_entry: u32,
    /// Whether it holds too many.
    pub blocked_on_unacked: bool,
    /// `/ip:port`.
    pub address: String,
    /// When it connected.
    pub connected_since_ms: u64,
    /// The client's version.
    pub client_version: String,
    /// What the client says of it.
    pub metadata: BTreeMap<String, String>,
    /// Last permits.
    pub last_flow_ms: u64,
    /// Last delivery.
    pub last_consumed_ms: u64,
    /// Last acknowledgement.
    pub last_acked_ms: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_period_only() {
        let counter = Counter::default();
        counter.add(10, 1000);
        assert_eq!(counter.snapshot().messages_per_s, 0.0);
        counter.tick(Duration::from_secs(2));
        let traffic = counter.snapshot();
        assert_eq!((traffic.messages, traffic.messages_per_s, traffic.bytes_per_s), (10, 5.0, 500.0));
        assert_eq!(traffic.message_size(), 100.0);
        counter.tick(Duration::from_secs(2));
        assert_eq!((counter.snapshot().messages, counter.snapshot().messages_per_s), (10, 0.0));
    }
}
