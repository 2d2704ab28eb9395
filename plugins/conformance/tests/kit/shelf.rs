//! A sound driver over a store in memory, with one switchable fault for each thing that can be wrong with a driver. A fault
//! is a name; `faults` says which cases must notice it.

use std::collections::BTreeMap;
use std::fs::File;
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use longshore_plugin_api::read_handle::check_range;
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Entry, Error, ErrorCode, LedgerMetadata, LedgerReader, OffloadRequest, Offloader,
    OffloaderFactory, ReadHandle, Result, ScanPage, ScanRequest, ScannedLedger, StoredLedger,
};
use tokio::task::yield_now;
use uuid::Uuid;

use crate::store::{Store, frame, store, unframe};

pub(crate) const SHELF_KEY: &str = "managedLedgerOffloadExtraConfigShelf";
pub(crate) const PASSWORD_KEY: &str = "managedLedgerOffloadExtraConfigPassword";
pub(crate) const FAULT_KEY: &str = "managedLedgerOffloadExtraConfigFault";

/// Payload bytes of one read of the ledger.
const BATCH_BYTES: u64 = 64 << 10;

pub(crate) struct Factory;

/// An instance.
pub(crate) struct Shelf {
    store: Arc<Store>,
    password: String,
    fault: String,
    number: u64,
    /// Handles of some faults need it.
    alive: Arc<()>,
}

/// An open copy.
pub(crate) struct Copy {
    store: Arc<Store>,
    name: String,
    object: Bytes,
    metadata: LedgerMetadata,
    offsets: Vec<usize>,
    fault: String,
    instance: Weak<()>,
    cursor: AtomicU64,
    _file: Option<File>,
}

fn error(code: ErrorCode, text: impl Into<String>) -> Error {
    Error::new(code, text)
}

impl OffloaderFactory for Factory {
    type Offloader = Shelf;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        let fault = config.get(FAULT_KEY).unwrap_or_default();
        let Some(name) = config.get(SHELF_KEY) else { return vec![ConfigProblem::new(SHELF_KEY, "is needed")] };
        if name.contains('\0') {
            assert_ne!(fault, "panics-on-nonsense", "a name has no zero in it");
            return vec![ConfigProblem::new(SHELF_KEY, "is no name of a shelf").with_value("(hidden)")];
        }
        let store = store(name);
        match fault {
            "validate-changes-its-mind" if store.count("validate") > 5 => vec![ConfigProblem::new(SHELF_KEY, "is old")],
            "validate-writes" => {
                store.put(&format!("checked-{}", store.count("validate")), Bytes::new());
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    async fn create(config: DriverConfig) -> Result<Shelf> {
        let text = |key| config.get(key).unwrap_or_default().to_owned();
        let (fault, password) = (text(FAULT_KEY), text(PASSWORD_KEY));
        let known = [SHELF_KEY, PASSWORD_KEY, FAULT_KEY];
        if fault == "refuses-strangers-keys" && config.properties.keys().any(|key| !known.contains(&key.as_str())) {
            return Err(error(ErrorCode::InvalidConfig, "there is a key that is not known"));
        }
        let store = store(&text(SHELF_KEY));
        if fault == "one-instance-alone" && !store.mark("instance") {
            return Err(error(ErrorCode::Conflict, "there is an instance already"));
        }
        let number = store.count("instances");
        Ok(Shelf { store, password, fault, number, alive: Arc::default() })
    }
}

/// Takes a mark off again, unless it is forgotten on purpose.
struct Marked<'a>(&'a Store, String);

impl Drop for Marked<'_> {
    fn drop(&mut self) {
        self.0.unmark(&self.1);
    }
}

/// Publishes on drop: what a driver with the fault `cancel-publishes` does.
struct PublishOnDrop<'a>(&'a Store, &'a str, &'a str);

impl Drop for PublishOnDrop<'_> {
    fn drop(&mut self) {
        self.0.rename(self.1, self.2);
    }
}

impl Shelf {
    fn wrong(&self, fault: &str) -> bool {
        self.fault == fault
    }

