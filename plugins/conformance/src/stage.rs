//! What a case works with: an instance of the driver, made-up ledgers, and a list of everything that it may have left in the
//! store, so that the run can take it away however the case ends.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use longshore_plugin_api::{
    Error, ErrorCode, LedgerReader, OffloadRequest, Result, ScanRequest, ScannedLedger, StoredLedger,
};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::case::{During, Failure, Verdict, ensure};
use crate::model::{self, Model, Source};
use crate::probe::StoreProbe;
use crate::profile::Profile;
use crate::subject::{Bench, OpenCopy, Subject};

/// Payload bytes of one read where a whole copy is compared.
const READ_BYTES: u64 = 1 << 20;
/// Pages after which a listing counts as endless.
const PAGES_MAX: usize = 1_000_000;

/// The stage of one case.
pub(crate) struct Stage {
    pub(crate) bench: Arc<dyn Bench>,
    pub(crate) subject: Arc<dyn Subject>,
    pub(crate) profile: Profile,
    pub(crate) probe: Option<Arc<dyn StoreProbe>>,
    /// `tenant/namespace/persistent` of this run's ledgers.
    pub(crate) namespace: String,
    /// Decides everything that is random, but for uids.
    pub(crate) seed: u64,
    pub(crate) next_ledger_id: Arc<AtomicU64>,
    attempts: Mutex<Vec<StoredLedger>>,
}

impl Stage {
    pub(crate) fn new(
        bench: &Arc<dyn Bench>,
        subject: &Arc<dyn Subject>,
        probe: Option<&Arc<dyn StoreProbe>>,
        profile: Profile,
        namespace: &str,
        seed: u64,
        next_ledger_id: &Arc<AtomicU64>,
    ) -> Self {
        Self {
            bench: Arc::clone(bench),
            subject: Arc::clone(subject),
            profile,
            probe: probe.cloned(),
            namespace: namespace.to_owned(),
            seed,
            next_ledger_id: Arc::clone(next_ledger_id),
            attempts: Mutex::default(),
        }
    }

    /// The same numbers for the same seed and case.
    pub(crate) fn random(&self) -> fastrand::Rng {
        fastrand::Rng::with_seed(self.seed)
    }

    pub(crate) fn ledger_id(&self) -> u64 {
        self.next_ledger_id.fetch_add(1, Ordering::Relaxed)
    }

    /// A ledger of this run's topic.
    pub(crate) fn ledger(&self, payloads: Vec<Bytes>) -> Model {
        Model::new(self.ledger_id(), &self.topic("orders"), payloads)
    }

    pub(crate) fn topic(&self, encoded: &str) -> String {
        format!("{}/{encoded}", self.namespace)
    }

    /// A ledger of a few entries of mixed sizes, never all of them empty.
    pub(crate) fn small_ledger(&self, random: &mut fastrand::Rng) -> Model {
        let count = random.usize(3..12);
        let mut payloads = model::payloads(random, count, 600);
        payloads.push(model::payload(random, 100));
        self.ledger(payloads)
    }

    /// A new attempt at `ledger`, which the run will clean up.
    pub(crate) fn attempt(&self, ledger: &Model) -> Attempt {
        self.attempt_as(ledger, Uuid::new_v4())
    }

    pub(crate) fn attempt_as(&self, ledger: &Model, uid: Uuid) -> Attempt {
        let name = ledger.metadata.custom.iter().find(|(key, _)| key == "pulsar/managed-ledger");
        let managed_ledger = name.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).unwrap_or_default();
        let stored = StoredLedger {
            ledger_id: ledger.metadata.ledger_id,
            uid,
            managed_ledger,
            driver_metadata: self.subject.driver_metadata(),
        };
        self.lock_attempts().push(stored.clone());
        Attempt { subject: Arc::clone(&self.subject), model: ledger.clone(), stored }
    }

    /// A small ledger, copied.
    pub(crate) async fn small_copy(&self, random: &mut fastrand::Rng) -> Verdict<Attempt> {
        let copy = self.attempt(&self.small_ledger(random));
        copy.offload().await?;
        Ok(copy)
    }

    /// A ledger of these payloads, copied.
    pub(crate) async fn copy(&self, payloads: Vec<Bytes>) -> Verdict<Attempt> {
        let copy = self.attempt(&self.ledger(payloads));
        copy.offload().await?;
        Ok(copy)
    }

    /// Another instance with the same configuration.
    pub(crate) async fn fresh(&self) -> Verdict<Arc<dyn Subject>> {
        self.bench.create(self.bench.config().clone()).await.during("make another instance with the same configuration")
    }

    /// Every attempt that was given out.
    pub(crate) fn attempts(&self) -> Vec<StoredLedger> {
        self.lock_attempts().clone()
    }

    fn lock_attempts(&self) -> MutexGuard<'_, Vec<StoredLedger>> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The whole listing in pages of `limit`, in its order, without what is not of this case.
    pub(crate) async fn scan(&self, limit: u32) -> Verdict<Vec<ScannedLedger>> {
        self.scan_with(limit, |_| {}).await
    }

    /// The same; `between` is called with what was found after each page that is not the last.
    pub(crate) async fn scan_with(
        &self,
        limit: u32,
        mut between: impl FnMut(&[ScannedLedger]),
    ) -> Verdict<Vec<ScannedLedger>> {
        let ours: HashSet<Uuid> = self.lock_attempts().iter().map(|stored| stored.uid).collect();
        let (mut found, mut after) = (Vec::new(), None);
        for _ in 0..PAGES_MAX {
            let page = self.subject.scan(ScanRequest { after: after.clone(), limit }).await.during("scan")?;
            let len = page.ledgers.len();
            ensure!(len <= limit as usize, "scan: a page has {len} ledgers where {limit} were asked for");
            found.extend(page.ledgers.into_iter().filter(|ledger| ours.contains(&ledger.uid)));
            ensure!(page.next.is_none() || page.next != after, "scan: a page leads to itself, `next` is {after:?}");
            let Some(next) = page.next else { return Ok(found) };
            after = Some(next);
            between(&found);
        }
        Err(Failure(format!("scan: no end after {PAGES_MAX} pages")))
    }

    /// The probe; present where a case asked for it.
    pub(crate) fn probe(&self) -> Verdict<&dyn StoreProbe> {
        self.probe.as_deref().ok_or_else(|| Failure("the case needs a probe and did not say so".to_owned()))
    }

    /// The names of all objects of the store.
    pub(crate) fn objects(&self) -> Verdict<Vec<String>> {
        let probe = self.probe()?;
        block_in_place(|| probe.objects()).map_err(probe_failed("list the store"))
    }
}

