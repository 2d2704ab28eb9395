//! Durable produce by the built-in client, one topic, 1,000 entries in flight, against a raw append of the same payload.
//!
//! The raw writer has the same freedom as the broker: it flushes after as many bytes as can be in flight, at most the
//! 2 MiB at which the broker closes a group (`journalBufferedWritesThreshold`). It runs before and after the broker, and the
//! mean counts. The upper bound flushes once, at the end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;
use longshore::client::{BatchLimits, Client, ProducerOptions};

use crate::process::{self, TOPIC};
use crate::table::{Table, rate};
use crate::{Arguments, MIB, raw};

const IN_FLIGHT: u32 = 1000;
/// `journalBufferedWritesThreshold`.
const GROUP_BYTES_MAX: u64 = 2 * MIB;

struct Load {
    name: &'static str,
    message_bytes: u64,
    batch: Option<BatchLimits>,
    total_bytes: u64,
}

impl Load {
    fn group_bytes(&self) -> u64 {
        let entry_bytes = self.batch.map_or(self.message_bytes, |limits| limits.size_max_bytes as u64);
        (entry_bytes * u64::from(IN_FLIGHT)).min(GROUP_BYTES_MAX)
    }
}

fn loads() -> [Load; 3] {
    [
        Load { name: "1 KiB, an entry each", message_bytes: 1 << 10, batch: None, total_bytes: 128 * MIB },
        Load {
            name: "1 KiB, batches of 128 KiB",
            message_bytes: 1 << 10,
            batch: Some(BatchLimits::default()),
            total_bytes: 512 * MIB,
        },
        Load { name: "64 KiB, an entry each", message_bytes: 64 << 10, batch: None, total_bytes: 512 * MIB },
    ]
}

/// Prints the table.
pub(crate) async fn measure(arguments: &Arguments, folder: &Path) -> Result<()> {
    let table = Table::new(
        "### Durable produce",
        "messages",
        &[("MB/s", 0), ("messages/s", 0), ("raw MB/s", 0), ("of raw", 2), ("one flush MB/s", 0), ("of it", 2)],
    );
    for load in loads().iter().filter(|load| arguments.wants_row(load.name)) {
        let mut runs = Vec::new();
        for _ in 0..arguments.runs {
            let before = raw::append(folder, load.total_bytes, load.group_bytes())?;
            let once = raw::append(folder, load.total_bytes, load.total_bytes)?;
            let ours = produce(folder, load).await?;
            let after = raw::append(folder, load.total_bytes, load.group_bytes())?;
            let grouped = (before + after) / 2;
            let messages = load.total_bytes / load.message_bytes;
            runs.push(vec![
                rate(load.total_bytes, ours),
                messages as f64 / ours.as_secs_f64(),
                rate(load.total_bytes, grouped),
                grouped.as_secs_f64() / ours.as_secs_f64(),
                rate(load.total_bytes, once),
                once.as_secs_f64() / ours.as_secs_f64(),
            ]);
        }
        table.row(load.name, &runs);
    }
    Ok(())
}

async fn produce(folder: &Path, load: &Load) -> Result<Duration> {
    let home = tempfile::tempdir_in(folder)?;
    let broker = process::start(home.path(), &[])?;
    let client = Client::connect(&broker.service_url).await?;
    let options = ProducerOptions { in_flight_max: IN_FLIGHT, batch: load.batch, ..ProducerOptions::default() };
    let mut producer = client.producer(TOPIC, options).await?;
    let payload = raw::payloads(load.message_bytes as usize);
    let began = Instant::now();
    for _ in 0..load.total_bytes / load.message_bytes {
        drop(producer.send(&payload).await?);
    }
    producer.flush().await?;
    let took = began.elapsed();
    producer.close().await?;
    broker.stop()?;
    Ok(took)
}
