//! Faults between a driver and a real server: what passes does no harm, what lasts is a typed error in time, and neither leaves
//! anything in the store, nor ever a wrong byte.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use longshore_conformance::table::trying;
use longshore_plugin_api::{Error, ErrorCode, Offloader, ReadHandle, Result, ScanRequest, StoredLedger};
use tiered_storage_jcloud::ObjectStoreOffloader;

use crate::behind::Behind;
use crate::line::{Asked, Fault, Line};
use crate::server::{new_copy, offload, payloads, read_all};

const SUITE: &str = "faults";
/// Short, so that the tests are; long enough for a busy machine.
const QUICK: [(&str, &str); 3] = [
    ("managedLedgerOffloadExtraConfigRequestTimeoutMs", "1000"),
    ("managedLedgerOffloadExtraConfigSlowestBytesPerSecond", "2000000"),
    ("managedLedgerOffloadExtraConfigPartSizeInBytes", "5242880"),
];
/// Stories that go on at once with one server.
const AT_ONCE: usize = 4;
/// As long as any call may take with [`QUICK`]: two requests one after the other, ten attempts at each where the store is busy and
/// five else, and the pauses between them, on a machine that is busy too.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(45);

/// Faults that strike one request and are over.
fn passing() -> Vec<(&'static str, Fault)> {
    let slow = Fault::Slow { latency: Duration::from_millis(150), bytes_per_second: 8 << 20 };
    vec![
        ("late and slow", slow),
        ("a reset before the request arrives", Fault::ResetUp(0)),
        ("a reset in the middle of a request", Fault::ResetUp(100_000)),
        ("a reset in place of an answer", Fault::ResetDown(0)),
        ("a reset in the middle of an answer", Fault::ResetDown(3_000)),
        ("an answer whose head is cut", Fault::CutDown(20)),
        ("an answer whose body is cut", Fault::CutDown(3_000)),
        ("a half-closed connection", Fault::HalfClosed),
        ("accepted, then silence", Fault::StallUp(0)),
        ("silence in the middle of a request", Fault::StallUp(100_000)),
        ("silence in place of an answer", Fault::StallDown(0)),
        ("silence in the middle of an answer", Fault::StallDown(3_000)),
        ("503", Fault::slow_down(None)),
        ("503 with Retry-After", Fault::slow_down(Some(1))),
    ]
}

/// Faults that go on, each with the codes that it may be told as.
fn lasting() -> Vec<(&'static str, Fault, &'static [ErrorCode])> {
    const UNAVAILABLE: &[ErrorCode] = &[ErrorCode::Unavailable];
    vec![
        ("resets before requests arrive", Fault::ResetUp(0), UNAVAILABLE),
        ("resets in place of answers", Fault::ResetDown(0), UNAVAILABLE),
        ("cut answers", Fault::CutDown(20), UNAVAILABLE),
        ("half-closed connections", Fault::HalfClosed, UNAVAILABLE),
        ("silence", Fault::StallUp(0), &[ErrorCode::Timeout]),
        ("503 without end", Fault::slow_down(None), &[ErrorCode::RateLimited]),
    ]
}

/// Requests that differ in what they are for are of different kinds: method, whose they are, and what their query asks.
fn kind(asked: &Asked) -> String {
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let whole = format!("{path} {}", query.replace("%2D", "-"));
    let whose = match () {
        () if whole.contains("-index") => "index",
        () if whole.contains("-ledger-") => "data",
        () => "bucket",
    };
    let asks = query.split('&').map(|pair| match pair.split_once('=') {
        Some(("comp" | "uploadType" | "alt", _)) => pair,
        Some((name, _)) => name,
        None => pair,
    });
    let asks: BTreeSet<&str> = asks.filter(|asks| !asks.is_empty()).collect();
    let size = if asked.body_bytes > 1 << 20 { " part" } else { "" };
    format!("{} {whose}{size} {}", asked.method, Vec::from_iter(asks).join(" "))
}

/// Strikes the first request of each kind, those to a session of an upload as told.
fn first_of_each_kind(fault: Fault, sessions: bool) -> impl Fn(&Asked) -> Fault {
    let struck: Mutex<BTreeSet<String>> = Mutex::default();
    move |asked| {
        let kind = kind(asked);
        let is_session = asked.method == "PUT" && kind.contains("upload_id");
        let is_struck = (sessions || !is_session) && struck.lock().unwrap().insert(kind);
        if is_struck { fault.clone() } else { Fault::None }
    }
}

