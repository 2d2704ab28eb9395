//! The commit point: one thread that takes the queued appends of all ledgers, group by group, and answers when they are on
//! disk.
//!
//! While one group is flushed the next one gathers, so a group grows with the load and nobody waits on purpose. The order
//! within a group: entries go to their ledgers' files, then all of it becomes durable (`form` says how), then readers see it,
//! then it is answered. A fault concerns the ledgers that it touched and no other.
//!
//! The queue has no bound of its own: its callers bound the bytes that they have in flight.

use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

use bytes::Bytes;
use tokio::sync::oneshot;

use super::LedgerStoreSettings;
use super::disk::Gathered;
use super::form;
use super::format::{ENTRY_BYTES_MAX, RECORD_HEADER_BYTES, RecordHeader};
use super::journal::{Journal, gather_create, gather_delete, gather_entry_front};
use super::segment::{Segment, store_error};
use super::store::{Shared, Slot};
use crate::storage::{LedgerId, StoreError};

/// Requests that close a group, however small they are.
const GROUP_REQUESTS_MAX: usize = 16 * 1024;

type Answer = oneshot::Sender<Result<(), StoreError>>;

/// What the commit thread is asked to do.
pub(super) enum Request {
    /// Appends an entry.
    Append {
        /// Where.
        ledger_id: LedgerId,
        /// Number of entries queued before.
        entry_id: u64,
        /// The entry.
        payload: Bytes,
        /// Told when it is durable.
        answer: Answer,
    },
    /// Makes an open ledger known, whose file was made.
    Create {
        /// The ledger.
        segment: Arc<Segment>,
        /// Told when it is durable.
        answer: Answer,
    },
    /// Takes no more appends for a ledger, and lets go of it.
    Retire {
        /// The ledger.
        ledger_id: LedgerId,
        /// Told when everything before is durable.
        answer: Answer,
    },
    /// Makes sure that a ledger, whose file was removed, does not come back from the journal.
    Delete {
        /// The ledger.
        ledger_id: LedgerId,
        /// Told when it is durable.
        answer: Answer,
    },
    /// Ends the thread.
    Stop {
        /// Told after a checkpoint whether the journal is empty; without it the thread ends as if it had crashed.
        answer: Option<oneshot::Sender<bool>>,
    },
}

/// The commit thread's own state.
pub(super) struct Committer {
    shared: Arc<Shared>,
    settings: LedgerStoreSettings,
    requests: Receiver<Request>,
    writers: HashMap<LedgerId, Writer>,
    journal: Journal,
    gathered: Gathered,
}

struct Writer {
    segment: Arc<Segment>,
    next_entry: u64,
    end_offset: u64,
}

/// What becomes durable together.
#[derive(Default)]
struct Group {
    batches: Vec<Batch>,
    batch_of: HashMap<LedgerId, usize>,
    creates: Vec<(Arc<Segment>, Answer)>,
    deletes: Vec<(LedgerId, Answer)>,
    retired: Vec<Answer>,
    payload_bytes: u64,
    request_count: usize,
    stop: Option<Option<oneshot::Sender<bool>>>,
}

/// One ledger's part of a group.
struct Batch {
    segment: Arc<Segment>,
    offset: u64,
    bytes: u64,
    entries: Vec<Pending>,
    failure: Option<StoreError>,
}

struct Pending {
    header: [u8; RECORD_HEADER_BYTES],
    payload: Bytes,
    answer: Answer,
}

impl Committer {
    /// A commit point without open ledgers.
    pub(super) fn new(
        shared: Arc<Shared>,
        settings: LedgerStoreSettings,
        requests: Receiver<Request>,
        journal: Journal,
    ) -> Self {
        Self { shared, settings, requests, writers: HashMap::new(), journal, gathered: Gathered::default() }
    }

