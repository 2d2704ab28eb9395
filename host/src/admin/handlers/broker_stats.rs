//! Statistics of the whole broker. The original's own forms of metrics are not offered: `/metrics` has the figures.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;

use super::Shared;
use super::topics::stats_of;
use crate::admin::answer::{Answer, json};
use crate::admin::error::AdminError;
use crate::admin::model::policies::bundle_of;

/// By namespace, bundle, domain and topic.
pub(in crate::admin) async fn topics(State(state): Shared) -> Answer {
    let mut all: BTreeMap<String, BTreeMap<String, BTreeMap<&str, BTreeMap<String, _>>>> = BTreeMap::new();
    for topic in state.topics.loaded() {
        let (name, namespace) = (topic.name().to_string(), topic.name().namespace());
        let Ok(policies) = state.namespaces.policies(namespace).await else { continue };
        let bundles = all.entry(namespace.to_string()).or_default();
        let domains = bundles.entry(bundle_of(&policies, &name)).or_default();
        domains.entry("persistent").or_default().insert(name, stats_of(&state, &topic));
    }
    Ok(json(&all))
}

pub(in crate::admin) async fn elsewhere() -> Answer {
    let text = "this broker has no such statistics; its figures are at /metrics, for Prometheus";
    Err(AdminError::new(StatusCode::NOT_IMPLEMENTED, text))
}
