//! Drivers in processes of their own: they do what they do in the broker, and what ends them ends nothing else. Real libraries,
//! the real binary as the child; nothing here stands in for a process.

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore::plugin::isolation::{Isolation, IsolationSettings, ProcessReport};
use longshore::plugin::{Cause, PluginHost, PluginSettings, PluginState};
use longshore::storage::{DriverError, DriverErrorKind, DriverLookup, OffloadDriver, ReadError, ReadHandle};
use longshore_tests::broker::binary;
use longshore_tests::plugins::stage;
use longshore_tests::rig::{PATIENCE, Rig, Topic, check_life};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

use super::loading::{MODE_KEY, MemoryLedger, quick, read_all, row, settings};

const FOLDER_KEY: &str = "managedLedgerOffloadExtraConfigFolder";

/// Every driver in a process, with deadlines for tests.
pub(super) fn isolated() -> PluginSettings {
    let isolation = IsolationSettings {
        everywhere: Isolation::Process,
        binary: binary(),
        restart_pause: Duration::ZERO,
        crashes_max: 1000,
        ..IsolationSettings::default()
    };
    PluginSettings { call_timeout: Duration::from_secs(10), isolation, ..quick() }
}

struct Stage {
    folder: TempDir,
    host: PluginHost,
}

/// A host with one plugin.
fn host(package: &str, file: &str, settings: PluginSettings) -> Stage {
    let folder = tempfile::tempdir().unwrap();
    stage(package, folder.path(), file);
    let host = PluginHost::load(folder.path(), settings);
    Stage { folder, host }
}

fn misbehaving_host(settings: PluginSettings) -> Stage {
    host("misbehaving-plugin", "misbehaving.so", settings)
}

impl Stage {
    async fn misbehaving(&self, mode: &str) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        self.host.driver("misbehaving", &settings(&[(MODE_KEY, mode)])).await
    }

    /// A driver whose mode is what the file says.
    async fn changing(&self, mode: &str) -> (Arc<dyn OffloadDriver>, PathBuf) {
        let file = self.folder.path().join("mode");
        std::fs::write(&file, mode).unwrap();
        (self.misbehaving(&format!("@{}", file.display())).await.unwrap(), file)
    }

    fn processes(&self) -> Vec<ProcessReport> {
        self.host.reports().remove(0).processes
    }

    /// The one process there is.
    fn pid(&self) -> Pid {
        let pids: Vec<u32> = self.processes().iter().filter_map(|process| process.pid).collect();
        assert_eq!(pids.len(), 1, "{:?}", self.processes());
        Pid::from_raw(pids[0] as i32).unwrap()
    }
}

