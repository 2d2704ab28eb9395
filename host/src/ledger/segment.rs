//! One ledger: its file while it grows, what readers may see of it, and its sealing.
//!
//! Readers see what `publish` told, which is what is durable; bytes beyond may lie in the file. A ledger that failed to
//! write refuses appends until a restart; one whose own flush failed also refuses to be sealed, because what the system
//! dropped then is unknown until the file is scanned again.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::disk::Disk;
use super::format::{Footer, SegmentHeader};
use super::layout::Layout;
use super::offsets::Offsets;
use crate::storage::{LedgerId, LedgerSummary, StoreError};

/// One ledger, shared by the commit thread, the checkpoint thread, readers and whoever seals it.
pub(super) struct Segment {
    header: SegmentHeader,
    open_path: PathBuf,
    sealed_path: PathBuf,
    state: RwLock<State>,
    failure: OnceLock<String>,
    flush_failed: AtomicBool,
    folder_flushed: AtomicBool,
    sealing: Mutex<()>,
}

/// Where a ledger stands.
pub(super) enum State {
    /// It may grow, or was left by a crash.
    Open {
        /// Its file, for reading and writing.
        file: Arc<File>,
        /// The durable entries.
        offsets: Offsets,
    },
    /// It never changes; the caches of the readers have file and index.
    Sealed(LedgerSummary),
    /// It is gone.
    Deleted,
}

impl Segment {
    /// A ledger in a known state.
    pub(super) fn new(header: SegmentHeader, layout: &Layout, state: State) -> Self {
        Self {
            open_path: layout.open_path(header.ledger_id),
            sealed_path: layout.sealed_path(header.ledger_id),
            header,
            state: RwLock::new(state),
            failure: OnceLock::new(),
            flush_failed: AtomicBool::new(false),
            folder_flushed: AtomicBool::new(false),
            sealing: Mutex::new(()),
        }
    }

    /// What the file says of itself.
    pub(super) fn header(&self) -> &SegmentHeader {
        &self.header
    }

    /// The ledger.
    pub(super) fn ledger_id(&self) -> LedgerId {
        self.header.ledger_id
    }

    /// The file's name while the ledger is open.
    pub(super) fn open_path(&self) -> &Path {
        &self.open_path
    }

    /// The file's name once it is sealed.
    pub(super) fn sealed_path(&self) -> &Path {
        &self.sealed_path
    }

    /// The state, to read. No code panics while it holds the lock, so a poisoned one is whole.
    pub(super) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Entries and bytes that are durable.
    pub(super) fn summary(&self) -> LedgerSummary {
        match &*self.state() {
            State::Open { offsets, .. } => {
                LedgerSummary { entry_count: offsets.entry_count(), length_bytes: offsets.length_bytes() }
            }
            State::Sealed(summary) => *summary,
            State::Deleted => LedgerSummary::default(),
        }
    }

    /// The file, unless the ledger is sealed or deleted.
    pub(super) fn open_file(&self) -> Option<Arc<File>> {
        match &*self.state() {
            State::Open { file, .. } => Some(file.clone()),
            State::Sealed(_) | State::Deleted => None,
        }
    }

    /// Lets readers see the next entries, which are durable.
    pub(super) fn publish(&self, lengths: impl Iterator<Item = u32>) {
        if let State::Open { offsets, .. } = &mut *self.state_mut() {
            lengths.for_each(|length| offsets.push(length));
        }
    }

    /// Flushes the file; at the first time also its name, which until then only the journal knows.
    pub(super) fn flush(&self, disk: &Disk) -> Result<(), StoreError> {
        self.flush_content(disk)?;
        if self.folder_flushed.load(Ordering::Acquire) {
            return Ok(());
        }
        let folder = self.open_path.parent().expect("a ledger lies in a folder");
        disk.flush_folder(folder).map_err(|error| self.flush_failed(folder, &error))?;
        self.name_is_flushed();
        Ok(())
    }

