//! Paths of topics: themselves, their subscriptions, their messages, their schemas.

use super::ROOT;
use super::row::{Asks, Gives, Row, at, delete, flag, get, post, put};
use crate::admin::handlers::{internals, messages, offload, permissions, schemas, subscriptions, topics};

/// For policies of which each level has one.
pub(super) const APPLIED: Asks = flag("applied", "What is in force, wherever it was set.");
const FORCE: Asks = flag("force", "Even while clients are connected; they are sent away.");
const SCHEMA: Asks = flag("deleteSchema", "Without effect: a topic's schemas go with it.");
const SYSTEM: Asks = flag("includeSystemTopic", "Without effect: there are no system topics.");
const BUNDLE: Asks = Asks { name: "bundle", shape: "Text", about: "Without effect: every bundle is served here." };
const METADATA: &[Asks] = &[flag("metadata", "With what the hot store knows of each ledger.")];
const EXAMINE: &[Asks] = &[
    Asks { name: "initialPosition", shape: "End", about: "From which end is counted; `latest` where left out." },
    Asks { name: "messagePosition", shape: "FromOne", about: "The how manieth message; 1 where left out." },
];

/// In the order of the document.
pub(super) fn rows() -> Vec<Row> {
    let of_one = [itself(), figures(), tier(), of_messages(), of_subscriptions(), super::topic_policies::rows()];
    let of_one = of_one.into_iter().flatten().map(|row| row.under("/persistent/{tenant}/{namespace}/{topic}"));
    let of_schemas = of_schemas().into_iter().map(|row| row.under("/schemas/{tenant}/{namespace}/{topic}"));
    lists().into_iter().chain(of_one).chain(of_schemas).map(|row| row.under(ROOT)).collect()
}

fn lists() -> Vec<Row> {
    const ASKS: &[Asks] = &[BUNDLE, SYSTEM];
    vec![
        at(
            "/persistent/{tenant}/{namespace}",
            [get(topics::list, "Lists a namespace's topics, partitions one by one.").asks(ASKS).gives("Names")],
        ),
        at(
            "/persistent/{tenant}/{namespace}/partitioned",
            [get(topics::list_partitioned, "Lists a namespace's partitioned topics.").asks(ASKS).gives("Names")],
        ),
        at(
            "/non-persistent/{tenant}/{namespace}",
            [get(topics::list_none, "Lists topics that are not kept: there are none.").asks(ASKS).gives("Names")],
        ),
        at(
            "/non-persistent/{tenant}/{namespace}/partitioned",
            [get(topics::list_none, "Lists partitioned topics that are not kept: there are none.")
                .asks(ASKS)
                .gives("Names")],
        ),
    ]
}

fn itself() -> Vec<Row> {
    vec![
        at(
            "",
            [
                put(topics::create, "Makes a topic without partitions.").may_take("Texts").refuses(&[409]),
                delete(topics::delete, "Deletes a topic, with its cold copies.").asks(&[FORCE, SCHEMA]),
            ],
        ),
        at(
            "/partitions",
            [
                get(topics::partitions, "Shows how many partitions a topic has; 0 for a topic without.")
                    .asks(const { &[flag("checkAllowAutoCreation", "Makes the topic where first use would.")] })
                    .gives("Partitions"),
                put(topics::create_partitioned, "Makes a topic with partitions.")
                    .takes("PartitionCount")
                    .refuses(&[406, 409]),
                post(topics::add_partitions, "Gives a topic more partitions.")
                    .takes("PartitionCount")
                    .refuses(&[406, 409, 422]),
                delete(topics::delete_partitioned, "Deletes a topic and its partitions, with their cold copies.")
                    .asks(&[FORCE, SCHEMA]),
            ],
        ),
        at(
            "/properties",
            [
                get(topics::properties, "Shows what a topic carries.").gives("Texts"),
                put(topics::set_properties, "Adds to what a topic carries.").takes("Texts"),
                delete(topics::remove_property, "Takes one thing that a topic carries.").asks(&[Asks {
                    name: "key",
                    shape: "Text",
                    about: "Which; everything where left out.",
                }]),
            ],
        ),
        at("/permissions", [get(permissions::of_topic, "Shows what roles may do with a topic.").gives("Permissions")]),
        at(
            "/permissions/{role}",
            [
                post(permissions::grant_on_topic, "Grants a role permissions.").takes("Granted"),
                delete(permissions::revoke_on_topic, "Takes a role's permissions that were granted on the topic."),
            ],
        ),
        at("/unload", [put(topics::unload, "Closes a topic and with it its open ledger.")]),
        at(
            "/terminate",
            [post(topics::terminate, "Ends a topic: it takes no more messages. Answers the last one.")
                .gives("MessageId")
                .refuses(&[405])],
        ),
        at(
            "/trim",
            [post(topics::trim, "Removes what no one needs; answers when that is done.").answers(Gives::Empty)],
        ),
        at("/truncate", [delete(topics::truncate, "Removes all messages, acknowledged or not.")]),
        at(
            "/compaction",
            [
                get(topics::compaction, "Shows how the last compaction went: there was none.").gives("Process"),
                put(topics::compact, "Refused: this broker does not compact topics.")
                    .answers(Gives::Never)
                    .refuses(&[501]),
            ],
        ),
    ]
}

