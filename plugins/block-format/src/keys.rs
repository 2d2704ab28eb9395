//! The keys of a copy's two objects. They stand at the root of the bucket; the random uid in front spreads them.
//!
//! ```text
//! <uid>-ledger-<ledger id>          data
//! <uid>-ledger-<ledger id>-index    index
//! ```
//! From Pulsar's `DataBlockUtils`.

use uuid::Uuid;

const LEDGER: &str = "-ledger-";
const INDEX: &str = "-index";

/// The two objects of one copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyKeys {
    /// The data object's key; every key of the copy begins with it.
    pub data: String,
    /// The index object's key.
    pub index: String,
}

impl CopyKeys {
    /// The keys of the copy that attempt `uid` made of ledger `ledger_id`.
    pub fn new(ledger_id: u64, uid: Uuid) -> Self {
        let data = format!("{}{LEDGER}{ledger_id}", uid.hyphenated());
        let index = format!("{data}{INDEX}");
        Self { data, index }
    }
}

/// What a key says of the object under it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ParsedKey {
    /// The ledger.
    pub ledger_id: u64,
    /// The attempt that wrote it.
    pub uid: Uuid,
    /// Data or index.
    pub role: Role,
}

/// What an object of a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Blocks of entries.
    Data,
    /// The table that leads into them.
    Index,
}

impl Role {
    /// The value of the user metadata `role`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Index => "index",
        }
    }
}

/// Reads a listed key; `None` for a foreign object, the original's streaming objects included.
pub fn parse(key: &str) -> Option<ParsedKey> {
    let (copy, role) = match key.strip_suffix(INDEX) {
        Some(copy) => (copy, Role::Index),
        None => (key, Role::Data),
    };
    let (uid, ledger_id) = copy.split_once(LEDGER)?;
    let parsed = ParsedKey { ledger_id: ledger_id.parse().ok()?, uid: Uuid::try_parse(uid).ok()?, role };
    // Only the one spelling is ours: another would not be found under the key that is made from its parts.
    let keys = CopyKeys::new(parsed.ledger_id, parsed.uid);
    (key == keys.data || key == keys.index).then_some(parsed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UID: &str = "3f64c2e6-4cb5-479d-b3b2-a54adca70391";

    #[test]
    fn keys_are_the_originals_and_come_back() {
        let uid = Uuid::try_parse(UID).unwrap();
        let keys = CopyKeys::new(5, uid);
        assert_eq!(
            (keys.data.as_str(), keys.index.as_str()),
            (&*format!("{UID}-ledger-5"), &*format!("{UID}-ledger-5-index"))
        );
        assert_eq!(parse(&keys.data), Some(ParsedKey { ledger_id: 5, uid, role: Role::Data }));
        assert_eq!(parse(&keys.index), Some(ParsedKey { ledger_id: 5, uid, role: Role::Index }));
    }

    #[test]
    fn foreign_keys_are_nobodys() {
        let upper = UID.to_uppercase();
        for key in [
            "",
            UID,
            &format!("{UID}-index"),
            &format!("{UID}-ledger-"),
            &format!("{UID}-ledger-05"),
            &format!("{UID}-ledger-+5"),
            &format!("{UID}-ledger--1"),
            &format!("{UID}-ledger-5-index-index"),
            &format!("{upper}-ledger-5"),
            &format!("a/{UID}-ledger-5"),
            "-ledger-5",
        ] {
            assert_eq!(parse(key), None, "{key}");
        }
    }
}
