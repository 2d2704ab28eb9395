//! The keys under which managed ledgers keep their records.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// Characters of a cursor's name that stay as they are.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Where all managed ledgers' records are.
pub const LEDGERS: &str = "managed-ledgers/";

/// Where the intents to delete cold copies are.
pub const REMOVALS: &str = "cold-removals/";

/// The counter of ledger ids.
pub const NEXT_LEDGER_ID: &str = "next-ledger-id";

/// A managed ledger's record.
pub fn ledger(name: &str) -> String {
    format!("{LEDGERS}{name}")
}

/// All cursors' records of a managed ledger.
pub fn cursors(name: &str) -> String {
    format!("cursors/{name}/")
}

/// A cursor's record.
pub fn cursor(name: &str, cursor: &str) -> String {
    format!("{}{}", cursors(name), utf8_percent_encode(cursor, NAME))
}

/// The cursor that a key under [`cursors`] names.
pub fn cursor_name(ledger: &str, key: &str) -> Option<String> {
    let encoded = key.strip_prefix(&cursors(ledger))?;
    percent_encoding::percent_decode_str(encoded).decode_utf8().ok().map(|name| name.into_owned())
}

/// The intent to delete one attempt's cold copy.
pub fn removal(ledger_id: crate::storage::LedgerId, uid: uuid::Uuid) -> String {
    format!("{REMOVALS}{ledger_id}-{uid}")
}

#[cfg(test)]
mod tests {
    #[test]
    fn any_cursor_name_survives() {
        for name in ["s", "a/b c", "%2F", "ü"] {
            let key = super::cursor("t/n/persistent/x", name);
            assert_eq!(super::cursor_name("t/n/persistent/x", &key).as_deref(), Some(name));
        }
    }
}
