//! Bytes of data objects that were fetched, shared by all readers of a plugin and bounded in bytes.
//!
//! An *extent* is what one request fetched. Extents of a copy never overlap: who needs bytes that are on their way waits for
//! them, who needs others fetches up to the next extent. So nobody's bytes are fetched twice while they are here, however
//! many readers there are.
//!
//! A fetch is a task of its own: a reader that leaves disturbs nobody, and what it asked for is kept. Extents that were read
//! make room first, the one that was not read for longest before the others; then those that nobody came for yet. Those are
//! fetched ahead only while they take no more than half of the room.

use std::collections::BTreeMap;
use std::future::Future;
use std::ops::Range;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::FutureExt;
use longshore_plugin_api::{Error, ErrorCode, Result};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

/// Room for fetches is handed out in pieces of so many bytes.
const FETCH_UNIT_BYTES: u64 = 1024;

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

/// The extents of all copies.
#[derive(Debug)]
pub(crate) struct Extents {
    bytes_max: u64,
    state: Mutex<State>,
    fetching: Semaphore,
}

#[derive(Debug, Default)]
struct State {
    slots: BTreeMap<(CopyId, u64), Slot>,
    /// Extents that are here, in the order in which they make room.
    order: BTreeMap<Turn, (CopyId, u64)>,
    clock: u64,
    /// Bytes that are here or for which room was made.
    held_bytes: u64,
    /// Bytes that nobody came for yet, here or on their way.
    unread_bytes: u64,
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
}

#[derive(Debug)]
enum Content {
    /// On its way; the receiver sees the answer.
    Coming(watch::Receiver<Option<Result<Bytes>>>),
    /// Here, and in `order` at this turn.
    Here(Bytes, Turn),
}

/// What is known of a place.
enum Found {
    Here(Extent),
    Coming(u64, watch::Receiver<Option<Result<Bytes>>>),
}

impl Extents {
    pub(crate) fn new(bytes_max: u64) -> Self {
        // Half of the room is enough for what is on its way, so that the other half can be read.
        let units = usize::try_from(bytes_max / 2 / FETCH_UNIT_BYTES).unwrap_or(usize::MAX).clamp(1, 1 << 30);
        Self { bytes_max, state: Mutex::default(), fetching: Semaphore::new(units) }
    }

    /// The longest extent that is worth fetching, in bytes.
    pub(crate) fn extent_bytes_max(&self) -> u64 {
        self.bytes_max / 4
    }

