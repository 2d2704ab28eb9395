//! `longshore offloaders new`: writes the crate of a new plugin. The folder appears whole or not at all.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use super::template::{self, Files};
use super::{DONE, WRONG_INPUT};
use crate::cli::args::NewOffloaderArgs;

/// What an SDK has; a source checkout has it too.
const SDK_MARKS: [&str; 2] = ["plugin-api/Cargo.toml", "plugins/conformance/Cargo.toml"];
/// How the SDK's folder is called where it travels with the program.
const SDK_FOLDER: &str = "sdk";
/// The lock file of the SDK goes along, so that the crate is built with the versions that were tested.
const LOCK: &str = "Cargo.lock";

/// Writes the crate; answers the exit code.
///
/// # Errors
/// The crate cannot be written.
pub(super) fn run(args: &NewOffloaderArgs) -> anyhow::Result<u8> {
    match create(args) {
        Ok(folder) => {
            let (name, folder) = (&args.name, folder.display());
            println!("wrote {folder}: the driver `{name}`, which works as it is\n\nnext:\n  cd {folder}\n  cargo test");
            Ok(DONE)
        }
        Err(problem) => {
            eprintln!("error: {problem}");
            Ok(WRONG_INPUT)
        }
    }
}

fn create(args: &NewOffloaderArgs) -> Result<PathBuf, String> {
    template::check_name(&args.name)?;
    let directory = args.directory.clone().unwrap_or_else(|| PathBuf::from("."));
    let folder = directory.join(&args.name);
    if fs::symlink_metadata(&folder).is_ok() {
        let folder = folder.display();
        return Err(format!("{folder} exists already; choose another name, or another folder with --directory"));
    }
    let sdk = find_sdk(args.sdk.as_deref())?;
    let files = template::files(&args.name, &sdk)?;
    let part = directory.join(format!(".{}-{}.part", args.name, Uuid::new_v4().simple()));
    let written = write(&part, &files, &sdk).and_then(|()| fs::rename(&part, &folder));
    if let Err(error) = written {
        // What cannot be removed either is hidden and named by the error.
        let _ = fs::remove_dir_all(&part);
        return Err(format!("{} cannot be written: {error}", folder.display()));
    }
    Ok(folder)
}

fn write(folder: &Path, files: &Files, sdk: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("src"))?;
    for (path, text) in files {
        fs::write(folder.join(path), text)?;
    }
    match fs::copy(sdk.join(LOCK), folder.join(LOCK)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The SDK that is named, else the first that is found near the program.
fn find_sdk(named: Option<&Path>) -> Result<PathBuf, String> {
    let places = match named {
        Some(named) => vec![named.to_owned()],
        None => env::current_exe().map(|program| places_near(&program)).unwrap_or_default(),
    };
    let found = places.iter().find(|place| SDK_MARKS.iter().all(|mark| place.join(mark).is_file()));
    let found = found.and_then(|place| fs::canonicalize(place).ok());
    found.ok_or_else(|| {
        let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
        format!("no plugin SDK at {}; name its folder with --sdk", places.join(" nor at "))
    })
}

/// Each folder above the program, with the SDK of a distribution in it or a source checkout itself.
fn places_near(program: &Path) -> Vec<PathBuf> {
    program.ancestors().skip(1).flat_map(|folder| [folder.join(SDK_FOLDER), folder.to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arguments(name: &str, directory: &Path, sdk: &Path) -> NewOffloaderArgs {
        NewOffloaderArgs { name: name.to_owned(), directory: Some(directory.to_owned()), sdk: Some(sdk.to_owned()) }
    }

    fn checkout() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn a_crate_is_written_once() {
        let folder = tempfile::tempdir().unwrap();
        let made = create(&arguments("my-driver", folder.path(), &checkout())).unwrap();
        for file in ["Cargo.toml", "Cargo.lock", ".gitignore", "build.rs", "src/lib.rs", "src/tests.rs", "README.md"] {
            assert!(made.join(file).is_file(), "{file}");
        }
        let again = create(&arguments("my-driver", folder.path(), &checkout())).unwrap_err();
        assert!(again.contains("my-driver exists already"), "{again}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_missing_sdk_tells_where_it_was_looked_for() {
        let folder = tempfile::tempdir().unwrap();
        let error = create(&arguments("my-driver", folder.path(), Path::new("/nowhere/sdk"))).unwrap_err();
        assert_eq!(error, "no plugin SDK at /nowhere/sdk; name its folder with --sdk");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        let places = places_near(Path::new("/opt/longshore/bin/longshore"));
        assert!(
            places.contains(&PathBuf::from("/opt/longshore/sdk")) && places.contains(&PathBuf::from("/opt/longshore"))
        );
    }
}
