//! Any bytes as a copy in an object store: the first number (`u16`, big-endian) is the length of the index, then come index and
//! data.

use block_format::data_block::{BlockHeader, Frame};
use block_format::{Index, MemoryObject, StoredCopy};

/// Panics where a promise is broken.
pub fn check(input: &[u8]) {
    let Some((len, rest)) = input.split_first_chunk::<2>() else { return };
    let (index, data) = rest.split_at(usize::from(u16::from_be_bytes(*len)).min(rest.len()));
    let _ = BlockHeader::decode("data", 0, data);
    let _ = Frame::decode(data);
    let Ok(index) = Index::decode("index", 7, index) else { return };
    let Ok(mut copy) = StoredCopy::open(MemoryObject::new("data", data.to_vec()), &index) else { return };
    let (mut last, mut found) = (None, 0_usize);
    while let Ok(Some(entry)) = copy.next_entry() {
        assert!(last < Some(entry.entry_id), "entries go up");
        last = Some(entry.entry_id);
        found += 1;
    }
    assert!(found <= data.len(), "an entry takes at least its head");
}
