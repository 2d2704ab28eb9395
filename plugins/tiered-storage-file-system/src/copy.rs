//! Writes one copy: into a folder of its own that no reader takes for a copy, then renames it.
//!
//! Runs on a blocking thread and takes entries from a bounded queue, so that the next batch is read while this one is
//! written. The queue's end without [`Feed::End`] means that the offload was given up.
//!
//! After a crash there is either no copy, and a folder that the next attempt or [`delete`](crate::offloader) removes, or
//! the complete one. Every error takes the attempt's folder away again, so that a full disk gets its space back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;

use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerReader, Result};
use map_file::checksum::{ChecksumWriter, side_file_name};
use map_file::{MapFileWriter, WriteOptions, Written};
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

use crate::error::{from_map_file, io_error};
use crate::folders;
use crate::paths::{CopyPaths, DATA, INDEX};

/// The key under which Pulsar keeps the ledger's metadata, before the entries.
pub(crate) const METADATA_KEY: i64 = -1;
/// So many bytes are written at most before the disk is asked to take them: a late fsync of everything would show no
/// progress for as long as it takes, and unwritten pages would crowd out the machine's memory.
const SYNC_EVERY_BYTES: u64 = 32 << 20;

/// What the writer is fed with.
pub(crate) enum Feed {
    /// The next entries, in order.
    Entries(Vec<Entry>),
    /// There are no more; make the copy visible.
    End,
}

/// Writes what comes from `feed` and publishes it.
pub(crate) fn write(
    paths: &CopyPaths,
    options: WriteOptions,
    ledger: &LedgerReader,
    feed: Receiver<Feed>,
) -> Result<()> {
    folders::create(&paths.parent)?;
    // Debris of an earlier try with the same uid.
    folders::remove(&paths.attempts)?;
    let attempt = paths.attempts.join(Uuid::new_v4().simple().to_string());
    folders::create_below_shared(&attempt)?;
    let written = write_attempt(&attempt, options, ledger, feed);
    let result = written.and_then(|()| folders::publish(&attempt, &paths.copy)).map_err(taken_away);
    // Holds the attempt if it failed, the copy that it replaced if there was one, and nothing else.
    let removed = folders::remove(&attempt);
    // Stays where another attempt with the same uid is running.
    let _ = fs::remove_dir(&paths.attempts);
    result.and(removed)
}

/// What is not found while an attempt writes is its own folder: a delete, or another attempt with the same uid, took it.
fn taken_away(error: Error) -> Error {
    if error.code() != ErrorCode::NotFound {
        return error;
    }
    let message = "the attempt was deleted, or made again, while it ran";
    Error::new(ErrorCode::Conflict, message).with_source(&error)
}

fn write_attempt(attempt: &Path, options: WriteOptions, ledger: &LedgerReader, mut feed: Receiver<Feed>) -> Result<()> {
    let files = AttemptFiles::create(attempt)?;
    let mut writer = EntryWriter::new(&files, options, ledger)?;
    loop {
        match feed.blocking_recv() {
            Some(Feed::Entries(entries)) => writer.append(&entries)?,
            Some(Feed::End) => break,
            None => return Err(Error::new(ErrorCode::Cancelled, "the offload was given up before its last entry")),
        }
    }
    let written = writer.finish()?;
    files.make_durable(&written)?;
    folders::sync(attempt)
}

/// The four files of a MapFile with checksums.
struct AttemptFiles {
    files: [(PathBuf, File); 4],
}

impl AttemptFiles {
    fn create(attempt: &Path) -> Result<Self> {
        let create = |name: &str| {
            let path = attempt.join(name);
            let file = File::create_new(&path).map_err(io_error(format_args!("create {}", path.display())))?;
            Ok::<_, Error>((path, file))
        };
        let files = [create(DATA)?, create(&side_file_name(DATA))?, create(INDEX)?, create(&side_file_name(INDEX))?];
        Ok(Self { files })
    }

    fn describe(&self) -> String {
        format!("write {}", self.files[0].0.display())
    }

    fn data(&self) -> &File {
        &self.files[0].1
    }

    /// A writer for the MapFile's data or index, with its checksums.
    fn sink(&self, file: usize) -> ChecksumWriter<&File, &File> {
        ChecksumWriter::new(&self.files[file].1, &self.files[file + 1].1)
    }

