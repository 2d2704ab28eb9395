//! Pulsar's binary protocol: frames, commands, and one state machine per client.

pub mod checksum;
pub mod command;
pub mod frame;
