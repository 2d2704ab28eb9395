//! Readers of bytes that somebody else wrote, each with what must hold of it whatever the bytes: it does not panic, does not read
//! for ever, believes no length, and what it took it can write again.
//!
//! `scripts/fuzz` looks for inputs that break them, led by the code that they reach, and keeps the good ones in
//! `tests/fuzz/corpus`; this crate's test goes through those and through thousands of neighbours of theirs with every test run.

pub mod admin_bodies;
pub mod block_copy;
pub mod broker_conf;
pub mod hot_store;
pub mod isolation_frame;
pub mod map_file;
pub mod metadata_records;
pub mod plugin_identity;
pub mod plugin_note;
pub mod protocol_command;
pub mod protocol_frame;

/// What one reader makes of an input; panics where a promise is broken.
pub type Check = fn(&[u8]);

/// Each reader with its name, which is that of its folder in the corpus.
pub const READERS: &[(&str, Check)] = &[
    ("admin_bodies", admin_bodies::check),
    ("block_copy", block_copy::check),
    ("broker_conf", broker_conf::check),
    ("hot_store", hot_store::check),
    ("isolation_frame", isolation_frame::check),
    ("map_file", map_file::check),
    ("metadata_records", metadata_records::check),
    ("plugin_identity", plugin_identity::check),
    ("plugin_note", plugin_note::check),
    ("protocol_command", protocol_command::check),
    ("protocol_frame", protocol_frame::check),
];
