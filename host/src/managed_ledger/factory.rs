//! All managed ledgers: opening by name, ids for new ledgers, and what is cleaned at the start of the broker.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::error::ManagedLedgerError;
use super::ledgers::Ledgers;
use super::records::decode_ledgers;
use super::removal::Removal;
use super::settings::ManagedLedgerSettings;
use super::{ManagedLedger, Rooms, keys};
use crate::metadata::{Expect, MetadataStore, Record};
use crate::storage::{DriverSettings, LedgerId};

/// Ids that one write of the counter reserves. A restart leaves a gap, never a repetition.
const IDS_RESERVED: u64 = 64;

/// Gives out ledger ids: ascending, never twice.
#[derive(Debug, Default)]
pub struct LedgerIds {
    range: tokio::sync::Mutex<std::ops::Range<u64>>,
}

impl LedgerIds {
    /// The next id; its reservation is durable.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn take(&self, metadata: &dyn MetadataStore) -> Result<LedgerId, ManagedLedgerError> {
        let mut range = self.range.lock().await;
        if range.is_empty() {
            let stored = metadata.get(keys::NEXT_LEDGER_ID).await?;
            let next = match &stored {
                None => 0,
                Some(record) => parse_counter(record)?,
            };
            let expect = stored.map_or(Expect::Absent, |record| Expect::Version(record.version));
            let end = next + IDS_RESERVED;
            metadata.put(keys::NEXT_LEDGER_ID, end.to_string().into_bytes(), expect).await?;
            *range = next..end;
        }
        let id = range.next().expect("the range was filled above");
        Ok(LedgerId(id))
    }

    /// Lets the next id be `least` or a greater one. For a store that no [`LedgerIds`] takes from at the time.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn begin_with(metadata: &dyn MetadataStore, least: u64) -> Result<(), ManagedLedgerError> {
        let stored = metadata.get(keys::NEXT_LEDGER_ID).await?;
        if stored.as_ref().map(parse_counter).transpose()?.is_some_and(|next| next >= least) {
            return Ok(());
        }
        let expect = stored.map_or(Expect::Absent, |record| Expect::Version(record.version));
        metadata.put(keys::NEXT_LEDGER_ID, least.to_string().into_bytes(), expect).await?;
        Ok(())
    }
}

fn parse_counter(record: &Record) -> Result<u64, ManagedLedgerError> {
    let text = std::str::from_utf8(&record.value).ok();
    text.and_then(|text| text.parse().ok()).ok_or_else(|| ManagedLedgerError::BadRecord {
        name: keys::NEXT_LEDGER_ID.to_owned(),
        problem: "not a number".to_owned(),
    })
}

/// A managed ledger's record as stored, for topics that are not loaded.
#[derive(Clone, Debug)]
pub struct StoredLedgers {
    /// The list.
    pub ledgers: Ledgers,
    /// Version and times.
    pub record: Record,
    /// Cursors: name, record.
    pub cursors: Vec<(String, Record)>,
}

/// The way to managed ledgers.
pub struct ManagedLedgers {
    rooms: Arc<Rooms>,
}

impl ManagedLedgers {
    /// Over the given rooms.
    pub fn new(rooms: Rooms) -> Self {
        Self { rooms: Arc::new(rooms) }
    }

    /// Ends a statistics period of what all managed ledgers share; each has its own besides.
    pub fn tick_figures(&self, elapsed: Duration) {
        self.rooms.cache_budget.tick_figures(elapsed);
    }

    pub(super) fn rooms(&self) -> &Arc<Rooms> {
        &self.rooms
    }

    /// Loads a managed ledger; the caller sees to it that none is loaded twice at once.
    ///
    /// # Errors
    /// `NotFound` unless `create`; those of the stores.
    pub async fn open(
        &self,
        name: &str,
        create: bool,
        settings: Arc<ManagedLedgerSettings>,
    ) -> Result<Arc<ManagedLedger>, ManagedLedgerError> {
        ManagedLedger::load(self.rooms.clone(), name, create, settings).await
    }

