//! Turns a ledger's entries into the bytes of its two objects, one entry at a time and without keeping any of them.
//!
//! Payloads are not copied here, and no byte is looked at: who takes the bytes also checksums them, once, in [`DataCrcs`].

use bytes::Bytes;
use longshore_plugin_api::LedgerMetadata;
use uuid::Uuid;

use crate::crc;
use crate::data_block::{BlockHeader, FRAME_HEAD_BYTES, HEADER_BYTES, PADDING, frame_head};
use crate::error::Result;
use crate::index::{Index, Written};
use crate::layout::{DataLayout, IndexForm, LedgerSize, Placement, WriteOptions};

/// Header of a block and head of its first entry.
const BLOCK_HEAD_BYTES: usize = (HEADER_BYTES + FRAME_HEAD_BYTES) as usize;

/// So much padding is copied at once. A multiple of the pattern's length.
static PADDING_RUN: [u8; 4096] = {
    let mut run = [0; 4096];
    let mut at = 0;
    while at < run.len() {
        run[at] = PADDING[at % PADDING.len()];
        at += 1;
    }
    run
};

/// What is known of a copy when its last entry was encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodedCopy {
    /// The index of the data object.
    pub index: Index,
    /// CRC32C of the data object.
    pub data_crc: u32,
}

/// Encodes one copy.
#[derive(Debug)]
pub struct CopyEncoder {
    metadata: LedgerMetadata,
    uid: Uuid,
    form: IndexForm,
    layout: DataLayout,
    entry: EncodedEntry,
}

/// Checksums of a data object whose bytes pass by in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataCrcs {
    running: u32,
    granules: Vec<u32>,
}

impl DataCrcs {
    /// The next bytes.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        self.running = crc::append(self.running, bytes);
    }

    /// A granule ends here.
    pub fn end_granule(&mut self) {
        self.granules.push(self.running);
    }

    /// CRC32C of all bytes so far.
    pub fn running(&self) -> u32 {
        self.running
    }
}

impl CopyEncoder {
    /// Begins the copy that attempt `uid` makes of a closed ledger.
    ///
    /// # Errors
    /// `OutOfBounds` for options that the format cannot have; `LedgerMismatch` for a ledger without entries.
    pub fn new(metadata: &LedgerMetadata, uid: Uuid, options: WriteOptions) -> Result<Self> {
        let size = LedgerSize {
            ledger_id: metadata.ledger_id,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
        };
        let layout = DataLayout::new(size, options)?;
        let (metadata, form) = (metadata.clone(), options.index);
        Ok(Self { metadata, uid, form, layout, entry: EncodedEntry::default() })
    }

    /// The bytes of the next entry and of what precedes it: to be taken whole, before the next call. They stay where they are
    /// put together, because to move them costs as much as to make them.
    ///
    /// # Errors
    /// `LedgerMismatch` where it is not the entry that follows, or does not fit what the metadata announced; `OutOfBounds`
    /// where it is too long for the format. The encoder is of no more use then.
    pub fn encode(&mut self, entry_id: u64, payload: Bytes) -> Result<&mut EncodedEntry> {
        let placement = self.layout.place(entry_id, payload.len() as u64)?;
        self.entry.begin(&placement, entry_id, payload);
        Ok(&mut self.entry)
    }

    /// Ends the data object and answers its index. `crcs` have seen every byte and every granule's end.
    ///
    /// # Errors
    /// `LedgerMismatch` where entries or bytes are missing.
    pub fn finish(self, mut crcs: DataCrcs) -> Result<EncodedCopy> {
        let laid_out = self.layout.finish()?;
        crcs.end_granule();
        let written = Written { uid: self.uid, laid_out, running_crcs: crcs.granules };
        let bytes = self.metadata.to_bookkeeper_bytes();
        let index = Index::new(self.metadata.ledger_id, bytes, written, self.form)?;
        Ok(EncodedCopy { index, data_crc: crcs.running })
    }
}

/// The bytes of one entry and of what precedes it, as far as they were not taken yet.
#[derive(Debug, Default)]
pub struct EncodedEntry {
    padding_bytes: u64,
    /// Where in the padding's pattern the next byte of it is.
    padding_phase: usize,
    /// Behind the padding.
    ends_granule: bool,
    head: Head,
    head_at: usize,
    payload: Bytes,
}

/// What stands in front of a payload. Few entries begin a block, and the others should not carry the room for its header.
#[derive(Debug)]
enum Head {
    Entry([u8; FRAME_HEAD_BYTES as usize]),
    Block(Box<[u8; BLOCK_HEAD_BYTES]>),
}

impl Default for Head {
    fn default() -> Self {
        Self::Entry([0; FRAME_HEAD_BYTES as usize])
    }
}

impl Head {
    fn of(block: Option<BlockHeader>, entry_id: u64, payload_bytes: u32) -> Self {
        let entry = frame_head(entry_id, payload_bytes);
        let Some(block) = block else { return Self::Entry(entry) };
        let mut head = Box::new([0; BLOCK_HEAD_BYTES]);
        let (of_block, of_entry) = head.split_at_mut(HEADER_BYTES as usize);
        of_block.copy_from_slice(&block.encode());
        of_entry.copy_from_slice(&entry);
        Self::Block(head)
    }

