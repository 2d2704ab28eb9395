//! GET_SCHEMA, GET_OR_CREATE_SCHEMA, and schemas that come with PRODUCER and SUBSCRIBE.
//!
//! A version is eight bytes on the wire, big-endian; no bytes stand for no schema.

use bytes::Bytes;

use super::command::{
    Command, GetOrCreateSchema, GetOrCreateSchemaResponse, GetSchema, GetSchemaResponse, KeyValue, Schema,
};
use super::connection::{Connection, Outcome};
use super::consuming::pairs;
use super::refusal;
use super::server::Shared;
use crate::access::Principal;
use crate::access::rules::Wish;
use crate::schema::{Definition, Kind, StoredSchema, Version};
use crate::topic::schemas::schema_key;
use crate::topic::{Missing, TopicError, TopicName};

impl Connection {
    /// GET_SCHEMA.
    pub(super) fn get_schema(&mut self, question: GetSchema) {
        let (shared, principal) = (self.shared.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match find(&shared, &principal, &question).await {
                Ok(Some((name, stored))) => Command::GetSchemaResponse(GetSchemaResponse {
                    request_id,
                    schema: Some(on_wire(&name, &stored.definition)),
                    schema_version: Some(version_bytes(Some(stored.version))),
                    ..GetSchemaResponse::default()
                }),
                Ok(None) => refusal::no_schema(request_id),
                Err(error) => refusal::schema(request_id, &error),
            })
        });
    }

    /// GET_OR_CREATE_SCHEMA.
    pub(super) fn get_or_create_schema(&mut self, question: GetOrCreateSchema) {
        let (shared, principal) = (self.shared.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let request_id = question.request_id;
            Outcome::Reply(match register(&shared, &principal, question).await {
                Ok(version) => Command::GetOrCreateSchemaResponse(GetOrCreateSchemaResponse {
                    request_id,
                    schema_version: Some(version_bytes(version)),
                    ..GetOrCreateSchemaResponse::default()
                }),
                Err(error) => refusal::new_schema(request_id, &error),
            })
        });
    }
}

async fn find(
    shared: &Shared,
    principal: &Principal,
    question: &GetSchema,
) -> Result<Option<(String, StoredSchema)>, TopicError> {
    let topic: TopicName = question.topic.parse()?;
    shared.allow(principal, Wish::LookUp(topic.clone())).await?;
    let key = schema_key(&topic);
    let schemas = shared.topics.schemas();
    let stored = match &question.schema_version {
        None => schemas.newest(&key).await?,
        Some(bytes) if bytes.is_empty() => {
            return Err(TopicError::IncompatibleSchema("Empty schema version".to_owned()));
        }
        Some(bytes) => match bytes[..].try_into().map(Version::from_be_bytes) {
            Ok(version) => schemas.version(&key, version).await?,
            Err(_) => None,
        },
    };
    let whole = topic.partitioned();
    // Named as the original names it: without the domain.
    let name = whole.to_string().split_once("://").map_or_else(|| whole.to_string(), |(_, name)| name.to_owned());
    Ok(stored.map(|stored| (name, stored)))
}

async fn register(
    shared: &Shared,
    principal: &Principal,
    question: GetOrCreateSchema,
) -> Result<Option<Version>, TopicError> {
    let name: TopicName = question.topic.parse()?;
    shared.allow(principal, Wish::Produce(name.clone())).await?;
    let topic = shared.topics.load(&name, Missing::Refuse).await?;
    let definition = definition(Some(question.schema))?;
    topic.schema_of_producer(definition.as_ref()).await
}

/// What a client's schema says; `None` for bytes, which need none, and for any that the topic may have.
pub(super) fn definition(schema: Option<Schema>) -> Result<Option<Definition>, TopicError> {
    let Some(schema) = schema.filter(|schema| !Definition::asks_for_any(schema.kind)) else { return Ok(None) };
    let kind = schema.kind;
    let definition = Definition::new(kind, schema.data.to_vec(), pairs(schema.properties))
        .ok_or_else(|| TopicError::IncompatibleSchema(format!("schema type {kind} is not known")))?;
    Ok(Some(definition).filter(|definition| definition.kind() != Kind::None))
}

fn on_wire(name: &str, definition: &Definition) -> Schema {
    let pair = |(key, value): (&String, &String)| KeyValue { key: key.clone(), value: value.clone() };
    Schema {
        name: name.to_owned(),
        data: Bytes::copy_from_slice(&definition.data),
        kind: definition.number(),
        properties: definition.properties.iter().map(pair).collect(),
    }
}

/// A version on the wire.
pub(super) fn version_bytes(version: Option<Version>) -> Bytes {
    version.map_or_else(Bytes::new, |version| Bytes::copy_from_slice(&version.to_be_bytes()))
}
