//! A driver's own figures, which the host shows among its own at `/metrics`, as `longshore_plugin_own_<plugin>_<name>`.
//!
//! Names are letters, digits and `_`, end in their unit (`_bytes`, `_seconds`), and a counter's in `_total`; none ends as the parts
//! of a histogram do (`_bucket`, `_sum`, `_count`). A label's values must
//! be few: the host keeps a bounded number of series for each plugin and refuses further ones, which it says in its log.
//! Recording takes some nanoseconds and never blocks. Before a library is started, as in an author's own tests, nothing is kept.
//!
//! ```
//! use longshore_plugin_api::metrics::{Counter, Histogram};
//!
//! static HITS: Counter = Counter::new("index_hits_total", "Reads whose index was in memory.");
//! static PARTS: Histogram = Histogram::new("part_bytes", "Sizes of the parts that were sent.").buckets(&[1e5, 1e6, 1e7]);
//!
//! HITS.add(1);
//! PARTS.observe(5e6);
//! ```

use std::sync::OnceLock;

use abi_stable::std_types::{RSlice, RStr};

use crate::abi::telemetry::{METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM};
use crate::abi::{FfiField, FfiMetric};
use crate::runtime::services;

/// Names and values that tell one series of a metric from another.
pub type Labels<'a> = [(&'a str, &'a str)];

#[derive(Debug)]
struct Metric {
    kind: u32,
    name: &'static str,
    help: &'static str,
    buckets: &'static [f64],
    /// The series without labels.
    bare: OnceLock<u64>,
}

impl Metric {
    const fn new(kind: u32, name: &'static str, help: &'static str) -> Self {
        Self { kind, name, help, buckets: &[], bare: OnceLock::new() }
    }

    fn register(&self, labels: &Labels<'_>) -> Option<u64> {
        let labels: Vec<FfiField<'_>> =
            labels.iter().map(|(name, value)| FfiField { name: (*name).into(), value: (*value).into() }).collect();
        services::metric(FfiMetric {
            kind: self.kind,
            reserved: 0,
            name: RStr::from_str(self.name),
            help: RStr::from_str(self.help),
            labels: RSlice::from_slice(&labels),
            buckets: RSlice::from_slice(self.buckets),
            extras: RSlice::EMPTY,
        })
    }

    fn record(&self, value: f64) {
        let series = match self.bare.get() {
            Some(series) => *series,
            // Before the start there is nobody to ask, so the question stays open.
            None => match self.register(&[]) {
                Some(series) => *self.bare.get_or_init(|| series),
                None => return,
            },
        };
        services::record(series, value);
    }

    fn with(&self, labels: &Labels<'_>) -> u64 {
        self.register(labels).unwrap_or(0)
    }
}

/// A count that only grows.
#[derive(Debug)]
pub struct Counter(Metric);

/// A [`Counter`] with labels.
#[derive(Clone, Copy, Debug)]
pub struct CounterSeries(u64);

impl Counter {
    /// A counter; `name` ends in `_total`, `help` is one sentence.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Metric::new(METRIC_COUNTER, name, help))
    }

    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        self.0.record(count as f64);
    }

    /// The series with these labels. Looked up at each call: keep it where it is used often.
    pub fn with(&self, labels: &Labels<'_>) -> CounterSeries {
        CounterSeries(self.0.with(labels))
    }
}

impl CounterSeries {
    /// Counts `count` more.
    pub fn add(&self, count: u64) {
        services::record(self.0, count as f64);
    }
}

/// A value that goes up and down.
#[derive(Debug)]
pub struct Gauge(Metric);

/// A [`Gauge`] with labels.
#[derive(Clone, Copy, Debug)]
pub struct GaugeSeries(u64);

impl Gauge {
    /// A gauge; `help` is one sentence.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Metric::new(METRIC_GAUGE, name, help))
    }

    /// It is `value` now.
    pub fn set(&self, value: f64) {
        self.0.record(value);
    }

    /// The series with these labels. Looked up at each call: keep it where it is used often.
    pub fn with(&self, labels: &Labels<'_>) -> GaugeSeries {
        GaugeSeries(self.0.with(labels))
    }
}

impl GaugeSeries {
    /// It is `value` now.
    pub fn set(&self, value: f64) {
        services::record(self.0, value);
    }
}

/// A distribution.
#[derive(Debug)]
pub struct Histogram(Metric);

/// A [`Histogram`] with labels.
#[derive(Clone, Copy, Debug)]
pub struct HistogramSeries(u64);

impl Histogram {
    /// A histogram with the host's buckets, which suit durations in seconds; `help` is one sentence.
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        Self(Metric::new(METRIC_HISTOGRAM, name, help))
    }

    /// With these upper bounds of buckets, ascending.
    #[must_use]
    pub const fn buckets(mut self, bounds: &'static [f64]) -> Self {
        self.0.buckets = bounds;
        self
    }

    /// One value more.
    pub fn observe(&self, value: f64) {
        self.0.record(value);
    }

    /// The series with these labels. Looked up at each call: keep it where it is used often.
    pub fn with(&self, labels: &Labels<'_>) -> HistogramSeries {
        HistogramSeries(self.0.with(labels))
    }
}

impl HistogramSeries {
    /// One value more.
    pub fn observe(&self, value: f64) {
        services::record(self.0, value);
    }
}
