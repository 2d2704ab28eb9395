//! Tiered storage over object stores, as Apache Pulsar's plugin of this name: each reads what the other wrote.
//!
//! | to understand | read |
//! |---|---|
//! | which keys there are | config.schema.json, `config`, `keys` |
//! | which stores there are | `drivers`, one file for each |
//! | how a bucket is reached | `object_store` |
//! | one offload, one read | `offloader`, then the library `block-format` |
//!
//! The bytes: docs/formats/data-block.md, docs/formats/index-block.md, docs/formats/extension.md.

#![forbid(unsafe_code)]

mod config;
mod drivers;
mod environment;
mod keys;
mod object_store;
mod offloader;

#[cfg(test)]
#[path = "../tests/stub/mod.rs"]
mod stub;

pub use offloader::{ObjectStoreFactory, ObjectStoreOffloader};

longshore_plugin_api::export_offloader! {
    factory: ObjectStoreFactory,
    name: "tiered-storage-jcloud",
    drivers: ["aws-s3", "S3", "google-cloud-storage", "azureblob", "aliyun-oss", "transient"],
    schema: include_str!("../config.schema.json"),
}
