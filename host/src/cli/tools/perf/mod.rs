//! `pulsar-perf`: measures sending and receiving, and logs rates and latencies as the original does.

mod histogram;
mod produce;
mod receive;

use serde_json::{Map, Value};

use super::client::runtime;
use super::log::Log;
use super::settings::{TLS_HOST, TLS_INSECURE, tls_trust};
use super::{AUTH_PARAMS, AUTH_PLUGIN, asked};
use crate::cli::grammar::{Argument, Command, Does, Matches, Opt, Takes, flag, value};

const FAILED: u8 = 1;

/// Most topics, producers or consumers of one run.
const EACH_MAX: u32 = 10_000;

/// What a command does.
pub(super) enum Action {
    /// `produce`
    Produce,
    /// `consume`
    Consume,
    /// `read`
    Read,
}

const TOPICS: &[Argument] = &[Argument {
    label: "topics",
    about: "The topic; with -t more than one, its name before -0, -1, ….",
    may_repeat: true,
    is_required: true,
}];

/// Options that all commands have.
pub(super) const URL: Opt = value(
    &["-u", "--service-url"],
    "serviceURL",
    Takes::Text,
    "Where the broker listens; else brokerServiceUrl of conf/client.conf, else pulsar://localhost:6650.",
);
const TLS_TRUST_FILE: Opt = tls_trust(&["--trust-cert-file"]);
const INTERVAL: Opt = value(&["-i", "--stats-interval-seconds"], "statsIntervalSeconds", Takes::Long, "").hidden();
const TOPIC_COUNT: Opt = value(&["-t", "--num-topics", "--num-topic"], "numTopics", Takes::Int, "How many topics.");
const DURATION: Opt =
    value(&["-time", "--test-duration"], "testTime", Takes::Long, "Seconds after which it ends; 0 goes on for ever.");
const MESSAGES: Opt =
    value(&["-m", "--num-messages"], "numMessages", Takes::Long, "Messages after which it ends; 0 goes on for ever.");
const CONNECTIONS: Opt = value(&["-c", "--max-connections"], "maxConnections", Takes::Int, "").hidden();
const IO_THREADS: Opt = value(&["-ioThreads", "--num-io-threads"], "ioThreads", Takes::Int, "").hidden();
const LISTENER_THREADS: Opt = value(&["-lt", "--num-listener-threads"], "listenerThreads", Takes::Int, "").hidden();
const MEMORY: Opt = value(&["-ml", "--memory-limit"], "memoryLimit", Takes::Size, "").hidden();
const BUSY: Opt = flag(&["-bw", "--busy-wait"], "").hidden();
const POOL: Opt = value(&["-pm", "--pool-messages"], "poolMessages", Takes::Bool, "").hidden();

const PRODUCE: &[Opt] = &[
    URL,
    AUTH_PLUGIN,
    AUTH_PARAMS,
    TLS_TRUST_FILE,
    TLS_INSECURE,
    TLS_HOST,
    INTERVAL,
    CONNECTIONS,
    IO_THREADS,
    LISTENER_THREADS,
    MEMORY,
    BUSY,
    TOPIC_COUNT.or("1"),
    DURATION.or("0"),
    MESSAGES.or("0"),
    value(&["-r", "--rate"], "msgRate", Takes::Int, "Messages in a second, over all topics; 0 is as fast as possible.")
        .or("100"),
    value(&["-s", "--size"], "msgSize", Takes::Int, "Bytes of each message.").or("1024"),
    value(&["-n", "--num-producers"], "numProducers", Takes::Int, "Producers on each topic.").or("1"),
    value(&["-threads", "--num-test-threads"], "numTestThreads", Takes::Int, "").hidden(),
    value(&["--separator"], "separator", Takes::Text, "Between a topic's name and its number.").or("-"),
    value(&["-pn", "--producer-name"], "producerName", Takes::Text, "Name of the producers."),
    value(&["-au", "--admin-url"], "adminURL", Takes::Text, "").hidden(),
    value(&["-o", "--max-outstanding"], "maxOutstanding", Takes::Int, "Entries on their way.").or("1000"),
    value(&["-p", "--max-outstanding-across-partitions"], "maxPendingMessagesAcrossPartitions", Takes::Int, "")
        .hidden(),
    value(&["-z", "--compression"], "compression", Takes::OneOf(&["NONE"]), "NONE.").or("NONE"),
    value(
        &["-f", "--payload-file"],
        "payloadFilename",
        Takes::Text,
        "A file whose lines are sent, one after the other.",
    ),
    value(
        &["-e", "--payload-delimiter"],
        "payloadDelimiter",
        Takes::Text,
        "Where the file is cut; a line break where not given.",
    )
    .or("\\n"),
    value(
        &["-b", "--batch-time-window"],
        "batchTimeMillis",
        Takes::Double,
        "Milliseconds that a message may wait for its batch.",
    )
    .or("1"),
    flag(&["-db", "--disable-batching"], "One entry for each message."),
    value(&["-bm", "--batch-max-messages"], "batchMaxMessages", Takes::Int, "Most messages in a batch.").or("1000"),
    value(&["-bb", "--batch-max-bytes"], "batchMaxBytes", Takes::Int, "Most bytes in a batch.").or("4194304"),
    value(&["--warmup-time"], "warmupTimeSeconds", Takes::Double, "").hidden(),
    value(
        &["-mk", "--message-key-generation-mode"],
        "messageKeyGenerationMode",
        Takes::OneOf(&["autoIncrement", "random"]),
        "Gives each message a key: autoIncrement or random.",
    ),
    flag(&["-ef", "--exit-on-failure"], "Ends at the first message that is not stored, as is done here in any case."),
    flag(&["-set", "--set-event-time"], "").hidden(),
    flag(&["-ch", "--chunking"], "").hidden(),
    value(&["-am", "--access-mode"], "producerAccessMode", Takes::OneOf(&["Shared"]), "Shared.").or("Shared"),
];

