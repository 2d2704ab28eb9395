//! Versioned records under string keys, with compare-and-set. The one durable truth about topics, ledgers and policies.
//!
//! Knows nothing of what it stores; owners encode their records.

pub mod faulty;
pub mod memory;
mod record;
pub mod store;

use async_trait::async_trait;

/// A record as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The owner's bytes.
    pub value: Vec<u8>,
    /// 0 when created, one more at each write.
    pub version: u64,
    /// When the record was created, milliseconds since 1970.
    pub created_ms: u64,
    /// When it was written last, milliseconds since 1970.
    pub modified_ms: u64,
}

/// What a writer believes about the record that it replaces or deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// There is none.
    Absent,
    /// It has this version.
    Version(u64),
    /// The writer does not care.
    Anything,
}

/// Why the store refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MetadataError {
    /// Somebody else wrote first; read again.
    #[error("record {key} has version {found:?}, expected {expected:?}")]
    Conflict {
        /// The record.
        key: String,
        /// What the writer believed.
        expected: Expect,
        /// The version found, `None` where there is no record.
        found: Option<u64>,
    },
    /// The write certainly did not happen.
    #[error("{0}")]
    Failed(String),
    /// The write may have happened or not: whoever depends on it must read again before acting.
    #[error("outcome unknown: {0}")]
    Unknown(String),
}

/// Keeps records; a write is durable when it is answered.
#[async_trait]
pub trait MetadataStore: Send + Sync {
    /// The record under `key`.
    async fn get(&self, key: &str) -> Result<Option<Record>, MetadataError>;

    /// Writes `value` if `expect` holds, and answers the new record's version and times (with the value given).
    async fn put(&self, key: &str, value: Vec<u8>, expect: Expect) -> Result<Record, MetadataError>;

    /// Deletes the record if `expect` holds; deleting a missing record with [`Expect::Anything`] is a success.
    async fn delete(&self, key: &str, expect: Expect) -> Result<(), MetadataError>;

    /// Keys that begin with `prefix`, ascending.
    async fn keys(&self, prefix: &str) -> Result<Vec<String>, MetadataError>;
}
