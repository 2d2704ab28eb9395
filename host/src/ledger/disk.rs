//! The system calls that write: gathered positional writes, flushes, removals; counted in one place.
//!
//! Tests put faults in here, at the only door through which bytes leave.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// Payloads up to this size are copied beside their headers; larger ones are handed to the system as they are.
const COPIED_PAYLOAD_BYTES_MAX: usize = 8 * 1024;
/// Slices that the system takes in one call (Linux `IOV_MAX`).
const SLICES_PER_CALL_MAX: usize = 1024;

/// What the store did since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerStoreCounters {
    /// Entries made durable.
    pub entries: u64,
    /// Payload bytes of these.
    pub payload_bytes: u64,
    /// Groups in which they were made durable.
    pub groups: u64,
    /// Flushes of files and folders, of all threads.
    pub flushes: u64,
    /// Bytes written, journal included.
    pub written_bytes: u64,
}

/// Counts what leaves; shared by all threads of one store.
#[derive(Default)]
pub(super) struct Disk {
    flushes: AtomicU64,
    written_bytes: AtomicU64,
    entries: AtomicU64,
    payload_bytes: AtomicU64,
    groups: AtomicU64,
    #[cfg(test)]
    pub(super) fault: std::sync::Mutex<Option<Fault>>,
}

/// Decides, in tests, whether a write or a flush of a file fails.
#[cfg(test)]
pub(super) type Fault = Box<dyn FnMut(Action, &Path) -> Option<io::ErrorKind> + Send>;

/// What is about to happen to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// Bytes are written.
    Write,
    /// They are flushed.
    Flush,
}

impl Disk {
    /// Writes everything that was gathered at `offset`.
    pub(super) fn write_at(&self, file: &File, path: &Path, gathered: &Gathered, offset: u64) -> io::Result<()> {
        self.gate(Action::Write, path)?;
        let mut slices = gathered.slices();
        let mut rest = &mut slices[..];
        let mut at = offset;
        while !rest.is_empty() {
            let batch = rest.len().min(SLICES_PER_CALL_MAX);
            match rustix::io::pwritev(file, &rest[..batch], at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    at += written as u64;
                    IoSlice::advance_slices(&mut rest, written);
                }
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        self.written_bytes.fetch_add(at - offset, Ordering::Relaxed);
        Ok(())
    }

    /// Writes plain bytes at `offset`.
    pub(super) fn write_bytes_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut gathered = Gathered::default();
        gathered.add(bytes);
        self.write_at(file, path, &gathered, offset)
    }

    /// Puts a file's content on disk, and its size where that is needed to read it.
    pub(super) fn flush(&self, file: &File, path: &Path) -> io::Result<()> {
        self.gate(Action::Flush, path)?;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        file.sync_data()
    }

    /// Puts the names in a folder on disk.
    pub(super) fn flush_folder(&self, folder: &Path) -> io::Result<()> {
        self.gate(Action::Flush, folder)?;
        self.flushes.fetch_add(1, Ordering::Relaxed);
        File::open(folder)?.sync_all()
    }

    /// Counts one group that is on disk.
    pub(super) fn count_group(&self, entries: u64, payload_bytes: u64) {
        self.groups.fetch_add(1, Ordering::Relaxed);
        self.entries.fetch_add(entries, Ordering::Relaxed);
        self.payload_bytes.fetch_add(payload_bytes, Ordering::Relaxed);
    }

    /// The counts of this moment.
    pub(super) fn counters(&self) -> LedgerStoreCounters {
        LedgerStoreCounters {
            entries: self.entries.load(Ordering::Relaxed),
            payload_bytes: self.payload_bytes.load(Ordering::Relaxed),
            groups: self.groups.load(Ordering::Relaxed),
            flushes: self.flushes.load(Ordering::Relaxed),
            written_bytes: self.written_bytes.load(Ordering::Relaxed),
        }
    }

    #[cfg(not(test))]
    fn gate(&self, _action: Action, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    #[cfg(test)]
    fn gate(&self, action: Action, path: &Path) -> io::Result<()> {
        let mut fault = self.fault.lock().expect("no test panics while it holds the lock");
        match fault.as_mut().and_then(|fault| fault(action, path)) {
            Some(kind) => Err(kind.into()),
            None => Ok(()),
        }
    }
}

/// Removes a file; a missing one is a success.
pub(super) fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Bytes from many places that leave in one call; large payloads are not copied.
#[derive(Default)]
pub(super) struct Gathered {
    copied: Vec<u8>,
    parts: Vec<Part>,
    len_bytes: u64,
}

enum Part {
    Copied(Range<usize>),
    Payload(Bytes),
}

impl Gathered {
    /// Adds a copy of `bytes`.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let start = self.copied.len();
        self.copied.extend_from_slice(bytes);
        self.len_bytes += bytes.len() as u64;
        match self.parts.last_mut() {
            Some(Part::Copied(range)) => range.end = self.copied.len(),
            _ => self.parts.push(Part::Copied(start..self.copied.len())),
        }
    }

    /// Adds a payload.
    pub(super) fn add_payload(&mut self, payload: &Bytes) {
        if payload.len() <= COPIED_PAYLOAD_BYTES_MAX {
            return self.add(payload);
        }
        self.len_bytes += payload.len() as u64;
        self.parts.push(Part::Payload(payload.clone()));
    }

    /// Bytes gathered.
    pub(super) fn len_bytes(&self) -> u64 {
        self.len_bytes
    }

    /// Forgets the content, keeps the room for the next group.
    pub(super) fn clear(&mut self) {
        self.copied.clear();
        self.parts.clear();
        self.len_bytes = 0;
    }

    /// The content with `front` before it.
    pub(super) fn behind(mut self, front: Vec<u8>) -> Self {
        self.len_bytes += front.len() as u64;
        self.parts.insert(0, Part::Payload(Bytes::from(front)));
        self
    }

    /// The content, piece by piece.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().map(|part| match part {
            Part::Copied(range) => &self.copied[range.clone()],
            Part::Payload(payload) => payload,
        })
    }

    fn slices(&self) -> Vec<IoSlice<'_>> {
        self.parts().filter(|part| !part.is_empty()).map(IoSlice::new).collect()
    }
}
