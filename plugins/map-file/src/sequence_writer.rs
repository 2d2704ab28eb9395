//! Writes one SequenceFile front to back, in bounded memory: one output buffer, and with block compression one block.
//!
//! Byte for byte as Hadoop 3 does it, where the deflate output is the same: a sync goes before a record once
//! `sync_interval_bytes` have passed since the end of the last sync (counted from the start of the file at first); a
//! block is written once its keys and values reach `block_bytes`.

use std::io::Write;

use crate::block::{KEY_BYTES, PendingBlock, SYNC_ESCAPE};
use crate::error::{Error, Result};
use crate::header::{self, Compression, SyncMarker, ValueClass};
use crate::zlib::Deflater;

/// Bytes are handed to the sink in pieces of so many, each beginning at a multiple of it: a file system keeps what is written
/// so in few large pages, and checksums of aligned chunks need no remainder.
const PIECE_BYTES: usize = 256 * 1024;

/// How a file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) value_class: ValueClass,
    pub(crate) compression: Compression,
    pub(crate) sync_marker: SyncMarker,
    pub(crate) sync_interval_bytes: u64,
    pub(crate) block_bytes: usize,
    pub(crate) deflate_level: u32,
}

/// Appends records to a sink.
#[derive(Debug)]
pub(crate) struct SequenceWriter<W> {
    output: Output<W>,
    form: Form,
    /// The position after the last sync.
    last_sync_offset: u64,
    pending: PendingBlock,
    deflater: Option<Deflater>,
    /// One value's stream, reused.
    stream: Vec<u8>,
}

impl<W: Write> SequenceWriter<W> {
    /// Starts a file with its header. `name` is what messages call the sink.
    pub(crate) fn new(sink: W, name: &str, form: Form) -> Result<Self> {
        let deflater = (form.compression != Compression::None).then(|| Deflater::new(form.deflate_level));
        let buffer = Vec::with_capacity(PIECE_BYTES);
        let mut output = Output { sink, name: name.to_owned(), buffer, offset: 0 };
        output.put(&header::encode(form.value_class, form.compression, form.sync_marker))?;
        Ok(Self { output, form, last_sync_offset: 0, pending: PendingBlock::default(), deflater, stream: Vec::new() })
    }

    /// Bytes written so far, those in the output buffer included, those of the pending block not: where the next record, a
    /// sync before it, or the block that will hold it begins.
    pub(crate) fn offset(&self) -> u64 {
        self.output.offset
    }

    /// Appends one record whose serialised value is `value_head` followed by `value_body`.
    pub(crate) fn append(&mut self, key: i64, value_head: &[u8], value_body: &[u8]) -> Result<()> {
        let Some(deflater) = &mut self.deflater else { return self.put_record(key, value_head, value_body) };
        if self.form.compression == Compression::Block {
            self.pending.push(key, value_head, value_body);
            if self.pending.raw_bytes() >= self.form.block_bytes {
                self.flush_block()?;
            }
            return Ok(());
        }
        let mut stream = std::mem::take(&mut self.stream);
        deflater.deflate_both(value_head, value_body, &mut stream);
        let result = self.put_record(key, &[], &stream);
        self.stream = stream;
        result
    }

    /// Writes what is pending and gives the sink back, flushed, with the file's length in bytes.
    pub(crate) fn finish(mut self) -> Result<(W, u64)> {
        if !self.pending.is_empty() {
            self.flush_block()?;
        }
        let offset = self.output.offset;
        Ok((self.output.finish()?, offset))
    }

    fn put_record(&mut self, key: i64, value_head: &[u8], value_body: &[u8]) -> Result<()> {
        if self.output.offset >= self.last_sync_offset + self.form.sync_interval_bytes {
            self.output.put(&SYNC_ESCAPE.to_be_bytes())?;
            self.output.put(&self.form.sync_marker)?;
            self.last_sync_offset = self.output.offset;
        }
        let record_len = (KEY_BYTES + value_head.len() + value_body.len()) as i32;
        let mut head = [0; 16];
        head[..4].copy_from_slice(&record_len.to_be_bytes());
        head[4..8].copy_from_slice(&(KEY_BYTES as i32).to_be_bytes());
        head[8..].copy_from_slice(&key.to_be_bytes());
        self.output.put(&head)?;
        self.output.put(value_head)?;
        self.output.put(value_body)
    }

    fn flush_block(&mut self) -> Result<()> {
        let deflater = self.deflater.as_mut().expect("block compression has a deflater");
        self.pending.write(&self.form.sync_marker, deflater, |piece| self.output.put(piece))
    }
}

/// A sink behind a buffer.
#[derive(Debug)]
struct Output<W> {
    sink: W,
    name: String,
    buffer: Vec<u8>,
    /// Bytes put so far.
    offset: u64,
}

impl<W: Write> Output<W> {
    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        self.offset += bytes.len() as u64;
        while self.buffer.len() + bytes.len() >= PIECE_BYTES {
            let (now, later) = bytes.split_at(PIECE_BYTES - self.buffer.len());
            bytes = later;
            if self.buffer.is_empty() {
                self.sink.write_all(now).map_err(|e| Error::write(&self.name, e))?;
            } else {
                self.buffer.extend_from_slice(now);
                self.drain()?;
            }
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    fn drain(&mut self) -> Result<()> {
        self.sink.write_all(&self.buffer).map_err(|e| Error::write(&self.name, e))?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> Result<W> {
        self.drain()?;
        self.sink.flush().map_err(|e| Error::write(&self.name, e))?;
        Ok(self.sink)
    }
}
