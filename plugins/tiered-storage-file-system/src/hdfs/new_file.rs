//! A file on HDFS that is being written: handed to the first DataNode in packets, which passes them on.

use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hdfs_native::file::FileWriter;

use super::error::from_hdfs;
use super::{Connection, text};
use crate::file_system::NewFile;

/// How long a file that was given up may take to close. Without that its pipeline would be kept up for nobody.
const GIVE_UP_DEADLINE: Duration = Duration::from_secs(5);

pub(crate) struct HdfsNewFile {
    connection: Arc<Connection>,
    path: PathBuf,
    writer: FileWriter,
    closed: bool,
}

impl HdfsNewFile {
    pub(crate) fn new(connection: Arc<Connection>, path: &Path, writer: FileWriter) -> Self {
        Self { connection, path: path.to_owned(), writer, closed: false }
    }
}

impl Write for HdfsNewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Bytes::copy_from_slice(bytes);
        let writer = &mut self.writer;
        let connection = &self.connection;
        connection.wait("write", connection.deadline, async { writer.write_bytes(piece).await.map_err(from_hdfs) })
    }

    /// Packets are on their way already; that they arrived is what `finish` waits for.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl NewFile for HdfsNewFile {
    fn finish(mut self: Box<Self>) -> io::Result<u64> {
        let connection = self.connection.clone();
        let writer = &mut self.writer;
        connection.wait("close", connection.deadline, async { writer.close().await.map_err(from_hdfs) })?;
        self.closed = true;
        let path = &self.path;
        let status = connection.call("getFileInfo", |client| async move { client.get_file_info(text(path)?).await })?;
        if status.isdir {
            return Err(ErrorKind::IsADirectory.into());
        }
        Ok(status.length as u64)
    }
}

impl Drop for HdfsNewFile {
    fn drop(&mut self) {
        if !self.closed {
            let writer = &mut self.writer;
            let closing = async { writer.close().await.map_err(from_hdfs) };
            // Whoever drops it removes the file; what went wrong is known already.
            let _ = self.connection.wait("close", GIVE_UP_DEADLINE, closing);
        }
    }
}
