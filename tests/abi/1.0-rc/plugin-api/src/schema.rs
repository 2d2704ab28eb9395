//! The configuration schema of a plugin: which keys its drivers read, and what may stand as their values.
//!
//! A schema is a flat JSON Schema object, given to [`export_offloader!`](crate::export_offloader), carried in the identity
//! note as `config_schema`, and read by the host, which checks a configuration against it before it calls the plugin. Values of
//! a configuration are texts; the schema says what they stand for. What is not in this list has no meaning here:
//!
//! | keyword of the schema | |
//! |---|---|
//! | `type` | `"object"`, may be left out |
//! | `properties` | key to property |
//! | `required` | keys that must be there, of those in `properties` |
//! | `x-prefixes` | beginnings of keys that are this plugin's own, so that a misspelt one is told |
//! | `$schema`, `$id`, `title`, `description`, `$comment` | for people |
//!
//! | keyword of a property | |
//! |---|---|
//! | `type` | `string`, `integer`, `number` or `boolean`; needed |
//! | `enum` | the values that are allowed |
//! | `minimum`, `maximum` | of an integer or number, both included |
//! | `minLength`, `maxLength` | of a string, in characters |
//! | `pattern` | regular expression that must match somewhere in a string |
//! | `default` | what the plugin takes where the key is absent; the host shows it and hands nothing over |
//! | `writeOnly`, `x-secret` | `true`: the value is secret, and never shown |
//! | `x-unit` | the unit of a number, for people |
//! | `x-drivers` | the drivers, of those that the plugin claims, that read the key; without it all do |
//! | `title`, `description`, `examples`, `deprecated`, `$comment` | for people |
//!
//! Other keywords that begin with `x-` are left alone. Here the form is checked while the plugin is compiled, so that a note is
//! never malformed by its schema; `pattern` and the bounds against each other are checked by the host
//! (`longshore offloaders inspect`).

/// The most bytes of a schema's text.
pub const SCHEMA_BYTES_MAX: usize = 32 * 1024;

/// The deepest nesting of a schema's text.
const DEPTH_MAX: usize = 16;

/// Every keyword of a schema.
pub const SCHEMA_KEYWORDS: &[&str] =
    &["type", "properties", "required", "x-prefixes", "$schema", "$id", "title", "description", "$comment"];

/// Every keyword of a property.
pub const PROPERTY_KEYWORDS: &[&str] = &[
    "type",
    "enum",
    "minimum",
    "maximum",
    "minLength",
    "maxLength",
    "pattern",
    "default",
    "writeOnly",
    "x-secret",
    "x-unit",
    "x-drivers",
    "title",
    "description",
    "examples",
    "deprecated",
    "$comment",
];

/// What a property's `type` may be.
pub const TYPES: &[&str] = &["string", "integer", "number", "boolean"];

/// Checks the form of a schema's text; empty text is no schema.
///
/// # Panics
/// Where it is none: at compile time, in the export macro.
pub const fn assert_valid(text: &str) {
    if let Err(mistake) = check(text) {
        panic!("{}", mistake);
    }
}

/// Checks the form of a schema's text; empty text is no schema.
///
/// # Errors
/// What is wrong.
pub const fn check(text: &str) -> Result<(), &'static str> {
    if text.is_empty() {
        return Ok(());
    }
    if text.len() > SCHEMA_BYTES_MAX {
        return Err("the configuration schema is longer than 32 KiB");
    }
    let mut json = Json { text: text.as_bytes(), at: 0 };
    json.blanks();
    if let Err(mistake) = json.schema() {
        return Err(mistake);
    }
    json.blanks();
    if json.at < json.text.len() {
        return Err("the configuration schema goes on after its end");
    }
    Ok(())
}

/// Where in the text the reader stands.
struct Json<'a> {
    text: &'a [u8],
    at: usize,
}

/// A piece of the text, between two places.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    end: usize,
}

/// Goes on with a value, or leaves with an error: `?` is not there at compile time.
macro_rules! attempt {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(mistake) => return Err(mistake),
        }
    };
}

type Step<T> = Result<T, &'static str>;

