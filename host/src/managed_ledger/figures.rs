//! What goes in and out of one managed ledger, counted where it happens.
//!
//! In memory only, from the load on. Times are taken around the work itself: an append's from the call until the entry is
//! durable, the hot store's share of it, the replacing of a full ledger.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use super::ManagedLedger;
use crate::measure::{Buckets, Meter, Spread};

/// Bounds of latencies, microseconds; those of the original's buckets.
pub const LATENCY_BOUNDS_US: [u64; 9] = [500, 1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 1_000_000];
/// Bounds of the sizes of entries, bytes; those of the original's buckets.
pub const SIZE_BOUNDS_BYTES: [u64; 8] = [128, 512, 1_024, 2_048, 4_096, 16_384, 102_400, 1_048_576];

/// Latencies of one period.
pub type LatencySpread = Spread<9>;
/// Sizes of one period.
pub type SizeSpread = Spread<8>;

/// The counters of one managed ledger.
pub(super) struct LedgerCounters {
    added_entries: Meter,
    added_bytes: Meter,
    refused_entries: Meter,
    append_latency: Buckets<9>,
    store_latency: Buckets<9>,
    replace_latency: Buckets<9>,
    entry_size: Buckets<8>,
    reads: Meter,
    failed_reads: Meter,
    read_entries: Meter,
    read_bytes: Meter,
    missed_entries: Meter,
    cursor_moves: Meter,
    period_ms: AtomicU64,
}

impl Default for LedgerCounters {
    fn default() -> Self {
        let (zero, latencies) = (Meter::default, || Buckets::new(&LATENCY_BOUNDS_US));
        Self {
            added_entries: zero(),
            added_bytes: zero(),
            refused_entries: zero(),
            append_latency: latencies(),
            store_latency: latencies(),
            replace_latency: latencies(),
            entry_size: Buckets::new(&SIZE_BOUNDS_BYTES),
            reads: zero(),
            failed_reads: zero(),
            read_entries: zero(),
            read_bytes: zero(),
            missed_entries: zero(),
            cursor_moves: zero(),
            period_ms: AtomicU64::new(0),
        }
    }
}

/// When an entry came, and when it was handed to the hot store.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stamps {
    pub(super) came: Instant,
    pub(super) handed: Instant,
}

impl LedgerCounters {
    /// An entry is durable.
    pub(super) fn added(&self, bytes: u64, stamps: Stamps) {
        let now = Instant::now();
        self.added_entries.add(1);
        self.added_bytes.add(bytes);
        self.entry_size.add(bytes);
        self.append_latency.add_us(now.saturating_duration_since(stamps.came));
        self.store_latency.add_us(now.saturating_duration_since(stamps.handed));
    }

    /// Entries were not stored.
    pub(super) fn refused(&self, entries: usize) {
        self.refused_entries.add(entries as u64);
    }

    /// A ledger was replaced by the next.
    pub(super) fn replaced(&self, took: Duration) {
        self.replace_latency.add_us(took);
    }

    /// A read was answered; `missed` where recent entries did not have it.
    pub(super) fn read(&self, entries: u64, bytes: u64, missed: bool) {
        self.reads.add(1);
        self.read_entries.add(entries);
        self.read_bytes.add(bytes);
        self.missed_entries.add(if missed { entries } else { 0 });
    }

    /// A read failed, from every copy.
    pub(super) fn read_failed(&self) {
        self.failed_reads.add(1);
    }

    /// A cursor's first unacknowledged position moved.
    pub(super) fn cursor_moved(&self) {
        self.cursor_moves.add(1);
    }

    fn tick(&self, elapsed: Duration) {
        let meters = [
            &self.added_entries,
            &self.added_bytes,
            &self.refused_entries,
            &self.reads,
            &self.failed_reads,
            &self.read_entries,
            &self.read_bytes,
            &self.missed_entries,
            &self.cursor_moves,
        ];
        meters.iter().for_each(|meter| meter.tick(elapsed));
        [&self.append_latency, &self.store_latency, &self.replace_latency].iter().for_each(|buckets| buckets.tick());
        self.entry_size.tick();
        self.period_ms.store(u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX), Relaxed);
    }
}

/// What went by in the last whole statistics period.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LedgerFigures {
    /// How long that period was; zero before the first has ended.
    pub period: Duration,
    /// Entries that became durable.
    pub added_entries: u64,
    /// The same, a second.
    pub added_entries_per_s: f64,
    /// Their payload, bytes a second.
    pub added_bytes_per_s: f64,
    /// Entries that could not be stored.
    pub refused_entries: u64,
    /// From an entry's coming until it was durable, microseconds.
    pub append_latency: LatencySpread,
    /// The hot store's share of that, microseconds.
    pub store_latency: LatencySpread,
    /// From closing a ledger until the next one took entries, microseconds.
    pub replace_latency: LatencySpread,
    /// Payload of entries, bytes.
    pub entry_size: SizeSpread,
    /// Reads that were answered.
    pub reads: u64,
    /// Reads that no copy could answer.
    pub failed_reads: u64,
    /// Entries that were read, a second.
    pub read_entries_per_s: f64,
    /// Their payload, bytes a second.
    pub read_bytes_per_s: f64,
    /// Of the entries that were read, those that recent entries did not have, a second.
    pub missed_entries_per_s: f64,
    /// Moves of cursors, a second.
    pub cursor_moves_per_s: f64,
}

impl ManagedLedger {
    /// Ends a statistics period that was `elapsed` long.
    pub fn tick_figures(&self, elapsed: Duration) {
        self.counters.tick(elapsed);
    }

    /// Payload of all durable entries, bytes.
    pub fn size_bytes(&self) -> u64 {
        let state = self.lock();
        state.ledgers.closed_size_bytes() + state.open.as_ref().map_or(0, |open| open.durable_bytes)
    }

    /// What went by in the last whole period.
    pub fn figures(&self) -> LedgerFigures {
        let counters = &self.counters;
        LedgerFigures {
            period: Duration::from_millis(counters.period_ms.load(Relaxed)),
            added_entries: counters.added_entries.lately(),
            added_entries_per_s: counters.added_entries.per_second(),
            added_bytes_per_s: counters.added_bytes.per_second(),
            refused_entries: counters.refused_entries.lately(),
            append_latency: counters.append_latency.lately(),
            store_latency: counters.store_latency.lately(),
            replace_latency: counters.replace_latency.lately(),
            entry_size: counters.entry_size.lately(),
            reads: counters.reads.lately(),
            failed_reads: counters.failed_reads.lately(),
            read_entries_per_s: counters.read_entries.per_second(),
            read_bytes_per_s: counters.read_bytes.per_second(),
            missed_entries_per_s: counters.missed_entries.per_second(),
            cursor_moves_per_s: counters.cursor_moves.per_second(),
        }
    }
}
