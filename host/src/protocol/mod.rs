//! Pulsar's binary protocol: frames, commands, and one state machine per client.
//!
//! [`server`] accepts; [`connection`] reads frames of one client and acts on them, with [`producing`] and [`consuming`] for
//! its two trades and [`requests`] for questions; [`outgoing`] queues and writes what goes back. Bytes of entries pass
//! through as slices of what was read. A malformed frame, or a command out of place, ends the connection, as in Pulsar;
//! commands that this broker does not serve are refused in the form that each client survives.

pub mod checksum;
pub mod command;
mod connection;
mod consuming;
pub mod frame;
mod greeting;
mod outgoing;
mod producing;
mod refusal;
mod requests;
mod schemas;
pub mod server;
pub mod settings;
#[cfg(test)]
mod tests;

pub use server::{Shared, serve};
pub use settings::ProtocolSettings;
