//! The manual offload: asking for one, how it went, and why ledgers are offloaded or stay.

use axum::extract::State;
use axum::http::HeaderMap;

use super::Shared;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json};
use crate::admin::error::AdminError;
use crate::admin::model;
use crate::admin::model::explain::TopicExplained;
use crate::admin::request::{Body, MessageIdBody, Params};
use crate::namespace::TopicPolicies;
use crate::namespace::explain::{Explained, explain as explain_levels};
use crate::namespace::offload_policies::is_secret;
use crate::topic::{NamespaceName, TopicName};
use crate::trace::{self, TraceContext};

/// Started, not done: everything that follows shows in the status. The trace of a header `traceparent` is continued.
pub(in crate::admin) async fn start(State(state): Shared, headers: HeaderMap, params: Params, body: Body) -> Answer {
    let name = params.topic()?;
    let before: MessageIdBody = body.json()?.ok_or_else(|| AdminError::bad_request("messageId is null"))?;
    let topic = state.topic(&name).await?;
    let start = || state.offloads.start(topic.ledger().clone(), before.position());
    let header = headers.get("traceparent").and_then(|value| value.to_str().ok());
    match header.and_then(TraceContext::parse) {
        Some(trace) => trace::within(trace, async { start() }).await?,
        None => start()?,
    }
    Ok(done())
}

pub(in crate::admin) async fn status(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    Ok(json(&model::offload::status(&state.offloads.status(topic.ledger()))))
}

/// Our own: which level sets what, and what would be offloaded now.
pub(in crate::admin) async fn explain(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    let settings = explained(&state, topic.name().namespace(), Some(topic.name())).await?;
    let ledger = topic.ledger();
    let policy = &ledger.settings().offload;
    Ok(json(&TopicExplained::new(settings, policy, &ledger.snapshot(), state.clock.now_ms())))
}

/// Our own: which level sets what, for topics without policies of their own.
pub(in crate::admin) async fn explain_namespace(State(state): Shared, params: Params) -> Answer {
    Ok(json(&serde_json::json!({ "settings": explained(&state, &params.namespace()?, None).await? })))
}

async fn explained(
    state: &AdminState,
    namespace: &NamespaceName,
    topic: Option<&TopicName>,
) -> Result<Vec<Explained>, AdminError> {
    let policies = state.namespaces.policies(namespace).await?;
    let own = match topic {
        Some(topic) => state.namespaces.topic_policies(topic).await?,
        None => TopicPolicies::default(),
    };
    let secrets = state.offloaders.secret_keys();
    let mut settings = explain_levels(state.namespaces.defaults(), &policies, &own);
    settings.retain(|setting| !secrets.contains(&setting.key) && !is_secret(&setting.key));
    Ok(settings)
}
