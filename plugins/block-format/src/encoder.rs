//! Turns a ledger's entries into the bytes of its two objects, one entry at a time and without keeping any of them.
//!
//! Payloads are not copied here, and no byte is looked at: who takes the bytes also checksums them, once, in [`DataCrcs`].

use bytes::Bytes;
use longshore_plugin_api::LedgerMetadata;
use uuid::Uuid;

use crate::data_block::{FRAME_HEAD_BYTES, HEADER_BYTES, PADDING, frame_head};
use crate::error::Result;
use crate::index::{Index, Written};
use crate::layout::{DataLayout, IndexForm, LedgerSize, Placement, WriteOptions};

/// Header of a block and head of its first entry.
const HEAD_BYTES_MAX: usize = (HEADER_BYTES + FRAME_HEAD_BYTES) as usize;

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
        self.running = crc32c::crc32c_append(self.running, bytes);
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

/// CRC32C of the last `len` bytes of some whose checksum is `all`, where that of the bytes before them is `before`.
pub fn crc_behind(before: u32, all: u32, len: usize) -> u32 {
    crc32c::crc32c_combine(before, 0, len) ^ all
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
        Ok(Self { metadata, uid, form, layout })
    }

    /// The bytes of the next entry and of what precedes it: to be taken whole, before the next call.
    ///
    /// # Errors
    /// `LedgerMismatch` where it is not the entry that follows, or does not fit what the metadata announced; `OutOfBounds`
    /// where it is too long for the format. The encoder is of no more use then.
    pub fn encode(&mut self, entry_id: u64, payload: Bytes) -> Result<EncodedEntry> {
        let placement = self.layout.place(entry_id, payload.len() as u64)?;
        Ok(EncodedEntry::new(&placement, entry_id, payload))
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
#[derive(Debug)]
pub struct EncodedEntry {
    padding_bytes: u64,
    /// Where in the padding's pattern the next byte of it is.
    padding_phase: usize,
    /// Behind the padding.
    ends_granule: bool,
    head: [u8; HEAD_BYTES_MAX],
    head_at: usize,
    payload: Bytes,
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
    fn new(placement: &Placement, entry_id: u64, payload: Bytes) -> Self {
        let mut head = [0; HEAD_BYTES_MAX];
        let frame_at = HEADER_BYTES as usize;
        // The layout refuses a payload whose length has more than 31 bits.
        head[frame_at..].copy_from_slice(&frame_head(entry_id, payload.len() as u32));
        let head_at = match placement.block {
            Some(block) => {
                head[..frame_at].copy_from_slice(&block.encode());
                0
            }
            None => frame_at,
        };
        let Placement { padding_bytes, ends_granule, .. } = *placement;
        Self { padding_bytes, padding_phase: 0, ends_granule, head, head_at, payload }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> u64 {
        self.padding_bytes + (self.head.len() - self.head_at) as u64 + self.payload.len() as u64
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
        if self.head_at < self.head.len() {
            let from = self.head_at;
            self.head_at += room.min(self.head.len() - from);
            return Some(Piece::Format(&self.head[from..self.head_at]));
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
        let mut encoded = encoder.encode(entry_id, Bytes::copy_from_slice(payload.as_ref()))?;
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
            block: Some(crate::data_block::BlockHeader { block_bytes: 500, first_entry_id: 3 }),
            ends_granule: true,
        };
        let encoded = || EncodedEntry::new(&placement, 3, Bytes::from_static(b"payload"));
        assert_eq!(encoded().remaining(), 9001 + 140 + 7);
        let (whole, granule_end) = taken(encoded(), usize::MAX);
        assert_eq!((whole.len(), granule_end), (9001 + 140 + 7, Some(9001)));
        assert_eq!(&whole[8996..9003], [0xfe, 0xdc, 0xde, 0xad, 0xfe, 0xfb, 0xdb]);
        for room in [1, 2, 3, 7, 4096, 9000, 9139] {
            assert!(taken(encoded(), room) == (whole.clone(), granule_end), "{room}");
        }
    }

    #[test]
    fn a_checksum_follows_from_those_around_it() {
        let bytes: Vec<u8> = (0..100_000_u32).map(|at| at.wrapping_mul(at) as u8).collect();
        for (start, end) in [(0, 10), (1, 1), (7, 64), (12_345, 100_000), (0, 100_000)] {
            let (before, all) = (crc32c::crc32c(&bytes[..start]), crc32c::crc32c(&bytes[..end]));
            assert_eq!(crc_behind(before, all, end - start), crc32c::crc32c(&bytes[start..end]), "{start}..{end}");
        }
    }
}
