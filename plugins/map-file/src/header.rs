//! The header of a SequenceFile of version 6, as bytes and as a value.
//!
//! ```text
//! "SEQ" 06 | key class Text | value class Text | compressed u8 | block compressed u8
//! | codec class Text, only if compressed | i32 number of pairs, then that many (Text, Text) | 16 bytes sync marker
//! Text := vint length in bytes | UTF-8
//! ```
//! Format: docs/formats/map-file.md, from Hadoop's `SequenceFile`. Integers are big-endian.

use crate::error::{Error, Result};
use crate::source::Source;
use crate::vint;

const MAGIC: [u8; 3] = *b"SEQ";
/// The only version that is read and written.
const VERSION: u8 = 6;
/// Length of a sync marker in bytes.
pub const SYNC_MARKER_BYTES: usize = 16;
/// A header longer than this is refused. Hadoop's own has 138 bytes; the rest is room for metadata pairs.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// What is read of a header at first.
const HEADER_BYTES_USUAL: usize = 512;

/// The random bytes by which readers recognise a place where a record starts. One value for each file.
pub type SyncMarker = [u8; SYNC_MARKER_BYTES];

pub(crate) const LONG_WRITABLE: &str = "org.apache.hadoop.io.LongWritable";
pub(crate) const BYTES_WRITABLE: &str = "org.apache.hadoop.io.BytesWritable";
const DEFAULT_CODEC: &str = "org.apache.hadoop.io.compress.DefaultCodec";
/// A subclass of the default codec that writes the same bytes.
const DEFLATE_CODEC: &str = "org.apache.hadoop.io.compress.DeflateCodec";

/// How a file's records are compressed (`io.seqfile.compression.type`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// Values in clear.
    None,
    /// One zlib stream for each value. Hadoop's default.
    Record,
    /// Records gathered into blocks, lengths, keys and values each in a zlib stream. Pulsar's default.
    Block,
}

/// What values are: the class that the header names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueClass {
    /// `BytesWritable`: i32 length, then the bytes.
    Bytes,
    /// `LongWritable`: i64, in index files.
    Long,
}

impl ValueClass {
    fn name(self) -> &'static str {
        match self {
            Self::Bytes => BYTES_WRITABLE,
            Self::Long => LONG_WRITABLE,
        }
    }
}

/// What a reader needs to know of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// How records are stored.
    pub compression: Compression,
    /// The marker of every sync in the file.
    pub sync_marker: SyncMarker,
    /// Where the first record or block begins, bytes from the start of the file.
    pub end_offset: u64,
}

/// The bytes of a header.
pub(crate) fn encode(value_class: ValueClass, compression: Compression, sync_marker: SyncMarker) -> Vec<u8> {
    let mut out = Vec::with_capacity(160);
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    write_text(&mut out, LONG_WRITABLE);
    write_text(&mut out, value_class.name());
    out.push(u8::from(compression != Compression::None));
    out.push(u8::from(compression == Compression::Block));
    if compression != Compression::None {
        write_text(&mut out, DEFAULT_CODEC);
    }
    out.extend_from_slice(&0i32.to_be_bytes());
    out.extend_from_slice(&sync_marker);
    out
}

fn write_text(out: &mut Vec<u8>, text: &str) {
    vint::write(out, text.len() as i64);
    out.extend_from_slice(text.as_bytes());
}

/// Reads and checks the header of a file whose values should be of `value_class`.
pub(crate) fn read<S: Source>(source: &S, value_class: ValueClass) -> Result<Header> {
    let begin = |bytes_max: usize| source.read_at(0, source.len().min(bytes_max as u64) as usize);
    // Damage behind the header is met by whoever reads there.
    let usual = parse(source.name(), &begin(HEADER_BYTES_USUAL)?, value_class);
    if usual.is_ok() || source.len() <= HEADER_BYTES_USUAL as u64 {
        return usual;
    }
    parse(source.name(), &begin(HEADER_BYTES_MAX)?, value_class)
}

/// The header in the first `bytes` of `file`.
fn parse(file: &str, bytes: &[u8], value_class: ValueClass) -> Result<Header> {
    let mut fields = Fields { file, bytes, at: 0 };
    if fields.take(MAGIC.len(), "magic")? != MAGIC {
        return Err(fields.corrupt_at(0, "a sequence file begins with `SEQ`"));
    }
    let version = fields.byte("version")?;
    if version != VERSION {
        return Err(fields.unsupported(format!("sequence file version {version}, only version {VERSION} is read")));
    }
    fields.expect_class("key class", LONG_WRITABLE)?;
    fields.expect_class("value class", value_class.name())?;
    let (compressed, blocks) = (fields.flag("compression flag")?, fields.flag("block flag")?);
    let compression = match (compressed, blocks) {
        (false, false) => Compression::None,
        (true, false) => Compression::Record,
        (true, true) => Compression::Block,
        (false, true) => return Err(fields.corrupt_at(fields.at - 1, "block compressed, but not compressed")),
    };
    if compressed {
        let codec = fields.text("codec class")?;
        if codec != DEFAULT_CODEC && codec != DEFLATE_CODEC {
            return Err(fields.unsupported(format!("compressed by {codec}, only {DEFAULT_CODEC} is read")));
        }
    }
    fields.skip_metadata()?;
    let mut sync_marker = [0; SYNC_MARKER_BYTES];
    sync_marker.copy_from_slice(fields.take(SYNC_MARKER_BYTES, "sync marker")?);
    Ok(Header { compression, sync_marker, end_offset: fields.at as u64 })
}

