//! What a look at a copy tells, in the order in which it is found: facts, then entries and findings.

use serde_json::Value;

/// Whoever listens. An error is the listener's own, such as an output that went away, and ends the look.
pub(super) trait Account {
    /// What the copy says of itself: names and values, in the order to be shown. Told once, before any entry.
    fn facts(&mut self, facts: &[Fact]) -> anyhow::Result<()>;

    /// Some bytes of the payload of an entry, which [`entry`](Self::entry) will end. Entries without bytes have no piece.
    fn piece(&mut self, entry_id: u64, bytes: &[u8]) -> anyhow::Result<()>;

    /// An entry that is sound as far as the copy can tell. Ids ascend; what is missing between them is damaged.
    fn entry(&mut self, entry: EntryLine) -> anyhow::Result<()>;

    /// Something that is not as it should be.
    fn finding(&mut self, finding: Finding) -> anyhow::Result<()>;
}

/// A name, as in JSON, and a text or a number.
pub(super) type Fact = (String, Value);

/// A fact.
pub(super) fn fact(name: &str, value: impl Into<Value>) -> Fact {
    (name.to_owned(), value.into())
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EntryLine {
    /// Its id.
    pub(super) entry_id: u64,
    /// Its payload's length in bytes.
    pub(super) payload_bytes: u64,
    /// CRC32C of the payload.
    pub(super) crc: u32,
}

/// Why nothing can be told: the arguments, the configuration or a file that cannot be opened.
#[derive(Debug)]
pub(super) struct NotLookedAt(pub(super) String);

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Severity {
    /// The copy is not what its writer should have left: entries are lost, or nothing vouches for them.
    Error,
    /// Unusual, and of no consequence: every reader passes over it.
    Note,
}

impl Severity {
    /// The word for it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Note => "note",
        }
    }
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Stays the same over versions; docs/operate/ledger.md lists all.
    pub(super) id: &'static str,
    /// How much it matters.
    pub(super) severity: Severity,
    /// The file, object or driver.
    pub(super) place: String,
    /// Bytes from the start of the file; `None` where there is no file.
    pub(super) offset: Option<u64>,
    /// What is wrong there.
    pub(super) problem: String,
}

impl Finding {
    /// Something wrong at `offset` of `place`.
    pub(super) fn error(id: &'static str, place: &str, offset: u64, problem: impl Into<String>) -> Self {
        let problem = problem.into();
        Self { id, severity: Severity::Error, place: place.to_owned(), offset: Some(offset), problem }
    }

    /// Something unusual at `offset` of `place`.
    pub(super) fn note(id: &'static str, place: &str, offset: u64, problem: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::error(id, place, offset, problem) }
    }
}

/// The facts that every form has.
pub(super) struct LedgerFacts<'a> {
    /// `blocks`, `map-file` or `driver`.
    pub(super) form: &'static str,
    /// The ledger, where something names it.
    pub(super) ledger_id: Option<u64>,
    /// The attempt that wrote the copy, where something names it.
    pub(super) uid: Option<String>,
    /// Number of entries by the ledger's metadata.
    pub(super) entry_count: u64,
    /// Sum of their payloads in bytes, by the same.
    pub(super) length_bytes: u64,
    /// When the ledger was made, milliseconds since 1970; 0 where unknown.
    pub(super) created_ms: u64,
    /// Names and values kept with the ledger.
    pub(super) custom: &'a [(String, Vec<u8>)],
}

impl LedgerFacts<'_> {
    /// As a list.
    pub(super) fn list(self) -> Vec<Fact> {
        let known = [("ledgerId", self.ledger_id.map(Value::from)), ("uid", self.uid.map(Value::from))];
        let mut facts = vec![fact("form", self.form)];
        facts.extend(known.into_iter().filter_map(|(name, value)| Some(fact(name, value?))));
        facts.push(fact("entries", self.entry_count));
        facts.push(fact("length", self.length_bytes));
        if self.created_ms > 0 {
            facts.push(fact("createdMs", self.created_ms));
        }
        facts.extend(self.custom.iter().map(|(name, value)| fact(&format!("custom.{name}"), text_or_hex(value))));
        facts
    }
}

fn text_or_hex(bytes: &[u8]) -> String {
    let text = std::str::from_utf8(bytes).ok().filter(|text| !text.chars().any(char::is_control));
    text.map_or_else(|| bytes.iter().map(|byte| format!("{byte:02x}")).collect(), str::to_owned)
}
