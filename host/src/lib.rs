//! Longshore: a Pulsar-compatible standalone broker whose tiered storage drivers are shared libraries.

pub mod metadata;
pub mod plugin;
pub mod storage;
