//! Policies of the life of topics, on a namespace and on a topic: time to live, backlog quotas, deduplication, expiry of
//! subscriptions, deletion of inactive topics.

use std::collections::BTreeMap;

use axum::extract::State;

use super::{Shared, namespace_policies, topic_policies};
use crate::admin::answer::{Answer, json, json_or_null};
use crate::admin::error::AdminError;
use crate::admin::request::{Asked, Body, Params};
use crate::namespace::terms::{AGE_QUOTA, BYTES_QUOTA, InactiveTopicPolicies, inactive, quota, terms};
use crate::namespace::{BacklogQuota, Policies, TopicPolicies};

/// Policies of a namespace.
pub(in crate::admin) mod of_namespace {
    use super::namespace_policies::{read, write};
    use super::*;

    pub(in crate::admin) async fn message_ttl(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.message_ttl_in_seconds))
    }

    pub(in crate::admin) async fn set_message_ttl(State(state): Shared, params: Params, body: Body) -> Answer {
        let seconds = checked_ttl(body.required("the time to live, a number of seconds,")?)?;
        write(&state, &params, |policies| policies.message_ttl_in_seconds = Some(seconds)).await
    }

    pub(in crate::admin) async fn remove_message_ttl(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.message_ttl_in_seconds = None).await
    }

    pub(in crate::admin) async fn backlog_quotas(State(state): Shared, params: Params) -> Answer {
        Ok(json(&read(&state, &params).await?.backlog_quotas))
    }

    pub(in crate::admin) async fn set_backlog_quota(
        State(state): Shared,
        params: Params,
        asked: Asked,
        body: Body,
    ) -> Answer {
        let (name, quota) = (quota_name(&asked)?, checked_quota(&body)?);
        check_retention(&quota, &read(&state, &params).await?, None)?;
        write(&state, &params, |policies| drop(policies.backlog_quotas.insert(name.to_owned(), quota.clone()))).await
    }

    pub(in crate::admin) async fn remove_backlog_quota(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let name = quota_name(&asked)?;
        write(&state, &params, |policies| drop(policies.backlog_quotas.remove(name))).await
    }

    pub(in crate::admin) async fn deduplication(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.deduplication))
    }

    pub(in crate::admin) async fn set_deduplication(State(state): Shared, params: Params, body: Body) -> Answer {
        let enabled: bool = body.required("true or false")?;
        write(&state, &params, |policies| policies.deduplication = Some(enabled)).await
    }

    pub(in crate::admin) async fn remove_deduplication(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.deduplication = None).await
    }

    pub(in crate::admin) async fn deduplication_interval(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.deduplication_interval))
    }

    pub(in crate::admin) async fn set_deduplication_interval(
        State(state): Shared,
        params: Params,
        body: Body,
    ) -> Answer {
        let seconds = checked_interval(&body)?;
        write(&state, &params, |policies| policies.deduplication_interval = seconds).await
    }

    pub(in crate::admin) async fn remove_deduplication_interval(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.deduplication_interval = None).await
    }

    pub(in crate::admin) async fn subscription_expiration(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.subscription_expiration_time_minutes))
    }

    pub(in crate::admin) async fn set_subscription_expiration(
        State(state): Shared,
        params: Params,
        body: Body,
    ) -> Answer {
        let minutes: i64 = body.required("the time, a number of minutes,")?;
        if minutes < 0 {
            return Err(AdminError::refused("Invalid value for subscription expiration time"));
        }
        write(&state, &params, |policies| policies.subscription_expiration_time_minutes = Some(minutes)).await
    }

    pub(in crate::admin) async fn remove_subscription_expiration(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.subscription_expiration_time_minutes = None).await
    }

    pub(in crate::admin) async fn inactive_topics(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.inactive_topic_policies))
    }

    pub(in crate::admin) async fn set_inactive_topics(State(state): Shared, params: Params, body: Body) -> Answer {
        let rule = checked_rule(&body)?;
        write(&state, &params, |policies| policies.inactive_topic_policies = Some(rule.clone())).await
    }

    pub(in crate::admin) async fn remove_inactive_topics(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.inactive_topic_policies = None).await
    }
}

/// Policies of a topic. With `applied`, what is in force is shown where the topic sets nothing.
pub(in crate::admin) mod of_topic {
    use super::topic_policies::{read, write};
    use super::*;

    pub(in crate::admin) async fn message_ttl(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?;
        if own.message_ttl_in_seconds.is_some() || !asked.flag("applied") {
            return Ok(json_or_null(own.message_ttl_in_seconds));
        }
        let namespace = namespace_policies::read(&state, &params).await?;
        let ttl = terms(&state.namespaces.defaults().terms, &namespace, &own).message_ttl;
        Ok(json(&ttl.map_or(0, |ttl| ttl.as_secs())))
    }

    pub(in crate::admin) async fn set_message_ttl(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let text = asked.text("messageTTL").unwrap_or_default();
        let seconds =
            text.parse().map_err(|_| AdminError::refused(format!("messageTTL `{text}` is no number of seconds")))?;
        let seconds = checked_ttl(seconds)?;
        write(&state, &params, |policies| policies.message_ttl_in_seconds = Some(seconds)).await
    }

