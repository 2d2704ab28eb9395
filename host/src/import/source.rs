//! A topic of the original, whichever way it was learned. Plain data.

use std::collections::BTreeMap;

use uuid::Uuid;

use crate::managed_ledger::ranges::AckedRanges;
use crate::managed_ledger::{Position, WirePosition};

/// What is known of a topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceTopic {
    /// Its ledgers by id.
    pub ledgers: BTreeMap<u64, SourceLedger>,
    /// Its durable subscriptions.
    pub cursors: BTreeMap<String, SourceCursor>,
    /// Where it was terminated: its last entry.
    pub terminated: Option<WirePosition>,
}

/// A ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceLedger {
    /// Number of entries; `None` where it is not known, as of an open ledger.
    pub entry_count: Option<u64>,
    /// Sum of their payloads in bytes.
    pub size_bytes: u64,
    /// When it was closed, milliseconds since 1970; `None` while it is open.
    pub closed_ms: Option<u64>,
    /// Its cold copy.
    pub copy: SourceCopy,
}

/// A ledger's cold copy, as far as the original tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceCopy {
    /// It was never offloaded.
    None,
    /// An offload of it did not come to its end.
    Incomplete(Uuid),
    /// It is complete, but its uid is not told.
    Unnamed,
    /// It is complete. Whether the original still has its own copy does not matter.
    Complete {
        /// The attempt.
        uid: Uuid,
        /// The driver and what it recorded; `None` where that is not told.
        driver: Option<(String, BTreeMap<String, String>)>,
        /// When it was completed, milliseconds since 1970; `None` where that is not told.
        completed_ms: Option<u64>,
    },
}

/// A subscription's place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceCursor {
    /// Everything before is acknowledged; `None` where no place is told.
    pub first_unacked: Option<Position>,
    /// What is acknowledged behind it.
    pub acked: AckedRanges,
    /// Who told it.
    pub origin: CursorOrigin,
}

/// Where a subscription's place comes from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CursorOrigin {
    /// `internalStats`: the place in the broker's memory.
    Stats,
    /// `internal-info`: the place in the metadata store, which may be behind.
    Info,
    /// Whoever gave the command.
    Given,
    /// Nobody told a place.
    #[default]
    Unknown,
}

impl CursorOrigin {
    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stats => "internalStats",
            Self::Info => "internal-info",
            Self::Given => "as given",
            Self::Unknown => "no place is known: earliest",
        }
    }
}