    /// Whether there is such a managed ledger.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn exists(&self, name: &str) -> Result<bool, ManagedLedgerError> {
        Ok(self.rooms.metadata.get(&keys::ledger(name)).await?.is_some())
    }

    /// Names that begin with `prefix`, ascending.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn names(&self, prefix: &str) -> Result<Vec<String>, ManagedLedgerError> {
        let keys = self.rooms.metadata.keys(&keys::ledger(prefix)).await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix(keys::LEDGERS)).map(str::to_owned).collect())
    }

    /// The records as stored, loaded or not; `None` where there is no such managed ledger.
    ///
    /// # Errors
    /// `BadRecord`, those of the metadata store.
    pub async fn stored(&self, name: &str) -> Result<Option<StoredLedgers>, ManagedLedgerError> {
        let Some(record) = self.rooms.metadata.get(&keys::ledger(name)).await? else { return Ok(None) };
        let ledgers = self.decode(name, &record)?;
        let mut cursors = Vec::new();
        for key in self.rooms.metadata.keys(&keys::cursors(name)).await? {
            if let (Some(cursor), Some(record)) = (keys::cursor_name(name, &key), self.rooms.metadata.get(&key).await?)
            {
                cursors.push((cursor, record));
            }
        }
        Ok(Some(StoredLedgers { ledgers, record, cursors }))
    }

    /// Removes what a crash left: hot files that no record names, and cold copies whose removal was intended. Called once,
    /// before the first managed ledger is opened.
    ///
    /// # Errors
    /// Those of the stores, and `BadRecord`: with a record that cannot be understood nothing is removed.
    pub async fn clean_up(&self) -> Result<(), ManagedLedgerError> {
        let mut named = BTreeSet::new();
        for name in self.names("").await? {
            if let Some(record) = self.rooms.metadata.get(&keys::ledger(&name)).await? {
                named.extend(
                    self.decode(&name, &record)?
                        .by_id
                        .into_values()
                        .filter(|info| info.offload.has_hot())
                        .map(|info| info.ledger_id),
                );
            }
        }
        for ledger_id in self.rooms.store.ledgers().into_iter().filter(|id| !named.contains(id)) {
            tracing::info!(ledger_id = ledger_id.0, "removing a hot ledger that no record names");
            self.rooms.store.delete(ledger_id).await?;
        }
        Ok(())
    }

    /// Carries out the removals of cold copies that were intended before the start; an intent whose ledger is still in
    /// the list with that very attempt complete is dropped.
    ///
    /// # Errors
    /// Those of the metadata store. A removal that fails stays intended.
    pub async fn finish_removals(&self, settings: &DriverSettings) -> Result<(), ManagedLedgerError> {
        for key in self.rooms.metadata.keys(keys::REMOVALS).await? {
            let Some(record) = self.rooms.metadata.get(&key).await? else { continue };
            let removal: Removal = match serde_json::from_slice(&record.value) {
                Ok(removal) => removal,
                Err(error) => {
                    tracing::error!(key, %error, "an intended removal cannot be read; it is left alone");
                    continue;
                }
            };
            if self.is_in_use(&removal).await? {
                self.rooms.metadata.delete(&key, Expect::Version(record.version)).await?;
            } else {
                // What fails stays intended, and is logged.
                let _ = removal.carry_out(&self.rooms, settings).await;
            }
        }
        Ok(())
    }

    async fn is_in_use(&self, removal: &Removal) -> Result<bool, ManagedLedgerError> {
        let Some(record) = self.rooms.metadata.get(&keys::ledger(&removal.managed_ledger)).await? else {
            return Ok(false);
        };
        let ledgers = self.decode(&removal.managed_ledger, &record)?;
        let info = ledgers.by_id.get(&LedgerId(removal.ledger_id));
        Ok(info.and_then(|info| info.offload.attempt()).is_some_and(|attempt| attempt.uid == removal.uid))
    }

    fn decode(&self, name: &str, record: &Record) -> Result<Ledgers, ManagedLedgerError> {
        decode_ledgers(&record.value)
            .map_err(|problem| ManagedLedgerError::BadRecord { name: name.to_owned(), problem: problem.to_string() })
    }
}
