//! What bounds a topic: plain data, named after Pulsar's keys.

use std::time::Duration;

/// Bounds and switches of all topics of a broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSettings {
    /// Entries that one read of a dispatcher takes at most: `dispatcherMaxReadBatchSize`.
    pub dispatch_read_entries_max: usize,
    /// Bytes that one read takes at most, one entry excepted: `dispatcherMaxReadSizeBytes`.
    pub dispatch_read_bytes_max: u64,
    /// Entries that one consumer of a Shared subscription gets in its turn: `dispatcherMaxRoundRobinBatchSize`.
    pub round_robin_entries_max: usize,
    /// Messages a consumer may hold unacknowledged, 0 for no bound: `maxUnackedMessagesPerConsumer`.
    pub unacked_per_consumer_max: u64,
    /// Messages all consumers of a subscription may hold, 0 for no bound: `maxUnackedMessagesPerSubscription`.
    pub unacked_per_subscription_max: u64,
    /// How long a new active consumer waits for the old one's acknowledgements: `activeConsumerFailoverDelayTimeMillis`.
    pub failover_delay: Duration,
    /// Whether a consumer may make a subscription: `allowAutoSubscriptionCreation`.
    pub auto_subscription_creation: bool,
    /// What names of producers begin with: `<cluster>-<instance>`. It must differ at every start of a broker, since a
    /// producer's name marks its messages for ever.
    pub producer_name_prefix: String,
    /// How the numbers of producers are kept.
    pub deduplication: DeduplicationSettings,
}

/// How the numbers of producers are kept, on topics that know what is sent again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeduplicationSettings {
    /// Producers of a topic whose numbers are kept: `brokerDeduplicationMaxNumberOfProducers`.
    pub producers_max: usize,
    /// Entries after which the numbers are recorded: `brokerDeduplicationEntriesInterval`.
    pub entries_interval: u64,
    /// Time after which they are: `brokerDeduplicationSnapshotIntervalSeconds`.
    pub record_interval: Duration,
    /// How long a producer is remembered that is gone: `brokerDeduplicationProducerInactivityTimeoutMinutes`.
    pub producer_gone_max: Duration,
}

impl Default for DeduplicationSettings {
    fn default() -> Self {
        Self {
            producers_max: 10_000,
            entries_interval: 1000,
            record_interval: Duration::from_secs(120),
            producer_gone_max: Duration::from_secs(360 * 60),
        }
    }
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            dispatch_read_entries_max: 100,
            dispatch_read_bytes_max: 5 * 1024 * 1024,
            round_robin_entries_max: 20,
            unacked_per_consumer_max: 50_000,
            unacked_per_subscription_max: 200_000,
            failover_delay: Duration::from_secs(1),
            auto_subscription_creation: true,
            producer_name_prefix: "standalone-0".to_owned(),
            deduplication: DeduplicationSettings::default(),
        }
    }
}
