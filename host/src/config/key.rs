//! What is known of one key: its name, what may stand as its value, and what it means.

/// One key that has an effect. Made by the table in `settings.rs`, read by the loader, the messages and the shipped file.
#[derive(Debug)]
pub struct Key {
    /// Pulsar's spelling.
    pub name: &'static str,
    /// What may stand as its value.
    pub kind: Kind,
    /// Unit of a number, empty where it has none.
    pub unit: &'static str,
    /// What is taken where the key is absent or empty; empty text is "not set".
    pub default: &'static str,
    /// What `conf/standalone.conf` says where that is not the default.
    pub shipped: Option<&'static str>,
    /// Another spelling of the same setting, which wins where both are given.
    pub other_name: Option<&'static str>,
    /// Whether a storage driver gets the key too.
    pub for_driver: bool,
    /// Whether the value must never be shown.
    pub secret: bool,
}

/// What may stand as a value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// Any text.
    Text,
    /// `true` or `false`.
    Flag,
    /// A whole number within bounds, both included.
    Number(i64, i64),
    /// A number within bounds, both included.
    Decimal(f64, f64),
    /// One of these words; letter case and `_` for `-` do not count.
    Choice(&'static [&'static str]),
    /// Texts with commas between them.
    List,
}

/// A value that stands up to its [`Kind`].
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Not set.
    Absent,
    /// For `Text` and `Choice` (in the spelling of the table).
    Text(String),
    /// For `Flag`.
    Flag(bool),
    /// For `Number`.
    Number(i64),
    /// For `Decimal`.
    Decimal(f64),
    /// For `List`; blank parts left out.
    List(Vec<String>),
}

impl Key {
    /// A key of text that is absent where `default` is empty.
    pub const fn text(name: &'static str, default: &'static str) -> Self {
        Self {
            name,
            kind: Kind::Text,
            unit: "",
            default,
            shipped: None,
            other_name: None,
            for_driver: false,
            secret: false,
        }
    }

    /// `true` or `false`.
    pub const fn flag(name: &'static str, default: &'static str) -> Self {
        Self { kind: Kind::Flag, ..Self::text(name, default) }
    }

    /// A whole number of `unit`, from `least` to `most`.
    pub const fn number(name: &'static str, default: &'static str, unit: &'static str, least: i64, most: i64) -> Self {
        Self { kind: Kind::Number(least, most), unit, ..Self::text(name, default) }
    }

    /// A number of `unit`, from `least` to `most`.
    pub const fn decimal(name: &'static str, default: &'static str, unit: &'static str, least: f64, most: f64) -> Self {
        Self { kind: Kind::Decimal(least, most), unit, ..Self::text(name, default) }
    }

