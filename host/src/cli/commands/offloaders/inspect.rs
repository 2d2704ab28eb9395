//! `longshore offloaders inspect`: everything that can be said about plugin files without running them.

use std::io::{self, Write};

use crate::cli::args::OffloadersInspectArgs;
use crate::plugin::admission::Policy;
use crate::plugin::inspection::{Inspection, InspectionState, KeyReport, inspect_file};

use super::files::{Files, hanging, printable};
use super::{DONE, FAILED, NOT_READ};

/// The most names of one kind that are shown to people; `--json` has them all.
const NAMES_SHOWN_MAX: usize = 12;

/// Inspects each file; answers the exit code.
///
/// # Errors
/// The configuration is wrong, or the output went away.
pub(super) fn run(args: &OffloadersInspectArgs) -> anyhow::Result<u8> {
    let Files { paths, settings } = match Files::of(&args.target)? {
        Ok(files) => files,
        Err(problem) => {
            eprintln!("error: {problem}");
            return Ok(NOT_READ);
        }
    };
    let policy = Policy::read(&settings.admission);
    for problem in policy.problems() {
        eprintln!("warning: {problem}");
    }
    let inspections: Vec<Inspection> =
        paths.iter().map(|path| inspect_file(path, settings.file_bytes_max, &policy)).collect();
    let mut out = io::stdout().lock();
    if args.target.json {
        serde_json::to_writer_pretty(&mut out, &inspections)?;
        writeln!(out)?;
    } else {
        write_all(&inspections, &mut out)?;
    }
    out.flush()?;
    Ok(code(&inspections))
}

fn code(inspections: &[Inspection]) -> u8 {
    if inspections.iter().any(|inspection| inspection.sha256.is_none()) {
        NOT_READ
    } else if inspections.iter().any(|inspection| inspection.state != InspectionState::Admitted) {
        FAILED
    } else {
        DONE
    }
}

fn write_all(inspections: &[Inspection], out: &mut dyn Write) -> io::Result<()> {
    for (index, inspection) in inspections.iter().enumerate() {
        if index > 0 {
            writeln!(out)?;
        }
        write_one(inspection, out)?;
    }
    Ok(())
}

fn write_one(inspection: &Inspection, out: &mut dyn Write) -> io::Result<()> {
    let state = match inspection.state {
        InspectionState::Admitted => "admitted",
        InspectionState::Refused => "refused",
        InspectionState::Incomplete => "incomplete",
    };
    writeln!(out, "{}: {state}", printable(&inspection.path.display().to_string()))?;
    let mut line = |label: &str, text: &str| hanging(out, label, text);
    if let Some(reason) = &inspection.reason {
        line("reason", reason)?;
    }
    if let Some(note) = &inspection.note {
        line("plugin", &format!("{} {}", note.name, note.version))?;
        line("drivers", &note.drivers.join(", "))?;
        line("description", &note.description)?;
        line("license", &note.license)?;
        line("homepage", &note.homepage)?;
        line("plugin API", &format!("{}, needs {} at least", note.api, note.api_min))?;
        line("built for", &format!("{}, panic = \"{}\", {}", note.target, note.panic, note.profile))?;
        line("compiler", &note.rustc)?;
    }
    if let (Some(size), Some(sha256)) = (inspection.size, &inspection.sha256) {
        line("size", &format!("{size} bytes"))?;
        line("sha256", sha256)?;
    }
    line("signed by", inspection.signed_by.as_deref().unwrap_or("nobody that is known"))?;
    for rule in inspection.policy.iter().flatten() {
        line("policy", &format!("{}, {}: {}", rule.rule, rule.ruling, rule.text))?;
    }
    if let Some(library) = &inspection.library {
        line("needs", &names(&library.needed))?;
        line("exports", &names(&library.exported))?;
    }
    for key in inspection.config.iter().flatten() {
        line("key", &format!("{}: {}", key.key, of_key(key)))?;
    }
    Ok(())
}

fn names(names: &[String]) -> String {
    let shown = names.iter().take(NAMES_SHOWN_MAX).map(String::as_str).collect::<Vec<_>>().join(", ");
    let more = names.len().saturating_sub(NAMES_SHOWN_MAX);
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}

/// `text, default x, required, secret, for a, b: what it is`.
fn of_key(key: &KeyReport) -> String {
    let mut text = key.allowed.clone();
    if let Some(default) = &key.default {
        text += &format!(", default {default}");
    }
    if key.required {
        text += ", required";
    }
    if key.secret {
        text += ", secret";
    }
    if !key.drivers.is_empty() {
        text += &format!(", for {}", key.drivers.join(", "));
    }
    if key.description.is_empty() { text } else { format!("{text}; {}", key.description) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_in_one_line() {
        let key = KeyReport {
            key: "pin".to_owned(),
            kind: "string",
            allowed: "text".to_owned(),
            default: Some("***".to_owned()),
            required: true,
            secret: true,
            unit: String::new(),
            drivers: vec!["tape".to_owned()],
            description: "opens the vault".to_owned(),
        };
        assert_eq!(of_key(&key), "text, default ***, required, secret, for tape; opens the vault");
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let many: Vec<String> = (0..20).map(|n| format!("n{n}")).collect();
        assert!(names(&many).ends_with("n11 and 8 more"));
        assert_eq!(names(&many[..2]), "n0, n1");
    }
}
