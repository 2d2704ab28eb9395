//! Walks records that stand by themselves, in clear or compressed one by one, with syncs before any of them.

use super::{Cursor, LANDMARK_RECORDS, LANDMARKS_MAX, LENGTH_BYTES, Record, SYNC_BYTES, Step, be_i32};
use crate::block::{Extent, KEY_BYTES, SYNC_ESCAPE};
use crate::error::Result;
use crate::header::Compression;
use crate::source::Source;
use crate::zlib::{COUNT_BYTES, Inflater};

/// What stands before a record's value: its length, its key's length, its key.
const RECORD_HEAD_BYTES: usize = 2 * LENGTH_BYTES + KEY_BYTES;

/// A record's head, its value not yet read.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordHead {
    pub(super) key: i64,
    /// Of the record, behind any sync.
    offset: u64,
    value: Extent,
}

impl<S: Source> Cursor<'_, S> {
    pub(super) fn next_in_records(&mut self, last_key: i64, room: u64) -> Result<Step> {
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

    pub(super) fn seek_in_records(&mut self, key: i64) -> Result<()> {
        let mut passed = 0;
        while let Some(head) = self.record_head()? {
            if head.key >= key {
                break;
            }
            self.pass(head)?;
            passed += 1;
            if passed % LANDMARK_RECORDS == 0 && self.landmarks.len() < LANDMARKS_MAX {
                self.landmarks.push((head.key, self.place));
            }
        }
        Ok(())
    }

    #[inline]
    fn pass(&mut self, head: RecordHead) -> Result<()> {
        self.check_order(head.key, head.offset)?;
        self.place.offset = head.value.offset + head.value.len;
        Ok(())
    }

    /// The head of the next record, behind any syncs; `None` at the file's regular end.
    pub(super) fn record_head(&mut self) -> Result<Option<RecordHead>> {
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
}

#[inline]
fn be_i64(bytes: &[u8]) -> i64 {
    let mut raw = [0; 8];
    raw.copy_from_slice(&bytes[..8]);
    i64::from_be_bytes(raw)
}
