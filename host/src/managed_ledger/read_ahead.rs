//! Reading ahead in a closed ledger: who reads a copy in order gets large reads, and the next one runs while the last is
//! being used. A read of a cold copy crosses threads several times, which is dear for a hundred small entries and nothing
//! for a mebibyte of them.
//!
//! Owns, for each open copy, a few streams of at most two batches each. What a stream may hold is taken from the budget of
//! recent entries before it is read; without room, and for whoever reads here and there, the copy is read as asked. Entries
//! of a closed ledger never change, so a batch is right as long as its copy is open. A read ahead that fails is forgotten:
//! the reader meets the error when it comes there itself.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::OnceCell;

use super::cache::{AheadRoom, CacheBudget};
use crate::storage::{Entry, ReadError, ReadHandle};

/// Payload bytes of one batch; a single larger entry is a batch of its own.
const BATCH_BYTES: u64 = 1 << 20;
/// Batches of a stream: the one that is used, and the next.
const BATCHES_MAX: u64 = 2;
/// Readers at different places of one copy that are followed at once.
const STREAMS_MAX: usize = 4;
/// Reads that are remembered, to tell who goes on from where a read ended.
const READS_REMEMBERED: usize = 8;

/// A batch, or its absence where it could not be read.
type Coming = Arc<OnceCell<Option<Arc<Vec<Entry>>>>>;

/// What is read ahead of one copy.
#[derive(Default)]
pub(super) struct ReadAhead {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Used last comes last.
    streams: Vec<Stream>,
    /// Direct reads, first entry and exclusive end.
    reads: VecDeque<(u64, u64)>,
}

struct Stream {
    batch: Arc<Vec<Entry>>,
    /// First entry of the next batch, and the batch.
    next: Option<(u64, Coming)>,
    used_ms: u64,
    _room: AheadRoom,
}

/// What one read asks for. `last` lies within the ledger.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) max_bytes: u64,
    /// Last entry of the ledger.
    pub(super) ledger_last: u64,
    pub(super) now_ms: u64,
}

enum Found {
    Here(Vec<Entry>),
    Coming(u64, Coming),
    /// Whether the reader goes on from an earlier read.
    Nothing {
        in_order: bool,
    },
}

impl ReadAhead {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds what was read ahead")
    }

    /// Reads as [`ReadHandle::read`] does.
    ///
    /// # Errors
    /// Those of the copy, for the entries that were asked for.
    pub(super) async fn read(
        &self,
        copy: &Arc<dyn ReadHandle>,
        budget: &Arc<CacheBudget>,
        asked: Asked,
    ) -> Result<Vec<Entry>, ReadError> {
        let mut found = self.find(copy, asked);
        if let Found::Coming(first, coming) = found {
            let batch = fill(&coming, copy, first, asked.ledger_last).await;
            self.lock().arrived(first, &coming, batch);
            found = self.find(copy, asked);
        }
        match found {
            Found::Here(entries) => return Ok(entries),
            Found::Nothing { in_order: true } => {
                // Where the whole batch cannot be read, what was asked for may be.
                if let Some(room) = budget.room_ahead(BATCHES_MAX * BATCH_BYTES)
                    && let Ok(batch) = copy.read(asked.first, asked.ledger_last, BATCH_BYTES).await
                {
                    self.lock().begin(batch, room, asked.now_ms);
                    if let Found::Here(entries) = self.find(copy, asked) {
                        return Ok(entries);
                    }
                }
            }
            Found::Nothing { in_order: false } | Found::Coming(..) => {}
        }
        let entries = copy.read(asked.first, asked.last, asked.max_bytes).await?;
        self.lock().remember(asked.first, asked.first + entries.len() as u64);
        Ok(entries)
    }

    /// Looks into the streams, and has the next batch of the one that is used fetched.
    fn find(&self, copy: &Arc<dyn ReadHandle>, asked: Asked) -> Found {
        let mut state = self.lock();
        let holds = |stream: &Stream| stream.part(asked).is_some();
        if let Some(at) = state.streams.iter().position(holds) {
            let mut stream = state.streams.remove(at);
            let entries = stream.part(asked).unwrap_or_default();
            stream.used_ms = asked.now_ms;
            let end = stream.end();
            if stream.next.is_none() && end <= asked.ledger_last {
                stream.next = Some((end, fetch(copy, end, asked.ledger_last)));
            }
            // The last entries of the ledger end the stream: its memory is of use to others.
            if entries.last().is_none_or(|entry| entry.entry_id < asked.ledger_last) {
                state.streams.push(stream);
            }
            return Found::Here(entries);
        }
        let next = |stream: &Stream| stream.next.as_ref().filter(|(first, _)| *first == asked.first).cloned();
        if let Some((first, coming)) = state.streams.iter().find_map(next) {
            return Found::Coming(first, coming);
        }
        let in_order = state.reads.iter().any(|(first, end)| *first < asked.first && asked.first <= *end);
        Found::Nothing { in_order }
    }

    /// Forgets streams that nobody used since `before_ms`.
    pub(super) fn evict_idle(&self, before_ms: u64) {
        self.lock().streams.retain(|stream| stream.used_ms >= before_ms);
    }
}

