//! The figures that a plugin counts itself, kept by the host: a bounded number of series, found by number, recorded without a lock.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use longshore_plugin_api::abi::telemetry::{METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM};
use longshore_plugin_api::abi::{FfiField, FfiMetric};

/// Series of one library, of all its metrics together.
const SERIES_MAX: usize = PAGE * PAGES;
const PAGE: usize = 64;
const PAGES: usize = 8;

const NAME_BYTES_MAX: usize = 100;
const HELP_BYTES_MAX: usize = 300;
const LABELS_MAX: usize = 8;
const LABEL_VALUE_BYTES_MAX: usize = 100;
const BUCKETS_MAX: usize = 40;

/// Refusals that are told in the log; a plugin that asks again and again is not heard for ever.
const REFUSALS_TOLD_MAX: u32 = 16;

/// Labels that the host sets.
const LABELS_OF_THE_HOST: [&str; 5] = ["cluster", "plugin", "version", "le", "quantile"];

/// Endings of the series that a histogram consists of.
const ENDINGS_OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];

/// Buckets of a histogram without bounds of its own; they suit durations in seconds.
const BUCKETS_DEFAULT: [f64; 12] = [1e-4, 5e-4, 1e-3, 5e-3, 1e-2, 5e-2, 0.1, 0.5, 1.0, 5.0, 10.0, 60.0];

/// What a metric's values mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OwnKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// The metrics of one library.
pub(super) struct OwnMetrics {
    /// `name version`.
    plugin: String,
    pages: [OnceLock<Box<[OnceLock<Series>; PAGE]>>; PAGES],
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    families: BTreeMap<String, Family>,
    series: HashMap<(String, Labels), u64>,
    refusals: u32,
}

type Labels = Vec<(String, String)>;

struct Family {
    kind: OwnKind,
    help: String,
    bounds: Vec<f64>,
    series: Vec<(Labels, u64)>,
}

/// One series. The words of values are the bits of an `f64`.
struct Series {
    kind: OwnKind,
    value: AtomicU64,
    bounds: Vec<f64>,
    /// One more than there are bounds.
    buckets: Vec<AtomicU64>,
}

impl OwnMetrics {
    pub(super) fn new(plugin: &str) -> Self {
        Self { plugin: plugin.to_owned(), pages: Default::default(), known: Mutex::default() }
    }

    /// The number of the series that is described, or 0 where it is refused.
    pub(super) fn register(&self, metric: &FfiMetric<'_>) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let registered = self.find_or_add(&mut known, metric);
        registered.unwrap_or_else(|problem| {
            known.refusals = known.refusals.saturating_add(1);
            if known.refusals <= REFUSALS_TOLD_MAX {
                let name: String = metric.name.chars().take(NAME_BYTES_MAX).collect();
                tracing::warn!(plugin = self.plugin, metric = name, problem, "a metric of a plugin is not kept");
            }
            0
        })
    }

    fn find_or_add(&self, known: &mut Known, metric: &FfiMetric<'_>) -> Result<u64, String> {
        let kind = kind(metric)?;
        let key = (metric.name.to_string(), labels(&metric.labels)?);
        if let Some(before) = known.families.get(&key.0).filter(|family| family.kind != kind) {
            return Err(format!("it was a {:?} before and is a {kind:?} now", before.kind));
        }
        if let Some(number) = known.series.get(&key) {
            return Ok(*number);
        }
        check_name(metric.name.as_str(), kind)?;
        let bounds = bounds(kind, &metric.buckets)?;
        let index = known.series.len();
        if index >= SERIES_MAX {
            return Err(format!("it has {SERIES_MAX} series, and no more are kept"));
        }
        let family = known.families.entry(key.0.clone()).or_insert_with(|| Family {
            kind,
            help: metric.help.chars().take(HELP_BYTES_MAX).collect(),
            bounds,
            series: Vec::new(),
        });
        let page = self.pages[index / PAGE].get_or_init(|| Box::new([const { OnceLock::new() }; PAGE]));
        let bounds = family.bounds.clone();
        let buckets = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        page[index % PAGE].get_or_init(|| Series { kind, value: AtomicU64::new(0), bounds, buckets });
        let number = index as u64 + 1;
        family.series.push((key.1.clone(), number));
        known.series.insert(key, number);
        Ok(number)
    }

    /// Adds to, sets or observes; unknown numbers and values that are no numbers are ignored.
    pub(super) fn record(&self, number: u64, value: f64) {
        if let Some(series) = self.series(number).filter(|_| value.is_finite()) {
            series.record(value);
        }
    }

    fn series(&self, number: u64) -> Option<&Series> {
        let index = usize::try_from(number).ok()?.checked_sub(1)?;
        self.pages.get(index / PAGE)?.get()?[index % PAGE].get()
    }

