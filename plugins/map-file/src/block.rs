//! One block of a block-compressed file, in both directions.
//!
//! ```text
//! i32 -1 | 16 bytes sync marker | vint number of records
//! | key lengths | keys | value lengths | values        each: vint length, then a zlib stream of that many bytes
//! ```
//! Inside the streams: key lengths and value lengths are vints (a key has 8 bytes; a value's length includes its own i32
//! count), keys are i64, values as their class serialises them. Integers are big-endian.
//!
//! Format: docs/formats/map-file.md, from Hadoop's `SequenceFile.BlockCompressWriter`.

use bytes::Bytes;

use crate::header::{SyncMarker, ValueClass};
use crate::vint;
use crate::zlib::{COUNT_BYTES, Deflater, Inflater, Problem};

/// What stands before a sync marker instead of a record's length.
pub(crate) const SYNC_ESCAPE: i32 = -1;
/// Length of a serialised key in bytes.
pub(crate) const KEY_BYTES: usize = 8;

/// Records that wait to become a block.
#[derive(Debug, Default)]
pub(crate) struct PendingBlock {
    records: usize,
    key_lengths: Vec<u8>,
    keys: Vec<u8>,
    value_lengths: Vec<u8>,
    values: Vec<u8>,
}

impl PendingBlock {
    pub(crate) fn push(&mut self, key: i64, value_head: &[u8], value_body: &[u8]) {
        self.records += 1;
        vint::write(&mut self.key_lengths, KEY_BYTES as i64);
        self.keys.extend_from_slice(&key.to_be_bytes());
        vint::write(&mut self.value_lengths, (value_head.len() + value_body.len()) as i64);
        self.values.extend_from_slice(value_head);
        self.values.extend_from_slice(value_body);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Keys and values in bytes, the sum that decides when the block is written.
    pub(crate) fn raw_bytes(&self) -> usize {
        self.keys.len() + self.values.len()
    }

    /// Hands the block to `put`, piece by piece, and starts an empty one.
    pub(crate) fn write<E>(
        &mut self,
        sync_marker: &SyncMarker,
        deflater: &mut Deflater,
        mut put: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut head = Vec::with_capacity(SYNC_ESCAPE.to_be_bytes().len() + sync_marker.len() + vint::VINT_BYTES_MAX);
        head.extend_from_slice(&SYNC_ESCAPE.to_be_bytes());
        head.extend_from_slice(sync_marker);
        vint::write(&mut head, self.records as i64);
        put(&head)?;
        let mut stream = Vec::new();
        for buffer in [&mut self.key_lengths, &mut self.keys, &mut self.value_lengths, &mut self.values] {
            deflater.deflate(buffer, &mut stream);
            head.clear();
            vint::write(&mut head, stream.len() as i64);
            put(&head)?;
            put(&stream)?;
            buffer.clear();
        }
        self.records = 0;
        Ok(())
    }
}

/// The four streams of a block as they lie in the file, offsets from its start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BlockFrame {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) record_count: u32,
    pub(crate) key_lengths: Extent,
    pub(crate) keys: Extent,
    pub(crate) value_lengths: Extent,
    pub(crate) values: Extent,
}

/// A part of a file.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// A decoded block.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) start: u64,
    /// Where the next block begins.
    pub(crate) end: u64,
    keys: Vec<i64>,
    /// Where each value ends in `values`; it begins where the one before ends.
    value_ends: Vec<u64>,
    values: Bytes,
}

impl Block {
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    pub(crate) fn key(&self, record: usize) -> Option<i64> {
        self.keys.get(record).copied()
    }

    pub(crate) fn first_at_or_after(&self, key: i64) -> usize {
        self.keys.partition_point(|other| *other < key)
    }

    /// The serialised value of a record, its count included.
    pub(crate) fn value(&self, record: usize) -> Option<Bytes> {
        let end = *self.value_ends.get(record)?;
        let start = if record == 0 { 0 } else { self.value_ends[record - 1] };
        Some(self.values.slice(start as usize..end as usize))
    }

