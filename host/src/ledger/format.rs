//! The bytes of a segment file: header, records, offset index and footer. Pure; knows no file.
//!
//! All numbers are little-endian. docs/formats/segment-file.md draws the layout. Nothing here panics on foreign bytes, and
//! no length read from a file is used before it was compared with what the file holds.

use std::path::Path;

use super::offsets::Offsets;
use crate::storage::{LedgerId, ReadError};

/// First bytes of each segment file.
pub(super) const HEADER_MAGIC: [u8; 8] = *b"LSHSEGMT";
/// Version of the form. A reader refuses every other.
pub(super) const FORMAT_VERSION: u32 = 1;
/// Bytes of a header before the managed ledger's name.
pub(super) const HEADER_FIXED_BYTES: usize = 8 + 4 + 4 + 8 + 8 + 4;
/// Longest managed ledger name, bytes.
pub(super) const NAME_BYTES_MAX: usize = 64 * 1024;
const CRC_BYTES: usize = 4;

/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER_BYTES: usize = 4 + 8 + CRC_BYTES;
/// Bytes of a record's header that its checksum covers.
const RECORD_CHECKED_BYTES: usize = RECORD_HEADER_BYTES - CRC_BYTES;
/// Longest payload of one entry, bytes. Far above the protocol's maximum; guards against nonsense.
pub(super) const ENTRY_BYTES_MAX: usize = 128 << 20;

/// First bytes of the footer's fixed part.
pub(super) const FOOTER_MAGIC: [u8; 8] = *b"LSHSEAL\x01";
/// Bytes of the footer's fixed part, which ends the file.
pub(super) const FOOTER_FIXED_BYTES: usize = 8 + 8 + 8 + 8 + 8 + CRC_BYTES + CRC_BYTES;
/// Bytes of one entry in the offset index.
pub(super) const INDEX_ENTRY_BYTES: u64 = 4;

/// What does not match, and where in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Damage {
    /// Bytes from the start of the file.
    pub(super) offset: u64,
    /// What was found, against what was expected.
    pub(super) problem: String,
}

impl Damage {
    /// Damage at `offset`.
    pub(super) fn new(offset: u64, problem: impl Into<String>) -> Self {
        Self { offset, problem: problem.into() }
    }

    /// As the seam's error, naming the file.
    pub(super) fn in_file(self, path: &Path) -> ReadError {
        ReadError::Corrupt { place: path.display().to_string(), offset: self.offset, problem: self.problem }
    }
}

/// What a segment file says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The ledger.
    pub(super) ledger_id: LedgerId,
    /// When it was created, milliseconds since 1970.
    pub(super) created_ms: u64,
    /// Whose ledger it is.
    pub(super) managed_ledger: String,
}

impl SegmentHeader {
    /// Length of the encoded header in bytes.
    pub(super) fn len_bytes(&self) -> u64 {
        (HEADER_FIXED_BYTES + self.managed_ledger.len() + CRC_BYTES) as u64
    }

    /// The header's bytes. The caller has checked the name against [`NAME_BYTES_MAX`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let name = self.managed_ledger.as_bytes();
        let mut bytes = Vec::with_capacity(self.len_bytes() as usize);
        bytes.extend_from_slice(&HEADER_MAGIC);
        bytes.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
        bytes.extend_from_slice(&(self.len_bytes() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.ledger_id.0.to_le_bytes());
        bytes.extend_from_slice(&self.created_ms.to_le_bytes());
        bytes.extend_from_slice(&(name.len() as u32).to_le_bytes());
        bytes.extend_from_slice(name);
        let crc = crc32c::crc32c(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// How long the header is that begins with `fixed`, in bytes; at most [`NAME_BYTES_MAX`] and a little.
    pub(super) fn len_from(fixed: &[u8]) -> Result<usize, Damage> {
        if fixed.len() < HEADER_FIXED_BYTES {
            return Err(Damage::new(0, format!("{} bytes are too few for a segment header", fixed.len())));
        }
        if fixed[..8] != HEADER_MAGIC {
            return Err(Damage::new(0, "the first bytes are not those of a segment file"));
        }
        let version = u32_at(fixed, 8);
        if version != FORMAT_VERSION {
            return Err(Damage::new(8, format!("segment format {version} is unknown, this version reads 1")));
        }
        let (whole, name) = (u32_at(fixed, 12) as usize, u32_at(fixed, 32) as usize);
        if name > NAME_BYTES_MAX || whole != HEADER_FIXED_BYTES + name + CRC_BYTES {
            return Err(Damage::new(12, format!("header length {whole} does not fit a name of {name} bytes")));
        }
        Ok(whole)
    }

    /// Reads a header from the front of `bytes`, which may be longer.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, Damage> {
        let whole = Self::len_from(bytes)?;
        if bytes.len() < whole {
            return Err(Damage::new(bytes.len() as u64, "the file ends within its header"));
        }
        let name_end = whole - CRC_BYTES;
        if crc32c::crc32c(&bytes[..name_end]) != u32_at(bytes, name_end) {
            return Err(Damage::new(0, "the header's checksum does not match"));
        }
        let name = std::str::from_utf8(&bytes[HEADER_FIXED_BYTES..name_end])
            .map_err(|_| Damage::new(HEADER_FIXED_BYTES as u64, "the managed ledger's name is not UTF-8"))?;
        Ok(Self {
            ledger_id: LedgerId(u64_at(bytes, 16)),
            created_ms: u64_at(bytes, 24),
            managed_ledger: name.to_owned(),
        })
    }
}

/// The fixed front of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    /// Bytes of payload.
    pub(super) length: u32,
    /// Place in the ledger.
    pub(super) entry_id: u64,
    crc: u32,
}

