//! The index object: the ledger's metadata, and the table that leads from entry ids into the data object.
//!
//! ```text
//! DE 47 DE 47 | length of this object i32 | length of the data object i64 | length of a block's header i64 (128)
//! | number of entries n i32 | length of the metadata m i32 | m bytes metadata | n index entries | extension
//! index entry := first entry id i64 | part id i32 | offset i64
//! ```
//! Where n is 1 the extension is the last property of the metadata.
//!
//! An index entry leads to `offset` + 128: the original writes one for each block, with the offset of the block's header. A
//! further entry into the middle of a block has the block's part id and the position of an entry's head less 128, which old
//! readers follow as well. A *granule* is what lies between what two neighbours lead to, a block's header included.
//!
//! Format: docs/formats/index-block.md, from Pulsar's `OffloadIndexBlockImpl`.

use std::ops::Range;

use longshore_plugin_api::LedgerMetadata;
use uuid::Uuid;

use crate::data_block::HEADER_BYTES;
use crate::error::{Error, Result};
use crate::extension::{self, Extension};
use crate::layout::{IndexForm, LaidOut};

const MAGIC: [u8; 4] = [0xDE, 0x47, 0xDE, 0x47];
/// The original's streaming offload, which no broker ever called.
const STREAMING_MAGIC: [u8; 4] = [0x3D, 0x1F, 0xB0, 0xBC];
const OBJECT_LENGTH_AT: usize = MAGIC.len();
const DATA_LENGTH_AT: usize = OBJECT_LENGTH_AT + 4;
const HEADER_LENGTH_AT: usize = DATA_LENGTH_AT + 8;
const ENTRY_COUNT_AT: usize = HEADER_LENGTH_AT + 8;
const METADATA_LENGTH_AT: usize = ENTRY_COUNT_AT + 4;
const METADATA_AT: usize = METADATA_LENGTH_AT + 4;
const PART_ID_AT: usize = 8;
const OFFSET_AT: usize = PART_ID_AT + 4;
const ENTRY_BYTES: usize = OFFSET_AT + 8;

/// One line of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexEntry {
    /// The entry that it leads to.
    pub first_entry_id: u64,
    /// The block, counted from 1, that holds it; the original uploaded each as a part of this number.
    pub part_id: u32,
    /// Where it leads to, less the length of a block's header; bytes from the start of the data object.
    pub offset: u64,
}

/// What an index object says. Its table is never empty, begins with entry 0 and ascends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    metadata: LedgerMetadata,
    metadata_bytes: Vec<u8>,
    data_bytes: u64,
    entries: Vec<IndexEntry>,
    extension: Option<Extension>,
}

/// What the writer of a data object learned, for the extension of its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// The attempt.
    pub uid: Uuid,
    /// Where everything went.
    pub laid_out: LaidOut,
    /// For each granule, CRC32C of the data object up to its end.
    pub running_crcs: Vec<u32>,
}

impl Index {
    /// The index of a data object that was written, with `metadata_bytes` as the ledger's stored metadata.
    ///
    /// # Errors
    /// `Corrupt` where the metadata is none.
    pub fn new(ledger_id: u64, metadata_bytes: Vec<u8>, written: Written, form: IndexForm) -> Result<Self> {
        let Written { uid, laid_out, running_crcs } = written;
        let extension = (form == IndexForm::Checked).then_some(Extension { ledger_id, uid, running_crcs });
        Ok(Self {
            metadata: decode_metadata("index", ledger_id, &metadata_bytes)?,
            metadata_bytes,
            data_bytes: laid_out.data_bytes,
            entries: laid_out.entries,
            extension,
        })
    }

    /// What is known of the ledger. It is closed, whatever state was recorded when it was copied.
    pub fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    /// The ledger's metadata as stored: BookKeeper's `LedgerMetadataFormat`.
    pub fn metadata_bytes(&self) -> &[u8] {
        &self.metadata_bytes
    }

    /// Length of the data object in bytes.
    pub fn data_bytes(&self) -> u64 {
        self.data_bytes
    }

    /// The table.
    pub fn entries(&self) -> &[IndexEntry] {
        &self.entries
    }

    /// What stands behind the table, where a writer of ours left it.
    pub fn extension(&self) -> Option<&Extension> {
        self.extension.as_ref()
    }

    /// What this value takes in memory, in bytes.
    pub fn memory_bytes(&self) -> u64 {
        let crcs = self.extension.as_ref().map_or(0, |it| it.running_crcs.capacity() * size_of::<u32>());
        let custom: usize = self.metadata.custom.iter().map(|(name, value)| name.len() + value.len()).sum();
        let table = self.entries.capacity() * size_of::<IndexEntry>();
        (size_of::<Self>() + self.metadata_bytes.capacity() + custom + table + crcs) as u64
    }

