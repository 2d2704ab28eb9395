//! What drivers did for each managed ledger since the broker started: bytes, errors, latencies. In memory only.
//!
//! Fed by [`super::counted`], shown by the admin room. A managed ledger that no driver was asked about for
//! [`FORGOTTEN_AFTER_MS`] is forgotten, so that deleted topics do not stay.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::storage::Clock;

/// Time after which an idle managed ledger's figures go, milliseconds.
pub const FORGOTTEN_AFTER_MS: u64 = 3_600_000;

/// Figures of all managed ledgers.
pub struct DriverCounters {
    clock: Arc<dyn Clock>,
    /// Time over which rates are taken, milliseconds.
    rate_period_ms: u64,
    by_managed_ledger: Mutex<BTreeMap<String, Arc<Mutex<DriverFigures>>>>,
}

/// Figures of one managed ledger.
#[derive(Clone, Debug, Default)]
pub struct DriverFigures {
    /// Since when these are counted, milliseconds since 1970.
    pub created_ms: u64,
    /// Copies that failed.
    pub offload_error_count: u64,
    /// Bytes handed to drivers for copying.
    pub offloaded: Metered,
    /// Deletions that a driver carried out.
    pub deleted_count: u64,
    /// Deletions that it refused.
    pub delete_error_count: u64,
    /// Reads of cold copies that failed, openings included.
    pub read_error_count: u64,
    /// Payload bytes read from cold copies.
    pub read: Metered,
    /// Reads of the hot copy while copying.
    pub hot_read_latency: Latencies,
    /// Openings of cold copies: the driver looks for its index.
    pub open_latency: Latencies,
    /// Reads of cold copies.
    pub read_latency: Latencies,
    touched_ms: u64,
}

impl DriverCounters {
    /// Nothing counted yet; rates are taken over `rate_period_ms`.
    pub fn new(clock: Arc<dyn Clock>, rate_period_ms: u64) -> Self {
        Self { clock, rate_period_ms, by_managed_ledger: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Mutex<DriverFigures>>>> {
        self.by_managed_ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts something of a managed ledger; `change` gets the time too, milliseconds since 1970.
    pub(super) fn count(&self, managed_ledger: &str, change: impl FnOnce(&mut DriverFigures, u64)) {
        let now_ms = self.clock.now_ms();
        let figures = {
            let mut all = self.lock();
            match all.get(managed_ledger) {
                Some(figures) => figures.clone(),
                None => {
                    let new = DriverFigures::new(now_ms, self.rate_period_ms);
                    all.entry(managed_ledger.to_owned()).or_insert(Arc::new(Mutex::new(new))).clone()
                }
            }
        };
        let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
        figures.touched_ms = now_ms;
        change(&mut figures, now_ms);
    }

    /// All figures now, by managed ledger.
    pub fn snapshot(&self) -> Vec<(String, DriverFigures)> {
        let now_ms = self.clock.now_ms();
        let mut found = Vec::new();
        self.lock().retain(|name, figures| {
            let mut figures = figures.lock().unwrap_or_else(PoisonError::into_inner);
            figures.offloaded.settle(now_ms);
            figures.read.settle(now_ms);
            let is_kept = now_ms.saturating_sub(figures.touched_ms) <= FORGOTTEN_AFTER_MS;
            if is_kept {
                found.push((name.clone(), figures.clone()));
            }
            is_kept
        });
        found
    }
}

impl DriverFigures {
    fn new(now_ms: u64, rate_period_ms: u64) -> Self {
        let metered = Metered { period_ms: rate_period_ms, ..Metered::default() };
        Self { created_ms: now_ms, offloaded: metered.clone(), read: metered, ..Self::default() }
    }

    /// Takes in what was counted for another managed ledger.
    pub fn merge(&mut self, other: &Self) {
        self.created_ms = if self.created_ms == 0 { other.created_ms } else { self.created_ms.min(other.created_ms) };
        self.offload_error_count += other.offload_error_count;
        self.offloaded.merge(&other.offloaded);
        self.deleted_count += other.deleted_count;
        self.delete_error_count += other.delete_error_count;
        self.read_error_count += other.read_error_count;
        self.read.merge(&other.read);
        self.hot_read_latency.merge(&other.hot_read_latency);
        self.open_latency.merge(&other.open_latency);
        self.read_latency.merge(&other.read_latency);
    }
}

/// Bytes that went by, and how many a second in the last whole period.
#[derive(Clone, Debug, Default)]
pub struct Metered {
    /// All of them.
    pub bytes: u64,
    /// Bytes a second.
    pub bytes_per_s: f64,
    period_ms: u64,
    period_start_ms: u64,
    bytes_then: u64,
}

impl Metered {
    pub(super) fn add(&mut self, bytes: u64, now_ms: u64) {
        self.settle(now_ms);
        self.bytes += bytes;
    }

    /// Ends the period that is over, if one is.
    fn settle(&mut self, now_ms: u64) {
        let elapsed_ms = now_ms.saturating_sub(self.period_start_ms);
        if elapsed_ms < self.period_ms.max(1) {
            return;
        }
        self.bytes_per_s = (self.bytes - self.bytes_then) as f64 * 1000.0 / elapsed_ms as f64;
        (self.period_start_ms, self.bytes_then) = (now_ms, self.bytes);
    }

    /// Sums to look at; periods are not kept.
    fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.bytes_per_s += other.bytes_per_s;
    }
}

/// Parts into which each doubling of a latency is cut.
const PARTS: u32 = 4;
/// Latencies up to 2^32 microseconds, more than an hour, are told apart.
const BUCKETS: usize = (32 * PARTS) as usize;

/// How long calls took, in buckets of equal ratio: quantiles are too large by a quarter at most.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// Calls.
    pub count: u64,
    /// Microseconds of all together.
    pub sum_us: u64,
    /// By bucket; empty before the first call.
    buckets: Vec<u64>,
}

impl Latencies {
    pub(super) fn add(&mut self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(us);
        self.buckets.resize(BUCKETS, 0);
        self.buckets[bucket(us)] += 1;
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum_us = self.sum_us.saturating_add(other.sum_us);
        self.buckets.resize(BUCKETS, 0);
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, more)| *sum += more);
    }

    /// The latency, microseconds, that the fraction `quantile` of calls did not exceed; `None` without calls.
    pub fn quantile_us(&self, quantile: f64) -> Option<u64> {
        let rank = (quantile * self.count as f64).ceil() as u64;
        let mut seen = 0;
        let place = self.buckets.iter().position(|calls| {
            seen += calls;
            seen >= rank.max(1)
        });
        place.map(upper_bound)
    }
}

