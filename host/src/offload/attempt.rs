//! One attempt to copy one ledger: prepare, copy, verify, complete. Each step that matters after a crash is durable before
//! the next begins.
//!
//! | stopped after | record says | what happens |
//! |---|---|---|
//! | prepare | prepared, no copy | read hot; the next load or attempt removes the debris |
//! | copy, verify | prepared, a copy nobody reads | the same |
//! | complete | complete | read cold or hot by priority |

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::verify::{VerifyError, VerifyMode, Witnessed, verify};
use crate::managed_ledger::moves::MoveError;
use crate::managed_ledger::offload_context::Attempt;
use crate::managed_ledger::{LedgerInfo, ManagedLedger};
use crate::storage::{DriverError, OffloadDriver, ReadError, StoredLedger};

/// Tries to write the completion.
const COMPLETE_TRIES: u32 = 10;
/// Pause after the first failed one; doubles, with jitter, up to [`COMPLETE_PAUSE_MAX`].
const COMPLETE_PAUSE: Duration = Duration::from_secs(1);
const COMPLETE_PAUSE_MAX: Duration = Duration::from_secs(60);

/// Why a ledger was not copied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OffloadError {
    /// The driver said no.
    #[error("{0}")]
    Driver(#[from] DriverError),
    /// The hot copy cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The copy is not right.
    #[error("{0}")]
    Verify(#[from] VerifyError),
    /// The record was not written, or says something else.
    #[error("{0}")]
    Record(#[from] MoveError),
    /// The topic is being unloaded.
    #[error("managed ledger [{0}] has already closed")]
    Closed(String),
}

impl OffloadError {
    /// A ledger that retention took meanwhile needs no copy.
    pub fn is_harmless(&self) -> bool {
        matches!(self, Self::Record(MoveError::LedgerGone(_)))
    }
}

/// Copies one closed ledger. `stop` is heeded while bytes move, never between two writes of the record.
pub(super) async fn attempt(
    ledger: &ManagedLedger,
    info: &LedgerInfo,
    driver: &Arc<dyn OffloadDriver>,
    mode: VerifyMode,
    stop: &CancellationToken,
) -> Result<(), OffloadError> {
    let attempt =
        Attempt { uid: Uuid::new_v4(), driver: driver.name().to_owned(), driver_metadata: driver.driver_metadata() };
    let stored = ledger.stored_ledger(info.ledger_id, &attempt);
    // Kept until the driver is done: a trim meanwhile leaves the removal of the copy to the end of this.
    let _under_way = ledger.begin_attempt(attempt.uid);
    ledger.prepare_offload(info.ledger_id, attempt).await?;
    let copied = tokio::select! {
        biased;
        // The next load comes for the debris.
        () = stop.cancelled() => return Err(OffloadError::Closed(ledger.name().to_owned())),
        copied = copy(ledger, driver, &stored, mode) => copied,
    };
    if let Err(error) = copied {
        withdraw(ledger, driver, &stored).await;
        return Err(error);
    }
    complete(ledger, driver, &stored, stop).await
}

/// Hands the hot copy to the driver and compares what it made of it.
async fn copy(
    ledger: &ManagedLedger,
    driver: &Arc<dyn OffloadDriver>,
    stored: &StoredLedger,
    mode: VerifyMode,
) -> Result<(), OffloadError> {
    let given = Arc::new(Witnessed::new(ledger.hot_copy(stored.ledger_id).await?));
    driver.offload(given.clone(), stored.clone()).await?;
    Ok(verify(&**driver, stored, &given, mode).await?)
}

/// Removes what a failed attempt left and gives it up. What cannot be removed now stays recorded as prepared: the next
/// attempt or the next load comes for it.
async fn withdraw(ledger: &ManagedLedger, driver: &Arc<dyn OffloadDriver>, stored: &StoredLedger) {
    let removed = driver.delete(stored).await;
    if let Err(error) = &removed {
        tracing::warn!(managed_ledger = ledger.name(), ledger_id = stored.ledger_id.0, uid = %stored.uid, %error,
            "the debris of a failed offload was not removed; the next attempt comes for it");
    } else if let Err(error) = ledger.abandon_offload(stored.ledger_id, stored.uid).await {
        tracing::warn!(managed_ledger = ledger.name(), ledger_id = stored.ledger_id.0, uid = %stored.uid, %error,
            "a failed offload stays recorded as prepared");
    }
}

/// Completes by compare-and-set. An unknown outcome keeps the copy; a certain failure removes it.
async fn complete(
    ledger: &ManagedLedger,
    driver: &Arc<dyn OffloadDriver>,
    stored: &StoredLedger,
    stop: &CancellationToken,
) -> Result<(), OffloadError> {
    let mut pause = COMPLETE_PAUSE;
    for n in 1.. {
        let error = match ledger.complete_offload(stored.ledger_id, stored.uid).await {
            Ok(()) => return Ok(()),
            Err(error) => error,
        };
        match &error {
            MoveError::Unknown(_) => return Err(error.into()),
            MoveError::Failed(_) if n < COMPLETE_TRIES && !ledger.is_gone() && !stop.is_cancelled() => {
                tracing::warn!(managed_ledger = ledger.name(), ledger_id = stored.ledger_id.0, %error, "completing again");
                tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())).await;
                pause = (pause * 2).min(COMPLETE_PAUSE_MAX);
            }
            _ => {
                withdraw(ledger, driver, stored).await;
                return Err(error.into());
            }
        }
    }
    unreachable!("the loop ends by returning")
}
