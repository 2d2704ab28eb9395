//! A plugin that panics, blocks or lies costs one failed operation; the host and everybody else go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use longshore::plugin::figures::Verb;
use longshore::plugin::{PluginHost, PluginSettings, PluginState};
use longshore::storage::{
    DriverError, DriverErrorKind, OffloadDriver, ReadError, ReadHandle, ScanRequest, StoredLedger,
};

use longshore_tests::rig::PATIENCE;
use tempfile::TempDir;

use super::{MemoryLedger, misbehaving, misbehaving_host, quick, read_all, row};

/// Offloads a ledger with a driver that behaves, so that another can read it.
async fn stored(host: &PluginHost, count: usize) -> (Arc<MemoryLedger>, StoredLedger) {
    let ledger = MemoryLedger::new(count, 100);
    let target = ledger.target();
    let driver = misbehaving(host, "ok").await.unwrap();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    (ledger, target)
}

/// A folder with the misbehaving plugin under a version of its own, loaded: another library, with workers of its own, for tests
/// that block them for ever.
fn host_of_its_own(version: &str, settings: PluginSettings) -> (TempDir, PluginHost) {
    let folder = tempfile::tempdir().unwrap();
    let to = format!("\"version\":\"{version}\"");
    let library = super::refusals::everywhere("\"version\":\"1.2.3\"", &to);
    longshore_tests::plugins::put(folder.path(), "blocking.so", &library);
    let host = PluginHost::load(folder.path(), settings);
    (folder, host)
}

/// Runs the verb `place` of a driver in the mode `how-place` and answers its error.
async fn error_in(
    driver: &dyn OffloadDriver,
    place: &str,
    ledger: Arc<MemoryLedger>,
    target: &StoredLedger,
) -> DriverError {
    match place {
        "offload" => driver.offload(ledger, target.clone()).await.unwrap_err(),
        "open" | "handle" => driver.open(target).await.err().unwrap(),
        "delete" => driver.delete(target).await.unwrap_err(),
        "health" => driver.health().await.unwrap_err(),
        "read" => match driver.open(target).await.unwrap().read(0, 0, 10).await.unwrap_err() {
            ReadError::Driver(error) => error,
            other => panic!("{other}"),
        },
        other => panic!("no verb {other}"),
    }
}