    /// All metrics at a moment, by name.
    pub(super) fn snapshot(&self) -> Vec<OwnFamily> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let families = known.families.iter().map(|(name, family)| OwnFamily {
            name: name.clone(),
            kind: family.kind,
            help: family.help.clone(),
            bounds: family.bounds.clone(),
            series: family
                .series
                .iter()
                .filter_map(|(labels, number)| Some(self.series(*number)?.snapshot(labels)))
                .collect(),
        });
        families.collect()
    }
}

impl Series {
    fn record(&self, value: f64) {
        match self.kind {
            OwnKind::Gauge => self.value.store(value.to_bits(), Ordering::Relaxed),
            OwnKind::Counter if value < 0.0 => {}
            OwnKind::Counter => self.add(value),
            OwnKind::Histogram => {
                let place = self.bounds.iter().position(|bound| value <= *bound).unwrap_or(self.bounds.len());
                self.buckets[place].fetch_add(1, Ordering::Relaxed);
                self.add(value);
            }
        }
    }

    fn add(&self, value: f64) {
        let more = |bits| Some((f64::from_bits(bits) + value).to_bits());
        let _ = self.value.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
    }

    fn snapshot(&self, labels: &Labels) -> OwnSeries {
        let buckets = match self.kind {
            OwnKind::Histogram => self.buckets.iter().map(|bucket| bucket.load(Ordering::Relaxed)).collect(),
            OwnKind::Counter | OwnKind::Gauge => Vec::new(),
        };
        OwnSeries { labels: labels.clone(), value: f64::from_bits(self.value.load(Ordering::Relaxed)), buckets }
    }
}

fn kind(metric: &FfiMetric<'_>) -> Result<OwnKind, String> {
    match metric.kind {
        METRIC_COUNTER => Ok(OwnKind::Counter),
        METRIC_GAUGE => Ok(OwnKind::Gauge),
        METRIC_HISTOGRAM => Ok(OwnKind::Histogram),
        other => Err(format!("there is no kind {other}")),
    }
}

fn is_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

fn check_name(name: &str, kind: OwnKind) -> Result<(), String> {
    if !is_name(name) || name.len() > NAME_BYTES_MAX {
        return Err(format!(
            "a name is letters, digits and `_`, begins with a letter and has at most {NAME_BYTES_MAX} bytes"
        ));
    }
    if ENDINGS_OF_HISTOGRAMS.iter().any(|ending| name.ends_with(ending)) {
        return Err(format!("names that end in {} are those of a histogram's parts", ENDINGS_OF_HISTOGRAMS.join(", ")));
    }
    match (kind, name.ends_with("_total")) {
        (OwnKind::Counter, false) => Err("the name of a counter ends in `_total`".to_owned()),
        (OwnKind::Gauge | OwnKind::Histogram, true) => Err("only the name of a counter ends in `_total`".to_owned()),
        _ => Ok(()),
    }
}

/// The labels by name, so that their order makes no difference.
fn labels(fields: &[FfiField<'_>]) -> Result<Labels, String> {
    if fields.len() > LABELS_MAX {
        return Err(format!("it has {} labels, {LABELS_MAX} are allowed", fields.len()));
    }
    let mut labels = Labels::new();
    for FfiField { name, value } in fields {
        let name = name.as_str();
        let is_ours = LABELS_OF_THE_HOST.contains(&name) || name.starts_with("__");
        if !is_name(name) || name.len() > NAME_BYTES_MAX || is_ours {
            return Err(format!("`{}` cannot be a label", name.chars().take(NAME_BYTES_MAX).collect::<String>()));
        }
        labels.push((name.to_owned(), value.chars().take(LABEL_VALUE_BYTES_MAX).collect()));
    }
    labels.sort();
    match labels.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        true => Err("a label stands twice".to_owned()),
        false => Ok(labels),
    }
}

fn bounds(kind: OwnKind, given: &[f64]) -> Result<Vec<f64>, String> {
    match kind {
        OwnKind::Counter | OwnKind::Gauge => Ok(Vec::new()),
        OwnKind::Histogram if given.is_empty() => Ok(BUCKETS_DEFAULT.to_vec()),
        OwnKind::Histogram => {
            let ascending =
                given.windows(2).all(|pair| pair[0] < pair[1]) && given.iter().all(|bound| bound.is_finite());
            match ascending && given.len() <= BUCKETS_MAX {
                true => Ok(given.to_vec()),
                false => Err(format!("bounds of buckets are at most {BUCKETS_MAX}, ascending numbers")),
            }
        }
    }
}

/// One metric of a plugin at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnFamily {
    /// As the plugin names it.
    pub name: String,
    /// What its values mean.
    pub kind: OwnKind,
    /// One sentence.
    pub help: String,
    /// Upper bounds of a histogram's buckets.
    pub bounds: Vec<f64>,
    /// Its series.
    pub series: Vec<OwnSeries>,
}

/// One series of a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct OwnSeries {
    /// Names and values, by name.
    pub labels: Vec<(String, String)>,
    /// The value; a histogram's sum.
    pub value: f64,
    /// A histogram's counts, by bucket and beyond.
    pub buckets: Vec<u64>,
}

