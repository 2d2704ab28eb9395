//! A ledger in memory, whose payloads are slices of one buffer: reading it costs nothing.

use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{Entry, LedgerMetadata, LedgerReader, OffloadRequest, Result, StoredLedger};
use uuid::Uuid;

/// Bytes that payloads are taken from, many enough that no cache of the processor holds them.
pub(crate) const POOL_BYTES: usize = 64 << 20;

/// Payloads: letters out of 16, so that zlib makes half of them.
#[derive(Clone)]
pub(crate) struct Pool(pub(crate) Bytes);

impl Pool {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0; POOL_BYTES];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        for byte in &mut bytes {
            *byte = b'a' + *byte % 16;
        }
        Self(bytes.into())
    }
}

/// A ledger of entries of one length.
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
        let StoredLedger { ledger_id, uid, managed_ledger, .. } = self.stored();
        OffloadRequest { ledger_id, uid, managed_ledger, extra: Default::default() }
    }

    pub(crate) fn stored(&self) -> StoredLedger {
        let ledger_id = self.metadata.ledger_id;
        let uid = Uuid::from_u128(u128::from(ledger_id));
        let managed_ledger = "public/default/persistent/figures".to_owned();
        StoredLedger { ledger_id, uid, managed_ledger, driver_metadata: Default::default() }
    }
}

impl LedgerSource for Ledger {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        let count = (max_bytes / self.entry_bytes).clamp(1, last - first + 1);
        let slots = POOL_BYTES as u64 / self.entry_bytes;
        let payload = |entry: u64| {
            let start = (entry % slots * self.entry_bytes) as usize;
            self.pool.0.slice(start..start + self.entry_bytes as usize)
        };
        let entries = (first..first + count).map(|entry_id| Entry { entry_id, payload: payload(entry_id) }).collect();
        Box::pin(async move { Ok(entries) })
    }

    fn progress(&self, _bytes: u64) {}
}
