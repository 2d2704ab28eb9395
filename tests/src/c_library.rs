//! Tiny shared libraries for tests, compiled from a few lines of C, with an identity note of any content.

use std::path::{Path, PathBuf};
use std::process::Command;

use longshore_plugin_api::note::TARGET;
use longshore_plugin_api::version::ABI_VERSION;
use serde_json::{Value, json};

/// The note of a library that would be admitted.
pub fn good_note() -> Value {
    json!({"schema": 1, "name": "tiny", "version": "1.0.0", "license": "Apache-2.0", "api": ABI_VERSION,
        "api_min": "1.0.0", "drivers": ["tiny"], "target": TARGET, "panic": "unwind", "profile": "release",
        "config_schema": {"properties": {}}})
}

/// Compiles `source` with these more arguments, and with `note` unless it is null, to `folder`/`name`.
///
/// # Panics
/// Where the compiler does not accept it.
pub fn compile(folder: &Path, name: &str, note: &Value, source: &str, arguments: &[&str]) -> PathBuf {
    let work = tempfile::tempdir().expect("make a folder");
    let (c, json, part) = (work.path().join("a.c"), work.path().join("note.json"), work.path().join("a.so"));
    std::fs::write(&json, note.to_string()).expect("write the note");
    // An ELF note: lengths of owner and content, type, owner, content, each aligned to four bytes.
    let section = if note.is_null() {
        String::new()
    } else {
        format!(
            "__asm__(\".pushsection .note.longshore,\\\"a\\\",%note\\n.balign 4\\n.long 10\\n.long 2f-1f\\n.long 1\\n\
             .ascii \\\"Longshore\\\\0\\\\0\\\\0\\\"\\n1: .incbin \\\"{}\\\"\\n2: .balign 4\\n.popsection\\n\");\n",
            json.display()
        )
    };
    std::fs::write(&c, format!("{section}{source}\n")).expect("write the source");
    let mut cc = Command::new("cc");
    cc.args(["-shared", "-fPIC", "-fvisibility=hidden", "-o"]).arg(&part).arg(&c).args(arguments);
    let done = cc.output().expect("run cc, which also links Rust");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    crate::plugins::put(folder, name, &std::fs::read(&part).expect("read the library"))
}
