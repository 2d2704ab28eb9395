//! The schemas of a topic, as its clients bring them. Partitions share their topic's.

use super::error::TopicError;
use super::names::TopicName;
use super::topic::Topic;
use super::topics::Topics;
use crate::schema::{Definition, SchemaError, Schemas, Version};

/// Under which name the schemas of a topic, or of the topic of a partition, are kept.
pub fn schema_key(topic: &TopicName) -> String {
    topic.partitioned().managed_ledger()
}

impl From<SchemaError> for TopicError {
    fn from(error: SchemaError) -> Self {
        match error {
            SchemaError::Metadata(text) => Self::Metadata(text),
            error => Self::IncompatibleSchema(error.to_string()),
        }
    }
}

impl Topics {
    /// The schemas of all topics.
    pub fn schemas(&self) -> &Schemas {
        &self.schemas
    }
}

impl Topic {
    /// The version of a producer's schema, registered if it is new; `None` for a producer without one.
    ///
    /// # Errors
    /// `IncompatibleSchema`, `Metadata`.
    pub async fn schema_of_producer(&self, definition: Option<&Definition>) -> Result<Option<Version>, TopicError> {
        let (key, terms) = (schema_key(self.name()), self.terms().schema);
        let Some(definition) = definition else {
            if terms.required && self.schemas.newest(&key).await?.is_some() {
                let text = "Producers cannot connect or send message without a schema to topics with a schema when \
                            SchemaValidationEnforced is enabled";
                return Err(TopicError::IncompatibleSchema(text.to_owned()));
            }
            return Ok(None);
        };
        if terms.updates_allowed {
            return Ok(Some(self.schemas.register(&key, definition, terms.strategy).await?));
        }
        let text = "Schema not found and schema auto updating is disabled.";
        let known = self.schemas.find(&key, definition).await?;
        known.map(Some).ok_or_else(|| TopicError::IncompatibleSchema(text.to_owned()))
    }

    /// Checks a consumer's schema. The first client of an empty topic says what the topic's schema is.
    ///
    /// # Errors
    /// `IncompatibleSchema`, `Metadata`.
    pub async fn check_consumer_schema(&self, definition: &Definition) -> Result<(), TopicError> {
        let (key, terms) = (schema_key(self.name()), self.terms().schema);
        let is_fresh = self.client_count() == 0 && self.ledger().first() == self.ledger().end();
        if is_fresh && self.schemas.newest(&key).await?.is_none() {
            return self.schema_of_producer(Some(definition)).await.map(drop);
        }
        Ok(self.schemas.check_consumer(&key, definition, terms.strategy).await?)
    }
}
