//! A stored file, read at any position.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::path::Path;

use bytes::Bytes;
use map_file::{Error, Source};
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags};

/// An open file of a copy. Copies never change once they have their name, so the length is that at opening.
#[derive(Debug)]
pub(crate) struct StoredFile {
    file: File,
    name: String,
    len: u64,
}

impl StoredFile {
    /// Opens `path`, or answers `None` where there is no such file.
    ///
    /// # Errors
    /// `path` is not a file (a FIFO would block for ever), or the operating system refuses.
    pub(crate) fn open(path: &Path) -> io::Result<Option<Self>> {
        let metadata = match fs::metadata(path) {
            Err(e) if is_absent(&e) => return Ok(None),
            other => other?,
        };
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
        }
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok(Some(Self { file, name: path.display().to_string(), len }))
    }
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
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::WouldBlock => None,
        answer => Some(answer),
    }
}

/// Whether an error says that a path does not exist; a file where a folder should be hides everything below it.
pub(crate) fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

impl Source for StoredFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        if ONLY_FROM_MEMORY.get() {
            return self.read_from_memory(offset, len);
        }
        let mut bytes: Vec<u8> = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(self.ends(at)),
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(Error::read(&self.name, errno.into())),
            }
        }
        bytes.truncate(len);
        Ok(Bytes::from(bytes))
    }
}

impl StoredFile {
    /// As `read_at`, without waiting for the disk.
    ///
    /// Source: preadv2(2), `RWF_NOWAIT`. A file system that does not know the flag says so, which is as good as "not in memory".
    fn read_from_memory(&self, offset: u64, len: usize) -> Result<Bytes, Error> {
        let (mut bytes, mut filled) = (vec![0; len], 0);
        while filled < len {
            let at = offset + filled as u64;
            let mut parts = [io::IoSliceMut::new(&mut bytes[filled..])];
            match rustix::io::preadv2(&self.file, &mut parts, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => return Err(self.ends(at)),
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP) => return Err(Error::read(&self.name, Errno::AGAIN.into())),
                Err(errno) => return Err(Error::read(&self.name, errno.into())),
            }
        }
        Ok(Bytes::from(bytes))
    }

    fn ends(&self, at: u64) -> Error {
        let problem = format!("the file ends here, it had {} bytes when it was opened", self.len);
        Error::Corrupt { file: self.name.clone(), offset: at, problem }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_from_their_place_and_a_shrunken_file_is_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, b"0123456789").unwrap();
        let file = StoredFile::open(&path).unwrap().unwrap();
        assert_eq!(file.read_at(3, 4).unwrap(), &b"3456"[..]);
        fs::write(&path, b"01234").unwrap();
        let error = file.read_at(3, 4).unwrap_err();
        assert!(matches!(error, Error::Corrupt { offset: 5, .. }), "{error}");
    }

    #[test]
    fn what_was_just_written_is_in_memory_or_known_not_to_be() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, b"0123456789").unwrap();
        let file = StoredFile::open(&path).unwrap().unwrap();
        // A file system that cannot tell answers nothing, never something else.
        if let Some(read) = only_from_memory(|| file.read_at(3, 4)) {
            assert_eq!(read.unwrap(), &b"3456"[..]);
            fs::write(&path, b"01234").unwrap();
            let error = only_from_memory(|| file.read_at(3, 4)).unwrap().unwrap_err();
            assert!(matches!(error, Error::Corrupt { offset: 5, .. }), "{error}");
        }
        assert!(!ONLY_FROM_MEMORY.get(), "the next read may wait");
    }

    #[test]
    fn what_is_missing_or_no_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(StoredFile::open(&folder.path().join("data")).unwrap().is_none());
        assert_eq!(StoredFile::open(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