const CONSUME: &[Opt] = &[
    URL,
    AUTH_PLUGIN,
    AUTH_PARAMS,
    TLS_TRUST_FILE,
    TLS_INSECURE,
    TLS_HOST,
    INTERVAL,
    CONNECTIONS,
    IO_THREADS,
    LISTENER_THREADS,
    MEMORY,
    BUSY,
    POOL,
    TOPIC_COUNT.or("1"),
    DURATION.or("0"),
    MESSAGES.or("0"),
    value(&["-r", "--rate"], "rate", Takes::Double, "Messages in a second; 0 is as fast as possible.").or("0"),
    value(
        &["-q", "--receiver-queue-size"],
        "receiverQueueSize",
        Takes::Int,
        "Messages that may wait at each consumer.",
    )
    .or("1000"),
    value(
        &["-p", "--receiver-queue-size-across-partitions"],
        "maxTotalReceiverQueueSizeAcrossPartitions",
        Takes::Int,
        "",
    )
    .hidden(),
    value(&["-n", "--num-consumers"], "numConsumers", Takes::Int, "Consumers of each subscription.").or("1"),
    value(&["-ns", "--num-subscriptions"], "numSubscriptions", Takes::Int, "Subscriptions of each topic.").or("1"),
    value(
        &["-ss", "--subscriptions"],
        "subscriptions",
        Takes::Comma,
        "Their names, between commas; sub where not given.",
    ),
    value(
        &["-st", "--subscription-type"],
        "subscriptionType",
        Takes::OneOf(&["Exclusive", "Shared", "Failover", "Key_Shared"]),
        "How they are shared: Exclusive, Shared, Failover or Key_Shared.",
    )
    .or("Exclusive"),
    value(
        &["-sp", "--subscription-position"],
        "subscriptionInitialPosition",
        Takes::OneOf(&["Latest", "Earliest"]),
        "Where a new one begins: Latest or Earliest.",
    )
    .or("Latest"),
    value(&["--acks-delay-millis"], "acknowledgmentsGroupingDelayMillis", Takes::Int, "").hidden(),
    flag(&["-aq", "--auto-scaled-receiver-queue-size"], "").hidden(),
    flag(&["--batch-index-ack"], "").hidden(),
    flag(&["-rs", "--replicated"], "").hidden(),
];

const READ: &[Opt] = &[
    URL,
    AUTH_PLUGIN,
    AUTH_PARAMS,
    TLS_TRUST_FILE,
    TLS_INSECURE,
    TLS_HOST,
    INTERVAL,
    CONNECTIONS,
    IO_THREADS,
    LISTENER_THREADS,
    MEMORY,
    BUSY,
    TOPIC_COUNT.or("1"),
    DURATION.or("0"),
    value(&["-n", "--num-messages"], "numMessages", Takes::Long, "Messages after which it ends; 0 goes on for ever.")
        .or("0"),
    value(
        &["-m", "--start-message-id"],
        "startMessageId",
        Takes::Text,
        "Where to begin: earliest, latest or ledgerId:entryId.",
    )
    .or("earliest"),
    value(&["-r", "--rate"], "rate", Takes::Double, "Messages in a second; 0 is as fast as possible.").or("0"),
    value(&["-q", "--receiver-queue-size"], "receiverQueueSize", Takes::Int, "Messages that may wait at each reader.")
        .or("1000"),
];

/// The tool.
pub(super) static TOOL: Command<Action> = Command {
    names: &["pulsar-perf"],
    about: "Measures sending and receiving.",
    options: &[flag(&["--json"], "Log what was measured, at the end, as JSON in one line as well.")],
    arguments: &[],
    does: Does::Group(&[
        Command {
            names: &["produce"],
            about: "Measures sending.",
            options: PRODUCE,
            arguments: TOPICS,
            does: Does::Run(Action::Produce),
            is_hidden: false,
        },
        Command {
            names: &["consume"],
            about: "Measures receiving from subscriptions.",
            options: CONSUME,
            arguments: TOPICS,
            does: Does::Run(Action::Consume),
            is_hidden: false,
        },
        Command {
            names: &["read"],
            about: "Measures reading without subscriptions.",
            options: READ,
            arguments: TOPICS,
            does: Does::Run(Action::Read),
            is_hidden: false,
        },
    ]),
    is_hidden: false,
};