impl State {
    fn begin(&mut self, batch: Vec<Entry>, room: AheadRoom, now_ms: u64) {
        if batch.is_empty() {
            return;
        }
        if self.streams.len() == STREAMS_MAX {
            self.streams.remove(0);
        }
        self.streams.push(Stream { batch: Arc::new(batch), next: None, used_ms: now_ms, _room: room });
    }

    /// The batch that began at `first` takes the place of the one before it; without it the stream ends.
    fn arrived(&mut self, first: u64, coming: &Coming, batch: Option<Arc<Vec<Entry>>>) {
        let is_it = |stream: &Stream| {
            stream.next.as_ref().is_some_and(|(at, other)| *at == first && Arc::ptr_eq(other, coming))
        };
        let Some(at) = self.streams.iter().position(is_it) else { return };
        match batch {
            Some(batch) => {
                self.streams[at].batch = batch;
                self.streams[at].next = None;
            }
            None => drop(self.streams.remove(at)),
        }
    }

    fn remember(&mut self, first: u64, end: u64) {
        if self.reads.len() == READS_REMEMBERED {
            self.reads.pop_front();
        }
        self.reads.push_back((first, end));
    }
}

impl Stream {
    fn end(&self) -> u64 {
        self.batch.last().map_or(0, |entry| entry.entry_id + 1)
    }

    /// What the batch has of the entries asked for; `None` without the first of them.
    fn part(&self, asked: Asked) -> Option<Vec<Entry>> {
        let begin = asked.first.checked_sub(self.batch.first()?.entry_id)?;
        let rest = self.batch.get(usize::try_from(begin).ok()?..).filter(|rest| !rest.is_empty())?;
        let mut sum = 0;
        let fits = |entry: &&Entry| {
            let is_first = sum == 0 && entry.entry_id == asked.first;
            sum += entry.payload.len() as u64;
            is_first || (entry.entry_id <= asked.last && sum <= asked.max_bytes)
        };
        Some(rest.iter().take_while(fits).cloned().collect())
    }
}

/// Has a batch read by a task of its own.
fn fetch(copy: &Arc<dyn ReadHandle>, first: u64, ledger_last: u64) -> Coming {
    let coming = Coming::default();
    let (cell, copy) = (coming.clone(), copy.clone());
    tokio::spawn(async move {
        fill(&cell, &copy, first, ledger_last).await;
    });
    coming
}

