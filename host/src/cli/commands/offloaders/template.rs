//! The crate that `longshore offloaders new` writes: the example of this repository with its names replaced and its manifest
//! set free of the workspace. The example is compiled and tested with everything else, so the template is never stale. Pure.

use std::path::Path;

/// The name that is replaced.
const EXAMPLE: &str = "example-folder";
/// The longest name; it becomes part of file names and of configurations.
const NAME_CHARS_MAX: usize = 48;

const WORKSPACE: &str = include_str!("../../../../../Cargo.toml");
const MANIFEST: &str = include_str!("../../../../../plugins/example-folder/Cargo.toml");
const GITIGNORE: &str = "/target\n/cold\n/offloaders\n";

/// Files of the example that are taken over, but for its manifest.
const FILES: [(&str, &str); 6] = [
    ("src/lib.rs", include_str!("../../../../../plugins/example-folder/src/lib.rs")),
    ("src/tests.rs", include_str!("../../../../../plugins/example-folder/src/tests.rs")),
    ("config.schema.json", include_str!("../../../../../plugins/example-folder/config.schema.json")),
    ("build.rs", include_str!("../../../../../plugins/example-folder/build.rs")),
    ("broker.conf", include_str!("../../../../../plugins/example-folder/broker.conf")),
    ("README.md", include_str!("../../../../../plugins/example-folder/README.md")),
];

/// Words that no crate can be named for: Rust's own, and crates that the new one depends on.
const TAKEN: [&str; 53] = [
    "abstract",
    "alloc",
    "as",
    "async",
    "await",
    "become",
    "box",
    "break",
    "const",
    "continue",
    "core",
    "crate",
    "do",
    "dyn",
    "else",
    "enum",
    "extern",
    "false",
    "final",
    "fn",
    "for",
    "gen",
    "if",
    "impl",
    "in",
    "let",
    "loop",
    "macro",
    "match",
    "mod",
    "move",
    "mut",
    "override",
    "priv",
    "proc-macro",
    "pub",
    "ref",
    "return",
    "self",
    "static",
    "std",
    "struct",
    "super",
    "test",
    "tokio",
    "trait",
    "true",
    "try",
    "type",
    "unsafe",
    "use",
    "where",
    "yield",
];

/// Files with their paths in the new crate.
pub(super) type Files = Vec<(&'static str, String)>;

/// Refuses what cannot be the name of a crate, a library and a driver at once.
///
/// # Errors
/// A sentence with what is allowed.
pub(super) fn check_name(name: &str) -> Result<(), String> {
    let part = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let allowed = "allowed: lower-case letters, digits and single hyphens, beginning with a letter, such as my-driver";
    if !name.starts_with(|c: char| c.is_ascii_lowercase()) || !name.split('-').all(part) {
        return Err(format!("`{name}` cannot be the name of a driver; {allowed}"));
    }
    if name.len() > NAME_CHARS_MAX {
        return Err(format!("`{name}` is too long for the name of a driver; allowed: {NAME_CHARS_MAX} characters"));
    }
    let ours = name.starts_with("longshore") || ["crc32fast", "tempfile"].contains(&name);
    if ours || TAKEN.contains(&name) {
        return Err(format!("`{name}` is taken, by Rust or by a crate that a driver needs; choose another name"));
    }
    Ok(())
}

/// The files of the crate `name`, which finds the SDK at `sdk`.
///
/// # Errors
/// The SDK's path cannot be written into a manifest.
pub(super) fn files(name: &str, sdk: &Path) -> Result<Files, String> {
    let mut files = vec![("Cargo.toml", manifest(name, sdk)?), (".gitignore", GITIGNORE.to_owned())];
    files.extend(FILES.map(|(path, text)| (path, renamed(text, name))));
    Ok(files)
}

fn renamed(text: &str, name: &str) -> String {
    let library = |name: &str| name.replace('-', "_");
    text.replace(EXAMPLE, name).replace(&library(EXAMPLE), &library(name))
}

/// The example's manifest, each line that leans on the workspace replaced by what stands there.
fn manifest(name: &str, sdk: &Path) -> Result<String, String> {
    let sdk = sdk.to_str().filter(|path| !path.contains(['"', '\\', '\n']));
    let sdk = sdk.ok_or("the SDK's path cannot be written into a manifest; move it, or name another with --sdk")?;
    let mut lines = Vec::new();
    for line in MANIFEST.lines() {
        match line.strip_suffix(".workspace = true") {
            Some(key) => lines.push(inherited(key, sdk)),
            // The workspace's lints; the crate forbids unsafe code itself.
            None if line == "[lints]" || line == "workspace = true" => {}
            None => lines.push(line.to_owned()),
        }
    }
    let text = renamed(&lines.join("\n"), name);
    Ok(format!("{}\n\n# Stands alone, wherever it lies.\n[workspace]\n\n{}", text.trim_end(), profiles()))
}

/// How the workspace compiles: the end of its manifest.
fn profiles() -> &'static str {
    WORKSPACE.find("[profile.dev]").map_or("", |start| &WORKSPACE[start..])
}

