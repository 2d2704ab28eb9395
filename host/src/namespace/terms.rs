//! The terms of a topic's life from the policies of its topic, its namespace and the broker: the first level that sets one
//! wins. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::NamespaceError;
use super::policies::{Policies, TopicPolicies};
use crate::config::Config;
use crate::schema::Strategy;
use crate::topic::terms::{BacklogQuotas, InactiveRule, Quota, QuotaAction, SchemaTerms, Terms};

/// Under which name a quota of bytes is kept.
pub const BYTES_QUOTA: &str = "destination_storage";
/// Under which name a quota of age is kept.
pub const AGE_QUOTA: &str = "message_age";

/// Quotas by [`BYTES_QUOTA`] and [`AGE_QUOTA`].
pub type QuotaMap = BTreeMap<String, BacklogQuota>;

/// How much may wait, as clients say it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BacklogQuota {
    /// Bytes, as old clients say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
    /// Bytes; negative for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_size: Option<i64>,
    /// Seconds; negative for no bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit_time: Option<i64>,
    /// What happens beyond it.
    pub policy: String,
}

impl BacklogQuota {
    fn action(&self) -> Option<QuotaAction> {
        Some(match self.policy.as_str() {
            "producer_request_hold" => QuotaAction::HoldProducers,
            "producer_exception" => QuotaAction::FailProducers,
            "consumer_backlog_eviction" => QuotaAction::Evict,
            _ => return None,
        })
    }

    fn bytes(&self) -> Option<u64> {
        u64::try_from(self.limit_size.or(self.limit)?).ok()
    }

    fn age(&self) -> Option<Duration> {
        Some(Duration::from_secs(u64::try_from(self.limit_time?).ok()?))
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// `Refused`.
    pub fn validate(&self) -> Result<(), NamespaceError> {
        if self.action().is_none() {
            let allowed = "producer_request_hold, producer_exception, consumer_backlog_eviction";
            return Err(NamespaceError::Refused(format!(
                "Unknown backlog quota policy `{}`; allowed: {allowed}",
                self.policy
            )));
        }
        Ok(())
    }
}

/// When topics that nobody uses are deleted, as clients say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct InactiveTopicPolicies {
    /// `delete_when_no_subscriptions` or `delete_when_subscriptions_caught_up`.
    pub inactive_topic_delete_mode: String,
    /// Seconds.
    pub max_inactive_duration_seconds: u64,
    /// Whether they are deleted at all.
    pub delete_while_inactive: bool,
}

const NO_SUBSCRIPTIONS: &str = "delete_when_no_subscriptions";
const CAUGHT_UP: &str = "delete_when_subscriptions_caught_up";

impl Default for InactiveTopicPolicies {
    fn default() -> Self {
        Self {
            inactive_topic_delete_mode: NO_SUBSCRIPTIONS.to_owned(),
            max_inactive_duration_seconds: 0,
            delete_while_inactive: false,
        }
    }
}

impl InactiveTopicPolicies {
    /// The broker's.
    pub fn from_config(config: &Config) -> Self {
        Self {
            inactive_topic_delete_mode: config.delete_inactive_topics_mode.replace('-', "_"),
            max_inactive_duration_seconds: config
                .delete_inactive_topics_after_seconds
                .unwrap_or(config.delete_inactive_topics_check_seconds),
            delete_while_inactive: config.delete_inactive_topics,
        }
    }

    /// Refuses what cannot be meant.
    ///
    /// # Errors
    /// `Refused`.
    pub fn validate(&self) -> Result<(), NamespaceError> {
        let mode = &self.inactive_topic_delete_mode;
        if [NO_SUBSCRIPTIONS, CAUGHT_UP].contains(&mode.as_str()) {
            return Ok(());
        }
        let allowed = format!("{NO_SUBSCRIPTIONS}, {CAUGHT_UP}");
        Err(NamespaceError::Refused(format!("Unknown mode `{mode}` of deleting inactive topics; allowed: {allowed}")))
    }

    fn rule(&self) -> Option<InactiveRule> {
        self.delete_while_inactive.then(|| InactiveRule {
            even_with_subscriptions: self.inactive_topic_delete_mode == CAUGHT_UP,
            after: Duration::from_secs(self.max_inactive_duration_seconds),
        })
    }
}

/// What the broker's configuration says.
#[derive(Clone, Debug, PartialEq)]
pub struct TermDefaults {
    /// Seconds after which messages expire.
    pub message_ttl_in_seconds: Option<u64>,
    /// Whether messages that are sent again are known.
    pub deduplication: bool,
    /// Quotas.
    pub backlog: QuotaMap,
    /// Minutes.
    pub subscription_expiration_minutes: Option<u64>,
    /// Deletion of topics.
    pub inactive: InactiveTopicPolicies,
    /// Schemas.
    pub schema: SchemaTerms,
}

