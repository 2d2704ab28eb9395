//! The order in which the original shows the fields of what a broker answers.
//!
//! The original reads answers into classes and writes these out, so that its order is that of the classes, whatever came.
//! An answer that came in alphabetical order came without one, and is given this; any other stays as it is.

use crate::cli::tools::json_text::Json;

/// Fields of all objects, those of one object in its order.
const ORDER: &[&str] = &[
    // A cluster, a broker, a tenant.
    "serviceUrl",
    "serviceUrlTls",
    "brokerId",
    "brokerServiceUrl",
    "brokerServiceUrlTls",
    "proxyServiceUrl",
    "brokerClientTlsEnabled",
    "tlsAllowInsecureConnection",
    "brokerClientTlsEnabledWithKeyStore",
    "brokerClientTlsTrustStoreType",
    "brokerClientTlsKeyStoreType",
    "brokerClientSslFactoryPlugin",
    "adminRoles",
    "allowedClusters",
    // What is recorded of schemas.
    "info",
    "index",
    // All policies of a namespace.
    "auth_policies",
    "namespace_auth",
    "destination_auth",
    "subscription_auth_roles",
    "replication_clusters",
    "allowed_clusters",
    "bundles",
    "boundaries",
    "numBundles",
    "backlog_quota_map",
    "limit",
    "limitSize",
    "limitTime",
    "policy",
    "clusterDispatchRate",
    "topicDispatchRate",
    "subscriptionDispatchRate",
    "replicatorDispatchRate",
    "clusterSubscribeRate",
    "persistence",
    "autoTopicCreationOverride",
    "allowAutoTopicCreation",
    "topicType",
    "defaultNumPartitions",
    "publishMaxMessageRate",
    "latency_stats_sample_rate",
    "message_ttl_in_seconds",
    "retention_policies",
    "retentionTimeInMinutes",
    "retentionSizeInMB",
    "deleted",
    "encryption_required",
    "subscription_auth_mode",
    "offload_threshold",
    "offload_threshold_in_seconds",
    "offload_deletion_lag_ms",
    "schema_compatibility_strategy",
    "is_allow_auto_update_schema",
    "schema_validation_enforced",
    "offload_policies",
    "subscription_types_enabled",
    "properties",
    "migrated",
    // Offload policies.
    "offloadersDirectory",
    "managedLedgerOffloadDriver",
    "managedLedgerOffloadMaxThreads",
    "managedLedgerOffloadPrefetchRounds",
    "managedLedgerOffloadThresholdInSeconds",
    "managedLedgerOffloadThresholdInBytes",
    "managedLedgerOffloadDeletionLagInMillis",
    "managedLedgerOffloadedReadPriority",
    "managedLedgerExtraConfigurations",
    "s3ManagedLedgerOffloadRegion",
    "s3ManagedLedgerOffloadBucket",
    "s3ManagedLedgerOffloadServiceEndpoint",
    "s3ManagedLedgerOffloadMaxBlockSizeInBytes",
    "s3ManagedLedgerOffloadReadBufferSizeInBytes",
    "s3ManagedLedgerOffloadCredentialId",
    "s3ManagedLedgerOffloadCredentialSecret",
    "s3ManagedLedgerOffloadRole",
    "s3ManagedLedgerOffloadRoleSessionName",
    "gcsManagedLedgerOffloadRegion",
    "gcsManagedLedgerOffloadBucket",
    "gcsManagedLedgerOffloadMaxBlockSizeInBytes",
    "gcsManagedLedgerOffloadReadBufferSizeInBytes",
    "fileSystemProfilePath",
    "fileSystemURI",
    "managedLedgerOffloadBucket",
    "managedLedgerOffloadRegion",
    "managedLedgerOffloadServiceEndpoint",
    "managedLedgerOffloadMaxBlockSizeInBytes",
    "managedLedgerOffloadReadBufferSizeInBytes",
    "s3Driver",
    "gcsDriver",
    "fileSystemDriver",
    // The policy of replicas.
    "bookkeeperEnsemble",
    "bookkeeperWriteQuorum",
    "bookkeeperAckQuorum",
    "managedLedgerMaxMarkDeleteRate",
    // A message's id.
    "ledgerId",
    "entryId",
    "partitionIndex",
    "batchIndex",
    "batchSize",
    // Internal statistics of a topic.
    "entriesAddedCounter",
    "numberOfEntries",
    "totalSize",
    "currentLedgerEntries",
    "currentLedgerSize",
    "lastLedgerCreatedTimestamp",
    "waitingCursorsCount",
    "pendingAddEntriesCount",
    "lastConfirmedEntry",
    "markDeletePosition",
    "readPosition",
    "waitingReadOp",
    "pendingReadOps",
    "messagesConsumedCounter",
    "cursorLedger",
    "cursorLedgerLastEntry",
    "individuallyDeletedMessages",
    "lastLedgerSwitchTimestamp",
    "state",
    "active",
    "numberOfEntriesSinceFirstNotAckedMessage",
    "totalNonContiguousDeletedMessagesRange",
    "subscriptionHavePendingRead",
    "subscriptionHavePendingReplayRead",
    "ledgers",
    "entries",
    "size",
    "offloaded",
    "underReplicated",
    "cursors",
    "schemaLedgers",
    "compactedLedger",
    // Statistics of a topic, its producers, subscriptions and consumers.
    "accessMode",
    "msgRateIn",
    "msgThroughputIn",
    "msgRateOut",
    "msgThroughputOut",
    "bytesInCounter",
    "msgInCounter",
    "systemTopicBytesInCounter",
    "bytesOutCounter",
    "msgOutCounter",
    "bytesOutInternalCounter",
    "msgRateRedeliver",
    "messageAckRate",
    "chunkedMessageRate",
    "consumerName",
    "availablePermits",
    "msgBacklog",
    "averageMsgSize",
    "msgChunkPublished",
    "storageSize",
    "backlogSize",
    "backlogQuotaLimitSize",
    "backlogQuotaLimitTime",
    "oldestBacklogMessageAgeSeconds",
    "publishRateLimitedTimes",
    "earliestMsgPublishTimeInBacklogs",
    "offloadedStorageSize",
    "lastOffloadLedgerId",
    "lastOffloadSuccessTimeStamp",
    "lastOffloadFailureTimeStamp",
    "ongoingTxnCount",
    "abortedTxnCount",
    "committedTxnCount",
    "publishers",
    "waitingPublishers",
    "subscriptions",
    "replication",
    "deduplicationStatus",
    "earliestMsgPublishTimeInBacklog",
    "msgBacklogNoDelayed",
    "blockedSubscriptionOnUnackedMsgs",
    "msgDelayed",
    "msgInReplay",
    "unackedMessages",
    "avgMessagesPerEntry",
    "blockedConsumerOnUnackedMsgs",
    "type",
    "activeConsumerName",
    "msgRateExpired",
    "totalMsgExpired",
    "lastExpireTimestamp",
    "lastConsumedFlowTimestamp",
    "lastConsumedTimestamp",
    "lastAckedTimestamp",
    "lastMarkDeleteAdvancedTimestamp",
    "consumers",
    "isDurable",
    "isReplicated",
    "allowOutOfOrderDelivery",
    "consumersAfterMarkDeletePosition",
    "drainingHashesCount",
    "drainingHashesClearedTotal",
    "drainingHashesUnackedMessages",
    "producerId",
    "supportsPartialProducer",
    "producerName",
    "address",
    "connectedSince",
    "clientVersion",
    "nonContiguousDeletedMessagesRanges",
    "nonContiguousDeletedMessagesRangesSerializedSize",
    "delayedMessageIndexSizeInBytes",
    "subscriptionProperties",
    "filterProcessedMsgCount",
    "filterAcceptedMsgCount",
    "filterRejectedMsgCount",
    "filterRescheduledMsgCount",
    "dispatchThrottledMsgEventsBySubscriptionLimit",
    "dispatchThrottledBytesEventsBySubscriptionLimit",
    "dispatchThrottledMsgEventsByTopicLimit",
    "dispatchThrottledBytesEventsByTopicLimit",
    "dispatchThrottledMsgEventsByBrokerLimit",
    "dispatchThrottledBytesEventsByBrokerLimit",
    "durable",
    "replicated",
    "compaction",
    "lastCompactionRemovedEventCount",
    "lastCompactionSucceedTimestamp",
    "lastCompactionFailedTimestamp",
    "lastCompactionDurationTimeInMills",
    "lastAckedTime",
    "lastConsumedTime",
    "metadata",
    "ownerBroker",
    "partitions",
];

