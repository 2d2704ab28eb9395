//! Walks the records of one SequenceFile, whatever its compression, from any place where a record or a sync begins.
//!
//! Every step moves forward or ends: a file that stops within a record or block is an error at that offset, never a spin.
//! No length is believed before it is held against the bytes that are left, so a damaged one takes no memory.

use std::sync::Arc;

use bytes::Bytes;

use crate::block::{Block, BlockDecoder, BlockFrame, BlockProblem, Extent, KEY_BYTES, SYNC_ESCAPE};
use crate::error::{Error, Result};
use crate::header::{self, Compression, Header, SYNC_MARKER_BYTES, ValueClass};
use crate::source::{Source, Window};
use crate::vint;
use crate::zlib::{COUNT_BYTES, Inflater};

/// The most bytes that are read ahead at once. Small enough to stay in a processor's cache while it is checked.
pub const WINDOW_BYTES_MAX: usize = 256 * 1024;
/// The least; also what is read at once while skipping records.
pub(crate) const WINDOW_BYTES_MIN: usize = 16 * 1024;
/// Length of a record's i32 length, and of its key's.
const LENGTH_BYTES: usize = 4;
/// What stands before a record's value: its length, its key's length, its key.
const RECORD_HEAD_BYTES: usize = 2 * LENGTH_BYTES + KEY_BYTES;
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

    pub(crate) fn cursor_at(&self, place: Place) -> Cursor<'_, S> {
        Cursor {
            file: self,
            place,
            window: Window::default(),
            window_bytes: WINDOW_BYTES_MIN,
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
    block: Option<Arc<Block>>,
    inflater: Option<Inflater>,
    last_key: Option<i64>,
}

