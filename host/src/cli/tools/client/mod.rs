//! `pulsar-client`: sends and receives messages, and prints them.
//!
//! Messages go to the standard output between the lines of a log, as the original's do. Each message of `produce` is an
//! entry of its own, as there: limits of ledgers count entries.

mod consume;
mod produce;
mod shown;

pub(super) use consume::{kind, opened, start};
pub(super) use produce::Pace;

use anyhow::Context as _;

use super::log::Log;
use super::settings::{ClientConf, chosen, tls, tls_trust, token};
use super::{AUTH_PARAMS, AUTH_PLUGIN, Failure, asked};
use crate::cli::grammar::{Argument, Command, Does, Matches, Opt, Takes, argument, flag, value};
use crate::client::{Client, ClientOptions};

const LOG: Log = Log::of("org.apache.pulsar.client.cli.PulsarClientTool");
const URL_DEFAULT: &str = "pulsar://localhost:6650";
/// The original ends with -1.
const FAILED: u8 = 255;
const WRONG_LINE: u8 = 2;

/// What a command does.
pub(super) enum Action {
    /// `produce`
    Produce,
    /// `consume`
    Consume,
    /// `read`
    Read,
}

const TOPIC: &[Argument] = &[argument("topic", "persistent://tenant/namespace/topic, or tenant/namespace/topic.")];

/// Options that are the same for `consume` and `read`.
pub(super) mod receiving {
    use super::{Opt, Takes, flag, value};

    pub(in super::super) const MESSAGES: Opt =
        value(&["-n", "--num-messages"], "numMessages", Takes::Int, "How many messages; 0 goes on for ever.");
    pub(in super::super) const HEX: Opt = flag(&["--hex"], "Shows the bytes in hexadecimal digits.");
    pub(in super::super) const HIDE: Opt = flag(&["--hide-content"], "Shows nothing of the messages.");
    pub(in super::super) const RATE: Opt =
        value(&["-r", "--rate"], "rate", Takes::Double, "Messages in a second; 0 is as fast as possible.");
    pub(in super::super) const QUEUE: Opt =
        value(&["-q", "--queue-size"], "receiverQueueSize", Takes::Int, "Messages that may wait in the tool.");
    pub(in super::super) const METADATA: Opt =
        flag(&["-mp", "--print-metadata"], "Shows ids, producer and sequence too.");
    pub(in super::super) const SCHEMA: Opt = value(
        &["-st", "--schema-type"],
        "schemaType",
        Takes::OneOf(&["bytes", "auto_consume"]),
        "bytes; the messages are shown as they are.",
    );
    pub(in super::super) const POOL: Opt = value(&["-pm", "--pool-messages"], "poolMessages", Takes::Bool, "").hidden();
    pub(in super::super) const CHUNKS: Opt =
        value(&["-mc", "--max_chunked_msg"], "maxPendingChunkedMessage", Takes::Int, "").hidden();
    pub(in super::super) const CHUNK_ACK: Opt = flag(&["-ac", "--auto_ack_chunk_q_full"], "").hidden();
}

/// The tool.
pub(super) static TOOL: Command<Action> = Command {
    names: &["pulsar-client"],
    about: "Sends and receives messages.",
    options: &[
        value(
            &["--url"],
            "serviceURL",
            Takes::Text,
            "Where the broker listens; else brokerServiceUrl of conf/client.conf, else pulsar://localhost:6650.",
        ),
        AUTH_PLUGIN,
        AUTH_PARAMS,
        flag(&["--json"], "Print each message, and the count at the end, as JSON in one line."),
        value(&["--proxy-url"], "proxyServiceURL", Takes::Text, "").hidden(),
        value(&["--proxy-protocol"], "proxyProtocol", Takes::Text, "").hidden(),
        value(&["--listener-name"], "listenerName", Takes::Text, "").hidden(),
        tls_trust(&["--tlsTrustCertsFilePath"]),
        value(&["-ml", "--memory-limit"], "memoryLimit", Takes::Size, "").hidden(),
    ],
    arguments: &[],
    does: Does::Group(&[
        Command {
            names: &["produce"],
            about: "Sends messages to a topic.",
            options: produce::OPTIONS,
            arguments: TOPIC,
            does: Does::Run(Action::Produce),
            is_hidden: false,
        },
        Command {
            names: &["consume"],
            about: "Receives messages of a subscription and acknowledges them.",
            options: consume::CONSUME,
            arguments: TOPIC,
            does: Does::Run(Action::Consume),
            is_hidden: false,
        },
        Command {
            names: &["read"],
            about: "Reads messages and leaves nothing behind.",
            options: consume::READ,
            arguments: TOPIC,
            does: Does::Run(Action::Read),
            is_hidden: false,
        },
    ]),
    is_hidden: false,
};

/// Does what `words` say; answers the exit code.
pub(super) fn run_tool(words: &[String]) -> u8 {
    let found = match asked(&TOOL, words, WRONG_LINE) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let (checked, verbs) = match found.action {
        Action::Produce => (produce::check(&found.matches), ("producing", "produced")),
        Action::Consume => (consume::check(&found.matches, true), ("consuming", "consumed")),
        Action::Read => (consume::check(&found.matches, false), ("reading", "read")),
    };
    if let Err(problem) = checked {
        eprint!("{problem}\n{}", found.usage);
        return WRONG_LINE;
    }
    let mut count = 0;
    let ended = runtime().and_then(|runtime| runtime.block_on(act(found.action, &found.matches, &mut count)));
    let as_json = found.matches.has("--json");
    let code = match ended {
        Ok(()) => 0,
        Err(error) => {
            if as_json {
                eprintln!("{}", serde_json::json!({ "error": format!("{error:#}") }));
            } else {
                LOG.error(format_args!("Error while {} messages", verbs.0));
                LOG.error(format_args!("{error:#}"));
            }
            FAILED
        }
    };
    if as_json {
        super::answer::say(&format!("{}\n", serde_json::json!({ verbs.1: count })));
    } else {
        LOG.info(format_args!("{count} messages successfully {}", verbs.1));
    }
    code
}

pub(super) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Runtime::new().context("start the asynchronous runtime")
}

async fn act(action: &Action, matches: &Matches, count: &mut u64) -> anyhow::Result<()> {
    let client = connected(matches, "--url").await?;
    match action {
        Action::Produce => produce::produce(&client, matches, count).await,
        Action::Consume => consume::consume(&client, matches, count).await,
        Action::Read => consume::read(&client, matches, count).await,
    }
}

/// A client for the broker that the option, or else the file of settings, names.
pub(super) async fn connected(matches: &Matches, url_option: &str) -> anyhow::Result<Client> {
    let told = |failure: Failure| anyhow::anyhow!(failure.sentence());
    let conf = ClientConf::read().map_err(told)?;
    let url = chosen(matches.text(url_option), &conf, "brokerServiceUrl").unwrap_or(URL_DEFAULT);
    let plugin = chosen(matches.text("--auth-plugin"), &conf, "authPlugin");
    let token = token(plugin, chosen(matches.text("--auth-params"), &conf, "authParams")).map_err(told)?;
    let tls = tls(matches, &conf).map_err(told)?;
    Ok(Client::connect_with(url, ClientOptions { token, tls }).await?)
}

/// The topic's partitions, or the topic itself where it has none.
pub(super) async fn parts(client: &Client, topic: &str) -> anyhow::Result<Vec<String>> {
    let partitions = client.partitions(topic).await?;
    Ok(match partitions {
        0 => vec![topic.to_owned()],
        count => (0..count).map(|index| format!("{topic}-partition-{index}")).collect(),
    })
}
