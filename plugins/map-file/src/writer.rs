//! Writes a MapFile: a `data` file of records in key order and the `index` of some of their positions.
//!
//! The index gets the key and the data position of the first record, and of each further one before which 128 records
//! and some bytes have passed since the last indexed one. Its file is always block compressed, whatever `data` is.
//!
//! A writer that is dropped before [`finish`](MapFileWriter::finish) leaves two incomplete files; its caller gives them
//! their final names only afterwards.

use std::io::Write;

use crate::error::{Error, Result};
use crate::header::{Compression, SyncMarker, ValueClass};
use crate::sequence_writer::{Form, SequenceWriter};

/// The longest value of a record: its record's length, with key and count, is an i32.
const VALUE_BYTES_MAX: u64 = i32::MAX as u64 - 12;

/// How a MapFile is written. The defaults are Hadoop's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Of the data file (`io.seqfile.compression.type`).
    pub compression: Compression,
    /// A block is written once its raw keys and values have this many bytes (`io.seqfile.compress.blocksize`).
    pub block_bytes: usize,
    /// Bytes between two syncs of a data file that is not block compressed.
    pub sync_interval_bytes: u64,
    /// Records between two index entries (`io.map.index.interval`).
    pub index_interval: u64,
    /// zlib's level, 0 to 9 (`zlib.compress.level`).
    pub deflate_level: u32,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self {
            compression: Compression::Record,
            block_bytes: 1_000_000,
            sync_interval_bytes: 102_400,
            index_interval: 128,
            deflate_level: 6,
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Number of records.
    pub records: u64,
    /// Sum of the values' lengths in bytes, before compression.
    pub value_bytes: u64,
    /// Length of the data file in bytes.
    pub data_bytes: u64,
    /// Length of the index file in bytes.
    pub index_bytes: u64,
}

/// Appends records to a MapFile. Holds one output buffer for each file, and one block where blocks are compressed.
#[derive(Debug)]
pub struct MapFileWriter<D, I> {
    data: SequenceWriter<D>,
    index: SequenceWriter<I>,
    index_interval: u64,
    last_key: Option<i64>,
    last_indexed: Option<Indexed>,
    written: Written,
}

#[derive(Clone, Copy, Debug)]
struct Indexed {
    /// Records before the indexed one.
    record: u64,
    offset: u64,
}

impl<D: Write, I: Write> MapFileWriter<D, I> {
    /// Starts both files. `sync_markers` (of data, of index) should be random; they are the caller's so that a file can be
    /// made again byte for byte.
    ///
    /// # Errors
    /// `Io` where a sink fails; messages call the sinks `data` and `index`.
    pub fn new(data: D, index: I, sync_markers: [SyncMarker; 2], options: WriteOptions) -> Result<Self> {
        let data_form = Form {
            value_class: ValueClass::Bytes,
            compression: options.compression,
            sync_marker: sync_markers[0],
            sync_interval_bytes: options.sync_interval_bytes,
            block_bytes: options.block_bytes,
            deflate_level: options.deflate_level.min(9),
        };
        let index_form = Form {
            value_class: ValueClass::Long,
            compression: Compression::Block,
            sync_marker: sync_markers[1],
            ..data_form
        };
        Ok(Self {
            data: SequenceWriter::new(data, "data", data_form)?,
            index: SequenceWriter::new(index, "index", index_form)?,
            index_interval: options.index_interval,
            last_key: None,
            last_indexed: None,
            written: Written::default(),
        })
    }

    /// Appends one record.
    ///
    /// # Errors
    /// `KeyOutOfOrder` where `key` is less than the last one; `ValueTooLarge` from 2 GiB on; `Io` where a sink fails, after
    /// which the writer is of no more use.
    pub fn append(&mut self, key: i64, value: &[u8]) -> Result<()> {
        if let Some(previous) = self.last_key.filter(|previous| *previous > key) {
            return Err(Error::KeyOutOfOrder { key, previous });
        }
        if value.len() as u64 > VALUE_BYTES_MAX {
            return Err(Error::ValueTooLarge { key, len: value.len() as u64, max: VALUE_BYTES_MAX });
        }
        self.index_if_due(key)?;
        self.data.append(key, &(value.len() as i32).to_be_bytes(), value)?;
        self.last_key = Some(key);
        self.written.records += 1;
        self.written.value_bytes += value.len() as u64;
        Ok(())
    }

    /// Writes the rest of both files and gives the sinks back, flushed, not synced.
    ///
    /// # Errors
    /// `Io` where a sink fails.
    pub fn finish(self) -> Result<(D, I, Written)> {
        let (data, data_bytes) = self.data.finish()?;
        let (index, index_bytes) = self.index.finish()?;
        Ok((data, index, Written { data_bytes, index_bytes, ..self.written }))
    }

    fn index_if_due(&mut self, key: i64) -> Result<()> {
        let (record, offset) = (self.written.records, self.data.offset());
        let due = match self.last_indexed {
            None => true,
            Some(last) => record >= last.record + self.index_interval && offset > last.offset,
        };
        if due {
            self.index.append(key, &offset.to_be_bytes(), &[])?;
            self.last_indexed = Some(Indexed { record, offset });
        }
        Ok(())
    }
}
