//! Writes one copy: into a folder of its own that no reader takes for a copy, then renames it.
//!
//! Runs on a blocking thread and takes entries from a bounded queue, so that the next batch is read while this one is
//! written. A queue without a sender means that the offload was given up: also when [`Feed::End`] is in it, so the sender stays
//! until the copy has its name.
//!
//! After a crash there is either no copy, and a folder that the next attempt or [`delete`](crate::offloader) removes, or
//! the complete one. Every error takes the attempt's folder away again, so that a full disk gets its space back.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerReader, Result};
use map_file::checksum::{ChecksumWriter, side_file_name};
use map_file::{MapFileWriter, WriteOptions};
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

use crate::error::{from_map_file, io_error};
use crate::file_system::{FileSystem, NewFile};
use crate::folders;
use crate::paths::{CopyPaths, DATA, INDEX};

/// The key under which Pulsar keeps the ledger's metadata, before the entries.
pub(crate) const METADATA_KEY: i64 = -1;

/// What the writer is fed with.
pub(crate) enum Feed {
    /// The next entries, in order.
    Entries(Vec<Entry>),
    /// There are no more; make the copy visible.
    End,
}

/// Writes what comes from `feed` and publishes it.
pub(crate) fn write(
    file_system: &dyn FileSystem,
    paths: &CopyPaths,
    options: WriteOptions,
    ledger: &LedgerReader,
    mut feed: Receiver<Feed>,
) -> Result<()> {
    ensure_wanted(&feed, "before it began")?;
    folders::create(file_system, &paths.parent)?;
    // Debris of an earlier try with the same uid.
    folders::remove(file_system, &paths.attempts)?;
    let attempt = paths.attempts.join(Uuid::new_v4().simple().to_string());
    let created = folders::create(file_system, &attempt);
    let written = created.and_then(|()| write_attempt(file_system, &attempt, options, ledger, &mut feed));
    let wanted = written.map_err(taken_away).and_then(|()| ensure_wanted(&feed, "before its copy had a name"));
    let result = wanted.and_then(|()| folders::publish(file_system, &attempt, paths));
    // Holds the attempt if it failed, the copy that it replaced if there was one, and nothing else.
    let removed = folders::remove(file_system, &attempt);
    // Stays where another attempt with the same uid is running.
    folders::remove_empty(file_system, &paths.attempts);
    result.and(removed)
}

fn ensure_wanted(feed: &Receiver<Feed>, when: &str) -> Result<()> {
    if feed.is_closed() {
        return Err(Error::new(ErrorCode::Cancelled, format!("the offload was given up {when}")));
    }
    Ok(())
}

/// What is not found while an attempt writes is its own folder: a delete, or another attempt with the same uid, took it.
fn taken_away(error: Error) -> Error {
    if error.code() != ErrorCode::NotFound {
        return error;
    }
    let message = "the attempt was deleted, or made again, while it ran";
    Error::new(ErrorCode::Conflict, message).with_source(&error)
}

fn write_attempt(
    file_system: &dyn FileSystem,
    attempt: &Path,
    options: WriteOptions,
    ledger: &LedgerReader,
    feed: &mut Receiver<Feed>,
) -> Result<()> {
    let mut writer = EntryWriter::new(file_system, attempt, options, ledger)?;
    loop {
        match feed.blocking_recv() {
            Some(Feed::Entries(entries)) => writer.append(&entries)?,
            Some(Feed::End) => break,
            None => return Err(Error::new(ErrorCode::Cancelled, "the offload was given up before its last entry")),
        }
    }
    writer.finish()?;
    folders::sync_folder(file_system, attempt)
}

/// One file of the MapFile, with its checksums where the file system keeps them.
enum Sink {
    Plain(Box<dyn NewFile>),
    Checked(ChecksumWriter<Box<dyn NewFile>, Box<dyn NewFile>>),
}

