//! Apache Pulsar's keys that are accepted without effect here, so that its own configuration files load in peace.
//!
//! Whole families stand by their first letters; a family never covers a key that has an effect (the table of
//! `settings.rs` is asked first). What would have protected something is not passed over in silence: see [`PROTECTIVE`].

use std::collections::HashMap;

use super::properties;

/// Keys of one kind and why they have no effect.
#[derive(Debug)]
pub(super) struct Family {
    /// Whether it matters to somebody that the key is not followed.
    pub weight: Weight,
    /// Why; completes "no effect here: …".
    pub reason: &'static str,
    /// How the names of whole families begin.
    pub prefixes: &'static [&'static str],
    /// Single names.
    pub names: &'static [&'static str],
}

/// What becomes of a broker whose keys are not followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weight {
    /// The same by other means, or something that nobody outside can tell.
    Harmless,
    /// Clients or operators see a broker that behaves otherwise.
    Behaviour,
}
use Weight::{Behaviour, Harmless};

/// All of them.
pub(super) const FAMILIES: &[Family] = &[
    Family {
        weight: Harmless,
        reason: "metadata lives in one file under longshoreDataDirectory",
        prefixes: &[
            "metadataStore",
            "configurationMetadataStore",
            "zookeeper",
            "zooKeeper",
            "globalZookeeper",
            "configurationStore",
        ],
        names: &[
            "managedLedgerMaxUnackedRangesToPersistInMetadataStore",
            "managedLedgerMaxUnackedRangesToPersistInZooKeeper",
            "managedLedgerMetadataOperationsTimeoutSeconds",
        ],
    },
    Family {
        weight: Harmless,
        reason: "idle ledgers are looked for every second",
        prefixes: &[],
        names: &["statsUpdateFrequencyInSecs", "statsUpdateInitialDelayInSecs"],
    },
    Family {
        weight: Harmless,
        reason: "offloadersConcurrentCallsMax bounds reads of cold copies",
        prefixes: &[],
        names: &["managedLedgerOffloadReadThreads"],
    },
    Family {
        weight: Harmless,
        reason: "hot ledgers live in segment files of this process",
        prefixes: &[
            "bookkeeper",
            "bookie",
            "dbStorage_",
            "diskUsage",
            "managedLedgerDefault",
            "majorCompaction",
            "minorCompaction",
            "journal",
        ],
        names: &[
            "allowEphemeralPorts",
            "allowLoopback",
            "flushInterval",
            "gcWaitTime",
            "ledgerDirectories",
            "ledgerStorageClass",
            "managedLedgerAddEntryTimeoutSeconds",
            "managedLedgerCursorMaxEntriesPerLedger",
            "managedLedgerCursorRolloverTimeInSeconds",
            "managedLedgerDigestType",
            "managedLedgerPassword",
            "managedLedgerReadEntryTimeoutSeconds",
            "nettyMaxFrameSizeBytes",
        ],
    },
    Family {
        weight: Harmless,
        reason: "one broker owns every topic",
        prefixes: &["loadBalancer", "loadManager", "namespaceBundle", "replication", "bootstrapNamespaces"],
        names: &["defaultNumberOfNamespaceBundles", "failureDomainsEnabled", "supportedNamespaceBundleSplitAlgorithms"],
    },
    Family {
        weight: Behaviour,
        reason: "drivers are shared libraries, not NAR packages",
        prefixes: &[
            "nar",
            "protocolHandler",
            "messagingProtocols",
            "brokerInterceptor",
            "brokerEntry",
            "entryFilter",
            "additionalServlet",
        ],
        names: &[],
    },
    Family {
        weight: Harmless,
        reason: "threads and memory follow tokio's runtime and this file's own bounds",
        prefixes: &["num", "managedLedgerNum", "jvmGC", "managedLedgerCacheEviction"],
        names: &[
            "brokerShutdownTimeoutMs",
            "managedLedgerCacheCopyEntries",
            "managedLedgerCursorBackloggedThreshold",
            "managedLedgerMaxBacklogBetweenCursorsForCaching",
            "managedLedgerMinimumBacklogCursorsForCaching",
            "managedLedgerMinimumBacklogEntriesForCaching",
            "managedLedgerNewEntriesCheckDelayInMillis",
            "managedLedgerPrometheusStatsLatencyRolloverSeconds",
            "managedLedgerTraceTaskExecution",
            "managedLedgerUnackedRangesOpenCacheSetEnabled",
            "skipBrokerShutdownOnOOM",
        ],
    },
    Family {
        weight: Behaviour,
        reason: "of this, this broker has tokens, permissions and certificates only",
        prefixes: &["tls", "brokerClient", "authentic", "authoriz", "token", "saslJaas", "kinit", "athenz"],
        names: &[
            "basicAuthConf",
            "encryptionRequireOnProducer",
            "haProxyProtocolEnabled",
            "proxyRoles",
            "webServiceTlsProvider",
        ],
    },
    Family {
        weight: Behaviour,
        reason: "this broker has no functions, transactions, WebSocket proxy or package store",
        prefixes: &["function", "transaction", "webSocket", "packages", "enablePackages"],
        names: &[],
    },
    Family {
        weight: Harmless,
        reason: "schemas are kept beside the topics' own records",
        prefixes: &["schema", "systemTopic"],
        names: &[],
    },
    Family {
        weight: Harmless,
        reason: "the numbers of producers are looked at every second",
        prefixes: &[],
        names: &["brokerDeduplicationSnapshotFrequencyInSeconds"],
    },
    Family {
        weight: Behaviour,
        reason: "not offered by this broker",
        prefixes: &[
            "brokerPublisherThrottling",
            "dispatchThrottling",
            "subscriptionKeyShared",
            "topicPublisherThrottling",
            "delayedDelivery",
        ],
        names: &[
            "acknowledgmentAtBatchIndexLevelEnabled",
            "activeConsumerFailoverConsistentHashing",
            "activeConsumerFailoverDelayTimeMillis",
            "aggregatePublisherStatsByProducerName",
            "allowOverrideEntryFilters",
            "autoSkipNonRecoverableData",
            "backlogQuotaDefaultLimitGB",
            "bindAddresses",
            "brokerDeleteInactivePartitionedTopicMetadataEnabled",
            "brokerMaxConnections",
            "brokerMaxConnectionsPerIp",
            "brokerServiceCompactionMonitorIntervalInSeconds",
            "brokerServiceCompactionPhaseOneLoopTimeInSeconds",
            "brokerServiceCompactionThresholdInBytes",
            "brokerServicePurgeInactiveFrequencyInSeconds",
            "clientLibraryVersionCheckEnabled",
            "clusterMigrationAutoResourceCreation",
            "clusterMigrationCheckDurationSeconds",
            "compactionServiceFactoryClassName",
            "configurationMetadataSyncEventTopic",
            "createTopicToRemoteClusterForReplication",
            "defaultNamespaceBundleSplitAlgorithm",
            "disableBrokerInterceptors",
            "disableHttpDebugMethods",
            "dispatchRateLimiterFactoryClassName",
            "dispatcherDispatchMessagesInSubscriptionThread",
            "dispatcherMinReadBatchSize",
            "dispatcherPauseOnAckStatePersistentEnabled",
            "dispatcherReadFailureBackoffInitialTimeInMs",
            "dispatcherReadFailureBackoffMandatoryStopTimeInMs",
            "dispatcherReadFailureBackoffMaxTimeInMs",
            "dispatcherRetryBackoffInitialTimeInMs",
            "dispatcherRetryBackoffMaxTimeInMs",
            "enableBrokerSideSubscriptionPatternEvaluation",
            "enableBusyWait",
            "enableNonPersistentTopics",
            "enablePersistentTopics",
            "enableReplicatedSubscriptions",
            "enableRunBookieAutoRecoveryTogether",
            "enableRunBookieTogether",
            "exposeBundlesMetricsInPrometheus",
            "exposeConsumerLevelMetricsInPrometheus",
            "exposeManagedCursorMetricsInPrometheus",
            "exposeManagedLedgerMetricsInPrometheus",
            "exposePreciseBacklogInPrometheus",
            "exposeProducerLevelMetricsInPrometheus",
            "exposePublisherStats",
            "healthCheckMetricsUpdateTimeInSeconds",
            "httpMaxRequestSize",
            "httpRequestsLimitEnabled",
            "httpRequestsMaxPerSecond",
            "httpServerAcceptQueueSize",
            "httpServerThreadPoolQueueSize",
            "isDelayedDeliveryDeliverAtTimeStrict",
            "isRunningStandalone",
            "keySharedLookAheadMsgInReplayThresholdPerConsumer",
            "keySharedLookAheadMsgInReplayThresholdPerSubscription",
            "lazyCursorRecovery",
            "loadBalanceSheddingDelayInSeconds",
            "lowerBoundarySheddingEnabled",
            "managedCursorInfoCompressionThresholdInBytes",
            "managedCursorInfoCompressionType",
            "managedLedgerCursorPositionFlushSeconds",
            "managedLedgerInfoCompressionThresholdInBytes",
            "managedLedgerInfoCompressionType",
            "managedLedgerMaxBatchDeletedIndexToPersist",
            "managedLedgerMaxReadsInFlightSizeInMB",
            "managedLedgerMaxUnackedRangesToPersist",
            "managedLedgerPersistIndividualAckAsLongArray",
            "maxActiveTransactionsPerCoordinator",
            "maxConcurrentHttpRequests",
            "maxConcurrentLookupRequest",
            "maxConcurrentNonPersistentMessagePerConnection",
            "maxConcurrentTopicLoadRequest",
            "maxConsumersPerSubscription",
            "maxConsumersPerTopic",
            "maxMessageSizeCheckIntervalInSeconds",
            "maxNamespacesPerTenant",
            "maxNumPartitionsPerPartitionedTopic",
            "maxProducersPerTopic",
            "maxPublishRatePerTopicInBytes",
            "maxPublishRatePerTopicInMessages",
            "maxSameAddressConsumersPerTopic",
            "maxSameAddressProducersPerTopic",
            "maxSecondsToClearTopicNameCache",
            "maxSubscriptionsPerTopic",
            "maxTenants",
            "maxTopicsPerNamespace",
            "maxUnackedMessagesPerBroker",
            "maxUnackedMessagesPerSubscription",
            "maxUnackedMessagesPerSubscriptionOnBrokerBlocked",
            "maxUnloadPercentage",
            "metadataSyncEventTopic",
            "metricsBufferResponse",
            "metricsServletTimeoutMs",
            "persistentUnackedRangesWithMultipleEntriesEnabled",
            "preciseDispatcherFlowControl",
            "preciseTopicPublishRateLimiterEnable",
            "preferLaterVersions",
            "replicatedSubscriptionsSnapshotFrequencyMillis",
            "replicatedSubscriptionsSnapshotMaxCachedPerSubscription",
            "replicatedSubscriptionsSnapshotTimeoutSeconds",
            "replicatorPrefix",
            "statusFilePath",
            "strictBookieAffinityEnabled",
            "strictlyVerifySubscriptionName",
            "subscribeRatePeriodPerConsumerInSecond",
            "subscribeThrottlingRatePerConsumer",
            "subscriptionBacklogScanMaxEntries",
            "subscriptionBacklogScanMaxTimeMs",
            "subscriptionPatternMaxLength",
            "subscriptionRedeliveryTrackerEnabled",
            "subscriptionTypesEnabled",
            "topicBundleAssignmentStrategy",
            "topicCompactionRetainNullKey",
            "topicFactoryClassName",
            "topicFencingTimeoutSeconds",
            "topicLevelPoliciesEnabled",
            "topicNameCacheMaxCapacity",
            "topicOrderedExecutorThreadNum",
            "topicsPatternRegexImplementation",
            "unblockStuckSubscriptionEnabled",
            "webServiceHaProxyProtocolEnabled",
            "webServiceLogDetailedAddresses",
            "webServiceTlsCiphers",
            "webServiceTlsProtocols",
            "webServiceTrustXForwardedFor",
        ],
    },
];

