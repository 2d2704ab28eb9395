//! The grammar of the command line.

mod import;
mod ledger;
mod offloaders;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::client::{MessageId, Start};

use super::EXIT_CODES;
use super::launcher::flags::IdleFlags;
pub use import::{ImportArgs, ImportRetention};
pub use ledger::{LedgerArgs, LedgerCommand, LedgerCopyArgs, LedgerDumpArgs, LedgerVerifyArgs};
pub use offloaders::{
    ConformanceArgs, NewOffloaderArgs, OffloadersArgs, OffloadersBrokerArgs, OffloadersCommand, OffloadersFileArgs,
    OffloadersInspectArgs, OffloadersListArgs, OffloadersTryLoadArgs, OffloadersVerifyArgs,
};

/// A Pulsar-compatible standalone broker whose tiered storage drivers are shared libraries.
#[derive(Debug, Parser)]
#[command(name = "longshore", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the broker until it is told to stop.
    Standalone(StandaloneArgs),
    /// Run the broker, called by the launcher.
    #[command(name = super::launcher::LAUNCHED, hide = true)]
    Launched(StandaloneArgs),
    /// Look after a broker as `pulsar-admin` does.
    #[command(disable_help_flag = true)]
    Admin(ToolArgs),
    /// Look after a broker as `pulsarctl` does.
    #[command(disable_help_flag = true)]
    Pulsarctl(ToolArgs),
    /// Send and receive messages as `pulsar-client` does.
    #[command(disable_help_flag = true)]
    Client(ToolArgs),
    /// Measure sending and receiving as `pulsar-perf` does.
    #[command(disable_help_flag = true)]
    Perf(ToolArgs),
    /// Send messages that a seed decides, receive them, and compare.
    Workload(WorkloadArgs),
    /// Look at storage drivers.
    Offloaders(OffloadersArgs),
    /// Make topics that Apache Pulsar offloaded readable here, without copying data.
    Import(ImportArgs),
    /// Look at one cold copy: its entries, and whether they are sound.
    Ledger(LedgerArgs),
    /// Run a driver for the broker that started this process.
    #[command(hide = true)]
    OffloaderChild,
    /// Show the main job on a running broker: send, offload, remove the hot copies, read back, compare.
    Demo(DemoArgs),
}

/// Arguments of `standalone`.
#[derive(Debug, Args)]
pub struct StandaloneArgs {
    /// Configuration file; without it the built-in standalone.conf.
    #[arg(short, long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Overrules advertisedAddress.
    #[arg(short, long, value_name = "ADDRESS")]
    pub advertised_address: Option<String>,
    /// Remove all topics, policies and hot ledgers of an earlier run first; cold copies stay.
    #[arg(long)]
    pub wipe_data: bool,
    /// Refused: the broker is all there is to start.
    #[arg(long, alias = "only-bookkeeper", hide = true)]
    pub no_broker: bool,
    /// What the original has and this broker does not need.
    #[command(flatten)]
    pub idle: IdleFlags,
}

/// Arguments of a tool of a Pulsar distribution, which reads them by a grammar of its own.
#[derive(Debug, Args)]
pub struct ToolArgs {
    /// The tool's own commands and options; `--help` tells them.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "WORDS")]
    pub words: Vec<String>,
}

/// Arguments of `workload`.
#[derive(Debug, Args)]
pub struct WorkloadArgs {
    /// Where the broker listens.
    #[arg(long, global = true, value_name = "URL", default_value = "pulsar://localhost:6650")]
    pub url: String,
    /// Print one JSON object instead of a sentence.
    #[arg(long, global = true)]
    pub json: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: WorkloadCommand,
}

/// What `workload` does.
#[derive(Debug, Subcommand)]
pub enum WorkloadCommand {
    /// Send messages that a seed decides; print rate and digest.
    Produce(ProduceArgs),
    /// Receive and acknowledge messages of a subscription; print rate and digest.
    Consume(ConsumeArgs),
    /// Read messages without leaving anything behind; print rate and digest.
    Read(ReadArgs),
}

