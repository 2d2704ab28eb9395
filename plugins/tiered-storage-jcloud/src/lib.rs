//! Tiered storage over object stores, as Apache Pulsar's plugin of this name: each reads what the other wrote. So far the
//! driver `transient`, which keeps its bucket in memory.
//!
//! | to understand | read |
//! |---|---|
//! | which keys there are | `config` |
//! | which stores there are | `drivers` |
//! | one offload, one read | `offloader`, then the library `block-format` |
//!
//! The bytes: docs/formats/data-block.md, docs/formats/index-block.md, docs/formats/extension.md.

#![forbid(unsafe_code)]

mod config;
mod drivers;
mod offloader;

pub use offloader::{ObjectStoreFactory, ObjectStoreOffloader};

longshore_plugin_api::export_offloader! {
    factory: ObjectStoreFactory,
    name: "tiered-storage-jcloud",
    drivers: ["transient"],
}
