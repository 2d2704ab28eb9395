//! Further policies of `topicPolicies`: of the life of topics and of schemas.

use serde_json::{Value, json};
use ureq::http::Method;

use super::namespace_policies::{backlog_quota, shown_backlog_quotas};
use super::topic_policies::{APPLIED, GLOBAL, copy};
use super::{
    Action, Answer, Failure, Form, Session, TOPIC, namespace_life as life, namespace_policies, nothing, run, send, show,
};
use crate::cli::grammar::{Command, Matches, Opt, Takes, value};
use crate::cli::tools::names::Topic;

const TTL: Opt = value(
    &["-t", "--ttl"],
    "messageTTLInSecond",
    Takes::Seconds,
    "30s, 10m, 2h, 7d; seconds without a unit. 0 switches it off.",
)
.required();
const QUOTA_TYPE: Opt = {
    let [kind] = namespace_policies::BACKLOG_QUOTA_TYPE else { panic!("a quota has a type") };
    copy(kind)
};
const BACKLOG_QUOTA: &[Opt] = {
    let [bytes, seconds, policy, kind] = namespace_policies::BACKLOG_QUOTA else { panic!("a quota has four options") };
    &[copy(bytes), copy(seconds), copy(policy), copy(kind), GLOBAL]
};
const DEDUPLICATION: &[Opt] = {
    let [enable, disable] = life::SWITCH else { panic!("a switch has two ways") };
    &[copy(enable), copy(disable), GLOBAL]
};
const INACTIVE: &[Opt] = {
    let [enable, disable, time, mode] = life::INACTIVE else { panic!("the policy has four options") };
    &[copy(enable), copy(disable), copy(time), copy(mode), GLOBAL]
};
const PERSISTENCE: &[Opt] = {
    let [ensemble, write, ack, rate, class] = namespace_policies::PERSISTENCE else {
        panic!("the policy has five options")
    };
    &[copy(ensemble), copy(write), copy(ack), copy(rate), copy(class), GLOBAL]
};
const STRATEGY: Opt =
    value(&["--strategy", "-s"], "strategy", Takes::OneOf(life::STRATEGIES), "What a new schema must stand up to.")
        .required();