/// Octave, then the two bits behind the leading one.
fn bucket(us: u64) -> usize {
    let us = us.max(u64::from(PARTS));
    let octave = us.ilog2();
    let part = (us >> (octave - 2)) as u32 & (PARTS - 1);
    ((octave * PARTS + part) as usize).min(BUCKETS - 1)
}

/// The largest latency of a bucket, microseconds.
fn upper_bound(bucket: usize) -> u64 {
    let (octave, part) = (bucket as u32 / PARTS, u64::from(bucket as u32 % PARTS));
    (((u64::from(PARTS) + part + 1) << octave) / u64::from(PARTS)).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[derive(Default)]
    struct Ticks(AtomicU64);

    impl Clock for Ticks {
        fn now_ms(&self) -> u64 {
            self.0.load(Ordering::SeqCst)
        }
    }

    #[test]
    fn quantiles_are_right_to_a_quarter() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.quantile_us(0.5), None);
        (1..=1000).for_each(|us| latencies.add(Duration::from_micros(us)));
        for (quantile, exact) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (1.0, 1000.0)] {
            let found = latencies.quantile_us(quantile).unwrap() as f64;
            assert!((exact..=exact * 1.25).contains(&found), "{quantile}: {found}");
        }
        assert_eq!((latencies.count, latencies.sum_us), (1000, 500_500));
        let mut both = Latencies::default();
        both.merge(&Latencies::default());
        assert_eq!(both.quantile_us(0.5), None);
        both.merge(&latencies);
        both.merge(&latencies);
        assert_eq!((both.count, both.sum_us, both.quantile_us(0.5)), (2000, 1_001_000, latencies.quantile_us(0.5)));
    }

    #[test]
    fn any_latency_has_a_bucket_that_holds_it() {
        for us in (0..32).flat_map(|octave| [(1_u64 << octave) - 1, 1 << octave, (1 << octave) + 1]) {
            let found = bucket(us);
            assert!(upper_bound(found) >= us, "{us} in {found}");
            assert!(us <= 4 || upper_bound(found - 1) < us, "{us} fits the bucket before {found} too");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn rates_are_of_whole_periods_and_idle_ledgers_are_forgotten() {
        const RATE_PERIOD_MS: u64 = 60_000;
        let clock = Arc::new(Ticks::default());
        let counters = DriverCounters::new(clock.clone(), RATE_PERIOD_MS);
        let pass = |ms| clock.0.fetch_add(ms, Ordering::SeqCst);
        pass(RATE_PERIOD_MS);
        counters.count("t", |figures, now_ms| figures.read.add(0, now_ms));
        counters.count("t", |figures, now_ms| figures.read.add(6000, now_ms));
        assert_eq!(counters.snapshot()[0].1.read.bytes_per_s, 0.0);
        pass(RATE_PERIOD_MS);
        assert_eq!(counters.snapshot()[0].1.read.bytes_per_s, 100.0);
        pass(RATE_PERIOD_MS);
        let figures = &counters.snapshot()[0].1;
        assert_eq!((figures.read.bytes, figures.read.bytes_per_s), (6000, 0.0));
        pass(FORGOTTEN_AFTER_MS);
        assert!(counters.snapshot().is_empty());
    }
}
