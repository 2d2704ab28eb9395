//! Puts one part together after the other. Long payloads stay where they are and are sent from there; what is short is copied
//! into chunks, which are used again. Each byte is checksummed once, as it passes.
//!
//! A chunk is lent to the part's requests (all attempts at it use the same bytes), and comes back when the last of them is
//! done with it.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::spare::{SpareBuffer, Spares};

use crate::crc;
use crate::encoder::{DataCrcs, EncodedEntry, Piece};
use crate::store::Body;

/// A shorter run of a payload is copied: that costs less than one more piece to send, and keeps less memory from being given
/// back.
const SENT_IN_PLACE_BYTES_MIN: usize = 16 << 10;
/// Bytes of a chunk: what was copied is checksummed while the processor still has it at hand.
const CHUNK_BYTES: usize = 256 << 10;

/// The part that is being filled.
pub(super) struct Filling {
    crcs: DataCrcs,
    /// Checksum of the object before this part.
    crc_before: u32,
    len: usize,
    pieces: Vec<Place>,
    chunks: Vec<SpareBuffer>,
    /// Up to where the last chunk is in `pieces`.
    placed: usize,
    /// Up to where it is in `crcs`.
    summed: usize,
    /// Chunks that came back. What they were lent for bounds them.
    spares: Arc<Spares>,
    chunk_bytes: usize,
}

/// Where a piece of the part is.
enum Place {
    Chunk(usize, Range<usize>),
    Payload(Bytes),
}

/// A part, and the CRC32C of what was to be in it.
pub(super) struct FilledPart {
    pub(super) body: Body,
    pub(super) crc32c: u32,
}

impl Filling {
    /// Parts of a data object that has `object_bytes` or more.
    pub(super) fn new(object_bytes: u64) -> Self {
        let chunk_bytes = usize::try_from(object_bytes).unwrap_or(usize::MAX).clamp(1, CHUNK_BYTES);
        Self {
            crcs: DataCrcs::default(),
            crc_before: 0,
            len: 0,
            pieces: Vec::new(),
            chunks: Vec::new(),
            placed: 0,
            summed: 0,
            spares: Spares::new(usize::MAX),
            chunk_bytes,
        }
    }

    /// Bytes of the part so far.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// What comes next of an entry, within `room`.
    pub(super) fn append(&mut self, encoded: &mut EncodedEntry, room: usize) {
        let end = self.len + room;
        while self.len < end
            && let Some(piece) = encoded.next_piece(end - self.len)
        {
            self.append_piece(piece);
        }
    }

    fn append_piece(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::GranuleEnd => {
                self.sum_up();
                self.crcs.end_granule();
            }
            Piece::Format(bytes) => self.copy(bytes),
            Piece::Payload(bytes) if bytes.len() < SENT_IN_PLACE_BYTES_MIN => self.copy(&bytes),
            Piece::Payload(bytes) => {
                self.sum_up();
                self.end_piece();
                self.crcs.append(&bytes);
                self.len += bytes.len();
                self.pieces.push(Place::Payload(bytes));
            }
        }
    }

    /// The part, and the next one begins.
    pub(super) fn take(&mut self) -> FilledPart {
        self.sum_up();
        self.end_piece();
        let chunks: Vec<Bytes> = self.chunks.drain(..).map(SpareBuffer::freeze).collect();
        let body = Body::new(self.pieces.drain(..).map(|place| match place {
            Place::Chunk(at, range) => chunks[at].slice(range),
            Place::Payload(bytes) => bytes,
        }));
        let all = self.crcs.running();
        let crc32c = crc::behind(self.crc_before, all, self.len as u64);
        (self.crc_before, self.len, self.placed, self.summed) = (all, 0, 0, 0);
        FilledPart { body, crc32c }
    }

    /// Checksums of all that was appended, this part's included.
    pub(super) fn crcs(&mut self) -> DataCrcs {
        self.sum_up();
        self.crcs.clone()
    }

    fn copy(&mut self, mut bytes: &[u8]) {
        self.len += bytes.len();
        while !bytes.is_empty() {
            if self.chunks.last().is_none_or(|chunk| chunk.len() == self.chunk_bytes) {
                self.sum_up();
                self.end_piece();
                self.chunks.push(self.spares.buffer(self.chunk_bytes));
                (self.placed, self.summed) = (0, 0);
            }
            let Some(chunk) = self.chunks.last_mut() else { return };
            let (now, later) = bytes.split_at(bytes.len().min(self.chunk_bytes - chunk.len()));
            chunk.extend_from_slice(now);
            bytes = later;
        }
    }

    /// Checksums what was copied since.
    fn sum_up(&mut self) {
        if let Some(chunk) = self.chunks.last() {
            self.crcs.append(&chunk[self.summed..]);
            self.summed = chunk.len();
        }
    }

    fn end_piece(&mut self) {
        let end = self.chunks.last().map_or(0, |chunk| chunk.len());
        if self.placed < end {
            self.pieces.push(Place::Chunk(self.chunks.len() - 1, self.placed..end));
            self.placed = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(len: usize) -> Bytes {
        (0..len).map(|at| (at * 7 + len) as u8).collect::<Vec<u8>>().into()
    }

    #[test]
    fn parts_have_the_bytes_and_the_checksums_of_what_went_in() {
        let mut filling = Filling::new(u64::MAX);
        let (mut object, mut crcs) = (Vec::new(), DataCrcs::default());
        for part in [vec![10, 20_000, 5, 5, 300_000, 1], vec![7], vec![SENT_IN_PLACE_BYTES_MIN; 40], vec![1000; 900]] {
            let start = object.len();
            for (at, len) in part.into_iter().enumerate() {
                let payload = payload(len);
                let copied = at % 2 == 0;
                filling.append_piece(if copied { Piece::Format(&payload) } else { Piece::Payload(payload.clone()) });
                filling.append_piece(Piece::GranuleEnd);
                object.extend_from_slice(&payload);
                crcs.append(&payload);
                crcs.end_granule();
            }
            assert_eq!(filling.len(), object.len() - start);
            let FilledPart { body, crc32c } = filling.take();
            assert!(body.to_bytes() == object[start..]);
            assert_eq!(crc32c, crc32c::crc32c(&object[start..]));
        }
        assert_eq!(filling.crcs(), crcs);
    }

    #[test]
    fn long_payloads_stay_where_they_are_and_chunks_are_used_again() {
        let mut filling = Filling::new(u64::MAX);
        let long = payload(SENT_IN_PLACE_BYTES_MIN);
        filling.append_piece(Piece::Format(b"head"));
        filling.append_piece(Piece::Payload(long.clone()));
        let first = filling.take().body;
        assert_eq!(first.pieces()[1].as_ptr(), long.as_ptr());
        let chunk = first.pieces()[0].as_ptr();
        drop(first);
        filling.append_piece(Piece::Format(b"next"));
        assert_eq!(filling.take().body.pieces()[0].as_ptr(), chunk);
    }
}