    /// How many bytes the serialised value of a record takes.
    pub(crate) fn value_len(&self, record: usize) -> Option<u64> {
        let start = if record == 0 { 0 } else { self.value_ends[record - 1] };
        Some(self.value_ends.get(record)? - start)
    }
}

/// What went wrong in which of a block's streams.
pub(crate) struct BlockProblem {
    pub(crate) offset: u64,
    pub(crate) problem: Problem,
}

/// Turns the streams of a frame into records. Every output is bounded by what the streams before it have announced.
pub(crate) struct BlockDecoder<'a> {
    pub(crate) frame: &'a BlockFrame,
    pub(crate) inflater: &'a mut Inflater,
    pub(crate) value_class: ValueClass,
    pub(crate) block_bytes_max: u64,
}

impl BlockDecoder<'_> {
    /// The keys, in ascending order.
    pub(crate) fn keys(&mut self, stream: &[u8]) -> Result<Vec<i64>, BlockProblem> {
        let at = self.frame.keys.offset;
        let count = u64::from(self.frame.record_count);
        let raw = self.inflater.exactly(stream, count * KEY_BYTES as u64).map_err(problem_at(at))?;
        let (keys, _) = raw.as_chunks::<KEY_BYTES>();
        let keys: Vec<i64> = keys.iter().map(|key| i64::from_be_bytes(*key)).collect();
        if !keys.is_sorted() {
            return Err(problem_at(at)("the keys of a block descend".to_owned()));
        }
        Ok(keys)
    }

    /// Checks that each key has 8 bytes.
    pub(crate) fn check_key_lengths(&mut self, stream: &[u8]) -> Result<(), BlockProblem> {
        let at = self.frame.key_lengths.offset;
        let lengths = self.inflater.exactly(stream, u64::from(self.frame.record_count)).map_err(problem_at(at))?;
        if lengths.iter().any(|len| usize::from(*len) != KEY_BYTES) {
            return Err(problem_at(at)("a key of a block does not have 8 bytes".to_owned()));
        }
        Ok(())
    }

    /// Where each value ends.
    fn value_ends(&mut self, stream: &[u8]) -> Result<Vec<u64>, BlockProblem> {
        let at = self.frame.value_lengths.offset;
        let count = u64::from(self.frame.record_count);
        let most = count * vint::VINT_BYTES_MAX as u64;
        let raw = self.inflater.between(stream, count, most).map_err(problem_at(at))?;
        let (mut rest, mut sum) = (raw, 0u64);
        let mut ends = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let Some((len, vint_bytes)) = vint::read(rest) else {
                return Err(problem_at(at)("the value lengths of a block end early".to_owned()));
            };
            rest = &rest[vint_bytes..];
            let fits = match self.value_class {
                ValueClass::Bytes => (COUNT_BYTES as i64..=i64::from(i32::MAX)).contains(&len),
                ValueClass::Long => len == 8,
            };
            if !fits {
                return Err(problem_at(at)(format!("a value of a block has the length {len}")));
            }
            sum += len as u64;
            ends.push(sum);
        }
        if !rest.is_empty() {
            return Err(problem_at(at)("a block has more value lengths than records".to_owned()));
        }
        if sum > self.block_bytes_max {
            let problem = format!("the values of a block have {sum} bytes, at most {} are read", self.block_bytes_max);
            return Err(problem_at(at)(problem));
        }
        Ok(ends)
    }

    /// The whole block. `keys` are those of [`keys`](Self::keys).
    pub(crate) fn decode(
        &mut self,
        keys: Vec<i64>,
        value_lengths: &[u8],
        values: &[u8],
    ) -> Result<Block, BlockProblem> {
        let value_ends = self.value_ends(value_lengths)?;
        let at = self.frame.values.offset;
        let values_len = value_ends.last().copied().unwrap_or(0);
        let values = self.inflater.exactly(values, values_len).map_err(problem_at(at))?;
        Ok(Block { start: self.frame.start, end: self.frame.end, keys, value_ends, values: Bytes::from(values) })
    }
}

fn problem_at(offset: u64) -> impl Fn(Problem) -> BlockProblem {
    move |problem| BlockProblem { offset, problem }
}
