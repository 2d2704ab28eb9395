//! How much is asked of the store for what is read.

use std::sync::Arc;
use std::time::Duration;

use block_format::layout::WriteOptions;
use block_format::store::BlobStore;
use block_format::{CopyHandle, EngineOptions, IndexForm, ReadOptions, UploadOptions};
use bytes::Bytes;
use longshore_plugin_api::{ErrorCode, ReadHandle};

use crate::kit::{Fault, FaultyStore, engine, keys, random_payloads, read_all, reader, request, stored, uid};

const MIB: u64 = 1 << 20;

fn big_options(index: IndexForm) -> EngineOptions {
    EngineOptions {
        upload: UploadOptions {
            write: WriteOptions { index, block_bytes_max: 16 * MIB, ..WriteOptions::default() },
            ..UploadOptions::default()
        },
        ..EngineOptions::default()
    }
}

#[tokio::test]
async fn a_copy_that_nobody_has_open_is_asked_for_again() {
    let store = FaultyStore::new();
    let engine = engine(&store, EngineOptions::default());
    let payloads = even_payloads(10, 1000);
    engine.offload(reader(&payloads), request(uid(1))).await.unwrap();
    let held = engine.open_read(&stored(uid(1))).await.unwrap();
    assert_eq!(read_all(&held, MIB).await.unwrap(), payloads);
    // Another process deletes it: who has it open shares what was fetched, nobody else opens what is gone.
    for key in [keys(uid(1)).index, keys(uid(1)).data] {
        store.inner.delete(&key).await.unwrap();
    }
    let shared = engine.open_read(&stored(uid(1))).await.unwrap();
    assert_eq!(read_all(&shared, MIB).await.unwrap(), payloads);
    drop((held, shared));
    let error = engine.open_read(&stored(uid(1))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound, "{error}");
}

/// Entries of exactly this length, cheap to make.
fn even_payloads(count: u64, len: usize) -> Vec<Bytes> {
    let pattern: Vec<u8> = (0..len + 256).map(|at| (at * 7 % 251) as u8).collect();
    let pattern = Bytes::from(pattern);
    (0..count).map(|id| pattern.slice(id as usize % 256..id as usize % 256 + len)).collect()
}

async fn copied(store: &Arc<FaultyStore>, payloads: &[Bytes], options: EngineOptions) -> CopyHandle {
    engine(store, options).offload(reader(payloads), request(uid(1))).await.unwrap();
    // Another process reads.
    let handle = engine(store, options).open_read(&stored(uid(1))).await.unwrap();
    store.misbehave(Fault::None);
    handle
}

#[tokio::test]
async fn a_random_entry_takes_two_requests_cold_and_one_warm() {
    let payloads = even_payloads(60_000, 1000);
    for form in [IndexForm::Dense, IndexForm::Checked] {
        let store = FaultyStore::new();
        let options = big_options(form);
        engine(&store, options).offload(reader(&payloads), request(uid(1))).await.unwrap();
        let engine = engine(&store, options);
        store.misbehave(Fault::None);
        let _held = engine.open_read(&stored(uid(1))).await.unwrap();
        let mut random = fastrand::Rng::with_seed(5);
        for round in 1..=20 {
            let id = random.u64(0..60_000);
            let handle = engine.open_read(&stored(uid(1))).await.unwrap();
            assert_eq!(handle.read(id, id, MIB).await.unwrap()[0].payload, payloads[id as usize]);
            assert!(store.calls().iter().all(|call| call.name == "get"));
            assert!(store.gets().len() <= 1 + round, "{form:?}: {:?}", store.gets());
        }
        let longest = store.gets()[1..].iter().map(|call| call.bytes).max().unwrap();
        assert!(longest <= 64 << 10, "{longest}");
    }
}

#[tokio::test]
async fn an_entry_of_64_kib_is_fetched_alone() {
    let payloads = even_payloads(500, 64 << 10);
    let store = FaultyStore::new();
    let handle = copied(&store, &payloads, big_options(IndexForm::Checked)).await;
    for id in [400, 17, 250] {
        assert_eq!(handle.read(id, id, 4 * MIB).await.unwrap()[0].payload, payloads[id as usize]);
    }
    let lengths: Vec<u64> = store.gets().iter().map(|call| call.bytes).collect();
    assert!(lengths.iter().all(|bytes| (65_548..=65_548 + 128).contains(bytes)) && lengths.len() == 3, "{lengths:?}");
}

#[tokio::test]
async fn sequential_reads_take_few_requests_and_fetch_nothing_twice() {
    let payloads = even_payloads(4 * 1024, 32 << 10);
    for (form, latency) in [(IndexForm::Sparse, Duration::ZERO), (IndexForm::Checked, Duration::from_millis(2))] {
        let store = FaultyStore::new();
        let handle = copied(&store, &payloads, big_options(form)).await;
        store.delay(latency);
        assert!(read_all(&handle, MIB).await.unwrap() == payloads);
        let (gets, bytes) = (store.gets().len(), store.gets().iter().map(|call| call.bytes).sum::<u64>());
        let data = store.inner.object(&keys(uid(1)).data).unwrap().bytes.len() as u64;
        // 64 for a GiB would be 8 here, but for the windows at the start.
        assert!(gets <= 8 + 8, "{form:?}, {latency:?}: {gets} requests");
        assert!(bytes <= data + data / 100, "{form:?}: {bytes} bytes of {data}");
    }
}

