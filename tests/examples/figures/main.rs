//! The figures of docs/benchmarks.md: what the product does beside what the machine does with the same bytes, in one run.
//!
//! The broker is the real release binary as a process of its own, the driver the real `filesystem` plugin, the client the
//! built-in one, all on one machine. Every ratio is taken against a raw figure measured right before it, because a shared
//! disk changes its mind within minutes; of several runs the median of each column is shown. MB is 10^6 bytes of payload.
//!
//! Expectation: a durable produce is bound by the flush of each group; an offload with NONE costs a copy, two checksums and
//! a write for each byte and one more reading for the verification, so half of `cp`; reading back costs two copies through
//! the socket and three checksums. RECORD and BLOCK are zlib, some tens of MB/s for each core.
//!
//! `cargo run --release -p longshore-tests --example figures -- [--folder DIR] [--runs N] [--mib N] [--large-mib N] [PART...]`

mod machine;
mod memory;
mod process;
mod produce;
mod raw;
mod start;
mod table;
mod tier;

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};

/// Bytes of a mebibyte.
const MIB: u64 = 1 << 20;

#[derive(Parser)]
struct Arguments {
    /// Folder on the disk to measure; a new one below it is made and removed.
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// Runs of each row, of which the median is shown; rows that compress have one.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// Payload of a ledger that is offloaded, MiB.
    #[arg(long, default_value_t = 512)]
    mib: u64,
    /// Payload of the ledger whose offload must fit the bounds of memory, MiB.
    #[arg(long, default_value_t = 2048)]
    large_mib: u64,
    /// Only rows whose text contains this.
    #[arg(long)]
    only: Option<String>,
    /// What to measure; everything where nothing is named.
    #[arg(value_enum)]
    parts: Vec<Part>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Durable produce.
    Produce,
    /// Offload and reading back.
    Tier,
    /// A large ledger, and the broker's memory meanwhile.
    Memory,
    /// How soon a broker serves.
    Start,
}

impl Arguments {
    fn wants(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }

    fn wants_row(&self, row: &str) -> bool {
        self.only.as_ref().is_none_or(|only| row.contains(only.as_str()))
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let parent = arguments.folder.canonicalize().with_context(|| format!("find {}", arguments.folder.display()))?;
    let folder = tempfile::Builder::new().prefix("figures-").tempdir_in(parent).context("make a folder")?;
    machine::print(folder.path());
    if arguments.wants(Part::Produce) {
        produce::measure(&arguments, folder.path()).await?;
    }
    if arguments.wants(Part::Tier) {
        tier::measure(&arguments, folder.path()).await?;
    }
    if arguments.wants(Part::Memory) {
        memory::measure(&arguments, folder.path()).await?;
    }
    if arguments.wants(Part::Start) {
        start::measure(&arguments, folder.path()).await?;
    }
    println!("\nload at the end: {}", machine::load());
    Ok(())
}
