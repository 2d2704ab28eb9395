//! What leaves: trims, deletion of a whole managed ledger, and the removal of cold copies.
//!
//! Order for a ledger that leaves: the intent to remove its cold copy is recorded, the list is written without it, the
//! hot file goes, the cold copy goes, the intent is cleared. A crash at any point leaves either the ledger whole in the
//! list, or an intent that [`ManagedLedgers::finish_removals`](super::ManagedLedgers) carries out at the next start.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::error::ManagedLedgerError;
use super::ledgers::LedgerInfo;
use super::offload_context::Attempt;
use super::position::Position;
use super::trim::{Retention, TrimInput, TrimPlan, plan};
use super::{ManagedLedger, ManagedLedgers, Rooms, keys};
use crate::metadata::{Expect, MetadataError};
use crate::storage::{DriverError, DriverSettings, LedgerId, StoredLedger};

/// Tries to remove one cold copy before it is left to the next start.
const REMOVAL_TRIES: u32 = 5;
/// Plans of one trim: a ledger that an attempt was prepared for after the plan was made leaves in the next one.
const TRIM_ROUNDS_MAX: usize = 10;
/// Pause after the first failed try; it doubles.
const REMOVAL_PAUSE: Duration = Duration::from_millis(500);

/// The intent to remove one attempt's cold copy, as recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Removal {
    /// The managed ledger.
    pub managed_ledger: String,
    /// The ledger.
    pub ledger_id: u64,
    /// The attempt.
    pub uid: Uuid,
    /// The driver.
    pub driver: String,
    /// What the driver recorded.
    pub driver_metadata: BTreeMap<String, String>,
}

impl Removal {
    fn new(managed_ledger: &str, ledger_id: LedgerId, attempt: &Attempt) -> Self {
        Self {
            managed_ledger: managed_ledger.to_owned(),
            ledger_id: ledger_id.0,
            uid: attempt.uid,
            driver: attempt.driver.clone(),
            driver_metadata: attempt.driver_metadata.clone(),
        }
    }

    fn key(&self) -> String {
        keys::removal(LedgerId(self.ledger_id), self.uid)
    }

    fn stored(&self) -> StoredLedger {
        StoredLedger {
            ledger_id: LedgerId(self.ledger_id),
            uid: self.uid,
            managed_ledger: self.managed_ledger.clone(),
            driver_metadata: self.driver_metadata.clone(),
        }
    }

    /// Records that the copy is to be removed.
    async fn intend(&self, rooms: &Rooms) -> Result<(), MetadataError> {
        let value = serde_json::to_vec(self).expect("a removal has no map with keys other than text");
        rooms.metadata.put(&self.key(), value, Expect::Anything).await?;
        Ok(())
    }

    /// Removes the copy, with pauses between tries, then clears the intent.
    pub(super) async fn carry_out(&self, rooms: &Rooms, settings: &DriverSettings) -> Result<(), DriverError> {
        let mut pause = REMOVAL_PAUSE;
        for attempt in 1.. {
            match self.try_once(rooms, settings).await {
                Ok(()) => break,
                Err(error) if attempt == REMOVAL_TRIES || !error.is_retryable() => {
                    tracing::warn!(managed_ledger = self.managed_ledger, ledger_id = self.ledger_id, uid = %self.uid,
                        driver = self.driver, %error, "a cold copy was not removed; the next start tries again");
                    return Err(error);
                }
                Err(_) => {
                    tokio::time::sleep(pause).await;
                    pause *= 2;
                }
            }
        }
        if let Err(error) = rooms.metadata.delete(&self.key(), Expect::Anything).await {
            tracing::warn!(ledger_id = self.ledger_id, uid = %self.uid, %error, "a finished removal stays recorded");
        }
        Ok(())
    }

    async fn try_once(&self, rooms: &Rooms, settings: &DriverSettings) -> Result<(), DriverError> {
        let driver = rooms.drivers.driver(&self.driver, settings).await?;
        driver.delete(&self.stored()).await
    }
}

impl ManagedLedger {
    /// Asks for a trim soon; many requests make one.
    pub fn ask_trim(&self) {
        self.trim_asked.notify_one();
    }

    /// Trims whenever asked, until the managed ledger is closed.
    pub(super) async fn trim_when_asked(self: Arc<Self>) {
        while !self.is_gone() {
            self.trim_asked.notified().await;
            if self.is_gone() {
                break;
            }
            if let Err(error) = self.trim().await {
                tracing::warn!(managed_ledger = self.name, %error, "trim failed; the next one tries again");
            }
        }
    }

