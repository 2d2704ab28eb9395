//! Measures offload to a folder and sequential read-back in MB/s, each beside the raw figure of the same run: copying the
//! same bytes file to file with an fsync at the end, and reading that file. MB = 10^6 bytes of payload, 1 KiB entries.
//!
//! `cargo run --release -p tiered-storage-file-system --example throughput [FOLDER [MIB]]`
//!
//! Expected: with NONE a copy, a CRC-32 and a write for each byte, so at least half of the raw figures; with RECORD and
//! BLOCK zlib decides, some tens of MB/s for each core while writing.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{
    DriverConfig, Entry, LedgerMetadata, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, ReadHandle, Result,
    StoredLedger,
};
use tiered_storage_file_system::FileSystemFactory;
use uuid::Uuid;

const ENTRY_BYTES: usize = 1024;
/// What a broker asks for at once while it reads a topic back.
const READ_BYTES: u64 = 4 << 20;
const RUNS: usize = 3;

/// A ledger in one file, as the broker's own hot ledgers are.
struct LedgerFile {
    file: File,
    metadata: LedgerMetadata,
}

impl LedgerSource for LedgerFile {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        let count = (max_bytes / ENTRY_BYTES as u64).clamp(1, last - first + 1);
        Box::pin(async move {
            let mut bytes = vec![0; count as usize * ENTRY_BYTES];
            self.file.read_exact_at(&mut bytes, first * ENTRY_BYTES as u64).expect("the source file was written whole");
            let bytes = Bytes::from(bytes);
            let payload = |at: usize| bytes.slice(at * ENTRY_BYTES..(at + 1) * ENTRY_BYTES);
            Ok((0..count).map(|at| Entry { entry_id: first + at, payload: payload(at as usize) }).collect())
        })
    }

    fn progress(&self, _bytes: u64) {}
}

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from).join("longshore-throughput");
    let mib: usize = arguments.next().and_then(|text| text.parse().ok()).unwrap_or(256);
    fs::create_dir_all(&folder)?;
    let result = measure(&folder, mib << 20);
    fs::remove_dir_all(&folder)?;
    result
}

fn measure(folder: &Path, bytes: usize) -> io::Result<()> {
    let source = folder.join("source");
    write_source(&source, bytes)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build()?;
    println!("{:24} {:>10} {:>10} {:>8} {:>8}", "", "write MB/s", "read MB/s", "write x", "read x");
    for _ in 0..RUNS {
        let raw = raw_figures(folder, &source, bytes)?;
        println!("{:24} {:10.0} {:10.0}", "cp + fsync, read", raw.0, raw.1);
        for compression in ["NONE", "RECORD", "BLOCK"] {
            let driver = runtime.block_on(driver_figures(folder, &source, bytes, compression));
            let (write, read) = driver.map_err(io::Error::other)?;
            println!("{:24} {write:10.0} {read:10.0} {:8.2} {:8.2}", compression, write / raw.0, read / raw.1);
        }
    }
    Ok(())
}

/// Payloads that compress to about a half: random letters out of 16.
fn write_source(path: &Path, bytes: usize) -> io::Result<()> {
    let mut random = fastrand::Rng::with_seed(1);
    let mut file = File::create(path)?;
    for _ in 0..bytes >> 20 {
        let chunk: Vec<u8> = (0..1 << 20).map(|_| b'a' + random.u8(0..16)).collect();
        file.write_all(&chunk)?;
    }
    file.sync_all()
}

fn raw_figures(folder: &Path, source: &Path, bytes: usize) -> io::Result<(f64, f64)> {
    let target = folder.join("raw");
    let started = Instant::now();
    fs::copy(source, &target)?;
    File::open(&target)?.sync_all()?;
    let write = rate(bytes, started);
    let mut buffer = vec![0; 1 << 20];
    let started = Instant::now();
    let mut file = File::open(&target)?;
    while file.read(&mut buffer)? > 0 {}
    let read = rate(bytes, started);
    fs::remove_file(&target)?;
    Ok((write, read))
}

async fn driver_figures(folder: &Path, source: &Path, bytes: usize, compression: &str) -> Result<(f64, f64)> {
    let profile = folder.join("profile.xml");
    let xml = "<configuration><property><name>io.seqfile.compression.type</name><value>";
    fs::write(&profile, format!("{xml}{compression}</value></property></configuration>")).expect("the folder is ours");
    let properties = [("fileSystemURI", folder.join("tier")), ("fileSystemProfilePath", profile)];
    let properties = properties.map(|(key, path)| (key.to_owned(), path.display().to_string())).into();
    let config = DriverConfig { driver: "filesystem".to_owned(), properties, search_folders: Vec::new() };
    let driver = FileSystemFactory::create(config).await?;

    let (ledger_id, uid, managed_ledger) = (1, Uuid::nil(), "a/b/persistent/c".to_owned());
    let entry_count = (bytes / ENTRY_BYTES) as u64;
    let metadata = LedgerMetadata {
        ledger_id,
        entry_count,
        length_bytes: bytes as u64,
        created_ms: 0,
        closed: true,
        custom: Vec::new(),
    };
    let file = File::open(source).expect("the source was written");
    let ledger = LedgerReader::new(Arc::new(LedgerFile { file, metadata }));
    let request = OffloadRequest { ledger_id, uid, managed_ledger: managed_ledger.clone(), extra: Default::default() };
    let started = Instant::now();
    driver.offload(ledger, request).await?;
    let write = rate(bytes, started);

    let stored = StoredLedger { ledger_id, uid, managed_ledger, driver_metadata: Default::default() };
    let started = Instant::now();
    let handle = driver.open_read(stored.clone()).await?;
    let mut next = 0;
    while next < entry_count {
        next += handle.read(next, entry_count - 1, READ_BYTES).await?.len() as u64;
    }
    let read = rate(bytes, started);
    driver.delete(stored).await?;
    Ok((write, read))
}

fn rate(bytes: usize, started: Instant) -> f64 {
    bytes as f64 / 1e6 / started.elapsed().as_secs_f64()
}
