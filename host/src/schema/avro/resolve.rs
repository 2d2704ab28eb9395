//! What a reader of one schema makes of data written with another.
//!
//! As in the original, records are compared by their fields and not by their names, and a symbol that the reader's enum
//! lacks is no reason to refuse: it fails when such a message is read.

use std::collections::HashMap;

use super::{Avro, Primitive, Type, TypeId};

/// Comparisons of types before a pair of schemas counts as too intricate.
const STEPS_MAX: u32 = 1_000_000;
/// Types within types.
const DEPTH_MAX: u32 = 500;

/// What a reader does not understand: the path to it, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}", path = if self.path.is_empty() { "the schema itself" } else { self.path.as_str() })]
pub struct Unreadable {
    path: String,
    reason: String,
}

pub(super) fn can_read(reader: &Avro, writer: &Avro) -> Result<(), Unreadable> {
    Comparison { reader, writer, known: HashMap::new(), order: Vec::new(), steps: 0, depth: 0 }
        .pair(reader.root, writer.root)
}

struct Comparison<'a> {
    reader: &'a Avro,
    writer: &'a Avro,
    /// Pairs that were compared, or are being compared: a type that contains itself is as readable as the rest of it.
    known: HashMap<(TypeId, TypeId), bool>,
    /// Pairs in `known` that are readable, in the order in which they came.
    order: Vec<(TypeId, TypeId)>,
    steps: u32,
    depth: u32,
}

type Read = Result<(), Unreadable>;

fn no(reason: impl Into<String>) -> Read {
    Err(Unreadable { path: String::new(), reason: reason.into() })
}

fn within(part: &str, result: Read) -> Read {
    result.map_err(|Unreadable { path, reason }| {
        let path = if path.is_empty() { part.to_owned() } else { format!("{part}.{path}") };
        Unreadable { path, reason }
    })
}

impl Comparison<'_> {
    fn pair(&mut self, reader: TypeId, writer: TypeId) -> Read {
        if let Some(readable) = self.known.get(&(reader, writer)) {
            return if *readable { Ok(()) } else { no("it cannot be read") };
        }
        self.steps += 1;
        if self.steps > STEPS_MAX || self.depth >= DEPTH_MAX {
            return no("the schemas are too intricate to be compared");
        }
        let before = self.order.len();
        self.known.insert((reader, writer), true);
        self.order.push((reader, writer));
        self.depth += 1;
        let result = self.compare(reader, writer);
        self.depth -= 1;
        if result.is_err() {
            // What was found readable meanwhile may have counted on this pair.
            for pair in self.order.drain(before..) {
                self.known.remove(&pair);
            }
            self.known.insert((reader, writer), false);
        }
        result
    }

    fn compare(&mut self, reader_id: TypeId, writer_id: TypeId) -> Read {
        let (readers, writers) = (self.reader, self.writer);
        let (reader, writer) = (readers.get(reader_id), writers.get(writer_id));
        match (reader, writer) {
            (_, Type::Union(branches)) => branches.iter().try_for_each(|branch| self.pair(reader_id, *branch)),
            (Type::Union(branches), _) => {
                if branches.iter().any(|branch| self.takes(*branch, writer) && self.pair(*branch, writer_id).is_ok()) {
                    return Ok(());
                }
                no(format!("no branch of the reader's union takes {}", describe(writer)))
            }
            (Type::Primitive(reader), Type::Primitive(writer)) if promotes(*reader, *writer) => Ok(()),
            (Type::Array(reader), Type::Array(writer)) => within("[]", self.pair(*reader, *writer)),
            (Type::Map(reader), Type::Map(writer)) => within("{}", self.pair(*reader, *writer)),
            (Type::Fixed { name: reader, size }, Type::Fixed { name: writer, size: written }) => {
                if reader.takes(writer) && size == written {
                    return Ok(());
                }
                no(format!("fixed {} of {size} bytes was {} of {written}", reader.full, writer.full))
            }
            (Type::Enum { name: reader }, Type::Enum { name: writer }) if reader.takes(writer) => Ok(()),
            (Type::Record { fields, .. }, Type::Record { fields: written, .. }) => {
                for field in fields {
                    let same = written.iter().find(|writer| writer.name == field.name);
                    let found = same.or_else(|| written.iter().find(|writer| field.aliases.contains(&writer.name)));
                    match found {
                        Some(writer) => within(&field.name, self.pair(field.of, writer.of))?,
                        None if field.has_default => {}
                        None => return within(&field.name, no("the writer has no such field, and it has no default")),
                    }
                }
                Ok(())
            }
            _ => no(format!("{} was {}", describe(reader), describe(writer))),
        }
    }

    /// Whether a branch of the reader's union is worth a try: it keeps the search from trying every record on every other.
    fn takes(&self, branch: TypeId, writer: &Type) -> bool {
        match (self.reader.get(branch), writer) {
            (Type::Union(_), _) | (Type::Record { .. }, Type::Record { .. }) => true,
            (Type::Primitive(reader), Type::Primitive(writer)) => promotes(*reader, *writer),
            (reader, writer) => std::mem::discriminant(reader) == std::mem::discriminant(writer),
        }
    }
}

/// Whether a reader of the one takes what was written as the other.
fn promotes(reader: Primitive, writer: Primitive) -> bool {
    use Primitive::{Bytes, Double, Float, Int, Long, String};
    reader == writer
        || matches!(
            (reader, writer),
            (Long, Int) | (Float, Int | Long) | (Double, Int | Long | Float) | (Bytes, String) | (String, Bytes)
        )
}

fn describe(of: &Type) -> String {
    match of {
        Type::Primitive(primitive) => format!("{primitive:?}").to_lowercase(),
        Type::Array(_) => "an array".to_owned(),
        Type::Map(_) => "a map".to_owned(),
        Type::Union(_) => "a union".to_owned(),
        Type::Fixed { name, .. } => format!("fixed {}", name.full),
        Type::Enum { name } => format!("enum {}", name.full),
        Type::Record { name, .. } => format!("record {}", name.full),
    }
}

#[cfg(test)]
mod tests;
