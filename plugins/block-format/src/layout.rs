//! Decides where each entry of a ledger goes in the data object, before a byte of it is written: pure arithmetic.
//!
//! A block's length stands in its header, so it is fixed when the block begins. As in the original, each block but the last
//! has the largest size, and the last one exactly what the rest of the ledger takes; that rest is known from the ledger's
//! metadata, and a ledger that turns out different is an error, never a shorter object. An entry that fits no block gets a
//! block of its own that is as long as it needs.

use crate::data_block::{BlockHeader, FRAME_HEAD_BYTES, HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::error::{Error, Result};
use crate::index::IndexEntry;

/// The original's default block size in bytes.
pub const BLOCK_BYTES_DEFAULT: u64 = 64 << 20;
/// The smallest block that holds anything: header and the head of an empty entry.
pub const BLOCK_BYTES_MIN: u64 = HEADER_BYTES + FRAME_HEAD_BYTES;
/// Block sizes of the original are signed 32-bit numbers.
pub const BLOCK_BYTES_MAX: u64 = i32::MAX as u64;
/// About as many bytes of data as one index entry of a dense index leads to.
pub const GRANULE_BYTES_DEFAULT: u64 = 64 << 10;

/// What the index says beside the original's one entry for each block. Old readers accept all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IndexForm {
    /// One index entry for each block, as the original.
    Sparse,
    /// One for each granule: an entry is found without a search.
    Dense,
    /// Dense, with checksums behind the index that old readers do not look at.
    #[default]
    Checked,
}

/// How objects are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteOptions {
    /// Bytes of a block, header and padding included; only an entry that does not fit makes a longer one.
    pub block_bytes_max: u64,
    /// What the index holds.
    pub index: IndexForm,
    /// Bytes of a granule, where it has more than one entry. A granule is what one index entry leads to, what is read
    /// at least, and what a checksum covers.
    pub granule_bytes: u64,
}

impl Default for WriteOptions {
    fn default() -> Self {
        Self { block_bytes_max: BLOCK_BYTES_DEFAULT, index: IndexForm::default(), granule_bytes: GRANULE_BYTES_DEFAULT }
    }
}

impl WriteOptions {
    /// # Errors
    /// `OutOfBounds` for a size that the format cannot have.
    pub fn check(&self) -> Result<()> {
        let block_bounds = BLOCK_BYTES_MIN..=BLOCK_BYTES_MAX;
        if !block_bounds.contains(&self.block_bytes_max) {
            return Err(Error::OutOfBounds {
                what: "the block size",
                value: self.block_bytes_max,
                bounds: format!("{BLOCK_BYTES_MIN} to {BLOCK_BYTES_MAX} bytes"),
            });
        }
        if self.granule_bytes == 0 {
            let bounds = "at least 1 byte".to_owned();
            return Err(Error::OutOfBounds { what: "the granule size", value: 0, bounds });
        }
        Ok(())
    }
}

/// What a ledger's metadata announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerSize {
    /// The ledger, for messages.
    pub ledger_id: u64,
    /// Number of entries.
    pub entry_count: u64,
    /// Sum of the payload lengths in bytes.
    pub length_bytes: u64,
}

impl LedgerSize {
    /// What the object has at least: one header, and all entries.
    pub fn framed_bytes(&self) -> u64 {
        let heads = self.entry_count.saturating_mul(FRAME_HEAD_BYTES);
        self.length_bytes.saturating_add(heads).saturating_add(HEADER_BYTES)
    }
}

/// What precedes an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Placement {
    /// Bytes of padding that fill the block before.
    pub padding_bytes: u64,
    /// The header of the block that begins with this entry.
    pub block: Option<BlockHeader>,
    /// Whether a granule ends before the block's header, or else before this entry.
    pub ends_granule: bool,
}

/// Where all entries went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaidOut {
    /// Length of the data object in bytes.
    pub data_bytes: u64,
    /// The index, in the order of entries and offsets.
    pub entries: Vec<IndexEntry>,
}

/// Lays out one data object.
#[derive(Debug)]
pub struct DataLayout {
    size: LedgerSize,
    options: WriteOptions,
    next_entry_id: u64,
    /// Payload bytes placed so far.
    placed_bytes: u64,
    /// Where the next entry would go.
    offset: u64,
    block_end: u64,
    granule_start: u64,
    entries: Vec<IndexEntry>,
    blocks: u32,
}

impl DataLayout {
    /// # Errors
    /// `OutOfBounds` for options that the format cannot have; `LedgerMismatch` for a ledger without entries.
    pub fn new(size: LedgerSize, options: WriteOptions) -> Result<Self> {
        options.check()?;
        if size.entry_count == 0 {
            return Err(Error::LedgerMismatch { ledger_id: size.ledger_id, found: "no entries".to_owned() });
        }
        Ok(Self {
            size,
            options,
            next_entry_id: 0,
            placed_bytes: 0,
            offset: 0,
            block_end: 0,
            granule_start: 0,
            entries: Vec::new(),
            blocks: 0,
        })
    }

