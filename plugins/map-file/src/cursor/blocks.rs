//! Walks the blocks of a block-compressed file and the records inside them. A block that is passed has only its keys inflated.

use std::sync::Arc;

use bytes::Bytes;

use super::{Cursor, LENGTH_BYTES, Place, Record, SYNC_BYTES, Step, be_i32};
use crate::block::{Block, BlockDecoder, BlockFrame, BlockProblem, Extent, SYNC_ESCAPE};
use crate::error::Result;
use crate::header::ValueClass;
use crate::source::Source;
use crate::vint;
use crate::zlib::{COUNT_BYTES, Inflater};

impl<S: Source> Cursor<'_, S> {
    pub(super) fn next_in_blocks(&mut self, last_key: i64, room: u64) -> Result<Step> {
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
    pub(super) fn current_block(&mut self) -> Result<Option<Arc<Block>>> {
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

    pub(super) fn seek_in_blocks(&mut self, key: i64) -> Result<()> {
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
}
