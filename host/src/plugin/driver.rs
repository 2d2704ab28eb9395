//! A driver's instance inside a plugin as the host's [`OffloadDriver`].

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore_plugin_api::abi::requests::from_pairs;
use longshore_plugin_api::abi::{
    FfiCallContext, FfiDriverConfig, FfiOffloadRequest, FfiScanPage, FfiScanRequest, FfiStoredLedger, OffloaderBox,
};
use longshore_plugin_api::{self as plugin_api, ConfigProblem, DriverConfig};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tracing::{Instrument, Span};

use super::calls::{Call, DriverCalls, ERROR_CHARS_MAX, settled};
use super::config_schema::check::{Checked, check, schema_of, with_own_keys, without_secrets};
use super::figures::Verb;
use super::freed_memory::{GivesBack, give_back_memory};
use super::lent_ledger::{Loan, Progress};
use super::loaded::LoadedPlugin;
use super::read_handle::ColdLedger;
use super::secrets;
use crate::storage::{
    DriverError, DriverErrorKind, DriverOrigin, DriverSettings, LedgerId, OffloadDriver, ReadHandle, ScanPage,
    ScanRequest, ScannedLedger, StoredLedger,
};

/// How much longer than its own deadline a plugin's shutdown may take before it is given up.
const SHUTDOWN_GRACE: Duration = Duration::from_millis(500);

/// Between two looks at calls that do not end while a plugin is shut down.
const STUCK_GRACE: Duration = Duration::from_millis(500);

/// The most bytes of names and values that a driver may have recorded with each ledger.
const DRIVER_METADATA_BYTES_MAX: usize = 64 * 1024;

/// The longest token between two pages of a listing, in bytes.
const SCAN_TOKEN_BYTES_MAX: usize = 16 * 1024;

/// One driver with one configuration.
pub(super) struct PluginDriver {
    calls: Arc<DriverCalls>,
    driver_metadata: BTreeMap<String, String>,
}

impl PluginDriver {
    /// Checks `settings`, by the plugin's schema and then by the plugin, and makes the instance. No error shows a secret.
    ///
    /// # Errors
    /// `InvalidConfig` with every problem; what the plugin's factory says; a deadline.
    pub(super) async fn create(
        plugin: Arc<LoadedPlugin>,
        name: &str,
        settings: &DriverSettings,
    ) -> Result<Self, DriverError> {
        let settings = &with_own_keys(&plugin.note, settings, &plugin.settings.foreign_properties);
        let Checked { problems, warnings } = check(&plugin.note, name, &settings.properties);
        for warning in warnings {
            tracing::warn!(plugin = plugin.label(), driver = name, warning, "configuration of a driver");
        }
        if !problems.is_empty() {
            return Err(invalid(&plugin, name, &problems));
        }
        // Before the plugin sees them: from here on it may tell them.
        if let Some(schema) = schema_of(&plugin.note) {
            secrets::remember(
                schema.secrets().filter_map(|key| settings.properties.get(key)).map(|value| value.trim()),
            );
        }
        let made = Self::make(Arc::clone(&plugin), name, settings).await;
        made.map_err(|error| {
            let message = without_secrets(&plugin.note, &settings.properties, error.message);
            DriverError { message, ..error }
        })
    }

    async fn make(plugin: Arc<LoadedPlugin>, name: &str, settings: &DriverSettings) -> Result<Self, DriverError> {
        let config = FfiDriverConfig::from(DriverConfig {
            driver: name.to_owned(),
            properties: settings.properties.clone(),
            search_folders: settings.search_folders.clone(),
        });
        let maker = plugin.homes.maker(&config, &plugin.settings.isolation);
        let calls = DriverCalls::new(plugin, name);
        let validate = Call::of(Verb::Validate);
        let maker = maker.map_err(|problem| calls.error(validate, DriverErrorKind::Failed, &problem, false))?;
        let problems = calls.call(validate, |context| maker.validate(context, config.clone())).await?;
        if !problems.is_empty() {
            let problems: Vec<ConfigProblem> = problems.into_iter().map(ConfigProblem::from).collect();
            return Err(invalid(&calls.plugin, name, &problems));
        }
        let create = |context| maker.create(context, config);
        let (offloader, driver_metadata) = calls.call_for(Call::of(Verb::Create), create, with_metadata).await?;
        calls.keep(offloader);
        Ok(Self { calls, driver_metadata })
    }

