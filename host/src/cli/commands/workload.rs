//! `workload produce`, `workload consume`, `workload read`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use tokio::time::timeout;

use crate::cli::args::{ConsumeArgs, Kind, ProduceArgs, ReadArgs, WorkloadArgs, WorkloadCommand};
use crate::cli::output::Progress;
use crate::cli::workload::{Summary, Tally, Workload};
use crate::client::{
    BatchLimits, Client, Consumer, ConsumerOptions, MessageId, ProducerOptions, Received, SubscriptionKind,
};

/// Runs `workload`; prints one line, or one JSON object, on the standard output.
///
/// # Errors
/// What could not be done, with its causes.
pub async fn run_workload(args: WorkloadArgs) -> anyhow::Result<()> {
    let client = Client::connect(&args.url).await?;
    let (verb, summary) = match &args.command {
        WorkloadCommand::Produce(produce_args) => ("produced", produce(&client, produce_args).await?),
        WorkloadCommand::Consume(consume_args) => ("consumed", consume(&client, consume_args).await?),
        WorkloadCommand::Read(read_args) => ("read", read(&client, read_args).await?),
    };
    if args.json {
        println!("{}", serde_json::to_string(&summary).context("write the summary as JSON")?);
    } else {
        println!("{}", summary.sentence(verb));
    }
    Ok(())
}

/// Sends what the seed decides; returns when all of it is stored.
pub(super) async fn produce(client: &Client, args: &ProduceArgs) -> anyhow::Result<Summary> {
    let options = ProducerOptions {
        name: args.producer_name.clone(),
        in_flight_max: args.in_flight,
        batch: args.batch.then(BatchLimits::default),
    };
    let mut producer = client.producer(&args.topic, options).await?;
    let mut workload = Workload::new(args.seed, args.size as usize);
    let mut tally = Tally::default();
    let mut progress = Progress::new("produce", Some(args.messages));
    for number in 0..args.messages {
        let payload = workload.payload(number);
        tally.add(payload);
        producer.send(payload).await?;
        progress.advance(1);
    }
    producer.flush().await?;
    let elapsed = progress.finish();
    producer.close().await?;
    Ok(tally.summary(elapsed))
}

async fn consume(client: &Client, args: &ConsumeArgs) -> anyhow::Result<Summary> {
    let kind = match args.kind {
        Kind::Exclusive => SubscriptionKind::Exclusive,
        Kind::Shared => SubscriptionKind::Shared,
    };
    let options = ConsumerOptions { kind, ..ConsumerOptions::subscription(&args.subscription) };
    let mut consumer = client.consumer(&args.topic, options).await?;
    let mut tally = Tally::default();
    let mut progress = Progress::new("consume", Some(args.messages));
    while tally.messages() < args.messages {
        let message = next(&mut consumer, args.timeout, &tally).await?;
        tally.add(&message.payload);
        consumer.ack(message.id).await;
        progress.advance(1);
    }
    let elapsed = progress.finish();
    consumer.close().await?;
    Ok(tally.summary(elapsed))
}

/// Reads as many messages as asked for, or up to the one that is the newest now.
pub(super) async fn read(client: &Client, args: &ReadArgs) -> anyhow::Result<Summary> {
    let mut reader = client.consumer(&args.topic, ConsumerOptions::reader(args.from)).await?;
    let last = if args.messages.is_none() { reader.last_message_id().await? } else { None };
    let mut tally = Tally::default();
    let mut progress = Progress::new("read", args.messages);
    let has_more = |tally: &Tally, newest: Option<MessageId>| match (args.messages, last) {
        (Some(wanted), _) => tally.messages() < wanted,
        (None, Some(last)) => newest.is_none_or(|newest| newest < last),
        (None, None) => false,
    };
    let mut newest = None;
    // Behind the newest message there is nothing to wait for.
    let starts_behind = args.messages.is_none()
        && match args.from {
            crate::client::Start::Latest => true,
            crate::client::Start::At(id) => {
                last.is_some_and(|last| (id.ledger_id, id.entry_id) > (last.ledger_id, last.entry_id))
            }
            crate::client::Start::Earliest => false,
        };
    while !starts_behind && has_more(&tally, newest) {
        let message = next(&mut reader, args.timeout, &tally).await?;
        tally.add(&message.payload);
        newest = Some(message.id);
        progress.advance(1);
    }
    let elapsed = progress.finish();
    reader.close().await?;
    Ok(tally.summary(elapsed))
}

async fn next(consumer: &mut Consumer, timeout_seconds: u64, tally: &Tally) -> anyhow::Result<Received> {
    match timeout(Duration::from_secs(timeout_seconds), consumer.receive()).await {
        Ok(received) => Ok(received?),
        Err(_) => bail!("no message came for {timeout_seconds} s after {} messages", tally.messages()),
    }
}
