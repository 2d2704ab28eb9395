//! Ledgers that Apache Pulsar 4.0.6 offloaded are opened and read entry for entry.

use std::fs;

use longshore_plugin_api::{Offloader, ReadHandle, StoredLedger};
use sha2::{Digest, Sha256};

use crate::kit::{driver_on, fixtures, read_all};

struct Vector {
    folder: &'static str,
    managed_ledger: &'static str,
    ledger_id: u64,
    uid: &'static str,
}

const VECTORS: [Vector; 2] = [
    Vector {
        folder: "v-tiny",
        managed_ledger: "public/fsvec/persistent/vec-v-tiny",
        ledger_id: 17,
        uid: "a272f775-0ffb-4312-aa1e-b6f8acb2c94f",
    },
    Vector {
        folder: "vi-2000x1k",
        managed_ledger: "public/fsvec/persistent/vec-vi-2000x1k",
        ledger_id: 19,
        uid: "480c972d-0e29-408b-9c94-bd13d4270a51",
    },
];

/// `entry id, length, SHA-256` of each entry as BookKeeper had it.
fn recorded(vector: &Vector) -> Vec<(u64, usize, String)> {
    let path = fixtures().join(format!("pulsar-4.0.6/{}/ledger-{}.entries.sha256", vector.folder, vector.ledger_id));
    let text = fs::read_to_string(path).unwrap();
    let words = text.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    words.map(|words| (words[0].parse().unwrap(), words[1].parse().unwrap(), words[2].to_owned())).collect()
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry() {
    for vector in &VECTORS {
        let base = fixtures().join("pulsar-4.0.6").join(vector.folder).join("mapfile").canonicalize().unwrap();
        let driver = driver_on(&base, &[]).await;
        let stored = StoredLedger {
            ledger_id: vector.ledger_id,
            uid: vector.uid.parse().unwrap(),
            managed_ledger: vector.managed_ledger.to_owned(),
            driver_metadata: Default::default(),
        };
        let handle = driver.open_read(stored).await.unwrap();
        let recorded = recorded(vector);

        let metadata = handle.metadata();
        assert_eq!(metadata.entry_count, recorded.len() as u64);
        assert_eq!(metadata.length_bytes, recorded.iter().map(|(_, len, _)| *len as u64).sum::<u64>());
        assert!(metadata.closed);
        let name = metadata.custom.iter().find(|(key, _)| key == "pulsar/managed-ledger");
        assert_eq!(name.unwrap().1, vector.managed_ledger.as_bytes());

        for max_bytes in [u64::MAX, 5000] {
            let payloads = read_all(&handle, max_bytes).await.unwrap();
            let found: Vec<_> =
                (0..).zip(&payloads).map(|(id, payload)| (id, payload.len(), sha256(payload))).collect();
            assert_eq!(found, recorded, "{}", vector.folder);
        }
        for (entry_id, _, digest) in recorded.iter().rev().step_by(7) {
            let entries = handle.read(*entry_id, *entry_id, 1).await.unwrap();
            assert_eq!(sha256(&entries[0].payload), *digest);
        }
    }
}
