//! Broker, namespace and topic together: the settings of one managed ledger. Pure; the first level that sets a field wins,
//! topic before namespace before broker.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::explain::Level;
use super::offload_policies::OffloadPolicies;
use super::policies::{Policies, RetentionPolicies, TopicPolicies};
use super::terms::TermDefaults;
use crate::managed_ledger::offload_context::ReadPriority;
use crate::managed_ledger::rollover::RolloverLimits;
use crate::managed_ledger::trim::{DeletionLag, Retention};
use crate::managed_ledger::{ManagedLedgerSettings, OffloadPolicy};
use crate::storage::DriverSettings;

/// What the broker's configuration says where no policy does.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// The settings of a managed ledger without any policy; its `offload` is not used.
    pub managed_ledger: ManagedLedgerSettings,
    /// Retention.
    pub retention: RetentionPolicies,
    /// Offload keys of the file, in the policies' field names (file aliases resolved).
    pub offload_properties: BTreeMap<String, String>,
    /// Where drivers look for relative paths.
    pub search_folders: Vec<PathBuf>,
    /// The terms of topics' lives.
    pub terms: TermDefaults,
    /// The longest message in bytes, by which drivers know how long an entry may be.
    pub message_size_max_bytes: u64,
}

/// Under which drivers get [`Defaults::message_size_max_bytes`]. No policy sets it.
const MESSAGE_SIZE_MAX: &str = "maxMessageSize";

