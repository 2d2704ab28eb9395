//! The raw client: the same bytes to the same place and back, and nothing else.
//!
//! On a folder: a file written in pieces, which the disk is asked to take while more is written, as the driver asks it, and a
//! flush at the end. On HDFS: the crate's own writer and reader.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use hdfs_native::file::FileReader;
use hdfs_native::{Client, ClientBuilder, WriteOptions};

use crate::ledger::Pool;

/// Bytes of one write, and of one read.
const PIECE_BYTES: usize = 1 << 20;
/// Bytes that are handed on at once: what a broker asks a driver for.
const HANDED_BYTES: usize = 4 << 20;
/// Bytes after which the disk is asked to take what there is.
const SYNC_EVERY_BYTES: usize = 32 << 20;
/// Bytes that one checksum of a side file covers.
const CHUNK_BYTES: usize = 512;

/// What the raw client does beside moving bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// One buffer, used again; no checksum but those of the client's own.
    Plain,
    /// Checksums; memory of its own for each piece that it read.
    Checked,
}

/// A raw client of either place.
pub(crate) enum Raw {
    Folder(RawFolder),
    Hdfs(RawHdfs),
}

impl Raw {
    /// The ways to measure it.
    pub(crate) fn cares(&self) -> &'static [Care] {
        match self {
            Self::Folder(_) => &[Care::Plain, Care::Checked],
            Self::Hdfs(_) => &[Care::Plain],
        }
    }

    pub(crate) async fn write(&self, name: &str, bytes: u64, care: Care) -> Result<Duration> {
        match self {
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                tokio::task::spawn_blocking(move || folder.write(&name, bytes as usize, care)).await?
            }
            Self::Hdfs(hdfs) => hdfs.write(name, bytes as usize).await,
        }
    }

    pub(crate) async fn read(&self, name: &str, care: Care) -> Result<Duration> {
        match self {
            Self::Folder(folder) => {
                let (folder, name) = (folder.clone(), name.to_owned());
                tokio::task::spawn_blocking(move || folder.read(&name, care)).await?
            }
            Self::Hdfs(hdfs) => hdfs.read(name).await,
        }
    }

    pub(crate) async fn open(&self, name: &str) -> Result<RawFile> {
        Ok(match self {
            Self::Folder(folder) => RawFile::Local(File::open(folder.folder.join(name))?),
            Self::Hdfs(hdfs) => RawFile::Hdfs(Box::new(hdfs.client.read(&hdfs.path(name)).await?)),
        })
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<()> {
        match self {
            Self::Folder(folder) => {
                fs::remove_file(folder.folder.join(name))?;
                Ok(fs::remove_file(folder.side_file(name)).or_else(gone_is_fine)?)
            }
            Self::Hdfs(hdfs) => Ok(hdfs.client.delete(&hdfs.path(name), false).await.map(drop)?),
        }
    }

    pub(crate) async fn remove_all(&self) -> Result<()> {
        match self {
            Self::Folder(_) => Ok(()),
            Self::Hdfs(hdfs) => Ok(hdfs.client.delete(&hdfs.base, true).await.map(drop)?),
        }
    }
}

fn gone_is_fine(error: io::Error) -> io::Result<()> {
    if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) }
}

/// A file that is open for ranges of it.
pub(crate) enum RawFile {
    Local(File),
    Hdfs(Box<FileReader>),
}

impl RawFile {
    /// How long a range takes.
    pub(crate) async fn read_range(&self, offset: u64, bytes: u64) -> Result<Duration> {
        let started = Instant::now();
        match self {
            Self::Local(file) => file.read_exact_at(&mut vec![0; bytes as usize], offset)?,
            Self::Hdfs(reader) => drop(reader.read_range(offset as usize, bytes as usize).await?),
        }
        Ok(started.elapsed())
    }
}

