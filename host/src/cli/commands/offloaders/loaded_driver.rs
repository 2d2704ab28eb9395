//! A driver of a plugin file on the bench of the conformance kit: the calls go the way that the broker's go, through the
//! host's [`OffloadDriver`] and the ABI, under the host's deadlines and checks.
//!
//! The file is copied into a folder of its own, so that no other plugin is loaded beside it; the folder goes with the bench.
//! Each instance has a [`PluginHost`] of its own, because one host keeps one instance for each configuration.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use longshore_conformance::{Bench, OpenCopy, Subject, subject::BoxFuture};
use longshore_plugin_api as plugin_api;
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerReader, OffloadRequest, Result, Retry, ScannedLedger,
};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::plugin::{PluginHost, PluginReport, PluginSettings, PluginState};
use crate::storage::{
    DriverError, DriverErrorKind, DriverLookup as _, DriverSettings, Entry, LedgerId, LedgerMetadata, OffloadDriver,
    ReadError, ReadHandle, ScanPage, ScanRequest, StoredLedger,
};

/// The key under which Pulsar keeps the managed ledger's name in a ledger's metadata.
const MANAGED_LEDGER_KEY: &str = "pulsar/managed-ledger";

/// Makes instances of one driver of one file.
pub(super) struct LoadedDriver {
    folder: PluginFolder,
    plugin: PluginSettings,
    config: DriverConfig,
    name: String,
    /// By the plugin's schema.
    secret_keys: Vec<String>,
}

impl LoadedDriver {
    /// Loads `file` to see which drivers it has. Blocks.
    ///
    /// # Errors
    /// A sentence: the file cannot be copied, is refused, or has no such driver.
    pub(super) fn new(
        file: &Path,
        plugin: PluginSettings,
        settings: DriverSettings,
        driver: WantedDriver,
    ) -> Result<Self, String> {
        let folder =
            PluginFolder::with(file).map_err(|error| format!("{} cannot be copied: {error}", file.display()))?;
        let (row, secret_keys) = folder.look(&plugin)?;
        let claimed = row.drivers.unwrap_or_default();
        let driver = driver.among(&claimed)?;
        let name = format!("{driver} of {} {}", row.name.unwrap_or_default(), row.version.unwrap_or_default());
        let DriverSettings { properties, search_folders } = settings;
        Ok(Self { folder, plugin, config: DriverConfig { driver, properties, search_folders }, name, secret_keys })
    }
}

/// Which driver of a plugin is meant.
pub(super) struct WantedDriver {
    /// As the command line says.
    pub(super) named: Option<String>,
    /// As the configuration says; another plugin may be meant.
    pub(super) configured: Option<String>,
}

impl WantedDriver {
    /// The one that is meant, in the spelling of the plugin.
    fn among(self, claimed: &[String]) -> Result<String, String> {
        let find = |name: &str| claimed.iter().find(|claim| claim.eq_ignore_ascii_case(name)).cloned();
        let list = claimed.join(", ");
        if let Some(named) = self.named {
            return find(&named).ok_or_else(|| format!("the plugin has no driver `{named}`; it has: {list}"));
        }
        match (self.configured.as_deref().and_then(find), claimed) {
            (Some(configured), _) => Ok(configured),
            (None, [only]) => Ok(only.clone()),
            (None, _) => Err(format!("the plugin has several drivers; choose one with --driver: {list}")),
        }
    }
}

/// A folder with one plugin, which goes away with it.
struct PluginFolder(PathBuf);

impl PluginFolder {
    fn with(file: &Path) -> io::Result<Self> {
        let folder = Self(std::env::temp_dir().join(format!("longshore-conformance-{}", Uuid::new_v4().simple())));
        fs::create_dir(&folder.0)?;
        fs::set_permissions(&folder.0, Permissions::from_mode(0o700))?;
        let name = file.file_name().ok_or(io::ErrorKind::InvalidInput)?;
        let copy = folder.0.join(name);
        fs::copy(file, &copy)?;
        fs::set_permissions(&copy, Permissions::from_mode(0o600))?;
        Ok(folder)
    }

    /// What becomes of the plugin when it is loaded, and which keys its schema calls secret.
    fn look(&self, settings: &PluginSettings) -> Result<(PluginReport, Vec<String>), String> {
        let host = PluginHost::load(&self.0, settings.clone());
        match host.reports().into_iter().next() {
            Some(row) if row.state == PluginState::Loaded => Ok((row, host.secret_keys().into_iter().collect())),
            Some(row) => Err(format!("{} is not loaded: {}", row.file, row.reason.unwrap_or_default())),
            None => Err("the file's name does not end in .so".to_owned()),
        }
    }
}

