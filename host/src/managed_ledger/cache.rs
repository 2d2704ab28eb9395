//! Recent entries, so that consumers that keep up read no file. One byte budget for all managed ledgers; up to a half of
//! it goes to what is read ahead of consumers that do not.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;

use super::position::Position;
use crate::measure::Meter;

/// The budget of all caches together (`managedLedgerCacheSizeMB`), in bytes of payload.
#[derive(Debug)]
pub struct CacheBudget {
    max_bytes: u64,
    used_bytes: AtomicU64,
    /// The part of `used_bytes` that is for reading ahead.
    ahead_bytes: AtomicU64,
    pub(super) counters: CacheCounters,
}

/// What recent entries were good for.
#[derive(Debug, Default)]
pub(super) struct CacheCounters {
    hit_entries: Meter,
    hit_bytes: Meter,
    missed_entries: Meter,
    missed_bytes: Meter,
    added_entries: Meter,
    dropped_entries: Meter,
    /// Times that entries gave way since the budget was exceeded.
    evictions: Meter,
}

impl CacheCounters {
    /// A read found its entries.
    pub(super) fn hit(&self, entries: u64, bytes: u64) {
        self.hit_entries.add(entries);
        self.hit_bytes.add(bytes);
    }

    /// A read had to go to a copy.
    pub(super) fn missed(&self, entries: u64, bytes: u64) {
        self.missed_entries.add(entries);
        self.missed_bytes.add(bytes);
    }
}

/// What recent entries were good for; rates are of the last whole statistics period.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct CacheFigures {
    /// Entries that are kept now.
    pub entries: u64,
    /// Entries that were kept, ever.
    pub added_entries: u64,
    /// Entries that were let go, ever.
    pub dropped_entries: u64,
    /// Times in the last period that entries gave way since there was no room.
    pub evictions: u64,
    /// Entries that reads found here, a second.
    pub hit_entries_per_s: f64,
    /// Their payload, bytes a second.
    pub hit_bytes_per_s: f64,
    /// Entries that reads had to go to a copy for, a second.
    pub missed_entries_per_s: f64,
    /// Their payload, bytes a second.
    pub missed_bytes_per_s: f64,
}

/// Room for entries that are read ahead, given back when it is dropped.
#[derive(Debug)]
pub(super) struct AheadRoom {
    budget: Arc<CacheBudget>,
    bytes: u64,
}

impl Drop for AheadRoom {
    fn drop(&mut self) {
        self.budget.ahead_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl CacheBudget {
    /// A budget of `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        let zero = || AtomicU64::new(0);
        Self { max_bytes, used_bytes: zero(), ahead_bytes: zero(), counters: CacheCounters::default() }
    }

    /// Ends a statistics period that was `elapsed` long.
    pub fn tick_figures(&self, elapsed: Duration) {
        let CacheCounters {
            hit_entries,
            hit_bytes,
            missed_entries,
            missed_bytes,
            added_entries,
            dropped_entries,
            evictions,
        } = &self.counters;
        let meters = [hit_entries, hit_bytes, missed_entries, missed_bytes, added_entries, dropped_entries, evictions];
        meters.iter().for_each(|meter| meter.tick(elapsed));
    }

    /// What the recent entries of all managed ledgers were good for.
    pub fn figures(&self) -> CacheFigures {
        let counters = &self.counters;
        let (dropped_entries, added_entries) = (counters.dropped_entries.total(), counters.added_entries.total());
        CacheFigures {
            entries: added_entries.saturating_sub(dropped_entries),
            added_entries,
            dropped_entries,
            evictions: counters.evictions.lately(),
            hit_entries_per_s: counters.hit_entries.per_second(),
            hit_bytes_per_s: counters.hit_bytes.per_second(),
            missed_entries_per_s: counters.missed_entries.per_second(),
            missed_bytes_per_s: counters.missed_bytes.per_second(),
        }
    }

    /// Bytes in use.
    pub fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Relaxed)
    }

    /// Room to read `bytes` ahead, while all such room stays within half of the budget. Recent entries give way with the
    /// next one that is added, so that the sum exceeds the budget for no longer than that.
    pub(super) fn room_ahead(self: &Arc<Self>, bytes: u64) -> Option<AheadRoom> {
        let fits = |ahead: u64| Some(ahead + bytes).filter(|sum| *sum <= self.max_bytes / 2);
        self.ahead_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).ok()?;
        self.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        Some(AheadRoom { budget: self.clone(), bytes })
    }

    fn is_exceeded(&self) -> bool {
        self.used_bytes() > self.max_bytes
    }
}

