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
    /// Let the running broker look at its folder now; tells what changed.
    #[command(after_help = OFFLOADERS_EXIT_CODES)]
    Rescan(OffloadersBrokerArgs),
    /// How each plugin and each driver of the running broker stands.
    #[command(after_help = OFFLOADERS_EXIT_CODES)]
    Status(OffloadersBrokerArgs),
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
