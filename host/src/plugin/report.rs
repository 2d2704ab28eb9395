//! What became of each plugin file, as plain data: one row for the log, the admin API and the command line alike.

use longshore_plugin_api::note::PluginNote;
use serde::{Deserialize, Serialize};

use super::inspect::Image;
use super::isolation::ProcessReport;
use super::scan::Candidate;
use super::state::PluginState;

/// One `*.so` entry of the folder. The JSON form is stable; a field that is unknown is null.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginReport {
    /// The entry's name.
    pub file: String,
    /// Folder and name.
    pub path: String,
    /// What became of it.
    pub state: PluginState,
    /// Why it is not `loaded`; null only for `loaded`.
    pub reason: Option<String>,
    /// The plugin's name.
    pub name: Option<String>,
    /// The plugin's version.
    pub version: Option<String>,
    /// The plugin API it was built against.
    pub api: Option<String>,
    /// The lowest host API that it tolerates.
    pub api_min: Option<String>,
    /// The drivers it claims.
    pub drivers: Option<Vec<String>>,
    /// Bytes of the file.
    pub size: Option<u64>,
    /// SHA-256 of the file, hexadecimal.
    pub sha256: Option<String>,
    /// The processes of its drivers, where they run in some.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<ProcessReport>,
}

impl PluginReport {
    /// A row with all that is known.
    pub(super) fn new(
        candidate: &Candidate,
        image: Option<&Image>,
        note: Option<&PluginNote>,
        state: PluginState,
        reason: Option<String>,
    ) -> Self {
        Self {
            file: candidate.name.to_string_lossy().into_owned(),
            path: candidate.path.to_string_lossy().into_owned(),
            state,
            reason,
            name: note.map(|note| note.name.clone()),
            version: note.map(|note| note.version.to_string()),
            api: note.map(|note| note.api.to_string()),
            api_min: note.map(|note| note.api_min.to_string()),
            drivers: note.map(|note| note.drivers.clone()),
            size: image.map(|image| image.bytes.len() as u64),
            sha256: image.map(Image::sha256_hex),
            processes: Vec::new(),
        }
    }

    /// Writes the row to the log: one line for each file.
    pub(super) fn log(&self) {
        let (file, state) = (self.file.as_str(), self.state);
        let name = self.name.as_deref().unwrap_or("?");
        let version = self.version.as_deref().unwrap_or("?");
        let drivers = self.drivers.as_deref().unwrap_or_default().join(",");
        match &self.reason {
            None => tracing::info!(file, %state, plugin = name, version, drivers, "offloader file"),
            Some(reason) => tracing::warn!(file, %state, plugin = name, version, drivers, reason, "offloader file"),
        }
    }
}
