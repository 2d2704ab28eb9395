//! Findings about bytes that nobody runs. Pure.

use longshore_plugin_api::note::{EntryKind, PluginNote};

use super::finding::{self, Finding};
use crate::plugin::admission::{Judgement, Rule, Ruling};
use crate::plugin::anatomy::Anatomy;
use crate::plugin::config_schema::ConfigSchema;
use crate::plugin::inspect::{self, Refusal};

/// From this many bytes on a file is large.
const LARGE_BYTES: u64 = 32 << 20;
/// The most symbols that a finding names.
const NAMED_MAX: usize = 8;

/// What the identity note, or its absence, says.
pub(super) fn note(note: &Result<PluginNote, Refusal>) -> Vec<Finding> {
    let note = match note {
        Ok(note) => note,
        Err(refusal) => return vec![refused(refusal)],
    };
    let mut findings: Vec<Finding> = inspect::admit(note).err().iter().map(refused).collect();
    if note.license.trim().is_empty() {
        findings.push(Finding::new(finding::LICENSE, "its note names no licence"));
    }
    if note.profile == "debug" {
        findings.push(Finding::new(finding::DEBUG_BUILD, "it is built without optimisation"));
    }
    findings.extend(schema(note));
    findings
}

fn schema(note: &PluginNote) -> Vec<Finding> {
    let Some(schema) = &note.config_schema else {
        return vec![Finding::new(finding::NO_SCHEMA, "it declares no configuration schema")];
    };
    // A schema that cannot be used is told with the note.
    let Ok(schema) = ConfigSchema::parse(schema) else { return Vec::new() };
    let ignored = schema.ignored.iter().map(|keyword| {
        Finding::new(
            finding::SCHEMA_KEYWORD,
            format!("its configuration schema has a keyword without a meaning: {keyword}"),
        )
    });
    let told = schema.properties.iter().filter(|(_, property)| property.secret && property.default.is_some());
    let told = told.map(|(key, _)| Finding::new(finding::SCHEMA_SECRET, format!("the secret key {key} has a default")));
    ignored.chain(told).collect()
}

/// What the policy says.
pub(super) fn policy(judgements: &[Judgement]) -> Vec<Finding> {
    let denied = judgements.iter().filter_map(|judgement| {
        let Ruling::Denied(denial) = &judgement.ruling else { return None };
        let kind = match judgement.rule {
            Rule::Owner => finding::OWNER,
            Rule::AllowList => finding::ALLOW_LIST,
            Rule::Signature => finding::SIGNATURE,
            // What verifying finds is the verdict; an earlier one has no say.
            Rule::Verdict => return None,
        };
        Some(Finding::new(kind, denial.to_string()))
    });
    denied.collect()
}

/// What the library is made of.
pub(super) fn anatomy(anatomy: &Anatomy, entry: EntryKind, size: u64) -> Vec<Finding> {
    let root = entry.root_symbol();
    let mut findings = Vec::new();
    let mut found = |is: bool, kind, text: String| {
        if is {
            findings.push(Finding::new(kind, text));
        }
    };
    let Anatomy { exported, run_paths, debug_bytes, .. } = anatomy;
    found(!exported.iter().any(|name| name == root), finding::NO_ROOT, format!("it does not export `{root}`"));
    let others: Vec<&str> = exported.iter().map(String::as_str).filter(|name| *name != root).collect();
    let shown = others.iter().take(NAMED_MAX).copied().collect::<Vec<_>>().join(", ");
    let more = if others.len() > NAMED_MAX { ", ..." } else { "" };
    let text = format!("it exports {} symbols beside its root: {shown}{more}", others.len());
    found(!others.is_empty(), finding::EXPORTED_SYMBOLS, text);
    found(anatomy.executable_stack, finding::EXECUTABLE_STACK, "it wants an executable stack".to_owned());
    found(!run_paths.is_empty(), finding::RUN_PATH, format!("it has libraries looked for in {}", run_paths.join(", ")));
    found(anatomy.text_relocations, finding::TEXT_RELOCATIONS, "loading it writes into its code".to_owned());
    found(
        anatomy.static_tls,
        finding::STATIC_TLS,
        "it needs thread-local space that is set aside at the start".to_owned(),
    );
    found(size > LARGE_BYTES, finding::SIZE, format!("it has {} MiB", size >> 20));
    found(*debug_bytes > 0, finding::DEBUG_INFO, format!("{debug_bytes} of its bytes are debug information"));
    found(!anatomy.has_symbols, finding::STRIPPED, "it has no symbol table".to_owned());
    findings
}

