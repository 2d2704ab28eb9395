//! A local file that is being written.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::thread::JoinHandle;

use crate::file_system::NewFile;

/// So many bytes are written at most before the disk is asked to take them: a late fsync of everything would show no
/// progress for as long as it takes, and unwritten pages would crowd out the machine's memory.
const SYNC_EVERY_BYTES: u64 = 32 << 20;

pub(crate) struct LocalNewFile {
    file: File,
    unsynced_bytes: u64,
    sync: BackgroundSync,
}

impl LocalNewFile {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create_new(path)?, unsynced_bytes: 0, sync: BackgroundSync::default() })
    }
}

impl Write for LocalNewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.unsynced_bytes += written as u64;
        if self.unsynced_bytes >= SYNC_EVERY_BYTES {
            self.unsynced_bytes = 0;
            self.sync.start(&self.file)?;
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl NewFile for LocalNewFile {
    fn finish(mut self: Box<Self>) -> io::Result<u64> {
        self.sync.wait()?;
        self.file.sync_all()?;
        Ok(self.file.metadata()?.len())
    }
}

/// Asks the disk to take what was written so far while more is written: at most one request at a time.
#[derive(Default)]
struct BackgroundSync {
    running: Option<JoinHandle<io::Result<()>>>,
}

impl BackgroundSync {
    /// Waits for the request before, then starts the next one.
    fn start(&mut self, file: &File) -> io::Result<()> {
        self.wait()?;
        let file = file.try_clone()?;
        let thread = std::thread::Builder::new().name("copy-sync".to_owned());
        self.running = Some(thread.spawn(move || file.sync_data())?);
        Ok(())
    }

    fn wait(&mut self) -> io::Result<()> {
        match self.running.take() {
            Some(running) => running.join().map_err(|_| io::Error::other("the syncing thread panicked"))?,
            None => Ok(()),
        }
    }
}

impl Drop for BackgroundSync {
    fn drop(&mut self) {
        // An error is on its way already; this one would say the same.
        let _ = self.wait();
    }
}
