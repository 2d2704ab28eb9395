//! Runs: one at a time for each managed ledger, a plain loop over the chosen ledgers. Attempts of one driver
//! configuration share a bounded number of places; a dead store holds up nobody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::attempt::{OffloadError, attempt};
use super::counted::CountedDrivers;
use super::counters::DriverCounters;
use super::status::{OffloadHistory, OffloadStatus};
use super::verify::VerifyMode;
use crate::managed_ledger::{LedgerInfo, ManagedLedger, OffloadPolicy};
use crate::storage::{Clock, DriverError, DriverErrorKind, DriverLookup, DriverSettings, LedgerId, OffloadDriver};

/// Settings of the engine.
#[derive(Clone, Copy, Debug)]
pub struct OffloadSettings {
    /// Ledgers copied at once with one driver configuration (`managedLedgerOffloadMaxThreads`).
    pub attempts_max: usize,
    /// How much of a copy is compared (`longshoreOffloadVerify`).
    pub verify: VerifyMode,
    /// Time over which rates of drivers are taken (`managedLedgerStatsPeriodSeconds`), milliseconds.
    pub rate_period_ms: u64,
}

/// The engine.
pub struct Offloads {
    pub(super) clock: Arc<dyn Clock>,
    drivers: Arc<CountedDrivers>,
    counters: Arc<DriverCounters>,
    settings: OffloadSettings,
    topics: Mutex<HashMap<String, Arc<TopicOffloads>>>,
    places: Mutex<HashMap<(String, DriverSettings), Arc<Semaphore>>>,
}

/// What is known of one loaded managed ledger's offloads.
pub(super) struct TopicOffloads {
    ledger: Weak<ManagedLedger>,
    pub(super) running: tokio::sync::Mutex<()>,
    pub(super) check_queued: std::sync::atomic::AtomicBool,
    pub(super) status: Mutex<OffloadStatus>,
    history: Mutex<OffloadHistory>,
    pub(super) stop: CancellationToken,
}

impl Offloads {
    /// An engine over the given drivers.
    pub fn new(drivers: Arc<dyn DriverLookup>, clock: Arc<dyn Clock>, settings: OffloadSettings) -> Arc<Self> {
        let counters = Arc::new(DriverCounters::new(clock.clone(), settings.rate_period_ms));
        let drivers = Arc::new(CountedDrivers::new(drivers, counters.clone()));
        Arc::new(Self { clock, drivers, counters, settings, topics: Mutex::default(), places: Mutex::default() })
    }

    /// What drivers did, as far as they were found through [`counted_drivers`](Self::counted_drivers).
    pub fn counters(&self) -> &DriverCounters {
        &self.counters
    }

    /// The drivers that the engine was made over, counted: for whoever else reads and deletes cold copies.
    pub fn counted_drivers(&self) -> Arc<dyn DriverLookup> {
        self.drivers.clone()
    }

    pub(super) fn drivers(&self) -> &dyn DriverLookup {
        &*self.drivers
    }

    /// The state that belongs to exactly this loaded managed ledger: a topic that was loaded again starts anew.
    pub(super) fn topic(&self, ledger: &Arc<ManagedLedger>) -> Arc<TopicOffloads> {
        let mut topics = self.topics.lock().expect("no code panics while it holds the topics");
        let known = topics.get(ledger.name()).filter(|topic| topic.ledger.ptr_eq(&Arc::downgrade(ledger)));
        if let Some(topic) = known {
            return topic.clone();
        }
        let topic = Arc::new(TopicOffloads {
            ledger: Arc::downgrade(ledger),
            running: tokio::sync::Mutex::default(),
            check_queued: false.into(),
            status: Mutex::default(),
            history: Mutex::default(),
            stop: CancellationToken::new(),
        });
        topics.insert(ledger.name().to_owned(), topic.clone());
        topic
    }

    /// The outcome of the manual runs since the topic was loaded.
    pub fn status(&self, ledger: &Arc<ManagedLedger>) -> OffloadStatus {
        self.topic(ledger).status.lock().expect("no code panics while it holds the status").clone()
    }

    /// What happened to the topic's ledgers since it was loaded.
    pub fn history(&self, ledger: &Arc<ManagedLedger>) -> OffloadHistory {
        *self.topic(ledger).history.lock().expect("no code panics while it holds the history")
    }

    /// Whether a run is under way; such a topic must not be deleted for inactivity.
    pub fn is_running(&self, ledger: &Arc<ManagedLedger>) -> bool {
        self.topic(ledger).running.try_lock().is_err()
    }

