//! Copies go both ways on HDFS: what Pulsar and Hadoop wrote is read by us, what we write is read by Hadoop's own classes.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use bytes::Bytes;
use longshore_conformance::StoreProbe;
use longshore_conformance::table::trying;
use longshore_plugin_api::{LedgerReader, Offloader, ReadHandle, StoredLedger};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::kit::{COMPRESSIONS, MANAGED_LEDGER, fixtures, random_payloads, read_all, stored};
use crate::server::{HDFS, Tier, no_metadata, shared, uri};

const CLASS_PATH: &str = "LONGSHORE_TEST_HADOOP_CLASSPATH";

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Puts a local folder into the tier's base, as `hdfs dfs -put` would.
fn put(tier: &Tier, folder: &Path, at: &str) {
    for entry in fs::read_dir(folder).unwrap().map(|it| it.unwrap()) {
        let name = format!("{at}/{}", entry.file_name().into_string().unwrap()).trim_start_matches('/').to_owned();
        if entry.path().is_dir() {
            put(tier, &entry.path(), &name);
        } else if !name.ends_with(".crc") {
            tier.store.write(&name, &fs::read(entry.path()).unwrap()).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ledgers_that_pulsar_offloaded_are_read_entry_for_entry() {
    let Some(uri) = uri("ledgers_that_pulsar_offloaded_are_read_entry_for_entry") else { return };
    let _trying = trying(HDFS, "behaviour", "ledgers that Pulsar offloaded are read entry for entry");
    let _servers = shared().await;
    for (folder, managed_ledger, ledger_id, uid) in [
        ("v-tiny", "public/fsvec/persistent/vec-v-tiny", 17, "a272f775-0ffb-4312-aa1e-b6f8acb2c94f"),
        ("vi-2000x1k", "public/fsvec/persistent/vec-vi-2000x1k", 19, "480c972d-0e29-408b-9c94-bd13d4270a51"),
    ] {
        let tier = Tier::new(&uri, &[]).await;
        let golden = fixtures().join("pulsar-4.0.6").join(folder);
        put(&tier, &golden.join("mapfile"), "");
        let stored = StoredLedger {
            ledger_id,
            uid: uid.parse().unwrap(),
            managed_ledger: managed_ledger.to_owned(),
            driver_metadata: no_metadata(),
        };
        let handle = tier.driver.open_read(stored).await.unwrap();
        let recorded = fs::read_to_string(golden.join(format!("ledger-{ledger_id}.entries.sha256"))).unwrap();
        let payloads = read_all(&handle, 100_000).await.unwrap();
        let read: Vec<String> =
            payloads.iter().enumerate().map(|(id, it)| format!("{id} {} {}", it.len(), sha256(it))).collect();
        assert_eq!(read, recorded.lines().collect::<Vec<_>>(), "{folder}");
    }
}

/// The reference vectors hold no ledger metadata, so they are opened for what they are: the driver says so, and the copy is found,
/// opened and its header and index read.
#[tokio::test(flavor = "multi_thread")]
async fn map_files_of_every_hadoop_are_opened_up_to_their_metadata() {
    let Some(uri) = uri("map_files_of_every_hadoop_are_opened_up_to_their_metadata") else { return };
    let _trying = trying(HDFS, "behaviour", "map files of every Hadoop are opened up to their metadata");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    let mut seen = 0;
    for version in ["hadoop-2.7.3", "hadoop-3.4.2"] {
        for vector in fs::read_dir(fixtures().join("mapfile").join(version)).unwrap().map(|it| it.unwrap()) {
            let uid = Uuid::new_v4();
            put(&tier, &vector.path(), &Tier::copy(5, uid));
            let error = tier.open(5, uid).await.unwrap_err().to_string();
            let expected = if vector.file_name() == "empty" {
                "has no ledger metadata"
            } else {
                "ledger metadata of ledger 5 cannot"
            };
            assert!(error.contains(expected), "{version} {:?}: {error}", vector.file_name());
            seen += 1;
        }
    }
    assert_eq!(seen, 14);
}

#[tokio::test(flavor = "multi_thread")]
async fn hadoop_reads_what_we_write() {
    let Some(uri) = uri("hadoop_reads_what_we_write") else { return };
    let _trying = trying(HDFS, "behaviour", "Hadoop reads what we write");
    let _servers = shared().await;
    let class_path = env::var(CLASS_PATH).unwrap();
    let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/hadoop/ReadMapFile.java");
    let mut random = fastrand::Rng::with_seed(6);
    let payloads: Vec<Bytes> = random_payloads(&mut random, 2000, 3000);
    for compression in COMPRESSIONS {
        // Several blocks of HDFS, and ends of records across their borders.
        let tier = Tier::new(&uri, &[("io.seqfile.compression.type", compression), ("dfs.blocksize", "256k")]).await;
        let uid = Uuid::from_u128(1);
        tier.driver.offload(LedgerReader::in_memory(3, payloads.clone()), crate::kit::request(3, uid)).await.unwrap();
        let copy = format!("{}/{MANAGED_LEDGER}/3-{uid}", tier.base);
        let output = Command::new("java").args(["-cp", &class_path]).arg(&program).arg(&copy).output().unwrap();
        let (printed, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{copy}: {printed}{errors}");
        // The server's log settings print to the same stream.
        let lines: Vec<&str> = printed.lines().collect();
        let from = lines.iter().position(|line| *line == format!("compression {compression}")).unwrap();
        let records =
            payloads.iter().enumerate().map(|(key, value)| format!("{key} {} {}", value.len(), sha256(value)));
        let records: Vec<String> = records.collect();
        assert!(lines[from + 1].starts_with("-1 "), "{}", lines[from + 1]);
        assert!(lines[from + 2..from + 2 + records.len()] == records, "{compression}");
        assert!(lines[from + 2 + records.len()].starts_with(&format!("found by key {}", records.len() + 1)));

        let handle = tier.driver.open_read(stored(3, uid)).await.unwrap();
        assert_eq!(handle.metadata().entry_count, 2000);
        assert!(read_all(&handle, 1 << 20).await.unwrap() == payloads);
    }
}
