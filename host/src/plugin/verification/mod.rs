//! Verifying a plugin file: everything that can be found out about it before it is trusted with a broker.
//!
//! [`still`] looks at its bytes, `trial` loads it in a child process. The result is a list of [`Finding`]s, each with an id, a
//! level and what to do; a file passes when none is an error. What was found can be recorded as a
//! [`Verdict`], which the broker's policy then asks for.

mod finding;
mod still;
mod trial;

use std::path::{Path, PathBuf};

use serde::Serialize;

pub use self::finding::{Finding, KINDS, Kind, Level};
pub use self::trial::{CHILD_COMMAND, TrialSettings, try_load};
use super::admission::{Policy, REASON_CHARS_MAX, Verdict, this_host};
use super::anatomy;
use super::inspection::{self, Read};

/// What verifying one file found.
#[derive(Clone, Debug, Serialize)]
pub struct Verification {
    /// The file's name.
    pub file: String,
    /// As it was given.
    pub path: PathBuf,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: Option<String>,
    /// The plugin's name.
    pub name: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// Whether no finding is an error.
    pub passed: bool,
    /// Errors first.
    pub findings: Vec<Finding>,
}

impl Verification {
    /// Whether the file could be read at all.
    pub fn was_read(&self) -> bool {
        self.sha256.is_some()
    }

    /// The verdict to record; `None` for a file that could not be read.
    pub fn verdict(&self, verified_at: String) -> Option<Verdict> {
        let errors = self.findings.iter().filter(|finding| finding.level == Level::Error);
        let errors: Vec<String> = errors.map(|error| format!("{}: {}", error.kind.id, error.text)).collect();
        Some(Verdict {
            sha256: self.sha256.clone()?,
            passed: self.passed,
            reason: errors.join("; ").chars().take(REASON_CHARS_MAX).collect(),
            host: this_host(),
            verified_at,
        })
    }
}

/// Verifies the file at `path` under `policy`. Reads it and loads it in a child process; takes up to the trial's timeout.
pub fn verify_file(path: &Path, policy: &Policy, settings: &TrialSettings) -> Verification {
    let mut verification = Verification {
        file: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        path: path.to_owned(),
        sha256: None,
        name: None,
        version: None,
        passed: false,
        findings: Vec::new(),
    };
    match inspection::read(path, settings.file_bytes_max) {
        Ok(read) => verification.look(path, &read, policy, settings),
        Err(refusal) => verification.findings.push(still::refused(&refusal)),
    }
    verification.findings.sort_by_key(|finding| finding.level);
    verification.passed = verification.findings.iter().all(|finding| finding.level != Level::Error);
    verification
}

impl Verification {
    fn look(&mut self, path: &Path, read: &Read, policy: &Policy, settings: &TrialSettings) {
        let Read { image, note } = read;
        let sha256 = image.sha256_hex();
        self.sha256 = Some(sha256.clone());
        self.findings.extend(still::policy(&policy.judge_all(path, image)));
        self.findings.extend(still::note(note));
        let Ok(note) = note else { return };
        self.name = Some(note.name.clone());
        self.version = Some(note.version.to_string());
        match anatomy::read(&image.bytes) {
            Ok(parts) => self.findings.extend(still::anatomy(&parts, note.entry, image.bytes.len() as u64)),
            Err(error) => self.findings.push(Finding::new(finding::DAMAGED, error.to_string())),
        }
        if note.target != longshore_plugin_api::note::TARGET {
            return;
        }
        for found in trial::run(path, &sha256, settings) {
            // What was seen before it was loaded is told once.
            if self.findings.iter().all(|earlier| earlier.kind != found.kind) || found.kind == finding::MISSING_LIBRARY
            {
                self.findings.push(found);
            }
        }
    }
}
