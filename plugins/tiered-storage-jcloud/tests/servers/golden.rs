//! Ledgers that Apache Pulsar 4.0.6 offloaded to a bucket are read through the driver, entry for entry.

use std::fs;
use std::path::{Path, PathBuf};

use http::Method;
use longshore_conformance::table::trying;
use longshore_plugin_api::{Offloader, ScanRequest, StoredLedger};
use sha2::{Digest, Sha256};

use crate::raw::Raw;
use crate::server::{Server, read_all};

pub(crate) const VECTORS: [(&str, u64, &str); 2] =
    [("i-tiny", 5, "3f64c2e6-4cb5-479d-b3b2-a54adca70391"), ("iii-batched", 9, "737e8061-706e-4296-aaa9-5e74f836eaf0")];

pub(crate) fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pulsar-4.0.6").join(name)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts an object there as the original did, with what stood beside it.
async fn put(raw: &Raw, folder: &Path, key: &str) {
    let head: serde_json::Value =
        serde_json::from_slice(&fs::read(folder.join(format!("{key}.head.json"))).unwrap()).unwrap();
    let metadata = head["Metadata"].as_object().unwrap();
    let headers: Vec<(String, &str)> =
        metadata.iter().map(|(name, value)| (format!("x-amz-meta-{name}"), value.as_str().unwrap())).collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    let answer = raw.send(Method::PUT, key, &headers, fs::read(folder.join(key)).unwrap()).await;
    assert_eq!(answer.status(), 200);
}

#[tokio::test]
async fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry() {
    for server in Server::all() {
        let case = "ledgers that Pulsar 4.0.6 offloaded are read entry for entry";
        let _trying = trying(server.place("aws-s3"), "behaviour", case);
        let raw = Raw::new(&server);
        let driver = server.driver("aws-s3", &[]).await;
        for (name, ledger_id, uid) in VECTORS {
            let (folder, data) = (folder(name), format!("{uid}-ledger-{ledger_id}"));
            put(&raw, &folder, &data).await;
            put(&raw, &folder, &format!("{data}-index")).await;
            let recorded = fs::read_to_string(folder.join(format!("ledger-{ledger_id}.entries.sha256"))).unwrap();
            let stored = StoredLedger {
                ledger_id,
                uid: uid.parse().unwrap(),
                managed_ledger: String::new(),
                driver_metadata: driver.driver_metadata(),
            };
            let entries = read_all(&driver, &stored).await.unwrap();
            let found: Vec<String> =
                entries.iter().enumerate().map(|(id, it)| format!("{id} {} {}", it.len(), sha256(it))).collect();
            assert_eq!(found, recorded.lines().collect::<Vec<_>>(), "{name}");
            let page = driver.scan(ScanRequest { after: None, limit: 1000 }).await.unwrap();
            let listed = page.ledgers.iter().find(|it| it.uid == stored.uid).unwrap();
            assert!(listed.managed_ledger.as_deref().unwrap().starts_with("public/"), "{listed:?}");
            driver.delete(stored).await.unwrap();
        }
    }
}