#[tokio::test]
async fn many_readers_of_one_range_cost_no_more_than_one() {
    let payloads = even_payloads(2_000, 10_000);
    let store = FaultyStore::new();
    let handle = Arc::new(copied(&store, &payloads, big_options(IndexForm::Checked)).await);
    store.delay(Duration::from_millis(1));
    let readers: Vec<_> = (0..64)
        .map(|_| {
            let handle = handle.clone();
            tokio::spawn(async move { read_all(&handle, 300_000).await.unwrap() })
        })
        .collect();
    for reader in readers {
        assert!(reader.await.unwrap() == payloads);
    }
    let bytes: u64 = store.gets().iter().map(|call| call.bytes).sum();
    let data = store.inner.object(&keys(uid(1)).data).unwrap().bytes.len() as u64;
    assert!(bytes * 100 <= data * 105, "{bytes} bytes of {data}");
}

#[tokio::test]
async fn readers_with_a_cache_smaller_than_a_block_all_get_on() {
    let payloads = even_payloads(300, 20_000);
    for form in [IndexForm::Sparse, IndexForm::Checked] {
        for extents_bytes_max in [0, 100_000, 2_000_000] {
            let store = FaultyStore::new();
            let mut options = big_options(form);
            options.read = ReadOptions { extents_bytes_max, indexes_bytes_max: 0, ..ReadOptions::default() };
            let handle = Arc::new(copied(&store, &payloads, options).await);
            let readers: Vec<_> = (0..20_u64)
                .map(|number| {
                    let (handle, payloads) = (handle.clone(), payloads.clone());
                    tokio::spawn(async move {
                        let mut random = fastrand::Rng::with_seed(number);
                        for _ in 0..8 {
                            let first = random.u64(0..300);
                            let last = (first + 10).min(299);
                            let entries = handle.read(first, last, 100_000).await.unwrap();
                            for entry in &entries {
                                assert_eq!(entry.payload, payloads[entry.entry_id as usize]);
                            }
                        }
                    })
                })
                .collect();
            for reader in readers {
                reader.await.unwrap();
            }
        }
    }
}

/// The original's objects: one index line for 64 MiB. It fetched 40 MB for each, measured.
#[tokio::test]
async fn a_first_random_entry_of_a_sparse_copy_costs_a_quarter_of_the_originals_bytes_at_most() {
    for (name, payloads) in [
        ("1 KiB", even_payloads(80_000, 1 << 10)),
        ("up to 4 KiB", random_payloads(&mut fastrand::Rng::with_seed(4), 35_000, 4 << 10)),
        ("64 KiB", even_payloads(1_200, 64 << 10)),
        ("1.5 MiB", even_payloads(50, 3 << 19)),
    ] {
        let store = FaultyStore::new();
        let mut options = big_options(IndexForm::Sparse);
        options.upload.write.block_bytes_max = 64 * MIB;
        engine(&store, options).offload(reader(&payloads), request(uid(1))).await.unwrap();
        for part in [3, 6, 9] {
            let id = payloads.len() as u64 * part / 10;
            let handle = engine(&store, options).open_read(&stored(uid(1))).await.unwrap();
            store.misbehave(Fault::None);
            let entries = handle.read(id, id, MIB).await.unwrap();
            assert!(entries.len() == 1 && entries[0].payload == payloads[id as usize], "{name}: entry {id}");
            let bytes: u64 = store.gets().iter().map(|call| call.bytes).sum();
            assert!(bytes <= 10_000_000, "{name}: entry {id}: {bytes} bytes");
            assert!(store.gets().len() <= 45, "{name}: entry {id}: {} requests", store.gets().len());
        }
    }
}

/// A payload that holds a row of entries is not taken for them, wherever the search begins.
#[tokio::test]
async fn a_sparse_copy_with_entries_within_entries_is_read_right() {
    let mut payloads = even_payloads(6_000, 1_000);
    let inner: Vec<u8> = (0..400_u64)
        .flat_map(|at| [&1_000_u32.to_be_bytes()[..], &(2_500 + at).to_be_bytes(), &[0xEE; 1_000]].concat())
        .collect();
    for id in (0..6_000).step_by(40) {
        payloads[id] = inner.clone().into();
    }
    let store = FaultyStore::new();
    let mut options = big_options(IndexForm::Sparse);
    options.upload.write.block_bytes_max = 64 * MIB;
    engine(&store, options).offload(reader(&payloads), request(uid(1))).await.unwrap();
    for id in (2_400..3_000).step_by(31) {
        let handle = engine(&store, options).open_read(&stored(uid(1))).await.unwrap();
        assert!(handle.read(id, id, MIB).await.unwrap()[0].payload == payloads[id as usize], "entry {id}");
    }
}

#[tokio::test]
async fn places_in_a_sparse_copy_are_learned_for_all_handles() {
    let payloads = random_payloads(&mut fastrand::Rng::with_seed(2), 10_000, 2_000);
    let store = FaultyStore::new();
    let mut options = big_options(IndexForm::Sparse);
    options.read.extents_bytes_max = 4 * MIB;
    engine(&store, options).offload(reader(&payloads), request(uid(1))).await.unwrap();
    let engine = engine(&store, options);
    let open = async || engine.open_read(&stored(uid(1))).await.unwrap();
    let read = async |id: u64| {
        store.misbehave(Fault::None);
        assert_eq!(open().await.read(id, id, MIB).await.unwrap()[0].payload, payloads[id as usize]);
        store.gets().iter().map(|call| call.bytes).sum::<u64>()
    };
    read(9_000).await;
    assert!(read(0).await <= 4 * MIB);
    // Push what was fetched out, so that only places are left.
    read_all(&open().await, MIB).await.unwrap();
    for id in [9_000, 8_000, 9_001, 4_321] {
        let bytes = read(id).await;
        assert!(bytes <= 256 << 10, "entry {id}: {bytes} bytes");
    }
}
