//! A topic's ledgers: in memory, as recorded, and where their copies are.

use std::collections::BTreeMap;

use axum::extract::State;
use serde_json::json;

use super::Shared;
use super::topics::partitions_or_absent;
use crate::admin::answer::{Answer, json};
use crate::admin::error::AdminError;
use crate::admin::model::info::StoredInfo;
use crate::admin::model::internal::InternalStats;
use crate::admin::model::ledgers::rows;
use crate::admin::request::{Asked, Params};
use crate::topic::Topic;

pub(in crate::admin) async fn internal_stats(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    Ok(json(&internal_stats_of(&topic, asked.flag("metadata"))))
}

fn internal_stats_of(topic: &Topic, metadata: bool) -> InternalStats {
    InternalStats::new(topic.ledger(), &topic.stats().subscriptions, metadata)
}

pub(in crate::admin) async fn partitioned_internal_stats(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let name = params.topic()?;
    let count = partitions_or_absent(&state, &name).await?;
    let mut partitions = BTreeMap::new();
    for index in 0..count {
        let topic = state.topic(&name.partition(index)).await?;
        partitions.insert(topic.name().to_string(), internal_stats_of(&topic, asked.flag("metadata")));
    }
    Ok(json(&json!({ "metadata": { "partitions": count, "deleted": false }, "partitions": partitions })))
}

/// The records, whether the topic is loaded or not. The original answers 500 for an absent topic; here it is a 404 as
/// everywhere.
pub(in crate::admin) async fn internal_info(State(state): Shared, params: Params) -> Answer {
    let name = params.topic()?;
    let stored = state.managed_ledgers.stored(&name.managed_ledger()).await?;
    let stored = stored.ok_or_else(|| AdminError::not_found(format!("Topic {name} not found")))?;
    Ok(json(&StoredInfo::new(&stored, state.clock.now_ms())?))
}

/// Our own: a row for each ledger.
pub(in crate::admin) async fn ledgers(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    Ok(json(&rows(&topic.ledger().snapshot(), |driver| state.offloaders.origin(driver))))
}
