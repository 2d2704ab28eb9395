//! Holds `docs/operate/metrics.md` to the catalogue: every family is in the page's tables, with its sentence.
//!
//! The tables are written from the rows, so that each sentence stands in one place; the words around them are the page's
//! own. After a change of a row: `LONGSHORE_WRITE_DOCS=1 cargo test -p longshore metrics`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::catalogue::{Family, SECTIONS, Section};
use super::text::Kind;

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate/metrics.md")
}

/// Compares what stands in the page between the two marks of `part` with `want`, or writes it there.
pub(crate) fn hold(part: &str, want: &str) {
    let page = std::fs::read_to_string(path()).unwrap();
    let (begin, end) = (format!("<!-- {part}: written from the code -->\n"), format!("<!-- {part}: end -->\n"));
    let from = page.find(&begin).unwrap_or_else(|| panic!("the page has no mark {begin}")) + begin.len();
    let to = page.find(&end).unwrap_or_else(|| panic!("the page has no mark {end}"));
    if std::env::var_os("LONGSHORE_WRITE_DOCS").is_some() {
        std::fs::write(path(), format!("{}{want}{}", &page[..from], &page[to..])).unwrap();
        return;
    }
    assert_eq!(&page[from..to], want, "see the head of admin/metrics/page.rs");
}

/// The head of a table, and a row for each family.
pub(crate) fn table<'a>(rows: impl Iterator<Item = (&'a str, Kind, String, &'a str, &'a str)>) -> String {
    let mut text = "| Name | Type | Labels | Unit | Meaning |\n|---|---|---|---|---|\n".to_owned();
    for (name, kind, labels, unit, help) in rows {
        let _ = writeln!(text, "| `{name}` | {} | {labels} | {unit} | {help} |", kind.as_str());
    }
    text
}

fn section(section: &Section) -> String {
    let rows = section.families.iter().copied().flatten().map(|family| {
        let labels = [section.labels, family.labels].concat().join(", ");
        (family.name, family.kind, labels, family.unit, family.help)
    });
    format!("\n### {}\n\n{}", section.title, table(rows))
}

#[test]
fn the_page_has_every_family() {
    hold("families", &(SECTIONS.iter().map(section).collect::<String>() + "\n"));
}

/// The section and the family of a sample, by its name, which may have a suffix.
fn find(name: &str) -> Option<(&'static Section, &'static Family)> {
    let suffixes = ["", "_total", "_created", "_count", "_sum"];
    let names: Vec<&str> = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix)).collect();
    let rows =
        || SECTIONS.iter().flat_map(|section| section.families.iter().copied().flatten().map(move |f| (section, f)));
    names.iter().find_map(|name| rows().find(|(_, family)| family.name == *name))
}

/// Checks that every sample of a family of the catalogue's has the labels that the page says; answers how many there were.
pub(in crate::admin) fn check_labels(text: &str) -> usize {
    let samples = text.lines().filter(|line| !line.starts_with('#'));
    let known = samples.filter_map(|line| {
        let (name, rest) = line.split_once('{').unwrap();
        let (section, family) = find(name)?;
        // Values of the tests have neither commas nor signs of equality in them.
        let found: Vec<&str> = rest.split(',').filter_map(|label| Some(label.split_once("=\"")?.0)).collect();
        let mut want = [section.labels, family.labels].concat();
        if family.kind == Kind::Summary && name != family.name {
            want.retain(|label| *label != "quantile");
        }
        assert_eq!(found, want, "{line}");
        Some(())
    });
    known.count()
}

#[test]
fn what_the_page_calls_absent_is_absent() {
    let page = std::fs::read_to_string(path()).unwrap();
    let (_, absent) = page.split_once("## What the original has and this broker has not").unwrap();
    let names = absent.split('`').skip(1).step_by(2).filter(|word| word.starts_with("pulsar_"));
    let shown: Vec<&str> = names.clone().filter(|name| find(name).is_some()).collect();
    assert!(names.count() > 10, "the page names them");
    assert_eq!(shown, Vec::<&str>::new());
}
