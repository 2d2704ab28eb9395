//! A driver that keeps cold copies in memory, and misbehaves on request. The smallest thing that offload can be tried on.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use longshore::storage::{
    DriverError, DriverErrorKind, DriverLookup, DriverOrigin, DriverSettings, Entry, LedgerId, LedgerMetadata,
    OffloadDriver, ReadError, ReadHandle, ScanPage, ScanRequest, ScannedLedger, StoredLedger,
};
use tokio::sync::Semaphore;
use uuid::Uuid;

/// What the driver does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// Says no before it copies.
    RefuseOffload,
    /// Copies, then says no.
    FailAfterCopy,
    /// Copies all but the last entry and says yes.
    LoseLastEntry,
    /// Flips a byte of the last entry and says yes.
    FlipByte,
    /// Says yes without having read anything.
    LieAboutSuccess,
    /// Answers reads with `Corrupt`.
    CorruptReads,
    /// Cannot be reached for reads.
    UnavailableReads,
    /// Cannot delete.
    RefuseDelete,
}

/// A copy, complete or not.
#[derive(Clone, Debug)]
struct Copy {
    metadata: LedgerMetadata,
    entries: Vec<Entry>,
}

/// The driver; claims the name `memory`.
#[derive(Debug)]
pub struct MemoryDriver {
    copies: Mutex<BTreeMap<(LedgerId, Uuid), Copy>>,
    fault: Mutex<Fault>,
    /// Copies that may go on; tests hold an offload by taking the permits.
    pub gate: Semaphore,
    /// Reads that were answered.
    pub read_count: AtomicU64,
}

impl Default for MemoryDriver {
    fn default() -> Self {
        Self {
            copies: Mutex::default(),
            fault: Mutex::default(),
            gate: Semaphore::new(1000),
            read_count: AtomicU64::new(0),
        }
    }
}

impl MemoryDriver {
    /// From now on, do this wrong.
    pub fn misbehave(&self, fault: Fault) {
        *self.fault.lock().expect("no panic while locked") = fault;
    }

    /// The ledgers that copies, complete or not, exist of; one for each attempt.
    pub fn ledgers(&self) -> Vec<LedgerId> {
        self.copies.lock().expect("no panic while locked").keys().map(|(id, _)| *id).collect()
    }

    /// Forgets everything, as a lost bucket does.
    pub fn lose_everything(&self) {
        self.copies.lock().expect("no panic while locked").clear();
    }

    fn fault(&self) -> Fault {
        *self.fault.lock().expect("no panic while locked")
    }

    fn error(&self, kind: DriverErrorKind, message: &str) -> DriverError {
        DriverError {
            kind,
            driver: "memory".to_owned(),
            plugin: "test-kit 0.0.0".to_owned(),
            code: None,
            message: message.to_owned(),
            retryable: false,
        }
    }
}

#[async_trait]
impl OffloadDriver for MemoryDriver {
    fn name(&self) -> &str {
        "memory"
    }

