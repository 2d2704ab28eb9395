//! "Entries first..=last of one ledger": the one way in which bytes of a ledger are read, in both directions.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::{Error, ErrorCode, Result};
use crate::ledger::{Entry, LedgerMetadata};

/// Reads one closed ledger. A plugin implements it for its cold copies; the host's hot ledger comes to the plugin as a
/// [`LedgerReader`] with the same shape.
///
/// # Behavior
/// - Reads are positional and stateless: any number may run at once, in any order, without disturbing each other.
/// - After its copy was deleted a handle answers sound entries or `NotFound`.
/// - A damaged byte is an error `Corrupt` that names file (or object) and offset; it is never returned as data.
pub trait ReadHandle: Send + Sync + 'static {
    /// The ledger's metadata as stored with its cold copy.
    fn metadata(&self) -> &LedgerMetadata;

    /// Reads whole entries from `first` on, in order and without gaps, up to `last` (inclusive).
    ///
    /// # Behavior
    /// - Returns at least one entry, and stops before the entry that would make the sum of payloads exceed `max_bytes`;
    ///   the first entry is returned however large it is.
    /// - Returns fewer than asked for only because of `max_bytes`.
    ///
    /// # Errors
    /// `InvalidArgument` where `first > last`; `OutOfRange` where `last` is beyond the last entry; `Corrupt`, `NotFound`,
    /// `Unavailable` and the like from the store.
    ///
    /// # Cancel
    /// Dropping the future stops the read; nothing is left behind.
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> impl Future<Output = Result<Vec<Entry>>> + Send;

    /// Whether [`read`](Self::read) of these entries is tried on the caller's thread first, for answers that need no waiting: from
    /// memory, or from a file that the system holds in memory. It saves the way to a thread of the plugin and back, some ten
    /// microseconds, and is no use where the answer takes longer than that.
    ///
    /// # Behavior
    /// - Where it says yes, and the host agrees, `read` is polled once on a thread of the host, with the plugin's runtime entered.
    ///   What is not ready then goes on as a task on the plugin's runtime.
    /// - Blocking in that first poll blocks a thread of the host. A host lets few calls at once run there, and for
    ///   a while none of a plugin that took long repeatedly.
    /// - Answers at once; asked before each read.
    fn answers_inline(&self, first: u64, last: u64, max_bytes: u64) -> bool {
        let _ = (first, last, max_bytes);
        false
    }

    /// Gives back what the handle holds. Called at most once, after the last read; dropping the handle must suffice.
    fn close(&self) -> impl Future<Output = ()> + Send {
        async {}
    }
}

/// A future in a box, as trait objects need it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The ledger to copy, as the host lends it for one [`offload`](crate::offloader::Offloader::offload). Cheap to clone.
///
/// The host's deadline is on progress, not on duration: each [`read`](Self::read) and each [`progress`](Self::progress)
/// resets it.
#[derive(Clone)]
pub struct LedgerReader {
    source: Arc<dyn LedgerSource>,
}

impl LedgerReader {
    /// A reader over any source.
    pub fn new(source: Arc<dyn LedgerSource>) -> Self {
        Self { source }
    }

    /// A closed ledger in memory, for an author's tests: the entries' ids are their places in `payloads`.
    pub fn in_memory(ledger_id: u64, payloads: Vec<Bytes>) -> Self {
        let metadata = LedgerMetadata {
            ledger_id,
            entry_count: payloads.len() as u64,
            length_bytes: payloads.iter().map(|payload| payload.len() as u64).sum(),
            created_ms: 0,
            closed: true,
            custom: Vec::new(),
        };
        Self::new(Arc::new(InMemory { metadata, payloads }))
    }

    /// What is known of the ledger; `closed` is true.
    pub fn metadata(&self) -> &LedgerMetadata {
        self.source.metadata()
    }

    /// Reads whole entries; the same rules as [`ReadHandle::read`].
    ///
    /// # Errors
    /// Those of the host's ledger. `Cancelled` once the host gave up on this offload.
    pub async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        self.source.read(first, last, max_bytes).await
    }

    /// Tells the host that `bytes` more bytes reached the store.
    pub fn progress(&self, bytes: u64) {
        self.source.progress(bytes);
    }
}

impl fmt::Debug for LedgerReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LedgerReader").field("ledger_id", &self.metadata().ledger_id).finish_non_exhaustive()
    }
}

/// Where a [`LedgerReader`] gets its entries: the host's side of the boundary, or a test.
pub trait LedgerSource: Send + Sync {
    /// See [`LedgerReader::metadata`].
    fn metadata(&self) -> &LedgerMetadata;
    /// See [`LedgerReader::read`].
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>>;
    /// See [`LedgerReader::progress`].
    fn progress(&self, bytes: u64);
}

struct InMemory {
    metadata: LedgerMetadata,
    payloads: Vec<Bytes>,
}

impl LedgerSource for InMemory {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            check_range(&self.metadata, first, last)?;
            let mut sum = 0;
            Ok((first..=last)
                .map(|entry_id| Entry { entry_id, payload: self.payloads[entry_id as usize].clone() })
                .take_while(|entry| {
                    sum += entry.payload.len() as u64;
                    entry.entry_id == first || sum <= max_bytes
                })
                .collect())
        })
    }

    fn progress(&self, _bytes: u64) {}
}

/// Refuses a range that is backwards or beyond the last entry.
///
/// # Errors
/// `InvalidArgument` or `OutOfRange`, naming ledger and range.
pub fn check_range(metadata: &LedgerMetadata, first: u64, last: u64) -> Result<()> {
    let ledger_id = metadata.ledger_id;
    if first > last {
        return Err(Error::new(
            ErrorCode::InvalidArgument,
            format!("read of entries {first}..={last} of ledger {ledger_id} is backwards"),
        ));
    }
    if last >= metadata.entry_count {
        return Err(Error::new(
            ErrorCode::OutOfRange,
            format!(
                "read of entries {first}..={last} of ledger {ledger_id}, which has {} entries",
                metadata.entry_count
            ),
        ));
    }
    Ok(())
}
