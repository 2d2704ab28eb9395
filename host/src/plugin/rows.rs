//! What every report says: one row for each file of the folder, and one for each library that runs, or ran, although the
//! folder does not have it any more. Pure, from what a look has settled.

use std::collections::HashSet;
use std::sync::Arc;

use longshore_plugin_api::note::PluginNote;

use super::claims::Rule;
use super::generation::{Generation, Phase};
use super::look::{Content, Known, Verdict};
use super::lookout::Lookout;
use super::pins;
use super::registry::{Claim, Service};
use super::report::PluginReport;
use super::state::PluginState;

/// A report, and the library behind it where it is in charge.
#[derive(Clone)]
pub(super) struct Row {
    report: PluginReport,
    pub(super) generation: Option<Arc<Generation>>,
}

impl Row {
    /// As the look left it, whatever calls did since.
    pub(super) fn settled(&self) -> &PluginReport {
        &self.report
    }

    /// As things stand now.
    pub(super) fn now(&self) -> PluginReport {
        let mut report = self.report.clone();
        if let Some(generation) = &self.generation {
            let (state, reason) = generation.plugin().standing.get();
            if state != PluginState::Loaded {
                (report.state, report.reason) = (state, reason);
            }
            report.processes = generation.plugin().homes.reports();
        }
        report
    }
}

/// Every row, by file name; of one name the file itself comes first, then what was loaded from it, newest first.
pub(super) fn rows(lookout: &Lookout, services: &[Service], now_ms: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut told: HashSet<Content> = HashSet::new();
    for known in lookout.known.values() {
        let row = of_file(lookout, services, known, &told, now_ms);
        if known.admitted().is_some() {
            told.extend(known.finding.content);
        }
        rows.push(row);
    }
    for generation in lookout.serving.values().filter(|generation| !told.contains(&generation.content)) {
        rows.push(in_charge_without_file(lookout, services, generation));
    }
    told.extend(lookout.serving.values().map(|generation| generation.content));
    for generation in lookout.relieved.iter().rev() {
        if told.insert(generation.content) {
            rows.push(relieved(lookout, generation));
        }
    }
    rows.sort_by(|a, b| a.report.file.cmp(&b.report.file));
    rows
}

fn of_file(lookout: &Lookout, services: &[Service], known: &Known, told: &HashSet<Content>, now_ms: u64) -> Row {
    let candidate = &known.candidate;
    let place = (candidate.name.to_string_lossy().into_owned(), candidate.path.to_string_lossy().into_owned());
    let Some((note, content)) = known.admitted() else {
        let state = match known.finding.verdict {
            Verdict::Incomplete(_) => PluginState::Incomplete,
            Verdict::Admitted | Verdict::Refused(_) => PluginState::Refused,
        };
        let reason = known.problem(now_ms).map(|problem| problem + &serves_on(lookout, &place.0));
        let report = PluginReport::new(place, known.finding.content, known.finding.note.as_ref(), state, reason);
        return Row { report, generation: None };
    };
    let serving = lookout.serving.get(&note.name);
    let (state, reason, generation) = match serving {
        Some(generation) if generation.content == content && !told.contains(&content) => {
            let (state, reason) = duty(lookout, services, generation);
            (state, reason, Some(Arc::clone(generation)))
        }
        _ => {
            let (state, reason) = aside(lookout, serving, note, content);
            (state, Some(reason), None)
        }
    };
    Row { report: PluginReport::new(place, Some(content), Some(note), state, reason), generation }
}

/// Of a file that may be loaded and is not in charge.
fn aside(
    lookout: &Lookout,
    serving: Option<&Arc<Generation>>,
    note: &PluginNote,
    content: Content,
) -> (PluginState, String) {
    if let Some(failure) = lookout.failures.get(&content) {
        let goes_on = serving.map(|generation| format!("; {} serves on", by_version(generation))).unwrap_or_default();
        return (PluginState::Refused, failure.told() + &goes_on);
    }
    let Some(generation) = serving else {
        let barred = lookout.settings.pins.bar(note);
        return (PluginState::Shadowed, barred.unwrap_or_else(|| "it was not tried yet".to_owned()));
    };
    let pinned = lookout.settings.pins.version_of(&note.name).filter(|(version, _)| **version != note.version);
    let why = pinned.map(|(_, line)| format!(", as {line} says")).unwrap_or_default();
    let state = match lookout.relieved.iter().any(|relieved| relieved.content == content) {
        true if content != generation.content => PluginState::Retired,
        _ => PluginState::Shadowed,
    };
    (state, format!("{} serves instead{why}", by_version(generation)))
}

