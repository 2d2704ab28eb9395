//! Batches of which some messages are acknowledged: kept in memory, forgotten when the topic is unloaded.
//!
//! A set has a bit for each message of the batch, least significant first, 1 for "not acknowledged". Clients send what
//! remains after their acknowledgement; sets of one entry are combined with AND. After a restart such a batch is delivered
//! whole again, as Pulsar does by default.

use std::collections::BTreeMap;

use crate::managed_ledger::Position;

/// Batches that are kept at a time; beyond it the acknowledgement of a part is forgotten, which costs a redelivery.
const BATCHES_MAX: usize = 100_000;
/// Words of a set: no batch has more messages than a frame has bytes, but a set is kept only up to this.
const WORDS_MAX: usize = 1024;

/// The sets of one subscription.
#[derive(Debug, Default)]
pub(super) struct PartialAcks {
    sets: BTreeMap<Position, Vec<i64>>,
}

impl PartialAcks {
    /// Notes that of `position` only the messages of `remaining` are wanted. True if none is left: the entry is done with.
    pub(super) fn note(&mut self, position: Position, remaining: &[i64]) -> bool {
        if remaining.len() > WORDS_MAX {
            return false;
        }
        if let Some(known) = self.sets.get_mut(&position) {
            let words = known.len().min(remaining.len());
            known.truncate(words);
            known.iter_mut().zip(remaining).for_each(|(word, other)| *word &= other);
            if known.iter().all(|word| *word == 0) {
                self.sets.remove(&position);
                return true;
            }
            return false;
        }
        if remaining.iter().all(|word| *word == 0) {
            return true;
        }
        if self.sets.len() < BATCHES_MAX {
            self.sets.insert(position, remaining.to_vec());
        }
        false
    }

    /// What is still wanted of `position`; empty for all of it.
    pub(super) fn remaining(&self, position: Position) -> Vec<i64> {
        if self.sets.is_empty() {
            return Vec::new();
        }
        self.sets.get(&position).cloned().unwrap_or_default()
    }

    /// Forgets an entry that is done with.
    pub(super) fn forget(&mut self, position: Position) {
        if !self.sets.is_empty() {
            self.sets.remove(&position);
        }
    }

    /// Forgets everything before `end`.
    pub(super) fn forget_before(&mut self, end: Position) {
        if !self.sets.is_empty() {
            self.sets = self.sets.split_off(&end);
        }
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.sets.clear();
    }
}

/// Messages of a set.
pub(super) fn count_ones(set: &[i64]) -> u32 {
    set.iter().map(|word| word.count_ones()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LedgerId;

    #[test]
    fn sets_are_combined_until_nothing_is_left() {
        let mut acks = PartialAcks::default();
        let at = Position::new(LedgerId(1), 0);
        assert!(!acks.note(at, &[0b11100]));
        assert!(!acks.note(at, &[0b11100]));
        assert_eq!(acks.remaining(at), [0b11100]);
        assert!(!acks.note(at, &[0b10011]));
        assert_eq!((acks.remaining(at), count_ones(&acks.remaining(at))), (vec![0b10000], 1));
        assert!(acks.note(at, &[0b01111]));
        assert!(acks.remaining(at).is_empty());
    }

    #[test]
    fn a_shorter_set_has_no_bits_beyond_its_end() {
        let mut acks = PartialAcks::default();
        let at = Position::new(LedgerId(1), 0);
        assert!(!acks.note(at, &[-1, 1]));
        assert!(!acks.note(at, &[2]));
        assert_eq!(acks.remaining(at), [2]);
        assert!(acks.note(at, &[]));
        acks.note(at, &[1]);
        acks.forget_before(at);
        assert_eq!(acks.remaining(at), [1]);
        acks.forget_before(at.next());
        assert!(acks.remaining(at).is_empty());
    }
}
