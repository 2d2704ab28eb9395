//! Policies that are kept and shown, and that nothing here follows: limits that this broker does not set.
//!
//! Refusing them would break scripts that set a namespace up; taking them in silence would be a lie. So each write is answered with
//! a header `Warning`, which our own tools print, and stands in the log.

use axum::extract::State;
use axum::http::header::WARNING;
use axum::http::{HeaderValue, Method};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Shared, namespace_policies, topic_policies};
use crate::admin::answer::{Answer, json_or_null};
use crate::admin::error::AdminError;
use crate::admin::request::{Body, Params};
use crate::admin::routes::GLOBAL;
use crate::admin::routes::row::{Asks, Operation, Row, at, delete, flag, get, post, put};

/// What a write is answered with, after RFC 7234 5.5.
const NOTE: HeaderValue = HeaderValue::from_static("299 - \"kept and shown, but without effect on this broker\"");

/// A policy that is a number.
pub(in crate::admin) struct Kept {
    /// Behind the namespace's or the topic's path.
    path: &'static str,
    /// In the record of the namespace or the topic, spelled as the original's.
    field: &'static str,
    /// What it says.
    what: &'static str,
    /// How it is written.
    method: Method,
}

const fn kept(method: Method, path: &'static str, field: &'static str, what: &'static str) -> Kept {
    Kept { path, field, what, method }
}

/// Of namespaces.
pub(in crate::admin) static OF_NAMESPACES: [Kept; 8] = [
    kept(Method::POST, "/maxProducersPerTopic", "max_producers_per_topic", "how many producers a topic may have"),
    kept(Method::POST, "/maxConsumersPerTopic", "max_consumers_per_topic", "how many consumers a topic may have"),
    kept(
        Method::POST,
        "/maxConsumersPerSubscription",
        "max_consumers_per_subscription",
        "how many consumers a subscription may have",
    ),
    kept(
        Method::POST,
        "/maxUnackedMessagesPerConsumer",
        "max_unacked_messages_per_consumer",
        "how many messages a consumer may hold",
    ),
    kept(
        Method::POST,
        "/maxUnackedMessagesPerSubscription",
        "max_unacked_messages_per_subscription",
        "how many messages a subscription's consumers may hold",
    ),
    kept(
        Method::POST,
        "/maxSubscriptionsPerTopic",
        "max_subscriptions_per_topic",
        "how many subscriptions a topic may have",
    ),
    kept(Method::POST, "/maxTopicsPerNamespace", "max_topics_per_namespace", "how many topics a namespace may have"),
    kept(Method::PUT, "/compactionThreshold", "compaction_threshold", "from which backlog on topics are compacted"),
];

/// Of topics.
pub(in crate::admin) static OF_TOPICS: [Kept; 8] = [
    kept(Method::POST, "/maxProducers", "maxProducerPerTopic", "how many producers the topic may have"),
    kept(Method::POST, "/maxConsumers", "maxConsumerPerTopic", "how many consumers the topic may have"),
    kept(
        Method::POST,
        "/maxConsumersPerSubscription",
        "maxConsumersPerSubscription",
        "how many consumers a subscription may have",
    ),
    kept(
        Method::POST,
        "/maxUnackedMessagesOnConsumer",
        "maxUnackedMessagesOnConsumer",
        "how many messages a consumer may hold",
    ),
    kept(
        Method::POST,
        "/maxUnackedMessagesOnSubscription",
        "maxUnackedMessagesOnSubscription",
        "how many messages a subscription's consumers may hold",
    ),
    kept(
        Method::POST,
        "/maxSubscriptionsPerTopic",
        "maxSubscriptionsPerTopic",
        "how many subscriptions the topic may have",
    ),
    kept(Method::POST, "/maxMessageSize", "maxMessageSize", "how many bytes a message may have"),
    kept(Method::POST, "/compactionThreshold", "compactionThreshold", "from which backlog on the topic is compacted"),
];

impl Kept {
    fn shows(&self) -> String {
        format!("Shows {}.", self.what)
    }

    fn sets(&self) -> String {
        format!("Kept and shown: {}.", self.what)
    }
}

const TAKES_AWAY: &str = "Takes the policy away.";
const SHAPE: &str = "Kept";
const OF_TOPIC: &[Asks] = &[flag("applied", "Without effect: what is set is shown."), GLOBAL];

