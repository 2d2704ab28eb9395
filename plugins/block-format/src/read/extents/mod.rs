//! Bytes of data objects that were fetched, shared by all readers of a plugin and bounded in bytes.
//!
//! One request fetches several *extents*, one behind the other; each is there for readers as soon as its last byte came. Extents
//! of a copy never overlap: who needs bytes that are on their way waits for them, who needs others fetches up to the next
//! extent. So nobody's bytes are fetched twice while they are here, however many readers there are.
//!
//! A fetch is a task of its own ([`arrivals`]): a reader that leaves disturbs nobody, and what it asked for is kept. Extents that
//! were read make room first, the one that was not read for longest before the others; then those that nobody came for yet.
//! Those are fetched ahead only while they take no more than two thirds of the room. What nobody reads for [`KEPT_UNREAD`] is
//! let go, and what a single sequential reader has passed is at once.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use longshore_plugin_api::spare::Spares;
use longshore_plugin_api::{Error, ErrorCode, Result};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::Instant;
use uuid::Uuid;

mod arrivals;
#[cfg(test)]
mod tests;

pub(crate) use arrivals::Arrivals;

/// Room for fetches is handed out in pieces of so many bytes.
const FETCH_UNIT_BYTES: u64 = 1024;
/// Memory that is kept for extents to come, in bytes.
const SPARE_BYTES_MAX: usize = 4 << 20;
/// How long an extent stays that nobody reads; it may stay for a quarter longer.
pub(crate) const KEPT_UNREAD: Duration = Duration::from_secs(10);

/// Names a copy: without the uid, offsets of an earlier copy of the ledger would lead into this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CopyId {
    pub(crate) uid: Uuid,
    pub(crate) ledger_id: u64,
}

/// Bytes of a data object from `start` on.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extent {
    pub(crate) start: u64,
    pub(crate) bytes: Bytes,
}

impl Extent {
    pub(crate) fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// The bytes from `offset` on; none where it lies outside.
    pub(crate) fn from(&self, offset: u64) -> &[u8] {
        let at = offset.checked_sub(self.start).and_then(|at| usize::try_from(at).ok());
        at.and_then(|at| self.bytes.get(at..)).unwrap_or_default()
    }

    /// A range of it that lies within, sharing its memory.
    pub(crate) fn slice(&self, range: Range<u64>) -> Option<Bytes> {
        let start = usize::try_from(range.start.checked_sub(self.start)?).ok()?;
        let end = usize::try_from(range.end.checked_sub(self.start)?).ok()?;
        (start <= end && end <= self.bytes.len()).then(|| self.bytes.slice(start..end))
    }
}

/// Where extents of one copy come from.
pub(crate) trait Source: Clone + Send + 'static {
    /// Cuts a range of the object into the extents that one request is to fetch: at least one, without gaps, none empty.
    fn cut(&self, range: Range<u64>) -> Vec<Range<u64>>;

    /// Fetches what is due to arrive.
    fn fetch(self, arrivals: Arrivals) -> impl Future<Output = ()> + Send;
}

/// The extents of all copies.
#[derive(Debug)]
pub(crate) struct Extents {
    bytes_max: u64,
    state: Mutex<State>,
    fetching: Arc<Semaphore>,
    spares: Arc<Spares>,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<(CopyId, u64), Slot>,
    /// Extents that are here, in the order in which they make room.
    order: BTreeMap<Turn, (CopyId, u64)>,
    clock: u64,
    /// Bytes that are here. One extent of each request is on its way besides.
    held_bytes: u64,
    /// Bytes that nobody came for yet, here or on their way.
    unread_bytes: u64,
    /// Whether a task looks for what nobody reads.
    is_swept: bool,
}

/// When an extent makes room: read ones before unread ones, older before newer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Turn {
    unread: bool,
    tick: u64,
}

#[derive(Debug)]
struct Slot {
    end: u64,
    unread: bool,
    content: Content,
    /// Tells this slot from a later one of the same place.
    number: u64,
    /// When it came or was read last.
    touched: Instant,
}

type Answer = watch::Receiver<Option<Result<Bytes>>>;

#[derive(Debug)]
enum Content {
    /// On its way; the receiver sees the answer.
    Coming(Answer),
    /// Here, and in `order` at this turn.
    Here(Bytes, Turn),
}

/// What is known of a place.
enum Found {
    Here(Extent),
    Coming(u64, Answer),
}

impl Extents {
    pub(crate) fn new(bytes_max: u64) -> Self {
        let units = fetching_units(bytes_max);
        Self {
            bytes_max,
            state: Mutex::default(),
            fetching: Arc::new(Semaphore::new(units as usize)),
            spares: Spares::new(SPARE_BYTES_MAX),
        }
    }

    /// As much is worth asking for with one request, in bytes: two of them may be on their way.
    pub(crate) fn request_bytes_max(&self) -> u64 {
        unread_bytes_max(self.bytes_max) / 2
    }