    /// Flushes the file, if it is not sealed or deleted; not its name.
    pub(super) fn flush_content(&self, disk: &Disk) -> Result<(), StoreError> {
        let Some(file) = self.open_file() else { return Ok(()) };
        disk.flush(&file, &self.open_path).map_err(|error| self.flush_failed(&self.open_path, &error))
    }

    /// Somebody flushed the folder since the file was made.
    pub(super) fn name_is_flushed(&self) {
        self.folder_flushed.store(true, Ordering::Release);
    }

    fn flush_failed(&self, path: &Path, error: &io::Error) -> StoreError {
        self.flush_failed.store(true, Ordering::Release);
        let error = store_error("flush", path, error);
        self.refuse_appends(&error);
        error
    }

    /// Refuses appends from now on, because of `cause`.
    pub(super) fn refuse_appends(&self, cause: &StoreError) {
        if self.failure.set(cause.to_string()).is_ok() {
            tracing::error!(ledger_id = self.header.ledger_id.0, managed_ledger = self.header.managed_ledger,
                error = %cause, "the ledger refuses further writes until a restart");
        }
    }

    /// Why appends are refused, if they are.
    pub(super) fn refusal(&self) -> Option<StoreError> {
        let ledger_id = self.header.ledger_id;
        let cause = self.failure.get()?;
        Some(StoreError::WriteFailed(format!("ledger {ledger_id} refuses writes since an earlier one failed: {cause}")))
    }

    /// Appends index and footer behind the durable entries, flushes, and gives the file its final name. Answers the index
    /// as well, unless the ledger was sealed before. Blocks; the commit thread has let go of the ledger.
    ///
    /// The rename needs no flush: a file that comes back under its open name has a valid footer and is renamed again.
    pub(super) fn seal(&self, disk: &Disk) -> Result<(LedgerSummary, Option<Offsets>), StoreError> {
        let _one_at_a_time = self.sealing.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, footer, end_offset) = match &*self.state() {
            State::Sealed(summary) => return Ok((*summary, None)),
            State::Deleted => return Err(StoreError::NotOpen(self.header.ledger_id)),
            State::Open { file, offsets } => {
                (file.clone(), Footer::encode(self.header.ledger_id, offsets), offsets.end_offset())
            }
        };
        if self.flush_failed.load(Ordering::Acquire) {
            return Err(self.refusal().unwrap_or(StoreError::NotOpen(self.header.ledger_id)));
        }
        self.write_footer(disk, &file, &footer, end_offset)?;
        self.flush(disk)?;
        fs::rename(&self.open_path, &self.sealed_path).map_err(|e| store_error("rename", &self.open_path, &e))?;
        Ok(self.become_sealed())
    }

    fn write_footer(&self, disk: &Disk, file: &File, footer: &[u8], end_offset: u64) -> Result<(), StoreError> {
        let write = || {
            // A failed append or seal may have left bytes behind the durable end.
            if file.metadata()?.len() != end_offset {
                file.set_len(end_offset)?;
            }
            disk.write_bytes_at(file, &self.open_path, footer, end_offset)
        };
        write().map_err(|error| store_error("write the footer of", &self.open_path, &error))
    }

    fn become_sealed(&self) -> (LedgerSummary, Option<Offsets>) {
        let summary = self.summary();
        let before = std::mem::replace(&mut *self.state_mut(), State::Sealed(summary));
        match before {
            State::Open { offsets, .. } => (summary, Some(offsets)),
            State::Sealed(_) => (summary, None),
            State::Deleted => {
                *self.state_mut() = State::Deleted;
                (summary, None)
            }
        }
    }

    /// Lets go of the file, so that its space is free.
    pub(super) fn become_deleted(&self) {
        *self.state_mut() = State::Deleted;
    }
}

/// A failed system call as the seam's error.
pub(super) fn store_error(action: &str, path: &Path, error: &io::Error) -> StoreError {
    let text = format!("{action} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            StoreError::StorageFull(format!("{text}; free some space"))
        }
        _ => StoreError::WriteFailed(text),
    }
}
