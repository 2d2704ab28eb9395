//! Tells the crate what it is compiled for and by which compiler, for the identity note of each plugin.

use std::env;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=LONGSHORE_TARGET={}", env::var("TARGET").unwrap_or_default());
    println!("cargo::rustc-env=LONGSHORE_RUSTC={}", rustc_version().unwrap_or_else(|| "unknown".to_owned()));
}

/// `1.95.0 (59807616e 2026-04-14)`; for people only, so that not knowing it is no failure.
fn rustc_version() -> Option<String> {
    let output = Command::new(env::var_os("RUSTC")?).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    Some(text.trim().trim_start_matches("rustc ").to_owned())
}
