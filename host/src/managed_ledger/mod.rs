//! Managed ledgers: a topic's ordered list of ledgers, its cursors, and where each ledger's copies are.
//!
//! Owns the records under `managed-ledgers/`, `cursors/` and `cold-removals/`, and decides which ledgers exist in the
//! hot store. A new ledger's file exists before the record names it; a file leaves after the record let it go. A crash in
//! between leaves a file that no record names, which [`ManagedLedgers::open`] removes at the next start.
//!
//! It does not know the offload engine: it announces closed ledgers on a channel that it was given, and offers the moves
//! of [`offload_context`] as compare-and-set writes.
//!
//! Where to start: [`append`] for the way of an entry in, [`read`] for the way out, [`open`] for what
//! happens at load and after a crash, [`removal`] for what leaves.

pub mod adopt;
pub mod append;
pub mod cache;
pub mod cursor;
pub mod error;
pub mod factory;
pub mod figures;
pub mod keys;
pub mod ledgers;
pub mod moves;
pub mod offload_context;
pub mod open;
pub mod position;
pub mod ranges;
pub mod read;
mod read_ahead;
pub mod records;
pub mod removal;
pub mod rollover;
pub mod settings;
pub mod trim;
mod under_way;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{Notify, mpsc, watch};

pub use cursor::{Cursor, CursorSnapshot};
pub use error::{AppendError, ManagedLedgerError};
pub use factory::ManagedLedgers;
pub use ledgers::{LedgerInfo, Ledgers};
pub use position::{Position, WirePosition};
pub use settings::{ManagedLedgerSettings, OffloadPolicy};

use append::Work;
use cache::{CacheBudget, EntryCache};
use rollover::OpenCounters;

use crate::metadata::MetadataStore;
use crate::storage::{Clock, DriverLookup, LedgerId, LedgerStore};

/// What every managed ledger works with.
pub struct Rooms {
    /// The hot store.
    pub store: Arc<dyn LedgerStore>,
    /// The records.
    pub metadata: Arc<dyn MetadataStore>,
    /// Drivers for cold copies.
    pub drivers: Arc<dyn DriverLookup>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Ids for new ledgers.
    pub ids: factory::LedgerIds,
    /// The budget of all entry caches.
    pub cache_budget: Arc<CacheBudget>,
    /// Where closed ledgers are announced: the managed ledger's name.
    pub closed: mpsc::UnboundedSender<String>,
}

/// One topic's log.
pub struct ManagedLedger {
    name: String,
    rooms: Arc<Rooms>,
    settings: RwLock<Arc<ManagedLedgerSettings>>,
    state: Mutex<State>,
    end: watch::Sender<Position>,
    work: mpsc::UnboundedSender<Work>,
    /// Held across each write of the record.
    recording: tokio::sync::Mutex<()>,
    /// Held across a trim.
    trimming: tokio::sync::Mutex<()>,
    trim_asked: Notify,
    cursors: Mutex<BTreeMap<String, Arc<Cursor>>>,
    cache: EntryCache,
    copies: read::Copies,
    attempts: under_way::Attempts,
    counters: figures::LedgerCounters,
}

/// What is in memory of the record, and the open ledger's counters. Memory follows the record, never the reverse.
struct State {
    phase: Phase,
    ledgers: Ledgers,
    /// The record's version.
    version: u64,
    open: Option<OpenLedger>,
    /// The exclusive end of what is durable.
    end: Position,
    /// Entries that wait while a ledger is being replaced.
    waiting: VecDeque<append::Waiting>,
    /// Entries ever added, the recovered ones included.
    entries_added: u64,
}

impl State {
    /// Durable bytes of the open ledger.
    fn open_bytes(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.durable_bytes)
    }
}

/// The ledger that takes entries.
#[derive(Clone, Copy, Debug)]
struct OpenLedger {
    ledger_id: LedgerId,
    /// Entries handed to the store.
    queued: OpenCounters,
    /// Payload bytes that are durable.
    durable_bytes: u64,
}

/// Whether entries are taken. The names are the original's states.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Phase {
    LedgerOpened,
    ClosingLedger,
    Closed,
    Fenced(String),
    Terminated,
}

/// Everything that the admin shows of a managed ledger, taken at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// `LedgerOpened`, `ClosingLedger`, `Closed`, `Fenced`, `Terminated`.
    pub state: &'static str,
    /// The list as recorded.
    pub ledgers: Ledgers,
    /// The record's version.
    pub version: u64,
    /// Exclusive end of what is durable.
    pub end: Position,
    /// Entries ever added since the topic was created, as far as its list knows.
    pub entries_added: u64,
    /// Durable entries, over all ledgers.
    pub entry_count: u64,
    /// Their payload bytes.
    pub size_bytes: u64,
    /// Durable entries in the open ledger.
    pub open_entry_count: u64,
    /// Their payload bytes.
    pub open_size_bytes: u64,
    /// When the open ledger was created, milliseconds since 1970; 0 without one.
    pub open_created_ms: u64,
    /// Entries that wait for a new ledger.
    pub pending_count: usize,
}