/// Waits until it is so.
async fn until(what: &str, done: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < end, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn is_gone(pid: Pid) -> bool {
    test_kill_process(pid).is_err()
}

/// Runs the verb `place` and answers its error.
async fn error_in(driver: &dyn OffloadDriver, place: &str, ledger: &Arc<MemoryLedger>) -> DriverError {
    let target = ledger.target();
    match place {
        "offload" => driver.offload(Arc::clone(ledger) as Arc<dyn ReadHandle>, target).await.unwrap_err(),
        "open" => driver.open(&target).await.err().unwrap(),
        "delete" => driver.delete(&target).await.unwrap_err(),
        "health" => driver.health().await.unwrap_err(),
        other => panic!("no verb {other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_in_a_process_copies_reads_and_deletes_and_its_library_is_not_opened_here() {
    let cold = tempfile::tempdir().unwrap();
    let stage = host("example-folder", "only-in-a-process.so", isolated());
    let report = row(&stage.host, "only-in-a-process.so");
    assert_eq!((report.state, report.reason), (PluginState::Loaded, None));
    assert!(stage.host.library("only-in-a-process.so").is_none());

    let keys = settings(&[(FOLDER_KEY, cold.path().to_str().unwrap())]);
    let driver = stage.host.driver("Example-Folder", &keys).await.unwrap();
    assert_eq!((driver.name(), driver.origin().plugin.as_str()), ("example-folder", "example-folder"));
    driver.health().await.unwrap();
    let ledger = MemoryLedger::new(100, 100_000);
    let target = ledger.target();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    assert_eq!(ledger.progress.load(std::sync::atomic::Ordering::Relaxed), 10_000_000);
    let copy = driver.open(&target).await.unwrap();
    assert_eq!(copy.metadata(), ledger.metadata());
    assert_eq!(read_all(&*copy, 1 << 20).await.unwrap(), ledger.payloads);
    driver.delete(&target).await.unwrap();
    let gone = driver.open(&target).await.err().unwrap();
    assert_eq!((gone.kind, gone.plugin.as_str()), (DriverErrorKind::NotFound, "example-folder 0.1.0"));

    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    assert!(!maps.contains("only-in-a-process.so"), "the library is mapped in the host");
    let pid = stage.pid();
    let maps = std::fs::read_to_string(format!("/proc/{}/maps", pid.as_raw_nonzero())).unwrap();
    assert!(maps.contains("only-in-a-process.so"), "the library is not mapped in its process");
    drop((driver, copy));
    stage.host.shutdown(Duration::from_secs(5)).await;
    assert!(is_gone(pid), "the process outlived its driver");
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_ends_the_process_costs_the_calls_in_it_and_the_next_ones_work() {
    let stage = misbehaving_host(isolated());
    let (driver, mode) = stage.changing("ok").await;
    let ledger = MemoryLedger::new(20, 1000);
    let mut crashes = 0;
    for (how, words) in [("abort", "signal: 6 (SIGABRT)"), ("segv", "signal: 11 (SIGSEGV)"), ("exit", "exit status: 3")]
    {
        for place in ["offload", "open", "delete", "health"] {
            std::fs::write(&mode, format!("{how}-{place}")).unwrap();
            let before = stage.pid();
            let error = error_in(&*driver, place, &ledger).await;
            assert_eq!(error.kind, DriverErrorKind::Crashed, "{error}");
            assert!(error.is_retryable() && error.message.contains(words), "{error}");
            assert!(how != "abort" || error.message.contains(&format!("told to abort in {place}")), "{error}");
            crashes += 1;
            std::fs::write(&mode, "ok").unwrap();
            let target = ledger.target();
            driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
            let copy = driver.open(&target).await.unwrap();
            assert_eq!(read_all(&*copy, 4096).await.unwrap(), ledger.payloads);
            assert!(is_gone(before), "a zombie, or a process that crashed and lives");
            let report = stage.processes().remove(0);
            assert_eq!((report.crashes, report.starts), (crashes, crashes + 1));
            assert!(report.last_crash.unwrap().contains(words));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_while_the_driver_is_made_is_named_and_no_process_stays() {
    let stage = misbehaving_host(isolated());
    for place in ["validate", "create", "metadata"] {
        let error = stage.misbehaving(&format!("abort-{place}")).await.err().unwrap();
        assert_eq!(error.kind, DriverErrorKind::Crashed, "{error}");
        assert!(error.message.contains("SIGABRT"), "{error}");
    }
    until("no process is left", || stage.processes().iter().all(|process| process.pid.is_none())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_copy_is_opened_again_after_its_process_was_killed() {
    let cold = tempfile::tempdir().unwrap();
    let stage = host("example-folder", "example.so", isolated());
    let keys = settings(&[(FOLDER_KEY, cold.path().to_str().unwrap())]);
    let driver = stage.host.driver("example-folder", &keys).await.unwrap();
    let ledger = MemoryLedger::new(50, 5000);
    let target = ledger.target();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    let copy = driver.open(&target).await.unwrap();
    for _ in 0..3 {
        let pid = stage.pid();
        kill_process(pid, Signal::KILL).unwrap();
        until("the process is gone", || is_gone(pid)).await;
        // Also when nobody has noticed yet; then the read that finds out fails, and may be tried again.
        let read = match read_all(&*copy, 10_000).await {
            Err(ReadError::Driver(error)) if error.kind == DriverErrorKind::Crashed => {
                assert!(error.message.contains("signal: 9 (SIGKILL)") && error.is_retryable(), "{error}");
                read_all(&*copy, 10_000).await
            }
            read => read,
        };
        assert_eq!(read.unwrap(), ledger.payloads);
    }
    assert_eq!(stage.processes()[0].starts, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_reads_at_once_end_each_with_its_entry_or_with_the_crash() {
    let cold = tempfile::tempdir().unwrap();
    let stage = host("example-folder", "example.so", PluginSettings { concurrent_calls_max: 2000, ..isolated() });
    let keys = settings(&[(FOLDER_KEY, cold.path().to_str().unwrap())]);
    let driver = stage.host.driver("example-folder", &keys).await.unwrap();
    let ledger = MemoryLedger::new(100, 3000);
    let target = ledger.target();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    let copy = driver.open(&target).await.unwrap();
    for killed in [false, true] {
        let reads = (0..1000_u64).map(|n| {
            let copy = Arc::clone(&copy);
            tokio::spawn(async move { (n % 100, copy.read(n % 100, n % 100, 1).await) })
        });
        let reads: Vec<_> = reads.collect();
        if killed {
            kill_process(stage.pid(), Signal::KILL).unwrap();
        }
        for read in futures_util::future::join_all(reads).await {
            match read.unwrap() {
                (first, Ok(entries)) => assert_eq!(entries[0].payload, ledger.payloads[first as usize]),
                (_, Err(ReadError::Driver(error))) if killed => {
                    assert_eq!(error.kind, DriverErrorKind::Crashed, "{error}")
                }
                (_, Err(error)) => panic!("{error}"),
            }
        }
    }
    assert_eq!(read_all(&*copy, 1 << 20).await.unwrap(), ledger.payloads);
}

#[tokio::test(flavor = "multi_thread")]
async fn crashes_again_and_again_are_given_up_and_tried_again_later() {
    let mut settings = isolated();
    settings.isolation.crashes_max = 3;
    settings.isolation.probe_pause = Duration::from_secs(3);
    settings.degraded_after = 4;
    let stage = misbehaving_host(settings);
    let (driver, mode) = stage.changing("abort-health").await;
    for _ in 0..3 {
        let error = driver.health().await.unwrap_err();
        assert!(error.message.contains("SIGABRT") && error.kind == DriverErrorKind::Crashed, "{error}");
    }
    std::fs::write(&mode, "ok").unwrap();
    let began = Instant::now();
    let error = driver.health().await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(1), "a call waited for a pause");
    assert!(error.message.contains("crashed 3 times within 600 s (offloadersIsolationCrashesMax=3)"), "{error}");
    let report = stage.host.reports().remove(0);
    assert_eq!(report.state, PluginState::Degraded);
    assert!(report.reason.unwrap().contains("SIGABRT"));
    // An instance made anew has the same past.
    let error = stage.host.driver("misbehaving", &super::loading::settings(&[(MODE_KEY, "ok")])).await;
    assert!(error.is_ok(), "another configuration is another driver");
    tokio::time::sleep(Duration::from_secs(3)).await;
    driver.health().await.unwrap();
    assert_eq!(stage.host.reports()[0].state, PluginState::Loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_is_dropped_in_the_process() {
    let stage = misbehaving_host(PluginSettings { call_timeout: Duration::from_millis(800), ..isolated() });
    let (driver, mode) = stage.changing("pending-health").await;
    let error = driver.health().await.unwrap_err();
    assert_eq!(error.kind, DriverErrorKind::Timeout, "{error}");
    // The process that dropped it can still tell.
    let witness = stage.folder.path().join("mode.dropped-health");
    until("the call is dropped there", || witness.exists()).await;
    std::fs::write(&mode, "ok").unwrap();
    driver.health().await.unwrap();
    assert_eq!(stage.processes()[0].starts, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_answers_nothing_any_more_is_replaced() {
    let settings = PluginSettings {
        call_timeout: Duration::from_millis(500),
        degraded_after: 3,
        runtime_workers: 1,
        ..isolated()
    };
    let stage = misbehaving_host(settings);
    let (driver, mode) = stage.changing("block-health").await;
    for _ in 0..3 {
        assert_eq!(driver.health().await.unwrap_err().kind, DriverErrorKind::Timeout);
    }
    std::fs::write(&mode, "ok").unwrap();
    until("it is ended", || stage.processes()[0].crashes == 1).await;
    driver.health().await.unwrap();
    let crash = stage.processes()[0].last_crash.clone().unwrap();
    assert!(crash.contains("wait for nothing"), "{crash}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_takes_more_memory_than_allowed_ends_alone() {
    let mut settings = isolated();
    settings.isolation.memory_bytes_max = 256 << 20;
    let stage = misbehaving_host(settings);
    let (driver, mode) = stage.changing("hog-health").await;
    let error = driver.health().await.unwrap_err();
    assert_eq!(error.kind, DriverErrorKind::Crashed, "{error}");
    assert!(error.message.contains("memory allocation of"), "{error}");
    std::fs::write(&mode, "ok").unwrap();
    driver.health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_is_caught_and_panics_are_errors_as_they_are_in_the_host() {
    let stage = misbehaving_host(isolated());
    let ledger = MemoryLedger::new(10, 100);
    for (mode, kind, words) in [
        ("nonsense-read-gap", DriverErrorKind::Misbehaved, "answered with entry"),
        ("nonsense-read-empty", DriverErrorKind::Misbehaved, "answered with no entry"),
        ("panic-read", DriverErrorKind::Panicked, "told to panic in read"),
        ("fail-read", DriverErrorKind::Failed, "told to fail in read: the cable is out (Unavailable)"),
    ] {
        let driver = stage.misbehaving(mode).await.unwrap();
        let target = ledger.target();
        driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
        let copy = driver.open(&target).await.unwrap();
        let ReadError::Driver(error) = copy.read(0, 5, 10_000).await.unwrap_err() else { panic!("{mode}") };
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    let error = stage.host.driver("misbehaving", &settings(&[])).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::InvalidConfig);
    assert!(error.message.contains("other: is wrong as well"), "{error}");
    assert!(stage.processes().iter().all(|process| process.crashes == 0));
}

/// A script in place of the child.
fn impostor(folder: &Path, script: &str) -> PathBuf {
    let path = folder.join("impostor");
    std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_talks_nonsense_or_nothing_is_refused_and_ended() {
    let scripts = tempfile::tempdir().unwrap();
    for (script, words) in [
        (r"printf 'garbage garbage garbage' >&0; sleep 60", "it broke the protocol: a frame of the unknown kind"),
        // An answer of 2 GiB to the first call.
        (r"printf '\377\377\377\177\004\000\000\000\001\000\000\000\000\000\000\000' >&0; sleep 60", "are allowed"),
        // An answer to a call that nobody made.
        (
            r"printf '\000\000\000\000\004\000\000\000\007\000\000\000\000\000\000\000' >&0; sleep 60",
            "which nobody made",
        ),
        (r"printf '\005\000\000' >&0; exit 0", "exit status: 0"),
        ("echo no such luck >&2; exit 7", "exit status: 7"),
        ("exec 0<&-; sleep 60", "signal: 15 (SIGTERM)"),
        ("sleep 60", "offloadersIsolationStartTimeoutMs=1500"),
    ] {
        let mut settings = isolated();
        settings.isolation.binary = impostor(scripts.path(), script);
        settings.isolation.start_timeout = Duration::from_millis(1500);
        let began = Instant::now();
        let stage = misbehaving_host(settings);
        let report = stage.host.reports().remove(0);
        assert_eq!(report.state, PluginState::Refused);
        let reason = report.reason.unwrap();
        assert!(reason.contains(words), "{script}: {reason}");
        assert!(began.elapsed() < Duration::from_secs(6), "{script} took {:?}", began.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_cannot_be_used_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let lying = super::loading::refusals::with_note("\"version\":\"1.2.3\"", "\"version\":\"1.2.4\"");
    longshore_tests::plugins::put(folder.path(), "lying.so", &lying);
    let host = PluginHost::load(folder.path(), isolated());
    let report = row(&host, "lying.so");
    assert_eq!(report.state, PluginState::Refused);
    assert!(report.reason.as_ref().is_some_and(|reason| reason.contains("its note lies")), "{report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_named_driver_runs_in_a_process() {
    let mut settings = isolated();
    settings.isolation.everywhere = Isolation::None;
    settings.isolation.by_driver.insert("misbehaving-too".to_owned(), Isolation::Process);
    let stage = misbehaving_host(settings);
    stage.misbehaving("ok").await.unwrap().health().await.unwrap();
    assert!(stage.processes().is_empty());
    let keys = super::loading::settings(&[(MODE_KEY, "abort-health")]);
    let too = stage.host.driver("misbehaving-too", &keys).await.unwrap();
    assert_eq!(too.health().await.unwrap_err().kind, DriverErrorKind::Crashed);
    stage.misbehaving("ok").await.unwrap().health().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_gets_the_variables_that_are_named_and_no_descriptor_of_the_hosts() {
    let stage = misbehaving_host(isolated());
    let driver = stage.misbehaving("ok").await.unwrap();
    driver.health().await.unwrap();
    let pid = stage.pid().as_raw_nonzero();
    let environment = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let names: BTreeSet<&str> = environment.split('\0').filter_map(|pair| Some(pair.split_once('=')?.0)).collect();
    assert!(names.contains("PATH"), "{names:?}");
    assert!(!names.iter().any(|name| name.starts_with("CARGO")), "{names:?}");
    let mut open = Vec::new();
    for entry in std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap() {
        let target = std::fs::read_link(entry.unwrap().path()).unwrap_or_default();
        open.push(target.display().to_string());
    }
    let is_own = |target: &String| {
        ["/dev/null", "pipe:", "socket:", "anon_inode:", "/memfd:misbehaving.so"]
            .iter()
            .any(|own| target.starts_with(own))
    };
    assert!(open.iter().all(is_own), "{open:?}");
    assert!(open.iter().filter(|target| target.starts_with("/memfd")).count() <= 1, "{open:?}");
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let core = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert!(core.split_whitespace().nth(4) == Some("0"), "{core}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_library_counts_in_its_process_the_host_shows() {
    let stage = misbehaving_host(isolated());
    let driver = stage.misbehaving("ok").await.unwrap();
    for _ in 0..50 {
        driver.health().await.unwrap();
    }
    let checks = || {
        let figures = stage.host.figures().remove(0);
        let family = figures.own.into_iter().find(|family| family.name == "checks_total");
        family.map_or(0.0, |family| family.series[0].value)
    };
    until("the counter arrives", || checks() >= 50.0).await;
    assert_eq!(checks(), 50.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_plugin_leaves_no_process_behind() {
    let stage = misbehaving_host(isolated());
    let old = stage.misbehaving("ok").await.unwrap();
    old.health().await.unwrap();
    let before = stage.pid();
    let newer = super::loading::refusals::everywhere("\"version\":\"1.2.3\"", "\"version\":\"1.2.4\"");
    longshore_tests::plugins::put(stage.folder.path(), "misbehaving.so", &newer);
    stage.host.rescan(Cause::Operator).await;
    let new = stage.misbehaving("ok").await.unwrap();
    assert_eq!((old.origin().version.as_str(), new.origin().version.as_str()), ("1.2.3", "1.2.4"));
    new.health().await.unwrap();
    old.health().await.unwrap();
    assert!(!is_gone(before), "the old process serves whoever began with it");
    drop(old);
    until("the old process ends", || is_gone(before)).await;
    new.health().await.unwrap();
}

/// The pids whose parent is `parent`.
fn children(parent: u32) -> Vec<Pid> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent_of = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
        if parent_of == Some(parent) {
            found.extend(Pid::from_raw(pid));
        }
    }
    found
}

const TOPIC: Topic = Topic("isolated");

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_offloads_trims_and_reads_back_through_a_process() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.set("offloadersIsolation", "process");
    let broker = rig.start()?;
    TOPIC.fill(&broker, 0..25).await?;
    TOPIC.must_offload(&broker)?;
    let closed: Vec<u64> = TOPIC.ledgers(&broker)?.iter().filter(|row| row.closed).map(|row| row.id).collect();
    ensure!(closed.len() == 2, "{closed:?}");
    TOPIC.cool(&broker, &closed)?;
    TOPIC.check(&broker, 25).await?;
    let running = children(broker.pid());
    ensure!(running.len() == 1, "{running:?}");
    // A process that is killed costs nothing but time.
    kill_process(running[0], Signal::KILL)?;
    TOPIC.check(&broker, 25).await.context("after the process was killed")?;
    let report = broker.get("/brokers/offloaders")?;
    ensure!(report[0]["processes"][0]["crashes"] == 1, "{report}");
    ensure!(report[0]["processes"][0]["last_crash"].as_str().is_some_and(|text| text.contains("SIGKILL")), "{report}");
    let running = children(broker.pid());
    broker.stop()?;
    ensure!(!running.is_empty() && running.into_iter().all(is_gone), "a process outlived the broker's stop");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_in_an_offload_fails_that_offload_and_the_next_one_succeeds() -> Result<()> {
    let mut rig = Rig::without_plugins()?;
    rig.stage("misbehaving-plugin", "misbehaving-1.2.3.so");
    let mode = rig.path("mode");
    std::fs::write(&mode, "abort-offload")?;
    rig.set("managedLedgerOffloadDriver", "misbehaving");
    rig.set("managedLedgerOffloadExtraConfigMode", &format!("@{}", mode.display()));
    rig.set("offloadersIsolation.misbehaving", "process");
    rig.set("offloadersIsolation.misbehaving-too", "process");
    rig.set("offloadersIsolationRestartPauseMs", "1");
    rig.set("offloadersIsolationCrashesMax", "1000");
    rig.set("offloadersDegradedAfter", "1000");
    let broker = rig.start()?;
    TOPIC.fill(&broker, 0..15).await?;
    let files = || std::fs::read_dir(format!("/proc/{}/fd", broker.pid())).map(Iterator::count);
    let mut counts = Vec::new();
    for _ in 0..8 {
        let status = TOPIC.offload(&broker)?;
        let text = status["lastError"].as_str().unwrap_or_default();
        ensure!(status["status"] == "ERROR" && text.contains("signal: 6 (SIGABRT)"), "{status}");
        ensure!(text.contains("misbehaving 1.2.3") && text.contains("told to abort in offload"), "{status}");
        counts.push(files()?);
    }
    ensure!(counts[7] <= counts[1] + 2, "descriptors leak: {counts:?}");
    check_life(&broker, Topic("alive")).await?;
    std::fs::write(&mode, "ok")?;
    TOPIC.must_offload(&broker)?;
    let first = TOPIC.ledgers(&broker)?[0].id;
    TOPIC.cool(&broker, &[first])?;
    TOPIC.check(&broker, 15).await?;
    ensure!(children(broker.pid()).len() == 1, "{:?}", children(broker.pid()));
    // The library's log is the broker's, and so is what its process writes to its standard error.
    ensure!(rig.log().contains("offloader_process") && rig.log().contains("told to abort in offload"), "no last words");
    let running = children(broker.pid());
    // A broker that is killed leaves nobody behind.
    broker.kill()?;
    until("the process ends with its broker", || running.iter().all(|pid| is_gone(*pid))).await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_subcommand_by_hand_says_what_it_is() -> Result<()> {
    let output = longshore_tests::rig::run(&["offloader-child"])?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1) && text.contains("started by the broker alone"), "{text}");
    let help = longshore_tests::rig::run(&["--help"])?;
    ensure!(!String::from_utf8_lossy(&help.stdout).contains("offloader-child"), "the subcommand is shown");
    Ok(())
}
