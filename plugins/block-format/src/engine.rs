//! The whole of a driver over an object store, but for its configuration: offload, open for read, delete, scan, health.

use std::sync::Arc;

use longshore_plugin_api::{LedgerReader, OffloadRequest, Result, ScanPage, ScanRequest, StoredLedger};

use crate::keys::CopyKeys;
use crate::read::{CopyHandle, CopyId, Extents, OpenCopies, ReadOptions, Shared};
use crate::removal;
use crate::store::requests::{RequestOptions, Requests, in_context};
use crate::store::{BlobStore, ListRequest};
use crate::turns::Turns;
use crate::upload::{self, UploadOptions};
use crate::{Error, listing};

/// How an engine works.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EngineOptions {
    /// Requests to the store.
    pub requests: RequestOptions,
    /// Writing.
    pub upload: UploadOptions,
    /// Reading.
    pub read: ReadOptions,
}

/// Keeps ledgers in one bucket. Each call may run beside any other; caches are shared by all of them.
#[derive(Debug)]
pub struct CopyEngine {
    shared: Arc<Shared>,
    copies: OpenCopies,
    turns: Arc<Turns>,
    upload: UploadOptions,
}

impl CopyEngine {
    /// An engine over a bucket.
    ///
    /// # Errors
    /// `OutOfBounds` for a block size that the format cannot have.
    pub fn new(store: Arc<dyn BlobStore>, options: EngineOptions) -> Result<Self, Error> {
        options.upload.write.check()?;
        let requests = Arc::new(Requests::new(store, options.requests));
        let extents = Arc::new(Extents::new(options.read.extents_bytes_max));
        let copies = OpenCopies::new(options.read.indexes_bytes_max);
        let shared = Arc::new(Shared { requests, extents, entry_bytes_max: options.read.entry_bytes_max });
        Ok(Self { shared, copies, turns: Arc::default(), upload: options.upload })
    }

    /// Copies one closed ledger. `Ok` means that both objects are in the store as they were written.
    ///
    /// # Errors
    /// Those of the ledger and of the store; `Corrupt` where the store has something else than was written. What was written
    /// is taken away, as far as the store allows.
    ///
    /// # Cancel
    /// Dropping the future stops the copy, and takes away what it wrote, in the background.
    pub async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        let id = CopyId { uid: request.uid, ledger_id: request.ledger_id };
        let turn = self.turns.take(id).await;
        let result = upload::offload(self.shared.requests.clone(), self.upload, ledger, request, turn).await;
        // A repeated attempt replaced what may be remembered of the one before.
        self.forget(id);
        result.map_err(|error| in_context(format_args!("copy ledger {} with uid {}", id.ledger_id, id.uid), &error))
    }

    /// Opens a copy: one request, or none while somebody has it open. A copy that another process deleted may so still be
    /// opened; its entries are then `NotFound`, or come from what was fetched before.
    ///
    /// # Errors
    /// `NotFound` where there is no complete copy; `Corrupt` or `Unsupported` where its index is not one that is read here.
    pub async fn open_read(&self, stored: &StoredLedger) -> Result<CopyHandle> {
        let id = CopyId { uid: stored.uid, ledger_id: stored.ledger_id };
        let copy = self.copies.get(&self.shared.requests, id).await;
        let copy = copy.map_err(|error| {
            in_context(format_args!("open the copy of ledger {} with uid {}", id.ledger_id, id.uid), &error)
        })?;
        Ok(CopyHandle::new(self.shared.clone(), copy))
    }

    /// Deletes what an attempt left: index, data, uploads in parts. Deleting what is not there is a success. Waits for an
    /// attempt that is being made or taken away.
    ///
    /// # Errors
    /// Those of the store; everything was tried.
    pub async fn delete(&self, stored: &StoredLedger) -> Result<()> {
        let id = CopyId { uid: stored.uid, ledger_id: stored.ledger_id };
        let _turn = self.turns.take(id).await;
        self.forget(id);
        let keys = CopyKeys::new(id.ledger_id, id.uid);
        let removed = removal::remove_attempt(&self.shared.requests, &keys).await;
        // Someone may have opened it meanwhile.
        self.forget(id);
        removed.map_err(|error| {
            in_context(format_args!("delete the copy of ledger {} with uid {}", id.ledger_id, id.uid), &error)
        })
    }

    /// A page of complete copies, in the order of their keys.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn scan(&self, request: &ScanRequest) -> Result<ScanPage> {
        listing::scan(&self.shared.requests, request).await
    }

    /// Whether the bucket can be listed.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn health(&self) -> Result<()> {
        let one = ListRequest { limit: 1, ..ListRequest::default() };
        self.shared.requests.list(&one).await.map(drop)
    }

    fn forget(&self, id: CopyId) {
        self.copies.forget(id);
        self.shared.extents.forget(id);
    }
}