impl Drop for PluginFolder {
    fn drop(&mut self) {
        // A copy in the folder for temporary files that cannot be removed is the system's to tidy.
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Bench for LoadedDriver {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn config(&self) -> &DriverConfig {
        &self.config
    }

    fn validate(&self, _config: &DriverConfig) -> Option<Vec<ConfigProblem>> {
        None
    }

    fn create(&self, config: DriverConfig) -> BoxFuture<'_, Result<Arc<dyn Subject>>> {
        Box::pin(async move {
            let (folder, settings) = (self.folder.0.clone(), self.plugin.clone());
            let loading = spawn_blocking(move || PluginHost::load(&folder, settings)).await;
            let host = loading.map_err(|lost| Error::new(ErrorCode::Internal, "load the plugin").with_source(&lost))?;
            let settings = DriverSettings { properties: config.properties, search_folders: config.search_folders };
            let driver = host.driver(&config.driver, &settings).await.map_err(from_driver)?;
            Ok(Arc::new(Instance(driver)) as Arc<dyn Subject>)
        })
    }

    fn secret_keys(&self) -> Vec<String> {
        self.secret_keys.clone()
    }

    fn checks_ranges(&self) -> bool {
        true
    }
}

struct Instance(Arc<dyn OffloadDriver>);

impl Subject for Instance {
    fn driver_metadata(&self) -> BTreeMap<String, String> {
        self.0.driver_metadata()
    }

    fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> BoxFuture<'_, Result<()>> {
        let target = StoredLedger {
            ledger_id: LedgerId(request.ledger_id),
            uid: request.uid,
            managed_ledger: request.managed_ledger,
            // The host hands these on as the request's further names and values.
            driver_metadata: request.extra,
        };
        Box::pin(async move { self.0.offload(Arc::new(Lent(ledger)), target).await.map_err(from_driver) })
    }

    fn open_read(&self, stored: plugin_api::StoredLedger) -> BoxFuture<'_, Result<Arc<dyn OpenCopy>>> {
        Box::pin(async move {
            let handle = self.0.open(&for_host(stored)).await.map_err(from_driver)?;
            Ok(Arc::new(Handle(handle)) as Arc<dyn OpenCopy>)
        })
    }

    fn delete(&self, stored: plugin_api::StoredLedger) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.0.delete(&for_host(stored)).await.map_err(from_driver) })
    }

    fn scan(&self, request: plugin_api::ScanRequest) -> BoxFuture<'_, Result<plugin_api::ScanPage>> {
        Box::pin(async move {
            let request = ScanRequest { after: request.after, limit: request.limit };
            let ScanPage { ledgers, next } = self.0.scan(request).await.map_err(from_driver)?;
            let ledgers = ledgers.into_iter().map(|ledger| ScannedLedger {
                ledger_id: ledger.ledger_id.0,
                uid: ledger.uid,
                managed_ledger: ledger.managed_ledger,
                size_bytes: ledger.size_bytes,
            });
            Ok(plugin_api::ScanPage { ledgers: ledgers.collect(), next })
        })
    }

    fn health(&self) -> BoxFuture<'_, Result<()>> {
        Box::pin(async move { self.0.health().await.map_err(from_driver) })
    }

    fn shutdown(&self, deadline: Duration) -> BoxFuture<'_, ()> {
        // What is not answered is given up, by the host as here.
        Box::pin(async move { drop(self.0.shutdown(deadline).await) })
    }
}

struct Handle(Arc<dyn ReadHandle>);

impl OpenCopy for Handle {
    fn metadata(&self) -> plugin_api::LedgerMetadata {
        let metadata = self.0.metadata();
        plugin_api::LedgerMetadata {
            ledger_id: metadata.ledger_id.0,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
            created_ms: metadata.created_ms,
            closed: metadata.closed,
            // The names and values that the host gives every ledger; the last one came back with the copy.
            custom: vec![
                ("application".to_owned(), b"pulsar".to_vec()),
                ("component".to_owned(), b"managed-ledger".to_vec()),
                (MANAGED_LEDGER_KEY.to_owned(), metadata.managed_ledger.into_bytes()),
            ],
        }
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, Result<Vec<plugin_api::Entry>>> {
        Box::pin(async move {
            let entries = self.0.read(first, last, max_bytes).await.map_err(from_read)?;
            let entry = |entry: Entry| plugin_api::Entry { entry_id: entry.entry_id, payload: entry.payload };
            Ok(entries.into_iter().map(entry).collect())
        })
    }
}

/// The kit's ledger as a hot one.
struct Lent(LedgerReader);

#[async_trait]
impl ReadHandle for Lent {
    fn metadata(&self) -> LedgerMetadata {
        let metadata = self.0.metadata();
        let name = metadata.custom.iter().find(|(key, _)| key == MANAGED_LEDGER_KEY);
        LedgerMetadata {
            ledger_id: LedgerId(metadata.ledger_id),
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
            created_ms: metadata.created_ms,
            closed: metadata.closed,
            managed_ledger: name.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
        }
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let entries = self.0.read(first, last, max_bytes).await.map_err(|error| match error.is_retryable() {
            true => ReadError::Unavailable(error.to_string()),
            false => ReadError::Failed(error.to_string()),
        })?;
        Ok(entries.into_iter().map(|entry| Entry { entry_id: entry.entry_id, payload: entry.payload }).collect())
    }

