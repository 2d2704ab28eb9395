//! Topics: which there are, their making and end, their figures.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, topic_policies};
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json, null};
use crate::admin::error::AdminError;
use crate::admin::model::message::message_id;
use crate::admin::model::stats::StatsBody;
use crate::admin::request::{Asked, Body, Params};
use crate::topic::schemas::schema_key;
use crate::topic::{Missing, Topic, TopicError, TopicName};

/// What a topic carries.
type Properties = BTreeMap<String, String>;

/// Partitions of one topic; each is made with the topic, and has a ledger of its own.
const PARTITIONS_MAX: i64 = 10_000;

pub(in crate::admin) async fn list(State(state): Shared, params: Params) -> Answer {
    let namespace = params.namespace()?;
    state.namespaces.policies(&namespace).await?;
    Ok(json(&texts(&state.topics.names(&namespace).await?)))
}

pub(in crate::admin) async fn list_partitioned(State(state): Shared, params: Params) -> Answer {
    Ok(json(&texts(&state.namespaces.partitioned_topics(&params.namespace()?).await?)))
}

fn texts(names: &[TopicName]) -> Vec<String> {
    names.iter().map(ToString::to_string).collect()
}

pub(in crate::admin) async fn create(State(state): Shared, params: Params, body: Body) -> Answer {
    let name = params.topic()?;
    let properties = body.json::<Properties>()?.unwrap_or_default();
    state.namespaces.policies(name.namespace()).await?;
    check_parent(&state, &name).await?;
    refuse_existing(&state, &name).await?;
    state.topics.load(&name, Missing::Create).await?;
    keep_properties(&state, &name, properties).await?;
    Ok(done())
}

/// A name that ends like a partition's needs the topic that it is a partition of.
async fn check_parent(state: &AdminState, name: &TopicName) -> Result<(), AdminError> {
    let Some(index) = name.partition_index() else { return Ok(()) };
    match state.namespaces.partitions_of(&name.partitioned()).await? {
        Some(count) if index < count => Ok(()),
        _ => Err(AdminError::refused(format!(
            "Can't create topic {name}: its name is that of a partition, and {} has no such partition",
            name.partitioned()
        ))),
    }
}

async fn refuse_existing(state: &AdminState, name: &TopicName) -> Result<(), AdminError> {
    if state.topics.exists(name).await? || state.namespaces.partitions_of(name).await?.is_some() {
        return Err(AdminError::conflict("This topic already exists"));
    }
    Ok(())
}

pub(in crate::admin) async fn delete(State(state): Shared, params: Params, asked: Asked) -> Answer {
    state.topics.delete(&params.topic()?, asked.flag("force")).await?;
    Ok(done())
}

/// The two forms in which clients send a number of partitions.
#[derive(Deserialize)]
#[serde(untagged)]
enum PartitionCount {
    Bare(i64),
    Metadata {
        partitions: i64,
        #[serde(default)]
        properties: Option<Properties>,
    },
}

fn partition_count(body: &Body) -> Result<(u32, Properties), AdminError> {
    let (count, properties) = match body.required("the number of partitions")? {
        PartitionCount::Bare(count) => (count, None),
        PartitionCount::Metadata { partitions, properties } => (partitions, properties),
    };
    if count > PARTITIONS_MAX {
        let text = format!("Number of partitions should be less than or equal to {PARTITIONS_MAX}");
        return Err(AdminError::new(StatusCode::NOT_ACCEPTABLE, text));
    }
    // Whatever is too small is refused as 0 is.
    Ok((u32::try_from(count).unwrap_or(0), properties.unwrap_or_default()))
}

pub(in crate::admin) async fn create_partitioned(State(state): Shared, params: Params, body: Body) -> Answer {
    let (name, (count, properties)) = (params.topic()?, partition_count(&body)?);
    if name.partition_index().is_some() {
        return Err(AdminError::refused(format!("Partitioned Topic Name should not contain '-partition-': {name}")));
    }
    if state.topics.exists(&name).await? {
        return Err(AdminError::conflict("This topic already exists"));
    }
    state.namespaces.create_partitioned_topic(&name, count).await?;
    keep_properties(&state, &name, properties).await?;
    make_partitions(&state, &name).await
}

pub(in crate::admin) async fn add_partitions(State(state): Shared, params: Params, body: Body) -> Answer {
    let (name, (count, _)) = (params.topic()?, partition_count(&body)?);
    state.namespaces.update_partitions(&name, count).await?;
    make_partitions(&state, &name).await
}

async fn make_partitions(state: &AdminState, name: &TopicName) -> Answer {
    for partition in state.parts(name).await? {
        state.topics.load(&partition, Missing::Create).await?;
    }
    Ok(done())
}

pub(in crate::admin) async fn partitions(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let name = params.topic()?;
    let count = match state.namespaces.partitions_of(&name).await? {
        Some(count) => count,
        None if asked.flag("checkAllowAutoCreation") => state.topics.partitions(&name, true).await?,
        None if state.topics.exists(&name).await? => 0,
        None => return Err(AdminError::not_found(format!("Topic {name} not found"))),
    };
    Ok(json(&partition_metadata(count)))
}

fn partition_metadata(count: u32) -> Value {
    json!({ "partitions": count, "deleted": false })
}

