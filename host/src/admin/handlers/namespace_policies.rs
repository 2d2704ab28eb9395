//! Policies of a namespace. Every write is followed by the settings of the loaded topics that it concerns.

use axum::extract::State;
use serde_json::{Map, Value};

use super::Shared;
use super::kept_policies::{checked_persistence, noted};
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done, json, json_or_null};
use crate::admin::error::AdminError;
use crate::admin::model::policies::RetentionBody;
use crate::admin::request::{Body, Params};
use crate::admin::secrets::left_out;
use crate::namespace::{AutoTopicCreation, OffloadPolicies, Policies};

pub(super) async fn read(state: &AdminState, params: &Params) -> Result<Policies, AdminError> {
    Ok(state.namespaces.policies(&params.namespace()?).await?)
}

pub(super) async fn write(state: &AdminState, params: &Params, change: impl Fn(&mut Policies)) -> Answer {
    let namespace = params.namespace()?;
    state.namespaces.update_policies(&namespace, change).await?;
    state.refresh(&namespace).await?;
    Ok(done())
}

pub(in crate::admin) async fn retention(State(state): Shared, params: Params) -> Answer {
    Ok(json_or_null(read(&state, &params).await?.retention_policies))
}

pub(in crate::admin) async fn set_retention(State(state): Shared, params: Params, body: Body) -> Answer {
    let retention = body.json::<RetentionBody>()?.map(RetentionBody::checked).transpose()?;
    write(&state, &params, |policies| policies.retention_policies = retention).await
}

pub(in crate::admin) async fn remove_retention(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.retention_policies = None).await
}

pub(in crate::admin) async fn offload_threshold(State(state): Shared, params: Params) -> Answer {
    let policies = read(&state, &params).await?;
    let structured = policies.offload_policies.as_ref().and_then(OffloadPolicies::threshold_bytes);
    Ok(json(&structured.unwrap_or(policies.offload_threshold)))
}

pub(in crate::admin) async fn set_offload_threshold(State(state): Shared, params: Params, body: Body) -> Answer {
    let bytes: i64 = body.required("the threshold, a number of bytes,")?;
    write(&state, &params, |policies| {
        policies.offload_threshold = bytes;
        policies.offload_policies.get_or_insert_default().set_threshold_bytes(bytes);
    })
    .await
}

pub(in crate::admin) async fn offload_threshold_seconds(State(state): Shared, params: Params) -> Answer {
    let policies = read(&state, &params).await?;
    let structured = policies.offload_policies.as_ref().and_then(OffloadPolicies::threshold_seconds);
    Ok(json(&structured.unwrap_or(policies.offload_threshold_in_seconds)))
}

pub(in crate::admin) async fn set_offload_threshold_seconds(
    State(state): Shared,
    params: Params,
    body: Body,
) -> Answer {
    let seconds: i64 = body.required("the threshold, a number of seconds,")?;
    write(&state, &params, |policies| {
        policies.offload_threshold_in_seconds = seconds;
        policies.offload_policies.get_or_insert_default().set_threshold_seconds(seconds);
    })
    .await
}

pub(in crate::admin) async fn deletion_lag(State(state): Shared, params: Params) -> Answer {
    let policies = read(&state, &params).await?;
    let structured = policies.offload_policies.as_ref().and_then(OffloadPolicies::deletion_lag_ms);
    Ok(json_or_null(structured.or(policies.offload_deletion_lag_ms)))
}

pub(in crate::admin) async fn set_deletion_lag(State(state): Shared, params: Params, body: Body) -> Answer {
    let lag_ms: i64 = body.required("the deletion lag, a number of milliseconds,")?;
    write_deletion_lag(&state, &params, Some(lag_ms)).await
}

pub(in crate::admin) async fn remove_deletion_lag(State(state): Shared, params: Params) -> Answer {
    write_deletion_lag(&state, &params, None).await
}

