//! Schemas of topics. A partition's are its topic's.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, json as answer};
use crate::admin::error::AdminError;
use crate::admin::request::{Asked, Body, Params};
use crate::namespace::terms::schema as schema_terms;
use crate::schema::{Definition, SchemaError, StoredSchema, Strategy, Version};
use crate::topic::schemas::schema_key;

impl From<SchemaError> for AdminError {
    fn from(error: SchemaError) -> Self {
        let status = match &error {
            SchemaError::Incompatible(_) => StatusCode::CONFLICT,
            SchemaError::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::new(status, error.to_string())
    }
}

/// A schema as clients send it.
#[derive(Deserialize)]
struct SchemaBody {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    schema: String,
    #[serde(default)]
    properties: Option<BTreeMap<String, String>>,
}

fn definition(body: &Body) -> Result<Definition, AdminError> {
    let SchemaBody { kind, schema, properties } = body.required("the schema")?;
    let (data, properties) = (schema.into_bytes(), properties.unwrap_or_default());
    Definition::named(&kind, data, properties)
        .ok_or_else(|| AdminError::new(StatusCode::UNPROCESSABLE_ENTITY, format!("there is no schema type `{kind}`")))
}

fn shown(stored: &StoredSchema) -> Value {
    let definition = &stored.definition;
    json!({
        "version": stored.version,
        "type": definition.name(),
        "timestamp": stored.created_ms,
        "data": text_of(definition),
        "properties": definition.properties,
    })
}

/// The definition as a text; binary ones in base64, since JSON has no bytes.
fn text_of(definition: &Definition) -> String {
    match std::str::from_utf8(&definition.data) {
        Ok(text) => text.to_owned(),
        Err(_) => BASE64.encode(&definition.data),
    }
}

fn key(params: &Params) -> Result<String, AdminError> {
    Ok(schema_key(&params.topic()?))
}

fn not_found() -> AdminError {
    AdminError::not_found("Schema not found")
}

async fn strategy(state: &AdminState, params: &Params) -> Result<Strategy, AdminError> {
    let name = params.topic()?;
    let namespace = state.namespaces.policies(name.namespace()).await?;
    let own = state.namespaces.topic_policies(&name).await?;
    Ok(schema_terms(&state.namespaces.defaults().terms, &namespace, &own).strategy)
}

pub(in crate::admin) async fn newest(State(state): Shared, params: Params) -> Answer {
    state.namespaces.policies(&params.namespace()?).await?;
    let stored = state.topics.schemas().newest(&key(&params)?).await?;
    Ok(answer(&shown(&stored.ok_or_else(not_found)?)))
}

pub(in crate::admin) async fn version(State(state): Shared, params: Params) -> Answer {
    let version: Version = params.number("version")?;
    let stored = state.topics.schemas().version(&key(&params)?, version).await?;
    Ok(answer(&shown(&stored.ok_or_else(not_found)?)))
}

pub(in crate::admin) async fn all(State(state): Shared, params: Params) -> Answer {
    let versions = state.topics.schemas().versions(&key(&params)?).await?;
    if versions.is_empty() {
        return Err(not_found());
    }
    Ok(answer(&json!({ "getSchemaResponses": versions.iter().map(shown).collect::<Vec<_>>() })))
}

/// What is recorded, without the definitions.
pub(in crate::admin) async fn metadata(State(state): Shared, params: Params) -> Answer {
    let versions = state.topics.schemas().versions(&key(&params)?).await?;
    let newest = versions.last().ok_or_else(not_found)?;
    let info = |stored: &StoredSchema| json!({ "version": stored.version, "ledgerId": -1, "entryId": -1 });
    Ok(answer(&json!({ "info": info(newest), "index": versions.iter().map(info).collect::<Vec<_>>() })))
}

pub(in crate::admin) async fn upload(State(state): Shared, params: Params, body: Body) -> Answer {
    let definition = definition(&body)?;
    let strategy = strategy(&state, &params).await?;
    let version = state.topics.schemas().register(&key(&params)?, &definition, strategy).await?;
    Ok(answer(&json!({ "version": { "version": version } })))
}

pub(in crate::admin) async fn delete(State(state): Shared, params: Params, asked: Asked) -> Answer {
    let (key, schemas) = (key(&params)?, state.topics.schemas());
    let deleted = if asked.flag("force") { schemas.forget(&key).await? } else { schemas.delete(&key).await? };
    Ok(answer(&json!({ "version": deleted.ok_or_else(not_found)? })))
}

pub(in crate::admin) async fn compatibility(State(state): Shared, params: Params, body: Body) -> Answer {
    let definition = definition(&body)?;
    let strategy = strategy(&state, &params).await?;
    let fits = state.topics.schemas().would_fit(&key(&params)?, &definition, strategy).await?;
    Ok(answer(&json!({ "compatibility": fits, "schemaCompatibilityStrategy": strategy.name() })))
}

pub(in crate::admin) async fn find(State(state): Shared, params: Params, body: Body) -> Answer {
    let definition = definition(&body)?;
    let version = state.topics.schemas().find(&key(&params)?, &definition).await?;
    Ok(answer(&json!({ "version": version.ok_or_else(not_found)? })))
}
