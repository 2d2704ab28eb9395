//! The test kit: drivers that misbehave on request, and the storage half of a broker in a temporary folder.

pub mod house;
pub mod memory_driver;
pub mod socket;