    fn origin(&self) -> DriverOrigin {
        DriverOrigin { plugin: "test-kit".to_owned(), version: "0.0.0".to_owned(), file: String::new() }
    }

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        [("bucket".to_owned(), "memory".to_owned())].into()
    }

    async fn offload(&self, ledger: Arc<dyn ReadHandle>, target: StoredLedger) -> Result<(), DriverError> {
        let fault = self.fault();
        if fault == Fault::RefuseOffload {
            return Err(self.error(DriverErrorKind::Failed, "the store says no"));
        }
        let metadata = ledger.metadata();
        let mut entries = Vec::new();
        while fault != Fault::LieAboutSuccess && (entries.len() as u64) < metadata.entry_count {
            self.gate.acquire().await.expect("the gate is never closed").forget();
            self.gate.add_permits(1);
            let first = entries.len() as u64;
            let read = ledger.read(first, metadata.entry_count - 1, 1 << 20).await;
            entries.extend(read.map_err(|error| self.error(DriverErrorKind::Failed, &error.to_string()))?);
        }
        match (fault, entries.last_mut()) {
            (Fault::LoseLastEntry, _) => drop(entries.pop()),
            (Fault::FlipByte, Some(last)) => {
                let mut bytes = last.payload.to_vec();
                bytes[0] ^= 1;
                last.payload = bytes.into();
            }
            _ => {}
        }
        let copy = Copy { metadata, entries };
        self.copies.lock().expect("no panic while locked").insert((target.ledger_id, target.uid), copy);
        if fault == Fault::FailAfterCopy {
            return Err(self.error(DriverErrorKind::Failed, "the store failed late"));
        }
        Ok(())
    }

    async fn open(&self, stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        let copies = self.copies.lock().expect("no panic while locked");
        let copy = copies.get(&(stored.ledger_id, stored.uid)).cloned();
        let copy = copy.ok_or_else(|| self.error(DriverErrorKind::NotFound, "there is no such copy"))?;
        self.read_count.fetch_add(1, Ordering::Relaxed);
        Ok(Arc::new(MemoryHandle { copy, fault: self.fault() }))
    }

    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError> {
        if self.fault() == Fault::RefuseDelete {
            return Err(self.error(DriverErrorKind::Failed, "the store refuses to delete"));
        }
        self.copies.lock().expect("no panic while locked").remove(&(stored.ledger_id, stored.uid));
        Ok(())
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage, DriverError> {
        let refused = || self.error(DriverErrorKind::Failed, "scan: a token that this driver never gave");
        let after = request.after.as_deref().map(|after| place(after).ok_or_else(refused)).transpose()?;
        let copies = self.copies.lock().expect("no panic while locked");
        let mut behind = copies.range((after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded));
        let page = behind.by_ref().take(request.limit as usize);
        let ledgers: Vec<ScannedLedger> = page
            .map(|((ledger_id, uid), copy)| ScannedLedger {
                ledger_id: *ledger_id,
                uid: *uid,
                managed_ledger: None,
                size_bytes: copy.metadata.length_bytes,
            })
            .collect();
        let more = behind.next().is_some();
        let next = ledgers.last().filter(|_| more).map(|last| format!("{}/{}", last.ledger_id, last.uid));
        Ok(ScanPage { ledgers, next })
    }

    async fn health(&self) -> Result<(), DriverError> {
        Ok(())
    }

    async fn shutdown(&self, _deadline: Duration) -> Result<u64, DriverError> {
        Ok(0)
    }
}

/// The copy behind which a page begins, from the token `<ledger id>/<uid>`.
fn place(token: &str) -> Option<(LedgerId, Uuid)> {
    let (ledger_id, uid) = token.split_once('/')?;
    Some((LedgerId(ledger_id.parse().ok()?), uid.parse().ok()?))
}

struct MemoryHandle {
    copy: Copy,
    fault: Fault,
}

#[async_trait]
impl ReadHandle for MemoryHandle {
    fn metadata(&self) -> LedgerMetadata {
        self.copy.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        match self.fault {
            Fault::CorruptReads => {
                return Err(ReadError::Corrupt {
                    place: "memory".to_owned(),
                    offset: first,
                    problem: "on request".to_owned(),
                });
            }
            Fault::UnavailableReads => return Err(ReadError::Unavailable("the store cannot be reached".to_owned())),
            _ => {}
        }
        let mut sum = 0;
        let wanted = self.copy.entries.iter().filter(|entry| (first..=last).contains(&entry.entry_id));
        Ok(wanted
            .take_while(|entry| {
                sum += entry.payload.len() as u64;
                entry.entry_id == first || sum <= max_bytes
            })
            .cloned()
            .collect())
    }
}

/// Finds the one driver under the name `memory`.
pub struct MemoryDrivers(pub Arc<MemoryDriver>);

#[async_trait]
impl DriverLookup for MemoryDrivers {
    async fn driver(&self, name: &str, _settings: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        if name.eq_ignore_ascii_case("memory") {
            return Ok(self.0.clone());
        }
        Err(self.0.error(DriverErrorKind::Unclaimed, &format!("no offloader claims driver `{name}`; claimed: memory")))
    }
}