/// A record's head, its value not yet read.
#[derive(Clone, Copy, Debug)]
struct RecordHead {
    key: i64,
    /// Of the record, behind any sync.
    offset: u64,
    value: Extent,
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
        self.window_bytes = bytes.clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX);
    }

    /// What was read and decoded last, for whoever goes on from here later.
    pub(crate) fn into_recent(self) -> (Window, Option<Arc<Block>>) {
        (self.window, self.block)
    }

    pub(crate) fn set_recent(&mut self, window: Window, block: Option<Arc<Block>>) {
        self.window = window;
        self.block = block;
    }

    // Records, one after the other.

    fn next_in_records(&mut self, last_key: i64, room: u64) -> Result<Step> {
        let Some(head) = self.record_head()?.filter(|head| head.key <= last_key) else { return Ok(Step::End) };
        let value = match self.file.header.compression {
            Compression::None => {
                // The count was checked with the head.
                let len = head.value.len - COUNT_BYTES as u64;
                if len > room {
                    return Ok(Step::TooLong);
                }
                self.take(head.value.offset + COUNT_BYTES as u64, len)?
            }
            Compression::Record | Compression::Block => {
                let stored = self.take(head.value.offset, head.value.len)?;
                let len_max = self.file.limits.value_bytes_max;
                let inflated = self.inflater.get_or_insert_with(Inflater::new).counted(&stored, len_max);
                inflated.map_err(|problem| self.corrupt(head.value.offset, problem))?
            }
        };
        if value.len() as u64 > room {
            return Ok(Step::TooLong);
        }
        let offset = self.place.offset;
        self.pass(head)?;
        Ok(Step::Record(Record { key: head.key, value, offset }))
    }

    fn seek_in_records(&mut self, key: i64) -> Result<()> {
        while let Some(head) = self.record_head()? {
            if head.key >= key {
                break;
            }
            self.pass(head)?;
        }
        Ok(())
    }

    #[inline]
    fn pass(&mut self, head: RecordHead) -> Result<()> {
        self.check_order(head.key, head.offset)?;
        self.place.offset = head.value.offset + head.value.len;
        Ok(())
    }

    #[inline]
    fn check_order(&mut self, key: i64, offset: u64) -> Result<()> {
        if self.last_key.is_some_and(|last| last > key) {
            return Err(self.corrupt(offset, format!("key {key} follows a greater one")));
        }
        self.last_key = Some(key);
        Ok(())
    }

    /// The head of the next record, behind any syncs; `None` at the file's regular end.
    fn record_head(&mut self) -> Result<Option<RecordHead>> {
        let mut offset = self.place.offset;
        loop {
            let left = self.left(offset);
            if left == 0 {
                return Ok(None);
            }
            let head = self.peek(offset, left.min(RECORD_HEAD_BYTES as u64) as usize, "the head of a record")?;
            match head.first_chunk::<RECORD_HEAD_BYTES>() {
                Some(head) if be_i32(head) != SYNC_ESCAPE => {
                    let head = *head;
                    return self.parse_head(offset, left, head).map(Some);
                }
                None if head.len() < LENGTH_BYTES || be_i32(head) != SYNC_ESCAPE => {
                    return Err(self.corrupt(offset, "the file ends within the head of a record"));
                }
                _ => {
                    self.check_sync(offset)?;
                    offset += SYNC_BYTES as u64;
                }
            }
        }
    }

    /// Checks everything that a record's head says against the `left` bytes of the file from `offset` on.
    fn parse_head(&mut self, offset: u64, left: u64, head: [u8; RECORD_HEAD_BYTES]) -> Result<RecordHead> {
        let in_clear = self.file.header.compression == Compression::None;
        let (len, key_len, key) = (be_i32(&head), be_i32(&head[LENGTH_BYTES..]), be_i64(&head[2 * LENGTH_BYTES..]));
        let least = KEY_BYTES + if in_clear { COUNT_BYTES } else { 0 };
        if len < least as i32 {
            return Err(self.corrupt(offset, format!("a record has the length {len}, at least {least} is possible")));
        }
        if (len as u64) + 2 * LENGTH_BYTES as u64 > left {
            return Err(self.corrupt(offset, format!("a record of {len} bytes begins here, the file ends before")));
        }
        if key_len != KEY_BYTES as i32 {
            let problem = format!("a key has the length {key_len}, expected {KEY_BYTES}");
            return Err(self.corrupt(offset + LENGTH_BYTES as u64, problem));
        }
        let value = Extent { offset: offset + RECORD_HEAD_BYTES as u64, len: len as u64 - KEY_BYTES as u64 };
        self.check_value_len(value)?;
        if in_clear {
            let count = be_i32(self.peek(value.offset, COUNT_BYTES, "the length of a value")?);
            if i64::from(count) != value.len as i64 - COUNT_BYTES as i64 {
                let problem = format!("a value of {} bytes has the count {count}", value.len);
                return Err(self.corrupt(value.offset, problem));
            }
        }
        Ok(RecordHead { key, offset, value })
    }

    /// Refuses a stored value that is longer than what this reader takes. Compressed ones are judged by their stored length
    /// here (deflate adds little to what cannot be compressed) and by their own when they are inflated.
    #[inline]
    fn check_value_len(&self, value: Extent) -> Result<()> {
        let most = self.file.limits.value_bytes_max.saturating_add(self.file.limits.value_bytes_max / 64 + 1024);
        if value.len > most {
            let problem =
                format!("a value of {} bytes, at most {} are read", value.len, self.file.limits.value_bytes_max);
            return Err(self.corrupt(value.offset, problem));
        }
        Ok(())
    }

    /// The value in `stored`: for `BytesWritable` without its count, which must match.
    fn counted_value(&self, offset: u64, stored: Bytes) -> Result<Bytes> {
        if self.file.value_class == ValueClass::Long {
            return Ok(stored);
        }
        let count = stored.get(..COUNT_BYTES).map(be_i32);
        if count.map(i64::from) != Some(stored.len() as i64 - COUNT_BYTES as i64) {
            let problem = format!("a value of {} bytes has the count {}", stored.len(), count.unwrap_or_default());
            return Err(self.corrupt(offset, problem));
        }
        Ok(stored.slice(COUNT_BYTES..))
    }

    // Blocks.

    fn next_in_blocks(&mut self, last_key: i64, room: u64) -> Result<Step> {
        let Some(block) = self.current_block()? else { return Ok(Step::End) };
        let record = self.place.record;
        let (key, stored_len) = (block.key(record), block.value_len(record));
        let (Some(key), Some(stored_len)) = (key, stored_len) else { return Ok(Step::End) };
        if key > last_key {
            return Ok(Step::End);
        }
        let count_bytes = if self.file.value_class == ValueClass::Bytes { COUNT_BYTES as u64 } else { 0 };
        if stored_len - count_bytes > room {
            return Ok(Step::TooLong);
        }
        let stored = block.value(record).expect("the record's length is known");
        let value = self.counted_value(block.start, stored)?;
        self.check_order(key, block.start)?;
        self.place.record += 1;
        self.leave_finished_block(&block);
        Ok(Step::Record(Record { key, value, offset: block.start }))
    }

    fn leave_finished_block(&mut self, block: &Block) {
        if self.place.record >= block.len() {
            self.place = Place { offset: block.end, record: 0 };
        }
    }

    /// The decoded block that holds the next record; `None` at the file's regular end.
    fn current_block(&mut self) -> Result<Option<Arc<Block>>> {
        loop {
            if let Some(block) = self.block.clone().filter(|block| block.start == self.place.offset) {
                if self.place.record < block.len() {
                    return Ok(Some(block));
                }
                self.leave_finished_block(&block);
            }
            let Some(frame) = self.block_frame(self.place.offset)? else { return Ok(None) };
            let keys = self.block_keys(&frame)?;
            let block = self.decode_block(&frame, keys)?;
            if self.place.record >= block.len() && block.len() > 0 {
                return Err(self.corrupt(frame.start, "a block has fewer records than expected"));
            }
            self.block = Some(Arc::new(block));
        }
    }

    fn seek_in_blocks(&mut self, key: i64) -> Result<()> {
        loop {
            if let Some(block) = self.block.clone().filter(|block| block.start == self.place.offset) {
                self.place.record = self.place.record.max(block.first_at_or_after(key));
                if self.place.record < block.len() {
                    return Ok(());
                }
                self.leave_finished_block(&block);
            }
            let Some(frame) = self.block_frame(self.place.offset)? else { return Ok(()) };
            let keys = self.block_keys(&frame)?;
            if keys.last().is_none_or(|last| *last < key) {
                self.last_key = keys.last().copied().or(self.last_key);
                self.place = Place { offset: frame.end, record: 0 };
            } else {
                self.block = Some(Arc::new(self.decode_block(&frame, keys)?));
            }
        }
    }

    fn block_keys(&mut self, frame: &BlockFrame) -> Result<Vec<i64>> {
        let stream = self.take_extent(frame.keys)?;
        let keys = self.with_decoder(frame, |decoder| decoder.keys(&stream))?;
        if let Some(key) = keys.first().filter(|_| self.place.record == 0) {
            self.check_order(*key, frame.start)?;
        }
        Ok(keys)
    }

    fn decode_block(&mut self, frame: &BlockFrame, keys: Vec<i64>) -> Result<Block> {
        let key_lengths = self.take_extent(frame.key_lengths)?;
        let value_lengths = self.take_extent(frame.value_lengths)?;
        let values = self.take_extent(frame.values)?;
        self.with_decoder(frame, |decoder| {
            decoder.check_key_lengths(&key_lengths)?;
            decoder.decode(keys, &value_lengths, &values)
        })
    }

    fn with_decoder<T>(
        &mut self,
        frame: &BlockFrame,
        decode: impl FnOnce(&mut BlockDecoder<'_>) -> Result<T, BlockProblem>,
    ) -> Result<T> {
        let mut decoder = BlockDecoder {
            frame,
            inflater: self.inflater.get_or_insert_with(Inflater::new),
            value_class: self.file.value_class,
            block_bytes_max: self.file.limits.block_bytes_max,
        };
        decode(&mut decoder).map_err(|found| self.corrupt(found.offset, found.problem))
    }

    /// Where the parts of the block at `offset` lie; `None` at the file's regular end.
    fn block_frame(&mut self, offset: u64) -> Result<Option<BlockFrame>> {
        if self.left(offset) == 0 {
            return Ok(None);
        }
        let escape = be_i32(self.peek(offset, LENGTH_BYTES, "the start of a block")?);
        if escape != SYNC_ESCAPE {
            return Err(self.corrupt(offset, format!("a block begins with -1 and the sync marker, not with {escape}")));
        }
        self.check_sync(offset)?;
        let mut at = offset + SYNC_BYTES as u64;
        let (count, vint_bytes) = self.vint(at, "the number of records of a block")?;
        let Ok(record_count) = u32::try_from(count) else {
            return Err(self.corrupt(at, format!("a block has {count} records")));
        };
        at += vint_bytes;
        let mut buffers = [Extent::default(); 4];
        for buffer in &mut buffers {
            let (len, vint_bytes) = self.vint(at, "the length of a compressed buffer")?;
            let left = self.left(at + vint_bytes);
            *buffer = match u64::try_from(len) {
                Ok(len) if len <= left => Extent { offset: at + vint_bytes, len },
                _ => {
                    let problem = format!("a compressed buffer has the length {len}, {left} bytes are left");
                    return Err(self.corrupt(at, problem));
                }
            };
            at = buffer.offset + buffer.len;
        }
        let [key_lengths, keys, value_lengths, values] = buffers;
        Ok(Some(BlockFrame { start: offset, end: at, record_count, key_lengths, keys, value_lengths, values }))
    }

    fn vint(&mut self, offset: u64, what: &str) -> Result<(i64, u64)> {
        let first = self.peek(offset, 1, what)?[0];
        let bytes = self.peek(offset, vint::len_of(first), what)?;
        let (value, len) = vint::read(bytes).expect("as many bytes as the first one announces");
        Ok((value, len as u64))
    }

    // Bytes.

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
        let read = self.window_bytes.max(len).min(usize::try_from(left).unwrap_or(usize::MAX));
        self.window = Window::new(offset, self.file.source.read_at(offset, read)?);
        // Whoever reads on is likely to go on reading.
        self.window_bytes = (self.window_bytes * 2).min(WINDOW_BYTES_MAX);
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

#[inline]
fn be_i64(bytes: &[u8]) -> i64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[..8]);
    i64::from_be_bytes(raw)
}