/// Arguments of `workload produce`.
#[derive(Debug, Args)]
pub struct ProduceArgs {
    /// Topic, such as `t` or `persistent://public/default/t`.
    pub topic: String,
    /// Messages.
    #[arg(short = 'n', long, default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Bytes of each message.
    #[arg(long, default_value_t = 1024, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=128 << 20))]
    pub size: u32,
    /// Send batches.
    #[arg(long)]
    pub batch: bool,
    /// Entries on their way.
    #[arg(long, default_value_t = 1000, value_name = "ENTRIES", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub in_flight: u32,
    /// Decides what the messages contain.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Name of the producer; without it the broker makes one.
    #[arg(long, value_name = "NAME")]
    pub producer_name: Option<String>,
}

/// Arguments of `workload consume`.
#[derive(Debug, Args)]
pub struct ConsumeArgs {
    /// Topic, such as `t` or `persistent://public/default/t`.
    pub topic: String,
    /// Subscription; made at the beginning of the topic if it does not exist.
    #[arg(short, long, value_name = "NAME")]
    pub subscription: String,
    /// Messages.
    #[arg(short = 'n', long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// How the subscription is shared.
    #[arg(short = 't', long = "type", value_enum, default_value_t = Kind::Exclusive)]
    pub kind: Kind,
    /// Give up when no message comes for so long.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// Arguments of `workload read`.
#[derive(Debug, Args)]
pub struct ReadArgs {
    /// Topic, such as `t` or `persistent://public/default/t`.
    pub topic: String,
    /// `earliest`, `latest` or a message id, `ledger:entry`.
    #[arg(long, default_value = "earliest", value_name = "POSITION", value_parser = start)]
    pub from: Start,
    /// Messages; without it all that are there.
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: Option<u64>,
    /// Give up when no message comes for so long.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub timeout: u64,
}

/// How a subscription is shared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// One consumer only.
    Exclusive,
    /// Messages go round.
    Shared,
}

/// Where a broker's REST API listens if nobody says otherwise.
pub const ADMIN_URL_DEFAULT: &str = "http://localhost:8080";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Where the broker listens.
    #[arg(long, value_name = "URL", default_value = "pulsar://localhost:6650")]
    pub url: String,
    /// Where the broker's REST API listens.
    #[arg(long, value_name = "URL", default_value = ADMIN_URL_DEFAULT)]
    pub admin_url: String,
    /// Messages.
    #[arg(short = 'n', long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    pub messages: u64,
    /// Bytes of each message.
    #[arg(long, default_value_t = 1024, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(0..=5 << 20))]
    pub size: u32,
    /// How long to wait for the broker to be ready.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    pub wait: u64,
    /// Process of the broker: do not wait for it when that has ended.
    #[arg(long, value_name = "PID", value_parser = clap::value_parser!(i32).range(1..))]
    pub broker_pid: Option<i32>,
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        id => id.parse::<MessageId>().map(Start::At).map_err(|error| format!("{error}, earliest or latest")),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_grammar_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_are_parsed() {
        let parse = |line: &str| Arguments::try_parse_from(line.split(' '));
        let Command::Workload(client) = parse("longshore workload read t --from 7:3 -n 5 --json").unwrap().command
        else {
            panic!("not the workload");
        };
        let WorkloadCommand::Read(read) = client.command else { panic!("not a read") };
        let id = MessageId { ledger_id: 7, entry_id: 3, batch_index: None };
        assert_eq!((read.from, read.messages, client.json), (Start::At(id), Some(5), true));
        assert!(parse("longshore standalone --config x.conf -a 127.0.0.1").is_ok());
        assert!(parse("longshore offloaders list --directory d --json").is_ok());
    }

    #[test]
    fn tools_get_their_words_as_they_are() {
        let line = "longshore admin topics offload -s 0 t --help -v";
        let Command::Admin(tool) = Arguments::try_parse_from(line.split(' ')).unwrap().command else {
            panic!("not admin")
        };
        assert_eq!(tool.words, ["topics", "offload", "-s", "0", "t", "--help", "-v"]);
    }

    #[test]
    fn wrong_arguments_are_refused_with_what_is_allowed() {
        let refusal = |line: &str| Arguments::try_parse_from(line.split(' ')).unwrap_err();
        assert!(refusal("longshore workload read t --from yesterday").to_string().contains("earliest or latest"));
        for line in
            ["longshore", "longshore workload produce t -n 0", "longshore workload consume t -n 1", "longshore fly"]
        {
            assert_eq!(refusal(line).exit_code(), 2, "{line}");
        }
    }
}
