//! One read: finds the place of its first entry, fetches what it needs, walks.
//!
//! What is fetched begins and ends where granules do if the copy has checksums. Else it begins where the walk is, and an
//! entry that crosses the end of what was fetched is put together from both sides: the only bytes that are copied.

use std::ops::Range;
use std::sync::Arc;

use bytes::BytesMut;
use longshore_plugin_api::{Entry, ErrorCode, Result};

use super::Shared;
use super::extents::Extent;
use super::fetch::CopySource;
use super::learned::LEARNED_EVERY_BYTES;
use super::open_copy::OpenCopy;
use crate::data_block::FRAME_HEAD_BYTES;
use crate::walk::{Look, Place, Step, Walker};

/// Less than this is not worth a request.
const FETCH_BYTES_MIN: u64 = 64 << 10;
/// Room for so many entries at most is made before the first one is read.
const ENTRIES_RESERVED_MAX: u64 = 1024;

/// A read on its way.
pub(super) struct Run<'a> {
    pub(super) shared: &'a Arc<Shared>,
    pub(super) copy: &'a Arc<OpenCopy>,
    pub(super) first: u64,
    last: u64,
    max_bytes: u64,
    pub(super) place: Place,
    pub(super) extent: Extent,
    /// How far the read is expected to go; bytes from the start of the data object.
    pub(super) target_end: u64,
    /// Behind the place that was remembered last.
    learn_from: u64,
}

impl<'a> Run<'a> {
    /// `first..=last` lie within the ledger.
    pub(super) fn begin(
        shared: &'a Arc<Shared>,
        copy: &'a Arc<OpenCopy>,
        first: u64,
        last: u64,
        max_bytes: u64,
    ) -> Self {
        let granule = copy.index.floor(first);
        let mut place = Place::at_granule(&copy.index, granule);
        if let Some(learned) = copy.learned.floor(first).filter(|learned| learned.entry_id > place.entry_id) {
            place = learned;
        }
        let mut run = Self {
            shared,
            copy,
            first,
            last,
            max_bytes,
            place,
            extent: Extent::default(),
            target_end: 0,
            learn_from: 0,
        };
        run.target_end = run.demand_end();
        run
    }

    /// How many bytes the read is expected to need.
    pub(super) fn demand_bytes(&self) -> u64 {
        self.target_end - self.place.offset
    }

    /// Makes the read fetch more than it needs.
    pub(super) fn widen(&mut self, window_bytes: u64) {
        let end = self.place.offset.saturating_add(window_bytes).min(self.copy.index.data_bytes());
        self.target_end = self.target_end.max(end);
    }

    /// Where what is asked for ends, as far as the index tells.
    pub(super) fn demand_end(&self) -> u64 {
        let index = &self.copy.index;
        let start = self.place.offset;
        let by_index = index.granule(index.floor(self.last)).end;
        // As many heads as there are entries in what may be answered, or fewer.
        let average = self.copy.average_entry_bytes();
        let heads = (self.last - self.first + 1).min(self.max_bytes / average + 1);
        let framed_max = self.max_bytes.saturating_add(heads.saturating_mul(FRAME_HEAD_BYTES));
        let demand_bytes = if self.copy.is_sparse() {
            // A little more than the average, so that it is rarely asked for twice.
            let skipped = (self.first - self.place.entry_id).saturating_mul(average);
            let wanted = (self.last - self.first + 1).saturating_mul(average + average / 8);
            skipped.saturating_add(wanted.min(framed_max)).max(FETCH_BYTES_MIN)
        } else {
            // The first entry is read however long it is: its granule, which walks through the index before it.
            let first_end = index.granule(index.floor(self.first)).end;
            framed_max.max(first_end.saturating_sub(start))
        };
        start.saturating_add(demand_bytes).min(by_index.max(start))
    }

