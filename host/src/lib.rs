//! Longshore: a Pulsar-compatible standalone broker whose tiered storage drivers are shared libraries.

pub mod ledger;
pub mod metadata;
pub mod storage;
