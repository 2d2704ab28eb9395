//! Families that other rooms bring as plain data.

use super::text::{Exposition, Kind, Labels};

/// A metric with its series, whoever counts it.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricFamily {
    /// The whole name; a counter's ends in `_total`.
    pub name: String,
    /// One sentence.
    pub help: String,
    /// What the values mean.
    pub kind: Kind,
    /// The series.
    pub series: Vec<MetricSeries>,
}

/// One series.
#[derive(Clone, Debug, PartialEq)]
pub struct MetricSeries {
    /// Names and values that tell it from the others of its family.
    pub labels: Vec<(String, String)>,
    /// What it is at the moment.
    pub value: MetricValue,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum MetricValue {
    /// Of a counter or gauge.
    Number(f64),
    /// Of a histogram: upper bounds, how many values fell between each and the one before (one more: beyond the last), their sum.
    Distribution {
        /// Ascending.
        bounds: Vec<f64>,
        /// One more than there are bounds.
        counts: Vec<u64>,
        /// The sum of all values.
        sum: f64,
    },
}

/// Adds families; one whose name stands for another kind already is left out.
pub(super) fn add(out: &mut Exposition, cluster: &Labels, families: &[MetricFamily]) {
    for family in families {
        if !out.explained(family.name.clone(), family.kind, &family.help) {
            tracing::debug!(metric = family.name, "a metric is left out: its name stands for another kind");
            continue;
        }
        for series in &family.series {
            let labels = series.labels.iter().fold(cluster.clone(), |labels, (name, value)| labels.with(name, value));
            match &series.value {
                MetricValue::Number(value) => out.sample_of(&family.name, "", &labels, *value),
                MetricValue::Distribution { bounds, counts, sum } => {
                    add_distribution(out, &family.name, &labels, (bounds, counts, *sum));
                }
            }
        }
    }
}

/// Buckets are cumulative in the text.
fn add_distribution(out: &mut Exposition, name: &str, labels: &Labels, of: (&[f64], &[u64], f64)) {
    let (bounds, counts, sum) = of;
    let mut count = 0;
    for (place, more) in counts.iter().enumerate() {
        count += more;
        let bound = bounds.get(place).map_or_else(|| "+Inf".to_owned(), f64::to_string);
        out.sample_of(name, "_bucket", &labels.with("le", &bound), count as f64);
    }
    out.sample_of(name, "_sum", labels, sum);
    out.sample_of(name, "_count", labels, count as f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_are_explained_and_buckets_add_up() {
        let series = |value| vec![MetricSeries { labels: vec![("plugin".to_owned(), "x".to_owned())], value }];
        let distribution = MetricValue::Distribution { bounds: vec![0.1, 1.0], counts: vec![2, 1, 4], sum: 9.5 };
        let families = [
            MetricFamily {
                name: "a_seconds".to_owned(),
                help: "Two\nlines.".to_owned(),
                kind: Kind::Histogram,
                series: series(distribution),
            },
            MetricFamily {
                name: "b_total".to_owned(),
                help: "Counted.".to_owned(),
                kind: Kind::Counter,
                series: series(MetricValue::Number(3.0)),
            },
            MetricFamily {
                name: "b_total".to_owned(),
                help: "Otherwise.".to_owned(),
                kind: Kind::Gauge,
                series: series(MetricValue::Number(4.0)),
            },
        ];
        let mut out = Exposition::default();
        add(&mut out, &Labels::default(), &families);
        let text = out.finish();
        let want = "# HELP a_seconds Two\\nlines.\n# TYPE a_seconds histogram\n\
                    a_seconds_bucket{plugin=\"x\",le=\"0.1\"} 2\na_seconds_bucket{plugin=\"x\",le=\"1\"} 3\n\
                    a_seconds_bucket{plugin=\"x\",le=\"+Inf\"} 7\na_seconds_sum{plugin=\"x\"} 9.5\na_seconds_count{plugin=\"x\"} 7\n\
                    # HELP b_total Counted.\n# TYPE b_total counter\nb_total{plugin=\"x\"} 3\n";
        assert_eq!(text, want);
        super::super::text::check(&text).unwrap();
    }
}
