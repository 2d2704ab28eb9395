//! What becomes of a store's refusals, and of answers that are cut, wrong or someone else's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use longshore_plugin_api::{Error, ErrorCode, Offloader};

use crate::kit::{Rig, SECRET, offload, payloads, read, stored};
use crate::stub::s3::MiniS3;
use crate::stub::{Reply, Seen, Stub};

/// More than one part of 5 MiB.
const ENTRIES: usize = 12_000;
const SMALL_PARTS: (&str, &str) = ("managedLedgerOffloadExtraConfigPartSizeInBytes", "5242880");

/// A fault that happens a number of times.
fn times(count: usize, fault: impl Fn(&Seen) -> Option<Reply>) -> impl Fn(&Seen) -> Option<Reply> {
    let left = AtomicUsize::new(count);
    move |seen| {
        let reply = fault(seen)?;
        left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).ok().map(|_| reply)
    }
}

fn is_begin(seen: &Seen) -> bool {
    seen.method == "POST" && seen.asks("uploads").is_some()
}

fn is_complete(seen: &Seen) -> bool {
    seen.method == "POST" && seen.asks("uploadId").is_some()
}

fn is_part(seen: &Seen) -> bool {
    seen.method == "PUT" && seen.asks("partNumber").is_some()
}

/// Says what it is about, and no secret.
fn assert_tells(error: &Error, code: ErrorCode, parts: &[&str]) {
    let text = error.to_string();
    assert_eq!(error.code(), code, "{text}");
    for part in parts {
        assert!(text.contains(part), "{part} is not in: {text}");
    }
    assert!(!text.contains(SECRET) && !format!("{error:?}").contains(SECRET));
}

#[tokio::test]
async fn passing_faults_pass() {
    type Fault = Box<dyn Fn(&Seen) -> Option<Reply> + Send + Sync>;
    let faults: Vec<(&str, Fault)> = vec![
        ("slow down", Box::new(times(3, |_| Some(Reply::refusal(503, "SlowDown"))))),
        ("lost part", Box::new(times(2, |seen| is_part(seen).then(|| Reply::refusal(500, "InternalError"))))),
        ("an expired token", Box::new(times(1, |seen| is_part(seen).then(|| Reply::refusal(400, "ExpiredToken"))))),
        ("damaged part", Box::new(times(1, |seen| is_part(seen).then(|| Reply::refusal(400, "BadDigest"))))),
        (
            "an upload whose name is cut off",
            Box::new(times(1, |seen| is_begin(seen).then(|| Reply::new(200, "<R><UploadId>up-").cut()))),
        ),
        ("half an XML", Box::new(times(1, |seen| is_begin(seen).then(|| Reply::new(200, "<R><UploadId>up"))))),
        (
            "a completion that is refused after all",
            Box::new(times(1, |seen| {
                is_complete(seen).then(|| Reply::new(200, "<Error><Code>InternalError</Code></Error>"))
            })),
        ),
        ("a completion cut off", Box::new(times(1, |seen| is_complete(seen).then(|| Reply::new(200, ""))))),
        (
            "a range that is ignored",
            Box::new(times(1, |seen| {
                (seen.method == "GET" && !seen.header("range").is_empty())
                    .then(|| Reply::new(206, vec![0; 10]).with("content-range", "bytes 1-10/20"))
            })),
        ),
    ];
    for (what, fault) in faults {
        let rig = Rig::new(fault).await;
        let driver = rig.driver(&[SMALL_PARTS]).await;
        offload(&driver, ENTRIES).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(read(&driver, ENTRIES).await.unwrap() == payloads(ENTRIES), "{what}");
        driver.delete(stored(5)).await.unwrap();
        assert_eq!((rig.store.keys(), rig.store.open_uploads()), (Vec::new(), 0), "{what}");
    }
}

