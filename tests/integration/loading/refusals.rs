//! Files that are no plugins of ours: each refused with its own sentence, none executed, while the good one serves.

use std::fs::{self, Permissions, set_permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use longshore::plugin::elf::read_note;
use longshore::plugin::{PluginHost, PluginState};
use longshore::storage::{DriverErrorKind, DriverLookup};
use longshore_tests::plugins::{built, put, rebuilt, replace_all, stage};
use object::{Object, ObjectSection};

use super::{quick, row, settings};

/// A copy of the misbehaving plugin with `from` replaced by `to`, of equal length, in its note alone.
pub(crate) fn with_note(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let mut bytes = fs::read(built("misbehaving-plugin")).unwrap();
    let (start, length) = {
        let file = object::File::parse(&*bytes).unwrap();
        file.section_by_name(".note.longshore").unwrap().file_range().unwrap()
    };
    replace_all(&mut bytes[start as usize..(start + length) as usize], from.as_bytes(), to.as_bytes());
    bytes
}

/// A copy of the misbehaving plugin with `from` replaced by `to`, of equal length, in note and library alike.
pub(crate) fn everywhere(from: &str, to: &str) -> Vec<u8> {
    rebuilt("misbehaving-plugin", from, to)
}

/// A folder with the example plugin and one bad file: the bad one has this state, and a reason with these words; the good one
/// serves.
fn assert_refused(make: impl FnOnce(&Path), state: PluginState, words: &[&str]) -> PluginHost {
    let folder = tempfile::tempdir().unwrap();
    stage("example-folder", folder.path(), "good.so");
    make(folder.path());
    let host = PluginHost::load(folder.path(), quick());
    let bad = row(&host, "bad.so");
    let reason = bad.reason.unwrap_or_default();
    assert_eq!(bad.state, state, "{reason}");
    for word in words {
        assert!(reason.contains(word), "`{word}` is not in: {reason}");
    }
    assert_eq!(row(&host, "good.so").state, PluginState::Loaded);
    host
}

fn assert_bytes_refused(bytes: &[u8], state: PluginState, words: &[&str]) {
    assert_refused(|folder| drop(put(folder, "bad.so", bytes)), state, words);
}

#[test]
fn an_empty_file() {
    assert_bytes_refused(b"", PluginState::Incomplete, &["the file is empty"]);
}

#[test]
fn a_text() {
    assert_bytes_refused(b"GROUP ( libfoo.so.1 )\n", PluginState::Refused, &["it is not a shared library"]);
}

#[test]
fn a_file_cut_off_anywhere() {
    let whole = fs::read(built("misbehaving-plugin")).unwrap();
    let len = whole.len();
    for cut in [3, 63, 500, 4096, len / 4, len / 2, len - 4096, len - 1] {
        assert_bytes_refused(&whole[..cut], PluginState::Incomplete, &["the file is cut off", "bytes"]);
    }
}

#[test]
fn another_machine() {
    let mut bytes = fs::read(built("misbehaving-plugin")).unwrap();
    // `e_machine`, 18 bytes from the start, little-endian here: 22 is S/390.
    bytes[18..20].copy_from_slice(&22_u16.to_le_bytes());
    assert_bytes_refused(&bytes, PluginState::Refused, &["it is built for S/390, this host runs on"]);
}

#[test]
fn an_executable_and_a_library_without_a_note() {
    let no_note = with_note("Longshore", "Shortlong");
    assert_bytes_refused(&no_note, PluginState::Refused, &["no offloader plugin", ".note.longshore"]);
    let mut executable = no_note;
    // `e_type`, 16 bytes from the start: 2 is an executable.
    executable[16..18].copy_from_slice(&2_u16.to_le_bytes());
    assert_bytes_refused(&executable, PluginState::Refused, &["no shared library (type 2)"]);
}

#[test]
fn a_note_that_lies() {
    let lying = with_note("\"version\":\"1.2.3\"", "\"version\":\"9.2.3\"");
    assert_bytes_refused(&lying, PluginState::Refused, &["its note lies", "1.2.3"]);
}

#[test]
fn a_note_that_cannot_be_read() {
    let words = &["its identity note cannot be read"];
    assert_bytes_refused(&with_note("\"schema\"", "\"schemo\""), PluginState::Refused, words);
    assert_bytes_refused(&with_note("{\"schema", "\u{7f}\"schema"), PluginState::Refused, words);
}

#[test]
fn another_contract() {
    let words = &["built for plugin API 2.0.0, this host offers 1.0.0", "rebuild"];
    assert_bytes_refused(&with_note("\"api\":\"1.0.0\"", "\"api\":\"2.0.0\""), PluginState::Refused, words);
    let newer = with_note("\"api\":\"1.0.0\",\"api_min\":\"1.0.0\"", "\"api\":\"1.7.0\",\"api_min\":\"1.7.0\"");
    assert_bytes_refused(&newer, PluginState::Refused, &["needs a host with plugin API 1.7.0 or later"]);
    // The note says that it would fit, the library itself knows better.
    let other = with_note("\"api\":\"1.0.0\"", "\"api\":\"1.0.1\"");
    assert_bytes_refused(
        &other,
        PluginState::Refused,
        &["its note says plugin API 1.0.1, the library itself says 1.0.0"],
    );
}

#[test]
fn another_target_and_another_panic_strategy() {
    let elsewhere = with_note("unknown-linux-gnu", "unknown-linux-xyz");
    assert_bytes_refused(&elsewhere, PluginState::Refused, &["it is built for", "linux-xyz", "linux-gnu"]);
    let aborting = with_note("\"panic\":\"unwind\"", "\"panic\":\"aborts\"");
    assert_bytes_refused(&aborting, PluginState::Refused, &["panic = \"aborts\"", "panic = \"unwind\""]);
}

#[test]
fn a_file_that_everybody_may_write() {
    let make = |folder: &Path| {
        let path = stage("misbehaving-plugin", folder, "bad.so");
        set_permissions(path, Permissions::from_mode(0o666)).unwrap();
    };
    assert_refused(make, PluginState::Refused, &["everybody may write it (mode 666)", "chmod o-w"]);
}

#[test]
fn a_folder_that_everybody_may_write() {
    let folder = tempfile::tempdir().unwrap();
    stage("example-folder", folder.path(), "good.so");
    set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
    let row = row(&PluginHost::load(folder.path(), quick()), "good.so");
    assert_eq!(row.state, PluginState::Refused);
    assert!(row.reason.unwrap().contains("everybody may write its folder (mode 777)"));
}

#[test]
fn a_link_a_folder_and_a_pipe_are_never_opened() {
    let link = |folder: &Path| symlink(built("misbehaving-plugin"), folder.join("bad.so")).unwrap();
    assert_refused(link, PluginState::Refused, &["it is a symbolic link"]);
    let dangling = |folder: &Path| symlink("/nowhere/at/all.so", folder.join("bad.so")).unwrap();
    assert_refused(dangling, PluginState::Refused, &["it is a symbolic link"]);
    assert_refused(|folder| fs::create_dir(folder.join("bad.so")).unwrap(), PluginState::Refused, &["it is a folder"]);
    // Opening a pipe without a writer would wait for ever.
    let pipe = |folder: &Path| {
        let made = std::process::Command::new("mkfifo").arg(folder.join("bad.so")).status().unwrap();
        assert!(made.success());
    };
    assert_refused(pipe, PluginState::Refused, &["it is a named pipe"]);
}

#[test]
fn a_library_that_the_system_cannot_load() {
    // The first needed library is made one that nobody has.
    let mut bytes = fs::read(built("misbehaving-plugin")).unwrap();
    let at = bytes.windows(10).position(|w| w == b"libc.so.6\0").expect("libc is needed");
    bytes[at..at + 9].copy_from_slice(b"libx.so.6");
    assert_bytes_refused(&bytes, PluginState::Refused, &["the system cannot load it", "libx.so.6"]);
}

#[test]
fn damage_to_headers_and_note_is_never_a_panic() {
    let whole = fs::read(built("misbehaving-plugin")).unwrap();
    // `e_shoff`, 40 bytes from the start: the section table stands at the end of the file.
    let sections = u64::from_le_bytes(whole[40..48].try_into().unwrap()) as usize;
    assert!(read_note(&whole).is_ok());
    let seed = 20_261;
    let mut random = fastrand::Rng::with_seed(seed);
    let mut refused = 0;
    let mut damaged = whole.clone();
    for round in 0..3000 {
        // Headers, segments and note stand in the first 2 KiB.
        let places: Vec<usize> = (0..random.usize(1..4))
            .map(|_| if random.bool() { random.usize(0..2048) } else { random.usize(sections..whole.len()) })
            .collect();
        for &place in &places {
            damaged[place] = if random.bool() { random.u8(..) } else { u8::MAX };
        }
        let outcome = std::panic::catch_unwind(|| read_note(&damaged).is_err());
        refused += usize::from(outcome.unwrap_or_else(|_| panic!("seed {seed}, round {round}, bytes {places:?}")));
        for &place in &places {
            damaged[place] = whole[place];
        }
    }
    assert!(refused > 300, "the damage must matter: {refused} refused");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_two_plugins_claim_is_served_by_neither_and_both_say_so() {
    let folder = tempfile::tempdir().unwrap();
    stage("misbehaving-plugin", folder.path(), "a.so");
    // Another plugin by name, in note and library alike, with the same drivers.
    let counterfeit = everywhere("\"name\":\"misbehaving\"", "\"name\":\"counterfeit\"");
    put(folder.path(), "b.so", &counterfeit);
    stage("example-folder", folder.path(), "c.so");
    let host = PluginHost::load(folder.path(), quick());
    for (file, other) in [("a.so", "b.so (counterfeit 1.2.3)"), ("b.so", "a.so (misbehaving 1.2.3)")] {
        let row = row(&host, file);
        let reason = row.reason.unwrap();
        assert_eq!(row.state, PluginState::Conflict, "{reason}");
        assert!(reason.contains(&format!("driver `Misbehaving` is also claimed by {other}")), "{reason}");
    }
    let error = host.driver("misbehaving", &settings(&[])).await.err().unwrap();
    assert_eq!(error.kind, DriverErrorKind::Unclaimed);
    assert!(
        error.to_string().contains("is claimed by a.so (misbehaving 1.2.3) and b.so (counterfeit 1.2.3)"),
        "{error}"
    );
    assert_eq!(row(&host, "c.so").state, PluginState::Loaded);
}

#[test]
fn of_two_versions_the_higher_serves_and_a_second_copy_is_shadowed() {
    let folder = tempfile::tempdir().unwrap();
    let higher = everywhere("\"version\":\"1.2.3\"", "\"version\":\"1.9.3\"");
    stage("misbehaving-plugin", folder.path(), "a.so");
    put(folder.path(), "b.so", &higher);
    put(folder.path(), "c.so", &higher);
    let host = PluginHost::load(folder.path(), quick());
    assert_eq!(row(&host, "b.so").state, PluginState::Loaded);
    for file in ["a.so", "c.so"] {
        let row = row(&host, file);
        assert_eq!(row.state, PluginState::Shadowed);
        assert_eq!(row.reason.unwrap(), "version 1.9.3 of b.so serves instead");
    }
}

#[test]
fn where_the_higher_version_cannot_be_loaded_the_lower_serves() {
    let folder = tempfile::tempdir().unwrap();
    stage("misbehaving-plugin", folder.path(), "a.so");
    put(folder.path(), "b.so", &with_note("\"version\":\"1.2.3\"", "\"version\":\"9.2.3\""));
    let host = PluginHost::load(folder.path(), quick());
    assert_eq!(row(&host, "a.so").state, PluginState::Loaded);
    assert_eq!(row(&host, "b.so").state, PluginState::Refused);
}

#[test]
fn a_missing_folder_is_told_and_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let host = PluginHost::load(&folder.path().join("none"), quick());
    assert!(host.reports().is_empty());
    assert!(host.folder_error().unwrap().contains("does not exist"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_overwritten_in_place_does_not_touch_what_runs() {
    let (folder, host) = super::misbehaving_host(quick());
    let driver = super::misbehaving(&host, "ok").await.unwrap();
    fs::write(folder.path().join("misbehaving-1.2.3.so"), vec![0; 10_000]).unwrap();
    driver.health().await.unwrap();
    fs::remove_file(folder.path().join("misbehaving-1.2.3.so")).unwrap();
    driver.health().await.unwrap();
}