/// Waits for a batch, or reads it where its task has not begun.
async fn fill(
    cell: &OnceCell<Option<Arc<Vec<Entry>>>>,
    copy: &Arc<dyn ReadHandle>,
    first: u64,
    ledger_last: u64,
) -> Option<Arc<Vec<Entry>>> {
    let read = || async {
        let read = copy.read(first, ledger_last, BATCH_BYTES).await;
        read.ok().filter(|entries| !entries.is_empty()).map(Arc::new)
    };
    cell.get_or_init(read).await.clone()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::storage::{LedgerId, LedgerMetadata};

    /// A ledger that counts its reads; one that touches the damaged entry fails as a whole.
    struct Ledger {
        entry_count: u64,
        entry_bytes: usize,
        damaged: u64,
        reads: AtomicU64,
    }

    #[async_trait]
    impl ReadHandle for Ledger {
        fn metadata(&self) -> LedgerMetadata {
            LedgerMetadata {
                ledger_id: LedgerId(1),
                entry_count: self.entry_count,
                length_bytes: 0,
                created_ms: 0,
                closed: true,
                managed_ledger: String::new(),
            }
        }

        async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
            self.reads.fetch_add(1, Ordering::Relaxed);
            let count = (max_bytes / self.entry_bytes as u64).clamp(1, last - first + 1);
            let end = first + count;
            if (first..end).contains(&self.damaged) {
                return Err(ReadError::Failed("damaged".to_owned()));
            }
            let payload = Bytes::from(vec![7; self.entry_bytes]);
            Ok((first..end).map(|entry_id| Entry { entry_id, payload: payload.clone() }).collect())
        }
    }

    fn ledger(entry_count: u64, entry_bytes: usize, damaged: u64) -> (Arc<Ledger>, Arc<dyn ReadHandle>) {
        let ledger = Arc::new(Ledger { entry_count, entry_bytes, damaged, reads: AtomicU64::new(0) });
        (ledger.clone(), ledger)
    }

    fn asked(first: u64, count: u64, max_bytes: u64, of: u64) -> Asked {
        Asked { first, last: (first + count - 1).min(of - 1), max_bytes, ledger_last: of - 1, now_ms: 5 }
    }

    /// Reads from `next` on until the end or an error; checks each answer's place and bounds.
    async fn read_on(ahead: &ReadAhead, copy: &Arc<dyn ReadHandle>, budget: &Arc<CacheBudget>, of: u64) -> u64 {
        let mut next = 0;
        while next < of {
            let Ok(entries) = ahead.read(copy, budget, asked(next, 100, 1 << 20, of)).await else { break };
            assert!((1..=100).contains(&entries.len()));
            for entry in entries {
                assert_eq!(entry.entry_id, next);
                next += 1;
            }
        }
        next
    }

    #[tokio::test]
    async fn who_reads_in_order_gets_every_entry_with_few_reads_and_leaves_nothing() {
        let (ledger, copy) = ledger(10_000, 1024, u64::MAX);
        let (ahead, budget) = (ReadAhead::default(), Arc::new(CacheBudget::new(64 << 20)));
        assert_eq!(read_on(&ahead, &copy, &budget, 10_000).await, 10_000);
        assert!(ledger.reads.load(Ordering::Relaxed) <= 12, "{:?}", ledger.reads);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn without_room_or_order_the_copy_is_read_as_asked() {
        let (plain, copy) = ledger(1000, 1024, u64::MAX);
        let (ahead, none) = (ReadAhead::default(), Arc::new(CacheBudget::new(0)));
        assert_eq!(read_on(&ahead, &copy, &none, 1000).await, 1000);
        assert_eq!(plain.reads.load(Ordering::Relaxed), 10);
        let (ahead, budget) = (ReadAhead::default(), Arc::new(CacheBudget::new(64 << 20)));
        for first in [900, 500, 100, 700] {
            assert_eq!(ahead.read(&copy, &budget, asked(first, 1, 10, 1000)).await.unwrap().len(), 1);
        }
        assert_eq!((plain.reads.load(Ordering::Relaxed), budget.used_bytes()), (14, 0));
    }

    #[tokio::test]
    async fn a_reader_meets_damage_only_where_it_is() {
        let (_, copy) = ledger(5000, 1024, 3210);
        let (ahead, budget) = (ReadAhead::default(), Arc::new(CacheBudget::new(64 << 20)));
        let found = read_on(&ahead, &copy, &budget, 5000).await;
        assert!((3111..=3210).contains(&found), "only the read that touches it fails, not the one at {found}");
    }

    #[tokio::test]
    async fn a_reader_that_takes_a_part_goes_on_in_the_middle_and_bounds_hold() {
        let (_, copy) = ledger(5000, 1024, u64::MAX);
        let (ahead, budget) = (ReadAhead::default(), Arc::new(CacheBudget::new(64 << 20)));
        let mut next = 0;
        for _ in 0..50 {
            let entries = ahead.read(&copy, &budget, asked(next, 100, 50 * 1024, 5000)).await.unwrap();
            assert_eq!((entries[0].entry_id, entries.len()), (next, 50), "max_bytes bounds the answer");
            next += 20;
        }
        assert_eq!(budget.used_bytes(), BATCHES_MAX * BATCH_BYTES);
        ahead.evict_idle(6);
        assert_eq!(budget.used_bytes(), 0);
    }

    #[tokio::test]
    async fn entries_larger_than_a_batch_come_one_by_one() {
        let (_, copy) = ledger(9, 5 << 20, u64::MAX);
        let (ahead, budget) = (ReadAhead::default(), Arc::new(CacheBudget::new(64 << 20)));
        for next in 0..9 {
            let entries = ahead.read(&copy, &budget, asked(next, 100, 5 << 20, 9)).await.unwrap();
            assert_eq!((entries.len(), entries[0].entry_id), (1, next));
        }
    }
}
