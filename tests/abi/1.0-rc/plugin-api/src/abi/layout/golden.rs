//! The golden file `abi.txt`: of every type that crosses its size, its alignment and each field with offset and type, and of
//! every interface its methods in order.
//!
//! ```text
//! LONGSHORE_WRITE_ABI=1 cargo test -p longshore-plugin-api golden
//! ```
//!
//! writes the file anew, and refuses to where neither the version nor the lines of CHANGELOG-ABI.md moved along.

use std::any::type_name;
use std::fs;
use std::path::{Path, PathBuf};

use crate::version::ABI_VERSION;

const WRITE: &str = "LONGSHORE_WRITE_ABI";

/// A type and its fields with their offsets and types.
pub(super) fn paragraph(head: &str, fields: &[(&str, usize, String)]) -> String {
    let fields = fields.iter().map(|(name, offset, of)| format!("  @{offset} {name}: {of}\n"));
    format!("{head}\n{}", fields.collect::<String>())
}

/// The name of a field's type, without the paths of modules.
pub(super) fn type_of<T, F>(_field: impl Fn(&T) -> &F) -> String {
    short(type_name::<F>())
}

fn short(name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    let mut rest = name.chars().peekable();
    while let Some(next) = rest.next() {
        if next == ':' && rest.peek() == Some(&':') {
            rest.next();
            word.clear();
        } else if next.is_alphanumeric() || next == '_' {
            word.push(next);
        } else {
            short += &std::mem::take(&mut word);
            short.push(next);
        }
    }
    short + &word
}

/// The interfaces as their source has them, without the comments: the order of the methods is that of their places.
fn interfaces(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = source.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("pub trait ") {
            let body = lines.by_ref().take_while(|line| *line != "}");
            let code = body.map(str::trim).filter(|line| !line.is_empty() && !line.starts_with("//"));
            let code = code.collect::<Vec<_>>().join(" ").replace("#[sabi(last_prefix_field)] ", "");
            let methods = code.split_terminator(';').map(|method| format!("  {}\n", method.trim()));
            found.push(format!(
                "{}\n{}",
                line.trim_start_matches("pub ").trim_end_matches(" {"),
                methods.collect::<String>()
            ));
        }
    }
    found
}

fn crate_folder() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("read {}: {error}", path.display()))
}

/// Version of the ABI and number of changelog lines: one of them moves with every change.
fn head() -> String {
    let changelog = read(&crate_folder().parent().expect("a member of the workspace").join("CHANGELOG-ABI.md"));
    let lines = changelog.lines().filter(|line| line.starts_with("- ")).count();
    format!("plugin ABI {ABI_VERSION}, {lines} lines in CHANGELOG-ABI.md, for 64-bit targets")
}

fn body() -> String {
    let mut paragraphs = super::describe_types();
    paragraphs.extend(interfaces(include_str!("../objects.rs")));
    paragraphs.join("\n")
}

fn golden() -> PathBuf {
    crate_folder().join("abi.txt")
}

#[test]
#[cfg(target_pointer_width = "64")]
fn what_crosses_is_what_the_golden_file_says() {
    let now = format!("{}\n\n{}", head(), body());
    let kept = fs::read_to_string(golden()).unwrap_or_default();
    if kept == now {
        return;
    }
    assert!(
        std::env::var_os(WRITE).is_some(),
        "what crosses the boundary is not what {} says: {}. If that is meant, add a line to CHANGELOG-ABI.md or move ABI_VERSION \
         (docs/abi-policy.md says which), and refresh the file by {WRITE}=1",
        golden().display(),
        first_difference(&kept, &now)
    );
    let (kept_head, kept_body) = kept.split_once("\n\n").unwrap_or_default();
    assert!(
        kept_body == body() || kept_head != head(),
        "types changed, but neither ABI_VERSION nor the lines of CHANGELOG-ABI.md did"
    );
    fs::write(golden(), now).unwrap_or_else(|error| panic!("write {}: {error}", golden().display()));
}

fn first_difference(kept: &str, now: &str) -> String {
    match kept.lines().zip(now.lines()).enumerate().find(|(_, (kept, now))| kept != now) {
        Some((line, (kept, now))) => format!("line {} is `{kept}` and would be `{now}`", line + 1),
        None => format!("it has {} lines and would have {}", kept.lines().count(), now.lines().count()),
    }
}

#[test]
fn no_type_and_no_interface_is_left_out() {
    let folder = crate_folder().join("src/abi");
    let text = body();
    for file in fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file()) {
        for line in read(&file).lines() {
            let name = ["pub struct ", "pub trait "].into_iter().find_map(|word| line.strip_prefix(word));
            let Some(name) = name else { continue };
            let name = name.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap();
            let stands = text.contains(&format!("{name}: ")) || text.contains(&format!("trait {name}:"));
            assert!(stands, "`{name}` of {} is not among the types of abi/layout.rs", file.display());
        }
    }
}

#[test]
fn names_lose_their_paths_alone() {
    assert_eq!(short("a_1::b::RVec<x::Tuple2<y::z::RString, u64>>"), "RVec<Tuple2<RString, u64>>");
    assert_eq!(short("extern \"C\" fn(a::B) -> c::D<()>"), "extern \"C\" fn(B) -> D<()>");
}
