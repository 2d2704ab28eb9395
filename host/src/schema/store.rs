//! Keeps the versions of topics' schemas.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::compatibility::{self, Mismatch, Strategy};
use super::definition::Definition;
use crate::metadata::{Expect, MetadataError, MetadataStore};

/// Versions of one topic at most. Each is looked at when a client names a schema.
const VERSIONS_MAX: usize = 1000;
/// The longest definition, bytes.
const DEFINITION_BYTES_MAX: usize = 1 << 20;
/// Tries to become the next version while others do too.
const TRIES: usize = 10;
/// Digits of a version in its key, so that keys ascend as versions do.
const KEY_DIGITS: usize = 10;

/// The number of a version, from 0.
pub type Version = u64;

/// Why a schema was not found or kept.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SchemaError {
    /// It does not fit those that the topic has.
    #[error(transparent)]
    Incompatible(#[from] Mismatch),
    /// It is no schema of its kind, or too long.
    #[error("{0}")]
    Invalid(String),
    /// The records cannot be read or written.
    #[error("{0}")]
    Metadata(String),
}

impl From<MetadataError> for SchemaError {
    fn from(error: MetadataError) -> Self {
        Self::Metadata(error.to_string())
    }
}

/// A version of a topic's schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSchema {
    /// Its number.
    pub version: Version,
    /// The schema.
    pub definition: Definition,
    /// When it was registered, milliseconds since 1970.
    pub created_ms: u64,
}

/// A version's record; without a kind it is a deletion.
#[derive(Debug, Serialize, Deserialize)]
struct Record {
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    data_base64: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    properties: BTreeMap<String, String>,
}

/// A version as it stands: `None` for a deletion.
type Found = (Version, Option<StoredSchema>);

/// The schemas of all topics. A topic is named as its managed ledger, without its partition.
pub struct Schemas {
    metadata: Arc<dyn MetadataStore>,
}

fn prefix(topic: &str) -> String {
    format!("schemas/{topic}/")
}

fn key(topic: &str, version: Version) -> String {
    format!("{}{version:0KEY_DIGITS$}", prefix(topic))
}

impl Schemas {
    /// Over the metadata store.
    pub fn new(metadata: Arc<dyn MetadataStore>) -> Self {
        Self { metadata }
    }

    /// All records, oldest first.
    async fn all(&self, topic: &str) -> Result<Vec<Found>, SchemaError> {
        let prefix = prefix(topic);
        let mut found = Vec::new();
        for key in self.metadata.keys(&prefix).await? {
            let Some(version) = key.strip_prefix(&prefix).and_then(|digits| digits.parse().ok()) else { continue };
            // One that is gone meanwhile was deleted with its topic.
            let Some(record) = self.metadata.get(&key).await? else { continue };
            let schema = decode(&record.value)
                .map_err(|problem| SchemaError::Metadata(format!("record {key} cannot be read: {problem}")))?
                .map(|definition| StoredSchema { version, definition, created_ms: record.created_ms });
            found.push((version, schema));
        }
        Ok(found)
    }