/// A ledger of two parts and one of less than a part.
fn ledgers() -> [Vec<Bytes>; 2] {
    [payloads(30, 200_000), payloads(40, 3_000)]
}

/// All that a driver is asked in the life of two copies.
async fn story(driver: &ObjectStoreOffloader, copies: &[StoredLedger; 2]) -> Result<()> {
    driver.health().await?;
    for (stored, entries) in copies.iter().zip(ledgers()) {
        offload(driver, stored, &entries).await?;
        assert!(read_all(driver, stored).await? == entries, "other entries came back");
    }
    let scanned = driver.scan(ScanRequest { after: None, limit: 1000 }).await?;
    assert!(scanned.next.is_some() || scanned.ledgers.iter().any(|found| found.uid == copies[0].uid));
    for stored in copies {
        driver.delete(stored.clone()).await?;
    }
    Ok(())
}

async fn play(behind: &Behind, what: &str, fault: &Fault) {
    let line = Line::http(behind.authority()).await;
    let driver = behind.driver_at(&line.address.to_string(), &QUICK).await;
    let copies = [new_copy(&driver, 21), new_copy(&driver, 22)];
    line.misbehave(first_of_each_kind(fault.clone(), behind.takes_up_uploads()));
    let told = story(&driver, &copies).await;
    let asked = line.asked();
    let struck: Vec<String> = asked.iter().filter(|it| it.2 != Fault::None).map(|(_, asked, _)| kind(asked)).collect();
    match told {
        // Nothing is left of it, which is looked at below.
        Err(error) if behind.loses_cut_completions() && matches!(fault, Fault::ResetUp(1..)) => {
            assert!(error.to_string().contains("complete the upload"), "{error}");
            assert_told(behind, what, &error, &[ErrorCode::Unavailable]);
        }
        told => told.unwrap_or_else(|error| panic!("{what} at {struck:?}: {error}")),
    }
    // Health, an upload's beginning, both objects, a look at each, deletes.
    assert!(struck.len() >= 7, "{what}: only {struck:?}");
    for stored in &copies {
        assert_eq!(behind.left(stored).await, Vec::<String>::new(), "{what}");
    }
}

/// Each fault strikes each kind of request once, and no caller hears of it.
pub(crate) async fn passing_faults_pass(behind: Behind) {
    let stories = stream::iter(passing()).map(async |(what, fault)| {
        let _trying = trying(behind.place(), SUITE, format!("{what}, once for each kind of request: success"));
        play(&behind, what, &fault).await;
    });
    stories.buffer_unordered(AT_ONCE).collect::<()>().await;
}

/// An error that says what is wrong in time, may be tried again, and tells no secret.
fn assert_told(behind: &Behind, what: &str, error: &Error, codes: &[ErrorCode]) {
    let text = format!("{error} {error:?}");
    assert!(codes.contains(&error.code()), "{what}: {}: {text}", error.code());
    assert!(error.is_retryable(), "{what}: {text}");
    assert!(behind.secret().is_none_or(|secret| !text.contains(secret)), "{what}: {text}");
}

async fn timed(call: &str, work: impl Future<Output = Result<()>>) -> (&str, Result<()>, Duration) {
    let began = Instant::now();
    let answer = work.await;
    (call, answer, began.elapsed())
}

