//! One line for each case that was tried on a driver and a server, in a file that many tests write together.
//!
//! `LONGSHORE_ROWS` names the file; without it nothing is written. A line is one JSON object: `driver`, `server`, `suite`,
//! `case`, `outcome` (`passed`, `failed`, `skipped`), `reason` unless it passed, `seconds`.

use std::fs::OpenOptions;
use std::io::Write;
use std::time::{Duration, Instant};
use std::{env, thread};

use serde::Serialize;

use crate::report::{Outcome, Report};

/// The variable that names the file.
const ROWS: &str = "LONGSHORE_ROWS";

/// Where a case was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// The driver's name: `aws-s3`.
    pub driver: &'a str,
    /// What it was tried on: `SeaweedFS`.
    pub server: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    driver: &'a str,
    server: &'a str,
    suite: &'a str,
    case: &'a str,
    #[serde(flatten)]
    outcome: &'a Outcome,
    seconds: f64,
}

fn write(place: Place<'_>, suite: &str, case: &str, outcome: &Outcome, elapsed: Duration) {
    let Some(path) = env::var_os(ROWS) else { return };
    let seconds = elapsed.as_millis() as f64 / 1000.0;
    let line = Line { driver: place.driver, server: place.server, suite, case, outcome, seconds };
    let line = serde_json::to_string(&line).expect("a line is made of texts and numbers") + "\n";
    // In one piece at the end of the file: others write there too.
    let written =
        OpenOptions::new().create(true).append(true).open(&path).and_then(|mut file| file.write_all(line.as_bytes()));
    written.unwrap_or_else(|error| panic!("write a row to {}, which {ROWS} names: {error}", path.display()));
}

/// Writes the line of one case when it is dropped: failed if a panic drops it.
#[derive(Debug)]
#[must_use = "the case ends when this is dropped"]
pub struct Trying {
    driver: String,
    server: String,
    suite: &'static str,
    case: String,
    began: Instant,
}

/// Begins a case of a test.
pub fn trying(place: Place<'_>, suite: &'static str, case: impl Into<String>) -> Trying {
    let (driver, server) = (place.driver.to_owned(), place.server.to_owned());
    Trying { driver, server, suite, case: case.into(), began: Instant::now() }
}

impl Drop for Trying {
    fn drop(&mut self) {
        let outcome = if thread::panicking() {
            Outcome::Failed("the test's output says why".to_owned())
        } else {
            Outcome::Passed
        };
        let place = Place { driver: &self.driver, server: &self.server };
        write(place, self.suite, &self.case, &outcome, self.began.elapsed());
    }
}

impl Report {
    /// Writes a line for each case of the kit.
    pub fn into_table(self, place: Place<'_>) -> Self {
        for row in &self.rows {
            write(place, "conformance", row.id, &row.outcome, row.elapsed);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_the_documented_names() {
        let outcome = Outcome::Skipped("no clock".to_owned());
        let line = Line { driver: "d", server: "s", suite: "faults", case: "c", outcome: &outcome, seconds: 1.5 };
        let expected = r#"{"driver":"d","server":"s","suite":"faults","case":"c","outcome":"skipped","reason":"no clock","seconds":1.5}"#;
        assert_eq!(serde_json::to_string(&line).unwrap(), expected);
    }
}
