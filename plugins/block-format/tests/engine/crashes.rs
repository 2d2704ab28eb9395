//! A caller that leaves, at each request: nothing is visible before the index is, and nothing stays behind.

use std::time::Duration;

use block_format::IndexForm;
use longshore_plugin_api::ErrorCode;

use crate::kit::{Fault, FaultyStore, engine, keys, options, read_all, reader, request, small_ledger, stored, uid};

/// Waits for what goes on in the background.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if done() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what} did not happen within two seconds");
}

#[tokio::test]
async fn an_offload_given_up_at_any_request_takes_everything_away() {
    let mut at = 0;
    loop {
        for applied in [false, true] {
            let store = FaultyStore::new();
            let engine = engine(&store, options(IndexForm::Checked));
            store.misbehave(Fault::Hang { at, applied });
            let mut offload = Box::pin(engine.offload(reader(&small_ledger()), request(uid(1))));
            // A request that hangs after it was answered for is one that the process never hears of.
            let ended = tokio::select! {
                ended = &mut offload => Some(ended),
                () = until("the hanging request", || store.calls().len() > at) => None,
            };
            if let Some(ended) = ended {
                ended.unwrap();
                assert!(at > 10, "an offload takes more than {at} requests");
                return;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            let call = store.calls()[at].clone();
            let visible = store.inner.object(&keys(uid(1)).index).is_some();
            let is_index_written = call.key == keys(uid(1)).index && at > 1 && (applied || call.name == "get");
            assert!(!visible || is_index_written, "the index is visible at {call:?}");
            drop(offload);
            until(&format!("the cleanup after {call:?}, applied {applied}"), || store.is_empty()).await;
            assert_eq!(engine.open_read(&stored(uid(1))).await.unwrap_err().code(), ErrorCode::NotFound);
        }
        at += 1;
    }
}

/// What a given-up attempt takes away is its own, not that of the next attempt with its uid.
#[tokio::test]
async fn the_same_attempt_can_be_made_again_at_once_after_it_was_given_up() {
    for at in 0..24 {
        let store = FaultyStore::new();
        let engine = engine(&store, options(IndexForm::Checked));
        store.misbehave(Fault::Hang { at, applied: true });
        let mut offload = Box::pin(engine.offload(reader(&small_ledger()), request(uid(1))));
        tokio::select! {
            ended = &mut offload => ended.unwrap(),
            () = until("the hanging request", || store.calls().len() > at) => {}
        }
        drop(offload);
        store.delay(Duration::from_micros(300));
        store.misbehave(Fault::None);
        engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
        tokio::time::sleep(Duration::from_millis(5)).await;
        let handle = engine.open_read(&stored(uid(1))).await.unwrap();
        assert!(read_all(&handle, 5_000).await.unwrap() == small_ledger(), "request {at}");
        assert_eq!((store.inner.keys().len(), store.inner.open_uploads()), (2, 0), "request {at}");
    }
}

/// The process is gone: no cleanup runs, the store keeps what it has.
#[tokio::test]
async fn what_a_process_leaves_at_any_request_is_invisible_or_whole_and_is_deleted_by_its_uid() {
    let mut at = 0;
    loop {
        let store = FaultyStore::new();
        store.misbehave(Fault::Crash { at });
        let crashing = engine(&store, options(IndexForm::Checked));
        let ended = tokio::select! {
            ended = crashing.offload(reader(&small_ledger()), request(uid(1))) => Some(ended),
            () = until("the crash", || store.calls().len() > at) => None,
        };
        // Parts that were under way before it arrive.
        tokio::time::sleep(Duration::from_millis(2)).await;
        store.misbehave(Fault::None);
        let engine = engine(&store, options(IndexForm::Checked));
        match engine.open_read(&stored(uid(1))).await {
            Ok(handle) => assert!(read_all(&handle, 1_000).await.unwrap() == small_ledger(), "request {at}"),
            Err(error) => assert_eq!(error.code(), ErrorCode::NotFound, "request {at}: {error}"),
        }
        engine.delete(&stored(uid(1))).await.unwrap();
        assert!(store.is_empty(), "request {at}");
        if ended.is_some() {
            assert!(at > 10, "an offload takes more than {at} requests");
            return;
        }
        at += 1;
    }
}

#[tokio::test]
async fn a_read_given_up_leaves_its_fetch_to_others() {
    use longshore_plugin_api::ReadHandle;
    let store = FaultyStore::new();
    let engine = engine(&store, options(IndexForm::Checked));
    engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
    let handle = engine.open_read(&stored(uid(1))).await.unwrap();
    store.misbehave(Fault::None);
    store.delay(Duration::from_millis(10));
    let given_up = tokio::time::timeout(Duration::from_millis(2), handle.read(5, 5, 1)).await;
    assert!(given_up.is_err());
    let entries = handle.read(5, 5, 1).await.unwrap();
    assert_eq!(entries[0].payload, small_ledger()[5]);
    assert_eq!(store.gets().len(), 1);
}
