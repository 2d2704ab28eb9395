//! Whole zlib streams (RFC 1950), as Hadoop's `DefaultCodec` writes them, with every output bounded before it is made.

use bytes::Bytes;
use flate2::{Compress, Decompress, FlushCompress, FlushDecompress, Status};

/// No deflate stream inflates to more than this many times its length: a longer claim needs no memory to be refused.
const RATIO_MAX: u64 = 1032;
/// Room for a stream's fixed parts in the check above, in bytes.
const RATIO_SLACK_BYTES: u64 = 64;
/// Length of the count before the bytes of a serialised `BytesWritable`.
pub(crate) const COUNT_BYTES: usize = 4;
/// Room that the output of a deflate call is given beyond its input, in bytes.
const DEFLATE_SLACK_BYTES: usize = 128;

/// What is wrong with a stream; the caller knows file and offset.
pub(crate) type Problem = String;

/// Inflates one stream after the other.
#[derive(Debug)]
pub(crate) struct Inflater {
    state: Decompress,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { state: Decompress::new(true) }
    }

    /// The output of `stream`, which must have exactly `len` bytes.
    pub(crate) fn exactly(&mut self, stream: &[u8], len: u64) -> Result<Vec<u8>, Problem> {
        check_ratio(stream, len)?;
        self.state.reset(true);
        let mut out = Vec::with_capacity(len as usize);
        self.fill(stream, &mut out)?;
        self.end(stream, len)?;
        Ok(out)
    }

    /// The output of `stream`, which must have between `least` and `most` bytes.
    pub(crate) fn between(&mut self, stream: &[u8], least: u64, most: u64) -> Result<Vec<u8>, Problem> {
        check_ratio(stream, least)?;
        self.state.reset(true);
        let most = most.min(most_output(stream));
        let mut out = Vec::with_capacity(least as usize);
        loop {
            if self.inflate_once(stream, &mut out)? == Status::StreamEnd {
                break;
            }
            if out.len() < out.capacity() {
                return Err(ends_early(out.len() as u64));
            }
            if out.len() as u64 >= most {
                // The output may be complete with only the stream's end left to be read.
                self.end(stream, out.len() as u64)?;
                break;
            }
            out.reserve_exact(out.len().clamp(64, (most as usize - out.len()).max(64)));
        }
        let len = out.len() as u64;
        if len < least || len > most {
            return Err(format!("a compressed buffer has {len} bytes, expected {least} to {most}"));
        }
        self.end(stream, len)?;
        Ok(out)
    }

    /// The bytes of a serialised `BytesWritable` (i32 big-endian count, then as many bytes) that is the whole of `stream`.
    pub(crate) fn counted(&mut self, stream: &[u8], len_max: u64) -> Result<Bytes, Problem> {
        self.state.reset(true);
        let mut count = [0; COUNT_BYTES];
        self.fill_slice(stream, &mut count)?;
        let count = i32::from_be_bytes(count);
        let len = u64::try_from(count).map_err(|_| format!("a compressed value has the length {count}"))?;
        if len > len_max {
            return Err(format!("a compressed value has {len} bytes, at most {len_max} are read"));
        }
        check_ratio(stream, len)?;
        let mut out = Vec::with_capacity(len as usize);
        self.fill(stream, &mut out)?;
        self.end(stream, COUNT_BYTES as u64 + len)?;
        Ok(Bytes::from(out))
    }

    /// Inflates until the capacity of `out` is used up.
    fn fill(&mut self, stream: &[u8], out: &mut Vec<u8>) -> Result<(), Problem> {
        let wanted = out.capacity();
        while out.len() < wanted {
            let before = out.len();
            if self.inflate_once(stream, out)? == Status::StreamEnd || out.len() == before {
                break;
            }
        }
        if out.len() < wanted { Err(ends_early(out.len() as u64)) } else { Ok(()) }
    }

    fn fill_slice(&mut self, stream: &[u8], out: &mut [u8]) -> Result<(), Problem> {
        let status = self.state.decompress(self.rest(stream), out, FlushDecompress::None).map_err(damaged)?;
        let made = self.state.total_out();
        if made < out.len() as u64 && matches!(status, Status::Ok | Status::StreamEnd | Status::BufError) {
            return Err(ends_early(made));
        }
        Ok(())
    }

    fn inflate_once(&mut self, stream: &[u8], out: &mut Vec<u8>) -> Result<Status, Problem> {
        self.state.decompress_vec(self.rest(stream), out, FlushDecompress::None).map_err(damaged)
    }

    /// Checks that `stream` ends here: nothing more comes out, its Adler-32 matches, no byte follows.
    fn end(&mut self, stream: &[u8], expected_out: u64) -> Result<(), Problem> {
        let mut beyond = [0; 1];
        if self.state.total_in() < stream.len() as u64 {
            self.state.decompress(self.rest(stream), &mut beyond, FlushDecompress::Finish).map_err(damaged)?;
        }
        // Asking once more tells an ended stream from one that is waiting for input.
        let status = self.state.decompress(&[], &mut beyond, FlushDecompress::Finish);
        if self.state.total_out() != expected_out {
            return Err(format!("a compressed buffer goes on after the {expected_out} bytes expected"));
        }
        if !matches!(status, Ok(Status::StreamEnd)) {
            return Err(ends_early(expected_out));
        }
        if self.state.total_in() != stream.len() as u64 {
            let surplus = stream.len() as u64 - self.state.total_in();
            return Err(format!("{surplus} bytes follow the end of a compressed buffer"));
        }
        Ok(())
    }

    fn rest<'a>(&self, stream: &'a [u8]) -> &'a [u8] {
        &stream[self.state.total_in() as usize..]
    }
}

