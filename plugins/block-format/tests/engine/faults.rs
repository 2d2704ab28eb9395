//! A store that fails: what passes is tried again, what does not is an error that leaves nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use block_format::store::StoreLimits;
use block_format::{IndexForm, Verify};
use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{Entry, Error, ErrorCode, LedgerMetadata, LedgerReader, Result};

use crate::kit::{
    Fault, FaultyStore, engine, keys, options, patient, read_all, reader, request, small_ledger, stored, uid,
};

/// The number of requests of an undisturbed offload.
async fn requests_of_an_offload() -> usize {
    let store = FaultyStore::new();
    engine(&store, options(IndexForm::Checked)).offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
    store.calls().len()
}

#[tokio::test]
async fn each_request_that_fails_ends_the_offload_and_leaves_nothing() {
    for at in 0..requests_of_an_offload().await {
        for (code, applied) in [(None, false), (None, true), (Some(ErrorCode::PermissionDenied), false)] {
            let store = FaultyStore::new();
            let engine = engine(&store, options(IndexForm::Checked));
            store.misbehave(Fault::Fail { at, code, applied });
            let result = engine.offload(reader(&small_ledger()), request(uid(1))).await;
            let calls = store.calls();
            let case = format!("request {at}, {code:?}, applied {applied}, {:?}", calls.get(at));
            store.misbehave(Fault::None);
            match result {
                // A completion whose answer was lost, and nothing else, is found to have taken effect.
                Ok(()) => {
                    assert!(calls[at].name == "complete" && applied, "{case}");
                    let handle = engine.open_read(&stored(uid(1))).await.unwrap();
                    assert!(read_all(&handle, 5_000).await.unwrap() == small_ledger(), "{case}");
                }
                Err(error) => {
                    assert_eq!(error.code(), code.unwrap_or(ErrorCode::Unavailable), "{case}: {error}");
                    assert!(store.is_empty(), "{case}: {:?}", store.inner.keys());
                    assert_eq!(engine.open_read(&stored(uid(1))).await.unwrap_err().code(), ErrorCode::NotFound);
                }
            }
        }
    }
}

#[tokio::test]
async fn each_request_that_fails_once_is_made_again_and_no_other() {
    let undisturbed = requests_of_an_offload().await;
    for at in 0..undisturbed {
        for applied in [false, true] {
            let store = FaultyStore::new();
            let engine = engine(&store, patient(IndexForm::Checked));
            store.misbehave(Fault::Fail { at, code: None, applied });
            let result = engine.offload(reader(&small_ledger()), request(uid(1))).await;
            let calls = store.calls();
            let case = format!("request {at}, applied {applied}, {:?}", calls[at]);
            result.unwrap_or_else(|error| panic!("{case}: {error}"));
            // A lost answer to a completion needs a look at the object, one to a beginning a look for its twin.
            assert!(calls.len() <= undisturbed + 4, "{case}: {} requests", calls.len());
            let sent: u64 = calls.iter().filter(|call| call.name == "part").map(|call| call.bytes).sum();
            let data = store.inner.object(&keys(uid(1)).data).unwrap().bytes.len() as u64;
            assert!(sent <= data + 3_000, "{case}: only the part that failed is sent again");
            store.misbehave(Fault::None);
            assert_eq!(store.inner.open_uploads(), 0, "{case}");
            let handle = engine.open_read(&stored(uid(1))).await.unwrap();
            assert!(read_all(&handle, 5_000).await.unwrap() == small_ledger(), "{case}");
        }
    }
}

#[tokio::test]
async fn a_store_that_fails_a_third_of_all_requests_is_served() {
    for code in [ErrorCode::Unavailable, ErrorCode::RateLimited, ErrorCode::Timeout] {
        let store = FaultyStore::new();
        let engine = engine(&store, patient(IndexForm::Checked));
        store.misbehave(Fault::Every { nth: 3, code });
        engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap();
        let handle = engine.open_read(&stored(uid(1))).await.unwrap();
        assert!(read_all(&handle, 5_000).await.unwrap() == small_ledger());
        engine.delete(&stored(uid(1))).await.unwrap();
        assert!(store.is_empty());
    }
}

#[tokio::test]
async fn a_store_that_asks_for_fewer_requests_gets_them_and_all_copies_in_time() {
    let store = FaultyStore::new();
    let mut options = patient(IndexForm::Checked);
    options.requests.throttled_attempts_max = 10;
    let engine = engine(&store, options);
    store.misbehave(Fault::Crowded { at_once: 6 });
    store.delay(Duration::from_millis(2));
    let copies = (0..16).map(|number| engine.offload(reader(&small_ledger()), request(uid(number))));
    for copied in futures_util::future::join_all(copies).await {
        copied.unwrap();
    }
    let (refused, all) = (store.refused.load(Ordering::SeqCst), store.calls().len());
    // 48 parts would be under way at once; those that came before the first answer are refused in any case.
    assert!(refused > 0 && refused * 10 <= all * 3, "{refused} of {all} requests were too many");
}

#[tokio::test]
async fn an_upload_that_the_store_forgot_is_no_missing_object() {
    let store = FaultyStore::new();
    let engine = engine(&store, options(IndexForm::Checked));
    // The index is asked for, the upload begun, and then there is no such upload.
    store.misbehave(Fault::Fail { at: 2, code: Some(ErrorCode::NotFound), applied: false });
    let error = engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable, "{error}");
    assert!(error.is_retryable() && error.message().contains("has forgotten the upload"), "{error}");
    assert!(store.is_empty());
}

