//! Tenants, and the one cluster.

use axum::extract::State;
use serde_json::json;

use super::Shared;
use super::namespaces::delete_namespace;
use crate::admin::answer::{Answer, done, json};
use crate::admin::error::AdminError;
use crate::admin::request::{Asked, Body, Params};
use crate::namespace::Tenant;

pub(in crate::admin) async fn list(State(state): Shared) -> Answer {
    Ok(json(&state.namespaces.tenants().await?))
}

pub(in crate::admin) async fn get(State(state): Shared, params: Params) -> Answer {
    Ok(json(&state.namespaces.tenant(params.text("tenant")).await?))
}

pub(in crate::admin) async fn create(State(state): Shared, params: Params, body: Body) -> Answer {
    let tenant: Tenant = body.json()?.unwrap_or_default();
    state.namespaces.create_tenant(params.text("tenant"), &tenant).await?;
    Ok(done())
}

pub(in crate::admin) async fn update(State(state): Shared, params: Params, body: Body) -> Answer {
    let tenant: Tenant = body.json()?.unwrap_or_default();
    state.namespaces.update_tenant(params.text("tenant"), tenant).await?;
    Ok(done())
}

pub(in crate::admin) async fn delete(State(state): Shared, params: Params, asked: Asked) -> Answer {
    if asked.flag("force") {
        if !state.facts.force_delete_tenant_allowed {
            return Err(AdminError::not_allowed("Broker doesn't allow forced deletion of tenants"));
        }
        for namespace in state.namespaces.namespaces(params.text("tenant")).await? {
            delete_namespace(&state, &namespace, true).await?;
        }
    }
    state.namespaces.delete_tenant(params.text("tenant")).await?;
    Ok(done())
}

pub(in crate::admin) async fn clusters(State(state): Shared) -> Answer {
    Ok(json(&[&state.facts.cluster]))
}

pub(in crate::admin) async fn cluster(State(state): Shared, params: Params) -> Answer {
    if params.text("cluster") != state.facts.cluster {
        return Err(AdminError::not_found("Cluster does not exist"));
    }
    Ok(json(&json!({
        "serviceUrl": state.facts.web_url(),
        "brokerServiceUrl": state.facts.service_url(),
        "brokerClientTlsEnabled": false,
        "tlsAllowInsecureConnection": false,
        "brokerClientTlsEnabledWithKeyStore": false,
        "brokerClientTlsTrustStoreType": "JKS",
        "brokerClientTlsKeyStoreType": "JKS",
        "brokerClientSslFactoryPlugin": "org.apache.pulsar.common.util.DefaultPulsarSslFactory",
    })))
}

/// A standalone broker is its cluster: there is nothing to make, change or delete.
pub(in crate::admin) async fn change_cluster(State(state): Shared, params: Params) -> Answer {
    let cluster = &state.facts.cluster;
    Err(match params.text("cluster") {
        asked if asked == cluster => AdminError::conflict("Cluster already exists"),
        asked => AdminError::not_allowed(format!(
            "cluster {asked} cannot be changed here: a standalone broker serves the one cluster {cluster}"
        )),
    })
}