    /// The versions in force, oldest first: those behind the last deletion.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn versions(&self, topic: &str) -> Result<Vec<StoredSchema>, SchemaError> {
        Ok(in_force(self.all(topic).await?))
    }

    /// The newest version; `None` where there is none in force.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn newest(&self, topic: &str) -> Result<Option<StoredSchema>, SchemaError> {
        Ok(self.versions(topic).await?.pop())
    }

    /// One version, also of before a deletion: messages of that time still name it.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn version(&self, topic: &str, version: Version) -> Result<Option<StoredSchema>, SchemaError> {
        let key = key(topic, version);
        let Some(record) = self.metadata.get(&key).await? else { return Ok(None) };
        let definition = decode(&record.value)
            .map_err(|problem| SchemaError::Metadata(format!("record {key} cannot be read: {problem}")))?;
        Ok(definition.map(|definition| StoredSchema { version, definition, created_ms: record.created_ms }))
    }

    /// The version of a schema that is in force; `None` if the topic does not have it.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn find(&self, topic: &str, definition: &Definition) -> Result<Option<Version>, SchemaError> {
        Ok(find(&self.versions(topic).await?, definition))
    }

    /// The version of a schema, which becomes the next one if the topic does not have it and it fits.
    ///
    /// # Errors
    /// `Incompatible`, `Invalid`, `Metadata`.
    pub async fn register(
        &self,
        topic: &str,
        definition: &Definition,
        strategy: Strategy,
    ) -> Result<Version, SchemaError> {
        check_size(definition)?;
        for _ in 0..TRIES {
            let all = self.all(topic).await?;
            let (count, next) = (all.len(), all.last().map_or(0, |(version, _)| version + 1));
            let versions = in_force(all);
            if let Some(version) = find(&versions, definition) {
                return Ok(version);
            }
            compatibility::check_definition(definition).map_err(|Mismatch(text)| SchemaError::Invalid(text))?;
            let known: Vec<_> = versions.iter().map(|stored| &stored.definition).collect();
            compatibility::check_next(strategy, definition, &known)?;
            if count >= VERSIONS_MAX {
                let text = format!(
                    "the topic has {VERSIONS_MAX} versions of its schema already; delete it by force to begin anew"
                );
                return Err(SchemaError::Invalid(text));
            }
            match self.metadata.put(&key(topic, next), encode(Some(definition)), Expect::Absent).await {
                Ok(_) => return Ok(next),
                // Somebody else was first: what is new there counts too.
                Err(MetadataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(SchemaError::Metadata(format!("{TRIES} others registered a schema first; try again")))
    }

    /// Whether a consumer's schema reads what stands in the topic.
    ///
    /// # Errors
    /// `Incompatible`, `Metadata`.
    pub async fn check_consumer(
        &self,
        topic: &str,
        definition: &Definition,
        strategy: Strategy,
    ) -> Result<(), SchemaError> {
        let versions = self.versions(topic).await?;
        let known: Vec<_> = versions.iter().map(|stored| &stored.definition).collect();
        Ok(compatibility::check_consumer(strategy, definition, &known)?)
    }

    /// Whether a schema could be the next version.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn would_fit(
        &self,
        topic: &str,
        definition: &Definition,
        strategy: Strategy,
    ) -> Result<bool, SchemaError> {
        let versions = self.versions(topic).await?;
        let known: Vec<_> = versions.iter().map(|stored| &stored.definition).collect();
        Ok(compatibility::check_definition(definition).is_ok()
            && compatibility::check_next(strategy, definition, &known).is_ok())
    }

    /// Deletes the schema: what was registered counts no more, but can be asked for by its version. Answers the deletion's
    /// own version; `None` where there was nothing in force.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn delete(&self, topic: &str) -> Result<Option<Version>, SchemaError> {
        for _ in 0..TRIES {
            let all = self.all(topic).await?;
            let Some((newest, Some(_))) = all.last() else { return Ok(None) };
            let next = newest + 1;
            match self.metadata.put(&key(topic, next), encode(None), Expect::Absent).await {
                Ok(_) => return Ok(Some(next)),
                Err(MetadataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(SchemaError::Metadata(format!("{TRIES} others changed the schema first; try again")))
    }

    /// Forgets all versions, with the topic or by force. Answers the newest one's number. The newest goes first: what a
    /// crash leaves is a shorter history, never one with another newest schema and the same numbers before it.
    ///
    /// # Errors
    /// `Metadata`.
    pub async fn forget(&self, topic: &str) -> Result<Option<Version>, SchemaError> {
        let keys = self.metadata.keys(&prefix(topic)).await?;
        for key in keys.iter().rev() {
            self.metadata.delete(key, Expect::Anything).await?;
        }
        Ok(keys.last().and_then(|key| key.strip_prefix(&prefix(topic))?.parse().ok()))
    }
}

fn in_force(all: Vec<Found>) -> Vec<StoredSchema> {
    let from = all.iter().rposition(|(_, schema)| schema.is_none()).map_or(0, |deletion| deletion + 1);
    all.into_iter().skip(from).filter_map(|(_, schema)| schema).collect()
}

fn find(versions: &[StoredSchema], definition: &Definition) -> Option<Version> {
    versions.iter().rev().find(|stored| stored.definition.is_same(definition)).map(|stored| stored.version)
}

fn check_size(definition: &Definition) -> Result<(), SchemaError> {
    let properties: usize = definition.properties.iter().map(|(name, value)| name.len() + value.len()).sum();
    let bytes = definition.data.len() + properties;
    if bytes > DEFINITION_BYTES_MAX {
        return Err(SchemaError::Invalid(format!("the schema has {bytes} bytes; {DEFINITION_BYTES_MAX} are the most")));
    }
    Ok(())
}

fn encode(definition: Option<&Definition>) -> Vec<u8> {
    let record = Record {
        kind: definition.map(|definition| definition.name().to_owned()),
        data_base64: definition.map(|definition| BASE64.encode(&definition.data)).unwrap_or_default(),
        properties: definition.map(|definition| definition.properties.clone()).unwrap_or_default(),
    };
    serde_json::to_vec(&record).expect("a record has text keys only")
}

fn decode(value: &[u8]) -> Result<Option<Definition>, String> {
    let record: Record = serde_json::from_slice(value).map_err(|error| error.to_string())?;
    let Some(kind) = record.kind else { return Ok(None) };
    let data = BASE64.decode(&record.data_base64).map_err(|error| error.to_string())?;
    Definition::named(&kind, data, record.properties).map(Some).ok_or_else(|| format!("there is no kind `{kind}`"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::faulty::{Fault, FaultyMetadataStore};
    use crate::metadata::memory::MemoryMetadataStore;
    use crate::storage::SystemClock;

    const TOPIC: &str = "t/n/persistent/x";

    fn schemas() -> Schemas {
        Schemas::new(Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock))))
    }

    fn defined(name: &str, data: &str) -> Definition {
        Definition::named(name, data.as_bytes().to_vec(), [("k".to_owned(), "v".to_owned())].into()).unwrap()
    }

    #[tokio::test]
    async fn versions_are_numbered_found_again_and_deleted() {
        let schemas = schemas();
        let strategy = Strategy::AlwaysCompatible;
        let (text, number) = (defined("STRING", ""), defined("INT32", ""));
        assert_eq!(schemas.newest(TOPIC).await.unwrap(), None);
        for (definition, version) in [(&text, 0), (&number, 1), (&text, 0)] {
            assert_eq!(schemas.register(TOPIC, definition, strategy).await.unwrap(), version);
        }
        let newest = schemas.newest(TOPIC).await.unwrap().unwrap();
        assert_eq!((newest.version, &newest.definition), (1, &number));
        assert!(newest.created_ms > 0);
        assert_eq!(schemas.delete(TOPIC).await.unwrap(), Some(2));
        assert_eq!(schemas.delete(TOPIC).await.unwrap(), None);
        assert_eq!(schemas.newest(TOPIC).await.unwrap(), None);
        assert_eq!(schemas.version(TOPIC, 0).await.unwrap().unwrap().definition, text);
        assert_eq!(schemas.version(TOPIC, 2).await.unwrap(), None);
        assert_eq!(schemas.register(TOPIC, &text, Strategy::AlwaysIncompatible).await.unwrap(), 3, "it begins anew");
        assert_eq!(schemas.find(TOPIC, &number).await.unwrap(), None);
        assert_eq!(schemas.forget(TOPIC).await.unwrap(), Some(3));
        assert_eq!(schemas.version(TOPIC, 0).await.unwrap(), None);
        assert_eq!(schemas.forget(TOPIC).await.unwrap(), None);
    }

    #[tokio::test]
    async fn those_that_do_not_fit_are_not_kept() {
        let schemas = schemas();
        schemas.register(TOPIC, &defined("STRING", ""), Strategy::Full).await.unwrap();
        let clash = schemas.register(TOPIC, &defined("INT32", ""), Strategy::Full).await;
        assert!(matches!(clash, Err(SchemaError::Incompatible(_))));
        let broken = schemas.register(TOPIC, &defined("AVRO", "{"), Strategy::AlwaysCompatible).await;
        assert!(matches!(broken, Err(SchemaError::Invalid(_))));
        let long = "x".repeat(DEFINITION_BYTES_MAX);
        let long = schemas.register(TOPIC, &defined("STRING", &long), Strategy::AlwaysCompatible).await;
        assert!(matches!(long, Err(SchemaError::Invalid(_))));
        assert_eq!(schemas.versions(TOPIC).await.unwrap().len(), 1);
        let other = "t/n/persistent/x2";
        assert_eq!(schemas.newest(other).await.unwrap(), None, "a name that begins alike is another topic");
    }

    #[tokio::test]
    async fn many_at_once_become_one_version_each() {
        let schemas = Arc::new(schemas());
        let names = ["STRING", "INT8", "INT16", "INT32", "STRING", "INT8"];
        let registered = names.map(|name| {
            let schemas = schemas.clone();
            tokio::spawn(async move { schemas.register(TOPIC, &defined(name, ""), Strategy::AlwaysCompatible).await })
        });
        let mut versions = Vec::new();
        for registered in registered {
            versions.push(registered.await.unwrap().unwrap());
        }
        assert_eq!((versions[0], versions[1]), (versions[4], versions[5]));
        versions.sort_unstable();
        versions.dedup();
        assert_eq!(versions, [0, 1, 2, 3]);
    }

    #[tokio::test]
    async fn an_interrupted_write_leaves_a_version_or_none_and_an_interrupted_forgetting_the_older_ones() {
        for fault in [Fault::Before, Fault::UnknownBefore, Fault::UnknownAfter] {
            let inner = Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock)));
            let faulty = Arc::new(FaultyMetadataStore::new(inner));
            let schemas = Schemas::new(faulty.clone());
            let text = defined("STRING", "");
            schemas.register(TOPIC, &defined("INT8", ""), Strategy::AlwaysCompatible).await.unwrap();
            faulty.fail_after(0, fault);
            let told = schemas.register(TOPIC, &text, Strategy::AlwaysCompatible).await;
            assert!(matches!(told, Err(SchemaError::Metadata(_))));
            let again = schemas.register(TOPIC, &text, Strategy::AlwaysCompatible).await;
            assert_eq!(again.unwrap(), 1, "{fault:?}: the client that tries again gets the one version");
            faulty.fail_after(1, Fault::Before);
            assert!(schemas.forget(TOPIC).await.is_err());
            let left: Vec<_> = schemas.versions(TOPIC).await.unwrap().iter().map(|stored| stored.version).collect();
            assert_eq!(left, [0]);
        }
    }

    #[tokio::test]
    async fn a_record_that_cannot_be_read_is_told_and_not_overwritten() {
        let metadata = Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock)));
        metadata.put(&key(TOPIC, 0), b"{\"type\":\"WHAT\"}".to_vec(), Expect::Absent).await.unwrap();
        let schemas = Schemas::new(metadata);
        let refused = schemas.register(TOPIC, &defined("STRING", ""), Strategy::AlwaysCompatible).await;
        assert!(matches!(refused, Err(SchemaError::Metadata(text)) if text.contains("WHAT")));
    }
}
