//! The checksum of a SEND frame's headers and payload.
//!
//! CRC-32C (Castagnoli) over everything after the checksum field, from Pulsar `Commands`. An entry without one is legal.

use crate::topic::message::{self, MessageError};

/// Why an entry is not accepted from a producer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChecksumError {
    /// The bytes changed on their way.
    #[error("checksum is {found:08x}, the producer sent {expected:08x}")]
    Mismatch {
        /// Sent along.
        expected: u32,
        /// Of the bytes received.
        found: u32,
    },
    /// The sections of the entry contradict each other.
    #[error(transparent)]
    Malformed(#[from] MessageError),
}

/// Checks that `entry` has the sections of a message, and its checksum where it has one.
pub fn verify(entry: &[u8]) -> Result<(), ChecksumError> {
    let layout = message::Layout::of(entry)?;
    let Some(expected) = layout.checksum else { return Ok(()) };
    let found = crc32c::crc32c(&entry[layout.checked_from..]);
    if found == expected { Ok(()) } else { Err(ChecksumError::Mismatch { expected, found }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topic::message::tests::entry;

    #[test]
    fn the_checksum_is_castagnoli() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = entry(b"payload", |_| {});
        assert_eq!(verify(&good), Ok(()));
        for bit in 0..good.len() * 8 {
            let mut bad = good.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(verify(&bad).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn an_entry_without_checksum_is_legal() {
        let with = entry(b"payload", |_| {});
        assert_eq!(verify(&with[6..]), Ok(()));
    }
}
