//! The identity note: what a plugin says about itself in its own ELF file, readable without running a byte of it.
//!
//! The export macro encodes an [`Identity`] as JSON at compile time and places it as an ELF note (owner [`NOTE_OWNER`], type
//! [`NOTE_TYPE`]) in section `.note.longshore`, which linkers put into a `PT_NOTE` segment. The root module's `describe`
//! answers the same text. The reader, [`PluginNote::parse`], treats its bytes as untrusted: sizes are capped, a key that
//! comes twice is refused, unknown keys are ignored so that later plugins stay readable.
//!
//! Format: docs/formats/plugin-note.md.

use std::fmt;

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::version::{ABI_VERSION, ABI_VERSION_MIN};

/// The owner name of the note, with its terminating zero byte.
pub const NOTE_OWNER: &[u8; 10] = b"Longshore\0";

/// The type of the note, under its owner.
pub const NOTE_TYPE: u32 = 1;

/// The section that holds the note.
pub const NOTE_SECTION: &str = ".note.longshore";

/// The value of the key `schema`; a reader refuses another one.
pub const NOTE_SCHEMA: u32 = 1;

/// The most bytes of JSON that a reader looks at.
pub const NOTE_BYTES_MAX: usize = 64 * 1024;

/// The most drivers that one plugin may claim.
pub const DRIVERS_MAX: usize = 64;

/// The longest plugin or driver name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// The panic strategy that a plugin must be built with.
pub const PANIC_UNWIND: &str = "unwind";

/// What stands for the panic strategy in the note of a library whose entry is C: nothing unwinds out of its functions.
pub const PANIC_NONE: &str = "none";

/// What this crate is compiled for, as a target triple.
pub const TARGET: &str = env!("LONGSHORE_TARGET");

/// The compiler that this crate is compiled by.
pub const RUSTC: &str = env!("LONGSHORE_RUSTC");

/// What the export macro knows of a plugin, before it is encoded.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The plugin's name.
    pub name: &'static str,
    /// Its own version.
    pub version: &'static str,
    /// One line about it.
    pub description: &'static str,
    /// SPDX expression.
    pub license: &'static str,
    /// Where it comes from.
    pub homepage: &'static str,
    /// The drivers it claims.
    pub drivers: &'static [&'static str],
    /// `unwind` or `abort`.
    pub panic: &'static str,
    /// JSON of the configuration schema, well-formed ([`crate::schema`]); empty for none.
    pub config_schema: &'static str,
}

/// JSON of `N` bytes under construction at compile time. Bytes beyond `N` are counted but not kept, so that
/// `encode::<0>(..).len` is the length that is needed.
struct Json<const N: usize> {
    bytes: [u8; N],
    len: usize,
}

impl<const N: usize> Json<N> {
    const fn byte(&mut self, byte: u8) {
        if self.len < N {
            self.bytes[self.len] = byte;
        }
        self.len += 1;
    }

    const fn raw(&mut self, text: &str) {
        let mut at = 0;
        while at < text.len() {
            self.byte(text.as_bytes()[at]);
            at += 1;
        }
    }

    const fn string(&mut self, text: &str) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        self.byte(b'"');
        let mut at = 0;
        while at < text.len() {
            let byte = text.as_bytes()[at];
            if byte == b'"' || byte == b'\\' {
                self.byte(b'\\');
                self.byte(byte);
            } else if byte < 0x20 {
                self.raw("\\u00");
                self.byte(HEX[(byte >> 4) as usize]);
                self.byte(HEX[(byte & 15) as usize]);
            } else {
                self.byte(byte);
            }
            at += 1;
        }
        self.byte(b'"');
    }

    /// JSON as it is, without the blanks between its tokens.
    const fn compact(&mut self, text: &str) {
        let (mut at, mut in_string) = (0, false);
        while at < text.len() {
            let byte = text.as_bytes()[at];
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' if !in_string => {}
                b'\\' => {
                    self.byte(byte);
                    at += 1;
                    self.byte(text.as_bytes()[at]);
                }
                _ => {
                    in_string ^= byte == b'"';
                    self.byte(byte);
                }
            }
            at += 1;
        }
    }

    const fn key(&mut self, key: &str, value: &str) {
        self.byte(b',');
        self.string(key);
        self.byte(b':');
        self.string(value);
    }
}

