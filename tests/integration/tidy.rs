//! The house rules that a compiler does not know: who may know whom, where `unsafe` and the ABI's crates may stand, that
//! every file says what it is, and that the map's links lead somewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is a folder of the workspace").to_owned()
}

/// Every Rust file of a folder, by name.
pub(super) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target") {
            found.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|end| end == "rs") {
            found.push(entry);
        }
    }
    found.sort();
    found
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// The rooms of the host and the rooms that each may know.
fn may_know() -> BTreeMap<&'static str, &'static [&'static str]> {
    [
        ("storage", &[][..]),
        ("trace", &[]),
        ("measure", &[]),
        ("config", &[]),
        ("metadata", &["storage"]),
        ("ledger", &["storage"]),
        ("schema", &["metadata"]),
        ("plugin", &["storage", "trace"]),
        ("managed_ledger", &["measure", "metadata", "storage"]),
        ("offload", &["managed_ledger", "storage", "trace"]),
        ("topic", &["managed_ledger", "measure", "metadata", "schema", "storage"]),
        ("namespace", &["config", "managed_ledger", "metadata", "schema", "storage", "topic"]),
        ("access", &["config", "namespace", "topic"]),
        ("protocol", &["access", "managed_ledger", "schema", "storage", "topic"]),
        ("client", &["protocol", "topic"]),
        (
            "admin",
            &[
                "access",
                "managed_ledger",
                "measure",
                "metadata",
                "namespace",
                "offload",
                "schema",
                "storage",
                "topic",
                "trace",
            ],
        ),
        ("import", &["managed_ledger", "metadata", "namespace", "storage", "topic"]),
        (
            "cli",
            &[
                "admin",
                "broker",
                "client",
                "config",
                "import",
                "managed_ledger",
                "namespace",
                "plugin",
                "storage",
                "topic",
            ],
        ),
        (
            "broker",
            &[
                "access",
                "admin",
                "config",
                "ledger",
                "managed_ledger",
                "metadata",
                "namespace",
                "offload",
                "plugin",
                "protocol",
                "schema",
                "storage",
                "topic",
            ],
        ),
    ]
    .into()
}

/// The part of a file that is not its tests: tests may use what they need.
fn product(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or(text)
}

#[test]
fn rooms_know_only_whom_they_may() {
    let (root, rules) = (root(), may_know());
    let source = root.join("host/src");
    let mut rooms = BTreeSet::new();
    for path in rust_files(&source) {
        let inside = path.strip_prefix(&source).unwrap();
        let room = inside.iter().next().unwrap().to_string_lossy().trim_end_matches(".rs").to_owned();
        let is_test = inside.iter().any(|part| part.to_string_lossy().contains("test"));
        if is_test || ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        let allowed = rules.get(room.as_str()).unwrap_or_else(|| panic!("room {room} is not in the table"));
        let text = read(&path);
        for used in product(&text).split("crate::").skip(1) {
            let used: String = used.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let known = !rules.contains_key(used.as_str()) || used == room || allowed.contains(&used.as_str());
            assert!(known, "{} uses crate::{used}, which room {room} may not know", inside.display());
        }
        rooms.insert(room);
    }
    assert_eq!(rooms.len(), rules.len(), "the table names rooms that are not there");
}

#[test]
fn unsafe_and_the_crates_of_the_boundary_stay_in_their_rooms() {
    let root = root();
    // The last is a copy of the first.
    let rooms = ["plugin-api/src", "host/src/plugin", "tests/abi"].map(|room| root.join(room));
    for folder in ["host", "plugins", "tests"] {
        for path in rust_files(&root.join(folder)) {
            if rooms.iter().any(|room| path.starts_with(room)) || path.ends_with("tidy.rs") {
                continue;
            }
            for word in ["unsafe {", "unsafe fn", "unsafe impl", "abi_stable::", "async_ffi::", "libloading::"] {
                assert!(!read(&path).contains(word), "`{word}` stands in {}", path.display());
            }
        }
    }
}

#[test]
fn the_formats_are_known_to_one_command_of_the_host_alone() {
    let source = root().join("host/src");
    let command = source.join("cli/commands/ledger");
    for path in rust_files(&source).iter().filter(|path| !path.starts_with(&command)) {
        for word in ["block_format::", "map_file::"] {
            assert!(!read(path).contains(word), "`{word}` stands in {}", path.display());
        }
    }
}

#[test]
fn every_file_begins_by_saying_what_it_is() {
    for folder in ["host", "plugin-api", "plugins", "tests"] {
        for path in rust_files(&root().join(folder)) {
            assert!(read(&path).starts_with("//! "), "{} does not begin with //!", path.display());
        }
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    let root = root();
    let mut checked = 0;
    for document in ["README.md", "docs/ARCHITECTURE.md"].map(|name| root.join(name)) {
        for link in read(&document).split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            if !target.contains("://") {
                let path = document.parent().unwrap().join(target);
                assert!(path.exists(), "{} links to {target}, which is not there", document.display());
                checked += 1;
            }
        }
    }
    assert!(checked > 30, "only {checked} links were found");
}
