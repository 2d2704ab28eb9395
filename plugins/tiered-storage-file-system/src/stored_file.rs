//! A file of a copy as the format library reads it: by position, opened once more where its handle wore out.
//!
//! A handle wears out on NFS when the server forgot it (`ESTALE`, and over NFSv4 after a restart `EIO` or `EBADF`), and on HDFS
//! when no machine that had a block still answers for it. Copies never change once they have their name, so the path leads to
//! the same file again; should it not, the read fails.

use std::cell::Cell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use map_file::{Error, Source};
use rustix::io::Errno;

use crate::file_system::{FileSystem, Identity, OpenFile, STALE};

/// An open file of a copy.
#[derive(Debug)]
pub(crate) struct StoredFile {
    file_system: Arc<dyn FileSystem>,
    path: PathBuf,
    name: String,
    /// Of the file as it was first opened.
    identity: Identity,
    file: RwLock<Arc<dyn OpenFile>>,
}

impl StoredFile {
    /// Opens `path`, or answers `None` where there is no such file.
    ///
    /// # Errors
    /// As [`FileSystem::open`].
    pub(crate) fn open(file_system: &Arc<dyn FileSystem>, path: &Path) -> io::Result<Option<Self>> {
        let Some(file) = file_system.open(path)? else { return Ok(None) };
        Ok(Some(Self {
            file_system: file_system.clone(),
            path: path.to_owned(),
            name: path.display().to_string(),
            identity: file.identity(),
            file: RwLock::new(file),
        }))
    }

    fn file(&self) -> Arc<dyn OpenFile> {
        self.file.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn read_once_more(&self, worn_out: &Arc<dyn OpenFile>, offset: u64, len: usize) -> io::Result<Bytes> {
        let current = self.file();
        // Another read may have opened it meanwhile.
        let fresh = if Arc::ptr_eq(&current, worn_out) { self.open_again()? } else { current };
        fresh.read_at(offset, len)
    }

    fn open_again(&self) -> io::Result<Arc<dyn OpenFile>> {
        let Some(file) = self.file_system.open(&self.path)? else {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it was removed while it was read"));
        };
        if file.identity() != self.identity {
            return Err(io::Error::new(STALE, "another file has its name since it was opened"));
        }
        *self.file.write().unwrap_or_else(PoisonError::into_inner) = file.clone();
        Ok(file)
    }
}

/// Whether opening the file again may help. A disk that cannot read answers the same once more.
fn is_worn_out(error: &io::Error) -> bool {
    let worn_out = [Errno::IO, Errno::BADF].map(|errno| Some(errno.raw_os_error()));
    error.kind() == STALE || worn_out.contains(&error.raw_os_error())
}

thread_local! {
    static ONLY_FROM_MEMORY: Cell<bool> = const { Cell::new(false) };
}

/// Runs `read` without ever waiting for the disk: what the system does not hold in memory is an error, for which the answer is
/// `None`.
pub(crate) fn only_from_memory<T>(read: impl FnOnce() -> Result<T, Error>) -> Option<Result<T, Error>> {
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            ONLY_FROM_MEMORY.set(self.0);
        }
    }
    let _restore = Restore(ONLY_FROM_MEMORY.replace(true));
    match read() {
        // A read that may wait also opens the file again.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock || is_worn_out(&source) => None,
        answer => Some(answer),
    }
}

impl Source for StoredFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.identity.len
    }

    fn read_ahead_bytes_max(&self) -> usize {
        self.file_system.read_ahead_bytes_max()
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let file = self.file();
        let read = if ONLY_FROM_MEMORY.get() {
            file.read_from_memory(offset, len)
        } else {
            match file.read_at(offset, len) {
                Err(e) if is_worn_out(&e) => self.read_once_more(&file, offset, len),
                read => read,
            }
        };
        let bytes = read.map_err(|e| Error::read(&self.name, e))?;
        if bytes.len() < len {
            let problem = format!("the file ends here, it had {} bytes when it was opened", self.identity.len);
            return Err(Error::Corrupt { file: self.name.clone(), offset: offset + bytes.len() as u64, problem });
        }
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::local::LocalFileSystem;

    fn open(path: &Path) -> StoredFile {
        let file_system: Arc<dyn FileSystem> = Arc::new(LocalFileSystem::default());
        StoredFile::open(&file_system, path).unwrap().unwrap()
    }

    #[test]
    fn a_shrunken_file_is_damaged_from_memory_or_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, b"0123456789").unwrap();
        let file = open(&path);
        assert_eq!(file.read_at(3, 4).unwrap(), &b"3456"[..]);
        fs::write(&path, b"01234").unwrap();
        let error = file.read_at(3, 4).unwrap_err();
        assert!(matches!(error, Error::Corrupt { offset: 5, .. }), "{error}");
        if let Some(read) = only_from_memory(|| file.read_at(3, 4)) {
            assert!(matches!(read.unwrap_err(), Error::Corrupt { offset: 5, .. }));
        }
        assert!(!ONLY_FROM_MEMORY.get(), "the next read may wait");
    }
}
