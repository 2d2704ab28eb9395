//! What roles are granted in a namespace and on a topic.

use std::collections::BTreeSet;

use axum::extract::State;

use super::Shared;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json};
use crate::admin::error::AdminError;
use crate::admin::request::{Body, Params};
use crate::namespace::permissions::{AuthPolicies, Permission};
use crate::topic::TopicName;

pub(in crate::admin) async fn of_namespace(State(state): Shared, params: Params) -> Answer {
    Ok(json(&state.namespaces.policies(&params.namespace()?).await?.auth_policies.namespace_auth))
}

pub(in crate::admin) async fn of_topic(State(state): Shared, params: Params) -> Answer {
    let topic = params.topic()?.partitioned();
    let policies = state.namespaces.policies(topic.namespace()).await?;
    Ok(json(&policies.auth_policies.of_topic(&topic.to_string())))
}

pub(in crate::admin) async fn grant_in_namespace(State(state): Shared, params: Params, body: Body) -> Answer {
    let granted: BTreeSet<Permission> = body.required("the permissions")?;
    change(&state, &params, |policies, role| policies.grant(None, role, granted.clone())).await
}

pub(in crate::admin) async fn grant_on_topic(State(state): Shared, params: Params, body: Body) -> Answer {
    let granted: BTreeSet<Permission> = body.required("the permissions")?;
    let topic = name(&params)?;
    change(&state, &params, |policies, role| policies.grant(Some(&topic), role, granted.clone())).await
}

pub(in crate::admin) async fn revoke_in_namespace(State(state): Shared, params: Params) -> Answer {
    change(&state, &params, |policies, role| policies.revoke(None, role)).await
}

/// As in the original, what the namespace grants is not taken on a topic.
pub(in crate::admin) async fn revoke_on_topic(State(state): Shared, params: Params) -> Answer {
    let topic = name(&params)?;
    let policies = state.namespaces.policies(&params.namespace()?).await?.auth_policies;
    if policies.destination_auth.get(&topic).is_none_or(|roles| !roles.contains_key(params.text("role"))) {
        return Err(AdminError::refused("Permissions are not set at the topic level"));
    }
    change(&state, &params, |policies, role| policies.revoke(Some(&topic), role)).await
}

/// Topics are known by their full names, partitions by that of the whole.
fn name(params: &Params) -> Result<String, AdminError> {
    let topic: TopicName = params.topic()?.partitioned();
    Ok(topic.to_string())
}

async fn change(state: &AdminState, params: &Params, change: impl Fn(&mut AuthPolicies, &str)) -> Answer {
    let role = params.text("role");
    state
        .namespaces
        .update_policies(&params.namespace()?, |policies| change(&mut policies.auth_policies, role))
        .await?;
    Ok(done())
}
