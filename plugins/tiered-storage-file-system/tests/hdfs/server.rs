//! The servers, and a driver on a folder of its own there.

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use longshore_conformance::StoreProbe;
use longshore_conformance::table::Place;
use longshore_plugin_api::{DriverConfig, LedgerReader, Offloader, OffloaderFactory, Result};
use tempfile::TempDir;
use tiered_storage_file_system::{FileReadHandle, FileSystemFactory, FileSystemOffloader};
use tokio::runtime::Runtime;
use tokio::sync::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use uuid::Uuid;

use crate::kit::{MANAGED_LEDGER, config, request, stored};

const URI: &str = "LONGSHORE_TEST_HDFS";
const REQUIRED: &str = "LONGSHORE_REQUIRE_SERVERS";

/// What rows of the table of drivers and servers say of these tests.
pub(crate) const HDFS: Place<'static> = Place { driver: "filesystem", server: "HDFS 3.4.2" };

/// Held for reading by who needs the servers, for writing by who stops one.
static IN_USE: RwLock<()> = RwLock::const_new(());

/// A server of the cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    NameNode,
    DataNode,
}

/// The HDFS to test against; says so and answers nothing where there is none.
pub(crate) fn uri(test: &str) -> Option<String> {
    match env::var(URI) {
        Ok(uri) => Some(uri),
        Err(_) if env::var_os(REQUIRED).is_some() => {
            panic!("{REQUIRED} is set and {URI} is not: start scripts/servers/hdfs")
        }
        Err(_) => {
            eprintln!("SKIPPED: {test}: {URI} names no HDFS; eval \"$(scripts/servers/hdfs start)\"");
            None
        }
    }
}

/// The servers, shared with other tests.
pub(crate) async fn shared() -> RwLockReadGuard<'static, ()> {
    IN_USE.read().await
}

/// The servers for one test alone; whatever it stopped runs again when this is dropped.
pub(crate) async fn alone() -> Alone {
    Alone { stopped: Mutex::default(), _turn: IN_USE.write().await }
}

/// How a server goes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stop {
    /// It is gone.
    Kill,
    /// It is there and says nothing.
    Pause,
}

/// See [`alone`].
pub(crate) struct Alone {
    stopped: Mutex<Vec<(Stop, Server)>>,
    _turn: RwLockWriteGuard<'static, ()>,
}

impl Alone {
    pub(crate) fn stop(&self, how: Stop, server: Server) {
        self.stopped.lock().unwrap().push((how, server));
        let what = match how {
            Stop::Kill => "kill-one",
            Stop::Pause => "pause-one",
        };
        Self::tell(what, server);
    }

    /// Starts what was stopped, and waits until it serves.
    pub(crate) fn start(&self) {
        let stopped = std::mem::take(&mut *self.stopped.lock().unwrap_or_else(PoisonError::into_inner));
        for (how, server) in stopped {
            let what = match how {
                Stop::Kill => "start-one",
                Stop::Pause => "resume-one",
            };
            Self::tell(what, server);
        }
    }

    /// Runs a sub-command of scripts/servers/hdfs for one server.
    fn tell(what: &str, server: Server) {
        let name = match server {
            Server::NameNode => "namenode",
            Server::DataNode => "datanode",
        };
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/servers/hdfs");
        let output = Command::new(script).args([what, name]).output().unwrap();
        assert!(output.status.success(), "{what} {name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.start();
    }
}

/// A driver, and its folder on HDFS, which goes away with it.
pub(crate) struct Tier {
    pub(crate) driver: FileSystemOffloader,
    pub(crate) store: Store,
    /// The URI of the base.
    pub(crate) base: String,
    config_folder: TempDir,
}

impl Tier {
    /// A driver on a new folder below `uri`, with a profile of these values.
    pub(crate) async fn new(uri: &str, values: &[(&str, &str)]) -> Self {
        let folder = format!("/tests/{}", Uuid::new_v4().simple());
        let base = format!("{uri}{folder}");
        let config_folder = tempfile::tempdir().unwrap();
        let config = hdfs_config(config_folder.path(), &base, values);
        assert_eq!(FileSystemFactory::validate(&config), []);
        let driver = FileSystemFactory::create(config).await.unwrap();
        Self { driver, store: Store::new(uri, &folder), base, config_folder }
    }

    /// Another driver with the same base and other values.
    pub(crate) async fn with(&self, base: &str, values: &[(&str, &str)]) -> FileSystemOffloader {
        FileSystemFactory::create(hdfs_config(self.config_folder.path(), base, values)).await.unwrap()
    }

