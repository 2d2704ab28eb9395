//! Whether a schema may follow those that a topic has. Pure.
//!
//! Backward: readers with the new schema understand old messages. Forward: readers with an old schema understand new
//! messages. Full: both. Transitive: not of the newest alone, but of every version.
//!
//! Source: Pulsar `SchemaRegistryServiceImpl`, `AvroSchemaBasedCompatibilityCheck`, `KeyValueSchemaCompatibilityCheck`.

use serde_json::Value;

use super::avro::{Avro, AvroError};
use super::definition::{Definition, Kind};
use super::key_value::halves;

/// What a topic demands of a new schema.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Strategy {
    /// No other schema is taken.
    AlwaysIncompatible,
    /// Every schema is taken.
    AlwaysCompatible,
    /// New readers understand the newest version's messages.
    Backward,
    /// Readers of the newest version understand new messages.
    Forward,
    /// Both; the broker's default.
    #[default]
    Full,
    /// Like `Backward`, of every version.
    BackwardTransitive,
    /// Like `Forward`, of every version.
    ForwardTransitive,
    /// Like `Full`, of every version.
    FullTransitive,
}

/// Each strategy and its name in policies and answers.
const NAMES: [(&str, Strategy); 8] = [
    ("ALWAYS_INCOMPATIBLE", Strategy::AlwaysIncompatible),
    ("ALWAYS_COMPATIBLE", Strategy::AlwaysCompatible),
    ("BACKWARD", Strategy::Backward),
    ("FORWARD", Strategy::Forward),
    ("FULL", Strategy::Full),
    ("BACKWARD_TRANSITIVE", Strategy::BackwardTransitive),
    ("FORWARD_TRANSITIVE", Strategy::ForwardTransitive),
    ("FULL_TRANSITIVE", Strategy::FullTransitive),
];

impl Strategy {
    /// By name, in any letter case; `None` also for `UNDEFINED`, which leaves it to the next level.
    pub fn named(name: &str) -> Option<Self> {
        NAMES.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, strategy)| *strategy)
    }

    /// Name.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, strategy)| *strategy == self).map_or("UNDEFINED", |(name, _)| name)
    }

    fn is_transitive(self) -> bool {
        matches!(self, Self::BackwardTransitive | Self::ForwardTransitive | Self::FullTransitive)
    }

    /// Whether new readers must understand old messages, and old readers new ones.
    fn directions(self) -> (bool, bool) {
        match self {
            Self::AlwaysCompatible | Self::AlwaysIncompatible => (false, false),
            Self::Backward | Self::BackwardTransitive => (true, false),
            Self::Forward | Self::ForwardTransitive => (false, true),
            Self::Full | Self::FullTransitive => (true, true),
        }
    }

    /// What a consumer's schema must stand up to: it reads, whatever producers may do later.
    fn of_consumer(self) -> Self {
        match self {
            Self::Backward | Self::Forward | Self::ForwardTransitive | Self::Full => Self::Backward,
            Self::BackwardTransitive | Self::FullTransitive => Self::BackwardTransitive,
            always => always,
        }
    }
}

/// Why a schema is refused; for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Mismatch(pub String);

/// Whether a schema may be the next version after `versions`, oldest first.
///
/// # Errors
/// [`Mismatch`].
pub fn check_next(strategy: Strategy, next: &Definition, versions: &[&Definition]) -> Result<(), Mismatch> {
    if strategy == Strategy::AlwaysCompatible {
        return Ok(());
    }
    let from = if strategy.is_transitive() { 0 } else { versions.len().saturating_sub(1) };
    versions[from..].iter().try_for_each(|version| check_pair(strategy, next, version))
}

/// Whether a consumer's schema reads what stands in a topic.
///
/// # Errors
/// [`Mismatch`]; a topic without schemas has nothing that can be checked.
pub fn check_consumer(strategy: Strategy, consumer: &Definition, versions: &[&Definition]) -> Result<(), Mismatch> {
    if strategy == Strategy::AlwaysCompatible {
        return Ok(());
    }
    if versions.is_empty() {
        return Err(Mismatch("Topic does not have schema to check".to_owned()));
    }
    // One that the topic has is understood, also where no other would be taken.
    if versions.last().is_some_and(|newest| newest.is_same(consumer)) {
        return Ok(());
    }
    check_next(strategy.of_consumer(), consumer, versions)
}

/// Whether a definition is one of its kind.
///
/// # Errors
/// [`Mismatch`] says where it is not.
pub fn check_definition(definition: &Definition) -> Result<(), Mismatch> {
    let invalid =
        |error: String| Mismatch(format!("Invalid schema definition data for {} schema: {error}", definition.name()));
    match definition.kind() {
        Kind::None | Kind::Primitive => Ok(()),
        Kind::Avro | Kind::Protobuf => {
            Avro::parse(&definition.data).map(drop).map_err(|error| invalid(error.to_string()))
        }
        Kind::Json => Described::of(&definition.data).map(drop).map_err(|error| invalid(error.to_string())),
        Kind::ProtobufNative => match root_message(&definition.data) {
            Some(_) => Ok(()),
            None => Err(invalid("it names no root message".to_owned())),
        },
        Kind::KeyValue => match halves(definition) {
            Some(halves) => halves.iter().try_for_each(check_definition),
            None => Err(invalid("key and value are not found in it".to_owned())),
        },
    }
}

