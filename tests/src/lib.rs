//! The test kit: what the integration tests of all rooms share.
//!
//! [`memory_driver`] misbehaves on request, [`house`] is the storage half of a broker in a temporary folder, [`broker`]
//! is the real binary, [`plugins`] finds built plugins, [`c_plugins`] builds those in C, [`c_library`] compiles bad ones,
//! [`mod@line`] is a network that misbehaves, [`rig`] is what tests of the whole broker share.

pub mod broker;
pub mod c_library;
pub mod c_plugins;
pub mod house;
pub mod line;
pub mod memory_driver;
pub mod plugins;
pub mod rig;
pub mod socket;
