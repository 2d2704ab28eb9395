//! A producer that sends evenly and writes down for each message when it was sent and how long its receipt took.
//!
//! The file has 16 bytes for each message that was stored, in the order of receipts: microseconds since 1970 at which it was
//! sent, and microseconds until its receipt, both little-endian.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use longshore::client::{Client, ProducerOptions, Receipt};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

/// How often what is due is sent.
const TICK: Duration = Duration::from_millis(1);
/// Receipts that are waited for, more than can be in flight.
const RECEIPTS_MAX: usize = 1 << 16;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// `pulsar://host:port`.
    #[arg(long)]
    url: String,
    #[arg(long)]
    topic: String,
    /// Messages in a second.
    #[arg(long, default_value_t = 5000)]
    rate: u32,
    /// Bytes of each.
    #[arg(long, default_value_t = 1024)]
    bytes: usize,
    /// Where the latencies are written.
    #[arg(long)]
    out: PathBuf,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let out = File::create(&arguments.out).with_context(|| format!("create {}", arguments.out.display()))?;
    let client = Client::connect(&arguments.url).await?;
    let mut producer = client.producer(&arguments.topic, ProducerOptions::default()).await?;
    let (sent, receipts) = mpsc::channel(RECEIPTS_MAX);
    let noted = tokio::spawn(note(receipts, BufWriter::new(out)));
    let payload: Vec<u8> = (0..arguments.bytes).map(|_| fastrand::u8(..)).collect();
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut told_to_end = signal(SignalKind::terminate()).context("wait for signals")?;
    let (started, mut count) = (Instant::now(), 0);
    loop {
        tokio::select! {
            _ = told_to_end.recv() => break,
            _ = ticks.tick() => {}
        }
        let due = (started.elapsed().as_secs_f64() * f64::from(arguments.rate)) as u64;
        while count < due {
            let message = (SystemTime::now(), Instant::now(), producer.send(&payload).await?);
            sent.send(message).await.context("the receipts are noted")?;
            count += 1;
        }
    }
    drop(sent);
    producer.close().await?;
    noted.await.context("wait for the last receipts")?
}

async fn note(mut receipts: mpsc::Receiver<(SystemTime, Instant, Receipt)>, mut out: BufWriter<File>) -> Result<()> {
    while let Some((at, sent, receipt)) = receipts.recv().await {
        receipt.message_id().await?;
        let took = sent.elapsed().as_micros() as u64;
        let at = at.duration_since(UNIX_EPOCH)?.as_micros() as u64;
        out.write_all(&at.to_le_bytes())?;
        out.write_all(&took.to_le_bytes())?;
    }
    out.flush()?;
    Ok(())
}