impl Sink {
    fn create(file_system: &dyn FileSystem, attempt: &Path, name: &str) -> Result<Self> {
        let create = |name: &str| {
            let path = attempt.join(name);
            file_system.create(&path).map_err(io_error(format_args!("create {}", path.display())))
        };
        let file = create(name)?;
        if !file_system.keeps_side_files() {
            return Ok(Self::Plain(file));
        }
        Ok(Self::Checked(ChecksumWriter::new(file, create(&side_file_name(name))?)))
    }

    /// Brings the file and its checksums into the store's keeping, and answers the file's length there.
    fn finish(self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => file.finish(),
            Self::Checked(writer) => {
                let (file, side_file) = writer.finish()?;
                side_file.finish()?;
                file.finish()
            }
        }
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.write(bytes),
            Self::Checked(writer) => writer.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(file) => file.flush(),
            Self::Checked(writer) => writer.flush(),
        }
    }
}

/// Appends entries, checks that they are the ledger's, and reports progress.
struct EntryWriter<'a> {
    data: PathBuf,
    ledger: &'a LedgerReader,
    writer: MapFileWriter<Sink, Sink>,
    next_entry_id: u64,
    entry_bytes: u64,
}

impl<'a> EntryWriter<'a> {
    fn new(
        file_system: &dyn FileSystem,
        attempt: &Path,
        options: WriteOptions,
        ledger: &'a LedgerReader,
    ) -> Result<Self> {
        let data = attempt.join(DATA);
        let markers = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()];
        let sinks = (Sink::create(file_system, attempt, DATA)?, Sink::create(file_system, attempt, INDEX)?);
        let writer = MapFileWriter::new(sinks.0, sinks.1, markers, options).and_then(|mut writer| {
            writer.append(METADATA_KEY, &ledger.metadata().to_bookkeeper_bytes())?;
            Ok(writer)
        });
        let writer = writer.map_err(|error| from_map_file(format_args!("write {}", data.display()), error))?;
        Ok(Self { data, ledger, writer, next_entry_id: 0, entry_bytes: 0 })
    }

    fn append(&mut self, entries: &[Entry]) -> Result<()> {
        let mut batch_bytes = 0;
        for entry in entries {
            if entry.entry_id != self.next_entry_id {
                return Err(self.mismatch(format!("entry {} where {} follows", entry.entry_id, self.next_entry_id)));
            }
            self.writer
                .append(entry.entry_id as i64, &entry.payload)
                .map_err(|error| from_map_file(format_args!("write {}", self.data.display()), error))?;
            self.next_entry_id += 1;
            batch_bytes += entry.payload.len() as u64;
        }
        self.entry_bytes += batch_bytes;
        self.ledger.progress(batch_bytes);
        Ok(())
    }

    /// Writes what is left, and holds the lengths that the store reports against what was written.
    fn finish(self) -> Result<()> {
        let metadata = self.ledger.metadata();
        if (self.next_entry_id, self.entry_bytes) != (metadata.entry_count, metadata.length_bytes) {
            let (entries, bytes) = (metadata.entry_count, metadata.length_bytes);
            return Err(self.mismatch(format!(
                "{} entries with {} bytes, its metadata says {entries} with {bytes}",
                self.next_entry_id, self.entry_bytes
            )));
        }
        let what = format!("write {}", self.data.display());
        let (data, index, written) = self.writer.finish().map_err(|error| from_map_file(&what, error))?;
        for (name, sink, expected) in [(DATA, data, written.data_bytes), (INDEX, index, written.index_bytes)] {
            let path = self.data.with_file_name(name);
            let found = sink.finish().map_err(io_error(format_args!("finish {}", path.display())))?;
            if found != expected {
                let message = format!("{} has {found} bytes after {expected} were written", path.display());
                return Err(Error::new(ErrorCode::Internal, message));
            }
        }
        Ok(())
    }

    fn mismatch(&self, found: String) -> Error {
        let ledger_id = self.ledger.metadata().ledger_id;
        Error::new(ErrorCode::InvalidArgument, format!("ledger {ledger_id} was read with {found}"))
    }
}