    /// Whoever holds the rules of its calls beside the driver itself: open copies.
    pub(super) fn user_count(&self) -> usize {
        Arc::strong_count(&self.calls) - 1
    }

    /// Ends when all that the plugin is busy with are calls that nobody waits for, and the same number of them twice in a row: code
    /// that does not await is never interrupted, so that a shutdown would wait for them in vain.
    async fn stuck_calls(&self) -> u64 {
        let mut before = None;
        loop {
            sleep(STUCK_GRACE).await;
            let library = self.calls.plugin.homes.library;
            let inside = library.map_or(0, |library| library.stats().calls);
            let nobody_waits = self.calls.plugin.calls_running() == 0;
            let stuck = (inside > 0 && nobody_waits).then_some(inside);
            if let (Some(stuck), true) = (stuck, stuck == before) {
                return stuck;
            }
            before = stuck;
        }
    }

    fn stalled(&self, call: Call, progress: &Progress) -> DriverError {
        let limit = self.calls.plugin.settings.offload_stall_timeout.as_millis();
        let waits = progress.reads_running();
        let text = format!(
            "no entry was asked for and no byte reached the store within offloadersOffloadStallTimeoutMs={limit} \
             ({waits} reads of the host's ledger were running); the offload was given up"
        );
        self.calls.timed_out(call, &text)
    }
}

/// What goes with an offload: what the driver wanted recorded with the ledger, and what the host says of itself.
fn extra(recorded: BTreeMap<String, String>, about_host: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    about_host.clone().into_iter().chain(recorded).collect()
}

/// The error that tells every problem of a configuration.
fn invalid(plugin: &LoadedPlugin, driver: &str, problems: &[ConfigProblem]) -> DriverError {
    let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
    DriverError {
        kind: DriverErrorKind::InvalidConfig,
        driver: driver.to_owned(),
        plugin: plugin.label(),
        code: None,
        message: problems.join("; ").chars().take(ERROR_CHARS_MAX).collect(),
        retryable: false,
    }
}

#[async_trait]
impl OffloadDriver for PluginDriver {
    fn name(&self) -> &str {
        &self.calls.driver
    }

