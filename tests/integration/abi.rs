//! Proves that versions of the contract work together as the policy says: hosts and plugins of 1.0 and of a made-up 1.1 load each
//! other in both directions, another major version and a changed type are refused in one line, and another compiler makes no
//! difference. `scripts/abi` builds the hosts and plugins and names their folder in LONGSHORE_ABI_BUILT.
//!
//! It proves as well that the copy in `tests/abi`, which those are built from, is the contract of this source.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_plugin_api::version::ABI_VERSION;
use longshore_tests::plugins::put;
use serde_json::{Value, json};

use super::tidy::rust_files;

const BUILT: &str = "LONGSHORE_ABI_BUILT";

/// What one host made of one plugin.
struct Met {
    pair: String,
    answer: Value,
}

impl Met {
    fn at(&self, key: &str) -> &Value {
        &self.answer[key]
    }

    fn reason(&self) -> &str {
        self.at("reason").as_str().unwrap_or_default()
    }

    fn assert_loaded(&self) {
        assert_eq!(self.at("state"), "loaded", "{}: {}", self.pair, self.answer);
    }

    fn assert_refused(&self, reason: &str) {
        assert_eq!(self.at("state"), "refused", "{}: {}", self.pair, self.answer);
        assert_eq!(self.reason(), reason, "{}", self.pair);
    }
}

/// The folder of what `scripts/abi` built; without it the test is left out and says so.
fn built() -> Option<PathBuf> {
    let folder = std::env::var_os(BUILT).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("left out: {BUILT} is not set; run scripts/abi test");
    }
    folder
}

/// Lets the host of one version load the plugin of another, in a process of its own.
fn meet(built: &Path, host: &str, plugin: &str) -> Met {
    let folder = tempfile::tempdir().unwrap();
    let library = fs::read(built.join("plugins").join(format!("{plugin}.so"))).unwrap();
    put(folder.path(), "shelf.so", &library);
    let pair = format!("host {host}, plugin {plugin}");
    let ran = Command::new(built.join("hosts").join(host)).arg(folder.path()).output().unwrap();
    let (out, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{pair}: {}: {log}", ran.status);
    Met { pair, answer: serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}")) }
}

#[test]
fn hosts_and_plugins_of_one_major_version_load_each_other_and_fall_back_to_defaults() {
    let Some(built) = built() else { return };
    // What the host of 1.1 sees of a plugin, and what a plugin of 1.1 sees of its host. 100 and more are default bodies.
    for (host, plugin, expected) in [
        ("1.0", "1.0", json!({ "shelf": "first" })),
        ("1.0", "1.1", json!({ "shelf": "first", "later-service": "101" })),
        ("1.1", "1.0", json!({ "shelf": "first", "later-field": "absent", "later-method": "100" })),
        ("1.1", "1.1", json!({ "shelf": "first", "later-field": "11", "later-method": "12", "later-service": "13" })),
    ] {
        let met = meet(&built, host, plugin);
        met.assert_loaded();
        assert_eq!(met.at("host_api"), &format!("{host}.0"), "{}", met.pair);
        assert_eq!(met.at("plugin_api"), &format!("{plugin}.0"), "{}", met.pair);
        assert_eq!(met.at("driver_metadata"), &expected, "{}", met.pair);
    }
}

#[test]
fn another_major_version_is_refused_in_both_directions() {
    let Some(built) = built() else { return };
    meet(&built, "2.0", "2.0").assert_loaded();
    for (host, plugin) in [("1.0", "2.0"), ("1.1", "2.0"), ("2.0", "1.0"), ("2.0", "1.1")] {
        let major = &host[..1];
        meet(&built, host, plugin).assert_refused(&format!(
            "built for plugin API {plugin}.0, this host offers {host}.0; rebuild it against plugin API {major}.x"
        ));
    }
}

#[test]
fn a_changed_field_is_refused_in_both_directions_with_type_field_and_both_versions() {
    let Some(built) = built() else { return };
    meet(&built, "changed", "changed").assert_loaded();
    for version in ["1.0", "1.1"] {
        meet(&built, version, "changed").assert_refused(&format!(
            "the layout of `FfiError` differs in `retry`: here it is `u32`, in the plugin `i32`; it was built for plugin API \
             1.2.0, this host offers {version}.0; rebuild it"
        ));
        meet(&built, "changed", version).assert_refused(&format!(
            "the layout of `FfiError` differs in `retry`: here it is `i32`, in the plugin `u32`; it was built for plugin API \
             {version}.0, this host offers 1.2.0; rebuild it"
        ));
    }
}

#[test]
fn a_plugin_by_another_compiler_loads_whatever_layouts_that_one_chooses() {
    let Some(built) = built() else { return };
    for plugin in ["nightly", "nightly-randomized"] {
        if !built.join("plugins").join(format!("{plugin}.so")).exists() {
            eprintln!("left out: there is no plugin {plugin}: no nightly toolchain was there when scripts/abi ran");
            continue;
        }
        for host in ["1.0", "1.1"] {
            let met = meet(&built, host, plugin);
            met.assert_loaded();
            assert!(met.at("rustc").as_str().is_some_and(|rustc| rustc.contains("nightly")), "{}", met.answer);
        }
    }
}

/// The folder of the copy, and whether it is frozen.
fn copy() -> (PathBuf, bool) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("abi");
    let names = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut copies: Vec<String> = names.filter(|name| name.starts_with(|c: char| c.is_ascii_digit())).collect();
    copies.sort();
    let name = copies.first().unwrap_or_else(|| panic!("there is no copy of the contract in {}", folder.display()));
    (folder.join(name), !name.ends_with("-rc"))
}

/// Source without comments and spaces: what is left decides what crosses.
fn bare(source: &str) -> String {
    let source = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    code.flat_map(str::split_whitespace).collect()
}

#[test]
fn the_copy_is_the_contract() {
    let (copy, frozen) = copy();
    let contract = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/src/abi");
    let version = copy.file_name().unwrap().to_string_lossy().into_owned();
    let advice = if !frozen {
        "run scripts/abi refresh"
    } else if ABI_VERSION.starts_with(&format!("{version}.")) {
        "a frozen contract does not change: raise ABI_VERSION and follow docs/abi-policy.md"
    } else {
        // A later version is held to the frozen one by what it loads, not by its text.
        return;
    };
    let texts = |folder: &Path| -> Vec<(PathBuf, String)> {
        let inside = |path: &Path| path.strip_prefix(folder).unwrap().to_owned();
        rust_files(folder).iter().map(|path| (inside(path), bare(&fs::read_to_string(path).unwrap()))).collect()
    };
    let (ours, theirs) = (texts(&contract), texts(&copy.join("plugin-api/src/abi")));
    assert!(ours.len() > 5, "{} has {} files", contract.display(), ours.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!(ours == theirs, "plugin-api/src/abi/{} is not what {} has; {advice}", ours.0.display(), copy.display());
    }
    assert_eq!(ours.len(), theirs.len(), "plugin-api/src/abi and {} have not the same files; {advice}", copy.display());
}

#[test]
fn the_crates_major_version_is_the_contracts() {
    // abi_stable compares the versions of the crates that types come from, and lets one major version pass.
    let manifest = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugin-api/Cargo.toml")).unwrap();
    let version = manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap().trim_matches('"');
    assert_eq!(version.split('.').next(), ABI_VERSION.split('.').next());
}
