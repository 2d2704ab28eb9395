//! From JSON to types.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::{Avro, Field, Name, Primitive, TYPES_MAX, Type, TypeId};

/// Why a text is no Avro schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct AvroError(String);

fn wrong<T>(what: impl Into<String>) -> Result<T, AvroError> {
    Err(AvroError(what.into()))
}

pub(super) fn parse(text: &[u8]) -> Result<Avro, AvroError> {
    let value: Value = serde_json::from_slice(text).map_err(|error| AvroError(format!("not JSON: {error}")))?;
    let mut parser = Parser { types: Vec::new(), named: HashMap::new() };
    let root = parser.of(&value, "")?;
    Ok(Avro { types: parser.types, root })
}

struct Parser {
    types: Vec<Type>,
    named: HashMap<String, TypeId>,
}

impl Parser {
    fn add(&mut self, of: Type) -> Result<TypeId, AvroError> {
        if self.types.len() >= TYPES_MAX {
            return wrong(format!("it has more than {TYPES_MAX} types"));
        }
        self.types.push(of);
        Ok(TypeId(self.types.len() - 1))
    }

    /// The type that `value` describes, in a namespace.
    fn of(&mut self, value: &Value, namespace: &str) -> Result<TypeId, AvroError> {
        match value {
            Value::String(name) => self.called(name, namespace),
            Value::Array(branches) => {
                let branches = branches.iter().map(|branch| self.of(branch, namespace)).collect::<Result<_, _>>()?;
                self.add(Type::Union(branches))
            }
            Value::Object(object) => self.object(object, namespace),
            other => wrong(format!("`{other}` is no type")),
        }
    }

    fn called(&mut self, name: &str, namespace: &str) -> Result<TypeId, AvroError> {
        if let Some(primitive) = primitive(name) {
            return self.add(Type::Primitive(primitive));
        }
        let known = self.named.get(&full(name, namespace)).or_else(|| self.named.get(name));
        known.copied().map_or_else(|| wrong(format!("type `{name}` is not defined before it is used")), Ok)
    }

    fn object(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, AvroError> {
        let kind = match object.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            // A type in the place of its name, as `{"type": {"type": "string"}}`.
            Some(nested) => return self.of(nested, namespace),
            None => return wrong("an object without `type`"),
        };
        match kind {
            "array" => {
                let items = self.part(object, "items", namespace)?;
                self.add(Type::Array(items))
            }
            "map" => {
                let values = self.part(object, "values", namespace)?;
                self.add(Type::Map(values))
            }
            "fixed" => {
                let Some(size) = object.get("size").and_then(Value::as_u64) else {
                    return wrong("`fixed` without `size`");
                };
                let name = name(object, namespace)?;
                self.define(Type::Fixed { name: name.clone(), size }, &name)
            }
            "enum" => {
                if !object.get("symbols").is_some_and(Value::is_array) {
                    return wrong("`enum` without `symbols`");
                }
                let name = name(object, namespace)?;
                self.define(Type::Enum { name: name.clone() }, &name)
            }
            "record" | "error" => self.record(object, namespace),
            other => self.called(other, namespace),
        }
    }

    fn part(&mut self, object: &Map<String, Value>, which: &str, namespace: &str) -> Result<TypeId, AvroError> {
        match object.get(which) {
            Some(part) => self.of(part, namespace),
            None => wrong(format!("`{}` without `{which}`", object["type"].as_str().unwrap_or_default())),
        }
    }

    fn define(&mut self, of: Type, name: &Name) -> Result<TypeId, AvroError> {
        let id = self.add(of)?;
        match self.named.insert(name.full.clone(), id) {
            None => Ok(id),
            Some(_) => wrong(format!("type `{}` is defined twice", name.full)),
        }
    }

    fn record(&mut self, object: &Map<String, Value>, namespace: &str) -> Result<TypeId, AvroError> {
        let name = name(object, namespace)?;
        // It may contain itself: it is known before its fields are.
        let id = self.define(Type::Record { name: name.clone(), fields: Vec::new() }, &name)?;
        let Some(Value::Array(described)) = object.get("fields") else {
            return wrong(format!("record `{}` without `fields`", name.full));
        };
        let inside = name.full.rsplit_once('.').map_or("", |(namespace, _)| namespace);
        let mut known = HashMap::new();
        let mut fields = Vec::with_capacity(described.len());
        for described in described {
            let field = self.field(described, inside, &name.full)?;
            if known.insert(field.name.clone(), ()).is_some() {
                return wrong(format!("record `{}` has two fields `{}`", name.full, field.name));
            }
            fields.push(field);
        }
        self.types[id.0] = Type::Record { name, fields };
        Ok(id)
    }

    fn field(&mut self, described: &Value, namespace: &str, record: &str) -> Result<Field, AvroError> {
        let Some(name) = described.get("name").and_then(Value::as_str) else {
            return wrong(format!("record `{record}` has a field without name"));
        };
        let Some(of) = described.get("type") else { return wrong(format!("field `{record}.{name}` has no type")) };
        Ok(Field {
            name: name.to_owned(),
            aliases: texts(described.get("aliases")),
            of: self.of(of, namespace)?,
            has_default: described.get("default").is_some(),
        })
    }
}

fn primitive(name: &str) -> Option<Primitive> {
    Some(match name {
        "null" => Primitive::Null,
        "boolean" => Primitive::Boolean,
        "int" => Primitive::Int,
        "long" => Primitive::Long,
        "float" => Primitive::Float,
        "double" => Primitive::Double,
        "bytes" => Primitive::Bytes,
        "string" => Primitive::String,
        _ => return None,
    })
}

fn texts(list: Option<&Value>) -> Vec<String> {
    let items = list.and_then(Value::as_array).into_iter().flatten();
    items.filter_map(|item| item.as_str().map(str::to_owned)).collect()
}

fn full(name: &str, namespace: &str) -> String {
    if name.contains('.') || namespace.is_empty() { name.to_owned() } else { format!("{namespace}.{name}") }
}

fn name(object: &Map<String, Value>, enclosing: &str) -> Result<Name, AvroError> {
    let Some(name) = object.get("name").and_then(Value::as_str).filter(|name| !name.is_empty()) else {
        return wrong("a record, enum or fixed without name");
    };
    let namespace = object.get("namespace").and_then(Value::as_str).unwrap_or(enclosing);
    let full_name = full(name, namespace);
    let inside = full_name.rsplit_once('.').map_or("", |(namespace, _)| namespace);
    let aliases = texts(object.get("aliases")).iter().map(|alias| full(alias, inside)).collect();
    Ok(Name { full: full_name, aliases })
}
