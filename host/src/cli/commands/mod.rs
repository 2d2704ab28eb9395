//! One file for each command.

mod demo;
mod import;
mod ledger;
mod offloaders;
mod workload;

pub use demo::run_demo;
pub use import::run_import;
pub use ledger::run_ledger;
pub use offloaders::run_offloaders;
pub use workload::run_workload;
