//! Writes of a managed ledger's record: read what is in memory, change a copy, compare-and-set, and only then let memory
//! follow. All writers queue behind one lock; a lost race means that somebody else owns the record, and fences.
//!
//! The offload engine's moves are here: each is one such write.

use uuid::Uuid;

use super::error::ManagedLedgerError;
use super::ledgers::{LedgerInfo, Ledgers};
use super::offload_context::{Attempt, IllegalMove};
use super::records::encode_ledgers;
use super::{ManagedLedger, keys};
use crate::metadata::{Expect, MetadataError};
use crate::storage::{LedgerId, StoredLedger};

/// Why an offload's move was not recorded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MoveError {
    /// The ledger left the list meanwhile: retention or a deletion was faster. Harmless.
    #[error("ledger {0} is no longer in the list, likely trimmed")]
    LedgerGone(LedgerId),
    /// The state does not allow the move.
    #[error("ledger {ledger_id}: {source}")]
    Illegal {
        /// The ledger.
        ledger_id: LedgerId,
        /// Which rule.
        source: IllegalMove,
    },
    /// The record was not written; nothing changed.
    #[error(transparent)]
    Failed(ManagedLedgerError),
    /// The record may have been written or not: keep what was uploaded.
    #[error("whether the metadata was written is unknown: {0}")]
    Unknown(String),
}

impl From<ManagedLedgerError> for MoveError {
    fn from(error: ManagedLedgerError) -> Self {
        match error {
            ManagedLedgerError::Metadata(MetadataError::Unknown(reason)) => Self::Unknown(reason),
            error => Self::Failed(error),
        }
    }
}

impl ManagedLedger {
    /// Changes the list and writes it. Memory follows only what is durable.
    ///
    /// # Errors
    /// Those of the metadata store. A lost race, or an outcome that stays unknown, fences.
    pub(super) async fn record<T>(&self, change: impl FnOnce(&mut Ledgers) -> T) -> Result<T, ManagedLedgerError> {
        match self.try_record(|ledgers| Ok::<_, std::convert::Infallible>(change(ledgers))).await? {
            Ok(value) => Ok(value),
        }
    }

    /// Like [`record`](Self::record), for a change that may refuse; then nothing is written.
    async fn try_record<T, E>(
        &self,
        change: impl FnOnce(&mut Ledgers) -> Result<T, E>,
    ) -> Result<Result<T, E>, ManagedLedgerError> {
        let _recording = self.recording.lock().await;
        let (mut ledgers, version) = {
            let state = self.lock();
            (state.ledgers.clone(), state.version)
        };
        let value = match change(&mut ledgers) {
            Ok(value) => value,
            Err(refused) => return Ok(Err(refused)),
        };
        let version = self.write(&ledgers, version).await?;
        let mut state = self.lock();
        state.ledgers = ledgers;
        state.version = version;
        Ok(Ok(value))
    }

    async fn write(&self, ledgers: &Ledgers, version: u64) -> Result<u64, ManagedLedgerError> {
        let key = keys::ledger(&self.name);
        let bytes = encode_ledgers(ledgers);
        let error = match self.rooms.metadata.put(&key, bytes.clone(), Expect::Version(version)).await {
            Ok(record) => return Ok(record.version),
            Err(error @ MetadataError::Failed(_)) => return Err(error.into()),
            Err(error) => error,
        };
        if let MetadataError::Unknown(_) = &error
            && let Ok(Some(found)) = self.rooms.metadata.get(&key).await
        {
            if found.version == version + 1 && found.value == bytes {
                return Ok(found.version);
            }
            if found.version == version {
                return Err(MetadataError::Failed(error.to_string()).into());
            }
        }
        self.fence(&error.to_string());
        Err(error.into())
    }

