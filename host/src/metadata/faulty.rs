//! Test kit: a metadata store whose writes fail when they are told to, as a crash or a lost disk would make them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::{Expect, MetadataError, MetadataStore, Record};

/// How a write fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing happens, and the writer is told so: [`MetadataError::Failed`].
    Before,
    /// Nothing happens, and the writer cannot know: [`MetadataError::Unknown`].
    UnknownBefore,
    /// It happens, and the writer cannot know: [`MetadataError::Unknown`].
    UnknownAfter,
}

/// Passes everything on, but for the writes that have a fault.
pub struct FaultyMetadataStore {
    inner: Arc<dyn MetadataStore>,
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    writes_seen: u64,
    faults: BTreeMap<u64, Fault>,
    is_stopped: bool,
}

impl FaultyMetadataStore {
    /// Without faults at first.
    pub fn new(inner: Arc<dyn MetadataStore>) -> Self {
        Self { inner, plan: Mutex::default() }
    }

    /// The write after the next `skipped` ones (puts and deletes count alike) has this fault.
    pub fn fail_after(&self, skipped: u64, fault: Fault) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let write = plan.writes_seen + skipped;
        plan.faults.insert(write, fault);
    }

    /// No write happens any more: the process is dead as far as the store can tell.
    pub fn stop(&self) {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).is_stopped = true;
    }

    /// Writes that were asked for, failed ones included.
    pub fn writes_seen(&self) -> u64 {
        self.plan.lock().unwrap_or_else(PoisonError::into_inner).writes_seen
    }

    fn next_fault(&self) -> Option<Fault> {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let write = plan.writes_seen;
        plan.writes_seen += 1;
        let planned = plan.faults.remove(&write);
        if plan.is_stopped { Some(Fault::UnknownBefore) } else { planned }
    }
}

/// Lets `write` happen, or not, and answers what `fault` makes the writer believe.
async fn with_fault<T>(
    fault: Option<Fault>,
    key: &str,
    write: impl Future<Output = Result<T, MetadataError>>,
) -> Result<T, MetadataError> {
    match fault {
        None => write.await,
        Some(Fault::Before) => Err(MetadataError::Failed(format!("planned fault before the write of {key}"))),
        Some(Fault::UnknownBefore) => Err(MetadataError::Unknown(format!("planned fault at the write of {key}"))),
        Some(Fault::UnknownAfter) => {
            write.await?;
            Err(MetadataError::Unknown(format!("planned fault at the write of {key}")))
        }
    }
}

#[async_trait]
impl MetadataStore for FaultyMetadataStore {
    async fn get(&self, key: &str) -> Result<Option<Record>, MetadataError> {
        self.inner.get(key).await
    }

    async fn put(&self, key: &str, value: Vec<u8>, expect: Expect) -> Result<Record, MetadataError> {
        with_fault(self.next_fault(), key, self.inner.put(key, value, expect)).await
    }

    async fn delete(&self, key: &str, expect: Expect) -> Result<(), MetadataError> {
        with_fault(self.next_fault(), key, self.inner.delete(key, expect)).await
    }

    async fn keys(&self, prefix: &str) -> Result<Vec<String>, MetadataError> {
        self.inner.keys(prefix).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::memory::MemoryMetadataStore;
    use crate::storage::SystemClock;

    #[tokio::test]
    async fn each_fault_does_what_it_says() {
        let store = FaultyMetadataStore::new(Arc::new(MemoryMetadataStore::new(Arc::new(SystemClock))));
        store.fail_after(1, Fault::Before);
        store.fail_after(2, Fault::UnknownBefore);
        store.fail_after(3, Fault::UnknownAfter);
        store.put("a", vec![1], Expect::Absent).await.unwrap();
        let b = store.put("b", vec![], Expect::Absent).await;
        assert!(matches!(b, Err(MetadataError::Failed(_))));
        let c = store.put("c", vec![], Expect::Absent).await;
        assert!(matches!(c, Err(MetadataError::Unknown(_))));
        assert!(matches!(store.delete("a", Expect::Version(0)).await, Err(MetadataError::Unknown(_))));
        assert_eq!(store.keys("").await.unwrap(), Vec::<String>::new(), "only a was written, and then deleted");
        store.stop();
        assert!(matches!(store.put("d", vec![], Expect::Anything).await, Err(MetadataError::Unknown(_))));
        assert_eq!(store.get("d").await.unwrap(), None);
        assert_eq!(store.writes_seen(), 5);
    }
}
