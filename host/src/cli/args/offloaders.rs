//! The grammar of `longshore offloaders`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ADMIN_URL_DEFAULT;

/// Shown at the end of the help of `offloaders` and its commands.
const OFFLOADERS_EXIT_CODES: &str = "\
Exit codes: 0 it is done; 1 it could not be done, for example because no broker answers; 2 wrong arguments, a wrong \
configuration, or a folder that cannot be read; 3 it is done, and something wants an operator: a file that was refused, a \
driver that nobody serves or that two plugins claim (rescan: among what changed; status: now).";

/// Arguments of `offloaders`.
#[derive(Debug, Args)]
#[command(after_help = OFFLOADERS_EXIT_CODES)]
pub struct OffloadersArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: OffloadersCommand,
}

/// What `offloaders` does.
#[derive(Debug, Subcommand)]
pub enum OffloadersCommand {
    /// Every *.so of the folder, and what became of it.
    List(OffloadersListArgs),
    /// Everything about plugin files that can be told without running them.
    #[command(after_help = INSPECT_EXIT_CODES)]
    Inspect(OffloadersInspectArgs),
    /// What can go wrong with plugin files: looks at them, and loads each in a child process.
    #[command(after_help = VERIFY_EXIT_CODES)]
    Verify(OffloadersVerifyArgs),
    /// The child process of `verify`.
    #[command(hide = true)]
    TryLoad(OffloadersTryLoadArgs),
    /// Hold the driver of a plugin file against every promise of the contract.
    #[command(after_help = CONFORMANCE_EXIT_CODES)]
    Conformance(ConformanceArgs),
    /// Write the crate of a new plugin, which compiles as it is.
    New(NewOffloaderArgs),
    /// Let the running broker look at its folder now; tells what changed.
    #[command(after_help = OFFLOADERS_EXIT_CODES)]
    Rescan(OffloadersBrokerArgs),
    /// How each plugin and each driver of the running broker stands.
    #[command(after_help = OFFLOADERS_EXIT_CODES)]
    Status(OffloadersBrokerArgs),
}

const INSPECT_EXIT_CODES: &str =
    "Exit codes: 0 every file would be admitted; 1 one would not; 2 one could not be read.";
const VERIFY_EXIT_CODES: &str = "Exit codes: 0 no errors; 1 errors were found; 2 a file could not be read.";

/// Plugin files, and what they are judged by.
#[derive(Debug, Args)]
pub struct OffloadersFileArgs {
    /// Plugin files.
    #[arg(value_name = "FILE", required_unless_present = "directory")]
    pub files: Vec<PathBuf>,
    /// All *.so files of this folder.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Configuration file that says which plugins may be loaded; without it the defaults do.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Print a JSON array.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `offloaders inspect`.
#[derive(Debug, Args)]
pub struct OffloadersInspectArgs {
    /// Which files.
    #[command(flatten)]
    pub target: OffloadersFileArgs,
}

/// Arguments of `offloaders verify`.
#[derive(Debug, Args)]
pub struct OffloadersVerifyArgs {
    /// Which files.
    #[command(flatten)]
    pub target: OffloadersFileArgs,
    /// Keep what was found in this folder, for offloadersVerdictsDirectory.
    #[arg(long, value_name = "DIR")]
    pub record: Option<PathBuf>,
    /// How long loading a file may take.
    #[arg(long, value_name = "SECONDS", default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub timeout: u64,
}

/// Arguments of the child process.
#[derive(Debug, Args)]
pub struct OffloadersTryLoadArgs {
    /// The plugin file.
    pub file: PathBuf,
    /// Its hash.
    #[arg(long)]
    pub sha256: String,
    /// Where the answer goes.
    #[arg(long)]
    pub answer: PathBuf,
    /// The longest file that is read.
    #[arg(long)]
    pub file_bytes_max: u64,
    /// Processor time.
    #[arg(long)]
    pub seconds: u64,
}

/// Shown at the end of the help of `conformance`.
const CONFORMANCE_EXIT_CODES: &str = "\
Exit codes: 0 no case failed; 1 a case failed, or something was left in the store; 2 the suite could not run.";

/// Arguments of `offloaders conformance`.
#[derive(Debug, Args)]
pub struct ConformanceArgs {
    /// The plugin, a *.so.
    #[arg(value_name = "FILE", required_unless_present = "list")]
    pub file: Option<PathBuf>,
    /// Configuration file with the driver's keys. The suite writes into the store that it names, and cleans up.
    #[arg(short, long, value_name = "FILE", required_unless_present = "list")]
    pub config: Option<PathBuf>,
    /// Which of the plugin's drivers; without it the configured one, or the only one.
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    /// `quick` takes seconds, `full` has ledgers of 100,000 entries and entries of 5 MiB.
    #[arg(long, default_value = "quick", value_parser = ["quick", "full"])]
    pub profile: String,
    /// The folder in which the driver keeps its copies, and nobody else anything: lets the suite damage files and count them.
    #[arg(long, value_name = "FOLDER")]
    pub store: Option<PathBuf>,
    /// Only the cases with this in their names.
    #[arg(long, value_name = "PART")]
    pub case: Option<String>,
    /// The seed of an earlier run, for the same random choices.
    #[arg(long)]
    pub seed: Option<u64>,
    /// Write the outcome for JUnit's readers as well.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    pub json: bool,
    /// Show the cases and run none.
    #[arg(long)]
    pub list: bool,
}

/// Arguments of `offloaders new`.
#[derive(Debug, Args)]
pub struct NewOffloaderArgs {
    /// Name of the crate, of the plugin and of its driver: lower-case letters, digits and single hyphens.
    pub name: String,
    /// Where the crate's folder is made; without it the working folder.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// The plugin SDK; without it the `sdk` that came with this program, or the source checkout that it was built in.
    #[arg(long, value_name = "DIR")]
    pub sdk: Option<PathBuf>,
}

/// Arguments of commands that ask the running broker.
#[derive(Debug, Args)]
pub struct OffloadersBrokerArgs {
    /// Where the broker's REST API listens.
    #[arg(long, value_name = "URL", default_value = ADMIN_URL_DEFAULT)]
    pub admin_url: String,
    /// Print a JSON object.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `offloaders list`.
#[derive(Debug, Args)]
pub struct OffloadersListArgs {
    /// Folder to load, in this process; without it the running broker is asked, or the configuration says where.
    #[arg(long, value_name = "DIR")]
    pub directory: Option<PathBuf>,
    /// Configuration file that names the folder where no broker runs.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Where the broker's REST API listens.
    #[arg(long, value_name = "URL", default_value = ADMIN_URL_DEFAULT)]
    pub admin_url: String,
    /// Print a JSON array.
    #[arg(long)]
    pub json: bool,
}