pub(super) static COMMANDS: &[Command<Action>] = &[
    show(
        &["get-message-ttl"],
        "Shows after how many seconds messages count as acknowledged.",
        &[APPLIED, GLOBAL],
        TOPIC,
        "{topic}/messageTTL?isGlobal={--global}&applied={--applied}",
        Form::Jackson,
    ),
    run(
        &["set-message-ttl"],
        "Sets after which time messages count as acknowledged.",
        &[TTL, GLOBAL],
        TOPIC,
        set_message_ttl,
    ),
    send(
        &["remove-message-ttl"],
        "Takes the policy away: the namespace's holds.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/messageTTL?isGlobal={--global}",
        nothing,
    ),
    run(
        &["get-backlog-quota"],
        "Shows how much may wait to be acknowledged.",
        &[APPLIED, GLOBAL],
        TOPIC,
        get_backlog_quota,
    ),
    run(&["set-backlog-quota"], "Sets how much may wait to be acknowledged.", BACKLOG_QUOTA, TOPIC, set_backlog_quota),
    send(
        &["remove-backlog-quota"],
        "Takes a backlog quota away.",
        &[QUOTA_TYPE, GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/backlogQuota?backlogQuotaType={--type}&isGlobal={--global}",
        nothing,
    ),
    show(
        &["get-deduplication"],
        "Shows whether messages that are sent again are known.",
        &[GLOBAL],
        TOPIC,
        "{topic}/deduplicationEnabled?isGlobal={--global}",
        Form::Jackson,
    ),
    send(
        &["set-deduplication"],
        "Sets whether messages that are sent again are known.",
        DEDUPLICATION,
        TOPIC,
        Method::POST,
        "{topic}/deduplicationEnabled?isGlobal={--global}",
        life::switch,
    ),
    send(
        &["remove-deduplication"],
        "Takes the policy away: the namespace's holds.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/deduplicationEnabled?isGlobal={--global}",
        nothing,
    ),
    show(
        &["get-deduplication-snapshot-interval"],
        "Shows how far apart the numbers of producers are recorded, in seconds.",
        &[GLOBAL],
        TOPIC,
        "{topic}/deduplicationSnapshotInterval?isGlobal={--global}",
        Form::Jackson,
    ),
    send(
        &["set-deduplication-snapshot-interval"],
        "Sets how far apart the numbers of producers are recorded.",
        &[life::INTERVAL, GLOBAL],
        TOPIC,
        Method::POST,
        "{topic}/deduplicationSnapshotInterval?isGlobal={--global}",
        life::interval,
    ),
    send(
        &["remove-deduplication-snapshot-interval"],
        "Takes the policy away: the namespace's holds.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/deduplicationSnapshotInterval?isGlobal={--global}",
        nothing,
    ),
    show(
        &["get-inactive-topic-policies"],
        "Shows when the topic is deleted if nobody uses it.",
        &[APPLIED, GLOBAL],
        TOPIC,
        "{topic}/inactiveTopicPolicies?isGlobal={--global}&applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-inactive-topic-policies"],
        "Sets when the topic is deleted if nobody uses it.",
        INACTIVE,
        TOPIC,
        Method::POST,
        "{topic}/inactiveTopicPolicies?isGlobal={--global}",
        life::inactive,
    ),
    send(
        &["remove-inactive-topic-policies"],
        "Takes the policy away: the namespace's holds.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/inactiveTopicPolicies?isGlobal={--global}",
        nothing,
    ),
    show(
        &["get-persistence"],
        "Shows the policy of replicas.",
        &[GLOBAL],
        TOPIC,
        "{topic}/persistence?isGlobal={--global}",
        Form::Jackson,
    ),
    send(
        &["set-persistence"],
        "Sets the policy of replicas; kept and shown, without effect on a single broker.",
        PERSISTENCE,
        TOPIC,
        Method::POST,
        "{topic}/persistence?isGlobal={--global}",
        namespace_policies::persistence,
    ),
    send(
        &["remove-persistence"],
        "Takes the policy away: the namespace's holds.",
        &[GLOBAL],
        TOPIC,
        Method::DELETE,
        "{topic}/persistence?isGlobal={--global}",
        nothing,
    ),
    show(
        &["get-schema-compatibility-strategy"],
        "Shows what new schemas must stand up to.",
        &[APPLIED],
        TOPIC,
        "{topic}/schemaCompatibilityStrategy?applied={--applied}",
        Form::Jackson,
    ),
    send(
        &["set-schema-compatibility-strategy"],
        "Sets what new schemas must stand up to.",
        &[STRATEGY],
        TOPIC,
        Method::PUT,
        "{topic}/schemaCompatibilityStrategy",
        strategy,
    ),
    send(
        &["remove-schema-compatibility-strategy"],
        "Takes the policy away: the namespace's holds.",
        &[],
        TOPIC,
        Method::DELETE,
        "{topic}/schemaCompatibilityStrategy",
        nothing,
    ),
];

fn strategy(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(Some(json!(matches.text("-s").unwrap_or_default())))
}

fn set_message_ttl(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let (seconds, is_global) = (matches.seconds("-t").unwrap_or(0), matches.has("-g"));
    session.send(
        Method::POST,
        &format!("{}/messageTTL?messageTTL={seconds}&isGlobal={is_global}", topic.path()),
        None,
    )?;
    Ok(Answer::Done)
}

fn get_backlog_quota(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let (is_applied, is_global) = (matches.has("-ap"), matches.has("-g"));
    shown_backlog_quotas(
        session,
        &format!("{}/backlogQuotaMap?applied={is_applied}&isGlobal={is_global}", topic.path()),
    )
}

fn set_backlog_quota(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::persistent(matches.argument(0))?;
    let (kind, body) = backlog_quota(matches)?;
    let path = format!("{}/backlogQuota?backlogQuotaType={kind}&isGlobal={}", topic.path(), matches.has("-g"));
    session.send(Method::POST, &path, Some(&body))?;
    Ok(Answer::Done)
}