impl Json<'_> {
    const fn schema(&mut self) -> Step<()> {
        if !self.takes(b'{') {
            return Err("the configuration schema is no JSON object");
        }
        let mut has_properties = false;
        let mut first = true;
        while let Some(keyword) = attempt!(self.next_key(first)) {
            first = false;
            if !self.is_one_of(keyword, SCHEMA_KEYWORDS) && !self.is_extension(keyword) {
                return Err("the configuration schema has a keyword that means nothing here: see plugin_api::schema");
            }
            if self.is(keyword, "properties") {
                has_properties = true;
                attempt!(self.properties());
            } else {
                attempt!(self.value(1));
            }
        }
        if has_properties { Ok(()) } else { Err("the configuration schema has no `properties`") }
    }

    const fn properties(&mut self) -> Step<()> {
        if !self.takes(b'{') {
            return Err("`properties` of the configuration schema is no JSON object");
        }
        let mut first = true;
        while let Some(key) = attempt!(self.next_key(first)) {
            first = false;
            if key.start == key.end {
                return Err("a key of the configuration schema is empty");
            }
            attempt!(self.property());
        }
        Ok(())
    }

    const fn property(&mut self) -> Step<()> {
        if !self.takes(b'{') {
            return Err("a property of the configuration schema is no JSON object");
        }
        let mut has_type = false;
        let mut first = true;
        while let Some(keyword) = attempt!(self.next_key(first)) {
            first = false;
            if !self.is_one_of(keyword, PROPERTY_KEYWORDS) && !self.is_extension(keyword) {
                return Err("a property of the configuration schema has a keyword that means nothing here: see \
                            plugin_api::schema");
            }
            if self.is(keyword, "type") {
                has_type = true;
                attempt!(self.type_name());
            } else {
                attempt!(self.value(2));
            }
        }
        if has_type { Ok(()) } else { Err("a property of the configuration schema has no `type`") }
    }

    const fn type_name(&mut self) -> Step<()> {
        if self.peek() != b'"' {
            return Err("a `type` of the configuration schema is no string");
        }
        let name = attempt!(self.string());
        if self.is_one_of(name, TYPES) {
            Ok(())
        } else {
            Err("a property's `type` is string, integer, number or boolean")
        }
    }

    /// The next key of an object whose opening brace (or last value) was read, or `None` at its end.
    const fn next_key(&mut self, first: bool) -> Step<Option<Piece>> {
        self.blanks();
        if self.takes(b'}') {
            return Ok(None);
        }
        if !first {
            if !self.takes(b',') {
                return Err("the configuration schema is no JSON: a comma or `}` is missing");
            }
            self.blanks();
        }
        let key = attempt!(self.string());
        self.blanks();
        if !self.takes(b':') {
            return Err("the configuration schema is no JSON: a colon is missing");
        }
        self.blanks();
        Ok(Some(key))
    }

    const fn value(&mut self, depth: usize) -> Step<()> {
        if depth > DEPTH_MAX {
            return Err("the configuration schema is nested too deeply");
        }
        match self.peek() {
            b'{' => {
                self.at += 1;
                let mut first = true;
                while attempt!(self.next_key(first)).is_some() {
                    first = false;
                    attempt!(self.value(depth + 1));
                }
                Ok(())
            }
            b'[' => self.array(depth),
            b'"' => match self.string() {
                Ok(_) => Ok(()),
                Err(mistake) => Err(mistake),
            },
            b't' => self.word("true"),
            b'f' => self.word("false"),
            b'n' => self.word("null"),
            _ => self.number(),
        }
    }

    const fn array(&mut self, depth: usize) -> Step<()> {
        self.at += 1;
        self.blanks();
        if self.takes(b']') {
            return Ok(());
        }
        loop {
            self.blanks();
            attempt!(self.value(depth + 1));
            self.blanks();
            if self.takes(b']') {
                return Ok(());
            }
            if !self.takes(b',') {
                return Err("the configuration schema is no JSON: a comma or `]` is missing");
            }
        }
    }

    const fn word(&mut self, word: &str) -> Step<()> {
        let mut at = 0;
        while at < word.len() {
            if !self.takes(word.as_bytes()[at]) {
                return Err("the configuration schema is no JSON: a value is no true, false or null");
            }
            at += 1;
        }
        Ok(())
    }

    /// A number in JSON's grammar.
    const fn number(&mut self) -> Step<()> {
        self.takes(b'-');
        let leads_with_zero = self.peek() == b'0';
        let whole = self.digits();
        if whole == 0 || (leads_with_zero && whole > 1) {
            return Err("the configuration schema is no JSON: a value is missing or no number");
        }
        if self.takes(b'.') && self.digits() == 0 {
            return Err("the configuration schema is no JSON: a number ends with its point");
        }
        if self.takes(b'e') || self.takes(b'E') {
            if !self.takes(b'+') {
                self.takes(b'-');
            }
            if self.digits() == 0 {
                return Err("the configuration schema is no JSON: a number has no exponent");
            }
        }
        Ok(())
    }

    const fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
        self.at - start
    }

    /// What is between the quotes of a string.
    const fn string(&mut self) -> Step<Piece> {
        if !self.takes(b'"') {
            return Err("the configuration schema is no JSON: a string is missing");
        }
        let start = self.at;
        while self.at < self.text.len() {
            match self.text[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(Piece { start, end: self.at - 1 });
                }
                b'\\' => {
                    self.at += 1;
                    match self.peek() {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
                        // A character by its number could be half of one.
                        _ => return Err("the configuration schema has an escape in a string that is none, or `\\u`"),
                    }
                }
                0..0x20 => return Err("the configuration schema is no JSON: a string has a line break"),
                _ => self.at += 1,
            }
        }
        Err("the configuration schema is no JSON: a string does not end")
    }

    const fn blanks(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    const fn takes(&mut self, byte: u8) -> bool {
        let found = self.at < self.text.len() && self.text[self.at] == byte;
        if found {
            self.at += 1;
        }
        found
    }

    /// The byte ahead; 0, which stands nowhere in JSON, at the end.
    const fn peek(&self) -> u8 {
        if self.at < self.text.len() { self.text[self.at] } else { 0 }
    }

    const fn is_extension(&self, piece: Piece) -> bool {
        piece.end - piece.start > 2 && self.text[piece.start] == b'x' && self.text[piece.start + 1] == b'-'
    }

    const fn is_one_of(&self, piece: Piece, words: &[&str]) -> bool {
        let mut at = 0;
        while at < words.len() {
            if self.is(piece, words[at]) {
                return true;
            }
            at += 1;
        }
        false
    }

    const fn is(&self, piece: Piece, word: &str) -> bool {
        let word = word.as_bytes();
        if piece.end - piece.start != word.len() {
            return false;
        }
        let mut at = 0;
        while at < word.len() {
            if self.text[piece.start + at] != word[at] {
                return false;
            }
            at += 1;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = r#"{
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "properties": {
            "folder": { "type": "string", "description": "größer \"x\"", "minLength": 1, "x-vendor": {"a": [1, [2]]} },
            "level": { "type": "integer", "minimum": -1, "maximum": 1.5e3, "default": 0, "enum": [0, 1] },
            "key": { "type": "string", "writeOnly": true, "x-drivers": [] }
        },
        "required": ["folder"]
    }"#;

    #[test]
    fn whole_schemas_pass_while_compiling() {
        const { assert_valid(WHOLE) };
        assert_eq!(check(""), Ok(()));
        assert_eq!(check("{\"properties\":{}}"), Ok(()));
        assert!(serde_json::from_str::<serde_json::Value>(WHOLE).is_ok());
    }

    #[test]
    fn what_passes_is_json_for_others_too() {
        // Each byte of the text changed in turn: whatever this check passes, serde passes as well.
        let (mut passed, mut refused) = (0, 0);
        for place in 0..WHOLE.len() {
            for byte in *b"\"\\{}[],:x0-. \n" {
                let mut bytes = WHOLE.as_bytes().to_vec();
                bytes[place] = byte;
                let Ok(text) = String::from_utf8(bytes) else { continue };
                match check(&text) {
                    Ok(()) => {
                        passed += 1;
                        assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok(), "{text}");
                    }
                    Err(_) => refused += 1,
                }
            }
        }
        assert!(passed > 100 && refused > 1000, "{passed} {refused}");
    }

    #[test]
    fn the_longest_schema_is_checked_within_the_compilers_patience() {
        static LONGEST: [u8; SCHEMA_BYTES_MAX] = {
            const HEAD: &[u8] = b"{\"properties\":{\"a\":{\"type\":\"string\",\"description\":\"";
            const TAIL: &[u8] = b"\"}}}";
            let mut bytes = [b'x'; SCHEMA_BYTES_MAX];
            bytes.split_at_mut(HEAD.len()).0.copy_from_slice(HEAD);
            bytes.split_at_mut(SCHEMA_BYTES_MAX - TAIL.len()).1.copy_from_slice(TAIL);
            bytes
        };
        const _: () = match std::str::from_utf8(&LONGEST) {
            Ok(text) => assert_valid(text),
            Err(_) => panic!("ASCII is UTF-8"),
        };
    }

    #[test]
    fn each_mistake_is_told() {
        let property = |inside: &str| format!("{{\"properties\":{{\"a\":{inside}}}}}");
        for (text, word) in [
            ("[]".to_owned(), "no JSON object"),
            ("{}".to_owned(), "no `properties`"),
            ("{\"properties\":[]}".to_owned(), "`properties`"),
            ("{\"properties\":{}} x".to_owned(), "after its end"),
            ("{\"properties\":{},\"allOf\":[]}".to_owned(), "keyword"),
            (property("1"), "no JSON object"),
            (property("{}"), "no `type`"),
            (property("{\"type\":\"array\"}"), "string, integer, number or boolean"),
            (property("{\"type\":\"string\",\"format\":\"uri\"}"), "keyword"),
            (property("{\"type\":\"string\",\"default\":01}"), "number"),
            (property("{\"type\":\"string\",\"default\":\"\\u00e4\"}"), "escape"),
            (property(&format!("{{\"type\":\"string\",\"x-a\":{}", "[".repeat(100))), "deeply"),
            ("{\"properties\":{\"\":{\"type\":\"string\"}}}".to_owned(), "empty"),
            (" ".repeat(SCHEMA_BYTES_MAX + 1), "32 KiB"),
        ] {
            let mistake = check(&text).unwrap_err();
            assert!(mistake.contains(word), "{text}: {mistake}");
        }
        assert!(check(&property(&format!("{{\"type\":\"string\",\"x-a\":{}", "[".repeat(9)))).is_err());
    }

    #[test]
    fn every_prefix_of_a_schema_is_refused() {
        for end in (1..WHOLE.len()).filter(|end| WHOLE.is_char_boundary(*end)) {
            assert!(check(&WHOLE[..end]).is_err(), "{}", &WHOLE[..end]);
        }
    }
}
