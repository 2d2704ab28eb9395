//! Reads one copy. Entries come out as slices of what was read or inflated; nothing is copied again.
//!
//! Every entry is held against its place: a copy whose keys are not -1, 0, 1, 2, … up to the last entry that its metadata
//! names is damaged, however sound its bytes are.

use std::path::Path;
use std::sync::Arc;

use longshore_plugin_api::read_handle::check_range;
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerMetadata, ReadHandle, Result};
use map_file::checksum::{Checked, side_file_name};
use map_file::{Compression, MapFile, RangeRead, ReadLimits};

use crate::copy::METADATA_KEY;
use crate::error::{from_join, from_map_file, io_error};
use crate::file_system::FileSystem;
use crate::paths::{DATA, INDEX};
use crate::stored_file::{StoredFile, only_from_memory};

/// What a record takes beside its value, and a guess at the value's own spread, in bytes.
const RECORD_SLACK_BYTES: u64 = 64;

/// What is read on the spot where the system holds it in memory, in bytes: a third of a millisecond with its checksums, and
/// more than a read for consumers asks for.
const FROM_MEMORY_BYTES_MAX: u64 = 5 << 18;

/// An open copy of one ledger.
#[derive(Debug)]
pub struct FileReadHandle {
    copy: Arc<Copy>,
}

#[derive(Debug)]
struct Copy {
    file_system: Arc<dyn FileSystem>,
    metadata: LedgerMetadata,
    map: MapFile<Checked<StoredFile>>,
    /// Where the data file is, for messages.
    data_name: String,
    /// Bytes of the data file for each entry.
    average_record_bytes: u64,
}

/// Opens the copy in `folder`, or answers `None` where there is no such folder. Blocks.
///
/// # Errors
/// `Corrupt` where a file of it is missing or damaged.
pub(crate) fn open(file_system: &Arc<dyn FileSystem>, folder: &Path, ledger_id: u64) -> Result<Option<FileReadHandle>> {
    let (data, index) = match (open_file(file_system, folder, DATA)?, open_file(file_system, folder, INDEX)?) {
        (Some(data), Some(index)) => (data, index),
        (data, index) => {
            let looked = file_system.is_folder(folder);
            let there = looked.map_err(io_error(format_args!("look at {}", folder.display())))?;
            if !there && data.is_none() && index.is_none() {
                return Ok(None);
            }
            let missing = if data.is_none() { DATA } else { INDEX };
            let message = format!("open copy {}: it has no file {missing}", folder.display());
            return Err(Error::new(ErrorCode::Corrupt, message));
        }
    };
    let what = format!("open copy of ledger {ledger_id}");
    let map = MapFile::open(data, index, ReadLimits::default()).map_err(|error| from_map_file(&what, error))?;
    let data_name = folder.join(DATA).display().to_string();
    let Some(raw) = map.get(METADATA_KEY).map_err(|error| from_map_file(&what, error))? else {
        let message = format!("{what}: {data_name} is damaged: it has no ledger metadata (key {METADATA_KEY})");
        return Err(Error::new(ErrorCode::Corrupt, message));
    };
    let metadata = LedgerMetadata::from_bookkeeper_bytes(ledger_id, &raw)
        .map_err(|e| Error::new(ErrorCode::Corrupt, format!("{what}: {data_name} is damaged")).with_source(&e))?;
    // Only closed ledgers are offloaded, whatever state their metadata was in when it was copied.
    let metadata = LedgerMetadata { closed: true, ..metadata };
    let average_record_bytes = map_file::Source::len(map.data().source()) / metadata.entry_count.max(1);
    let file_system = file_system.clone();
    let copy = Copy { file_system, metadata, map, data_name, average_record_bytes };
    Ok(Some(FileReadHandle { copy: Arc::new(copy) }))
}

fn open_file(file_system: &Arc<dyn FileSystem>, folder: &Path, name: &str) -> Result<Option<Checked<StoredFile>>> {
    let open = |name: &str| {
        let path = folder.join(name);
        StoredFile::open(file_system, &path).map_err(io_error(format_args!("open {}", path.display())))
    };
    let Some(file) = open(name)? else { return Ok(None) };
    let what = format!("open {}", folder.join(name).display());
    let side_file = if file_system.keeps_side_files() { open(&side_file_name(name))? } else { None };
    Checked::open(file, side_file).map(Some).map_err(|error| from_map_file(what, error))
}

