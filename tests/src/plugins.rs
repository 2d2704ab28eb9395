//! Finds the shared libraries of plugins that cargo built beside the tests, and stages them in folders of their own.
//!
//! This crate depends on each plugin that its tests load, so that `cargo test` builds the library first, in the same profile,
//! next to the test binary.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The built shared library of the package `package` (`example-folder`).
///
/// # Panics
/// Where it is not built: add the package to the dependencies of `tests/Cargo.toml`.
pub fn built(package: &str) -> PathBuf {
    let file = format!("lib{}.so", package.replace('-', "_"));
    let binary = env::current_exe().expect("the test binary has a path");
    // Tests and benches run in `target/<profile>/deps`, examples and binaries beside it.
    let folder = binary.parent().expect("the test binary is in a folder");
    let places = [folder.join(&file), folder.join("deps").join(&file), folder.join("..").join("deps").join(&file)];
    let found = places.iter().find(|place| place.is_file());
    found
        .cloned()
        .unwrap_or_else(|| panic!("{file} is not built: looked at {places:?}; run `cargo build -p {package}`"))
}

/// Copies the library of `package` to `folder` under `name`, as an installation would: complete at once, not writable by
/// others.
///
/// # Panics
/// Where it is not built or the copy fails.
pub fn stage(package: &str, folder: &Path, name: &str) -> PathBuf {
    put(folder, name, &fs::read(built(package)).expect("read the built library"))
}

/// Puts `bytes` into `folder` as the file `name`.
///
/// # Panics
/// Where the file cannot be written.
pub fn put(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    let part = folder.join(format!("{name}.part"));
    fs::write(&part, bytes).expect("write the file");
    fs::set_permissions(&part, fs::Permissions::from_mode(0o644)).expect("set the mode");
    fs::rename(&part, &path).expect("rename the file");
    path
}

/// The library of `package` with each `from` replaced by `to`, of equal length, in note and code alike: what another build of it
/// would be, as far as a host can tell. Another version is `"version":"1.2.3"` replaced.
///
/// # Panics
/// Where it is not built or `from` is not in it.
pub fn rebuilt(package: &str, from: &str, to: &str) -> Vec<u8> {
    let mut bytes = fs::read(built(package)).expect("read the built library");
    replace_all(&mut bytes, from.as_bytes(), to.as_bytes());
    bytes
}

/// Replaces each `from` by `to`, of equal length.
///
/// # Panics
/// Where there is none.
pub fn replace_all(bytes: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len(), "a library's parts cannot move");
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, window)| *window == from).map(|(at, _)| at).collect();
    assert!(!places.is_empty(), "{} is not there", String::from_utf8_lossy(from));
    for at in places {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
}
