//! The two effects of bringing a file in: reading and judging it without running it, and opening it as a plugin.
//!
//! The bytes that were judged are dropped, so that a folder of many files costs the memory of one. Opening reads them again
//! and goes on only where the hash is the one that was judged.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use abi_stable::std_types::{RErr, ROk};
use longshore_plugin_api::abi::{FfiStartOptions, Pairs};
use longshore_plugin_api::{Error, runtime};

use super::inspect::{self, Image, Refusal};
use super::load::{self, LoadError};
use super::loaded::LoadedPlugin;
use super::look::{Content, Finding, Terms, Verdict};
use super::scan::Candidate;
use super::services::services;
use super::settings::PluginSettings;

/// What decides on the folder's files beside their bytes, in the order of `candidates`.
pub(super) fn terms(directory: &Path, candidates: &[Candidate]) -> Vec<Terms> {
    let folder = fs::metadata(directory).map(|metadata| (metadata.mode(), metadata.uid())).unwrap_or_default();
    candidates.iter().map(|_| Terms { folder, policy: Vec::new() }).collect()
}

/// Decides on one file without running it.
pub(super) fn examine(candidate: &Candidate, settings: &PluginSettings) -> Finding {
    if let Some(reason) = candidate.kind.refusal() {
        return Finding { content: None, note: None, verdict: Verdict::Refused(reason.to_owned()) };
    }
    let image = match inspect::read(&candidate.path, settings.file_bytes_max) {
        Ok(image) => image,
        Err(refusal) => return Finding { content: None, note: None, verdict: verdict(&refusal) },
    };
    let content = Some(content_of(&image));
    let found = match inspect::identify(&image) {
        Ok(found) => found,
        Err(refusal) => return Finding { content, note: None, verdict: verdict(&refusal) },
    };
    let verdict = match inspect::admit(&found.note) {
        Ok(()) => Verdict::Admitted,
        Err(refusal) => verdict(&refusal),
    };
    Finding { content, note: Some(found.note), verdict }
}

fn verdict(refusal: &Refusal) -> Verdict {
    let torn = matches!(refusal, Refusal::Growing);
    match refusal.is_incomplete() {
        true => Verdict::Incomplete { reason: refusal.to_string(), torn },
        false => Verdict::Refused(refusal.to_string()),
    }
}

fn content_of(image: &Image) -> Content {
    Content { sha256: image.sha256, len: image.bytes.len() as u64 }
}

/// Why a file that was admitted is not a running plugin.
#[derive(Debug)]
pub(super) struct NotOpened {
    pub(super) reason: String,
    pub(super) left: Left,
}

/// What a failed opening leaves in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// The library is mapped for ever.
    Mapped,
    /// The library is mapped, and starting it again costs nothing more.
    Started,
}

/// Reads `candidate` again, loads it and starts its runtime. Runs constructors of the library on this thread.
///
/// # Errors
/// [`NotOpened`]; also where the bytes are not `expected` any more.
pub(super) fn open(
    candidate: &Candidate,
    expected: Content,
    settings: &Arc<PluginSettings>,
) -> Result<LoadedPlugin, NotOpened> {
    let nothing = |reason: String| NotOpened { reason, left: Left::Nothing };
    let image = inspect::read(&candidate.path, settings.file_bytes_max).map_err(|e| nothing(e.to_string()))?;
    if content_of(&image) != expected {
        return Err(nothing("it changed after it was looked at; it is looked at again".to_owned()));
    }
    let found = inspect::identify(&image).map_err(|e| nothing(e.to_string()))?;
    let file = candidate.name.to_string_lossy().into_owned();
    let module = load::load(&file, &image, &found).map_err(|error| {
        let unmapped = matches!(error, LoadError::Memory(_) | LoadError::System(_));
        NotOpened { reason: error.to_string(), left: if unmapped { Left::Nothing } else { Left::Mapped } }
    })?;
    let note = found.note;
    let options = FfiStartOptions {
        runtime_workers: settings.runtime_workers,
        host_marker: runtime::library_marker(),
        extras: Pairs::new(),
    };
    match module.start()(services(&format!("{} {}", note.name, note.version)), options) {
        ROk(()) => Ok(LoadedPlugin::new(note, file, module, Arc::clone(settings))),
        RErr(error) => {
            Err(NotOpened { reason: format!("it could not be started: {}", Error::from(error)), left: Left::Started })
        }
    }
}
