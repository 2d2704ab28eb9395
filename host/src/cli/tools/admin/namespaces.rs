//! `namespaces`: the namespaces themselves. Their policies are in `namespace_policies`.

use serde_json::{Value, json};
use ureq::http::Method;

use super::namespace_policies as policy;
use super::{
    Action, Answer, Failure, Form, NAMESPACE, Session, TENANT, limits, namespace_life, nothing, offload_policies, run,
    send, show,
};
use crate::cli::grammar::{Command, Matches, Takes, flag, value};
use crate::cli::tools::names::{encoded, namespace_path};

/// All that are there.
pub(super) static TABLES: &[&[Command<Action>]] = &[COMMANDS, namespace_life::COMMANDS, limits::OF_NAMESPACES];

static COMMANDS: &[Command<Action>] = &[
    show(&["list"], "Lists a tenant's namespaces.", &[], TENANT, "/namespaces/{name}", Form::Lines),
    run(
        &["topics"],
        "Lists a namespace's topics.",
        &[
            value(&["-m", "--mode"], "mode", Takes::OneOf(&["PERSISTENT", "NON_PERSISTENT", "ALL"]), "Which of them."),
            flag(&["-ist", "--include-system-topic"], "The system's topics as well."),
        ],
        NAMESPACE,
        topics,
    ),
    show(
        &["bundles"],
        "Shows how a namespace is cut into bundles.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/bundles",
        Form::Jackson,
    ),
    show(&["policies"], "Shows all policies of a namespace.", &[], NAMESPACE, "/namespaces{namespace}", Form::Jackson),
    send(
        &["create"],
        "Makes a namespace.",
        &[
            value(&["--clusters", "-c"], "clusters", Takes::Comma, "Clusters that it is on."),
            value(
                &["--bundles", "-b"],
                "numBundles",
                Takes::Int,
                "Bundles that it is cut into; the broker's default where not given.",
            )
            .or("0"),
        ],
        NAMESPACE,
        Method::PUT,
        "/namespaces{namespace}",
        new_namespace,
    ),
    send(
        &["delete"],
        "Deletes a namespace.",
        &[flag(&["-f", "--force"], "With its topics, their cold copies as well.")],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}?force={--force}",
        nothing,
    ),
    show(
        &["get-clusters"],
        "Lists the clusters of a namespace.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/replication",
        Form::Lines,
    ),
    show(
        &["permissions"],
        "Shows who may do what in a namespace.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/permissions",
        Form::Pairs,
    ),
    run(
        &["unload"],
        "Closes a namespace's topics, so that their ledgers are closed; they open again when they are used.",
        &[
            value(&["--bundle", "-b"], "bundle", Takes::Text, "Only this bundle: {lower}_{upper}."),
            value(&["--destinationBroker", "-d"], "destinationBroker", Takes::Text, "").hidden(),
        ],
        NAMESPACE,
        unload,
    ),
    show(
        &["get-retention"],
        "Shows how long and how much is kept of what has been acknowledged.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/retention",
        Form::Jackson,
    ),
    send(
        &["set-retention"],
        "Sets how long and how much is kept of what has been acknowledged.",
        policy::RETENTION,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/retention",
        policy::retention,
    ),
    send(
        &["remove-retention"],
        "Takes the namespace's retention away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/retention",
        nothing,
    ),
    run(
        &["get-offload-threshold"],
        "Shows from which size and age on ledgers are offloaded.",
        &[],
        NAMESPACE,
        policy::get_offload_threshold,
    ),
    run(
        &["set-offload-threshold"],
        "Sets from which size and age on ledgers are offloaded; -1 is never, 0 at once.",
        policy::OFFLOAD_THRESHOLD,
        NAMESPACE,
        policy::set_offload_threshold,
    ),
    run(
        &["get-offload-deletion-lag"],
        "Shows how long a hot copy is kept after its ledger was offloaded.",
        &[],
        NAMESPACE,
        policy::get_deletion_lag,
    ),
    send(
        &["set-offload-deletion-lag"],
        "Sets how long a hot copy is kept after its ledger was offloaded.",
        policy::DELETION_LAG,
        NAMESPACE,
        Method::PUT,
        "/namespaces{namespace}/offloadDeletionLagMs",
        policy::deletion_lag,
    ),
    send(
        &["clear-offload-deletion-lag"],
        "Takes the namespace's lag away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/offloadDeletionLagMs",
        nothing,
    ),
    send(
        &["set-offload-policies"],
        "Sets where and when a namespace's ledgers are offloaded.",
        offload_policies::OF_NAMESPACES,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/offloadPolicies",
        offload_policies::of_namespace,
    ),
    send(
        &["remove-offload-policies"],
        "Takes the namespace's offload policies away: the broker's hold.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/removeOffloadPolicies",
        nothing,
    ),
    show(
        &["get-offload-policies"],
        "Shows where and when a namespace's ledgers are offloaded.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/offloadPolicies",
        Form::Jackson,
    ),
    show(
        &["get-message-ttl"],
        "Shows after how many seconds messages count as acknowledged.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/messageTTL",
        Form::Jackson,
    ),
    send(
        &["set-message-ttl"],
        "Sets after which time messages count as acknowledged.",
        policy::MESSAGE_TTL,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/messageTTL",
        policy::message_ttl,
    ),
    send(
        &["remove-message-ttl"],
        "Takes the namespace's time to live away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/messageTTL",
        nothing,
    ),
    show(
        &["get-persistence"],
        "Shows the policy of replicas.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/persistence",
        Form::Jackson,
    ),
    send(
        &["set-persistence"],
        "Sets the policy of replicas; kept and shown, without effect on a single broker.",
        policy::PERSISTENCE,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/persistence",
        policy::persistence,
    ),
    send(
        &["remove-persistence"],
        "Takes the policy of replicas away.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/persistence",
        nothing,
    ),
    run(
        &["get-backlog-quotas"],
        "Shows how much may wait to be acknowledged.",
        &[],
        NAMESPACE,
        policy::get_backlog_quotas,
    ),
    run(
        &["set-backlog-quota"],
        "Sets how much may wait to be acknowledged.",
        policy::BACKLOG_QUOTA,
        NAMESPACE,
        policy::set_backlog_quota,
    ),
    send(
        &["remove-backlog-quota"],
        "Takes a backlog quota away.",
        policy::BACKLOG_QUOTA_TYPE,
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/backlogQuota?backlogQuotaType={--type}",
        nothing,
    ),
    show(
        &["get-auto-topic-creation"],
        "Shows whether topics are made when they are used.",
        &[],
        NAMESPACE,
        "/namespaces{namespace}/autoTopicCreation",
        Form::Jackson,
    ),
    send(
        &["set-auto-topic-creation"],
        "Sets whether topics are made when they are used.",
        policy::AUTO_TOPIC_CREATION,
        NAMESPACE,
        Method::POST,
        "/namespaces{namespace}/autoTopicCreation",
        policy::auto_topic_creation,
    ),
    send(
        &["remove-auto-topic-creation"],
        "Takes the policy away: the broker's holds.",
        &[],
        NAMESPACE,
        Method::DELETE,
        "/namespaces{namespace}/autoTopicCreation",
        nothing,
    ),
];

fn topics(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let mode = matches.text("-m").map(|mode| format!("mode={mode}&")).unwrap_or_default();
    let is_system = matches.has("-ist");
    let path = namespace_path(matches.argument(0))?;
    let json = session.get(&format!("/namespaces{path}/topics?{mode}includeSystemTopic={is_system}"))?;
    Ok(Answer::Shown { json, form: Form::Lines })
}

fn new_namespace(matches: &Matches) -> Result<Option<Value>, Failure> {
    let bundles: i32 = matches.number("-b").unwrap_or(0);
    if bundles < 0 {
        return Err(Failure::Usage(
            "Invalid number of bundles. Number of bundles has to be in the range of (0, 2^32].".to_owned(),
        ));
    }
    let mut body = json!({ "replication_clusters": matches.all("-c") });
    if bundles > 0 {
        body["bundles"] = json!({ "numBundles": bundles });
    }
    Ok(Some(body))
}

fn unload(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let namespace = namespace_path(matches.argument(0))?;
    let bundle = matches.text("-b").map(|bundle| format!("/{}", encoded(bundle))).unwrap_or_default();
    session.send(Method::PUT, &format!("/namespaces{namespace}{bundle}/unload"), None)?;
    Ok(Answer::Done)
}
