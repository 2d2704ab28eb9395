//! The grammar of `longshore offloaders`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::ADMIN_URL_DEFAULT;

/// Arguments of `offloaders`.
#[derive(Debug, Args)]
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
