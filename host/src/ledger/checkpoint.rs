//! Makes a journal segment needless: flushes the ledgers it speaks for, then drops it. Runs on a thread of its own.
//!
//! A crash at any moment leaves the segment in place, and its replay finds everything there already. Where a flush fails,
//! this segment and all later ones stay for the next start: a later one may say that an earlier one's ledger is gone.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::disk::{Disk, remove_if_there};
use super::layout::Layout;
use super::segment::Segment;

/// A segment to drop, and what must be on disk before.
pub(super) struct Checkpoint {
    /// The segment.
    pub(super) path: PathBuf,
    /// Its size.
    pub(super) bytes: u64,
    /// Ledgers whose entries it holds.
    pub(super) touched: Vec<Arc<Segment>>,
    /// Folders in which it made or removed names.
    pub(super) folders: Vec<PathBuf>,
}

/// What became of a segment.
pub(super) struct Checkpointed {
    /// Its size.
    pub(super) bytes: u64,
    /// Whether it is still there.
    pub(super) kept: bool,
}

/// Works until the other end is gone.
pub(super) fn run(disk: &Disk, layout: &Layout, jobs: &Receiver<Checkpoint>, done: &Sender<Checkpointed>) {
    let mut kept = false;
    while let Ok(job) = jobs.recv() {
        kept |= !flush_all(disk, &job);
        if !kept && let Err(error) = drop_segment(disk, layout, &job) {
            tracing::error!(file = %job.path.display(), %error, "a journal segment cannot be dropped");
            kept = true;
        }
        if done.send(Checkpointed { bytes: job.bytes, kept }).is_err() {
            return;
        }
    }
}

/// Whether everything is on disk. A ledger whose flush fails refuses writes and says so in the log.
fn flush_all(disk: &Disk, job: &Checkpoint) -> bool {
    let mut flushed = true;
    for segment in &job.touched {
        flushed &= segment.flush_content(disk).is_ok();
    }
    for folder in &job.folders {
        if let Err(error) = disk.flush_folder(folder) {
            tracing::error!(folder = %folder.display(), %error, "a ledger folder cannot be flushed");
            flushed = false;
        }
    }
    if flushed {
        job.touched.iter().for_each(|segment| segment.name_is_flushed());
    }
    flushed
}

fn drop_segment(disk: &Disk, layout: &Layout, job: &Checkpoint) -> std::io::Result<()> {
    remove_if_there(&job.path)?;
    disk.flush_folder(&layout.journal_folder())
}
