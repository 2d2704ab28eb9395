//! What came out of a run, for people, for JUnit readers and as JSON.

use std::fmt;
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::case::Case;

/// How one case ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "outcome", content = "reason")]
pub enum Outcome {
    /// The driver keeps the promise.
    Passed,
    /// It does not; the sentence says what came instead.
    Failed(String),
    /// It was not tried; the sentence says why.
    Skipped(String),
}

/// One case of a run.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// The case's name.
    pub id: &'static str,
    /// Its claim.
    pub title: &'static str,
    /// The place of the contract that it repeats.
    pub repeats: &'static str,
    /// How it ended.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// How long it took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

impl Row {
    pub(crate) fn new(case: &Case, outcome: Outcome, elapsed: Duration) -> Self {
        Self { id: case.id, title: case.title, repeats: case.repeats, outcome, elapsed }
    }
}

/// One line: tick, name, claim, time; what was wrong stands below it.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (tick, below) = match &self.outcome {
            Outcome::Passed => ("✓", None),
            Outcome::Failed(why) => ("✗", Some(why)),
            Outcome::Skipped(why) => ("-", Some(why)),
        };
        write!(f, "{tick} {:<28} {:<72} {:>7.2} s", self.id, self.title, self.elapsed.as_secs_f32())?;
        match below {
            Some(why) if matches!(self.outcome, Outcome::Skipped(_)) => write!(f, "\n    skipped: {why}"),
            Some(why) => write!(f, "\n    {} is not kept: {why}", self.repeats),
            None => Ok(()),
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, Serialize)]
#[must_use]
pub struct Report {
    /// What was tried out.
    pub subject: String,
    /// `quick` or `full`.
    pub profile: &'static str,
    /// Give it again for the same random choices.
    pub seed: u64,
    /// The cases in the order of the run.
    #[serde(rename = "cases")]
    pub rows: Vec<Row>,
    /// What the driver could not delete after a case, though the case itself may have passed.
    pub left_behind: Vec<String>,
    /// How long the run took.
    #[serde(rename = "seconds", serialize_with = "seconds")]
    pub elapsed: Duration,
}

fn seconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64(duration.as_millis() as f64 / 1000.0)
}

impl Report {
    /// Whether no case failed and nothing was left behind.
    pub fn passed(&self) -> bool {
        self.failed() == 0 && self.left_behind.is_empty()
    }

    /// Panics with the failed cases unless the driver passed; prints the skipped ones.
    ///
    /// # Panics
    /// See above: for a test.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
        println!("{self}");
    }

    /// Cases that failed.
    pub fn failed(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    /// Cases that were skipped.
    pub fn skipped(&self) -> usize {
        self.count(|outcome| matches!(outcome, Outcome::Skipped(_)))
    }

    fn count(&self, is: impl Fn(&Outcome) -> bool) -> usize {
        self.rows.iter().filter(|row| is(&row.outcome)).count()
    }

    /// The last lines for people: what was left behind, the numbers, the seed.
    pub fn summary(&self) -> String {
        let mut text = String::new();
        for what in &self.left_behind {
            text += &format!("! left behind after {what}\n");
        }
        let (failed, skipped) = (self.failed(), self.skipped());
        let passed = self.rows.len() - failed - skipped;
        text + &format!(
            "{}: {passed} passed, {failed} failed, {skipped} skipped in {:.1} s; profile {}, seed {}",
            self.subject,
            self.elapsed.as_secs_f32(),
            self.profile,
            self.seed
        )
    }

    /// The stable form: one object with `subject`, `profile`, `seed`, `cases`, `left_behind`, `seconds`; each case has `id`,
    /// `title`, `repeats`, `outcome` (`passed`, `failed`, `skipped`), `reason` unless it passed, and `seconds`.
    pub fn json(&self) -> String {
        serde_json::to_string_pretty(self).expect("a report is made of texts and numbers")
    }

    /// One test suite in the XML that JUnit's readers take.
    pub fn junit(&self) -> String {
        let (suite, seconds) = (xml(&self.subject), self.elapsed.as_secs_f64());
        let left_behind = usize::from(!self.left_behind.is_empty());
        let mut text = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
             <testsuite name=\"{suite}\" tests=\"{}\" failures=\"{}\" skipped=\"{}\" time=\"{seconds:.3}\">\n  \
             <properties><property name=\"profile\" value=\"{}\"/><property name=\"seed\" value=\"{}\"/></properties>\n",
            self.rows.len() + left_behind,
            self.failed() + left_behind,
            self.skipped(),
            self.profile,
            self.seed
        );
        for row in &self.rows {
            let (id, class, time) = (xml(row.id), xml(row.repeats), row.elapsed.as_secs_f64());
            text += &format!("  <testcase name=\"{id}\" classname=\"{class}\" time=\"{time:.3}\"");
            text += &match &row.outcome {
                Outcome::Passed => "/>\n".to_owned(),
                Outcome::Failed(why) => format!("><failure message=\"{}\"/></testcase>\n", xml(why)),
                Outcome::Skipped(why) => format!("><skipped message=\"{}\"/></testcase>\n", xml(why)),
            };
        }
        if left_behind > 0 {
            let what = xml(&self.left_behind.join("; "));
            text += "  <testcase name=\"nothing-is-left-behind\" classname=\"Offloader::delete\">";
            text += &format!("<failure message=\"{what}\"/></testcase>\n");
        }
        text + "</testsuite>\n"
    }
}

