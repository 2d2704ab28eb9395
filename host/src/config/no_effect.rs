//! Apache Pulsar's keys that are accepted without effect here, so that its own configuration files load in peace.
//!
//! Whole families stand by their first letters; a family never covers a key that has an effect (the table of
//! `settings.rs` is asked first). What would have protected something is not passed over in silence: see [`PROTECTIVE`].

/// Keys of one kind and why they have no effect.
#[derive(Debug)]
pub(super) struct Family {
    /// Why; completes "no effect here: …".
    pub reason: &'static str,
    /// How the names of whole families begin.
    pub prefixes: &'static [&'static str],
    /// Single names.
    pub names: &'static [&'static str],
}

/// All of them.
pub(super) const FAMILIES: &[Family] = &[
    Family {
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
        reason: "idle ledgers are looked for every second",
        prefixes: &[],
        names: &["statsUpdateFrequencyInSecs", "statsUpdateInitialDelayInSecs"],
    },
    Family { reason: "metrics always carry the topic", prefixes: &[], names: &["exposeTopicLevelMetricsInPrometheus"] },
    Family {
        reason: "offloadersConcurrentCallsMax bounds reads of cold copies",
        prefixes: &[],
        names: &["managedLedgerOffloadReadThreads"],
    },
    Family {
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
        reason: "one broker owns every topic",
        prefixes: &["loadBalancer", "loadManager", "namespaceBundle", "replication", "bootstrapNamespaces"],
        names: &["defaultNumberOfNamespaceBundles", "failureDomainsEnabled", "supportedNamespaceBundleSplitAlgorithms"],
    },
    Family {
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
        reason: "this broker has no TLS, no authentication and no authorization",
        prefixes: &["tls", "brokerClient", "authentic", "authoriz", "token", "saslJaas", "kinit", "athenz"],
        names: &[
            "anonymousUserRole",
            "basicAuthConf",
            "brokerServicePortTls",
            "encryptionRequireOnProducer",
            "haProxyProtocolEnabled",
            "proxyRoles",
            "superUserRoles",
            "webServicePortTls",
            "webServiceTlsProvider",
        ],
    },
    Family {
        reason: "this broker has no functions, transactions, WebSocket proxy or package store",
        prefixes: &["function", "transaction", "webSocket", "packages", "enablePackages"],
        names: &[],
    },
    Family {
        reason: "schemas are kept beside the topics' own records",
        prefixes: &["schema", "systemTopic"],
        names: &[],
    },
    Family {
        reason: "the numbers of producers are looked at every second",
        prefixes: &[],
        names: &["brokerDeduplicationSnapshotFrequencyInSeconds"],
    },
    Family {
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
            "httpMaxRequestHeaderSize",
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
            "maxHttpServerConnections",
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
            "splitTopicAndPartitionLabelInPrometheus",
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
    (
        "authenticationEnabled",
        "true",
        "this broker authenticates nobody: whoever reaches its ports may read, write and delete",
    ),
    (
        "authorizationEnabled",
        "true",
        "this broker has no permissions: whoever reaches its ports may read, write and delete",
    ),
    ("tlsEnabled", "true", "this broker speaks no TLS: its ports carry plain text"),
    ("brokerServicePortTls", "", "this broker speaks no TLS: nothing listens on that port"),
    ("webServicePortTls", "", "this broker speaks no TLS: nothing listens on that port"),
    ("encryptionRequireOnProducer", "true", "this broker accepts producers that do not encrypt"),
    ("journalSyncData", "false", "messages acknowledged just before a power cut are lost"),
];

/// Why `key` has no effect here, or `None` for a key that Apache Pulsar does not have either.
pub(super) fn reason(key: &str) -> Option<&'static str> {
    let covers =
        |family: &&Family| family.names.contains(&key) || family.prefixes.iter().any(|prefix| key.starts_with(prefix));
    FAMILIES.iter().find(covers).map(|family| family.reason)
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
            assert!(reason(key).is_some(), "{key}");
        }
        for key in ["", "managedLedgerOffloadDrivr", "brokerServicePorts", "x"] {
            assert_eq!(reason(key), None, "{key}");
        }
    }
}
