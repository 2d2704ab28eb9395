//! The driver: offload, open for read, delete, scan, health.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, Result,
    ScanPage, ScanRequest, StoredLedger,
};
use tokio::sync::mpsc::{self, Sender};
use tokio::task::spawn_blocking;

use crate::base::{self, Base, Store};
use crate::config::Settings;
use crate::copy::{self, Feed};
use crate::error::{from_join, io_error};
use crate::file_system::FileSystem;
use crate::folders;
use crate::hdfs::HdfsFileSystem;
use crate::local::LocalFileSystem;
use crate::paths::CopyPaths;
use crate::read_handle::{self, FileReadHandle};
use crate::scan;
use crate::turns::Turns;

/// Payload bytes that are read from a ledger at once. `managedLedgerOffloadPrefetchRounds` batches may wait, one is
/// being written and one being read.
const BATCH_BYTES: u64 = 4 << 20;
/// All of them together; more rounds have smaller batches.
const QUEUE_BYTES_MAX: u64 = 256 << 20;
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
        if !settings.without_effect.is_empty() {
            let names = settings.without_effect.join(", ");
            tracing::info!(
                properties = names,
                "properties of the profile that this driver does not know have no effect"
            );
        }
        let working_folder = config.search_folders.first().cloned();
        blocking("make the driver", move || {
            let stores = Stores::new(&settings)?;
            Ok(FileSystemOffloader { settings, stores, turns: Turns::default(), working_folder })
        })
        .await
    }
}

/// Keeps ledgers as Hadoop MapFiles in folders, on this machine or on HDFS.
#[derive(Debug)]
pub struct FileSystemOffloader {
    settings: Settings,
    stores: Stores,
    turns: Turns,
    /// What relative bases of old versions are relative to.
    working_folder: Option<PathBuf>,
}

/// The stores that this driver may use: this machine, and each HDFS that its configuration names.
#[derive(Debug)]
struct Stores(BTreeMap<Store, Arc<dyn FileSystem>>);

impl Stores {
    fn new(settings: &Settings) -> Result<Self> {
        let mut stores: BTreeMap<Store, Arc<dyn FileSystem>> = BTreeMap::new();
        stores.insert(Store::Local, Arc::new(LocalFileSystem::default()));
        for (name, hdfs) in &settings.hdfs {
            let made = HdfsFileSystem::new(hdfs).map_err(io_error(format_args!("make a client for {}", hdfs.url)));
            stores.insert(Store::Hdfs(name.clone()), Arc::new(made?));
        }
        Ok(Self(stores))
    }

    fn get(&self, base: &Base) -> Option<&Arc<dyn FileSystem>> {
        self.0.get(&base.store)
    }
}

/// Where a copy may lie.
struct Place {
    file_system: Arc<dyn FileSystem>,
    paths: CopyPaths,
}

/// Every place where a copy may lie.
struct Places {
    /// The likeliest first.
    known: Vec<Place>,
    /// The base recorded with the ledger, where this configuration does not lead there.
    unknown: Option<String>,
}

impl FileSystemOffloader {
    /// Where a copy may lie: the configured base, the one recorded with the ledger, the one of old versions.
    fn places(&self, stored: &StoredLedger) -> Result<Places> {
        let (mut known, mut unknown) = (vec![self.settings.base.clone()], None);
        if let Some(recorded) = stored.driver_metadata.get(STORAGE_BASE_PATH) {
            let default_fs = self.settings.default_fs.as_deref();
            match base::parse_old(recorded, &self.settings.base, default_fs, self.working_folder.as_ref()) {
                Ok(Some(base)) if self.stores.get(&base).is_some() => known.push(base),
                _ => unknown = Some(recorded.clone()),
            }
        }
        known.extend(self.settings.old_base.clone());
        let mut places: Vec<Place> = Vec::new();
        for base in &known {
            let paths = CopyPaths::new(&base.folder, &stored.managed_ledger, stored.ledger_id, stored.uid)?;
            let Some(file_system) = self.stores.get(base).cloned() else { continue };
            let seen = |place: &Place| Arc::ptr_eq(&place.file_system, &file_system) && place.paths == paths;
            if !places.iter().any(seen) {
                places.push(Place { file_system, paths });
            }
        }
        Ok(Places { known: places, unknown })
    }