const fn encode<const N: usize>(identity: &Identity) -> Json<N> {
    let mut json = Json { bytes: [0; N], len: 0 };
    // The number of `NOTE_SCHEMA`.
    json.raw("{\"schema\":1");
    json.key("name", identity.name);
    json.key("version", identity.version);
    json.key("description", identity.description);
    json.key("license", identity.license);
    json.key("homepage", identity.homepage);
    json.key("api", ABI_VERSION);
    json.key("api_min", ABI_VERSION_MIN);
    json.raw(",\"drivers\":[");
    let mut at = 0;
    while at < identity.drivers.len() {
        if at > 0 {
            json.byte(b',');
        }
        json.string(identity.drivers[at]);
        at += 1;
    }
    json.byte(b']');
    json.key("target", TARGET);
    json.key("panic", identity.panic);
    json.key("profile", if cfg!(debug_assertions) { "debug" } else { "release" });
    json.key("rustc", RUSTC);
    if !identity.config_schema.is_empty() {
        json.raw(",\"config_schema\":");
        json.compact(identity.config_schema);
    }
    json.byte(b'}');
    json
}

/// How many bytes [`json`] needs for `identity`.
pub const fn json_len(identity: &Identity) -> usize {
    encode::<0>(identity).len
}

/// The JSON of `identity`; `N` must be [`json_len`] of it.
pub const fn json<const N: usize>(identity: &Identity) -> [u8; N] {
    let json = encode::<N>(identity);
    assert!(json.len == N, "N must be json_len of the same identity");
    assert!(N <= NOTE_BYTES_MAX, "the identity note is too long: shorten description, drivers or schema");
    json.bytes
}

/// The note as the file holds it. Integers in the machine's order, as ELF wants.
#[repr(C, align(4))]
#[derive(Debug)]
pub struct Note<const N: usize> {
    owner_len: u32,
    json_len: u32,
    note_type: u32,
    /// [`NOTE_OWNER`], padded with zeros to a multiple of 4.
    owner: [u8; 12],
    json: [u8; N],
}

impl<const N: usize> Note<N> {
    /// A note around `json`.
    pub const fn new(json: [u8; N]) -> Self {
        let mut owner = [0; 12];
        let mut at = 0;
        while at < NOTE_OWNER.len() {
            owner[at] = NOTE_OWNER[at];
            at += 1;
        }
        Self { owner_len: NOTE_OWNER.len() as u32, json_len: N as u32, note_type: NOTE_TYPE, owner, json }
    }
}

/// How a library is entered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EntryKind {
    /// By the root module of [`crate::abi`], which [`export_offloader!`](crate::export_offloader) exports.
    #[default]
    Rust,
    /// By the tables of [`crate::c_abi`], which `OFFLOADER_EXPORT` of `offloader.h` exports.
    C,
}

impl EntryKind {
    /// The symbol that a library of this kind exports, and the only one.
    pub fn root_symbol(self) -> &'static str {
        match self {
            Self::Rust => crate::abi::ROOT_SYMBOL,
            Self::C => crate::c_abi::ROOT_SYMBOL,
        }
    }

    /// The panic strategy that a library of this kind must have.
    pub fn panic_wanted(self) -> &'static str {
        match self {
            Self::Rust => PANIC_UNWIND,
            Self::C => PANIC_NONE,
        }
    }
}