fn most_output(stream: &[u8]) -> u64 {
    (stream.len() as u64).saturating_mul(RATIO_MAX).saturating_add(RATIO_SLACK_BYTES)
}

fn check_ratio(stream: &[u8], len: u64) -> Result<(), Problem> {
    if len > most_output(stream) {
        return Err(format!("{} compressed bytes cannot hold {len} bytes", stream.len()));
    }
    Ok(())
}

fn damaged(error: flate2::DecompressError) -> Problem {
    format!("a compressed buffer is not a zlib stream: {error}")
}

fn ends_early(len: u64) -> Problem {
    format!("a compressed buffer ends after {len} bytes, more were expected")
}

/// Deflates one buffer after the other, each to a stream of its own.
#[derive(Debug)]
pub(crate) struct Deflater {
    state: Compress,
}

impl Deflater {
    pub(crate) fn new(level: u32) -> Self {
        Self { state: Compress::new(flate2::Compression::new(level), true) }
    }

    /// Replaces `out` by the stream of `head` followed by `body`.
    pub(crate) fn deflate(&mut self, head: &[u8], body: &[u8], out: &mut Vec<u8>) {
        self.state.reset();
        out.clear();
        out.reserve(head.len() + body.len() + body.len() / 1024 + DEFLATE_SLACK_BYTES);
        self.feed(head, FlushCompress::None, head.len() as u64, out);
        self.feed(body, FlushCompress::Finish, (head.len() + body.len()) as u64, out);
    }

    fn feed(&mut self, input: &[u8], flush: FlushCompress, end: u64, out: &mut Vec<u8>) {
        loop {
            let rest = &input[input.len() - (end - self.state.total_in()) as usize..];
            let status = self.state.compress_vec(rest, out, flush).expect("deflate has no failing input");
            let taken = self.state.total_in() == end;
            match (flush, status) {
                (FlushCompress::None, _) if taken => return,
                (_, Status::StreamEnd) => return,
                _ => out.reserve(out.capacity().max(DEFLATE_SLACK_BYTES)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        Deflater::new(6).deflate(&[], bytes, &mut out);
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
            deflater.deflate(&(bytes.len() as i32).to_be_bytes(), &bytes, &mut counted);
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