    /// The object's bytes.
    ///
    /// # Errors
    /// `OutOfBounds` where the table is longer than the format's 31 bits.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let (in_metadata, behind_table) = match &self.extension {
            Some(extension) if extension.is_property() => (Some(extension), None),
            extension => (None, extension.as_ref()),
        };
        let metadata_bytes = self.metadata_bytes.len() + in_metadata.map_or(0, Extension::encoded_bytes);
        let table_end = METADATA_AT + metadata_bytes + self.entries.len() * ENTRY_BYTES;
        let object_bytes = table_end + behind_table.map_or(0, Extension::encoded_bytes);
        let object_length = i32::try_from(object_bytes).map_err(|_| Error::OutOfBounds {
            what: "the index object's length",
            value: object_bytes as u64,
            bounds: format!("at most {} bytes: make granules larger", i32::MAX),
        })?;
        let mut bytes = Vec::with_capacity(object_bytes);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&object_length.to_be_bytes());
        bytes.extend_from_slice(&self.data_bytes.to_be_bytes());
        bytes.extend_from_slice(&HEADER_BYTES.to_be_bytes());
        bytes.extend_from_slice(&(self.entries.len() as i32).to_be_bytes());
        bytes.extend_from_slice(&(metadata_bytes as i32).to_be_bytes());
        bytes.extend_from_slice(&self.metadata_bytes);
        if let Some(extension) = in_metadata {
            extension.append_to(&mut bytes);
        }
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.first_entry_id.to_be_bytes());
            bytes.extend_from_slice(&entry.part_id.to_be_bytes());
            bytes.extend_from_slice(&entry.offset.to_be_bytes());
        }
        if let Some(extension) = behind_table {
            extension.append_to(&mut bytes);
        }
        Ok(bytes)
    }

    /// Reads an index object. `object` is its key for messages; the bytes do not name their ledger, so the caller does.
    ///
    /// As in the original, bytes behind the table that are not our extension are ignored, and of two lines for one entry the
    /// first counts.
    ///
    /// # Errors
    /// `Corrupt` with the offset; `Unsupported` for an index of the original's streaming offload.
    pub fn decode(object: &str, ledger_id: u64, bytes: &[u8]) -> Result<Self> {
        Self::decode_of(object, Some(ledger_id), bytes)
    }

    /// As [`decode`](Self::decode), for a caller who does not know the ledger: its id is that of our extension, 0 without one.
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn decode_unnamed(object: &str, bytes: &[u8]) -> Result<Self> {
        Self::decode_of(object, None, bytes)
    }

    fn decode_of(object: &str, expected: Option<u64>, bytes: &[u8]) -> Result<Self> {
        let fields = Fields { object, bytes };
        fields.check_magic()?;
        let object_length = fields.i32(OBJECT_LENGTH_AT)?;
        if object_length > bytes.len() {
            let problem = format!("the object ends here, it says that it has {object_length} bytes");
            return Err(Error::corrupt(object, bytes.len() as u64, problem));
        }
        let data_bytes = fields.i64(DATA_LENGTH_AT)?;
        let header_bytes = fields.i64(HEADER_LENGTH_AT)?;
        if header_bytes != HEADER_BYTES {
            let problem = format!("blocks are said to have headers of {header_bytes} bytes, known are {HEADER_BYTES}");
            return Err(Error::corrupt(object, HEADER_LENGTH_AT as u64, problem));
        }
        let entry_count = fields.i32(ENTRY_COUNT_AT)?;
        let metadata_length = fields.i32(METADATA_LENGTH_AT)?;
        fields.slice(METADATA_AT, metadata_length)?;
        let table_at = METADATA_AT + metadata_length;
        // No number of 31 bits makes this overflow where a length has 64.
        let table = fields.slice(table_at, entry_count * ENTRY_BYTES)?;
        let property = if entry_count == 1 {
            fields.check_only_line(table_at, extension::decode_property(object, &bytes[..table_at])?)?
        } else {
            None
        };
        let (metadata_end, extension) = match property {
            Some((begins, extension)) => (begins, Some(extension)),
            None => (table_at, extension::decode(object, bytes, table_at + table.len(), entry_count)?),
        };
        let metadata_bytes = bytes.get(METADATA_AT..metadata_end).unwrap_or_default();
        let metadata = decode_metadata(object, expected.unwrap_or(0), metadata_bytes)?;
        let table = Table { object, table_at, data_bytes, ledger_entries: metadata.entry_count };
        let entries = table.decode(table_bytes(bytes, table_at, entry_count), extension.is_some())?;
        let ledger_id = extension.as_ref().map_or(metadata.ledger_id, |it| it.ledger_id);
        if let Some(expected) = expected.filter(|expected| *expected != ledger_id) {
            let problem = format!("this is the index of ledger {ledger_id}, not of ledger {expected}");
            return Err(Error::corrupt(object, (table_at + entries.len() * ENTRY_BYTES) as u64, problem));
        }
        let metadata = LedgerMetadata { ledger_id, ..metadata };
        Ok(Self { metadata, metadata_bytes: metadata_bytes.to_vec(), data_bytes, entries, extension })
    }

    /// The line that leads to `entry_id` or closest before it.
    pub fn floor(&self, entry_id: u64) -> usize {
        // The first line leads to entry 0.
        self.entries.partition_point(|entry| entry.first_entry_id <= entry_id) - 1
    }

    /// The granule that holds the byte at `offset`.
    pub fn granule_at(&self, offset: u64) -> usize {
        let (mut low, mut high) = (0, self.entries.len());
        while high - low > 1 {
            let middle = low.midpoint(high);
            if self.granule_start(middle) <= offset { low = middle } else { high = middle }
        }
        low
    }

    /// Whether a block begins with this granule.
    pub fn begins_block(&self, granule: usize) -> bool {
        begins_block(&self.entries, granule)
    }

    /// Where a granule begins: at its block's header or at its first entry's head.
    pub fn granule_start(&self, granule: usize) -> u64 {
        granule_start(&self.entries, granule)
    }

    /// A granule's bytes in the data object.
    pub fn granule(&self, granule: usize) -> Range<u64> {
        let end = if granule + 1 < self.entries.len() { self.granule_start(granule + 1) } else { self.data_bytes };
        self.granule_start(granule)..end
    }

    /// Where the block that holds a granule ends.
    pub fn block_end(&self, granule: usize) -> u64 {
        let part_id = self.entries[granule].part_id;
        let next = granule + self.entries[granule..].partition_point(|entry| entry.part_id == part_id);
        self.entries.get(next).map_or(self.data_bytes, |entry| entry.offset)
    }
}