async fn write_deletion_lag(state: &AdminState, params: &Params, lag_ms: Option<i64>) -> Answer {
    write(state, params, |policies| {
        policies.offload_deletion_lag_ms = lag_ms;
        if lag_ms.is_some() || policies.offload_policies.is_some() {
            policies.offload_policies.get_or_insert_default().set_deletion_lag_ms(lag_ms);
        }
    })
    .await
}

pub(in crate::admin) async fn offload_policies(State(state): Shared, params: Params) -> Answer {
    let shown = read(&state, &params).await?.offload_policies.map(|offload| offload.to_shown());
    Ok(json_or_null(shown.map(|shown| left_out(shown, &state.offloaders.secret_keys()))))
}

/// What the object leaves out is taken from the single values; what it says replaces them.
pub(in crate::admin) async fn set_offload_policies(State(state): Shared, params: Params, body: Body) -> Answer {
    let offload = checked_offload_policies(&state, &body)?;
    write(&state, &params, |policies| {
        let mut offload = offload.clone();
        match offload.threshold_bytes() {
            Some(bytes) => policies.offload_threshold = bytes,
            None if policies.offload_threshold >= 0 => offload.set_threshold_bytes(policies.offload_threshold),
            None => {}
        }
        match offload.deletion_lag_ms() {
            Some(lag_ms) => policies.offload_deletion_lag_ms = Some(lag_ms),
            None => offload.set_deletion_lag_ms(policies.offload_deletion_lag_ms),
        }
        policies.offload_policies = Some(offload);
    })
    .await
}

/// The object of a request, refused as the original refuses.
pub(super) fn checked_offload_policies(state: &AdminState, body: &Body) -> Result<OffloadPolicies, AdminError> {
    let Some(object) = body.json::<Map<String, Value>>()? else {
        return Err(AdminError::refused("The offloadPolicies must be specified for namespace offload."));
    };
    let offload = OffloadPolicies::from_client(object);
    offload.validate(&state.facts.extra_offload_drivers)?;
    Ok(offload)
}

/// The single values stay, as in the original.
pub(in crate::admin) async fn remove_offload_policies(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.offload_policies = None).await
}

pub(in crate::admin) async fn persistence(State(state): Shared, params: Params) -> Answer {
    Ok(json_or_null(read(&state, &params).await?.persistence))
}

/// Kept and shown; the broker keeps one copy of each hot ledger, whatever the quorums.
pub(in crate::admin) async fn set_persistence(State(state): Shared, params: Params, body: Body) -> Answer {
    let wanted = checked_persistence(&body)?;
    let written = write(&state, &params, |policies| policies.persistence = Some(wanted.clone())).await;
    noted(&params, "persistence", written)
}

pub(in crate::admin) async fn remove_persistence(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.persistence = None).await
}

pub(in crate::admin) async fn auto_topic_creation(State(state): Shared, params: Params) -> Answer {
    Ok(json_or_null(read(&state, &params).await?.auto_topic_creation))
}

pub(in crate::admin) async fn set_auto_topic_creation(State(state): Shared, params: Params, body: Body) -> Answer {
    let rule: AutoTopicCreation = body.required("the rule for topics made by first use")?;
    let kind = rule.topic_type.as_deref().unwrap_or("non-partitioned");
    if !["partitioned", "non-partitioned"].contains(&kind) {
        return Err(AdminError::refused(format!("Unknown topic type [{kind}]; allowed: partitioned, non-partitioned")));
    }
    if kind == "partitioned" && rule.default_num_partitions.unwrap_or(0) == 0 {
        return Err(AdminError::refused("[defaultNumPartitions] cannot be less than 1 for partition type."));
    }
    write(&state, &params, |policies| policies.auto_topic_creation = Some(rule.clone())).await
}

pub(in crate::admin) async fn remove_auto_topic_creation(State(state): Shared, params: Params) -> Answer {
    write(&state, &params, |policies| policies.auto_topic_creation = None).await
}
