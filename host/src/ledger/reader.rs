//! Reading: one positional read for a run of neighbouring entries, each verified, none copied.
//!
//! The payloads of one read are slices of one buffer, which lives as long as any of them. File handles and offset indexes
//! of sealed ledgers come from caches bounded by settings; an open ledger has its own. All of it runs on blocking threads.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use rustix::buffer::spare_capacity;

use super::LedgerStoreSettings;
use super::format::{
    Damage, FOOTER_FIXED_BYTES, Footer, HEADER_FIXED_BYTES, RECORD_HEADER_BYTES, SegmentHeader, check_record,
};
use super::layout::Layout;
use super::offsets::{Offsets, Run};
use super::segment::{Segment, State};
use crate::storage::{Entry, LedgerId, LedgerMetadata, LedgerSummary, ReadError, ReadHandle};

/// Sealed ledgers for which the index cache is prepared; a guess that only sizes its tables.
const INDEXES_ESTIMATED: usize = 256;

/// Open files and offset indexes of sealed ledgers, shared by all handles.
pub(super) struct Readers {
    layout: Layout,
    files: Cache<LedgerId, Arc<File>>,
    indexes: Cache<LedgerId, Arc<Offsets>, IndexWeight>,
}

#[derive(Clone)]
struct IndexWeight;

impl Weighter<LedgerId, Arc<Offsets>> for IndexWeight {
    fn weight(&self, _: &LedgerId, index: &Arc<Offsets>) -> u64 {
        index.memory_bytes()
    }
}

