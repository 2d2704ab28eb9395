//! A ledger in memory, whose payloads are slices of one buffer: reading it costs nothing.

use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{Entry, LedgerMetadata, LedgerReader, OffloadRequest, Result, StoredLedger};
use uuid::Uuid;

/// Bytes that payloads are taken from, many enough that no cache of the processor holds them.
const POOL_BYTES: usize = 64 << 20;

/// Payloads.
#[derive(Clone)]
pub(crate) struct Pool(Bytes);

impl Pool {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0; POOL_BYTES];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        Self(bytes.into())
    }

    /// So many bytes in one place, for the place `at` of an object: neighbours of those before, as far as the pool reaches.
    pub(crate) fn part(&self, at: u64, bytes: usize) -> Bytes {
        let start = (at % (POOL_BYTES - bytes + 1) as u64) as usize;
        self.0.slice(start..start + bytes)
    }

    /// What a ledger hands out at once, at most so many bytes: like those of a file, they count their slices by themselves.
    fn batch(&self, at: u64, bytes_max: usize) -> Bytes {
        let start = (at % POOL_BYTES as u64) as usize;
        Bytes::from_owner(self.0.slice(start..POOL_BYTES.min(start + bytes_max)))
    }
}

/// A ledger of entries of one length.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) id: u64,
    pub(crate) entries: u64,
    pub(crate) entry_bytes: u64,
    pool: Pool,
    metadata: LedgerMetadata,
}

impl Ledger {
    pub(crate) fn new(pool: &Pool, id: u64, bytes: u64, entry_bytes: u64) -> Self {
        let entries = bytes / entry_bytes;
        let metadata = LedgerMetadata {
            ledger_id: id,
            entry_count: entries,
            length_bytes: entries * entry_bytes,
            created_ms: 0,
            closed: true,
            custom: Vec::new(),
        };
        Self { id, entries, entry_bytes, pool: pool.clone(), metadata }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries * self.entry_bytes
    }

    pub(crate) fn reader(&self) -> LedgerReader {
        LedgerReader::new(Arc::new(self.clone()))
    }

    pub(crate) fn request(&self) -> OffloadRequest {
        let managed_ledger = "public/default/persistent/figures".to_owned();
        OffloadRequest { ledger_id: self.id, uid: self.uid(), managed_ledger, extra: Default::default() }
    }

    pub(crate) fn stored(&self) -> StoredLedger {
        let OffloadRequest { ledger_id, uid, managed_ledger, .. } = self.request();
        StoredLedger { ledger_id, uid, managed_ledger, driver_metadata: Default::default() }
    }

    /// The key of the data object, as docs/formats/data-block.md has it.
    pub(crate) fn data_key(&self) -> String {
        format!("{}-ledger-{}", self.uid(), self.id)
    }

    fn uid(&self) -> Uuid {
        Uuid::from_u128(u128::from(self.id))
    }
}

impl LedgerSource for Ledger {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        // The pool holds whole entries.
        let count = (max_bytes / self.entry_bytes).clamp(1, last - first + 1);
        let mut run = self.pool.batch(first * self.entry_bytes, (count * self.entry_bytes) as usize);
        let mut entry_id = first;
        let mut entries = Vec::with_capacity(count as usize);
        while !run.is_empty() {
            entries.push(Entry { entry_id, payload: run.split_to(self.entry_bytes as usize) });
            entry_id += 1;
        }
        Box::pin(async move { Ok(entries) })
    }

    fn progress(&self, _bytes: u64) {}
}
