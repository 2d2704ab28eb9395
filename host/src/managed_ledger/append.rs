//! The way in: entries get their positions in call order, are handed to the hot store, and are answered in order when
//! they are on disk. One task for each managed ledger ([`ManagedLedger::run`]) settles them and replaces full ledgers.
//!
//! An append never waits: while a ledger is being replaced, entries wait in memory; the caller bounds what is in flight.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::sync::{mpsc, oneshot};

use super::error::{AppendError, ManagedLedgerError};
use super::figures::Stamps;
use super::ledgers::LedgerInfo;
use super::position::Position;
use super::rollover::{OpenCounters, is_due, is_full};
use super::{ManagedLedger, OpenLedger, Phase, State};
use crate::storage::{LedgerId, StoreError};

/// What the task of a managed ledger does, in order.
pub(super) enum Work {
    /// An entry on its way to the disk.
    Settle(InFlight),
    /// The open ledger is full or due.
    Replace,
    /// Closes the open ledger and opens another, if it has entries.
    Roll(oneshot::Sender<Result<(), ManagedLedgerError>>),
    /// Ends the log.
    Terminate(oneshot::Sender<Result<(), ManagedLedgerError>>),
    /// Ends the task.
    Close(oneshot::Sender<Result<(), ManagedLedgerError>>),
}

/// An entry that is being appended.
pub(super) struct Waiting {
    payload: Bytes,
    came: Instant,
    done: oneshot::Sender<Result<Position, AppendError>>,
}

pub(super) struct InFlight {
    position: Position,
    payload: Bytes,
    stamps: Stamps,
    on_disk: oneshot::Receiver<Result<(), StoreError>>,
    done: oneshot::Sender<Result<Position, AppendError>>,
}

/// Work taken from the queue at a time.
const WORK_BATCH: usize = 256;

/// What became of an entry.
type Outcome = Result<Position, AppendError>;

/// Entries whose fate is known and that nobody was told yet, oldest first.
#[derive(Default)]
struct Settled(Vec<(oneshot::Sender<Outcome>, Outcome)>);

impl Settled {
    /// Tells them, the oldest last: it is the one that is waited for, and who is woken by it finds the others answered.
    fn tell(&mut self) {
        for (done, answer) in self.0.drain(..).rev() {
            // A receiver that is gone does not want the answer.
            let _ = done.send(answer);
        }
    }
}

impl ManagedLedger {
    /// Adds one entry. It is answered when it and all before it are on disk, together with what is on disk by then; a dropped
    /// sender means that the broker stops.
    pub fn append(&self, payload: Bytes) -> oneshot::Receiver<Result<Position, AppendError>> {
        let (done, answer) = oneshot::channel();
        let entry = Waiting { payload, came: Instant::now(), done };
        let mut state = self.lock();
        let refused = match &state.phase {
            Phase::LedgerOpened => {
                self.submit(&mut state, entry);
                return answer;
            }
            Phase::ClosingLedger => {
                state.waiting.push_back(entry);
                return answer;
            }
            Phase::Closed => AppendError::Closed,
            Phase::Fenced(reason) => AppendError::Storage(reason.clone()),
            Phase::Terminated => AppendError::Terminated,
        };
        drop(state);
        self.refuse(entry, refused);
        answer
    }

    /// Answers an entry that is not stored.
    fn refuse(&self, entry: Waiting, error: AppendError) {
        self.counters.refused(1);
        // A receiver that is gone does not want the answer.
        let _ = entry.done.send(Err(error));
    }

    fn submit(&self, state: &mut State, entry: Waiting) {
        let Waiting { payload, came, done } = entry;
        let now_ms = self.rooms.clock.now_ms();
        let open = state.open.as_mut().expect("a ledger is open in phase LedgerOpened");
        let position = Position::new(open.ledger_id, open.queued.entry_count);
        open.queued.entry_count += 1;
        open.queued.size_bytes += payload.len() as u64;
        open.queued.last_added_ms = now_ms;
        let is_full = is_full(&self.settings().rollover, &open.queued, now_ms);
        let stamps = Stamps { came, handed: Instant::now() };
        let on_disk = self.rooms.store.append(position.ledger_id, position.entry_id, payload.clone());
        self.queue(Work::Settle(InFlight { position, payload, stamps, on_disk, done }));
        if is_full {
            state.phase = Phase::ClosingLedger;
            self.queue(Work::Replace);
        }
    }