    /// Records a fresh attempt to copy a ledger, before a byte moves. The debris of the attempt that it replaces is put
    /// on the list of removals first, so that no crash can forget it.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn prepare_offload(&self, ledger_id: LedgerId, attempt: Attempt) -> Result<(), MoveError> {
        let replaced = self.with_ledgers(|ledgers, _| {
            // A sound copy is not replaced: the move below is refused, and nothing may be intended for it.
            let info = ledgers.by_id.get(&ledger_id).filter(|info| !info.offload.is_sound())?;
            info.offload.attempt().cloned()
        });
        if let Some(replaced) = &replaced {
            self.intend_removal(ledger_id, replaced).await?;
        }
        self.change_offload(ledger_id, |info| info.offload.prepare(attempt).map(|_| ())).await?;
        if let Some(replaced) = replaced {
            self.remove_later(ledger_id, replaced);
        }
        Ok(())
    }

    /// Completes the attempt `uid`: from now on the cold copy counts.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn complete_offload(&self, ledger_id: LedgerId, uid: Uuid) -> Result<(), MoveError> {
        let now_ms = self.rooms.clock.now_ms();
        self.change_offload(ledger_id, |info| info.offload.complete(uid, now_ms)).await?;
        self.copies.invalidate(ledger_id);
        self.ask_trim();
        Ok(())
    }

    /// Gives up the prepared attempt `uid`, whose debris is gone.
    ///
    /// # Errors
    /// [`MoveError`].
    pub async fn abandon_offload(&self, ledger_id: LedgerId, uid: Uuid) -> Result<(), MoveError> {
        self.change_offload(ledger_id, |info| info.offload.abandon(uid)).await
    }

    /// Remembers that the cold copy is damaged, so that the hot one stays and the copy is made again.
    pub(super) async fn record_damage(&self, ledger_id: LedgerId, problem: &str) {
        let news = self
            .try_record(|ledgers| {
                let info = ledgers.by_id.get_mut(&ledger_id).ok_or(())?;
                if info.offload.find_damaged(problem) { Ok(()) } else { Err(()) }
            })
            .await;
        match news {
            Ok(Ok(())) => {
                tracing::error!(
                    managed_ledger = self.name,
                    ledger_id = ledger_id.0,
                    problem,
                    "the cold copy is damaged: the hot copy stays, and the next offload makes another"
                );
            }
            Ok(Err(())) => {}
            Err(error) => tracing::warn!(managed_ledger = self.name, %error, "a damaged cold copy was not recorded"),
        }
    }

    async fn change_offload(
        &self,
        ledger_id: LedgerId,
        change: impl FnOnce(&mut LedgerInfo) -> Result<(), IllegalMove>,
    ) -> Result<(), MoveError> {
        self.try_record(|ledgers| {
            let info = ledgers.by_id.get_mut(&ledger_id).ok_or(MoveError::LedgerGone(ledger_id))?;
            change(info).map_err(|source| MoveError::Illegal { ledger_id, source })
        })
        .await
        .map_err(MoveError::from)?
    }

    /// A number that is recorded with the topic under `name`.
    pub fn number(&self, name: &str) -> Option<u64> {
        self.with_ledgers(|ledgers, _| ledgers.properties.get(name).and_then(|text| text.parse().ok()))
    }

    /// Records `least` under `name` unless a greater number stands there: such a number never goes back. Durable on return.
    ///
    /// # Errors
    /// Those of the metadata store; a lost race fences.
    pub async fn raise_number(&self, name: &str, least: u64) -> Result<(), ManagedLedgerError> {
        let is_news = self.number(name).is_none_or(|known| known < least);
        if is_news {
            self.record(|ledgers| {
                let known = ledgers.properties.get(name).and_then(|text| text.parse().ok()).unwrap_or(0);
                ledgers.properties.insert(name.to_owned(), least.max(known).to_string());
            })
            .await?;
        }
        Ok(())
    }

    /// Names an attempt's copy to its driver.
    pub fn stored_ledger(&self, ledger_id: LedgerId, attempt: &Attempt) -> StoredLedger {
        StoredLedger {
            ledger_id,
            uid: attempt.uid,
            managed_ledger: self.name.clone(),
            driver_metadata: attempt.driver_metadata.clone(),
        }
    }
}
