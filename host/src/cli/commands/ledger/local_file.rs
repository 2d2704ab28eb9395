//! A file of a copy, read at any position and in pieces.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use bytes::Bytes;
use map_file::Source;

use super::account::NotLookedAt;
use super::shown;

/// Bytes of a file that are in memory at once, beside what a form decodes.
pub(super) const PIECE_BYTES: usize = 256 << 10;

/// An open file; its length is that at opening.
#[derive(Debug)]
pub(super) struct LocalFile {
    file: File,
    name: String,
    byte_count: u64,
}

impl LocalFile {
    /// Opens a regular file; a FIFO would block for ever.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn open(path: &Path) -> Result<Self, NotLookedAt> {
        let open = || {
            if !fs::metadata(path)?.is_file() {
                return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
            }
            let file = File::open(path)?;
            let byte_count = file.metadata()?.len();
            Ok(Self { file, name: shown(path), byte_count })
        };
        open().map_err(|error: io::Error| NotLookedAt(format!("open {}: {error}", path.display())))
    }

    /// As [`open`](Self::open), or nothing where there is no such file.
    pub(super) fn open_if_there(path: &Path) -> Result<Option<Self>, NotLookedAt> {
        match fs::symlink_metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            _ => Self::open(path).map(Some),
        }
    }

    /// Its path.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Its length in bytes.
    pub(super) fn byte_count(&self) -> u64 {
        self.byte_count
    }

    /// Fills `bytes` from `offset` on.
    pub(super) fn read_exact(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.file.read_exact_at(bytes, offset)
    }
}

impl Source for LocalFile {
    fn name(&self) -> &str {
        &self.name
    }

    fn len(&self) -> u64 {
        self.byte_count
    }

    fn read_at(&self, offset: u64, len: usize) -> Result<Bytes, map_file::Error> {
        let mut bytes = vec![0; len];
        match self.read_exact(&mut bytes, offset) {
            Ok(()) => Ok(bytes.into()),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(map_file::Error::Corrupt {
                file: self.name.clone(),
                offset,
                problem: format!("the file ends within {len} bytes from here on"),
            }),
            Err(error) => Err(map_file::Error::read(&self.name, error)),
        }
    }
}

/// A stretch of a file that was read, and answers the next requests.
#[derive(Debug, Default)]
pub(super) struct Window {
    start: u64,
    bytes: Vec<u8>,
}

impl Window {
    /// At least `count` bytes from `offset` on, or what the file still has; never more than [`PIECE_BYTES`]. `count` is at most
    /// that.
    ///
    /// # Errors
    /// Those of the file system.
    pub(super) fn at(&mut self, file: &LocalFile, offset: u64, count: usize) -> io::Result<&[u8]> {
        let left = file.byte_count().saturating_sub(offset);
        let wanted = (count.min(PIECE_BYTES) as u64).min(left) as usize;
        let from = offset.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let from = from.filter(|from| from.checked_add(wanted).is_some_and(|end| end <= self.bytes.len()));
        let from = match from {
            Some(from) => from,
            None => {
                self.bytes.resize((PIECE_BYTES as u64).min(left) as usize, 0);
                let read = file.read_exact(&mut self.bytes, offset);
                self.start = offset;
                if read.is_err() {
                    self.bytes.clear();
                }
                read?;
                0
            }
        };
        Ok(&self.bytes[from..])
    }
}