    /// The entries.
    pub(super) async fn entries(&mut self) -> Result<Vec<Entry>> {
        self.approach().await?;
        let reserved = (self.last - self.first + 1).min(ENTRIES_RESERVED_MAX) as usize;
        let (mut entries, mut payload_bytes) = (Vec::with_capacity(reserved), 0);
        while self.place.entry_id <= self.last {
            let before = self.place;
            let mut walker = Walker::new(&self.copy.data_key, &self.copy.index, before);
            match walker.step(self.extent.from(before.offset), Look::Head)? {
                Step::Need(count) => self.load(before.offset, count).await?,
                Step::Moved => self.place = walker.place(),
                Step::End => break,
                Step::Entry { entry_id, .. } if entry_id < self.first => self.pass(walker.place()),
                Step::Entry { entry_id, payload, .. } => {
                    let len = payload.end - payload.start;
                    if !entries.is_empty() && payload_bytes + len > self.max_bytes {
                        break;
                    }
                    let range = before.offset + payload.start..before.offset + payload.end;
                    let behind = walker.place();
                    let Some(payload) = self.extent.slice(range) else {
                        self.load(before.offset, behind.offset - before.offset).await?;
                        continue;
                    };
                    payload_bytes += len;
                    entries.push(Entry { entry_id, payload });
                    self.pass(behind);
                }
            }
        }
        Ok(entries)
    }

    /// Fetches what a sequential reader is expected to ask for next: enough that at all times half a window or more is on
    /// its way or here.
    pub(super) fn fetch_ahead(&self, window_bytes: u64) {
        let data_bytes = self.copy.index.data_bytes();
        let until = self.place.offset.saturating_add(window_bytes).min(data_bytes);
        let mut at = self.extent.end().max(self.place.offset);
        while at < until {
            let wanted = self.fetched_range(at, 0, at.saturating_add(window_bytes / 2));
            match self.shared.extents.fetch_ahead(self.copy.id, wanted, &self.source()) {
                Some(end) => at = end,
                None => break,
            }
        }
    }

    fn pass(&mut self, behind: Place) {
        self.place = behind;
        if behind.offset >= self.learn_from && self.copy.is_sparse() {
            self.copy.learned.learn(behind);
            self.learn_from = behind.offset + LEARNED_EVERY_BYTES;
        }
    }

    /// Makes the extent hold `count` bytes from `offset` on, which lie within the data object.
    pub(super) async fn load(&mut self, offset: u64, count: u64) -> Result<()> {
        let end = offset + count;
        let mut extent = self.extent_at(offset, count).await?;
        if extent.end() >= end {
            self.extent = extent;
            return Ok(());
        }
        let mut whole = BytesMut::with_capacity(count as usize);
        let mut at = offset;
        while at < end {
            if at > offset {
                extent = self.extent_at(at, end - at).await?;
            }
            let piece = extent.from(at);
            let piece = &piece[..piece.len().min((end - at) as usize)];
            if piece.is_empty() {
                return Err(crate::Error::corrupt(&self.copy.data_key, at, "the object ends here").into());
            }
            whole.extend_from_slice(piece);
            at += piece.len() as u64;
        }
        self.extent = Extent { start: offset, bytes: whole.freeze() };
        Ok(())
    }

    /// Damage in what was to be fetched beside what is needed, here or by whom this read waited for, does no harm.
    async fn extent_at(&self, offset: u64, count: u64) -> Result<Extent> {
        let wanted = self.fetched_range(offset, count, self.target_end);
        match self.extent_of(offset, wanted).await {
            Err(error) if error.code() == ErrorCode::Corrupt => {
                self.extent_of(offset, self.fetched_range(offset, count, offset)).await
            }
            other => other,
        }
    }

    async fn extent_of(&self, offset: u64, wanted: Range<u64>) -> Result<Extent> {
        self.shared.extents.get(self.copy.id, offset, wanted, &self.source()).await
    }

    fn source(&self) -> CopySource {
        CopySource { copy: self.copy.clone(), requests: self.shared.requests.clone() }
    }

    /// What is asked of the store to have `count` bytes at `offset`, and more up to `target_end` in requests of a bounded
    /// length.
    fn fetched_range(&self, offset: u64, count: u64, target_end: u64) -> Range<u64> {
        let index = &self.copy.index;
        let longest = self.shared.extents.request_bytes_max().max(FETCH_BYTES_MIN);
        let end = target_end.min(offset.saturating_add(longest)).max(offset.saturating_add(count));
        if index.extension().is_none() {
            let end = end.max(offset.saturating_add(FETCH_BYTES_MIN).min(index.granule(index.granule_at(offset)).end));
            return offset..end.min(index.data_bytes());
        }
        let first = index.granule(index.granule_at(offset));
        if end <= first.end {
            return first;
        }
        // The granule in which the end lies is left to the next request, if there is enough without it.
        let last = index.granule(index.granule_at(end - 1));
        let end = if last.end > offset.saturating_add(longest) && last.start >= offset.saturating_add(count) {
            last.start.max(first.end)
        } else {
            last.end
        };
        first.start..end
    }
}
