//! A plugin that panics, blocks or lies costs one failed operation; the host and everybody else go on.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use longshore::plugin::{PluginSettings, PluginState};
use longshore::storage::{DriverError, DriverErrorKind, OffloadDriver, ReadError, ReadHandle, StoredLedger};

use super::{MemoryLedger, misbehaving, misbehaving_host, quick, read_all, row};

/// Offloads a ledger with a driver that behaves, so that another can read it.
async fn stored(host: &longshore::plugin::PluginHost, count: usize) -> (Arc<MemoryLedger>, StoredLedger) {
    let ledger = MemoryLedger::new(count, 100);
    let target = ledger.target();
    let driver = misbehaving(host, "ok").await.unwrap();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    (ledger, target)
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
    let (_folder, host) = misbehaving_host(PluginSettings { driver_instances_max: 1, ..quick() });
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
        assert!(began.elapsed() < Duration::from_secs(1), "{mode} held up the host");
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
        assert!(began.elapsed() < Duration::from_millis(1400), "{place}");
        let key =
            if place == "offload" { "offloadersOffloadStallTimeoutMs=400" } else { "offloadersCallTimeoutMs=400" };
        assert!(error.message.contains(key), "{error}");
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    // A new instance tells which calls were dropped while they were pending.
    let witness = misbehaving(&host, "ok-witness").await.unwrap().driver_metadata();
    for place in ["offload", "open", "delete", "health", "read"] {
        assert!(witness.contains_key(&format!("dropped-{place}")), "{place} was not dropped: {witness:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_blocks_its_thread_for_ever_costs_that_call_alone() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(500), ..quick() };
    let (folder, _) = misbehaving_host(settings.clone());
    // A library of its own, so that its workers are not those of the other tests.
    std::fs::remove_file(folder.path().join("misbehaving-1.2.3.so")).unwrap();
    let blocked = super::refusals::everywhere("\"version\":\"1.2.3\"", "\"version\":\"1.2.7\"");
    longshore_tests::plugins::put(folder.path(), "blocking.so", &blocked);
    longshore_tests::plugins::stage("example-folder", folder.path(), "example.so");
    let host = longshore::plugin::PluginHost::load(folder.path(), settings);

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
        ("nonsense-read-more", "after the last one asked for"),
        ("nonsense-read-bytes", "bytes where 350 were allowed"),
    ] {
        let handle = misbehaving(&host, mode).await.unwrap().open(&target).await.unwrap();
        let (last, max_bytes) = if mode == "nonsense-read-bytes" { (9, 350) } else { (5, 10_000) };
        let error = handle.read(0, last, max_bytes).await.unwrap_err();
        let ReadError::Driver(error) = error else { panic!("{error}") };
        assert_eq!((error.kind, error.plugin.as_str()), (DriverErrorKind::Misbehaved, "misbehaving 1.2.3"), "{mode}");
        assert!(error.message.contains(words), "{error}");
    }
    for mode in ["nonsense-open-ledger", "nonsense-open-empty"] {
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
