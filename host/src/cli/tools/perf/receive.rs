//! `consume` and `read`: latencies from publishing to receiving, by the two clocks.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use super::histogram::Histogram;
use super::{EACH_MAX, INTERVAL_SECONDS, Limits, Log, told_to_end};
use crate::cli::grammar::Matches;
use crate::cli::tools::client::{Pace, connected, kind, opened, start};
use crate::client::{Consumer, ConsumerOptions, Start};

/// What receivers may have told and nobody has counted yet.
const TOLD_MAX: usize = 4096;
const BITS_PER_MBIT: f64 = (1024 * 1024) as f64;

/// One message, as far as it is counted.
struct Counted {
    bytes: usize,
    latency_ms: u64,
}

pub(super) async fn receive(log: Log, matches: &Matches, topics: &[String], is_consume: bool) -> anyhow::Result<Value> {
    let limits = Limits::of(matches);
    let consumers =
        if is_consume { consumers(log, matches, topics).await? } else { readers(log, matches, topics).await? };
    let rate = matches.number("-r").unwrap_or(0.0) / consumers.len().max(1) as f64;
    let (sender, receiver) = mpsc::channel(TOLD_MAX);
    let stop = CancellationToken::new();
    let mut receivers = JoinSet::new();
    for consumer in consumers {
        receivers.spawn(one(consumer, is_consume, Pace::new(rate), sender.clone(), stop.clone()));
    }
    drop(sender);
    let mut counter = Counter::new(log, is_consume);
    let ended = tokio::select! {
        ended = counter.count(receiver, limits) => ended,
        () = limits.over() => Some("duration"),
        () = told_to_end() => None,
    };
    if ended.is_some() {
        log.info(format_args!("------------------- DONE -----------------------"));
    }
    // This lets each receiver close its consumer, and with that its acknowledgements arrive.
    stop.cancel();
    let mut failure = None;
    while let Some(joined) = receivers.join_next().await {
        if let Ok(Err(error)) = joined {
            failure.get_or_insert(error);
        }
    }
    let summary = counter.finish();
    match failure {
        Some(error) => Err(error),
        None => Ok(summary),
    }
}

async fn consumers(log: Log, matches: &Matches, topics: &[String]) -> anyhow::Result<Vec<Consumer>> {
    let client = connected(matches, "--service-url").await?;
    let each = matches.number::<u32>("-n").unwrap_or(1).clamp(1, EACH_MAX);
    let names = subscriptions(matches)?;
    let mut consumers = Vec::new();
    for topic in topics {
        log.info(format_args!("Adding {each} consumers per subscription on topic {topic}"));
        for name in &names {
            let options = ConsumerOptions {
                subscription: Some(name.clone()),
                is_durable: true,
                kind: kind(matches.text("-st").unwrap_or_default()),
                start: if matches.text("-sp") == Some("Earliest") { Start::Earliest } else { Start::Latest },
                queue: queue(matches),
            };
            for _ in 0..each {
                consumers.extend(opened(&client, topic, &options).await?);
            }
        }
    }
    log.info(format_args!("Start receiving from {each} consumers per subscription on {} topics", topics.len()));
    Ok(consumers)
}

async fn readers(log: Log, matches: &Matches, topics: &[String]) -> anyhow::Result<Vec<Consumer>> {
    let client = connected(matches, "--service-url").await?;
    let start = start(matches.text("-m").unwrap_or("earliest"))?;
    let options = ConsumerOptions { queue: queue(matches), ..ConsumerOptions::reader(start) };
    let mut readers = Vec::new();
    for topic in topics {
        readers.extend(opened(&client, topic, &options).await?);
    }
    log.info(format_args!("Start reading from {} topics", topics.len()));
    Ok(readers)
}

fn queue(matches: &Matches) -> u32 {
    matches.number::<u32>("-q").filter(|&queue| queue > 0).unwrap_or(1000)
}

/// Names of the subscriptions: as given, or numbered from one.
fn subscriptions(matches: &Matches) -> anyhow::Result<Vec<String>> {
    let count = matches.number::<u32>("-ns").unwrap_or(1).clamp(1, EACH_MAX) as usize;
    let given = matches.all("-ss");
    match given[..] {
        [] if count == 1 => Ok(vec!["sub".to_owned()]),
        [] => Ok((0..count).map(|index| format!("sub-{index}")).collect()),
        [one] if count > 1 => Ok((0..count).map(|index| format!("{one}-{index}")).collect()),
        _ if given.len() == count => Ok(given.into_iter().map(str::to_owned).collect()),
        _ => anyhow::bail!("The size of subscriptions list should be equal to --num-subscriptions"),
    }
}

