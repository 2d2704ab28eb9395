//! The `.crc` side file that Hadoop's local file system keeps beside each file (`.data.crc` beside `data`), written and
//! verified: `63 72 63 00` ("crc", version 0), i32 bytes per checksum (512), then one CRC-32 for each chunk of that many
//! bytes, the last chunk being as short as the file makes it. Integers are big-endian.
//!
//! Invariant of [`Checked`]: no byte leaves it whose chunk does not match. Nothing is kept in memory: the checksums of the
//! chunks that a read touches are read with it.

use std::io::{self, Write};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

use crate::crc::Joiner;
use crate::error::{Error, Result};
use crate::source::Source;

const MAGIC: [u8; 4] = *b"crc\0";
/// Bytes that one checksum covers, as Hadoop's default `file.bytes-per-checksum`.
pub const CHUNK_BYTES: usize = 512;
const CHUNK_BYTES_FIELD: usize = 4;
/// Length of the side file's header in bytes.
const HEADER_BYTES: usize = MAGIC.len() + CHUNK_BYTES_FIELD;
/// Length of one checksum in bytes.
const CRC_BYTES: usize = 4;
/// Checksums are handed to their sink in pieces of about this many bytes.
const CRC_BUFFER_BYTES: usize = 16 * 1024;

/// The name of the side file of `file_name`.
pub fn side_file_name(file_name: &str) -> String {
    format!(".{file_name}.crc")
}

/// Passes bytes on to one sink and writes their checksums to another.
#[derive(Debug)]
pub struct ChecksumWriter<W, C> {
    sink: W,
    crc_sink: C,
    /// Of the chunk that is not full yet.
    open_chunk: crc32fast::Hasher,
    open_chunk_bytes: usize,
    crc_buffer: Vec<u8>,
}

impl<W: Write, C: Write> ChecksumWriter<W, C> {
    /// Bytes go to `sink`, the side file to `crc_sink`.
    pub fn new(sink: W, crc_sink: C) -> Self {
        let mut crc_buffer = Vec::with_capacity(CRC_BUFFER_BYTES + CRC_BYTES);
        crc_buffer.extend_from_slice(&MAGIC);
        crc_buffer.extend_from_slice(&(CHUNK_BYTES as u32).to_be_bytes());
        Self { sink, crc_sink, open_chunk: crc32fast::Hasher::new(), open_chunk_bytes: 0, crc_buffer }
    }

    /// Writes the last checksums and gives both sinks back, written to the end but not synced.
    ///
    /// # Errors
    /// The side file's sink failed.
    pub fn finish(mut self) -> io::Result<(W, C)> {
        if self.open_chunk_bytes > 0 {
            self.close_chunk();
        }
        self.crc_sink.write_all(&self.crc_buffer)?;
        Ok((self.sink, self.crc_sink))
    }

    fn close_chunk(&mut self) {
        let crc = std::mem::take(&mut self.open_chunk).finalize();
        self.open_chunk_bytes = 0;
        self.crc_buffer.extend_from_slice(&crc.to_be_bytes());
    }

    fn add(&mut self, mut bytes: &[u8]) {
        if self.open_chunk_bytes > 0 {
            let (head, rest) = bytes.split_at(bytes.len().min(CHUNK_BYTES - self.open_chunk_bytes));
            self.open_chunk.update(head);
            self.open_chunk_bytes += head.len();
            bytes = rest;
            if self.open_chunk_bytes == CHUNK_BYTES {
                self.close_chunk();
            }
        }
        let whole = bytes.chunks_exact(CHUNK_BYTES);
        let tail = whole.remainder();
        self.crc_buffer.extend(whole.flat_map(|chunk| crc32fast::hash(chunk).to_be_bytes()));
        if !tail.is_empty() {
            self.open_chunk.update(tail);
            self.open_chunk_bytes += tail.len();
        }
    }
}

impl<W: Write, C: Write> Write for ChecksumWriter<W, C> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.sink.write_all(bytes)?;
        self.add(bytes);
        if self.crc_buffer.len() >= CRC_BUFFER_BYTES {
            self.crc_sink.write_all(&self.crc_buffer)?;
            self.crc_buffer.clear();
        }
        Ok(bytes.len())
    }

    /// Flushes the bytes; the checksum of a chunk that is not full waits for [`finish`](Self::finish).
    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