pub(crate) fn probe_failed(what: &str) -> impl FnOnce(std::io::Error) -> Failure {
    move |error| Failure(format!("the probe failed: {what}: {error}"))
}

/// One attempt to copy a ledger, complete or not, through one instance.
#[derive(Clone)]
pub(crate) struct Attempt {
    pub(crate) subject: Arc<dyn Subject>,
    pub(crate) model: Model,
    pub(crate) stored: StoredLedger,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ledger {} as {}", self.stored.ledger_id, self.stored.uid)
    }
}

impl Attempt {
    /// The same attempt through another instance.
    pub(crate) fn through(&self, subject: &Arc<dyn Subject>) -> Self {
        Self { subject: Arc::clone(subject), ..self.clone() }
    }

    /// The same attempt with other entries.
    pub(crate) fn with_payloads(&self, payloads: Vec<Bytes>) -> Self {
        let model = Model::new(self.stored.ledger_id, &self.stored.managed_ledger, payloads);
        Self { model, ..self.clone() }
    }

    pub(crate) fn request(&self) -> OffloadRequest {
        OffloadRequest {
            ledger_id: self.stored.ledger_id,
            uid: self.stored.uid,
            managed_ledger: self.stored.managed_ledger.clone(),
            extra: BTreeMap::new(),
        }
    }

    /// Copies from a source that behaves.
    pub(crate) async fn offload(&self) -> Verdict {
        self.try_offload(Arc::new(Source::new(&self.model)).lend()).await.during(format_args!("offload {self}"))
    }

    pub(crate) async fn try_offload(&self, ledger: LedgerReader) -> Result<()> {
        self.subject.offload(ledger, self.request()).await
    }

    pub(crate) async fn try_open(&self) -> Result<Arc<dyn OpenCopy>> {
        self.subject.open_read(self.stored.clone()).await
    }

    pub(crate) async fn open(&self) -> Verdict<Arc<dyn OpenCopy>> {
        self.try_open().await.during(format_args!("open {self}"))
    }

    pub(crate) async fn delete(&self) -> Verdict {
        self.subject.delete(self.stored.clone()).await.during(format_args!("delete {self}"))
    }

    /// One read, compared with the model.
    pub(crate) async fn read(&self, copy: &dyn OpenCopy, first: u64, last: u64, max_bytes: u64) -> Verdict {
        let found = copy.read(first, last, max_bytes).await;
        let found = found.during(format_args!("read {first}..={last}, at most {max_bytes} bytes, of {self}"))?;
        self.model.check(first, last, max_bytes, &found)
    }

    /// Opens the copy and compares every entry.
    pub(crate) async fn check(&self) -> Verdict {
        self.check_open(&*self.open().await?).await
    }

    /// Compares every entry of an open copy.
    pub(crate) async fn check_open(&self, copy: &dyn OpenCopy) -> Verdict {
        let (count, wanted) = (copy.metadata().entry_count, self.model.count());
        ensure!(count == wanted, "{self}: its metadata says {count} entries, {wanted} were offloaded");
        let mut next = 0;
        while next < wanted {
            let found = copy.read(next, wanted - 1, READ_BYTES).await;
            let found = found.during(format_args!("read {next}..={} of {self}", wanted - 1))?;
            self.model.check(next, wanted - 1, READ_BYTES, &found)?;
            next += found.len() as u64;
        }
        Ok(())
    }

    /// Fails unless opening it says `NotFound`.
    pub(crate) async fn must_be_missing(&self, when: &str) -> Verdict {
        match self.try_open().await {
            Ok(_) => Err(Failure(format!("{self} can be opened {when}"))),
            Err(error) => must_be(&error, &[ErrorCode::NotFound], format_args!("open {self} {when}")),
        }
    }
}

/// Fails unless the error has one of these codes.
pub(crate) fn must_be(error: &Error, allowed: &[ErrorCode], what: impl fmt::Display) -> Verdict {
    let (code, text) = (error.code(), error);
    ensure!(allowed.contains(&code), "{what}: the error has code {code} where {allowed:?} belongs: {text}");
    Ok(())
}

/// Fails unless there is an error with one of these codes.
pub(crate) fn must_fail<T>(answer: Result<T>, allowed: &[ErrorCode], what: impl fmt::Display) -> Verdict {
    match answer {
        Ok(_) => Err(Failure(format!("{what}: succeeded where an error {allowed:?} belongs"))),
        Err(error) => must_be(&error, allowed, what),
    }
}