impl Readers {
    /// Empty caches.
    pub(super) fn new(layout: Layout, settings: &LedgerStoreSettings) -> Self {
        // One shard each: a shard refuses what is larger than itself, and look-ups are few beside the reads they lead to.
        let options = |items: usize, weight: u64| {
            let mut builder = OptionsBuilder::new();
            builder.shards(1).estimated_items_capacity(items).weight_capacity(weight);
            builder.build().expect("both capacities are set")
        };
        let (hash, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let files_max = settings.files_open_max.max(1);
        let files = options(files_max, files_max as u64);
        let indexes = options(INDEXES_ESTIMATED, settings.index_cache_bytes_max);
        Self {
            layout,
            files: Cache::with_options(files, quick_cache::UnitWeighter, hash.clone(), lifecycle),
            indexes: Cache::with_options(indexes, IndexWeight, hash, DefaultLifecycle::default()),
        }
    }

    /// Keeps the index of a ledger that was just sealed.
    pub(super) fn keep_index(&self, ledger_id: LedgerId, offsets: Offsets) {
        self.indexes.insert(ledger_id, Arc::new(offsets));
    }

    /// Lets go of everything of a deleted ledger.
    pub(super) fn forget(&self, ledger_id: LedgerId) {
        self.files.remove(&ledger_id);
        self.indexes.remove(&ledger_id);
    }

    /// Reads what a sealed ledger says of itself. Blocks.
    pub(super) fn open_sealed(&self, ledger_id: LedgerId) -> Result<Segment, ReadError> {
        let path = self.layout.sealed_path(ledger_id);
        let file = self.sealed_file(ledger_id, &path)?;
        let header = read_header(&file, &path)?.map_err(|damage| damage.in_file(&path))?;
        if header.ledger_id != ledger_id {
            return Err(Damage::new(16, format!("the file is of ledger {}", header.ledger_id)).in_file(&path));
        }
        let footer = read_footer(&file, &path, ledger_id)?;
        let summary = LedgerSummary { entry_count: footer.entry_count, length_bytes: footer.length_bytes };
        Ok(Segment::new(header, &self.layout, State::Sealed(summary)))
    }

    /// Reads entries as [`ReadHandle::read`] says. Blocks.
    fn read(&self, segment: &Segment, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let (file, path, run) = match &*segment.state() {
            State::Open { file, offsets } => {
                (Some(file.clone()), segment.open_path(), offsets.run(first, last, max_bytes))
            }
            State::Sealed(_) => (None, segment.sealed_path(), None),
            State::Deleted => return Err(ReadError::NotFound(format!("ledger {} is deleted", segment.ledger_id()))),
        };
        let (file, run) = match file {
            Some(file) => (file, run),
            None => {
                let file = self.sealed_file(segment.ledger_id(), path)?;
                let index = self.index(segment, &file, path)?;
                (file, index.run(first, last, max_bytes))
            }
        };
        let run = run.ok_or_else(|| ReadError::OutOfRange {
            ledger_id: segment.ledger_id(),
            first,
            last,
            entry_count: segment.summary().entry_count,
        })?;
        entries_of(segment.ledger_id(), &run, read_at(&file, path, run.offset, run.bytes)?, path)
    }

    fn sealed_file(&self, ledger_id: LedgerId, path: &Path) -> Result<Arc<File>, ReadError> {
        self.files.get_or_insert_with(&ledger_id, || match File::open(path) {
            Ok(file) => Ok(Arc::new(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(ReadError::NotFound(format!("ledger {ledger_id} is not in the hot store: no {}", path.display())))
            }
            Err(error) => Err(read_error("open", path, &error)),
        })
    }

    fn index(&self, segment: &Segment, file: &File, path: &Path) -> Result<Arc<Offsets>, ReadError> {
        self.indexes.get_or_insert_with(&segment.ledger_id(), || {
            let footer = read_footer(file, path, segment.ledger_id())?;
            let bytes = read_at(file, path, footer.index_offset, footer.index_bytes())?;
            let index = footer.decode_index(&bytes, segment.header().len_bytes());
            index.map(Arc::new).map_err(|damage| damage.in_file(path))
        })
    }
}

/// Reads one ledger; follows it when it is sealed.
pub(super) struct LedgerHandle {
    /// The ledger.
    pub(super) segment: Arc<Segment>,
    /// The caches.
    pub(super) readers: Arc<Readers>,
}

#[async_trait]
impl ReadHandle for LedgerHandle {
    fn metadata(&self) -> LedgerMetadata {
        let header = self.segment.header();
        // Asked before the counts: a ledger that is sealed between the two questions must not seem closed and short.
        let closed = matches!(&*self.segment.state(), State::Sealed(_));
        let summary = self.segment.summary();
        LedgerMetadata {
            ledger_id: header.ledger_id,
            entry_count: summary.entry_count,
            length_bytes: summary.length_bytes,
            created_ms: header.created_ms,
            closed,
            managed_ledger: header.managed_ledger.clone(),
        }
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let (segment, readers) = (self.segment.clone(), self.readers.clone());
        let work = tokio::task::spawn_blocking(move || readers.read(&segment, first, last, max_bytes));
        work.await.unwrap_or_else(|e| Err(ReadError::Failed(format!("the reading thread stopped: {e}"))))
    }
}

/// Reads the header. The outer error is the file's, the inner the content's.
pub(super) fn read_header(file: &File, path: &Path) -> Result<Result<SegmentHeader, Damage>, ReadError> {
    let file_bytes = file.metadata().map_err(|error| read_error("look at", path, &error))?.len();
    let fixed = read_at(file, path, 0, file_bytes.min(HEADER_FIXED_BYTES as u64))?;
    let whole = match SegmentHeader::len_from(&fixed) {
        Ok(whole) => file_bytes.min(whole as u64),
        Err(damage) => return Ok(Err(damage)),
    };
    Ok(SegmentHeader::decode(&read_at(file, path, 0, whole)?))
}

fn read_footer(file: &File, path: &Path, ledger_id: LedgerId) -> Result<Footer, ReadError> {
    let file_bytes = file.metadata().map_err(|error| read_error("look at", path, &error))?.len();
    let Some(at) = file_bytes.checked_sub(FOOTER_FIXED_BYTES as u64) else {
        return Err(Damage::new(0, format!("{file_bytes} bytes are too few for a footer")).in_file(path));
    };
    let bytes = read_at(file, path, at, FOOTER_FIXED_BYTES as u64)?;
    Footer::decode(&bytes, ledger_id, file_bytes).map_err(|damage| damage.in_file(path))
}

/// Reads exactly `bytes` bytes; the caller has bounded them by the file's size or by an index that was verified. The memory is
/// not zeroed before: that would cost a tenth of the reading.
pub(super) fn read_at(file: &File, path: &Path, offset: u64, bytes: u64) -> Result<Vec<u8>, ReadError> {
    let wanted = bytes as usize;
    let mut buffer = Vec::with_capacity(wanted);
    while buffer.len() < wanted {
        let at = offset + buffer.len() as u64;
        match rustix::io::pread(file, spare_capacity(&mut buffer), at) {
            Ok(0) => {
                let problem = format!("the file ends before {bytes} bytes were read");
                return Err(Damage::new(offset, problem).in_file(path));
            }
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(read_error("read", path, &errno.into())),
        }
    }
    // A vector may have more room than was asked for.
    buffer.truncate(wanted);
    Ok(buffer)
}

fn entries_of(ledger_id: LedgerId, run: &Run, buffer: Vec<u8>, path: &Path) -> Result<Vec<Entry>, ReadError> {
    let buffer = Bytes::from(buffer);
    let mut entries = Vec::with_capacity(run.lengths.len());
    let mut at = 0;
    for (entry_id, length) in (run.first..).zip(&run.lengths) {
        let payload_at = at + RECORD_HEADER_BYTES;
        let end = payload_at + *length as usize;
        check_record(ledger_id, entry_id, &buffer[at..end])
            .map_err(|problem| Damage::new(run.offset + at as u64, problem).in_file(path))?;
        entries.push(Entry { entry_id, payload: buffer.slice(payload_at..end) });
        at = end;
    }
    Ok(entries)
}

/// A failed system call as the seam's error; a shortage passes, the rest does not.
pub(super) fn read_error(action: &str, path: &Path, error: &io::Error) -> ReadError {
    const SHORTAGES: [rustix::io::Errno; 3] =
        [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE, rustix::io::Errno::NOMEM];
    let text = format!("{action} {}: {error}", path.display());
    match rustix::io::Errno::from_io_error(error) {
        Some(errno) if SHORTAGES.contains(&errno) => ReadError::Unavailable(text),
        _ => ReadError::Failed(text),
    }
}
