//! Reads a copy from front to back where it is at hand: a downloaded object, a file. What an operator's tool needs; plugins
//! read ranges through the engine.
//!
//! Every byte of the data object is looked at: each granule is held against its checksum before an entry of it is given out,
//! and the object must end where the index says.

use std::io;

use bytes::Bytes;

use crate::error::{Error, Result};
use crate::index::Index;
use crate::walk::{Look, Place, Step, Walker};

/// So much is read at once, if one granule or entry is not longer.
const READ_BYTES: u64 = 1 << 20;

/// Bytes at any position of one data object. Its length never changes.
pub trait Source {
    /// What messages call it: a path or a key.
    fn name(&self) -> &str;

    /// Its length in bytes.
    fn byte_count(&self) -> u64;

    /// Exactly `len` bytes from `offset` on. Callers stay within [`byte_count`](Self::byte_count).
    ///
    /// # Errors
    /// The source's own.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

/// A data object in memory.
#[derive(Clone, Debug)]
pub struct MemoryObject {
    name: String,
    bytes: Bytes,
}

impl MemoryObject {
    /// `bytes` under a name for messages.
    pub fn new(name: impl Into<String>, bytes: impl Into<Bytes>) -> Self {
        Self { name: name.into(), bytes: bytes.into() }
    }
}

impl Source for MemoryObject {
    fn name(&self) -> &str {
        &self.name
    }

    fn byte_count(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        match start.checked_add(len) {
            Some(end) if end <= self.bytes.len() => Ok(self.bytes.slice(start..end)),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Why a walk over a whole copy stopped.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The copy is damaged.
    #[error(transparent)]
    Format(#[from] Error),
    /// The source failed.
    #[error("read {object}")]
    Io {
        /// The source's name.
        object: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

/// An entry and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its id.
    pub entry_id: u64,
    /// Where its head is; bytes from the start of the data object.
    pub offset: u64,
    /// Its payload.
    pub payload: Bytes,
}

/// A copy whose entries are read in order.
#[derive(Debug)]
pub struct StoredCopy<'a, S> {
    data: S,
    index: &'a Index,
    place: Place,
    window: Bytes,
    window_start: u64,
    /// The first granule behind the window.
    next_granule: usize,
}

impl<'a, S: Source> StoredCopy<'a, S> {
    /// A copy at its first entry.
    ///
    /// # Errors
    /// `Corrupt` where the data object's length is not what the index says.
    pub fn open(data: S, index: &'a Index) -> Result<Self> {
        let (found, expected) = (data.byte_count(), index.data_bytes());
        if found != expected {
            let problem = format!("the object has {found} bytes, its index says {expected}");
            return Err(Error::corrupt(data.name(), found.min(expected), problem));
        }
        let place = Place::at_granule(index, 0);
        Ok(Self { data, index, place, window: Bytes::new(), window_start: 0, next_granule: 0 })
    }

    /// The next entry; `None` behind the last one, once the object's end was looked at as well.
    ///
    /// # Errors
    /// `Format` with the offset of what is wrong; `Io`.
    pub fn next_entry(&mut self) -> Result<Option<StoredEntry>, WalkError> {
        loop {
            let before = self.place.offset;
            let bytes = self.bytes_from(before);
            let mut walker = Walker::new(self.data.name(), self.index, self.place);
            let step = walker.step(&bytes, Look::Payload)?;
            self.place = walker.place();
            match step {
                Step::Need(count) => self.load(before, count)?,
                Step::Moved => {}
                Step::Entry { entry_id, offset, payload } => {
                    let payload = bytes.slice(payload.start as usize..payload.end as usize);
                    return Ok(Some(StoredEntry { entry_id, offset, payload }));
                }
                Step::End => {
                    self.check_end()?;
                    return Ok(None);
                }
            }
        }
    }

    fn bytes_from(&self, offset: u64) -> Bytes {
        match offset.checked_sub(self.window_start).map(|at| at as usize) {
            Some(at) if at <= self.window.len() => self.window.slice(at..),
            _ => Bytes::new(),
        }
    }

    /// Makes the window hold `count` bytes from `offset` on. The walker keeps them within the block, so within the object.
    fn load(&mut self, offset: u64, count: u64) -> Result<(), WalkError> {
        if self.index.extension().is_some() {
            return self.load_granules();
        }
        let len = count.max(READ_BYTES).min(self.index.data_bytes().saturating_sub(offset));
        self.window = self.read(offset, len)?;
        self.window_start = offset;
        if len < count {
            return Err(Error::corrupt(self.data.name(), self.index.data_bytes(), "the object ends here").into());
        }
        Ok(())
    }

    /// Entries do not cross granules, so the place is at the window's end.
    fn load_granules(&mut self) -> Result<(), WalkError> {
        let first = self.next_granule;
        if first == self.index.entries().len() {
            return Err(self.corrupt("an entry does not end with its granule").into());
        }
        let start = self.index.granule_start(first);
        if self.place.offset < start {
            return Err(self.corrupt("an entry does not end with its granule").into());
        }
        let mut end = self.index.granule(first).end;
        self.next_granule += 1;
        while self.next_granule < self.index.entries().len() {
            let next = self.index.granule(self.next_granule).end;
            if next - start > READ_BYTES {
                break;
            }
            end = next;
            self.next_granule += 1;
        }
        self.window = self.read(start, end - start)?;
        self.window_start = start;
        Ok(self.index.check_granules(self.data.name(), first, &self.window)?)
    }

    fn read(&self, offset: u64, len: u64) -> Result<Bytes, WalkError> {
        let object = self.data.name();
        let io = |source| WalkError::Io { object: object.to_owned(), source };
        let len = usize::try_from(len).map_err(|error| io(io::Error::other(error)))?;
        let bytes = self.data.read_at(offset, len).map_err(io)?;
        if bytes.len() != len {
            return Err(Error::corrupt(object, offset + bytes.len() as u64, "the object ends here").into());
        }
        Ok(bytes)
    }

    /// Nothing but padding lies behind the last entry, within its block.
    fn check_end(&self) -> Result<()> {
        if self.next_granule < self.index.entries().len() && self.index.extension().is_some() {
            return Err(self.corrupt("the last entry lies before the last granule"));
        }
        let last = self.index.entries().len() - 1;
        if self.index.granule_start(last) > self.place.offset {
            return Err(self.corrupt("the index has blocks behind the last entry"));
        }
        Ok(())
    }

    fn corrupt(&self, problem: &str) -> Error {
        Error::corrupt(self.data.name(), self.place.offset, problem)
    }
}
