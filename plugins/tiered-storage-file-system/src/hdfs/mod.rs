//! Files on HDFS, through the crate `hdfs-native`: NameNode and DataNode protocols without a JVM.
//!
//! The crate is asynchronous and this seam is not: each call is run to its end on the thread that asks, within
//! [`deadline`](HdfsSettings::deadline). A NameNode or DataNode that does not answer is `TimedOut` or a connection's error, never
//! `NotFound`. The crate's own tasks (connections, acknowledgements, lease renewal) live on a runtime of their own, which ends
//! with the driver: some of them would otherwise outlive a file that was given up.
//!
//! Memory: a file being written holds up to 200 packets of 64 KiB for each pipeline (the crate's queues), a read up to
//! [`READ_AHEAD_BYTES_MAX`] and some packets, an open copy what was read last; reads at once are bounded by [`READS_AT_ONCE_MAX`].
//!
//! A rename is one step of the NameNode, and so is a delete. A file exists for readers when it is closed; HDFS answers for it from
//! then on with as many replicas as it asks for, which is also all that Hadoop's own writer waits for.

mod error;
mod new_file;
mod open_file;
mod settings;

use std::fmt;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use hdfs_native::client::FileStatus;
use hdfs_native::{Client, ClientBuilder, HdfsError, WriteOptions};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::Semaphore;
use uuid::Uuid;

use crate::file_system::{FOLDER_ENTRIES_MAX, FileSystem, Kind, Listed, NewFile, OpenFile, is_absent, too_many};
use error::from_hdfs;
use new_file::HdfsNewFile;
use open_file::HdfsOpenFile;
pub(crate) use settings::{HdfsSettings, NAMENODE_PORT, has_effect};

/// Reads that may wait for an answer at once. Each keeps one of the plugin's threads for blocking work (64), of which some must
/// be left for what writes and for other stores.
pub(crate) const READS_AT_ONCE_MAX: usize = 32;
/// The most bytes of one read: each makes a connection to a DataNode of its own. As much as a broker asks for at once.
const READ_AHEAD_BYTES_MAX: usize = 4 << 20;
/// Threads for the crate's own tasks.
const WORKERS: usize = 2;
/// `rwxr-xr-x`, as Hadoop's default with its umask.
const FOLDER_MODE: u32 = 0o755;
/// A folder where no configuration file can be, so that the profile alone decides and no HADOOP_CONF_DIR that the broker happens to
/// run with.
const NO_CONFIG_FOLDER: &str = "/dev/null";

/// One HDFS.
pub(crate) struct HdfsFileSystem {
    connection: Arc<Connection>,
    options: WriteOptions,
    read_permits: Arc<Semaphore>,
}

impl HdfsFileSystem {
    /// A client, which connects when it is first used. May block.
    ///
    /// # Errors
    /// The settings do not make a client.
    pub(crate) fn new(settings: &HdfsSettings) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread().worker_threads(WORKERS).thread_name("hdfs").enable_all().build()?;
        let runtime = OwnedRuntime(Some(runtime));
        let mut builder = ClientBuilder::new()
            .with_url(&settings.url)
            .with_config_dir(NO_CONFIG_FOLDER)
            .with_config(&settings.properties)
            .with_io_runtime(runtime.handle().clone());
        if let Some(user) = &settings.user {
            builder = builder.with_user(user);
        }
        let client = {
            let _guard = runtime.handle().enter();
            builder.build().map_err(from_hdfs)?
        };
        let mut options = WriteOptions::default().create_parent(false);
        options.replication = settings.replication;
        options.block_size = settings.block_size;
        let connection = Connection { client, runtime, deadline: settings.deadline, url: settings.url.clone() };
        let read_permits = Arc::new(Semaphore::new(READS_AT_ONCE_MAX));
        Ok(Self { connection: Arc::new(connection), options, read_permits })
    }

    fn status(&self, path: &Path) -> io::Result<Option<FileStatus>> {
        let status =
            self.connection.call("getFileInfo", |client| async move { client.get_file_info(text(path)?).await });
        match status {
            Err(e) if is_absent(&e) => Ok(None),
            status => status.map(Some),
        }
    }
}

/// What the crate is asked through: shared with the files.
struct Connection {
    client: Client,
    runtime: OwnedRuntime,
    deadline: Duration,
    url: String,
}