/// The newest entries of one managed ledger, ascending and without gaps within a ledger.
#[derive(Debug)]
pub(super) struct EntryCache {
    budget: Arc<CacheBudget>,
    entries: Mutex<VecDeque<Cached>>,
}

#[derive(Debug)]
struct Cached {
    position: Position,
    payload: Bytes,
    added_ms: u64,
}

impl EntryCache {
    pub(super) fn new(budget: Arc<CacheBudget>) -> Self {
        Self { budget, entries: Mutex::default() }
    }

    /// Adds the newest entry; the oldest ones go while the budget is exceeded.
    pub(super) fn push(&self, position: Position, payload: Bytes, now_ms: u64) {
        let mut entries = self.entries.lock().expect("no code panics while it holds the cache");
        self.budget.used_bytes.fetch_add(payload.len() as u64, Ordering::Relaxed);
        self.budget.counters.added_entries.add(1);
        entries.push_back(Cached { position, payload, added_ms: now_ms });
        if self.budget.is_exceeded() {
            self.budget.counters.evictions.add(1);
            while self.budget.is_exceeded() && self.drop_oldest(&mut entries) {}
        }
    }

    /// Entries from `from` on in the same ledger, at most up to `last`, as long as their sum fits `max_bytes` (the first
    /// always); empty where `from` is not cached.
    pub(super) fn get(&self, from: Position, last: u64, max_bytes: u64) -> Vec<(Position, Bytes)> {
        let entries = self.entries.lock().expect("no code panics while it holds the cache");
        let start = entries.partition_point(|cached| cached.position < from);
        let mut sum = 0;
        let mut expected = from;
        let mut found = Vec::new();
        for cached in entries.range(start..) {
            sum += cached.payload.len() as u64;
            let wanted = cached.position == expected && expected.entry_id <= last;
            if !wanted || (!found.is_empty() && sum > max_bytes) {
                break;
            }
            found.push((cached.position, cached.payload.clone()));
            expected = expected.next();
        }
        found
    }

    /// Drops entries that were added before `before_ms`.
    pub(super) fn evict_older(&self, before_ms: u64) {
        let mut entries = self.entries.lock().expect("no code panics while it holds the cache");
        while entries.front().is_some_and(|cached| cached.added_ms < before_ms) {
            self.drop_oldest(&mut entries);
        }
    }

    /// Drops everything.
    pub(super) fn clear(&self) {
        let mut entries = self.entries.lock().expect("no code panics while it holds the cache");
        while self.drop_oldest(&mut entries) {}
        entries.shrink_to_fit();
    }

    fn drop_oldest(&self, entries: &mut VecDeque<Cached>) -> bool {
        let Some(oldest) = entries.pop_front() else { return false };
        self.budget.used_bytes.fetch_sub(oldest.payload.len() as u64, Ordering::Relaxed);
        self.budget.counters.dropped_entries.add(1);
        true
    }
}

impl Drop for EntryCache {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::LedgerId;

    fn at(entry: u64) -> Position {
        Position::new(LedgerId(1), entry)
    }

    #[test]
    fn the_newest_entries_stay_within_the_budget_of_all() {
        let budget = Arc::new(CacheBudget::new(100));
        let (a, b) = (EntryCache::new(budget.clone()), EntryCache::new(budget.clone()));
        for i in 0..20 {
            a.push(at(i), Bytes::from(vec![0; 10]), i);
        }
        assert_eq!(budget.used_bytes(), 100);
        assert!(a.get(at(9), 19, 1000).is_empty());
        assert_eq!(a.get(at(10), 19, 1000).len(), 10);
        assert_eq!(a.get(at(12), 14, 1000).len(), 3);
        assert_eq!(a.get(at(12), 19, 25).len(), 2);
        assert_eq!(a.get(at(12), 19, 0).len(), 1, "the first entry comes however large it is");
        b.push(at(0), Bytes::from(vec![0; 10]), 0);
        assert!(b.get(at(0), 0, 10).is_empty(), "who exceeds the budget gives way");
        a.evict_older(15);
        assert_eq!(budget.used_bytes(), 50);
        drop(a);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[test]
    fn a_hit_never_crosses_a_gap() {
        let cache = EntryCache::new(Arc::new(CacheBudget::new(1000)));
        for i in [0, 1, 5] {
            cache.push(at(i), Bytes::from_static(b"x"), 0);
        }
        assert_eq!(cache.get(at(0), 9, 100).len(), 2);
        assert!(cache.get(at(3), 9, 100).is_empty());
    }
}