/// `json` in the original's order, where it came without one.
pub(super) fn ordered(json: Json) -> Json {
    match json {
        Json::Object(pairs) => {
            let had_none = pairs.is_sorted_by(|(one, _), (other, _)| one < other);
            let mut pairs: Vec<_> = pairs.into_iter().map(|(key, value)| (key, ordered(value))).collect();
            if had_none {
                // Stable: what is not known stays behind, as it came.
                pairs.sort_by_key(|(key, value)| match (key.as_str(), value) {
                    // The count of partitions comes first where it is a number, the partitions last.
                    ("partitions", Json::Number(_)) => 0,
                    (key, _) => place(key),
                });
            }
            Json::Object(pairs)
        }
        Json::List(items) => Json::List(items.into_iter().map(ordered).collect()),
        plain => plain,
    }
}

fn place(key: &str) -> usize {
    ORDER.iter().position(|known| *known == key).unwrap_or(ORDER.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> String {
        ordered(serde_json::from_str(text).unwrap()).to_string()
    }

    #[test]
    fn only_what_came_without_an_order_is_given_one() {
        assert_eq!(of(r#"{"entryId":1,"ledgerId":2,"x":3}"#), r#"{"ledgerId":2,"entryId":1,"x":3}"#);
        assert_eq!(of(r#"{"x":3,"entryId":1,"ledgerId":2}"#), r#"{"x":3,"entryId":1,"ledgerId":2}"#);
        assert_eq!(of(r#"[{"a":{"size":1,"state":2}}]"#), r#"[{"a":{"state":2,"size":1}}]"#);
    }

    #[test]
    fn every_field_has_one_place() {
        let all: std::collections::BTreeSet<_> = ORDER.iter().collect();
        assert_eq!(all.len(), ORDER.len());
    }
}
