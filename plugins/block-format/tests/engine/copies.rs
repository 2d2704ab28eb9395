//! What is copied is read back, deleted and listed.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use block_format::keys::CopyKeys;
use block_format::store::StoreLimits;
use block_format::store::memory::StoredObject;
use block_format::{EngineOptions, IndexForm};
use bytes::Bytes;
use longshore_plugin_api::{ErrorCode, LedgerReader, OffloadRequest, ReadHandle, ScanRequest, StoredLedger};
use sha2::{Digest, Sha256};

use crate::kit::{
    FORMS, FaultyStore, MANAGED_LEDGER, engine, keys, options, random_payloads, read_all, reader, request,
    small_ledger, stored, uid,
};

#[tokio::test]
async fn random_ledgers_come_back_whatever_the_sizes_are() {
    for seed in 0..12 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (count, longest) = (random.usize(1..600), [0, 60, 3000, 100_000][random.usize(0..4)]);
        let payloads = random_payloads(&mut random, count.min(6_000_000 / (longest + 1)), longest);
        for form in FORMS {
            let mut options = options(form);
            options.upload.write.block_bytes_max = random.u64(140..300_000);
            options.upload.write.granule_bytes = random.u64(1..70_000);
            options.upload.part_bytes = Some(random.u64(1_000..400_000));
            options.upload.parts_in_flight_max = random.usize(1..5);
            options.upload.batch_bytes = random.u64(0..200_000);
            options.read.extents_bytes_max = random.u64(0..3_000_000);
            options.read.indexes_bytes_max = random.u64(0..100_000);
            let case = format!("seed {seed}, {options:?}");
            let store = FaultyStore::new();
            let engine = engine(&store, options);
            engine.offload(reader(&payloads), request(uid(1))).await.unwrap();
            assert_eq!(store.inner.open_uploads(), 0);
            let handle = engine.open_read(&stored(uid(1))).await.unwrap();
            assert!(read_all(&handle, random.u64(0..200_000)).await.unwrap() == payloads, "{case}");
            for _ in 0..30 {
                let first = random.usize(0..payloads.len()) as u64;
                let last = random.u64(first..payloads.len() as u64);
                let max_bytes = random.u64(0..200_000);
                let read = handle.read(first, last, max_bytes).await.unwrap();
                let wanted = reader(&payloads).read(first, last, max_bytes).await.unwrap();
                assert!(read == wanted, "{case}: {first}..={last}, at most {max_bytes} bytes");
            }
        }
    }
}

#[tokio::test]
async fn parts_are_uploaded_at_once_but_not_more_than_allowed() {
    let store = FaultyStore::new();
    store.delay(Duration::from_millis(3));
    let payloads = random_payloads(&mut fastrand::Rng::with_seed(1), 100, 2_000);
    engine(&store, options(IndexForm::Checked)).offload(reader(&payloads), request(uid(1))).await.unwrap();
    assert_eq!(store.parts_at_once.load(Ordering::SeqCst), 3);
    let parts: Vec<u64> = store.calls().iter().filter(|call| call.name == "part").map(|call| call.bytes).collect();
    assert!(parts.len() > 20 && parts.iter().filter(|bytes| **bytes != 3_000).count() <= 1, "{parts:?}");
}

#[tokio::test]
async fn a_short_ledger_takes_no_upload_in_parts() {
    let store = FaultyStore::new();
    let engine = engine(&store, EngineOptions::default());
    engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
    let names: Vec<&str> = store.calls().iter().map(|call| call.name).collect();
    assert_eq!(names, ["get", "put", "head", "put", "get"]);
}

#[tokio::test]
async fn both_objects_carry_the_originals_user_metadata() {
    let store = FaultyStore::new();
    engine(&store, options(IndexForm::Checked)).offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
    for (key, role) in [(keys(uid(1)).data, "data"), (keys(uid(1)).index, "index")] {
        let attributes = store.inner.object(&key).unwrap().attributes;
        for (name, value) in [
            ("s3managedledgeroffloaderformatversion", "1"),
            ("role", role),
            ("managedledgername", MANAGED_LEDGER),
            ("pulsarclustername", "standalone"),
        ] {
            assert_eq!(attributes.user_metadata.get(name), Some(value), "{key}: {name}");
        }
        assert_eq!(attributes.content_type, "application/octet-stream");
    }
}

#[tokio::test]
async fn a_repeated_offload_replaces_the_copy() {
    let store = FaultyStore::new();
    let engine = engine(&store, options(IndexForm::Checked));
    for seed in 0..3 {
        let payloads = random_payloads(&mut fastrand::Rng::with_seed(seed), 30, 800);
        engine.offload(reader(&payloads), request(uid(1))).await.unwrap();
        let handle = engine.open_read(&stored(uid(1))).await.unwrap();
        assert!(read_all(&handle, 3_000).await.unwrap() == payloads);
        assert_eq!(store.inner.keys().len(), 2);
    }
}

