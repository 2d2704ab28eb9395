//! Longshore: a Pulsar-compatible standalone broker whose tiered storage drivers are shared libraries.

pub mod cli;
pub mod client;
pub mod config;
pub mod metadata;
pub mod protocol;
pub mod storage;
pub mod topic;
