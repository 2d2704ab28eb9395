//! What every metadata store agrees on: when a write may happen, what it makes, and the bytes of a stored record.
//!
//! A stored record is version, created and modified (little-endian u64 each), a little-endian CRC32C of key, these and the
//! value, then the value. redb looks at its own checksums after a crash only, so each record carries one.

use super::{Expect, MetadataError, Record};

/// Bytes of version and times.
const NUMBERS_BYTES: usize = 8 + 8 + 8;
/// Bytes before the owner's value.
const FRONT_BYTES: usize = NUMBERS_BYTES + 4;

/// Whether `found` is what the writer expects.
///
/// # Errors
/// `Conflict`, naming the record and both versions.
pub(super) fn check(key: &str, found: Option<&Record>, expect: Expect) -> Result<(), MetadataError> {
    let found = found.map(|record| record.version);
    let holds = match expect {
        Expect::Anything => true,
        Expect::Absent => found.is_none(),
        Expect::Version(version) => found == Some(version),
    };
    let conflict = || MetadataError::Conflict { key: key.to_owned(), expected: expect, found };
    holds.then_some(()).ok_or_else(conflict)
}

/// The record that takes the place of `found`.
pub(super) fn successor(found: Option<&Record>, value: Vec<u8>, now_ms: u64) -> Record {
    match found {
        None => Record { value, version: 0, created_ms: now_ms, modified_ms: now_ms },
        Some(old) => Record { value, version: old.version + 1, created_ms: old.created_ms, modified_ms: now_ms },
    }
}

/// The bytes of a record.
pub(super) fn encode(key: &str, record: &Record) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(FRONT_BYTES + record.value.len());
    for number in [record.version, record.created_ms, record.modified_ms] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    let crc = checksum(key, &bytes, &record.value);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes.extend_from_slice(&record.value);
    bytes
}

fn checksum(key: &str, numbers: &[u8], value: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(key.as_bytes()), numbers), value)
}

/// Reads what [`encode`] wrote under the same key.
///
/// # Errors
/// `Failed` where the bytes are too few or not those that were written; names the record.
pub(super) fn decode(key: &str, bytes: &[u8]) -> Result<Record, MetadataError> {
    let damaged = |problem: &str| {
        Err(MetadataError::Failed(format!("metadata record {key} is damaged: {problem}; restore the file from a copy")))
    };
    if bytes.len() < FRONT_BYTES {
        return damaged("it is too short");
    }
    let (front, value) = bytes.split_at(FRONT_BYTES);
    let (numbers, crc) = front.split_at(NUMBERS_BYTES);
    if checksum(key, numbers, value).to_le_bytes() != *crc {
        return damaged("its checksum does not match");
    }
    let number = |at: usize| {
        u64::from_le_bytes(numbers[at..at + 8].try_into().expect("a slice of eight bytes is an array of eight"))
    };
    Ok(Record { value: value.to_vec(), version: number(0), created_ms: number(8), modified_ms: number(16) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_comes_back_from_its_bytes_and_damaged_ones_are_refused() {
        let record = Record { value: b"v".to_vec(), version: 1, created_ms: 2, modified_ms: 3 };
        let bytes = encode("k", &record);
        assert_eq!(decode("k", &bytes), Ok(record));
        assert!(decode("l", &bytes).is_err(), "the record of another key");
        for end in 0..bytes.len() {
            assert!(matches!(decode("k", &bytes[..end]), Err(MetadataError::Failed(_))));
        }
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode("k", &flipped).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn a_write_happens_only_where_the_writer_is_right() {
        let found = Record { value: Vec::new(), version: 4, created_ms: 0, modified_ms: 0 };
        let cases = [
            (None, Expect::Absent, true),
            (None, Expect::Version(0), false),
            (None, Expect::Anything, true),
            (Some(&found), Expect::Absent, false),
            (Some(&found), Expect::Version(4), true),
            (Some(&found), Expect::Version(3), false),
            (Some(&found), Expect::Anything, true),
        ];
        for (found, expect, holds) in cases {
            assert_eq!(check("k", found, expect).is_ok(), holds, "{found:?} {expect:?}");
        }
    }
}