    /// Removes what retention, cursors and the deletion lag no longer hold.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn trim(&self) -> Result<(), ManagedLedgerError> {
        self.trim_with(self.settings().retention, false).await
    }

    /// Closes the open ledger and removes every closed one, whoever needs it.
    ///
    /// # Errors
    /// Those of the stores.
    pub async fn truncate(&self) -> Result<(), ManagedLedgerError> {
        if !self.is_terminated() {
            self.roll().await?;
        }
        self.trim_with(Retention { time_ms: Some(0), size_bytes: Some(0) }, true).await
    }

    async fn trim_with(&self, retention: Retention, truncate: bool) -> Result<(), ManagedLedgerError> {
        let _trimming = self.trimming.lock().await;
        for _ in 0..TRIM_ROUNDS_MAX {
            let (plan, leaving) = self.plan_trim(retention, truncate);
            if plan == TrimPlan::default() || self.carry_out(&plan, leaving).await? {
                break;
            }
        }
        Ok(())
    }

    /// What leaves now, and how it is recorded.
    fn plan_trim(&self, retention: Retention, truncate: bool) -> (TrimPlan, Vec<LedgerInfo>) {
        let slowest = self.slowest_cursor();
        let state = self.lock();
        let plan = plan(&TrimInput {
            ledgers: &state.ledgers,
            end: state.end,
            open_size_bytes: state.open.map_or(0, |open| open.durable_bytes),
            slowest,
            retention,
            lag: self.settings().offload.deletion_lag,
            now_ms: self.rooms.clock.now_ms(),
            truncate,
        });
        let leaving = state.ledgers.by_id.values().filter(|info| plan.delete.contains(&info.ledger_id));
        let leaving = leaving.cloned().collect();
        (plan, leaving)
    }

    /// Answers whether all has left that was to leave.
    async fn carry_out(&self, plan: &TrimPlan, leaving: Vec<LedgerInfo>) -> Result<bool, ManagedLedgerError> {
        for info in &leaving {
            if let Some(attempt) = info.offload.attempt() {
                self.intend_removal(info.ledger_id, attempt).await?;
            }
        }
        let (hot_gone, gone) = self
            .record(|ledgers| {
                // One that an attempt was prepared for since the plan was made has no intent yet: it leaves in the next round.
                let uid_of = |info: &LedgerInfo| info.offload.attempt().map(|attempt| attempt.uid);
                let as_planned = leaving.iter().filter(|planned| {
                    ledgers.by_id.get(&planned.ledger_id).is_some_and(|info| uid_of(info) == uid_of(planned))
                });
                let gone: Vec<LedgerId> = as_planned.map(|planned| planned.ledger_id).collect();
                for ledger_id in &gone {
                    ledgers.by_id.remove(ledger_id);
                }
                // A copy may have been found damaged since the plan was made: its hot twin stays.
                let may_go =
                    |id: &&LedgerId| ledgers.by_id.get_mut(*id).is_some_and(|info| info.offload.delete_hot().is_ok());
                (plan.delete_hot.iter().filter(may_go).copied().collect::<Vec<_>>(), gone)
            })
            .await?;
        let (leaving, staying): (Vec<_>, Vec<_>) =
            leaving.into_iter().partition(|info| gone.binary_search(&info.ledger_id).is_ok());
        self.move_cursors_behind(&leaving);
        tracing::info!(managed_ledger = self.name, deleted = ?gone, hot_copies_deleted = ?hot_gone, "trimmed");
        for ledger_id in leaving.iter().filter(|info| info.offload.has_hot()).map(|info| info.ledger_id).chain(hot_gone)
        {
            self.copies.invalidate(ledger_id);
            self.rooms.store.delete(ledger_id).await?;
        }
        for info in leaving {
            self.copies.invalidate(info.ledger_id);
            if let Some(attempt) = info.offload.attempt() {
                self.remove_later(info.ledger_id, attempt.clone());
            }
        }
        Ok(staying.is_empty())
    }

    /// No cursor stays before the first entry that is left.
    fn move_cursors_behind(&self, leaving: &[LedgerInfo]) {
        if let Some(last) = leaving.last() {
            let end = Position::new(last.ledger_id, last.entry_count);
            for cursor in self.cursors() {
                cursor.advance(end);
            }
        }
    }

    /// Records that an attempt's cold copy is to be removed.
    pub(super) async fn intend_removal(
        &self,
        ledger_id: LedgerId,
        attempt: &Attempt,
    ) -> Result<(), ManagedLedgerError> {
        Ok(Removal::new(&self.name, ledger_id, attempt).intend(&self.rooms).await?)
    }

    /// Removes an intended cold copy in the background, after an attempt at it that is under way.
    pub(super) fn remove_later(&self, ledger_id: LedgerId, attempt: Attempt) {
        let Some(attempt) = self.attempts.leave(ledger_id, attempt) else { return };
        let removal = Removal::new(&self.name, ledger_id, &attempt);
        let settings = self.settings().offload.driver_settings.clone();
        let rooms = self.rooms.clone();
        tokio::spawn(async move {
            // What fails stays intended, and is logged.
            let _ = removal.carry_out(&rooms, &settings).await;
        });
    }
}

impl ManagedLedgers {
    /// Deletes a managed ledger that is not open: its cursors, its record, all its ledgers in both tiers. Cold copies go in
    /// the background, with the drivers made by `settings`; what a crash leaves, the next start removes.
    ///
    /// # Errors
    /// `NotFound`; those of the stores: what is left can be deleted again.
    pub async fn delete(&self, name: &str, settings: &DriverSettings) -> Result<(), ManagedLedgerError> {
        let stored = self.stored(name).await?.ok_or_else(|| ManagedLedgerError::NotFound(name.to_owned()))?;
        let leaving: Vec<LedgerInfo> = stored.ledgers.by_id.into_values().collect();
        let removals: Vec<Removal> = leaving
            .iter()
            .filter_map(|info| Some(Removal::new(name, info.ledger_id, info.offload.attempt()?)))
            .collect();
        for removal in &removals {
            removal.intend(self.rooms()).await?;
        }
        for (cursor, _) in &stored.cursors {
            self.rooms().metadata.delete(&keys::cursor(name, cursor), Expect::Anything).await?;
        }
        self.rooms().metadata.delete(&keys::ledger(name), Expect::Anything).await?;
        // An imported ledger has no hot copy, and another topic may have a ledger of the same id.
        for info in leaving.iter().filter(|info| info.offload.has_hot()) {
            self.rooms().store.delete(info.ledger_id).await?;
        }
        let (rooms, settings) = (self.rooms().clone(), settings.clone());
        tokio::spawn(async move {
            for removal in removals {
                // What fails stays intended, and is logged.
                let _ = removal.carry_out(&rooms, &settings).await;
            }
        });
        Ok(())
    }
}
