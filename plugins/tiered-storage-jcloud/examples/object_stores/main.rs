//! Measures the driver `aws-s3` beside a raw client on the same server in one run: offload and read-back of a ledger, many
//! ledgers, many readers, random entries. Medians; MB is 10^6 bytes of payload.
//!
//! `cargo run --release -p tiered-storage-jcloud --example object_stores -- [--mib N] [--runs N] [--only TEXT]
//! [--endpoint URL --bucket B --access-key A --secret-key S]`
//!
//! Without `--endpoint` the server is this program's own null store, in a process of its own: it neither hashes nor writes, so
//! that the client is what is measured. The driver makes one CRC32C of each byte, on the way out and back; the raw client is
//! measured without and with one. Processor time is this process's; memory is that of a run of its own, because looking at it
//! costs processor time.
//!
//! Expected: what the driver does beside a raw client with checksums is small beside the sending, so at least 0.95 of it;
//! entries of 1 KiB are copied together, and taken apart one by one.

mod ledger;
mod null_store;
mod process;
mod raw;
mod rows;
mod table;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Parser;
use longshore_plugin_api::{DriverConfig, OffloaderFactory};
use tiered_storage_jcloud::{ObjectStoreFactory, ObjectStoreOffloader};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Parts that are under way at once, of the driver and of the raw client.
pub(crate) const PARTS_IN_FLIGHT: usize = 4;

#[derive(Parser)]
struct Arguments {
    /// Serve as the null store.
    #[arg(long, hide = true)]
    serve: bool,
    /// Payload of a ledger, MiB.
    #[arg(long, default_value_t = 1024)]
    mib: u64,
    /// Runs of each row, of which the median is shown.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Only rows whose text contains this.
    #[arg(long, default_value = "")]
    only: String,
    /// Server to measure on.
    #[arg(long, requires_all = ["bucket", "access_key", "secret_key"])]
    endpoint: Option<String>,
    /// An existing bucket.
    #[arg(long)]
    bucket: Option<String>,
    /// Access key.
    #[arg(long)]
    access_key: Option<String>,
    /// Secret key.
    #[arg(long)]
    secret_key: Option<String>,
}

/// Where the bucket is.
pub(crate) struct Target {
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
    null_store: Option<Child>,
}

/// Requests that a null store answered so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counters {
    pub(crate) puts: u64,
    pub(crate) gets: u64,
    pub(crate) bytes_out: u64,
}

impl Target {
    fn new(arguments: Arguments) -> Result<Self> {
        let word = |value: Option<String>| value.unwrap_or_else(|| "figures".to_owned());
        let (bucket, access_key, secret_key) =
            (word(arguments.bucket), word(arguments.access_key), word(arguments.secret_key));
        if let Some(endpoint) = arguments.endpoint {
            return Ok(Self { endpoint, bucket, access_key, secret_key, null_store: None });
        }
        let mut server = Command::new(std::env::current_exe()?);
        let mut server = server.arg("--serve").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let mut address = String::new();
        BufReader::new(server.stdout.take().context("the null store has no output")?).read_line(&mut address)?;
        let endpoint = format!("http://{}", address.trim());
        Ok(Self { endpoint, bucket, access_key, secret_key, null_store: Some(server) })
    }

    /// What the null store counted; `None` on another server.
    pub(crate) async fn counters(&self) -> Result<Option<Counters>> {
        if self.null_store.is_none() {
            return Ok(None);
        }
        let mut socket = TcpStream::connect(self.endpoint.trim_start_matches("http://")).await?;
        socket.write_all(b"GET /-/counters HTTP/1.1\r\n\r\n").await?;
        socket.shutdown().await?;
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await?;
        let numbers = answer.rsplit("\r\n").next().unwrap_or_default().split(' ').map(str::parse::<u64>);
        match numbers.collect::<Result<Vec<_>, _>>()?[..] {
            [puts, gets, _, _, bytes_out] => Ok(Some(Counters { puts, gets, bytes_out })),
            _ => bail!("the null store answered {answer:?}"),
        }
    }

    /// A driver with nothing in its caches.
    pub(crate) async fn driver(&self, more: &[(&str, &str)]) -> Result<ObjectStoreOffloader> {
        let own = [
            ("s3ManagedLedgerOffloadServiceEndpoint", self.endpoint.as_str()),
            ("s3ManagedLedgerOffloadRegion", "us-east-1"),
            ("s3ManagedLedgerOffloadBucket", &self.bucket),
            ("s3ManagedLedgerOffloadCredentialId", &self.access_key),
            ("s3ManagedLedgerOffloadCredentialSecret", &self.secret_key),
        ];
        let pairs = own.iter().chain(more).map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
        let properties: BTreeMap<String, String> = pairs.collect();
        let config = DriverConfig { driver: "aws-s3".to_owned(), properties, search_folders: Vec::new() };
        ObjectStoreFactory::create(config).await.context("make the driver")
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if let Some(server) = &mut self.null_store {
            // It may have ended by itself.
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    // The raw client's HTTP client asks for the process's provider.
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        bail!("another TLS provider is installed already");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if arguments.serve {
        return runtime.block_on(null_store::serve());
    }
    let plan = rows::Plan { ledger_bytes: arguments.mib << 20, runs: arguments.runs, only: arguments.only.clone() };
    let target = Target::new(arguments)?;
    let server = if target.null_store.is_some() { "a null store" } else { target.endpoint.as_str() };
    let cores = std::thread::available_parallelism().map_or(0, |count| count.get());
    println!("{cores} cores, {PARTS_IN_FLIGHT} parts at once, on {server}");
    runtime.block_on(rows::measure(&target, &plan))
}
