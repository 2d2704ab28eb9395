//! What starts a run: an operator's request, a closed ledger, a topic that was loaded.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::attempt::OffloadError;
use super::engine::{Offloads, TopicOffloads};
use super::select::{before, beyond_thresholds};
use super::status::{OffloadStatus, managed_ledger_error, specific_error};
use crate::managed_ledger::offload_context::OffloadState;
use crate::managed_ledger::{ManagedLedger, Position, WirePosition};
use crate::storage::LedgerId;
use crate::trace::{self, TraceContext};

/// A manual run of this topic is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Offload already in progress")]
pub struct AlreadyRunning;

impl Offloads {
    /// Starts to copy every ledger before `position`; how it goes shows in [`status`](Self::status). The run goes on with the
    /// trace of whoever asks.
    ///
    /// # Errors
    /// [`AlreadyRunning`].
    pub fn start(self: &Arc<Self>, ledger: Arc<ManagedLedger>, position: WirePosition) -> Result<(), AlreadyRunning> {
        let topic = self.topic(&ledger);
        {
            let mut status = topic.status.lock().expect("no code panics while it holds the status");
            if *status == OffloadStatus::Running {
                return Err(AlreadyRunning);
            }
            *status = OffloadStatus::Running;
        }
        let offloads = self.clone();
        let trace = trace::current().map_or_else(TraceContext::fresh, TraceContext::child);
        tokio::spawn(async move {
            // A panic in the run must not leave the status at "running" for ever.
            let run = tokio::spawn({
                let topic = topic.clone();
                async move { traced(trace, &ledger, offloads.run_manual(&ledger, &topic, position)).await }
            });
            let outcome = run.await.unwrap_or_else(|panic| OffloadStatus::Error(managed_ledger_error(panic)));
            *topic.status.lock().expect("no code panics while it holds the status") = outcome;
        });
        Ok(())
    }

    async fn run_manual(
        &self,
        ledger: &Arc<ManagedLedger>,
        topic: &TopicOffloads,
        position: WirePosition,
    ) -> OffloadStatus {
        let name = ledger.name();
        if ledger.is_gone() {
            return OffloadStatus::Error(managed_ledger_error(format!("Can't offload closed managed ledger ({name})")));
        }
        // A run by thresholds, or what a load cleans up, comes first; the original refuses instead.
        let _running = topic.running.lock().await;
        let valid = entry(position).filter(|position| ledger.is_valid(*position));
        let Some(valid) = valid else {
            let text = format!("Invalid position for offload: {position}");
            return OffloadStatus::Error(specific_error("InvalidCursorPositionException", text));
        };
        let Some(prefix) = ledger.with_ledgers(|ledgers, _| before(ledgers, valid)) else {
            let text = format!("Can't offload managed ledger ({name}) with no ledgers");
            return OffloadStatus::Error(managed_ledger_error(text));
        };
        if prefix.chosen.is_empty() {
            return OffloadStatus::Success { first_unoffloaded: prefix.first_unoffloaded };
        }
        match self.run(ledger, topic, &prefix.chosen).await {
            Ok(()) => OffloadStatus::Success { first_unoffloaded: prefix.first_unoffloaded },
            Err(error) => OffloadStatus::Error(managed_ledger_error(error)),
        }
    }

    /// Copies what the thresholds ask for, after the run that is under way. Further calls while one waits are one.
    pub async fn check(&self, ledger: &Arc<ManagedLedger>) {
        let policy = ledger.settings().offload.clone();
        if policy.driver.is_none() || (policy.threshold_bytes.is_none() && policy.threshold_ms.is_none()) {
            return;
        }
        let topic = self.topic(ledger);
        if topic.check_queued.swap(true, Ordering::SeqCst) {
            return;
        }
        let _running = topic.running.lock().await;
        topic.check_queued.store(false, Ordering::SeqCst);
        let policy = ledger.settings().offload.clone();
        let chosen = ledger.with_ledgers(|ledgers, _| beyond_thresholds(ledgers, &policy, self.clock.now_ms()));
        if !chosen.is_empty()
            && let Err(error) = traced(TraceContext::fresh(), ledger, self.run(ledger, &topic, &chosen)).await
        {
            tracing::error!(managed_ledger = ledger.name(), %error, "automatic offload failed; the next closed ledger tries again");
        }
    }

    /// After a load: removes what attempts of an earlier life left, so that no copy without a complete record stays.
    pub async fn recover(&self, ledger: &Arc<ManagedLedger>) {
        let topic = self.topic(ledger);
        let _running = topic.running.lock().await;
        let prepared = ledger.with_ledgers(|ledgers, _| {
            let prepared = ledgers.by_id.values().filter(|info| matches!(info.offload, OffloadState::Prepared(_)));
            prepared.map(|info| info.ledger_id).collect::<Vec<_>>()
        });
        for ledger_id in prepared {
            if topic.stop.is_cancelled() {
                return;
            }
            if let Err(error) = self.remove_debris(ledger, ledger_id, &topic.stop).await {
                tracing::warn!(managed_ledger = ledger.name(), ledger_id = ledger_id.0, %error,
                    "the debris of an earlier offload was not removed; the next attempt comes for it");
            }
        }
    }

    /// `stop` is heeded while the store is asked, never while the record is written.
    async fn remove_debris(
        &self,
        ledger: &ManagedLedger,
        ledger_id: LedgerId,
        stop: &CancellationToken,
    ) -> Result<(), OffloadError> {
        let attempt = ledger
            .with_ledgers(|ledgers, _| ledgers.by_id.get(&ledger_id).and_then(|info| info.offload.attempt().cloned()));
        let Some(attempt) = attempt else { return Ok(()) };
        let settings = ledger.settings().offload.driver_settings.clone();
        let removed = stop.run_until_cancelled(async {
            let driver = self.drivers().driver(&attempt.driver, &settings).await?;
            driver.delete(&ledger.stored_ledger(ledger_id, &attempt)).await
        });
        removed.await.ok_or_else(|| OffloadError::Closed(ledger.name().to_owned()))??;
        Ok(ledger.abandon_offload(ledger_id, attempt.uid).await?)
    }
}

/// A run as a part of a trace, whose id stands at every line of the log that it causes.
fn traced<F: Future>(trace: TraceContext, ledger: &ManagedLedger, run: F) -> impl Future<Output = F::Output> {
    let span = tracing::info_span!("offload", managed_ledger = ledger.name(), %trace);
    trace::within(trace, run.instrument(span))
}

/// The entry that a wire position names.
fn entry(position: WirePosition) -> Option<Position> {
    let ledger_id = u64::try_from(position.ledger_id).ok()?;
    Some(Position::new(LedgerId(ledger_id), u64::try_from(position.entry_id).ok()?))
}