/// What a plugin's note says, read and checked for form. What it claims is not believed before the library agrees.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginNote {
    /// The form of the note.
    pub schema: u32,
    /// The plugin's name.
    pub name: String,
    /// How it is entered; a note that does not say means Rust.
    #[serde(default)]
    pub entry: EntryKind,
    /// Its own version.
    pub version: Version,
    /// One line about it.
    #[serde(default)]
    pub description: String,
    /// SPDX expression.
    #[serde(default)]
    pub license: String,
    /// Where it comes from.
    #[serde(default)]
    pub homepage: String,
    /// The contract it was built against.
    pub api: Version,
    /// The lowest host contract that it tolerates.
    pub api_min: Version,
    /// The drivers it claims, in the spelling that is recorded with each ledger.
    pub drivers: Vec<String>,
    /// Target triple.
    pub target: String,
    /// `unwind` or `abort`; `none` where the entry is C.
    pub panic: String,
    /// `debug` or `release`.
    #[serde(default)]
    pub profile: String,
    /// The compiler of a Rust library.
    #[serde(default)]
    pub rustc: String,
    /// The compiler of any other.
    #[serde(default)]
    pub compiler: String,
    /// Which keys its drivers read, as [`crate::schema`] describes; of unchecked form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_schema: Option<serde_json::Value>,
}

/// Why a note cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NoteError {
    /// Longer than [`NOTE_BYTES_MAX`].
    TooLong(usize),
    /// Not UTF-8, not JSON, a key missing, doubled or of a wrong type; the text says which.
    Malformed(String),
    /// Another form of note.
    Schema(u32),
    /// A plugin's or driver's name that is empty, too long or has a character beside letters, digits, `-`, `_` and `.`.
    Name(String),
    /// No driver, or more than [`DRIVERS_MAX`].
    DriverCount(usize),
    /// The same driver twice, in any letter case.
    DriverTwice(String),
}

impl fmt::Display for NoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => {
                write!(f, "its identity note has {bytes} bytes, at most {NOTE_BYTES_MAX} are allowed")
            }
            Self::Malformed(problem) => write!(f, "its identity note cannot be read: {problem}"),
            Self::Schema(schema) => {
                write!(f, "its identity note has schema {schema}, this host reads schema {NOTE_SCHEMA}")
            }
            Self::Name(name) => write!(
                f,
                "its identity note has the name `{}`; 1 to {NAME_BYTES_MAX} letters, digits, `-`, `_` and `.` are allowed",
                name.chars().take(NAME_BYTES_MAX).collect::<String>().escape_debug()
            ),
            Self::DriverCount(count) => {
                write!(f, "its identity note claims {count} drivers; 1 to {DRIVERS_MAX} are allowed")
            }
            Self::DriverTwice(driver) => write!(f, "its identity note claims driver `{driver}` twice"),
        }
    }
}

impl std::error::Error for NoteError {}