#[tokio::test]
async fn an_empty_ledger_is_refused_without_a_request() {
    let store = FaultyStore::new();
    let error = engine(&store, options(IndexForm::Checked)).offload(reader(&[]), request(uid(1))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    assert!(error.message().ends_with("An empty or open ledger should never be offloaded"), "{error}");
    assert_eq!(store.calls(), []);
}

#[tokio::test]
async fn delete_takes_everything_of_its_attempt_and_nothing_else() {
    use block_format::store::BlobStore;
    let store = FaultyStore::new();
    let engine = engine(&store, options(IndexForm::Checked));
    for number in [1, 2] {
        engine.offload(reader(&small_ledger()), request(uid(number))).await.unwrap();
    }
    // A ledger whose key begins with this one's, and uploads that crashed processes left.
    let longer = format!("{}5", keys(uid(1)).data);
    let attributes = Default::default();
    for key in [&keys(uid(1)).data, &keys(uid(1)).data, &longer, &keys(uid(2)).data] {
        store.inner.begin_multipart(key, &attributes).await.unwrap();
    }
    store.inner.put(&longer, Bytes::from_static(b"x").into(), &attributes).await.unwrap();
    for _ in 0..2 {
        engine.delete(&stored(uid(1))).await.unwrap();
        assert_eq!(store.inner.keys(), [longer.clone(), keys(uid(2)).data, keys(uid(2)).index]);
        assert_eq!(store.inner.open_uploads(), 2);
        let error = engine.open_read(&stored(uid(1))).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::NotFound);
    }
    engine.open_read(&stored(uid(2))).await.unwrap();
}

#[tokio::test]
async fn a_scan_shows_complete_copies_page_by_page() {
    let store = FaultyStore::new();
    let engine = engine(&store, options(IndexForm::Checked));
    for number in 0..23 {
        let ledger = LedgerReader::in_memory(number, small_ledger());
        let request = OffloadRequest { ledger_id: number, ..request(uid(u128::from(number % 5))) };
        engine.offload(ledger, request).await.unwrap();
    }
    // An attempt without its index, an index without its data, a foreign object.
    store.inner.set_object(&keys(uid(99)).data, Some(Default::default()));
    store.inner.set_object(&keys(uid(98)).index, Some(Default::default()));
    store.inner.set_object("readme.txt", Some(Default::default()));
    for limit in [1, 2, 7, 23, 1000] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = engine.scan(&ScanRequest { after: after.clone(), limit }).await.unwrap();
            assert!(page.ledgers.len() <= limit as usize);
            found.extend(page.ledgers);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert!(found.iter().all(|it| it.managed_ledger.as_deref() == Some(MANAGED_LEDGER) && it.size_bytes > 1000));
        let mut ids: Vec<u64> = found.iter().map(|it| it.ledger_id).collect();
        ids.sort_unstable();
        assert_eq!(ids, (0..23).collect::<Vec<_>>(), "limit {limit}");
    }
}

#[tokio::test]
async fn a_store_of_few_parts_gets_longer_ones() {
    let limits = StoreLimits { part_bytes_min: 10, part_bytes_max: 1 << 30, parts_max: 4, verifies_crc32c: true };
    let store = FaultyStore::with_limits(limits);
    let payloads = random_payloads(&mut fastrand::Rng::with_seed(1), 100, 2_000);
    engine(&store, options(IndexForm::Checked)).offload(reader(&payloads), request(uid(1))).await.unwrap();
    assert!((2..=4).contains(&store.calls().iter().filter(|call| call.name == "part").count()));
}

#[tokio::test]
async fn objects_that_pulsar_wrote_are_served() {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures/pulsar-4.0.6");
    for (folder, ledger_id, copy) in [
        ("i-tiny", 5, "3f64c2e6-4cb5-479d-b3b2-a54adca70391"),
        ("iii-batched", 9, "737e8061-706e-4296-aaa9-5e74f836eaf0"),
    ] {
        let stored = StoredLedger { ledger_id, ..stored(copy.parse().unwrap()) };
        let keys = CopyKeys::new(ledger_id, stored.uid);
        let store = FaultyStore::new();
        for key in [&keys.data, &keys.index] {
            let bytes = fs::read(fixtures.join(folder).join(key)).unwrap().into();
            store.inner.set_object(key, Some(StoredObject { bytes, attributes: Default::default() }));
        }
        let digests =
            fs::read_to_string(fixtures.join(folder).join(format!("ledger-{ledger_id}.entries.sha256"))).unwrap();
        let engine = engine(&store, EngineOptions::default());
        let handle = engine.open_read(&stored).await.unwrap();
        for max_bytes in [1, 2_000, u64::MAX] {
            let payloads = read_all(&handle, max_bytes).await.unwrap();
            let found: Vec<String> = payloads.iter().enumerate().map(|(id, it)| line(id, it)).collect();
            assert_eq!(found, digests.lines().collect::<Vec<_>>(), "{folder}");
        }
        let ids = engine.scan(&ScanRequest { after: None, limit: 10 }).await.unwrap().ledgers;
        assert_eq!(ids.iter().map(|it| (it.ledger_id, it.uid)).collect::<Vec<_>>(), [(ledger_id, stored.uid)]);
    }
}

fn line(entry_id: usize, payload: &[u8]) -> String {
    let digest: String = Sha256::digest(payload).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{entry_id} {} {digest}", payload.len())
}