/// Whatever is asked fails in time, and works again when the line does.
async fn all_fail(behind: &Behind, line: &Line, what: &str, begin: impl FnOnce(&Line), codes: &[ErrorCode]) {
    let driver = behind.driver_at(&line.address.to_string(), &QUICK).await;
    let (stored, other, large) = (new_copy(&driver, 23), new_copy(&driver, 24), new_copy(&driver, 25));
    let [long, short] = ledgers();
    offload(&driver, &stored, &short).await.unwrap();
    let handle = driver.open_read(stored.clone()).await.unwrap();
    begin(line);
    let answers = tokio::join!(
        timed("health", driver.health()),
        timed("read", async { handle.read(0, 39, 1 << 20).await.map(drop) }),
        timed("open", async { driver.open_read(other.clone()).await.map(drop) }),
        timed("scan", async { driver.scan(ScanRequest { after: None, limit: 9 }).await.map(drop) }),
        timed("delete", driver.delete(stored.clone())),
        timed("offload of one part", offload(&driver, &other, &short)),
        timed("offload of parts", offload(&driver, &large, &long)),
    );
    let (health, read, opened, scanned, deleted, small, large_copy) = answers;
    for (call, told, took) in [health, read, opened, scanned, deleted, small, large_copy] {
        let what = format!("{what}, {call}");
        assert_told(behind, &what, &told.expect_err(&what), codes);
        assert!(took < ANSWER_TIME_MAX, "{what}: {took:?}");
    }
    line.open_again().await;
    for stored in [&other, &large] {
        assert_eq!(behind.left(stored).await, Vec::<String>::new(), "{what}");
    }
    driver.delete(stored.clone()).await.unwrap();
    offload(&driver, &large, &long).await.unwrap();
    assert!(read_all(&driver, &large).await.unwrap() == long);
    driver.delete(large.clone()).await.unwrap();
    for stored in [&stored, &large] {
        assert_eq!(behind.left(stored).await, Vec::<String>::new(), "{what}");
    }
}

/// Faults of every request, nobody who listens, a name that nobody knows.
pub(crate) async fn lasting_faults_are_errors_in_time(behind: Behind) {
    let calls = stream::iter(lasting()).map(async |(what, fault, codes)| {
        let _trying =
            trying(behind.place(), SUITE, format!("{what}: an error in time, nothing left, works afterwards"));
        let line = Line::http(behind.authority()).await;
        all_fail(&behind, &line, what, |line| line.misbehave(move |_| fault.clone()), codes).await;
    });
    calls.buffer_unordered(AT_ONCE).collect::<()>().await;
    {
        let _trying = trying(behind.place(), SUITE, "nobody listens: an error in time, nothing left, works afterwards");
        let line = Line::http(behind.authority()).await;
        all_fail(&behind, &line, "nobody listens", Line::close, &[ErrorCode::Unavailable]).await;
    }
    let _trying = trying(behind.place(), SUITE, "a host name that nobody knows: an error in time");
    let driver = behind.driver_at("store.invalid:80", &QUICK).await;
    let began = Instant::now();
    let error = driver.open_read(new_copy(&driver, 26)).await.unwrap_err();
    assert_told(&behind, "an unknown name", &error, &[ErrorCode::Unavailable, ErrorCode::Timeout]);
    assert!(began.elapsed() < ANSWER_TIME_MAX * 2);
}

/// Each kind of request of an offload fails for good, with and without taking effect, and the rest works.
pub(crate) async fn a_copy_that_cannot_be_finished_leaves_nothing(behind: Behind) {
    let line = Line::http(behind.authority()).await;
    let driver = behind.driver_at(&line.address.to_string(), &QUICK).await;
    let undisturbed = new_copy(&driver, 27);
    let [entries, _] = ledgers();
    offload(&driver, &undisturbed, &entries).await.unwrap();
    let kinds: BTreeSet<String> = line.asked().iter().map(|(_, asked, _)| kind(asked)).collect();
    driver.delete(undisturbed).await.unwrap();
    let struck_kinds = AtomicUsize::new(0);
    let cases = kinds.iter().flat_map(|kind| [Fault::ResetUp(0), Fault::ResetDown(0)].map(|fault| (kind, fault)));
    let copies = stream::iter(cases).map(async |(struck, fault)| {
        let how = if fault == Fault::ResetUp(0) { "never arrives" } else { "is never answered" };
        let _trying = trying(behind.place(), SUITE, format!("a kind of request of an offload {how}: nothing left"));
        let line = Line::http(behind.authority()).await;
        let driver = behind.driver_at(&line.address.to_string(), &QUICK).await;
        let stored = new_copy(&driver, 27);
        let (meant, what) = (struck.clone(), format!("{struck} {how}"));
        line.misbehave(move |asked| if kind(asked) == meant { fault.clone() } else { Fault::None });
        let copied = offload(&driver, &stored, &entries).await;
        // On a busy machine the undisturbed copy may have asked something twice, and looked for the first one.
        if line.faults() > 0 {
            struck_kinds.fetch_add(1, Ordering::SeqCst);
        }
        match copied {
            Err(error) => {
                // On a busy machine the second of a request may be over before the line has cut it.
                assert_told(&behind, &what, &error, &[ErrorCode::Unavailable, ErrorCode::Timeout]);
                assert_eq!(behind.left(&stored).await, Vec::<String>::new(), "{what}");
            }
            Ok(()) => {
                // A completion whose answer is lost is found to have happened.
                line.behave();
                assert!(read_all(&driver, &stored).await.unwrap() == entries, "{what}");
                driver.delete(stored).await.unwrap();
            }
        }
    });
    copies.buffer_unordered(AT_ONCE).collect::<()>().await;
    // The index is asked for, an upload begun, a part and the last one sent, and the index put; each in both ways.
    assert!(struck_kinds.into_inner() >= 10, "{kinds:?}");
}