impl OwnFamily {
    /// Adds that of a later generation of the same plugin; a gauge is what the later one says.
    pub(super) fn add(&mut self, later: &Self) {
        if self.kind != later.kind || self.bounds != later.bounds {
            *self = later.clone();
            return;
        }
        for series in &later.series {
            match self.series.iter_mut().find(|known| known.labels == series.labels) {
                None => self.series.push(series.clone()),
                Some(known) if self.kind == OwnKind::Gauge => known.value = series.value,
                Some(known) => {
                    known.value += series.value;
                    known.buckets.iter_mut().zip(&series.buckets).for_each(|(sum, more)| *sum += more);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use abi_stable::std_types::{RSlice, RStr};

    use super::*;

    fn metric<'a>(kind: u32, name: &'a str, labels: &'a [FfiField<'a>], buckets: &'a [f64]) -> FfiMetric<'a> {
        FfiMetric {
            kind,
            reserved: 0,
            name: name.into(),
            help: "Something that is counted.".into(),
            labels: RSlice::from_slice(labels),
            buckets: RSlice::from_slice(buckets),
            extras: RSlice::EMPTY,
        }
    }

    fn label<'a>(name: &'a str, value: &'a str) -> FfiField<'a> {
        FfiField { name: RStr::from_str(name), value: RStr::from_str(value) }
    }

    #[test]
    fn values_are_kept_as_their_kind_says() {
        let own = OwnMetrics::new("x 1.0.0");
        let counter = own.register(&metric(METRIC_COUNTER, "hits_total", &[], &[]));
        let gauge = own.register(&metric(METRIC_GAUGE, "open_files", &[], &[]));
        let histogram = own.register(&metric(METRIC_HISTOGRAM, "part_bytes", &[], &[10.0, 20.0]));
        assert_eq!(own.register(&metric(METRIC_COUNTER, "hits_total", &[], &[])), counter);
        for value in [1.0, 2.0, -5.0, f64::NAN, f64::INFINITY] {
            own.record(counter, value);
            own.record(gauge, value);
        }
        [5.0, 20.0, 21.0].into_iter().for_each(|value| own.record(histogram, value));
        own.record(0, 1.0);
        own.record(u64::MAX, 1.0);
        let families = own.snapshot();
        let values: Vec<f64> = families.iter().map(|family| family.series[0].value).collect();
        assert_eq!(values, [3.0, -5.0, 46.0]);
        assert_eq!(families[2].series[0].buckets, [1, 1, 1]);
    }

    #[test]
    fn labels_make_series_in_any_order() {
        let own = OwnMetrics::new("x 1.0.0");
        let (a, b) = (label("tier", "memory"), label("kind", "index"));
        let first = own.register(&metric(METRIC_COUNTER, "hits_total", &[a, b], &[]));
        assert_eq!(own.register(&metric(METRIC_COUNTER, "hits_total", &[b, a], &[])), first);
        assert_ne!(own.register(&metric(METRIC_COUNTER, "hits_total", &[a], &[])), first);
    }

    #[test]
    fn what_prometheus_would_not_read_is_refused() {
        let own = OwnMetrics::new("x 1.0.0");
        own.register(&metric(METRIC_GAUGE, "open_files", &[], &[]));
        let twice = [label("a", "1"), label("a", "2")];
        for bad in [
            metric(9, "hits_total", &[], &[]),
            metric(METRIC_COUNTER, "hits", &[], &[]),
            metric(METRIC_GAUGE, "hits_total", &[], &[]),
            metric(METRIC_GAUGE, "9_files", &[], &[]),
            metric(METRIC_GAUGE, "open files", &[], &[]),
            metric(METRIC_GAUGE, "", &[], &[]),
            metric(METRIC_GAUGE, "files", &[label("plugin", "other")], &[]),
            metric(METRIC_GAUGE, "files", &[label("__name__", "other")], &[]),
            metric(METRIC_GAUGE, "files", &twice, &[]),
            metric(METRIC_HISTOGRAM, "part_bytes", &[], &[2.0, 1.0]),
            metric(METRIC_HISTOGRAM, "open_files", &[], &[]),
        ] {
            assert_eq!(own.register(&bad), 0, "{bad:?}");
        }
        assert_eq!(own.snapshot().len(), 1);
    }

    #[test]
    fn series_are_bounded() {
        let own = OwnMetrics::new("x 1.0.0");
        for n in 0..SERIES_MAX {
            let value = n.to_string();
            assert_ne!(own.register(&metric(METRIC_COUNTER, "reads_total", &[label("ledger", &value)], &[])), 0);
        }
        assert_eq!(own.register(&metric(METRIC_COUNTER, "reads_total", &[label("ledger", "more")], &[])), 0);
        assert_ne!(own.register(&metric(METRIC_COUNTER, "reads_total", &[label("ledger", "7")], &[])), 0);
    }
}