#[tokio::test]
async fn parts_of_a_given_up_offload_arrive_before_they_are_taken_away() {
    let store = FaultyStore::new();
    let mut options = options(IndexForm::Checked);
    options.upload.settle_time = Duration::from_secs(20);
    let engine = engine(&store, options);
    store.delay(Duration::from_millis(40));
    let copying =
        tokio::time::timeout(Duration::from_secs(20), engine.offload(reader(&small_ledger()), request(uid(1))));
    {
        tokio::pin!(copying);
        let sent = async {
            while store.parts_now() == 0 {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::select! {
            _ = &mut copying => panic!("it ended before its parts were under way"),
            () = sent => {}
        }
        // Dropped here, with parts under way.
    }
    let under_way = store.parts_now();
    // Its turn comes when what the other left is gone.
    engine.delete(&stored(uid(1))).await.unwrap();
    assert!(under_way > 0 && store.parts_now() == 0);
    let calls = store.calls();
    let last_part = calls.iter().rposition(|call| call.name == "part").unwrap();
    let first_removal = calls.iter().position(|call| call.name == "delete" || call.name == "abort").unwrap();
    assert!(last_part < first_removal, "{calls:?}");
    assert_eq!(store.cut_off(), 0, "every part had its answer");
    assert!(store.is_empty());
}

#[tokio::test]
async fn what_a_failed_cleanup_leaves_is_deleted_later() {
    for at in 0..requests_of_an_offload().await {
        let store = FaultyStore::new();
        let engine = engine(&store, options(IndexForm::Checked));
        store.misbehave(Fault::FailFrom { at, code: ErrorCode::Unavailable });
        let error = engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable, "the first error is answered, not the cleanup's: {error}");
        let error = engine.delete(&stored(uid(1))).await.unwrap_err();
        assert!(error.chain().len() >= 2, "everything was tried: {error}");
        store.misbehave(Fault::None);
        engine.delete(&stored(uid(1))).await.unwrap();
        assert!(store.is_empty(), "request {at}");
    }
}

#[tokio::test]
async fn errors_name_what_was_tried_on_what() {
    let store = FaultyStore::new();
    let engine = engine(&store, options(IndexForm::Checked));
    store.misbehave(Fault::Fail { at: 2, code: Some(ErrorCode::PermissionDenied), applied: false });
    let error = engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap_err();
    let data = keys(uid(1)).data;
    assert_eq!(
        error.message(),
        format!(
            "copy ledger 7 with uid {}: write part 1 of {data}: part of {data} in bucket tier, request r-2",
            uid(1)
        )
    );
}

#[tokio::test]
async fn a_store_that_keeps_something_else_is_found_out() {
    let unverified =
        StoreLimits { part_bytes_min: 1, part_bytes_max: 1 << 30, parts_max: 10_000, verifies_crc32c: false };
    for (fault, verify, limits) in [
        (Fault::DamageWrites, Verify::WhereNeeded, Some(unverified)),
        (Fault::DamageWrites, Verify::Bytes, None),
        (Fault::LoseUserMetadata, Verify::Length, None),
    ] {
        for part_bytes in [None, Some(3_000)] {
            let store = limits.map_or_else(FaultyStore::new, FaultyStore::with_limits);
            let mut options = options(IndexForm::Sparse);
            options.upload.verify = verify;
            options.upload.part_bytes = part_bytes;
            let engine = engine(&store, options);
            store.misbehave(fault.clone());
            let error = engine.offload(reader(&small_ledger()), request(uid(1))).await.unwrap_err();
            assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
            assert!(store.is_empty());
        }
    }
}

/// A ledger whose host misbehaves.
struct Source {
    metadata: LedgerMetadata,
    entries: Vec<Entry>,
    fail_at: Option<u64>,
}

impl LedgerSource for Source {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, _last: u64, _max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            if self.fail_at.is_some_and(|at| at <= first) {
                return Err(Error::new(ErrorCode::Unavailable, "the hot ledger is gone"));
            }
            Ok(self.entries.iter().skip(first as usize).take(7).cloned().collect())
        })
    }

    fn progress(&self, _bytes: u64) {}
}

#[tokio::test]
async fn a_ledger_that_is_not_what_its_metadata_says_leaves_nothing() {
    let payloads = small_ledger();
    let sound = || Source {
        metadata: reader(&payloads).metadata().clone(),
        entries: (0..).zip(payloads.clone()).map(|(entry_id, payload)| Entry { entry_id, payload }).collect(),
        fail_at: None,
    };
    let change = |change: fn(&mut Source)| {
        let mut source = sound();
        change(&mut source);
        source
    };
    for (name, source, code) in [
        ("understated length", change(|it| it.metadata.length_bytes -= 1), ErrorCode::InvalidArgument),
        ("no length at all", change(|it| it.metadata.length_bytes = 0), ErrorCode::InvalidArgument),
        ("overstated length", change(|it| it.metadata.length_bytes += 1), ErrorCode::InvalidArgument),
        ("an entry less", change(|it| drop(it.entries.pop())), ErrorCode::InvalidArgument),
        ("a gap", change(|it| drop(it.entries.remove(7))), ErrorCode::InvalidArgument),
        (
            "an entry more",
            change(|it| it.entries.push(Entry { entry_id: 40, payload: Bytes::new() })),
            ErrorCode::InvalidArgument,
        ),
        ("open", change(|it| it.metadata.closed = false), ErrorCode::InvalidArgument),
        ("gone half-way", change(|it| it.fail_at = Some(20)), ErrorCode::Unavailable),
    ] {
        let store = FaultyStore::new();
        let engine = engine(&store, options(IndexForm::Checked));
        let error = engine.offload(LedgerReader::new(Arc::new(source)), request(uid(1))).await.unwrap_err();
        assert_eq!(error.code(), code, "{name}: {error}");
        assert!(store.is_empty(), "{name}");
    }
}
