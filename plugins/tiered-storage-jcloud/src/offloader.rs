//! The driver: everything but the choice of the bucket is `block-format`'s.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use block_format::user_metadata::SOFTWARE_VERSION;
use block_format::{CopyEngine, CopyHandle};
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, Result,
    ScanPage, ScanRequest, StoredLedger,
};

use crate::config::Settings;
use crate::environment::Environment;

/// Names that the original records with each ledger. It reads back the bucket alone, and so do we.
const RECORDED_DRIVER: &str = "managedLedgerOffloadDriver";
const RECORDED_BUCKET: &str = "bucket";
const RECORDED_REGION: &str = "region";
const RECORDED_ENDPOINT: &str = "serviceEndpoint";
const RECORDED: [&str; 4] = [RECORDED_DRIVER, RECORDED_BUCKET, RECORDED_REGION, RECORDED_ENDPOINT];

/// Buckets of earlier configurations that are open for reading at once; each has its own caches.
const OTHER_BUCKETS_MAX: usize = 8;

/// Makes the drivers.
#[derive(Debug)]
pub struct ObjectStoreFactory;

impl OffloaderFactory for ObjectStoreFactory {
    type Offloader = ObjectStoreOffloader;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        Settings::read(config, &Environment::of_process()).err().unwrap_or_default()
    }

    async fn create(config: DriverConfig) -> Result<ObjectStoreOffloader> {
        let settings = Settings::read(&config, &Environment::of_process()).map_err(|problems| {
            let problems: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Error::new(ErrorCode::InvalidConfig, problems.join("; "))
        })?;
        let engine = open_bucket(&settings, &settings.place.bucket)?;
        Ok(ObjectStoreOffloader { settings, engine, others: Mutex::default() })
    }
}

/// Keeps ledgers in a bucket of an object store.
#[derive(Debug)]
pub struct ObjectStoreOffloader {
    settings: Settings,
    engine: Arc<CopyEngine>,
    /// Buckets that ledgers were recorded with before the configuration named another one.
    others: Mutex<BTreeMap<String, Arc<CopyEngine>>>,
}

impl ObjectStoreOffloader {
    /// The bucket that a ledger was recorded with. Old versions recorded none: it is the configured one then.
    fn engine_of(&self, stored: &StoredLedger) -> Result<Arc<CopyEngine>> {
        let recorded = stored.driver_metadata.get(RECORDED_BUCKET).map(String::as_str).unwrap_or_default();
        if recorded.is_empty() || recorded == self.settings.place.bucket {
            return Ok(self.engine.clone());
        }
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(engine) = others.get(recorded) {
            return Ok(engine.clone());
        }
        if others.len() == OTHER_BUCKETS_MAX {
            // Handles that it opened keep what they need.
            others.pop_first();
        }
        let engine = open_bucket(&self.settings, recorded)?;
        others.insert(recorded.to_owned(), engine.clone());
        Ok(engine)
    }
}

impl Offloader for ObjectStoreOffloader {
    type ReadHandle = CopyHandle;

    fn driver_metadata(&self) -> BTreeMap<String, String> {
        let place = &self.settings.place;
        let driver = self.settings.store.driver().recorded_name();
        let values = [driver, &place.bucket, &place.region, &place.endpoint_given];
        RECORDED.iter().zip(values).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()
    }

    async fn offload(&self, ledger: LedgerReader, mut request: OffloadRequest) -> Result<()> {
        // What is recorded with the ledger is not repeated beside its objects.
        request.extra.retain(|name, _| !RECORDED.contains(&name.as_str()));
        let version = || concat!("longshore ", env!("CARGO_PKG_VERSION")).to_owned();
        request.extra.entry(SOFTWARE_VERSION.to_owned()).or_insert_with(version);
        self.engine.offload(ledger, request).await
    }

    async fn open_read(&self, stored: StoredLedger) -> Result<CopyHandle> {
        self.engine_of(&stored)?.open_read(&stored).await
    }

    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        self.engine_of(&stored)?.delete(&stored).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanPage> {
        self.engine.scan(&request).await
    }

    async fn health(&self) -> Result<()> {
        self.engine.health().await
    }
}

fn open_bucket(settings: &Settings, bucket: &str) -> Result<Arc<CopyEngine>> {
    Ok(Arc::new(CopyEngine::new(settings.bucket(bucket)?, settings.engine)?))
}
