//! The hot store as its callers see it: the list of ledgers, and the ways to the commit thread and to the files.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::thread::{self, JoinHandle};

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::LedgerStoreSettings;
use super::checkpoint;
use super::commit::{Committer, Request};
use super::disk::{Disk, LedgerStoreCounters, remove_if_there};
use super::format::{NAME_BYTES_MAX, SegmentHeader};
use super::journal::{CheckpointThread, Journal};
use super::layout::Layout;
use super::offsets::Offsets;
use super::reader::{LedgerHandle, Readers};
use super::recovery::{Recovered, RecoveryReport, recover};
use super::segment::{Segment, State, store_error};
use crate::storage::{LedgerId, LedgerStore, LedgerSummary, ReadError, ReadHandle, StoreError};

/// The hot store in one folder.
///
/// `append` neither waits nor touches the disk. [`close`](Self::close) ends it in order; dropping it waits for the group in
/// hand and leaves the rest as a crash would.
pub struct FileLedgerStore {
    shared: Arc<Shared>,
    requests: Sender<Request>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    /// Keeps a second process out for as long as it is open.
    _lock: File,
}

/// What all threads of one store share.
pub(super) struct Shared {
    /// Which file is where.
    pub(super) layout: Layout,
    /// The way to the disk.
    pub(super) disk: Arc<Disk>,
    readers: Arc<Readers>,
    slots: RwLock<BTreeMap<LedgerId, Slot>>,
}

/// What is known of a ledger without looking at its file.
pub(super) enum Slot {
    /// Not sealed.
    Open(Arc<Segment>),
    /// Sealed; the file says the rest.
    Sealed,
}

impl Shared {
    fn slots(&self) -> RwLockReadGuard<'_, BTreeMap<LedgerId, Slot>> {
        self.slots.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a ledger known, or known as what it became.
    pub(super) fn insert(&self, ledger_id: LedgerId, slot: Slot) {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).insert(ledger_id, slot);
    }

    fn remove(&self, ledger_id: LedgerId) -> Option<Slot> {
        self.slots.write().unwrap_or_else(PoisonError::into_inner).remove(&ledger_id)
    }

    /// `Ok(Some)` for an open ledger, `Ok(None)` for a sealed one.
    fn find(&self, ledger_id: LedgerId) -> Result<Option<Arc<Segment>>, ReadError> {
        match self.slots().get(&ledger_id) {
            Some(Slot::Open(segment)) => Ok(Some(segment.clone())),
            Some(Slot::Sealed) => Ok(None),
            None => {
                let path = self.layout.sealed_path(ledger_id);
                Err(ReadError::NotFound(format!("ledger {ledger_id} is not in the hot store: no {}", path.display())))
            }
        }
    }

    /// Makes the file of a new ledger, with its header.
    fn make_file(&self, header: SegmentHeader) -> Result<Segment, StoreError> {
        let path = self.layout.open_path(header.ledger_id);
        let make = || {
            self.make_folder(&self.layout.folder(header.ledger_id))?;
            let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
            let written = self.disk.write_bytes_at(&file, &path, &header.encode(), 0);
            if written.is_err() {
                remove_if_there(&path)?;
            }
            written.map(|()| file)
        };
        let file = make().map_err(|e| store_error("make ledger", &path, &e))?;
        let offsets = Offsets::with_capacity(header.len_bytes(), 0);
        Ok(Segment::new(header, &self.layout, State::Open { file: Arc::new(file), offsets }))
    }

    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        match fs::create_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.and_then(|()| self.disk.flush_folder(self.layout.root())),
        }
    }

    /// Removes the file under whichever name it has; a seal renames it from the first to the second.
    fn remove_file(&self, ledger_id: LedgerId) -> Result<(), StoreError> {
        for path in [self.layout.open_path(ledger_id), self.layout.sealed_path(ledger_id)] {
            remove_if_there(&path).map_err(|e| store_error("remove", &path, &e))?;
        }
        if let Some(Slot::Open(segment)) = self.remove(ledger_id) {
            segment.become_deleted();
        }
        self.readers.forget(ledger_id);
        Ok(())
    }

    fn seal(&self, segment: &Segment) -> Result<LedgerSummary, StoreError> {
        let (summary, offsets) = segment.seal(&self.disk)?;
        if let Some(offsets) = offsets {
            self.readers.keep_index(segment.ledger_id(), offsets);
            self.insert(segment.ledger_id(), Slot::Sealed);
        }
        Ok(summary)
    }
}

