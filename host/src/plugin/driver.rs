//! A driver's instance inside a plugin as the host's [`OffloadDriver`].

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore_plugin_api::abi::requests::from_pairs;
use longshore_plugin_api::abi::{
    FfiDriverConfig, FfiOffloadRequest, FfiScanPage, FfiScanRequest, FfiStoredLedger, OffloaderBox,
};
use longshore_plugin_api::{self as plugin_api, ConfigProblem, DriverConfig};
use tokio::time::{Instant, sleep_until, timeout};

use super::lent_ledger::{Loan, Progress};
use super::loaded::{Call, ERROR_CHARS_MAX, LoadedPlugin, settled};
use super::read_handle::ColdLedger;
use crate::storage::{
    DriverError, DriverErrorKind, DriverOrigin, DriverSettings, LedgerId, OffloadDriver, ReadHandle, ScanPage,
    ScanRequest, ScannedLedger, StoredLedger,
};

/// How much longer than its own deadline a plugin's shutdown may take before it is given up.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// The most bytes of names and values that a driver may have recorded with each ledger.
const DRIVER_METADATA_BYTES_MAX: usize = 64 * 1024;

/// The longest token between two pages of a listing, in bytes.
const SCAN_TOKEN_BYTES_MAX: usize = 16 * 1024;

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
        let problems = plugin.call(check, |context| plugin.module.validate()(context, config.clone())).await?;
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
        let offloader = plugin.call(create, |context| plugin.module.create()(context, config)).await?;
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
        let mut offload = pin!(settled(self.offloader.offload(self.plugin.context(), loan.reader(), request)));
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
        let handle = self.plugin.call(call, |context| self.offloader.open_read(context, for_plugin(stored))).await?;
        match ColdLedger::new(Arc::clone(&self.plugin), self.name.clone(), stored.ledger_id, handle) {
            Ok(handle) => Ok(Arc::new(handle)),
            Err(problem) => Err(self.plugin.misbehaved(call, &problem)),
        }
    }

    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError> {
        let what = format!("delete ledger {} as {}", stored.ledger_id, stored.uid);
        self.plugin.call(self.call(&what), |context| self.offloader.delete(context, for_plugin(stored))).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage, DriverError> {
        let call = self.call("list the copies");
        let ScanRequest { after, limit } = request;
        let asked = FfiScanRequest::from(plugin_api::ScanRequest { after: after.clone(), limit: limit.max(1) });
        let page = self.plugin.call(call, |context| self.offloader.scan(context, asked)).await?;
        let page = from_plugin(page);
        check_page(&page, after.as_deref(), limit.max(1)).map_err(|problem| self.plugin.misbehaved(call, &problem))?;
        Ok(page)
    }

    async fn health(&self) -> Result<(), DriverError> {
        self.plugin.call(self.call("health"), |context| self.offloader.health(context)).await
    }

    async fn shutdown(&self, deadline: Duration) -> Result<u64, DriverError> {
        let call = self.call("shut the driver down");
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let shutdown = settled(self.offloader.shutdown(self.plugin.context(), deadline_ms));
        match timeout(deadline + SHUTDOWN_GRACE, shutdown).await {
            Ok(answer) => self.plugin.judge(call, answer),
            Err(_) => {
                let text = format!("no answer within {} ms; the call was given up", deadline.as_millis());
                Err(self.plugin.fault(call, DriverErrorKind::Timeout, &text, false))
            }
        }
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

fn from_plugin(page: FfiScanPage) -> ScanPage {
    let plugin_api::ScanPage { ledgers, next } = page.into();
    let ledgers = ledgers.into_iter().map(|ledger| ScannedLedger {
        ledger_id: LedgerId(ledger.ledger_id),
        uid: ledger.uid,
        managed_ledger: ledger.managed_ledger,
        size_bytes: ledger.size_bytes,
    });
    ScanPage { ledgers: ledgers.collect(), next }
}

/// Whether a page is a possible answer; the sentence says why not.
fn check_page(page: &ScanPage, after: Option<&str>, limit: u32) -> Result<(), String> {
    if page.ledgers.len() as u64 > u64::from(limit) {
        return Err(format!("the plugin answered with {} copies where {limit} were allowed", page.ledgers.len()));
    }
    match &page.next {
        Some(next) if Some(next.as_str()) == after => {
            Err("the plugin answered with the page's own beginning as that of the next page".to_owned())
        }
        Some(next) if next.len() > SCAN_TOKEN_BYTES_MAX => {
            Err(format!("the plugin answered with a token of {} bytes, {SCAN_TOKEN_BYTES_MAX} are allowed", next.len()))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(count: u64, next: Option<&str>) -> ScanPage {
        let ledger =
            |id| ScannedLedger { ledger_id: LedgerId(id), uid: uuid::Uuid::nil(), managed_ledger: None, size_bytes: 1 };
        ScanPage { ledgers: (0..count).map(ledger).collect(), next: next.map(str::to_owned) }
    }

    #[test]
    fn only_pages_that_lead_on_pass() {
        assert_eq!(check_page(&page(2, Some("b")), Some("a"), 2), Ok(()));
        assert_eq!(check_page(&page(0, Some("b")), None, 2), Ok(()));
        assert_eq!(check_page(&page(0, None), Some("a"), 2), Ok(()));
        let long = "x".repeat(SCAN_TOKEN_BYTES_MAX + 1);
        for (page, after) in [(page(3, None), None), (page(1, Some("a")), Some("a")), (page(1, Some(&long)), None)] {
            assert!(check_page(&page, after, 2).is_err());
        }
    }
}
