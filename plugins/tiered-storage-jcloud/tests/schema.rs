//! The configuration schema names the keys that the code reads, and no others.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const SCHEMA: &str = include_str!("../config.schema.json");
const EXTRA: &str = "managedLedgerOffloadExtraConfig";

/// What stands in quotes behind each `call(` of the sources.
fn named_by(call: &str, folder: &Path, names: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            named_by(call, &path, names);
        } else {
            let source = fs::read_to_string(&path).unwrap();
            names.extend(source.split(call).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())));
        }
    }
}

fn read_by_code(call: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    named_by(call, &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut names);
    names
}

fn keys() -> BTreeSet<String> {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

#[test]
fn extra_keys_are_those_that_the_code_reads() {
    let extras: BTreeSet<String> = keys().iter().filter_map(|key| key.strip_prefix(EXTRA).map(str::to_owned)).collect();
    assert_eq!(extras, read_by_code(".extra(\""));
}

#[test]
fn every_property_is_there_in_each_spelling() {
    let properties = read_by_code("keys.property(\"");
    assert_eq!(properties.len(), 5, "{properties:?}");
    for spelling in ["managedLedgerOffload", "s3ManagedLedgerOffload", "gcsManagedLedgerOffload"] {
        for property in &properties {
            let key = format!("{spelling}{property}");
            assert!(keys().contains(&key), "{key}");
        }
    }
}
