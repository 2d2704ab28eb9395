//! CRC32C: of bytes that come one run after the other, and of what such sums say of each other.

use crc_fast::{CrcAlgorithm, Digest, checksum_combine};

const CRC32C: CrcAlgorithm = CrcAlgorithm::Crc32Iscsi;

/// CRC32C of some bytes.
pub fn of(bytes: &[u8]) -> u32 {
    append(0, bytes)
}

/// CRC32C of some bytes and `bytes` behind them, where that of the former is `before`.
#[inline]
pub fn append(before: u32, bytes: &[u8]) -> u32 {
    // The checksum is the register's complement.
    let mut digest = Digest::new_with_init_state(CRC32C, u64::from(!before));
    digest.update(bytes);
    digest.finalize() as u32
}

/// CRC32C of two runs one behind the other, the second of `second_bytes`. Takes microseconds, however long they are.
pub fn joined(first: u32, second: u32, second_bytes: u64) -> u32 {
    checksum_combine(CRC32C, first.into(), second.into(), second_bytes) as u32
}

/// CRC32C of the last `len` bytes of some whose checksum is `all`, where that of the bytes before them is `before`.
pub fn behind(before: u32, all: u32, len: u64) -> u32 {
    joined(before, 0, len) ^ all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_those_of_another_implementation_and_follow_from_each_other() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at.wrapping_mul(at) as u8).collect();
        for (start, end) in [(0, 0), (0, 10), (1, 1), (7, 64), (3, 1039), (12_345, 100_000), (0, 100_000)] {
            let (before, all, these) = (of(&bytes[..start]), of(&bytes[..end]), of(&bytes[start..end]));
            assert_eq!(these, crc32c::crc32c(&bytes[start..end]), "{start}..{end}");
            assert_eq!(append(before, &bytes[start..end]), all, "{start}..{end}");
            assert_eq!(joined(before, these, (end - start) as u64), all, "{start}..{end}");
            assert_eq!(behind(before, all, (end - start) as u64), these, "{start}..{end}");
        }
    }
}
