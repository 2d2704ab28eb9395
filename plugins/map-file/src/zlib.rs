//! Whole zlib streams (RFC 1950), as Hadoop's `DefaultCodec` writes them, with every output bounded before it is made.
//!
//! Each stream is in memory from end to end, and what it holds is known or bounded, so one call takes the whole of it.

use std::fmt;

use bytes::Bytes;
use libdeflater::{CompressionLvl, Compressor, DecompressionError, Decompressor, adler32};

/// No deflate stream inflates to more than this many times its length: a longer claim needs no memory to be refused.
const RATIO_MAX: u64 = 1032;
/// Room for a stream's fixed parts in the check above, in bytes.
const RATIO_SLACK_BYTES: u64 = 64;
/// Where the length of an output is not known, it is first taken to be so many times the stream's.
const RATIO_EXPECTED: u64 = 4;
/// Length of the count before the bytes of a serialised `BytesWritable`.
pub(crate) const COUNT_BYTES: usize = 4;
/// Length of the Adler-32 of the output at a stream's end.
const ADLER_BYTES: usize = 4;

/// What is wrong with a stream; the caller knows file and offset.
pub(crate) type Problem = String;

/// Inflates one stream after the other.
pub(crate) struct Inflater {
    decompressor: Decompressor,
    /// The last output whose length was not known before.
    scratch: Vec<u8>,
}

impl fmt::Debug for Inflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inflater").field("scratch_bytes", &self.scratch.len()).finish_non_exhaustive()
    }
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { decompressor: Decompressor::new(), scratch: Vec::new() }
    }

    /// The output of `stream`, which must have exactly `len` bytes.
    pub(crate) fn exactly(&mut self, stream: &[u8], len: u64) -> Result<Vec<u8>, Problem> {
        if len > most_output(stream) {
            return Err(format!("{} compressed bytes cannot hold {len} bytes", stream.len()));
        }
        let mut out = vec![0; len as usize];
        match self.decompressor.zlib_decompress(stream, &mut out) {
            Ok(found) if found as u64 == len => check_end(stream, &out).map(|()| out),
            Ok(found) => Err(format!("a compressed buffer ends after {found} bytes, expected {len}")),
            Err(DecompressionError::InsufficientSpace) => Err(goes_on(len)),
            Err(DecompressionError::BadData) => Err(damaged()),
        }
    }

    /// The output of `stream`, which must have between `least` and `most` bytes.
    pub(crate) fn between(&mut self, stream: &[u8], least: u64, most: u64) -> Result<&[u8], Problem> {
        let out = self.at_most(stream, most)?;
        if (out.len() as u64) < least {
            return Err(format!("a compressed buffer has {} bytes, expected {least} to {most}", out.len()));
        }
        Ok(out)
    }

    /// The bytes of a serialised `BytesWritable` (i32 big-endian count, then as many bytes) that is the whole of `stream`.
    pub(crate) fn counted(&mut self, stream: &[u8], len_max: u64) -> Result<Bytes, Problem> {
        let out = self.at_most(stream, len_max.saturating_add(COUNT_BYTES as u64))?;
        let (count, value) = out.split_first_chunk().ok_or("a compressed value has no count")?;
        let count = i32::from_be_bytes(*count);
        if i64::from(count) != value.len() as i64 {
            return Err(format!("a compressed value of {} bytes has the count {count}", value.len()));
        }
        Ok(Bytes::copy_from_slice(value))
    }

    /// The output of `stream`, which must have at most `most` bytes.
    fn at_most(&mut self, stream: &[u8], most: u64) -> Result<&[u8], Problem> {
        let possible = most.min(most_output(stream));
        let mut room = (stream.len() as u64 * RATIO_EXPECTED).max(self.scratch.len() as u64).min(possible);
        loop {
            self.scratch.resize(room as usize, 0);
            match self.decompressor.zlib_decompress(stream, &mut self.scratch) {
                Ok(len) => {
                    let out = &self.scratch[..len];
                    return check_end(stream, out).map(|()| out);
                }
                Err(DecompressionError::InsufficientSpace) if room < possible => room = (room * 2).min(possible),
                Err(DecompressionError::InsufficientSpace) => return Err(goes_on(possible)),
                Err(DecompressionError::BadData) => return Err(damaged()),
            }
        }
    }
}

/// Checks that no byte follows the end of `stream`, which inflated to `out`: its last bytes are then the output's Adler-32.
fn check_end(stream: &[u8], out: &[u8]) -> Result<(), Problem> {
    let ends = stream.last_chunk::<ADLER_BYTES>().map(|last| u32::from_be_bytes(*last));
    if ends == Some(adler32(out)) { Ok(()) } else { Err("bytes follow the end of a compressed buffer".to_owned()) }
}

