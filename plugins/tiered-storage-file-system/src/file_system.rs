//! The seam between the story of a copy and where its files are: a local or mounted folder ([`local`](crate::local)) or HDFS
//! ([`hdfs`](crate::hdfs)). Above it nobody knows which.
//!
//! Everything here may block and is called on threads that may. Errors are `io::Error`s whose kind says what to do, as
//! [`io_error`](crate::error::io_error) reads it: `NotFound` means that the store answered and the path is not there, never
//! that nobody answered.

use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use map_file::WINDOW_BYTES_MAX;
use tokio::sync::Semaphore;

/// A listing with more names is refused: it is held in memory whole, to be sorted.
pub(crate) const FOLDER_ENTRIES_MAX: usize = 1 << 20;

/// A file that a writer lost, or that another took, is reported so that a read opens it once more.
pub(crate) const STALE: io::ErrorKind = io::ErrorKind::StaleNetworkFileHandle;

/// Where files are kept.
pub(crate) trait FileSystem: fmt::Debug + Send + Sync {
    /// Whether each file has a `.crc` file beside it, as Hadoop keeps them on local file systems. HDFS has its own checksums.
    fn keeps_side_files(&self) -> bool;

    /// Whether a read may be answered from memory without waiting ([`OpenFile::read_from_memory`]).
    fn answers_from_memory(&self) -> bool;

    /// The most bytes that are worth reading ahead at once.
    fn read_ahead_bytes_max(&self) -> usize {
        WINDOW_BYTES_MAX
    }

    /// Holds back reads where too many that wait for an answer would take every thread; `None` where reads end soon.
    fn read_permits(&self) -> Option<&Arc<Semaphore>>;

    /// Makes `folder` and every folder above it that is missing, durably. One that exists is as good.
    ///
    /// # Errors
    /// `NotADirectory`, with the path, where a file is in the way.
    fn create_folders(&self, folder: &Path) -> io::Result<()>;

    /// Makes a file in a folder that exists.
    ///
    /// # Errors
    /// `AlreadyExists`; `NotFound` where there is no such folder.
    fn create(&self, path: &Path) -> io::Result<Box<dyn NewFile>>;

    /// Opens a file for reading, or answers `None` where the path does not exist.
    ///
    /// # Errors
    /// `InvalidData` where it is not a regular file.
    fn open(&self, path: &Path) -> io::Result<Option<Arc<dyn OpenFile>>>;

    /// Whether there is a folder of this name.
    fn is_folder(&self, path: &Path) -> io::Result<bool>;

    /// Files and folders in `folder`, in no order; links and whatever else there may be are left out.
    ///
    /// # Errors
    /// `NotFound`; `NotADirectory`; `OutOfMemory` beyond [`FOLDER_ENTRIES_MAX`].
    fn list(&self, folder: &Path) -> io::Result<Vec<Listed>>;

    /// Gives a folder another name in one step.
    ///
    /// # Errors
    /// `AlreadyExists` or `DirectoryNotEmpty` where `to` is a folder with something in it; `NotFound` for `from`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Exchanges the names of two folders in one step.
    ///
    /// # Errors
    /// `Unsupported` where the file system cannot.
    fn exchange(&self, one: &Path, other: &Path) -> io::Result<()>;

    /// Removes a file, or a folder with everything in it, also while somebody writes there. What is missing is removed already.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder if nothing is in it.
    fn remove_empty(&self, folder: &Path) -> io::Result<()>;

    /// Makes the names in `folder` durable.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;

    /// Whether a copy could be written below `base`, as far as that can be told without leaving anything there.
    fn check_writable(&self, base: &Path) -> io::Result<()>;
}

/// A file that is written front to back. Dropped before [`finish`](Self::finish) it is left as it is, closed.
pub(crate) trait NewFile: Write + Send {
    /// Brings every byte to where it outlives this machine's power, or on HDFS to as many machines as it asks for, and answers the
    /// length that the file then has, in bytes.
    fn finish(self: Box<Self>) -> io::Result<u64>;
}

/// An open file, read at any position, by any number of readers at once.
pub(crate) trait OpenFile: fmt::Debug + Send + Sync {
    /// Which file it is.
    fn identity(&self) -> Identity;

    /// `len` bytes from `offset` on; fewer only where the file ends.
    ///
    /// # Errors
    /// [`STALE`] where opening the path once more may help.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes>;

    /// As [`read_at`](Self::read_at), without ever waiting.
    ///
    /// # Errors
    /// `WouldBlock` where it would have to.
    fn read_from_memory(&self, _offset: u64, _len: usize) -> io::Result<Bytes> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// What tells a file that was opened again from one that took its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Length in bytes.
    pub(crate) len: u64,
    /// When it was last written, in units of the file system's own.
    pub(crate) modified: u64,
}

/// One name in a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    /// The name. Names that are not UTF-8 are nobody's copies and are left out.
    pub(crate) name: String,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A folder.
    Folder,
    /// A file of so many bytes.
    File(u64),
}

/// Whether an error says that a path does not exist; a file where a folder should be hides everything below it.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// The error for a folder with too many names.
pub(crate) fn too_many(folder: &Path) -> io::Error {
    let problem = format!("{} holds more than {FOLDER_ENTRIES_MAX} names", folder.display());
    io::Error::new(io::ErrorKind::OutOfMemory, problem)
}
