//! One file for each command.

mod client;
mod demo;
mod offloaders;

pub use client::run_client;
pub use demo::run_demo;
pub use offloaders::run_offloaders;
