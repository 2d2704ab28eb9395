//! A driver on the small store, with a fault in front.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::{
    DriverConfig, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, ReadHandle, Result, StoredLedger,
};
use tiered_storage_jcloud::{ObjectStoreFactory, ObjectStoreOffloader};
use uuid::Uuid;

use crate::stub::s3::MiniS3;
use crate::stub::{Reply, Seen, Stub};

pub(crate) const SECRET: &str = "hush-hush-hush";
const MANAGED_LEDGER: &str = "public/default/persistent/orders";

pub(crate) struct Rig {
    pub(crate) stub: Stub,
    pub(crate) store: Arc<MiniS3>,
}

impl Rig {
    /// A store whose answers are `fault`'s, where it has one.
    pub(crate) async fn new(fault: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        Self::on(MiniS3::new(true), fault).await
    }

    pub(crate) async fn on(store: MiniS3, fault: impl Fn(&Seen) -> Option<Reply> + Send + Sync + 'static) -> Self {
        let store = Arc::new(store);
        let answering = store.clone();
        let stub = Stub::start(move |seen| fault(seen).unwrap_or_else(|| answering.answer(seen))).await;
        Self { stub, store }
    }

    pub(crate) async fn driver(&self, more: &[(&str, &str)]) -> ObjectStoreOffloader {
        let mut properties = vec![
            ("s3ManagedLedgerOffloadBucket", "tier"),
            ("s3ManagedLedgerOffloadRegion", "eu-west-3"),
            ("s3ManagedLedgerOffloadServiceEndpoint", self.stub.url.as_str()),
            ("s3ManagedLedgerOffloadCredentialId", "AKEXAMPLE"),
            ("s3ManagedLedgerOffloadCredentialSecret", SECRET),
        ];
        properties.extend(more);
        let config = config("aws-s3", &properties);
        assert_eq!(ObjectStoreFactory::validate(&config), []);
        ObjectStoreFactory::create(config).await.unwrap()
    }
}

pub(crate) fn config(driver: &str, properties: &[(&str, &str)]) -> DriverConfig {
    let properties = properties.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned()));
    DriverConfig { driver: driver.to_owned(), properties: properties.collect(), search_folders: Vec::new() }
}

pub(crate) fn stored(ledger_id: u64) -> StoredLedger {
    StoredLedger {
        ledger_id,
        uid: Uuid::from_u128(7),
        managed_ledger: MANAGED_LEDGER.to_owned(),
        driver_metadata: BTreeMap::new(),
    }
}

/// Entries of this many bytes in all, in thousands.
pub(crate) fn payloads(entries: usize) -> Vec<Bytes> {
    (0..entries).map(|id| Bytes::from(vec![id as u8; 1000])).collect()
}

pub(crate) async fn offload(driver: &ObjectStoreOffloader, entries: usize) -> Result<()> {
    let StoredLedger { ledger_id, uid, managed_ledger, .. } = stored(5);
    let request = OffloadRequest { ledger_id, uid, managed_ledger, extra: BTreeMap::new() };
    driver.offload(LedgerReader::in_memory(5, payloads(entries)), request).await
}

pub(crate) async fn read(driver: &ObjectStoreOffloader, entries: usize) -> Result<Vec<Bytes>> {
    let handle = driver.open_read(stored(5)).await?;
    let mut read = Vec::new();
    while read.len() < entries {
        let found = handle.read(read.len() as u64, entries as u64 - 1, 4 << 20).await?;
        read.extend(found.into_iter().map(|entry| entry.payload));
    }
    Ok(read)
}
