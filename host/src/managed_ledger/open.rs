//! Loading a managed ledger: its record, the recovery of the ledger that was open, a new open ledger, its cursors.
//!
//! Every load is a rollover: the ledger that was open is sealed at its durable end, empty ledgers leave the list, and a
//! fresh one takes the next entries, in one write of the record.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, RwLock};

use tokio::sync::{Notify, mpsc, watch};

use super::append::Work;
use super::cache::EntryCache;
use super::cursor::Cursor;
use super::error::ManagedLedgerError;
use super::figures::LedgerCounters;
use super::ledgers::{LedgerInfo, Ledgers};
use super::position::Position;
use super::records::{decode_cursor, decode_ledgers, encode_ledgers};
use super::settings::ManagedLedgerSettings;
use super::{ManagedLedger, OpenLedger, Phase, Rooms, State, keys, read};
use crate::metadata::Expect;
use crate::storage::{LedgerId, ReadError, StoreError};

impl ManagedLedger {
    /// Loads the managed ledger `name`, or makes it where it does not exist and `create` says so.
    ///
    /// # Errors
    /// `NotFound`, `BadRecord`, those of the stores.
    pub(super) async fn load(
        rooms: Arc<Rooms>,
        name: &str,
        create: bool,
        settings: Arc<ManagedLedgerSettings>,
    ) -> Result<Arc<Self>, ManagedLedgerError> {
        let stored = rooms.metadata.get(&keys::ledger(name)).await?;
        let (ledgers, expect) = match &stored {
            None if !create => return Err(ManagedLedgerError::NotFound(name.to_owned())),
            None => (Ledgers::default(), Expect::Absent),
            Some(record) => {
                let ledgers = decode_ledgers(&record.value).map_err(|problem| ManagedLedgerError::BadRecord {
                    name: name.to_owned(),
                    problem: problem.to_string(),
                })?;
                (ledgers, Expect::Version(record.version))
            }
        };
        let state = match ledgers.terminated_end {
            Some(end) => {
                let version = stored.as_ref().map_or(0, |record| record.version);
                State::new(Phase::Terminated, ledgers, version, None, end)
            }
            None => Self::start(&rooms, name, ledgers, expect).await?,
        };
        let this = Self::assemble(rooms, name, settings, state);
        this.load_cursors().await?;
        Ok(this)
    }

    /// Recovers the ledger that was open and opens a new one.
    async fn start(
        rooms: &Rooms,
        name: &str,
        mut ledgers: Ledgers,
        expect: Expect,
    ) -> Result<State, ManagedLedgerError> {
        let now_ms = rooms.clock.now_ms();
        let unclosed: Vec<LedgerId> =
            ledgers.by_id.values().filter(|info| info.closed_ms.is_none()).map(|info| info.ledger_id).collect();
        for ledger_id in unclosed {
            let info = ledgers.by_id.get_mut(&ledger_id).expect("the id came from the list");
            recover(rooms, name, info, now_ms).await?;
        }
        let empty: Vec<LedgerId> =
            ledgers.by_id.values().filter(|info| info.entry_count == 0).map(|info| info.ledger_id).collect();
        ledgers.by_id.retain(|_, info| info.entry_count > 0);
        let ledger_id = rooms.ids.take(&*rooms.metadata).await?;
        rooms.store.create(ledger_id, name, now_ms).await?;
        let end = ledgers
            .by_id
            .values()
            .next_back()
            .map_or(Position::new(ledger_id, 0), |info| Position::new(info.ledger_id, info.entry_count));
        ledgers.by_id.insert(ledger_id, LedgerInfo::open(ledger_id));
        let written = rooms.metadata.put(&keys::ledger(name), encode_ledgers(&ledgers), expect).await?;
        for ledger_id in empty {
            rooms.store.delete(ledger_id).await?;
        }
        let open = OpenLedger::new(ledger_id, now_ms);
        Ok(State::new(Phase::LedgerOpened, ledgers, written.version, Some(open), end))
    }

    fn assemble(rooms: Arc<Rooms>, name: &str, settings: Arc<ManagedLedgerSettings>, state: State) -> Arc<Self> {
        let (work, queue) = mpsc::unbounded_channel::<Work>();
        let this = Arc::new(Self {
            name: name.to_owned(),
            settings: RwLock::new(settings),
            end: watch::channel(state.end).0,
            state: Mutex::new(state),
            work,
            recording: tokio::sync::Mutex::default(),
            trimming: tokio::sync::Mutex::default(),
            trim_asked: Notify::new(),
            cursors: Mutex::new(BTreeMap::new()),
            cache: EntryCache::new(rooms.cache_budget.clone()),
            copies: read::Copies::default(),
            attempts: Default::default(),
            counters: LedgerCounters::default(),
            rooms,
        });
        tokio::spawn(this.clone().run(queue));
        tokio::spawn(this.clone().trim_when_asked());
        this
    }

    async fn load_cursors(self: &Arc<Self>) -> Result<(), ManagedLedgerError> {
        for key in self.rooms.metadata.keys(&keys::cursors(&self.name)).await? {
            let Some(name) = keys::cursor_name(&self.name, &key) else { continue };
            let Some(record) = self.rooms.metadata.get(&key).await? else { continue };
            let stored = decode_cursor(&record.value).map_err(|problem| ManagedLedgerError::BadRecord {
                name: self.name.clone(),
                problem: format!("cursor {name}: {problem}"),
            })?;
            let cursor = Cursor::new(&name, true, Arc::downgrade(self), stored);
            let mut cursors = self.cursors.lock().expect("no code panics while it holds the cursors");
            cursors.insert(name, Arc::new(cursor));
        }
        Ok(())
    }
}

/// Seals a ledger that was open when the broker stopped, at its durable end.
async fn recover(rooms: &Rooms, name: &str, info: &mut LedgerInfo, now_ms: u64) -> Result<(), ManagedLedgerError> {
    match rooms.store.seal(info.ledger_id).await {
        Ok(sealed) => {
            (info.entry_count, info.size_bytes) = (sealed.entry_count, sealed.length_bytes);
            info.closed_ms = Some(now_ms);
            Ok(())
        }
        Err(StoreError::NotOpen(_) | StoreError::Read(ReadError::NotFound(_))) => {
            tracing::error!(
                managed_ledger = name,
                ledger_id = info.ledger_id.0,
                "the file of the ledger that was open is missing; whatever it held is lost, the ledger leaves the list"
            );
            info.closed_ms = Some(now_ms);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

impl State {
    fn new(phase: Phase, ledgers: Ledgers, version: u64, open: Option<OpenLedger>, end: Position) -> Self {
        let entries_added = ledgers.closed_entries();
        Self { phase, ledgers, version, open, end, waiting: VecDeque::new(), entries_added }
    }
}