    fn origin(&self) -> DriverOrigin {
        self.calls.plugin.origin()
    }

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        self.driver_metadata.clone()
    }

    async fn offload(&self, ledger: Arc<dyn ReadHandle>, target: StoredLedger) -> Result<(), DriverError> {
        let call = Call::on(Verb::Offload, &target);
        self.calls.pass(call)?;
        let settings = &self.calls.plugin.settings;
        let running = self.calls.counters.begin(Verb::Offload);
        let _permit = self.calls.permit(call, Instant::now() + settings.call_timeout).await?;
        let bytes_in = Arc::clone(&self.calls.counters);
        let loan = Loan::new(ledger, &target.managed_ledger, settings.ledger_read_bytes_max, bytes_in);
        let request = FfiOffloadRequest::from(plugin_api::OffloadRequest {
            ledger_id: target.ledger_id.0,
            uid: target.uid,
            managed_ledger: target.managed_ledger,
            extra: extra(target.driver_metadata, &settings.about_host),
        });
        let span = self.calls.span(call);
        // It has no limit on the whole.
        let context = FfiCallContext { timeout_ms: 0, ..self.calls.context(span.as_ref()) };
        give_back_memory();
        let _at_its_end_too = GivesBack;
        let offload = settled(self.calls.offloader().offload(context, loan.reader(), request));
        let mut offload = pin!(offload.instrument(span.unwrap_or_else(Span::none)));
        loop {
            let stalls_at = loan.progress().last() + settings.offload_stall_timeout;
            tokio::select! {
                biased;
                answer = &mut offload => {
                    running.end();
                    return self.calls.judge(call, answer, Ok);
                }
                () = sleep_until(stalls_at) => {}
            }
            if loan.progress().last() + settings.offload_stall_timeout <= Instant::now() {
                running.end();
                return Err(self.stalled(call, loan.progress()));
            }
        }
    }

    async fn open(&self, stored: &StoredLedger) -> Result<Arc<dyn ReadHandle>, DriverError> {
        let call = Call::on(Verb::Open, stored);
        let open = |context| self.calls.offloader().open_read(context, for_plugin(stored));
        let take = |handle| ColdLedger::new(Arc::clone(&self.calls), stored.ledger_id, handle);
        Ok(Arc::new(self.calls.call_for(call, open, take).await?))
    }

    async fn delete(&self, stored: &StoredLedger) -> Result<(), DriverError> {
        let delete = |context| self.calls.offloader().delete(context, for_plugin(stored));
        self.calls.call(Call::on(Verb::Delete, stored), delete).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage, DriverError> {
        let ScanRequest { after, limit } = ScanRequest { limit: request.limit.max(1), ..request };
        let asked = FfiScanRequest::from(plugin_api::ScanRequest { after: after.clone(), limit });
        let scan = |context| self.calls.offloader().scan(context, asked);
        let take = |page| {
            let page = from_plugin(page);
            check_page(&page, after.as_deref(), limit).map(|()| page)
        };
        self.calls.call_for(Call::of(Verb::Scan), scan, take).await
    }

    async fn health(&self) -> Result<(), DriverError> {
        let health = |context| self.calls.offloader().health(context);
        self.calls.call(Call::of(Verb::Health), health).await
    }

    async fn shutdown(&self, deadline: Duration) -> Result<u64, DriverError> {
        let call = Call::of(Verb::Shutdown);
        let running = self.calls.counters.begin(Verb::Shutdown);
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        let context = FfiCallContext { timeout_ms: deadline_ms, ..self.calls.context(None) };
        let shutdown = settled(self.calls.offloader().shutdown(context, deadline_ms));
        let answer = tokio::select! {
            biased;
            answer = timeout(deadline + SHUTDOWN_GRACE, shutdown) => answer.map_err(|_| {
                format!("no answer within {} ms; the call was given up", deadline.as_millis())
            }),
            stuck = self.stuck_calls() => Err(format!(
                "{stuck} calls that the host gave up have not ended inside the plugin, nothing else is waited for"
            )),
        };
        running.end();
        match answer {
            Ok(answer) => self.calls.judge(call, answer, Ok),
            Err(text) => Err(self.calls.timed_out(call, &text)),
        }
    }
}

/// An instance with the names and values that it wants recorded with each ledger; a sentence, where they are too many.
fn with_metadata(offloader: OffloaderBox) -> Result<(OffloaderBox, BTreeMap<String, String>), String> {
    let metadata = from_pairs(offloader.driver_metadata());
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > DRIVER_METADATA_BYTES_MAX {
        return Err(format!(
            "the plugin wants {bytes} bytes recorded with each ledger, {DRIVER_METADATA_BYTES_MAX} are allowed"
        ));
    }
    Ok((offloader, metadata))
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
    fn what_the_driver_recorded_goes_before_what_the_host_says() {
        let pairs = |pairs: &[(&str, &str)]| -> BTreeMap<String, String> {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let extra = extra(pairs(&[("bucket", "b"), ("x", "driver's")]), &pairs(&[("x", "host's"), ("cluster", "c")]));
        assert_eq!(extra, pairs(&[("bucket", "b"), ("x", "driver's"), ("cluster", "c")]));
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
