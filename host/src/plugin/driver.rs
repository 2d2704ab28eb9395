//! A driver's instance inside a plugin as the host's [`OffloadDriver`].

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore_plugin_api::abi::requests::from_pairs;
use longshore_plugin_api::abi::{FfiDriverConfig, FfiOffloadRequest, FfiStoredLedger, OffloaderBox};
use longshore_plugin_api::{self as plugin_api, ConfigProblem, DriverConfig};
use tokio::time::{Instant, sleep_until, timeout};

use super::lent_ledger::{Loan, Progress};
use super::loaded::{Call, ERROR_CHARS_MAX, LoadedPlugin, Settled, settled};
use super::read_handle::ColdLedger;
use crate::storage::{
    DriverError, DriverErrorKind, DriverOrigin, DriverSettings, OffloadDriver, ReadHandle, StoredLedger,
};

/// How much longer than its own deadline a plugin's shutdown may take before it is given up.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// The most bytes of names and values that a driver may have recorded with each ledger.
const DRIVER_METADATA_BYTES_MAX: usize = 64 * 1024;

/// One driver with one configuration.
pub(super) struct PluginDriver {
    plugin: Arc<LoadedPlugin>,
    /// In the claimed spelling.
    name: String,
    offloader: OffloaderBox,
    driver_metadata: BTreeMap<String, String>,
}

impl PluginDriver {
    /// Checks `settings` and makes the instance.
    ///
    /// # Errors
    /// `InvalidConfig` with every problem; what the plugin's factory says; a deadline.
    pub(super) async fn create(
        plugin: Arc<LoadedPlugin>,
        name: &str,
        settings: &DriverSettings,
    ) -> Result<Self, DriverError> {
        let config = FfiDriverConfig::from(DriverConfig {
            driver: name.to_owned(),
            properties: settings.properties.clone(),
            search_folders: settings.search_folders.clone(),
        });
        let check = Call { driver: name, what: "check the configuration" };
        let problems = plugin.call(check, || plugin.module.validate(config.clone())).await?;
        if !problems.is_empty() {
            let problems: Vec<String> = problems.into_iter().map(|p| ConfigProblem::from(p).to_string()).collect();
            return Err(DriverError {
                kind: DriverErrorKind::InvalidConfig,
                driver: name.to_owned(),
                plugin: plugin.label(),
                message: problems.join("; ").chars().take(ERROR_CHARS_MAX).collect(),
                retryable: false,
            });
        }
        let create = Call { driver: name, what: "create the driver" };
        let offloader = plugin.call(create, || plugin.module.create(config)).await?;
        let driver_metadata = from_pairs(offloader.driver_metadata());
        let bytes: usize = driver_metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
        if bytes > DRIVER_METADATA_BYTES_MAX {
            let problem = format!(
                "the plugin wants {bytes} bytes recorded with each ledger, {DRIVER_METADATA_BYTES_MAX} are allowed"
            );
            return Err(plugin.misbehaved(create, &problem));
        }
        Ok(Self { plugin, name: name.to_owned(), offloader, driver_metadata })
    }

    /// Lets the plugin finish; the answer is how many of its calls were given up, or `None` where it did not answer.
    pub(super) async fn shutdown(&self, deadline: Duration) -> Option<u64> {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        match timeout(deadline + SHUTDOWN_GRACE, settled(self.offloader.shutdown(deadline_ms))).await {
            Ok(Settled::Answer(abandoned)) => Some(abandoned),
            Ok(Settled::Error(_) | Settled::Unwound) | Err(_) => None,
        }
    }

    fn call<'a>(&'a self, what: &'a str) -> Call<'a> {
        Call { driver: &self.name, what }
    }

    fn stalled(&self, call: Call<'_>, progress: &Progress) -> DriverError {
        let limit = self.plugin.settings.offload_stall_timeout.as_millis();
        let waits = progress.reads_running();
        let text = format!(
            "no entry was asked for and no byte reached the store within offloadersOffloadStallTimeoutMs={limit} \
             ({waits} reads of the host's ledger were running); the offload was given up"
        );
        self.plugin.fault(call, DriverErrorKind::Timeout, &text, true)
    }
}

#[async_trait]
impl OffloadDriver for PluginDriver {
    fn name(&self) -> &str {
        &self.name
    }

    fn origin(&self) -> DriverOrigin {
        self.plugin.origin()
    }

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        self.driver_metadata.clone()
    }

    async fn offload(&self, ledger: Arc<dyn ReadHandle>, target: StoredLedger) -> Result<(), DriverError> {
        let what = format!("offload ledger {} as {}", target.ledger_id, target.uid);
        let call = self.call(&what);
        let begin_by = Instant::now() + self.plugin.settings.call_timeout;
        let _permit = self.plugin.permit(call, begin_by).await?;
        let loan = Loan::new(ledger, &target.managed_ledger, self.plugin.settings.ledger_read_bytes_max);
        let request = FfiOffloadRequest::from(plugin_api::OffloadRequest {
            ledger_id: target.ledger_id.0,
            uid: target.uid,
            managed_ledger: target.managed_ledger,
            extra: target.driver_metadata,
        });
        let mut offload = pin!(settled(self.offloader.offload(loan.reader(), request)));
        loop {
            let stalls_at = loan.progress().last() + self.plugin.settings.offload_stall_timeout;
            tokio::select! {
                biased;
                answer = &mut offload => return self.plugin.judge(call, answer),
                () = sleep_until(stalls_at) => {}
            }
            if loan.progress().last() + self.plugin.settings.offload_stall_timeout <= Instant::now() {
                return Err(self.stalled(call, loan.progress()));
            }
        }
    }

    async fn open(&self, stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        let what = format!("open ledger {} as {}", stored.ledger_id, stored.uid);
        let call = self.call(&what);
        let handle = self.plugin.call(call, || self.offloader.open_read(for_plugin(stored))).await?;
        match ColdLedger::new(Arc::clone(&self.plugin), self.name.clone(), stored.ledger_id, handle) {
            Ok(handle) => Ok(Arc::new(handle)),
            Err(problem) => Err(self.plugin.misbehaved(call, &problem)),
        }
    }

    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError> {
        let what = format!("delete ledger {} as {}", stored.ledger_id, stored.uid);
        self.plugin.call(self.call(&what), || self.offloader.delete(for_plugin(stored))).await
    }

    async fn health(&self) -> Result<(), DriverError> {
        self.plugin.call(self.call("health"), || self.offloader.health()).await
    }
}

fn for_plugin(stored: &StoredLedger) -> FfiStoredLedger {
    FfiStoredLedger::from(plugin_api::StoredLedger {
        ledger_id: stored.ledger_id.0,
        uid: stored.uid,
        managed_ledger: stored.managed_ledger.clone(),
        driver_metadata: stored.driver_metadata.clone(),
    })
}
