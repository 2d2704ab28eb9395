//! Reads copies of ledgers that the original wrote, and writes the same ledgers in our forms: the Rust side of
//! `tests/interchange`.
//!
//! ```text
//! interchange entries COPY            one line for each entry: entry id, length, CRC32C of its payload in hex; tab separated
//! interchange rewrite COPY --to FOLDER [--index FORM] [--block-bytes N] [--granule-bytes N] [--compression KIND]
//! ```
//! `COPY` is the path of a data object, named by its key and with its index beside it, or a MapFile's folder. Entries are
//! read by the readers that the drivers use, from front to back and then each by itself in a shuffled order, and must be the
//! same both times. `rewrite` goes through the drivers' writers, and leaves `COPY` alone.

mod map_files;
mod objects;

use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::{Result, ensure};
use block_format::IndexForm;
use bytes::Bytes;
use clap::{Parser, Subcommand, ValueEnum};
use map_file::Compression;

#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Prints what a copy holds.
    Entries { copy: PathBuf },
    /// Writes a copy's ledger again, under the same name in another folder.
    Rewrite {
        copy: PathBuf,
        /// Where to.
        #[arg(long)]
        to: PathBuf,
        #[command(flatten)]
        form: Form,
    },
}

/// How a copy is written. Options of the other kind of copy are ignored.
#[derive(Clone, Copy, clap::Args)]
struct Form {
    /// What an object's index holds.
    #[arg(long, value_enum, default_value = "checked")]
    index: IndexName,
    /// Bytes of an object's block.
    #[arg(long, default_value_t = block_format::layout::BLOCK_BYTES_DEFAULT)]
    block_bytes: u64,
    /// Bytes of an object's granule.
    #[arg(long, default_value_t = block_format::layout::GRANULE_BYTES_DEFAULT)]
    granule_bytes: u64,
    /// Of a MapFile's data.
    #[arg(long, value_enum, default_value = "none")]
    compression: CompressionName,
}

#[derive(Clone, Copy, ValueEnum)]
enum IndexName {
    Sparse,
    Dense,
    Checked,
}

#[derive(Clone, Copy, ValueEnum)]
enum CompressionName {
    None,
    Record,
    Block,
}

impl Form {
    fn index(self) -> IndexForm {
        match self.index {
            IndexName::Sparse => IndexForm::Sparse,
            IndexName::Dense => IndexForm::Dense,
            IndexName::Checked => IndexForm::Checked,
        }
    }

    fn compression(self) -> Compression {
        match self.compression {
            CompressionName::None => Compression::None,
            CompressionName::Record => Compression::Record,
            CompressionName::Block => Compression::Block,
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Entries { copy } if copy.is_dir() => print(&map_files::entries(&copy)?),
        Command::Entries { copy } => print(&objects::entries(&copy).await?),
        Command::Rewrite { copy, to, form } if copy.is_dir() => map_files::rewrite(&copy, &to, form.compression()),
        Command::Rewrite { copy, to, form } => objects::rewrite(&copy, &to, form).await,
    }
}

fn print(payloads: &[Bytes]) -> Result<()> {
    let mut out = BufWriter::new(std::io::stdout().lock());
    for (entry_id, payload) in payloads.iter().enumerate() {
        writeln!(out, "{entry_id}\t{}\t{:08x}", payload.len(), crc32c::crc32c(payload))?;
    }
    Ok(out.flush()?)
}

/// The ids of `count` entries in an order that is the same in each run.
fn shuffled(count: usize) -> Vec<u64> {
    let mut ids: Vec<u64> = (0..count as u64).collect();
    fastrand::Rng::with_seed(5).shuffle(&mut ids);
    ids
}

/// Refuses a random read that differs from the sequential one.
fn ensure_same(entry_id: u64, found: &[u8], payloads: &[Bytes]) -> Result<()> {
    ensure!(found == payloads[entry_id as usize], "entry {entry_id} read by itself is not what it was in sequence");
    Ok(())
}
