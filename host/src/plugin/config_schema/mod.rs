//! Configuration schemas of plugins: read from the note, shown by `inspect`, held against a configuration before the plugin
//! sees it.
//!
//! `plugin_api::schema` describes the form. The JSON is untrusted: a note need not be made by our macro. What has no meaning here
//! is kept in [`ConfigSchema::ignored`] and changes nothing; what contradicts itself makes the schema unusable, and its plugin is
//! refused. Pure.

pub(super) mod check;

use std::collections::BTreeMap;

use longshore_plugin_api::schema::{PROPERTY_KEYWORDS, SCHEMA_KEYWORDS};
use regex_lite::Regex;
use serde_json::{Map, Value};

/// The most properties of a schema.
const PROPERTIES_MAX: usize = 512;
/// The longest key, in bytes.
const KEY_BYTES_MAX: usize = 128;
/// The longest pattern, in bytes.
const PATTERN_BYTES_MAX: usize = 512;
/// The most memory of a compiled pattern, in bytes.
const PATTERN_MEMORY_MAX: usize = 256 << 10;
/// What stands for a secret wherever one would be shown.
pub const STARS: &str = "***";

/// The keys that a plugin's drivers read.
#[derive(Clone, Debug, Default)]
pub struct ConfigSchema {
    /// By key.
    pub properties: BTreeMap<String, Property>,
    /// Beginnings of keys that are the plugin's own.
    pub prefixes: Vec<String>,
    /// Keywords that mean nothing here, each with where it stands.
    pub ignored: Vec<String>,
}

/// One key.
#[derive(Clone, Debug)]
pub struct Property {
    /// What its text stands for.
    pub kind: Kind,
    /// The texts that are allowed, where they are enumerated.
    pub allowed: Option<Vec<String>>,
    /// Bounds of a number, both included.
    pub minimum: Option<f64>,
    /// See `minimum`.
    pub maximum: Option<f64>,
    /// Bounds of a text, in characters.
    pub min_length: Option<u64>,
    /// See `min_length`.
    pub max_length: Option<u64>,
    /// Must match somewhere in a text.
    pub pattern: Option<Regex>,
    /// What the plugin takes where the key is absent.
    pub default: Option<String>,
    /// Whether the key must be there.
    pub required: bool,
    /// Whether the value must never be shown.
    pub secret: bool,
    /// For people.
    pub unit: String,
    /// For people.
    pub description: String,
    /// The drivers that read it, in lower case; empty for all.
    pub drivers: Vec<String>,
}

/// What a text stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Itself.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// `true` or `false`.
    Boolean,
}

impl Kind {
    fn of(word: &str) -> Option<Self> {
        match word {
            "string" => Some(Self::String),
            "integer" => Some(Self::Integer),
            "number" => Some(Self::Number),
            "boolean" => Some(Self::Boolean),
            _ => None,
        }
    }

    /// In the spelling of a schema.
    pub fn word(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Boolean => "boolean",
        }
    }

    /// Whether a JSON value, of `enum` or `default`, is of this kind.
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::String => value.is_string(),
            Self::Integer => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Boolean => value.is_boolean(),
        }
    }
}

impl ConfigSchema {
    /// Reads a note's schema.
    ///
    /// # Errors
    /// Everything that contradicts itself or is of a wrong type, each as `key: problem`.
    pub fn parse(schema: &Value) -> Result<Self, Vec<String>> {
        let Value::Object(schema) = schema else { return Err(vec!["it is no JSON object".to_owned()]) };
        let mut reader = Reader::default();
        reader.note_ignored("the schema", schema, SCHEMA_KEYWORDS);
        let prefixes = reader.texts("the schema", schema, "x-prefixes");
        let required = reader.texts("the schema", schema, "required");
        let properties = match schema.get("properties") {
            Some(Value::Object(properties)) if properties.len() <= PROPERTIES_MAX => {
                properties.iter().filter_map(|(key, property)| Some((key.clone(), reader.property(key, property)?)))
            }
            Some(Value::Object(properties)) => {
                return Err(vec![format!("{} properties, at most {PROPERTIES_MAX} are allowed", properties.len())]);
            }
            _ => return Err(vec!["`properties` is missing or no object".to_owned()]),
        };
        let mut properties: BTreeMap<String, Property> = properties.collect();
        for key in &required {
            match properties.get_mut(key) {
                Some(property) => property.required = true,
                None => reader.problems.push(format!("{key}: required, and not among the properties")),
            }
        }
        if reader.problems.is_empty() {
            Ok(Self { properties, prefixes, ignored: reader.ignored })
        } else {
            Err(reader.problems)
        }
    }