    /// Places the next entry.
    ///
    /// # Errors
    /// `LedgerMismatch` where it is not the next one, or does not fit what the metadata announced; `OutOfBounds` where no
    /// length field can hold it. The layout is of no more use then.
    pub fn place(&mut self, entry_id: u64, payload_bytes: u64) -> Result<Placement> {
        self.check_next(entry_id, payload_bytes)?;
        let framed_bytes = FRAME_HEAD_BYTES + payload_bytes;
        let fits = self.blocks > 0 && framed_bytes <= self.block_end - self.offset;
        let placement = if fits { self.go_on(framed_bytes) } else { self.begin_block(framed_bytes)? };
        self.offset += framed_bytes;
        self.placed_bytes += payload_bytes;
        self.next_entry_id += 1;
        Ok(placement)
    }

    /// Ends the object.
    ///
    /// # Errors
    /// `LedgerMismatch` where entries or bytes are missing.
    pub fn finish(self) -> Result<LaidOut> {
        if (self.next_entry_id, self.placed_bytes) != (self.size.entry_count, self.size.length_bytes) {
            return Err(self.mismatch(format!("{} entries of {} bytes", self.next_entry_id, self.placed_bytes)));
        }
        debug_assert_eq!(self.offset, self.block_end, "the last block is as long as the rest of the ledger");
        Ok(LaidOut { data_bytes: self.block_end, entries: self.entries })
    }

    fn check_next(&self, entry_id: u64, payload_bytes: u64) -> Result<()> {
        if entry_id != self.next_entry_id {
            return Err(self.mismatch(format!("entry {entry_id} where entry {} follows", self.next_entry_id)));
        }
        if payload_bytes > PAYLOAD_BYTES_MAX {
            let bounds = format!("at most {PAYLOAD_BYTES_MAX} bytes");
            return Err(Error::OutOfBounds { what: "the entry's length", value: payload_bytes, bounds });
        }
        let left = self.size.length_bytes - self.placed_bytes;
        if entry_id >= self.size.entry_count || payload_bytes > left {
            let found = format!("entry {entry_id} of {payload_bytes} bytes behind {} bytes", self.placed_bytes);
            return Err(self.mismatch(found));
        }
        Ok(())
    }

    fn go_on(&mut self, framed_bytes: u64) -> Placement {
        let granule_bytes = self.offset - self.granule_start + framed_bytes;
        let ends_granule = self.options.index != IndexForm::Sparse && granule_bytes > self.options.granule_bytes;
        if ends_granule {
            // Readers add the header's length to an index entry's offset.
            self.add_index_entry(self.offset - HEADER_BYTES);
            self.granule_start = self.offset;
        }
        Placement { padding_bytes: 0, block: None, ends_granule }
    }

    fn begin_block(&mut self, framed_bytes: u64) -> Result<Placement> {
        let padding_bytes = self.block_end - self.offset;
        let rest = LedgerSize {
            entry_count: self.size.entry_count - self.next_entry_id,
            length_bytes: self.size.length_bytes - self.placed_bytes,
            ..self.size
        }
        .framed_bytes();
        let block_bytes = rest.min(self.options.block_bytes_max.max(HEADER_BYTES + framed_bytes));
        let start = self.block_end;
        self.blocks = self.blocks.checked_add(1).filter(|blocks| i32::try_from(*blocks).is_ok()).ok_or_else(|| {
            let bounds = format!("at most {} blocks: make them larger", i32::MAX);
            Error::OutOfBounds { what: "the number of blocks", value: u64::from(self.blocks) + 1, bounds }
        })?;
        self.block_end = start.checked_add(block_bytes).filter(|end| i64::try_from(*end).is_ok()).ok_or_else(|| {
            let bounds = format!("at most {} bytes", i64::MAX);
            Error::OutOfBounds { what: "the data object's length", value: start, bounds }
        })?;
        self.add_index_entry(start);
        self.granule_start = start;
        self.offset = start + HEADER_BYTES;
        let block = BlockHeader { block_bytes, first_entry_id: self.next_entry_id };
        Ok(Placement { padding_bytes, block: Some(block), ends_granule: start > 0 })
    }

    fn add_index_entry(&mut self, offset: u64) {
        self.entries.push(IndexEntry { first_entry_id: self.next_entry_id, part_id: self.blocks, offset });
    }

