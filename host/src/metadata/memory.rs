//! A metadata store in memory: for tests, and to state plainly what every store does.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::record::{check, successor};
use super::{Expect, MetadataError, MetadataStore, Record};
use crate::storage::Clock;

/// Keeps records until it is dropped.
pub struct MemoryMetadataStore {
    records: Mutex<BTreeMap<String, Record>>,
    clock: Arc<dyn Clock>,
}

impl MemoryMetadataStore {
    /// An empty store; `clock` stamps the records.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { records: Mutex::new(BTreeMap::new()), clock }
    }

    fn records(&self) -> MutexGuard<'_, BTreeMap<String, Record>> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl MetadataStore for MemoryMetadataStore {
    async fn get(&self, key: &str) -> Result<Option<Record>, MetadataError> {
        Ok(self.records().get(key).cloned())
    }

    async fn put(&self, key: &str, value: Vec<u8>, expect: Expect) -> Result<Record, MetadataError> {
        let mut records = self.records();
        let found = records.get(key);
        check(key, found, expect)?;
        let record = successor(found, value, self.clock.now_ms());
        records.insert(key.to_owned(), record.clone());
        Ok(record)
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), MetadataError> {
        let mut records = self.records();
        check(key, records.get(key), expect)?;
        records.remove(key);
        Ok(())
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, MetadataError> {
        let records = self.records();
        let from = records.range::<str, _>((std::ops::Bound::Included(prefix), std::ops::Bound::Unbounded));
        Ok(from.map(|(key, _)| key).take_while(|key| key.starts_with(prefix)).cloned().collect())
    }
}
