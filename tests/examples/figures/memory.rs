//! A large ledger goes out and comes back, and the broker's resident memory stays within the sum of the named bounds.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::BrokerProcess;
use serde_json::Value;

use crate::process::{self, ENTRIES_MAX, Seed};
use crate::table::rate;
use crate::tier::keys;
use crate::{Arguments, MIB, raw};

/// One part of what a broker may hold while it offloads one ledger and one client reads.
struct Bound {
    name: String,
    bytes: u64,
}

/// Prints figures and bounds; fails where the memory exceeds them.
pub(crate) async fn measure(arguments: &Arguments, folder: &Path) -> Result<()> {
    println!("\n### A ledger of {} MiB, and the broker's memory meanwhile", arguments.large_mib);
    for (size, message_bytes) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        if arguments.wants_row(size) {
            let seed = Seed::fill(folder, arguments.large_mib * MIB, message_bytes).await?;
            for compression in
                ["NONE", "BLOCK"].into_iter().filter(|name| arguments.wants_row(&format!("{size}, {name}")))
            {
                run(folder, &seed, size, compression).await?;
            }
        }
    }
    Ok(())
}

async fn run(folder: &Path, seed: &Seed, size: &str, compression: &str) -> Result<()> {
    let home = tempfile::Builder::new().prefix("large-").tempdir_in(folder)?;
    let home = home.path();
    seed.plant(home)?;
    let broker = process::start(home, &keys(home, compression, "full")?)?;
    let bounds = bounds(&broker)?;
    let bytes = seed.sum.bytes;

    let (segment, raw_copy) = (seed.segment()?, home.join("raw-copy"));
    raw::warm(&segment)?;
    let copied = raw::copy(&segment, &raw_copy)?;
    std::fs::remove_file(&raw_copy)?;
    let idle = broker.memory_bytes()?.0;
    let offloaded = process::offload(&broker, home).await?;
    let after_offload = broker.memory_bytes()?.1;
    let read = process::read_back(&broker, seed.sum).await?;
    let after_reading = broker.memory_bytes()?.1;
    broker.stop()?;

    let mib = |bytes: u64| bytes as f64 / MIB as f64;
    let speed = |took: Duration| rate(bytes, took);
    println!("\n{} entries of {size}, {compression}, verified in full:", seed.sum.messages);
    println!(
        "- cp + fsync {:.0} MB/s, offload {:.0} MB/s, {:.2} of cp; read back {:.0} MB/s",
        speed(copied),
        speed(offloaded),
        copied.as_secs_f64() / offloaded.as_secs_f64(),
        speed(read)
    );
    println!(
        "- resident: idle {:.1} MiB, highest after the offload {:.1}, highest after reading {:.1}",
        mib(idle),
        mib(after_offload),
        mib(after_reading)
    );
    let (sum, growth) = (bounds.iter().map(|bound| bound.bytes).sum(), after_reading.saturating_sub(idle));
    println!("- growth {:.1} MiB, the bounds allow {:.1} MiB:", mib(growth), mib(sum));
    for bound in &bounds {
        println!("  - {:.1} MiB {}", mib(bound.bytes), bound.name);
    }
    ensure!(growth <= sum, "the broker grew by {growth} bytes, its bounds sum up to {sum}");
    Ok(())
}

/// What may be held at once for one ledger that is offloaded, and then for one client that reads, as the broker itself
/// reports its settings.
fn bounds(broker: &BrokerProcess) -> Result<Vec<Bound>> {
    let settings = broker.get("/brokers/configuration/runtime")?;
    let number = |key: &str| {
        let value = settings.get(key).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
        value.with_context(|| format!("the broker reports no number for {key}"))
    };
    let batches = number("managedLedgerOffloadPrefetchRounds")? + 2;
    let reading = number("dispatcherMaxReadSizeBytes")?;
    Ok([
        (
            format!("batches of 4 MiB of the driver `filesystem` (managedLedgerOffloadPrefetchRounds + 2 = {batches})"),
            batches * 4 * MIB,
        ),
        ("two reads of the verification, 4 MiB each".to_owned(), 8 * MIB),
        (
            format!(
                "checksums of an offload, 8 bytes for each entry (managedLedgerMaxEntriesPerLedger = {ENTRIES_MAX})"
            ),
            8 * ENTRIES_MAX,
        ),
        (
            "offset indexes of closed ledgers (longshoreLedgerIndexCacheSizeMB)".to_owned(),
            number("longshoreLedgerIndexCacheSizeMB")? * MIB,
        ),
        (
            "recent entries and reading ahead (managedLedgerCacheSizeMB)".to_owned(),
            number("managedLedgerCacheSizeMB")? * MIB,
        ),
        ("one read for consumers (dispatcherMaxReadSizeBytes)".to_owned(), reading),
        ("bytes queued for one client, 8 MiB, and one read beyond it".to_owned(), 8 * MIB + reading),
    ]
    .map(|(name, bytes)| Bound { name, bytes })
    .into())
}
