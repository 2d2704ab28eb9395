//! What the policies of broker, namespace and topic together say about a topic's life: plain data, and the verdicts on it.
//! Pure.

use std::time::Duration;

use crate::schema::Strategy;

/// The terms under which a topic lives.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// Messages this old count as acknowledged.
    pub message_ttl: Option<Duration>,
    /// Whether messages that a producer sends again are known.
    pub deduplication: bool,
    /// How often the numbers of producers are recorded, where that is not left to the broker.
    pub deduplication_interval: Option<Duration>,
    /// How much may wait for the slowest subscription.
    pub backlog: BacklogQuotas,
    /// Subscriptions that nobody used for so long are deleted.
    pub subscription_expiry: Option<Duration>,
    /// When the topic itself is deleted.
    pub inactive: Option<InactiveRule>,
    /// Which schemas it takes.
    pub schema: SchemaTerms,
}

/// What schemas a topic takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SchemaTerms {
    /// What a new version must stand up to.
    pub strategy: Strategy,
    /// Whether producers may bring new versions.
    pub updates_allowed: bool,
    /// Whether producers without a schema are kept from a topic that has one.
    pub required: bool,
}

impl Default for SchemaTerms {
    fn default() -> Self {
        Self { strategy: Strategy::default(), updates_allowed: true, required: false }
    }
}

/// What happens when too much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum QuotaAction {
    /// Producers are closed, and wait until there is room.
    #[default]
    HoldProducers,
    /// Producers are closed, and fail.
    FailProducers,
    /// What has waited longest counts as acknowledged.
    Evict,
}

/// A bound and what happens beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota<T> {
    /// The bound.
    pub limit: T,
    /// What happens.
    pub action: QuotaAction,
}

/// How much may wait, by bytes and by age.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BacklogQuotas {
    /// Bytes.
    pub bytes: Option<Quota<u64>>,
    /// Age of the oldest message.
    pub age: Option<Quota<Duration>>,
}

/// When a topic without clients is deleted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InactiveRule {
    /// Whether subscriptions that have read everything do not keep it.
    pub even_with_subscriptions: bool,
    /// How long nobody must have used it.
    pub after: Duration,
}

impl BacklogQuotas {
    /// What keeps producers out, if `bytes` wait, the oldest for `age`.
    pub(super) fn refusal(&self, bytes: u64, age: Option<Duration>) -> Option<QuotaAction> {
        let by_bytes = self.bytes.filter(|quota| bytes >= quota.limit).map(|quota| quota.action);
        let by_age = self.age.filter(|quota| age.is_some_and(|age| age >= quota.limit)).map(|quota| quota.action);
        [by_bytes, by_age].into_iter().flatten().find(|action| *action != QuotaAction::Evict)
    }

    /// Bytes that stay when the backlog is cut: a tenth less than the bound, so that it is not cut at every message.
    pub(super) fn bytes_kept(&self, bytes: u64) -> Option<u64> {
        let quota = self.bytes.filter(|quota| quota.action == QuotaAction::Evict && bytes >= quota.limit)?;
        Some(quota.limit - quota.limit / 10)
    }

    /// The age from which on messages are evicted.
    pub(super) fn age_kept(&self) -> Option<Duration> {
        self.age.filter(|quota| quota.action == QuotaAction::Evict).map(|quota| quota.limit)
    }
}

/// Who uses a topic at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Use {
    /// Connected clients.
    pub(super) clients: usize,
    /// Subscriptions.
    pub(super) subscriptions: usize,
    /// Whether one of them has not read everything.
    pub(super) unread: bool,
}

impl InactiveRule {
    /// Whether somebody needs the topic.
    pub(super) fn is_used(&self, now: Use) -> bool {
        now.clients > 0 || if self.even_with_subscriptions { now.unread } else { now.subscriptions > 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_are_kept_out_by_the_first_quota_that_is_reached() {
        use QuotaAction::{Evict, FailProducers, HoldProducers};
        let quotas = |bytes: Option<QuotaAction>, age: Option<QuotaAction>| BacklogQuotas {
            bytes: bytes.map(|action| Quota { limit: 100, action }),
            age: age.map(|action| Quota { limit: Duration::from_secs(10), action }),
        };
        let table = [
            (quotas(None, None), 999, 999, None),
            (quotas(Some(HoldProducers), None), 99, 999, None),
            (quotas(Some(HoldProducers), None), 100, 0, Some(HoldProducers)),
            (quotas(Some(Evict), None), 100, 0, None),
            (quotas(Some(Evict), Some(FailProducers)), 100, 10, Some(FailProducers)),
            (quotas(None, Some(FailProducers)), 0, 9, None),
            (quotas(Some(HoldProducers), Some(FailProducers)), 100, 10, Some(HoldProducers)),
        ];
        for (quotas, bytes, age, want) in table {
            assert_eq!(quotas.refusal(bytes, Some(Duration::from_secs(age))), want, "{quotas:?} {bytes} {age}");
        }
        assert_eq!(quotas(None, Some(HoldProducers)).refusal(0, None), None, "nothing waits");
        assert_eq!(quotas(Some(Evict), None).bytes_kept(100), Some(90));
        assert_eq!(quotas(Some(Evict), None).bytes_kept(99), None);
        assert_eq!(quotas(Some(HoldProducers), None).bytes_kept(100), None);
        assert_eq!(quotas(None, Some(Evict)).age_kept(), Some(Duration::from_secs(10)));
    }

    #[test]
    fn who_keeps_a_topic() {
        let rule = |even_with_subscriptions| InactiveRule { even_with_subscriptions, after: Duration::ZERO };
        let nobody = Use::default();
        let reader = Use { clients: 1, ..nobody };
        let caught_up = Use { subscriptions: 1, ..nobody };
        let behind = Use { unread: true, ..caught_up };
        let table = [
            (false, nobody, false),
            (false, reader, true),
            (false, caught_up, true),
            (true, nobody, false),
            (true, reader, true),
            (true, caught_up, false),
            (true, behind, true),
        ];
        for (even_with_subscriptions, now, used) in table {
            assert_eq!(rule(even_with_subscriptions).is_used(now), used, "{even_with_subscriptions} {now:?}");
        }
    }
}