fn check_pair(strategy: Strategy, next: &Definition, before: &Definition) -> Result<(), Mismatch> {
    if next.name() != before.name() {
        return Err(Mismatch(format!(
            "Incompatible schema: exists schema type {}, new schema type {}",
            before.name(),
            next.name()
        )));
    }
    if strategy == Strategy::AlwaysIncompatible {
        return Err(Mismatch("Schema compatibility strategy is ALWAYS_INCOMPATIBLE".to_owned()));
    }
    match next.kind() {
        Kind::None | Kind::Primitive => Ok(()),
        Kind::Avro | Kind::Protobuf => {
            let (next, before) = (parsed(&next.data)?, parsed(&before.data)?);
            check_avro(strategy, &next, &before)
        }
        Kind::Json => check_json(strategy, next, before),
        Kind::ProtobufNative => {
            let (next, before) = (root_message(&next.data), root_message(&before.data));
            if next == before { Ok(()) } else { Err(Mismatch("Protobuf root message isn't allow change!".to_owned())) }
        }
        Kind::KeyValue => {
            let unreadable = || Mismatch("key and value are not found in the schema".to_owned());
            let (next, before) = (halves(next).ok_or_else(unreadable)?, halves(before).ok_or_else(unreadable)?);
            next.iter().zip(&before).try_for_each(|(next, before)| check_pair(strategy, next, before))
        }
    }
}

fn parsed(data: &[u8]) -> Result<Avro, Mismatch> {
    Avro::parse(data).map_err(|error| Mismatch(error.to_string()))
}

fn check_avro(strategy: Strategy, next: &Avro, before: &Avro) -> Result<(), Mismatch> {
    let (backward, forward) = strategy.directions();
    if backward {
        next.can_read(before)
            .map_err(|error| Mismatch(format!("Unable to read schema: old data with the new schema: {error}")))?;
    }
    if forward {
        before
            .can_read(next)
            .map_err(|error| Mismatch(format!("Unable to read schema: new data with the old schema: {error}")))?;
    }
    Ok(())
}

/// How a JSON schema is described.
enum Described {
    Avro(Avro),
    /// By its `id`, as clients before 2.1 did.
    Json(Value),
}

impl Described {
    fn of(data: &[u8]) -> Result<Self, AvroError> {
        let error = match Avro::parse(data) {
            Ok(avro) => return Ok(Self::Avro(avro)),
            Err(error) => error,
        };
        let value: Option<Value> = serde_json::from_slice(data).ok();
        let id = value.and_then(|value| value.get("id").filter(|id| id.is_string()).cloned());
        id.map_or(Err(error), |id| Ok(Self::Json(id)))
    }
}

fn check_json(strategy: Strategy, next: &Definition, before: &Definition) -> Result<(), Mismatch> {
    let described =
        |definition: &Definition| Described::of(&definition.data).map_err(|error| Mismatch(error.to_string()));
    match (described(next)?, described(before)?) {
        (Described::Avro(next), Described::Avro(before)) => check_avro(strategy, &next, &before),
        // What an old client registered may be replaced by a new one's words, not the other way.
        (Described::Avro(_), Described::Json(_)) => Ok(()),
        (Described::Json(_), Described::Avro(_)) => {
            Err(Mismatch("the topic's schema is described by Avro, the new one is not".to_owned()))
        }
        (Described::Json(next), Described::Json(before)) if next == before => Ok(()),
        (Described::Json(_), Described::Json(_)) => Err(Mismatch("the JSON schemas have different ids".to_owned())),
    }
}

