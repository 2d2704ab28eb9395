//! Namespaces: their life, their topics, their bundles.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Map, Value};

use super::Shared;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json, null, text};
use crate::admin::error::AdminError;
use crate::admin::model::policies::{new_namespace, shown, shown_field};
use crate::admin::request::{Asked, Body, Params};
use crate::admin::secrets::left_out;
use crate::namespace::Policies;
use crate::topic::schemas::schema_key;
use crate::topic::{NamespaceName, TopicError};

pub(in crate::admin) async fn list(State(state): Shared, params: Params) -> Answer {
    let namespaces = state.namespaces.namespaces(params.text("tenant")).await?;
    Ok(json(&namespaces.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

pub(in crate::admin) async fn get(State(state): Shared, params: Params) -> Answer {
    let policies = state.namespaces.policies(&params.namespace()?).await?;
    Ok(json(&left_out(shown(&policies, &state.facts.cluster), &state.offloaders.secret_keys())))
}

pub(in crate::admin) async fn create(State(state): Shared, params: Params, body: Body) -> Answer {
    let namespace = params.namespace()?;
    let policies = new_namespace(body.json::<Map<String, Value>>()?)?;
    state.namespaces.create_namespace(&namespace, &policies).await?;
    Ok(done())
}

/// With `force`, its topics go first, with everything that drivers keep of them.
pub(in crate::admin) async fn delete(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let namespace = params.namespace()?;
    let force = asked.flag("force");
    if force && !state.facts.force_delete_namespace_allowed {
        return Err(AdminError::not_allowed("Broker doesn't allow forced deletion of namespaces"));
    }
    delete_namespace(&state, &namespace, force).await?;
    Ok(done())
}

/// Deletes a namespace; with `force`, its topics go first.
pub(super) async fn delete_namespace(
    state: &AdminState,
    namespace: &NamespaceName,
    force: bool,
) -> Result<(), AdminError> {
    state.namespaces.policies(namespace).await?;
    if force {
        delete_topics(state, namespace).await?;
    }
    let topics = state.topics.names(namespace).await?;
    let partitioned = state.namespaces.partitioned_topics(namespace).await?;
    if !topics.is_empty() || !partitioned.is_empty() {
        return Err(AdminError::conflict("Cannot delete non empty namespace"));
    }
    Ok(state.namespaces.delete_namespace(namespace).await?)
}

async fn delete_topics(state: &AdminState, namespace: &NamespaceName) -> Result<(), AdminError> {
    for topic in state.topics.names(namespace).await? {
        match state.topics.delete(&topic, true).await {
            Ok(()) | Err(TopicError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for topic in state.namespaces.partitioned_topics(namespace).await? {
        state.namespaces.delete_partitioned_topic(&topic).await?;
        state.topics.schemas().forget(&schema_key(&topic)).await?;
    }
    Ok(())
}

pub(in crate::admin) async fn topics(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let namespace = params.namespace()?;
    state.namespaces.policies(&namespace).await?;
    if asked.text("mode").is_some_and(|mode| mode.eq_ignore_ascii_case("NON_PERSISTENT")) {
        return Ok(json(&[(); 0]));
    }
    let topics = state.topics.names(&namespace).await?;
    Ok(json(&topics.iter().map(ToString::to_string).collect::<Vec<_>>()))
}

/// A bundle's topics are the namespace's: all bundles are served here, so that unloading one unloads all.
pub(in crate::admin) async fn unload(State(state): Shared, params: Params) -> Answer {
    let namespace = params.namespace()?;
    state.namespaces.policies(&namespace).await?;
    for topic in state.topics.loaded().iter().filter(|topic| *topic.name().namespace() == namespace) {
        state.topics.unload(topic.name()).await;
    }
    Ok(done())
}

pub(in crate::admin) async fn bundles(State(state): Shared, params: Params) -> Answer {
    field(&state, &params, "bundles").await
}

pub(in crate::admin) async fn replication(State(state): Shared, params: Params) -> Answer {
    field(&state, &params, "replication_clusters").await
}

async fn field(state: &AdminState, params: &Params, field: &str) -> Answer {
    let policies = state.namespaces.policies(&params.namespace()?).await?;
    Ok(json(&shown_field(&policies, &state.facts.cluster, field)))
}

/// A standalone broker is its cluster, and a namespace is on that one.
pub(in crate::admin) async fn set_replication(State(state): Shared, params: Params, body: Body) -> Answer {
    let clusters: Vec<String> = body.required("the list of clusters")?;
    if clusters.is_empty() {
        return Err(AdminError::refused("Clusters can not be empty"));
    }
    if let Some(other) = clusters.iter().find(|cluster| **cluster != state.facts.cluster) {
        return Err(AdminError::new(StatusCode::FORBIDDEN, format!("Invalid cluster id: {other}")));
    }
    change(&state, &params, |policies| policies.replication_clusters = Some(clusters.clone())).await
}

pub(in crate::admin) async fn properties(State(state): Shared, params: Params) -> Answer {
    Ok(json(&state.namespaces.policies(&params.namespace()?).await?.properties))
}

pub(in crate::admin) async fn set_properties(State(state): Shared, params: Params, body: Body) -> Answer {
    let more: BTreeMap<String, String> = body.required("the properties")?;
    change(&state, &params, |policies| policies.properties.extend(more.clone())).await
}

pub(in crate::admin) async fn clear_properties(State(state): Shared, params: Params) -> Answer {
    change(&state, &params, |policies| policies.properties.clear()).await
}

pub(in crate::admin) async fn property(State(state): Shared, params: Params) -> Answer {
    let mut policies = state.namespaces.policies(&params.namespace()?).await?;
    Ok(policies.properties.remove(params.text("key")).map_or_else(null, text))
}

pub(in crate::admin) async fn set_property(State(state): Shared, params: Params) -> Answer {
    let (key, value) = (params.text("key"), params.text("value"));
    change(&state, &params, |policies| drop(policies.properties.insert(key.to_owned(), value.to_owned()))).await
}

/// Answers what the value was.
pub(in crate::admin) async fn remove_property(State(state): Shared, params: Params) -> Answer {
    let removed = property(State(state.clone()), params.clone()).await?;
    change(&state, &params, |policies| drop(policies.properties.remove(params.text("key")))).await?;
    Ok(removed)
}

/// A change that no topic follows.
async fn change(state: &AdminState, params: &Params, change: impl Fn(&mut Policies)) -> Answer {
    state.namespaces.update_policies(&params.namespace()?, change).await?;
    Ok(done())
}
