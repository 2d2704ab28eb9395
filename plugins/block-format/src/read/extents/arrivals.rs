//! One request on its way, and the extents that are to come with it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::{Error, ErrorCode, Result};
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{CopyId, Extents};

/// An extent that somebody may be waiting for.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) range: Range<u64>,
    pub(super) number: u64,
    pub(super) sender: watch::Sender<Option<Result<Bytes>>>,
}

/// The extents of one request that are still to come, in their order. Whoever waits for one hears of it: what was not answered
/// when this is dropped is given up.
#[derive(Debug)]
pub(crate) struct Arrivals {
    extents: Arc<Extents>,
    copy: CopyId,
    due: VecDeque<Due>,
    /// Held while anything is due.
    room: Option<OwnedSemaphorePermit>,
}

impl Arrivals {
    pub(super) fn new(extents: Arc<Extents>, copy: CopyId, due: Vec<Due>) -> Self {
        Self { extents, copy, due: due.into(), room: None }
    }

    /// Waits until all of it may be on its way.
    pub(super) async fn enter(&mut self) {
        let range = self.range();
        self.room = self.extents.clone().room(range.end - range.start).await;
    }

    /// The extents.
    pub(crate) fn extents(&self) -> &Arc<Extents> {
        &self.extents
    }

    /// What is still to come.
    pub(crate) fn range(&self) -> Range<u64> {
        let start = self.due.front().map_or(0, |due| due.range.start);
        start..self.due.back().map_or(start, |due| due.range.end)
    }

    /// The extent that is to come next.
    pub(crate) fn next(&self) -> Option<Range<u64>> {
        self.due.front().map(|due| due.range.clone())
    }

    /// Answers the next one.
    pub(crate) fn arrived(&mut self, result: Result<Bytes>) {
        if let Some(due) = self.due.pop_front() {
            self.answer(due, result);
        }
    }

    /// Takes the next one out, to be answered by itself.
    pub(crate) fn split_next(&mut self) -> Option<Self> {
        let due = self.due.pop_front()?;
        let units = super::units_of(due.range.end - due.range.start) as usize;
        let room = self.room.as_mut().and_then(|room| room.split(units.min(room.num_permits())));
        Some(Self { extents: self.extents.clone(), copy: self.copy, due: VecDeque::from([due]), room })
    }

    /// Answers all that are left.
    pub(crate) fn fail(mut self, error: &Error) {
        while !self.due.is_empty() {
            self.arrived(Err(error.clone()));
        }
    }

    fn answer(&self, due: Due, result: Result<Bytes>) {
        let Due { range, number, sender } = due;
        self.extents.arrived((self.copy, range.start), number, &result);
        // Nobody may be waiting any more.
        let _ = sender.send(Some(result));
    }
}

impl Drop for Arrivals {
    fn drop(&mut self) {
        let (code, why) = match std::thread::panicking() {
            true => (ErrorCode::Panicked, "the store panicked while it was read from"),
            false => (ErrorCode::Cancelled, "a fetch was given up"),
        };
        while !self.due.is_empty() {
            self.arrived(Err(Error::new(code, why)));
        }
    }
}
