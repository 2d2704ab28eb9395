//! `consume` and `read`.

use anyhow::bail;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::produce::Pace;
use super::shown::Style;
use super::{parts, receiving};
use crate::cli::grammar::{Matches, Opt, Takes, flag, value};
use crate::cli::tools::answer::say;
use crate::client::{Client, Consumer, ConsumerOptions, MessageId, Received, Start, SubscriptionKind};

const QUEUE_DEFAULT: u32 = 1000;

pub(super) const CONSUME: &[Opt] = &[
    value(
        &["-s", "--subscription-name"],
        "subscriptionName",
        Takes::Text,
        "The subscription; made if it is not there.",
    )
    .required(),
    value(
        &["-t", "--subscription-type"],
        "subscriptionType",
        Takes::OneOf(&["Exclusive", "Shared", "Failover", "Key_Shared"]),
        "How it is shared: Exclusive, Shared, Failover or Key_Shared.",
    )
    .or("Exclusive"),
    value(
        &["-m", "--subscription-mode"],
        "subscriptionMode",
        Takes::OneOf(&["Durable", "NonDurable"]),
        "Durable, or NonDurable: gone with the last consumer.",
    )
    .or("Durable"),
    value(
        &["-p", "--subscription-position"],
        "subscriptionInitialPosition",
        Takes::OneOf(&["Latest", "Earliest"]),
        "Where a new one begins: Latest or Earliest.",
    )
    .or("Latest"),
    receiving::MESSAGES.or("1"),
    receiving::HEX,
    receiving::HIDE,
    receiving::RATE.or("0"),
    receiving::QUEUE.or("0"),
    receiving::METADATA,
    receiving::SCHEMA.or("bytes"),
    receiving::POOL,
    receiving::CHUNKS,
    receiving::CHUNK_ACK,
    flag(&["-rs", "--replicated"], "").hidden(),
];

pub(super) const READ: &[Opt] = &[
    value(
        &["-m", "--start-message-id"],
        "startMessageId",
        Takes::Text,
        "Where to begin: latest, earliest or ledgerId:entryId.",
    )
    .or("latest"),
    flag(&["-i", "--start-message-id-inclusive"], "With that message; else with the one behind it."),
    receiving::MESSAGES.or("1"),
    receiving::HEX,
    receiving::HIDE,
    receiving::RATE.or("0"),
    receiving::QUEUE.or("0"),
    receiving::METADATA,
    receiving::SCHEMA.or("bytes"),
    receiving::POOL,
    receiving::CHUNKS,
    receiving::CHUNK_ACK,
];

/// What only these commands can see to be wrong.
pub(super) fn check(matches: &Matches, is_consume: bool) -> Result<(), String> {
    if is_consume && matches.text("-s").is_none_or(str::is_empty) {
        return Err("Subscription name is not provided.".to_owned());
    }
    match matches.number::<i32>("-n") {
        Some(0..) => Ok(()),
        _ => Err("Number of messages should be zero or positive.".to_owned()),
    }
}

fn options(matches: &Matches) -> ConsumerOptions {
    let queue = matches.number::<u32>("-q").filter(|&queue| queue > 0).unwrap_or(QUEUE_DEFAULT);
    ConsumerOptions { queue, ..ConsumerOptions::reader(Start::Latest) }
}

pub(super) async fn consume(client: &Client, matches: &Matches, count: &mut u64) -> anyhow::Result<()> {
    let options = ConsumerOptions {
        subscription: matches.text("-s").map(str::to_owned),
        is_durable: matches.text("-m") != Some("NonDurable"),
        kind: kind(matches.text("-t").unwrap_or_default()),
        start: if matches.text("-p") == Some("Earliest") { Start::Earliest } else { Start::Latest },
        ..options(matches)
    };
    let consumers = opened(client, matches.argument(0), &options).await?;
    receive(consumers, matches, count, |_| true, true).await
}

/// The original's word for how a subscription is shared.
pub(in super::super) fn kind(word: &str) -> SubscriptionKind {
    match word {
        "Shared" => SubscriptionKind::Shared,
        "Failover" => SubscriptionKind::Failover,
        "Key_Shared" => SubscriptionKind::KeyShared,
        _ => SubscriptionKind::Exclusive,
    }
}

pub(super) async fn read(client: &Client, matches: &Matches, count: &mut u64) -> anyhow::Result<()> {
    let start = start(matches.text("-m").unwrap_or("latest"))?;
    let consumers = opened(client, matches.argument(0), &ConsumerOptions { start, ..options(matches) }).await?;
    let is_inclusive = matches.has("-i");
    let is_wanted = move |id: MessageId| match start {
        Start::At(first) if !is_inclusive => (id.ledger_id, id.entry_id) > (first.ledger_id, first.entry_id),
        _ => true,
    };
    receive(consumers, matches, count, is_wanted, false).await
}

/// Where reading begins.
pub(in super::super) fn start(text: &str) -> anyhow::Result<Start> {
    match text {
        "earliest" => Ok(Start::Earliest),
        "latest" => Ok(Start::Latest),
        id => match id.parse() {
            Ok(id) => Ok(Start::At(id)),
            Err(_) => bail!("Message ID must be 'latest', 'earliest' or '<ledgerId>:<entryId>'"),
        },
    }
}

/// A consumer of each part of the topic.
pub(in super::super) async fn opened(
    client: &Client,
    topic: &str,
    options: &ConsumerOptions,
) -> anyhow::Result<Vec<Consumer>> {
    let mut consumers = Vec::new();
    for part in parts(client, topic).await? {
        consumers.push(client.consumer(&part, options.clone()).await?);
    }
    Ok(consumers)
}

async fn receive(
    mut consumers: Vec<Consumer>,
    matches: &Matches,
    count: &mut u64,
    is_wanted: impl Fn(MessageId) -> bool,
    is_acknowledged: bool,
) -> anyhow::Result<()> {
    let wanted = matches.number::<u64>("-n").filter(|&wanted| wanted > 0);
    let style = Style::of(matches);
    let mut pace = Pace::new(matches.number("-r").unwrap_or(0.0));
    while wanted.is_none_or(|wanted| *count < wanted) {
        pace.wait().await;
        let (index, message) = tokio::select! {
            next = next_of(&mut consumers) => next?,
            _ = tokio::signal::ctrl_c() => break,
        };
        if !is_wanted(message.id) {
            continue;
        }
        say(&style.of_message(&message));
        if is_acknowledged {
            consumers[index].ack(message.id).await;
        }
        *count += 1;
    }
    for consumer in consumers {
        consumer.close().await?;
    }
    Ok(())
}

/// The next message of any consumer, and whose it is.
async fn next_of(consumers: &mut [Consumer]) -> anyhow::Result<(usize, Received)> {
    let mut waiting: FuturesUnordered<_> = (consumers.iter_mut().enumerate())
        .map(|(index, consumer)| async move { consumer.receive().await.map(|message| (index, message)) })
        .collect();
    match waiting.next().await {
        Some(next) => Ok(next?),
        None => bail!("the topic has no partitions"),
    }
}