/// `key = value` as the workspace has it, without the comment, its path below the SDK.
fn inherited(key: &str, sdk: &str) -> String {
    let found = WORKSPACE.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(" = "));
    let value = found.expect("what the example inherits stands in the workspace, as a test shows");
    let value = value.split(" #").next().unwrap_or(value).trim();
    format!("{key} = {}", value.replace("path = \"", &format!("path = \"{sdk}/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_can_be_a_crate_a_library_and_a_driver() {
        for name in ["my-driver", "s3", "a", "tape-library-9"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        let long = "a".repeat(NAME_CHARS_MAX + 1);
        for name in
            ["", "-a", "a-", "a--b", "My", "9a", "a_b", "a/b", "../a", "match", "tokio", "longshore-x", "ä", &long]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_manifest_leans_on_nothing_but_the_sdk() {
        let text = manifest("my-driver", Path::new("/opt/longshore/sdk")).unwrap();
        assert!(!text.contains("workspace = true") && !text.contains("example"), "{text}");
        assert!(text.contains("name = \"my-driver\"") && text.contains("edition = \"2024\""), "{text}");
        assert!(text.contains("longshore-plugin-api = { path = \"/opt/longshore/sdk/plugin-api\" }"), "{text}");
        assert!(
            text.contains("longshore-conformance = { path = \"/opt/longshore/sdk/plugins/conformance\" }"),
            "{text}"
        );
        assert!(text.contains("\n[workspace]\n") && text.contains("panic = \"unwind\""), "{text}");
        assert!(manifest("my-driver", Path::new("/a\"b")).is_err());
    }

    #[test]
    fn no_file_remembers_the_example() {
        for (path, text) in files("my-driver", Path::new("/sdk")).unwrap() {
            assert!(!text.contains(EXAMPLE) && !text.contains("example_folder"), "{path}");
        }
    }

    #[test]
    fn every_file_of_the_example_goes_along() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../plugins/example-folder");
        for folder in ["", "src"] {
            for entry in std::fs::read_dir(example.join(folder)).unwrap().map(Result::unwrap) {
                let path = entry.path().strip_prefix(&example).unwrap().to_string_lossy().into_owned();
                let known = path == "Cargo.toml" || FILES.iter().any(|(file, _)| *file == path);
                assert!(known || entry.path().is_dir(), "{path} is not in the template");
            }
        }
    }

    /// An author reads the whole of it before writing a line.
    #[test]
    fn the_authors_code_is_at_most_120_lines() {
        let code = FILES[0].1.lines().filter(|line| !line.trim().is_empty() && !line.trim_start().starts_with("//"));
        let count = code.count();
        assert!(count <= 120, "{count} lines");
        assert!(FILES[0].1.contains("#![forbid(unsafe_code)]"));
    }
}
