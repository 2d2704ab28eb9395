//! A file on HDFS that is read by position.
//!
//! Where its blocks are is asked once, when it is opened; a machine that failed is not asked again by this handle. So when no
//! machine answers any more the handle has worn out, and [`StoredFile`](crate::stored_file) opens the path again.

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use hdfs_native::file::FileReader;

use super::error::from_hdfs;
use super::{Connection, text};
use crate::file_system::{Identity, OpenFile, STALE, is_absent};

pub(crate) struct HdfsOpenFile {
    connection: Arc<Connection>,
    reader: FileReader,
    identity: Identity,
}

impl HdfsOpenFile {
    /// Opens `path`, or answers `None` where there is no such file.
    ///
    /// # Errors
    /// `InvalidData` where it is a folder; where nobody answers, that.
    pub(crate) fn open(connection: &Arc<Connection>, path: &Path) -> io::Result<Option<Self>> {
        let opened = connection.call("getBlockLocations", |client| async move {
            let path = text(path)?;
            let status = client.get_file_info(path).await?;
            let reader = if status.isdir { None } else { Some(client.read(path).await?) };
            Ok((status, reader))
        });
        let (status, reader) = match opened {
            Err(e) if is_absent(&e) => return Ok(None),
            opened => opened?,
        };
        let Some(reader) = reader else {
            return Err(io::Error::new(ErrorKind::InvalidData, "it is a folder"));
        };
        let identity = Identity { len: reader.file_length() as u64, modified: status.modification_time };
        Ok(Some(Self { connection: connection.clone(), reader, identity }))
    }
}

impl OpenFile for HdfsOpenFile {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        // The crate panics beyond the end.
        let left = self.identity.len.saturating_sub(offset);
        let len = usize::try_from(left).unwrap_or(usize::MAX).min(len);
        if len == 0 {
            return Ok(Bytes::new());
        }
        let reader = &self.reader;
        let connection = &self.connection;
        let read = async { reader.read_range(offset as usize, len).await.map_err(worn_out) };
        connection.wait("read", connection.deadline, read)
    }
}

/// An error of a read, as one that opening the file again may help against.
fn worn_out(error: hdfs_native::HdfsError) -> io::Error {
    let error = from_hdfs(error);
    match error.kind() {
        ErrorKind::PermissionDenied | ErrorKind::Unsupported | ErrorKind::TimedOut => error,
        _ => io::Error::new(STALE, error),
    }
}

impl fmt::Debug for HdfsOpenFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HdfsOpenFile").field("identity", &self.identity).finish_non_exhaustive()
    }
}