    /// Memory for what comes.
    pub(crate) fn spares(&self) -> &Arc<Spares> {
        &self.spares
    }

    /// The extent that holds the byte at `offset`. Unless it is here or on its way, `wanted`, which begins at or before
    /// `offset`, is fetched, up to the next extent.
    pub(crate) async fn get(
        self: &Arc<Self>,
        copy: CopyId,
        offset: u64,
        wanted: Range<u64>,
        source: &impl Source,
    ) -> Result<Extent> {
        let found = {
            let mut state = self.state();
            match state.find(copy, offset) {
                Some(found) => Some(found),
                None => {
                    let range = state.gap(copy, wanted);
                    self.begin(&mut state, copy, range, source);
                    state.find(copy, offset)
                }
            }
        };
        match found {
            Some(Found::Here(extent)) => Ok(extent),
            Some(Found::Coming(start, mut answer)) => {
                let answer = answer.wait_for(Option::is_some).await.map(|answer| answer.clone());
                match answer {
                    Ok(Some(result)) => Ok(Extent { start, bytes: result? }),
                    _ => Err(Error::new(ErrorCode::Cancelled, "a fetch was given up because the plugin ends")),
                }
            }
            None => {
                Err(Error::new(ErrorCode::Internal, format!("what was fetched does not hold the byte at {offset}")))
            }
        }
    }

    /// Begins to fetch `wanted` as far as it is not here nor on its way, unless too much lies unread already. Answers where
    /// what is known of its start ends, or `None` where nothing was begun.
    pub(crate) fn fetch_ahead(self: &Arc<Self>, copy: CopyId, wanted: Range<u64>, source: &impl Source) -> Option<u64> {
        let mut state = self.state();
        if let Some(end) = state.end_of(copy, wanted.start) {
            return Some(end);
        }
        let range = state.gap(copy, wanted);
        if state.unread_bytes + (range.end - range.start) > unread_bytes_max(self.bytes_max) {
            return None;
        }
        let end = range.end;
        self.begin(&mut state, copy, range, source);
        Some(end)
    }

    /// Forgets what is here of a copy. What is on its way is forgotten when it comes.
    pub(crate) fn forget(&self, copy: CopyId) {
        let mut state = self.state();
        let starts: Vec<u64> = state.slots.range((copy, 0)..=(copy, u64::MAX)).map(|((_, start), _)| *start).collect();
        for start in starts {
            state.remove((copy, start));
        }
    }

    /// Lets go what was read of a copy and ends at or before an offset.
    pub(crate) fn leave_behind(&self, copy: CopyId, offset: u64) {
        let mut state = self.state();
        let passed = state.slots.range((copy, 0)..(copy, offset));
        let is_left = |slot: &Slot| slot.end <= offset && !slot.unread && matches!(slot.content, Content::Here(..));
        let left: Vec<_> = passed.filter(|(_, slot)| is_left(slot)).map(|(key, _)| *key).collect();
        left.into_iter().for_each(|key| state.remove(key));
    }

    /// Bytes that are here.
    #[cfg(test)]
    fn held_bytes(&self) -> u64 {
        self.state().held_bytes
    }

    /// All that is begun is unread until somebody comes for it.
    fn begin(self: &Arc<Self>, state: &mut State, copy: CopyId, range: Range<u64>, source: &impl Source) {
        let due = source.cut(range).into_iter().map(|range| state.expect(copy, range)).collect();
        let mut arrivals = Arrivals::new(self.clone(), copy, due);
        let source = source.clone();
        tokio::spawn(async move {
            arrivals.enter().await;
            source.fetch(arrivals).await;
        });
    }

    /// Waits until so many bytes may be on their way as well.
    async fn room(self: Arc<Self>, len: u64) -> Option<OwnedSemaphorePermit> {
        // What is longer than all of the room waits for all of it.
        let units = units_of(len).clamp(1, fetching_units(self.bytes_max));
        // Nobody closes the semaphore; were it closed, fetches would go on without a limit.
        self.fetching.clone().acquire_many_owned(units as u32).await.ok()
    }

    /// What was due in a slot came, or did not. Room is made now and not when it was asked for, so that readers who are behind
    /// find what others have read for as long as may be.
    fn arrived(self: &Arc<Self>, key: (CopyId, u64), number: u64, result: &Result<Bytes>) {
        let mut state = self.state();
        let ours = state.slots.get(&key).is_some_and(|slot| slot.number == number);
        match result {
            Ok(bytes) if ours => {
                state.make_room(bytes.len() as u64, self.bytes_max);
                state.keep(key, bytes.clone());
                self.sweep(&mut state);
            }
            _ if ours => state.remove(key),
            _ => {}
        }
    }