    /// Stops the topic's run, waits for its end, and forgets the topic. Called before its managed ledger is closed: the
    /// record must have one writer.
    pub async fn stop(&self, ledger: &Arc<ManagedLedger>) {
        let topic = self.topic(ledger);
        topic.stop.cancel();
        let _ended = topic.running.lock().await;
        let mut topics = self.topics.lock().expect("no code panics while it holds the topics");
        if topics.get(ledger.name()).is_some_and(|known| Arc::ptr_eq(known, &topic)) {
            topics.remove(ledger.name());
        }
    }

    /// The loop: every chosen ledger is tried; the first error is the run's.
    pub(super) async fn run(
        &self,
        ledger: &Arc<ManagedLedger>,
        topic: &TopicOffloads,
        chosen: &[LedgerId],
    ) -> Result<(), OffloadError> {
        let policy = ledger.settings().offload.clone();
        let closed = || OffloadError::Closed(ledger.name().to_owned());
        let made = topic.stop.run_until_cancelled(self.driver(&policy)).await;
        let places = self.places(&made.ok_or_else(closed)??, &policy.driver_settings);
        let mut first_error = None;
        for ledger_id in chosen {
            // Other topics may hold the places for hours: whoever closes this one does not wait for them.
            let place = topic.stop.run_until_cancelled(places.acquire()).await.ok_or_else(closed)?;
            let _place = place.expect("the places are never closed");
            // Found anew for each ledger: a run may take hours, and a plugin that was replaced meanwhile is left at the next one.
            let made = topic.stop.run_until_cancelled(self.driver(&policy)).await;
            let driver = made.ok_or_else(closed)??;
            let copied = self.copy_one(ledger, topic, &driver, *ledger_id).await;
            if let Err(error) = copied
                && !error.is_harmless()
            {
                first_error.get_or_insert(error);
            }
        }
        first_error.map_or(Ok(()), Err)
    }

    /// Copies one ledger and remembers how it went.
    async fn copy_one(
        &self,
        ledger: &Arc<ManagedLedger>,
        topic: &TopicOffloads,
        driver: &Arc<dyn OffloadDriver>,
        ledger_id: LedgerId,
    ) -> Result<(), OffloadError> {
        let info = ledger.with_ledgers(|ledgers, _| ledgers.by_id.get(&ledger_id).cloned());
        let Some(info) = info else { return Ok(()) };
        let (managed_ledger, started_ms) = (ledger.name(), self.clock.now_ms());
        tracing::info!(
            managed_ledger,
            ledger_id = ledger_id.0,
            driver = driver.name(),
            bytes = info.size_bytes,
            "offload begins"
        );
        let copied = attempt(ledger, &info, driver, self.settings.verify, &topic.stop).await;
        let now_ms = self.clock.now_ms();
        let duration_ms = now_ms.saturating_sub(started_ms);
        match &copied {
            Ok(()) => {
                tracing::info!(
                    managed_ledger,
                    ledger_id = ledger_id.0,
                    driver = driver.name(),
                    duration_ms,
                    "offload complete"
                );
            }
            Err(error) => {
                tracing::error!(managed_ledger, ledger_id = ledger_id.0, driver = driver.name(), duration_ms, %error, "offload failed");
            }
        }
        topic.remember(&info, copied.is_ok(), now_ms);
        copied
    }

    async fn driver(&self, policy: &OffloadPolicy) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        let Some(name) = &policy.driver else {
            return Err(DriverError {
                kind: DriverErrorKind::Unclaimed,
                driver: String::new(),
                plugin: String::new(),
                code: None,
                message: "[NullLedgerOffloader] does not support offload".to_owned(),
                retryable: false,
            });
        };
        self.drivers.driver(name, &policy.driver_settings).await
    }

    fn places(&self, driver: &Arc<dyn OffloadDriver>, settings: &DriverSettings) -> Arc<Semaphore> {
        let mut places = self.places.lock().expect("no code panics while it holds the places");
        let key = (driver.name().to_owned(), settings.clone());
        places.entry(key).or_insert_with(|| Arc::new(Semaphore::new(self.settings.attempts_max.max(1)))).clone()
    }
}

impl TopicOffloads {
    fn remember(&self, info: &LedgerInfo, copied: bool, now_ms: u64) {
        let mut history = self.history.lock().expect("no code panics while it holds the history");
        if copied {
            history.last_ledger_id = Some(info.ledger_id);
            history.last_success_ms = Some(now_ms);
            history.copied_bytes += info.size_bytes;
        } else {
            history.last_failure_ms = Some(now_ms);
            history.failed_count += 1;
        }
    }
}
