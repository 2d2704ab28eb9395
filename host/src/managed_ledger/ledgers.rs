//! A managed ledger's list of ledgers: plain data, and the arithmetic of positions on it. Pure.

use std::collections::BTreeMap;

use super::offload_context::OffloadState;
use super::position::Position;
use crate::storage::LedgerId;

/// What is recorded of one ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerInfo {
    /// The ledger.
    pub ledger_id: LedgerId,
    /// Number of entries; 0 while it is open.
    pub entry_count: u64,
    /// Sum of payload lengths in bytes; 0 while it is open.
    pub size_bytes: u64,
    /// When it was closed, milliseconds since 1970; `None` while it is open.
    pub closed_ms: Option<u64>,
    /// Where its cold copy stands.
    pub offload: OffloadState,
}

impl LedgerInfo {
    /// A ledger that was just created.
    pub fn open(ledger_id: LedgerId) -> Self {
        Self { ledger_id, entry_count: 0, size_bytes: 0, closed_ms: None, offload: OffloadState::None }
    }
}

/// The list, ascending, as it is recorded. The open ledger, if any, is the last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledgers {
    /// By id.
    pub by_id: BTreeMap<LedgerId, LedgerInfo>,
    /// Where the topic was terminated, exclusive end.
    pub terminated_end: Option<Position>,
    /// What else is recorded of the topic, by name; names that nobody here knows are kept.
    pub properties: BTreeMap<String, String>,
}

impl Ledgers {
    /// The first entry, or the place where it will be.
    pub fn first(&self) -> Option<Position> {
        self.by_id.keys().next().map(|id| Position::new(*id, 0))
    }

    /// The nearest place from `position` on that has an entry or may get one: itself, or the start of a later ledger.
    /// Behind the last entry of the last ledger it is `position` itself, clamped to that ledger's end.
    ///
    /// `end` is the managed ledger's exclusive end; the open ledger's entries are counted by it.
    pub fn valid_from(&self, position: Position, end: Position) -> Position {
        for info in self.by_id.range(position.ledger_id..).map(|(_, info)| info) {
            let from = if info.ledger_id == position.ledger_id { position.entry_id } else { 0 };
            let entries = self.entries_of(info, end);
            if from < entries || info.closed_ms.is_none() {
                return Position::new(info.ledger_id, from.min(entries));
            }
        }
        end
    }

    /// The entry before `position`, across ledgers.
    pub fn previous(&self, position: Position, end: Position) -> Option<Position> {
        for info in self.by_id.range(..=position.ledger_id).rev().map(|(_, info)| info) {
            let entries = self.entries_of(info, end);
            let bound = if info.ledger_id == position.ledger_id { position.entry_id.min(entries) } else { entries };
            if let Some(entry_id) = bound.checked_sub(1) {
                return Some(Position::new(info.ledger_id, entry_id));
            }
        }
        None
    }

    /// Number of entries in `[from, to)`, none of them behind `end`.
    pub fn count(&self, from: Position, to: Position, end: Position) -> u64 {
        if from >= to {
            return 0;
        }
        self.by_id
            .range(from.ledger_id..=to.ledger_id)
            .map(|(id, info)| {
                let entries = self.entries_of(info, end);
                let low = if *id == from.ledger_id { from.entry_id.min(entries) } else { 0 };
                let high = if *id == to.ledger_id { to.entry_id.min(entries) } else { entries };
                high.saturating_sub(low)
            })
            .sum()
    }

    /// The entry that is `n` entries behind `from` (0: the first one at or behind it), or `None` beyond the end.
    pub fn nth(&self, from: Position, n: u64, end: Position) -> Option<Position> {
        let mut left = n;
        for (id, info) in self.by_id.range(from.ledger_id..) {
            let low = if *id == from.ledger_id { from.entry_id } else { 0 };
            let here = self.entries_of(info, end).saturating_sub(low);
            if left < here {
                return Some(Position::new(*id, low + left));
            }
            left -= here;
        }
        None
    }

    /// Entries that can be read: recorded for a closed ledger, durable so far for the open one.
    pub fn entries_of(&self, info: &LedgerInfo, end: Position) -> u64 {
        match info.closed_ms {
            Some(_) => info.entry_count,
            None if end.ledger_id == info.ledger_id => end.entry_id,
            None => 0,
        }
    }

    /// Bytes from `position` on: whole ledgers by their size, a part by the mean size of its entries. `open_bytes` is what
    /// the open ledger has.
    pub fn bytes_from(&self, position: Position, end: Position, open_bytes: u64) -> u64 {
        let sizes = self.by_id.range(position.ledger_id..).map(|(id, info)| {
            let (entries, bytes) = self.extent(info, end, open_bytes);
            let skipped = if *id == position.ledger_id { position.entry_id.min(entries) } else { 0 };
            part(bytes, entries - skipped, entries)
        });
        sizes.sum()
    }

    /// The first position from which no more than `bytes_max` follow, by the same reckoning.
    pub fn tail_of(&self, bytes_max: u64, end: Position, open_bytes: u64) -> Position {
        let mut left = bytes_max;
        for info in self.by_id.values().rev() {
            let (entries, bytes) = self.extent(info, end, open_bytes);
            if bytes > left {
                let kept = part(entries, left, bytes);
                return self.valid_from(Position::new(info.ledger_id, entries - kept), end);
            }
            left -= bytes;
        }
        self.first().unwrap_or(end)
    }

    /// A ledger's entries and bytes.
    fn extent(&self, info: &LedgerInfo, end: Position, open_bytes: u64) -> (u64, u64) {
        (self.entries_of(info, end), if info.closed_ms.is_some() { info.size_bytes } else { open_bytes })
    }