#[tokio::test]
async fn a_completion_whose_answer_was_lost_is_found_to_have_happened() {
    let (store, lost) = (Arc::new(MiniS3::new(true)), AtomicUsize::new(0));
    let answering = store.clone();
    let stub = Stub::start(move |seen: &Seen| {
        let reply = answering.answer(seen);
        let is_lost = is_complete(seen) && lost.fetch_add(1, Ordering::SeqCst) == 0;
        if is_lost { Reply::new(200, "<R>").cut() } else { reply }
    })
    .await;
    let rig = Rig { stub, store };
    let driver = rig.driver(&[SMALL_PARTS]).await;
    offload(&driver, ENTRIES).await.unwrap();
    assert!(read(&driver, ENTRIES).await.unwrap() == payloads(ENTRIES));
    assert_eq!(rig.stub.count(is_complete), 2);
}

#[tokio::test]
async fn a_part_that_the_store_lost_fails_the_copy_and_leaves_nothing() {
    let rig = Rig::new(|seen| is_complete(seen).then(|| Reply::refusal(400, "InvalidPart"))).await;
    let error = offload(&rig.driver(&[SMALL_PARTS]).await, ENTRIES).await.unwrap_err();
    assert_tells(&error, ErrorCode::Unavailable, &["bucket tier", "ledger-5", "InvalidPart", "REQ-42"]);
    assert_eq!((rig.store.keys(), rig.store.open_uploads()), (Vec::new(), 0));
}

#[tokio::test]
async fn a_refused_key_is_told_once_and_not_tried_again() {
    let rig = Rig::new(|_| {
        let body = format!("<Error><Code>SignatureDoesNotMatch</Code><Message>m</Message><X>{SECRET}</X></Error>");
        Some(Reply::new(403, body).with("x-amz-request-id", "REQ-7"))
    })
    .await;
    let driver = rig.driver(&[]).await;
    let error = driver.open_read(stored(5)).await.unwrap_err();
    assert_tells(&error, ErrorCode::PermissionDenied, &["bucket tier", "SignatureDoesNotMatch", "REQ-7"]);
    assert_eq!(rig.stub.seen().len(), 1);
}

/// A store that lets one kind of request through and refuses another, for good.
#[tokio::test]
async fn what_is_refused_for_good_is_told_once_and_the_rest_goes_on() {
    #[derive(Clone, Copy)]
    enum Call {
        Offload,
        Read,
        Delete,
    }
    let table = [
        ("no right to write", Call::Offload, 403, "AccessDenied", ErrorCode::PermissionDenied),
        ("a key that is switched off", Call::Offload, 400, "KMS.DisabledException", ErrorCode::InvalidConfig),
        ("a full store", Call::Offload, 507, "XMinioStorageFull", ErrorCode::StorageFull),
        ("no right to read", Call::Read, 403, "AccessDenied", ErrorCode::PermissionDenied),
        ("an archived object", Call::Read, 403, "InvalidObjectState", ErrorCode::Unsupported),
        ("an object under a lock", Call::Delete, 403, "AccessDenied", ErrorCode::PermissionDenied),
    ];
    for (what, call, status, code, expected) in table {
        let which = move |seen: &Seen| match call {
            Call::Offload => seen.method == "PUT" || is_begin(seen),
            Call::Read => seen.method == "GET" && seen.path.ends_with("-ledger-5"),
            Call::Delete => seen.method == "DELETE" && seen.query.is_empty(),
        };
        let refuses = Arc::new(AtomicBool::new(false));
        let is_on = refuses.clone();
        let rig =
            Rig::new(move |seen| (is_on.load(Ordering::SeqCst) && which(seen)).then(|| Reply::refusal(status, code)))
                .await;
        let driver = rig.driver(&[]).await;
        offload(&driver, 30).await.unwrap();
        refuses.store(true, Ordering::SeqCst);
        let before = rig.stub.count(which);
        let fresh = rig.driver(&[]).await;
        let (error, requests) = match call {
            Call::Offload => (offload(&fresh, 30).await.unwrap_err(), 1),
            Call::Read => (read(&fresh, 30).await.unwrap_err(), 1),
            // Both objects are tried.
            Call::Delete => (fresh.delete(stored(5)).await.unwrap_err(), 2),
        };
        assert_tells(&error, expected, &["bucket tier", code, "REQ-42"]);
        assert_eq!(rig.stub.count(which) - before, requests, "{what}: not again and again");
        refuses.store(false, Ordering::SeqCst);
        driver.delete(stored(5)).await.unwrap();
        assert_eq!((rig.store.keys(), rig.store.open_uploads()), (Vec::new(), 0), "{what}");
    }
}

