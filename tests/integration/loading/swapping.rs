//! What a look at the folder does while the host runs: who is let in, who takes over, who stays, and what is said of it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use longshore::plugin::admission::AdmissionSettings;
use longshore::plugin::status::GenerationPhase;
use longshore::plugin::{Cause, ChangeKind, Pin, Pins, PluginHost, PluginSettings, PluginState, PluginStatus, Rescan};
use longshore::storage::{DriverErrorKind, DriverLookup};
use longshore_tests::plugins::{built, put, rebuilt, stage};
use tempfile::TempDir;

use super::{MODE_KEY, misbehaving, quick, row, settings};

const PACKAGE: &str = "misbehaving-plugin";

/// The misbehaving plugin as its version `version`. Each test has versions of its own, because one content is loaded once in a
/// process, and a test may leave it degraded.
fn version(version: &str) -> Vec<u8> {
    rebuilt(PACKAGE, "\"version\":\"1.2.3\"", &format!("\"version\":\"{version}\""))
}

/// The same, under another plugin's name.
fn other_plugin(name: &str, version: &str) -> Vec<u8> {
    let mut bytes = self::version(version);
    let name = format!("\"name\":\"{name}\"");
    longshore_tests::plugins::replace_all(&mut bytes, b"\"name\":\"misbehaving\"", name.as_bytes());
    bytes
}

/// A folder with `file` at `version_text`, loaded.
fn host_with(file: &str, version_text: &str, settings: PluginSettings) -> (TempDir, PluginHost) {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), file, &version(version_text));
    let host = PluginHost::load(folder.path(), settings);
    (folder, host)
}

fn served_by(host: &PluginHost) -> (String, String) {
    let origin = host.origin("misbehaving").expect("somebody serves");
    (origin.version, origin.file)
}

async fn look(host: &PluginHost) -> Rescan {
    host.rescan(Cause::Operator).await
}

fn words(rescan: &Rescan) -> Vec<(ChangeKind, &str)> {
    rescan.changes.iter().map(|change| (change.change, change.row.file.as_str())).collect()
}

