//! Figures of managed ledgers, over each namespace and over the broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::catalogue::{Family, broker, managed_ledger as of};
use super::text::{Exposition, Labels};
use crate::managed_ledger::cache::CacheBudget;
use crate::managed_ledger::figures::{LATENCY_BOUNDS_US, LedgerFigures, SIZE_BOUNDS_BYTES};
use crate::measure::Spread;
use crate::topic::Topic;

/// What the managed ledgers of the whole broker share.
pub(super) fn add_broker(out: &mut Exposition, cluster: &Labels, loaded: usize, cache: &CacheBudget) {
    let figures = cache.figures();
    let values = [
        (&broker::LEDGERS, loaded as f64),
        (&broker::CACHE_SIZE, cache.used_bytes() as f64),
        (&broker::CACHE_ENTRIES, figures.entries as f64),
        (&broker::CACHE_ADDED, figures.added_entries as f64),
        (&broker::CACHE_DROPPED, figures.dropped_entries as f64),
        (&broker::CACHE_EVICTIONS, figures.evictions as f64),
        (&broker::CACHE_HITS, figures.hit_entries_per_s),
        (&broker::CACHE_HIT_BYTES, figures.hit_bytes_per_s),
        (&broker::CACHE_MISSES, figures.missed_entries_per_s),
        (&broker::CACHE_MISSED_BYTES, figures.missed_bytes_per_s),
    ];
    values.iter().for_each(|(family, value)| out.sample(family, cluster, *value));
}

/// All namespaces with loaded topics.
pub(super) fn add(out: &mut Exposition, cluster: &Labels, loaded: &[Arc<Topic>]) {
    let mut namespaces: BTreeMap<String, Vec<&Topic>> = BTreeMap::new();
    for topic in loaded {
        namespaces.entry(topic.name().namespace().to_string()).or_default().push(topic);
    }
    for (namespace, topics) in namespaces {
        let labels = cluster.with("namespace", &format!("{namespace}/persistent"));
        add_namespace(out, &labels, &topics);
    }
}

fn add_namespace(out: &mut Exposition, labels: &Labels, topics: &[&Topic]) {
    let figures: Vec<LedgerFigures> = topics.iter().map(|topic| topic.ledger().figures()).collect();
    let sum = |each: fn(&LedgerFigures) -> f64| figures.iter().map(each).sum::<f64>();
    let backlog = |topic: &&Topic| {
        let cursors = topic.ledger().cursors();
        cursors.iter().filter(|cursor| cursor.is_durable()).map(|cursor| cursor.backlog()).sum::<u64>()
    };
    let values = [
        (&of::ADD_BYTES_RATE, sum(|of| of.added_bytes_per_s)),
        (&of::ADD_REPLICAS_RATE, sum(|of| of.added_bytes_per_s)),
        (&of::ADD_RATE, sum(|of| of.added_entries_per_s)),
        (&of::ADD_SUCCEEDED, sum(|of| of.added_entries as f64)),
        (&of::ADD_ERRORS, sum(|of| of.refused_entries as f64)),
        (&of::MARK_DELETE_RATE, sum(|of| of.cursor_moves_per_s)),
        (&of::BACKLOG, topics.iter().map(backlog).sum::<u64>() as f64),
        (&of::READ_BYTES_RATE, sum(|of| of.read_bytes_per_s)),
        (&of::READ_ERRORS, sum(|of| of.failed_reads as f64)),
        (&of::MISSES_RATE, sum(|of| of.missed_entries_per_s)),
        (&of::READ_RATE, sum(|of| of.read_entries_per_s)),
        (&of::READ_SUCCEEDED, sum(|of| of.reads as f64)),
        (&of::STORED_SIZE, topics.iter().map(|topic| topic.ledger().size_bytes()).sum::<u64>() as f64),
    ];
    values.iter().for_each(|(family, value)| out.sample(family, labels, *value));
    // The original's buckets of a namespace are a second, those of a topic are not.
    let period_s = figures.iter().map(|of| of.period.as_secs_f64()).fold(f64::MIN_POSITIVE, f64::max);
    let us_per_ms = 1000.0;
    let spreads = [
        (&of::ADD_LATENCY, &of::ADD_LATENCY_BEYOND, total(figures.iter().map(|of| of.append_latency))),
        (&of::STORE_LATENCY, &of::STORE_LATENCY_BEYOND, total(figures.iter().map(|of| of.store_latency))),
        (&of::SWITCH_LATENCY, &of::SWITCH_LATENCY_BEYOND, total(figures.iter().map(|of| of.replace_latency))),
    ];
    for (within, beyond, spread) in spreads {
        add_ranges(out, labels, (within, beyond), &spread, LATENCY_BOUNDS_US.map(|us| us as f64 / us_per_ms), period_s);
    }
    let sizes = total(figures.iter().map(|of| of.entry_size));
    let bounds = SIZE_BOUNDS_BYTES.map(|bytes| bytes as f64);
    add_ranges(out, labels, (&of::ENTRY_SIZE, &of::ENTRY_SIZE_BEYOND), &sizes, bounds, period_s);
}

fn total<const N: usize>(spreads: impl Iterator<Item = Spread<N>>) -> Spread<N> {
    spreads.fold(Spread::default(), |sum, one| sum.plus(&one))
}

/// A sample for each range, from the bound before to the bound.
fn add_ranges<const N: usize>(
    out: &mut Exposition,
    labels: &Labels,
    (within, beyond): (&Family, &Family),
    spread: &Spread<N>,
    bounds: [f64; N],
    period_s: f64,
) {
    let mut from = 0.0;
    for (to, count) in bounds.into_iter().zip(spread.within) {
        // The original writes every number with a decimal point.
        out.sample(within, &labels.with("quantile", &format!("{from:?}_{to:?}")), count as f64 / period_s);
        from = to;
    }
    out.sample(beyond, labels, spread.beyond as f64 / period_s);
}
