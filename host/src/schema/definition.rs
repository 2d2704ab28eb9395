//! A schema as a client gives it.
//!
//! Source: Pulsar `PulsarApi.proto` (`Schema.Type`), `SchemaType`.

use std::collections::BTreeMap;

use serde_json::Value;

/// Kinds in the order of their numbers on the wire, from 0, and what the original calls them over REST.
const KINDS: [(&str, Kind); 21] = [
    ("NONE", Kind::None),
    ("STRING", Kind::Primitive),
    ("JSON", Kind::Json),
    ("PROTOBUF", Kind::Protobuf),
    ("AVRO", Kind::Avro),
    ("BOOLEAN", Kind::Primitive),
    ("INT8", Kind::Primitive),
    ("INT16", Kind::Primitive),
    ("INT32", Kind::Primitive),
    ("INT64", Kind::Primitive),
    ("FLOAT", Kind::Primitive),
    ("DOUBLE", Kind::Primitive),
    ("DATE", Kind::Primitive),
    ("TIME", Kind::Primitive),
    ("TIMESTAMP", Kind::Primitive),
    ("KEY_VALUE", Kind::KeyValue),
    ("INSTANT", Kind::Primitive),
    ("LOCAL_DATE", Kind::Primitive),
    ("LOCAL_TIME", Kind::Primitive),
    ("LOCAL_DATE_TIME", Kind::Primitive),
    ("PROTOBUF_NATIVE", Kind::ProtobufNative),
];

/// The number of a consumer that takes whatever schema the topic has.
const AUTO_CONSUME: i32 = 21;

/// How a schema is defined, as far as anyone here acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes.
    None,
    /// One value; the kind says everything.
    Primitive,
    /// JSON objects, described by an Avro schema; by old clients by a JSON schema.
    Json,
    /// Protobuf, described by an Avro schema.
    Protobuf,
    /// Avro.
    Avro,
    /// A key and a value, each with a schema of its own.
    KeyValue,
    /// Protobuf, described by its descriptors.
    ProtobufNative,
}

/// A schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    number: usize,
    /// The definition itself, in the form of its kind.
    pub data: Vec<u8>,
    /// What the client says besides.
    pub properties: BTreeMap<String, String>,
}

impl Definition {
    /// Of a client's words; `None` for a number that is no schema: of the future, or [`asks_for_any`](Self::asks_for_any).
    pub fn new(number: i32, data: Vec<u8>, properties: BTreeMap<String, String>) -> Option<Self> {
        let number = usize::try_from(number).ok().filter(|number| *number < KINDS.len())?;
        Some(Self { number, data, properties })
    }

    /// Whether the number on the wire means that any schema is welcome.
    pub fn asks_for_any(number: i32) -> bool {
        number == AUTO_CONSUME
    }

    /// By the name of its kind, as REST has it.
    pub fn named(name: &str, data: Vec<u8>, properties: BTreeMap<String, String>) -> Option<Self> {
        let number = KINDS.iter().position(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(Self { number, data, properties })
    }

    /// Its number on the wire.
    pub fn number(&self) -> i32 {
        self.number as i32
    }

    /// The name of its kind.
    pub fn name(&self) -> &'static str {
        KINDS[self.number].0
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        KINDS[self.number].1
    }

    /// Whether both say the same: of primitives the kind alone, of JSON texts what they mean, but for their documentation.
    pub fn is_same(&self, other: &Self) -> bool {
        if self.number != other.number {
            return false;
        }
        let same_data = || self.data == other.data;
        match self.kind() {
            Kind::Primitive | Kind::None => true,
            Kind::Json | Kind::Avro | Kind::Protobuf => same_data() || is_same_json(&self.data, &other.data),
            Kind::ProtobufNative => same_data(),
            Kind::KeyValue => same_data() && self.properties == other.properties,
        }
    }
}

fn is_same_json(one: &[u8], other: &[u8]) -> bool {
    let parsed = |data: &[u8]| serde_json::from_slice(data).ok().map(without_docs);
    parsed(one).is_some_and(|one| Some(one) == parsed(other))
}

/// A JSON text's depth is bounded by its parser.
fn without_docs(value: Value) -> Value {
    match value {
        Value::Object(object) => {
            let kept = object.into_iter().filter(|(name, value)| name != "doc" || !value.is_string());
            Value::Object(kept.map(|(name, value)| (name, without_docs(value))).collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(without_docs).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defined(name: &str, data: &str) -> Definition {
        Definition::named(name, data.as_bytes().to_vec(), BTreeMap::new()).unwrap()
    }

    #[test]
    fn numbers_and_names_are_the_originals() {
        for (number, name) in
            [(0, "NONE"), (1, "STRING"), (2, "JSON"), (4, "AVRO"), (15, "KEY_VALUE"), (20, "PROTOBUF_NATIVE")]
        {
            let by_number = Definition::new(number, Vec::new(), BTreeMap::new()).unwrap();
            assert_eq!((by_number.name(), by_number.number()), (name, number));
            assert_eq!(by_number, defined(name, ""));
        }
        for strange in [-1, 21, 22, i32::MAX] {
            assert_eq!(Definition::new(strange, Vec::new(), BTreeMap::new()), None);
        }
        assert!(Definition::asks_for_any(21) && !Definition::asks_for_any(20));
    }

    #[test]
    fn the_same_schema_is_known_in_other_words() {
        let table = [
            (("STRING", ""), ("STRING", "null"), true),
            (("STRING", ""), ("INT32", ""), false),
            (("AVRO", r#"{"type":"string","doc":"a"}"#), ("AVRO", r#"{ "type" : "string" }"#), true),
            (("AVRO", r#"{"type":"string"}"#), ("JSON", r#"{"type":"string"}"#), false),
            (("AVRO", r#"{"type":"string"}"#), ("AVRO", r#"{"type":"bytes"}"#), false),
            (("AVRO", "not JSON"), ("AVRO", "nor this"), false),
            (("AVRO", "not JSON"), ("AVRO", "not JSON"), true),
            (("PROTOBUF_NATIVE", "{}"), ("PROTOBUF_NATIVE", "{ }"), false),
        ];
        for (one, other, want) in table {
            assert_eq!(defined(one.0, one.1).is_same(&defined(other.0, other.1)), want, "{one:?} {other:?}");
        }
    }
}
