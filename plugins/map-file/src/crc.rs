//! The CRC-32 of a run of chunks, computed from the checksums of its chunks: one pass over a long run is several times
//! faster than one over each of its chunks, and either both agree or some chunk does not match.
//!
//! A CRC is linear: `crc(a ++ b) = shift(crc(a)) ^ crc(b)`, where `shift` depends on the length of `b` alone. It has an
//! inverse, so one damaged chunk always changes the whole; several may cancel each other once in 2^32 times.

use crc32fast::Hasher;

/// Appends chunks of one length to a CRC.
#[derive(Debug)]
pub(crate) struct Joiner {
    /// `shift` of each value of each byte of a CRC, least significant byte first.
    shift: Box<[[u32; 256]; 4]>,
}

impl Joiner {
    /// For chunks of `chunk_bytes`.
    pub(crate) fn new(chunk_bytes: u64) -> Self {
        let of_bit = |bit: usize| {
            let mut crc = Hasher::new_with_initial_len(1 << bit, 0);
            crc.combine(&Hasher::new_with_initial_len(0, chunk_bytes));
            crc.finalize()
        };
        let bits: [u32; 32] = std::array::from_fn(of_bit);
        let of_byte = |byte: usize, value: usize| {
            let set = (0..8).filter(|bit| value >> bit & 1 == 1);
            set.fold(0, |sum, bit| sum ^ bits[8 * byte + bit])
        };
        Self { shift: Box::new(std::array::from_fn(|byte| std::array::from_fn(|value| of_byte(byte, value)))) }
    }

    /// The CRC of chunks whose own CRCs are these.
    pub(crate) fn join(&self, crcs: impl Iterator<Item = u32>) -> u32 {
        crcs.fold(0, |sum, crc| self.shift(sum) ^ crc)
    }

    #[inline]
    fn shift(&self, crc: u32) -> u32 {
        let [a, b, c, d] = crc.to_le_bytes().map(usize::from);
        self.shift[0][a] ^ self.shift[1][b] ^ self.shift[2][c] ^ self.shift[3][d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_crc_of_a_run_follows_from_those_of_its_chunks() {
        let mut random = fastrand::Rng::with_seed(1);
        for chunk_bytes in [1, 7, 512, 4096] {
            let joiner = Joiner::new(chunk_bytes as u64);
            for chunks in [0, 1, 2, 33] {
                let run: Vec<u8> = (0..chunks * chunk_bytes).map(|_| random.u8(..)).collect();
                let joined = joiner.join(run.chunks(chunk_bytes).map(crc32fast::hash));
                assert_eq!(joined, crc32fast::hash(&run), "{chunks} chunks of {chunk_bytes}");
            }
        }
    }
}