impl TermDefaults {
    /// Of the broker's settings.
    pub fn from_config(config: &Config) -> Self {
        let policy = config.backlog_quota_policy.replace('-', "_");
        let quota = |limit_size: Option<u64>, limit_time: Option<u64>| BacklogQuota {
            limit_size: Some(limit_size.map_or(-1, |bytes| bytes as i64)),
            limit_time: Some(limit_time.map_or(-1, |seconds| seconds as i64)),
            policy: policy.clone(),
            ..BacklogQuota::default()
        };
        let (bytes, seconds) = (config.backlog_quota_bytes, config.backlog_quota_seconds);
        let backlog = [(BYTES_QUOTA, quota(bytes, None)), (AGE_QUOTA, quota(None, seconds))];
        Self {
            message_ttl_in_seconds: Some(config.message_ttl_seconds).filter(|seconds| *seconds > 0),
            deduplication: config.deduplication,
            backlog: backlog.map(|(name, quota)| (name.to_owned(), quota)).into(),
            subscription_expiration_minutes: Some(config.subscription_expiration_minutes)
                .filter(|minutes| *minutes > 0),
            inactive: InactiveTopicPolicies::from_config(config),
            schema: SchemaTerms {
                strategy: Strategy::named(&config.schema_compatibility_strategy.replace('-', "_")).unwrap_or_default(),
                updates_allowed: config.allow_auto_update_schema,
                required: config.schema_validation_enforced,
            },
        }
    }
}

/// The terms of one topic.
pub fn terms(defaults: &TermDefaults, namespace: &Policies, topic: &TopicPolicies) -> Terms {
    let ttl = topic.message_ttl_in_seconds.or(namespace.message_ttl_in_seconds);
    let ttl = ttl.map_or(defaults.message_ttl_in_seconds, |seconds| u64::try_from(seconds).ok());
    let expiration = namespace.subscription_expiration_time_minutes;
    let expiration = expiration.map_or(defaults.subscription_expiration_minutes, |minutes| u64::try_from(minutes).ok());
    Terms {
        message_ttl: ttl.filter(|seconds| *seconds > 0).map(Duration::from_secs),
        deduplication: topic.deduplication.or(namespace.deduplication).unwrap_or(defaults.deduplication),
        deduplication_interval: topic
            .deduplication_interval
            .or(namespace.deduplication_interval)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .filter(|seconds| *seconds > 0)
            .map(Duration::from_secs),
        backlog: backlog(defaults, namespace, topic),
        subscription_expiry: expiration
            .filter(|minutes| *minutes > 0)
            .map(|minutes| Duration::from_secs(minutes.saturating_mul(60))),
        inactive: inactive(defaults, namespace, topic).rule(),
        schema: schema(defaults, namespace, topic),
    }
}

/// The quota of a name that is in force.
pub fn quota<'a>(
    defaults: &'a TermDefaults,
    namespace: &'a Policies,
    topic: &'a TopicPolicies,
    name: &str,
) -> Option<&'a BacklogQuota> {
    let levels = [&topic.backlog_quotas, &namespace.backlog_quotas, &defaults.backlog];
    levels.into_iter().find_map(|quotas| quotas.get(name))
}

fn backlog(defaults: &TermDefaults, namespace: &Policies, topic: &TopicPolicies) -> BacklogQuotas {
    let quota = |name| quota(defaults, namespace, topic, name);
    BacklogQuotas {
        bytes: quota(BYTES_QUOTA).and_then(|quota| Some(Quota { limit: quota.bytes()?, action: quota.action()? })),
        age: quota(AGE_QUOTA).and_then(|quota| Some(Quota { limit: quota.age()?, action: quota.action()? })),
    }
}

/// The rule for inactive topics that is in force.
pub fn inactive<'a>(
    defaults: &'a TermDefaults,
    namespace: &'a Policies,
    topic: &'a TopicPolicies,
) -> &'a InactiveTopicPolicies {
    let set = topic.inactive_topic_policies.as_ref().or(namespace.inactive_topic_policies.as_ref());
    set.unwrap_or(&defaults.inactive)
}

/// A strategy by its older name: `BackwardTransitive` for `BACKWARD_TRANSITIVE`.
pub fn older_strategy(name: &str) -> Option<Strategy> {
    Some(match name {
        "AutoUpdateDisabled" => Strategy::AlwaysIncompatible,
        "AlwaysCompatible" => Strategy::AlwaysCompatible,
        "Backward" => Strategy::Backward,
        "Forward" => Strategy::Forward,
        "Full" => Strategy::Full,
        "BackwardTransitive" => Strategy::BackwardTransitive,
        "ForwardTransitive" => Strategy::ForwardTransitive,
        "FullTransitive" => Strategy::FullTransitive,
        _ => return None,
    })
}