    /// Works until it is told to stop or all askers are gone.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.requests.recv() {
            let mut group = self.collect(first);
            let stop = group.stop.take();
            self.commit(group);
            match stop {
                None => self.journal.checkpoint_if_full(),
                Some(None) => return,
                Some(Some(answer)) => {
                    let flushed = self.flush_all();
                    let _ = answer.send(self.journal.checkpoint_all() && flushed);
                    return;
                }
            }
        }
    }

    /// Whether all open ledgers are on disk; one that fails does not keep the others from it.
    fn flush_all(&self) -> bool {
        let failed = self.writers.values().filter(|writer| writer.segment.flush(&self.shared.disk).is_err());
        failed.count() == 0
    }

    fn collect(&mut self, first: Request) -> Group {
        let mut group = Group::default();
        let mut next = Some(first);
        while let Some(request) = next {
            group.request_count += 1;
            self.accept(request, &mut group);
            let is_full = group.payload_bytes >= self.settings.group_bytes_max
                || group.request_count >= GROUP_REQUESTS_MAX
                || group.stop.is_some();
            next = if is_full { None } else { self.requests.try_recv().ok() };
        }
        group
    }

    fn accept(&mut self, request: Request, group: &mut Group) {
        match request {
            Request::Append { ledger_id, entry_id, payload, answer } => {
                if let Err(error) = self.accept_append(ledger_id, entry_id, &payload, group) {
                    let _ = answer.send(Err(error));
                    return;
                }
                let header = RecordHeader::encode(ledger_id, entry_id, &payload);
                let batch = &mut group.batches[group.batch_of[&ledger_id]];
                batch.bytes += (RECORD_HEADER_BYTES + payload.len()) as u64;
                group.payload_bytes += payload.len() as u64;
                batch.entries.push(Pending { header, payload, answer });
            }
            Request::Create { segment, answer } => {
                let end_offset = segment.header().len_bytes();
                let writer = Writer { segment: segment.clone(), next_entry: 0, end_offset };
                self.writers.insert(segment.ledger_id(), writer);
                group.creates.push((segment, answer));
            }
            Request::Retire { ledger_id, answer } => {
                self.writers.remove(&ledger_id);
                group.retired.push(answer);
            }
            Request::Delete { ledger_id, answer } => {
                self.writers.remove(&ledger_id);
                group.deletes.push((ledger_id, answer));
            }
            Request::Stop { answer } => group.stop = Some(answer),
        }
    }

    /// Decides whether an entry may join, and makes sure that its ledger has a batch.
    fn accept_append(
        &mut self,
        ledger_id: LedgerId,
        entry_id: u64,
        payload: &Bytes,
        group: &mut Group,
    ) -> Result<(), StoreError> {
        let writer = self.writers.get_mut(&ledger_id).ok_or(StoreError::NotOpen(ledger_id))?;
        if let Some(refusal) = writer.segment.refusal() {
            return Err(refusal);
        }
        if entry_id != writer.next_entry {
            let expected = writer.next_entry;
            return Err(StoreError::WriteFailed(format!(
                "append of entry {entry_id} to ledger {ledger_id} is out of order, expected entry {expected}"
            )));
        }
        if payload.len() > ENTRY_BYTES_MAX {
            let bytes = payload.len();
            return Err(StoreError::WriteFailed(format!(
                "entry {entry_id} of ledger {ledger_id} has {bytes} bytes, at most {ENTRY_BYTES_MAX} are allowed"
            )));
        }
        if let MapEntry::Vacant(vacant) = group.batch_of.entry(ledger_id) {
            vacant.insert(group.batches.len());
            group.batches.push(Batch::new(writer));
        }
        writer.next_entry += 1;
        writer.end_offset += (RECORD_HEADER_BYTES + payload.len()) as u64;
        Ok(())
    }

    fn commit(&mut self, mut group: Group) {
        for batch in &mut group.batches {
            self.write_batch(batch);
        }
        let outcome = if self.settings.sync { self.make_durable(&mut group) } else { Ok(()) };
        self.count(&group);
        group.batches.into_iter().for_each(Batch::finish);
        self.finish_ledgers(group.creates, group.deletes, &outcome);
        for answer in group.retired {
            let _ = answer.send(Ok(()));
        }
    }

    fn write_batch(&mut self, batch: &mut Batch) {
        self.gathered.clear();
        for entry in &batch.entries {
            self.gathered.add(&entry.header);
            self.gathered.add_payload(&entry.payload);
        }
        let Some(file) = batch.segment.open_file() else {
            batch.failure = Some(StoreError::NotOpen(batch.segment.ledger_id()));
            return;
        };
        let path = batch.segment.open_path();
        if let Err(error) = self.shared.disk.write_at(&file, path, &self.gathered, batch.offset) {
            batch.fail(&store_error("append to", path, &error));
        }
    }

    /// Flushes what is flushed directly, and lets the journal speak for the rest. Answers how the journal fared.
    fn make_durable(&mut self, group: &mut Group) -> Result<(), StoreError> {
        let bytes: Vec<u64> = group.batches.iter().map(|batch| batch.bytes).collect();
        let direct = form::flushed_directly(&bytes, &self.settings);
        let mut journaled = Vec::new();
        for (batch, direct) in group.batches.iter_mut().zip(direct) {
            if batch.failure.is_some() {
                continue;
            }
            if !direct {
                journaled.push(batch);
            } else if let Err(error) = batch.segment.flush(&self.shared.disk) {
                batch.fail(&error);
            }
        }
        if journaled.is_empty() && group.creates.is_empty() && group.deletes.is_empty() {
            return Ok(());
        }
        let outcome = self.append_to_journal(&journaled, &group.creates, &group.deletes);
        if let Err(error) = &outcome {
            journaled.into_iter().for_each(|batch| batch.fail(error));
        }
        outcome
    }

    fn append_to_journal(
        &mut self,
        batches: &[&mut Batch],
        creates: &[(Arc<Segment>, Answer)],
        deletes: &[(LedgerId, Answer)],
    ) -> Result<(), StoreError> {
        self.journal.prepare()?;
        let mut gathered = std::mem::take(&mut self.gathered);
        gathered.clear();
        for (segment, _) in creates {
            gather_create(&mut gathered, segment.header());
            self.journal.touch(segment);
            self.journal.touch_folder(self.shared.layout.folder(segment.ledger_id()));
        }
        for batch in batches {
            for entry in &batch.entries {
                gather_entry_front(&mut gathered, batch.segment.ledger_id());
                gathered.add(&entry.header);
                gathered.add_payload(&entry.payload);
            }
            self.journal.touch(&batch.segment);
        }
        for (ledger_id, _) in deletes {
            gather_delete(&mut gathered, *ledger_id);
            self.journal.touch_folder(self.shared.layout.folder(*ledger_id));
        }
        self.gathered = self.journal.append(gathered)?;
        Ok(())
    }

    fn count(&self, group: &Group) {
        let durable = group.batches.iter().filter(|batch| batch.failure.is_none());
        let entries = durable.map(|batch| batch.entries.len() as u64).sum();
        self.shared.disk.count_group(entries, group.payload_bytes);
    }

    fn finish_ledgers(
        &mut self,
        creates: Vec<(Arc<Segment>, Answer)>,
        deletes: Vec<(LedgerId, Answer)>,
        outcome: &Result<(), StoreError>,
    ) {
        for (segment, answer) in creates {
            match outcome {
                Ok(()) => self.shared.insert(segment.ledger_id(), Slot::Open(segment)),
                Err(_) => {
                    self.writers.remove(&segment.ledger_id());
                }
            }
            let _ = answer.send(outcome.clone());
        }
        for (_, answer) in deletes {
            let _ = answer.send(outcome.clone());
        }
    }
}

impl Batch {
    fn new(writer: &Writer) -> Self {
        Self {
            segment: writer.segment.clone(),
            offset: writer.end_offset,
            bytes: 0,
            entries: Vec::new(),
            failure: None,
        }
    }

    fn fail(&mut self, error: &StoreError) {
        self.segment.refuse_appends(error);
        self.failure = Some(error.clone());
    }

    /// Shows the entries to readers, then answers them, the oldest last: it is the one that is waited for, and who is woken
    /// by it finds all the others answered.
    fn finish(self) {
        let outcome = self.failure.map_or(Ok(()), Err);
        if outcome.is_ok() {
            self.segment.publish(self.entries.iter().map(|entry| entry.payload.len() as u32));
        }
        for entry in self.entries.into_iter().rev() {
            // Whoever asked may have gone; the entry is durable all the same.
            let _ = entry.answer.send(outcome.clone());
        }
    }
}
