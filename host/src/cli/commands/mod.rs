//! One file for each command.

mod client;
mod demo;

pub use client::run_client;
pub use demo::run_demo;