    pub(crate) async fn offload(&self, ledger_id: u64, uid: Uuid, payloads: &[Bytes]) -> Result<()> {
        self.driver.offload(LedgerReader::in_memory(ledger_id, payloads.to_vec()), request(ledger_id, uid)).await
    }

    pub(crate) async fn open(&self, ledger_id: u64, uid: Uuid) -> Result<FileReadHandle> {
        self.driver.open_read(stored(ledger_id, uid)).await
    }

    /// The copy's folder, below the base.
    pub(crate) fn copy(ledger_id: u64, uid: Uuid) -> String {
        format!("{MANAGED_LEDGER}/{ledger_id}-{uid}")
    }
}

impl Drop for Tier {
    fn drop(&mut self) {
        self.store.clear();
    }
}

/// A configuration for `base`, its profile written into `folder`.
pub(crate) fn hdfs_config(folder: &Path, base: &str, values: &[(&str, &str)]) -> DriverConfig {
    let mut config = config(folder, Path::new("/unused"), values);
    config.properties.insert("fileSystemURI".to_owned(), base.to_owned());
    config
}

/// A folder on HDFS, looked at behind the driver's back.
pub(crate) struct Store {
    client: Client,
    folder: String,
    /// Of its own, so that it may be used on any thread; left to itself at the end.
    runtime: Option<Runtime>,
}

impl Store {
    pub(crate) fn new(uri: &str, folder: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = ClientBuilder::new().with_url(uri).with_io_runtime(runtime.handle().clone()).build().unwrap();
        Self { client, folder: folder.to_owned(), runtime: Some(runtime) }
    }

    fn run<T: Send>(&self, work: impl Future<Output = Result<T, HdfsError>> + Send) -> io::Result<T> {
        let runtime = self.runtime.as_ref().unwrap();
        let timed = async { tokio::time::timeout(Duration::from_secs(60), work).await };
        // Tests call this within their own runtime.
        let answer = std::thread::scope(|scope| scope.spawn(|| runtime.block_on(timed)).join().unwrap());
        match answer.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? {
            Err(HdfsError::FileNotFound(path)) => Err(io::Error::new(io::ErrorKind::NotFound, path)),
            answer => answer.map_err(io::Error::other),
        }
    }

    fn path(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// Every file and folder below, relative, sorted.
    pub(crate) fn tree(&self) -> Vec<(String, u64)> {
        let listed = match self.run(self.client.list_status(&self.folder, true)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Vec::new(),
            listed => listed.unwrap(),
        };
        let name = |path: &str| path.strip_prefix(&self.folder).unwrap().trim_start_matches('/').to_owned();
        let mut found: Vec<_> = listed.iter().map(|it| (name(&it.path), it.length as u64)).collect();
        found.sort();
        found
    }

    /// Names only.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tree().into_iter().map(|(name, _)| name).collect()
    }

    /// Replication and block size of a file.
    pub(crate) fn form(&self, name: &str) -> (Option<u32>, Option<u64>) {
        let status = self.run(self.client.get_file_info(&self.path(name))).unwrap();
        (status.replication, status.blocksize)
    }

    pub(crate) fn clear(&self) {
        let _ = self.run(self.client.delete(&self.folder, true));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl StoreProbe for Store {
    fn objects(&self) -> io::Result<Vec<String>> {
        let listed = match self.run(self.client.list_status(&self.folder, true)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            listed => listed?,
        };
        let files = listed.into_iter().filter(|it| !it.isdir);
        let name = |path: &str| path.strip_prefix(&self.folder).unwrap_or(path).trim_start_matches('/').to_owned();
        let mut names: Vec<String> = files.map(|it| name(&it.path)).collect();
        names.sort_unstable();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let path = self.path(name);
        let bytes = self.run(async {
            let mut reader = self.client.read(&path).await?;
            let len = reader.file_length();
            reader.read_bytes(len).await
        })?;
        Ok(bytes.to_vec())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (path, bytes) = (self.path(name), Bytes::copy_from_slice(bytes));
        self.run(async {
            // Its `overwrite` refuses what does not exist yet.
            self.client.delete(&path, false).await?;
            let mut writer = self.client.create(&path, WriteOptions::default()).await?;
            writer.write_bytes(bytes).await?;
            writer.close().await
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.run(self.client.delete(&self.path(name), true)).map(|_| ())
    }
}

/// Nothing that the driver records with a ledger.
pub(crate) fn no_metadata() -> BTreeMap<String, String> {
    BTreeMap::new()
}
