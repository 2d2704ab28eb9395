//! What an author of a plugin goes through: the guide, block for block, as it is written; and the kit over the plugins of this
//! project through their libraries.
//!
//! The guide's shell blocks run in one shell in an empty folder, with this machine's differences put in: the binary under
//! test, free ports, the profile of the tests, no network.

use std::collections::BTreeSet;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use longshore_tests::broker::binary;
use longshore_tests::plugins::built;
use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(root().join(&path)).unwrap_or_else(|error| panic!("{}: {error}", path.as_ref().display()))
}

/// The blocks of the guide: language and text.
fn blocks() -> Vec<(String, String)> {
    let guide = read("docs/plugin-guide.md");
    let fences: Vec<&str> = guide.split("```").collect();
    assert!(fences.len() % 2 == 1 && fences.len() > 10, "fences open and close");
    let inside = fences.iter().skip(1).step_by(2);
    inside.map(|block| block.split_once('\n').unwrap()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

fn of_language(language: &str) -> Vec<String> {
    blocks().into_iter().filter(|(of, _)| of == language).map(|(_, text)| text).collect()
}

#[test]
fn every_block_of_the_guide_is_of_a_kind_that_is_checked() {
    let kinds: BTreeSet<String> = blocks().into_iter().map(|(language, _)| language).collect();
    assert_eq!(kinds, ["properties", "rust", "sh"].map(str::to_owned).into());
}

#[test]
fn the_guides_rust_stands_in_files_that_are_compiled() {
    let sources = ["plugins/example-folder/src/lib.rs", "plugins/example-folder/src/tests.rs"].map(read);
    let shipped = read("plugins/tiered-storage-file-system/src/offloader.rs");
    let blocks = of_language("rust");
    assert!(blocks.len() > 5);
    for block in blocks {
        let block = block.replace("my-driver", "example-folder");
        assert!(sources.iter().chain([&shipped]).any(|source| source.contains(&block)), "nowhere:\n{block}");
    }
}

#[test]
fn the_guides_settings_stand_in_the_templates_file() {
    let file = read("plugins/example-folder/broker.conf");
    for line in of_language("properties").iter().flat_map(|block| block.lines()) {
        assert!(file.contains(&line.replace("my-driver", "example-folder")), "{line}");
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// `target`, and the profile in it.
fn target() -> (PathBuf, String) {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(Path::parent).unwrap();
    (profile.parent().unwrap().to_owned(), profile.file_name().unwrap().to_string_lossy().into_owned())
}

#[test]
fn the_guide_leads_from_nothing_to_a_driver_that_serves_a_topic() {
    let folder = tempfile::tempdir().unwrap();
    let bin = folder.path().join("bin");
    std::fs::create_dir(&bin).unwrap();
    // A link: the program knows its own place all the same, and finds the SDK from there.
    symlink(binary(), bin.join("longshore")).unwrap();
    let (target, profile) = target();
    let release = if profile == "release" { "--release" } else { "" };
    let script = of_language("sh")
        .join("\n")
        .replace("6650", &free_port().to_string())
        .replace("8080", &free_port().to_string())
        .replace("target/release", &target.join(&profile).display().to_string())
        .replace("--release", release);
    let script = format!("set -euo pipefail\ntrap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("PATH", path)
        .env("CARGO_TARGET_DIR", &target)
        .env("CARGO_NET_OFFLINE", "true")
        .env_remove("RUST_LOG")
        .output()
        .unwrap();
    let text = text_of(&output);
    let log = std::fs::read_to_string(folder.path().join("my-driver/broker.log")).unwrap_or_default();
    assert!(output.status.success(), "{text}\nbroker: {log}");
    for part in
        ["every_promise_is_kept ... ok", " 0 failed, ", "my-driver.so", "Every message came back as it was sent"]
    {
        assert!(text.contains(part), "`{part}` is not in:\n{text}\nbroker: {log}");
    }
    let copies = std::fs::read_dir(folder.path().join("my-driver/cold")).unwrap().count();
    assert!(copies >= 4, "{copies} copies in the driver's folder");
}

#[test]
fn a_crate_is_compiled_with_the_sdk_that_travels_with_the_program() {
    let folder = tempfile::tempdir().unwrap();
    let sdk = folder.path().join("sdk");
    let staged = Command::new(root().join("scripts/stage-sdk")).arg("--to").arg(&sdk).output().unwrap();
    assert!(staged.status.success(), "{}", text_of(&staged));
    let mut new = Command::new(binary());
    new.args(["offloaders", "new", "elsewhere", "--directory"]).arg(folder.path()).arg("--sdk").arg(&sdk);
    let written = new.output().unwrap();
    assert!(written.status.success(), "{}", text_of(&written));
    let mut cargo = Command::new("cargo");
    cargo.args(["check", "--offline", "--all-targets", "--target-dir"]).arg(target().0);
    let checked = cargo.current_dir(folder.path().join("elsewhere")).output().unwrap();
    assert!(checked.status.success(), "{}", text_of(&checked));
}

fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn conformance(package: &str, keys: &str, more: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (config, store) = (folder.path().join("broker.conf"), folder.path().join("store"));
    std::fs::write(&config, keys.replace("STORE", store.to_str().unwrap())).unwrap();
    Command::new(binary())
        .args(["offloaders", "conformance"])
        .arg(built(package))
        .arg("--config")
        .arg(config)
        .arg("--store")
        .arg(store)
        .args(more)
        .env_remove("RUST_LOG")
        .output()
        .unwrap()
}

const EXAMPLE_KEYS: &str = "managedLedgerOffloadExtraConfigFolder=STORE\n";
const FILE_SYSTEM_KEYS: &str = "managedLedgerOffloadDriver=filesystem\nfileSystemURI=file://STORE\n";

#[test]
fn the_example_passes_the_kit_through_its_library() {
    let junit = tempfile::NamedTempFile::new().unwrap();
    let output = conformance("example-folder", EXAMPLE_KEYS, &["--junit", junit.path().to_str().unwrap()]);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("✓ round-trip") && text.contains("skipped: the driver does not offer scan"), "{text}");
    let xml = std::fs::read_to_string(junit.path()).unwrap();
    assert!(xml.contains("failures=\"0\"") && xml.contains("<testcase name=\"round-trip\""), "{xml}");
}

#[test]
fn the_driver_filesystem_passes_the_kit_through_its_library() {
    let output = conformance("tiered-storage-file-system", FILE_SYSTEM_KEYS, &["--json", "--seed", "5"]);
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["seed"], &report["profile"]), (&5.into(), &"quick".into()));
    let cases = report["cases"].as_array().unwrap();
    let passed = cases.iter().filter(|case| case["outcome"] == "passed").count();
    assert!(passed >= 70, "{passed} of {}", cases.len());
}

#[test]
fn a_driver_that_breaks_a_promise_fails_the_kit_and_names_it() {
    let keys = "managedLedgerOffloadDriver=Misbehaving\nmanagedLedgerOffloadExtraConfigMode=nonsense-read-gap\n";
    let output = conformance("misbehaving-plugin", keys, &["--case", "round-trip"]);
    let text = text_of(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("✗ round-trip") && text.contains("Offloader::offload"), "{text}");
}

#[test]
fn a_run_that_cannot_take_place_is_told_apart() {
    for (keys, more, part) in [
        ("", &[][..], "managedLedgerOffloadExtraConfigFolder: is needed"),
        (EXAMPLE_KEYS, &["--driver", "s3"], "the plugin has no driver `s3`; it has: example-folder"),
        (EXAMPLE_KEYS, &["--case", "nothing-of-this-name"], "no case has `nothing-of-this-name`"),
        ("brokerServicePort=many\n", &[], "brokerServicePort"),
    ] {
        let output = conformance("example-folder", keys, more);
        assert_eq!(output.status.code(), Some(2), "{}", text_of(&output));
        assert!(text_of(&output).contains(part), "`{part}` is not in {}", text_of(&output));
    }
}
