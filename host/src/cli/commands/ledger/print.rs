//! How a look at a copy is printed: tab-separated lines for people and `cut`, one JSON object a line for programs.
//!
//! The forms are documented in docs/operate/ledger.md and do not change within a major version.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::account::{Account, EntryLine, Fact, Finding, Severity};
use super::payloads::PayloadFolder;

/// What was counted.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    entries: u64,
    payload_bytes: u64,
    errors: u64,
    notes: u64,
}

impl Counts {
    fn entry(&mut self, entry: EntryLine) {
        self.entries += 1;
        self.payload_bytes = self.payload_bytes.saturating_add(entry.payload_bytes);
    }

    fn finding(&mut self, finding: &Finding) {
        match finding.severity {
            Severity::Error => self.errors += 1,
            Severity::Note => self.notes += 1,
        }
    }

    fn json(self) -> Value {
        json!({ "summary": {
            "entries": self.entries, "payloadBytes": self.payload_bytes, "errors": self.errors, "notes": self.notes,
        } })
    }
}

/// `dump`: facts and entries on the output, findings on the standard error, or among the JSON lines.
pub(super) struct Dump<W> {
    out: W,
    json: bool,
    payloads: Option<PayloadFolder>,
    counts: Counts,
}

impl<W: Write> Dump<W> {
    /// Prints to `out`, and writes payloads where asked for.
    pub(super) fn new(out: W, json: bool, payloads: Option<PayloadFolder>) -> Self {
        Self { out, json, payloads, counts: Counts::default() }
    }

    /// Prints the end; answers whether nothing is wrong.
    pub(super) fn finish(mut self) -> anyhow::Result<bool> {
        if self.json {
            writeln!(self.out, "{}", self.counts.json())?;
        }
        self.out.flush()?;
        Ok(self.counts.errors == 0)
    }
}

impl<W: Write> Account for Dump<W> {
    fn facts(&mut self, facts: &[Fact]) -> anyhow::Result<()> {
        Ok(write_facts(&mut self.out, facts, self.json)?)
    }

    fn piece(&mut self, entry_id: u64, bytes: &[u8]) -> anyhow::Result<()> {
        self.payloads.as_mut().map_or(Ok(()), |payloads| payloads.add(entry_id, bytes))
    }

    fn entry(&mut self, entry: EntryLine) -> anyhow::Result<()> {
        let EntryLine { entry_id, payload_bytes, crc } = entry;
        if let Some(payloads) = &mut self.payloads {
            payloads.end(entry_id)?;
        }
        self.counts.entry(entry);
        if self.json {
            let crc = format!("{crc:08x}");
            writeln!(
                self.out,
                "{}",
                json!({ "entry": { "entryId": entry_id, "length": payload_bytes, "crc32c": crc } })
            )?;
        } else {
            writeln!(self.out, "{entry_id}\t{payload_bytes}\t{crc:08x}")?;
        }
        Ok(())
    }

    fn finding(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.counts.finding(&finding);
        if self.json {
            writeln!(self.out, "{}", finding_json(&finding))?;
        } else if finding.severity == Severity::Error {
            eprintln!("{}: {}", finding.severity.name(), sentence(&finding));
        }
        Ok(())
    }
}

/// `verify`: findings and a summary.
pub(super) struct Verification<W> {
    out: W,
    json: bool,
    counts: Counts,
}

impl<W: Write> Verification<W> {
    /// Prints to `out`.
    pub(super) fn new(out: W, json: bool) -> Self {
        Self { out, json, counts: Counts::default() }
    }

    /// Prints the summary; answers whether nothing is wrong.
    pub(super) fn finish(mut self) -> anyhow::Result<bool> {
        let Counts { entries, payload_bytes, errors, notes } = self.counts;
        if self.json {
            writeln!(self.out, "{}", self.counts.json())?;
        } else {
            writeln!(self.out, "{entries} entries of {payload_bytes} bytes are sound; {errors} errors, {notes} notes")?;
        }
        self.out.flush()?;
        Ok(errors == 0)
    }
}

impl<W: Write> Account for Verification<W> {
    fn facts(&mut self, facts: &[Fact]) -> anyhow::Result<()> {
        if self.json { Ok(write_facts(&mut self.out, facts, true)?) } else { Ok(()) }
    }

    fn piece(&mut self, _entry_id: u64, _bytes: &[u8]) -> anyhow::Result<()> {
        Ok(())
    }

    fn entry(&mut self, entry: EntryLine) -> anyhow::Result<()> {
        self.counts.entry(entry);
        Ok(())
    }

    fn finding(&mut self, finding: Finding) -> anyhow::Result<()> {
        self.counts.finding(&finding);
        if self.json {
            writeln!(self.out, "{}", finding_json(&finding))?;
        } else {
            let Finding { id, severity, place, offset, problem } = &finding;
            let offset = offset.map_or_else(|| "-".to_owned(), |offset| offset.to_string());
            let (place, problem) = (printable(place), printable(problem));
            writeln!(self.out, "{}\t{id}\t{place}\t{offset}\t{problem}", severity.name())?;
        }
        Ok(())
    }
}

fn write_facts(out: &mut dyn Write, facts: &[Fact], as_json: bool) -> std::io::Result<()> {
    if as_json {
        let facts: Map<String, Value> = facts.iter().cloned().collect();
        return writeln!(out, "{}", json!({ "ledger": facts }));
    }
    for (name, value) in facts {
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        writeln!(out, "# {}\t{}", printable(name), printable(&text))?;
    }
    Ok(())
}

fn finding_json(finding: &Finding) -> Value {
    let Finding { id, severity, place, offset, problem } = finding;
    json!({ "finding": {
        "id": id, "severity": severity.name(), "file": place, "offset": offset, "problem": problem,
    } })
}

fn sentence(finding: &Finding) -> String {
    let Finding { id, place, offset, problem, .. } = finding;
    let at = offset.map(|offset| format!(" at offset {offset}")).unwrap_or_default();
    format!("{}{at}: {} ({id})", printable(place), printable(problem))
}

/// Bytes of a copy may say anything; a terminal shall not obey them, and a line shall stay one.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
