//! What a command has to say, and how it is printed.

use std::io::{ErrorKind, Write as _};

use serde_json::{Value, json};

use super::json_text::Json;

/// What a command has to say.
pub(in crate::cli) enum Answer {
    /// Nothing: it is done.
    Done,
    /// A sentence of the tool's own, and the same for machines.
    Said {
        /// For people.
        text: String,
        /// For machines.
        facts: Value,
        /// Whether the tool says it on the standard error.
        is_aside: bool,
    },
    /// What the broker answered, in the layout of the tool.
    Shown {
        /// As it came.
        json: Json,
        /// How it is laid out.
        form: Form,
    },
    /// A text that has one form only.
    Text(String),
}

/// How the broker's JSON is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Form {
    /// Texts and numbers bare, the rest as Jackson has it.
    Jackson,
    /// As Gson and Go have it.
    Indented,
    /// A list, each value on a line.
    Lines,
    /// An object, each pair on a line with four blanks between.
    Pairs,
}

impl Answer {
    /// A sentence, and the same for machines.
    pub(in crate::cli) fn said(text: impl Into<String>, facts: Value) -> Self {
        Self::Said { text: text.into(), facts, is_aside: false }
    }

    /// A sentence that the tool says on the standard error.
    pub(in crate::cli) fn aside(text: impl Into<String>, facts: Value) -> Self {
        Self::Said { text: text.into(), facts, is_aside: true }
    }

    /// Prints it for people, or as one line of JSON.
    pub(in crate::cli) fn print(self, as_json: bool) {
        match self {
            Self::Done if as_json => say(&format!("{}\n", json!({ "done": true }))),
            Self::Done => {}
            Self::Said { facts, .. } if as_json => say(&format!("{facts}\n")),
            Self::Said { text, is_aside: true, .. } => eprintln!("{text}"),
            Self::Said { text, .. } => say(&format!("{text}\n")),
            Self::Shown { json, .. } if as_json => say(&format!("{json}\n")),
            Self::Shown { json, form } => say(&form.lay_out(&json)),
            Self::Text(text) => say(&text),
        }
    }
}

impl Form {
    /// The text, with its line breaks.
    pub(in crate::cli) fn lay_out(self, json: &Json) -> String {
        match (self, json) {
            (Self::Lines, Json::List(items)) => items.iter().map(|item| format!("{}\n", item.bare())).collect(),
            (Self::Pairs, Json::Object(pairs)) => {
                pairs.iter().map(|(key, value)| format!("{key}    {}\n", in_a_pair(value))).collect()
            }
            (Self::Indented, json) => format!("{}\n", json.indented()),
            (_, Json::Text(text)) => format!("{text}\n"),
            (_, json) => format!("{}\n", json.jackson()),
        }
    }
}

/// A value beside its key: lists as Java prints them.
fn in_a_pair(value: &Json) -> String {
    match value {
        Json::List(items) => format!("[{}]", items.iter().map(Json::bare).collect::<Vec<_>>().join(", ")),
        value => value.bare(),
    }
}

/// Prints on the standard output. A reader that has gone, such as `head`, ends the program quietly.
pub(in crate::cli) fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    if let Err(error) = out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        let code = if error.kind() == ErrorKind::BrokenPipe { 0 } else { 1 };
        std::process::exit(code);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_the_tools() {
        let of = |text: &str| -> Json { serde_json::from_str(text).unwrap() };
        assert_eq!(Form::Lines.lay_out(&of(r#"["b","a"]"#)), "b\na\n");
        assert_eq!(Form::Lines.lay_out(&of("[]")), "");
        assert_eq!(Form::Pairs.lay_out(&of(r#"{"k":"v","n":1}"#)), "k    v\nn    1\n");
        assert_eq!(Form::Pairs.lay_out(&of(r#"{"role":["produce","consume"]}"#)), "role    [produce, consume]\n");
        assert_eq!(Form::Jackson.lay_out(&of(r#""4.0.6""#)), "4.0.6\n");
        assert_eq!(Form::Jackson.lay_out(&Json::Null), "null\n");
        assert_eq!(Form::Jackson.lay_out(&of(r#"{"a":1}"#)), "{\n  \"a\" : 1\n}\n");
        assert_eq!(Form::Indented.lay_out(&of(r#"{"a":1}"#)), "{\n  \"a\": 1\n}\n");
    }
}
