//! Everything that can be said about one file without running it: `longshore offloaders inspect`, as plain data.
//!
//! A file that is no plugin gets the same report with the reason in it. The fields are stable; what is unknown is null.

use std::path::{Path, PathBuf};

use longshore_plugin_api::note::PluginNote;
use serde::Serialize;

use super::admission::{Judgement, Policy, Rule, Ruling};
use super::anatomy::{self, Anatomy};
use super::config_schema::{ConfigSchema, Property, STARS};
use super::inspect::{self, Image, Refusal};
use super::scan::EntryKind;

/// What inspecting a file found.
#[derive(Clone, Debug, Serialize)]
pub struct Inspection {
    /// The file's name.
    pub file: String,
    /// As it was given.
    pub path: PathBuf,
    /// `admitted`, `refused` or `incomplete`.
    pub state: InspectionState,
    /// Why it is not admitted.
    pub reason: Option<String>,
    /// Bytes of the file.
    pub size: Option<u64>,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: Option<String>,
    /// What the file says about itself.
    pub note: Option<PluginNote>,
    /// The name of the key whose signature it bears.
    pub signed_by: Option<String>,
    /// What each rule of the policy says.
    pub policy: Option<Vec<RuleReport>>,
    /// What the library needs and offers.
    pub library: Option<Anatomy>,
    /// The keys that its drivers read, by name.
    pub config: Option<Vec<KeyReport>>,
}

/// Whether a file would be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum InspectionState {
    /// It may be loaded; whether it can be, `verify` finds out.
    Admitted,
    /// It will not be.
    Refused,
    /// It may be complete at another look.
    Incomplete,
}

/// What one rule says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RuleReport {
    /// The rule.
    pub rule: Rule,
    /// `satisfied`, `not-asked` or `denied`.
    pub ruling: &'static str,
    /// By what, or why not.
    pub text: String,
}

/// One configuration key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct KeyReport {
    /// The key.
    pub key: String,
    /// `string`, `integer`, `number` or `boolean`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// What is allowed, as a phrase.
    pub allowed: String,
    /// What the plugin takes where it is absent; stars for a secret.
    pub default: Option<String>,
    /// Whether it must be there.
    pub required: bool,
    /// Whether its value is never shown.
    pub secret: bool,
    /// Unit of a number, empty without.
    pub unit: String,
    /// The drivers that read it; empty for all.
    pub drivers: Vec<String>,
    /// For people.
    pub description: String,
}

/// A file that was read.
pub(super) struct Read {
    pub(super) image: Image,
    pub(super) note: Result<PluginNote, Refusal>,
}

/// Reads `path`, following no link and waiting for nothing, and its note.
///
/// # Errors
/// What keeps it from being read.
pub(super) fn read(path: &Path, file_bytes_max: u64) -> Result<Read, Refusal> {
    let kind = EntryKind::of(std::fs::symlink_metadata(path)?.file_type());
    if let Some(reason) = kind.refusal() {
        return Err(Refusal::NotAFile(reason));
    }
    let image = inspect::read(path, file_bytes_max)?;
    let note = inspect::identify(&image).map(|found| found.note);
    Ok(Read { image, note })
}

/// Inspects one file under `policy`. Reads it and what the policy keeps about it; runs nothing.
pub fn inspect_file(path: &Path, file_bytes_max: u64, policy: &Policy) -> Inspection {
    let mut inspection = Inspection {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        state: InspectionState::Admitted,
        reason: None,
        size: None,
        sha256: None,
        note: None,
        signed_by: None,
        policy: None,
        library: None,
        config: None,
    };
    let Read { image, note } = match read(path, file_bytes_max) {
        Ok(read) => read,
        Err(refusal) => {
            inspection.refuse(&refusal);
            return inspection;
        }
    };
    inspection.size = Some(image.bytes.len() as u64);
    inspection.sha256 = Some(image.sha256_hex());
    // A library of another kind has parts to show too, where its frame is sound.
    inspection.library = anatomy::read(&image.bytes).ok();
    let judgements = policy.judge_all(path, &image);
    inspection.signed_by = judgements.iter().find_map(|judgement| judgement.signed_by.clone());
    inspection.policy = Some(judgements.iter().map(RuleReport::from).collect());
    inspection.judge(note, judgements);
    inspection
}

