//! Policies of one topic, which go before its namespace's. A partition's are its topic's.

use axum::extract::State;

use super::kept_policies::{checked_persistence, noted};
use super::namespace_policies::checked_offload_policies;
use super::{Shared, require_topic};
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json, json_or_null};
use crate::admin::error::AdminError;
use crate::admin::model::policies::RetentionBody;
use crate::admin::request::{Asked, Body, Params};
use crate::admin::secrets::left_out;
use crate::namespace::TopicPolicies;
use crate::namespace::effective::offload_properties;
use crate::namespace::offload_policies::shown_from_properties;

pub(super) async fn read(state: &AdminState, params: &Params) -> Result<TopicPolicies, AdminError> {
    let name = params.topic()?;
    require_topic(state, &name).await?;
    Ok(state.namespaces.topic_policies(&name).await?)
}

pub(super) async fn write(state: &AdminState, params: &Params, change: impl Fn(&mut TopicPolicies)) -> Answer {
    let name = params.topic()?;
    require_topic(state, &name).await?;
    state.namespaces.update_topic_policies(&name, change).await?;
    state.refresh_topic(&name).await?;
    Ok(done())
}

pub(in crate::admin) async fn retention(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let own = read(&state, &params).await?.retention_policies;
    if own.is_some() || !asked.flag("applied") {
        return Ok(json_or_null(own));
    }
    let namespace = state.namespaces.policies(&params.namespace()?).await?.retention_policies;
    Ok(json(&namespace.unwrap_or(state.namespaces.defaults().retention)))
}

pub(in crate::admin) async fn set_retention(State(state): Shared, params: Params, body: Body) -> Answer {
    let retention = body.json::<RetentionBody>()?.map(RetentionBody::checked).transpose()?;
    write(&state, &params, |policies| policies.retention_policies = retention).await
}

pub(in crate::admin) async fn remove_retention(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.retention_policies = None).await
}

pub(in crate::admin) async fn offload_policies(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let own = read(&state, &params).await?;
    if !asked.flag("applied") {
        let shown = own.offload_policies.map(|offload| offload.to_shown());
        return Ok(json_or_null(shown.map(|shown| left_out(shown, &state.offloaders.secret_keys()))));
    }
    let namespace = state.namespaces.policies(&params.namespace()?).await?;
    let properties = offload_properties(state.namespaces.defaults(), &namespace, &own);
    let shown = shown_from_properties(&properties, &state.facts.offloaders_directory);
    Ok(json(&left_out(shown, &state.offloaders.secret_keys())))
}

pub(in crate::admin) async fn set_offload_policies(State(state): Shared, params: Params, body: Body) -> Answer {
    let offload = checked_offload_policies(&state, &body)?;
    write(&state, &params, |policies| policies.offload_policies = Some(offload.clone())).await
}

pub(in crate::admin) async fn remove_offload_policies(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.offload_policies = None).await
}

pub(in crate::admin) async fn persistence(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let own = read(&state, &params).await?.persistence;
    if own.is_some() || !asked.flag("applied") {
        return Ok(json_or_null(own));
    }
    Ok(json_or_null(state.namespaces.policies(&params.namespace()?).await?.persistence))
}

/// Kept and shown, as a namespace's.
pub(in crate::admin) async fn set_persistence(State(state): Shared, params: Params, body: Body) -> Answer {
    let wanted = checked_persistence(&body)?;
    let written = write(&state, &params, |policies| policies.persistence = Some(wanted.clone())).await;
    noted(&params, "persistence", written)
}

pub(in crate::admin) async fn remove_persistence(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.persistence = None).await
}
