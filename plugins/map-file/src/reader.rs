//! Reads a MapFile: by key, or a range of keys in order. Any number of readers at once.
//!
//! The index is held in memory whole (16 bytes for each entry). A bounded memory of where earlier reads ended, of the last
//! bytes read and of the last block decoded lets a sequential reader go on without scanning again; it is a hint that any
//! reader may overwrite, never needed for a right answer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;

use crate::block::Block;
use crate::cursor::{Cursor, Place, ReadLimits, Record, SequenceFile, Step};
use crate::error::{Error, Result};
use crate::header::{Compression, Header, ValueClass};
use crate::source::{Source, Window};

/// How many places are remembered: where reads ended, so that some hundred interleaved sequential readers never scan, and what
/// seeks passed, so that random readers scan less from one to the next.
const PLACES_MAX: usize = 512;

/// Room for so many records at most is made before the first one is read.
const RECORDS_RESERVED_MAX: i64 = 1024;

/// One entry of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The key.
    pub key: i64,
    /// Where to start in the data file to find it: a record, a sync or a block; bytes from the file's start.
    pub offset: u64,
}

/// An open MapFile.
#[derive(Debug)]
pub struct MapFile<S> {
    data: SequenceFile<S>,
    index: Vec<IndexEntry>,
    recent: Mutex<Recent>,
}

/// What a range of keys holds, as far as it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeRead {
    /// The records, in file order.
    pub records: Vec<Record>,
    /// Whether the range has no further record; else the read stopped for want of room, or before damage, which a read that
    /// goes on from there answers with.
    pub complete: bool,
    /// Where the next record would be; bytes from the start of the data file.
    pub end_offset: u64,
}

/// What earlier reads learned.
#[derive(Debug, Default)]
struct Recent {
    /// (key, place behind it), newest last.
    places: VecDeque<(i64, Place)>,
    window: Window,
    block: Option<Arc<Block>>,
}

impl<S: Source> MapFile<S> {
    /// Reads both headers and the whole index.
    ///
    /// # Errors
    /// `Corrupt` where one of the headers or the index is damaged; `Unsupported`; `Io`.
    pub fn open(data: S, index: S, limits: ReadLimits) -> Result<Self> {
        let data = SequenceFile::open(data, limits)?;
        let index = SequenceFile::open_as(index, ValueClass::Long, limits)?;
        let index = read_index(&index, data.header().end_offset, data.source().len())?;
        Ok(Self { data, index, recent: Mutex::default() })
    }

    /// What the data file's header says.
    pub fn header(&self) -> &Header {
        self.data.header()
    }

    /// The data file.
    pub fn data(&self) -> &SequenceFile<S> {
        &self.data
    }

    /// The index, in the order of keys and offsets.
    pub fn index(&self) -> &[IndexEntry] {
        &self.index
    }

    /// The value of `key`; where several records have it, of one of them.
    ///
    /// # Errors
    /// `Corrupt` with file and offset; `Io`.
    pub fn get(&self, key: i64) -> Result<Option<Bytes>> {
        Ok(self.range(key, key, u64::MAX, 0)?.records.pop().map(|record| record.value))
    }

    /// Records whose keys lie within `first..=last`, in file order. Stops before the record that would make the sum of
    /// values exceed `value_bytes_max`, and before damage; the first record is returned however long it is.
    ///
    /// `expected_bytes` is the caller's guess at how much of the file that takes: it decides how much is read at once.
    ///
    /// # Errors
    /// `Corrupt` with file and offset, where the first record cannot be read; `Io`.
    pub fn range(&self, first: i64, last: i64, value_bytes_max: u64, expected_bytes: u64) -> Result<RangeRead> {
        let mut cursor = self.cursor_before(first)?;
        cursor.set_window_bytes(usize::try_from(expected_bytes).unwrap_or(usize::MAX));
        let (mut read, mut value_bytes) = (RangeRead::default(), 0);
        read.records.reserve(last.saturating_sub(first).clamp(0, RECORDS_RESERVED_MAX - 1) as usize + 1);
        loop {
            // The first record may have taken more than there was: then not even an empty one fits.
            let room = if read.records.is_empty() { Some(u64::MAX) } else { value_bytes_max.checked_sub(value_bytes) };
            let Some(room) = room else { break };
            let step = match cursor.next_up_to(last, room) {
                Err(Error::Corrupt { .. }) if !read.records.is_empty() => break,
                step => step?,
            };
            match step {
                Step::Record(record) => {
                    value_bytes += record.value.len() as u64;
                    read.records.push(record);
                }
                Step::TooLong => break,
                Step::End => {
                    read.complete = true;
                    break;
                }
            }
        }
        read.end_offset = cursor.place().offset;
        if let Some(record) = read.records.last() {
            self.learn(record.key, cursor);
        }
        Ok(read)
    }