    /// Lets a task look for what nobody reads, as long as anything is here.
    fn sweep(self: &Arc<Self>, state: &mut State) {
        if std::mem::replace(&mut state.is_swept, true) {
            return;
        }
        let extents = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(KEPT_UNREAD / 4).await;
                match extents.upgrade() {
                    Some(extents) if extents.let_go(Instant::now()) => {}
                    _ => break,
                }
            }
        });
    }

    /// Lets go what nobody read for long. Whether anything is left to look at.
    fn let_go(&self, now: Instant) -> bool {
        let mut state = self.state();
        let old: Vec<_> = state
            .order
            .values()
            .filter(|key| state.slots.get(key).is_some_and(|slot| now.duration_since(slot.touched) >= KEPT_UNREAD))
            .copied()
            .collect();
        old.into_iter().for_each(|key| state.remove(key));
        state.is_swept = !state.order.is_empty();
        if !state.is_swept {
            self.spares.clear();
        }
        state.is_swept
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code panics between two changes that belong together.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The slot that holds the byte at `offset`.
    fn slot_at(&self, copy: CopyId, offset: u64) -> Option<(u64, &Slot)> {
        let ((_, start), slot) = self.slots.range((copy, 0)..=(copy, offset)).next_back()?;
        (slot.end > offset).then_some((*start, slot))
    }

    fn end_of(&self, copy: CopyId, offset: u64) -> Option<u64> {
        self.slot_at(copy, offset).map(|(_, slot)| slot.end)
    }

    /// What is known of a place that somebody comes for.
    fn find(&mut self, copy: CopyId, offset: u64) -> Option<Found> {
        let start = self.slot_at(copy, offset)?.0;
        self.touch((copy, start));
        Some(match &self.slots.get(&(copy, start))?.content {
            Content::Here(bytes, _) => Found::Here(Extent { start, bytes: bytes.clone() }),
            Content::Coming(answer) => Found::Coming(start, answer.clone()),
        })
    }

    /// Makes a slot for an extent that was asked for.
    fn expect(&mut self, copy: CopyId, range: Range<u64>) -> arrivals::Due {
        let (sender, receiver) = watch::channel(None);
        self.clock += 1;
        let number = self.clock;
        self.unread_bytes += range.end - range.start;
        let content = Content::Coming(receiver);
        let slot = Slot { end: range.end, unread: true, content, number, touched: Instant::now() };
        self.slots.insert((copy, range.start), slot);
        arrivals::Due { range, number, sender }
    }

    fn touch(&mut self, key: (CopyId, u64)) {
        self.clock += 1;
        let turn = Turn { unread: false, tick: self.clock };
        let Some(slot) = self.slots.get_mut(&key) else { return };
        slot.touched = Instant::now();
        if std::mem::take(&mut slot.unread) {
            self.unread_bytes -= slot.end - key.1;
        }
        if let Content::Here(_, old) = &mut slot.content {
            self.order.remove(old);
            *old = turn;
            self.order.insert(turn, key);
        }
    }

    /// `wanted`, cut off where the next extent begins.
    fn gap(&self, copy: CopyId, wanted: Range<u64>) -> Range<u64> {
        let next = self.slots.range((copy, wanted.start)..=(copy, wanted.end)).next().map(|((_, start), _)| *start);
        wanted.start..next.unwrap_or(wanted.end).min(wanted.end)
    }

    /// Makes room within `bytes_max` for bytes that are here.
    fn make_room(&mut self, len: u64, bytes_max: u64) {
        while self.held_bytes + len > bytes_max {
            let Some((_, key)) = self.order.first_key_value().map(|(turn, key)| (*turn, *key)) else { break };
            self.remove(key);
        }
        self.held_bytes += len;
    }

    fn keep(&mut self, key: (CopyId, u64), bytes: Bytes) {
        self.clock += 1;
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let turn = Turn { unread: slot.unread, tick: self.clock };
        slot.touched = Instant::now();
        slot.content = Content::Here(bytes, turn);
        self.order.insert(turn, key);
    }

    fn remove(&mut self, key: (CopyId, u64)) {
        let Some(slot) = self.slots.remove(&key) else { return };
        if slot.unread {
            self.unread_bytes -= slot.end - key.1;
        }
        if let Content::Here(bytes, turn) = slot.content {
            self.order.remove(&turn);
            self.held_bytes -= bytes.len() as u64;
        }
    }
}

/// What is on its way or lies unread may take so many bytes: the rest is for what was read, which others may come for.
fn unread_bytes_max(bytes_max: u64) -> u64 {
    bytes_max / 3 * 2
}

/// As much as may be on its way.
fn fetching_units(bytes_max: u64) -> u64 {
    units_of(unread_bytes_max(bytes_max)).clamp(1, 1 << 30)
}

fn units_of(bytes: u64) -> u64 {
    bytes / FETCH_UNIT_BYTES
}