    /// One of `words`.
    pub const fn choice(name: &'static str, default: &'static str, words: &'static [&'static str]) -> Self {
        Self { kind: Kind::Choice(words), ..Self::text(name, default) }
    }

    /// Texts with commas between them.
    pub const fn list(name: &'static str, default: &'static str) -> Self {
        Self { kind: Kind::List, ..Self::text(name, default) }
    }

    /// Says what the shipped file sets.
    pub const fn shipped(self, value: &'static str) -> Self {
        Self { shipped: Some(value), ..self }
    }

    /// Names another spelling, which wins where both are given.
    pub const fn also(self, name: &'static str) -> Self {
        Self { other_name: Some(name), ..self }
    }

    /// Hands the key to storage drivers too.
    pub const fn for_driver(self) -> Self {
        Self { for_driver: true, ..self }
    }

    /// Never shows the value.
    pub const fn secret(self) -> Self {
        Self { secret: true, ..self }
    }

    /// Reads `text`, which stands as this key's value; empty text is the default.
    ///
    /// # Errors
    /// What is wrong and what is allowed; lower case, no full stop.
    pub fn read(&self, text: &str) -> Result<Value, String> {
        let text = if text.trim().is_empty() { self.default } else { text.trim() };
        if text.is_empty() {
            return Ok(if self.kind == Kind::List { Value::List(Vec::new()) } else { Value::Absent });
        }
        let value = match self.kind {
            Kind::Text => Some(Value::Text(text.to_owned())),
            Kind::Flag => flag(text).map(Value::Flag),
            Kind::Number(least, most) => {
                text.parse().ok().filter(|number| (least..=most).contains(number)).map(Value::Number)
            }
            Kind::Decimal(least, most) => {
                text.parse().ok().filter(|number| (least..=most).contains(number)).map(Value::Decimal)
            }
            Kind::Choice(words) => {
                let as_word = text.to_ascii_lowercase().replace('_', "-");
                words.iter().find(|&&word| word == as_word).map(|&word| Value::Text(word.to_owned()))
            }
            Kind::List => Some(Value::List(parts(text))),
        };
        value.ok_or_else(|| self.refusal(text))
    }

    /// What is allowed, as a phrase: `true or false`, `a whole number from 1 to 100 (seconds)`.
    pub fn allowed(&self) -> String {
        let allowed = match self.kind {
            Kind::Text => "any text".to_owned(),
            Kind::Flag => "true or false".to_owned(),
            Kind::Number(least, i64::MAX) => format!("a whole number from {least} on"),
            Kind::Number(least, most) => format!("a whole number from {least} to {most}"),
            Kind::Decimal(least, most) => format!("a number from {least} to {most}"),
            Kind::Choice(words) => words.join(" or "),
            Kind::List => "texts with commas between them".to_owned(),
        };
        if self.unit.is_empty() { allowed } else { format!("{allowed} ({})", self.unit) }
    }

    fn refusal(&self, text: &str) -> String {
        let is_number = matches!(self.kind, Kind::Number(..)) && text.parse::<i128>().is_ok();
        let what = match self.kind {
            Kind::Number(..) if is_number => "out of bounds",
            Kind::Number(..) => "not a whole number",
            Kind::Decimal(..) if text.parse::<f64>().is_ok() => "out of bounds",
            Kind::Decimal(..) => "not a number",
            Kind::Flag => "neither true nor false",
            Kind::Text | Kind::List | Kind::Choice(_) => "not one of the known words",
        };
        format!("{what}; allowed: {}", self.allowed())
    }
}

fn flag(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "true" => Some(true),
        "false" => Some(false),
        _ => None,
    }
}

fn parts(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_kind() {
        let port = Key::number("port", "6650", "", 0, 65535);
        let rate = Key::decimal("rate", "0.1", "writes a second", 0.0, 1000.0);
        let word = Key::choice("word", "", &["tiered-storage-first", "bookkeeper-first"]);
        let table: Vec<(&Key, &str, Value)> = vec![
            (&port, "", Value::Number(6650)),
            (&port, " 1 ", Value::Number(1)),
            (&rate, "100", Value::Decimal(100.0)),
            (&rate, "1e2", Value::Decimal(100.0)),
            (&word, "", Value::Absent),
            (&word, "BOOKKEEPER_FIRST", Value::Text("bookkeeper-first".to_owned())),
        ];
        for (key, text, expected) in table {
            assert_eq!(key.read(text), Ok(expected), "{}={text}", key.name);
        }
        assert_eq!(Key::flag("f", "").read("TRUE"), Ok(Value::Flag(true)));
        let list = Key::list("l", "");
        assert_eq!(list.read(""), Ok(Value::List(vec![])));
        assert_eq!(list.read("a, ,b"), Ok(Value::List(vec!["a".to_owned(), "b".to_owned()])));
    }

    #[test]
    fn refusals_say_what_is_allowed() {
        let port = Key::number("port", "6650", "", 0, 65535);
        let rate = Key::decimal("rate", "0.1", "writes a second", 0.0, 1000.0);
        let table: Vec<(Key, &str, &str)> = vec![
            (Key::flag("f", ""), "yes", "neither true nor false; allowed: true or false"),
            (
                Key::number("n", "", "seconds", -1, i64::MAX),
                "x",
                "not a whole number; allowed: a whole number from -1 on (seconds)",
            ),
            (Key::choice("c", "", &["full", "ends"]), "half", "not one of the known words; allowed: full or ends"),
        ];
        for (key, text, expected) in table {
            assert_eq!(key.read(text), Err(expected.to_owned()));
        }
        for text in ["65536", "-1", "99999999999999999999999"] {
            assert_eq!(
                port.read(text).unwrap_err(),
                "out of bounds; allowed: a whole number from 0 to 65535",
                "{text}"
            );
        }
        for text in ["NaN", "inf", "-0.5"] {
            let refusal = rate.read(text).unwrap_err();
            assert_eq!(refusal, "out of bounds; allowed: a number from 0 to 1000 (writes a second)", "{text}");
        }
    }
}
