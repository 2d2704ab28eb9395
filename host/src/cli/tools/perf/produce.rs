//! `produce`: messages at a rate, batches on a clock, latencies from the call to the broker's receipt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval};

use super::histogram::Histogram;
use super::{EACH_MAX, INTERVAL_SECONDS, Limits, Log, told_to_end};
use crate::cli::grammar::Matches;
use crate::cli::tools::client::connected;
use crate::cli::tools::client::parts;
use crate::client::{BatchLimits, ClientError, Outgoing, Producer, ProducerOptions, Receipt};

/// Receipts that may wait to be looked at: more than entries on their way hold messages, so that nothing waits for it.
const RECEIPTS_MAX: usize = 1 << 16;
/// Messages that are sent at a stretch before the clock is looked at.
const BURST_MAX: u64 = 512;
const BITS_PER_MBIT: f64 = (1024 * 1024) as f64;

/// What was measured, and not yet logged.
struct Measured {
    since_line: Histogram,
    overall: Histogram,
    stored: u64,
    failed: u64,
    first_failure: Option<ClientError>,
}

pub(super) async fn produce(log: Log, matches: &Matches, topics: &[String]) -> anyhow::Result<Value> {
    let limits = Limits::of(matches);
    let client = connected(matches, "--service-url").await?;
    let options = ProducerOptions {
        name: matches.text("-pn").map(str::to_owned),
        in_flight_max: matches.number::<u32>("-o").filter(|&entries| entries > 0).unwrap_or(1000).min(100_000),
        batch: (!matches.has("-db")).then(|| BatchLimits {
            messages_max: matches.number("-bm").unwrap_or(1000),
            // A batch of the original's default would be more than some brokers take in one entry.
            size_max_bytes: matches.number::<usize>("-bb").unwrap_or(1 << 20).min(1 << 20),
        }),
    };
    let each = matches.number::<u32>("-n").unwrap_or(1).clamp(1, EACH_MAX);
    let mut producers = Vec::new();
    for topic in topics {
        log.info(format_args!("Adding {each} publishers on topic {topic}"));
        for part in parts(&client, topic).await? {
            for _ in 0..each {
                producers.push(client.producer(&part, options.clone()).await?);
            }
        }
    }
    log.info(format_args!("Created {} producers", producers.len()));

    let measured = Arc::new(Mutex::new(Measured {
        since_line: Histogram::new(),
        overall: Histogram::new(),
        stored: 0,
        failed: 0,
        first_failure: None,
    }));
    let (sender, receipts) = mpsc::channel(RECEIPTS_MAX);
    let watcher = tokio::spawn(watch(receipts, Arc::clone(&measured)));
    let mut work = Work::new(matches, producers, sender)?;
    let started = Instant::now();
    let reporter = report(log, &measured, work.payload_bytes, started);
    let done = tokio::select! {
        done = work.send(limits) => done?,
        () = limits.over() => Some(format!("duration: [{} seconds]", matches.text("-time").unwrap_or_default())),
        () = told_to_end() => None,
        () = reporter => None,
    };
    if let Some(what) = done {
        log.info(format_args!("------------- DONE (reached the maximum {what} of production) --------------"));
    }
    let mean_payload_bytes = work.payload_bytes;
    let sent = work.sent;
    work.close().await?;
    watcher.await.context("wait for the last receipts")?;
    let measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
    let seconds = started.elapsed().as_secs_f64();
    finish(log, &measured, sent, seconds, mean_payload_bytes)
}

/// Sends, until a limit is met.
struct Work {
    producers: Vec<Producer>,
    payloads: Vec<Vec<u8>>,
    payload_bytes: f64,
    /// Messages in a second; 0 is as fast as possible.
    rate: f64,
    keys: Option<bool>,
    receipts: mpsc::Sender<(Instant, Receipt)>,
    batch_window: Duration,
    sent: u64,
}