/// The status, once `until` holds.
async fn status_when(host: &PluginHost, until: impl Fn(&PluginStatus) -> bool) -> PluginStatus {
    for _ in 0..500 {
        let status = host.status(0, None);
        if until(&status) {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it never came: {:#?}", host.status(0, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_that_is_dropped_in_serves_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let host = PluginHost::load(folder.path(), quick());
    let error = misbehaving(&host, "ok").await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::Unclaimed);
    put(folder.path(), "a.so", &version("3.0.0"));
    let rescan = look(&host).await;
    assert_eq!(words(&rescan), [(ChangeKind::Added, "a.so")]);
    assert_eq!((rescan.files_seen, rescan.files_read), (1, 1));
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
    assert_eq!(words(&look(&host).await), []);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_that_did_not_change_are_not_read_again() {
    let (folder, host) = host_with("a.so", "3.0.1", quick());
    put(folder.path(), "bad.so", b"text");
    // Until then equal times prove nothing.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    let first = look(&host).await;
    assert_eq!((first.files_seen, first.files_read), (2, 2));
    let second = look(&host).await;
    assert_eq!((second.files_seen, second.files_read, words(&second)), (2, 0, vec![]));
    // Another name, or only another mode: read, but the same bytes serve on.
    fs::rename(folder.path().join("a.so"), folder.path().join("b.so")).unwrap();
    let third = look(&host).await;
    assert_eq!((third.files_read, served_by(&host).0), (1, "3.0.1".to_owned()));
    assert_eq!(host.status(0, None).plugins.len(), 1);
    assert_eq!(row(&host, "b.so").state, PluginState::Loaded);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_version_takes_over_and_the_older_one_ends_when_its_last_user_does() {
    let (folder, host) = host_with("a.so", "3.0.2", quick());
    let old = misbehaving(&host, "ok").await.unwrap();
    put(folder.path(), "b.so", &version("3.0.3"));
    let rescan = look(&host).await;
    assert_eq!(words(&rescan), [(ChangeKind::Retired, "a.so"), (ChangeKind::Replaced, "b.so")]);
    assert_eq!(rescan.changes[1].replaces.as_deref(), Some("3.0.2"));
    assert_eq!(served_by(&host), ("3.0.3".to_owned(), "b.so".to_owned()));

    let new = misbehaving(&host, "ok").await.unwrap();
    assert_eq!((old.origin().version.as_str(), new.origin().version.as_str()), ("3.0.2", "3.0.3"));
    old.health().await.unwrap();
    let status = host.status(0, None);
    let drains = &status.plugins[1];
    assert_eq!((drains.generation, drains.phase, drains.users), (1, GenerationPhase::Draining, 1));
    assert_eq!((status.retired.count, status.retired.bytes), (1, drains.size));
    drop(old);
    let status = status_when(&host, |status| status.plugins[1].phase == GenerationPhase::Retired).await;
    assert_eq!((status.plugins[1].late_users, status.plugins[1].driver_instances), (0, 0));
    let retired = row(&host, "a.so");
    assert_eq!(
        (retired.state, retired.reason.unwrap()),
        (PluginState::Retired, "version 3.0.3 of b.so serves instead".to_owned())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_drain_deadline_reports_who_is_left_and_cuts_nobody_off() {
    let settings = PluginSettings { drain_timeout: Duration::from_millis(100), ..quick() };
    let (folder, host) = host_with("a.so", "3.0.4", settings);
    let old = misbehaving(&host, "ok").await.unwrap();
    put(folder.path(), "a.so", &version("3.0.5"));
    look(&host).await;
    let late = |status: &PluginStatus| status.plugins[1].late_users == 1;
    let status = status_when(&host, late).await;
    assert_eq!(status.plugins[1].phase, GenerationPhase::Retired);
    old.health().await.unwrap();
    drop(old);
    status_when(&host, |status| status.plugins[1].late_users == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_version_built_again_takes_over_too() {
    let (folder, host) = host_with("a.so", "3.0.6", quick());
    let mut again = version("3.0.6");
    // A byte of the section names' table, which nobody reads: another build, another hash.
    let at = again.windows(9).rposition(|window| window == b".shstrtab").unwrap();
    again[at + 1] = b'S';
    put(folder.path(), "a.so", &again);
    assert_eq!(words(&look(&host).await), [(ChangeKind::Replaced, "a.so"), (ChangeKind::Retired, "a.so")]);
    assert_eq!(host.status(0, None).plugins[0].generation, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_older_version_alone_is_a_rollback_and_beside_a_newer_one_it_is_shadowed() {
    let (folder, host) = host_with("a.so", "3.1.1", quick());
    put(folder.path(), "b.so", &version("3.1.0"));
    assert_eq!(words(&look(&host).await), [(ChangeKind::Shadowed, "b.so")]);
    assert_eq!(row(&host, "b.so").reason.unwrap(), "version 3.1.1 of a.so serves instead");
    fs::remove_file(folder.path().join("a.so")).unwrap();
    let rescan = look(&host).await;
    assert_eq!(words(&rescan), [(ChangeKind::Retired, "a.so"), (ChangeKind::Replaced, "b.so")]);
    assert_eq!(served_by(&host).0, "3.1.0");
    // Forward again, to bytes that are loaded already: nothing new to keep.
    let bytes = host.status(0, None).retired.bytes;
    put(folder.path(), "a.so", &version("3.1.1"));
    look(&host).await;
    assert_eq!((served_by(&host).0.as_str(), host.status(0, None).retired.bytes), ("3.1.1", bytes));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_serves_again_keeps_its_threads() {
    let (folder, host) = host_with("a.so", "3.7.0", quick());
    let threads = || host.library_stats("a.so").unwrap().threads;
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
    assert!(threads() >= 2, "its runtime has workers");
    for text in ["3.7.1", "3.7.0"] {
        put(folder.path(), "a.so", &version(text));
        look(&host).await;
        if served_by(&host).0 != text {
            // An older version takes over once the newer one's file is gone.
            fs::remove_file(folder.path().join("a.so")).unwrap();
            put(folder.path(), "a.so", &version(text));
            look(&host).await;
        }
        assert_eq!(served_by(&host).0, text);
        assert!(threads() >= 2, "{text} has {} threads", threads());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_whose_file_is_gone_serves_on_and_says_so() {
    let (folder, host) = host_with("a.so", "3.1.2", quick());
    let driver = misbehaving(&host, "ok").await.unwrap();
    fs::remove_file(folder.path().join("a.so")).unwrap();
    assert_eq!(words(&look(&host).await), [(ChangeKind::Changed, "a.so")]);
    let gone = row(&host, "a.so");
    assert_eq!(gone.state, PluginState::Loaded);
    assert!(gone.reason.unwrap().contains("its file is gone; it serves on"));
    driver.health().await.unwrap();
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
    // A folder that cannot be listed is no wish either.
    let (here, away) = (folder.path(), folder.path().with_extension("away"));
    fs::rename(here, &away).unwrap();
    let rescan = look(&host).await;
    fs::rename(&away, here).unwrap();
    assert!(rescan.folder_error.unwrap().contains("does not exist"));
    assert_eq!(served_by(&host).0, "3.1.2");
}

/// Each of these would be worse; the old one stays in charge, and the new file's row says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_worse_new_file_leaves_the_old_one_in_charge() {
    let (folder, host) = host_with("a.so", "3.2.0", quick());
    let driver = misbehaving(&host, "ok").await.unwrap();
    put(folder.path(), "older.so", &version("3.1.9"));
    let mut lying = version("3.2.1");
    let at = lying.windows(5).position(|window| window == b"3.2.1").unwrap();
    lying[at..at + 5].copy_from_slice(b"3.2.2");
    let cases: [(&[u8], PluginState, &str); 4] = [
        (b"text", PluginState::Refused, "it is not a shared library"),
        (&version("3.2.1")[..5000], PluginState::Incomplete, "the file is cut off"),
        (b"", PluginState::Incomplete, "the file is empty"),
        (&lying, PluginState::Refused, "its note lies"),
    ];
    for (bytes, state, reason) in cases {
        put(folder.path(), "a.so", bytes);
        look(&host).await;
        let row = row(&host, "a.so");
        let text = row.reason.unwrap();
        assert_eq!(row.state, state, "{text}");
        assert!(text.contains(reason) && text.contains("serves on"), "{text}");
        assert_eq!(served_by(&host), ("3.2.0".to_owned(), "a.so".to_owned()), "{text}");
        driver.health().await.unwrap();
        let rows = host.reports();
        assert!(rows.iter().any(|row| row.state == PluginState::Loaded && row.file == "a.so"), "{rows:?}");
    }
    // Written again as it was: nothing is loaded, nothing changes hands.
    put(folder.path(), "a.so", &version("3.2.0"));
    look(&host).await;
    assert_eq!((row(&host, "a.so").state, host.status(0, None).plugins.len()), (PluginState::Loaded, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_version_must_pass_the_gate_for_what_is_in_use() {
    let (folder, host) = host_with("a.so", "3.3.0", PluginSettings { degraded_after: 100, ..quick() });
    let mode = folder.path().join("mode");
    fs::write(&mode, "ok").unwrap();
    let as_told = settings(&[(MODE_KEY, &format!("@{}", mode.display()))]);
    let driver = host.driver("misbehaving", &as_told).await.unwrap();
    put(folder.path(), "b.so", &version("3.3.1"));
    for (told, words) in [
        ("panic-validate", "told to panic in validate"),
        ("fail-create", "told to fail in create"),
        ("panic-health", "told to panic in health"),
        ("pending-health", "no answer within"),
    ] {
        fs::write(&mode, told).unwrap();
        look(&host).await;
        let row = row(&host, "b.so");
        let reason = row.reason.unwrap();
        assert_eq!(row.state, PluginState::Refused, "{reason}");
        assert!(reason.contains(words) && reason.contains("version 3.3.0 of a.so serves on"), "{reason}");
        assert_eq!(served_by(&host).0, "3.3.0");
    }
    fs::write(&mode, "ok").unwrap();
    driver.health().await.unwrap();
    assert_eq!(words(&look(&host).await), [(ChangeKind::Retired, "a.so"), (ChangeKind::Replaced, "b.so")]);
    assert_eq!(served_by(&host).0, "3.3.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_the_old_one_cannot_reach_either_is_no_reason_to_stay() {
    let (folder, host) = host_with("a.so", "3.3.2", quick());
    let down = misbehaving(&host, "fail-health").await.unwrap();
    down.health().await.unwrap_err();
    put(folder.path(), "a.so", &version("3.3.3"));
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.3.3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_clock_finds_failing_is_tried_a_few_times_and_then_left_alone() {
    let settings = PluginSettings { call_timeout: Duration::from_millis(1500), degraded_after: 1000, ..quick() };
    let (folder, host) = host_with("a.so", "3.3.4", settings);
    let mode = folder.path().join("mode");
    fs::write(&mode, "ok").unwrap();
    let as_told = super::settings(&[(MODE_KEY, &format!("@{}", mode.display()))]);
    let _driver = host.driver("misbehaving", &as_told).await.unwrap();
    fs::write(&mode, "pending-health").unwrap();
    put(folder.path(), "b.so", &version("3.3.5"));
    let mut changed = 0;
    for _ in 0..8 {
        changed += host.rescan(Cause::Clock).await.changes.len();
    }
    let reason = row(&host, "b.so").reason.unwrap();
    assert!(reason.contains("after 5 tries it waits for `longshore offloaders rescan`"), "{reason}");
    assert_eq!(changed, 2, "it was told when it failed and when it was given up");
    fs::write(&mode, "ok").unwrap();
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.3.5");
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_of_replaced_libraries_are_bounded() {
    let len = fs::metadata(built(PACKAGE)).unwrap().len();
    let settings = PluginSettings { retired_bytes_max: len, ..quick() };
    let (folder, host) = host_with("a.so", "3.4.0", settings);
    put(folder.path(), "a.so", &version("3.4.1"));
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.4.1");
    put(folder.path(), "a.so", &version("3.4.2"));
    let rescan = look(&host).await;
    assert!(words(&rescan).contains(&(ChangeKind::Refused, "a.so")), "{rescan:?}");
    let reason = row(&host, "a.so").reason.unwrap();
    for part in ["offloadersRetiredBytesMax", "restart to reclaim", "version 3.4.1 of a.so serves on"] {
        assert!(reason.contains(part), "`{part}` is not in: {reason}");
    }
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();
    let retired = host.status(0, None).retired;
    assert_eq!((retired.bytes, retired.bytes_max, retired.count), (len, len, 1));
    // Back to what is loaded already costs nothing.
    put(folder.path(), "a.so", &version("3.4.0"));
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.4.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newcomer_takes_no_driver_from_the_plugin_that_serves_it() {
    let (folder, host) = host_with("b.so", "3.5.0", quick());
    let driver = misbehaving(&host, "ok").await.unwrap();
    put(folder.path(), "a.so", &other_plugin("counterfeit", "3.5.0"));
    let rescan = look(&host).await;
    assert_eq!(words(&rescan), [(ChangeKind::Conflict, "a.so"), (ChangeKind::Changed, "b.so")]);
    let (newcomer, incumbent) = (row(&host, "a.so"), row(&host, "b.so"));
    assert_eq!((newcomer.state, incumbent.state), (PluginState::Conflict, PluginState::Loaded));
    let (said, warned) = (newcomer.reason.unwrap(), incumbent.reason.unwrap());
    assert!(said.contains("is served by b.so (misbehaving 3.5.0), which had it first"), "{said}");
    assert!(said.contains("managedLedgerOffloadDriverPlugin.misbehaving names another"), "{said}");
    assert!(
        warned.contains("also claimed by a.so (counterfeit 3.5.0); at the next start nobody serves it"),
        "{warned}"
    );
    driver.health().await.unwrap();
    assert_eq!(served_by(&host).1, "b.so");
    assert!(host.status(0, None).drivers.iter().all(|driver| driver.conflict && driver.problem.is_some()));
    // Once its file is gone, the other one is its successor.
    fs::remove_file(folder.path().join("b.so")).unwrap();
    look(&host).await;
    assert_eq!(served_by(&host).1, "a.so");
    drop(driver);
    status_when(&host, |status| status.plugins[1].phase == GenerationPhase::Retired).await;
    assert_eq!(row(&host, "a.so").reason, None);
}

fn pinned(pins: &[(&str, &str, Option<&str>)]) -> PluginSettings {
    let pins = pins.iter().map(|(driver, plugin, version)| {
        let version = version.map(|text| text.parse().unwrap());
        ((*driver).to_owned(), Pin { plugin: (*plugin).to_owned(), version })
    });
    PluginSettings { pins: Pins(pins.collect()), ..quick() }
}

fn two_plugins(folder: &Path) {
    put(folder, "a.so", &version("3.6.0"));
    put(folder, "b.so", &other_plugin("counterfeit", "3.6.0"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_decides_between_two_plugins() {
    let folder = tempfile::tempdir().unwrap();
    two_plugins(folder.path());
    let pins = [("misbehaving", "counterfeit", None), ("misbehaving-too", "misbehaving", None)];
    let host = PluginHost::load(folder.path(), pinned(&pins));
    assert_eq!(host.origin("Misbehaving").unwrap().plugin, "counterfeit");
    assert_eq!(host.origin("misbehaving-too").unwrap().plugin, "misbehaving");
    let reason = row(&host, "a.so").reason.unwrap();
    let line = "managedLedgerOffloadDriverPlugin.misbehaving=counterfeit";
    assert!(reason.contains(&format!("served by b.so (counterfeit 3.6.0), as {line} says")), "{reason}");
    // A plugin that would serve nothing is not even loaded.
    let pins = [("misbehaving", "counterfeit", None), ("misbehaving-too", "counterfeit", None)];
    let host = PluginHost::load(folder.path(), pinned(&pins));
    let barred = row(&host, "a.so");
    assert_eq!(barred.state, PluginState::Shadowed);
    assert!(barred.reason.unwrap().contains(line));
    assert_eq!(host.status(0, None).plugins.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pinned_version_wins_over_a_higher_one() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.so", &version("3.6.1"));
    put(folder.path(), "b.so", &version("3.6.2"));
    let host = PluginHost::load(folder.path(), pinned(&[("misbehaving", "misbehaving", Some("3.6.1"))]));
    assert_eq!(served_by(&host).0, "3.6.1");
    let reason = row(&host, "b.so").reason.unwrap();
    let line = "as managedLedgerOffloadDriverPlugin.misbehaving=misbehaving@3.6.1 says";
    assert_eq!(reason, format!("version 3.6.1 of a.so serves instead, {line}"));
    // Neither does a later drop-in change that.
    put(folder.path(), "c.so", &version("3.6.3"));
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.6.1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pin_that_names_nothing_leaves_the_driver_unserved_and_is_told() {
    let folder = tempfile::tempdir().unwrap();
    put(folder.path(), "a.so", &version("3.6.4"));
    let host = PluginHost::load(folder.path(), pinned(&[("misbehaving", "tape", Some("1.0.0")), ("s3", "tape", None)]));
    let error = misbehaving(&host, "ok").await.err().unwrap();
    for part in [
        "driver `misbehaving` is claimed by a.so (misbehaving 3.6.4)",
        "managedLedgerOffloadDriverPlugin.misbehaving=tape@1.0.0 names what is not there",
        "put the pinned plugin there or change managedLedgerOffloadDriverPlugin.misbehaving",
    ] {
        assert!(error.to_string().contains(part), "`{part}` is not in: {error}");
    }
    let status = host.status(0, None);
    let s3 = status.drivers.iter().find(|driver| driver.driver == "s3").unwrap();
    assert!(s3.problem.as_ref().unwrap().contains("claimed by nobody"), "{s3:?}");
    let (driver, other) = (status.drivers.iter().find(|d| d.driver == "Misbehaving").unwrap(), "misbehaving-too");
    assert_eq!((driver.plugin.as_ref(), driver.pin.as_deref()), (None, Some("tape@1.0.0")));
    assert_eq!(host.origin(other).unwrap().plugin, "misbehaving", "its other driver works");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_grows_is_incomplete_until_it_is_whole() {
    let folder = tempfile::tempdir().unwrap();
    let host = PluginHost::load(folder.path(), quick());
    let (whole, path) = (version("3.7.0"), folder.path().join("a.so"));
    for share in [0, 1, 2, 3] {
        fs::write(&path, &whole[..whole.len() * share / 4]).unwrap();
        look(&host).await;
        let row = row(&host, "a.so");
        let reason = row.reason.unwrap();
        assert_eq!(row.state, PluginState::Incomplete, "{reason}");
        assert!(reason.ends_with("it is looked at again"), "{reason}");
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(words(&look(&host).await), [(ChangeKind::Added, "a.so")]);
}

/// A changed policy judges again the files that it concerns; what runs is not taken back by it, but says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_changes_judges_again() {
    let (folder, policy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(folder.path(), "a.so", &version("3.9.0"));
    put(folder.path(), "b.so", &version("3.8.9"));
    let list = policy.path().join("allowed");
    let allow = |files: &[&str]| {
        let rows = PluginHost::load(folder.path(), quick()).reports();
        let hash = |file: &&str| rows.iter().find(|row| row.file == **file).unwrap().sha256.clone().unwrap();
        fs::write(&list, files.iter().map(|file| hash(file) + "\n").collect::<String>()).unwrap();
    };
    allow(&["a.so"]);
    let admission = AdmissionSettings { allow_list: Some(list.clone()), ..AdmissionSettings::default() };
    let host = PluginHost::load(folder.path(), PluginSettings { admission, ..quick() });
    let states = || host.reports().into_iter().map(|row| (row.file, row.state)).collect::<Vec<_>>();
    let state_of = |file: &str, state| (file.to_owned(), state);
    assert_eq!(states(), [state_of("a.so", PluginState::Loaded), state_of("b.so", PluginState::Refused)]);
    // Old enough that only the policy can make a look read the files.
    tokio::time::sleep(Duration::from_millis(2100)).await;
    look(&host).await;
    assert_eq!(look(&host).await.files_read, 0);

    allow(&[]);
    let rescan = look(&host).await;
    assert_eq!(rescan.files_read, 1, "the other one was refused before");
    let expected = [PluginState::Refused, PluginState::Loaded, PluginState::Refused];
    assert_eq!(host.reports().iter().map(|row| row.state).collect::<Vec<_>>(), expected);
    let runs = &host.reports()[1];
    assert!(runs.reason.as_ref().unwrap().contains("may not be loaded, since; it serves on"), "{runs:?}");
    misbehaving(&host, "ok").await.unwrap().health().await.unwrap();

    allow(&["b.so"]);
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.8.9", "what is allowed takes over from what is not any more");
    allow(&["a.so", "b.so"]);
    look(&host).await;
    assert_eq!(served_by(&host).0, "3.9.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_look_at_a_time_and_none_is_lost() {
    let (folder, host) = host_with("a.so", "3.8.0", quick());
    stage("example-folder", folder.path(), "example.so");
    let host = std::sync::Arc::new(host);
    let looks = (0..20).map(|_| {
        let host = std::sync::Arc::clone(&host);
        tokio::spawn(async move { host.rescan(Cause::Operator).await.changes.len() })
    });
    let changes: Vec<usize> = futures_util::future::join_all(looks).await.into_iter().map(|n| n.unwrap()).collect();
    assert_eq!(changes.iter().sum::<usize>(), 1, "one of them let the newcomer in: {changes:?}");
    // A caller that goes away leaves a look that is completed.
    put(folder.path(), "a.so", &version("3.8.1"));
    let _ = tokio::time::timeout(Duration::from_millis(1), host.rescan(Cause::Operator)).await;
    host.rescan(Cause::Clock).await;
    assert_eq!(served_by(&host).0, "3.8.1");
}