/// The row of a namespace's policy.
pub(in crate::admin) fn row_of_namespace(kept: &'static Kept) -> Row {
    let field = kept.field;
    let read = move |State(state): Shared, params: Params| async move {
        let policies = namespace_policies::read(&state, &params).await?;
        Ok::<_, AdminError>(json_or_null(policies.others.get(field)))
    };
    let write = move |State(state): Shared, params: Params, body: Body| async move {
        let value = checked(field, &body)?;
        let change = |policies: &mut crate::namespace::Policies| {
            policies.others.insert(field.to_owned(), value.clone());
        };
        noted(&params, field, namespace_policies::write(&state, &params, change).await)
    };
    let remove = move |State(state): Shared, params: Params| async move {
        namespace_policies::write(&state, &params, |policies| drop(policies.others.remove(field))).await
    };
    let write = if kept.method == Method::PUT { put(write, kept.sets()) } else { post(write, kept.sets()) };
    row(kept, [get(read, kept.shows()), write, delete(remove, TAKES_AWAY)], &[])
}

/// The row of a topic's policy.
pub(in crate::admin) fn row_of_topic(kept: &'static Kept) -> Row {
    let field = kept.field;
    let read = move |State(state): Shared, params: Params| async move {
        let policies = topic_policies::read(&state, &params).await?;
        Ok::<_, AdminError>(json_or_null(policies.others.get(field)))
    };
    let write = move |State(state): Shared, params: Params, body: Body| async move {
        let value = checked(field, &body)?;
        let change = |policies: &mut crate::namespace::TopicPolicies| {
            policies.others.insert(field.to_owned(), value.clone());
        };
        noted(&params, field, topic_policies::write(&state, &params, change).await)
    };
    let remove = move |State(state): Shared, params: Params| async move {
        topic_policies::write(&state, &params, |policies| drop(policies.others.remove(field))).await
    };
    row(kept, [get(read, kept.shows()), post(write, kept.sets()), delete(remove, TAKES_AWAY)], OF_TOPIC)
}

fn row(kept: &Kept, [read, write, remove]: [Operation; 3], asks: &'static [Asks]) -> Row {
    let operations = [read.may_give(SHAPE).asks(asks), write.takes(SHAPE).asks(asks), remove.asks(asks)];
    at(kept.path, operations)
}

fn checked(field: &str, body: &Body) -> Result<Value, AdminError> {
    let number: i64 = body.required("the limit, a number,")?;
    if number < 0 {
        return Err(AdminError::refused(format!("{field} must be 0 or more")));
    }
    Ok(json!(number))
}

/// Says in the log and in the answer that nothing here follows a policy that was written.
pub(super) fn noted(params: &Params, policy: &str, written: Answer) -> Answer {
    let mut written: Response = written?;
    let (tenant, namespace, topic) = (params.text("tenant"), params.text("namespace"), params.text("topic"));
    tracing::warn!(tenant, namespace, topic, policy, "this policy is kept and shown, but has no effect on this broker");
    written.headers_mut().insert(WARNING, NOTE);
    Ok(written)
}

/// The original's settings for bookies; what is left out has its defaults.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Persistence {
    bookkeeper_ensemble: i32,
    bookkeeper_write_quorum: i32,
    bookkeeper_ack_quorum: i32,
    managed_ledger_max_mark_delete_rate: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    managed_ledger_storage_class_name: Option<String>,
}

/// The settings of a request, refused as the original refuses.
pub(super) fn checked_persistence(body: &Body) -> Result<Value, AdminError> {
    let wanted: Persistence = body.required("persistence")?;
    let (ensemble, write_quorum, ack) =
        (wanted.bookkeeper_ensemble, wanted.bookkeeper_write_quorum, wanted.bookkeeper_ack_quorum);
    if ensemble < write_quorum || write_quorum < ack || ack < 0 {
        return Err(AdminError::bad_request(format!(
            "Bookkeeper Ensemble ({ensemble}) >= WriteQuorum ({write_quorum}) >= AckQuoru ({ack})"
        )));
    }
    serde_json::to_value(&wanted).map_err(|error| AdminError::bad_request(error.to_string()))
}