fn table_bytes(bytes: &[u8], table_at: usize, entry_count: usize) -> &[u8] {
    &bytes[table_at..table_at + entry_count * ENTRY_BYTES]
}

fn begins_block(entries: &[IndexEntry], granule: usize) -> bool {
    granule == 0 || entries[granule - 1].part_id != entries[granule].part_id
}

fn granule_start(entries: &[IndexEntry], granule: usize) -> u64 {
    let offset = entries[granule].offset;
    if begins_block(entries, granule) { offset } else { offset + HEADER_BYTES }
}

/// Only closed ledgers are offloaded, whatever state their metadata was in when it was copied.
fn decode_metadata(object: &str, ledger_id: u64, bytes: &[u8]) -> Result<LedgerMetadata> {
    let metadata = LedgerMetadata::from_bookkeeper_bytes(ledger_id, bytes)
        .map_err(|error| Error::corrupt(object, METADATA_AT as u64, error.to_string()))?;
    if metadata.entry_count == 0 {
        return Err(Error::corrupt(object, METADATA_AT as u64, "the ledger is said to have no entry"));
    }
    Ok(LedgerMetadata { closed: true, ..metadata })
}

/// Fixed places in an index object.
struct Fields<'a> {
    object: &'a str,
    bytes: &'a [u8],
}

impl<'a> Fields<'a> {
    fn check_magic(&self) -> Result<()> {
        match self.slice(0, MAGIC.len())? {
            magic if magic == MAGIC => Ok(()),
            magic if magic == STREAMING_MAGIC => {
                let problem = "it is an index of version 2 (streaming offload), which no released broker writes; \
                               version 1 is read";
                Err(Error::unsupported(self.object, problem))
            }
            _ => Err(Error::corrupt(self.object, 0, "an index begins with de47de47")),
        }
    }

    /// The checksum of a `property` ends before the table, of which only this one line can come.
    fn check_only_line<T>(&self, at: usize, property: Option<T>) -> Result<Option<T>> {
        let only = IndexEntry { first_entry_id: 0, part_id: 1, offset: 0 };
        let behind = self.bytes.get(at..).unwrap_or_default();
        if property.is_some() && (behind.len() != ENTRY_BYTES || decode_entry(behind) != Some(only)) {
            let problem = "one line should be here, of entry 0 in part 1 at 0, and then the object's end";
            return Err(Error::corrupt(self.object, at as u64, problem));
        }
        Ok(property)
    }

