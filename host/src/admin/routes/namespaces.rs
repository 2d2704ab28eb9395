//! Paths of namespaces and of the policies that hold for all their topics.

use super::ROOT;
use super::row::{Asks, Gives, Row, at, delete, flag, get, post, put};
use crate::admin::handlers::{
    backlogs, kept_policies, life_policies, namespace_policies, namespaces, offload, permissions, schema_policies,
};

const FORCE: &[Asks] = &[flag("force", "With its topics and their cold copies, where the broker allows it.")];
const QUOTA: &[Asks] =
    &[Asks { name: "backlogQuotaType", shape: "QuotaType", about: "Which quota; of bytes where left out." }];
const TOPICS: &[Asks] = &[
    Asks { name: "mode", shape: "TopicMode", about: "Which topics; all where left out." },
    flag("includeSystemTopic", "Without effect: there are no system topics."),
];

const VALUE: Gives = Gives::Bare("the value; nothing where there is none");

/// In the order of the document.
pub(super) fn rows() -> Vec<Row> {
    let of_one = [
        itself(),
        of_subscriptions(),
        of_offloading(),
        of_keeping(),
        of_use(),
        of_schemas(),
        kept_policies::OF_NAMESPACES.iter().map(kept_policies::row_of_namespace).collect(),
    ];
    let of_one = of_one.into_iter().flatten().map(|row| row.under("/namespaces/{tenant}/{namespace}"));
    let all = at("/namespaces/{tenant}", [get(namespaces::list, "Lists a tenant's namespaces.").gives("Names")]);
    std::iter::once(all).chain(of_one).map(|row| row.under(ROOT)).collect()
}

fn itself() -> Vec<Row> {
    vec![
        at(
            "",
            [
                get(namespaces::get, "Shows all policies of a namespace.").gives("Policies"),
                put(namespaces::create, "Makes a namespace.").may_take("Policies").refuses(&[409]),
                delete(namespaces::delete, "Deletes a namespace.").asks(FORCE).refuses(&[405, 409]),
            ],
        ),
        at("/topics", [get(namespaces::topics, "Lists a namespace's topics.").asks(TOPICS).gives("Names")]),
        at("/unload", [put(namespaces::unload, "Closes a namespace's topics and with them their open ledgers.")]),
        at("/{bundle}/unload", [put(namespaces::unload, "The same: every bundle is served here.")]),
        at("/bundles", [get(namespaces::bundles, "Shows how a namespace is cut into bundles.").gives("Bundles")]),
        at(
            "/replication",
            [
                get(namespaces::replication, "Lists the clusters of a namespace: this one.").gives("Names"),
                post(namespaces::set_replication, "Sets the clusters of a namespace; there is one.")
                    .takes("Names")
                    .refuses(&[403]),
            ],
        ),
        at(
            "/permissions",
            [get(permissions::of_namespace, "Shows what roles may do in a namespace.").gives("Permissions")],
        ),
        at(
            "/permissions/{role}",
            [
                post(permissions::grant_in_namespace, "Grants a role permissions.").takes("Granted"),
                delete(permissions::revoke_in_namespace, "Takes a role's permissions."),
            ],
        ),
        at(
            "/properties",
            [
                get(namespaces::properties, "Shows what a namespace carries.").gives("Texts"),
                put(namespaces::set_properties, "Adds to what a namespace carries.").takes("Texts"),
                delete(namespaces::clear_properties, "Takes all that a namespace carries."),
            ],
        ),
        at(
            "/property/{key}",
            [
                get(namespaces::property, "Shows one thing that a namespace carries.").answers(VALUE),
                delete(namespaces::remove_property, "Takes one thing that a namespace carries.").answers(VALUE),
            ],
        ),
        at("/property/{key}/{value}", [put(namespaces::set_property, "Sets one thing that a namespace carries.")]),
    ]
}

fn of_subscriptions() -> Vec<Row> {
    vec![
        at("/clearBacklog", [post(backlogs::clear_all, "Acknowledges everything for every subscription.")]),
        at("/clearBacklog/{subscription}", [post(backlogs::clear, "Acknowledges everything for a subscription.")]),
        at("/{bundle}/clearBacklog", [post(backlogs::clear_all, "The same: every bundle is served here.")]),
        at("/{bundle}/clearBacklog/{subscription}", [post(backlogs::clear, "The same: every bundle is served here.")]),
        at(
            "/unsubscribe/{subscription}",
            [post(backlogs::unsubscribe, "Deletes a subscription of all topics; it must have no consumers.")],
        ),
        at(
            "/{bundle}/unsubscribe/{subscription}",
            [post(backlogs::unsubscribe, "The same: every bundle is served here.")],
        ),
    ]
}