/// Receives until it is told to stop.
async fn one(
    mut consumer: Consumer,
    is_acknowledged: bool,
    mut pace: Pace,
    told: mpsc::Sender<Counted>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    while !stop.is_cancelled() {
        pace.wait().await;
        let message = tokio::select! {
            // A message that is there costs no look at anything else.
            biased;
            message = consumer.receive() => message?,
            () = stop.cancelled() => break,
        };
        if is_acknowledged {
            consumer.ack(message.id).await;
        }
        let now_ms = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
        let latency_ms = now_ms.saturating_sub(message.publish_time_ms);
        if told.send(Counted { bytes: message.payload.len(), latency_ms }).await.is_err() {
            break;
        }
    }
    consumer.close().await?;
    Ok(())
}

/// Counts what all receivers tell.
struct Counter {
    log: Log,
    is_consume: bool,
    started: Instant,
    since_line: Histogram,
    overall: Histogram,
    messages: u64,
    bytes: u64,
}

impl Counter {
    fn new(log: Log, is_consume: bool) -> Self {
        let (since_line, overall) = (Histogram::new(), Histogram::new());
        Self { log, is_consume, started: Instant::now(), since_line, overall, messages: 0, bytes: 0 }
    }

    /// Answers which limit was met; `None` where all receivers have ended.
    async fn count(&mut self, mut told: mpsc::Receiver<Counted>, limits: Limits) -> Option<&'static str> {
        let mut ticks = interval(Duration::from_secs(INTERVAL_SECONDS));
        ticks.tick().await;
        let mut last = (Instant::now(), 0, 0);
        loop {
            tokio::select! {
                counted = told.recv() => {
                    let counted = counted?;
                    self.messages += 1;
                    self.bytes += counted.bytes as u64;
                    self.since_line.add(counted.latency_ms);
                    if limits.messages == Some(self.messages) {
                        return Some("number");
                    }
                }
                _ = ticks.tick() => {
                    let seconds = last.0.elapsed().as_secs_f64();
                    self.line((self.messages - last.1) as f64 / seconds, (self.bytes - last.2) as f64 / seconds);
                    last = (Instant::now(), self.messages, self.bytes);
                }
            }
        }
    }

    fn line(&mut self, rate: f64, bytes_per_second: f64) {
        let mbit = bytes_per_second * 8.0 / BITS_PER_MBIT;
        let latency = latency(&self.since_line, false);
        match self.is_consume {
            true => self.log.info(format_args!(
                "Throughput received: {:7} msg --- {rate:.3}  msg/s --- {mbit:.3} Mbit/s  --- {latency}",
                self.messages
            )),
            false => self.log.info(format_args!(
                "Read throughput: {:7} msg --- {rate:.3}  msg/s -- {mbit:.3} Mbit/s --- {latency}",
                self.messages
            )),
        }
        self.overall.add_all(&self.since_line);
        self.since_line.clear();
    }

    fn finish(mut self) -> Value {
        self.overall.add_all(&self.since_line);
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.messages as f64 / seconds.max(1e-6);
        let mbit = self.bytes as f64 * 8.0 / seconds.max(1e-6) / BITS_PER_MBIT;
        // Each message that is counted has been acknowledged.
        let acks =
            if self.is_consume { format!(" --- AckRate: {rate}  msg/s --- ack failed 0 msg") } else { String::new() };
        self.log.info(format_args!(
            "Aggregated throughput stats --- {} records received --- {rate:.3} msg/s --- {mbit:.3} Mbit/s{acks}",
            self.messages
        ));
        self.log.info(format_args!("Aggregated latency stats --- {}", latency(&self.overall, true)));
        json!({
            "received": self.messages,
            "seconds": seconds,
            "messagesPerSecond": rate,
            "megabitsPerSecond": mbit,
            "latencyMillis": { "mean": self.overall.mean(), "p50": self.overall.percentile(50.0), "p99": self.overall.percentile(99.0), "max": self.overall.max() },
        })
    }
}

fn latency(of: &Histogram, is_last: bool) -> String {
    let finest = if is_last { format!(" - 99.999pct: {}", of.percentile(99.999)) } else { String::new() };
    format!(
        "Latency: mean: {:.3} ms - med: {} - 95pct: {} - 99pct: {} - 99.9pct: {} - 99.99pct: {}{finest} - Max: {}",
        of.mean(),
        of.percentile(50.0),
        of.percentile(95.0),
        of.percentile(99.0),
        of.percentile(99.9),
        of.percentile(99.99),
        of.max()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_told_in_whole_milliseconds() {
        let mut histogram = Histogram::new();
        histogram.add(7);
        assert_eq!(
            latency(&histogram, false),
            "Latency: mean: 7.000 ms - med: 7 - 95pct: 7 - 99pct: 7 - 99.9pct: 7 - 99.99pct: 7 - Max: 7"
        );
    }
}