    /// What an attempt's objects begin with.
    fn prefix(&self, managed_ledger: &str, ledger_id: u64, uid: Uuid) -> String {
        match self.fault.as_str() {
            "names-without-uid" => format!("{managed_ledger}/{ledger_id}-{}/", Uuid::nil()),
            "keeps-copies-to-itself" => format!("{managed_ledger}/{}/{ledger_id}-{uid}/", self.number),
            _ => format!("{managed_ledger}/{ledger_id}-{uid}/"),
        }
    }

    fn prefix_of(&self, stored: &StoredLedger) -> String {
        self.prefix(&stored.managed_ledger, stored.ledger_id, stored.uid)
    }

    fn refuse(&self, ledger: &LedgerMetadata, request: &OffloadRequest, prefix: &str) -> Result<()> {
        let copy = format!("{prefix}copy");
        let refused = match self.fault.as_str() {
            "refuses-single-entries" => ledger.entry_count == 1,
            "refuses-percent-signs" => request.managed_ledger.contains('%'),
            "ledger-ids-of-60-bits" => request.ledger_id >= 1 << 60,
            "refuses-extra" => !request.extra.is_empty(),
            "offloads-once" => self.store.get(&copy).is_some(),
            "remembers-deletes" => self.store.is_marked(&format!("deleted {prefix}")),
            "one-offload-at-a-time" => !self.store.marked("offload ").is_empty(),
            _ => false,
        };
        if refused { Err(error(ErrorCode::Conflict, self.fault.clone())) } else { Ok(()) }
    }

    /// What is stored for an entry.
    fn stored_bytes(&self, entry: &Entry) -> Vec<u8> {
        let mut bytes = entry.payload.to_vec();
        match self.fault.as_str() {
            "flips-a-byte" => bytes.iter_mut().skip(3).take(1).for_each(|byte| *byte ^= 1),
            "fills-empty-entries" if bytes.is_empty() => bytes.push(0),
            "cuts-large-entries" => bytes.truncate(128 << 10),
            _ => {}
        }
        bytes
    }