    /// Brings all four files to the disk, and holds their lengths against what was written.
    fn make_durable(&self, written: &Written) -> Result<()> {
        for (path, file) in &self.files {
            file.sync_all().map_err(io_error(format_args!("sync {}", path.display())))?;
        }
        for (at, expected) in [(0, written.data_bytes), (2, written.index_bytes)] {
            let (path, file) = &self.files[at];
            let found = file.metadata().map_err(io_error(format_args!("look at {}", path.display())))?.len();
            if found != expected {
                let message = format!("{} has {found} bytes after {expected} were written", path.display());
                return Err(Error::new(ErrorCode::Internal, message));
            }
        }
        Ok(())
    }
}

type Sink<'a> = ChecksumWriter<&'a File, &'a File>;

/// Appends entries, checks that they are the ledger's, and reports progress.
struct EntryWriter<'a> {
    files: &'a AttemptFiles,
    ledger: &'a LedgerReader,
    writer: MapFileWriter<Sink<'a>, Sink<'a>>,
    next_entry_id: u64,
    entry_bytes: u64,
    unsynced_bytes: u64,
    sync: BackgroundSync,
}

impl<'a> EntryWriter<'a> {
    fn new(files: &'a AttemptFiles, options: WriteOptions, ledger: &'a LedgerReader) -> Result<Self> {
        let markers = [Uuid::new_v4().into_bytes(), Uuid::new_v4().into_bytes()];
        let what = || files.describe();
        let mut writer = MapFileWriter::new(files.sink(0), files.sink(2), markers, options)
            .map_err(|error| from_map_file(what(), error))?;
        writer
            .append(METADATA_KEY, &ledger.metadata().to_bookkeeper_bytes())
            .map_err(|error| from_map_file(what(), error))?;
        let sync = BackgroundSync::default();
        Ok(Self { files, ledger, writer, next_entry_id: 0, entry_bytes: 0, unsynced_bytes: 0, sync })
    }

    fn append(&mut self, entries: &[Entry]) -> Result<()> {
        let mut batch_bytes = 0;
        for entry in entries {
            if entry.entry_id != self.next_entry_id {
                return Err(self.mismatch(format!("entry {} where {} follows", entry.entry_id, self.next_entry_id)));
            }
            self.writer
                .append(entry.entry_id as i64, &entry.payload)
                .map_err(|error| from_map_file(self.files.describe(), error))?;
            self.next_entry_id += 1;
            batch_bytes += entry.payload.len() as u64;
        }
        self.entry_bytes += batch_bytes;
        self.unsynced_bytes += batch_bytes;
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.unsynced_bytes = 0;
            self.sync.start(self.files.data()).map_err(io_error(self.files.describe()))?;
        }
        self.ledger.progress(batch_bytes);
        Ok(())
    }

    fn finish(mut self) -> Result<Written> {
        let metadata = self.ledger.metadata();
        if (self.next_entry_id, self.entry_bytes) != (metadata.entry_count, metadata.length_bytes) {
            let (entries, bytes) = (metadata.entry_count, metadata.length_bytes);
            return Err(self.mismatch(format!(
                "{} entries with {} bytes, its metadata says {entries} with {bytes}",
                self.next_entry_id, self.entry_bytes
            )));
        }
        let what = self.files.describe();
        self.sync.wait().map_err(io_error(&what))?;
        let (data, index, written) = self.writer.finish().map_err(|error| from_map_file(&what, error))?;
        data.finish().and_then(|_| index.finish()).map_err(io_error(&what))?;
        Ok(written)
    }

    fn mismatch(&self, found: String) -> Error {
        let ledger_id = self.ledger.metadata().ledger_id;
        Error::new(ErrorCode::InvalidArgument, format!("ledger {ledger_id} was read with {found}"))
    }
}

/// Asks the disk to take what was written so far while more is written: at most one request at a time.
#[derive(Default)]
struct BackgroundSync {
    running: Option<JoinHandle<io::Result<()>>>,
}

impl BackgroundSync {
    /// Waits for the request before, then starts the next one.
    fn start(&mut self, file: &File) -> io::Result<()> {
        self.wait()?;
        let file = file.try_clone()?;
        let thread = std::thread::Builder::new().name("copy-sync".to_owned());
        self.running = Some(thread.spawn(move || file.sync_data())?);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.running.take() {
            Some(running) => running.join().map_err(|_| io::Error::other("the syncing thread panicked"))?,
            None => Ok(()),
        }
    }
}

impl Drop for BackgroundSync {
    fn drop(&mut self) {
        // An error is on its way already; this one would say the same.
        let _ = self.wait();
    }
}
