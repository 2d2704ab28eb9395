//! Schemas of topics: what messages of a topic look like, version after version.
//!
//! Owns the records under `schemas/`: one for each version, written once and never changed, so that a crash leaves a version
//! or none. A deletion is a version too, an empty one, and what is older counts no more; only the deletion of the topic, or
//! one that is forced, removes records. The partitions of a topic share its schemas.
//!
//! [`store`] keeps them, [`compatibility`] decides whether a schema may follow others (pure), [`avro`] knows what a reader of
//! one Avro schema makes of data written with another (pure). Messages are never looked at: clients encode and decode.

pub mod avro;
pub mod compatibility;
pub mod definition;
mod key_value;
pub mod store;

pub use compatibility::{Mismatch, Strategy};
pub use definition::{Definition, Kind};
pub use store::{SchemaError, Schemas, StoredSchema, Version};