/// Spellings of the file for policies' fields; the field's own name wins where both are there.
const FILE_ALIASES: [(&str, &str); 3] = [
    ("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "managedLedgerOffloadThresholdInBytes"),
    ("managedLedgerOffloadDeletionLagMs", "managedLedgerOffloadDeletionLagInMillis"),
    ("managedLedgerDataReadPriority", "managedLedgerOffloadedReadPriority"),
];

/// Fields that decide when and how ledgers are copied, not how a driver is made.
const POLICY_FIELDS: [&str; 6] = [
    "managedLedgerOffloadDriver",
    "managedLedgerOffloadThresholdInBytes",
    "managedLedgerOffloadThresholdInSeconds",
    "managedLedgerOffloadDeletionLagInMillis",
    "managedLedgerOffloadedReadPriority",
    "managedLedgerOffloadMaxThreads",
];

/// Renames the file's spellings to the policies' fields.
pub fn resolve_aliases(mut properties: BTreeMap<String, String>) -> BTreeMap<String, String> {
    for (alias, field) in FILE_ALIASES {
        if let Some(value) = properties.remove(alias) {
            properties.entry(field.to_owned()).or_insert(value);
        }
    }
    properties
}

/// The offload keys in force for a topic, in the policies' field names.
pub fn offload_properties(
    defaults: &Defaults,
    namespace: &Policies,
    topic: &TopicPolicies,
) -> BTreeMap<String, String> {
    levels(defaults, namespace, topic).into_iter().flat_map(|(_, properties)| properties).collect()
}

/// What each level says, the weakest first.
pub(super) fn levels(
    defaults: &Defaults,
    namespace: &Policies,
    topic: &TopicPolicies,
) -> [(Level, BTreeMap<String, String>); 3] {
    let of = |policies: &Option<OffloadPolicies>| policies.as_ref().map(OffloadPolicies::to_properties);
    let mut of_namespace: BTreeMap<String, String> = older_fields(namespace).into_iter().collect();
    of_namespace.extend(of(&namespace.offload_policies).unwrap_or_default());
    [
        (Level::Broker, defaults.offload_properties.clone()),
        (Level::Namespace, of_namespace),
        (Level::Topic, of(&topic.offload_policies).unwrap_or_default()),
    ]
}

/// The namespace's older fields, which its policies object outranks.
fn older_fields(namespace: &Policies) -> Vec<(String, String)> {
    let threshold = |field: &str, value: i64| (value >= 0).then(|| (field.to_owned(), value.to_string()));
    let lag = namespace.offload_deletion_lag_ms;
    [
        threshold("managedLedgerOffloadThresholdInBytes", namespace.offload_threshold),
        threshold("managedLedgerOffloadThresholdInSeconds", namespace.offload_threshold_in_seconds),
        lag.map(|ms| ("managedLedgerOffloadDeletionLagInMillis".to_owned(), ms.to_string())),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The settings of one managed ledger.
pub fn managed_ledger_settings(
    defaults: &Defaults,
    namespace: &Policies,
    topic: &TopicPolicies,
) -> ManagedLedgerSettings {
    let retention = topic.retention_policies.or(namespace.retention_policies).unwrap_or(defaults.retention);
    let mut offload = offload_policy(offload_properties(defaults, namespace, topic), &defaults.search_folders);
    let longest = defaults.message_size_max_bytes.to_string();
    offload.driver_settings.properties.insert(MESSAGE_SIZE_MAX.to_owned(), longest);
    ManagedLedgerSettings { retention: limits(retention), offload, ..defaults.managed_ledger.clone() }
}

fn limits(retention: RetentionPolicies) -> Retention {
    Retention {
        time_ms: u64::try_from(retention.retention_time_in_minutes).ok().map(|minutes| minutes.saturating_mul(60_000)),
        size_bytes: u64::try_from(retention.retention_size_in_mb).ok().map(|mb| mb.saturating_mul(1 << 20)),
    }
}

fn offload_policy(mut properties: BTreeMap<String, String>, search_folders: &[PathBuf]) -> OffloadPolicy {
    let take = |field: &str| properties.remove(field).filter(|value| !value.is_empty());
    let [driver, threshold_bytes, threshold_seconds, lag, priority, _threads] = POLICY_FIELDS.map(take);
    let not_negative = |text: Option<String>| text.and_then(|text| text.trim().parse::<u64>().ok());
    OffloadPolicy {
        driver,
        threshold_bytes: not_negative(threshold_bytes),
        threshold_ms: not_negative(threshold_seconds).map(|seconds| seconds.saturating_mul(1000)),
        deletion_lag: not_negative(lag).map_or(DeletionLag::Never, DeletionLag::AfterMs),
        read_priority: match priority.unwrap_or_default().to_ascii_lowercase().replace('_', "-").as_str() {
            "bookkeeper-first" => ReadPriority::HotFirst,
            _ => ReadPriority::ColdFirst,
        },
        driver_settings: DriverSettings { properties, search_folders: search_folders.to_vec() },
    }
}

impl Defaults {
    /// Of the broker's settings: `mark_delete_rate_limit` writes a second become an interval, and so on.
    pub fn from_config(config: &crate::config::Config) -> Self {
        const MINUTE_MS: u64 = 60_000;
        let seconds_or_never = |seconds: u64| if seconds == 0 { u64::MAX } else { seconds.saturating_mul(1000) };
        let signed = |limit: Option<u64>| limit.map_or(-1, |limit| limit as i64);
        let interval_ms = 1000.0 / config.mark_delete_rate_limit.max(0.001);
        Self {
            managed_ledger: ManagedLedgerSettings {
                rollover: RolloverLimits {
                    entries_max: config.ledger_entries_max,
                    size_bytes_max: config.ledger_size_max_mbytes << 20,
                    age_min_ms: config.ledger_rollover_min_minutes * MINUTE_MS,
                    age_max_ms: config.ledger_rollover_max_minutes * MINUTE_MS,
                    idle_max_ms: Some(config.ledger_inactive_rollover_seconds * 1000).filter(|ms| *ms > 0),
                },
                retention: Retention { time_ms: None, size_bytes: None },
                offload: OffloadPolicy::default(),
                cursor_flush_interval_ms: interval_ms as u64,
                cursor_ranges_max: CURSOR_RANGES_MAX,
                cache_age_max_ms: CACHE_AGE_MAX_MS,
                idle_copy_max_ms: seconds_or_never(config.offloaded_ledger_eviction_seconds),
                copies_open_max: config.copies_open_max as usize,
            },
            retention: RetentionPolicies {
                retention_time_in_minutes: signed(config.default_retention_minutes),
                retention_size_in_mb: signed(config.default_retention_size_mb),
            },
            offload_properties: resolve_aliases(config.offload_properties.clone()),
            search_folders: config.search_folders.clone(),
            terms: TermDefaults::from_config(config),
            message_size_max_bytes: config.message_size_max_bytes,
        }
    }
}

impl Defaults {
    /// What drivers are made with where no policy says otherwise.
    pub fn driver_settings(&self) -> DriverSettings {
        managed_ledger_settings(self, &Policies::default(), &TopicPolicies::default()).offload.driver_settings
    }
}

/// Ranges of individual acknowledgements that a cursor's record keeps; the original's
/// `managedLedgerMaxUnackedRangesToPersist`.
const CURSOR_RANGES_MAX: usize = 10_000;
/// Milliseconds that an entry stays cached; the original's `managedLedgerCacheEvictionTimeThresholdMillis`.
const CACHE_AGE_MAX_MS: u64 = 1000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn set(value: serde_json::Value) -> Option<OffloadPolicies> {
        value.as_object().cloned().map(OffloadPolicies::from_client)
    }

    fn merged(broker: &[(&str, &str)], namespace: Policies, topic: TopicPolicies) -> OffloadPolicy {
        let broker = broker.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        let (config, _) = crate::config::Config::from_sources(&[]).unwrap();
        let defaults = Defaults { offload_properties: resolve_aliases(broker), ..Defaults::from_config(&config) };
        managed_ledger_settings(&defaults, &namespace, &topic).offload
    }

    #[test]
    fn the_first_level_that_sets_a_field_wins_and_shadows_nothing_else() {
        let broker = [
            ("managedLedgerOffloadDriver", "filesystem"),
            ("fileSystemURI", "file:///tier"),
            ("managedLedgerOffloadDeletionLagMs", "1000"),
            ("managedLedgerDataReadPriority", "bookkeeper-first"),
        ];
        let plain = merged(&broker, Policies::default(), TopicPolicies::default());
        assert_eq!(plain.driver.as_deref(), Some("filesystem"));
        assert_eq!(plain.deletion_lag, DeletionLag::AfterMs(1000));
        assert_eq!(plain.read_priority, ReadPriority::HotFirst);
        assert_eq!(plain.threshold_bytes, None);
        let given: Vec<&str> = plain.driver_settings.properties.keys().map(String::as_str).collect();
        assert_eq!(given, ["fileSystemURI", "maxMessageSize"]);
        assert_eq!(plain.driver_settings.properties["maxMessageSize"], "5242880");

        let namespace = Policies {
            offload_threshold: 7,
            offload_policies: set(json!({"managedLedgerOffloadedReadPriority": "TIERED_STORAGE_FIRST"})),
            ..Policies::default()
        };
        let topic = TopicPolicies {
            offload_policies: set(json!({"managedLedgerOffloadThresholdInBytes": 3})),
            ..TopicPolicies::default()
        };
        let with_both = merged(&broker, namespace, topic);
        assert_eq!(with_both.threshold_bytes, Some(3));
        assert_eq!(with_both.read_priority, ReadPriority::ColdFirst);
        assert_eq!(with_both.deletion_lag, DeletionLag::AfterMs(1000));
        assert_eq!(with_both.driver_settings, plain.driver_settings, "the same driver serves both");
    }

    #[test]
    fn negative_is_never_or_off() {
        let namespace = Policies { offload_deletion_lag_ms: Some(-1), ..Policies::default() };
        let policy = merged(
            &[
                ("managedLedgerOffloadDeletionLagMs", "5"),
                ("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "-1"),
                ("managedLedgerOffloadThresholdInSeconds", "0"),
            ],
            namespace,
            TopicPolicies::default(),
        );
        assert_eq!(policy.deletion_lag, DeletionLag::Never);
        assert_eq!(policy.threshold_bytes, None);
        assert_eq!(policy.threshold_ms, Some(0));
        assert_eq!(policy.driver, None);
    }
}