impl FileLedgerStore {
    /// Opens the store in `folder`, which is made if it is missing, and recovers it.
    ///
    /// # Errors
    /// The folder is used by another process, or something in it cannot be read or written; the text names it.
    pub async fn open(folder: &Path, settings: LedgerStoreSettings) -> Result<(Self, RecoveryReport), StoreError> {
        let folder = folder.to_owned();
        blocking(move || Self::open_blocking(folder, settings)).await?
    }

    fn open_blocking(folder: PathBuf, settings: LedgerStoreSettings) -> Result<(Self, RecoveryReport), StoreError> {
        let layout = Layout::new(&folder);
        fs::create_dir_all(layout.journal_folder()).map_err(|e| store_error("make folder", &folder, &e))?;
        let lock = lock(&layout)?;
        let disk = Arc::new(Disk::default());
        let Recovered { sealed, open, report, next_journal, spares } =
            recover(&layout, &disk, settings.journal_bytes_max / 2)?;
        let open = open.into_iter().map(|segment| (segment.ledger_id(), Slot::Open(segment)));
        let slots = sealed.into_iter().map(|id| (id, Slot::Sealed)).chain(open).collect();
        let readers = Arc::new(Readers::new(layout.clone(), &settings));
        let shared = Arc::new(Shared { layout, disk, readers, slots: RwLock::new(slots) });
        let (requests, threads) = start(&shared, settings, next_journal, spares)?;
        Ok((Self { shared, requests, threads: Mutex::new(threads), _lock: lock }, report))
    }

    /// Finishes what is queued, puts everything on disk, drops the journal and ends the threads. Later calls are refused.
    ///
    /// # Errors
    /// `WriteFailed` where something could not be flushed; the log says what. The next start recovers it.
    pub async fn close(&self) -> Result<(), StoreError> {
        let (answer, answered) = oneshot::channel();
        self.send(Request::Stop { answer: Some(answer) })?;
        let flushed = answered.await.map_err(|_| stopped())?;
        let threads = self.take_threads();
        blocking(move || join(threads)).await?;
        let incomplete = || StoreError::WriteFailed("some ledgers could not be flushed; the log names them".to_owned());
        flushed.then_some(()).ok_or_else(incomplete)
    }

    /// What the store did since it was opened.
    pub fn counters(&self) -> LedgerStoreCounters {
        self.shared.disk.counters()
    }

    fn send(&self, request: Request) -> Result<(), StoreError> {
        self.requests.send(request).map_err(|_| stopped())
    }

    fn take_threads(&self) -> Vec<JoinHandle<()>> {
        std::mem::take(&mut *self.threads.lock().unwrap_or_else(PoisonError::into_inner))
    }

    #[cfg(test)]
    pub(super) fn disk(&self) -> &Disk {
        &self.shared.disk
    }
}

impl Drop for FileLedgerStore {
    fn drop(&mut self) {
        let _ = self.requests.send(Request::Stop { answer: None });
        join(self.take_threads());
    }
}

#[async_trait]
impl LedgerStore for FileLedgerStore {
    async fn create(&self, ledger_id: LedgerId, managed_ledger: &str, created_ms: u64) -> Result<(), StoreError> {
        if managed_ledger.len() > NAME_BYTES_MAX {
            let bytes = managed_ledger.len();
            return Err(StoreError::WriteFailed(format!(
                "the managed ledger's name has {bytes} bytes, at most {NAME_BYTES_MAX} fit a ledger's header"
            )));
        }
        let header = SegmentHeader { ledger_id, created_ms, managed_ledger: managed_ledger.to_owned() };
        let (shared, requests) = (self.shared.clone(), self.requests.clone());
        // File and request in one step, so that a caller who stops waiting leaves no file that nobody knows.
        let answered = blocking(move || {
            if shared.find(ledger_id).is_ok() {
                return Err(StoreError::WriteFailed(format!("ledger {ledger_id} exists already")));
            }
            let segment = Arc::new(shared.make_file(header)?);
            let (answer, answered) = oneshot::channel();
            let sent = requests.send(Request::Create { segment: segment.clone(), answer });
            sent.map(|()| (segment, answered)).map_err(|_| stopped())
        });
        let (segment, answered) = answered.await??;
        let outcome = answered.await.unwrap_or_else(|_| Err(stopped()));
        if outcome.is_err() {
            let path = segment.open_path().to_owned();
            // What stays is removed by the next start, or is an empty ledger there.
            let _ = blocking(move || remove_if_there(&path)).await?;
        }
        outcome
    }

