//! Proves the driver through the plugin interface's safe traits, on folders of its own.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

mod behaviour;
mod conformance;
mod damage;
mod full_disk;
mod golden;
mod hadoop;
#[path = "../kit/mod.rs"]
mod kit;
mod nfs;
