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

use super::catalogue;

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
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Summary => "summary",
            Self::Histogram => "histogram",
        }
    }
}

/// Labels, rendered once for many samples.
#[derive(Clone, Debug, Default, PartialEq)]
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
    help: Cow<'static, str>,
    samples: String,
}

impl Exposition {
    /// With every family of the catalogue's, which stand even without samples.
    pub(super) fn of_catalogue() -> Self {
        let mut out = Self::default();
        catalogue::all().for_each(|family| {
            out.known(family);
        });
        out
    }

    /// A family of the catalogue's.
    fn known(&mut self, family: &catalogue::Family) -> &mut Family {
        let known = self.families.entry(Cow::Borrowed(family.name)).or_default();
        if known.kind.is_none() {
            (known.kind, known.help) = (Some(family.kind), Cow::Borrowed(family.help));
        }
        known
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
            family.help = Cow::Owned(help.replace('\\', "\\\\").replace('\n', "\\n"));
        }
        true
    }

    /// A sample under the family's own name.
    pub(super) fn sample(&mut self, family: &catalogue::Family, labels: &Labels, value: f64) {
        self.part(family, "", labels, value);
    }

    /// A sample under the family's name and a suffix that its kind allows.
    pub(super) fn part(&mut self, family: &catalogue::Family, suffix: &str, labels: &Labels, value: f64) {
        // Writing to a string does not fail.
        let _ = writeln!(self.known(family).samples, "{}{suffix}{{{}}} {value}", family.name, labels.0);
    }

    /// A sample of a counter whose line in the original lacks `_total`.
    pub(super) fn total(&mut self, family: &catalogue::Family, labels: &Labels, value: f64) {
        self.known(family);
        let name = format!("{}_total", family.name);
        self.explained(name.clone(), family.kind, family.help);
        self.sample_of(&name, "", labels, value);
    }

    /// Since when a counter or a summary is kept, in seconds since 1970.
    pub(super) fn created(&mut self, family: &catalogue::Family, labels: &Labels, seconds: f64) {
        let name = format!("{}_created", family.name);
        let help = format!("When counting {} began, in seconds since 1970.", family.name);
        self.explained(name.clone(), Kind::Gauge, &help);
        self.sample_of(&name, "", labels, seconds);
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
            if !family.help.is_empty() {
                let _ = writeln!(text, "# HELP {name} {}", family.help);
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
    use crate::admin::metrics::catalogue::offloader::READ_BYTES;

    #[test]
    fn samples_stand_under_the_one_line_of_their_family() {
        let mut out = Exposition::default();
        let labels = Labels::default().with("topic", "a\"b\\c\nd,e}");
        out.explained("b".to_owned(), Kind::Gauge, "It goes up and down.");
        out.sample_of("b", "", &labels, 1.5);
        out.total(&READ_BYTES, &labels, 3.0);
        out.sample_of("b", "", &labels.with("x", "y"), f64::NAN);
        out.explained("c".to_owned(), Kind::Summary, "Never seen.");
        let text = out.finish();
        let label = r#"topic="a\"b\\c\nd,e}""#;
        let total = "brk_ledgeroffloader_read_bytes_total";
        let want = format!(
            "# HELP b It goes up and down.\n# TYPE b gauge\nb{{{label}}} 1.5\nb{{{label},x=\"y\"}} NaN\n\
             # HELP brk_ledgeroffloader_read_bytes {help}\n# TYPE brk_ledgeroffloader_read_bytes counter\n\
             # HELP {total} {help}\n# TYPE {total} counter\n{total}{{{label}}} 3\n\
             # HELP c Never seen.\n# TYPE c summary\n",
            help = READ_BYTES.help
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
