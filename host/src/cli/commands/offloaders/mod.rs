//! `longshore offloaders …`: one file for each command. Each answers its exit code; `OFFLOADERS_EXIT_CODES` tells what they mean.

mod conformance;
mod files;
mod inspect;
mod list;
mod loaded_driver;
mod new;
mod rescan;
mod status;
mod table;
mod template;
mod verify;

use crate::cli::args::{OffloadersArgs, OffloadersCommand};

/// It is done.
const DONE: u8 = 0;
/// What was looked at is not as it should be.
const FAILED: u8 = 1;
/// The folder, or the file, could not be read.
const NOT_READ: u8 = 2;
/// The arguments, or the configuration, cannot work.
const WRONG_INPUT: u8 = 2;
/// It is done, and something wants an operator.
const NOT_WELL: u8 = 3;

/// Runs one command; answers its exit code.
///
/// # Errors
/// The configuration is wrong, or the output went away.
pub fn run_offloaders(args: &OffloadersArgs) -> anyhow::Result<u8> {
    match &args.command {
        OffloadersCommand::Conformance(args) => conformance::run(args),
        OffloadersCommand::New(args) => new::run(args),
        OffloadersCommand::List(args) => list::run(args).map(|read| if read { DONE } else { NOT_READ }),
        OffloadersCommand::Rescan(args) => rescan::run(args),
        OffloadersCommand::Status(args) => status::run(args),
        OffloadersCommand::Inspect(args) => inspect::run(args),
        OffloadersCommand::Verify(args) => verify::run(args),
        OffloadersCommand::TryLoad(args) => verify::run_child(args),
    }
}