/// The finding that a refusal is.
pub(super) fn refused(refusal: &Refusal) -> Finding {
    let kind = match refusal {
        _ if refusal.is_incomplete() => finding::INCOMPLETE,
        Refusal::Unreadable(_) | Refusal::NotAFile(_) | Refusal::TooLong { .. } | Refusal::Growing => {
            finding::UNREADABLE
        }
        Refusal::Elf(_) => finding::NOT_A_PLUGIN,
        Refusal::Incompatible(_) => finding::API_VERSION,
        Refusal::Target(_) => finding::TARGET,
        Refusal::PanicStrategy(_) | Refusal::Unwinds(_) => finding::PANIC_STRATEGY,
        Refusal::Schema(_) => finding::SCHEMA_INVALID,
        Refusal::Denied(_) => finding::OWNER,
    };
    Finding::new(kind, refusal.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ids(findings: &[Finding]) -> Vec<&str> {
        findings.iter().map(|finding| finding.kind.id).collect()
    }

    fn of_note(change: impl FnOnce(&mut serde_json::Value)) -> Vec<Finding> {
        let mut json = json!({"schema": 1, "name": "tape", "version": "1.0.0", "license": "MIT", "profile": "release",
            "api": longshore_plugin_api::version::ABI_VERSION, "api_min": "1.0.0", "drivers": ["tape"],
            "target": longshore_plugin_api::note::TARGET, "panic": "unwind", "config_schema": {"properties": {}}});
        change(&mut json);
        note(&PluginNote::parse(json.to_string().as_bytes()).map_err(|error| Refusal::Elf(error.into())))
    }

    #[test]
    fn a_good_note_has_no_findings_and_each_fault_has_one() {
        type Change = fn(&mut serde_json::Value);
        let table: [(&[&str], Change); 10] = [
            (&[], |_| ()),
            (&["license"], |note| note["license"] = " ".into()),
            (&["debug-build"], |note| note["profile"] = "debug".into()),
            (&["panic-strategy"], |note| note["panic"] = "abort".into()),
            (&["target"], |note| note["target"] = "s390x-unknown-linux-gnu".into()),
            (&["api-version"], |note| note["api"] = "2.0.0".into()),
            (&["not-a-plugin"], |note| note["name"] = "".into()),
            (&["no-schema"], |note| note["config_schema"] = serde_json::Value::Null),
            (&["schema-invalid"], |note| note["config_schema"] = json!({"properties": {"a": {}}})),
            (&["schema-keyword", "schema-secret"], |note| {
                note["config_schema"] = json!({"oneOf": [], "properties": {"a":
                    {"type": "string", "writeOnly": true, "default": "x"}}});
            }),
        ];
        for (expected, change) in table {
            let findings = of_note(change);
            assert_eq!(ids(&findings), expected, "{findings:#?}");
        }
    }

    #[test]
    fn the_root_is_that_of_the_entry() {
        for entry in [EntryKind::Rust, EntryKind::C] {
            let exported = vec![entry.root_symbol().to_owned()];
            let library = Anatomy { exported, has_symbols: true, ..Anatomy::default() };
            assert_eq!(ids(&anatomy(&library, entry, 1)), Vec::<&str>::new());
        }
        let c = Anatomy { exported: vec!["offloader_root".to_owned()], has_symbols: true, ..Anatomy::default() };
        assert_eq!(ids(&anatomy(&c, EntryKind::Rust, 1)), ["no-root", "exported-symbols"]);
    }

    #[test]
    fn parts_of_a_library_are_judged_one_by_one() {
        let root = EntryKind::Rust.root_symbol();
        let anatomy = |parts: &Anatomy, size| anatomy(parts, EntryKind::Rust, size);
        let good = Anatomy { exported: vec![root.to_owned()], has_symbols: true, ..Anatomy::default() };
        assert_eq!(ids(&anatomy(&good, 1 << 20)), Vec::<&str>::new());
        assert_eq!(ids(&anatomy(&good, LARGE_BYTES + 1)), ["size"]);
        type Change = fn(&mut Anatomy);
        let table: [(&str, Change); 7] = [
            ("no-root", |anatomy| anatomy.exported.clear()),
            ("exported-symbols", |anatomy| anatomy.exported.push("open".to_owned())),
            ("executable-stack", |anatomy| anatomy.executable_stack = true),
            ("run-path", |anatomy| anatomy.run_paths.push("/opt".to_owned())),
            ("text-relocations", |anatomy| anatomy.text_relocations = true),
            ("debug-info", |anatomy| anatomy.debug_bytes = 1),
            ("stripped", |anatomy| anatomy.has_symbols = false),
        ];
        for (expected, change) in table {
            let mut changed = good.clone();
            change(&mut changed);
            assert_eq!(ids(&anatomy(&changed, 1)), [expected]);
        }
        let many =
            Anatomy { exported: (0..20).map(|n| format!("f{n}")).chain(good.exported).collect(), ..Anatomy::default() };
        let text = &anatomy(&many, 1)[0].text;
        assert!(text.contains("exports 20 symbols") && text.ends_with("f7, ..."), "{text}");
    }
}