    fn slice(&self, at: usize, len: usize) -> Result<&'a [u8]> {
        self.bytes.get(at..).and_then(|rest| rest.get(..len)).ok_or_else(|| {
            let problem = format!("the object ends here, {len} bytes should follow at {at}");
            Error::corrupt(self.object, self.bytes.len() as u64, problem)
        })
    }

    fn i32(&self, at: usize) -> Result<usize> {
        let raw = self.slice(at, 4)?.first_chunk().expect("the slice has 4 bytes");
        let number = i32::from_be_bytes(*raw);
        usize::try_from(number).map_err(|_| Error::corrupt(self.object, at as u64, format!("{number} is negative")))
    }

    fn i64(&self, at: usize) -> Result<u64> {
        let raw = self.slice(at, 8)?.first_chunk().expect("the slice has 8 bytes");
        let number = i64::from_be_bytes(*raw);
        u64::try_from(number).map_err(|_| Error::corrupt(self.object, at as u64, format!("{number} is negative")))
    }
}

/// What the table is held against.
struct Table<'a> {
    object: &'a str,
    table_at: usize,
    data_bytes: u64,
    ledger_entries: u64,
}

impl Table<'_> {
    /// `strict`: the table is our own, which has no line twice.
    fn decode(&self, bytes: &[u8], strict: bool) -> Result<Vec<IndexEntry>> {
        let mut entries: Vec<IndexEntry> = Vec::with_capacity(bytes.len() / ENTRY_BYTES);
        for (line, raw) in bytes.chunks_exact(ENTRY_BYTES).enumerate() {
            let corrupt =
                |problem: String| Error::corrupt(self.object, (self.table_at + line * ENTRY_BYTES) as u64, problem);
            let entry = decode_entry(raw).ok_or_else(|| corrupt("a negative number".to_owned()))?;
            match entries.last() {
                None if (entry.first_entry_id, entry.offset) != (0, 0) => {
                    let (id, offset) = (entry.first_entry_id, entry.offset);
                    return Err(corrupt(format!("the first block has entry {id} at {offset}, not entry 0 at 0")));
                }
                Some(last) if last.first_entry_id == entry.first_entry_id && !strict => continue,
                Some(last) if last.first_entry_id >= entry.first_entry_id || last.part_id > entry.part_id => {
                    return Err(corrupt(format!("entry {} does not ascend", entry.first_entry_id)));
                }
                _ => {}
            }
            if entry.first_entry_id >= self.ledger_entries {
                let (id, count) = (entry.first_entry_id, self.ledger_entries);
                return Err(corrupt(format!("a block begins with entry {id}, the ledger has {count} entries")));
            }
            entries.push(entry);
            self.check_start(&entries).map_err(corrupt)?;
        }
        if entries.is_empty() {
            return Err(Error::corrupt(self.object, ENTRY_COUNT_AT as u64, "the index has no entry"));
        }
        Ok(entries)
    }

    /// Granules ascend and lie within the data object. The original may list a last block that it did not write.
    fn check_start(&self, entries: &[IndexEntry]) -> Result<(), String> {
        let last = entries.len() - 1;
        let offset = entries[last].offset;
        if offset.checked_add(HEADER_BYTES).is_none() || granule_start(entries, last) > self.data_bytes {
            return Err(format!(
                "entry {} is said to be at {offset}, the data object has {} bytes",
                entries[last].first_entry_id, self.data_bytes
            ));
        }
        if last > 0 && granule_start(entries, last) <= granule_start(entries, last - 1) {
            return Err(format!("the position of entry {} does not ascend", entries[last].first_entry_id));
        }
        Ok(())
    }
}

fn decode_entry(raw: &[u8]) -> Option<IndexEntry> {
    let (id, rest) = raw.split_first_chunk::<PART_ID_AT>()?;
    let (part_id, rest) = rest.split_first_chunk::<{ OFFSET_AT - PART_ID_AT }>()?;
    let (offset, _) = rest.split_first_chunk::<{ ENTRY_BYTES - OFFSET_AT }>()?;
    Some(IndexEntry {
        first_entry_id: u64::try_from(i64::from_be_bytes(*id)).ok()?,
        part_id: u32::try_from(i32::from_be_bytes(*part_id)).ok()?,
        offset: u64::try_from(i64::from_be_bytes(*offset)).ok()?,
    })
}
