//! Measures the driver `filesystem` beside a raw client that moves the same bytes in the same run, on a local folder or on a real
//! HDFS: offload and read-back of a ledger, many ledgers, many readers, random entries. Medians; MB is 10^6 bytes of payload.
//!
//! `cargo run --release -p tiered-storage-file-system --example map_files -- [--folder FOLDER | --hdfs URL] [--mib N] [--runs N]
//! [--only TEXT]`
//!
//! Payloads are random letters out of 16, which zlib makes half of. A folder's raw client is measured plain, with one buffer that
//! it uses again, and checked, as whoever hands bytes on must read and write them: a CRC-32 of each 512 bytes kept beside the
//! file, memory of its own for each piece that it read, and a CRC-32 of it. HDFS's own client makes checksums of everything, on
//! either side. Processor time is this process's; memory is that of a run of its own, because looking at it costs processor time.
//!
//! Expected: with `NONE` the driver does what the checked client does and cuts pieces into entries, so at least 0.95 of it for
//! 64 KiB; `RECORD` and `BLOCK` are zlib on one core, some tens of MB/s out and some hundreds back.

mod place;
mod raw;
mod rows;

// One ledger, one measure and one form of tables for the benches of both plugins.
#[path = "../../../tiered-storage-jcloud/examples/object_stores/ledger.rs"]
mod ledger;
#[path = "../../../tiered-storage-jcloud/examples/object_stores/process.rs"]
mod process;
#[path = "../../../tiered-storage-jcloud/examples/object_stores/table.rs"]
mod table;

use std::path::PathBuf;

use anyhow::Result;
use clap::Parser;

use crate::ledger::Pool;
use crate::place::Place;

#[derive(Parser)]
struct Arguments {
    /// A folder on the disk to measure; a folder is made in it and removed again.
    #[arg(long, default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
    /// The HDFS to measure in place of a folder, as hdfs://host:port.
    #[arg(long)]
    hdfs: Option<String>,
    /// Payload of a ledger, MiB.
    #[arg(long, default_value_t = 512)]
    mib: u64,
    /// Runs of each row, of which the median is shown; what is compressed has one.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only rows whose text contains this.
    #[arg(long, default_value = "")]
    only: String,
}

fn main() -> Result<()> {
    let Arguments { folder, hdfs, mib, runs, only } = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    let pool = Pool::new();
    let plan = rows::Plan { ledger_bytes: mib << 20, runs, only };
    runtime.block_on(async {
        let place = match hdfs {
            Some(url) => Place::hdfs(&folder, url, &pool).await?,
            None => Place::folder(&folder, &pool)?,
        };
        println!("{cores} cores, on {}", place.name());
        let measured = rows::measure(&place, &pool, &plan).await;
        let removed = place.remove().await;
        measured.and(removed)
    })
}
