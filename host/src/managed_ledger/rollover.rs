//! When the open ledger closes: the original's exact boolean. Pure.
//!
//! Source: Pulsar `ManagedLedgerImpl.currentLedgerIsFull`, `checkInactiveLedgerAndRollOver`.

/// Limits of a ledger (`managedLedgerMaxEntriesPerLedger`, `managedLedgerMaxSizePerLedgerMbytes`,
/// `managedLedgerMinLedgerRolloverTimeMinutes`, `managedLedgerMaxLedgerRolloverTimeMinutes`,
/// `managedLedgerInactiveLedgerRolloverTimeSeconds`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloverLimits {
    /// Entries; a ledger closes with the entry that reaches it.
    pub entries_max: u64,
    /// Payload bytes; a ledger closes with the entry that reaches it.
    pub size_bytes_max: u64,
    /// A ledger younger than this does not close by size, entries or age; 0 for no minimum.
    pub age_min_ms: u64,
    /// A ledger of this age closes.
    pub age_max_ms: u64,
    /// An idle ledger closes after this time, whatever its age; `None` for never.
    pub idle_max_ms: Option<u64>,
}

/// The open ledger's counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenCounters {
    /// Entries in it, the one just added included.
    pub entry_count: u64,
    /// Their payload bytes.
    pub size_bytes: u64,
    /// When it was created, milliseconds since 1970.
    pub created_ms: u64,
    /// When the last entry came, milliseconds since 1970; the creation time without one.
    pub last_added_ms: u64,
}

/// Whether the ledger is full; asked after each entry, which is the last one then.
pub fn is_full(limits: &RolloverLimits, open: &OpenCounters, now_ms: u64) -> bool {
    let age_ms = now_ms.saturating_sub(open.created_ms);
    let space = open.entry_count >= limits.entries_max || open.size_bytes >= limits.size_bytes_max;
    let aged = age_ms >= limits.age_max_ms;
    (space || aged) && (limits.age_min_ms == 0 || age_ms > limits.age_min_ms)
}

/// Whether the clock closes the ledger: it has entries, and is old or idle. One that has all its entries and reaches the minimum age
/// waits for one more.
pub fn is_due(limits: &RolloverLimits, open: &OpenCounters, now_ms: u64) -> bool {
    let idle_ms = now_ms.saturating_sub(open.last_added_ms);
    let is_old = now_ms.saturating_sub(open.created_ms) >= limits.age_max_ms && is_full(limits, open, now_ms);
    open.entry_count > 0 && (is_old || limits.idle_max_ms.is_some_and(|max| idle_ms > max))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: u64 = 60_000;

    fn limits() -> RolloverLimits {
        RolloverLimits {
            entries_max: 100,
            size_bytes_max: 1 << 20,
            age_min_ms: MINUTE,
            age_max_ms: 240 * MINUTE,
            idle_max_ms: None,
        }
    }

    fn open(entry_count: u64, size_bytes: u64) -> OpenCounters {
        OpenCounters { entry_count, size_bytes, created_ms: 0, last_added_ms: 0 }
    }

    #[test]
    fn full_needs_space_or_age_and_the_minimum_age_strictly_passed() {
        let table = [
            (open(1000, 0), MINUTE - 1, false),
            (open(1000, 0), MINUTE, false),
            (open(1001, 0), MINUTE + 1, true),
            (open(99, (1 << 20) - 1), MINUTE + 1, false),
            (open(99, 1 << 20), MINUTE + 1, true),
            (open(1, 0), 240 * MINUTE - 1, false),
            (open(1, 0), 240 * MINUTE, true),
            (open(0, 0), 240 * MINUTE, true),
        ];
        for (counters, now, want) in table {
            assert_eq!(is_full(&limits(), &counters, now), want, "{counters:?} at {now}");
        }
        let eager = RolloverLimits { age_min_ms: 0, ..limits() };
        assert!(is_full(&eager, &open(100, 0), 0));
    }

    #[test]
    fn the_clock_never_closes_an_empty_ledger_and_idleness_ignores_the_minimum_age() {
        let idle = RolloverLimits { idle_max_ms: Some(3000), ..limits() };
        assert!(!is_due(&idle, &open(0, 0), 500 * MINUTE));
        assert!(!is_due(&idle, &open(1, 1), 3000));
        assert!(is_due(&idle, &open(1, 1), 3001));
        assert!(!is_due(&limits(), &open(1, 1), 3001));
    }

    #[test]
    fn the_clock_closes_what_is_old_and_leaves_what_only_has_its_entries_to_the_next_one() {
        assert!(is_due(&limits(), &open(1, 0), 240 * MINUTE));
        assert!(!is_due(&limits(), &open(1000, 0), 2 * MINUTE));
        assert!(is_full(&limits(), &open(1001, 0), 2 * MINUTE));
    }
}
