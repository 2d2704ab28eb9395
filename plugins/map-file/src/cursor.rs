//! Walks the records of one SequenceFile, whatever its compression, from any place where a record or a sync begins.
//!
//! Every step moves forward or ends: a file that stops within a record or block is an error at that offset, never a spin.
//! No length is believed before it is held against the bytes that are left, so a damaged one takes no memory.

mod blocks;
mod records;

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Block, Extent};
use crate::error::{Error, Result};
use crate::header::{self, Compression, Header, SYNC_MARKER_BYTES, ValueClass};
use crate::source::{Source, Window};
use crate::zlib::Inflater;

/// The most bytes that are read ahead at once, where the file does not say otherwise. Small enough to stay in a processor's cache
/// while it is checked.
pub const WINDOW_BYTES_MAX: usize = 256 * 1024;
/// The least, but for [`HEAD_WINDOW_BYTES`].
pub(crate) const WINDOW_BYTES_MIN: usize = 16 * 1024;
/// What is read for the head of a record beyond a long one that was skipped: whatever follows is likely to be skipped as well.
const HEAD_WINDOW_BYTES: usize = 512;
/// Of the records that a seek passes, every so many are remembered, so that the next seek to there passes fewer.
const LANDMARK_RECORDS: usize = 16;
/// So many of one seek at most: the interval of an index has no more.
const LANDMARKS_MAX: usize = 16;
/// Length of a record's i32 length, and of its key's.
const LENGTH_BYTES: usize = 4;
const SYNC_BYTES: usize = LENGTH_BYTES + SYNC_MARKER_BYTES;

/// What a reader is ready to hold in memory at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    /// The longest value that is read, in bytes.
    pub value_bytes_max: u64,
    /// The values of one compressed block, in bytes before compression.
    pub block_bytes_max: u64,
}

impl Default for ReadLimits {
    fn default() -> Self {
        Self { value_bytes_max: 128 << 20, block_bytes_max: 256 << 20 }
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: i64,
    /// The value's bytes; shares the memory of what was read or inflated with its neighbours.
    pub value: Bytes,
    /// Where it was found: the record, the sync before it, or the block that holds it; bytes from the start of the file.
    pub offset: u64,
}

/// What came of asking for the next record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A record; the cursor stands behind it.
    Record(Record),
    /// There is one, but its value is longer than what the caller has room for; the cursor still stands before it.
    TooLong,
    /// No further record has a key that the caller wants: the next key is greater, or the file has its regular end.
    End,
}

/// A place between two records, from which a cursor can go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    /// Of a record, a sync or a block.
    pub(crate) offset: u64,
    /// Records of that block that lie behind.
    pub(crate) record: usize,
}

/// A SequenceFile whose header was read.
#[derive(Debug)]
pub struct SequenceFile<S> {
    source: S,
    header: Header,
    value_class: ValueClass,
    limits: ReadLimits,
}

impl<S: Source> SequenceFile<S> {
    /// Opens a data file: keys `LongWritable`, values `BytesWritable`. It needs no index to be walked from its start.
    ///
    /// # Errors
    /// `Corrupt` or `Unsupported` for its header; `Io`.
    pub fn open(source: S, limits: ReadLimits) -> Result<Self> {
        Self::open_as(source, ValueClass::Bytes, limits)
    }

    pub(crate) fn open_as(source: S, value_class: ValueClass, limits: ReadLimits) -> Result<Self> {
        let header = header::read(&source, value_class)?;
        Ok(Self { source, header, value_class, limits })
    }

    /// What its header says.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// The file.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// A cursor before the first record.
    pub fn cursor(&self) -> Cursor<'_, S> {
        self.cursor_at(Place { offset: self.header.end_offset, record: 0 })
    }

    /// A cursor before the record, sync or block at `offset`, which an index named. Elsewhere the next record is damage.
    pub fn cursor_from(&self, offset: u64) -> Cursor<'_, S> {
        self.cursor_at(Place { offset, record: 0 })
    }

    pub(crate) fn cursor_at(&self, place: Place) -> Cursor<'_, S> {
        Cursor {
            file: self,
            place,
            window: Window::default(),
            window_bytes: WINDOW_BYTES_MIN,
            read_to: None,
            landmarks: Vec::new(),
            block: None,
            inflater: None,
            last_key: None,
        }
    }
}

/// Walks the records of a file.
#[derive(Debug)]
pub struct Cursor<'a, S> {
    file: &'a SequenceFile<S>,
    place: Place,
    window: Window,
    /// How much to read at once from now on.
    window_bytes: usize,
    /// Where the last window that this cursor read ends.
    read_to: Option<u64>,
    /// Of records that a seek passed: key, place behind it.
    landmarks: Vec<(i64, Place)>,
    block: Option<Arc<Block>>,
    inflater: Option<Inflater>,
    last_key: Option<i64>,
}