    async fn copy(&self, ledger: &LedgerReader, part: &str) -> Result<()> {
        let mut metadata = ledger.metadata().clone();
        if self.wrong("forgets-the-creation-time") {
            metadata.created_ms = 0;
        }
        self.store.put(part, frame(&metadata.to_bookkeeper_bytes()));
        let (mut next, count) = (0, metadata.entry_count);
        while next < count {
            let batch = match ledger.read(next, count - 1, BATCH_BYTES).await {
                Err(_) if self.wrong("takes-failures-for-the-end") => break,
                answer => answer?,
            };
            next += batch.len() as u64;
            let kept = batch.iter().filter(|entry| !self.wrong("keeps-1000-entries") || entry.entry_id < 1000);
            let frames: Vec<u8> = kept.flat_map(|entry| frame(&self.stored_bytes(entry))).collect();
            self.store.append(part, &frames);
            if !self.wrong("tells-no-progress") {
                ledger.progress(batch.iter().map(|entry| entry.payload.len() as u64).sum());
            }
            if self.wrong("reads-once") {
                break;
            }
            yield_now().await;
        }
        if self.wrong("one-offload-at-a-time") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    async fn finish(&self, part: &str, copy: &str) -> Result<()> {
        if self.wrong("keeps-the-first") && self.store.get(copy).is_some() {
            self.store.delete(part);
        } else if part != copy && !self.store.rename(part, copy) {
            return Err(error(ErrorCode::Conflict, "the attempt was deleted, or finished, meanwhile"));
        }
        Ok(())
    }

    fn missing(&self, stored: &StoredLedger) -> Error {
        let text = format!("no copy of ledger {} as {}", stored.ledger_id, stored.uid);
        match self.fault.as_str() {
            "missing-is-unavailable" => error(ErrorCode::Unavailable, text),
            "errors-tell-secrets" => error(ErrorCode::NotFound, format!("{text} with password {}", self.password)),
            _ => error(ErrorCode::NotFound, text),
        }
    }

    fn object(&self, name: &str) -> Option<Bytes> {
        let kept = || self.store.get(&format!("kept/{name}")).filter(|_| self.wrong("opens-what-is-gone"));
        self.store.get(name).or_else(kept)
    }
}

impl Offloader for Shelf {
    type ReadHandle = Copy;

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        let shelf = match self.fault.as_str() {
            "metadata-wanders" => format!("shelf-{}", self.store.count("metadata")),
            _ => "shelf".to_owned(),
        };
        [("shelf".to_owned(), shelf)].into()
    }

    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        let refused = ledger.metadata().ensure_offloadable();
        let empty = ledger.metadata().entry_count == 0;
        match self.fault.as_str() {
            "takes-empty-ledgers" if empty => {}
            "takes-open-ledgers" if !empty => {}
            _ => refused?,
        }
        let prefix = self.prefix(&request.managed_ledger, request.ledger_id, request.uid);
        self.refuse(ledger.metadata(), &request, &prefix)?;
        let running = format!("running {prefix}");
        let leaks_lock = self.wrong("failures-leave-a-lock") || self.wrong("cancel-leaves-a-lock");
        if leaks_lock && !self.store.mark(&running) {
            return Err(error(ErrorCode::Conflict, "another attempt holds the lock"));
        }
        let offload = format!("offload {prefix}");
        self.store.mark(&offload);
        let _offload = Marked(&self.store, offload);
        let copy = format!("{prefix}copy");
        let part = match self.fault.as_str() {
            "writes-in-place" => copy.clone(),
            "shares-its-part" => format!("{prefix}part"),
            _ => format!("{prefix}part-{}", self.store.count("parts")),
        };
        if self.wrong("delete-leaves-the-index") {
            self.store.put(&format!("index/{}", request.uid), Bytes::from_static(b"index"));
        }
        let scratch = format!("scratch/{}", request.uid);
        if self.wrong("cancel-leaves-scratch") {
            self.store.put(&scratch, Bytes::new());
        }
        let publisher = self.wrong("cancel-publishes").then(|| PublishOnDrop(&self.store, &part, &copy));
        let copied = self.copy(&ledger, &part).await;
        if self.wrong("cancel-leaves-a-lock") || copied.is_ok() {
            self.store.unmark(&running);
        }
        self.store.delete(&scratch);
        copied?;
        if let Some(publisher) = publisher {
            drop(publisher);
        } else {
            self.finish(&part, &copy).await?;
        }
        if self.wrong("opens-what-is-gone") {
            self.store.put(&format!("kept/{copy}"), self.store.get(&copy).unwrap_or_default());
        }
        self.store.mark(&format!("listed {copy}"));
        Ok(())
    }

    async fn open_read(&self, stored: StoredLedger) -> Result<Copy> {
        let name = format!("{}copy", self.prefix_of(&stored));
        if self.wrong("open-leaves-a-lock") && !self.store.mark("opening") {
            return Err(error(ErrorCode::Unavailable, "another open runs"));
        }
        yield_now().await;
        self.store.unmark("opening");
        let object = self.object(&name).ok_or_else(|| self.missing(&stored))?;
        if self.wrong("one-handle-alone") && !self.store.mark(&format!("open {name}")) {
            return Err(error(ErrorCode::Conflict, "it is open already"));
        }
        let _file = self.wrong("leaks-files").then(|| {
            let leak = || Box::leak(Box::new(File::open("/dev/null").unwrap())).try_clone().unwrap();
            leak()
        });
        self.parse(stored, name, object, _file)
    }

    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        let prefix = self.prefix_of(&stored);
        let parts = self.store.names().iter().filter(|name| name.starts_with(&prefix)).count();
        let copy = self.store.get(&format!("{prefix}copy"));
        let deleting = format!("deleting {prefix}");
        match self.fault.as_str() {
            "delete-does-nothing" => return Ok(()),
            "delete-of-nothing-fails" if parts == 0 => return Err(error(ErrorCode::NotFound, "nothing to delete")),
            "delete-needs-a-copy" if parts > 0 && copy.is_none() => {
                return Err(error(ErrorCode::NotFound, "no copy to delete"));
            }
            "deletes-collide" | "delete-leaves-a-lock" if !self.store.mark(&deleting) => {
                return Err(error(ErrorCode::Conflict, "another delete runs"));
            }
            "delete-by-beginning" => {
                let beginning = prefix.split_once('-').map_or(prefix.as_str(), |(beginning, _)| beginning);
                self.store.delete_all(beginning);
            }
            _ => {}
        }
        let _deleting = self.wrong("deletes-collide").then(|| Marked(&self.store, deleting.clone()));
        yield_now().await;
        if self.wrong("deletes-collide") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        self.store.delete_all(&prefix);
        self.store.unmark(&deleting);
        if !self.wrong("scan-remembers") {
            self.store.unmark(&format!("listed {prefix}copy"));
        }
        self.store.mark(&format!("deleted {prefix}"));
        Ok(())
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        if self.wrong("scan-leaves-a-lock") && !self.store.mark("scan") {
            return Err(error(ErrorCode::Unavailable, "another scan runs"));
        }
        yield_now().await;
        self.store.unmark("scan");
        let mut names = self.store.names();
        if self.wrong("scan-remembers") {
            names.extend(self.store.marked("listed "));
            names.sort_unstable();
            names.dedup();
        }
        if let Some(after) = &request.after
            && self.wrong("scan-needs-its-last")
            && !names.contains(after)
        {
            return Ok(ScanPage::default());
        }
        let mut page = ScanPage::default();
        for name in names.iter().filter(|name| request.after.as_ref().is_none_or(|after| *name > after)) {
            let Some(row) = self.row(name)? else { continue };
            if page.ledgers.len() == request.limit as usize {
                page.next = page.next.filter(|_| !self.wrong("scan-ends-after-a-page"));
                return Ok(page);
            }
            page.ledgers.push(row);
            page.next = Some(name.clone());
        }
        page.next = None;
        Ok(page)
    }

    async fn health(&self) -> Result<()> {
        match self.fault.as_str() {
            "is-unwell-later" if self.store.count("health") > 3 => Err(error(ErrorCode::Unavailable, "is unwell")),
            "health-leaves-something" => {
                self.store.put("health", Bytes::new());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn shutdown(&self, _deadline: Duration) {
        match self.fault.as_str() {
            "shutdown-hangs" => pending().await,
            "shutdown-clears" => self.store.delete_all(""),
            _ => {}
        }
    }
}

impl Shelf {
    fn parse(&self, stored: StoredLedger, name: String, object: Bytes, _file: Option<File>) -> Result<Copy> {
        let (checked, lenient) = (!self.wrong("checks-nothing"), self.wrong("shorter-is-fine"));
        let unnamed = |e: Error| match self.fault.as_str() {
            "damage-without-a-name" => error(e.code(), "it is damaged"),
            _ => e,
        };
        let (metadata, mut next) = unframe(&name, &object, 0, checked).map_err(unnamed)?;
        let mut metadata = LedgerMetadata::from_bookkeeper_bytes(stored.ledger_id, &metadata)?;
        let mut offsets = Vec::new();
        for _ in 0..metadata.entry_count {
            match unframe(&name, &object, next, checked) {
                Ok((_, end)) => offsets.push(std::mem::replace(&mut next, end)),
                Err(_) if lenient => break,
                Err(error) => return Err(unnamed(error)),
            }
        }
        if lenient {
            metadata.entry_count = offsets.len() as u64;
        }
        let (store, fault, instance) = (Arc::clone(&self.store), self.fault.clone(), Arc::downgrade(&self.alive));
        let cursor = AtomicU64::new(0);
        Ok(Copy { store, name, object, metadata, offsets, fault, instance, cursor, _file })
    }

    /// What an object is in a listing; nothing where it is no copy.
    fn row(&self, name: &str) -> Result<Option<ScannedLedger>> {
        let stranger = || match self.fault.as_str() {
            "scan-falls-over-strangers" => Err(error(ErrorCode::Corrupt, format!("{name} is no copy"))),
            _ => Ok(None),
        };
        let mut parts = name.rsplitn(3, '/');
        let (Some(file), Some(attempt), Some(managed_ledger)) = (parts.next(), parts.next(), parts.next()) else {
            return stranger();
        };
        let Some((ledger_id, uid)) = attempt.split_once('-') else { return stranger() };
        let (Ok(ledger_id), Ok(uid)) = (ledger_id.parse(), Uuid::try_parse(uid)) else { return stranger() };
        if file != "copy" && !(self.wrong("scan-lists-parts") && file.starts_with("part")) {
            return Ok(None);
        }
        let managed_ledger = match self.fault.as_str() {
            "scan-names-wrongly" => managed_ledger.to_uppercase(),
            _ => managed_ledger.to_owned(),
        };
        let size_bytes = match self.fault.as_str() {
            "scan-without-sizes" => 0,
            _ => self.store.get(name).map_or(0, |bytes| bytes.len() as u64),
        };
        Ok(Some(ScannedLedger { ledger_id, uid, managed_ledger: Some(managed_ledger), size_bytes }))
    }
}

impl Copy {
    fn wrong(&self, fault: &str) -> bool {
        self.fault == fault
    }

    /// Faults of a handle that say no.
    fn refuse(&self, first: u64, last: u64) -> Result<()> {
        let gone = self.store.get(&self.name).is_none();
        let refused = match self.fault.as_str() {
            "deleted-is-unavailable" => gone,
            "handle-needs-its-instance" => self.instance.strong_count() == 0,
            "reads-forwards-only" => self.cursor.fetch_max(last, Ordering::Relaxed) > first,
            "close-closes-all" => self.store.is_marked(&format!("closed {}", self.name)),
            "reads-fail-beside-offloads" => !self.store.marked("offload ").is_empty(),
            _ => false,
        };
        if refused { Err(error(ErrorCode::Unavailable, self.fault.clone())) } else { Ok(()) }
    }

    /// Whether the read has all the bytes that it wants.
    fn is_full(&self, bytes: u64, max_bytes: u64) -> bool {
        match self.fault.as_str() {
            "max-bytes-exclusive" => bytes >= max_bytes,
            "max-bytes-signed" => bytes as i64 > max_bytes as i64,
            _ => bytes > max_bytes,
        }
    }
}

impl ReadHandle for Copy {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        let end = self.metadata.entry_count;
        let mut last = last;
        match self.fault.as_str() {
            "backwards-is-nothing" if first > last => return Ok(Vec::new()),
            "beyond-is-cut" if last >= end => last = end - 1,
            "single-reads-go-on" if first == last => last = end - 1,
            _ => {}
        }
        check_range(&self.metadata, first, last)?;
        self.refuse(first, last)?;
        let busy = format!("busy {}", self.name);
        if self.wrong("read-leaves-a-lock") && !self.store.mark(&busy) {
            return Err(error(ErrorCode::Unavailable, "another read runs"));
        }
        self.cursor.store(first, Ordering::Relaxed);
        yield_now().await;
        self.store.unmark(&busy);
        let first = if self.wrong("shares-its-place") { self.cursor.load(Ordering::Relaxed) } else { first };
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry_id in first..=last {
            let (payload, _) = unframe(&self.name, &self.object, self.offsets[entry_id as usize], false)?;
            bytes += payload.len() as u64;
            let enough = self.wrong("answers-50-entries") && entries.len() == 50;
            if entry_id > first && (enough || self.is_full(bytes, max_bytes)) {
                break;
            }
            entries.push(Entry { entry_id, payload });
        }
        if self.wrong("leaves-out-the-last") && entries.len() > 1 && entries.len() as u64 == last - first + 1 {
            entries.pop();
        }
        Ok(entries)
    }

    async fn close(&self) {
        if self.wrong("close-closes-all") {
            self.store.mark(&format!("closed {}", self.name));
        }
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.store.unmark(&format!("open {}", self.name));
    }
}
