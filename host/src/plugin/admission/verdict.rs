//! Verdicts: what `longshore offloaders verify --record` found out about a file, kept by the file's hash.
//!
//! A verdict is one JSON file, `<sha256>.json`, in `offloadersVerdictsDirectory`. The hash is of the plugin's content, so that a
//! verdict never outlives what it is about. A failure (a crash while loading, say) refuses its file for as long as the verdict is
//! there, by whatever version it was found; a pass counts for the version of the host that found it alone. It is written beside
//! its place and renamed, so that nobody reads half of one.

use std::io;
use std::path::{Path, PathBuf};

use longshore_plugin_api::version::ABI_VERSION;
use serde::{Deserialize, Serialize};

use super::owners::{Owners, Subject};
use super::trusted_file;

/// The most bytes of a verdict.
const VERDICT_BYTES_MAX: u64 = 256 << 10;
/// The longest reason that is kept, in characters.
pub const REASON_CHARS_MAX: usize = 4096;

/// What was found out about one content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// Of the plugin's file, hexadecimal.
    pub sha256: String,
    /// Whether it may be loaded.
    pub passed: bool,
    /// Why not; empty where it passed.
    #[serde(default)]
    pub reason: String,
    /// The host that found out, as [`this_host`] names it.
    pub host: String,
    /// When, ISO-8601.
    pub verified_at: String,
}

/// This host in a verdict: version and contract.
pub fn this_host() -> String {
    format!("longshore {} with plugin API {ABI_VERSION}", env!("CARGO_PKG_VERSION"))
}

/// Where the verdict on a content is kept.
pub fn verdict_path(directory: &Path, sha256_hex: &str) -> PathBuf {
    directory.join(format!("{sha256_hex}.json"))
}

impl Verdict {
    /// Keeps the verdict in `directory`, which is made if need be; a verdict on the same content is replaced.
    ///
    /// # Errors
    /// The operating system's.
    pub fn record(&self, directory: &Path) -> io::Result<PathBuf> {
        std::fs::create_dir_all(directory)?;
        let path = verdict_path(directory, &self.sha256);
        let part = directory.join(format!("{}.{}.part", self.sha256, std::process::id()));
        let mut text = serde_json::to_string_pretty(self)?;
        text.push('\n');
        std::fs::write(&part, text)?;
        std::fs::rename(&part, &path)?;
        Ok(path)
    }

    /// The bytes of the verdict on a content; `None` where there is none.
    ///
    /// # Errors
    /// Unreadable, or written by somebody who is not believed; the text says which.
    pub(super) fn read_bytes(path: &Path, owners: &Owners) -> Result<Option<Vec<u8>>, String> {
        match trusted_file::read(path, VERDICT_BYTES_MAX) {
            Ok(content) => {
                let subject = Subject::Policy(path.display().to_string());
                owners.check(subject, content.ownership).map_err(|denial| denial.to_string())?;
                Ok(Some(content.bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Reads a verdict that should be about `sha256_hex`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(bytes: &[u8], sha256_hex: &str) -> Result<Self, String> {
        let verdict: Self = serde_json::from_slice(bytes).map_err(|e| e.to_string())?;
        if verdict.sha256 != sha256_hex {
            return Err("it is about another file".to_owned());
        }
        Ok(verdict)
    }
}