    fn append(&self, ledger_id: LedgerId, entry_id: u64, payload: Bytes) -> oneshot::Receiver<Result<(), StoreError>> {
        let (answer, answered) = oneshot::channel();
        // A store that has stopped drops the request and with it the sender, which tells the caller.
        let _ = self.requests.send(Request::Append { ledger_id, entry_id, payload, answer });
        answered
    }

    async fn seal(&self, ledger_id: LedgerId) -> Result<LedgerSummary, StoreError> {
        let Some(segment) = self.shared.find(ledger_id).map_err(|_| StoreError::NotOpen(ledger_id))? else {
            let readers = self.shared.readers.clone();
            return Ok(blocking(move || readers.open_sealed(ledger_id)).await??.summary());
        };
        let (answer, answered) = oneshot::channel();
        self.send(Request::Retire { ledger_id, answer })?;
        answered.await.map_err(|_| stopped())??;
        let shared = self.shared.clone();
        blocking(move || shared.seal(&segment)).await?
    }

    async fn open(&self, ledger_id: LedgerId) -> Result<Arc<dyn ReadHandle>, ReadError> {
        let readers = self.shared.readers.clone();
        let segment = match self.shared.find(ledger_id)? {
            Some(segment) => segment,
            None => {
                let readers = readers.clone();
                let opened = tokio::task::spawn_blocking(move || readers.open_sealed(ledger_id)).await;
                let stopped = |e| ReadError::Failed(format!("the reading thread stopped: {e}"));
                Arc::new(opened.map_err(stopped)??)
            }
        };
        Ok(Arc::new(LedgerHandle { segment, readers }))
    }

    async fn delete(&self, ledger_id: LedgerId) -> Result<(), StoreError> {
        let (shared, requests) = (self.shared.clone(), self.requests.clone());
        // The file goes first: once the journal says so, a checkpoint may flush the folder and forget it.
        let answered = blocking(move || {
            shared.remove_file(ledger_id)?;
            let (answer, answered) = oneshot::channel();
            requests.send(Request::Delete { ledger_id, answer }).map(|()| answered).map_err(|_| stopped())
        });
        answered.await??.await.unwrap_or_else(|_| Err(stopped()))
    }

    fn ledgers(&self) -> Vec<LedgerId> {
        self.shared.slots().keys().copied().collect()
    }
}

fn start(
    shared: &Arc<Shared>,
    settings: LedgerStoreSettings,
    next_journal: u64,
    spares: Vec<PathBuf>,
) -> Result<(Sender<Request>, Vec<JoinHandle<()>>), StoreError> {
    let (requests, received) = channel();
    let (to_checkpoint, jobs) = channel();
    let (done, from_checkpoint) = channel();
    let (layout, disk) = (shared.layout.clone(), shared.disk.clone());
    let thread = CheckpointThread { jobs: to_checkpoint, done: from_checkpoint };
    let bytes_max = settings.journal_bytes_max;
    let journal = Journal::new(layout.clone(), disk.clone(), bytes_max, next_journal, spares, thread);
    let committer = Committer::new(shared.clone(), settings, received, journal);
    let commit = spawn("ledger-commit", move || committer.run())?;
    let checkpoint = spawn("ledger-checkpoint", move || checkpoint::run(&disk, &layout, &jobs, &done))?;
    Ok((requests, vec![commit, checkpoint]))
}

fn spawn(name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|e| StoreError::WriteFailed(format!("start thread {name}: {e}")))
}

fn join(threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        if thread.join().is_err() {
            tracing::error!("a thread of the hot store panicked");
        }
    }
}

fn lock(layout: &Layout) -> Result<File, StoreError> {
    let path = layout.lock_path();
    let open = OpenOptions::new().write(true).create(true).truncate(false).open(&path);
    let file = open.map_err(|e| store_error("open", &path, &e))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = layout.root().display();
            Err(StoreError::WriteFailed(format!(
                "the ledgers in {folder} are used by another process; stop it or choose another data folder"
            )))
        }
        Err(TryLockError::Error(error)) => Err(store_error("lock", &path, &error)),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, StoreError> {
    let work = tokio::task::spawn_blocking(work).await;
    work.map_err(|e| StoreError::WriteFailed(format!("a thread of the hot store stopped: {e}")))
}

fn stopped() -> StoreError {
    StoreError::WriteFailed("the hot store has stopped".to_owned())
}