/// Does what `words` say; answers the exit code.
pub(super) fn run_tool(words: &[String]) -> u8 {
    let found = match asked(&TOOL, words, FAILED) {
        Ok(found) => found,
        Err(code) => return code,
    };
    let (log, kind) = match found.action {
        Action::Produce => (Log::of("org.apache.pulsar.testclient.PerformanceProducer"), "perf producer"),
        Action::Consume => (Log::of("org.apache.pulsar.testclient.PerformanceConsumer"), "performance consumer"),
        Action::Read => (Log::of("org.apache.pulsar.testclient.PerformanceReader"), "performance reader"),
    };
    let topics = match topics(&found.matches) {
        Ok(topics) => topics,
        Err(problem) => {
            eprint!("{problem}\n{}", found.usage);
            return FAILED;
        }
    };
    let settings = super::json_text::Json::from(settings(&found.matches, &topics));
    log.info(format_args!("Starting Pulsar {kind} with config: {}", settings.jackson()));
    let ended = runtime().and_then(|runtime| {
        runtime.block_on(async {
            match found.action {
                Action::Produce => produce::produce(log, &found.matches, &topics).await,
                Action::Consume => receive::receive(log, &found.matches, &topics, true).await,
                Action::Read => receive::receive(log, &found.matches, &topics, false).await,
            }
        })
    });
    match ended {
        Ok(summary) => {
            if found.matches.has("--json") {
                super::answer::say(&format!("{summary}\n"));
            }
            0
        }
        Err(error) => {
            log.error(format_args!("Got error: {error:#}"));
            FAILED
        }
    }
}

/// The topics of a run: as given, or numbered from one name.
fn topics(matches: &Matches) -> Result<Vec<String>, String> {
    let count = matches.number::<u32>("--num-topics").filter(|count| (1..=EACH_MAX).contains(count));
    let count = count.ok_or_else(|| format!("-t must be from 1 to {EACH_MAX}"))? as usize;
    let given = matches.arguments();
    if given.len() == count {
        return Ok(given.to_vec());
    }
    let [one] = given else {
        return Err("The size of topics list should be equal to --num-topic".to_owned());
    };
    let separator = matches.text("--separator").unwrap_or("-");
    Ok((0..count).map(|index| format!("{one}{separator}{index}")).collect())
}

/// What holds in this run, for the log.
fn settings(matches: &Matches, topics: &[String]) -> Value {
    let mut all = Map::new();
    all.insert("topics".to_owned(), topics.into());
    for (label, value) in matches.settings().filter(|(label, _)| *label != "authParams") {
        let value = match (value.parse::<i64>(), value.parse::<f64>()) {
            (Ok(number), _) => number.into(),
            (_, Ok(number)) => number.into(),
            _ => value.into(),
        };
        all.insert(label.to_owned(), value);
    }
    Value::Object(all)
}

/// Between two lines of a log.
const INTERVAL_SECONDS: u64 = 10;

/// When a run ends by itself.
#[derive(Clone, Copy)]
struct Limits {
    messages: Option<u64>,
    until: Option<std::time::Instant>,
}

impl Limits {
    fn of(matches: &Matches) -> Self {
        let seconds = matches.number::<u64>("-time").filter(|&seconds| seconds > 0);
        let until =
            seconds.and_then(|seconds| std::time::Instant::now().checked_add(std::time::Duration::from_secs(seconds)));
        Self { messages: matches.number("--num-messages").filter(|&messages| messages > 0), until }
    }

    /// Waits until the time is over; for ever where there is no limit.
    async fn over(self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until.into()).await,
            None => std::future::pending().await,
        }
    }
}

/// Ends with an interrupt or a TERM signal.
async fn told_to_end() {
    use tokio::signal::unix::{SignalKind, signal};
    match signal(SignalKind::terminate()) {
        Ok(mut terminated) => {
            tokio::select! {
                _ = terminated.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(_) => {
            let _ = tokio::signal::ctrl_c().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(line: &str) -> Matches {
        Matches::of(&TOOL, line)
    }

    #[test]
    fn topics_are_numbered_when_there_are_more_than_were_named() {
        assert_eq!(topics(&matches("produce t")).unwrap(), ["t"]);
        assert_eq!(topics(&matches("produce -t 2 t")).unwrap(), ["t-0", "t-1"]);
        assert_eq!(topics(&matches("consume -t 2 a b")).unwrap(), ["a", "b"]);
        assert!(topics(&matches("read a b")).is_err());
        assert!(topics(&matches("read -t 0 a")).is_err());
    }

    #[test]
    fn secrets_are_not_logged() {
        let settings = settings(&matches("produce --auth-params token:abc -r 1000 t"), &["t".to_owned()]).to_string();
        assert!(!settings.contains("abc") && settings.contains("\"msgRate\":1000"), "{settings}");
    }
}
