//! What is recorded of tenants, namespaces and topics: plain data in the original's JSON spelling.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::NamespaceError;
use super::offload_policies::OffloadPolicies;
use super::permissions::AuthPolicies;
use super::terms::{InactiveTopicPolicies, QuotaMap};
use crate::config::{Config, TopicKind};

/// A tenant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Tenant {
    /// Roles that may administer it.
    pub admin_roles: Vec<String>,
    /// Clusters that it may use.
    pub allowed_clusters: Vec<String>,
}

impl Policies {
    /// Of the namespace of a broker's health checks: nothing is kept, and no producer is remembered.
    pub(super) fn of_health_checks() -> Self {
        let none = RetentionPolicies { retention_time_in_minutes: 0, retention_size_in_mb: 0 };
        Self { retention_policies: Some(none), deduplication: Some(false), ..Self::default() }
    }
}

/// How much acknowledged data is kept; -1 is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RetentionPolicies {
    /// Minutes.
    pub retention_time_in_minutes: i64,
    /// Mebibytes.
    #[serde(rename = "retentionSizeInMB")]
    pub retention_size_in_mb: i64,
}

impl RetentionPolicies {
    /// Refuses what the original refuses, in its words.
    ///
    /// # Errors
    /// `Invalid`.
    pub fn validate(&self) -> Result<(), NamespaceError> {
        let (time, size) = (self.retention_time_in_minutes, self.retention_size_in_mb);
        let problem = if size < -1 {
            "size limit must be >= -1"
        } else if time < -1 {
            "time limit must be >= -1"
        } else if (time == 0) != (size == 0) {
            "Setting a single time or size limit to 0 is invalid when one of the limits has a non-zero value. \
             Use the value of -1 instead of 0 to ignore a specific limit. To disable retention both limits must be set to 0."
        } else {
            return Ok(());
        };
        Err(NamespaceError::Invalid(format!("Invalid retention policy: {problem}")))
    }
}

/// What a namespace says about topics that are made by first use.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AutoTopicCreation {
    /// Whether they are made.
    pub allow_auto_topic_creation: bool,
    /// `partitioned` or `non-partitioned`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub topic_type: Option<String>,
    /// With how many partitions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub default_num_partitions: Option<u32>,
}

impl AutoTopicCreation {
    /// The broker's rule.
    pub fn from_config(config: &Config) -> Self {
        let partitioned = config.auto_topic_kind == TopicKind::Partitioned;
        Self {
            allow_auto_topic_creation: config.allow_auto_topic_creation,
            topic_type: partitioned.then(|| "partitioned".to_owned()),
            default_num_partitions: partitioned.then_some(config.default_partition_count as u32),
        }
    }
}

/// A namespace. Only what was set is kept; what the admin shows beside is added there.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policies {
    /// Retention, `None` for the broker's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policies: Option<RetentionPolicies>,
    /// The older form of the byte threshold; -1 is unset.
    pub offload_threshold: i64,
    /// The older form of the time threshold, seconds; -1 is unset.
    pub offload_threshold_in_seconds: i64,
    /// The older form of the deletion lag, milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_deletion_lag_ms: Option<i64>,
    /// Offload policies, as far as they were set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_policies: Option<OffloadPolicies>,
    /// Topics made by first use.
    #[serde(rename = "autoTopicCreationOverride", skip_serializing_if = "Option::is_none")]
    pub auto_topic_creation: Option<AutoTopicCreation>,
    /// Seconds after which a message counts as acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_ttl_in_seconds: Option<i64>,
    /// Whether messages that are sent again are known.
    #[serde(rename = "deduplicationEnabled", skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<bool>,
    /// Seconds after which the numbers of producers are recorded.
    #[serde(rename = "deduplicationSnapshotIntervalSeconds", skip_serializing_if = "Option::is_none")]
    pub deduplication_interval: Option<i64>,
    /// How much may wait for the slowest subscription.
    #[serde(rename = "backlog_quota_map", skip_serializing_if = "QuotaMap::is_empty")]
    pub backlog_quotas: QuotaMap,
    /// Minutes after which a subscription that nobody uses is deleted; 0 is never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription_expiration_time_minutes: Option<i64>,
    /// When topics that nobody uses are deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inactive_topic_policies: Option<InactiveTopicPolicies>,
    /// What new schemas must stand up to; `UNDEFINED` leaves it to the broker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_compatibility_strategy: Option<String>,
    /// The older form of the strategy, which the newer one outranks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_auto_update_compatibility_strategy: Option<String>,
    /// Whether producers may bring new versions of schemas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub is_allow_auto_update_schema: Option<bool>,
    /// Whether producers without a schema are kept from topics that have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub schema_validation_enforced: Option<bool>,
    /// The original's settings for bookies, kept and shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Value>,
    /// What roles were granted.
    #[serde(skip_serializing_if = "AuthPolicies::is_empty")]
    pub auth_policies: AuthPolicies,
    /// Its clusters, where they were said; there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replication_clusters: Option<Vec<String>>,
    /// What operators wrote on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Whatever else a client sent: kept and shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