fn of_offloading() -> Vec<Row> {
    use namespace_policies as on;
    vec![
        at(
            "/offloadThreshold",
            [
                get(on::offload_threshold, "Shows from how many bytes on ledgers are offloaded; -1 is unset.")
                    .gives("Number"),
                put(on::set_offload_threshold, "Sets from how many bytes on ledgers are offloaded.").takes("Number"),
            ],
        ),
        at(
            "/offloadThresholdInSeconds",
            [
                get(on::offload_threshold_seconds, "Shows from which age on ledgers are offloaded; -1 is unset.")
                    .gives("Number"),
                put(on::set_offload_threshold_seconds, "Sets from which age on ledgers are offloaded.").takes("Number"),
            ],
        ),
        at(
            "/offloadDeletionLagMs",
            [
                get(on::deletion_lag, "Shows how many milliseconds a hot copy is kept beside the cold one.")
                    .may_give("Number"),
                put(on::set_deletion_lag, "Sets how many milliseconds a hot copy is kept beside the cold one.")
                    .takes("Number"),
                delete(on::remove_deletion_lag, "Takes the lag away: the broker's holds."),
            ],
        ),
        at(
            "/offloadPolicies",
            [
                get(on::offload_policies, "Shows where and when ledgers are offloaded; secrets are left out.")
                    .may_give("OffloadPolicies"),
                post(on::set_offload_policies, "Sets where and when ledgers are offloaded.").takes("OffloadPolicies"),
            ],
        ),
        at(
            "/offloadPolicies/explain",
            [get(offload::explain_namespace, "Shows which level sets each setting of offloading.")
                .gives("NamespaceExplained")],
        ),
        at(
            "/removeOffloadPolicies",
            [delete(on::remove_offload_policies, "Takes the policies away; what single setters set stays.")],
        ),
    ]
}

fn of_keeping() -> Vec<Row> {
    use life_policies::of_namespace as life;
    use namespace_policies as on;
    vec![
        at(
            "/retention",
            [
                get(on::retention, "Shows how long and how much is kept of what was acknowledged.")
                    .may_give("Retention"),
                post(on::set_retention, "Sets how long and how much is kept of what was acknowledged.")
                    .may_take("Retention"),
                delete(on::remove_retention, "Takes the policy away: the broker's holds."),
            ],
        ),
        at(
            "/persistence",
            [
                get(on::persistence, "Shows the policy of replicas.").may_give("Persistence"),
                post(on::set_persistence, "Sets the policy of replicas: kept and shown, without effect.")
                    .takes("Persistence"),
                delete(on::remove_persistence, "Takes the policy of replicas away."),
            ],
        ),
        at(
            "/messageTTL",
            [
                get(life::message_ttl, "Shows after how many seconds a message counts as acknowledged.")
                    .may_give("Number"),
                post(life::set_message_ttl, "Sets after how many seconds a message counts as acknowledged.")
                    .takes("Number"),
                delete(life::remove_message_ttl, "Takes the policy away: the broker's holds."),
            ],
        ),
        at(
            "/backlogQuotaMap",
            [get(life::backlog_quotas, "Shows how much may wait to be acknowledged.").gives("BacklogQuotas")],
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
    use life_policies::of_namespace as on;
    use namespace_policies as policy;
    vec![
        at(
            "/autoTopicCreation",
            [
                get(policy::auto_topic_creation, "Shows whether topics are made by first use.")
                    .may_give("AutoTopicCreation"),
                post(policy::set_auto_topic_creation, "Sets whether topics are made by first use.")
                    .takes("AutoTopicCreation"),
                delete(policy::remove_auto_topic_creation, "Takes the policy away: the broker's holds."),
            ],
        ),
        at(
            "/deduplication",
            [
                get(on::deduplication, "Shows whether messages that are sent again are known.").may_give("Flag"),
                post(on::set_deduplication, "Sets whether messages that are sent again are known.").takes("Flag"),
                delete(on::remove_deduplication, "Takes the policy away: the broker's holds."),
            ],
        ),
        at(
            "/deduplicationSnapshotInterval",
            [
                get(on::deduplication_interval, "Shows how many seconds apart producers' numbers are recorded.")
                    .may_give("Number"),
                post(on::set_deduplication_interval, "Sets it; without a body it is taken away.").may_take("Number"),
                delete(on::remove_deduplication_interval, "Takes the policy away: the broker's holds."),
            ],
        ),
        at(
            "/subscriptionExpirationTime",
            [
                get(on::subscription_expiration, "Shows after how many minutes unused subscriptions are deleted.")
                    .may_give("Number"),
                post(on::set_subscription_expiration, "Sets after how many minutes unused subscriptions are deleted.")
                    .takes("Number"),
                delete(on::remove_subscription_expiration, "Takes the policy away: the broker's holds."),
            ],
        ),
        at(
            "/inactiveTopicPolicies",
            [
                get(on::inactive_topics, "Shows when topics that nobody uses are deleted.").may_give("InactiveTopics"),
                post(on::set_inactive_topics, "Sets when topics that nobody uses are deleted.").takes("InactiveTopics"),
                delete(on::remove_inactive_topics, "Takes the policy away: the broker's holds."),
            ],
        ),
    ]
}

fn of_schemas() -> Vec<Row> {
    use schema_policies::of_namespace as on;
    vec![
        at(
            "/schemaCompatibilityStrategy",
            [
                get(on::strategy, "Shows what new schemas must stand up to.").gives("Strategy"),
                put(on::set_strategy, "Sets what new schemas must stand up to.").takes("Strategy"),
            ],
        ),
        at(
            "/schemaAutoUpdateCompatibilityStrategy",
            [
                get(on::older, "Shows the same by its older names.").may_give("OlderStrategy"),
                put(on::set_older, "Sets the same by its older names.").takes("OlderStrategy"),
            ],
        ),
        at(
            "/isAllowAutoUpdateSchema",
            [
                get(on::auto_update, "Shows whether producers may bring new schemas.").gives("Flag"),
                post(on::set_auto_update, "Sets whether producers may bring new schemas.").takes("Flag"),
            ],
        ),
        at(
            "/schemaValidationEnforced",
            [
                get(on::validation, "Shows whether producers need a schema.")
                    .asks(&[super::topics::APPLIED])
                    .gives("Flag"),
                post(on::set_validation, "Sets whether producers need a schema.").takes("Flag"),
            ],
        ),
    ]
}
