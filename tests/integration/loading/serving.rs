//! The good path, through real libraries: routing, round trips, no copies, logs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longshore::plugin::{PluginHost, PluginSettings, PluginState};
use longshore::storage::{DriverErrorKind, DriverLookup, ReadError, ReadHandle};
use longshore::trace::{self, TraceContext};
use longshore_tests::plugins::{built, stage};
use object::{Object, ObjectSymbol};

use super::{MODE_KEY, MemoryLedger, misbehaving, misbehaving_host, quick, read_all, row, settings};

#[tokio::test(flavor = "multi_thread")]
async fn the_example_plugin_keeps_a_ledger_in_a_folder() {
    let (folder, cold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stage("example-folder", folder.path(), "example-folder-0.1.0.so");
    let host = PluginHost::load(folder.path(), quick());
    let row = row(&host, "example-folder-0.1.0.so");
    assert_eq!((row.state, row.reason.as_deref()), (PluginState::Loaded, None));
    assert_eq!(row.drivers, Some(vec!["example-folder".to_owned()]));

    let path = cold.path().to_str().unwrap();
    let settings = settings(&[("managedLedgerOffloadExtraConfigFolder", path)]);
    let driver = host.driver("Example-Folder", &settings).await.unwrap();
    assert_eq!(driver.name(), "example-folder");
    driver.health().await.unwrap();
    let ledger = MemoryLedger::new(100, 1000);
    let target = ledger.target();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    assert_eq!(ledger.progress.load(Ordering::Relaxed), 100_000);

    let copy = driver.open(&target).await.unwrap();
    assert_eq!(copy.metadata(), ledger.metadata());
    assert_eq!(read_all(&*copy, 4096).await.unwrap(), ledger.payloads);
    let beyond = copy.read(0, 100, 10).await.unwrap_err();
    assert!(matches!(beyond, ReadError::OutOfRange { first: 0, last: 100, entry_count: 100, .. }), "{beyond}");

    driver.delete(&target).await.unwrap();
    driver.delete(&target).await.unwrap();
    let gone = driver.open(&target).await.err().unwrap();
    assert_eq!((gone.kind, gone.plugin.as_str()), (DriverErrorKind::NotFound, "example-folder 0.1.0"));
    assert_eq!(std::fs::read_dir(cold.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_byte_in_the_examples_file_is_an_error_that_names_file_and_offset() {
    let (folder, cold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    stage("example-folder", folder.path(), "example-folder.so");
    let host = PluginHost::load(folder.path(), quick());
    let path = cold.path().to_str().unwrap();
    let driver =
        host.driver("example-folder", &settings(&[("managedLedgerOffloadExtraConfigFolder", path)])).await.unwrap();
    let ledger = MemoryLedger::new(3, 100);
    let target = ledger.target();
    driver.offload(ledger, target.clone()).await.unwrap();
    let file = std::fs::read_dir(cold.path()).unwrap().next().unwrap().unwrap().path().join("ledger");
    let mut bytes = std::fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let error = driver.open(&target).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::Corrupt);
    let offset = format!("{} is damaged at offset {}", file.display(), bytes.len() - 108);
    assert!(error.message.contains(&offset), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_cross_in_place_in_both_directions() {
    let (_folder, host) = misbehaving_host(quick());
    let driver = misbehaving(&host, "ok").await.unwrap();
    let ledger = MemoryLedger::new(3, 1 << 20);
    let target = ledger.target();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    let back = read_all(&*driver.open(&target).await.unwrap(), 1 << 30).await.unwrap();
    let address = |payloads: &[bytes::Bytes]| payloads.iter().map(|payload| payload.as_ptr()).collect::<Vec<_>>();
    assert_eq!(address(&back), address(&ledger.payloads));
    driver.delete(&target).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn names_match_in_any_case_and_the_claimed_spelling_is_kept() {
    let (_folder, host) = misbehaving_host(quick());
    let driver = host.driver("mISBEHAVING", &settings(&[(MODE_KEY, "ok")])).await.unwrap();
    assert_eq!(driver.name(), "Misbehaving");
    assert_eq!(driver.driver_metadata()["driver"], "Misbehaving");
    let origin = driver.origin();
    assert_eq!((origin.plugin.as_str(), origin.version.as_str()), ("misbehaving", "1.2.3"));
    assert_eq!(origin.file, "misbehaving-1.2.3.so");
    let same = host.driver("misbehaving", &settings(&[(MODE_KEY, "ok")])).await.unwrap();
    assert!(Arc::ptr_eq(&driver, &same), "one instance for one driver with one configuration");
    let other = host.driver("misbehaving", &settings(&[(MODE_KEY, "ok"), ("x", "y")])).await.unwrap();
    assert!(!Arc::ptr_eq(&driver, &other));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_configuration_lists_all_problems() {
    let (_folder, host) = misbehaving_host(quick());
    let error = host.driver("misbehaving", &settings(&[])).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::InvalidConfig);
    assert_eq!(error.message, format!("{MODE_KEY}: is needed; other: is wrong as well"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_keeps_code_message_causes_and_hint() {
    let (_folder, host) = misbehaving_host(quick());
    let driver = misbehaving(&host, "fail-health").await.unwrap();
    let error = driver.health().await.unwrap_err();
    assert_eq!(error.kind, DriverErrorKind::Failed);
    assert!(error.is_retryable());
    assert_eq!(
        error.to_string(),
        "driver `Misbehaving` of misbehaving 1.2.3: health: told to fail in health: the cable is out (Unavailable)"
    );
    assert_eq!(row(&host, "misbehaving-1.2.3.so").state, PluginState::Loaded, "an orderly error degrades nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_nobody_claims_lists_what_is_there() {
    let (folder, _) = misbehaving_host(quick());
    longshore_tests::plugins::put(folder.path(), "broken.so", b"text");
    let host = PluginHost::load(folder.path(), quick());
    let error = host.driver("misbehavin", &settings(&[])).await.err().unwrap();
    assert_eq!((error.kind, error.is_retryable()), (DriverErrorKind::Unclaimed, false));
    for part in [
        "no offloader claims driver `misbehavin`",
        folder.path().to_str().unwrap(),
        "found: Misbehaving, misbehaving-too",
        "did you mean `Misbehaving` or `misbehaving-too`?",
        "not loaded: broken.so: it is not a shared library",
    ] {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn shutdown_waits_for_what_runs_and_gives_up_at_its_deadline() {
    let (_folder, host) = misbehaving_host(quick());
    let stuck = misbehaving(&host, "pending-health").await.unwrap();
    let call = tokio::spawn(async move { stuck.health().await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let began = std::time::Instant::now();
    host.shutdown(Duration::from_millis(300)).await;
    assert!(began.elapsed() >= Duration::from_millis(250), "it waited for the call");
    assert!(began.elapsed() < Duration::from_millis(1200), "and not for ever");
    assert_eq!(call.await.unwrap().unwrap_err().kind, DriverErrorKind::Timeout);
}

/// The symbols that a library offers to others.
pub(super) fn exported(library: &std::path::Path) -> Vec<String> {
    let bytes = std::fs::read(library).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let symbols = file.dynamic_symbols().filter(|symbol| symbol.is_definition());
    symbols.map(|symbol| symbol.name().unwrap().to_owned()).collect()
}

#[test]
fn the_template_exports_its_root_symbol_alone() {
    let exported = exported(&built("example-folder"));
    assert_eq!(exported, [longshore_plugin_api::abi::ROOT_SYMBOL]);
}

/// Keeps the events of the host's log as text.
#[derive(Clone, Default)]
pub(super) struct Kept(Arc<Mutex<Vec<String>>>, Arc<AtomicBool>);

impl Kept {
    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap().join("\n")
    }
}

struct Line(String);

impl tracing::field::Visit for Line {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        self.0 += &format!(" {}={value:?}", field.name());
    }
}

impl tracing::Subscriber for Kept {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO || self.1.load(Ordering::Relaxed)
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = Line(format!("{} {}", event.metadata().level(), event.metadata().target()));
        event.record(&mut line);
        if let Some(parent) = event.parent() {
            line.0 += &format!(" under {}", parent.into_u64());
        }
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[test]
fn events_and_panics_of_a_plugin_arrive_in_the_hosts_log() {
    in_a_process_of_its_own("loading::serving::in_a_process_of_its_own_events_and_panics_arrive");
    in_a_process_of_its_own("loading::serving::in_a_process_of_its_own_those_of_a_process_arrive");
}

/// Runs an ignored test in a process of its own, because a process has one log.
pub(super) fn in_a_process_of_its_own(test: &str) {
    let child =
        std::process::Command::new(std::env::current_exe().unwrap()).args(["--exact", test, "--ignored"]).output();
    let output = child.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by events_and_panics_of_a_plugin_arrive_in_the_hosts_log, which gives it a process of its own"]
async fn in_a_process_of_its_own_events_and_panics_arrive() {
    events_and_panics_arrive(quick()).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by events_and_panics_of_a_plugin_arrive_in_the_hosts_log, which gives it a process of its own"]
async fn in_a_process_of_its_own_those_of_a_process_arrive() {
    events_and_panics_arrive(crate::isolation::isolated()).await;
}

async fn events_and_panics_arrive(settings: PluginSettings) {
    let kept = Kept::default();
    tracing::subscriber::set_global_default(kept.clone()).unwrap();
    let folder = tempfile::tempdir().unwrap();
    stage("misbehaving-plugin", folder.path(), "talking.so");
    let host = PluginHost::load(folder.path(), settings);
    misbehaving(&host, "ok-log").await.unwrap().health().await.unwrap();
    let mine = |line: &&str| line.contains("misbehaving_plugin") || line.contains("told to");
    let text = kept.text();
    let lines: Vec<&str> = text.lines().filter(mine).collect();
    let expected = "INFO misbehaving_plugin message=\"healthy enough\" plugin=\"misbehaving 1.2.3\" fields=\"shelves=3\" \
                    spans=\"call{verb=health}:checking{disk=7}\" under 1";
    assert!(lines.contains(&expected), "{lines:#?}");
    assert!(!text.contains("nobody wants this"), "a level that the host does not want stays away");

    let trace = TraceContext::parse("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01").unwrap();
    let driver = misbehaving(&host, "ok-traced").await.unwrap();
    trace::within(trace, driver.health()).await.unwrap();
    let text = kept.text();
    let traced = text.lines().find(|line| line.contains("4bf92f3577b34da6a3ce929d0e0e4736")).unwrap();
    assert!(traced.contains("healthy enough") && traced.contains("trace=\"00-"), "{traced}");
    assert!(!traced.contains("00f067aa0ba902b7"), "the call is a span of its own: {traced}");
    assert!(traced.ends_with(" under 1"), "the host's span of the call is around it: {traced}");

    // The host's levels change, and the plugin asks again.
    kept.1.store(true, Ordering::Relaxed);
    tracing::callsite::rebuild_interest_cache();
    driver.health().await.unwrap();
    assert!(kept.text().contains("nobody wants this"), "a level that was raised later arrives");

    misbehaving(&host, "panic-health").await.unwrap().health().await.unwrap_err();
    let text = kept.text();
    let panic = text.lines().find(|line| line.contains("told to panic in health")).unwrap();
    assert!(panic.starts_with("ERROR panic") && panic.contains("misbehaving 1.2.3"), "{panic}");
    assert!(panic.contains("location=") && panic.contains("lib.rs:") && panic.contains("thread=p"), "{panic}");
}
