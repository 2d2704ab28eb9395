//! What the driver promises of each operation, on HDFS.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longshore_conformance::StoreProbe;
use longshore_conformance::table::trying;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{
    Entry, ErrorCode, LedgerMetadata, LedgerReader, Offloader, ReadHandle, Result, ScanRequest, StoredLedger,
};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::kit::{COMPRESSIONS, MANAGED_LEDGER, random_payloads, read_all, request, stored};
use crate::server::{HDFS, Tier, shared, uri};

fn uid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

/// A ledger that is read up to an entry, says so, and waits until it is told to go on.
pub(crate) struct Halting {
    metadata: LedgerMetadata,
    payloads: Vec<Bytes>,
    halt_at: u64,
    pub(crate) halted: Notify,
    pub(crate) go_on: Notify,
}

impl Halting {
    pub(crate) fn new(payloads: Vec<Bytes>, halt_at: u64) -> Arc<Self> {
        let metadata = LedgerReader::in_memory(5, payloads.clone()).metadata().clone();
        Arc::new(Self { metadata, payloads, halt_at, halted: Notify::new(), go_on: Notify::new() })
    }
}

impl LedgerSource for Halting {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, _last: u64, _max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            if first == self.halt_at {
                self.halted.notify_one();
                self.go_on.notified().await;
            }
            let payload = self.payloads[first as usize].clone();
            Ok(vec![Entry { entry_id: first, payload }])
        })
    }

    fn progress(&self, _bytes: u64) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn ledgers_come_back_in_each_compression_over_several_blocks() {
    let Some(uri) = uri("ledgers_come_back_in_each_compression_over_several_blocks") else { return };
    let _trying = trying(HDFS, "behaviour", "ledgers come back in each compression over several blocks");
    let _servers = shared().await;
    let mut random = fastrand::Rng::with_seed(3);
    let model = random_payloads(&mut random, 1200, 5000);
    for compression in COMPRESSIONS {
        let values =
            [("io.seqfile.compression.type", compression), ("dfs.block.size", "512k"), ("dfs.replication", "1")];
        let tier = Tier::new(&uri, &values).await;
        tier.offload(5, uid(1), &model).await.unwrap();
        let data = format!("{}/data", Tier::copy(5, uid(1)));
        assert_eq!(tier.store.form(&data), (Some(1), Some(512 << 10)));
        let handle = Arc::new(tier.open(5, uid(1)).await.unwrap());
        assert!(read_all(&handle, 1 << 20).await.unwrap() == model, "{compression}");
        let readers: Vec<_> = (0..8u64)
            .map(|seed| {
                let (handle, model) = (handle.clone(), model.clone());
                tokio::spawn(async move {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..20 {
                        let first = random.u64(0..1200);
                        let entries = handle.read(first, 1199, 20_000).await.unwrap();
                        assert!(entries.iter().all(|entry| entry.payload == model[entry.entry_id as usize]));
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_has_pulsars_layout_no_side_files_and_nothing_beside_it() {
    let Some(uri) = uri("a_copy_has_pulsars_layout_no_side_files_and_nothing_beside_it") else { return };
    let _trying = trying(HDFS, "behaviour", "a copy has Pulsars layout no side files and nothing beside it");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    for model in [vec![Bytes::from_static(b"a")], vec![Bytes::from_static(b"b"), Bytes::new()]] {
        tier.offload(17, uid(7), &model).await.unwrap();
        let copy = Tier::copy(17, uid(7));
        assert_eq!(tier.store.objects().unwrap(), [format!("{copy}/data"), format!("{copy}/index")]);
        let names = tier.store.names();
        assert!(names.iter().all(|name| !name.contains("/.")), "{names:?}");
        let handle = tier.open(17, uid(7)).await.unwrap();
        assert_eq!(read_all(&handle, u64::MAX).await.unwrap(), model, "a repeated offload replaces the copy");
    }
    assert_eq!(tier.driver.driver_metadata()["storageBasePath"], tier.base);
    tier.driver.delete(stored(17, uid(7))).await.unwrap();
    tier.driver.delete(stored(17, uid(7))).await.unwrap();
    assert_eq!(tier.store.objects().unwrap(), [""; 0]);
    assert_eq!(tier.open(17, uid(7)).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn scan_lists_complete_copies_page_by_page() {
    let Some(uri) = uri("scan_lists_complete_copies_page_by_page") else { return };
    let _trying = trying(HDFS, "behaviour", "scan lists complete copies page by page");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    assert_eq!(tier.driver.scan(ScanRequest { after: None, limit: 3 }).await.unwrap().ledgers, []);
    for ledger in 0..4 {
        tier.offload(ledger, uid(u128::from(ledger)), &[Bytes::from_static(b"a")]).await.unwrap();
    }
    tier.store.write(&format!("{MANAGED_LEDGER}/.77-{}.tmp/x/data", uid(1)), b"half").unwrap();
    tier.store.write(&format!("{MANAGED_LEDGER}/77-{}/data", uid(1)), b"no index").unwrap();
    let (mut ledgers, mut after) = (Vec::new(), None);
    loop {
        let page = tier.driver.scan(ScanRequest { after, limit: 3 }).await.unwrap();
        ledgers.extend(page.ledgers);
        after = page.next;
        if after.is_none() {
            break;
        }
        assert_eq!(ledgers.len(), 3);
    }
    assert_eq!(ledgers.iter().map(|it| it.ledger_id).collect::<Vec<_>>(), [0, 1, 2, 3]);
    let sizes: Vec<u64> =
        tier.store.tree().iter().filter(|(name, _)| name.contains("/0-")).map(|(_, len)| *len).collect();
    assert_eq!(ledgers[0].size_bytes, sizes.iter().sum::<u64>());
    assert!(ledgers.iter().all(|it| it.managed_ledger.as_deref() == Some(MANAGED_LEDGER)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offload_that_is_dropped_takes_its_attempt_away() {
    let Some(uri) = uri("an_offload_that_is_dropped_takes_its_attempt_away") else { return };
    let _trying = trying(HDFS, "behaviour", "an offload that is dropped takes its attempt away");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    let source = Halting::new(vec![vec![7; 600_000].into(), Bytes::new()], 1);
    {
        let offload = tier.driver.offload(LedgerReader::new(source.clone()), request(5, uid(1)));
        let has_begun = async {
            source.halted.notified().await;
            // Entries wait for a writer that may not have begun yet.
            while tier.store.objects().unwrap().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::select! {
            ended = offload => panic!("{ended:?}"),
            () = has_begun => {}
        }
    }
    for _ in 0..600 {
        if tier.store.names().iter().all(|name| !name.contains("5-")) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("left behind: {:?}", tier.store.names());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_deleted_while_it_runs_is_a_conflict() {
    let Some(uri) = uri("an_attempt_that_is_deleted_while_it_runs_is_a_conflict") else { return };
    let _trying = trying(HDFS, "behaviour", "an attempt that is deleted while it runs is a conflict");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    let source = Halting::new(vec![vec![7; 600_000].into(), Bytes::new()], 1);
    let (driver, reader) = (&tier.driver, LedgerReader::new(source.clone()));
    let (ended, ()) = tokio::join!(driver.offload(reader, request(5, uid(1))), async {
        source.halted.notified().await;
        // Entries wait for a writer that may not have begun yet.
        while tier.store.objects().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        driver.delete(stored(5, uid(1))).await.unwrap();
        source.go_on.notify_one();
    });
    assert_eq!(ended.unwrap_err().code(), ErrorCode::Conflict);
    assert_eq!(tier.store.objects().unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn old_bases_and_recorded_ones_are_found_on_hdfs_and_beside_it() {
    let Some(uri) = uri("old_bases_and_recorded_ones_are_found_on_hdfs_and_beside_it") else { return };
    let _trying = trying(HDFS, "behaviour", "old bases and recorded ones are found on HDFS and beside it");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    tier.offload(5, uid(1), &[Bytes::from_static(b"old")]).await.unwrap();
    let old = tier.base.strip_prefix(&uri).unwrap();
    let elsewhere = format!("{}/else", tier.base);
    // As the Java driver did: a path on the default file system.
    let moved = tier.with(&elsewhere, &[("hadoop.tmp.dir", old)]).await;
    assert_eq!(moved.scan(ScanRequest { after: None, limit: 9 }).await.unwrap().ledgers.len(), 1);
    moved.open_read(stored(5, uid(1))).await.unwrap();

    let plain = tier.with(&elsewhere, &[]).await;
    assert_eq!(plain.open_read(stored(5, uid(1))).await.unwrap_err().code(), ErrorCode::NotFound);
    let recorded = |base: &str| StoredLedger {
        driver_metadata: [("storageBasePath".to_owned(), base.to_owned())].into(),
        ..stored(5, uid(1))
    };
    plain.open_read(recorded(&tier.base)).await.unwrap();
    // Where the configuration does not lead nothing is asked, and nothing is said to be missing.
    let error = plain.open_read(recorded("hdfs://127.0.0.1:9/elsewhere")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig, "{error}");
    let error = plain.delete(recorded("hdfs://127.0.0.1:9/elsewhere")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig, "{error}");
    moved.delete(stored(5, uid(1))).await.unwrap();
    assert_eq!(tier.store.objects().unwrap(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relative_old_base_is_in_the_users_home_folder() {
    let Some(uri) = uri("a_relative_old_base_is_in_the_users_home_folder") else { return };
    let _trying = trying(HDFS, "behaviour", "a relative old base is in the users home folder");
    let _servers = shared().await;
    let name = format!("old-{}", Uuid::new_v4().simple());
    let writer = Tier::new(&uri, &[]).await;
    let home = writer.with(&format!("{uri}/user/somebody/{name}"), &[]).await;
    let ledger = LedgerReader::in_memory(5, vec![Bytes::from_static(b"old")]);
    home.offload(ledger, request(5, uid(1))).await.unwrap();
    let values = [("hadoop.tmp.dir", name.as_str()), ("longshore.hdfs.user", "somebody")];
    let driver = writer.with(&writer.base, &values).await;
    driver.open_read(stored(5, uid(1))).await.unwrap();
    driver.delete(stored(5, uid(1))).await.unwrap();
    assert_eq!(home.open_read(stored(5, uid(1))).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_leaves_nothing_and_sees_a_base_that_is_no_folder() {
    let Some(uri) = uri("health_leaves_nothing_and_sees_a_base_that_is_no_folder") else { return };
    let _trying = trying(HDFS, "behaviour", "health leaves nothing and sees a base that is no folder");
    let _servers = shared().await;
    let tier = Tier::new(&uri, &[]).await;
    tier.driver.health().await.unwrap();
    assert_eq!(tier.store.names(), [""; 0]);
    tier.store.write("file", b"x").unwrap();
    tier.driver.health().await.unwrap();
    assert_eq!(tier.store.names(), ["file"]);
    let on_file = tier.with(&format!("{}/file", tier.base), &[]).await;
    assert!(on_file.health().await.unwrap_err().to_string().contains("is not a folder"));
}