impl RecordHeader {
    /// The header's bytes for `payload`, checksum included. The checksum also covers the ledger's id, so that a record
    /// that strayed from another file is never taken for one of this ledger.
    pub(super) fn encode(ledger_id: LedgerId, entry_id: u64, payload: &[u8]) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        bytes[4..12].copy_from_slice(&entry_id.to_le_bytes());
        let crc = record_crc(ledger_id, &bytes[..RECORD_CHECKED_BYTES], payload);
        bytes[RECORD_CHECKED_BYTES..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// The header at the front of `bytes`, or `None` where they are too few. Nothing is verified yet.
    pub(super) fn peek(bytes: &[u8]) -> Option<Self> {
        (bytes.len() >= RECORD_HEADER_BYTES).then(|| Self {
            length: u32_at(bytes, 0),
            entry_id: u64_at(bytes, 4),
            crc: u32_at(bytes, RECORD_CHECKED_BYTES),
        })
    }

    /// Bytes of the whole record.
    pub(super) fn record_bytes(self) -> u64 {
        RECORD_HEADER_BYTES as u64 + u64::from(self.length)
    }
}

fn record_crc(ledger_id: LedgerId, checked: &[u8], payload: &[u8]) -> u32 {
    let crc = crc32c::crc32c(&ledger_id.0.to_le_bytes());
    crc32c::crc32c_append(crc32c::crc32c_append(crc, checked), payload)
}

/// Verifies the whole record `bytes` (header and payload, nothing more) against the entry that belongs here.
pub(super) fn check_record(ledger_id: LedgerId, entry_id: u64, bytes: &[u8]) -> Result<(), String> {
    let header = RecordHeader::peek(bytes).ok_or("the file ends within a record's header")?;
    if header.record_bytes() != bytes.len() as u64 {
        return Err(format!("record of entry {entry_id} says {} payload bytes, which does not fit", header.length));
    }
    if header.entry_id != entry_id {
        return Err(format!("record says entry {}, expected entry {entry_id}", header.entry_id));
    }
    let crc = record_crc(ledger_id, &bytes[..RECORD_CHECKED_BYTES], &bytes[RECORD_HEADER_BYTES..]);
    if crc != header.crc {
        return Err(format!("checksum of entry {entry_id} does not match"));
    }
    Ok(())
}

/// The fixed part of the footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Footer {
    /// Number of entries.
    pub(super) entry_count: u64,
    /// Sum of payload lengths in bytes.
    pub(super) length_bytes: u64,
    /// Where the offset index begins, which is where the last record ends.
    pub(super) index_offset: u64,
    index_crc: u32,
}

