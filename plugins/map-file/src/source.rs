//! Where bytes come from: the one trait that a caller implements to let a file be read.

use bytes::Bytes;

use crate::cursor::WINDOW_BYTES_MAX;
use crate::error::{Error, Result};

/// A file that can be read at any position, by any number of readers at once. Its length never changes.
pub trait Source: Send + Sync {
    /// What messages call it: a path.
    fn name(&self) -> &str;

    /// Its length in bytes.
    fn len(&self) -> u64;

    /// Whether it has no byte.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The most bytes that are worth reading ahead at once: more where a read costs a journey.
    fn read_ahead_bytes_max(&self) -> usize {
        WINDOW_BYTES_MAX
    }

    /// Exactly `len` bytes from `offset` on. Callers stay within [`len`](Self::len).
    ///
    /// # Errors
    /// `Io` where the read fails; `Corrupt` where the file turns out shorter, or where a checksum does not match.
    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes>;
}

/// A file that is in memory.
#[derive(Clone, Debug)]
pub struct MemoryFile {
    name: String,
    bytes: Bytes,
}

impl MemoryFile {
    /// `bytes` under a name for messages.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl Source for MemoryFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes> {
        let range = usize::try_from(offset).ok().and_then(|start| Some(start..start.checked_add(len)?));
        match range {
            Some(range) if range.end <= self.bytes.len() => Ok(self.bytes.slice(range)),
            _ => Err(Error::corrupt(&self.name, self.len(), "the file ends here, more was expected")),
        }
    }
}

/// A part of a file that was read, kept to answer the next requests from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Window {
    start: u64,
    bytes: Bytes,
}

impl Window {
    pub(crate) fn new(start: u64, bytes: Bytes) -> Self {
        Self { start, bytes }
    }

    /// The bytes at `offset`, or `None` unless all of them are here.
    #[inline]
    pub(crate) fn peek(&self, offset: u64, len: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(start..start.checked_add(len)?)
    }

    /// The same as a slice that shares the window's memory.
    #[inline]
    pub(crate) fn slice(&self, offset: u64, len: usize) -> Option<Bytes> {
        let start = usize::try_from(offset.checked_sub(self.start)?).ok()?;
        let end = start.checked_add(len)?;
        (end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }
}