impl<S: Source> Cursor<'_, S> {
    /// The next record, or `None` at the file's regular end.
    ///
    /// # Errors
    /// `Corrupt` with the offset of what is damaged; `Io`. The cursor stays where it was.
    pub fn next_record(&mut self) -> Result<Option<Record>> {
        match self.next_up_to(i64::MAX, u64::MAX)? {
            Step::Record(record) => Ok(Some(record)),
            Step::TooLong | Step::End => Ok(None),
        }
    }

    /// The next record if its key is at most `last_key` and its value has at most `room` bytes.
    ///
    /// # Errors
    /// As [`next_record`](Self::next_record).
    pub fn next_up_to(&mut self, last_key: i64, room: u64) -> Result<Step> {
        match self.file.header.compression {
            Compression::Block => self.next_in_blocks(last_key, room),
            Compression::None | Compression::Record => self.next_in_records(last_key, room),
        }
    }

    /// Moves before the first record whose key is at least `key`, counted from here, without inflating what it passes.
    pub(crate) fn seek(&mut self, key: i64) -> Result<()> {
        match self.file.header.compression {
            Compression::Block => self.seek_in_blocks(key),
            Compression::None | Compression::Record => self.seek_in_records(key),
        }
    }

    /// The key of the next record.
    pub(crate) fn peek_key(&mut self) -> Result<Option<i64>> {
        match self.file.header.compression {
            Compression::Block => Ok(self.current_block()?.and_then(|block| block.key(self.place.record))),
            Compression::None | Compression::Record => Ok(self.record_head()?.map(|head| head.key)),
        }
    }

    pub(crate) fn place(&self) -> Place {
        self.place
    }

    pub(crate) fn set_window_bytes(&mut self, bytes: usize) {
        self.window_bytes = bytes.min(self.file.source.read_ahead_bytes_max()).max(WINDOW_BYTES_MIN);
    }

    /// Keys that were passed on the way here, each with the place behind it.
    pub(crate) fn take_landmarks(&mut self) -> Vec<(i64, Place)> {
        std::mem::take(&mut self.landmarks)
    }

    /// What was read and decoded last, for whoever goes on from here later.
    pub(crate) fn into_recent(self) -> (Window, Option<Arc<Block>>) {
        (self.window, self.block)
    }

    pub(crate) fn set_recent(&mut self, window: Window, block: Option<Arc<Block>>) {
        self.window = window;
        self.block = block;
    }

    #[inline]
    fn check_order(&mut self, key: i64, offset: u64) -> Result<()> {
        if self.last_key.is_some_and(|last| last > key) {
            return Err(self.corrupt(offset, format!("key {key} follows a greater one")));
        }
        self.last_key = Some(key);
        Ok(())
    }

    fn check_sync(&mut self, offset: u64) -> Result<()> {
        let marker = self.file.header.sync_marker;
        let sync = self.peek(offset, SYNC_BYTES, "a sync marker")?;
        if sync[LENGTH_BYTES..] != marker {
            return Err(self.corrupt(offset + LENGTH_BYTES as u64, "a sync marker differs from the header's"));
        }
        Ok(())
    }

    #[inline]
    fn left(&self, offset: u64) -> u64 {
        self.file.source.len().saturating_sub(offset)
    }

    fn corrupt(&self, offset: u64, problem: impl Into<String>) -> Error {
        Error::corrupt(self.file.source.name(), offset, problem)
    }

    /// A few bytes at `offset`; what is read for them is kept for the requests that follow.
    #[inline]
    fn peek(&mut self, offset: u64, len: usize, what: &str) -> Result<&[u8]> {
        if self.window.peek(offset, len).is_none() {
            self.move_window(offset, len, what)?;
        }
        let name = self.file.source.name();
        self.window.peek(offset, len).ok_or_else(|| Error::corrupt(name, offset, "a read answered too few bytes"))
    }

    #[cold]
    fn move_window(&mut self, offset: u64, len: usize, what: &str) -> Result<()> {
        let left = self.left(offset);
        if (len as u64) > left {
            return Err(self.corrupt(offset, format!("the file ends within {what}")));
        }
        let skipping = self.read_to.is_some_and(|end| offset >= end + WINDOW_BYTES_MIN as u64);
        let ahead = if skipping { HEAD_WINDOW_BYTES } else { self.window_bytes };
        let read = ahead.max(len).min(usize::try_from(left).unwrap_or(usize::MAX));
        let bytes = match self.file.source.read_at(offset, read) {
            // The damage may lie in what is only read ahead: whoever comes there will meet it.
            Err(Error::Corrupt { .. }) if read > len => self.file.source.read_at(offset, len)?,
            bytes => bytes?,
        };
        self.read_to = Some(offset + bytes.len() as u64);
        self.window = Window::new(offset, bytes);
        if !skipping {
            // Whoever reads on is likely to go on reading.
            self.set_window_bytes(self.window_bytes * 2);
        }
        Ok(())
    }

    /// `len` bytes at `offset`, which the caller has held against the file's length.
    fn take(&mut self, offset: u64, len: u64) -> Result<Bytes> {
        let len = usize::try_from(len).map_err(|_| self.corrupt(offset, "more bytes than this machine can address"))?;
        if let Some(bytes) = self.window.slice(offset, len) {
            return Ok(bytes);
        }
        if len >= self.window_bytes / 2 {
            // Long values: what is read ahead for the next head would be read again with its value.
            self.window_bytes = WINDOW_BYTES_MIN;
            return self.file.source.read_at(offset, len);
        }
        self.peek(offset, len, "a value")?;
        self.window.slice(offset, len).ok_or_else(|| self.corrupt(offset, "a read answered too few bytes"))
    }

    fn take_extent(&mut self, extent: Extent) -> Result<Bytes> {
        self.take(extent.offset, extent.len)
    }
}

#[inline]
fn be_i32(bytes: &[u8]) -> i32 {
    i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
