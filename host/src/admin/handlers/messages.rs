//! Single messages: by place, by time, the last one.

use axum::extract::State;
use serde_json::json;

use super::Shared;
use crate::admin::answer::{Answer, json};
use crate::admin::error::AdminError;
use crate::admin::model::message::{entry, message_id};
use crate::admin::request::{Asked, Params};
use crate::managed_ledger::{Position, WirePosition};
use crate::storage::LedgerId;
use crate::topic::StoredEntry;
use crate::topic::message::MessageView;

/// The entry as an answer, if it is there.
pub(super) fn found(stored: Option<StoredEntry>) -> Answer {
    entry(&stored.ok_or_else(|| AdminError::not_found("Message not found"))?)
}

pub(in crate::admin) async fn by_id(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    let position = Position::new(LedgerId(params.number("ledger")?), params.number("entry")?);
    found(topic.entry_at(position).await?)
}

/// The n-th message from either end, 1 for the outermost.
pub(in crate::admin) async fn examine(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    let n: u64 = match asked.text("messagePosition").unwrap_or("1").parse() {
        Ok(n) if n > 0 => n,
        _ => return Err(AdminError::refused("messagePosition must be a number from 1 on")),
    };
    let ledger = topic.ledger();
    let (first, end) = (ledger.first(), ledger.end());
    let behind_first = match asked.text("initialPosition").unwrap_or("latest") {
        "earliest" => Some(n - 1),
        "latest" => ledger.count(first, end).checked_sub(n),
        other => {
            return Err(AdminError::refused(format!("initialPosition is `{other}`; allowed: earliest, latest")));
        }
    };
    match behind_first.and_then(|n| ledger.nth(first, n)) {
        Some(position) => found(topic.entry_at(position).await?),
        None => found(None),
    }
}

pub(in crate::admin) async fn last(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    let Some(last) = topic.last_message().await? else {
        return Ok(json(&message_id(WirePosition { ledger_id: -1, entry_id: -1 }, topic.name())));
    };
    let mut id = message_id(last.position.on_wire(), topic.name());
    if let Some(messages) = MessageView::of(&last.entry).ok().and_then(|view| view.batch_messages) {
        id["batchSize"] = json!(messages);
        id["batchIndex"] = json!(messages - 1);
    }
    Ok(json(&id))
}

/// The first message that was published at that time or later.
pub(in crate::admin) async fn by_time(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    let position = topic.first_since(params.number("time")?).await?;
    Ok(json(&message_id(position.on_wire(), topic.name())))
}