const VERBS: [&str; 6] = ["offload", "open", "handle", "delete", "health", "read"];

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_verb_is_an_error_with_its_message() {
    let (_folder, host) = misbehaving_host(PluginSettings { degraded_after: 100, ..quick() });
    let (ledger, target) = stored(&host, 3).await;
    for place in VERBS {
        let driver = misbehaving(&host, &format!("panic-{place}")).await.unwrap();
        for _ in 0..2 {
            let error = error_in(&*driver, place, Arc::clone(&ledger), &target).await;
            assert_eq!(error.kind, DriverErrorKind::Panicked, "{error}");
            assert!(error.message.contains(&format!("told to panic in {place}")), "{error}");
            assert_eq!(error.plugin, "misbehaving 1.2.3");
        }
    }
    let back = read_all(&*misbehaving(&host, "ok").await.unwrap().open(&target).await.unwrap(), 1000).await.unwrap();
    assert_eq!(back, ledger.payloads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_a_driver_is_made_is_an_error_and_the_next_try_is_a_new_one() {
    let (_folder, host) = misbehaving_host(PluginSettings { degraded_after: 100, ..quick() });
    for place in ["validate", "create", "metadata"] {
        for _ in 0..2 {
            let error = misbehaving(&host, &format!("panic-{place}")).await.err().unwrap();
            assert_eq!(error.kind, DriverErrorKind::Panicked);
            assert!(error.message.contains(&format!("told to panic in {place}")), "{error}");
        }
    }
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_a_drop_on_a_thread_or_of_a_payload_ends_there() {
    let (_folder, host) = host_of_its_own("1.2.6", PluginSettings { driver_instances_max: 1, ..quick() });
    let (_ledger, target) = stored(&host, 3).await;
    let spite = misbehaving(&host, "spite-health").await.unwrap();
    assert_eq!(spite.health().await.unwrap_err().kind, DriverErrorKind::Panicked);
    let thread = misbehaving(&host, "thread-health").await.unwrap();
    thread.health().await.unwrap();
    for mode in ["panic-close", "panic-closing", "block-close", "block-closing", "panic-drop", "block-drop"] {
        let driver = misbehaving(&host, mode).await.unwrap();
        drop(driver.open(&target).await.unwrap());
        // Only one instance is kept, so that the next driver makes the host drop this one.
        drop(driver);
        let began = Instant::now();
        misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
        assert!(began.elapsed() < PATIENCE, "{mode} held up the host");
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_never_returns_ends_at_its_deadline_and_is_dropped_in_the_plugin() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(400), degraded_after: 100, ..quick() };
    let (_folder, host) =
        misbehaving_host(PluginSettings { offload_stall_timeout: Duration::from_millis(400), ..settings });
    let (ledger, target) = stored(&host, 3).await;
    for place in ["offload", "open", "delete", "health", "read"] {
        let driver = misbehaving(&host, &format!("pending-{place}")).await.unwrap();
        let began = Instant::now();
        let error = error_in(&*driver, place, Arc::clone(&ledger), &target).await;
        assert_eq!(error.kind, DriverErrorKind::Timeout, "{error}");
        assert!(error.is_retryable());
        assert!(began.elapsed() < PATIENCE, "{place}");
        let key =
            if place == "offload" { "offloadersOffloadStallTimeoutMs=400" } else { "offloadersCallTimeoutMs=400" };
        assert!(error.message.contains(key), "{error}");
    }
    // A new instance tells which calls were dropped while they were pending; the plugin's threads do that when they come to it.
    let end = Instant::now() + PATIENCE;
    for n in 0.. {
        let witness = misbehaving(&host, &format!("ok-witness-{n}")).await.unwrap().driver_metadata();
        let was_dropped = |place: &&str| witness.contains_key(&format!("dropped-{place}"));
        let left: Vec<_> =
            ["offload", "open", "delete", "health", "read"].into_iter().filter(|place| !was_dropped(place)).collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "{left:?} were not dropped: {witness:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_blocks_its_thread_for_ever_costs_that_call_alone() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(500), ..quick() };
    let (folder, _) = host_of_its_own("1.2.7", settings.clone());
    longshore_tests::plugins::stage("example-folder", folder.path(), "example.so");
    let host = PluginHost::load(folder.path(), settings);

    let driver = misbehaving(&host, "block-health").await.unwrap();
    let error = driver.health().await.unwrap_err();
    assert_eq!(error.kind, DriverErrorKind::Timeout);
    // The plugin has a second worker left, and other plugins have their own.
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
    let cold = tempfile::tempdir().unwrap();
    let example = super::settings(&[("managedLedgerOffloadExtraConfigFolder", cold.path().to_str().unwrap())]);
    let example = longshore::storage::DriverLookup::driver(&host, "example-folder", &example).await.unwrap();
    let (ledger, again) = (MemoryLedger::new(10, 10), driver.health());
    let (offloaded, again) =
        tokio::join!(example.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()), again);
    offloaded.unwrap();
    assert_eq!(again.unwrap_err().kind, DriverErrorKind::Timeout);
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_in_a_row_degrade_a_plugin_and_an_answer_restores_it() {
    let (_folder, host) = misbehaving_host(PluginSettings { degraded_after: 3, ..quick() });
    let (bad, good) = (misbehaving(&host, "panic-health").await.unwrap(), misbehaving(&host, "ok").await.unwrap());
    for _ in 0..3 {
        assert_eq!(row(&host, "misbehaving-1.2.3.so").state, PluginState::Loaded);
        bad.health().await.unwrap_err();
    }
    let degraded = row(&host, "misbehaving-1.2.3.so");
    assert_eq!(degraded.state, PluginState::Degraded);
    assert!(degraded.reason.unwrap().contains("told to panic in health"));
    good.health().await.unwrap();
    assert_eq!(row(&host, "misbehaving-1.2.3.so").state, PluginState::Loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_caught_and_the_plugin_named() {
    let (_folder, host) = misbehaving_host(quick());
    let (_ledger, target) = stored(&host, 10).await;
    for (mode, words) in [
        ("nonsense-read-empty", "answered with no entry"),
        ("nonsense-read-gap", "answered with entry"),
        ("nonsense-read-order", "answered with entry"),
        ("nonsense-read-more", "answered with 7 entries where 6 were asked for"),
        ("nonsense-read-bytes", "bytes where 350 were allowed"),
    ] {
        let handle = misbehaving(&host, mode).await.unwrap().open(&target).await.unwrap();
        let (last, max_bytes) = if mode == "nonsense-read-bytes" { (9, 350) } else { (5, 10_000) };
        let error = handle.read(0, last, max_bytes).await.unwrap_err();
        let ReadError::Driver(error) = error else { panic!("{error}") };
        assert_eq!((error.kind, error.plugin.as_str()), (DriverErrorKind::Misbehaved, "misbehaving 1.2.3"), "{mode}");
        assert!(error.message.contains(words), "{error}");
    }
    let error = misbehaving(&host, "nonsense-metadata").await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::Misbehaved, "{error}");
    assert!(error.message.contains("bytes recorded with each ledger, 65536 are allowed"), "{error}");
    for mode in ["nonsense-scan-more", "nonsense-scan-loop", "nonsense-scan-token"] {
        let request = ScanRequest { after: Some("0".to_owned()), limit: 1 };
        stored(&host, 1).await;
        let error = misbehaving(&host, mode).await.unwrap().scan(request).await.unwrap_err();
        assert_eq!(error.kind, DriverErrorKind::Misbehaved, "{mode}: {error}");
    }
    for mode in ["nonsense-open-ledger", "nonsense-open-empty", "nonsense-open-huge"] {
        let error = misbehaving(&host, mode).await.unwrap().open(&target).await.err().unwrap();
        assert_eq!(error.kind, DriverErrorKind::Misbehaved, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offload_may_take_longer_than_its_deadline_as_long_as_it_moves() {
    let stall = Duration::from_millis(600);
    let (_folder, host) = misbehaving_host(PluginSettings { offload_stall_timeout: stall, ..quick() });
    let ledger = MemoryLedger::new(12, 64 * 1024);
    let driver = misbehaving(&host, "slow-offload").await.unwrap();
    let began = Instant::now();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()).await.unwrap();
    assert!(began.elapsed() > stall, "it took longer than the deadline on progress");
    assert_eq!(ledger.progress.load(Ordering::Relaxed), 12);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offload_that_stops_moving_is_given_up_and_its_ledger_called_back() {
    let stall = Duration::from_millis(400);
    let (_folder, host) = misbehaving_host(PluginSettings { offload_stall_timeout: stall, ..quick() });
    for (mode, kind) in [("stall-offload", DriverErrorKind::Timeout), ("midway-offload", DriverErrorKind::Panicked)] {
        let ledger = MemoryLedger::new(12, 64 * 1024);
        let driver = misbehaving(&host, mode).await.unwrap();
        let error = driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
        assert_eq!(Arc::strong_count(&ledger), 1, "the plugin holds nothing of the host's");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_asks_for_too_much_gets_what_the_setting_allows() {
    let (_folder, host) = misbehaving_host(PluginSettings { ledger_read_bytes_max: 200_000, ..quick() });
    let ledger = MemoryLedger::new(12, 64 * 1024);
    let greedy = misbehaving(&host, "greedy-offload").await.unwrap();
    greedy.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()).await.unwrap();
    assert_eq!(ledger.max_bytes.load(Ordering::Relaxed), 200_000);
    let beyond = misbehaving(&host, "beyond-offload").await.unwrap();
    let error = beyond.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()).await.unwrap_err();
    assert!(error.message.contains("which has 12 entries"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_or_open_ledger_is_refused_by_the_driver() {
    let (_folder, host) = misbehaving_host(quick());
    let driver = misbehaving(&host, "ok").await.unwrap();
    let empty = MemoryLedger::new(0, 0);
    let error = driver.offload(Arc::clone(&empty) as Arc<dyn ReadHandle>, empty.target()).await.unwrap_err();
    assert!(error.message.contains("An empty or open ledger should never be offloaded"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_beyond_the_limit_wait_within_their_deadline() {
    let settings = PluginSettings { concurrent_calls_max: 1, call_timeout: Duration::from_millis(500), ..quick() };
    let (_folder, host) = misbehaving_host(settings);
    let (stuck, good) = (misbehaving(&host, "pending-health").await.unwrap(), misbehaving(&host, "ok").await.unwrap());
    let (first, second) = tokio::join!(stuck.health(), async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        good.health().await
    });
    assert_eq!(first.unwrap_err().kind, DriverErrorKind::Timeout);
    second.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_of_a_driver_that_cannot_be_made_all_get_an_answer_in_time() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(400), degraded_after: 1000, ..quick() };
    let (_folder, host) = misbehaving_host(settings);
    let began = Instant::now();
    let calls = (0..20).map(|_| misbehaving(&host, "pending-create"));
    for made in futures_util::future::join_all(calls).await {
        assert_eq!(made.err().unwrap().kind, DriverErrorKind::Timeout);
    }
    assert!(began.elapsed() < Duration::from_millis(400 * 15), "they waited one after the other");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reads_at_once_through_two_plugins_all_succeed() {
    let (folder, _) = misbehaving_host(quick());
    longshore_tests::plugins::stage("example-folder", folder.path(), "example.so");
    let host = PluginHost::load(folder.path(), PluginSettings::default());
    let (ledger, target) = stored(&host, 100).await;
    let cold = tempfile::tempdir().unwrap();
    let example = super::settings(&[("managedLedgerOffloadExtraConfigFolder", cold.path().to_str().unwrap())]);
    let example = longshore::storage::DriverLookup::driver(&host, "example-folder", &example).await.unwrap();
    example.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    let handles =
        [misbehaving(&host, "ok").await.unwrap().open(&target).await.unwrap(), example.open(&target).await.unwrap()];
    let reads = (0..1000_u64).map(|n| {
        let (handle, first) = (Arc::clone(&handles[n as usize % 2]), n % 100);
        tokio::spawn(async move { (first, handle.read(first, first, 1).await) })
    });
    for read in futures_util::future::join_all(reads).await {
        let (first, entries) = read.unwrap();
        assert_eq!(entries.unwrap()[0].payload, ledger.payloads[first as usize]);
    }
}

/// The last share of a handle may go on a worker of the plugin (its `close` runs there); the author's drop must not.
#[tokio::test(flavor = "multi_thread")]
async fn handles_whose_drop_blocks_take_no_worker_from_the_plugin() {
    let (_folder, host) = host_of_its_own("1.2.8", quick());
    let (_ledger, target) = stored(&host, 3).await;
    let driver = misbehaving(&host, "block-closing").await.unwrap();
    for _ in 0..8 {
        drop(driver.open(&target).await.unwrap());
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_lead_through_the_whole_listing() {
    let (_folder, host) = misbehaving_host(quick());
    let mut targets = Vec::new();
    for _ in 0..5 {
        targets.push(stored(&host, 1).await.1);
    }
    let driver = misbehaving(&host, "ok").await.unwrap();
    let (mut found, mut after) = (Vec::new(), None);
    loop {
        let page = driver.scan(ScanRequest { after, limit: 2 }).await.unwrap();
        found.extend(page.ledgers.into_iter().map(|ledger| ledger.uid));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    // Other tests keep their copies in the same library.
    assert!(targets.iter().all(|target| found.contains(&target.uid)));
}

/// Reads one entry in a mode that concerns answers on the host's thread.
async fn read_in(host: &PluginHost, mode: &str, target: &StoredLedger) -> Result<Vec<u64>, DriverError> {
    let handle = misbehaving(host, mode).await.unwrap().open(target).await.unwrap();
    match handle.read(0, 1, 10_000).await {
        Ok(entries) => Ok(entries.iter().map(|entry| entry.entry_id).collect()),
        Err(ReadError::Driver(error)) => Err(error),
        Err(other) => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn what_goes_wrong_on_the_hosts_thread_ends_in_that_call() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(500), degraded_after: 1000, ..quick() };
    let (_folder, host) = host_of_its_own("1.3.1", settings);
    let (_ledger, target) = stored(&host, 3).await;
    for mode in ["inline-quick", "inline-ok", "inline-later"] {
        assert_eq!(read_in(&host, mode, &target).await.unwrap(), [0, 1], "{mode}");
    }
    let error = read_in(&host, "inline-panic", &target).await.unwrap_err();
    assert_eq!(error.kind, DriverErrorKind::Panicked);
    assert!(error.message.contains("told to panic while polled"), "{error}");
    // Who panics over the question whether it answers inline is asked as a task.
    assert_eq!(read_in(&host, "panic-inline", &target).await.unwrap(), [0, 1]);
    let error = read_in(&host, "inline-pending", &target).await.unwrap_err();
    assert_eq!(error.kind, DriverErrorKind::Timeout);
    tokio::time::sleep(Duration::from_millis(100)).await;
    let witness = misbehaving(&host, "ok-witness-inline").await.unwrap().driver_metadata();
    assert!(witness.contains_key("dropped-inline"), "the call was not dropped: {witness:?}");
}

/// One blocks for ever, and the others of the plugin answer on its own threads from then on.
#[test]
fn a_read_that_blocks_the_hosts_thread_costs_one_thread() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let (_folder, host) = host_of_its_own("1.3.2", quick());
        let (_ledger, target) = stored(&host, 3).await;
        let stuck = misbehaving(&host, "inline-block").await.unwrap().open(&target).await.unwrap();
        let blocked = tokio::spawn(async move { stuck.read(0, 1, 10_000).await });
        tokio::time::sleep(Duration::from_millis(200)).await;
        for _ in 0..10 {
            assert_eq!(read_in(&host, "inline-quick", &target).await.unwrap(), [0, 1]);
        }
        assert!(!blocked.is_finished());
        let figures = host.figures().remove(0);
        let reads = figures.drivers[0].1.calls.iter().find(|(verb, _)| *verb == Verb::Read).unwrap().1.clone();
        assert_eq!((reads.begun, reads.in_flight), (11, 1), "the blocked read shows");
    });
    // It could never end in order: one of its threads is blocked for ever.
    runtime.shutdown_background();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_slow_on_the_hosts_thread_answers_on_its_own() {
    let (_folder, host) = host_of_its_own("1.3.3", quick());
    let (_ledger, target) = stored(&host, 3).await;
    let handle = misbehaving(&host, "inline-slow").await.unwrap().open(&target).await.unwrap();
    let mut held = Vec::new();
    for _ in 0..10 {
        let began = Instant::now();
        let mut read = handle.read(0, 1, 10_000);
        let _ = futures_util::poll!(read.as_mut());
        held.push(began.elapsed() >= Duration::from_millis(40));
        if held.last() == Some(&false) {
            read.await.unwrap();
        }
    }
    assert_eq!(held, [true, true, true, true, true, false, false, false, false, false]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_that_fails_in_a_row_is_suspended_and_probed_and_others_go_on() {
    let (folder, host) = misbehaving_host(PluginSettings { degraded_after: 3, ..quick() });
    let (_ledger, target) = stored(&host, 3).await;
    let file = folder.path().join("mode");
    std::fs::write(&file, "panic-open").unwrap();
    let driver = misbehaving(&host, &format!("@{}", file.display())).await.unwrap();
    for _ in 0..3 {
        assert_eq!(driver.open(&target).await.err().unwrap().kind, DriverErrorKind::Panicked);
    }
    let began = Instant::now();
    let error = driver.open(&target).await.err().unwrap();
    assert_eq!((error.kind, error.is_retryable()), (DriverErrorKind::Suspended, true), "{error}");
    assert!(error.message.contains("told to panic in open") && began.elapsed() < Duration::from_millis(100), "{error}");
    misbehaving(&host, "ok").await.unwrap().open(&target).await.unwrap();
    std::fs::write(&file, "ok").unwrap();
    // The first probe comes after a second.
    let mut opened = driver.open(&target).await;
    for _ in 0..100 {
        if opened.is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
        opened = driver.open(&target).await;
    }
    opened.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_in_a_row_suspends_as_panics_do() {
    let (_folder, host) = misbehaving_host(PluginSettings { degraded_after: 3, ..quick() });
    let (_ledger, target) = stored(&host, 3).await;
    let handle = misbehaving(&host, "nonsense-read-gap").await.unwrap().open(&target).await.unwrap();
    let mut kinds = Vec::new();
    for _ in 0..4 {
        let ReadError::Driver(error) = handle.read(0, 2, 10_000).await.unwrap_err() else { panic!("another error") };
        kinds.push(error.kind);
    }
    let bad = DriverErrorKind::Misbehaved;
    assert_eq!(kinds, [bad, bad, bad, DriverErrorKind::Suspended]);
    let row = row(&host, "misbehaving-1.2.3.so");
    assert_eq!(row.state, PluginState::Degraded, "{row:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_a_plugin_leaks_are_seen() {
    let (_folder, host) = host_of_its_own("1.3.4", quick());
    let leaking = misbehaving(&host, "leak-health").await.unwrap();
    assert_eq!(host.library_stats("blocking.so").unwrap().leaked_threads(), 0);
    for _ in 0..3 {
        leaking.health().await.unwrap();
    }
    let stats = host.library_stats("blocking.so").unwrap();
    assert_eq!(stats.leaked_threads(), 3, "{stats:?}");
    assert!(stats.runtime_threads >= 2 && stats.offloaders == 1, "{stats:?}");
    let panics = misbehaving(&host, "task-health").await.unwrap();
    panics.health().await.unwrap();
    panics.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_counted_by_kind_and_by_how_they_ended() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(300), degraded_after: 1000, ..quick() };
    let (_folder, host) = host_of_its_own("1.3.5", settings);
    let (ledger, target) = stored(&host, 10).await;
    let driver = misbehaving(&host, "ok").await.unwrap();
    let read = driver.open(&target).await.unwrap().read(0, 9, u64::MAX).await.unwrap();
    driver.health().await.unwrap();
    misbehaving(&host, "panic-health").await.unwrap().health().await.unwrap_err();
    misbehaving(&host, "fail-health").await.unwrap().health().await.unwrap_err();
    misbehaving(&host, "pending-health").await.unwrap().health().await.unwrap_err();
    let stuck = misbehaving(&host, "pending-open").await.unwrap();
    let _ = tokio::time::timeout(Duration::from_millis(50), stuck.open(&target)).await;

    let figures = host.figures().remove(0);
    assert_eq!((figures.plugin.as_str(), figures.version.as_str()), ("misbehaving", "1.3.5"));
    let (_, of_driver) = &figures.drivers[0];
    let bytes: u64 = ledger.payloads.iter().map(|payload| payload.len() as u64).sum();
    assert_eq!((of_driver.bytes_in, of_driver.bytes_out, read.len()), (bytes, bytes, 10));
    let of = |wanted: Verb| of_driver.calls.iter().find(|(verb, _)| *verb == wanted).unwrap().1.clone();
    let health = of(Verb::Health);
    assert_eq!((health.begun, health.in_flight, health.latency.iter().sum::<u64>()), (4, 0, 4));
    for code in ["Panicked", "Unavailable", "deadline"] {
        assert!(health.errors.contains(&(code, 1)), "{code}: {:?}", health.errors);
    }
    assert_eq!((of(Verb::Open).begun, of(Verb::Open).abandoned), (2, 1));
    assert_eq!(figures.own[0].name, "checks_total");
    assert_eq!(figures.own[0].series[0].value, 4.0);
}

/// A shutdown does not wait for calls that the host has given up and that never come back.
#[tokio::test(flavor = "multi_thread")]
async fn calls_that_never_end_do_not_hold_up_the_stop() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(300), ..quick() };
    let (_folder, host) = host_of_its_own("1.3.6", settings);
    for _ in 0..2 {
        misbehaving(&host, "block-health").await.unwrap().health().await.unwrap_err();
    }
    let began = Instant::now();
    host.shutdown(Duration::from_secs(30)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
}