    /// Whether the original accepts `position` for an offload, a seek or a subscription: its ledger is in the list, and
    /// the entry exists, or is the open ledger's next one or its first.
    pub fn is_valid(&self, position: Position, end: Position) -> bool {
        self.by_id.get(&position.ledger_id).is_some_and(|info| {
            let entries = self.entries_of(info, end);
            match info.closed_ms {
                None => position.entry_id == 0 || position.entry_id <= entries,
                Some(_) => position.entry_id < entries,
            }
        })
    }

    /// Sum of the closed ledgers' sizes, offloaded ones included, in bytes.
    pub fn closed_size_bytes(&self) -> u64 {
        self.by_id.values().map(|info| info.size_bytes).sum()
    }

    /// Sum of the closed ledgers' entries.
    pub fn closed_entries(&self) -> u64 {
        self.by_id.values().map(|info| info.entry_count).sum()
    }
}

/// `of` times `share` by `whole`, rounded down; 0 of nothing.
fn part(of: u64, share: u64, whole: u64) -> u64 {
    if whole == 0 { 0 } else { (u128::from(of) * u128::from(share) / u128::from(whole)) as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ledgers 3 (2 entries), 5 (4 entries), 9 (open, 3 durable entries).
    fn list() -> (Ledgers, Position) {
        let closed = |id, entry_count| LedgerInfo {
            entry_count,
            size_bytes: entry_count * 10,
            closed_ms: Some(1),
            ..LedgerInfo::open(LedgerId(id))
        };
        let infos = [closed(3, 2), closed(5, 4), LedgerInfo::open(LedgerId(9))];
        let by_id = infos.into_iter().map(|info| (info.ledger_id, info)).collect();
        (Ledgers { by_id, ..Ledgers::default() }, at(9, 3))
    }

    fn at(ledger: u64, entry: u64) -> Position {
        Position::new(LedgerId(ledger), entry)
    }

    #[test]
    fn valid_from_steps_over_gaps_and_ends() {
        let (ledgers, end) = list();
        let table = [
            (at(0, 0), at(3, 0)),
            (at(3, 1), at(3, 1)),
            (at(3, 2), at(5, 0)),
            (at(4, 7), at(5, 0)),
            (at(5, 99), at(9, 0)),
            (at(9, 2), at(9, 2)),
            (at(9, 3), at(9, 3)),
            (at(9, 99), at(9, 3)),
            (at(12, 0), at(9, 3)),
        ];
        for (from, want) in table {
            assert_eq!(ledgers.valid_from(from, end), want, "{from}");
        }
    }

    #[test]
    fn counting_and_stepping_agree() {
        let (ledgers, end) = list();
        let all: Vec<Position> =
            [(3, 2), (5, 4), (9, 3)].iter().flat_map(|(id, n)| (0..*n).map(|entry| at(*id, entry))).collect();
        for (i, p) in all.iter().enumerate() {
            assert_eq!(ledgers.nth(at(0, 0), i as u64, end), Some(*p));
            assert_eq!(ledgers.count(*p, end, end), (all.len() - i) as u64);
            assert_eq!(ledgers.count(at(0, 0), *p, end), i as u64);
            assert_eq!(ledgers.previous(*p, end), i.checked_sub(1).map(|before| all[before]));
        }
        assert_eq!(ledgers.nth(at(0, 0), all.len() as u64, end), None);
        assert_eq!(ledgers.previous(at(9, 99), end), Some(at(9, 2)));
        assert_eq!(ledgers.previous(at(4, 0), end), Some(at(3, 1)));
    }

    #[test]
    fn an_end_in_the_ledger_before_the_empty_open_one_counts_nothing_there() {
        let (mut ledgers, _) = list();
        ledgers.by_id.insert(LedgerId(12), LedgerInfo::open(LedgerId(12)));
        ledgers.by_id.get_mut(&LedgerId(9)).unwrap().closed_ms = Some(1);
        ledgers.by_id.get_mut(&LedgerId(9)).unwrap().entry_count = 3;
        let end = at(9, 3);
        assert_eq!(ledgers.valid_from(end, end), at(12, 0));
        assert_eq!(ledgers.count(at(0, 0), end, end), 9);
        assert_eq!(ledgers.nth(end, 0, end), None);
    }

    #[test]
    fn bytes_behind_a_position_and_the_position_before_so_many_bytes() {
        let (ledgers, end) = list();
        // 20, 40 and 30 bytes.
        let table = [(at(0, 0), 90), (at(3, 1), 80), (at(4, 0), 70), (at(5, 3), 40), (at(9, 1), 20), (at(9, 3), 0)];
        for (position, bytes) in table {
            assert_eq!(ledgers.bytes_from(position, end, 30), bytes, "{position}");
        }
        let table = [
            (0, at(9, 3)),
            (9, at(9, 3)),
            (10, at(9, 2)),
            (30, at(9, 0)),
            (45, at(5, 3)),
            (70, at(5, 0)),
            (89, at(3, 1)),
            (90, at(3, 0)),
            (999, at(3, 0)),
        ];
        for (bytes, position) in table {
            assert_eq!(ledgers.tail_of(bytes, end, 30), position, "{bytes}");
            assert!(ledgers.bytes_from(position, end, 30) <= bytes);
        }
        assert_eq!(Ledgers::default().tail_of(5, end, 0), end);
    }

    #[test]
    fn positions_that_the_original_accepts() {
        let (ledgers, end) = list();
        let table = [
            (at(9, 0), true),
            (at(9, 3), true),
            (at(9, 4), false),
            (at(5, 3), true),
            (at(5, 4), false),
            (at(4, 0), false),
            (at(999_999, 0), false),
        ];
        for (position, want) in table {
            assert_eq!(ledgers.is_valid(position, end), want, "{position}");
        }
    }
}