impl ManagedLedger {
    /// `tenant/namespace/persistent/<url-encoded local name>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<ManagedLedgerSettings> {
        self.settings.read().expect("no code panics while it holds the settings").clone()
    }

    /// Puts other settings in force; the next decision follows them.
    pub fn update_settings(&self, settings: Arc<ManagedLedgerSettings>) {
        *self.settings.write().expect("no code panics while it holds the settings") = settings;
        self.ask_trim();
    }

    /// The exclusive end of what is durable; `(L, 0)` for a topic without entries.
    pub fn end(&self) -> Position {
        self.lock().end
    }

    /// Changes when entries become durable.
    pub fn watch_end(&self) -> watch::Receiver<Position> {
        self.end.subscribe()
    }

    /// The first entry, or the place where it will be.
    pub fn first(&self) -> Position {
        self.with_ledgers(|ledgers, end| ledgers.first().unwrap_or(end))
    }

    /// The last durable entry; `None` without one.
    pub fn last_confirmed(&self) -> Option<Position> {
        self.with_ledgers(|ledgers, end| ledgers.previous(end, end))
    }

    /// `position` itself if it has an entry or gets the next one, else the next place that does.
    pub fn valid_from(&self, position: Position) -> Position {
        self.with_ledgers(|ledgers, end| ledgers.valid_from(position, end))
    }

    /// The entry before `position`, across ledgers.
    pub fn previous(&self, position: Position) -> Option<Position> {
        self.with_ledgers(|ledgers, end| ledgers.previous(position, end))
    }

    /// The entry `n` entries behind `from`; `None` beyond the end.
    pub fn nth(&self, from: Position, n: u64) -> Option<Position> {
        self.with_ledgers(|ledgers, end| ledgers.nth(from, n, end))
    }

    /// Entries in `[from, to)`.
    pub fn count(&self, from: Position, to: Position) -> u64 {
        self.with_ledgers(|ledgers, end| ledgers.count(from, to, end))
    }

    /// Bytes from `position` on, as far as they can be told from the list.
    pub fn bytes_from(&self, position: Position) -> u64 {
        let state = self.lock();
        state.ledgers.bytes_from(position, state.end, state.open_bytes())
    }

    /// The first position from which no more than `bytes_max` follow.
    pub fn tail_of(&self, bytes_max: u64) -> Position {
        let state = self.lock();
        state.ledgers.tail_of(bytes_max, state.end, state.open_bytes())
    }

    /// Whether the original accepts `position` for an offload, a seek or a subscription.
    pub fn is_valid(&self, position: Position) -> bool {
        self.with_ledgers(|ledgers, end| ledgers.is_valid(position, end))
    }

    /// Whether no entry can follow.
    pub fn is_terminated(&self) -> bool {
        self.lock().phase == Phase::Terminated
    }

    /// Whether it takes no more entries for a reason other than termination: the topic must be loaded again.
    pub fn is_gone(&self) -> bool {
        matches!(self.lock().phase, Phase::Closed | Phase::Fenced(_))
    }

    /// Everything at one moment.
    pub fn snapshot(&self) -> Snapshot {
        let state = self.lock();
        let open = state.open.as_ref();
        let open_entry_count =
            open.map_or(0, |open| if state.end.ledger_id == open.ledger_id { state.end.entry_id } else { 0 });
        let open_size_bytes = open.map_or(0, |open| open.durable_bytes);
        Snapshot {
            state: match &state.phase {
                Phase::LedgerOpened => "LedgerOpened",
                Phase::ClosingLedger => "ClosingLedger",
                Phase::Closed => "Closed",
                Phase::Fenced(_) => "Fenced",
                Phase::Terminated => "Terminated",
            },
            version: state.version,
            end: state.end,
            entries_added: state.entries_added,
            entry_count: state.ledgers.closed_entries() + open_entry_count,
            size_bytes: state.ledgers.closed_size_bytes() + open_size_bytes,
            open_entry_count,
            open_size_bytes,
            open_created_ms: open.map_or(0, |open| open.queued.created_ms),
            pending_count: state.waiting.len(),
            ledgers: state.ledgers.clone(),
        }
    }

    /// Looks at the list and the end at one moment.
    pub(crate) fn with_ledgers<T>(&self, look: impl FnOnce(&Ledgers, Position) -> T) -> T {
        let state = self.lock();
        look(&state.ledgers, state.end)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds a managed ledger's state")
    }

    /// What the clock does: closes a ledger that is due, writes moved cursors, forgets old cache entries, evicts idle
    /// read handles.
    pub async fn tick(&self) {
        let now_ms = self.rooms.clock.now_ms();
        let settings = self.settings();
        self.roll_if_due(now_ms);
        self.cache.evict_older(now_ms.saturating_sub(settings.cache_age_max_ms));
        self.copies.evict_idle(now_ms.saturating_sub(settings.idle_copy_max_ms));
        self.copies.evict_read_ahead(now_ms.saturating_sub(settings.cache_age_max_ms));
        for cursor in self.cursors() {
            cursor.flush_if_older(now_ms, settings.cursor_flush_interval_ms).await;
        }
    }
}