/// What schemas a topic takes.
pub fn schema(defaults: &TermDefaults, namespace: &Policies, topic: &TopicPolicies) -> SchemaTerms {
    let strategies = [&topic.schema_compatibility_strategy, &namespace.schema_compatibility_strategy];
    let newer = strategies.into_iter().flatten().find_map(|name| Strategy::named(name));
    let older = namespace.schema_auto_update_compatibility_strategy.as_deref().and_then(older_strategy);
    let strategy = newer.or(older);
    SchemaTerms {
        strategy: strategy.unwrap_or(defaults.schema.strategy),
        updates_allowed: namespace.is_allow_auto_update_schema.unwrap_or(defaults.schema.updates_allowed),
        // Whoever demands it, demands it: a namespace does not soften the broker's demand, as in the original.
        required: topic.schema_validation_enforced.or(namespace.schema_validation_enforced).unwrap_or(false)
            || defaults.schema.required,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn defaults(text: &str) -> TermDefaults {
        let (config, _) = Config::from_sources(&[crate::config::Source::text("test", text)]).unwrap();
        TermDefaults::from_config(&config)
    }

    fn namespace(value: serde_json::Value) -> Policies {
        serde_json::from_value(value).unwrap()
    }

    fn topic(value: serde_json::Value) -> TopicPolicies {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn without_policies_nothing_expires() {
        let expected = Terms {
            // The original's default; the shipped file turns it off.
            inactive: Some(InactiveRule { even_with_subscriptions: false, after: Duration::from_secs(60) }),
            ..Terms::default()
        };
        assert_eq!(terms(&defaults(""), &Policies::default(), &TopicPolicies::default()), expected);
    }

    #[test]
    fn the_first_level_that_sets_a_term_wins() {
        let broker = defaults(
            "ttlDurationDefaultInSeconds=30\nbrokerDeduplicationEnabled=true\nbacklogQuotaDefaultLimitBytes=1000\n\
             backlogQuotaDefaultRetentionPolicy=consumer_backlog_eviction\nsubscriptionExpirationTimeMinutes=5\n\
             brokerDeleteInactiveTopicsEnabled=false\nschemaCompatibilityStrategy=BACKWARD_TRANSITIVE\n",
        );
        let of_broker = terms(&broker, &Policies::default(), &TopicPolicies::default());
        assert_eq!(of_broker.message_ttl, Some(Duration::from_secs(30)));
        assert_eq!(of_broker.backlog.bytes, Some(Quota { limit: 1000, action: QuotaAction::Evict }));
        assert_eq!(of_broker.subscription_expiry, Some(Duration::from_secs(300)));
        assert_eq!((of_broker.inactive, of_broker.schema.strategy), (None, Strategy::BackwardTransitive));

        let namespace = namespace(json!({
            "message_ttl_in_seconds": 0, "deduplicationEnabled": false, "subscription_expiration_time_minutes": 0,
            "backlog_quota_map": {"message_age": {"limitSize": -1, "limitTime": 9, "policy": "producer_exception"}},
            "inactive_topic_policies": {"inactiveTopicDeleteMode": "delete_when_subscriptions_caught_up",
                "maxInactiveDurationSeconds": 7, "deleteWhileInactive": true},
            "schema_compatibility_strategy": "UNDEFINED", "is_allow_auto_update_schema": false,
        }));
        let of_namespace = terms(&broker, &namespace, &TopicPolicies::default());
        assert_eq!((of_namespace.message_ttl, of_namespace.deduplication), (None, false));
        assert_eq!(of_namespace.subscription_expiry, None, "0 turns it off");
        assert_eq!(of_namespace.backlog.bytes, of_broker.backlog.bytes, "the other quota shadows nothing");
        let age = Quota { limit: Duration::from_secs(9), action: QuotaAction::FailProducers };
        assert_eq!(of_namespace.backlog.age, Some(age));
        let rule = InactiveRule { even_with_subscriptions: true, after: Duration::from_secs(7) };
        assert_eq!(of_namespace.inactive, Some(rule));
        assert_eq!(of_namespace.schema.strategy, Strategy::BackwardTransitive, "UNDEFINED leaves it to the broker");
        assert!(!of_namespace.schema.updates_allowed);

        let topic = topic(json!({
            "messageTTLInSeconds": 4, "deduplicationEnabled": true, "schemaCompatibilityStrategy": "FORWARD",
            "backlogQuotas": {"destination_storage": {"limit": 5, "policy": "producer_request_hold"}},
        }));
        let of_topic = terms(&broker, &namespace, &topic);
        assert_eq!((of_topic.message_ttl, of_topic.deduplication), (Some(Duration::from_secs(4)), true));
        assert_eq!(of_topic.backlog.bytes, Some(Quota { limit: 5, action: QuotaAction::HoldProducers }));
        assert_eq!((of_topic.schema.strategy, of_topic.inactive), (Strategy::Forward, Some(rule)));
    }

    #[test]
    fn words_that_mean_nothing_are_refused() {
        let quota = |policy: &str| BacklogQuota { policy: policy.to_owned(), ..BacklogQuota::default() };
        assert!(quota("producer_exception").validate().is_ok());
        assert!(quota("").validate().is_err() && quota("drop").validate().is_err());
        let mode =
            |mode: &str| InactiveTopicPolicies { inactive_topic_delete_mode: mode.to_owned(), ..Default::default() };
        assert!(mode(CAUGHT_UP).validate().is_ok() && mode("never").validate().is_err());
    }
}
