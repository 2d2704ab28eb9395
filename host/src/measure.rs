//! Numbers that the work feeds and a period reads: a few relaxed atomics, so that counting takes no lock and no memory.
//!
//! What "lately" means is decided by whoever calls `tick`: the broker does once in a statistics period
//! (`managedLedgerStatsPeriodSeconds`), and what is shown until the next call is what went by between the two calls before.
//! Until the first one it is 0. A count that lands while a period ends belongs to that one or to the next, never to both.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One number that only grows, and how fast it did lately.
#[derive(Debug, Default)]
pub struct Meter {
    total: AtomicU64,
    total_then: AtomicU64,
    lately: AtomicU64,
    /// Bits of an `f64`.
    per_second: AtomicU64,
}

impl Meter {
    /// Counts.
    pub fn add(&self, more: u64) {
        self.total.fetch_add(more, Relaxed);
    }

    /// All of it.
    pub fn total(&self) -> u64 {
        self.total.load(Relaxed)
    }

    /// What the last whole period added.
    pub fn lately(&self) -> u64 {
        self.lately.load(Relaxed)
    }

    /// The same, a second.
    pub fn per_second(&self) -> f64 {
        f64::from_bits(self.per_second.load(Relaxed))
    }

    /// Ends a period that was `elapsed` long.
    pub fn tick(&self, elapsed: Duration) {
        let total = self.total.load(Relaxed);
        let lately = total.saturating_sub(self.total_then.swap(total, Relaxed));
        self.lately.store(lately, Relaxed);
        self.per_second.store((lately as f64 / seconds(elapsed)).to_bits(), Relaxed);
    }
}

/// How many values fell between each of `N` bounds and the one before it.
#[derive(Debug)]
pub struct Buckets<const N: usize> {
    bounds: &'static [u64; N],
    now: Counts<N>,
    lately: Counts<N>,
}

#[derive(Debug)]
struct Counts<const N: usize> {
    within: [AtomicU64; N],
    beyond: AtomicU64,
    sum: AtomicU64,
}

/// What [`Buckets`] show of a whole period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread<const N: usize> {
    /// By bound: values up to it and above the one before.
    pub within: [u64; N],
    /// Values above the last bound.
    pub beyond: u64,
    /// The sum of all values.
    pub sum: u64,
}

impl<const N: usize> Buckets<N> {
    /// Empty. `bounds` ascend; a value that equals one is within it.
    pub fn new(bounds: &'static [u64; N]) -> Self {
        Self { bounds, now: Counts::default(), lately: Counts::default() }
    }

    /// Counts one value.
    pub fn add(&self, value: u64) {
        let place = self.bounds.iter().position(|bound| value <= *bound);
        place.map_or(&self.now.beyond, |place| &self.now.within[place]).fetch_add(1, Relaxed);
        self.now.sum.fetch_add(value, Relaxed);
    }

    /// Counts a duration, in microseconds.
    pub fn add_us(&self, duration: Duration) {
        self.add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX));
    }

    /// Ends a period.
    pub fn tick(&self) {
        let pairs = self.now.each().zip(self.lately.each());
        pairs.for_each(|(now, lately)| lately.store(now.swap(0, Relaxed), Relaxed));
    }

    /// The last whole period.
    pub fn lately(&self) -> Spread<N> {
        Spread {
            within: std::array::from_fn(|place| self.lately.within[place].load(Relaxed)),
            beyond: self.lately.beyond.load(Relaxed),
            sum: self.lately.sum.load(Relaxed),
        }
    }
}

impl<const N: usize> Counts<N> {
    fn each(&self) -> impl Iterator<Item = &AtomicU64> {
        self.within.iter().chain([&self.beyond, &self.sum])
    }
}

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self { within: std::array::from_fn(|_| AtomicU64::new(0)), beyond: AtomicU64::new(0), sum: AtomicU64::new(0) }
    }
}

impl<const N: usize> Default for Spread<N> {
    fn default() -> Self {
        Self { within: [0; N], beyond: 0, sum: 0 }
    }
}

impl<const N: usize> Spread<N> {
    /// Both together.
    #[must_use]
    pub fn plus(&self, other: &Self) -> Self {
        Self {
            within: std::array::from_fn(|place| self.within[place] + other.within[place]),
            beyond: self.beyond + other.beyond,
            sum: self.sum.saturating_add(other.sum),
        }
    }

    /// How many values there were.
    pub fn count(&self) -> u64 {
        self.within.iter().sum::<u64>() + self.beyond
    }
}

fn seconds(elapsed: Duration) -> f64 {
    elapsed.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_last_period_only() {
        let meter = Meter::default();
        meter.add(10);
        assert_eq!((meter.total(), meter.lately(), meter.per_second()), (10, 0, 0.0));
        meter.tick(Duration::from_secs(2));
        assert_eq!((meter.total(), meter.lately(), meter.per_second()), (10, 10, 5.0));
        meter.add(1);
        meter.tick(Duration::from_secs(2));
        assert_eq!((meter.total(), meter.lately(), meter.per_second()), (11, 1, 0.5));
    }

    #[test]
    fn a_period_without_length_gives_a_number() {
        let meter = Meter::default();
        meter.tick(Duration::ZERO);
        assert_eq!(meter.per_second(), 0.0);
    }

    #[test]
    fn values_fall_up_to_their_bound_and_leave_with_their_period() {
        let buckets = Buckets::new(&[10, 20]);
        [0, 10, 11, 20, 21, 1000].into_iter().for_each(|value| buckets.add(value));
        assert_eq!(buckets.lately().count(), 0, "the period has not ended");
        buckets.tick();
        let spread = buckets.lately();
        assert_eq!((spread.within, spread.beyond, spread.sum, spread.count()), ([2, 2], 2, 1062, 6));
        buckets.add_us(Duration::from_micros(15));
        buckets.tick();
        assert_eq!(buckets.lately(), Spread { within: [0, 1], beyond: 0, sum: 15 });
        assert_eq!(buckets.lately().plus(&spread), Spread { within: [2, 3], beyond: 2, sum: 1077 });
        buckets.tick();
        assert_eq!(buckets.lately().count(), 0);
    }
}