impl Work {
    fn new(
        matches: &Matches,
        producers: Vec<Producer>,
        receipts: mpsc::Sender<(Instant, Receipt)>,
    ) -> anyhow::Result<Self> {
        let payloads = payloads(matches)?;
        let bytes: usize = payloads.iter().map(Vec::len).sum();
        let window_ms = matches.number::<f64>("-b").unwrap_or(1.0).clamp(0.1, 10_000.0);
        Ok(Self {
            producers,
            payload_bytes: bytes as f64 / payloads.len() as f64,
            payloads,
            rate: matches.number::<f64>("-r").unwrap_or(100.0).max(0.0),
            keys: matches.text("-mk").map(|mode| mode == "random"),
            receipts,
            batch_window: Duration::from_secs_f64(window_ms / 1000.0),
            sent: 0,
        })
    }

    /// Answers which limit was met.
    async fn send(&mut self, limits: Limits) -> anyhow::Result<Option<String>> {
        let mut ticks = interval(self.batch_window);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let started = Instant::now();
        let wanted = limits.messages.unwrap_or(u64::MAX);
        while self.sent < wanted {
            let due = match self.rate {
                0.0 => self.sent.saturating_add(BURST_MAX),
                rate => (started.elapsed().as_secs_f64() * rate) as u64 + 1,
            };
            let until = due.min(wanted).min(self.sent.saturating_add(BURST_MAX));
            let is_behind = self.rate > 0.0 && due > until;
            while self.sent < until {
                self.send_one().await?;
            }
            if self.rate > 0.0 && !is_behind {
                for producer in &mut self.producers {
                    producer.send_batch().await?;
                }
                ticks.tick().await;
            } else {
                tokio::task::yield_now().await;
            }
        }
        Ok(Some(format!("number: {wanted}")))
    }

    async fn send_one(&mut self) -> anyhow::Result<()> {
        let index = (self.sent % self.producers.len() as u64) as usize;
        let payload = &self.payloads[(self.sent % self.payloads.len() as u64) as usize];
        let key =
            self.keys.map(|is_random| if is_random { fastrand::u32(..).to_string() } else { self.sent.to_string() });
        let message = Outgoing { payload, key: key.as_deref(), properties: &[] };
        let at = Instant::now();
        let receipt = self.producers[index].send_message(message).await?;
        self.sent += 1;
        // A watcher that has gone has told why.
        let _ = self.receipts.send((at, receipt)).await;
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        for producer in self.producers {
            producer.close().await?;
        }
        Ok(())
    }
}

/// What is sent, one after the other.
fn payloads(matches: &Matches) -> anyhow::Result<Vec<Vec<u8>>> {
    let Some(path) = matches.text("-f") else {
        let size = matches.number::<usize>("-s").unwrap_or(1024);
        let mut payload = vec![0; size.min(128 << 20)];
        let mut random = fastrand::Rng::with_seed(0);
        payload.iter_mut().for_each(|byte| *byte = random.u8(b'A'..=b'Z'));
        return Ok(vec![payload]);
    };
    let text = std::fs::read_to_string(path).with_context(|| format!("read the payload file {path}"))?;
    let delimiter = matches.text("-e").unwrap_or("\\n").replace("\\n", "\n");
    let payloads: Vec<Vec<u8>> = match delimiter.as_str() {
        "" => vec![text.into_bytes()],
        delimiter => {
            text.split(delimiter).filter(|part| !part.is_empty()).map(|part| part.as_bytes().to_vec()).collect()
        }
    };
    anyhow::ensure!(!payloads.is_empty(), "the payload file {path} is empty");
    Ok(payloads)
}

