//! Figures of drivers, under the original's names for its offloaders.

use super::text::{Exposition, Kind, Labels};
use crate::offload::counters::{DriverFigures, Latencies, Metered};
use crate::topic::TopicName;

const OFFLOAD_ERROR: &str = "brk_ledgeroffloader_offload_error";
const OFFLOAD_RATE: &str = "brk_ledgeroffloader_offload_rate";
const DELETE_OPS: &str = "brk_ledgeroffloader_delete_offload_ops";
const WRITE_ERROR: &str = "brk_ledgeroffloader_write_storage_error";
const READ_ERROR: &str = "brk_ledgeroffloader_read_offload_error";
const READ_RATE: &str = "brk_ledgeroffloader_read_offload_rate";
const READ_BYTES: &str = "brk_ledgeroffloader_read_bytes";
const HOT_READ_LATENCY: &str = "brk_ledgeroffloader_read_ledger_latency";
const OPEN_LATENCY: &str = "brk_ledgeroffloader_read_offload_index_latency";
const READ_LATENCY: &str = "brk_ledgeroffloader_read_offload_data_latency";

/// The quantiles of a summary.
const QUANTILES: [(f64, &str); 4] = [(0.5, "0.5"), (0.95, "0.95"), (0.99, "0.99"), (1.0, "1.0")];

/// All managed ledgers that a driver worked for. The families stand even without any.
pub(super) fn add(out: &mut Exposition, cluster: &Labels, figures: &[(String, DriverFigures)]) {
    for counter in [OFFLOAD_ERROR, DELETE_OPS, WRITE_ERROR, READ_ERROR, READ_BYTES] {
        out.family(counter, Kind::Counter);
    }
    for gauge in [OFFLOAD_RATE, READ_RATE] {
        out.family(gauge, Kind::Gauge);
    }
    for summary in [HOT_READ_LATENCY, OPEN_LATENCY, READ_LATENCY] {
        out.family(summary, Kind::Summary);
    }
    for (managed_ledger, figures) in figures {
        let Some(topic) = TopicName::from_managed_ledger(managed_ledger) else { continue };
        let labels = cluster.with("namespace", &topic.namespace().to_string()).with("topic", &topic.to_string());
        add_one(out, &labels, figures);
    }
}

/// What never happened has no series, as in the original.
fn add_one(out: &mut Exposition, labels: &Labels, figures: &DriverFigures) {
    let created_s = figures.created_ms as f64 / 1000.0;
    let mut counter = |name, labels: &Labels, count: u64| {
        if count > 0 {
            out.sample_as(name, "_total", Kind::Counter, labels, count as f64);
            out.sample_as(name, "_created", Kind::Counter, labels, created_s);
        }
    };
    // A driver does not tell whether it or its store was at fault.
    counter(OFFLOAD_ERROR, labels, figures.offload_error_count);
    counter(WRITE_ERROR, labels, figures.offload_error_count);
    counter(READ_ERROR, labels, figures.read_error_count);
    counter(READ_BYTES, labels, figures.read.bytes);
    counter(DELETE_OPS, &labels.with("status", "succeed"), figures.deleted_count);
    counter(DELETE_OPS, &labels.with("status", "failed"), figures.delete_error_count);
    let mut rate = |name, metered: &Metered| {
        if metered.bytes > 0 {
            out.sample(name, Kind::Gauge, labels, metered.bytes_per_s);
        }
    };
    rate(OFFLOAD_RATE, &figures.offloaded);
    rate(READ_RATE, &figures.read);
    let summaries = [
        (HOT_READ_LATENCY, &figures.hot_read_latency),
        (OPEN_LATENCY, &figures.open_latency),
        (READ_LATENCY, &figures.read_latency),
    ];
    for (name, latencies) in summaries.into_iter().filter(|(_, latencies)| latencies.count > 0) {
        add_summary(out, name, labels, latencies, created_s);
    }
}

fn add_summary(out: &mut Exposition, name: &'static str, labels: &Labels, latencies: &Latencies, created_s: f64) {
    for (quantile, text) in QUANTILES {
        if let Some(us) = latencies.quantile_us(quantile) {
            out.sample(name, Kind::Summary, &labels.with("quantile", text), us as f64);
        }
    }
    out.sample_as(name, "_count", Kind::Summary, labels, latencies.count as f64);
    out.sample_as(name, "_sum", Kind::Summary, labels, latencies.sum_us as f64);
    out.sample_as(name, "_created", Kind::Summary, labels, created_s);
}