/// Every case on its line, then the summary.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            writeln!(f, "{row}")?;
        }
        f.write_str(&self.summary())
    }
}

/// `text` for an attribute; characters that XML cannot have become U+FFFD.
fn xml(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe += "&amp;",
            '<' => safe += "&lt;",
            '>' => safe += "&gt;",
            '"' => safe += "&quot;",
            '\n' => safe += "&#10;",
            '\t' => safe += "&#9;",
            c if c < ' ' || c == '\u{fffe}' || c == '\u{ffff}' => safe.push('\u{fffd}'),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let row =
            |id, outcome| Row { id, title: "it works", repeats: "X::y", outcome, elapsed: Duration::from_millis(1500) };
        Report {
            subject: "a <driver>".to_owned(),
            profile: "quick",
            seed: 7,
            rows: vec![
                row("one", Outcome::Passed),
                row("two", Outcome::Failed("\"no\"\u{1}\nat all".to_owned())),
                row("three", Outcome::Skipped("it cannot".to_owned())),
            ],
            left_behind: Vec::new(),
            elapsed: Duration::from_secs(3),
        }
    }

    #[test]
    fn people_see_ticks_reasons_and_the_seed() {
        let text = report().to_string();
        for part in [
            "✓ one",
            "✗ two",
            "X::y is not kept: \"no\"",
            "- three",
            "skipped: it cannot",
            "1 passed, 1 failed, 1 skipped",
            "seed 7",
        ] {
            assert!(text.contains(part), "`{part}` is not in {text}");
        }
        assert!(!report().passed());
    }

    #[test]
    fn junit_is_well_formed_whatever_a_driver_says() {
        let mut report = report();
        report.left_behind = vec!["x: <gone>".to_owned()];
        let xml = report.junit();
        assert!(
            xml.contains(
                "<testsuite name=\"a &lt;driver&gt;\" tests=\"4\" failures=\"2\" skipped=\"1\" time=\"3.000\">"
            )
        );
        assert!(xml.contains("message=\"&quot;no&quot;\u{fffd}&#10;at all\""));
        assert!(xml.contains("message=\"x: &lt;gone&gt;\"") && xml.ends_with("</testsuite>\n"));
        assert_eq!(xml.matches("<testcase ").count(), 4);
    }

    #[test]
    fn json_has_the_documented_names() {
        let json: serde_json::Value = serde_json::from_str(&report().json()).unwrap();
        assert_eq!((&json["seed"], &json["cases"][0]["outcome"]), (&7.into(), &"passed".into()));
        assert_eq!(json["cases"][2]["reason"], "it cannot");
        assert_eq!(json["cases"][0]["seconds"], 1.5);
    }

    #[test]
    fn what_is_left_behind_fails_the_run() {
        let mut report = report();
        report.rows.truncate(1);
        assert!(report.passed());
        report.left_behind.push("one: ledger 5".to_owned());
        assert!(!report.passed() && report.summary().contains("left behind after one: ledger 5"));
    }
}
