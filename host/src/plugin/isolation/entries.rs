//! Entries in a frame: a table of their numbers and lengths, then their payloads, one after the other.
//!
//! Count (`u32`), then for each entry its number (`u64`) and its length (`u32`), then the payloads; little-endian. Payloads
//! are sent from where they lie, and received as slices of the one buffer that the frame was read into.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use longshore_plugin_api::Entry;

use super::frame::{Kind, ProtocolError};

/// Bytes of the count.
const COUNT_BYTES: usize = 4;
/// Bytes of one row of the table.
const ROW_BYTES: usize = 12;

/// Bytes of the body that `entries` make.
pub fn body_bytes(entries: &[Entry]) -> usize {
    let payloads: usize = entries.iter().map(|entry| entry.payload.len()).sum();
    table_bytes(entries.len()) + payloads
}

/// Bytes of the table of `count` entries.
pub fn table_bytes(count: usize) -> usize {
    COUNT_BYTES + count * ROW_BYTES
}

/// How many of the first entries make a body of at most `bytes_max`.
pub fn fitting(entries: &[Entry], bytes_max: usize) -> usize {
    let mut bytes = COUNT_BYTES;
    let fits = |entry: &&Entry| {
        bytes = bytes.saturating_add(ROW_BYTES + entry.payload.len());
        bytes <= bytes_max
    };
    entries.iter().take_while(fits).count()
}

/// Writes the table, after which the payloads follow.
///
/// # Panics
/// Where the body does not fit a frame; ask [`body_bytes`] before.
pub fn put_table(entries: &[Entry], into: &mut BytesMut) {
    let fits = |count: usize| u32::try_from(count).expect("the caller made sure that the body fits a frame");
    into.put_u32_le(fits(entries.len()));
    for entry in entries {
        into.put_u64_le(entry.entry_id);
        into.put_u32_le(fits(entry.payload.len()));
    }
}

/// Reads a body; payloads are slices of it.
///
/// # Errors
/// `Malformed` where table and payloads do not fill the body exactly.
pub fn take(mut body: Bytes) -> Result<Vec<Entry>, ProtocolError> {
    let malformed = |problem: &str| ProtocolError::malformed(Kind::Entries, problem);
    if body.len() < COUNT_BYTES {
        return Err(malformed("it is shorter than its count"));
    }
    let count = body.get_u32_le() as usize;
    // What the table takes is there already, so that a lying count reserves nothing.
    let table_len = count.checked_mul(ROW_BYTES).filter(|len| *len <= body.len());
    let mut table = body.split_to(table_len.ok_or_else(|| malformed("it is shorter than its table"))?);
    let mut entries = Vec::with_capacity(count);
    for _ in 0..count {
        let (entry_id, len) = (table.get_u64_le(), table.get_u32_le() as usize);
        if len > body.len() {
            return Err(malformed("it is shorter than its payloads"));
        }
        entries.push(Entry { entry_id, payload: body.split_to(len) });
    }
    if !body.is_empty() {
        return Err(malformed("bytes are left after its payloads"));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(entries: &[Entry]) -> Bytes {
        let mut body = BytesMut::new();
        put_table(entries, &mut body);
        entries.iter().for_each(|entry| body.extend_from_slice(&entry.payload));
        body.freeze()
    }

    fn some() -> Vec<Entry> {
        let payload = |len: usize| Bytes::from(vec![len as u8; len]);
        [(7, 3), (8, 0), (9, 300)].map(|(entry_id, len)| Entry { entry_id, payload: payload(len) }).to_vec()
    }

    #[test]
    fn entries_come_back_in_place() {
        let whole = body(&some());
        assert_eq!(whole.len(), body_bytes(&some()));
        let back = take(whole.clone()).unwrap();
        assert_eq!(back, some());
        let within = whole.as_ptr_range();
        assert!(within.contains(&back[2].payload.as_ptr()), "the payload was copied");
        assert_eq!(take(body(&[])), Ok(Vec::new()));
    }

    #[test]
    fn what_fits_is_counted() {
        let whole = body_bytes(&some());
        assert_eq!(fitting(&some(), whole), 3);
        assert_eq!(fitting(&some(), whole - 1), 2);
        assert_eq!(fitting(&some(), COUNT_BYTES + ROW_BYTES + 2), 0);
    }

    #[test]
    fn bodies_that_lie_are_refused() {
        let whole = body(&some());
        for end in 0..whole.len() {
            assert!(take(whole.slice(..end)).is_err(), "{end}");
        }
        let mut longer = whole.to_vec();
        longer.push(0);
        assert!(take(longer.into()).is_err());
        assert!(take(Bytes::from_static(&[0xff; 64])).is_err());
    }
}