/// Takes one field after the other from a header's bytes.
struct Fields<'a> {
    file: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    fn take(&mut self, len: usize, what: &str) -> Result<&'a [u8]> {
        let Some(field) = self.at.checked_add(len).and_then(|end| self.bytes.get(self.at..end)) else {
            let problem = format!("the header's {what} takes {len} bytes, {} are left", self.bytes.len() - self.at);
            return Err(self.corrupt_at(self.at, problem));
        };
        self.at += len;
        Ok(field)
    }

    fn byte(&mut self, what: &str) -> Result<u8> {
        Ok(self.take(1, what)?[0])
    }

    fn flag(&mut self, what: &str) -> Result<bool> {
        match self.byte(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(self.corrupt_at(self.at - 1, format!("the header's {what} is {other}, expected 0 or 1"))),
        }
    }

    fn text(&mut self, what: &str) -> Result<&'a str> {
        let start = self.at;
        let Some((len, vint_bytes)) = vint::read(&self.bytes[self.at..]) else {
            return Err(self.corrupt_at(start, format!("the header ends within the length of its {what}")));
        };
        self.at += vint_bytes;
        let Ok(len) = usize::try_from(len) else {
            return Err(self.corrupt_at(start, format!("the header's {what} has the length {len}")));
        };
        let text = self.take(len, what)?;
        std::str::from_utf8(text).map_err(|_| self.corrupt_at(start, format!("the header's {what} is not UTF-8")))
    }

    fn expect_class(&mut self, what: &str, expected: &str) -> Result<()> {
        let found = self.text(what)?;
        if found == expected {
            return Ok(());
        }
        Err(self.unsupported(format!("its {what} is {found:?}, only {expected} is read")))
    }

    fn skip_metadata(&mut self) -> Result<()> {
        let start = self.at;
        let count = self.take(4, "number of metadata pairs")?;
        let count = i32::from_be_bytes([count[0], count[1], count[2], count[3]]);
        // Each pair takes two bytes at least.
        if count < 0 || count as usize > (self.bytes.len() - self.at) / 2 {
            return Err(self.corrupt_at(start, format!("{count} metadata pairs do not fit into the header")));
        }
        for _ in 0..count {
            self.text("metadata name")?;
            self.text("metadata value")?;
        }
        Ok(())
    }

    fn corrupt_at(&self, at: usize, problem: impl Into<String>) -> Error {
        Error::corrupt(self.file, at as u64, problem)
    }

    fn unsupported(&self, problem: String) -> Error {
        Error::unsupported(self.file, problem)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::MemoryFile;

    fn parse(bytes: &[u8], class: ValueClass) -> Result<Header> {
        read(&MemoryFile::new("data", bytes.to_vec()), class)
    }

    /// Behind magic, version, two class names with their lengths and the other flag.
    const BLOCK_FLAG_AT: usize = 4 + 1 + LONG_WRITABLE.len() + 1 + BYTES_WRITABLE.len() + 1;

    #[test]
    fn lengths_are_those_of_hadoop_and_the_header_comes_back() {
        for (class, compression, len) in [
            (ValueClass::Bytes, Compression::None, 95),
            (ValueClass::Bytes, Compression::Record, 138),
            (ValueClass::Bytes, Compression::Block, 138),
            (ValueClass::Long, Compression::Block, 137),
        ] {
            let bytes = encode(class, compression, [7; 16]);
            assert_eq!(bytes.len(), len);
            let header = Header { compression, sync_marker: [7; 16], end_offset: len as u64 };
            assert_eq!(parse(&bytes, class).unwrap(), header);
        }
    }

    #[test]
    fn every_truncation_and_every_flip_is_answered_without_panic() {
        let bytes = encode(ValueClass::Bytes, Compression::Record, [7; 16]);
        for cut in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..cut], ValueClass::Bytes), Err(Error::Corrupt { .. })), "cut at {cut}");
        }
        for at in 0..bytes.len() - SYNC_MARKER_BYTES {
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                // A header that says BLOCK instead of RECORD is as sound as the other; its first record will not be.
                let other_form =
                    parse(&damaged, ValueClass::Bytes).is_ok_and(|it| it.compression == Compression::Block);
                assert!(other_form == ((at, bit) == (BLOCK_FLAG_AT, 0)), "bit {bit} of byte {at}");
                assert!(other_form || parse(&damaged, ValueClass::Bytes).is_err(), "bit {bit} of byte {at}");
            }
        }
    }

    #[test]
    fn metadata_pairs_are_skipped_and_absurd_counts_refused() {
        let plain = encode(ValueClass::Bytes, Compression::None, [9; 16]);
        let count_at = plain.len() - SYNC_MARKER_BYTES - 4;
        let mut with_pair = plain[..count_at].to_vec();
        with_pair.extend_from_slice(&1i32.to_be_bytes());
        write_text(&mut with_pair, "made by");
        write_text(&mut with_pair, "somebody");
        with_pair.extend_from_slice(&[9; 16]);
        assert_eq!(parse(&with_pair, ValueClass::Bytes).unwrap().end_offset, with_pair.len() as u64);
        for count in [i32::MAX, -1] {
            let mut absurd = plain.clone();
            absurd[count_at..count_at + 4].copy_from_slice(&count.to_be_bytes());
            assert!(matches!(parse(&absurd, ValueClass::Bytes), Err(Error::Corrupt { .. })));
        }
    }

    #[test]
    fn another_codec_is_named() {
        let bytes = encode(ValueClass::Bytes, Compression::Record, [7; 16]);
        let text = String::from_utf8_lossy(&bytes).replace("DefaultCodec", "SnappyCodecs");
        let error = parse(text.as_bytes(), ValueClass::Bytes).unwrap_err();
        assert!(error.to_string().contains("org.apache.hadoop.io.compress.SnappyCodecs"), "{error}");
    }
}
