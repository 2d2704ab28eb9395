//! The Prometheus text format: families with one `# HELP` and one `# TYPE` line each, their samples together. Pure.
//!
//! In this version of the format a sample belongs to a family by its whole name. The original writes the lines of the later
//! OpenMetrics form, where `# TYPE x counter` stands over `x_total` and `x_created`, which a scraper of this version takes for
//! families without a kind. So its line stays as it is recorded, and both get lines of their own.
//!
//! Source: Prometheus exposition formats, version 0.0.4.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::help;

/// What a family's samples mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Any value.
    Gauge,
    /// Quantiles, a count and a sum.
    Summary,
    /// Counts by upper bound, a count and a sum.
    Histogram,
}

impl Kind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Histogram => "histogram",
        }
    }
}

/// Labels, rendered once for many samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Labels(String);

impl Labels {
    /// One label more.
    #[must_use]
    pub(super) fn with(&self, name: &str, value: &str) -> Self {
        let mut text = self.0.clone();
        if !text.is_empty() {
            text.push(',');
        }
        text.push_str(name);
        text.push_str("=\"");
        for character in value.chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                '"' => text.push_str("\\\""),
                '\n' => text.push_str("\\n"),
                other => text.push(other),
            }
        }
        text.push('"');
        Self(text)
    }
}

/// A text in the making: samples of a family may come in any order with those of others.
#[derive(Debug, Default)]
pub(super) struct Exposition {
    families: BTreeMap<Cow<'static, str>, Family>,
}

#[derive(Debug, Default)]
struct Family {
    kind: Option<Kind>,
    help: String,
    samples: String,
}

impl Exposition {
    /// A family that stands even without samples.
    pub(super) fn family(&mut self, name: &'static str, kind: Kind) {
        self.entry(name, kind);
    }

    /// A family with a sentence for people, unless the name stands for another kind already; whether it does not.
    pub(super) fn explained(&mut self, name: String, kind: Kind, help: &str) -> bool {
        let family = self.families.entry(Cow::Owned(name)).or_default();
        if family.kind.is_some_and(|known| known != kind) {
            return false;
        }
        family.kind = Some(kind);
        if family.help.is_empty() {
            // A line of its own, so that neither a line's end nor what would escape it may stand in it.
            family.help = help.replace('\\', "\\\\").replace('\n', "\\n");
        }
        true
    }

    fn entry(&mut self, name: &'static str, kind: Kind) -> &mut String {
        let family = self.families.entry(Cow::Borrowed(name)).or_default();
        debug_assert!(family.kind.is_none_or(|known| known == kind), "{name} is of two kinds");
        family.kind = Some(kind);
        &mut family.samples
    }

    /// A sample under the family's own name.
    pub(super) fn sample(&mut self, family: &'static str, kind: Kind, labels: &Labels, value: f64) {
        self.sample_as(family, "", kind, labels, value);
    }

    /// A sample under the family's name and a suffix; those that are families in this version of the format become some.
    pub(super) fn sample_as(&mut self, family: &'static str, suffix: &str, kind: Kind, labels: &Labels, value: f64) {
        self.entry(family, kind);
        let (owner, kind) = match suffix {
            "_total" => (Cow::Owned(format!("{family}_total")), Kind::Counter),
            "_created" => (Cow::Owned(format!("{family}_created")), Kind::Gauge),
            _ => (Cow::Borrowed(family), kind),
        };
        let owner = self.families.entry(owner).or_default();
        owner.kind = Some(kind);
        // Writing to a string does not fail.
        let _ = writeln!(owner.samples, "{family}{suffix}{{{}}} {value}", labels.0);
    }

    /// A sample of a family that was [explained](Self::explained), under its name and a suffix.
    pub(super) fn sample_of(&mut self, name: &str, suffix: &str, labels: &Labels, value: f64) {
        if let Some(family) = self.families.get_mut(name) {
            let _ = writeln!(family.samples, "{name}{suffix}{{{}}} {value}", labels.0);
        }
    }

    /// The text.
    pub(super) fn finish(self) -> String {
        let mut text = String::new();
        for (name, family) in self.families {
            let known = if family.help.is_empty() { help::of(&name) } else { Cow::Borrowed(family.help.as_str()) };
            if !known.is_empty() {
                let _ = writeln!(text, "# HELP {name} {known}");
            }
            if let Some(kind) = family.kind {
                let _ = writeln!(text, "# TYPE {name} {}", kind.as_str());
            }
            text.push_str(&family.samples);
        }
        text
    }
}

