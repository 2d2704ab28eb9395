//! Tiered storage driver `filesystem`: ledgers as Hadoop MapFiles in a folder, local, mounted or on HDFS, as Apache Pulsar's
//! driver of this name writes and reads them. Each reads what the other wrote.
//!
//! | to understand | read |
//! |---|---|
//! | which keys there are | `config`, `base`, `profile`, conf/filesystem_offload_core_site.xml |
//! | where a copy lies, and what lies beside it | `paths` |
//! | one offload | `offloader`, then `copy`, then `folders` |
//! | one read | `offloader`, then `read_handle`, then the library `map-file`, then `stored_file` |
//! | what a store must be able to do, and how each does it | `file_system`, then `local` or `hdfs` |
//!
//! The bytes: docs/formats/map-file.md.

#![forbid(unsafe_code)]

mod base;
mod config;
mod copy;
mod error;
#[cfg(test)]
mod faults;
mod file_system;
mod folders;
mod hdfs;
mod local;
mod offloader;
mod paths;
mod profile;
mod read_handle;
mod scan;
mod stored_file;
mod turns;

pub use offloader::{FileSystemFactory, FileSystemOffloader};
pub use read_handle::FileReadHandle;

longshore_plugin_api::export_offloader! {
    factory: FileSystemFactory,
    name: "tiered-storage-file-system",
    drivers: ["filesystem"],
    schema: include_str!("../config.schema.json"),
}
