//! A local file that is read.

use std::fs::{self, File, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::spare::Spares;
use rustix::buffer::spare_capacity;
use rustix::io::{Errno, ReadWriteFlags};

use crate::file_system::{Identity, OpenFile, is_absent};

const NANOSECONDS: u64 = 1_000_000_000;

#[derive(Debug)]
pub(crate) struct LocalOpenFile {
    file: File,
    identity: Identity,
    spares: Arc<Spares>,
}

impl LocalOpenFile {
    /// Opens `path`, or answers `None` where there is no such file. What is read is put into `spares`.
    ///
    /// # Errors
    /// `path` is not a file (a FIFO would block for ever), or the operating system refuses.
    pub(crate) fn open(path: &Path, spares: Arc<Spares>) -> io::Result<Option<Self>> {
        let metadata = match fs::metadata(path) {
            Err(e) if is_absent(&e) => return Ok(None),
            other => other?,
        };
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is not a regular file"));
        }
        let file = match File::open(path) {
            Err(e) if is_absent(&e) => return Ok(None),
            other => other?,
        };
        let identity = identity(&file.metadata()?);
        Ok(Some(Self { file, identity, spares }))
    }
}

fn identity(metadata: &Metadata) -> Identity {
    let modified = (metadata.mtime() as u64).wrapping_mul(NANOSECONDS).wrapping_add(metadata.mtime_nsec() as u64);
    Identity { len: metadata.len(), modified }
}

impl OpenFile for LocalOpenFile {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let mut bytes = self.spares.buffer(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            match rustix::io::pread(&self.file, spare_capacity(&mut *bytes), at) {
                Ok(0) => break,
                Ok(_) | Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        bytes.truncate(len);
        Ok(bytes.freeze())
    }

    /// Source: preadv2(2), `RWF_NOWAIT`. A file system that does not know the flag says so, which is as good as "not in memory".
    fn read_from_memory(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let (mut bytes, mut filled) = (self.spares.buffer(len), 0);
        bytes.resize(len, 0);
        while filled < len {
            let at = offset + filled as u64;
            let mut parts = [io::IoSliceMut::new(&mut bytes[filled..])];
            match rustix::io::preadv2(&self.file, &mut parts, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP) => return Err(Errno::AGAIN.into()),
                Err(errno) => return Err(errno.into()),
            }
        }
        bytes.truncate(filled);
        Ok(bytes.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> io::Result<Option<LocalOpenFile>> {
        LocalOpenFile::open(path, Spares::new(1 << 20))
    }

    #[test]
    fn bytes_come_from_their_place_and_end_where_the_file_does() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("data");
        fs::write(&path, b"0123456789").unwrap();
        let file = open(&path).unwrap().unwrap();
        assert_eq!(file.identity().len, 10);
        assert_eq!(file.read_at(3, 4).unwrap(), &b"3456"[..]);
        assert_eq!(file.read_at(8, 4).unwrap(), &b"89"[..]);
        // A file system that cannot tell what is in memory answers nothing, never something else.
        match file.read_from_memory(8, 4) {
            Ok(read) => assert_eq!(read, &b"89"[..]),
            Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
        }
    }

    #[test]
    fn what_is_missing_or_no_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert!(open(&folder.path().join("data")).unwrap().is_none());
        assert_eq!(open(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
