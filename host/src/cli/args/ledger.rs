//! The grammar of `longshore ledger`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use uuid::Uuid;

/// Shown at the end of the help of `ledger` and its commands.
const LEDGER_EXIT_CODES: &str = "\
Exit codes: 0 nothing is wrong; 1 something is wrong with the copy, or it could not be read to its end; 2 wrong arguments, a \
wrong configuration, or a file that cannot be opened.";

/// Arguments of `ledger`.
#[derive(Debug, Args)]
#[command(after_help = LEDGER_EXIT_CODES)]
pub struct LedgerArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: LedgerCommand,
}

/// What `ledger` does.
#[derive(Debug, Subcommand)]
pub enum LedgerCommand {
    /// What a cold copy says of its ledger, and each of its entries: id, length, CRC32C of the payload.
    #[command(after_help = LEDGER_EXIT_CODES)]
    Dump(LedgerDumpArgs),
    /// Everything about a cold copy that can be checked, and what is wrong with it.
    #[command(after_help = LEDGER_EXIT_CODES)]
    Verify(LedgerVerifyArgs),
}

/// Names one copy: files, or what a driver finds.
#[derive(Debug, Args)]
pub struct LedgerCopyArgs {
    /// The data object and the index object, as files; or the folder of a MapFile.
    #[arg(value_name = "DATA INDEX | FOLDER", num_args = 0..=2, required_unless_present = "uid")]
    pub files: Vec<PathBuf>,
    /// The ledger's id; of files, where their names do not tell it.
    #[arg(long, value_name = "ID", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub ledger: Option<u64>,
    /// The uid that the ledger was offloaded with: the copy is read by its driver.
    #[arg(long, value_name = "UUID", requires = "ledger", conflicts_with = "files")]
    pub uid: Option<Uuid>,
    /// Configuration file with the driver's keys; without it the built-in standalone.conf.
    #[arg(short, long, value_name = "FILE", requires = "uid")]
    pub config: Option<PathBuf>,
    /// The driver; without it the configured one.
    #[arg(long, value_name = "NAME", requires = "uid")]
    pub driver: Option<String>,
    /// The topic, which driver filesystem needs.
    #[arg(long, value_name = "TOPIC", requires = "uid")]
    pub topic: Option<String>,
    /// The bucket, where it is not the configured one.
    #[arg(long, value_name = "NAME", requires = "uid")]
    pub bucket: Option<String>,
}

/// Arguments of `ledger dump`.
#[derive(Debug, Args)]
pub struct LedgerDumpArgs {
    /// Which copy.
    #[command(flatten)]
    pub copy: LedgerCopyArgs,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
    /// Write each payload to a file of this folder, named by its entry's id.
    #[arg(long, value_name = "DIR")]
    pub raw: Option<PathBuf>,
    /// Write into a folder that is not empty; files of the same names are replaced.
    #[arg(long, requires = "raw")]
    pub force: bool,
}

/// Arguments of `ledger verify`.
#[derive(Debug, Args)]
pub struct LedgerVerifyArgs {
    /// Which copy.
    #[command(flatten)]
    pub copy: LedgerCopyArgs,
    /// Print one JSON object a line.
    #[arg(long)]
    pub json: bool,
}
