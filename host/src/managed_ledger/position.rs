//! Places in a managed ledger.

use std::fmt;

use crate::storage::LedgerId;

/// A place in a managed ledger: an entry, or the place where an entry will be. Orders by ledger, then entry.
///
/// Ends are exclusive everywhere inside: a cursor keeps the *first* position that is not deleted, a managed ledger the
/// position *after* its last entry. The original's inclusive form, with -1 for "before the first entry", lives on the
/// wire alone: see [`Position::before`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// The entry in it, 0-based.
    pub entry_id: u64,
}

impl Position {
    /// The entry `entry_id` of the ledger `ledger_id`.
    pub const fn new(ledger_id: LedgerId, entry_id: u64) -> Self {
        Self { ledger_id, entry_id }
    }

    /// The place behind this entry, in the same ledger; whether an entry can ever be there is another question.
    #[must_use]
    pub fn next(self) -> Self {
        Self { entry_id: self.entry_id + 1, ..self }
    }

    /// The inclusive form of an exclusive end, as the original prints mark-delete positions: (5, 0) is `5:-1`.
    pub fn before(self) -> WirePosition {
        WirePosition { ledger_id: self.ledger_id.0 as i64, entry_id: self.entry_id as i64 - 1 }
    }

    /// The form of an entry's own position.
    pub fn on_wire(self) -> WirePosition {
        WirePosition { ledger_id: self.ledger_id.0 as i64, entry_id: self.entry_id as i64 }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger_id, self.entry_id)
    }
}

/// A position as clients and records spell it, where -1 means "before the first".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WirePosition {
    /// The ledger, -1 for "before all ledgers".
    pub ledger_id: i64,
    /// The entry, -1 for "before the first entry".
    pub entry_id: i64,
}

impl WirePosition {
    /// The exclusive end behind this inclusive position; `None` where the ledger is negative.
    pub fn after(self) -> Option<Position> {
        let ledger_id = u64::try_from(self.ledger_id).ok()?;
        Some(Position::new(LedgerId(ledger_id), u64::try_from(self.entry_id.saturating_add(1)).unwrap_or(0)))
    }
}

impl fmt::Display for WirePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.ledger_id, self.entry_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minus_one_lives_on_the_wire_only() {
        let start = Position::new(LedgerId(5), 0);
        assert_eq!(start.before().to_string(), "5:-1");
        assert_eq!(start.before().after(), Some(start));
        assert_eq!(WirePosition { ledger_id: -1, entry_id: -1 }.after(), None);
        assert!(Position::new(LedgerId(5), 9) < Position::new(LedgerId(6), 0));
    }
}
