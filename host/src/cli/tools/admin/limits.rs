//! Limits that brokers of the original set and this one does not: kept and shown. The broker says so with each change, and
//! the tool repeats it.

use serde_json::{Value, json};
use ureq::http::Method;

use super::topic_policies::{APPLIED, GLOBAL};
use super::{Action, Failure, Form, NAMESPACE, TOPIC, nothing, send, show};
use crate::cli::grammar::{Command, Matches, Opt, Takes, value};

const fn limit(names: &'static [&'static str], label: &'static str) -> Opt {
    value(names, label, Takes::Int, "How many; 0 is without limit.").required()
}

const THRESHOLD: Opt = value(
    &["-t", "--threshold"],
    "threshold",
    Takes::Size,
    "Most bytes of a backlog: 10M, 16G, 3T. 0 switches compaction off.",
)
.required();

/// The number of the one option that a limit has.
fn number(matches: &Matches) -> Result<Option<Value>, Failure> {
    let names = ["-p", "-c", "-m", "-s", "-t"];
    Ok(names.iter().find_map(|name| matches.number::<i32>(name)).map(Value::from))
}

fn bytes(matches: &Matches) -> Result<Option<Value>, Failure> {
    Ok(Some(json!(matches.size("-t").unwrap_or(0))))
}

/// The three commands of each limit of namespaces: its name, its path, what it bounds, its option, how it is written.
macro_rules! of_namespaces {
    ($($name:literal at $path:literal: $what:literal, $option:expr, $method:ident $body:ident;)*) => {
        &[$(
            show(
                &[concat!("get-", $name)],
                concat!("Shows ", $what, "."),
                &[],
                NAMESPACE,
                concat!("/namespaces{namespace}/", $path),
                Form::Jackson,
            ),
            send(
                &[concat!("set-", $name)],
                concat!("Sets ", $what, "; kept and shown, without effect."),
                &[$option],
                NAMESPACE,
                Method::$method,
                concat!("/namespaces{namespace}/", $path),
                $body,
            ),
            send(
                &[concat!("remove-", $name)],
                "Takes the policy away.",
                &[],
                NAMESPACE,
                Method::DELETE,
                concat!("/namespaces{namespace}/", $path),
                nothing,
            ),
        )*]
    };
}

/// The same of topics, with the options of reading and what they add to the path.
macro_rules! of_topics {
    ($($name:literal at $path:literal: $what:literal, $option:expr, $body:ident, read with $read:expr, $query:literal;)*) => {
        &[$(
            show(
                &[concat!("get-", $name)],
                concat!("Shows ", $what, "."),
                $read,
                TOPIC,
                concat!("{topic}/", $path, "?isGlobal={--global}", $query),
                Form::Jackson,
            ),
            send(
                &[concat!("set-", $name)],
                concat!("Sets ", $what, "; kept and shown, without effect."),
                &[$option, GLOBAL],
                TOPIC,
                Method::POST,
                concat!("{topic}/", $path, "?isGlobal={--global}"),
                $body,
            ),
            send(
                &[concat!("remove-", $name)],
                "Takes the policy away.",
                &[GLOBAL],
                TOPIC,
                Method::DELETE,
                concat!("{topic}/", $path, "?isGlobal={--global}"),
                nothing,
            ),
        )*]
    };
}

/// Of `namespaces`.
pub(super) static OF_NAMESPACES: &[Command<Action>] = of_namespaces! {
    "max-producers-per-topic" at "maxProducersPerTopic": "how many producers a topic may have",
        limit(&["-p", "--max-producers-per-topic"], "maxProducersPerTopic"), POST number;
    "max-consumers-per-topic" at "maxConsumersPerTopic": "how many consumers a topic may have",
        limit(&["-c", "--max-consumers-per-topic"], "maxConsumersPerTopic"), POST number;
    "max-consumers-per-subscription" at "maxConsumersPerSubscription": "how many consumers a subscription may have",
        limit(&["-c", "--max-consumers-per-subscription"], "maxConsumersPerSubscription"), POST number;
    "max-unacked-messages-per-consumer" at "maxUnackedMessagesPerConsumer": "how many messages a consumer may hold",
        limit(&["-c", "--max-unacked-messages-per-topic"], "maxUnackedMessagesPerConsumer"), POST number;
    "max-unacked-messages-per-subscription" at "maxUnackedMessagesPerSubscription":
        "how many messages a subscription's consumers may hold",
        limit(&["-c", "--max-unacked-messages-per-subscription"], "maxUnackedMessagesPerSubscription"), POST number;
    "max-subscriptions-per-topic" at "maxSubscriptionsPerTopic": "how many subscriptions a topic may have",
        limit(&["-m", "--max-subscriptions-per-topic"], "maxSubscriptionsPerTopic"), POST number;
    "max-topics-per-namespace" at "maxTopicsPerNamespace": "how many topics a namespace may have",
        limit(&["-t", "--max-topics-per-namespace"], "maxTopicsPerNamespace"), POST number;
    "compaction-threshold" at "compactionThreshold": "from which backlog on topics are compacted",
        THRESHOLD, PUT bytes;
};

/// Of `topicPolicies`.
pub(super) static OF_TOPICS: &[Command<Action>] = of_topics! {
    "max-producers" at "maxProducers": "how many producers a topic may have",
        limit(&["-p", "--max-producers"], "maxProducers"), number, read with &[APPLIED, GLOBAL], "&applied={--applied}";
    "max-consumers" at "maxConsumers": "how many consumers a topic may have",
        limit(&["-c", "--max-consumers"], "maxConsumers"), number, read with &[APPLIED, GLOBAL], "&applied={--applied}";
    "max-consumers-per-subscription" at "maxConsumersPerSubscription": "how many consumers a subscription may have",
        limit(&["-c", "--max-consumers-per-subscription"], "maxConsumersPerSubscription"), number,
        read with &[APPLIED, GLOBAL], "&applied={--applied}";
    "max-unacked-messages-per-consumer" at "maxUnackedMessagesOnConsumer": "how many messages a consumer may hold",
        limit(&["-m", "--maxNum"], "maxNum"), number, read with &[APPLIED, GLOBAL], "&applied={--applied}";
    "max-unacked-messages-per-subscription" at "maxUnackedMessagesOnSubscription":
        "how many messages a subscription's consumers may hold",
        limit(&["-m", "--maxNum"], "maxNum"), number, read with &[APPLIED, GLOBAL], "&applied={--applied}";
    "max-subscriptions-per-topic" at "maxSubscriptionsPerTopic": "how many subscriptions a topic may have",
        limit(&["-s", "--max-subscriptions-per-topic"], "maxSubscriptionPerTopic"), number, read with &[GLOBAL], "";
    "max-message-size" at "maxMessageSize": "how many bytes a message may have",
        limit(&["-m", "--max-message-size"], "maxMessageSize"), number, read with &[GLOBAL], "";
    "compaction-threshold" at "compactionThreshold": "from which backlog on a topic is compacted",
        THRESHOLD, bytes, read with &[APPLIED, GLOBAL], "&applied={--applied}";
};
