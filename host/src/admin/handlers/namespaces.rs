//! Namespaces: their life, their topics, their bundles.

use axum::extract::State;
use serde_json::{Map, Value};

use super::Shared;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json};
use crate::admin::error::AdminError;
use crate::admin::model::policies::{new_namespace, shown, shown_field};
use crate::admin::request::{Asked, Body, Params};
use crate::admin::secrets::left_out;
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
