//! What we append to the index object: checksums of the data object, of the index itself, and whose copy it is. Old readers
//! stop before it.
//!
//! ```text
//! "LSHXHED" 01 | ledger id i64 | uid, 16 bytes | n × running CRC32C u32
//! | CRC32C of the index object up to here u32 | length of the extension u32 | "LSHXEND" 01
//! ```
//! There is one running CRC32C for each line of the index's table: of all bytes of the data object up to the end of that
//! line's granule. With its predecessor it proves the granule alone, and the last one is that of the whole object.
//!
//! It stands behind the table. Where the table has one line, which says nothing, it stands before it, as the last custom
//! property of the ledger's metadata ([`PROPERTY_HEAD`]): so the index of a short ledger is as long as the original's.
//!
//! An object that begins or ends an extension of this version must hold a sound one; another version is ignored as a whole.
//!
//! Format: docs/formats/extension.md.

use uuid::Uuid;

use crate::crc;
use crate::error::{Error, Result};

const NAME_BYTES: usize = 7;
const HEAD_NAME: &[u8; NAME_BYTES] = b"LSHXHED";
const END_NAME: &[u8; NAME_BYTES] = b"LSHXEND";
const VERSION: u8 = 1;
const MARK_BYTES: usize = NAME_BYTES + 1;
const LEDGER_ID_AT: usize = MARK_BYTES;
const UID_AT: usize = LEDGER_ID_AT + 8;
const CRCS_AT: usize = UID_AT + 16;
const CRC_BYTES: usize = 4;
const LENGTH_BYTES: usize = 4;
/// Checksum, length and mark at the end.
const FOOTER_BYTES: usize = CRC_BYTES + LENGTH_BYTES + MARK_BYTES;

/// Bytes of an extension with one checksum.
const ONE_CRC_BYTES: usize = CRCS_AT + CRC_BYTES + FOOTER_BYTES;
/// What makes an extension with one checksum a custom property of BookKeeper's `LedgerMetadataFormat`: field 11 of 74 bytes, a
/// message of field 1, the name of 18 bytes, and field 2, the value of 52. Protobuf allows to append it to an encoded message.
const PROPERTY_HEAD: &[u8; 24] = b"\x5a\x4a\x0a\x12LongshoreChecksums\x12\x34";
const PROPERTY_BYTES: usize = PROPERTY_HEAD.len() + ONE_CRC_BYTES;
const _: () = assert!(ONE_CRC_BYTES == 52 && PROPERTY_BYTES == 76, "the lengths that the property's head says");

/// An extension's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// The ledger.
    pub ledger_id: u64,
    /// The attempt that wrote the copy.
    pub uid: Uuid,
    /// For each granule, CRC32C of the data object up to its end.
    pub running_crcs: Vec<u32>,
}

impl Extension {
    /// CRC32C of the whole data object.
    pub fn data_crc(&self) -> u32 {
        self.running_crcs.last().copied().unwrap_or(0)
    }

    /// Whether it stands in the ledger's metadata.
    pub(crate) fn is_property(&self) -> bool {
        self.running_crcs.len() == 1
    }

    /// What it takes in the index object.
    pub(crate) fn encoded_bytes(&self) -> usize {
        if self.is_property() { PROPERTY_BYTES } else { self.value_bytes() }
    }

    fn value_bytes(&self) -> usize {
        CRCS_AT + self.running_crcs.len() * CRC_BYTES + FOOTER_BYTES
    }

    /// Appends to `object`, the index object so far.
    pub(crate) fn append_to(&self, object: &mut Vec<u8>) {
        if self.is_property() {
            object.extend_from_slice(PROPERTY_HEAD);
        }
        object.extend_from_slice(HEAD_NAME);
        object.push(VERSION);
        object.extend_from_slice(&self.ledger_id.to_be_bytes());
        object.extend_from_slice(self.uid.as_bytes());
        for crc in &self.running_crcs {
            object.extend_from_slice(&crc.to_be_bytes());
        }
        object.extend_from_slice(&crc::of(object).to_be_bytes());
        object.extend_from_slice(&(self.value_bytes() as u32).to_be_bytes());
        object.extend_from_slice(END_NAME);
        object.push(VERSION);
    }
}

/// Reads the extension that is the last property of metadata: `before_table` is `object` up to its table of one line. Beside it
/// is said where the property begins. `None` where there is none that is known here.
///
/// # Errors
/// `Corrupt` with the offset.
pub(crate) fn decode_property(object: &str, before_table: &[u8]) -> Result<Option<(usize, Extension)>> {
    let Some(begins) = before_table.len().checked_sub(PROPERTY_BYTES) else { return Ok(None) };
    let extension = decode(object, before_table, begins + PROPERTY_HEAD.len(), 1)?;
    Ok(extension.map(|extension| (begins, extension)))
}

/// Reads the extension of `object`, whose table has `entry_count` lines and ends at `table_end`; `None` where it has none
/// that is known here.
///
/// # Errors
/// `Corrupt` with the offset.
pub(crate) fn decode(object: &str, bytes: &[u8], table_end: usize, entry_count: usize) -> Result<Option<Extension>> {
    let behind_table = bytes.get(table_end..).unwrap_or_default();
    let (head, end) = (version(HEAD_NAME, behind_table), bytes.len().checked_sub(MARK_BYTES));
    let end = end.and_then(|at| version(END_NAME, &bytes[at..]));
    if head != Some(VERSION) && end != Some(VERSION) {
        return Ok(None);
    }
    let corrupt = |at: usize, problem: String| Err(Error::corrupt(object, at as u64, problem));
    let length = CRCS_AT + entry_count * CRC_BYTES + FOOTER_BYTES;
    if head != end || behind_table.len() != length {
        let problem = format!("an extension of {length} bytes should be here, to the object's end; here it is damaged");
        return corrupt(table_end, problem);
    }
    let (covered, footer) = bytes.split_at(bytes.len() - FOOTER_BYTES);
    let (crc, footer) = footer.split_first_chunk::<CRC_BYTES>().expect("the footer begins with a checksum");
    let (said_length, _) = footer.split_first_chunk::<LENGTH_BYTES>().expect("then comes a length");
    if u32::from_be_bytes(*said_length) as usize != length {
        return corrupt(covered.len() + CRC_BYTES, format!("the extension has {length} bytes and says otherwise"));
    }
    if u32::from_be_bytes(*crc) != crc::of(covered) {
        return corrupt(0, format!("the checksum of the {} bytes from here on does not match", covered.len()));
    }
    let (ids, crcs) = covered[table_end + LEDGER_ID_AT..].split_at(CRCS_AT - LEDGER_ID_AT);
    let (ledger_id, uid) = ids.split_first_chunk().expect("the ledger id comes first");
    Ok(Some(Extension {
        ledger_id: u64::from_be_bytes(*ledger_id),
        uid: Uuid::from_bytes(*uid.first_chunk().expect("the uid follows")),
        running_crcs: crcs
            .chunks_exact(CRC_BYTES)
            .map(|raw| u32::from_be_bytes([raw[0], raw[1], raw[2], raw[3]]))
            .collect(),
    }))
}

fn version(name: &[u8; NAME_BYTES], bytes: &[u8]) -> Option<u8> {
    bytes.strip_prefix(name)?.first().copied()
}