impl Connection {
    /// Asks `name` of the client and waits for the answer until the deadline.
    fn call<'a, T, F>(&'a self, name: &str, ask: impl FnOnce(&'a Client) -> F) -> io::Result<T>
    where
        F: Future<Output = Result<T, HdfsError>> + 'a,
    {
        self.wait(name, self.deadline, async { ask(&self.client).await.map_err(from_hdfs) })
    }

    /// Runs `work` to its end on this thread, which may block. A panic of the crate, which believes what servers send it, becomes
    /// an error.
    fn wait<T>(&self, name: &str, deadline: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let timed = async {
            tokio::time::timeout(deadline, work).await.unwrap_or_else(|_| {
                let problem = format!("{} did not answer {name} within {} ms", self.url, deadline.as_millis());
                Err(io::Error::new(ErrorKind::TimedOut, problem))
            })
        };
        let ran = catch_unwind(AssertUnwindSafe(|| self.runtime.handle().block_on(timed)));
        ran.unwrap_or_else(|_| Err(io::Error::other(format!("the HDFS client panicked in {name} with {}", self.url))))
    }
}

/// A runtime that may be dropped anywhere.
struct OwnedRuntime(Option<Runtime>);

impl OwnedRuntime {
    fn handle(&self) -> &Handle {
        self.0.as_ref().expect("it is only taken when dropped").handle()
    }
}

impl Drop for OwnedRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for HdfsFileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HdfsFileSystem").field(&self.connection.url).finish()
    }
}

/// HDFS knows paths as UTF-8 only.
fn text(path: &Path) -> Result<&str, HdfsError> {
    path.to_str().ok_or_else(|| HdfsError::InvalidPath(path.display().to_string()))
}

impl FileSystem for HdfsFileSystem {
    fn keeps_side_files(&self) -> bool {
        false
    }

    fn answers_from_memory(&self) -> bool {
        false
    }

    fn read_ahead_bytes_max(&self) -> usize {
        READ_AHEAD_BYTES_MAX
    }

    fn read_permits(&self) -> Option<&Arc<Semaphore>> {
        Some(&self.read_permits)
    }

    fn create_folders(&self, folder: &Path) -> io::Result<()> {
        self.connection.call("mkdirs", |client| async move { client.mkdirs(text(folder)?, FOLDER_MODE, true).await })
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>> {
        let options = &self.options;
        let writer =
            self.connection.call("create", |client| async move { client.create(text(path)?, options).await })?;
        Ok(Box::new(HdfsNewFile::new(self.connection.clone(), path, writer)))
    }

    fn open(&self, path: &Path) -> io::Result<Option<Arc<dyn OpenFile>>> {
        Ok(HdfsOpenFile::open(&self.connection, path)?.map(|file| Arc::new(file) as Arc<dyn OpenFile>))
    }

    fn is_folder(&self, path: &Path) -> io::Result<bool> {
        Ok(self.status(path)?.is_some_and(|status| status.isdir))
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>> {
        let listing = self.connection.client.list_status_iter(text(folder).map_err(from_hdfs)?, false);
        let mut found = Vec::new();
        // Each step is a call of its own or none: the NameNode answers a thousand names at once.
        while let Some(status) = self.connection.wait("getListing", self.connection.deadline, async {
            listing.next().await.transpose().map_err(from_hdfs)
        })? {
            let name = status.path.rsplit('/').next().unwrap_or_default().to_owned();
            let kind = if status.isdir { Kind::Folder } else { Kind::File(status.length as u64) };
            if found.len() == FOLDER_ENTRIES_MAX {
                return Err(too_many(folder));
            }
            found.push(Listed { name, kind });
        }
        Ok(found)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.connection.call("rename", |client| async move { client.rename(text(from)?, text(to)?, false).await })
    }

    fn exchange(&self, _one: &Path, _other: &Path) -> io::Result<()> {
        Err(ErrorKind::Unsupported.into())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        // It answers whether there was something.
        match self.connection.call("delete", |client| async move { client.delete(text(path)?, true).await }) {
            Err(e) if is_absent(&e) => Ok(()),
            removed => removed.map(|_| ()),
        }
    }

    fn remove_empty(&self, folder: &Path) -> io::Result<()> {
        self.connection.call("delete", |client| async move { client.delete(text(folder)?, false).await }).map(|_| ())
    }

    /// The NameNode's journal has every name before it answers.
    fn sync_folder(&self, _folder: &Path) -> io::Result<()> {
        Ok(())
    }

    fn check_writable(&self, base: &Path) -> io::Result<()> {
        let Some(status) = self.status(base)? else {
            // It will be made by the first offload, if the NameNode lets us, which it does not say beforehand.
            return Ok(());
        };
        if !status.isdir {
            let problem = format!("{} is not a folder", base.display());
            return Err(io::Error::new(ErrorKind::PermissionDenied, problem));
        }
        let probe = base.join(format!(".health-{}", Uuid::new_v4().simple()));
        let written = self.create(&probe).and_then(|mut file| {
            file.write_all(b"ok")?;
            file.finish()
        });
        written.map(|_| ()).and(self.remove(&probe))
    }
}