/// Keys whose value deserves a warning, mostly since somebody may rely on it for protection: (key, the value that is
/// warned of or empty for any, sentence).
pub(super) const PROTECTIVE: &[(&str, &str, &str)] = &[
    ("tlsEnabled", "true", "TLS listens where brokerServicePortTls and webServicePortTls say, and nowhere else"),
    ("encryptionRequireOnProducer", "true", "this broker accepts producers that do not encrypt"),
    ("journalSyncData", "false", "messages acknowledged just before a power cut are lost"),
];

/// The family of a key that has no effect here, or `None` for one that Apache Pulsar does not have either.
pub(super) fn family(key: &str) -> Option<&'static Family> {
    let covers =
        |family: &&Family| family.names.contains(&key) || family.prefixes.iter().any(|prefix| key.starts_with(prefix));
    FAMILIES.iter().find(covers)
}

/// What the original's own file says of its keys.
const SHIPPED_BY_THE_ORIGINAL: &str = include_str!("pulsar-4.0.6.properties");

/// Values by key, of the file that the original ships.
pub(super) fn shipped_values() -> HashMap<String, String> {
    let (properties, _) = properties::parse(SHIPPED_BY_THE_ORIGINAL);
    properties.into_iter().map(|property| (property.key, property.value)).collect()
}

