//! The figures of plugins as metrics: their names, their labels, what they mean. Pure.
//!
//! What the host counts of a plugin's calls begins with `longshore_plugin_`, what a plugin counts itself with
//! `longshore_plugin_own_` and the plugin's name. Generations of one version are one series.

use crate::admin::{Kind, MetricFamily, MetricSeries, MetricValue};
use crate::plugin::figures::{CallFigures, LATENCY_BOUNDS};
use crate::plugin::own_metrics::{OwnFamily, OwnKind};
use crate::plugin::{LibraryStats, PluginFigures, RetiredFigures};

type Labels = Vec<(String, String)>;

/// All families, also those without a series.
pub(super) fn families(plugins: &[PluginFigures], retired: &RetiredFigures) -> Vec<MetricFamily> {
    let mut families = of_calls(plugins).to_vec();
    families.extend(of_drivers(plugins));
    families.extend(of_libraries(plugins));
    families.extend(of_retired(retired));
    for plugin in plugins {
        families.extend(plugin.own.iter().map(|family| own(plugin, family)));
    }
    families
}

fn family(name: &str, kind: Kind, help: &str, series: Vec<MetricSeries>) -> MetricFamily {
    MetricFamily { name: format!("longshore_plugin_{name}"), help: help.to_owned(), kind, series }
}

