//! The manual offload: asking for one, and how it went.

use axum::extract::State;
use axum::http::HeaderMap;

use super::Shared;
use crate::admin::answer::{Answer, done, json};
use crate::admin::error::AdminError;
use crate::admin::model;
use crate::admin::request::{Body, MessageIdBody, Params};
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