    fn mismatch(&self, found: String) -> Error {
        let LedgerSize { ledger_id, entry_count, length_bytes } = self.size;
        let found = format!("{found}, its metadata announces {entry_count} entries of {length_bytes} bytes");
        Error::LedgerMismatch { ledger_id, found }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(payloads: &[u64], options: WriteOptions) -> (Vec<Placement>, LaidOut) {
        let size = LedgerSize { ledger_id: 1, entry_count: payloads.len() as u64, length_bytes: payloads.iter().sum() };
        let mut layout = DataLayout::new(size, options).unwrap();
        let placed = (0..).zip(payloads).map(|(id, bytes)| layout.place(id, *bytes).unwrap()).collect();
        (placed, layout.finish().unwrap())
    }

    fn sparse(block_bytes_max: u64) -> WriteOptions {
        WriteOptions { block_bytes_max, index: IndexForm::Sparse, ..WriteOptions::default() }
    }

    fn triples(laid_out: &LaidOut) -> Vec<(u64, u32, u64)> {
        laid_out.entries.iter().map(|it| (it.first_entry_id, it.part_id, it.offset)).collect()
    }

    #[test]
    fn blocks_are_cut_where_the_original_cuts_them() {
        let (placed, laid_out) = layout(&[10, 10, 10], sparse(170));
        let lengths: Vec<u64> = placed.iter().map(|it| it.block.unwrap().block_bytes).collect();
        assert_eq!(lengths, [170, 170, 150]);
        assert_eq!(placed.iter().map(|it| it.padding_bytes).collect::<Vec<_>>(), [0, 20, 20]);
        assert_eq!(triples(&laid_out), [(0, 1, 0), (1, 2, 170), (2, 3, 340)]);
        assert_eq!(laid_out.data_bytes, 490);
    }

    /// The original writes a block of padding alone, stops, and reports success.
    #[test]
    fn an_entry_larger_than_a_block_gets_a_block_that_holds_it() {
        let (placed, laid_out) = layout(&[10, 1000, 10, 10], sparse(170));
        let lengths: Vec<_> = placed.iter().filter_map(|it| it.block.map(|block| block.block_bytes)).collect();
        assert_eq!(lengths, [170, 128 + 12 + 1000, 170, 150]);
        assert_eq!(triples(&laid_out), [(0, 1, 0), (1, 2, 170), (2, 3, 1310), (3, 4, 1480)]);
    }

    /// The original computes the last block from the metadata's length and loses what does not fit.
    #[test]
    fn a_ledger_that_is_not_what_its_metadata_says_is_no_object() {
        let size = LedgerSize { ledger_id: 1, entry_count: 2, length_bytes: 15 };
        for entries in [&[(0, 10), (1, 10)][..], &[(0, 10)], &[(0, 10), (1, 4)], &[(1, 10)], &[(0, 5), (1, 5), (2, 5)]]
        {
            for block_bytes_max in [145, 1000] {
                let mut layout = DataLayout::new(size, sparse(block_bytes_max)).unwrap();
                let placed = entries.iter().try_for_each(|(id, bytes)| layout.place(*id, *bytes).map(drop));
                let result = placed.and_then(|()| layout.finish());
                assert!(matches!(result, Err(Error::LedgerMismatch { ledger_id: 1, .. })), "{entries:?}: {result:?}");
            }
        }
        assert!(DataLayout::new(LedgerSize { entry_count: 0, ..size }, sparse(200)).is_err());
    }

    #[test]
    fn a_dense_index_leads_to_each_granule() {
        let options = WriteOptions { block_bytes_max: 10_000, granule_bytes: 300, ..WriteOptions::default() };
        let (placed, laid_out) = layout(&[50, 50, 88, 100, 500, 1], options);
        let ends: Vec<bool> = placed.iter().map(|it| it.ends_granule).collect();
        // 128 + 62 + 62 bytes, then 100 more would be 352; 100 + 112; 512; 13.
        assert_eq!(ends, [false, false, true, false, true, true]);
        assert_eq!(triples(&laid_out), [(0, 1, 0), (2, 1, 252 - 128), (4, 1, 464 - 128), (5, 1, 976 - 128)]);
    }

    #[test]
    fn sizes_that_no_field_holds_are_refused() {
        for block_bytes_max in [0, 139, BLOCK_BYTES_MAX + 1] {
            assert!(matches!(sparse(block_bytes_max).check(), Err(Error::OutOfBounds { .. })), "{block_bytes_max}");
        }
        assert!(WriteOptions { granule_bytes: 0, ..WriteOptions::default() }.check().is_err());
        let size = LedgerSize { ledger_id: 1, entry_count: 1, length_bytes: u64::MAX };
        let mut layout = DataLayout::new(size, WriteOptions::default()).unwrap();
        assert!(matches!(layout.place(0, PAYLOAD_BYTES_MAX + 1), Err(Error::OutOfBounds { .. })));
    }
}
