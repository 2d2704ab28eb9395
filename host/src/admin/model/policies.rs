//! Namespace policies as clients send and see them.

use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::admin::error::AdminError;
use crate::namespace::{OffloadPolicies, Policies, RetentionPolicies};

/// Bundles of a namespace where nobody asked for another number.
const DEFAULT_BUNDLES: u64 = 4;
/// More are refused: each boundary is a text in every answer.
const BUNDLES_MAX: u64 = 1 << 16;

const BUNDLES: &str = "bundles";
const CLUSTERS: &str = "replication_clusters";
const OFFLOAD_POLICIES: &str = "offload_policies";

/// Retention as it is sent; what is left out is 0, as in the original.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(in crate::admin) struct RetentionBody {
    retention_time_in_minutes: i64,
    #[serde(rename = "retentionSizeInMB")]
    retention_size_in_mb: i64,
}

impl RetentionBody {
    /// Checked. A size below -1 counts as -1: a published tutorial of the original sets -10 GiB, which its newer versions
    /// refuse and its older ones take as unlimited.
    pub(in crate::admin) fn checked(self) -> Result<RetentionPolicies, AdminError> {
        let size = self.retention_size_in_mb;
        if size < -1 {
            tracing::warn!(retention_size_in_mb = size, "a retention size below -1 is taken as -1, unlimited");
        }
        let policies = RetentionPolicies {
            retention_time_in_minutes: self.retention_time_in_minutes,
            retention_size_in_mb: size.max(-1),
        };
        policies.validate()?;
        Ok(policies)
    }
}

/// The record of a new namespace from the body that creates it.
pub(in crate::admin) fn new_namespace(body: Option<Map<String, Value>>) -> Result<Policies, AdminError> {
    let mut body = body.unwrap_or_default();
    body.retain(|_, value| !value.is_null());
    if let Some(bundles) = body.get_mut(BUNDLES) {
        let count = bundles.get("numBundles").and_then(Value::as_u64).unwrap_or(DEFAULT_BUNDLES);
        if count == 0 || count > BUNDLES_MAX {
            let allowed = format!("Invalid number of bundles: {count}; allowed: 1 to {BUNDLES_MAX}");
            return Err(AdminError::bad_request(allowed));
        }
        *bundles = even_bundles(count);
    }
    let offload = match body.remove(OFFLOAD_POLICIES) {
        Some(Value::Object(object)) => Some(OffloadPolicies::from_client(object)),
        _ => None,
    };
    let mut policies: Policies = serde_json::from_value(Value::Object(body))
        .map_err(|error| AdminError::bad_request(format!("the policies are not understood: {error}")))?;
    policies.offload_policies = offload;
    if let Some(retention) = policies.retention_policies {
        retention.validate()?;
    }
    Ok(policies)
}

/// A namespace as the original shows it: what was set, and its class's defaults beside.
pub(in crate::admin) fn shown(policies: &Policies, cluster: &str) -> Value {
    let Ok(Value::Object(mut shown)) = serde_json::to_value(policies) else {
        unreachable!("policies are an object with text keys")
    };
    if let Some(offload) = &policies.offload_policies {
        shown.insert(OFFLOAD_POLICIES.to_owned(), offload.to_shown());
    }
    let defaults = [
        ("auth_policies", json!({"namespace_auth": {}, "destination_auth": {}, "subscription_auth_roles": {}})),
        (CLUSTERS, json!([cluster])),
        ("allowed_clusters", json!([])),
        (BUNDLES, even_bundles(DEFAULT_BUNDLES)),
        ("backlog_quota_map", json!({})),
        ("clusterDispatchRate", json!({})),
        ("topicDispatchRate", json!({})),
        ("subscriptionDispatchRate", json!({})),
        ("replicatorDispatchRate", json!({})),
        ("clusterSubscribeRate", json!({})),
        ("publishMaxMessageRate", json!({})),
        ("latency_stats_sample_rate", json!({})),
        ("deleted", json!(false)),
        ("encryption_required", json!(false)),
        ("subscription_auth_mode", json!("None")),
        ("schema_compatibility_strategy", json!("UNDEFINED")),
        ("is_allow_auto_update_schema", json!(true)),
        ("schema_validation_enforced", json!(false)),
        ("subscription_types_enabled", json!([])),
        ("properties", json!({})),
        ("migrated", json!(false)),
    ];
    for (name, default) in defaults {
        shown.entry(name).or_insert(default);
    }
    Value::Object(shown)
}

/// One field of [`shown`].
pub(in crate::admin) fn shown_field(policies: &Policies, cluster: &str, field: &str) -> Value {
    shown(policies, cluster).get_mut(field).map(Value::take).unwrap_or_default()
}

/// The hash range cut into `count` equal parts.
fn even_bundles(count: u64) -> Value {
    let size = (1_u64 << 32) / count;
    let starts = (0..count).map(|part| part * size).chain([u64::from(u32::MAX)]);
    let boundaries: Vec<_> = starts.map(|boundary| format!("{boundary:#010x}")).collect();
    json!({ "boundaries": boundaries, "numBundles": count })
}

/// The bundle that a topic is in, by the CRC-32 of its full name, as in the original: `0x40000000_0x80000000`.
pub(in crate::admin) fn bundle_of(policies: &Policies, topic: &str) -> String {
    let chosen = policies.others.get(BUNDLES).and_then(|bundles| bundles.get("numBundles")).and_then(Value::as_u64);
    let count = chosen.unwrap_or(DEFAULT_BUNDLES).clamp(1, BUNDLES_MAX);
    let size = (1_u64 << 32) / count;
    let part = (u64::from(crc32fast::hash(topic.as_bytes())) / size).min(count - 1);
    let end = if part + 1 == count { u64::from(u32::MAX) } else { (part + 1) * size };
    format!("{:#010x}_{end:#010x}", part * size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_chooses_the_number_of_bundles_within_bounds() {
        let body = |count: u64| json!({"bundles": {"numBundles": count}}).as_object().cloned();
        let policies = new_namespace(body(2)).unwrap();
        let bundles = shown_field(&policies, "c", BUNDLES);
        assert_eq!(bundles, json!({"boundaries": ["0x00000000", "0x80000000", "0xffffffff"], "numBundles": 2}));
        assert!(new_namespace(body(0)).is_err());
        assert!(new_namespace(body(u64::MAX)).is_err());
    }

    #[test]
    fn a_new_namespace_keeps_unknown_policies_and_filters_offload_ones() {
        let body = json!({"deduplicationEnabled": true, "retention_policies": null,
            "offload_policies": {"managedLedgerOffloadDriver": "filesystem", "offloadersDirectory": "/x"}});
        let policies = new_namespace(body.as_object().cloned()).unwrap();
        assert_eq!(shown_field(&policies, "c", "deduplicationEnabled"), json!(true));
        assert_eq!(shown_field(&policies, "c", OFFLOAD_POLICIES)["offloadersDirectory"], "./offloaders");
        assert_eq!(policies.retention_policies, None);
    }

    #[test]
    fn a_size_below_minus_one_is_unlimited_and_a_time_below_it_is_refused() {
        let body = |time, size| RetentionBody { retention_time_in_minutes: time, retention_size_in_mb: size }.checked();
        assert_eq!(body(4320, -10240).unwrap().retention_size_in_mb, -1);
        assert_eq!(body(-2, 1).unwrap_err().reason(), "Invalid retention policy: time limit must be >= -1");
    }
}