impl Footer {
    /// Offset index and footer, as they are appended by a seal.
    pub(super) fn encode(ledger_id: LedgerId, offsets: &Offsets) -> Vec<u8> {
        let index_bytes = offsets.entry_count() * INDEX_ENTRY_BYTES;
        let mut bytes = Vec::with_capacity(index_bytes as usize + FOOTER_FIXED_BYTES);
        for length in offsets.lengths() {
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        let index_crc = crc32c::crc32c(&bytes);
        let fixed_from = bytes.len();
        bytes.extend_from_slice(&FOOTER_MAGIC);
        bytes.extend_from_slice(&ledger_id.0.to_le_bytes());
        bytes.extend_from_slice(&offsets.entry_count().to_le_bytes());
        bytes.extend_from_slice(&offsets.length_bytes().to_le_bytes());
        bytes.extend_from_slice(&offsets.end_offset().to_le_bytes());
        bytes.extend_from_slice(&index_crc.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[fixed_from..]);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the last [`FOOTER_FIXED_BYTES`] of a file of `file_bytes`.
    pub(super) fn decode(bytes: &[u8], ledger_id: LedgerId, file_bytes: u64) -> Result<Self, Damage> {
        let at = file_bytes.saturating_sub(FOOTER_FIXED_BYTES as u64);
        if bytes.len() != FOOTER_FIXED_BYTES || bytes[..8] != FOOTER_MAGIC {
            return Err(Damage::new(at, "the file does not end with a footer"));
        }
        let crc_at = FOOTER_FIXED_BYTES - CRC_BYTES;
        if crc32c::crc32c(&bytes[..crc_at]) != u32_at(bytes, crc_at) {
            return Err(Damage::new(at, "the footer's checksum does not match"));
        }
        if u64_at(bytes, 8) != ledger_id.0 {
            return Err(Damage::new(at, format!("the footer is of ledger {}, not {ledger_id}", u64_at(bytes, 8))));
        }
        let footer = Self {
            entry_count: u64_at(bytes, 16),
            length_bytes: u64_at(bytes, 24),
            index_offset: u64_at(bytes, 32),
            index_crc: u32_at(bytes, 40),
        };
        let index_bytes = footer.entry_count.checked_mul(INDEX_ENTRY_BYTES);
        match index_bytes.and_then(|bytes| footer.index_offset.checked_add(bytes)) {
            Some(end) if end == at => Ok(footer),
            _ => Err(Damage::new(at, format!("{} entries do not fit the file's size", footer.entry_count))),
        }
    }

    /// Bytes of the offset index; already compared with the file's size.
    pub(super) fn index_bytes(&self) -> u64 {
        self.entry_count * INDEX_ENTRY_BYTES
    }

    /// Reads the offset index, whose first record begins at `first_offset`.
    pub(super) fn decode_index(&self, bytes: &[u8], first_offset: u64) -> Result<Offsets, Damage> {
        if bytes.len() as u64 != self.index_bytes() || crc32c::crc32c(bytes) != self.index_crc {
            return Err(Damage::new(self.index_offset, "the offset index's checksum does not match"));
        }
        let mut offsets = Offsets::with_capacity(first_offset, self.entry_count as usize);
        for length in bytes.chunks_exact(INDEX_ENTRY_BYTES as usize) {
            offsets.push(u32_at(length, 0));
        }
        if offsets.end_offset() != self.index_offset || offsets.length_bytes() != self.length_bytes {
            return Err(Damage::new(self.index_offset, "the offset index does not add up to the records' size"));
        }
        Ok(offsets)
    }
}

/// The little-endian number at `at`. The caller has checked the length.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("a slice of four bytes is an array of four"))
}

/// The little-endian number at `at`. The caller has checked the length.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("a slice of eight bytes is an array of eight"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> SegmentHeader {
        SegmentHeader { ledger_id: LedgerId(7), created_ms: 9, managed_ledger: "t/n/persistent/x".into() }
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_seen() {
        let bytes = header().encode();
        assert_eq!(bytes.len() as u64, header().len_bytes());
        assert_eq!(SegmentHeader::decode(&bytes).unwrap(), header());
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(SegmentHeader::decode(&flipped).is_err(), "bit {bit}");
        }
        for end in 0..bytes.len() {
            assert!(SegmentHeader::decode(&bytes[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn the_first_bytes_of_a_segment_are_as_documented() {
        let bytes = header().encode();
        assert_eq!(&bytes[..16], b"LSHSEGMT\x01\0\0\0\x38\0\0\0");
        assert_eq!(&bytes[16..36], b"\x07\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x10\0\0\0");
    }

    #[test]
    fn a_record_belongs_to_its_ledger_and_place() {
        let mut record = RecordHeader::encode(LedgerId(7), 3, b"abc").to_vec();
        record.extend_from_slice(b"abc");
        assert_eq!(check_record(LedgerId(7), 3, &record), Ok(()));
        assert!(check_record(LedgerId(8), 3, &record).is_err());
        assert!(check_record(LedgerId(7), 4, &record).is_err());
        assert!(check_record(LedgerId(7), 3, &record[..18]).is_err());
        assert!(check_record(LedgerId(0), 0, &[0; 16]).is_err(), "zeroes are no record");
    }

    #[test]
    fn a_footer_comes_back_and_every_flipped_bit_is_seen() {
        let mut offsets = Offsets::with_capacity(50, 0);
        [3, 0, 70].into_iter().for_each(|length| offsets.push(length));
        let bytes = Footer::encode(LedgerId(7), &offsets);
        let file_bytes = offsets.end_offset() + bytes.len() as u64;
        let read = |bytes: &[u8]| {
            let (index, fixed) = bytes.split_at(bytes.len() - FOOTER_FIXED_BYTES);
            Footer::decode(fixed, LedgerId(7), file_bytes)?.decode_index(index, 50)
        };
        assert_eq!(read(&bytes).unwrap(), offsets);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(read(&flipped).is_err(), "bit {bit}");
        }
    }
}