fn root_message(data: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(data).ok()?;
    value.get("rootMessageTypeName")?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Strategy::*;
    use super::*;

    fn defined(name: &str, data: &str) -> Definition {
        Definition::named(name, data.as_bytes().to_vec(), BTreeMap::new()).unwrap()
    }

    /// A record with an int `a`, and, by letters, `b` with a default or `c` without.
    fn record(fields: &str) -> Definition {
        let mut described = vec![r#"{"name":"a","type":"int"}"#];
        if fields.contains('b') {
            described.push(r#"{"name":"b","type":"int","default":0}"#);
        }
        if fields.contains('c') {
            described.push(r#"{"name":"c","type":"int"}"#);
        }
        defined("AVRO", &format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, described.join(",")))
    }

    #[test]
    fn strategies_look_forward_backward_and_at_all_versions() {
        let all = [
            AlwaysIncompatible,
            AlwaysCompatible,
            Backward,
            Forward,
            Full,
            BackwardTransitive,
            ForwardTransitive,
            FullTransitive,
        ];
        // Versions, the next, and the strategies that take it.
        let table = [
            (
                &["a"][..],
                "ab",
                &[AlwaysCompatible, Backward, Forward, Full, BackwardTransitive, ForwardTransitive, FullTransitive][..],
            ),
            (&["a"], "ac", &[AlwaysCompatible, Forward, ForwardTransitive]),
            (&["ac"], "a", &[AlwaysCompatible, Backward, BackwardTransitive]),
            (&["a", "ab"], "abc", &[AlwaysCompatible, Forward, ForwardTransitive]),
            // The newest version has `c`, the one before it does not.
            (&["a", "ac"], "ac", &[AlwaysCompatible, Backward, Forward, Full, ForwardTransitive]),
            (&[], "a", &all),
        ];
        for (versions, next, want) in table {
            let versions: Vec<_> = versions.iter().map(|fields| record(fields)).collect();
            let versions: Vec<_> = versions.iter().collect();
            let taken: Vec<_> =
                all.into_iter().filter(|strategy| check_next(*strategy, &record(next), &versions).is_ok()).collect();
            assert_eq!(taken, want, "{next}");
        }
    }

    #[test]
    fn consumers_must_read_whatever_producers_may_do() {
        let (a, ac) = (record("a"), record("ac"));
        for (strategy, consumer, want) in [
            (Forward, &ac, false),
            (Backward, &ac, false),
            (Full, &ac, false),
            (AlwaysCompatible, &ac, true),
            (AlwaysIncompatible, &a, true),
            (AlwaysIncompatible, &ac, false),
            (FullTransitive, &record("ab"), true),
        ] {
            assert_eq!(check_consumer(strategy, consumer, &[&a]).is_ok(), want, "{strategy:?}");
        }
        assert_eq!(check_consumer(Full, &a, &[]).unwrap_err().to_string(), "Topic does not have schema to check");
        assert!(check_consumer(Full, &a, &[&ac]).is_ok(), "a reader may leave out what it does not need");
    }

    #[test]
    fn kinds_do_not_mix() {
        let (text, number) = (defined("STRING", ""), defined("INT32", ""));
        assert_eq!(
            check_next(Full, &number, &[&text]).unwrap_err().to_string(),
            "Incompatible schema: exists schema type STRING, new schema type INT32"
        );
        assert!(check_next(AlwaysCompatible, &number, &[&text]).is_ok());
        assert!(check_next(Full, &text, &[&text]).is_ok());
    }

    #[test]
    fn json_and_native_protobuf_are_compared_in_their_own_ways() {
        let avro = |fields: &str| Definition::named("JSON", record(fields).data, BTreeMap::new()).unwrap();
        let old = |id: &str| defined("JSON", &format!(r#"{{"type":"object","id":"urn:jsonschema:{id}"}}"#));
        let native = |root: &str| defined("PROTOBUF_NATIVE", &format!(r#"{{"rootMessageTypeName":"{root}"}}"#));
        let table = [
            (avro("ab"), avro("a"), true),
            (avro("ac"), avro("a"), false),
            (avro("a"), old("X"), true),
            (old("X"), avro("a"), false),
            (old("X"), old("X"), true),
            (old("X"), old("Y"), false),
            (native("p.M"), native("p.M"), true),
            (native("p.N"), native("p.M"), false),
        ];
        for (next, before, want) in table {
            assert_eq!(check_next(Full, &next, &[&before]).is_ok(), want, "{next:?} after {before:?}");
        }
    }

    #[test]
    fn each_half_of_a_pair_is_compared() {
        let pair = |key: &Definition, value: &Definition| {
            let mut data = Vec::new();
            for half in [key, value] {
                data.extend_from_slice(&(half.data.len() as u32).to_be_bytes());
                data.extend_from_slice(&half.data);
            }
            let kinds = [("key.schema.type", key.name()), ("value.schema.type", value.name())];
            let properties = kinds.map(|(name, kind)| (name.to_owned(), kind.to_owned())).into();
            Definition::named("KEY_VALUE", data, properties).unwrap()
        };
        let text = defined("STRING", "");
        let before = pair(&text, &record("a"));
        assert!(check_next(Full, &pair(&text, &record("ab")), &[&before]).is_ok());
        assert!(check_next(Full, &pair(&text, &record("ac")), &[&before]).is_err());
        assert!(check_next(Full, &pair(&record("a"), &record("a")), &[&before]).is_err());
        assert!(check_definition(&before).is_ok());
        assert!(check_definition(&defined("KEY_VALUE", "x")).is_err());
    }

    #[test]
    fn definitions_are_looked_at() {
        assert!(check_definition(&record("abc")).is_ok());
        assert!(check_definition(&defined("STRING", "null")).is_ok());
        for (name, data) in [("AVRO", "{"), ("JSON", "{}"), ("PROTOBUF", "7"), ("PROTOBUF_NATIVE", "{}")] {
            let error = check_definition(&defined(name, data)).unwrap_err().to_string();
            assert!(error.starts_with(&format!("Invalid schema definition data for {name} schema")), "{error}");
        }
    }

    #[test]
    fn names_go_both_ways() {
        for (name, strategy) in NAMES {
            assert_eq!((Strategy::named(name), strategy.name()), (Some(strategy), name));
        }
        assert_eq!(Strategy::named("UNDEFINED"), None);
        assert_eq!(Strategy::named("full"), Some(Full));
    }
}
