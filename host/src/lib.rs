//! Longshore: a Pulsar-compatible standalone broker whose tiered storage drivers are shared libraries.

pub mod admin;
pub mod broker;
pub mod cli;
pub mod client;
pub mod config;
pub mod ledger;
pub mod managed_ledger;
pub mod metadata;
pub mod namespace;
pub mod offload;
pub mod plugin;
pub mod protocol;
pub mod storage;
pub mod topic;