/// Waits for receipts in the order of sending.
async fn watch(mut receipts: mpsc::Receiver<(Instant, Receipt)>, measured: Arc<Mutex<Measured>>) {
    while let Some((at, receipt)) = receipts.recv().await {
        let answer = receipt.message_id().await;
        let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(_) => {
                let micros = at.elapsed().as_micros() as u64;
                measured.since_line.add(micros);
                measured.stored += 1;
            }
            Err(error) => {
                measured.failed += 1;
                measured.first_failure.get_or_insert(error);
            }
        }
    }
}

/// Logs a line now and then; never ends.
async fn report(log: Log, measured: &Mutex<Measured>, payload_bytes: f64, started: Instant) {
    let mut ticks = interval(Duration::from_secs(INTERVAL_SECONDS));
    ticks.tick().await;
    let mut last = (started, 0, 0);
    loop {
        ticks.tick().await;
        let mut measured = measured.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = last.0.elapsed().as_secs_f64();
        let rate = (measured.stored - last.1) as f64 / seconds;
        log.info(format_args!(
            "Throughput produced: {:7} msg --- {rate:8.1} msg/s --- {:8.1} Mbit/s  --- failure {:8.1} msg/s --- {}",
            measured.stored,
            rate * payload_bytes * 8.0 / BITS_PER_MBIT,
            (measured.failed - last.2) as f64 / seconds,
            latency(&measured.since_line, false)
        ));
        last = (Instant::now(), measured.stored, measured.failed);
        settle(&mut measured);
    }
}

/// What was measured since the last line becomes a part of the whole.
fn settle(measured: &mut Measured) {
    let Measured { since_line, overall, .. } = measured;
    overall.add_all(since_line);
    since_line.clear();
}

fn latency(of: &Histogram, is_last: bool) -> String {
    let ms = |micros: u64| micros as f64 / 1000.0;
    let at = |percent: f64| ms(of.percentile(percent));
    let finest = if is_last { format!(" - 99.999pct: {:7.3}", at(99.999)) } else { String::new() };
    format!(
        "Latency: mean: {:7.3} ms - med: {:7.3} - 95pct: {:7.3} - 99pct: {:7.3} - 99.9pct: {:7.3} - 99.99pct: {:7.3}\
         {finest} - Max: {:7.3}",
        of.mean() / 1000.0,
        at(50.0),
        at(95.0),
        at(99.0),
        at(99.9),
        at(99.99),
        ms(of.max())
    )
}

fn finish(log: Log, measured: &Measured, sent: u64, seconds: f64, payload_bytes: f64) -> anyhow::Result<Value> {
    let mut overall = measured.overall.clone();
    overall.add_all(&measured.since_line);
    let rate = measured.stored as f64 / seconds.max(1e-6);
    let mbit = rate * payload_bytes * 8.0 / BITS_PER_MBIT;
    log.info(format_args!(
        "Aggregated throughput stats --- {} records sent --- {rate:.3} msg/s --- {mbit:.3} Mbit/s ",
        measured.stored
    ));
    log.info(format_args!("Aggregated latency stats --- {}", latency(&overall, true)));
    if let Some(failure) = &measured.first_failure {
        anyhow::bail!("{} of {sent} messages were not stored; the first because {failure}", measured.failed);
    }
    Ok(json!({
        "sent": measured.stored,
        "seconds": seconds,
        "messagesPerSecond": rate,
        "megabitsPerSecond": mbit,
        "latencyMicros": { "mean": overall.mean(), "p50": overall.percentile(50.0), "p99": overall.percentile(99.0), "p999": overall.percentile(99.9), "max": overall.max() },
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_told_in_milliseconds() {
        let mut histogram = Histogram::new();
        histogram.add(1500);
        histogram.add(2500);
        assert_eq!(
            latency(&histogram, false),
            "Latency: mean:   2.000 ms - med:   1.500 - 95pct:   2.500 - 99pct:   2.500 - 99.9pct:   2.500 - 99.99pct:   \
             2.500 - Max:   2.500"
        );
        assert!(latency(&histogram, true).contains(" - 99.999pct:   2.500 - Max:   2.500"));
    }
}