fn most_output(stream: &[u8]) -> u64 {
    (stream.len() as u64).saturating_mul(RATIO_MAX).saturating_add(RATIO_SLACK_BYTES)
}

fn goes_on(len: u64) -> Problem {
    format!("a compressed buffer goes on after the {len} bytes expected")
}

fn damaged() -> Problem {
    "a compressed buffer is not a whole zlib stream, or not what its Adler-32 is of".to_owned()
}

/// Deflates one buffer after the other, each to a stream of its own.
pub(crate) struct Deflater {
    compressor: Compressor,
    /// What is deflated where it comes in two pieces.
    joined: Vec<u8>,
}

impl fmt::Debug for Deflater {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deflater").finish_non_exhaustive()
    }
}

impl Deflater {
    /// `level` is zlib's, 0 to 9.
    pub(crate) fn new(level: u32) -> Self {
        let level = CompressionLvl::new(level.min(9) as i32).unwrap_or_default();
        Self { compressor: Compressor::new(level), joined: Vec::new() }
    }

    /// Replaces `out` by the stream of `bytes`.
    pub(crate) fn deflate(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.resize(self.compressor.zlib_compress_bound(bytes.len()), 0);
        let len = self.compressor.zlib_compress(bytes, out).expect("the bound is room for any input");
        out.truncate(len);
    }

    /// Replaces `out` by the stream of `head` followed by `body`.
    pub(crate) fn deflate_both(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) {
        let mut joined = std::mem::take(&mut self.joined);
        joined.clear();
        joined.extend_from_slice(head);
        joined.extend_from_slice(body);
        self.deflate(&joined, out);
        self.joined = joined;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::new(6).deflate(bytes, &mut out);
        out
    }

    fn samples() -> Vec<Vec<u8>> {
        let mut random = fastrand::Rng::with_seed(1);
        let noise = |random: &mut fastrand::Rng, len| (0..len).map(|_| random.u8(..)).collect::<Vec<u8>>();
        vec![vec![], vec![1], vec![0; 100_000], noise(&mut random, 1000), noise(&mut random, 300_000)]
    }

    #[test]
    fn streams_come_back_by_each_way_of_reading() {
        let (mut inflater, mut deflater) = (Inflater::new(), Deflater::new(6));
        for bytes in samples() {
            let stream = deflated(&bytes);
            let len = bytes.len() as u64;
            assert_eq!(inflater.exactly(&stream, len).unwrap(), bytes);
            assert_eq!(inflater.between(&stream, 0, 1 << 20).unwrap(), bytes);
            assert_eq!(inflater.between(&stream, len, len).unwrap(), bytes);
            let mut counted = Vec::new();
            deflater.deflate_both(&(bytes.len() as i32).to_be_bytes(), &bytes, &mut counted);
            assert_eq!(inflater.counted(&counted, len).unwrap(), bytes);
            if len > 0 {
                assert!(inflater.counted(&counted, len - 1).is_err());
                assert!(inflater.exactly(&stream, len - 1).is_err());
                assert!(inflater.between(&stream, 0, len - 1).is_err());
            }
            assert!(inflater.exactly(&stream, len + 1).is_err());
            assert!(inflater.between(&stream, len + 1, len + 9).is_err());
        }
    }

    #[test]
    fn cut_lengthened_and_damaged_streams_are_errors() {
        let mut inflater = Inflater::new();
        for bytes in samples().into_iter().take(4) {
            let stream = deflated(&bytes);
            let len = bytes.len() as u64;
            for cut in 0..stream.len() {
                assert!(inflater.exactly(&stream[..cut], len).is_err());
                assert!(inflater.between(&stream[..cut], 0, 1 << 20).is_err());
            }
            let mut longer = stream.clone();
            longer.push(0);
            assert!(inflater.exactly(&longer, len).is_err());
            assert!(inflater.between(&longer, 0, 1 << 20).is_err());
            for at in 0..stream.len() {
                let mut damaged = stream.clone();
                damaged[at] ^= 4;
                if let Ok(read) = inflater.exactly(&damaged, len) {
                    assert_eq!(read, bytes, "byte {at} flipped");
                }
            }
        }
    }

    #[test]
    fn a_bomb_is_refused_before_memory_is_taken() {
        let mut inflater = Inflater::new();
        let stream = deflated(&vec![0; 10 << 20]);
        let problem = inflater.between(&stream, 0, 1 << 20).unwrap_err();
        assert!(problem.contains("goes on after"), "{problem}");
        assert!(inflater.exactly(&[0x78, 0x9c], u64::MAX).unwrap_err().contains("cannot hold"));
    }
}
