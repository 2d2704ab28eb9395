//! Makes a journal segment needless: flushes the ledgers it speaks for, then drops it. Runs on a thread of its own.
//!
//! A crash at any moment leaves the segment in place, and its replay finds everything there already. Where a flush fails,
//! this segment and all later ones stay for the next start: a later one may say that an earlier one's ledger is gone.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender};

use super::disk::{Disk, remove_if_there};
use super::layout::Layout;
use super::segment::Segment;

/// Bytes written at once when a spare is made.
const FILL_BYTES: usize = 1 << 20;

/// What the thread is asked to do.
pub(super) enum Job {
    /// Make a segment needless and drop it.
    Checkpoint(Checkpoint),
    /// Make a file with blocks of its own, to be written over as a segment.
    MakeSpare {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
    },
}

/// A segment to drop, and what must be on disk before.
pub(super) struct Checkpoint {
    /// The segment.
    pub(super) path: PathBuf,
    /// Its name as a spare, if it shall be one.
    pub(super) spare: Option<PathBuf>,
    /// Its size.
    pub(super) bytes: u64,
    /// Ledgers whose entries it holds.
    pub(super) touched: Vec<Arc<Segment>>,
    /// Folders in which it made or removed names.
    pub(super) folders: Vec<PathBuf>,
}

/// What became of a job.
pub(super) enum Done {
    /// A segment is no part of the journal any more.
    Checkpoint {
        /// Its size.
        bytes: u64,
        /// The spare that it became.
        spare: Option<PathBuf>,
    },
    /// A segment had to stay.
    Kept,
    /// A spare is made, or could not be.
    Spare(Option<PathBuf>),
}

/// Works until the other end is gone.
pub(super) fn run(disk: &Disk, layout: &Layout, jobs: &Receiver<Job>, done: &Sender<Done>) {
    let mut kept = false;
    while let Ok(job) = jobs.recv() {
        let outcome = match job {
            Job::Checkpoint(job) => {
                kept |= !checkpoint(disk, layout, &job, kept);
                if kept { Done::Kept } else { Done::Checkpoint { bytes: job.bytes, spare: job.spare } }
            }
            Job::MakeSpare { path, bytes } => Done::Spare(make_spare(disk, path, bytes)),
        };
        if done.send(outcome).is_err() {
            return;
        }
    }
}

/// Whether the segment could be dropped; `earlier_kept` forbids it.
fn checkpoint(disk: &Disk, layout: &Layout, job: &Checkpoint, earlier_kept: bool) -> bool {
    if !flush_all(disk, job) || earlier_kept {
        return false;
    }
    let dropped = drop_segment(disk, layout, job);
    if let Err(error) = &dropped {
        tracing::error!(file = %job.path.display(), %error, "a journal segment cannot be dropped");
    }
    dropped.is_ok()
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

fn drop_segment(disk: &Disk, layout: &Layout, job: &Checkpoint) -> io::Result<()> {
    match &job.spare {
        Some(spare) => fs::rename(&job.path, spare)?,
        None => remove_if_there(&job.path)?,
    }
    disk.flush_folder(&layout.journal_folder())
}

/// A spare is a matter of speed; where it cannot be made, the journal does without.
fn make_spare(disk: &Disk, path: PathBuf, bytes: u64) -> Option<PathBuf> {
    match fill(disk, &path, bytes) {
        Ok(()) => Some(path),
        Err(error) => {
            tracing::warn!(file = %path.display(), %error, "a spare journal segment cannot be made");
            let _ = remove_if_there(&path);
            None
        }
    }
}

fn fill(disk: &Disk, path: &Path, bytes: u64) -> io::Result<()> {
    let file = File::create(path)?;
    let zeroes = vec![0; FILL_BYTES];
    let mut at = 0;
    while at < bytes {
        let part = (bytes - at).min(FILL_BYTES as u64);
        disk.write_bytes_at(&file, path, &zeroes[..part as usize], at)?;
        // Small flushes leave gaps for the groups that are flushed meanwhile.
        disk.flush(&file, path)?;
        at += part;
    }
    Ok(())
}
