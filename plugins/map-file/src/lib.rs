//! Hadoop's SequenceFile (version 6) and MapFile, read and written without Hadoop: keys are `LongWritable`, values
//! `BytesWritable`; values in clear, compressed one by one, or in blocks, by `DefaultCodec` (zlib).
//!
//! A MapFile is a folder with two SequenceFiles: `data` holds the records in the order of their keys, `index` the data
//! positions of some of them. This crate opens no file: a reader is given a [`Source`], a writer two [`std::io::Write`]rs.
//!
//! | to understand | read |
//! |---|---|
//! | the bytes before the first record | `header` |
//! | one record, one block, how a file is walked | `cursor`, `block`, `vint`, `zlib` |
//! | how a key is found | `reader` |
//! | how files are written | `writer`, `sequence_writer` |
//! | the `.crc` files beside them | [`checksum`], `crc` |
//!
//! Bytes from a file never panic and never make memory: each length is held against what is left of the file, each inflated
//! buffer against what the buffers before it announced, and both against [`ReadLimits`].
//!
//! Format: docs/formats/map-file.md.
//!
//! ```
//! use map_file::{MapFile, MapFileWriter, MemoryFile, ReadLimits, WriteOptions};
//!
//! let mut writer = MapFileWriter::new(Vec::new(), Vec::new(), [[1; 16], [2; 16]], WriteOptions::default())?;
//! writer.append(-1, b"about")?;
//! writer.append(0, b"first")?;
//! let (data, index, _) = writer.finish()?;
//!
//! let data = MemoryFile::new("data", data);
//! let index = MemoryFile::new("index", index);
//! let file = MapFile::open(data, index, ReadLimits::default())?;
//! assert_eq!(file.get(0)?.as_deref(), Some(&b"first"[..]));
//! assert_eq!(file.get(1)?, None);
//! # Ok::<(), map_file::Error>(())
//! ```

mod block;
pub mod checksum;
mod crc;
mod cursor;
mod error;
mod header;
mod reader;
mod sequence_writer;
mod source;
mod vint;
mod writer;
mod zlib;

pub use cursor::{Cursor, ReadLimits, Record, SequenceFile, Step, WINDOW_BYTES_MAX};
pub use error::{Error, Result};
pub use header::{Compression, Header, SYNC_MARKER_BYTES, SyncMarker};
pub use reader::{IndexEntry, MapFile, RangeRead};
pub use source::{MemoryFile, Source};
pub use writer::{MapFileWriter, WriteOptions, Written};