    /// The extent that holds the byte at `offset`. Unless it is here or on its way, `wanted`, which begins at or before
    /// `offset`, is fetched, up to the next extent.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        copy: CopyId,
        offset: u64,
        wanted: Range<u64>,
        fetch: impl FnOnce(Range<u64>) -> F,
    ) -> Result<Extent>
    where
        F: Future<Output = Result<Bytes>> + Send + 'static,
    {
        let found = {
            let mut state = self.state();
            match state.find(copy, offset, true) {
                Some(found) => found,
                None => {
                    let range = state.gap(copy, wanted);
                    let answer = self.begin(&mut state, copy, &range, false, fetch(range.clone()));
                    Found::Coming(range.start, answer)
                }
            }
        };
        match found {
            Found::Here(extent) => Ok(extent),
            Found::Coming(start, mut answer) => {
                let answer = answer.wait_for(Option::is_some).await.map(|answer| answer.clone());
                match answer {
                    Ok(Some(result)) => Ok(Extent { start, bytes: result? }),
                    _ => Err(Error::new(ErrorCode::Cancelled, "a fetch was given up because the plugin ends")),
                }
            }
        }
    }

    /// Begins to fetch `wanted` as far as it is not here nor on its way, unless too much lies unread already. Answers where
    /// the extent at its start ends, or `None` where nothing was begun.
    pub(crate) fn fetch_ahead<F>(
        self: &Arc<Self>,
        copy: CopyId,
        wanted: Range<u64>,
        fetch: impl FnOnce(Range<u64>) -> F,
    ) -> Option<u64>
    where
        F: Future<Output = Result<Bytes>> + Send + 'static,
    {
        let mut state = self.state();
        if let Some(end) = state.end_of(copy, wanted.start) {
            return Some(end);
        }
        let range = state.gap(copy, wanted);
        let len = range.end - range.start;
        if state.unread_bytes + len > self.bytes_max / 2 {
            return None;
        }
        let end = range.end;
        self.begin(&mut state, copy, &range, true, fetch(range.clone()));
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

    /// Bytes that are here or for which room was made.
    #[cfg(test)]
    fn held_bytes(&self) -> u64 {
        self.state().held_bytes
    }

    fn begin(
        self: &Arc<Self>,
        state: &mut State,
        copy: CopyId,
        range: &Range<u64>,
        unread: bool,
        fetch: impl Future<Output = Result<Bytes>> + Send + 'static,
    ) -> watch::Receiver<Option<Result<Bytes>>> {
        let (sender, receiver) = watch::channel(None);
        state.clock += 1;
        let (number, len) = (state.clock, range.end - range.start);
        if unread {
            state.unread_bytes += len;
        }
        let slot = Slot { end: range.end, unread, content: Content::Coming(receiver.clone()), number };
        state.slots.insert((copy, range.start), slot);
        let (extents, key) = (self.clone(), (copy, range.start));
        tokio::spawn(async move {
            let result = extents.fetch(len, fetch).await;
            extents.arrived(key, number, &result);
            // Nobody may be waiting any more.
            let _ = sender.send(Some(result));
        });
        receiver
    }

    async fn fetch(&self, len: u64, fetch: impl Future<Output = Result<Bytes>>) -> Result<Bytes> {
        // One that is longer than all of the room waits for all of it.
        let units = (len / FETCH_UNIT_BYTES).clamp(1, self.bytes_max / 2 / FETCH_UNIT_BYTES + 1);
        let units = u32::try_from(units).unwrap_or(u32::MAX).min(self.units_max());
        let _room = self.fetching.acquire_many(units).await;
        self.make_room(len);
        // A store that panics must not leave a place that nobody can read any more.
        let result = AssertUnwindSafe(fetch)
            .catch_unwind()
            .await
            .unwrap_or_else(|_| Err(Error::new(ErrorCode::Panicked, "the store panicked while it was read from")));
        let arrived = result.as_ref().map_or(0, |bytes| bytes.len() as u64);
        // An answer is as long as it should be; were it not, the books must still be right.
        let mut state = self.state();
        state.held_bytes = state.held_bytes - len + arrived;
        drop(state);
        result
    }

    fn units_max(&self) -> u32 {
        let units = (self.bytes_max / 2 / FETCH_UNIT_BYTES).clamp(1, 1 << 30);
        units as u32
    }

    fn make_room(&self, len: u64) {
        let mut state = self.state();
        while state.held_bytes + len > self.bytes_max {
            let Some((_, key)) = state.order.first_key_value().map(|(turn, key)| (*turn, *key)) else { break };
            state.remove(key);
        }
        state.held_bytes += len;
    }

    fn arrived(&self, key: (CopyId, u64), number: u64, result: &Result<Bytes>) {
        let mut state = self.state();
        let len = result.as_ref().map_or(0, |bytes| bytes.len() as u64);
        let ours = state.slots.get(&key).is_some_and(|slot| slot.number == number);
        match result {
            Ok(bytes) if ours => state.keep(key, bytes.clone()),
            _ => {
                state.held_bytes -= len;
                if ours {
                    state.remove(key);
                }
            }
        }
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

    /// What is known of a place; `reading`: somebody comes for it.
    fn find(&mut self, copy: CopyId, offset: u64, reading: bool) -> Option<Found> {
        let start = self.slot_at(copy, offset)?.0;
        if reading {
            self.touch((copy, start));
        }
        Some(match &self.slots.get(&(copy, start))?.content {
            Content::Here(bytes, _) => Found::Here(Extent { start, bytes: bytes.clone() }),
            Content::Coming(answer) => Found::Coming(start, answer.clone()),
        })
    }

    fn touch(&mut self, key: (CopyId, u64)) {
        self.clock += 1;
        let turn = Turn { unread: false, tick: self.clock };
        let Some(slot) = self.slots.get_mut(&key) else { return };
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

    fn keep(&mut self, key: (CopyId, u64), bytes: Bytes) {
        self.clock += 1;
        let Some(slot) = self.slots.get_mut(&key) else { return };
        let turn = Turn { unread: slot.unread, tick: self.clock };
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use super::*;

    const COPY: CopyId = CopyId { uid: Uuid::nil(), ledger_id: 1 };

    async fn bytes_of(range: Range<u64>) -> Result<Bytes> {
        Ok(range.map(|at| at as u8).collect::<Vec<u8>>().into())
    }

    #[tokio::test]
    async fn what_is_here_is_not_fetched_again_and_gaps_are_filled() {
        let extents = Arc::new(Extents::new(1 << 20));
        let fetched = Arc::new(AtomicU64::new(0));
        let fetch = |range: Range<u64>| {
            fetched.fetch_add(range.end - range.start, Ordering::Relaxed);
            bytes_of(range)
        };
        let middle = extents.get(COPY, 100, 100..200, fetch).await.unwrap();
        assert_eq!((middle.start, middle.end()), (100, 200));
        let before = extents.get(COPY, 50, 40..300, fetch).await.unwrap();
        assert_eq!((before.start, before.end()), (40, 100));
        let behind = extents.get(COPY, 200, 200..300, fetch).await.unwrap();
        assert_eq!((behind.start, behind.end()), (200, 300));
        for offset in 40..300 {
            assert_eq!(extents.get(COPY, offset, offset..300, fetch).await.unwrap().from(offset)[0], offset as u8);
        }
        assert_eq!(fetched.load(Ordering::Relaxed), 260);
        extents.get(CopyId { ledger_id: 2, ..COPY }, 100, 100..200, fetch).await.unwrap();
        assert_eq!(fetched.load(Ordering::Relaxed), 360, "copies share nothing");
    }

    #[tokio::test]
    async fn many_readers_of_one_place_cause_one_fetch_also_when_the_first_leaves() {
        let extents = Arc::new(Extents::new(1 << 20));
        let fetched = Arc::new(AtomicU64::new(0));
        let slow = |range: Range<u64>| {
            let fetched = fetched.clone();
            async move {
                fetched.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(Duration::from_millis(20)).await;
                bytes_of(range).await
            }
        };
        let mut leaver = Box::pin(extents.get(COPY, 0, 0..100, slow));
        assert!(futures_util::poll!(&mut leaver).is_pending());
        drop(leaver);
        let readers = (0..64).map(|at| extents.get(COPY, at, at..100, slow));
        for extent in futures_util::future::join_all(readers).await {
            assert_eq!(extent.unwrap().end(), 100);
        }
        assert_eq!(fetched.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn an_error_reaches_all_who_wait_and_is_forgotten() {
        let extents = Arc::new(Extents::new(1 << 20));
        let fail = |_| async {
            tokio::task::yield_now().await;
            Err(Error::new(ErrorCode::Unavailable, "why"))
        };
        let (one, two) = tokio::join!(extents.get(COPY, 0, 0..10, fail), extents.get(COPY, 5, 5..10, fail));
        assert_eq!(
            (one.unwrap_err().code(), two.unwrap_err().code()),
            (ErrorCode::Unavailable, ErrorCode::Unavailable)
        );
        assert_eq!(extents.get(COPY, 0, 0..10, bytes_of).await.unwrap().end(), 10);
        assert_eq!(extents.held_bytes(), 10);
    }

    #[tokio::test]
    async fn a_store_that_panics_does_not_block_its_place() {
        let extents = Arc::new(Extents::new(1 << 20));
        let error = extents.get(COPY, 0, 0..10, |_| async { panic!("on request") }).await.unwrap_err();
        assert_eq!((error.code(), extents.held_bytes()), (ErrorCode::Panicked, 0));
        assert_eq!(extents.get(COPY, 0, 0..10, bytes_of).await.unwrap().end(), 10);
    }

    #[tokio::test]
    async fn the_room_is_never_exceeded_and_what_was_read_makes_room_first() {
        let extents = Arc::new(Extents::new(100_000));
        for at in 0..50_u64 {
            extents.get(COPY, at * 10_000, at * 10_000..(at + 1) * 10_000, bytes_of).await.unwrap();
            assert!(extents.held_bytes() <= 100_000);
        }
        assert_eq!(extents.fetch_ahead(COPY, 1_000_000..1_010_000, bytes_of), Some(1_010_000));
        tokio::time::sleep(Duration::from_millis(10)).await;
        for at in 100..130_u64 {
            extents.get(COPY, at * 20_000, at * 20_000..at * 20_000 + 10_000, bytes_of).await.unwrap();
        }
        let unread = extents.get(COPY, 1_000_000, 1_000_000..1_010_000, |_| async {
            Err(Error::new(ErrorCode::Internal, "what was fetched ahead should still be here"))
        });
        assert_eq!(unread.await.unwrap().end(), 1_010_000);
    }

    #[tokio::test]
    async fn too_much_is_not_fetched_ahead() {
        let extents = Arc::new(Extents::new(100_000));
        let ahead = |at: u64| extents.fetch_ahead(COPY, at..at + 20_000, bytes_of);
        assert_eq!((ahead(0), ahead(20_000), ahead(40_000)), (Some(20_000), Some(40_000), None));
        extents.get(COPY, 0, 0..20_000, bytes_of).await.unwrap();
        assert_eq!(ahead(40_000), Some(60_000));
        extents.forget(COPY);
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(extents.held_bytes(), 0);
        assert_eq!(extents.state().unread_bytes, 0);
    }
}