    fn progress(&self, bytes: u64) {
        self.0.progress(bytes);
    }
}

fn for_host(stored: plugin_api::StoredLedger) -> StoredLedger {
    StoredLedger {
        ledger_id: LedgerId(stored.ledger_id),
        uid: stored.uid,
        managed_ledger: stored.managed_ledger,
        driver_metadata: stored.driver_metadata,
    }
}

fn from_read(error: ReadError) -> Error {
    let code = match &error {
        ReadError::Driver(_) => None,
        ReadError::Corrupt { .. } => Some(ErrorCode::Corrupt),
        ReadError::NotFound(_) => Some(ErrorCode::NotFound),
        ReadError::OutOfRange { first, last, .. } if first > last => Some(ErrorCode::InvalidArgument),
        ReadError::OutOfRange { .. } => Some(ErrorCode::OutOfRange),
        ReadError::Unavailable(_) => Some(ErrorCode::Unavailable),
        _ => Some(ErrorCode::Internal),
    };
    match (code, error) {
        (None, ReadError::Driver(error)) => from_driver(error),
        (code, error) => Error::new(code.unwrap_or(ErrorCode::Internal), error.to_string()),
    }
}

/// The plugin's own error again; where the host itself says so, what comes next to its kind.
fn from_driver(error: DriverError) -> Error {
    let own = error.code.as_deref().and_then(named_code);
    let code = own.unwrap_or(match error.kind {
        DriverErrorKind::NotFound => ErrorCode::NotFound,
        DriverErrorKind::Corrupt => ErrorCode::Corrupt,
        DriverErrorKind::Panicked => ErrorCode::Panicked,
        DriverErrorKind::Timeout => ErrorCode::Timeout,
        DriverErrorKind::InvalidConfig => ErrorCode::InvalidConfig,
        DriverErrorKind::Unsupported => ErrorCode::Unsupported,
        DriverErrorKind::Misbehaved => ErrorCode::Misbehaved,
        _ => ErrorCode::Internal,
    });
    let retry = if error.retryable { Retry::Later } else { Retry::Never };
    Error::new(code, error.to_string()).with_retry(retry)
}

/// The code of a name, or of the number that stands for one that this version does not know.
fn named_code(name: &str) -> Option<ErrorCode> {
    (1..=u32::from(u8::MAX)).map(ErrorCode).find(|code| code.to_string() == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugins_own_code_comes_back_whatever_the_message_ends_with() {
        let error = |code: Option<&str>, kind| DriverError {
            kind,
            driver: "tape".to_owned(),
            plugin: "tape 1.0.0".to_owned(),
            code: code.map(str::to_owned),
            message: "offload: taken (Unavailable)".to_owned(),
            retryable: false,
        };
        assert_eq!(from_driver(error(Some("Conflict"), DriverErrorKind::Failed)).code(), ErrorCode::Conflict);
        assert_eq!(from_driver(error(Some("code 77"), DriverErrorKind::Failed)).code(), ErrorCode(77));
        assert_eq!(from_driver(error(None, DriverErrorKind::Timeout)).code(), ErrorCode::Timeout);
        assert_eq!(from_driver(error(None, DriverErrorKind::Failed)).code(), ErrorCode::Internal);
    }

    #[test]
    fn the_driver_that_is_meant_is_found_in_the_plugins_spelling() {
        let wanted = |named: Option<&str>, configured: Option<&str>, claimed: &[&str]| {
            let text = |name: &str| name.to_owned();
            let wanted = WantedDriver { named: named.map(text), configured: configured.map(text) };
            wanted.among(&claimed.iter().map(|name| text(name)).collect::<Vec<_>>())
        };
        assert_eq!(wanted(Some("S3"), Some("b"), &["s3", "b"]), Ok("s3".to_owned()));
        assert_eq!(wanted(None, Some("B"), &["s3", "b"]), Ok("b".to_owned()));
        assert_eq!(wanted(None, Some("filesystem"), &["s3"]), Ok("s3".to_owned()));
        assert!(wanted(None, None, &["s3", "b"]).unwrap_err().contains("--driver: s3, b"));
        assert!(wanted(Some("x"), None, &["s3"]).unwrap_err().contains("it has: s3"));
    }
}
