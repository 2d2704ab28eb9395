//! The two effects of bringing a file in: reading and judging it without running it, and opening it as a plugin.
//!
//! The bytes that were judged are dropped, so that a folder of many files costs the memory of one. Opening reads them again,
//! goes on only where the hash is the one that was judged, and asks the policy once more, of those very bytes.

use std::sync::Arc;

use super::admission::Policy;
use super::elf::FoundNote;
use super::inspect::{self, Image, Refusal};
use super::isolation::{Homes, Isolation, Processes};
use super::load::{self, LoadError};
use super::loaded::LoadedPlugin;
use super::look::{Content, Finding, Terms, Verdict};
use super::own_metrics::OwnMetrics;
use super::scan::Candidate;
use super::settings::PluginSettings;

/// Decides on one file without running it.
pub(super) fn examine(candidate: &Candidate, policy: &Policy, settings: &PluginSettings) -> Finding {
    let mut finding = Finding { content: None, note: None, terms: None, verdict: Verdict::Admitted };
    if let Some(reason) = candidate.kind.refusal() {
        finding.verdict = Verdict::Refused(reason.to_owned());
        return finding;
    }
    let image = match inspect::read(&candidate.path, settings.file_bytes_max) {
        Ok(image) => image,
        Err(refusal) => {
            finding.verdict = verdict(&refusal);
            return finding;
        }
    };
    let fingerprint = policy.fingerprint(&candidate.path, image.ownership, &image.sha256);
    finding.content = Some(content_of(&image));
    finding.terms = Some(Terms { ownership: image.ownership, fingerprint });
    let found = inspect::identify(&image);
    finding.note = found.as_ref().ok().map(|found| found.note.clone());
    if let Err(refusal) = admitted(candidate, policy, &image, found) {
        finding.verdict = verdict(&refusal);
    }
    finding
}

/// What was found, if policy and contract admit it. Half a copy is told as that, whatever the policy thinks of it.
fn admitted(
    candidate: &Candidate,
    policy: &Policy,
    image: &Image,
    found: Result<FoundNote, Refusal>,
) -> Result<FoundNote, Refusal> {
    let found = match found {
        Err(refusal) if refusal.is_incomplete() => return Err(refusal),
        found => found,
    };
    policy.admit(&candidate.path, image)?;
    let found = found?;
    inspect::admit(&found.note)?;
    Ok(found)
}

fn verdict(refusal: &Refusal) -> Verdict {
    match refusal.is_incomplete() {
        true => Verdict::Incomplete(refusal.to_string()),
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

/// Reads `candidate` again and makes it ready where its drivers are going to run: here, where constructors of the library run
/// on this thread, in processes of their own, or some here and some there.
///
/// # Errors
/// [`NotOpened`]; also where the bytes are not `expected` any more.
pub(super) fn open(
    candidate: &Candidate,
    expected: Content,
    policy: &Policy,
    settings: &Arc<PluginSettings>,
) -> Result<LoadedPlugin, NotOpened> {
    let nothing = |reason: String| NotOpened { reason, left: Left::Nothing };
    let image = inspect::read(&candidate.path, settings.file_bytes_max).map_err(|e| nothing(e.to_string()))?;
    if content_of(&image) != expected {
        return Err(nothing("it changed after it was looked at; it is looked at again".to_owned()));
    }
    let found = admitted(candidate, policy, &image, inspect::identify(&image)).map_err(|e| nothing(e.to_string()))?;
    let file = candidate.name.to_string_lossy().into_owned();
    let own = Arc::new(OwnMetrics::new(&format!("{} {}", found.note.name, found.note.version)));
    let isolated = |driver: &String| settings.isolation.of(driver) == Isolation::Process;
    let processes = match found.note.drivers.iter().any(isolated) {
        true => Some(Processes::try_out(&file, &found.note, &image, &own, settings).map_err(nothing)?),
        false => None,
    };
    let library = match found.note.drivers.iter().all(isolated) {
        true => None,
        false => Some(load::load(&file, &image, &found).map_err(|error| {
            let unmapped = matches!(error, LoadError::Memory(_) | LoadError::System(_));
            NotOpened { reason: error.to_string(), left: if unmapped { Left::Nothing } else { Left::Mapped } }
        })?),
    };
    LoadedPlugin::start(found.note, &image.sha256, file, Homes { library, processes }, own, Arc::clone(settings))
        .map_err(|reason| NotOpened { reason, left: Left::Started })
}
