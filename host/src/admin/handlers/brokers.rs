//! The broker itself: health, version, configuration, plugins; and where a topic is served, which is here.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use serde_json::json;

use super::Shared;
use crate::admin::COMPATIBLE_VERSION;
use crate::admin::answer::{Answer, json, text};
use crate::admin::error::AdminError;
use crate::admin::model::policies::bundle_of;
use crate::admin::request::Params;
use crate::admin::secrets::starred;
use crate::topic::{Domain, TopicName};

/// Time in which a healthy broker answers.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(10);

pub(in crate::admin) async fn health(State(state): Shared) -> Answer {
    let unhealthy = |why: String| AdminError::new(StatusCode::SERVICE_UNAVAILABLE, why);
    match tokio::time::timeout(HEALTH_TIMEOUT, state.health.check()).await {
        Ok(Ok(())) => Ok(text("ok")),
        Ok(Err(why)) => Err(unhealthy(why)),
        Err(_) => Err(unhealthy(format!("the health check did not end within {} s", HEALTH_TIMEOUT.as_secs()))),
    }
}

pub(in crate::admin) async fn version() -> Answer {
    Ok(text(COMPATIBLE_VERSION))
}

pub(in crate::admin) async fn list(State(state): Shared) -> Answer {
    Ok(json(&[&state.facts.web_address]))
}

pub(in crate::admin) async fn list_of_cluster(State(state): Shared, params: Params) -> Answer {
    if params.text("cluster") != state.facts.cluster {
        return Err(AdminError::not_found("Cluster does not exist"));
    }
    Ok(json(&[&state.facts.web_address]))
}

pub(in crate::admin) async fn leader(State(state): Shared) -> Answer {
    Ok(json(&json!({ "serviceUrl": state.facts.web_url(), "brokerId": state.facts.web_address })))
}

/// No key can be changed while the broker runs.
pub(in crate::admin) async fn dynamic_configuration_names() -> Answer {
    Ok(json(&[(); 0]))
}

pub(in crate::admin) async fn dynamic_configuration_values() -> Answer {
    Ok(json(&json!({})))
}

pub(in crate::admin) async fn runtime_configuration(State(state): Shared) -> Answer {
    Ok(json(&starred(state.facts.configuration.clone(), &state.offloaders.secret_keys())))
}

/// Our own: a row for every file that was looked at as a plugin.
pub(in crate::admin) async fn offloaders(State(state): Shared) -> Answer {
    Ok(json(&state.offloaders.report()))
}

/// Our own: how each plugin and each driver stands.
pub(in crate::admin) async fn offloaders_status(State(state): Shared) -> Answer {
    Ok(json(&state.offloaders.status()))
}

/// Our own: looks at the folder of plugins at once, and answers what changed when everything is in force.
pub(in crate::admin) async fn rescan_offloaders(State(state): Shared) -> Answer {
    Ok(json(&state.offloaders.rescan().await))
}

/// Every key is read at the start.
pub(in crate::admin) async fn refuse_configuration(params: Params) -> Answer {
    let key = params.text("key");
    Err(AdminError::refused(format!(
        "Can't update non-dynamic configuration: {key} is read at the start; change the configuration file and start again"
    )))
}

/// The original tells where its metadata store and its bookies are, for tools that go there past the broker.
pub(in crate::admin) async fn internal_configuration() -> Answer {
    let text = "this broker keeps metadata and ledgers in files of its own: there is no store that others could go to";
    Err(AdminError::new(StatusCode::NOT_IMPLEMENTED, text))
}

/// The bundles of the topics that are loaded.
pub(in crate::admin) async fn owned_namespaces(State(state): Shared, params: Params) -> Answer {
    if params.text("cluster") != state.facts.cluster {
        return Err(AdminError::not_found("Cluster does not exist"));
    }
    let broker = params.text("broker");
    if broker != state.facts.web_address {
        return Err(AdminError::not_found(format!(
            "there is no broker {broker}; this one is {}",
            state.facts.web_address
        )));
    }
    let mut owned = BTreeMap::new();
    for topic in state.topics.loaded() {
        let namespace = topic.name().namespace();
        let Ok(policies) = state.namespaces.policies(namespace).await else { continue };
        let status = json!({ "broker_assignment": "shared", "is_controlled": false, "is_active": true });
        owned.insert(format!("{namespace}/{}", bundle_of(&policies, &topic.name().to_string())), status);
    }
    Ok(json(&owned))
}

/// The topic that a lookup names, of either domain.
fn looked_up(params: &Params) -> Result<TopicName, AdminError> {
    match params.text("domain") {
        "persistent" => params.topic_in(Domain::Persistent),
        "non-persistent" => params.topic_in(Domain::NonPersistent),
        other => {
            Err(AdminError::refused(format!("Invalid topic domain: '{other}'; allowed: persistent, non-persistent")))
        }
    }
}

pub(in crate::admin) async fn bundle(State(state): Shared, params: Params) -> Answer {
    let topic = looked_up(&params)?;
    let policies = state.namespaces.policies(topic.namespace()).await?;
    Ok(text(bundle_of(&policies, &topic.to_string())))
}

pub(in crate::admin) async fn lookup(State(state): Shared, params: Params) -> Answer {
    looked_up(&params)?;
    let mut found = json!({
        "brokerUrl": state.facts.service_url(),
        "httpUrl": state.facts.web_url(),
        "nativeUrl": state.facts.service_url(),
        "brokerUrlSsl": "",
    });
    if let Some(address) = &state.facts.service_address_tls {
        found["brokerUrlTls"] = format!("pulsar+ssl://{address}").into();
    }
    if let Some(address) = &state.facts.web_address_tls {
        found["httpUrlTls"] = format!("https://{address}").into();
    }
    Ok(json(&found))
}
