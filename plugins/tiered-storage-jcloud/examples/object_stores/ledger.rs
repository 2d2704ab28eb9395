//! A ledger in memory, whose payloads are slices of one buffer: reading it costs next to nothing.

use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{
    Entry, LedgerMetadata, LedgerReader, OffloadRequest, Offloader, ReadHandle, Result, StoredLedger,
};
use uuid::Uuid;

/// Bytes that payloads are taken from, many enough that no cache of the processor holds them.
const POOL_BYTES: usize = 64 << 20;
/// What a broker asks for at once while it reads a topic back.
const READ_BYTES: u64 = 4 << 20;

/// Payloads: letters out of 16, of which zlib makes half.
#[derive(Clone)]
pub(crate) struct Pool(Bytes);

impl Pool {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0; POOL_BYTES];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        for byte in &mut bytes {
            *byte = b'a' + *byte % 16;
        }
        Self(bytes.into())
    }

    /// So many bytes in one place, for the place `at` of a copy: neighbours of those before, as far as the pool reaches.
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

/// A ledger of entries of one length, of which the pool holds a whole number.
#[derive(Clone)]
pub(crate) struct Ledger {
    pub(crate) entries: u64,
    pub(crate) entry_bytes: u64,
    pool: Pool,
    metadata: LedgerMetadata,
}

impl Ledger {
    pub(crate) fn new(pool: &Pool, ledger_id: u64, bytes: u64, entry_bytes: u64) -> Self {
        let entries = bytes / entry_bytes;
        let metadata = LedgerMetadata {
            ledger_id,
            entry_count: entries,
            length_bytes: entries * entry_bytes,
            created_ms: 0,
            closed: true,
            custom: Vec::new(),
        };
        Self { entries, entry_bytes, pool: pool.clone(), metadata }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.entries * self.entry_bytes
    }

    pub(crate) fn reader(&self) -> LedgerReader {
        LedgerReader::new(Arc::new(self.clone()))
    }

    pub(crate) fn request(&self) -> OffloadRequest {
        let ledger_id = self.metadata.ledger_id;
        let uid = Uuid::from_u128(u128::from(ledger_id));
        let managed_ledger = "public/default/persistent/figures".to_owned();
        OffloadRequest { ledger_id, uid, managed_ledger, extra: Default::default() }
    }

    pub(crate) fn stored(&self) -> StoredLedger {
        let OffloadRequest { ledger_id, uid, managed_ledger, .. } = self.request();
        StoredLedger { ledger_id, uid, managed_ledger, driver_metadata: Default::default() }
    }

    /// Opens the copy and reads it from its first entry to its last, as a broker does.
    pub(crate) async fn read_back(&self, driver: &impl Offloader) -> Result<()> {
        let handle = driver.open_read(self.stored()).await?;
        let mut next = 0;
        while next < self.entries {
            next += handle.read(next, self.entries - 1, READ_BYTES).await?.len() as u64;
        }
        Ok(())
    }
}

impl LedgerSource for Ledger {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
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
