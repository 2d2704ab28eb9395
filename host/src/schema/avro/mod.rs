//! Avro schemas: parsing, and whether a reader of one understands what a writer of another wrote.
//!
//! Everything is bounded: the depth of a text by its JSON parser, the number of types by [`TYPES_MAX`], the comparison by a
//! number of steps. Defaults are noted, not checked, as the original does.
//!
//! Source: the Avro 1.11 specification (schema resolution); Avro `ResolvingGrammarGenerator`, by which Pulsar decides.

mod parse;
mod resolve;

pub use parse::AvroError;
pub use resolve::Unreadable;

/// Types of one schema at most.
pub const TYPES_MAX: usize = 20_000;

/// A place in [`Avro::types`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct TypeId(usize);

/// A parsed schema.
#[derive(Clone, Debug)]
pub struct Avro {
    types: Vec<Type>,
    root: TypeId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Primitive {
    Null,
    Boolean,
    Int,
    Long,
    Float,
    Double,
    Bytes,
    String,
}

#[derive(Clone, Debug)]
enum Type {
    Primitive(Primitive),
    Array(TypeId),
    Map(TypeId),
    Union(Vec<TypeId>),
    Fixed { name: Name, size: u64 },
    Enum { name: Name },
    Record { name: Name, fields: Vec<Field> },
}

/// A full name, and others that a reader goes by too.
#[derive(Clone, Debug)]
struct Name {
    full: String,
    aliases: Vec<String>,
}

impl Name {
    /// Whether a reader of this name takes what a writer calls so.
    fn takes(&self, writer: &Self) -> bool {
        self.full == writer.full || self.aliases.contains(&writer.full)
    }
}

#[derive(Clone, Debug)]
struct Field {
    name: String,
    aliases: Vec<String>,
    of: TypeId,
    has_default: bool,
}

impl Avro {
    /// Reads a schema's JSON.
    ///
    /// # Errors
    /// [`AvroError`] says where it stops making sense.
    pub fn parse(text: &[u8]) -> Result<Self, AvroError> {
        parse::parse(text)
    }

    /// Whether a reader of this schema understands all that is written with `writer`.
    ///
    /// # Errors
    /// [`Unreadable`] says what it does not.
    pub fn can_read(&self, writer: &Self) -> Result<(), Unreadable> {
        resolve::can_read(self, writer)
    }

    fn get(&self, id: TypeId) -> &Type {
        &self.types[id.0]
    }
}