impl Default for Policies {
    fn default() -> Self {
        Self {
            retention_policies: None,
            offload_threshold: -1,
            offload_threshold_in_seconds: -1,
            offload_deletion_lag_ms: None,
            offload_policies: None,
            auto_topic_creation: None,
            message_ttl_in_seconds: None,
            deduplication: None,
            deduplication_interval: None,
            backlog_quotas: QuotaMap::new(),
            subscription_expiration_time_minutes: None,
            inactive_topic_policies: None,
            schema_compatibility_strategy: None,
            schema_auto_update_compatibility_strategy: None,
            is_allow_auto_update_schema: None,
            schema_validation_enforced: None,
            persistence: None,
            auth_policies: AuthPolicies::default(),
            replication_clusters: None,
            properties: BTreeMap::new(),
            others: Map::new(),
        }
    }
}

/// Policies of one topic, as far as they were set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TopicPolicies {
    /// Retention.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retention_policies: Option<RetentionPolicies>,
    /// Offload policies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offload_policies: Option<OffloadPolicies>,
    /// Seconds after which a message counts as acknowledged.
    #[serde(rename = "messageTTLInSeconds", skip_serializing_if = "Option::is_none")]
    pub message_ttl_in_seconds: Option<i64>,
    /// Whether messages that are sent again are known.
    #[serde(rename = "deduplicationEnabled", skip_serializing_if = "Option::is_none")]
    pub deduplication: Option<bool>,
    /// Seconds after which the numbers of producers are recorded.
    #[serde(rename = "deduplicationSnapshotIntervalSeconds", skip_serializing_if = "Option::is_none")]
    pub deduplication_interval: Option<i64>,
    /// How much may wait for the slowest subscription.
    #[serde(rename = "backlogQuotas", skip_serializing_if = "QuotaMap::is_empty")]
    pub backlog_quotas: QuotaMap,
    /// When the topic is deleted if nobody uses it.
    #[serde(rename = "inactiveTopicPolicies", skip_serializing_if = "Option::is_none")]
    pub inactive_topic_policies: Option<InactiveTopicPolicies>,
    /// What new schemas must stand up to.
    #[serde(rename = "schemaCompatibilityStrategy", skip_serializing_if = "Option::is_none")]
    pub schema_compatibility_strategy: Option<String>,
    /// Whether producers without a schema are kept out once there is one.
    #[serde(rename = "schemaValidationEnforced", skip_serializing_if = "Option::is_none")]
    pub schema_validation_enforced: Option<bool>,
    /// The original's settings for bookies, kept and shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub persistence: Option<Value>,
    /// What operators and clients wrote on it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// Policies that nothing here follows: kept and shown.
    #[serde(flatten)]
    pub others: Map<String, Value>,
}

/// A partitioned topic.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionedTopic {
    /// How many partitions.
    pub partitions: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retention_is_checked_in_the_originals_words() {
        let check = |time, size| {
            RetentionPolicies { retention_time_in_minutes: time, retention_size_in_mb: size }
                .validate()
                .map_err(|error| error.to_string())
        };
        assert_eq!(check(-1, -1), Ok(()));
        assert_eq!(check(0, 0), Ok(()));
        assert_eq!(check(2880, 100), Ok(()));
        assert_eq!(check(4320, -10240).unwrap_err(), "Invalid retention policy: size limit must be >= -1");
        assert_eq!(check(-2, 1).unwrap_err(), "Invalid retention policy: time limit must be >= -1");
        assert!(check(0, 1).unwrap_err().ends_with("To disable retention both limits must be set to 0."));
        assert!(check(-1, 0).is_err());
    }

    #[test]
    fn unknown_policies_survive_a_round_trip() {
        let json = r#"{"replication_clusters":["standalone"],"offload_threshold":5,"deduplicationEnabled":true}"#;
        let policies: Policies = serde_json::from_str(json).unwrap();
        assert_eq!(policies.offload_threshold, 5);
        let back: Value = serde_json::to_value(&policies).unwrap();
        assert_eq!(back["deduplicationEnabled"], true);
    }
}
