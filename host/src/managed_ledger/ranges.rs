//! Acknowledgements out of order: sets of entry ids for each ledger, as disjoint ranges. Pure.

use std::collections::BTreeMap;
use std::fmt;

use super::position::Position;
use crate::storage::LedgerId;

/// Ranges of acknowledged entries, half-open, disjoint and not touching, for each ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AckedRanges {
    by_ledger: BTreeMap<LedgerId, BTreeMap<u64, u64>>,
}

impl AckedRanges {
    /// Adds entries `first..end` of a ledger.
    pub fn insert(&mut self, ledger_id: LedgerId, first: u64, end: u64) {
        if first >= end {
            return;
        }
        let ranges = self.by_ledger.entry(ledger_id).or_default();
        let (mut first, mut end) = (first, end);
        if let Some((start, stop)) = ranges.range(..=first).next_back().map(|(start, stop)| (*start, *stop))
            && stop >= first
        {
            (first, end) = (start, end.max(stop));
            ranges.remove(&start);
        }
        while let Some((start, stop)) = ranges.range(first..=end).next().map(|(start, stop)| (*start, *stop)) {
            end = end.max(stop);
            ranges.remove(&start);
        }
        ranges.insert(first, end);
    }

    /// Whether the entry is in a range.
    pub fn contains(&self, position: Position) -> bool {
        self.end_of(position).is_some()
    }

    /// The end of the range that holds `position`.
    pub fn end_of(&self, position: Position) -> Option<u64> {
        let ranges = self.by_ledger.get(&position.ledger_id)?;
        let (_, end) = ranges.range(..=position.entry_id).next_back()?;
        (*end > position.entry_id).then_some(*end)
    }

    /// Forgets everything before `position`.
    pub fn forget_before(&mut self, position: Position) {
        self.by_ledger = self.by_ledger.split_off(&position.ledger_id);
        let Some(ranges) = self.by_ledger.get_mut(&position.ledger_id) else { return };
        let cut = ranges.range(..position.entry_id).next_back().map(|(_, end)| *end);
        *ranges = ranges.split_off(&position.entry_id);
        if let Some(end) = cut.filter(|end| *end > position.entry_id) {
            ranges.insert(position.entry_id, end);
        }
        if ranges.is_empty() {
            self.by_ledger.remove(&position.ledger_id);
        }
    }

    /// Number of entries in all ranges.
    pub fn len(&self) -> u64 {
        self.by_ledger.values().flatten().map(|(first, end)| end - first).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.by_ledger.is_empty()
    }

    /// All ranges in order: first entry and exclusive end.
    pub fn ranges(&self) -> impl Iterator<Item = (Position, Position)> + '_ {
        self.by_ledger.iter().flat_map(|(id, ranges)| {
            ranges.iter().map(|(first, end)| (Position::new(*id, *first), Position::new(*id, *end)))
        })
    }
}

/// The original's text: `[(1:3..1:5]]`, open below and closed above.
impl fmt::Display for AckedRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[")?;
        for (i, (first, end)) in self.ranges().enumerate() {
            if i > 0 {
                f.write_str(",")?;
            }
            write!(f, "({}..{}]", first.before(), end.before())?;
        }
        f.write_str("]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn text_is_the_originals() {
        let mut acked = AckedRanges::default();
        assert_eq!(acked.to_string(), "[]");
        acked.insert(LedgerId(7), 2, 4);
        assert_eq!(acked.to_string(), "[(7:1..7:3]]");
        acked.insert(LedgerId(7), 0, 1);
        assert_eq!(acked.to_string(), "[(7:-1..7:0],(7:1..7:3]]");
    }

    /// Against a plain set, over seeded random operations.
    #[test]
    fn ranges_are_a_set() {
        for seed in 0..50 {
            let mut random = fastrand::Rng::with_seed(seed);
            let (mut acked, mut model) = (AckedRanges::default(), BTreeSet::new());
            for _ in 0..120 {
                let (ledger, first, n) = (random.u64(0..3), random.u64(0..60), random.u64(0..6));
                if random.u8(0..10) == 0 {
                    let cut = Position::new(LedgerId(ledger), first);
                    acked.forget_before(cut);
                    model.retain(|p| *p >= cut);
                } else {
                    acked.insert(LedgerId(ledger), first, first + n);
                    model.extend((first..first + n).map(|entry| Position::new(LedgerId(ledger), entry)));
                }
                assert_eq!(acked.len(), model.len() as u64, "seed {seed}");
                let listed: BTreeSet<Position> = acked
                    .ranges()
                    .flat_map(|(a, b)| (a.entry_id..b.entry_id).map(move |e| Position::new(a.ledger_id, e)))
                    .collect();
                assert_eq!(listed, model, "seed {seed}");
                let ranges: Vec<_> = acked.ranges().collect();
                assert!(
                    ranges.windows(2).all(|w| w[0].1 < w[1].0 || w[0].0.ledger_id != w[1].0.ledger_id),
                    "seed {seed}: ranges touch"
                );
            }
        }
    }
}
