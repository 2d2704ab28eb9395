//! The bytes of a data object: a block's header, what stands in front of an entry, and what fills a block up.
//!
//! ```text
//! object := block*
//! block  := header, 128 bytes | entry* | padding
//! entry  := length i32 | entry id i64 | payload
//! ```
//! Entries follow each other by id without a gap; none crosses a block's end. Padding repeats four bytes whose first makes
//! any number that is read there negative, and so does a header's magic: that is how a reader notices a block's end.
//!
//! Format: docs/formats/data-block.md, from Pulsar's `DataBlockHeaderImpl` and `BlockAwareSegmentInputStreamImpl`.

use crate::error::{Error, Result};

/// Length of a block's header in bytes.
pub const HEADER_BYTES: u64 = 128;
/// Length of what stands in front of each payload, in bytes: length and entry id.
pub const FRAME_HEAD_BYTES: u64 = (LENGTH_BYTES + ENTRY_ID_BYTES) as u64;
/// The longest payload in bytes.
pub const PAYLOAD_BYTES_MAX: u64 = i32::MAX as u64;
/// What a block's rest is filled with, beginning at the first byte behind its last entry.
pub const PADDING: [u8; 4] = [0xFE, 0xDC, 0xDE, 0xAD];

const MAGIC: [u8; 4] = [0xFB, 0xDB, 0xAB, 0xCB];
const LENGTH_BYTES: usize = 4;
const ENTRY_ID_BYTES: usize = 8;
const HEADER_LENGTH_AT: usize = MAGIC.len();
const BLOCK_LENGTH_AT: usize = HEADER_LENGTH_AT + 8;
const FIRST_ENTRY_AT: usize = BLOCK_LENGTH_AT + 8;
/// Bytes of a header that say something; the rest is zero.
const HEADER_USED_BYTES: usize = FIRST_ENTRY_AT + 8;

/// What a block's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockHeader {
    /// Bytes of the whole block: header, entries, padding.
    pub block_bytes: u64,
    /// Its first entry.
    pub first_entry_id: u64,
}

impl BlockHeader {
    /// The header's bytes.
    pub fn encode(&self) -> [u8; HEADER_BYTES as usize] {
        let mut bytes = [0; HEADER_BYTES as usize];
        bytes[..HEADER_LENGTH_AT].copy_from_slice(&MAGIC);
        bytes[HEADER_LENGTH_AT..BLOCK_LENGTH_AT].copy_from_slice(&HEADER_BYTES.to_be_bytes());
        bytes[BLOCK_LENGTH_AT..FIRST_ENTRY_AT].copy_from_slice(&self.block_bytes.to_be_bytes());
        bytes[FIRST_ENTRY_AT..HEADER_USED_BYTES].copy_from_slice(&self.first_entry_id.to_be_bytes());
        bytes
    }

    /// Reads the header that `bytes`, at `offset` of `object`, begin with.
    ///
    /// # Errors
    /// `Corrupt` where they are too few, or where magic, header length or a sign is not a header's.
    pub fn decode(object: &str, offset: u64, bytes: &[u8]) -> Result<Self> {
        let corrupt = |at: usize, problem: String| Error::corrupt(object, offset + at as u64, problem);
        if bytes.len() < HEADER_BYTES as usize {
            let problem = format!("a block's header has {HEADER_BYTES} bytes, here are {}", bytes.len());
            return Err(corrupt(bytes.len(), problem));
        }
        if bytes[..MAGIC.len()] != MAGIC {
            let found = hex(&bytes[..MAGIC.len()]);
            return Err(corrupt(0, format!("a block begins with {}, here is {found}", hex(&MAGIC))));
        }
        let field = |at: usize| {
            let raw = bytes[at..].first_chunk().expect("the header is longer than its fields");
            u64::try_from(i64::from_be_bytes(*raw)).map_err(|_| corrupt(at, "a negative number".to_owned()))
        };
        let header_bytes = field(HEADER_LENGTH_AT)?;
        if header_bytes != HEADER_BYTES {
            let problem = format!("a block's header has {HEADER_BYTES} bytes, this says {header_bytes}");
            return Err(corrupt(HEADER_LENGTH_AT, problem));
        }
        let header = Self { block_bytes: field(BLOCK_LENGTH_AT)?, first_entry_id: field(FIRST_ENTRY_AT)? };
        if header.block_bytes < HEADER_BYTES {
            return Err(corrupt(BLOCK_LENGTH_AT, format!("the block has {} bytes", header.block_bytes)));
        }
        Ok(header)
    }
}

/// What stands where an entry may begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// An entry.
    Entry {
        /// Its payload's length in bytes.
        payload_bytes: u32,
        /// Its id.
        entry_id: i64,
    },
    /// No entry: padding, or the next block's header.
    BlockEnd,
}

impl Frame {
    /// Reads what `bytes` begin with; `None` where they are too few to tell.
    #[inline]
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first_chunk::<LENGTH_BYTES>()?;
        let Ok(payload_bytes) = u32::try_from(i32::from_be_bytes(*length)) else { return Some(Self::BlockEnd) };
        let (entry_id, _) = rest.split_first_chunk::<ENTRY_ID_BYTES>()?;
        Some(Self::Entry { payload_bytes, entry_id: i64::from_be_bytes(*entry_id) })
    }
}

/// What stands in front of a payload.
pub fn frame_head(entry_id: u64, payload_bytes: u32) -> [u8; FRAME_HEAD_BYTES as usize] {
    let mut head = [0; FRAME_HEAD_BYTES as usize];
    head[..LENGTH_BYTES].copy_from_slice(&payload_bytes.to_be_bytes());
    head[LENGTH_BYTES..].copy_from_slice(&entry_id.to_be_bytes());
    head
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_has_the_originals_bytes_and_comes_back() {
        let header = BlockHeader { block_bytes: 0xe50, first_entry_id: 7 };
        let bytes = header.encode();
        assert_eq!(hex(&bytes[..28]), "fbdbabcb00000000000000800000000000000e500000000000000007");
        assert!(bytes[28..].iter().all(|byte| *byte == 0));
        assert_eq!(BlockHeader::decode("o", 0, &bytes), Ok(header));
    }

    #[test]
    fn a_header_that_is_none_is_refused_with_its_place() {
        let sound = BlockHeader { block_bytes: 200, first_entry_id: 7 }.encode();
        for (at, expected) in [(0, 1000), (4, 1004), (11, 1004), (12, 1012), (20, 1020)] {
            let mut bytes = sound;
            bytes[at] ^= 0x80;
            let error = BlockHeader::decode("o", 1000, &bytes).unwrap_err();
            assert!(matches!(&error, Error::Corrupt { offset, .. } if *offset == expected), "{at}: {error}");
        }
        assert!(BlockHeader::decode("o", 0, &sound[..127]).is_err());
    }

    #[test]
    fn padding_and_headers_are_no_entries() {
        assert_eq!(Frame::decode(&PADDING), Some(Frame::BlockEnd));
        assert_eq!(Frame::decode(&MAGIC), Some(Frame::BlockEnd));
        for padding in 1..4 {
            let mut bytes = PADDING[..padding].to_vec();
            bytes.extend(MAGIC);
            assert_eq!(Frame::decode(&bytes), Some(Frame::BlockEnd));
        }
        assert_eq!(Frame::decode(&frame_head(9, 4)), Some(Frame::Entry { payload_bytes: 4, entry_id: 9 }));
        assert_eq!(Frame::decode(&frame_head(9, 4)[..11]), None);
    }
}
