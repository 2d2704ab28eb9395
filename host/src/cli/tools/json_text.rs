//! JSON in the order in which it came, and the three ways in which the tools lay it out.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A JSON value whose objects keep their order; numbers keep their kind (`0.0` is not `0`).
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) enum Json {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// An object.
    Object(Vec<(String, Json)>),
}

impl Json {
    /// A value of an object.
    pub(in crate::cli) fn get(&self, key: &str) -> Option<&Json> {
        match self {
            Self::Object(pairs) => pairs.iter().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The text, where it is one.
    pub(in crate::cli) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The whole number, where it is one.
    pub(in crate::cli) fn as_i64(&self) -> Option<i64> {
        match self {
            Self::Number(number) => number.as_i64(),
            _ => None,
        }
    }

    /// The list's values; none of anything else.
    pub(in crate::cli) fn items(&self) -> &[Json] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// The object's pairs; none of anything else.
    pub(in crate::cli) fn pairs(&self) -> &[(String, Json)] {
        match self {
            Self::Object(pairs) => pairs,
            _ => &[],
        }
    }

    /// As a line prints it: texts bare, everything else as JSON.
    pub(in crate::cli) fn bare(&self) -> String {
        self.as_text().map_or_else(|| self.to_string(), str::to_owned)
    }

    /// As Java's Jackson lays it out: `"key" : value`, lists of plain values in one line.
    pub(in crate::cli) fn jackson(&self) -> String {
        let mut text = String::new();
        put_jackson(self, 0, &mut text);
        text
    }

    /// As Gson and Go lay it out: `"key": value`, each value of a list on its own line.
    pub(in crate::cli) fn indented(&self) -> String {
        let mut text = String::new();
        put_indented(self, 0, &mut text);
        text
    }
}

/// In one line.
impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::List(items) => {
                f.write_str("[")?;
                for (index, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if index == 0 { "" } else { "," })?;
                }
                f.write_str("]")
            }
            Self::Object(pairs) => {
                f.write_str("{")?;
                for (index, (key, value)) in pairs.iter().enumerate() {
                    write!(f, "{}{}:{value}", if index == 0 { "" } else { "," }, quoted(key))?;
                }
                f.write_str("}")
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn put_jackson(value: &Json, depth: usize, text: &mut String) {
    match value {
        Json::Object(pairs) if pairs.is_empty() => text.push_str("{ }"),
        Json::List(items) if items.is_empty() => text.push_str("[ ]"),
        Json::Object(pairs) => {
            let inner = "  ".repeat(depth + 1);
            for (index, (key, value)) in pairs.iter().enumerate() {
                text.push_str(if index == 0 { "{\n" } else { ",\n" });
                text.push_str(&format!("{inner}{} : ", quoted(key)));
                put_jackson(value, depth + 1, text);
            }
            text.push_str(&format!("\n{}}}", "  ".repeat(depth)));
        }
        Json::List(items) => {
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index == 0 { "[ " } else { ", " });
                put_jackson(item, depth, text);
            }
            text.push_str(" ]");
        }
        plain => text.push_str(&plain.to_string()),
    }
}

fn put_indented(value: &Json, depth: usize, text: &mut String) {
    let (open, close, count) = match value {
        Json::Object(pairs) => ('{', '}', pairs.len()),
        Json::List(items) => ('[', ']', items.len()),
        plain => return text.push_str(&plain.to_string()),
    };
    text.push(open);
    let inner = "  ".repeat(depth + 1);
    for index in 0..count {
        text.push_str(if index == 0 { "\n" } else { ",\n" });
        text.push_str(&inner);
        match value {
            Json::Object(pairs) => {
                text.push_str(&format!("{}: ", quoted(&pairs[index].0)));
                put_indented(&pairs[index].1, depth + 1, text);
            }
            other => put_indented(&other.items()[index], depth + 1, text),
        }
    }
    if count > 0 {
        text.push_str(&format!("\n{}", "  ".repeat(depth)));
    }
    text.push(close);
}

impl From<serde_json::Value> for Json {
    fn from(value: serde_json::Value) -> Self {
        use serde_json::Value;
        match value {
            Value::Null => Self::Null,
            Value::Bool(value) => Self::Bool(value),
            Value::Number(number) => Self::Number(number),
            Value::String(text) => Self::Text(text),
            Value::Array(items) => Self::List(items.into_iter().map(Self::from).collect()),
            Value::Object(pairs) => Self::Object(pairs.into_iter().map(|(key, value)| (key, value.into())).collect()),
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(InOrder)
    }
}

struct InOrder;

impl<'de> Visitor<'de> for InOrder {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json, E> {
        Ok(serde_json::Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json, E> {
        Ok(Json::Text(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Json, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Json::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Json, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = object.next_entry()? {
            pairs.push(pair);
        }
        Ok(Json::Object(pairs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_kinds_of_numbers_survive() {
        let text = r#"{"z":0.0,"a":[1,-2,{"k":null}],"e":{},"l":[],"t":"a\"b","n":18446744073709551615}"#;
        let json: Json = serde_json::from_str(text).unwrap();
        assert_eq!(json.to_string(), text);
    }

    #[test]
    fn layouts_are_those_of_the_libraries() {
        let json: Json =
            serde_json::from_str(r#"{"s":["a","b"],"o":[{"x":1},{"y":2.5}],"e":{},"l":[],"n":{"k":"v"}}"#).unwrap();
        let jackson = "{\n  \"s\" : [ \"a\", \"b\" ],\n  \"o\" : [ {\n    \"x\" : 1\n  }, {\n    \"y\" : 2.5\n  } ],\n  \
                       \"e\" : { },\n  \"l\" : [ ],\n  \"n\" : {\n    \"k\" : \"v\"\n  }\n}";
        assert_eq!(json.jackson(), jackson);
        let indented = "{\n  \"s\": [\n    \"a\",\n    \"b\"\n  ],\n  \"o\": [\n    {\n      \"x\": 1\n    },\n    {\n      \
                        \"y\": 2.5\n    }\n  ],\n  \"e\": {},\n  \"l\": [],\n  \"n\": {\n    \"k\": \"v\"\n  }\n}";
        assert_eq!(json.indented(), indented);
    }
}
