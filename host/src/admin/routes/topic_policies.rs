//! Paths of the policies of single topics, which go before those of their namespace.

use super::row::{Asks, Row, at, delete, flag, get, post, put};
use super::topics::APPLIED;
use crate::admin::handlers::{kept_policies, life_policies, schema_policies, topic_policies};

/// What is read.
const READ: &[Asks] = &[APPLIED, GLOBAL];
/// What is written.
const WRITTEN: &[Asks] = &[GLOBAL];
/// Of the policies of topics.
pub(in crate::admin) const GLOBAL: Asks = flag("isGlobal", "Without effect: there is one cluster.");
const TTL: &[Asks] = &[Asks { name: "messageTTL", shape: "Seconds", about: "Seconds; 0 is never." }, GLOBAL];
const QUOTA: &[Asks] =
    &[Asks { name: "backlogQuotaType", shape: "QuotaType", about: "Which quota; of bytes where left out." }, GLOBAL];

/// In the order of the document.
pub(super) fn rows() -> Vec<Row> {
    let kept = kept_policies::OF_TOPICS.iter().map(kept_policies::row_of_topic);
    [of_ledgers(), of_use(), of_schemas()].into_iter().flatten().chain(kept).collect()
}

fn of_ledgers() -> Vec<Row> {
    use life_policies::of_topic as life;
    use topic_policies as on;
    vec![
        at(
            "/retention",
            [
                get(on::retention, "Shows how long and how much is kept of what was acknowledged.")
                    .asks(READ)
                    .may_give("Retention"),
                post(on::set_retention, "Sets how long and how much is kept of what was acknowledged.")
                    .asks(WRITTEN)
                    .may_take("Retention"),
                delete(on::remove_retention, "Takes the policy away: the namespace's holds.").asks(WRITTEN),
            ],
        ),
        at(
            "/offloadPolicies",
            [
                get(on::offload_policies, "Shows where and when ledgers are offloaded; secrets are left out.")
                    .asks(READ)
                    .may_give("OffloadPolicies"),
                post(on::set_offload_policies, "Sets where and when ledgers are offloaded.")
                    .asks(WRITTEN)
                    .takes("OffloadPolicies"),
                delete(on::remove_offload_policies, "Takes the policies away: the namespace's hold.").asks(WRITTEN),
            ],
        ),
        at(
            "/persistence",
            [
                get(on::persistence, "Shows the policy of replicas.").asks(READ).may_give("Persistence"),
                post(on::set_persistence, "Sets the policy of replicas: kept and shown, without effect.")
                    .asks(WRITTEN)
                    .takes("Persistence"),
                delete(on::remove_persistence, "Takes the policy of replicas away.").asks(WRITTEN),
            ],
        ),
        at(
            "/messageTTL",
            [
                get(life::message_ttl, "Shows after how many seconds a message counts as acknowledged.")
                    .asks(READ)
                    .may_give("Number"),
                post(life::set_message_ttl, "Sets after how many seconds a message counts as acknowledged.").asks(TTL),
                delete(life::remove_message_ttl, "Takes the policy away: the namespace's holds.").asks(WRITTEN),
            ],
        ),
        at(
            "/backlogQuotaMap",
            [get(life::backlog_quotas, "Shows how much may wait to be acknowledged.")
                .asks(READ)
                .gives("BacklogQuotas")],
        ),
        at(
            "/backlogQuota",
            [
                post(life::set_backlog_quota, "Sets how much may wait to be acknowledged.")
                    .asks(QUOTA)
                    .takes("BacklogQuota"),
                delete(life::remove_backlog_quota, "Takes a quota away.").asks(QUOTA),
            ],
        ),
    ]
}

fn of_use() -> Vec<Row> {
    use life_policies::of_topic as on;
    vec![
        at(
            "/deduplicationEnabled",
            [
                get(on::deduplication, "Shows whether messages that are sent again are known.")
                    .asks(READ)
                    .may_give("Flag"),
                post(on::set_deduplication, "Sets whether messages that are sent again are known.")
                    .asks(WRITTEN)
                    .takes("Flag"),
                delete(on::remove_deduplication, "Takes the policy away: the namespace's holds.").asks(WRITTEN),
            ],
        ),
        at(
            "/deduplicationSnapshotInterval",
            [
                get(on::deduplication_interval, "Shows how many seconds apart producers' numbers are recorded.")
                    .asks(READ)
                    .may_give("Number"),
                post(on::set_deduplication_interval, "Sets it; without a body it is taken away.")
                    .asks(WRITTEN)
                    .may_take("Number"),
                delete(on::remove_deduplication_interval, "Takes the policy away: the namespace's holds.")
                    .asks(WRITTEN),
            ],
        ),
        at(
            "/inactiveTopicPolicies",
            [
                get(on::inactive_topics, "Shows when the topic is deleted if nobody uses it.")
                    .asks(READ)
                    .may_give("InactiveTopics"),
                post(on::set_inactive_topics, "Sets when the topic is deleted if nobody uses it.")
                    .asks(WRITTEN)
                    .takes("InactiveTopics"),
                delete(on::remove_inactive_topics, "Takes the policy away: the namespace's holds.").asks(WRITTEN),
            ],
        ),
    ]
}

fn of_schemas() -> Vec<Row> {
    use schema_policies::of_topic as on;
    vec![
        at(
            "/schemaCompatibilityStrategy",
            [
                get(on::strategy, "Shows what new schemas must stand up to.").asks(READ).may_give("Strategy"),
                put(on::set_strategy, "Sets what new schemas must stand up to.").asks(WRITTEN).takes("Strategy"),
                delete(on::remove_strategy, "Takes the policy away: the namespace's holds.").asks(WRITTEN),
            ],
        ),
        at(
            "/schemaValidationEnforced",
            [
                get(on::validation, "Shows whether producers need a schema.").asks(READ).may_give("Flag"),
                post(on::set_validation, "Sets whether producers need a schema.").asks(WRITTEN).takes("Flag"),
            ],
        ),
    ]
}
