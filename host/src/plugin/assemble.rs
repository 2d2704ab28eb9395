//! From a folder to its rows: scan, inspect, admit, choose among versions, load, start. One bad file never stops the others.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::admission::Policy;
use super::elf::FoundNote;
use super::inspect::{self, Image, Refusal};
use super::load;
use super::loaded::LoadedPlugin;
use super::registry::{Registry, Row};
use super::report::PluginReport;
use super::scan::{self, Candidate};
use super::settings::PluginSettings;
use super::state::PluginState;

/// A file that inspection admitted.
struct Admitted {
    candidate: Candidate,
    image: Image,
    found: FoundNote,
}

/// Looks at `directory` and loads what may be loaded.
pub(super) fn assemble(directory: &Path, settings: &Arc<PluginSettings>) -> Registry {
    let candidates = match scan::scan(directory) {
        Ok(candidates) => candidates,
        Err(error) => return Registry::new(directory.to_owned(), Some(error.to_string()), Vec::new()),
    };
    let policy = Policy::read(&settings.admission);
    for problem in policy.problems() {
        tracing::error!(problem, "the policy of offloaders");
    }
    let mut rows = Vec::new();
    let mut by_plugin: BTreeMap<String, Vec<Admitted>> = BTreeMap::new();
    for candidate in candidates {
        match examine(candidate, settings, &policy) {
            Ok(admitted) => by_plugin.entry(admitted.found.note.name.clone()).or_default().push(admitted),
            Err(report) => rows.push(Row { report: *report, plugin: None }),
        }
    }
    for versions in by_plugin.into_values() {
        choose(versions, settings, &mut rows);
    }
    rows.sort_by(|a, b| a.report.file.cmp(&b.report.file));
    Registry::new(directory.to_owned(), None, rows)
}

/// Decides on one file without running it.
fn examine(candidate: Candidate, settings: &PluginSettings, policy: &Policy) -> Result<Admitted, Box<PluginReport>> {
    if let Some(reason) = candidate.kind.refusal() {
        return Err(refused(&candidate, None, None, PluginState::Refused, reason.to_owned()));
    }
    let state_of = |refusal: &Refusal| match refusal.is_incomplete() {
        true => PluginState::Incomplete,
        false => PluginState::Refused,
    };
    let image = inspect::read(&candidate.path, settings.file_bytes_max)
        .map_err(|e| refused(&candidate, None, None, state_of(&e), e.to_string()))?;
    let found = inspect::identify(&image);
    let is_incomplete = found.as_ref().is_err_and(Refusal::is_incomplete);
    if let Err(e) = policy.admit(&candidate.path, &image).map_err(Refusal::from)
        && !is_incomplete
    {
        return Err(refused(&candidate, Some(&image), found.as_ref().ok(), state_of(&e), e.to_string()));
    }
    let found = found.map_err(|e| refused(&candidate, Some(&image), None, state_of(&e), e.to_string()))?;
    inspect::admit(&found.note)
        .map_err(|e| refused(&candidate, Some(&image), Some(&found), state_of(&e), e.to_string()))?;
    Ok(Admitted { candidate, image, found })
}

fn refused(
    candidate: &Candidate,
    image: Option<&Image>,
    found: Option<&FoundNote>,
    state: PluginState,
    reason: String,
) -> Box<PluginReport> {
    Box::new(PluginReport::new(candidate, image, found.map(|found| &found.note), state, Some(reason)))
}

/// Of the versions of one plugin, loads the highest that can be loaded; the others are shadowed.
fn choose(mut versions: Vec<Admitted>, settings: &Arc<PluginSettings>, rows: &mut Vec<Row>) {
    // Descending by version, ascending by file name, so that who wins never depends on the folder's own order.
    versions.sort_by(|a, b| {
        let by_version = b.found.note.version.cmp(&a.found.note.version);
        by_version.then_with(|| a.candidate.name.cmp(&b.candidate.name))
    });
    let mut winner: Option<String> = None;
    for admitted in versions {
        if let Some(winner) = &winner {
            let reason = format!("{winner} serves instead");
            rows.push(row(&admitted, PluginState::Shadowed, Some(reason), None));
            continue;
        }
        match start(&admitted, settings) {
            Ok(plugin) => {
                winner = Some(format!("version {} of {}", plugin.note.version, plugin.file));
                rows.push(row(&admitted, PluginState::Loaded, None, Some(Arc::new(plugin))));
            }
            Err(reason) => rows.push(row(&admitted, PluginState::Refused, Some(reason), None)),
        }
    }
}

fn row(admitted: &Admitted, state: PluginState, reason: Option<String>, plugin: Option<Arc<LoadedPlugin>>) -> Row {
    let note = Some(&admitted.found.note);
    Row { report: PluginReport::new(&admitted.candidate, Some(&admitted.image), note, state, reason), plugin }
}

/// Loads a library and starts its runtime.
fn start(admitted: &Admitted, settings: &Arc<PluginSettings>) -> Result<LoadedPlugin, String> {
    let file = admitted.candidate.name.to_string_lossy().into_owned();
    let note = admitted.found.note.clone();
    let module = load::load(&file, &admitted.image, &admitted.found).map_err(|e| e.to_string())?;
    LoadedPlugin::start(note, file, module, Arc::clone(settings))
}
