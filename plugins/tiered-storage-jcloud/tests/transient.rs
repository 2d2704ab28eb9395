//! Proves that the driver `transient` keeps what the contract promises, through the same engine as the drivers of real stores.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::collections::BTreeMap;

use bytes::Bytes;
use longshore_plugin_api::{
    DriverConfig, ErrorCode, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, ReadHandle, ScanRequest,
    StoredLedger,
};
use tiered_storage_jcloud::{ObjectStoreFactory, ObjectStoreOffloader};
use uuid::Uuid;

const MANAGED_LEDGER: &str = "public/default/persistent/orders";

async fn driver(bucket: &str) -> ObjectStoreOffloader {
    let config = DriverConfig {
        driver: "transient".to_owned(),
        properties: BTreeMap::from([("managedLedgerOffloadBucket".to_owned(), bucket.to_owned())]),
        search_folders: Vec::new(),
    };
    assert_eq!(ObjectStoreFactory::validate(&config), []);
    ObjectStoreFactory::create(config).await.unwrap()
}

async fn offload(driver: &ObjectStoreOffloader, ledger_id: u64, uid: Uuid) -> StoredLedger {
    let ledger = LedgerReader::in_memory(ledger_id, payloads());
    // The host hands over what it recorded.
    let extra = driver.driver_metadata();
    let request = OffloadRequest { ledger_id, uid, managed_ledger: MANAGED_LEDGER.to_owned(), extra };
    driver.offload(ledger, request).await.unwrap();
    StoredLedger {
        ledger_id,
        uid,
        managed_ledger: MANAGED_LEDGER.to_owned(),
        driver_metadata: driver.driver_metadata(),
    }
}

fn payloads() -> Vec<Bytes> {
    (0..500_usize).map(|id| vec![id as u8; id * 7 % 4_000].into()).collect()
}

async fn is_whole(driver: &ObjectStoreOffloader, stored: StoredLedger) -> bool {
    let handle = driver.open_read(stored).await.unwrap();
    let entries = handle.read(0, 499, u64::MAX).await.unwrap();
    entries.into_iter().map(|entry| entry.payload).collect::<Vec<_>>() == payloads()
}

#[tokio::test]
async fn a_ledger_goes_out_comes_back_is_listed_and_deleted() {
    let driver = driver("round-trip").await;
    driver.health().await.unwrap();
    let stored = offload(&driver, 5, Uuid::from_u128(1)).await;
    assert!(is_whole(&driver, stored.clone()).await);
    let page = driver.scan(ScanRequest { after: None, limit: 10 }).await.unwrap();
    assert_eq!(page.ledgers.len(), 1);
    let found = &page.ledgers[0];
    assert_eq!((found.ledger_id, found.uid), (5, Uuid::from_u128(1)));
    assert_eq!(found.managed_ledger.as_deref(), Some(MANAGED_LEDGER));
    for _ in 0..2 {
        driver.delete(stored.clone()).await.unwrap();
    }
    assert_eq!(driver.open_read(stored).await.unwrap_err().code(), ErrorCode::NotFound);
    assert_eq!(driver.scan(ScanRequest { after: None, limit: 10 }).await.unwrap().ledgers, []);
}

#[tokio::test]
async fn a_ledger_is_found_in_the_bucket_that_it_was_recorded_with() {
    let before = driver("bucket-before").await;
    let recorded = before.driver_metadata();
    let expected = [
        ("bucket", "bucket-before"),
        ("managedLedgerOffloadDriver", "TRANSIENT"),
        ("region", ""),
        ("serviceEndpoint", ""),
    ];
    assert_eq!(recorded, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let stored = offload(&before, 6, Uuid::from_u128(2)).await;
    let after = driver("bucket-after").await;
    assert!(is_whole(&after, stored.clone()).await);
    // Old versions recorded no bucket: the configured one is meant.
    let unrecorded = StoredLedger { driver_metadata: BTreeMap::new(), ..stored.clone() };
    assert!(is_whole(&before, unrecorded.clone()).await);
    assert_eq!(after.open_read(unrecorded).await.unwrap_err().code(), ErrorCode::NotFound);
    after.delete(stored.clone()).await.unwrap();
    for driver in [after, driver("bucket-before").await] {
        assert_eq!(driver.open_read(stored.clone()).await.unwrap_err().code(), ErrorCode::NotFound);
    }
}

#[tokio::test]
async fn a_driver_without_a_bucket_is_not_made() {
    let config = DriverConfig { driver: "transient".to_owned(), ..DriverConfig::default() };
    let keys: Vec<String> = ObjectStoreFactory::validate(&config).into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["managedLedgerOffloadBucket"]);
    assert_eq!(ObjectStoreFactory::create(config).await.unwrap_err().code(), ErrorCode::InvalidConfig);
}