fn figures() -> Vec<Row> {
    const OF_BACKLOG: &[Asks] = &[
        flag("getPreciseBacklog", "Without effect: the backlog is always counted."),
        flag("subscriptionBacklogSize", "Without effect: sizes are always told."),
        flag("getEarliestTimeInBacklog", "Without effect."),
    ];
    const PER_PARTITION: &[Asks] = &[flag("perPartition", "Each partition's as well; unless `false`.")];
    vec![
        at(
            "/stats",
            [get(topics::stats, "Rates, sizes, producers and subscriptions of a topic.")
                .asks(OF_BACKLOG)
                .gives("TopicStats")],
        ),
        at(
            "/partitioned-stats",
            [get(topics::partitioned_stats, "The same of all partitions together.")
                .asks(PER_PARTITION)
                .gives("PartitionedStats")],
        ),
        at(
            "/internalStats",
            [get(internals::internal_stats, "A topic's ledgers and cursors, as they are in memory.")
                .asks(METADATA)
                .gives("InternalStats")],
        ),
        at(
            "/partitioned-internalStats",
            [get(internals::partitioned_internal_stats, "The same of each partition.")
                .asks(METADATA)
                .gives("PartitionedInternalStats")],
        ),
        at(
            "/internal-info",
            [get(internals::internal_info, "A topic's ledgers and cursors, as they are recorded.")
                .gives("InternalInfo")],
        ),
    ]
}

fn tier() -> Vec<Row> {
    vec![
        at(
            "/offload",
            [
                put(offload::start, "Starts offloading what lies before a message.").takes("MessageId").refuses(&[409]),
                get(offload::status, "How the last offload that was asked for goes or went.").gives("OffloadStatus"),
            ],
        ),
        at(
            "/offload/explain",
            [get(offload::explain, "Which level sets what, and which ledgers are offloaded now or stay.")
                .gives("TopicExplained")],
        ),
        at(
            "/ledgers",
            [get(internals::ledgers, "Where each ledger's copies are, and which plugin wrote the cold one.")
                .gives("Ledgers")],
        ),
    ]
}

fn of_messages() -> Vec<Row> {
    const BYTES: Gives = Gives::Bare("the message's payload as its producer sent it; what belongs to it is in headers");
    vec![
        at("/lastMessageId", [get(messages::last, "The last message's id.").gives("MessageId")]),
        at(
            "/messageid/{time}",
            [get(messages::by_time, "The id of the first message of that time or later.").gives("MessageId")],
        ),
        at("/ledger/{ledger}/entry/{entry}", [get(messages::by_id, "One message.").answers(BYTES)]),
        at(
            "/examinemessage",
            [get(messages::examine, "The n-th message from either end.").asks(EXAMINE).answers(BYTES)],
        ),
        at(
            "/subscription/{subscription}/position/{count}",
            [get(subscriptions::peek, "The n-th message that a subscription has not acknowledged.")
                .answers(BYTES)
                .refuses(&[405])],
        ),
    ]
}

fn of_subscriptions() -> Vec<Row> {
    vec![
        at("/subscriptions", [get(subscriptions::list, "Lists a topic's subscriptions.").gives("Names")]),
        at(
            "/subscription/{subscription}",
            [
                put(subscriptions::create, "Makes a subscription.")
                    .asks(const { &[flag("replicated", "Without effect: there is one cluster.")] })
                    .may_take("NewSubscription")
                    .refuses(&[405, 409]),
                delete(subscriptions::delete, "Deletes a subscription.").asks(&[FORCE]).refuses(&[405]),
            ],
        ),
        at(
            "/subscription/{subscription}/skip_all",
            [post(subscriptions::skip_all, "Acknowledges everything.").refuses(&[405])],
        ),
        at(
            "/subscription/{subscription}/skip/{count}",
            [post(subscriptions::skip, "Acknowledges so many messages.").refuses(&[405])],
        ),
        at(
            "/subscription/{subscription}/resetcursor",
            [post(subscriptions::reset_to_message, "Goes to a message.").takes("MessageId").refuses(&[405])],
        ),
        at(
            "/subscription/{subscription}/resetcursor/{time}",
            [post(subscriptions::reset_to_time, "Goes to what was published at that time or later.").refuses(&[405])],
        ),
        at(
            "/subscription/{subscription}/expireMessages",
            [post(subscriptions::expire_through, "Acknowledges everything up to a message.")
                .takes("MessageId")
                .refuses(&[405, 409])],
        ),
        at(
            "/subscription/{subscription}/expireMessages/{seconds}",
            [post(subscriptions::expire_older, "Acknowledges what is older.").refuses(&[405, 409])],
        ),
        at(
            "/all_subscription/expireMessages/{seconds}",
            [post(subscriptions::expire_all_older, "The same for every subscription.").refuses(&[405, 409])],
        ),
    ]
}

fn of_schemas() -> Vec<Row> {
    vec![
        at(
            "/schema",
            [
                get(schemas::newest, "A topic's newest schema.").gives("Schema"),
                post(schemas::upload, "Gives a topic a new version of its schema.")
                    .takes("NewSchema")
                    .gives("SchemaPlace")
                    .refuses(&[409, 422]),
                delete(schemas::delete, "Takes a topic's schema away.")
                    .asks(const { &[flag("force", "With its older versions.")] })
                    .gives("SchemaVersion"),
            ],
        ),
        at("/schema/{version}", [get(schemas::version, "One version of a topic's schema.").gives("Schema")]),
        at("/schemas", [get(schemas::all, "All versions of a topic's schema.").gives("Schemas")]),
        at("/metadata", [get(schemas::metadata, "What is recorded of a topic's schemas.").gives("SchemaMetadata")]),
        at(
            "/compatibility",
            [post(schemas::compatibility, "Whether a schema may be a topic's next.")
                .takes("NewSchema")
                .gives("Compatibility")
                .refuses(&[422])],
        ),
        at(
            "/version",
            [post(schemas::find, "Which version of a topic's schema this is.")
                .takes("NewSchema")
                .gives("SchemaVersion")
                .refuses(&[422])],
        ),
    ]
}
