//! `longshore ledger …`: looks at one cold copy, which an operator has as files or which a driver reads.
//!
//! | to understand | read |
//! |---|---|
//! | what is told of a copy, and how it is printed | `account`, `print`, `payloads` |
//! | a data and an index object | `blocks` |
//! | the folder of a MapFile | `map_folder` |
//! | a copy behind a driver | `behind_driver` |
//!
//! Each form goes through the copy once, front to back, and goes on behind damage where the form says where to; what is in
//! memory at once is bounded by the constants of `local_file` and of each form, whatever the copy's size.
//!
//! Nothing else in the host knows the libraries of the formats: the broker reads copies through plugins.

mod account;
mod behind_driver;
mod blocks;
mod local_file;
mod map_folder;
mod payloads;
mod print;
#[cfg(test)]
mod tests;

use std::io;
use std::path::Path;

use crate::cli::args::{LedgerArgs, LedgerCommand, LedgerCopyArgs, LedgerDumpArgs, LedgerVerifyArgs};

use account::{Account, NotLookedAt};
use payloads::PayloadFolder;
use print::{Dump, Verification};

/// Nothing is wrong.
const DONE: u8 = 0;
/// Something is wrong with the copy.
const FAILED: u8 = 1;
/// The arguments, or the configuration, cannot work.
const WRONG_INPUT: u8 = 2;

/// Runs one command; answers its exit code.
///
/// # Errors
/// The output went away, or a payload could not be written.
pub fn run_ledger(args: &LedgerArgs) -> anyhow::Result<u8> {
    match &args.command {
        LedgerCommand::Dump(args) => dump(args),
        LedgerCommand::Verify(args) => verify(args),
    }
}

fn dump(args: &LedgerDumpArgs) -> anyhow::Result<u8> {
    let payloads = match args.raw.as_deref().map(|folder| PayloadFolder::open(folder, args.force)).transpose() {
        Ok(payloads) => payloads,
        Err(problem) => return refuse(&problem),
    };
    let mut dump = Dump::new(io::BufWriter::new(io::stdout().lock()), args.json, payloads);
    if let Err(NotLookedAt(problem)) = look_at(&args.copy, &mut dump)? {
        return refuse(&problem);
    }
    Ok(if dump.finish()? { DONE } else { FAILED })
}

fn verify(args: &LedgerVerifyArgs) -> anyhow::Result<u8> {
    let mut verification = Verification::new(io::stdout().lock(), args.json);
    if let Err(NotLookedAt(problem)) = look_at(&args.copy, &mut verification)? {
        return refuse(&problem);
    }
    Ok(if verification.finish()? { DONE } else { FAILED })
}

fn refuse(problem: &str) -> anyhow::Result<u8> {
    eprintln!("error: {problem}");
    Ok(WRONG_INPUT)
}

/// Tells `account` everything about the copy; the inner error says why there is nothing to tell.
fn look_at(copy: &LedgerCopyArgs, account: &mut dyn Account) -> anyhow::Result<Result<(), NotLookedAt>> {
    match copy.files.as_slice() {
        [] => behind_driver::look(copy, account),
        [folder] if folder.is_dir() => map_folder::look(folder, copy.ledger, account),
        [one] => Ok(Err(NotLookedAt(format!(
            "{} is not a folder: name a data object and its index object, or the folder of a MapFile",
            one.display()
        )))),
        [data, index, ..] => blocks::look(data, index, copy.ledger, account),
    }
}

/// A path as messages show it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}
