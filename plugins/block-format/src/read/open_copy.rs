//! What is known of a copy: its index, and what reads learned of it. Shared by all who have it open. Of copies that nobody has
//! open, what was learned is kept, weighed by what it takes; the store is asked again before it counts.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use longshore_plugin_api::{Error, ErrorCode, Result};
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::extents::CopyId;
use super::learned::{LEARNED_EVERY_BYTES, LearnedPlaces};
use crate::index::Index;
use crate::keys::CopyKeys;
use crate::store::requests::Requests;

/// What is read of an index at first: that of a ledger of 10 GiB, with checksums.
const FIRST_INDEX_BYTES: u64 = 4 << 20;
/// The longest index object that is read.
const INDEX_BYTES_MAX: u64 = 256 << 20;
/// A guess at what an index takes, from which the cache sizes its tables.
const INDEX_BYTES_GUESS: u64 = 64 << 10;
/// Granules longer than this are searched, and their places remembered.
const SHORT_GRANULE_BYTES: u64 = 4 * LEARNED_EVERY_BYTES;

/// An open copy.
#[derive(Debug)]
pub(crate) struct OpenCopy {
    pub(crate) id: CopyId,
    pub(crate) data_key: String,
    pub(crate) index: Index,
    pub(super) learned: Arc<LearnedPlaces>,
    /// How many handles there are of it.
    pub(super) handles: AtomicUsize,
}

impl OpenCopy {
    /// Reads a copy's index: one request. What is `learned` was of this copy.
    async fn open(requests: &Requests, id: CopyId, learned: Arc<LearnedPlaces>) -> Result<Arc<Self>> {
        let keys = CopyKeys::new(id.ledger_id, id.uid);
        let bytes = read_index(requests, &keys.index).await?;
        let index = Index::decode(&keys.index, id.ledger_id, &bytes)?;
        if let Some(other) = index.extension().map(|it| it.uid).filter(|uid| *uid != id.uid) {
            let message = format!("{} is the index of the copy with uid {other}", keys.index);
            return Err(Error::new(ErrorCode::Corrupt, message));
        }
        Ok(Arc::new(Self { id, data_key: keys.data, index, learned, handles: AtomicUsize::new(0) }))
    }

    /// Whether an entry is found by walking through long granules.
    pub(super) fn is_sparse(&self) -> bool {
        self.index.extension().is_none()
            && self.index.data_bytes() / self.index.entries().len() as u64 > SHORT_GRANULE_BYTES
    }

    /// What an entry takes in the data object, on average.
    pub(super) fn average_entry_bytes(&self) -> u64 {
        self.index.data_bytes() / self.index.metadata().entry_count + 1
    }
}

/// All of an index object. Its length is not known before: nearly all of them fit the first request.
async fn read_index(requests: &Requests, key: &str) -> Result<Bytes> {
    let fetched = requests.get(key, 0..FIRST_INDEX_BYTES).await?;
    if let Some(user_metadata) = &fetched.user_metadata {
        user_metadata.check_format_version(key)?;
    }
    if (fetched.bytes.len() as u64) < FIRST_INDEX_BYTES {
        return Ok(fetched.bytes);
    }
    let rest = requests.get(key, FIRST_INDEX_BYTES..INDEX_BYTES_MAX + 1).await?;
    let whole = [fetched.bytes, rest.bytes].concat();
    if whole.len() as u64 > INDEX_BYTES_MAX {
        let message = format!("{key} has more than the {INDEX_BYTES_MAX} bytes that an index has at most");
        return Err(Error::new(ErrorCode::Corrupt, message));
    }
    Ok(whole.into())
}

/// Open copies by name.
#[derive(Debug)]
pub(crate) struct OpenCopies {
    copies: Cache<CopyId, Arc<OpenCopy>, ByBytes>,
}

#[derive(Clone, Debug)]
struct ByBytes;

impl Weighter<CopyId, Arc<OpenCopy>> for ByBytes {
    fn weight(&self, _: &CopyId, copy: &Arc<OpenCopy>) -> u64 {
        let learned = if copy.is_sparse() { LearnedPlaces::memory_bytes_max(copy.index.data_bytes()) } else { 0 };
        copy.index.memory_bytes() + learned
    }
}

impl OpenCopies {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let guess = usize::try_from(bytes_max / INDEX_BYTES_GUESS).unwrap_or(usize::MAX).clamp(16, 1 << 16);
        Self { copies: Cache::with_weighter(guess, bytes_max, ByBytes) }
    }

    /// A copy; its index is read once, however many ask for it at the same time, and again when nobody has it open any more:
    /// it may be gone since.
    pub(crate) async fn get(&self, requests: &Requests, id: CopyId) -> Result<Arc<OpenCopy>> {
        let learned = match self.copies.get(&id) {
            Some(copy) if is_held(&copy) => return Ok(copy),
            Some(copy) => {
                self.copies.remove(&id);
                copy.learned.clone()
            }
            None => Arc::default(),
        };
        self.copies.get_or_insert_async(&id, OpenCopy::open(requests, id, learned)).await
    }

    pub(crate) fn forget(&self, id: CopyId) {
        self.copies.remove(&id);
    }
}

/// Whether anybody has a copy, besides the cache and who asks.
fn is_held(copy: &Arc<OpenCopy>) -> bool {
    Arc::strong_count(copy) > 2
}
