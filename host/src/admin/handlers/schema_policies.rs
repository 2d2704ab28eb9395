//! Which schemas topics take: policies of a namespace and of a topic.

use axum::extract::State;
use serde_json::Value;

use super::{Shared, namespace_policies, topic_policies};
use crate::admin::answer::{Answer, json, json_or_null};
use crate::admin::error::AdminError;
use crate::admin::request::{Asked, Body, Params};
use crate::namespace::terms::{older_strategy, schema};
use crate::schema::Strategy;

/// What the next level decides.
const UNDEFINED: &str = "UNDEFINED";

/// Policies of a namespace.
pub(in crate::admin) mod of_namespace {
    use super::namespace_policies::{read, write};
    use super::*;

    pub(in crate::admin) async fn strategy(State(state): Shared, params: Params) -> Answer {
        let strategy = read(&state, &params).await?.schema_compatibility_strategy;
        Ok(json(&strategy.as_deref().unwrap_or(UNDEFINED)))
    }

    pub(in crate::admin) async fn set_strategy(State(state): Shared, params: Params, body: Body) -> Answer {
        let strategy = checked_strategy(&body)?;
        write(&state, &params, |policies| policies.schema_compatibility_strategy = Some(strategy.clone())).await
    }

    pub(in crate::admin) async fn older(State(state): Shared, params: Params) -> Answer {
        Ok(json_or_null(read(&state, &params).await?.schema_auto_update_compatibility_strategy))
    }

    pub(in crate::admin) async fn set_older(State(state): Shared, params: Params, body: Body) -> Answer {
        let name: String = body.required("the strategy")?;
        if older_strategy(&name).is_none() {
            return Err(AdminError::refused(format!("Unknown strategy `{name}`")));
        }
        write(&state, &params, |policies| policies.schema_auto_update_compatibility_strategy = Some(name.clone())).await
    }

    pub(in crate::admin) async fn auto_update(State(state): Shared, params: Params) -> Answer {
        let policies = read(&state, &params).await?;
        let default = state.namespaces.defaults().terms.schema.updates_allowed;
        Ok(json(&policies.is_allow_auto_update_schema.unwrap_or(default)))
    }

    pub(in crate::admin) async fn set_auto_update(State(state): Shared, params: Params, body: Body) -> Answer {
        let allowed: bool = body.required("true or false")?;
        write(&state, &params, |policies| policies.is_allow_auto_update_schema = Some(allowed)).await
    }

    pub(in crate::admin) async fn validation(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?.schema_validation_enforced.unwrap_or(false);
        let default = asked.flag("applied") && state.namespaces.defaults().terms.schema.required;
        Ok(json(&(own || default)))
    }

    pub(in crate::admin) async fn set_validation(State(state): Shared, params: Params, body: Body) -> Answer {
        let enforced: bool = body.required("true or false")?;
        write(&state, &params, |policies| policies.schema_validation_enforced = Some(enforced)).await
    }
}

/// Policies of a topic.
pub(in crate::admin) mod of_topic {
    use super::topic_policies::{read, write};
    use super::*;

    pub(in crate::admin) async fn strategy(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?;
        if !asked.flag("applied") {
            return Ok(json_or_null(own.schema_compatibility_strategy));
        }
        let namespace = namespace_policies::read(&state, &params).await?;
        Ok(json(&schema(&state.namespaces.defaults().terms, &namespace, &own).strategy.name()))
    }

    pub(in crate::admin) async fn set_strategy(State(state): Shared, params: Params, body: Body) -> Answer {
        let strategy = checked_strategy(&body)?;
        write(&state, &params, |policies| policies.schema_compatibility_strategy = Some(strategy.clone())).await
    }

    pub(in crate::admin) async fn remove_strategy(State(state): Shared, params: Params) -> Answer {
        write(&state, &params, |policies| policies.schema_compatibility_strategy = None).await
    }

    pub(in crate::admin) async fn validation(State(state): Shared, params: Params, asked: Asked) -> Answer {
        let own = read(&state, &params).await?;
        if own.schema_validation_enforced.is_some() || !asked.flag("applied") {
            return Ok(json_or_null(own.schema_validation_enforced));
        }
        let namespace = namespace_policies::read(&state, &params).await?;
        Ok(json(&schema(&state.namespaces.defaults().terms, &namespace, &own).required))
    }

    pub(in crate::admin) async fn set_validation(State(state): Shared, params: Params, body: Body) -> Answer {
        let enforced: bool = body.required("true or false")?;
        write(&state, &params, |policies| policies.schema_validation_enforced = Some(enforced)).await
    }
}

fn checked_strategy(body: &Body) -> Result<String, AdminError> {
    let Value::String(name) = body.required("the strategy")? else {
        return Err(AdminError::bad_request("the strategy is a text"));
    };
    if name == UNDEFINED {
        return Ok(name);
    }
    let strategy = Strategy::named(&name);
    strategy
        .map(|strategy| strategy.name().to_owned())
        .ok_or_else(|| AdminError::refused(format!("Unknown strategy `{name}`")))
}
