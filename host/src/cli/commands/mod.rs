//! One file for each command.

mod client;
mod demo;
mod import;
mod ledger;
mod offloaders;

pub use client::run_client;
pub use demo::run_demo;
pub use import::run_import;
pub use ledger::run_ledger;
pub use offloaders::run_offloaders;