/// A file whose chunks are verified against its side file on each read; without a side file, a plain one.
#[derive(Debug)]
pub struct Checked<S> {
    file: S,
    sums: Option<Sums<S>>,
}

#[derive(Debug)]
struct Sums<S> {
    side_file: S,
    chunk_bytes: u64,
    joiner: Arc<Joiner>,
}

impl<S: Source> Checked<S> {
    /// `file` as `side_file` vouches for it.
    ///
    /// # Errors
    /// `Corrupt` where the side file is not one, or does not have one checksum for each chunk of `file`.
    pub fn open(file: S, side_file: Option<S>) -> Result<Self> {
        let Some(side_file) = side_file else { return Ok(Self { file, sums: None }) };
        let name = side_file.name();
        if side_file.len() < HEADER_BYTES as u64 {
            return Err(Error::corrupt(name, side_file.len(), "a checksum file has a header of 8 bytes, it ends here"));
        }
        let header = side_file.read_at(0, HEADER_BYTES)?;
        if header[..MAGIC.len()] != MAGIC {
            return Err(Error::corrupt(name, 0, "a checksum file begins with `crc` and a zero byte"));
        }
        let chunk_bytes = be_u32(&header[MAGIC.len()..]);
        // Hadoop lets an operator choose another size; a foolish one would make each read huge.
        if !(1..=CHUNK_BYTES_MAX).contains(&chunk_bytes) {
            let problem = format!("{chunk_bytes} bytes per checksum; 1 to {CHUNK_BYTES_MAX} are read");
            return Err(Error::corrupt(name, MAGIC.len() as u64, problem));
        }
        let chunk_bytes = u64::from(chunk_bytes);
        let expected = HEADER_BYTES as u64 + file.len().div_ceil(chunk_bytes) * CRC_BYTES as u64;
        if side_file.len() != expected {
            let problem = format!(
                "it has {} bytes, the checksums of the {} bytes of {} take {expected}",
                side_file.len(),
                file.len(),
                file.name()
            );
            return Err(Error::corrupt(name, side_file.len().min(expected), problem));
        }
        let joiner =
            if chunk_bytes == CHUNK_BYTES as u64 { HADOOPS_JOINER.clone() } else { Arc::new(Joiner::new(chunk_bytes)) };
        Ok(Self { file, sums: Some(Sums { side_file, chunk_bytes, joiner }) })
    }

    /// Whether there is a side file.
    pub fn is_verified(&self) -> bool {
        self.sums.is_some()
    }
}

/// Made once: every file that we write, and nearly every other, has chunks of this length.
static HADOOPS_JOINER: LazyLock<Arc<Joiner>> = LazyLock::new(|| Arc::new(Joiner::new(CHUNK_BYTES as u64)));

/// The most bytes that one checksum may cover.
const CHUNK_BYTES_MAX: u32 = 1024 * 1024;

impl<S: Source> Source for Checked<S> {
    fn name(&self) -> &str {
        self.file.name()
    }

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn read_ahead_bytes_max(&self) -> usize {
        self.file.read_ahead_bytes_max()
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let Some(sums) = &self.sums else { return self.file.read_at(offset, len) };
        let end = offset.saturating_add(len as u64);
        if len == 0 || end > self.file.len() {
            return self.file.read_at(offset, len);
        }
        let chunk_bytes = sums.chunk_bytes;
        let aligned_start = offset / chunk_bytes * chunk_bytes;
        let aligned_end = (end.div_ceil(chunk_bytes) * chunk_bytes).min(self.file.len());
        let bytes = self.file.read_at(aligned_start, (aligned_end - aligned_start) as usize)?;
        sums.verify(self.file.name(), aligned_start, &bytes)?;
        let start = (offset - aligned_start) as usize;
        Ok(bytes.slice(start..start + len))
    }
}

