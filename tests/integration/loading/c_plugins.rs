//! Plugins written in C: the example through the same door as every other, tables that cannot be used, answers that make no sense,
//! and threads that never come back.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore::plugin::{PluginHost, PluginReport, PluginSettings, PluginState};
use longshore::storage::{
    DriverError, DriverErrorKind, DriverLookup, OffloadDriver, ReadError, ReadHandle, StoredLedger,
};
use longshore_tests::broker::binary;
use longshore_tests::c_plugins::{self, compile, example, example_folder, have, make, misbehaving_source};
use longshore_tests::plugins::{put, stage};
use tempfile::TempDir;

use super::{MODE_KEY, MemoryLedger, quick, read_all, row, settings};

const FOLDER_KEY: &str = "managedLedgerOffloadExtraConfigFolder";

/// A folder with the example, loaded; a folder for its ledgers.
fn example_host() -> Option<(TempDir, TempDir, PluginHost)> {
    let (plugins, cold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(plugins.path(), "example-c.so", &fs::read(example()?).unwrap());
    let host = PluginHost::load(plugins.path(), quick());
    Some((plugins, cold, host))
}

async fn folder_driver(host: &PluginHost, driver: &str, cold: &Path) -> Arc<dyn OffloadDriver> {
    host.driver(driver, &settings(&[(FOLDER_KEY, cold.to_str().unwrap())])).await.unwrap()
}

/// Copies a new ledger with `driver`.
async fn offloaded(driver: &dyn OffloadDriver, count: usize, bytes: usize) -> (Arc<MemoryLedger>, StoredLedger) {
    let ledger = MemoryLedger::new(count, bytes);
    let target = ledger.target();
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    (ledger, target)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_in_c_keeps_a_ledger_in_a_folder() {
    let Some((_plugins, cold, host)) = example_host() else { return };
    let row = row(&host, "example-c.so");
    assert_eq!((row.state, row.reason.as_deref()), (PluginState::Loaded, None));
    assert_eq!((row.name.as_deref(), row.drivers), (Some("example-c"), Some(vec!["example-c".to_owned()])));
    assert!(host.library("example-c.so").unwrap().describe().contains("\"entry\":\"c\""));

    let nested = cold.path().join("a/b");
    let driver = folder_driver(&host, "EXAMPLE-C", &nested).await;
    assert_eq!(driver.name(), "example-c");
    driver.health().await.unwrap();
    let (ledger, target) = offloaded(&*driver, 100, 1000).await;
    assert_eq!(ledger.progress.load(std::sync::atomic::Ordering::Relaxed), 100_000);

    let copy = driver.open(&target).await.unwrap();
    assert_eq!(copy.metadata(), ledger.metadata());
    for max_bytes in [1, 999, 4096, 1 << 30] {
        assert_eq!(read_all(&*copy, max_bytes).await.unwrap(), ledger.payloads);
    }
    let beyond = copy.read(0, 100, 10).await.unwrap_err();
    assert!(matches!(beyond, ReadError::OutOfRange { .. }), "{beyond}");

    driver.delete(&target).await.unwrap();
    driver.delete(&target).await.unwrap();
    let gone = driver.open(&target).await.err().unwrap();
    assert_eq!((gone.kind, gone.plugin.as_str()), (DriverErrorKind::NotFound, "example-c 0.1.0"));
    assert!(gone.message.contains("open ") && gone.message.contains(nested.to_str().unwrap()), "{gone}");
    assert_eq!(fs::read_dir(&nested).unwrap().count(), 0);
    fs::remove_dir(&nested).unwrap();
    assert_eq!(driver.health().await.unwrap_err().kind, DriverErrorKind::NotFound);
    host.shutdown(Duration::from_millis(500)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_in_c_and_in_rust_read_each_others_files() {
    let Some((plugins, cold, _)) = example_host() else { return };
    stage("example-folder", plugins.path(), "example-folder.so");
    let host = PluginHost::load(plugins.path(), quick());
    let (c, rust) = (
        folder_driver(&host, "example-c", cold.path()).await,
        folder_driver(&host, "example-folder", cold.path()).await,
    );
    for (writer, reader) in [(&c, &rust), (&rust, &c)] {
        let (ledger, target) = offloaded(&**writer, 50, 3000).await;
        let copy = reader.open(&target).await.unwrap();
        assert_eq!(copy.metadata(), ledger.metadata());
        assert_eq!(read_all(&*copy, 10_000).await.unwrap(), ledger.payloads);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn damage_and_a_wrong_configuration_are_told_by_the_example_in_c() {
    let Some((_plugins, cold, host)) = example_host() else { return };
    let driver = folder_driver(&host, "example-c", cold.path()).await;
    let (_ledger, target) = offloaded(&*driver, 3, 100).await;
    let copy = driver.open(&target).await.unwrap();
    let file = fs::read_dir(cold.path()).unwrap().next().unwrap().unwrap().path().join("ledger");
    let mut bytes = fs::read(&file).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&file, &bytes).unwrap();
    let words = format!("{} is damaged at offset {}", file.display(), bytes.len() - 108);
    let error = driver.open(&target).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::Corrupt);
    assert!(error.message.contains(&words), "{error}");
    // A copy that is open already notices as well.
    let ReadError::Driver(error) = copy.read(2, 2, 10).await.unwrap_err() else { panic!("of the driver") };
    assert!(error.message.contains(&words), "{error}");
    assert_eq!(copy.read(0, 1, 1000).await.unwrap().len(), 2);

    let error = host.driver("example-c", &settings(&[])).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::InvalidConfig);
    assert_eq!(error.message, format!("{FOLDER_KEY}: is needed: text of a length from 1 on"));
    let error = host.driver("example-c", &settings(&[(FOLDER_KEY, "/proc/none")])).await.err().unwrap();
    assert!(error.message.contains("create folder /proc/none"), "{error}");
    let empty = MemoryLedger::new(0, 0);
    let error = driver.offload(Arc::clone(&empty) as Arc<dyn ReadHandle>, empty.target()).await.unwrap_err();
    assert!(error.message.contains("An empty or open ledger should never be offloaded"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_no_bytes_and_of_five_mebibytes_and_reads_at_once_work_in_c() {
    let Some((_plugins, cold, host)) = example_host() else { return };
    let driver = folder_driver(&host, "example-c", cold.path()).await;
    for (count, bytes) in [(1, 0), (10, 0), (3, 5 << 20), (20_000, 10)] {
        let (ledger, target) = offloaded(&*driver, count, bytes).await;
        let copy = driver.open(&target).await.unwrap();
        assert_eq!(read_all(&*copy, 1 << 20).await.unwrap(), ledger.payloads, "{count} of {bytes}");
    }
    let (ledger, target) = offloaded(&*driver, 100, 100).await;
    let copy = driver.open(&target).await.unwrap();
    let reads = (0..500_u64).map(|n| {
        let (copy, first) = (Arc::clone(&copy), n % 100);
        async move { (first, copy.read(first, 99, 250).await.unwrap()) }
    });
    for (first, entries) in futures_util::future::join_all(reads).await {
        assert_eq!(entries[0].payload, ledger.payloads[first as usize]);
    }
}

#[test]
fn the_example_in_c_exports_its_root_alone_and_its_own_tests_pass() {
    let Some(library) = example() else { return };
    let exported = super::serving::exported(&library);
    assert_eq!(exported, [longshore_plugin_api::c_abi::ROOT_SYMBOL]);
    let build = tempfile::tempdir().unwrap();
    let output = make(build.path(), Some("check"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    if said.contains("asan") && said.contains("cannot find") {
        eprintln!(
            "SKIPPED: the compiler has no sanitizers, so the tests of {} did not run",
            example_folder().display()
        );
        return;
    }
    c_plugins::succeed(&output);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "frames: ok\ndriver: ok\n");
}

#[test]
fn the_example_in_c_passes_the_conformance_kit() {
    let Some(library) = example() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (config, store) = (folder.path().join("broker.conf"), folder.path().join("store"));
    fs::write(&config, format!("{FOLDER_KEY}={}\n", store.display())).unwrap();
    let output = std::process::Command::new(binary())
        .args(["offloaders", "conformance"])
        .arg(put(folder.path(), "example-c.so", &fs::read(library).unwrap()))
        .args(["--driver", "example-c", "--config"])
        .arg(config)
        .arg("--store")
        .arg(store)
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    c_plugins::succeed(&output);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("✓ scan-under-deletion") && text.contains(" 0 failed"), "{text}");
}

#[test]
fn verifying_and_inspecting_the_example_in_c_find_nothing_wrong() {
    let Some(library) = example() else { return };
    let folder = tempfile::tempdir().unwrap();
    let file = put(folder.path(), "example-c.so", &fs::read(library).unwrap());
    for verb in ["verify", "inspect"] {
        let output = std::process::Command::new(binary()).args(["offloaders", verb]).arg(&file).output().unwrap();
        c_plugins::succeed(&output);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains("example-c") && !text.contains("error"), "{verb}: {text}");
    }
}

/// What the guide for authors of C shows, in the order in which it stands there.
fn source_in_the_guide() -> String {
    let guide = include_str!("../../../docs/plugin-guide-c.md");
    guide.split("```c\n").skip(1).map(|block| block.split("```").next().unwrap()).collect::<Vec<_>>().join("\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_in_the_guide_compiles_and_serves() {
    if !have("cc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("shelf.c");
    fs::write(&source, source_in_the_guide()).unwrap();
    compile("cc", &source, &["-std=c99"], &folder.path().join("shelf"));
    put(folder.path(), "shelf.so", &fs::read(folder.path().join("shelf")).unwrap());
    let host = PluginHost::load(folder.path(), quick());
    assert_eq!(row(&host, "shelf.so").reason, None);
    let driver = host.driver("shelf", &settings(&[])).await.unwrap();
    let (ledger, target) = offloaded(&*driver, 100, 1000).await;
    driver.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    let copy = driver.open(&target).await.unwrap();
    driver.delete(&target).await.unwrap();
    assert_eq!(driver.open(&target).await.err().unwrap().kind, DriverErrorKind::NotFound);
    assert_eq!(read_all(&*copy, 2500).await.unwrap(), ledger.payloads, "an open copy outlives its deletion here");
    let wrong = host.driver("shelf", &settings(&[("managedLedgerOffloadExtraConfigShelfSize", "1000")])).await;
    assert!(wrong.err().unwrap().message.contains("is more than 999 ledgers"));
}

/// The plugin that does wrong, compiled with `flags`.
fn wrong(flags: &[&str]) -> Option<Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("wrong.so");
    if !have("cc") {
        return None;
    }
    // A table with a hole leaves its function without a caller.
    let always = ["-std=c99", "-Wno-unused-function"];
    compile("cc", &misbehaving_source(), &[&always[..], flags].concat(), &library);
    Some(fs::read(library).unwrap())
}

/// The row of a library, loaded from a folder of its own.
fn loaded_alone(library: &[u8]) -> PluginReport {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "wrong.so", library);
    row(&PluginHost::load(folder.path(), quick()), "wrong.so")
}

#[track_caller]
fn assert_refused(library: &[u8], words: &[&str]) {
    let row = loaded_alone(library);
    let reason = row.reason.unwrap_or_default();
    assert_eq!(row.state, PluginState::Refused, "{reason}");
    for word in words {
        assert!(reason.contains(word), "`{word}` is not in: {reason}");
    }
}

#[test]
fn tables_that_cannot_be_used_are_refused_each_with_its_reason() {
    if !have("cc") {
        return;
    }
    for (flag, words) in [
        ("-DCREATE=NULL", &["its offloader_plugin_t has no function `create`"][..]),
        ("-DOFFLOAD=NULL", &["its offloader_driver_t has no function `offload`"]),
        (
            "-DDRIVER_SIZE=64",
            &["its offloader_driver_t says that it has 64 bytes, at least 72 are needed", "struct_size"],
        ),
        ("-DDRIVER_SIZE=0", &["its offloader_driver_t says that it has 0 bytes"]),
        ("-DDRIVER_SIZE=123456789", &["its offloader_driver_t says that it has 123456789 bytes"]),
        ("-DDRIVER=NULL", &["its offloader_driver_t is null", "offloader.h of plugin API 1.0.0"]),
        ("-DDRIVER=((const offloader_driver_t*)1)", &["the address of its offloader_driver_t is impossible"]),
        ("-DANOTHER_ROOT", &["its note says that its entry is C, but it does not export offloader_root"]),
        ("-DSTART_FAILS", &["it could not be started: the tape robot is asleep"]),
        ("-DOFFLOADER_TARGET=\"pdp-11\"", &["it is built for pdp-11"]),
        ("-DOFFLOADER_API_VERSION_MIN=\"1.9.0\"", &["says that it needs plugin API 1.9.0 but was built for 1.0.0"]),
    ] {
        assert_refused(&wrong(&[flag]).unwrap(), words);
    }
    // A table that is longer than ours is one of a later version.
    assert_eq!(loaded_alone(&wrong(&["-DDRIVER_SIZE=80"]).unwrap()).state, PluginState::Loaded);
}

/// The first `from` replaced by `to`, which is filled up with spaces.
fn replaced(library: &[u8], from: &str, to: &str) -> Vec<u8> {
    assert!(from.len() >= to.len());
    let to = format!("{to:0$}", from.len());
    let mut bytes = library.to_vec();
    let at = bytes.windows(from.len()).position(|window| window == from.as_bytes()).expect("it is there");
    bytes[at..at + to.len()].copy_from_slice(to.as_bytes());
    bytes
}

#[test]
fn a_note_that_does_not_fit_its_library_is_refused() {
    let Some(library) = wrong(&["-DNAME=\"misfit\""]) else { return };
    assert_eq!(loaded_alone(&library).state, PluginState::Loaded);
    let version = replaced(&library, "\"api\":\"1.0.0\"", "\"api\":\"1.0.1\"");
    assert_refused(&version, &["its note says plugin API 1.0.1, the library itself says 1.0.0"]);
    assert_refused(&replaced(&library, "\"api\":\"1.0.0\"", "\"api\":\"2.0.0\""), &["built for plugin API 2.0.0"]);
    assert_refused(&replaced(&library, "\"entry\":\"c\"", "\"entry\":\"d\""), &["unknown variant `d`"]);
    let unwinding = replaced(&library, "\"panic\":\"none\"", "\"panic\":\"some\"");
    assert_refused(&unwinding, &["its entry is C and its note says panic = \"some\""]);
    // A C library that calls itself Rust, and a Rust library that calls itself C.
    let rust = replaced(&library, "\"entry\":\"c\",", "");
    let rust = replaced(&rust, "\"panic\":\"none\",\"profile\":\"debug\"", "\"panic\":\"unwind\"");
    assert_refused(&rust, &["does not export an offloader"]);
    let c = fs::read(longshore_tests::plugins::built("misbehaving-plugin")).unwrap();
    let c = replaced(&c, "\"license\":\"Apache-2.0\",", "\"entry\":\"c\",");
    let c = replaced(&c, "\"panic\":\"unwind\"", "\"panic\":\"none\"");
    assert_refused(&c, &["its note says that its entry is C, but it does not export offloader_root"]);
}

#[test]
fn the_header_is_strict_c_and_strict_cpp() {
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("wrong.so");
    let cpp = folder.path().join("misbehaving.cpp");
    fs::copy(misbehaving_source(), &cpp).unwrap();
    if have("cc") {
        for standard in ["-std=c99", "-std=c11", "-std=gnu17"] {
            compile("cc", &misbehaving_source(), &[standard, "-O2"], &library);
        }
    }
    if have("c++") {
        for (standard, name) in [("-std=c++14", "-DNAME=\"cpp14\""), ("-std=c++17", "-DNAME=\"cpp17\"")] {
            compile("c++", &cpp, &[standard, "-O2", name], &library);
            let row = loaded_alone(&fs::read(&library).unwrap());
            assert_eq!((row.state, row.reason), (PluginState::Loaded, None));
        }
    }
}

/// A host with the plugin that does wrong, as a library of its own by its name: its counters are its own too.
fn wrong_host(name: &str, settings: PluginSettings) -> Option<(TempDir, PluginHost)> {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "wrong.so", &wrong(&[&format!("-DNAME=\"{name}\"")])?);
    let host = PluginHost::load(folder.path(), settings);
    assert_eq!(row(&host, "wrong.so").reason, None);
    Some((folder, host))
}

async fn in_mode(host: &PluginHost, mode: &str) -> Result<Arc<dyn OffloadDriver>, DriverError> {
    host.driver("misbehaving-c", &settings(&[(MODE_KEY, mode)])).await
}

#[tokio::test(flavor = "multi_thread")]
async fn nonsense_of_a_c_plugin_is_caught_and_named() {
    let patient = PluginSettings { degraded_after: 1000, ..quick() };
    let Some((_folder, host)) = wrong_host("nonsense", patient) else { return };
    let (ledger, target) = offloaded(&*in_mode(&host, "ok").await.unwrap(), 10, 100).await;
    let back = read_all(&*in_mode(&host, "ok").await.unwrap().open(&target).await.unwrap(), 350).await.unwrap();
    assert_eq!(back, ledger.payloads);
    for (mode, words) in [
        ("read-nothing", "answered with no entry"),
        ("read-null", "answered with 10 entries at an impossible address"),
        ("read-crooked", "answered with 10 entries at an impossible address"),
        ("read-many", "answered with 18446744073709551615 entries where 10 were asked for"),
        ("read-null-payload", "entry 0 came with an impossible pointer or length"),
        ("read-endless-payload", "entry 0 came with an impossible pointer or length"),
        ("read-gap", "answered with entry 1 where 0 belongs"),
    ] {
        let copy = in_mode(&host, mode).await.unwrap().open(&target).await.unwrap();
        let ReadError::Driver(error) = copy.read(0, 9, 10_000).await.unwrap_err() else { panic!("{mode}") };
        assert_eq!((error.kind, error.plugin.as_str()), (DriverErrorKind::Misbehaved, "nonsense 1.2.3"), "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    for (mode, kind, words) in [
        ("open-nothing", DriverErrorKind::Misbehaved, "answered OK without the ledger's metadata"),
        ("open-long", DriverErrorKind::Misbehaved, "18446744073709551615 bytes, at most 1048576 are allowed"),
        ("open-garbage", DriverErrorKind::Corrupt, "cannot be decoded"),
    ] {
        let error = in_mode(&host, mode).await.unwrap().open(&target).await.err().unwrap();
        assert_eq!(error.kind, kind, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    for (mode, words) in [
        ("metadata-null", "driver_metadata has a name that is null"),
        ("metadata-long", "a value in driver_metadata: 18446744073709551615 bytes"),
        ("metadata-broken", "a value in driver_metadata: not UTF-8"),
    ] {
        let error = in_mode(&host, mode).await.err().unwrap();
        assert_eq!(error.kind, DriverErrorKind::Misbehaved, "{error}");
        assert!(error.message.contains(words), "{error}");
    }
    assert_eq!(row(&host, "wrong.so").state, PluginState::Loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn errors_of_a_c_plugin_keep_code_message_and_hint() {
    let Some((_folder, host)) = wrong_host("errors", quick()) else { return };
    let error = in_mode(&host, "health-fail").await.unwrap().health().await.unwrap_err();
    assert!(error.is_retryable());
    let words = "driver `Misbehaving-C` of errors 1.2.3: health: told to fail in health (Internal)";
    assert_eq!(error.to_string(), words);
    let error = in_mode(&host, "health-unknown").await.unwrap().health().await.unwrap_err();
    assert!(error.message.ends_with("the plugin gave no message (code 4711)"), "{error}");
    assert!(!error.is_retryable());
    let error = in_mode(&host, "health-lying-message").await.unwrap().health().await.unwrap_err();
    assert!(error.message.contains("\u{fffd} is no text") && error.message.len() < 5000, "{error}");
    let error = host.driver("misbehaving-c", &settings(&[])).await.err().unwrap();
    assert_eq!(error.message, format!("{MODE_KEY}: is needed; other=7: is wrong as well"));
    let error = in_mode(&host, "fail-create").await.err().unwrap();
    assert!(error.message.contains("told to fail in create"), "{error}");
    assert_eq!(row(&host, "wrong.so").state, PluginState::Loaded, "orderly errors degrade nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_the_hosts_ledger_cannot_be_hoarded_nor_given_back_twice() {
    let Some((_folder, host)) = wrong_host("batches", quick()) else { return };
    let hoarding = in_mode(&host, "offload-hoard").await.unwrap();
    // Each batch has one entry, and few batches may be held.
    let ledger = MemoryLedger::new(100, 10);
    let error = hoarding.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()).await.unwrap_err();
    assert!(error.message.contains("8 batches of the ledger are held"), "{error}");
    assert_eq!(Arc::strong_count(&ledger), 1, "what it held was taken back");
    let small = in_mode(&host, "offload-small-batch").await.unwrap();
    let error = small.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, ledger.target()).await.unwrap_err();
    assert!(error.message.contains("the batch says that it has 8 bytes"), "{error}");
    for mode in ["offload-release-twice", "offload-thread"] {
        let driver = in_mode(&host, mode).await.unwrap();
        let (ledger, target) = offloaded(&*driver, 50, 100).await;
        assert_eq!(read_all(&*driver.open(&target).await.unwrap(), 1000).await.unwrap(), ledger.payloads, "{mode}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_c_call_that_is_given_up_is_told_and_one_that_blocks_for_ever_costs_itself_alone() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(400), degraded_after: 1000, ..quick() };
    let Some((_folder, host)) = wrong_host("blocking", settings) else { return };
    for mode in ["health-wait", "health-block"] {
        let began = Instant::now();
        let driver = in_mode(&host, mode).await.unwrap();
        let calls = (0..20).map(|_| driver.health());
        for answer in futures_util::future::join_all(calls).await {
            assert_eq!(answer.unwrap_err().kind, DriverErrorKind::Timeout);
        }
        assert!(began.elapsed() < Duration::from_millis(1500), "{mode}");
    }
    in_mode(&host, "ok").await.unwrap().health().await.unwrap();
    let seen = in_mode(&host, "witness").await.unwrap().driver_metadata();
    assert_eq!(seen["cancelled"], "20", "each call that asked was told: {seen:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn everything_a_c_plugin_gives_is_given_back_once_and_in_order() {
    let Some((_folder, host)) = wrong_host("lifetimes", PluginSettings { driver_instances_max: 1, ..quick() }) else {
        return;
    };
    let driver = in_mode(&host, "ok").await.unwrap();
    let (ledger, target) = offloaded(&*driver, 10, 100).await;
    let copy = driver.open(&target).await.unwrap();
    let held = copy.read(0, 9, 350).await.unwrap();
    // Handle and driver go before the last payload does.
    drop((copy, driver));
    let failed = in_mode(&host, "open-nothing").await.unwrap().open(&target).await;
    assert!(failed.is_err());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let now = async |mode: &str| in_mode(&host, mode).await.unwrap().driver_metadata();
    let seen = now("witness-1").await;
    assert_eq!(
        (seen["opened"].as_str(), seen["closed"].as_str(), seen["released"].as_str()),
        ("2", "1", "0"),
        "{seen:?}"
    );
    assert_eq!(held[2].payload, ledger.payloads[2]);
    drop(held);
    let deadline = Instant::now() + Duration::from_secs(5);
    for round in 0.. {
        let seen = now(&format!("witness-{}", round + 2)).await;
        let number = |name: &str| seen[name].parse::<i64>().unwrap();
        assert_eq!(number("wrong-order"), 0, "{seen:?}");
        // All but the instance that answers, and the one before it that may still be on its way.
        if number("closed") == 2 && number("released") == number("given") && number("destroyed") >= 2 {
            break;
        }
        assert!(Instant::now() < deadline, "{seen:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[test]
fn events_of_a_c_plugin_arrive_in_the_hosts_log() {
    if have("cc") {
        super::serving::in_a_process_of_its_own("loading::c_plugins::in_a_process_of_its_own_c_events_arrive");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "run by events_of_a_c_plugin_arrive_in_the_hosts_log, which gives it a process of its own"]
async fn in_a_process_of_its_own_c_events_arrive() {
    let kept = super::serving::Kept::default();
    tracing::subscriber::set_global_default(kept.clone()).unwrap();
    let (_folder, host) = wrong_host("talking", quick()).unwrap();
    in_mode(&host, "health-log").await.unwrap().health().await.unwrap();
    let text = kept.text();
    // Under the host's own span of the call.
    let expected =
        "WARN misbehaving_c message=\"healthy enough\" plugin=\"talking 1.2.3\" fields=\"shelves=3\" under 1";
    assert!(text.lines().any(|line| line == expected), "{text}");
    assert!(!text.contains("nobody wants"), "a level that the host does not want stays away");
}