/// Checks a text against the format, and against what promtool asks for: every family with samples has a HELP and a TYPE line,
/// once each and before them; a sample's name is its family's or, of summaries and histograms, one of its parts; counters, and
/// nothing else, end in `_total`; no series stands twice. The answer is the number of series.
#[cfg(test)]
pub(in crate::admin) fn check(text: &str) -> Result<usize, String> {
    use std::collections::BTreeSet;

    let is_name = |name: &str| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == ':')
    };
    let (mut family, mut kind, mut helped) = (String::new(), "", String::new());
    let (mut families, mut helps, mut series) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        let fail = |why: &str| Err(format!("{why}: {line}"));
        if let Some(help) = line.strip_prefix("# HELP ") {
            match help.split_once(' ') {
                Some((name, words)) if is_name(name) && !words.is_empty() && name != family => helped = name.to_owned(),
                _ => return fail("not a sentence for a family that follows"),
            }
            if !helps.insert(helped.clone()) {
                return fail("a sentence twice");
            }
            continue;
        }
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let Some((name, of)) = typed.split_once(' ') else { return fail("no kind") };
            if !is_name(name) || !["counter", "gauge", "summary", "histogram"].contains(&of) {
                return fail("not a family");
            }
            if !families.insert(name.to_owned()) {
                return fail("a family twice");
            }
            (family, kind) = (name.to_owned(), of);
            continue;
        }
        let Some((id, value)) = line.rsplit_once(' ') else { return fail("no value") };
        if value.parse::<f64>().is_err() {
            return fail("not a number");
        }
        let Some((name, labels)) = id.strip_suffix('}').and_then(|id| id.split_once('{')) else {
            return fail("no labels");
        };
        let parts: &[&str] = match kind {
            "summary" => &["", "_sum", "_count"],
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        if !name.strip_prefix(family.as_str()).is_some_and(|suffix| parts.contains(&suffix)) {
            return fail("not a sample of the family above");
        }
        if helped != family {
            return fail("no sentence says what it is");
        }
        if (kind == "counter") != family.ends_with("_total") {
            return fail("counters, and nothing else, end in _total");
        }
        if let Err(why) = check_labels(labels) {
            return fail(why);
        }
        if !series.insert(id.to_owned()) {
            return fail("a series twice");
        }
    }
    Ok(series.len())
}

#[cfg(test)]
fn check_labels(mut labels: &str) -> Result<(), &'static str> {
    let mut names = Vec::new();
    loop {
        let (name, rest) = labels.split_once("=\"").ok_or("no label")?;
        if names.contains(&name) {
            return Err("a label twice");
        }
        names.push(name);
        if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err("not a label's name");
        }
        let mut escaped = false;
        let end = rest.find(|c| {
            let ends = c == '"' && !escaped;
            escaped = c == '\\' && !escaped;
            ends
        });
        let end = end.ok_or("a label without an end")?;
        labels = match rest[end + 1..].strip_prefix(',') {
            Some(more) => more,
            None if rest.len() == end + 1 => return Ok(()),
            None => return Err("text behind a label"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_under_the_one_line_of_their_family() {
        let mut out = Exposition::default();
        let labels = Labels::default().with("topic", "a\"b\\c\nd,e}");
        out.explained("b".to_owned(), Kind::Gauge, "It goes up and down.");
        out.sample("b", Kind::Gauge, &labels, 1.5);
        out.sample_as("brk_ledgeroffloader_read_bytes", "_total", Kind::Counter, &labels, 3.0);
        out.sample("b", Kind::Gauge, &labels.with("x", "y"), f64::NAN);
        out.explained("c".to_owned(), Kind::Summary, "Never seen.");
        let text = out.finish();
        let label = r#"topic="a\"b\\c\nd,e}""#;
        let total = "brk_ledgeroffloader_read_bytes_total";
        let want = format!(
            "# HELP b It goes up and down.\n# TYPE b gauge\nb{{{label}}} 1.5\nb{{{label},x=\"y\"}} NaN\n\
             # HELP brk_ledgeroffloader_read_bytes {help}\n# TYPE brk_ledgeroffloader_read_bytes counter\n\
             # HELP {total} {help}\n# TYPE {total} counter\n{total}{{{label}}} 3\n\
             # HELP c Never seen.\n# TYPE c summary\n",
            help = help::of(total)
        );
        assert_eq!(text, want);
        assert_eq!(check(&text), Ok(3));
    }

    #[test]
    fn the_check_finds_what_the_format_forbids() {
        let sound = "# HELP a It.\n# TYPE a gauge\na{x=\"1\"} 1\n# HELP b_total It.\n# TYPE b_total counter\nb_total{x=\"1\"} 1\n";
        assert_eq!(check(sound), Ok(2));
        for bad in [
            "# HELP a It.\n# HELP a It.\n# TYPE a gauge\n",
            "# TYPE a gauge\na{x=\"1\"} 1\n",
            "# HELP a It.\n# TYPE a counter\na{x=\"1\"} 1\n",
            "# HELP a It.\n# TYPE a counter\na_total{x=\"1\"} 1\n",
            "# HELP a_total It.\n# TYPE a_total gauge\na_total{x=\"1\"} 1\n",
            "# HELP a It.\n# TYPE a gauge\na{x=\"1\",x=\"2\"} 1\n",
            "# TYPE a gauge\n# TYPE a gauge\n",
            "# HELP a It.\n# TYPE a gauge\na{x=\"1\"} 1\na{x=\"1\"} 2\n",
            "# HELP a It.\n# TYPE a gauge\nb{x=\"1\"} 1\n",
            "# HELP a It.\n# TYPE a gauge\na{x=\"1} 1\n",
            "# HELP a It.\n# TYPE a gauge\na{x=\"1\"} one\n",
            "# TYPE 1a gauge\n",
        ] {
            assert!(check(bad).is_err(), "{bad}");
        }
    }
}
