//! Ledgers that the suite makes up, and the sources that lend them to a driver: sound ones, and ones that answer little,
//! fail or wait on request. What a copy must answer is computed from the model alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource, check_range};
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerMetadata, LedgerReader, Result};
use tokio::sync::watch;

use crate::case::{Verdict, ensure};

/// What a failing source says.
pub(crate) const SOURCE_WORDS: &str = "the hot ledger cannot be read, as the conformance kit wants it";

/// A closed ledger.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    pub(crate) metadata: LedgerMetadata,
    pub(crate) payloads: Arc<Vec<Bytes>>,
}

impl Model {
    pub(crate) fn new(ledger_id: u64, managed_ledger: &str, payloads: Vec<Bytes>) -> Self {
        let metadata = LedgerMetadata {
            ledger_id,
            entry_count: payloads.len() as u64,
            length_bytes: payloads.iter().map(|payload| payload.len() as u64).sum(),
            created_ms: 1_700_000_000_123,
            closed: true,
            custom: vec![
                ("application".to_owned(), b"pulsar".to_vec()),
                ("component".to_owned(), b"managed-ledger".to_vec()),
                ("pulsar/managed-ledger".to_owned(), managed_ledger.as_bytes().to_vec()),
            ],
        };
        Self { metadata, payloads: Arc::new(payloads) }
    }

    pub(crate) fn count(&self) -> u64 {
        self.metadata.entry_count
    }

    pub(crate) fn last(&self) -> u64 {
        self.count() - 1
    }

    /// What a read must answer: whole entries from `first` on, up to `last`, no further one beyond `max_bytes`.
    pub(crate) fn expected(&self, first: u64, last: u64, max_bytes: u64) -> Vec<Entry> {
        let mut sum = 0u64;
        let entries = self.payloads[first as usize..=last as usize].iter().zip(first..);
        entries
            .take_while(|(payload, entry_id)| {
                sum += payload.len() as u64;
                *entry_id == first || sum <= max_bytes
            })
            .map(|(payload, entry_id)| Entry { entry_id, payload: payload.clone() })
            .collect()
    }

    /// Fails unless `found` is what the read must answer; tells the first difference.
    pub(crate) fn check(&self, first: u64, last: u64, max_bytes: u64, found: &[Entry]) -> Verdict {
        let expected = self.expected(first, last, max_bytes);
        let read = format!("read of {first}..={last}, at most {max_bytes} bytes");
        for (wanted, found) in expected.iter().zip(found) {
            ensure!(
                wanted.entry_id == found.entry_id,
                "{read}: entry {} came where {} belongs",
                found.entry_id,
                wanted.entry_id
            );
            let (entry, len, wanted_len) = (wanted.entry_id, found.payload.len(), wanted.payload.len());
            ensure!(len == wanted_len, "{read}: entry {entry} has {len} bytes, {wanted_len} were offloaded");
            let differs = wanted.payload.iter().zip(&found.payload).position(|(a, b)| a != b);
            ensure!(
                differs.is_none(),
                "{read}: entry {entry} of {len} bytes differs at byte {}",
                differs.unwrap_or_default()
            );
        }
        let (wanted, found) = (expected.len(), found.len());
        ensure!(wanted == found, "{read}: {found} entries came, {wanted} belong there");
        Ok(())
    }
}

/// Payloads of lengths up to `len_max`, some empty, some noise, some that compress well.
pub(crate) fn payloads(random: &mut fastrand::Rng, count: usize, len_max: usize) -> Vec<Bytes> {
    (0..count)
        .map(|_| {
            let len = if random.u8(..8) == 0 { 0 } else { random.usize(0..=len_max) };
            payload(random, len)
        })
        .collect()
}

/// One payload of `len` bytes.
pub(crate) fn payload(random: &mut fastrand::Rng, len: usize) -> Bytes {
    let noise = random.bool();
    let mut bytes = vec![0; len];
    if noise {
        random.fill(&mut bytes);
    } else {
        bytes.iter_mut().enumerate().for_each(|(at, byte)| *byte = (at / 40) as u8);
    }
    bytes.into()
}

/// Lends a model to a driver, with a fault on request. Counts what it is asked and told.
pub(crate) struct Source {
    model: Model,
    one_entry_a_read: bool,
    fails_at: Option<u64>,
    waits_at: Option<u64>,
    released: watch::Sender<bool>,
    reads: watch::Sender<u64>,
    progress: AtomicU64,
}

impl Source {
    pub(crate) fn new(model: &Model) -> Self {
        Self {
            model: model.clone(),
            one_entry_a_read: false,
            fails_at: None,
            waits_at: None,
            released: watch::Sender::new(false),
            reads: watch::Sender::new(0),
            progress: AtomicU64::new(0),
        }
    }

    /// Answers each read with one entry, however many would fit.
    pub(crate) fn one_entry_a_read(mut self) -> Self {
        self.one_entry_a_read = true;
        self
    }

    /// The read of this number (the first is 0) fails, and each after it.
    pub(crate) fn failing_at(mut self, read: u64) -> Self {
        self.fails_at = Some(read);
        self
    }

    /// The read of this number, and each after it, waits until [`release`](Self::release).
    pub(crate) fn waiting_at(mut self, read: u64) -> Self {
        self.waits_at = Some(read);
        self
    }

    pub(crate) fn lend(self: &Arc<Self>) -> LedgerReader {
        LedgerReader::new(Arc::clone(self) as Arc<dyn LedgerSource>)
    }

    pub(crate) fn release(&self) {
        self.released.send_replace(true);
    }

    /// Waits until it was read so often.
    pub(crate) async fn until_reads(&self, reads: u64) {
        // The sender lives as long as `self`.
        let _ = self.reads.subscribe().wait_for(|count| *count >= reads).await;
    }

    /// Bytes that the driver reported as stored.
    pub(crate) fn progress_bytes(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }
}

impl LedgerSource for Source {
    fn metadata(&self) -> &LedgerMetadata {
        &self.model.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            let mut number = 0;
            self.reads.send_modify(|reads| {
                number = *reads;
                *reads += 1;
            });
            if self.fails_at.is_some_and(|at| number >= at) {
                return Err(Error::new(ErrorCode::Unavailable, SOURCE_WORDS));
            }
            if self.waits_at.is_some_and(|at| number >= at) {
                let _ = self.released.subscribe().wait_for(|released| *released).await;
            }
            check_range(&self.model.metadata, first, last)?;
            let last = if self.one_entry_a_read { first } else { last };
            Ok(self.model.expected(first, last, max_bytes))
        })
    }

    fn progress(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }
}
