//! The driver: offload, open for read, delete, scan, health.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, Result,
    ScanPage, ScanRequest, StoredLedger,
};
use rustix::fs::{Access, CWD, Mode, OFlags};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::config::{Settings, folder_of_uri};
use crate::copy::{self, Feed};
use crate::error::{from_join, io_error};
use crate::folders;
use crate::paths::CopyPaths;
use crate::read_handle::{self, FileReadHandle};
use crate::scan;
use crate::stored_file::is_absent;

/// Payload bytes that are read from a ledger at once. `managedLedgerOffloadPrefetchRounds` batches may wait, one is
/// being written and one being read.
const BATCH_BYTES: u64 = 4 << 20;
/// The name under which Pulsar records the base with each ledger.
const STORAGE_BASE_PATH: &str = "storageBasePath";

/// Makes the driver `filesystem`.
#[derive(Debug)]
pub struct FileSystemFactory;

impl OffloaderFactory for FileSystemFactory {
    type Offloader = FileSystemOffloader;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        Settings::read(config).err().unwrap_or_default()
    }

    async fn create(config: DriverConfig) -> Result<FileSystemOffloader> {
        let settings = Settings::read(&config).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Error::new(ErrorCode::InvalidConfig, problems.join("; "))
        })?;
        Ok(FileSystemOffloader { settings })
    }
}

/// Keeps ledgers as Hadoop MapFiles in a folder.
#[derive(Debug)]
pub struct FileSystemOffloader {
    settings: Settings,
}

impl FileSystemOffloader {
    /// Where a copy may lie, the likeliest place first: the configured base, the one recorded with the ledger, the one of
    /// old versions.
    fn places(&self, stored: &StoredLedger) -> Result<Vec<CopyPaths>> {
        let recorded = stored.driver_metadata.get(STORAGE_BASE_PATH).and_then(|uri| folder_of_uri(uri).ok());
        let mut bases = vec![self.settings.base.clone()];
        for base in recorded.into_iter().chain(self.settings.old_base.clone()) {
            if !bases.contains(&base) {
                bases.push(base);
            }
        }
        bases.iter().map(|base| CopyPaths::new(base, &stored.managed_ledger, stored.ledger_id, stored.uid)).collect()
    }
}

impl Offloader for FileSystemOffloader {
    type ReadHandle = FileReadHandle;

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        [(STORAGE_BASE_PATH.to_owned(), self.settings.base_uri.clone())].into()
    }

    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        ledger.metadata().ensure_offloadable()?;
        let paths = CopyPaths::new(&self.settings.base, &request.managed_ledger, request.ledger_id, request.uid)?;
        let (sender, feed) = mpsc::channel(self.settings.batches_ahead);
        let (options, source) = (self.settings.write, ledger.clone());
        let writer = spawn_blocking(move || copy::write(&paths, options, &source, feed));
        let fed = feed_all(&ledger, sender).await;
        let written = writer.await.unwrap_or_else(|e| Err(from_join("write of a copy", e)));
        match (fed, written) {
            // The writer was told to give up by the reader's failure, which is the cause.
            (Err(cause), Err(error)) if error.code() == ErrorCode::Cancelled => Err(cause),
            (Err(cause), Ok(())) => Err(cause),
            (_, written) => written,
        }
    }

    async fn open_read(&self, stored: StoredLedger) -> Result<FileReadHandle> {
        let places = self.places(&stored)?;
        blocking("open a copy", move || {
            for place in &places {
                if let Some(handle) = read_handle::open(&place.copy, stored.ledger_id)? {
                    return Ok(handle);
                }
            }
            let looked: Vec<String> = places.iter().map(|place| place.copy.display().to_string()).collect();
            let message = format!(
                "no copy of ledger {} with uid {} at {}",
                stored.ledger_id,
                stored.uid,
                looked.join(" nor at ")
            );
            Err(Error::new(ErrorCode::NotFound, message))
        })
        .await
    }

    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        let places = self.places(&stored)?;
        blocking("delete a copy", move || places.iter().try_for_each(delete_place)).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        let bases: Vec<PathBuf> =
            [Some(self.settings.base.clone()), self.settings.old_base.clone()].into_iter().flatten().collect();
        blocking("list copies", move || scan::page(&bases, &request)).await
    }

    async fn health(&self) -> Result<()> {
        let base = self.settings.base.clone();
        blocking("check the base folder", move || check_writable(&base)).await
    }
}

/// Reads the ledger front to back into `feed`. Ends early, without an error, where the writer is gone: its own says why.
async fn feed_all(ledger: &LedgerReader, feed: Sender<Feed>) -> Result<()> {
    let metadata = ledger.metadata();
    let mut next = 0;
    while next < metadata.entry_count {
        let entries = ledger.read(next, metadata.entry_count - 1, BATCH_BYTES).await?;
        if entries.is_empty() {
            let message = format!("ledger {} answered no entry from {next} on", metadata.ledger_id);
            return Err(Error::new(ErrorCode::InvalidArgument, message));
        }
        next += entries.len() as u64;
        if feed.send(Feed::Entries(entries)).await.is_err() {
            return Ok(());
        }
    }
    // A writer that is gone says why itself.
    let _ = feed.send(Feed::End).await;
    Ok(())
}

async fn blocking<T: Send + 'static>(what: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|e| Err(from_join(what, e)))
}

/// Removes a copy, attempts at it and what an interrupted delete left. The copy loses its name first, so that no reader or
/// listing meets half of it.
fn delete_place(place: &CopyPaths) -> Result<()> {
    folders::remove(&place.deleted)?;
    match fs::rename(&place.copy, &place.deleted) {
        Ok(()) => folders::remove(&place.deleted)?,
        Err(e) if is_absent(&e) => {}
        // A file system without room for a new name still lets the copy go.
        Err(_) => folders::remove(&place.copy)?,
    }
    folders::remove(&place.attempts)?;
    if place.parent.is_dir() { folders::sync(&place.parent) } else { Ok(()) }
}

/// Whether a copy could be written below `base`, without leaving anything there.
fn check_writable(base: &Path) -> Result<()> {
    let existing = base.ancestors().find(|path| fs::symlink_metadata(path).is_ok()).unwrap_or(Path::new("/"));
    if !existing.is_dir() {
        let message = format!("folder {} cannot be used: {} is not a folder", base.display(), existing.display());
        return Err(Error::new(ErrorCode::PermissionDenied, message));
    }
    let what = format!("write below {}", existing.display());
    if existing != base {
        // It will be made by the first offload.
        let access =
            rustix::fs::accessat(CWD, existing, Access::WRITE_OK | Access::EXEC_OK, rustix::fs::AtFlags::EACCESS);
        return access.map_err(|errno| Error::io(what, &errno.into()));
    }
    match rustix::fs::open(base, OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC, Mode::RUSR | Mode::WUSR) {
        Ok(nameless) => fs::File::from(nameless).write_all(b"ok").map_err(io_error(what)),
        // The file system has no files without a name.
        Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::ISDIR | rustix::io::Errno::INVAL) => {
            let probe = base.join(format!(".health-{}", Uuid::new_v4().simple()));
            let opened = OpenOptions::new().write(true).create_new(true).open(&probe);
            let written = opened.and_then(|mut file| file.write_all(b"ok")).map_err(io_error(what));
            written.and(folders::remove(&probe))
        }
        Err(errno) => Err(Error::io(what, &errno.into())),
    }
}