/// Whether a value asks for something that the original does not do by itself. A key that its file leaves out asks for nothing
/// where its value says no.
pub(super) fn is_asked_for(shipped: Option<&String>, value: &str) -> bool {
    match shipped {
        Some(shipped) => !shipped.eq_ignore_ascii_case(value),
        None => !["", "0", "-1", "false"].contains(&value.to_ascii_lowercase().as_str()),
    }
}

/// All single names, for finding the one that a mistyped name was meant to be.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    FAMILIES.iter().flat_map(|family| family.names.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_no_family_covers_them_twice() {
        for family in FAMILIES {
            assert!(family.names.is_sorted(), "{}", family.reason);
            let covered =
                family.names.iter().find(|name| family.prefixes.iter().any(|prefix| name.starts_with(prefix)));
            assert_eq!(covered, None);
        }
    }

    #[test]
    fn families_and_names_are_known_and_other_names_are_not() {
        for key in [
            "zookeeperServers",
            "bookkeeperClientTimeoutInSeconds",
            "loadBalancerEnabled",
            "narExtractionDirectory",
            "tlsEnabled",
        ] {
            assert!(family(key).is_some(), "{key}");
        }
        for key in ["", "managedLedgerOffloadDrivr", "brokerServicePorts", "x"] {
            assert!(family(key).is_none(), "{key}");
        }
    }
}
