//! Test kit: what the integration tests of all rooms share.

pub mod plugins;