    /// The keys that `driver` reads.
    pub fn of_driver<'a>(&'a self, driver: &str) -> impl Iterator<Item = (&'a str, &'a Property)> {
        let driver = driver.to_ascii_lowercase();
        let reads = move |property: &Property| property.drivers.is_empty() || property.drivers.contains(&driver);
        self.properties
            .iter()
            .filter(move |(_, property)| reads(property))
            .map(|(key, property)| (key.as_str(), property))
    }

    /// The keys whose values must never be shown.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.properties.iter().filter(|(_, property)| property.secret).map(|(key, _)| key.as_str())
    }
}

impl Property {
    /// What is allowed, as a phrase: `one of a, b`, `a whole number from 1 to 64 (rounds)`.
    pub fn allowed_phrase(&self) -> String {
        let phrase = match (&self.allowed, self.kind) {
            (Some(allowed), _) => format!("one of {}", allowed.join(", ")),
            (None, Kind::Boolean) => "true or false".to_owned(),
            (None, Kind::Integer) => format!("a whole number{}", range(self.minimum, self.maximum)),
            (None, Kind::Number) => format!("a number{}", range(self.minimum, self.maximum)),
            (None, Kind::String) => {
                let length = range(self.min_length, self.max_length);
                let length = if length.is_empty() { length } else { format!(" of a length{length}") };
                let pattern = self.pattern.as_ref().map(|pattern| format!(" that matches `{}`", pattern.as_str()));
                format!("text{length}{}", pattern.unwrap_or_default())
            }
        };
        if self.unit.is_empty() { phrase } else { format!("{phrase} ({})", self.unit) }
    }

    /// Whether `text` is allowed.
    pub fn allows(&self, text: &str) -> bool {
        if let Some(allowed) = &self.allowed {
            return allowed.iter().any(|allowed| allowed == text);
        }
        let within = |number: f64| {
            self.minimum.is_none_or(|least| number >= least) && self.maximum.is_none_or(|most| number <= most)
        };
        match self.kind {
            Kind::Boolean => text.eq_ignore_ascii_case("true") || text.eq_ignore_ascii_case("false"),
            Kind::Integer => text.parse::<i64>().is_ok_and(|number| within(number as f64)),
            Kind::Number => text.parse::<f64>().is_ok_and(|number| number.is_finite() && within(number)),
            Kind::String => {
                let length = text.chars().count() as u64;
                self.min_length.is_none_or(|least| length >= least)
                    && self.max_length.is_none_or(|most| length <= most)
                    && self.pattern.as_ref().is_none_or(|pattern| pattern.is_match(text))
            }
        }
    }
}

fn range<T: std::fmt::Display>(least: Option<T>, most: Option<T>) -> String {
    match (least, most) {
        (Some(least), Some(most)) => format!(" from {least} to {most}"),
        (Some(least), None) => format!(" from {least} on"),
        (None, Some(most)) => format!(" up to {most}"),
        (None, None) => String::new(),
    }
}

/// Collects what is wrong and what is ignored.
#[derive(Default)]
struct Reader {
    problems: Vec<String>,
    ignored: Vec<String>,
}