#[tokio::test]
async fn an_upload_that_the_store_forgot_may_be_made_again() {
    let rig = Rig::new(times(1, |seen| is_part(seen).then(|| Reply::refusal(404, "NoSuchUpload")))).await;
    let driver = rig.driver(&[SMALL_PARTS]).await;
    let error = offload(&driver, ENTRIES).await.unwrap_err();
    assert_tells(&error, ErrorCode::Unavailable, &["bucket tier", "forgotten", "NoSuchUpload"]);
    assert!(error.is_retryable());
    assert_eq!((rig.store.keys(), rig.store.open_uploads()), (Vec::new(), 0));
    offload(&driver, ENTRIES).await.unwrap();
    assert!(read(&driver, ENTRIES).await.unwrap() == payloads(ENTRIES));
}

#[tokio::test]
async fn a_redirection_is_told_and_not_followed() {
    let elsewhere = Stub::start(|_| Reply::new(200, "")).await;
    let to = elsewhere.url.clone();
    let rig = Rig::new(move |_| {
        let reply = Reply::refusal(301, "PermanentRedirect").with("x-amz-bucket-region", "eu-north-1");
        Some(reply.with("location", &to))
    })
    .await;
    let driver = rig.driver(&[]).await;
    let error = driver.health().await.unwrap_err();
    assert_tells(&error, ErrorCode::InvalidConfig, &["bucket tier", "the bucket is in region eu-north-1"]);
    assert_eq!(elsewhere.seen().len(), 0);
}

#[tokio::test]
async fn what_is_not_there_and_what_cannot_be_reached_are_told_apart() {
    let rig = Rig::new(|_| None).await;
    let driver = rig.driver(&[]).await;
    let error = driver.open_read(stored(5)).await.unwrap_err();
    assert_tells(&error, ErrorCode::NotFound, &["bucket tier", "NoSuchKey"]);

    let rig = Rig::new(|_| Some(Reply::refusal(404, "NoSuchBucket"))).await;
    let driver = rig.driver(&[]).await;
    let error = driver.delete(stored(5)).await.unwrap_err();
    assert_tells(&error, ErrorCode::NotFound, &["NoSuchBucket", "create the bucket"]);

    // A port that nobody listens on any more.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let nobody = ("s3ManagedLedgerOffloadServiceEndpoint", &*format!("http://{gone}"));
    let error = rig.driver(&[nobody]).await.open_read(stored(5)).await.unwrap_err();
    assert_tells(&error, ErrorCode::Unavailable, &["bucket tier"]);
}

#[tokio::test]
async fn a_store_that_ignores_ranges_never_gives_wrong_bytes() {
    let rig = Rig::new(|_| None).await;
    let driver = rig.driver(&[]).await;
    offload(&driver, 3000).await.unwrap();
    let store = rig.store.clone();
    let careless = Stub::start(move |seen: &Seen| {
        let mut whole = seen.clone();
        whole.headers.remove("range");
        store.answer(&whole)
    })
    .await;
    let rig = Rig { stub: careless, store: Arc::default() };
    let driver = rig.driver(&[]).await;
    match read(&driver, 3000).await {
        Ok(entries) => assert!(entries == payloads(3000)),
        Err(error) => assert_eq!(error.code(), ErrorCode::Unavailable, "{error}"),
    }
}