impl PluginNote {
    /// Reads the JSON of a note. The bytes are untrusted.
    ///
    /// # Errors
    /// See [`NoteError`].
    pub fn parse(json: &[u8]) -> Result<Self, NoteError> {
        if json.len() > NOTE_BYTES_MAX {
            return Err(NoteError::TooLong(json.len()));
        }
        let note: Self = serde_json::from_slice(json).map_err(|e| NoteError::Malformed(e.to_string()))?;
        if note.schema != NOTE_SCHEMA {
            return Err(NoteError::Schema(note.schema));
        }
        if note.drivers.is_empty() || note.drivers.len() > DRIVERS_MAX {
            return Err(NoteError::DriverCount(note.drivers.len()));
        }
        for name in std::iter::once(&note.name).chain(&note.drivers) {
            if !is_name(name) {
                return Err(NoteError::Name(name.clone()));
            }
        }
        for (place, driver) in note.drivers.iter().enumerate() {
            if note.drivers[..place].iter().any(|earlier| earlier.eq_ignore_ascii_case(driver)) {
                return Err(NoteError::DriverTwice(driver.clone()));
            }
        }
        Ok(note)
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && name.bytes().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity {
        name: "tape",
        version: "1.2.3-rc.1",
        description: "says \"tape\" \\ and a tab\t, größer",
        license: "Apache-2.0",
        homepage: "",
        drivers: &["tape", "tape-2"],
        panic: "unwind",
        config_schema: "{ \"properties\": {\n\t\"a b\": {\"type\": \"string\", \"default\": \"x \\\" \\\\\"} } }",
    };
    const LEN: usize = json_len(&IDENTITY);
    const JSON: [u8; LEN] = json(&IDENTITY);

    fn changed(from: &str, to: &str) -> Result<PluginNote, NoteError> {
        let text = std::str::from_utf8(&JSON).unwrap();
        assert!(text.contains(from), "{text}");
        PluginNote::parse(text.replacen(from, to, 1).as_bytes())
    }

    #[test]
    fn what_the_compiler_encoded_is_read_back() {
        let note = PluginNote::parse(&JSON).unwrap();
        assert_eq!(note.description, IDENTITY.description);
        assert_eq!(note.version.to_string(), IDENTITY.version);
        assert_eq!(note.drivers, IDENTITY.drivers);
        assert_eq!((note.target.as_str(), note.panic.as_str()), (TARGET, PANIC_UNWIND));
        let schema: serde_json::Value = serde_json::from_str(IDENTITY.config_schema).unwrap();
        assert_eq!(note.config_schema, Some(schema));
        let text = std::str::from_utf8(&JSON).unwrap();
        assert!(
            text.contains(r#""config_schema":{"properties":{"a b":{"type":"string","default":"x \" \\"}}}"#),
            "{text}"
        );
    }

    #[test]
    fn the_note_has_the_layout_that_elf_wants() {
        assert_eq!(std::mem::offset_of!(Note<LEN>, json), 24);
        assert_eq!(align_of::<Note<LEN>>(), 4);
    }

    #[test]
    fn bad_notes_are_refused_each_with_its_reason() {
        assert_eq!(PluginNote::parse(&vec![b' '; NOTE_BYTES_MAX + 1]), Err(NoteError::TooLong(NOTE_BYTES_MAX + 1)));
        assert!(matches!(PluginNote::parse(b"\xff\xfe"), Err(NoteError::Malformed(_))));
        assert!(matches!(PluginNote::parse(b"{}"), Err(NoteError::Malformed(_))));
        assert_eq!(changed("\"schema\":1", "\"schema\":2"), Err(NoteError::Schema(2)));
        assert!(matches!(changed("\"name\":\"tape\"", "\"name\":\"../tape\""), Err(NoteError::Name(_))));
        assert!(matches!(changed("\"name\"", "\"name\":\"x\",\"name\""), Err(NoteError::Malformed(_))));
        assert_eq!(changed("[\"tape\",\"tape-2\"]", "[]"), Err(NoteError::DriverCount(0)));
        assert_eq!(changed("\"tape-2\"", "\"TAPE\""), Err(NoteError::DriverTwice("TAPE".to_owned())));
        assert!(matches!(changed("1.2.3-rc.1", "one"), Err(NoteError::Malformed(_))));
    }

    #[test]
    fn a_note_is_of_a_rust_library_unless_it_says_otherwise() {
        assert_eq!(changed("\"schema\"", "\"schema\"").unwrap().entry, EntryKind::Rust);
        assert_eq!(changed("\"name\"", "\"entry\":\"c\",\"name\"").unwrap().entry, EntryKind::C);
        let other = changed("\"name\"", "\"entry\":\"go\",\"name\"").unwrap_err();
        assert!(other.to_string().contains("unknown variant `go`, expected `rust` or `c`"), "{other}");
    }

    #[test]
    fn unknown_keys_of_later_plugins_are_ignored() {
        assert!(changed("\"license\"", "\"vendor\":{\"a\":[1]},\"license\"").is_ok());
    }

    #[test]
    fn deep_nesting_does_not_exhaust_the_stack() {
        let deep = format!("{{\"x\":{}", "[".repeat(NOTE_BYTES_MAX - 10));
        assert!(matches!(PluginNote::parse(deep.as_bytes()), Err(NoteError::Malformed(_))));
    }
}