/// Files in a folder.
#[derive(Clone)]
pub(crate) struct RawFolder {
    folder: PathBuf,
    pool: Pool,
}

impl RawFolder {
    pub(crate) fn new(folder: PathBuf, pool: &Pool) -> Self {
        Self { folder, pool: pool.clone() }
    }

    fn side_file(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.crc"))
    }

    fn write(&self, name: &str, bytes: usize, care: Care) -> Result<Duration> {
        let started = Instant::now();
        let file = Arc::new(File::create(self.folder.join(name))?);
        let mut sums = Vec::new();
        let (mut written, mut syncing) = (0, None);
        while written < bytes {
            let piece = self.pool.part(written as u64, PIECE_BYTES.min(bytes - written));
            (&*file).write_all(&piece)?;
            if care == Care::Checked {
                sums.extend(piece.chunks(CHUNK_BYTES).flat_map(|chunk| crc32fast::hash(chunk).to_be_bytes()));
            }
            written += piece.len();
            if written % SYNC_EVERY_BYTES == 0 {
                ended(syncing.replace(sync(&file)))?;
            }
        }
        ended(syncing)?;
        if care == Care::Checked {
            let mut side_file = File::create(self.side_file(name))?;
            side_file.write_all(&sums)?;
            side_file.sync_all()?;
        }
        file.sync_all()?;
        Ok(started.elapsed())
    }

    fn read(&self, name: &str, care: Care) -> Result<Duration> {
        let started = Instant::now();
        let mut file = File::open(self.folder.join(name))?;
        match care {
            Care::Plain => {
                let mut buffer = vec![0; PIECE_BYTES];
                while file.read(&mut buffer)? > 0 {}
            }
            Care::Checked => loop {
                let mut handed = Vec::with_capacity(HANDED_BYTES);
                (&mut file).take(HANDED_BYTES as u64).read_to_end(&mut handed)?;
                if handed.is_empty() {
                    break;
                }
                std::hint::black_box(crc32fast::hash(&handed));
            },
        }
        Ok(started.elapsed())
    }
}

fn sync(file: &Arc<File>) -> JoinHandle<io::Result<()>> {
    let file = file.clone();
    std::thread::spawn(move || file.sync_data())
}

fn ended(syncing: Option<JoinHandle<io::Result<()>>>) -> Result<()> {
    let Some(syncing) = syncing else { return Ok(()) };
    syncing.join().map_err(|_| anyhow::anyhow!("the syncing thread panicked"))?.context("sync")
}

/// Files on HDFS.
pub(crate) struct RawHdfs {
    client: Client,
    base: String,
    pool: Pool,
}

impl RawHdfs {
    pub(crate) async fn new(url: &str, base: &str, pool: &Pool) -> Result<Self> {
        let client = ClientBuilder::new().with_url(url).with_config_dir("/dev/null").build()?;
        client.mkdirs(base, 0o755, true).await.with_context(|| format!("make {base} on {url}"))?;
        Ok(Self { client, base: base.to_owned(), pool: pool.clone() })
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.base)
    }

    async fn write(&self, name: &str, bytes: usize) -> Result<Duration> {
        let started = Instant::now();
        let options = WriteOptions::default().replication(1).overwrite(true);
        let mut writer = self.client.create(&self.path(name), &options).await?;
        let mut written = 0;
        while written < bytes {
            let piece = self.pool.part(written as u64, PIECE_BYTES.min(bytes - written));
            written += piece.len();
            writer.write_bytes(piece).await?;
        }
        writer.close().await?;
        Ok(started.elapsed())
    }

    async fn read(&self, name: &str) -> Result<Duration> {
        let started = Instant::now();
        let reader = self.client.read(&self.path(name)).await?;
        let mut offset = 0;
        while offset < reader.file_length() {
            offset += reader.read_range(offset, HANDED_BYTES.min(reader.file_length() - offset)).await?.len();
        }
        Ok(started.elapsed())
    }
}
