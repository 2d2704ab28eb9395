//! Before a cold copy counts, it is opened and read back through the driver and compared with what the driver was given.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;

use crate::storage::{Entry, LedgerMetadata, OffloadDriver, ReadError, ReadHandle, StoredLedger};

/// Bytes that one read of the comparison asks for; two are in memory.
const VERIFY_READ_BYTES: u64 = 4 << 20;

/// How much of a copy is compared (`longshoreOffloadVerify`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum VerifyMode {
    /// `full`: every entry.
    #[default]
    Full,
    /// `ends`: the metadata, the first and the last entry.
    Ends,
}

/// Why a copy does not count.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyError {
    /// It cannot be read.
    #[error("the copy cannot be read back: {0}")]
    Unreadable(#[from] ReadError),
    /// It is not what was given.
    #[error("the copy differs from the ledger: {0}")]
    Differs(String),
}

/// A hot ledger on its way to a driver: remembers the CRC32C of each entry that it handed out (4 bytes for each entry of
/// the ledger).
pub(super) struct Witnessed {
    inner: Arc<dyn ReadHandle>,
    crcs: Mutex<Vec<Option<u32>>>,
}

impl Witnessed {
    pub(super) fn new(inner: Arc<dyn ReadHandle>) -> Self {
        let entry_count = inner.metadata().entry_count as usize;
        Self { inner, crcs: Mutex::new(vec![None; entry_count]) }
    }

    fn crc_of(&self, entry_id: u64) -> Option<u32> {
        *self.crcs.lock().expect("no code panics while it holds the checksums").get(entry_id as usize)?
    }
}

#[async_trait]
impl ReadHandle for Witnessed {
    fn metadata(&self) -> LedgerMetadata {
        self.inner.metadata()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let entries = self.inner.read(first, last, max_bytes).await?;
        let seen: Vec<(usize, u32)> =
            entries.iter().map(|entry| (entry.entry_id as usize, crc32c::crc32c(&entry.payload))).collect();
        let mut crcs = self.crcs.lock().expect("no code panics while it holds the checksums");
        for (entry_id, crc) in seen {
            if let Some(slot) = crcs.get_mut(entry_id) {
                *slot = Some(crc);
            }
        }
        Ok(entries)
    }

    fn progress(&self, bytes: u64) {
        self.inner.progress(bytes);
    }
}

/// Opens the copy and compares it.
pub(super) async fn verify(
    driver: &dyn OffloadDriver,
    stored: &StoredLedger,
    given: &Witnessed,
    mode: VerifyMode,
) -> Result<(), VerifyError> {
    let copy = driver.open(stored).await.map_err(ReadError::from)?;
    let (want, found) = (given.metadata(), copy.metadata());
    if (found.entry_count, found.length_bytes) != (want.entry_count, want.length_bytes) {
        return Err(VerifyError::Differs(format!(
            "{} entries and {} bytes were given, it has {} and {}",
            want.entry_count, want.length_bytes, found.entry_count, found.length_bytes
        )));
    }
    let Some(last) = want.entry_count.checked_sub(1) else {
        return Err(VerifyError::Differs("an empty ledger was copied".to_owned()));
    };
    match mode {
        VerifyMode::Full => compare(&*copy, given, 0, last).await,
        VerifyMode::Ends => {
            compare(&*copy, given, 0, 0).await?;
            compare(&*copy, given, last, last).await
        }
    }
}

/// The next batch is read while one is compared.
async fn compare(copy: &dyn ReadHandle, given: &Witnessed, first: u64, last: u64) -> Result<(), VerifyError> {
    let mut entries = copy.read(first, last, VERIFY_READ_BYTES).await?;
    let mut next = first;
    loop {
        let end = next + entries.len() as u64;
        if end > last || entries.is_empty() {
            compare_batch(&entries, given, next)?;
            return if end > last { Ok(()) } else { Err(came_back_empty(next)) };
        }
        let compared = async { compare_batch(&entries, given, next) };
        let (following, compared) = tokio::join!(biased; copy.read(end, last, VERIFY_READ_BYTES), compared);
        compared?;
        (entries, next) = (following?, end);
    }
}

fn came_back_empty(next: u64) -> VerifyError {
    VerifyError::Differs(format!("a read from entry {next} on came back empty"))
}

/// Holds the entries of one read, the first of which must be `first`, against what the driver was given.
fn compare_batch(entries: &[Entry], given: &Witnessed, first: u64) -> Result<(), VerifyError> {
    for (expected, entry) in (first..).zip(entries) {
        if entry.entry_id != expected {
            return Err(VerifyError::Differs(format!("entry {} came where {expected} belongs", entry.entry_id)));
        }
        let Some(crc) = given.crc_of(expected) else {
            return Err(VerifyError::Differs(format!("the driver never asked for entry {expected}")));
        };
        if crc32c::crc32c(&entry.payload) != crc {
            return Err(VerifyError::Differs(format!("entry {expected} has other bytes")));
        }
    }
    Ok(())
}
