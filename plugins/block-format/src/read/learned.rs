//! Places within long granules that earlier reads passed: the original's index has one line for 64 MiB, so an entry is found
//! by walking, and the way is remembered.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::walk::Place;

/// Remembered places of one granule are so many bytes apart at least.
pub(super) const LEARNED_EVERY_BYTES: u64 = 64 << 10;
/// The most places of one copy. 32 MiB of them would be 20 TiB of data; the oldest are not better than the newest, so no more
/// are learned then.
const LEARNED_MAX: usize = 1 << 15;
/// What a place takes in memory, with its share of the tree.
const LEARNED_BYTES: u64 = 64;

/// Places of one copy by their next entry.
#[derive(Debug, Default)]
pub(super) struct LearnedPlaces(Mutex<BTreeMap<u64, Place>>);

impl LearnedPlaces {
    /// What the places of a copy of this many bytes may take in memory.
    pub(super) fn memory_bytes_max(data_bytes: u64) -> u64 {
        (data_bytes / LEARNED_EVERY_BYTES + 1).min(LEARNED_MAX as u64) * LEARNED_BYTES
    }

    /// The closest place at or before an entry.
    pub(super) fn floor(&self, entry_id: u64) -> Option<Place> {
        self.places().range(..=entry_id).next_back().map(|(_, place)| *place)
    }

    /// Remembers a place, unless one is near.
    pub(super) fn learn(&self, place: Place) {
        let mut places = self.places();
        let near = |other: &Place| other.offset.abs_diff(place.offset) < LEARNED_EVERY_BYTES;
        let before = places.range(..=place.entry_id).next_back().is_some_and(|(_, other)| near(other));
        let behind = places.range(place.entry_id..).next().is_some_and(|(_, other)| near(other));
        if !before && !behind && places.len() < LEARNED_MAX {
            places.insert(place.entry_id, place);
        }
    }

    fn places(&self) -> MutexGuard<'_, BTreeMap<u64, Place>> {
        // Whatever a panicking reader left is a place as good as any.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_keep_their_distance() {
        let learned = LearnedPlaces::default();
        let place = |entry_id, offset| Place { offset, entry_id, block_end: 1 << 30, at_header: false };
        for at in 0..1000 {
            learned.learn(place(at, at * 1000));
        }
        let count = learned.places().len() as u64;
        assert_eq!(count, 1_000_000 / (LEARNED_EVERY_BYTES.div_ceil(1000) * 1000) + 1);
        assert_eq!(learned.floor(65).unwrap().entry_id, 0);
        assert_eq!(learned.floor(66).unwrap().entry_id, 66);
    }
}
