//! Any bytes as records of the metadata store: what can be read is written, and what was written is read and written as the same.

use longshore::managed_ledger::records::{decode_cursor, decode_ledgers, encode_cursor, encode_ledgers};

/// Panics where a promise is broken.
pub fn check(record: &[u8]) {
    if let Ok(ledgers) = decode_ledgers(record) {
        let kept = encode_ledgers(&ledgers);
        assert_eq!(encode_ledgers(&decode_ledgers(&kept).expect("our own bytes")), kept);
    }
    if let Ok(cursor) = decode_cursor(record) {
        let kept = encode_cursor(&cursor, usize::MAX);
        assert_eq!(encode_cursor(&decode_cursor(&kept).expect("our own bytes"), usize::MAX), kept);
    }
}
