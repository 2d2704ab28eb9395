//! Reads entries of a copy at any place, for any number of readers at once.
//!
//! | to understand | read |
//! |---|---|
//! | one read | this file, then `run` |
//! | what is known of an open copy, and for how long | `open_copy` |
//! | bytes that were fetched, and who waits for which | `extents`, then `fetch` |
//! | how much is fetched | `run`, `read_ahead` |
//! | the original's objects, whose index is sparse | `approach`, `search`, `learned` |
//!
//! A handle has no position: what it remembers are hints. An entry leaves only as bytes that a [walk](crate::walk) accepted,
//! and, where the copy has checksums, that matched theirs.

mod approach;
mod extents;
mod fetch;
mod learned;
mod open_copy;
mod read_ahead;
mod run;
mod search;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longshore_plugin_api::read_handle::check_range;
use longshore_plugin_api::{Entry, LedgerMetadata, ReadHandle, Result};

use crate::index::Index;
use crate::store::requests::Requests;

pub(crate) use extents::{CopyId, Extents};
pub(crate) use open_copy::{OpenCopies, OpenCopy};
use read_ahead::Streams;
use run::Run;

/// Pulsar's default `maxMessageSize` of 5 MiB, and room for what stands around a message.
const ENTRY_BYTES_MAX_DEFAULT: u64 = (5 << 20) + (64 << 10);

/// How copies are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadOptions {
    /// Bytes of data objects that are kept, those on their way included. A sequential reader takes up to two thirds, and
    /// asks for half of that at once.
    pub extents_bytes_max: u64,
    /// Bytes of indexes that are kept, with what reads learned of them.
    pub indexes_bytes_max: u64,
    /// No entry of the original's copies is longer: the broker's `maxMessageSize` and the metadata around a message. A copy
    /// with a sparse index is searched within these bounds; one with longer entries must be walked through, which a larger
    /// number brings about.
    pub entry_bytes_max: u64,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { extents_bytes_max: 64 << 20, indexes_bytes_max: 16 << 20, entry_bytes_max: ENTRY_BYTES_MAX_DEFAULT }
    }
}

/// What all handles of a plugin share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) requests: Arc<Requests>,
    pub(crate) extents: Arc<Extents>,
    pub(crate) entry_bytes_max: u64,
}

/// An open copy of one ledger.
pub struct CopyHandle {
    shared: Arc<Shared>,
    copy: Arc<OpenCopy>,
    streams: Mutex<Streams>,
    /// Reads that are under way.
    reading: AtomicUsize,
    /// Whether there was ever more than one reader, as far as their reads tell.
    is_shared: AtomicBool,
}

/// A read that is under way.
struct Reading<'a>(&'a AtomicUsize);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl CopyHandle {
    pub(crate) fn new(shared: Arc<Shared>, copy: Arc<OpenCopy>) -> Self {
        copy.handles.fetch_add(1, Ordering::Relaxed);
        Self {
            shared,
            copy,
            streams: Mutex::default(),
            reading: AtomicUsize::new(0),
            is_shared: AtomicBool::new(false),
        }
    }

    /// The copy's index.
    pub fn index(&self) -> &Index {
        &self.copy.index
    }

    fn streams(&self) -> MutexGuard<'_, Streams> {
        // Whatever a panicking reader left is a guess as good as any.
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for CopyHandle {
    /// What was fetched of a copy that nobody has open is of no use: it is opened anew before it counts.
    fn drop(&mut self) {
        if self.copy.handles.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.shared.extents.forget(self.copy.id);
        }
    }
}

impl fmt::Debug for CopyHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CopyHandle").field("data", &self.copy.data_key).finish_non_exhaustive()
    }
}

impl ReadHandle for CopyHandle {
    fn metadata(&self) -> &LedgerMetadata {
        self.copy.index.metadata()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        check_range(self.metadata(), first, last)?;
        if self.reading.fetch_add(1, Ordering::Relaxed) > 0 {
            self.is_shared.store(true, Ordering::Relaxed);
        }
        let _reading = Reading(&self.reading);
        let mut run = Run::begin(&self.shared, &self.copy, first, last, max_bytes);
        let window_max = 2 * self.shared.extents.request_bytes_max();
        let window = self.streams().begin(first, run.demand_bytes(), window_max);
        run.widen(window);
        let began = run.place.offset;
        let entries = run.entries().await?;
        let streams = {
            let mut streams = self.streams();
            streams.end(first + entries.len() as u64, window);
            streams.len()
        };
        if streams > 1 {
            self.is_shared.store(true, Ordering::Relaxed);
        }
        // Nobody else comes for what a single sequential reader has left behind.
        if !self.is_shared.load(Ordering::Relaxed) && self.copy.handles.load(Ordering::Relaxed) == 1 {
            self.shared.extents.leave_behind(self.copy.id, began);
        }
        run.fetch_ahead(window);
        Ok(entries)
    }
}
