//! Subscriptions: making and deleting them, moving them, looking at what they have not acknowledged. On a partitioned topic
//! each partition's is meant.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::extract::State;
use serde::Deserialize;

use super::Shared;
use super::messages::found;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json};
use crate::admin::error::AdminError;
use crate::admin::request::{Asked, Body, MessageIdBody, Params};
use crate::managed_ledger::{Position, WirePosition};
use crate::storage::LedgerId;
use crate::topic::{StartAt, TopicError, TopicName};

const SUBSCRIPTION: &str = "subscription";

pub(in crate::admin) async fn list(State(state): Shared, params: Params) -> Answer {
    let mut names = BTreeSet::new();
    for part in state.parts(&params.topic()?).await? {
        let topic = state.topic(&part).await?;
        names.extend(topic.subscriptions().iter().map(|subscription| subscription.name().to_owned()));
    }
    Ok(json(&names))
}

/// Where a new subscription begins, and what it carries.
#[derive(Deserialize)]
struct NewSubscription {
    #[serde(flatten)]
    at: Option<MessageIdBody>,
    #[serde(default)]
    properties: BTreeMap<String, String>,
}

pub(in crate::admin) async fn create(State(state): Shared, params: Params, body: Body) -> Answer {
    let wanted = body.json()?.unwrap_or(NewSubscription { at: None, properties: BTreeMap::new() });
    let at = wanted.at.map_or(StartAt::Latest, start_at);
    for part in state.parts(&params.topic()?).await? {
        let topic = state.topic(&part).await?;
        topic.create_subscription(params.text(SUBSCRIPTION), at, wanted.properties.clone()).await?;
    }
    Ok(done())
}

/// What a client's message id means as a place.
fn start_at(id: MessageIdBody) -> StartAt {
    let WirePosition { ledger_id, entry_id } = id.position();
    match u64::try_from(ledger_id) {
        Err(_) => StartAt::Earliest,
        Ok(_) if ledger_id == i64::MAX => StartAt::Latest,
        Ok(ledger_id) => {
            let entry = Position::new(LedgerId(ledger_id), u64::try_from(entry_id).unwrap_or(0));
            StartAt::Entry(if id.is_excluded && entry_id >= 0 { entry.next() } else { entry })
        }
    }
}

pub(in crate::admin) async fn delete(State(state): Shared, params: Params, asked: Asked) -> Answer {
    for part in state.parts(&params.topic()?).await? {
        let topic = state.topic(&part).await?;
        topic.delete_subscription(params.text(SUBSCRIPTION), asked.flag("force")).await?;
    }
    Ok(done())
}

pub(in crate::admin) async fn skip_all(State(state): Shared, params: Params) -> Answer {
    for part in state.parts(&params.topic()?).await? {
        state.topic(&part).await?.skip_all(params.text(SUBSCRIPTION))?;
    }
    Ok(done())
}

pub(in crate::admin) async fn skip(State(state): Shared, params: Params) -> Answer {
    let name = not_partitioned(&state, params.topic()?, "Skip messages").await?;
    state.topic(&name).await?.skip(params.text(SUBSCRIPTION), params.number("count")?)?;
    Ok(done())
}

pub(in crate::admin) async fn reset_to_time(State(state): Shared, params: Params) -> Answer {
    let at = StartAt::Time(params.number("time")?);
    for part in state.parts(&params.topic()?).await? {
        state.topic(&part).await?.reset(params.text(SUBSCRIPTION), at).await?;
    }
    Ok(done())
}

pub(in crate::admin) async fn reset_to_message(State(state): Shared, params: Params, body: Body) -> Answer {
    let at = start_at(body.required("the message id")?);
    let name = not_partitioned(&state, params.topic()?, "Reset-cursor at position").await?;
    state.topic(&name).await?.reset(params.text(SUBSCRIPTION), at).await?;
    Ok(done())
}

pub(in crate::admin) async fn peek(State(state): Shared, params: Params) -> Answer {
    let name = not_partitioned(&state, params.topic()?, "Peek messages").await?;
    let topic = state.topic(&name).await?;
    let n: u64 = params.number("count")?;
    found(topic.peek(params.text(SUBSCRIPTION), n.max(1)).await?)
}

/// Where nothing was old enough, the original says so.
fn nothing_expired(name: &TopicName, subscription: &str) -> AdminError {
    AdminError::conflict(format!(
        "Expire message by timestamp not issued on topic {name} for subscription {subscription} due to ongoing message \
         expiration not finished or subscription almost catch up. If it's performed on a partitioned topic operation might \
         succeeded on other partitions, please check stats of individual partition."
    ))
}

pub(in crate::admin) async fn expire_older(State(state): Shared, params: Params) -> Answer {
    let (name, age) = (params.topic()?, age(&params)?);
    let mut expired = false;
    for part in state.parts(&name).await? {
        expired |= state.topic(&part).await?.expire_older(params.text(SUBSCRIPTION), age).await?;
    }
    if expired { Ok(done()) } else { Err(nothing_expired(&name, params.text(SUBSCRIPTION))) }
}

pub(in crate::admin) async fn expire_all_older(State(state): Shared, params: Params) -> Answer {
    let age = age(&params)?;
    for part in state.parts(&params.topic()?).await? {
        let topic = state.topic(&part).await?;
        for subscription in topic.subscriptions() {
            match topic.expire_older(subscription.name(), age).await {
                // It may be gone meanwhile.
                Ok(_) | Err(TopicError::SubscriptionNotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    Ok(done())
}

fn age(params: &Params) -> Result<Duration, AdminError> {
    Ok(Duration::from_secs(params.number("seconds")?))
}

/// Up to a message, and that one too unless it is left out.
pub(in crate::admin) async fn expire_through(State(state): Shared, params: Params, body: Body) -> Answer {
    let id: MessageIdBody = body.required("the message id")?;
    let name = not_partitioned(&state, params.topic()?, "Expire message at position").await?;
    let topic = state.topic(&name).await?;
    let last = match start_at(MessageIdBody { is_excluded: false, ..id }) {
        StartAt::Entry(position) if id.is_excluded => topic.ledger().previous(position),
        StartAt::Entry(position) => Some(position),
        StartAt::Latest => topic.ledger().last_confirmed(),
        StartAt::Earliest | StartAt::Time(_) => None,
    };
    let expired = match last {
        Some(last) => topic.expire_through(params.text(SUBSCRIPTION), last)?,
        None => false,
    };
    if expired { Ok(done()) } else { Err(nothing_expired(&name, params.text(SUBSCRIPTION))) }
}

/// What names a message makes sense on one partition only.
async fn not_partitioned(state: &AdminState, name: TopicName, what: &str) -> Result<TopicName, AdminError> {
    match state.namespaces.partitions_of(&name).await? {
        Some(_) => Err(AdminError::not_allowed(format!("{what} on a partitioned topic is not allowed"))),
        None => Ok(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_ids_name_places() {
        let at = |ledger_id, entry_id, is_excluded| start_at(MessageIdBody { ledger_id, entry_id, is_excluded });
        let entry = |ledger_id, entry_id| StartAt::Entry(Position::new(LedgerId(ledger_id), entry_id));
        assert_eq!(at(-1, -1, false), StartAt::Earliest);
        assert_eq!(at(i64::MAX, i64::MAX, false), StartAt::Latest);
        assert_eq!(at(5, 3, false), entry(5, 3));
        assert_eq!(at(5, 3, true), entry(5, 4));
        assert_eq!(at(5, -1, true), entry(5, 0), "before the first entry there is nothing to leave out");
    }
}