    pub(in crate::admin) async fn remove_message_ttl(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.message_ttl_in_seconds = None).await
    }

    pub(in crate::admin) async fn backlog_quotas(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?;
        if !asked.flag("applied") {
            return Ok(json(&own.backlog_quotas));
        }
        let namespace = namespace_policies::read(&state, &params).await?;
        let in_force =
            |name| quota(&state.namespaces.defaults().terms, &namespace, &own, name).map(|quota| (name, quota));
        Ok(json(&[BYTES_QUOTA, AGE_QUOTA].into_iter().filter_map(in_force).collect::<BTreeMap<_, _>>()))
    }

    pub(in crate::admin) async fn set_backlog_quota(
        State(state): Shared,
        params: Params,
        asked: Asked,
        body: Body,
    ) -> Answer {
        let (name, quota) = (quota_name(&asked)?, checked_quota(&body)?);
        let namespace = namespace_policies::read(&state, &params).await?;
        check_retention(&quota, &namespace, Some(&read(&state, &params).await?))?;
        write(&state, &params, |policies| drop(policies.backlog_quotas.insert(name.to_owned(), quota.clone()))).await
    }

    pub(in crate::admin) async fn remove_backlog_quota(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let name = quota_name(&asked)?;
        write(&state, &params, |policies| drop(policies.backlog_quotas.remove(name))).await
    }

    pub(in crate::admin) async fn deduplication(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?;
        if own.deduplication.is_some() || !asked.flag("applied") {
            return Ok(json_or_null(own.deduplication));
        }
        let namespace = namespace_policies::read(&state, &params).await?;
        Ok(json(&terms(&state.namespaces.defaults().terms, &namespace, &own).deduplication))
    }

    pub(in crate::admin) async fn set_deduplication(State(state): Shared, params: Params, body: Body) -> Answer {
        let enabled: bool = body.required("true or false")?;
        write(&state, &params, |policies| policies.deduplication = Some(enabled)).await
    }

    pub(in crate::admin) async fn remove_deduplication(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.deduplication = None).await
    }

    pub(in crate::admin) async fn deduplication_interval(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.deduplication_interval))
    }

    pub(in crate::admin) async fn set_deduplication_interval(
        State(state): Shared,
        params: Params,
        body: Body,
    ) -> Answer {
        let seconds = checked_interval(&body)?;
        write(&state, &params, |policies| policies.deduplication_interval = seconds).await
    }

    pub(in crate::admin) async fn remove_deduplication_interval(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.deduplication_interval = None).await
    }

    pub(in crate::admin) async fn inactive_topics(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?;
        if !asked.flag("applied") {
            return Ok(json_or_null(own.inactive_topic_policies));
        }
        let namespace = namespace_policies::read(&state, &params).await?;
        Ok(json(inactive(&state.namespaces.defaults().terms, &namespace, &own)))
    }

    pub(in crate::admin) async fn set_inactive_topics(State(state): Shared, params: Params, body: Body) -> Answer {
        let rule = checked_rule(&body)?;
        write(&state, &params, |policies| policies.inactive_topic_policies = Some(rule.clone())).await
    }

    pub(in crate::admin) async fn remove_inactive_topics(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.inactive_topic_policies = None).await
    }
}

fn checked_ttl(seconds: i64) -> Result<i64, AdminError> {
    if seconds < 0 {
        return Err(AdminError::refused("Invalid value for message TTL, message TTL must >= 0"));
    }
    Ok(seconds)
}

/// Seconds; none removes the policy, as the original's tools do it.
fn checked_interval(body: &Body) -> Result<Option<i64>, AdminError> {
    let seconds: Option<i64> = body.json()?;
    if seconds.is_some_and(|seconds| seconds < 0) {
        return Err(AdminError::refused("interval must be greater than or equal to 0"));
    }
    Ok(seconds)
}

/// The quota that a request means: of bytes if it names none.
fn quota_name(asked: &Asked) -> Result<&'static str, AdminError> {
    match asked.text("backlogQuotaType") {
        None | Some(BYTES_QUOTA) => Ok(BYTES_QUOTA),
        Some(AGE_QUOTA) => Ok(AGE_QUOTA),
        Some(other) => {
            Err(AdminError::refused(format!("Unknown backlogQuotaType `{other}`; allowed: {BYTES_QUOTA}, {AGE_QUOTA}")))
        }
    }
}

fn checked_quota(body: &Body) -> Result<BacklogQuota, AdminError> {
    let quota: BacklogQuota = body.required("the backlog quota")?;
    quota.validate()?;
    Ok(quota)
}

/// What is kept of acknowledged messages must not be less than what may wait, as the original demands.
fn check_retention(
    quota: &BacklogQuota,
    namespace: &Policies,
    topic: Option<&TopicPolicies>,
) -> Result<(), AdminError> {
    let retention = topic.and_then(|topic| topic.retention_policies).or(namespace.retention_policies);
    let Some(retention) = retention else { return Ok(()) };
    let (bytes, seconds) = (quota.limit_size.or(quota.limit).unwrap_or(-1), quota.limit_time.unwrap_or(-1));
    let (mb, minutes) = (retention.retention_size_in_mb, retention.retention_time_in_minutes);
    let by_size = mb > 0 && bytes > 0 && bytes >= mb.saturating_mul(1 << 20);
    let by_time = minutes > 0 && seconds > 0 && seconds >= minutes.saturating_mul(60);
    if by_size || by_time {
        let text =
            "Backlog Quota exceeds configured retention quota for namespace. Please increase retention quota and retry";
        return Err(AdminError::refused(text));
    }
    Ok(())
}

fn checked_rule(body: &Body) -> Result<InactiveTopicPolicies, AdminError> {
    let rule: InactiveTopicPolicies = body.required("the policy of inactive topics")?;
    rule.validate()?;
    Ok(rule)
}