impl Reader {
    fn property(&mut self, key: &str, property: &Value) -> Option<Property> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let shown: String = key.chars().take(KEY_BYTES_MAX).collect();
            self.problems.push(format!("`{}`: a key has 1 to {KEY_BYTES_MAX} visible letters", shown.escape_debug()));
            return None;
        }
        let Value::Object(property) = property else {
            self.problems.push(format!("{key}: it is no object"));
            return None;
        };
        self.note_ignored(key, property, PROPERTY_KEYWORDS);
        let Some(kind) = property.get("type").and_then(Value::as_str).and_then(Kind::of) else {
            self.problems.push(format!("{key}: `type` is string, integer, number or boolean"));
            return None;
        };
        let read = Property {
            kind,
            allowed: self.enumerated(key, kind, property),
            minimum: self.read(key, property, "minimum", Value::as_f64),
            maximum: self.read(key, property, "maximum", Value::as_f64),
            min_length: self.read(key, property, "minLength", Value::as_u64),
            max_length: self.read(key, property, "maxLength", Value::as_u64),
            pattern: self.pattern(key, property),
            default: property.get("default").map(text_of),
            required: false,
            secret: self.read(key, property, "writeOnly", Value::as_bool).unwrap_or(false)
                | self.read(key, property, "x-secret", Value::as_bool).unwrap_or(false),
            unit: self.text(key, property, "x-unit"),
            description: self.text(key, property, "description"),
            drivers: self.texts(key, property, "x-drivers").iter().map(|driver| driver.to_ascii_lowercase()).collect(),
        };
        if read.minimum > read.maximum && read.maximum.is_some() || read.min_length > read.max_length.or(Some(u64::MAX))
        {
            self.problems.push(format!("{key}: its least is more than its most"));
        }
        if property.get("default").is_some_and(|default| !kind.fits(default))
            || read.default.as_ref().is_some_and(|default| !read.allows(default))
        {
            self.problems.push(format!("{key}: its default is not allowed by itself"));
        }
        Some(read)
    }

    fn enumerated(&mut self, key: &str, kind: Kind, property: &Map<String, Value>) -> Option<Vec<String>> {
        match property.get("enum") {
            None => None,
            Some(Value::Array(values)) if !values.is_empty() && values.iter().all(|value| kind.fits(value)) => {
                Some(values.iter().map(text_of).collect())
            }
            Some(_) => {
                self.problems.push(format!("{key}: `enum` is a list of one {} at least", kind.word()));
                None
            }
        }
    }

    fn pattern(&mut self, key: &str, property: &Map<String, Value>) -> Option<Regex> {
        let pattern = self.read(key, property, "pattern", Value::as_str)?;
        if pattern.len() > PATTERN_BYTES_MAX {
            self.problems.push(format!("{key}: `pattern` has more than {PATTERN_BYTES_MAX} bytes"));
            return None;
        }
        match regex_lite::RegexBuilder::new(pattern).size_limit(PATTERN_MEMORY_MAX).build() {
            Ok(regex) => Some(regex),
            Err(error) => {
                self.problems.push(format!("{key}: `pattern` cannot be read: {error}"));
                None
            }
        }
    }

    /// The value of `keyword`, which is of one type.
    fn read<'a, T>(
        &mut self,
        key: &str,
        of: &'a Map<String, Value>,
        keyword: &str,
        as_type: impl FnOnce(&'a Value) -> Option<T>,
    ) -> Option<T> {
        let value = of.get(keyword)?;
        let read = as_type(value);
        if read.is_none() {
            self.problems.push(format!("{key}: `{keyword}` is of a wrong type"));
        }
        read
    }

    fn text(&mut self, key: &str, of: &Map<String, Value>, keyword: &str) -> String {
        self.read(key, of, keyword, Value::as_str).unwrap_or_default().to_owned()
    }

    fn texts(&mut self, key: &str, of: &Map<String, Value>, keyword: &str) -> Vec<String> {
        let values = self.read(key, of, keyword, Value::as_array).into_iter().flatten();
        let texts: Vec<Option<String>> = values.map(|value| value.as_str().map(str::to_owned)).collect();
        if texts.contains(&None) {
            self.problems.push(format!("{key}: `{keyword}` is a list of texts"));
        }
        texts.into_iter().flatten().collect()
    }

    fn note_ignored(&mut self, place: &str, of: &Map<String, Value>, known: &[&str]) {
        let unknown = of.keys().filter(|keyword| !known.contains(&keyword.as_str()) && !keyword.starts_with("x-"));
        let unknown = unknown.map(|keyword| format!("`{}` of {place}", keyword.escape_debug()));
        self.ignored.extend(unknown);
    }
}