    /// The store of new copies.
    fn file_system(&self) -> Result<Arc<dyn FileSystem>> {
        let found = self.stores.get(&self.settings.base).cloned();
        found.ok_or_else(|| Error::new(ErrorCode::Internal, "the base's store was not made"))
    }
}

impl Places {
    /// An answer of "nothing there" that leaves a place out which this configuration does not lead to would be a wrong one.
    fn ensure_all_known(&self, what: &str) -> Result<()> {
        let Some(base) = &self.unknown else { return Ok(()) };
        let message = format!(
            "{what}: the ledger was offloaded to {base}, where this configuration does not lead: name it in fileSystemURI, \
             or in hadoop.tmp.dir of the profile"
        );
        Err(Error::new(ErrorCode::InvalidConfig, message))
    }
}

impl Offloader for FileSystemOffloader {
    type ReadHandle = FileReadHandle;

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        [(STORAGE_BASE_PATH.to_owned(), self.settings.base_uri.clone())].into()
    }

    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        ledger.metadata().ensure_offloadable()?;
        let file_system = self.file_system()?;
        let paths =
            CopyPaths::new(&self.settings.base.folder, &request.managed_ledger, request.ledger_id, request.uid)?;
        let (sender, feed) = mpsc::channel(self.settings.batches_ahead);
        let (options, source) = (self.settings.write, ledger.clone());
        let turn = self.turns.take(&paths.copy).await;
        let writer = spawn_blocking(move || {
            // Held until everything is cleared away, also where nobody waits for the answer any more.
            let _turn = turn;
            copy::write(file_system.as_ref(), &paths, options, &source, feed)
        });
        let fed = feed_all(&ledger, &sender, batch_bytes(self.settings.batches_ahead)).await;
        // Goes with this future or with the writer's answer, unless the writer is to give up.
        let wanted = fed.is_ok().then_some(sender);
        let written = writer.await.unwrap_or_else(|e| Err(from_join("write of a copy", e)));
        drop(wanted);
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
            for Place { file_system, paths } in &places.known {
                if let Some(handle) = read_handle::open(file_system, &paths.copy, stored.ledger_id)? {
                    return Ok(handle);
                }
            }
            places.ensure_all_known("open a copy")?;
            let looked: Vec<String> = places.known.iter().map(|place| place.paths.copy.display().to_string()).collect();
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
        blocking("delete a copy", move || {
            let remove = |place: &Place| folders::remove_copy(place.file_system.as_ref(), &place.paths);
            places.known.iter().try_for_each(remove)?;
            places.ensure_all_known("delete a copy")
        })
        .await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        let bases = [Some(&self.settings.base), self.settings.old_base.as_ref()].into_iter().flatten();
        let bases: Vec<_> =
            bases.filter_map(|base| Some((self.stores.get(base)?.clone(), base.folder.clone()))).collect();
        blocking("list copies", move || scan::page(&bases, &request)).await
    }

    async fn health(&self) -> Result<()> {
        let (file_system, base) = (self.file_system()?, self.settings.base.folder.clone());
        blocking("check the base folder", move || {
            file_system.check_writable(&base).map_err(io_error(format_args!("write below {}", base.display())))
        })
        .await
    }
}

/// How much is read at once with so many batches ahead.
fn batch_bytes(batches_ahead: usize) -> u64 {
    BATCH_BYTES.min(QUEUE_BYTES_MAX / (batches_ahead as u64 + 2))
}

/// Reads the ledger front to back into `feed`. Ends early, without an error, where the writer is gone: its own says why.
async fn feed_all(ledger: &LedgerReader, feed: &Sender<Feed>, batch_bytes: u64) -> Result<()> {
    let metadata = ledger.metadata();
    let mut next = 0;
    while next < metadata.entry_count {
        let entries = ledger.read(next, metadata.entry_count - 1, batch_bytes).await?;
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
