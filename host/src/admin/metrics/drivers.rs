//! Figures of drivers, under the original's names for its offloaders.

use std::collections::BTreeMap;

use super::catalogue::Family;
use super::catalogue::offloader::{
    DELETE_OPS, HOT_READ_LATENCY, OFFLOAD_ERROR, OFFLOAD_RATE, OPEN_LATENCY, READ_BYTES, READ_ERROR, READ_LATENCY,
    READ_RATE, WRITE_ERROR,
};
use super::detail::Detail;
use super::text::{Exposition, Labels};
use crate::offload::counters::{DriverFigures, Latencies, Metered};
use crate::topic::TopicName;

/// The quantiles of a summary.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.95, "0.95"), (0.99, "0.99"), (1.0, "1.0")];

/// All managed ledgers that a driver worked for.
pub(super) fn add(out: &mut Exposition, cluster: &Labels, detail: Detail, figures: Vec<(String, DriverFigures)>) {
    let mut by_namespace: BTreeMap<String, DriverFigures> = BTreeMap::new();
    for (managed_ledger, figures) in figures {
        let Some(topic) = TopicName::from_managed_ledger(&managed_ledger) else { continue };
        match detail.labels(cluster, &topic) {
            Some(labels) => add_one(out, &labels, &figures),
            None => by_namespace.entry(topic.namespace().to_string()).or_default().merge(&figures),
        }
    }
    for (namespace, figures) in by_namespace {
        add_one(out, &cluster.with("namespace", &namespace), &figures);
    }
}

/// What never happened has no series, as in the original.
fn add_one(out: &mut Exposition, labels: &Labels, figures: &DriverFigures) {
    let created_s = figures.created_ms as f64 / 1000.0;
    let mut counter = |family: &Family, labels: &Labels, count: u64| {
        if count > 0 {
            out.total(family, labels, count as f64);
            out.created(family, labels, created_s);
        }
    };
    // A driver does not tell whether it or its store was at fault.
    counter(&OFFLOAD_ERROR, labels, figures.offload_error_count);
    counter(&WRITE_ERROR, labels, figures.offload_error_count);
    counter(&READ_ERROR, labels, figures.read_error_count);
    counter(&READ_BYTES, labels, figures.read.bytes);
    counter(&DELETE_OPS, &labels.with("status", "succeed"), figures.deleted_count);
    counter(&DELETE_OPS, &labels.with("status", "failed"), figures.delete_error_count);
    let mut rate = |family: &Family, metered: &Metered| {
        if metered.bytes > 0 {
            out.sample(family, labels, metered.bytes_per_s);
        }
    };
    rate(&OFFLOAD_RATE, &figures.offloaded);
    rate(&READ_RATE, &figures.read);
    let summaries = [
        (&HOT_READ_LATENCY, &figures.hot_read_latency),
        (&OPEN_LATENCY, &figures.open_latency),
        (&READ_LATENCY, &figures.read_latency),
    ];
    for (family, latencies) in summaries.into_iter().filter(|(_, latencies)| latencies.count > 0) {
        add_summary(out, family, labels, latencies, created_s);
    }
}

fn add_summary(out: &mut Exposition, family: &Family, labels: &Labels, latencies: &Latencies, created_s: f64) {
    for (quantile, text) in QUANTILES {
        if let Some(us) = latencies.quantile_us(quantile) {
            out.sample(family, &labels.with("quantile", text), us as f64);
        }
    }
    out.part(family, "_count", labels, latencies.count as f64);
    out.part(family, "_sum", labels, latencies.sum_us as f64);
    out.created(family, labels, created_s);
}