/// A store that goes while parts are on their way and is back before anybody has given up.
pub(crate) async fn a_short_outage_is_waited_for(behind: Behind) {
    if !behind.takes_up_uploads() {
        return;
    }
    let _trying = trying(behind.place(), SUITE, "nobody listens for 0.3 s in the middle of an offload: success");
    let line = Line::http(behind.authority()).await;
    let driver = behind.driver_at(&line.address.to_string(), &QUICK).await;
    let stored = new_copy(&driver, 28);
    let [entries, _] = ledgers();
    let outage = async {
        while !line.asked().iter().any(|(_, asked, _)| asked.body_bytes > 1 << 20) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        line.close();
        tokio::time::sleep(Duration::from_millis(300)).await;
        line.open_again().await;
    };
    let (copied, ()) = tokio::join!(offload(&driver, &stored, &entries), outage);
    copied.unwrap();
    assert!(read_all(&driver, &stored).await.unwrap() == entries);
    driver.delete(stored.clone()).await.unwrap();
    assert_eq!(behind.left(&stored).await, Vec::<String>::new());
}

/// Requests that a crowded store bears at once.
const CROWD: usize = 4;
const COPIES_AT_ONCE: u64 = 24;

async fn copy_many(driver: &ObjectStoreOffloader, first_ledger: u64) {
    let entries = payloads(10, 3_000);
    let copies = (0..COPIES_AT_ONCE).map(async |number| {
        let stored = new_copy(driver, first_ledger + number);
        offload(driver, &stored, &entries).await.unwrap();
        assert!(read_all(driver, &stored).await.unwrap() == entries);
        driver.delete(stored).await.unwrap();
    });
    futures_util::future::join_all(copies).await;
}

/// More than a few requests at once are answered 503, for some seconds; then all are served again.
pub(crate) async fn a_crowded_store_gets_fewer_requests(behind: Behind) {
    let late = || Fault::Slow { latency: Duration::from_millis(20), bytes_per_second: 64 << 20 };
    for retry_after in [None, Some(1)] {
        let told = if retry_after.is_some() { "503 with Retry-After" } else { "503" };
        let what = format!("{told} to more than {CROWD} at once: fewer within a second, all done, more again");
        let _trying = trying(behind.place(), SUITE, what);
        let line = Line::http(behind.authority()).await;
        let driver = behind.driver_at(&line.address.to_string(), &[]).await;
        line.misbehave(move |_| late());
        copy_many(&driver, 100).await;
        let needed = line.asked().len();
        line.misbehave(move |asked| if asked.at_once > CROWD { Fault::slow_down(retry_after) } else { late() });
        copy_many(&driver, 200).await;
        let asked = line.asked();
        let refused = |it: &&(Instant, Asked, Fault)| matches!(it.2, Fault::Answer { .. });
        let first = asked.iter().find(refused).expect("nobody was refused").0;
        let later: Vec<_> = asked.iter().filter(|it| it.0 > first + Duration::from_secs(1)).collect();
        let crowds = later.iter().filter(|it| it.1.at_once > 2 * CROWD).count();
        let all_refused = asked.iter().filter(refused).count();
        assert!(crowds * 20 <= later.len(), "{told}: {crowds} of {} came to a crowd after a second", later.len());
        assert!(
            // How many come before the driver has learned it depends on how busy the machine is.
            asked.len() <= needed * 2,
            "{told}: {} requests in place of {needed}, {all_refused} refused",
            asked.len()
        );
        line.misbehave(move |_| late());
        copy_many(&driver, 300).await;
        let at_once = line.asked().iter().map(|(_, asked, _)| asked.at_once).max();
        assert!(at_once > Some(2 * CROWD), "{told}: never more than {at_once:?} again");
    }
}