    /// Replaces the open ledger if it is full or idle at `now_ms`.
    pub(super) fn roll_if_due(&self, now_ms: u64) {
        let mut state = self.lock();
        let due = state.open.is_some_and(|open| is_due(&self.settings().rollover, &open.queued, now_ms));
        if due && state.phase == Phase::LedgerOpened {
            state.phase = Phase::ClosingLedger;
            self.queue(Work::Replace);
        }
    }

    /// Closes the open ledger if it has entries and opens another.
    ///
    /// # Errors
    /// Those of the stores; the managed ledger is fenced then.
    pub async fn roll(&self) -> Result<(), ManagedLedgerError> {
        self.ask(Work::Roll, |state| {
            if state.phase == Phase::LedgerOpened {
                state.phase = Phase::ClosingLedger;
            }
        })
        .await
    }

    /// Ends the log: no entry can follow. Answers the exclusive end. Terminating again answers the same.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn terminate(&self) -> Result<Position, ManagedLedgerError> {
        if !self.is_terminated() {
            self.ask(Work::Terminate, |state| {
                if state.phase == Phase::LedgerOpened {
                    state.phase = Phase::ClosingLedger;
                }
            })
            .await?;
        }
        Ok(self.end())
    }

    /// Closes the open ledger, writes the cursors, ends the task. What still waits is refused with `Closed`.
    ///
    /// # Errors
    /// Those of the stores; the next load recovers all the same.
    pub async fn close(&self) -> Result<(), ManagedLedgerError> {
        for cursor in self.cursors() {
            cursor.flush().await;
        }
        let closed = self
            .ask(Work::Close, |state| {
                if !matches!(state.phase, Phase::Terminated | Phase::Fenced(_)) {
                    state.phase = Phase::Closed;
                }
                for entry in state.waiting.drain(..) {
                    self.refuse(entry, AppendError::Closed);
                }
            })
            .await;
        self.copies.clear();
        self.cache.clear();
        match closed {
            Err(ManagedLedgerError::Closed(_)) => Ok(()),
            other => other,
        }
    }

    async fn ask(
        &self,
        work: impl FnOnce(oneshot::Sender<Result<(), ManagedLedgerError>>) -> Work,
        first: impl FnOnce(&mut State),
    ) -> Result<(), ManagedLedgerError> {
        let (done, answer) = oneshot::channel();
        first(&mut self.lock());
        self.queue(work(done));
        answer.await.unwrap_or_else(|_| Err(ManagedLedgerError::Closed(self.name.clone())))
    }

    fn queue(&self, work: Work) {
        // The task is gone only after `close`; senders dropped with the work tell whoever waits.
        let _ = self.work.send(work);
    }

    /// The managed ledger's task.
    pub(super) async fn run(self: Arc<Self>, mut queue: mpsc::UnboundedReceiver<Work>) {
        let mut batch = Vec::with_capacity(WORK_BATCH);
        let mut settled = Settled::default();
        while queue.recv_many(&mut batch, WORK_BATCH).await > 0 {
            for work in batch.drain(..) {
                if !matches!(work, Work::Settle(_)) {
                    self.show(&mut settled);
                }
                match work {
                    Work::Settle(entry) => self.settle(entry, &mut settled).await,
                    Work::Replace => {
                        // A failure has fenced the managed ledger, and whoever appends is told.
                        let _ = self.replace().await;
                    }
                    Work::Roll(done) => {
                        let _ = done.send(self.replace().await);
                    }
                    Work::Terminate(done) => {
                        let _ = done.send(self.end_log().await);
                    }
                    Work::Close(done) => {
                        let _ = done.send(self.close_open_ledger().await);
                        return;
                    }
                }
            }
            self.show(&mut settled);
        }
    }

    /// Lets readers see what is durable, then tells its producers.
    fn show(&self, settled: &mut Settled) {
        self.publish_end();
        settled.tell();
    }

    async fn settle(&self, mut entry: InFlight, settled: &mut Settled) {
        let outcome = match entry.on_disk.try_recv() {
            Err(TryRecvError::Empty) => {
                self.show(settled);
                entry.on_disk.await.ok()
            }
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Closed) => None,
        };
        let answer = match outcome {
            Some(Ok(())) => {
                self.counters.added(entry.payload.len() as u64, entry.stamps);
                self.confirm(entry.position, entry.payload);
                Ok(entry.position)
            }
            Some(Err(error)) => Err(AppendError::Storage(self.fence(&error.to_string()))),
            None => Err(AppendError::Storage(self.fence("the hot store has stopped"))),
        };
        if answer.is_err() {
            self.counters.refused(1);
        }
        settled.0.push((entry.done, answer));
    }

    /// The entry is durable: readers may see it once [`publish_end`](Self::publish_end) says so.
    fn confirm(&self, position: Position, payload: Bytes) {
        let now_ms = {
            let mut state = self.lock();
            state.end = position.next();
            state.entries_added += 1;
            let open = state.open.as_mut().expect("entries settle before their ledger is closed");
            open.durable_bytes += payload.len() as u64;
            open.queued.last_added_ms
        };
        if self.end.receiver_count() > 0 {
            self.cache.push(position, payload, now_ms);
        }
    }

    fn publish_end(&self) {
        let end = self.lock().end;
        self.end.send_if_modified(|known| std::mem::replace(known, end) != end);
    }

    /// Takes no more entries until the topic is loaded again; answers the reason.
    pub(super) fn fence(&self, reason: &str) -> String {
        let mut state = self.lock();
        if !matches!(state.phase, Phase::Fenced(_)) {
            tracing::error!(
                managed_ledger = self.name,
                reason,
                "the managed ledger is fenced until its topic is loaded again"
            );
            state.phase = Phase::Fenced(reason.to_owned());
        }
        for entry in state.waiting.drain(..) {
            self.refuse(entry, AppendError::Storage(reason.to_owned()));
        }
        reason.to_owned()
    }

    /// Closes the open ledger and opens another: one write of the record.
    async fn replace(&self) -> Result<(), ManagedLedgerError> {
        self.publish_end();
        let Some(open) = self.phase_allows_replacing()? else { return Ok(()) };
        let begun = Instant::now();
        let replaced = self.replace_ledger(open).await;
        match &replaced {
            Ok(()) => self.counters.replaced(begun.elapsed()),
            Err(error) => {
                self.fence(&error.to_string());
            }
        }
        replaced
    }

    fn phase_allows_replacing(&self) -> Result<Option<OpenLedger>, ManagedLedgerError> {
        let mut state = self.lock();
        match &state.phase {
            Phase::Fenced(reason) => {
                Err(ManagedLedgerError::Fenced { name: self.name.clone(), reason: reason.clone() })
            }
            Phase::Closed => Err(ManagedLedgerError::Closed(self.name.clone())),
            Phase::Terminated => Ok(None),
            Phase::LedgerOpened | Phase::ClosingLedger => {
                let open = state.open.filter(|open| open.queued.entry_count > 0);
                if open.is_none() {
                    self.reopen(&mut state);
                }
                Ok(open)
            }
        }
    }

    async fn replace_ledger(&self, open: OpenLedger) -> Result<(), ManagedLedgerError> {
        let sealed = self.rooms.store.seal(open.ledger_id).await?;
        let created_ms = self.rooms.clock.now_ms();
        let ledger_id = self.rooms.ids.take(&*self.rooms.metadata).await?;
        self.rooms.store.create(ledger_id, &self.name, created_ms).await?;
        self.record(|ledgers| {
            let info = ledgers.by_id.get_mut(&open.ledger_id).expect("the open ledger is in the list");
            (info.entry_count, info.size_bytes) = (sealed.entry_count, sealed.length_bytes);
            info.closed_ms = Some(created_ms);
            ledgers.by_id.insert(ledger_id, LedgerInfo::open(ledger_id));
        })
        .await?;
        tracing::info!(
            managed_ledger = self.name,
            ledger_id = open.ledger_id.0,
            entries = sealed.entry_count,
            bytes = sealed.length_bytes,
            next_ledger_id = ledger_id.0,
            "ledger closed"
        );
        self.copies.invalidate(open.ledger_id);
        {
            let mut state = self.lock();
            state.open = Some(OpenLedger::new(ledger_id, created_ms));
            self.reopen(&mut state);
        }
        // Nobody listens while the broker stops.
        let _ = self.rooms.closed.send(self.name.clone());
        self.ask_trim();
        Ok(())
    }

    /// Takes entries again, first those that waited.
    fn reopen(&self, state: &mut State) {
        if state.phase == Phase::ClosingLedger {
            state.phase = Phase::LedgerOpened;
        }
        while state.phase == Phase::LedgerOpened
            && let Some(entry) = state.waiting.pop_front()
        {
            self.submit(state, entry);
        }
    }

    /// Closes the open ledger for good and records where the log ends.
    async fn end_log(&self) -> Result<(), ManagedLedgerError> {
        self.publish_end();
        if self.is_terminated() {
            return Ok(());
        }
        self.phase_allows_ending()?;
        self.close_open_ledger().await?;
        let (end, open) = {
            let state = self.lock();
            (state.end, state.open)
        };
        let empty = open.filter(|open| open.queued.entry_count == 0).map(|open| open.ledger_id);
        self.record(|ledgers| {
            ledgers.terminated_end = Some(end);
            if let Some(ledger_id) = empty.filter(|_| ledgers.by_id.len() > 1) {
                ledgers.by_id.remove(&ledger_id);
            } else if let Some(info) = empty.and_then(|ledger_id| ledgers.by_id.get_mut(&ledger_id)) {
                info.closed_ms = Some(self.rooms.clock.now_ms());
            }
        })
        .await?;
        let mut state = self.lock();
        state.phase = Phase::Terminated;
        state.open = None;
        for entry in state.waiting.drain(..) {
            self.refuse(entry, AppendError::Terminated);
        }
        drop(state);
        self.end.send_modify(|_| {});
        Ok(())
    }

    fn phase_allows_ending(&self) -> Result<(), ManagedLedgerError> {
        match &self.lock().phase {
            Phase::Fenced(reason) => {
                Err(ManagedLedgerError::Fenced { name: self.name.clone(), reason: reason.clone() })
            }
            Phase::Closed => Err(ManagedLedgerError::Closed(self.name.clone())),
            Phase::LedgerOpened | Phase::ClosingLedger | Phase::Terminated => Ok(()),
        }
    }

    /// Seals the open ledger and records it as closed, if it has entries.
    async fn close_open_ledger(&self) -> Result<(), ManagedLedgerError> {
        let open = {
            let state = self.lock();
            if matches!(state.phase, Phase::Fenced(_)) {
                return Ok(());
            }
            state.open.filter(|open| open.queued.entry_count > 0)
        };
        let Some(open) = open else { return Ok(()) };
        let sealed = self.rooms.store.seal(open.ledger_id).await?;
        let closed_ms = self.rooms.clock.now_ms();
        self.record(|ledgers| {
            let info = ledgers.by_id.get_mut(&open.ledger_id).expect("the open ledger is in the list");
            (info.entry_count, info.size_bytes) = (sealed.entry_count, sealed.length_bytes);
            info.closed_ms = Some(closed_ms);
        })
        .await?;
        if let Some(open) = self.lock().open.as_mut() {
            open.durable_bytes = 0;
        }
        Ok(())
    }
}

impl OpenLedger {
    pub(super) fn new(ledger_id: LedgerId, created_ms: u64) -> Self {
        let queued = OpenCounters { entry_count: 0, size_bytes: 0, created_ms, last_added_ms: created_ms };
        Self { ledger_id, queued, durable_bytes: 0 }
    }
}