fn label(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn of_plugin(plugin: &PluginFigures) -> Labels {
    vec![label("plugin", &plugin.plugin), label("version", &plugin.version)]
}

/// A series for each kind of call to each driver.
fn each_call(plugins: &[PluginFigures], value: impl Fn(&CallFigures) -> MetricValue) -> Vec<MetricSeries> {
    let mut series = Vec::new();
    for plugin in plugins {
        for (driver, figures) in &plugin.drivers {
            for (verb, calls) in &figures.calls {
                let mut labels = of_plugin(plugin);
                labels.extend([label("driver", driver), label("call", verb.as_str())]);
                series.push(MetricSeries { labels, value: value(calls) });
            }
        }
    }
    series
}

fn of_calls(plugins: &[PluginFigures]) -> [MetricFamily; 5] {
    let number = |count: fn(&CallFigures) -> u64| each_call(plugins, |calls| MetricValue::Number(count(calls) as f64));
    let durations = each_call(plugins, |calls| MetricValue::Distribution {
        bounds: LATENCY_BOUNDS.iter().map(std::time::Duration::as_secs_f64).collect(),
        counts: calls.latency.to_vec(),
        sum: calls.latency_sum.as_secs_f64(),
    });
    [
        family("calls_total", Kind::Counter, "Calls to a plugin that were begun.", number(|calls| calls.begun)),
        family("calls_in_flight", Kind::Gauge, "Calls to a plugin that run now.", number(|calls| calls.in_flight)),
        family(
            "calls_abandoned_total",
            Kind::Counter,
            "Calls to a plugin whose caller went away before the end.",
            number(|calls| calls.abandoned),
        ),
        family(
            "call_duration_seconds",
            Kind::Histogram,
            "How long calls to a plugin took that ended, the wait for a permit included.",
            durations,
        ),
        family(
            "call_errors_total",
            Kind::Counter,
            "Calls to a plugin that failed, by error code; deadline, misbehaved, busy and suspended are the host's own verdicts.",
            errors(plugins),
        ),
    ]
}

fn errors(plugins: &[PluginFigures]) -> Vec<MetricSeries> {
    let mut series = Vec::new();
    for plugin in plugins {
        for (driver, figures) in &plugin.drivers {
            for (verb, calls) in &figures.calls {
                for (code, count) in &calls.errors {
                    let mut labels = of_plugin(plugin);
                    labels.extend([label("driver", driver), label("call", verb.as_str()), label("code", code)]);
                    series.push(MetricSeries { labels, value: MetricValue::Number(*count as f64) });
                }
            }
        }
    }
    series
}

fn of_drivers(plugins: &[PluginFigures]) -> [MetricFamily; 2] {
    let each = |bytes: fn(&crate::plugin::figures::DriverFigures) -> u64| {
        let drivers = plugins.iter().flat_map(|plugin| plugin.drivers.iter().map(move |driver| (plugin, driver)));
        let series = drivers.map(|(plugin, (driver, figures))| {
            let mut labels = of_plugin(plugin);
            labels.push(label("driver", driver));
            MetricSeries { labels, value: MetricValue::Number(bytes(figures) as f64) }
        });
        series.collect()
    };
    [
        family(
            "offloaded_bytes_total",
            Kind::Counter,
            "Payload that a plugin was given to copy.",
            each(|figures| figures.bytes_in),
        ),
        family(
            "read_bytes_total",
            Kind::Counter,
            "Payload that a plugin read from its copies.",
            each(|figures| figures.bytes_out),
        ),
    ]
}

fn of_libraries(plugins: &[PluginFigures]) -> [MetricFamily; 5] {
    let each = |count: fn(&LibraryStats) -> u64| {
        // What is unknown has no series.
        let series = plugins.iter().filter_map(|plugin| {
            let value = MetricValue::Number(count(plugin.stats.as_ref()?) as f64);
            Some(MetricSeries { labels: of_plugin(plugin), value })
        });
        series.collect()
    };
    [
        family("runtime_threads", Kind::Gauge, "Threads of a plugin's runtime.", each(|stats| stats.runtime_threads)),
        family(
            "own_threads",
            Kind::Gauge,
            "Threads that a plugin started beside its runtime and gave no name of their own.",
            each(LibraryStats::leaked_threads),
        ),
        family("tasks", Kind::Gauge, "Tasks on a plugin's runtime that have not ended.", each(|stats| stats.tasks)),
        family("read_handles", Kind::Gauge, "Copies that a plugin has open.", each(|stats| stats.read_handles)),
        family(
            "calls_inside",
            Kind::Gauge,
            "Calls that have not ended inside a plugin, those that the host gave up included.",
            each(|stats| stats.calls),
        ),
    ]
}

/// What a restart would give back, and what it may come to.
fn of_retired(retired: &RetiredFigures) -> [MetricFamily; 2] {
    let series = retired.bytes.iter().map(|((plugin, version), bytes)| MetricSeries {
        labels: vec![label("plugin", plugin), label("version", version)],
        value: MetricValue::Number(*bytes as f64),
    });
    let bound = MetricSeries { labels: Vec::new(), value: MetricValue::Number(retired.bytes_max as f64) };
    [
        family(
            "retired_bytes",
            Kind::Gauge,
            "Bytes of libraries of a plugin that are loaded and not in charge; a restart gives them back.",
            series.collect(),
        ),
        family(
            "retired_bytes_max",
            Kind::Gauge,
            "What all retired bytes together may come to before no further library is loaded, offloadersRetiredBytesMax.",
            vec![bound],
        ),
    ]
}

/// A metric of the plugin's own, under its name.
fn own(plugin: &PluginFigures, own: &OwnFamily) -> MetricFamily {
    let of_name: String = plugin.plugin.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let series = own.series.iter().map(|series| {
        let mut labels = of_plugin(plugin);
        labels.extend(series.labels.iter().cloned());
        let value = match own.kind {
            OwnKind::Counter | OwnKind::Gauge => MetricValue::Number(series.value),
            OwnKind::Histogram => MetricValue::Distribution {
                bounds: own.bounds.clone(),
                counts: series.buckets.clone(),
                sum: series.value,
            },
        };
        MetricSeries { labels, value }
    });
    let kind = match own.kind {
        OwnKind::Counter => Kind::Counter,
        OwnKind::Gauge => Kind::Gauge,
        OwnKind::Histogram => Kind::Histogram,
    };
    let help = if own.help.is_empty() { "A figure of the plugin's own." } else { own.help.as_str() };
    family(&format!("own_{of_name}_{}", own.name), kind, help, series.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::metrics_page as page;
    use crate::plugin::figures::{DriverFigures, Verb};

    /// One that was called, so that every family has a series.
    fn plugin() -> PluginFigures {
        let calls = CallFigures {
            begun: 1,
            in_flight: 0,
            abandoned: 0,
            latency: [0; LATENCY_BOUNDS.len() + 1],
            latency_sum: std::time::Duration::ZERO,
            errors: vec![("deadline", 1)],
        };
        let driver = DriverFigures { calls: vec![(Verb::Read, calls)], bytes_in: 0, bytes_out: 0 };
        PluginFigures {
            plugin: "p".to_owned(),
            version: "1".to_owned(),
            drivers: vec![("d".to_owned(), driver)],
            own: Vec::new(),
            stats: Some(LibraryStats::default()),
        }
    }

    /// See the head of `admin/metrics/page.rs`.
    #[test]
    fn the_page_has_every_family() {
        let retired = RetiredFigures { bytes: [(("p".to_owned(), "1".to_owned()), 1)].into(), bytes_max: 1 };
        let families = families(&[plugin()], &retired);
        let rows = families.iter().map(|family| {
            let series = family.series.first().unwrap_or_else(|| panic!("{} has no series here", family.name));
            let labels: Vec<&str> = series.labels.iter().map(|(name, _)| name.as_str()).collect();
            let labels = [&["cluster"], &labels[..]].concat().join(", ");
            let unit = match family.name.strip_suffix("_total").unwrap_or(&family.name) {
                name if name.ends_with("_seconds") => "seconds",
                name if name.ends_with("bytes") || name.ends_with("bytes_max") => "bytes",
                _ => "",
            };
            (family.name.as_str(), family.kind, labels, unit, family.help.as_str())
        });
        page::hold("plugins", &page::table(rows));
    }

    #[test]
    fn retired_bytes_stand_beside_their_bound() {
        let plugin = |version: &str| ("tape".to_owned(), version.to_owned());
        let retired = RetiredFigures { bytes: [(plugin("1.0.0"), 700), (plugin("1.0.1"), 0)].into(), bytes_max: 1000 };
        let families = families(&[], &retired);
        let of = |name: &str| {
            let family = families.iter().find(|family| family.name == name).unwrap();
            family.series.iter().map(|series| (series.labels.clone(), series.value.clone())).collect::<Vec<_>>()
        };
        let labels = |version: &str| vec![label("plugin", "tape"), label("version", version)];
        let bytes = [(labels("1.0.0"), MetricValue::Number(700.0)), (labels("1.0.1"), MetricValue::Number(0.0))];
        assert_eq!(of("longshore_plugin_retired_bytes"), bytes);
        assert_eq!(of("longshore_plugin_retired_bytes_max"), [(Vec::new(), MetricValue::Number(1000.0))]);
    }
}
