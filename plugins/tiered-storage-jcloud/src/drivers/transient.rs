//! Buckets in memory, for tests: made when they are first named, shared by all drivers of the process, gone with it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use block_format::store::BlobStore;
use block_format::store::memory::MemoryStore;

static BUCKETS: Mutex<BTreeMap<String, Arc<MemoryStore>>> = Mutex::new(BTreeMap::new());

/// The bucket of this name. Another configuration of the driver, or of a namespace, finds the same one.
pub(super) fn bucket(name: &str) -> Arc<dyn BlobStore> {
    let mut buckets = BUCKETS.lock().unwrap_or_else(PoisonError::into_inner);
    buckets.entry(name.to_owned()).or_insert_with(|| Arc::new(MemoryStore::new(name))).clone()
}