    fn bytes(&self) -> &[u8] {
        match self {
            Self::Entry(head) => head,
            Self::Block(head) => &head[..],
        }
    }
}

/// What comes next of an entry.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// No byte: a granule ends.
    GranuleEnd,
    /// Bytes of the format.
    Format(&'a [u8]),
    /// Bytes of the payload.
    Payload(Bytes),
}

impl EncodedEntry {
    fn begin(&mut self, placement: &Placement, entry_id: u64, payload: Bytes) {
        let Placement { padding_bytes, ends_granule, block } = *placement;
        (self.padding_bytes, self.padding_phase, self.ends_granule) = (padding_bytes, 0, ends_granule);
        // The layout refuses a payload whose length has more than 31 bits.
        (self.head, self.head_at) = (Head::of(block, entry_id, payload.len() as u32), 0);
        self.payload = payload;
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> u64 {
        self.padding_bytes + (self.head.bytes().len() - self.head_at) as u64 + self.payload.len() as u64
    }

    /// What comes next, of at most `room` bytes; `None` where nothing is left. `room` is not 0.
    pub fn next_piece(&mut self, room: usize) -> Option<Piece<'_>> {
        if self.padding_bytes > 0 {
            let run = &PADDING_RUN[self.padding_phase..];
            let len = usize::try_from(self.padding_bytes).unwrap_or(usize::MAX).min(room).min(run.len());
            self.padding_phase = (self.padding_phase + len) % PADDING.len();
            self.padding_bytes -= len as u64;
            return Some(Piece::Format(&run[..len]));
        }
        if std::mem::take(&mut self.ends_granule) {
            return Some(Piece::GranuleEnd);
        }
        let head = self.head.bytes();
        if self.head_at < head.len() {
            let from = self.head_at;
            self.head_at += room.min(head.len() - from);
            return Some(Piece::Format(&head[from..self.head_at]));
        }
        let len = room.min(self.payload.len());
        (len > 0).then(|| Piece::Payload(self.payload.split_to(len)))
    }
}

/// Both objects of a ledger in memory: data and index.
///
/// # Errors
/// Those of [`CopyEncoder`].
pub fn encode_copy<P: AsRef<[u8]>>(
    metadata: &LedgerMetadata,
    uid: Uuid,
    payloads: &[P],
    options: WriteOptions,
) -> Result<(Vec<u8>, Index)> {
    let mut encoder = CopyEncoder::new(metadata, uid, options)?;
    let (mut data, mut crcs) = (Vec::new(), DataCrcs::default());
    for (entry_id, payload) in (0..).zip(payloads) {
        let encoded = encoder.encode(entry_id, Bytes::copy_from_slice(payload.as_ref()))?;
        while let Some(run) = encoded.next_piece(usize::MAX) {
            let bytes = match &run {
                Piece::GranuleEnd => {
                    crcs.end_granule();
                    continue;
                }
                Piece::Format(bytes) => bytes,
                Piece::Payload(bytes) => &bytes[..],
            };
            crcs.append(bytes);
            data.extend_from_slice(bytes);
        }
    }
    Ok((data, encoder.finish(crcs)?.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The bytes, taken `room` at once, and how many of them precede the granule's end.
    fn taken(mut encoded: EncodedEntry, room: usize) -> (Vec<u8>, Option<usize>) {
        let (mut bytes, mut granule_end) = (Vec::new(), None);
        while let Some(run) = encoded.next_piece(room) {
            match run {
                Piece::GranuleEnd => granule_end = Some(bytes.len()),
                Piece::Format(run) => bytes.extend_from_slice(run),
                Piece::Payload(run) => bytes.extend_from_slice(&run),
            }
        }
        assert_eq!(encoded.remaining(), 0);
        (bytes, granule_end)
    }

    #[test]
    fn bytes_are_the_same_however_small_the_pieces_are() {
        let placement = Placement {
            padding_bytes: 9001,
            block: Some(BlockHeader { block_bytes: 500, first_entry_id: 3 }),
            ends_granule: true,
        };
        let encoded = || {
            let mut encoded = EncodedEntry::default();
            encoded.begin(&placement, 3, Bytes::from_static(b"payload"));
            encoded
        };
        assert_eq!(encoded().remaining(), 9001 + 140 + 7);
        let (whole, granule_end) = taken(encoded(), usize::MAX);
        assert_eq!((whole.len(), granule_end), (9001 + 140 + 7, Some(9001)));
        assert_eq!(&whole[8996..9003], [0xfe, 0xdc, 0xde, 0xad, 0xfe, 0xfb, 0xdb]);
        for room in [1, 2, 3, 7, 4096, 9000, 9139] {
            assert!(taken(encoded(), room) == (whole.clone(), granule_end), "{room}");
        }
    }
}