/// A JSON value as it stands in a configuration.
fn text_of(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn property(property: Value) -> Property {
        let schema = ConfigSchema::parse(&json!({"properties": {"a": property}})).unwrap();
        schema.properties["a"].clone()
    }

    #[test]
    fn values_are_texts_that_stand_for_something() {
        let bounded = property(json!({"type": "integer", "minimum": 1, "maximum": 64, "x-unit": "rounds"}));
        let ratio = property(json!({"type": "number", "minimum": 0.5}));
        let flag = property(json!({"type": "boolean"}));
        let word = property(json!({"type": "string", "enum": ["a", "b"]}));
        let level = property(json!({"type": "integer", "enum": [1, 9]}));
        let name = property(json!({"type": "string", "minLength": 2, "maxLength": 3, "pattern": "^[a-zä]+$"}));
        for (property, good, bad, phrase) in [
            (bounded, "64", ["0", "65", "x", "1.5", ""], "a whole number from 1 to 64 (rounds)"),
            (ratio, "1e3", ["0.4", "NaN", "inf", "x", ""], "a number from 0.5 on"),
            (flag, "TRUE", ["yes", "1", "", "t", " true"], "true or false"),
            (word, "b", ["c", "B", "", "ab", "a,b"], "one of a, b"),
            (level, "9", ["8", "09", "", "9.0", "x"], "one of 1, 9"),
            (name, "äb", ["a", "abcd", "A1", "", "a b"], "text of a length from 2 to 3 that matches `^[a-zä]+$`"),
        ] {
            assert!(property.allows(good), "{good}: {property:?}");
            for bad in bad {
                assert!(!property.allows(bad), "{bad}: {property:?}");
            }
            assert_eq!(property.allowed_phrase(), phrase);
        }
    }

    #[test]
    fn contradictions_are_told_all_at_once() {
        let problems = ConfigSchema::parse(&json!({
            "properties": {
                "a": {"type": "list"},
                "b": {"type": "integer", "minimum": 3, "maximum": 2},
                "c": {"type": "string", "pattern": "("},
                "d": {"type": "integer", "default": "one"},
                "e": {"type": "integer", "enum": []},
                "f": {"type": "string", "minLength": "long"},
                "g": 7,
                "h i": {"type": "string"},
                "j": {"type": "boolean", "enum": ["x"]},
                "k": {"type": "integer", "minimum": 5, "default": 4},
            },
            "required": ["z", 1],
        }))
        .unwrap_err();
        let words = ["`required`", "a: `type`", "b: its least", "c: `pattern`", "d: its default", "e: `enum`"];
        let more = ["f: `minLength`", "g: it is no object", "`h i`", "j: `enum`", "k: its default", "z: required"];
        assert_eq!(problems.len(), words.len() + more.len(), "{problems:#?}");
        for (problem, word) in problems.iter().zip(words.iter().chain(&more)) {
            assert!(problem.contains(word), "{word}: {problem}");
        }
        assert!(ConfigSchema::parse(&json!([])).is_err());
        assert!(ConfigSchema::parse(&json!({})).is_err());
    }

    #[test]
    fn a_pattern_that_explodes_is_refused() {
        let schema = json!({"properties": {"a": {"type": "string", "pattern": "((a{500}){500}){500}"}}});
        assert!(ConfigSchema::parse(&schema).unwrap_err()[0].contains("pattern"));
    }

    #[test]
    fn what_means_nothing_is_kept_apart() {
        let schema =
            json!({"allOf": [], "x-mine": 1, "properties": {"a": {"type": "string", "format": "uri", "x-b": 1}}});
        let schema = ConfigSchema::parse(&schema).unwrap();
        assert_eq!(schema.ignored, ["`allOf` of the schema", "`format` of a"]);
    }

    #[test]
    fn keys_of_other_drivers_are_apart_and_secrets_are_marked() {
        let schema = ConfigSchema::parse(&json!({"properties": {
            "a": {"type": "string", "x-drivers": ["S3"], "writeOnly": true},
            "b": {"type": "string", "x-secret": true},
            "c": {"type": "string", "writeOnly": false},
        }}))
        .unwrap();
        let keys = |driver| schema.of_driver(driver).map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!((keys("s3"), keys("azure")), (vec!["a", "b", "c"], vec!["b", "c"]));
        assert_eq!(schema.secrets().collect::<Vec<_>>(), ["a", "b"]);
    }
}