pub(in crate::admin) async fn delete_partitioned(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let (name, force) = (params.topic()?, asked.flag("force"));
    if state.namespaces.partitions_of(&name).await?.is_none() {
        return Err(AdminError::not_found(format!("Topic {name} not found.")));
    }
    let partitions = state.parts(&name).await?;
    let clients = |partition| state.topics.get(partition).map_or(0, |topic| topic.client_count());
    let connected: usize = partitions.iter().map(clients).sum();
    if connected > 0 && !force {
        return Err(TopicError::InUse(connected).into());
    }
    for partition in &partitions {
        match state.topics.delete(partition, force).await {
            Ok(()) | Err(TopicError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    state.namespaces.delete_partitioned_topic(&name).await?;
    state.topics.schemas().forget(&schema_key(&name)).await?;
    Ok(done())
}

pub(in crate::admin) async fn unload(State(state): Shared, params: Params) -> Answer {
    let name = params.topic()?;
    let parts = state.parts(&name).await?;
    if parts == [name.clone()] && !state.topics.exists(&name).await? {
        return Err(AdminError::not_found(format!("Topic {name} not found")));
    }
    for part in &parts {
        state.topics.unload(part).await;
    }
    Ok(done())
}

pub(in crate::admin) async fn terminate(State(state): Shared, params: Params) -> Answer {
    let name = params.topic()?;
    if state.namespaces.partitions_of(&name).await?.is_some() {
        return Err(AdminError::not_allowed("Termination of a partitioned topic is not allowed"));
    }
    let end = state.topic(&name).await?.terminate().await?;
    Ok(json(&message_id(end.before(), &name)))
}

/// Answers when the trim is done.
pub(in crate::admin) async fn trim(State(state): Shared, params: Params) -> Answer {
    for part in state.parts(&params.topic()?).await? {
        state.topic(&part).await?.ledger().trim().await?;
    }
    Ok(null())
}

pub(in crate::admin) async fn truncate(State(state): Shared, params: Params) -> Answer {
    for part in state.parts(&params.topic()?).await? {
        state.topic(&part).await?.ledger().truncate().await?;
    }
    Ok(done())
}

pub(in crate::admin) async fn stats(State(state): Shared, params: Params) -> Answer {
    let topic = state.topic(&params.topic()?).await?;
    Ok(json(&stats_of(&state, &topic)))
}

pub(in crate::admin) async fn partitioned_stats(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let name = params.topic()?;
    let count = partitions_or_absent(&state, &name).await?;
    let mut partitions = BTreeMap::new();
    for index in 0..count {
        let topic = state.topic(&name.partition(index)).await?;
        partitions.insert(topic.name().to_string(), stats_of(&state, &topic));
    }
    let each = asked.text("perPartition").is_none_or(|value| value != "false");
    Ok(json(&StatsBody::partitioned(partitions, partition_metadata(count), each)))
}

pub(super) async fn partitions_or_absent(state: &AdminState, name: &TopicName) -> Result<u32, AdminError> {
    let partitions = state.namespaces.partitions_of(name).await?;
    partitions.ok_or_else(|| AdminError::not_found(format!("Partitioned Topic {name} not found")))
}

pub(super) fn stats_of(state: &AdminState, topic: &Topic) -> StatsBody {
    let history = state.offloads.history(topic.ledger());
    StatsBody::new(topic.ledger(), topic.stats(), history, &state.facts.web_address)
}

pub(in crate::admin) async fn properties(State(state): Shared, params: Params) -> Answer {
    Ok(json(&topic_policies::read(&state, &params).await?.properties))
}

pub(in crate::admin) async fn set_properties(State(state): Shared, params: Params, body: Body) -> Answer {
    let more: Properties = body.required("the properties")?;
    topic_policies::write(&state, &params, |policies| policies.properties.extend(more.clone())).await
}

/// One, or all of them where none is named.
pub(in crate::admin) async fn remove_property(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let key = asked.text("key");
    topic_policies::write(&state, &params, |policies| {
        policies.properties.retain(|known, _| key.is_some_and(|key| key != known));
    })
    .await
}

/// What a new topic carries from the start.
async fn keep_properties(state: &AdminState, name: &TopicName, properties: Properties) -> Result<(), AdminError> {
    if !properties.is_empty() {
        state.namespaces.update_topic_policies(name, |policies| policies.properties.extend(properties.clone())).await?;
    }
    Ok(())
}

/// No topic was ever compacted.
pub(in crate::admin) async fn compaction(State(state): Shared, params: Params) -> Answer {
    super::require_topic(&state, &params.topic()?).await?;
    Ok(json(&json!({ "status": "NOT_RUN", "lastError": "" })))
}

pub(in crate::admin) async fn compact(State(state): Shared, params: Params) -> Answer {
    let name = params.topic()?;
    super::require_topic(&state, &name).await?;
    let text = format!("this broker does not compact topics: {name} keeps every message until it is trimmed");
    Err(AdminError::new(StatusCode::NOT_IMPLEMENTED, text))
}

/// Topics of the other domain: there are none.
pub(in crate::admin) async fn list_none(State(state): Shared, params: Params) -> Answer {
    state.namespaces.policies(&params.namespace()?).await?;
    Ok(json(&[(); 0]))
}