impl ReadHandle for FileReadHandle {
    fn metadata(&self) -> &LedgerMetadata {
        &self.copy.metadata
    }

    fn answers_inline(&self, first: u64, last: u64, max_bytes: u64) -> bool {
        self.copy.may_be_in_memory(first, last, max_bytes)
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        check_range(&self.copy.metadata, first, last)?;
        if self.copy.may_be_in_memory(first, last, max_bytes)
            && let Some(read) = self.copy.read_from_memory(first, last, max_bytes)
        {
            return read;
        }
        let permit = match self.copy.file_system.read_permits() {
            // They are never closed, so the wait ends with a permit.
            Some(permits) => permits.clone().acquire_owned().await.ok(),
            None => None,
        };
        let copy = self.copy.clone();
        let reading = tokio::task::spawn_blocking(move || {
            // Held until the thread is free, also where nobody waits for the answer any more.
            let _permit = permit;
            copy.read(first, last, max_bytes)
        });
        reading.await.unwrap_or_else(|e| Err(from_join(format_args!("read of entries {first}..={last}"), e)))
    }
}

impl Copy {
    /// What a read takes of the file, about.
    fn expected_bytes(&self, first: u64, last: u64, max_bytes: u64) -> u64 {
        let entries = last.saturating_sub(first).saturating_add(1);
        (self.average_record_bytes + RECORD_SLACK_BYTES)
            .saturating_mul(entries)
            .min(max_bytes.saturating_add(max_bytes / 8).saturating_add(RECORD_SLACK_BYTES))
    }

    /// Whether a read is quick where the system holds its bytes in memory: inflating takes longer than any wake-up.
    fn may_be_in_memory(&self, first: u64, last: u64, max_bytes: u64) -> bool {
        self.file_system.answers_from_memory()
            && self.map.header().compression == Compression::None
            && self.expected_bytes(first, last, max_bytes) <= FROM_MEMORY_BYTES_MAX
    }

    /// As [`read`](Self::read), or nothing where that would have to wait for the disk.
    fn read_from_memory(&self, first: u64, last: u64, max_bytes: u64) -> Option<Result<Vec<Entry>>> {
        let expected_bytes = self.expected_bytes(first, last, max_bytes);
        let read = only_from_memory(|| self.map.range(first as i64, last as i64, max_bytes, expected_bytes))?;
        Some(self.entries(first, last, read))
    }

    /// `first..=last` lies within the ledger.
    fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let expected_bytes = self.expected_bytes(first, last, max_bytes);
        self.entries(first, last, self.map.range(first as i64, last as i64, max_bytes, expected_bytes))
    }

    /// Holds what was read against its places.
    fn entries(&self, first: u64, last: u64, read: map_file::Result<RangeRead>) -> Result<Vec<Entry>> {
        let read =
            read.map_err(|error| from_map_file(format_args!("read ledger {}", self.metadata.ledger_id), error))?;
        let mut found = Vec::with_capacity(read.records.len());
        for (entry_id, record) in (first..=last).zip(read.records) {
            if record.key != entry_id as i64 {
                return Err(
                    self.misplaced(record.offset, format!("key {} where entry {entry_id} should be", record.key))
                );
            }
            found.push(Entry { entry_id, payload: record.value });
        }
        if read.complete && (found.len() as u64) < last - first + 1 {
            let missing = first + found.len() as u64;
            return Err(self.misplaced(read.end_offset, format!("entry {missing} is missing")));
        }
        Ok(found)
    }

    fn misplaced(&self, offset: u64, problem: String) -> Error {
        let (ledger_id, file) = (self.metadata.ledger_id, &self.data_name);
        let message = format!("read ledger {ledger_id}: {file} is damaged at offset {offset}: {problem}");
        Error::new(ErrorCode::Corrupt, message)
    }
}

#[cfg(test)]
impl FileReadHandle {
    /// The payloads from `first` to the last entry, read on this thread.
    pub(crate) fn read_blocking(&self, first: u64, max_bytes: u64) -> Result<Vec<bytes::Bytes>> {
        let entries = self.copy.read(first, self.copy.metadata.entry_count - 1, max_bytes)?;
        Ok(entries.into_iter().map(|entry| entry.payload).collect())
    }
}
