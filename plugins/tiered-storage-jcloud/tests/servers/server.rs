//! The servers that the environment names, and drivers on them.

use std::collections::{BTreeMap, BTreeSet};
use std::env;

use bytes::Bytes;
use longshore_conformance::table::Place;
use longshore_plugin_api::{
    DriverConfig, Entry, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, ReadHandle, Result, ScanRequest,
    StoredLedger,
};
use tiered_storage_jcloud::{ObjectStoreFactory, ObjectStoreOffloader};
use uuid::Uuid;

pub(crate) const MANAGED_LEDGER: &str = "public/default/persistent/orders";

/// A server that speaks S3.
#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) name: &'static str,
    pub(crate) endpoint: String,
    pub(crate) bucket: String,
    pub(crate) access_key: String,
    pub(crate) secret_key: String,
}

impl Server {
    /// Every server that is named.
    pub(crate) fn all() -> Vec<Self> {
        [("S3", "SeaweedFS"), ("MINIO", "MinIO")]
            .iter()
            .filter_map(|(name, server)| Self::named(name, server))
            .collect()
    }

    fn named(name: &str, server: &'static str) -> Option<Self> {
        let value = |what: &str| env::var(format!("LONGSHORE_TEST_{name}_{what}")).ok().filter(|it| !it.is_empty());
        let server = (|| {
            Some(Self {
                name: server,
                endpoint: value("ENDPOINT")?,
                bucket: value("BUCKET")?,
                access_key: value("ACCESS_KEY")?,
                secret_key: value("SECRET_KEY")?,
            })
        })();
        if server.is_none() {
            let variables = format!("LONGSHORE_TEST_{name}_ENDPOINT, _BUCKET, _ACCESS_KEY and _SECRET_KEY");
            assert!(!is_required(name), "{variables} are not set, and LONGSHORE_REQUIRE_SERVERS names {name}");
            eprintln!("skipped: no server {name}: start one of scripts/servers and set {variables}");
        }
        server
    }

    pub(crate) fn place<'a>(&self, driver: &'a str) -> Place<'a> {
        Place { driver, server: self.name }
    }

    /// The configuration of a driver in the bucket, with further keys that overrule.
    pub(crate) fn config(&self, driver: &str, more: &[(&str, &str)]) -> DriverConfig {
        let prefix = if driver == "aws-s3" { "s3ManagedLedgerOffload" } else { "managedLedgerOffload" };
        let mut properties = BTreeMap::from([
            (format!("{prefix}Bucket"), self.bucket.clone()),
            (format!("{prefix}ServiceEndpoint"), self.endpoint.clone()),
            ("s3ManagedLedgerOffloadCredentialId".to_owned(), self.access_key.clone()),
            ("s3ManagedLedgerOffloadCredentialSecret".to_owned(), self.secret_key.clone()),
        ]);
        properties.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        DriverConfig { driver: driver.to_owned(), properties, search_folders: Vec::new() }
    }

    pub(crate) async fn driver(&self, driver: &str, more: &[(&str, &str)]) -> ObjectStoreOffloader {
        let config = self.config(driver, more);
        assert_eq!(ObjectStoreFactory::validate(&config), []);
        ObjectStoreFactory::create(config).await.unwrap()
    }
}

/// Whether a test without this server is a failure.
pub(crate) fn is_required(name: &str) -> bool {
    let names = env::var("LONGSHORE_REQUIRE_SERVERS").unwrap_or_default();
    names.split_whitespace().any(|required| required == name || required == "all")
}

/// A copy that nobody else has.
pub(crate) fn new_copy(driver: &ObjectStoreOffloader, ledger_id: u64) -> StoredLedger {
    StoredLedger {
        ledger_id,
        uid: Uuid::new_v4(),
        managed_ledger: MANAGED_LEDGER.to_owned(),
        driver_metadata: driver.driver_metadata(),
    }
}

/// Entries of this many bytes each, no two alike.
pub(crate) fn payloads(entries: usize, bytes: usize) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(bytes as u64);
    (0..entries).map(|_| std::iter::repeat_with(|| random.u8(..)).take(bytes).collect()).collect()
}

pub(crate) async fn offload(driver: &ObjectStoreOffloader, stored: &StoredLedger, payloads: &[Bytes]) -> Result<()> {
    let ledger = LedgerReader::in_memory(stored.ledger_id, payloads.to_vec());
    let StoredLedger { ledger_id, uid, managed_ledger, driver_metadata } = stored.clone();
    driver.offload(ledger, OffloadRequest { ledger_id, uid, managed_ledger, extra: driver_metadata }).await
}

pub(crate) async fn read_all(driver: &ObjectStoreOffloader, stored: &StoredLedger) -> Result<Vec<Bytes>> {
    let handle = driver.open_read(stored.clone()).await?;
    let entries = handle.metadata().entry_count;
    let mut read: Vec<Entry> = Vec::new();
    while (read.len() as u64) < entries {
        read.extend(handle.read(read.len() as u64, entries - 1, 8 << 20).await?);
    }
    Ok(read.into_iter().map(|entry| entry.payload).collect())
}

/// The key of a copy's data object.
pub(crate) fn data_key(stored: &StoredLedger) -> String {
    format!("{}-ledger-{}", stored.uid, stored.ledger_id)
}

/// All copies that a scan finds, in pages of `limit`.
pub(crate) async fn scan(driver: &impl Offloader, limit: u32) -> BTreeSet<(u64, String)> {
    let (mut found, mut after) = (BTreeSet::new(), None);
    loop {
        let page = driver.scan(ScanRequest { after, limit }).await.unwrap();
        found.extend(page.ledgers.iter().map(|it| (it.ledger_id, it.uid.to_string())));
        after = page.next;
        if after.is_none() {
            return found;
        }
    }
}
