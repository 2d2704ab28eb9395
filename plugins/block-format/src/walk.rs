//! Goes from entry to entry through the bytes of a data object, believing nothing: each id follows the one before, each entry
//! lies within its block, each block begins where the index says and says itself what the index says of it.
//!
//! A walker has no bytes of its own. It is shown those from its place on and says what it found or how many more it needs,
//! so that it serves whole files, ranges of an object and tests alike. It moves forward with each answer but `Need`: a walk
//! ends, whatever the bytes are.

use std::ops::Range;

use crate::data_block::{BlockHeader, FRAME_HEAD_BYTES, Frame, HEADER_BYTES};
use crate::error::{Error, Result};
use crate::index::Index;

/// A place between two entries of a data object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bytes from the start of the object: a block's header, an entry's head, or a block's padding.
    pub offset: u64,
    /// The entry that comes next.
    pub entry_id: u64,
    /// Where the block ends that `offset` lies in.
    pub block_end: u64,
    /// Whether a block's header stands here.
    pub at_header: bool,
}

impl Place {
    /// Where a granule begins.
    pub fn at_granule(index: &Index, granule: usize) -> Self {
        Self {
            offset: index.granule_start(granule),
            entry_id: index.entries()[granule].first_entry_id,
            block_end: index.block_end(granule),
            at_header: index.begins_block(granule),
        }
    }
}

/// What a walker found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing yet: this many bytes from the place on are needed. They lie within the object.
    Need(u64),
    /// A block's header or its padding; the place has moved.
    Moved,
    /// An entry; the place has moved behind it.
    Entry {
        /// Its id.
        entry_id: u64,
        /// Where its head is; bytes from the start of the object.
        offset: u64,
        /// Its payload; bytes from the place before the step.
        payload: Range<u64>,
    },
    /// There are no more entries.
    End,
}

/// How much of an entry a step must see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Its head: to pass it by.
    Head,
    /// All of it.
    Payload,
}

/// Walks through one data object.
#[derive(Clone, Debug)]
pub struct Walker<'a> {
    /// The data object's key, for messages.
    object: &'a str,
    index: &'a Index,
    place: Place,
}

impl<'a> Walker<'a> {
    /// A walker at `place`, which came from [`Place::at_granule`] or another walker of the same copy.
    pub fn new(object: &'a str, index: &'a Index, place: Place) -> Self {
        Self { object, index, place }
    }

    /// Where it is.
    pub fn place(&self) -> Place {
        self.place
    }

    /// One step. `bytes` are the object's from the place on, as many as are there.
    ///
    /// # Errors
    /// `Corrupt` with the offset.
    pub fn step(&mut self, bytes: &[u8], look: Look) -> Result<Step> {
        if self.place.entry_id >= self.index.metadata().entry_count {
            return Ok(Step::End);
        }
        if self.place.at_header {
            return self.pass_header(bytes);
        }
        let room = self.place.block_end.saturating_sub(self.place.offset);
        if room < FRAME_HEAD_BYTES {
            return self.pass_padding();
        }
        match Frame::decode(&bytes[..bytes.len().min(FRAME_HEAD_BYTES as usize)]) {
            None => Ok(Step::Need(FRAME_HEAD_BYTES)),
            Some(Frame::BlockEnd) => self.pass_padding(),
            Some(Frame::Entry { payload_bytes, entry_id }) => {
                let framed_bytes = FRAME_HEAD_BYTES + u64::from(payload_bytes);
                self.check_frame(entry_id, framed_bytes, room)?;
                if look == Look::Payload && (bytes.len() as u64) < framed_bytes {
                    return Ok(Step::Need(framed_bytes));
                }
                Ok(self.pass_entry(framed_bytes))
            }
        }
    }

    fn pass_header(&mut self, bytes: &[u8]) -> Result<Step> {
        let Place { offset, entry_id: first_entry_id, block_end, .. } = self.place;
        if block_end.saturating_sub(offset) < HEADER_BYTES + FRAME_HEAD_BYTES {
            return Err(self.corrupt("the index has a block here, which the data object has no room for"));
        }
        if (bytes.len() as u64) < HEADER_BYTES {
            return Ok(Step::Need(HEADER_BYTES));
        }
        let found = BlockHeader::decode(self.object, offset, bytes)?;
        let expected = BlockHeader { block_bytes: block_end - offset, first_entry_id };
        if found != expected {
            return Err(self.corrupt(format!(
                "the block says that it has {} bytes from entry {} on, the index says {} from entry {} on",
                found.block_bytes, found.first_entry_id, expected.block_bytes, expected.first_entry_id
            )));
        }
        self.place.offset += HEADER_BYTES;
        self.place.at_header = false;
        Ok(Step::Moved)
    }

    /// The next block must begin with the next entry.
    fn pass_padding(&mut self) -> Result<Step> {
        let Place { entry_id, block_end, .. } = self.place;
        let granule = self.index.floor(entry_id);
        let next = Place::at_granule(self.index, granule);
        if next.entry_id != entry_id || next.offset != block_end || !next.at_header {
            return Err(self.corrupt(format!("entry {entry_id} should be here, here the block ends")));
        }
        self.place = next;
        Ok(Step::Moved)
    }

    fn check_frame(&self, entry_id: i64, framed_bytes: u64, room: u64) -> Result<()> {
        let expected = self.place.entry_id;
        if u64::try_from(entry_id) != Ok(expected) {
            return Err(self.corrupt(format!("entry {entry_id} where entry {expected} should be")));
        }
        if framed_bytes > room {
            let problem =
                format!("entry {expected} is said to take {framed_bytes} bytes, its block has {room} from here on");
            return Err(self.corrupt(problem));
        }
        Ok(())
    }

    fn pass_entry(&mut self, framed_bytes: u64) -> Step {
        let Place { offset, entry_id, .. } = self.place;
        self.place.offset += framed_bytes;
        self.place.entry_id += 1;
        Step::Entry { entry_id, offset, payload: FRAME_HEAD_BYTES..framed_bytes }
    }

    fn corrupt(&self, problem: impl Into<String>) -> Error {
        Error::corrupt(self.object, self.place.offset, problem)
    }
}
