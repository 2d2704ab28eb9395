//! The command line: arguments, commands, and how they print.
//!
//! Commands speak to a broker as any client does, over TCP and HTTP; none but `import` looks into its folders. Results go to the standard
//! output, progress and errors to the standard error. Exit codes are decided in `main.rs`; [`EXIT_CODES`] tells them.

pub mod args;
mod commands;
mod grammar;
mod http;
mod https;
pub mod launcher;
mod names;
mod output;
mod tools;
mod workload;

pub use args::{Arguments, Command};
pub use commands::run_demo;
pub use commands::run_import;
pub use commands::run_ledger;
pub use commands::run_offloaders;
pub use commands::run_workload;
pub use names::Name;
pub use tools::Tool;

/// Shown at the end of the help.
pub const EXIT_CODES: &str = "\
Exit codes: 0 it is done; 1 it could not be done, or what was read is not what was written; 2 wrong arguments or a wrong \
configuration.";
