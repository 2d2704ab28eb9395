//! Comes near a far entry of a copy with a sparse index, without the bytes between: by a guess from how long entries are on
//! average, or from head to head where they are long.

use longshore_plugin_api::Result;

use super::run::Run;
use super::search::{Likeness, Objection, Searched};
use crate::data_block::FRAME_HEAD_BYTES;
use crate::walk::{Look, Place, Step, Walker};

/// What is nearer than this is walked to.
const NEAR_BYTES: u64 = 1 << 20;
/// A guess lands so far before its entry, if entries are as long as on average.
const SHORT_OF_BYTES: u64 = 256 << 10;
/// What is looked at around a guess.
const PROBE_BYTES_MIN: u64 = 256 << 10;
/// So many entries of average length are looked at, at least.
const PROBE_ENTRIES: u64 = 8;
/// Longer entries are passed by, one by one, reading their heads alone: a block has few of them.
const LONG_ENTRY_BYTES: u64 = 512 << 10;
/// Guesses for one entry; entries of very different lengths take more than two.
const GUESSES_MAX: u32 = 8;

/// So many likenesses of entries are looked at; a payload that is full of them is walked through.
const DOUBTS_MAX: usize = 8;

/// A place, right or not, and the entry there.
#[derive(Clone, Copy)]
struct Mark {
    entry_id: u64,
    offset: u64,
}

impl Run<'_> {
    /// Moves the place nearer to the first entry, where that is far; else, and where no place near it is certain, leaves it.
    pub(super) async fn approach(&mut self) -> Result<()> {
        if !self.copy.is_sparse() || self.is_near(self.place) {
            return Ok(());
        }
        if self.copy.average_entry_bytes() > LONG_ENTRY_BYTES {
            self.pass_by().await?;
        } else if let Some(place) = self.guess().await? {
            self.copy.learned.learn(place);
            self.place = place;
        }
        self.target_end = self.demand_end();
        Ok(())
    }

    fn is_near(&self, place: Place) -> bool {
        (self.first - place.entry_id).saturating_mul(self.copy.average_entry_bytes()) <= NEAR_BYTES
    }

    /// From head to head to the first entry.
    async fn pass_by(&mut self) -> Result<()> {
        // Nothing beyond a head is fetched but what is least worth a request.
        self.target_end = 0;
        while self.place.entry_id < self.first {
            let before = self.place;
            let mut walker = Walker::new(&self.copy.data_key, &self.copy.index, before);
            match walker.step(self.extent.from(before.offset), Look::Head)? {
                Step::Need(count) => self.load(before.offset, count).await?,
                Step::Moved | Step::Entry { .. } => {
                    self.place = walker.place();
                    self.copy.learned.learn(self.place);
                }
                Step::End => break,
            }
        }
        Ok(())
    }

    /// A place near the first entry and before it that is certain to be an entry's.
    async fn guess(&mut self) -> Result<Option<Place>> {
        let index = &self.copy.index;
        let granule = index.floor(self.first);
        let ids_end = index.entries().get(granule + 1).map_or(index.metadata().entry_count, |next| next.first_entry_id);
        let searched = Searched {
            ids: self.place.entry_id..ids_end,
            block_end: index.granule(granule).end,
            entry_bytes_max: self.shared.entry_bytes_max,
        };
        let mut low = Mark { entry_id: self.place.entry_id, offset: self.place.offset };
        let mut high = Mark { entry_id: ids_end, offset: searched.block_end };
        let mut found = None;
        for _ in 0..GUESSES_MAX {
            let average = high.offset.saturating_sub(low.offset) / (high.entry_id - low.entry_id).max(1);
            let distance = (self.first - low.entry_id).saturating_mul(average);
            if distance <= NEAR_BYTES {
                break;
            }
            let start = low.offset + distance - SHORT_OF_BYTES;
            let len = (PROBE_ENTRIES * average).max(PROBE_BYTES_MIN).min(searched.block_end - start);
            match searched.find(start, self.bytes(start, len).await?) {
                Some(Likeness { offset, entry_id, .. }) if entry_id <= self.first => {
                    low = Mark { entry_id, offset };
                    found = Some(low);
                }
                Some(Likeness { offset, entry_id, .. }) => high = Mark { entry_id, offset },
                None => break,
            }
        }
        let Some(Mark { entry_id, offset }) = found else { return Ok(None) };
        let certain = self.is_certain(&searched, offset).await?;
        let place = Place { offset, entry_id, block_end: searched.block_end, at_header: false };
        Ok(certain.then_some(place))
    }

    /// Whether nothing before a place looks like an entry that reaches over it. The walk's place is certain itself.
    async fn is_certain(&mut self, searched: &Searched, offset: u64) -> Result<bool> {
        let start = offset.saturating_sub(self.shared.entry_bytes_max + FRAME_HEAD_BYTES).max(self.place.offset);
        // What looks like an entry is told from one by what follows it.
        let len = (offset - start + PROBE_BYTES_MIN).min(searched.block_end - start);
        self.bytes(start, len).await?;
        let Some(bytes) = self.extent.slice(start..start + len) else { return Ok(false) };
        let compared = searched.clone();
        // Some milliseconds of comparing.
        let objection = tokio::task::spawn_blocking(move || compared.objection(start, &bytes, offset)).await;
        let Ok(Objection::Unless(doubts)) = objection else { return Ok(false) };
        if doubts.len() > DOUBTS_MAX {
            return Ok(false);
        }
        for doubt in doubts {
            let len = FRAME_HEAD_BYTES.min(searched.block_end - doubt.end);
            let behind = self.bytes(doubt.end, len).await?;
            if searched.is_followed(doubt.end, behind, doubt) != Some(false) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn bytes(&mut self, start: u64, len: u64) -> Result<&[u8]> {
        self.target_end = start;
        if (self.extent.from(start).len() as u64) < len {
            self.load(start, len).await?;
        }
        Ok(&self.extent.from(start)[..len as usize])
    }
}
