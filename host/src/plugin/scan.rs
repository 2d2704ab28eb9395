//! Lists the candidates of `offloadersDirectory`: every entry whose name ends in `.so`, in the order of their names.
//!
//! Not recursive. Nothing is opened: an entry that is not a regular file (a link, a folder, a FIFO, a device) becomes a
//! candidate that says so, and stays unopened for good.

use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

/// The ending of a candidate's name.
const ENDING: &[u8] = b".so";

/// The most candidates of one folder; a folder with more is the wrong folder.
pub const CANDIDATES_MAX: usize = 1000;

/// What kind of thing an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// The only kind that is opened.
    File,
    /// A symbolic link, wherever it leads.
    Link,
    /// A folder.
    Folder,
    /// A named pipe; opening one could wait for ever.
    Fifo,
    /// A socket or a device.
    Special,
}

impl EntryKind {
    pub(super) fn of(file_type: FileType) -> Self {
        if file_type.is_file() {
            Self::File
        } else if file_type.is_symlink() {
            Self::Link
        } else if file_type.is_dir() {
            Self::Folder
        } else if file_type.is_fifo() {
            Self::Fifo
        } else {
            Self::Special
        }
    }

    /// Why an entry of this kind is refused, or `None` for a regular file.
    pub fn refusal(self) -> Option<&'static str> {
        match self {
            Self::File => None,
            Self::Link => Some("it is a symbolic link; put the file itself into the folder"),
            Self::Folder => Some("it is a folder; put the library itself into the folder above"),
            Self::Fifo => Some("it is a named pipe, not a file; remove it"),
            Self::Special => Some("it is a socket or a device, not a file; remove it"),
        }
    }
}

/// What the file system says of an entry, by which a change is noticed without reading a byte.
///
/// The time of the last change of the entry itself (`ctime`) is among it, because no tool can set it back: a copy that keeps
/// times and length, a new mode and a new owner all show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Bytes.
    pub len: u64,
    /// When the content changed, nanoseconds since 1970.
    pub modified_ns: i128,
    /// When content, name, mode or owner changed, nanoseconds since 1970.
    pub changed_ns: i128,
    /// The file's number in its file system.
    pub inode: u64,
    /// The file system.
    pub device: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            len: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            inode: metadata.ino(),
            device: metadata.dev(),
        }
    }
}

/// One entry of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name, without the folder.
    pub name: OsString,
    /// Folder and name.
    pub path: PathBuf,
    /// What it is.
    pub kind: EntryKind,
    /// What the file system says of it; of a link, not of what it leads to.
    pub stamp: Stamp,
}

/// Why a folder could not be listed. A missing one is no reason to stop: there are no plugins then.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// There is no such folder.
    #[error("folder {0} does not exist, so there are no offloaders; create it or change offloadersDirectory")]
    Missing(PathBuf),
    /// The operating system refuses.
    #[error("read folder {path}: {source}")]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// What it says.
        source: io::Error,
    },
    /// More than [`CANDIDATES_MAX`] entries.
    #[error(
        "folder {0} has more than {CANDIDATES_MAX} files *.so; point offloadersDirectory at a folder of plugins alone"
    )]
    TooMany(PathBuf),
}

/// Lists the candidates of `directory`, by name.
///
/// # Errors
/// See [`ScanError`].
pub fn scan(directory: &Path) -> Result<Vec<Candidate>, ScanError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => ScanError::Missing(directory.to_owned()),
        _ => ScanError::Unreadable { path: directory.to_owned(), source },
    };
    let mut candidates = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if !name.as_bytes().ends_with(ENDING) {
            continue;
        }
        if candidates.len() == CANDIDATES_MAX {
            return Err(ScanError::TooMany(directory.to_owned()));
        }
        match entry.metadata() {
            Ok(metadata) => {
                let (kind, stamp) = (EntryKind::of(metadata.file_type()), Stamp::of(&metadata));
                candidates.push(Candidate { name, path: entry.path(), kind, stamp });
            }
            // Removed since the folder was read.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(e) => return Err(failed(e)),
        }
    }
    candidates.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(candidates)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_entry_with_the_ending_is_listed_by_name_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("b.so"), "").unwrap();
        fs::write(at("a.so"), "").unwrap();
        fs::write(at("README.md"), "").unwrap();
        fs::write(at("a.so.sha256"), "").unwrap();
        fs::create_dir(at("d.so")).unwrap();
        std::os::unix::fs::symlink(at("a.so"), at("c.so")).unwrap();
        let found: Vec<_> = scan(folder.path()).unwrap().into_iter().map(|c| (c.name, c.kind)).collect();
        let expected = [
            ("a.so", EntryKind::File),
            ("b.so", EntryKind::File),
            ("c.so", EntryKind::Link),
            ("d.so", EntryKind::Folder),
        ];
        assert_eq!(found, expected.map(|(name, kind)| (OsString::from(name), kind)));
    }

    #[test]
    fn a_missing_folder_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(scan(&folder.path().join("none")), Err(ScanError::Missing(_))));
    }
}
