//! Turns a ledger's entries into the bytes of its two objects, one entry at a time and without keeping any of them.

use longshore_plugin_api::LedgerMetadata;
use uuid::Uuid;

use crate::data_block::{FRAME_HEAD_BYTES, HEADER_BYTES, PADDING, frame_head};
use crate::error::Result;
use crate::index::{Index, Written};
use crate::layout::{DataLayout, IndexForm, LedgerSize, Placement, WriteOptions};

/// Header of a block and head of its first entry.
const HEAD_BYTES_MAX: usize = (HEADER_BYTES + FRAME_HEAD_BYTES) as usize;

/// So much padding is checksummed and copied at once. A multiple of the pattern's length.
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
    running_crc: u32,
    granule_crcs: Vec<u32>,
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
        Ok(Self { metadata, uid, form, layout, running_crc: 0, granule_crcs: Vec::new() })
    }

    /// The bytes of the next entry and of what precedes it: to be taken whole, before the next call.
    ///
    /// # Errors
    /// `LedgerMismatch` where it is not the entry that follows, or does not fit what the metadata announced; `OutOfBounds`
    /// where it is too long for the format. The encoder is of no more use then.
    pub fn encode<'a>(&mut self, entry_id: u64, payload: &'a [u8]) -> Result<EncodedEntry<'a>> {
        let placement = self.layout.place(entry_id, payload.len() as u64)?;
        let encoded = EncodedEntry::new(&placement, entry_id, payload);
        self.checksum(&placement, &encoded);
        Ok(encoded)
    }

    /// Ends the data object and answers its index.
    ///
    /// # Errors
    /// `LedgerMismatch` where entries or bytes are missing.
    pub fn finish(mut self) -> Result<EncodedCopy> {
        let laid_out = self.layout.finish()?;
        self.granule_crcs.push(self.running_crc);
        let written = Written { uid: self.uid, laid_out, running_crcs: self.granule_crcs };
        let bytes = self.metadata.to_bookkeeper_bytes();
        let index = Index::new(self.metadata.ledger_id, bytes, written, self.form)?;
        Ok(EncodedCopy { index, data_crc: self.running_crc })
    }

    fn checksum(&mut self, placement: &Placement, encoded: &EncodedEntry<'_>) {
        let mut crc = self.running_crc;
        let mut padding = encoded.padding_bytes;
        while padding > 0 {
            let run = padding.min(PADDING_RUN.len() as u64);
            crc = crc32c::crc32c_append(crc, &PADDING_RUN[..run as usize]);
            padding -= run;
        }
        if placement.ends_granule {
            self.granule_crcs.push(crc);
        }
        crc = crc32c::crc32c_append(crc, &encoded.head[encoded.head_at..]);
        self.running_crc = crc32c::crc32c_append(crc, encoded.payload);
    }
}

/// The bytes of one entry, as far as they were not taken yet.
#[derive(Debug)]
pub struct EncodedEntry<'a> {
    padding_bytes: u64,
    /// Where in the padding's pattern the next byte of it is.
    padding_phase: usize,
    head: [u8; HEAD_BYTES_MAX],
    head_at: usize,
    payload: &'a [u8],
}

impl<'a> EncodedEntry<'a> {
    fn new(placement: &Placement, entry_id: u64, payload: &'a [u8]) -> Self {
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
        Self { padding_bytes: placement.padding_bytes, padding_phase: 0, head, head_at, payload }
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> u64 {
        self.padding_bytes + (self.head.len() - self.head_at) as u64 + self.payload.len() as u64
    }

    /// Moves up to `room` bytes to the end of `target`.
    pub fn take_into(&mut self, target: &mut Vec<u8>, mut room: usize) {
        while self.padding_bytes > 0 && room > 0 {
            let run = &PADDING_RUN[self.padding_phase..];
            let len = usize::try_from(self.padding_bytes).unwrap_or(usize::MAX).min(room).min(run.len());
            target.extend_from_slice(&run[..len]);
            self.padding_phase = (self.padding_phase + len) % PADDING.len();
            self.padding_bytes -= len as u64;
            room -= len;
        }
        let len = room.min(self.head.len() - self.head_at);
        target.extend_from_slice(&self.head[self.head_at..][..len]);
        self.head_at += len;
        room -= len;
        let (now, later) = self.payload.split_at(room.min(self.payload.len()));
        target.extend_from_slice(now);
        self.payload = later;
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
    let mut data = Vec::new();
    for (entry_id, payload) in (0..).zip(payloads) {
        encoder.encode(entry_id, payload.as_ref())?.take_into(&mut data, usize::MAX);
    }
    Ok((data, encoder.finish()?.index))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_the_same_however_small_the_pieces_are() {
        let placement = Placement {
            padding_bytes: 9001,
            block: Some(crate::data_block::BlockHeader { block_bytes: 500, first_entry_id: 3 }),
            ends_granule: true,
        };
        let mut whole = Vec::new();
        let mut encoded = EncodedEntry::new(&placement, 3, b"payload");
        assert_eq!(encoded.remaining(), 9001 + 140 + 7);
        encoded.take_into(&mut whole, usize::MAX);
        assert_eq!(whole.len(), 9001 + 140 + 7);
        assert_eq!(&whole[8996..9003], [0xfe, 0xdc, 0xde, 0xad, 0xfe, 0xfb, 0xdb]);
        for room in [1, 2, 3, 7, 4096, 9000, 9139] {
            let (mut pieces, mut encoded) = (Vec::new(), EncodedEntry::new(&placement, 3, b"payload"));
            while encoded.remaining() > 0 {
                encoded.take_into(&mut pieces, room);
            }
            assert!(pieces == whole, "{room}");
        }
    }
}
