//! Offload to the folder through the plugin, and reading back, for each compression and each way of verifying.
//!
//! Raw figures: `cp` and fsync of the hot segment file, and reading that copy in pieces of 1 MiB. Reading is measured from
//! memory (the file system holds the files) and from the disk (it was told to forget them). `driver` reads the same copy in
//! this process through the plugin, without broker and client, 4 MiB at a time, as the verification does. From memory the
//! client is held against the same file sent through a TCP connection, which is what bounds any broker on one machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore::plugin::{PluginHost, PluginSettings};
use longshore::storage::{DriverLookup, DriverSettings, LedgerId, StoredLedger};

use crate::process::{self, Seed};
use crate::table::{Table, rate};
use crate::{Arguments, MIB, raw};

/// What the driver is asked for at once.
const DRIVER_READ_BYTES: u64 = 4 * MIB;

/// One way of offloading.
#[derive(Clone, Copy)]
struct Way {
    compression: &'static str,
    verify: &'static str,
}

impl Way {
    /// Where zlib decides, one run says enough.
    fn runs(&self, wanted: usize) -> usize {
        if self.compression == "NONE" { wanted } else { 1 }
    }
}

const WAYS: [Way; 6] = [
    Way { compression: "NONE", verify: "full" },
    Way { compression: "NONE", verify: "ends" },
    Way { compression: "RECORD", verify: "full" },
    Way { compression: "RECORD", verify: "ends" },
    Way { compression: "BLOCK", verify: "full" },
    Way { compression: "BLOCK", verify: "ends" },
];

/// Prints the table.
pub(crate) async fn measure(arguments: &Arguments, folder: &Path) -> Result<()> {
    let table = Table::new(
        &format!("### Offload of a ledger of {} MiB, and reading it back", arguments.mib),
        "entries, compression, verification",
        &[
            ("cp+fsync MB/s", 0),
            ("offload MB/s", 0),
            ("of cp", 2),
            ("file from memory MB/s", 0),
            ("driver MB/s", 0),
            ("of file", 2),
            ("file through TCP MB/s", 0),
            ("client MB/s", 0),
            ("of TCP", 2),
            ("file from disk MB/s", 0),
            ("client MB/s", 0),
            ("of file", 2),
            ("driver MB/s", 0),
            ("of file", 2),
        ],
    );
    for (size, message_bytes) in [("1 KiB", 1 << 10), ("64 KiB", 64 << 10)] {
        let name = |way: &Way| format!("{size}, {}, {}", way.compression, way.verify);
        let wanted: Vec<Way> = WAYS.into_iter().filter(|way| arguments.wants_row(&name(way))).collect();
        if wanted.is_empty() {
            continue;
        }
        let seed = Seed::fill(folder, arguments.mib * MIB, message_bytes).await?;
        for way in wanted {
            let mut runs = Vec::new();
            for _ in 0..way.runs(arguments.runs) {
                runs.push(run(folder, &seed, way).await?);
            }
            table.row(&name(&way), &runs);
        }
    }
    Ok(())
}

/// The keys that make a broker offload in this way.
pub(crate) fn keys(home: &Path, compression: &str, verify: &str) -> Result<[(&'static str, String); 2]> {
    let profile = home.join("profile.xml");
    let property = format!("<name>io.seqfile.compression.type</name><value>{compression}</value>");
    fs::write(&profile, format!("<configuration><property>{property}</property></configuration>"))?;
    Ok([("fileSystemProfilePath", profile.display().to_string()), ("longshoreOffloadVerify", verify.to_owned())])
}

async fn run(folder: &Path, seed: &Seed, way: Way) -> Result<Vec<f64>> {
    let home = tempfile::Builder::new().prefix("run-").tempdir_in(folder)?;
    let home = home.path();
    seed.plant(home)?;
    let broker = process::start(home, &keys(home, way.compression, way.verify)?)?;
    let (segment, raw_copy, bytes) = (seed.segment()?, home.join("raw-copy"), seed.sum.bytes);
    raw::warm(&segment)?;

    let copied = raw::copy(&segment, &raw_copy)?;
    let offloaded = process::offload(&broker, home).await?;
    let copy = process::copy_folder(home)?;

    raw::warm(&raw_copy)?;
    raw::warm(&copy)?;
    let raw_warm = raw::read(&raw_copy)?;
    let raw_tcp = raw::read_through_tcp(&raw_copy)?;
    let client_warm = process::read_back(&broker, seed.sum).await?;
    let driver_warm = read_by_driver(home, &copy, bytes).await?;

    raw::forget(&raw_copy)?;
    let raw_disk = raw::read(&raw_copy)?;
    raw::forget(&copy)?;
    let client_disk = process::read_back(&broker, seed.sum).await?;
    raw::forget(&copy)?;
    let driver_disk = read_by_driver(home, &copy, bytes).await?;
    broker.stop()?;

    let pair = |raw: Duration, ours: Duration| [rate(bytes, ours), raw.as_secs_f64() / ours.as_secs_f64()];
    let mut row = vec![rate(bytes, copied)];
    row.extend(pair(copied, offloaded));
    row.push(rate(bytes, raw_warm));
    row.extend(pair(raw_warm, driver_warm));
    row.push(rate(bytes, raw_tcp));
    row.extend(pair(raw_tcp, client_warm));
    row.push(rate(bytes, raw_disk));
    row.extend(pair(raw_disk, client_disk));
    row.extend(pair(raw_disk, driver_disk));
    Ok(row)
}

/// Reads a copy from its first entry to its last through the plugin.
async fn read_by_driver(home: &Path, copy: &Path, payload_bytes: u64) -> Result<Duration> {
    let plugins = PluginHost::load(&home.join("offloaders"), PluginSettings::default());
    let properties = BTreeMap::from([("fileSystemURI".to_owned(), process::tier(home).display().to_string())]);
    let settings = DriverSettings { properties, search_folders: Vec::new() };
    let driver = plugins.driver("filesystem", &settings).await?;
    let stored = stored_ledger(home, copy)?;
    let began = Instant::now();
    let handle = driver.open(&stored).await?;
    let entry_count = handle.metadata().entry_count;
    let (mut next, mut bytes) = (0, 0);
    while next < entry_count {
        let entries = handle.read(next, entry_count - 1, DRIVER_READ_BYTES).await?;
        next += entries.len() as u64;
        bytes += entries.iter().map(|entry| entry.payload.len() as u64).sum::<u64>();
    }
    let took = began.elapsed();
    ensure!(bytes >= payload_bytes, "only {bytes} bytes came back of {payload_bytes}");
    plugins.shutdown(Duration::from_secs(5)).await;
    Ok(took)
}

/// What a copy's folder says of itself: `<tier>/<managed ledger>/<ledger id>-<uid>`.
fn stored_ledger(home: &Path, copy: &Path) -> Result<StoredLedger> {
    let name = copy.file_name().and_then(|name| name.to_str()).context("a copy has a name")?;
    let (ledger_id, uid) = name.split_once('-').context("a copy is named by ledger and uid")?;
    let parent = copy.parent().context("a copy lies in a topic's folder")?;
    let managed_ledger = parent.strip_prefix(process::tier(home))?.display().to_string();
    Ok(StoredLedger {
        ledger_id: LedgerId(ledger_id.parse()?),
        uid: uid.parse()?,
        managed_ledger,
        driver_metadata: BTreeMap::new(),
    })
}