impl<S: Source> Sums<S> {
    /// Holds the chunks in `bytes`, the first of which begins at `start`, against their checksums.
    fn verify(&self, file: &str, start: u64, bytes: &[u8]) -> Result<()> {
        let chunk_bytes = self.chunk_bytes as usize;
        let first_chunk = start / self.chunk_bytes;
        let chunk_count = bytes.len().div_ceil(chunk_bytes);
        let crcs_at = HEADER_BYTES as u64 + first_chunk * CRC_BYTES as u64;
        let crcs = self.side_file.read_at(crcs_at, chunk_count * CRC_BYTES)?;
        let whole_chunks = bytes.len() / chunk_bytes;
        let (run, tail) = bytes.split_at(whole_chunks * chunk_bytes);
        let mut expected = crcs.chunks_exact(CRC_BYTES).map(be_u32);
        let joined = self.joiner.join(expected.by_ref().take(whole_chunks));
        if joined == crc32fast::hash(run) && expected.all(|crc| crc == crc32fast::hash(tail)) {
            return Ok(());
        }
        let mut chunks = bytes.chunks(chunk_bytes).zip(crcs.chunks_exact(CRC_BYTES).map(be_u32)).enumerate();
        let damaged = chunks.find(|(_, (chunk, crc))| crc32fast::hash(chunk) != *crc);
        let (number, (chunk, crc)) = damaged.expect("where the run differs, a chunk does");
        let problem = format!(
            "the CRC-32 of the {} bytes from here on is {:08x}, {} says {crc:08x}",
            chunk.len(),
            crc32fast::hash(chunk),
            self.side_file.name(),
        );
        Err(Error::corrupt(file, start + number as u64 * self.chunk_bytes, problem))
    }
}

fn be_u32(bytes: &[u8]) -> u32 {
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemoryFile;

    fn written(bytes: &[u8], piece: usize) -> (Vec<u8>, Vec<u8>) {
        let mut writer = ChecksumWriter::new(Vec::new(), Vec::new());
        for part in bytes.chunks(piece) {
            writer.write_all(part).unwrap();
        }
        writer.finish().unwrap()
    }

    fn checked(bytes: &[u8], crc: &[u8]) -> Result<Checked<MemoryFile>> {
        Checked::open(MemoryFile::new("data", bytes.to_vec()), Some(MemoryFile::new(".data.crc", crc.to_vec())))
    }

    #[test]
    fn checksums_do_not_depend_on_the_pieces_written() {
        let bytes: Vec<u8> = (0..70_000u32).map(|i| (i * 7 / 3) as u8).collect();
        let (_, whole) = written(&bytes, bytes.len());
        assert_eq!(whole.len(), 8 + 4 * bytes.len().div_ceil(512));
        for piece in [1, 100, 511, 512, 513, 5000] {
            assert_eq!(written(&bytes, piece), (bytes.clone(), whole.clone()), "pieces of {piece}");
        }
    }

    #[test]
    fn any_range_is_read_and_any_flip_within_it_is_found() {
        let bytes: Vec<u8> = (0..1500u32).map(|i| (i % 251) as u8).collect();
        let (_, crc) = written(&bytes, 99);
        let file = checked(&bytes, &crc).unwrap();
        for (offset, len) in [(0, 1500), (0, 1), (511, 2), (1499, 1), (1024, 476), (700, 0)] {
            assert_eq!(file.read_at(offset, len).unwrap(), &bytes[offset as usize..offset as usize + len]);
        }
        for flipped in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[flipped] ^= 0x10;
            let error = checked(&damaged, &crc).unwrap().read_at(0, 1500).unwrap_err();
            let at = flipped as u64 / 512 * 512;
            assert!(
                matches!(&error, Error::Corrupt { file, offset, .. } if file == "data" && *offset == at),
                "{error}"
            );
        }
    }

    #[test]
    fn a_side_file_of_the_wrong_kind_or_length_is_refused() {
        let bytes = vec![1u8; 1000];
        let (_, crc) = written(&bytes, 1000);
        for cut in 0..crc.len() {
            assert!(matches!(checked(&bytes, &crc[..cut]), Err(Error::Corrupt { .. })));
        }
        assert!(matches!(checked(&bytes[..512], &crc), Err(Error::Corrupt { .. })));
        let mut no_magic = crc.clone();
        no_magic[3] = 1;
        assert!(matches!(checked(&bytes, &no_magic), Err(Error::Corrupt { .. })));
        let mut no_size = crc;
        no_size[4..8].fill(0);
        assert!(matches!(checked(&bytes, &no_size), Err(Error::Corrupt { .. })));
    }
}
