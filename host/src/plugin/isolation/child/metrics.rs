//! The library's own metrics on their way to the host: described once, then values, some at a time.
//!
//! Values wait [`COLLECTS`], or until [`VALUES_MAX`] are there, so that a busy counter is a frame now and then. Nothing wakes up
//! while nothing is recorded. What is recorded while the connection is congested is lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use longshore_plugin_api::abi::FfiMetric;
use longshore_plugin_api::abi::telemetry::METRIC_COUNTER;
use tokio::runtime::Handle;

use super::super::frame::Kind;
use super::super::link::{Link, NOTHING};
use super::super::message::{Metric, SERIES_MAX, Sample, Samples};
use super::services::from_ffi;

/// How long values wait for others.
const COLLECTS: Duration = Duration::from_millis(100);
/// Values that are not waited with any longer.
const VALUES_MAX: usize = 4096;

pub(super) struct FarMetrics {
    link: Weak<Link>,
    runtime: Handle,
    known: Mutex<Known>,
}

/// Kind, name and labels.
type SeriesKey = (u32, String, Vec<(String, String)>);

#[derive(Default)]
struct Known {
    numbers: HashMap<SeriesKey, u64>,
    /// By number, which is the place and one.
    series: Vec<Series>,
    waiting: usize,
    is_collecting: bool,
}

struct Series {
    is_counter: bool,
    /// One sum of a counter; everything that was recorded of others, in its order.
    values: Vec<f64>,
}

impl FarMetrics {
    /// Must be called on the runtime that serves the connection.
    pub(super) fn new(link: Weak<Link>) -> Arc<Self> {
        Arc::new(Self { link, runtime: Handle::current(), known: Mutex::default() })
    }

    /// The number of a series; 0 where there are too many. Whether the host keeps it, it says in its log.
    pub(super) fn number(&self, metric: &FfiMetric<'_>) -> u64 {
        let labels = from_ffi(&metric.labels);
        let named = labels.iter().map(|label| (label.name.clone(), label.value.clone())).collect();
        let key = (metric.kind, metric.name.as_str().to_owned(), named);
        let mut known = self.known();
        if let Some(number) = known.numbers.get(&key) {
            return *number;
        }
        let Some(link) = self.link.upgrade().filter(|_| known.series.len() < SERIES_MAX) else { return 0 };
        known.series.push(Series { is_counter: metric.kind == METRIC_COUNTER, values: Vec::new() });
        let number = known.series.len() as u64;
        known.numbers.insert(key, number);
        let metric = Metric {
            kind: metric.kind,
            name: metric.name.as_str().to_owned(),
            help: metric.help.as_str().to_owned(),
            labels,
            buckets: metric.buckets.to_vec(),
        };
        // Under the lock, so that no value goes out before it.
        link.notice(Kind::Metric, number, &metric);
        number
    }

    pub(super) fn record(self: &Arc<Self>, number: u64, value: f64) {
        let mut known = self.known();
        let place = usize::try_from(number).ok().and_then(|number| number.checked_sub(1));
        let Some(series) = place.and_then(|place| known.series.get_mut(place)) else { return };
        match series.values.first_mut().filter(|_| series.is_counter) {
            Some(sum) => *sum += value,
            None => {
                series.values.push(value);
                known.waiting += 1;
            }
        }
        if known.waiting >= VALUES_MAX {
            return self.send(known);
        }
        if !known.is_collecting {
            known.is_collecting = true;
            let this = Arc::clone(self);
            self.runtime.spawn(async move {
                tokio::time::sleep(COLLECTS).await;
                let mut known = this.known();
                known.is_collecting = false;
                this.send(known);
            });
        }
    }

    /// Sends what waits.
    pub(super) fn flush(&self) {
        self.send(self.known());
    }

    fn send(&self, mut known: MutexGuard<'_, Known>) {
        let with_values = (1..).zip(&mut known.series).filter(|(_, series)| !series.values.is_empty());
        let taken = with_values.map(|(series, row)| Sample { series, values: std::mem::take(&mut row.values) });
        let samples: Vec<Sample> = taken.collect();
        known.waiting = 0;
        drop(known);
        if let Some(link) = self.link.upgrade().filter(|link| !samples.is_empty() && !link.is_congested()) {
            link.notice(Kind::Samples, NOTHING, &Samples { samples });
        }
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