impl Inspection {
    /// Decides as a look at the folder would: a file that is not complete is not judged yet.
    fn judge(&mut self, note: Result<PluginNote, Refusal>, judgements: Vec<Judgement>) {
        if let Err(refusal) = &note
            && refusal.is_incomplete()
        {
            return self.refuse(refusal);
        }
        for judgement in judgements {
            if let Ruling::Denied(denial) = judgement.ruling {
                self.refuse(&Refusal::Denied(denial));
                break;
            }
        }
        match note {
            Ok(mut note) => {
                if let Err(refusal) = inspect::admit(&note) {
                    self.refuse(&refusal);
                }
                let schema = note.config_schema.as_ref().and_then(|schema| ConfigSchema::parse(schema).ok());
                self.config = schema.map(|schema| keys(&schema));
                // Shown as rows, where a secret's default is not.
                note.config_schema = None;
                self.note = Some(note);
            }
            Err(refusal) => self.refuse(&refusal),
        }
    }

    /// The first reason stays.
    fn refuse(&mut self, refusal: &Refusal) {
        if self.reason.is_none() {
            let incomplete = refusal.is_incomplete();
            self.state = if incomplete { InspectionState::Incomplete } else { InspectionState::Refused };
            self.reason = Some(refusal.to_string());
        }
    }
}

impl From<&Judgement> for RuleReport {
    fn from(judgement: &Judgement) -> Self {
        let (ruling, text) = match &judgement.ruling {
            Ruling::Satisfied(text) => ("satisfied", text.clone()),
            Ruling::NotAsked(text) => ("not-asked", text.clone()),
            Ruling::Denied(denial) => ("denied", denial.to_string()),
        };
        Self { rule: judgement.rule, ruling, text }
    }
}

fn keys(schema: &ConfigSchema) -> Vec<KeyReport> {
    schema.properties.iter().map(|(key, property)| row(key, property)).collect()
}

fn row(key: &str, property: &Property) -> KeyReport {
    let default = property.default.clone();
    KeyReport {
        key: key.to_owned(),
        kind: property.kind.word(),
        allowed: property.allowed_phrase(),
        default: if property.secret { default.map(|_| STARS.to_owned()) } else { default },
        required: property.required,
        secret: property.secret,
        unit: property.unit.clone(),
        drivers: property.drivers.clone(),
        description: property.description.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::admission::AdmissionSettings;

    #[test]
    fn what_is_no_plugin_says_why_and_what_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let policy = Policy::read(&AdmissionSettings::default());
        let look = |name: &str| inspect_file(&folder.path().join(name), 1 << 20, &policy);
        std::fs::write(folder.path().join("text.so"), "hello").unwrap();
        std::fs::write(folder.path().join("half.so"), "\x7fELF").unwrap();
        std::os::unix::fs::symlink("text.so", folder.path().join("link.so")).unwrap();
        let text = look("text.so");
        assert_eq!((text.state, text.size), (InspectionState::Refused, Some(5)));
        assert!(text.reason.unwrap().contains("not a shared library"));
        assert_eq!(text.policy.unwrap()[0].ruling, "satisfied");
        assert_eq!(look("half.so").state, InspectionState::Incomplete);
        assert!(look("link.so").reason.unwrap().contains("symbolic link"));
        assert!(look("none.so").reason.unwrap().contains("cannot be read"));
        assert!(look(".").reason.unwrap().contains("folder"));
    }

    #[test]
    fn a_secrets_default_is_not_shown() {
        let schema = ConfigSchema::parse(&json!({"properties": {
            "pin": {"type": "string", "default": "1234", "writeOnly": true},
            "shelves": {"type": "integer", "default": 3, "minimum": 1, "x-unit": "shelves"},
        }}))
        .unwrap();
        let rows = serde_json::to_value(keys(&schema)).unwrap();
        assert_eq!(rows[0]["default"], STARS);
        let expected = json!({"key": "shelves", "type": "integer", "allowed": "a whole number from 1 on (shelves)",
            "default": "3", "required": false, "secret": false, "unit": "shelves", "drivers": [], "description": ""});
        assert_eq!(rows[1], expected);
    }
}