fn in_charge_without_file(lookout: &Lookout, services: &[Service], generation: &Arc<Generation>) -> Row {
    let (state, duty) = duty(lookout, services, generation);
    let file = &generation.plugin().file;
    let there = lookout.known.keys().any(|name| name.to_string_lossy() == *file);
    let what = if there { "its file is another one, or may not be loaded, since" } else { "its file is gone" };
    let reason = format!("{what}; it serves on until something takes over, or until the broker ends");
    let reason = duty.map(|duty| format!("{reason}; {duty}")).unwrap_or(reason);
    Row { report: report_of(lookout, generation, state, reason), generation: Some(Arc::clone(generation)) }
}

fn relieved(lookout: &Lookout, generation: &Generation) -> Row {
    let why = match generation.phase() {
        Phase::Serving => String::new(),
        Phase::Draining { why, .. } | Phase::Retired { why, .. } => why,
    };
    Row { report: report_of(lookout, generation, PluginState::Retired, why), generation: None }
}

fn report_of(lookout: &Lookout, generation: &Generation, state: PluginState, reason: String) -> PluginReport {
    let plugin = generation.plugin();
    let path = lookout.directory.join(&plugin.file).to_string_lossy().into_owned();
    let place = (plugin.file.clone(), path);
    PluginReport::new(place, Some(generation.content), Some(&plugin.note), state, Some(reason))
}

/// `; version 1.2.3 that was loaded from it serves on`, where that is so.
fn serves_on(lookout: &Lookout, file: &str) -> String {
    let from_it = lookout.serving.values().find(|generation| generation.plugin().file == file);
    let text = from_it.map(|generation| {
        let note = &generation.plugin().note;
        format!("; {} {}, which was loaded from it before, serves on", note.name, note.version)
    });
    text.unwrap_or_default()
}

fn by_version(generation: &Generation) -> String {
    let plugin = generation.plugin();
    format!("version {} of {}", plugin.note.version, plugin.file)
}

/// What is to be said of a plugin in charge, driver by driver.
fn duty(lookout: &Lookout, services: &[Service], generation: &Arc<Generation>) -> (PluginState, Option<String>) {
    let mut state = PluginState::Loaded;
    let mut remarks = Vec::new();
    for service in services {
        let own = service.claims.iter().find(|claim| Arc::ptr_eq(&claim.generation, generation));
        if let Some((lost, remark)) = own.and_then(|claim| remark(lookout, service, claim)) {
            remarks.push(remark);
            if lost {
                state = PluginState::Conflict;
            }
        }
    }
    (state, (!remarks.is_empty()).then(|| remarks.join("; ")))
}

/// What is to be said of one claim, and whether it was lost to a conflict.
fn remark(lookout: &Lookout, service: &Service, claim: &Claim) -> Option<(bool, String)> {
    let (driver, key) = (&claim.driver, service.key());
    let is_own = |other: &&Claim| Arc::ptr_eq(&other.generation, &claim.generation);
    let others: Vec<String> =
        service.claims.iter().filter(|other| !is_own(other)).map(|other| other.generation.label()).collect();
    let others = others.join(" and ");
    let server = service.server().map(|server| server.generation.label()).unwrap_or_default();
    Some(match (service.ruling.rule, service.server().as_ref().is_some_and(is_own)) {
        (Rule::Alone | Rule::Pinned, true) => return None,
        (Rule::Incumbent, true) => {
            let danger = format!("at the next start nobody serves it unless {key} names one");
            (false, format!("driver `{driver}` is also claimed by {others}; {danger}"))
        }
        (Rule::Incumbent, false) => {
            let declined = lookout.declined(driver, &claim.generation);
            let declined = declined.map(|failure| format!(" ({})", failure.told())).unwrap_or_default();
            (
                true,
                format!("driver `{driver}` is served by {server}, which had it first{declined}; {key} names another"),
            )
        }
        (Rule::Conflict, _) => {
            let way_out = format!("nobody serves it until one of the files is removed or {key} names one");
            (true, format!("driver `{driver}` is also claimed by {others}; {way_out}"))
        }
        (Rule::Alone, false) => (false, format!("driver `{driver}` is served by {server}")),
        (Rule::Pinned | Rule::PinUnmatched, _) => {
            let line = lookout.settings.pins.of(driver).map(|pin| pins::line(driver, pin)).unwrap_or_default();
            match service.server() {
                Some(_) => (false, format!("driver `{driver}` is served by {server}, as {line} says")),
                None => (false, format!("driver `{driver}` is served by nobody: {line} names what is not there")),
            }
        }
    })
}