    /// A cursor before the first record whose key is at least `key`.
    fn cursor_before(&self, key: i64) -> Result<Cursor<'_, S>> {
        let floor = self.index.partition_point(|entry| entry.key <= key).checked_sub(1).map(|at| self.index[at]);
        let indexed = floor.map_or(self.data.header().end_offset, |entry| entry.offset);
        let start = Place { offset: indexed, record: 0 };
        let (learned, window, block) = {
            let recent = self.recent();
            // All records before a learned place have keys up to the one it was learned for.
            let behind = recent.places.iter().filter(|(learned_key, _)| *learned_key < key);
            (behind.map(|(_, place)| *place).max(), recent.window.clone(), recent.block.clone())
        };
        let mut cursor = self.data.cursor_at(learned.map_or(start, |place| place.max(start)));
        cursor.set_recent(window, block);
        if cursor.place() == start {
            self.check_floor(&mut cursor, floor)?;
        }
        cursor.seek(key)?;
        Ok(cursor)
    }

    /// Refuses an index entry that leads to another record than it says. A block's sync marker vouches for the block, and
    /// the key of its entry may be any of the block's.
    fn check_floor(&self, cursor: &mut Cursor<'_, S>, floor: Option<IndexEntry>) -> Result<()> {
        let Some(IndexEntry { key, offset }) = floor else { return Ok(()) };
        if self.header().compression == Compression::Block {
            return Ok(());
        }
        let found = cursor.peek_key()?;
        if found == Some(key) {
            return Ok(());
        }
        let found = found.map_or("the file's end".to_owned(), |found| format!("key {found}"));
        let problem = format!("the index says that key {key} is here, but here is {found}");
        Err(Error::corrupt(self.data.source().name(), offset, problem))
    }

    fn learn(&self, key: i64, mut cursor: Cursor<'_, S>) {
        let mut learned = cursor.take_landmarks();
        learned.push((key, cursor.place()));
        let (window, block) = cursor.into_recent();
        let mut recent = self.recent();
        recent.window = window;
        recent.block = block;
        recent.places.retain(|(_, known)| learned.iter().all(|(_, place)| place != known));
        let over = (recent.places.len() + learned.len()).saturating_sub(PLACES_MAX);
        recent.places.drain(..over);
        recent.places.extend(learned);
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        // Whatever a panicking reader left is a hint as good as any.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_index<S: Source>(file: &SequenceFile<S>, data_start: u64, data_end: u64) -> Result<Vec<IndexEntry>> {
    let mut index: Vec<IndexEntry> = Vec::new();
    let mut cursor = file.cursor();
    while let Some(record) = cursor.next_record()? {
        let raw = record.value.first_chunk::<8>().expect("values of an index have 8 bytes");
        let entry = IndexEntry { key: record.key, offset: u64::from_be_bytes(*raw) };
        let name = file.source().name();
        if !(data_start..=data_end).contains(&entry.offset) {
            let problem =
                format!("key {} is said to be at {}, the data file has {data_end} bytes", entry.key, entry.offset);
            return Err(Error::corrupt(name, record.offset, problem));
        }
        match index.last() {
            Some(last) if last.offset > entry.offset => {
                return Err(Error::corrupt(name, record.offset, format!("the position of key {} descends", entry.key)));
            }
            // As Hadoop's reader: the earlier entry leads there as well.
            Some(last) if last.offset == entry.offset => {}
            _ => index.push(entry),
        }
    }
    Ok(index)
}
