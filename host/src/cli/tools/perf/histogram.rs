//! Latencies in buckets whose width grows with the value, so that each percentile is known to a thousandth.

/// Values up to this are exact; beyond, each doubling has half as many buckets.
const EXACT_BITS: u32 = 11;
const HALF: usize = 1 << (EXACT_BITS - 1);
const BUCKETS: usize = (1 << EXACT_BITS) + (64 - EXACT_BITS as usize) * HALF;

/// Counts of values.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    largest: u64,
}

impl Histogram {
    /// Nothing yet.
    pub(super) fn new() -> Self {
        Self { counts: vec![0; BUCKETS], count: 0, sum: 0, largest: 0 }
    }

    /// One more value.
    pub(super) fn add(&mut self, value: u64) {
        self.counts[bucket(value)] += 1;
        self.count += 1;
        self.sum += u128::from(value);
        self.largest = self.largest.max(value);
    }

    /// All values of another.
    pub(super) fn add_all(&mut self, other: &Self) {
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.largest = self.largest.max(other.largest);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        (self.count, self.sum, self.largest) = (0, 0, 0);
    }

    /// The mean; 0 of nothing.
    pub(super) fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum as f64 / self.count as f64 }
    }

    /// The largest value; 0 of nothing.
    pub(super) fn max(&self) -> u64 {
        self.largest
    }

    /// The value that `percent` of all values do not exceed; 0 of nothing.
    pub(super) fn percentile(&self, percent: f64) -> u64 {
        let wanted = ((self.count as f64 * percent / 100.0).ceil() as u64).max(1);
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= wanted {
                return largest_in(index).min(self.largest);
            }
        }
        0
    }
}

/// The bucket of a value.
fn bucket(value: u64) -> usize {
    let bits = 64 - value.leading_zeros();
    if bits <= EXACT_BITS {
        return value as usize;
    }
    let shift = bits - EXACT_BITS;
    (1 << EXACT_BITS) + (shift as usize - 1) * HALF + ((value >> shift) as usize - HALF)
}

/// The largest value of a bucket.
fn largest_in(bucket: usize) -> u64 {
    let Some(beyond) = bucket.checked_sub(1 << EXACT_BITS) else { return bucket as u64 };
    let shift = beyond / HALF + 1;
    let first = ((beyond % HALF + HALF) as u64) << shift;
    first + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_in_a_bucket_that_is_narrow_enough() {
        let mut random = fastrand::Rng::with_seed(5);
        for value in (0..5000).chain((0..20_000).map(|_| random.u64(..) >> random.u32(0..64))).chain([u64::MAX]) {
            let index = bucket(value);
            assert!(index < BUCKETS, "{value}");
            let largest = largest_in(index);
            assert!(largest >= value && largest - value <= value / 1000, "{value} {largest}");
        }
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_values() {
        let mut histogram = Histogram::new();
        assert_eq!((histogram.percentile(99.0), histogram.max(), histogram.mean()), (0, 0, 0.0));
        for value in 1..=1000 {
            histogram.add(value);
        }
        for (percent, value) in [(50.0, 500), (95.0, 950), (99.9, 999), (99.99, 1000)] {
            assert_eq!(histogram.percentile(percent), value);
        }
        assert_eq!((histogram.max(), histogram.mean()), (1000, 500.5));
        let mut both = histogram.clone();
        both.add_all(&histogram);
        assert_eq!((both.count, both.percentile(50.0)), (2000, 500));
        both.clear();
        assert_eq!((both.count, both.max()), (0, 0));
    }
}
