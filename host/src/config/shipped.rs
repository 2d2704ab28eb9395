//! Holds `conf/standalone.conf` to the table: every key that has an effect is in it, with its sentence and its bounds.
//!
//! The file is written from the table, so that each sentence stands in one place. After a change of the table:
//! `LONGSHORE_WRITE_CONF=1 cargo test -p longshore config::shipped`.

use std::fmt::Write as _;
use std::path::Path;

use super::key::{Key, Kind};
use super::properties;
use super::source::SHIPPED;
use super::{Config, SECTIONS, Source};

const HEAD: &str = "\
# Longshore, standalone. Every key that has an effect is here; keys keep Apache Pulsar's spelling.
# A line without # is in force. A line with # shows the default, or an empty value where the default is \"not set\".
# A relative path is looked for in the working folder, then in the folder of this file.
# Keys managedLedgerOffloadExtraConfig<Name> are handed to the storage driver as they are.
# managedLedgerOffloadDriverPlugin.<driver>=<plugin>[@<version>] says which plugin alone may serve a driver. It is needed
# where two plugins claim one driver: until then nobody serves it.
";

/// The text of the file.
fn render() -> String {
    let mut text = HEAD.to_owned();
    for section in SECTIONS {
        let _ = writeln!(text, "\n### {} ###", section.title);
        for (key, sentences) in section.keys {
            let _ = writeln!(text, "\n{}", describe(key, sentences));
            let line = match key.shipped {
                Some(value) => format!("{}={value}", key.name),
                None => format!("#{}={}", key.name, key.default),
            };
            let _ = writeln!(text, "{line}");
        }
    }
    text
}

fn describe(key: &Key, sentences: &[&str]) -> String {
    let mut lines: Vec<String> = sentences.iter().map(|sentence| format!("#{sentence}")).collect();
    if key.kind != Kind::Text && key.kind != Kind::List {
        lines.push(format!("# Allowed: {}.", key.allowed()));
    }
    if let Some(name) = key.other_name {
        lines.push(format!("# Also spelled {name}, which wins where both are given."));
    }
    if key.shipped.is_some() {
        let default = if key.default.is_empty() { "not set" } else { key.default };
        lines.push(format!("# Without this line: {default}."));
    }
    lines.join("\n")
}

#[test]
fn the_shipped_file_is_what_the_table_says() {
    let rendered = render();
    if std::env::var_os("LONGSHORE_WRITE_CONF").is_some() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../conf/standalone.conf");
        std::fs::write(path, &rendered).unwrap();
        return;
    }
    for (line, (shipped, rendered)) in SHIPPED.lines().zip(rendered.lines()).enumerate() {
        assert_eq!(shipped, rendered, "line {}: see the head of shipped.rs", line + 1);
    }
    assert_eq!(SHIPPED, rendered, "see the head of shipped.rs");
}

#[test]
fn file_and_table_have_the_same_keys() {
    let without_marks: Vec<&str> = SHIPPED.lines().map(|line| line.strip_prefix('#').unwrap_or(line)).collect();
    let settings = without_marks.iter().filter(|line| {
        line.split_once('=')
            .is_some_and(|(key, _)| !key.is_empty() && key.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'.'))
    });
    let (properties, malformed) = properties::parse(&settings.copied().collect::<Vec<_>>().join("\n"));
    assert_eq!(malformed, []);
    let mut in_file: Vec<String> = properties.into_iter().map(|property| property.key).collect();
    let mut in_table: Vec<&str> = SECTIONS.iter().flat_map(|s| s.keys).map(|(key, _)| key.name).collect();
    in_file.sort();
    in_table.sort_unstable();
    assert_eq!(in_file, in_table);
    in_table.dedup();
    assert_eq!(in_file.len(), in_table.len(), "a key stands twice in the table");
}

#[test]
fn every_default_every_bound_and_every_shipped_value_is_accepted() {
    Config::from_sources(&[]).expect("defaults");
    for (key, sentences) in SECTIONS.iter().flat_map(|section| section.keys) {
        assert!(sentences.concat().ends_with('.'), "{}: a sentence ends with a full stop", key.name);
        let ends = match key.kind {
            Kind::Number(least, most) => vec![least.to_string(), most.to_string()],
            Kind::Decimal(least, most) => vec![least.to_string(), most.to_string()],
            Kind::Choice(words) => words.iter().map(|&word| word.to_owned()).collect(),
            Kind::Flag => vec!["true".to_owned(), "false".to_owned()],
            Kind::Text | Kind::List => vec!["x".to_owned()],
        };
        for value in ends.iter().map(String::as_str).chain(key.shipped).chain([key.default]) {
            assert!(key.read(value).is_ok(), "{}={value}", key.name);
            Config::assemble(|asked| {
                let text = if asked.name == key.name { value } else { "" };
                asked.read(text).unwrap()
            });
        }
    }
    Config::from_sources(&[Source::embedded()]).expect("the shipped file");
}
