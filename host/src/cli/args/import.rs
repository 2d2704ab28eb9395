//! The grammar of `longshore import`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::import::CheckMode;
use crate::topic::names::{NamespaceName, TopicName};

const IMPORT_EXIT_CODES: &str = "\
Exit codes: 0 every topic is here now, or was before (dry run: would be); 1 one could not be imported, and nothing of it was; 2 \
wrong arguments or a wrong configuration.";

/// Arguments of `import`.
#[derive(Debug, Args)]
#[command(after_help = IMPORT_EXIT_CODES)]
pub struct ImportArgs {
    /// Topics; a partitioned one comes with all its partitions.
    #[arg(value_name = "TOPIC", required_unless_present = "namespace")]
    pub topics: Vec<TopicName>,
    /// Where the REST API of the Apache Pulsar cluster listens.
    #[arg(long, value_name = "URL", required_unless_present_any = ["internal_info", "record"])]
    pub from: Option<String>,
    /// All persistent topics of a namespace.
    #[arg(long, value_name = "TENANT/NAMESPACE", requires = "from", conflicts_with = "topics")]
    pub namespace: Option<NamespaceName>,
    /// The answer to internal-info for the one topic, as a file.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "record"])]
    pub internal_info: Option<PathBuf>,
    /// The answer to internalStats for the one topic, as a file.
    #[arg(long, value_name = "FILE", requires = "internal_info")]
    pub stats_internal: Option<PathBuf>,
    /// The topic's record in the metadata store (/managed-ledgers/...), as a file.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    pub record: Option<PathBuf>,
    /// A subscription and its mark-delete position, which the record does not tell: NAME=LEDGER:ENTRY.
    #[arg(long, value_name = "NAME=POSITION", requires = "record")]
    pub cursor: Vec<String>,
    /// Configuration file of the broker that the topics come to; without it the built-in standalone.conf.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Driver of copies whose driver is not told; without it the configured one.
    #[arg(long, value_name = "NAME")]
    pub driver: Option<String>,
    /// The bucket of the copies, whatever was recorded.
    #[arg(long, value_name = "NAME")]
    pub bucket: Option<String>,
    /// Import topics without those of their ledgers that have no complete cold copy.
    #[arg(long)]
    pub leave_behind: bool,
    /// How much of each copy is read before anything is recorded: full, ends or none.
    #[arg(long, value_name = "HOW", default_value = "ends")]
    pub check: CheckMode,
    /// What becomes of messages that every subscription has acknowledged.
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = ImportRetention::Keep)]
    pub retention: ImportRetention,
    /// Show what would be done, and do nothing.
    #[arg(long)]
    pub dry_run: bool,
}

/// What becomes of messages that nobody needs any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ImportRetention {
    /// They stay for ever, by a policy of each topic.
    Keep,
    /// The namespace's retention removes them, from the store as well.
    Namespace,
}
