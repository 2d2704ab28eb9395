//! How the plugins of a running broker stand, as plain data for the admin API and the command line.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::claims::Rule;
use super::generation::{Generation, Phase};
use super::instances::Instances;
use super::loaded::LibraryStats;
use super::lookout::now_ms;
use super::pins;
use super::registry::{Registry, Service};
use super::report::PluginReport;
use super::rows::Row;
use super::state::PluginState;
use super::threads::Threads;

/// Everything at one moment. The JSON form is stable; times are milliseconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PluginStatus {
    /// The broker's time, from which its other times count.
    pub now_ms: u64,
    /// The folder.
    pub directory: String,
    /// Why it could not be listed at the last look.
    pub folder_error: Option<String>,
    /// What is wrong with the policy of admission; a rule that cannot be read admits nothing.
    pub policy_problems: Vec<String>,
    /// Libraries that are in charge, then those that were, oldest first.
    pub plugins: Vec<GenerationStatus>,
    /// Every driver that is claimed or pinned.
    pub drivers: Vec<DriverStatus>,
    /// Libraries that were replaced or did not work: their memory is kept until the broker ends.
    pub retired: RetiredStatus,
    /// Threads of the broker that libraries started under names of their own; whose they are the system does not tell.
    pub named_threads: u64,
    /// When the folder was and will be looked at.
    pub rescan: RescanStatus,
    /// The rows of `offloaders list`.
    pub files: Vec<PluginReport>,
}

/// Where a library stands. The names are part of the JSON that users read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GenerationPhase {
    /// New calls go to it.
    Serving,
    /// What began with it is not over.
    Draining,
    /// It is over, or its deadline has passed.
    Retired,
}

/// One library that was put in charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationStatus {
    /// 1 is the first that this process put in charge.
    pub generation: u64,
    /// The plugin.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The file that it was loaded from.
    pub file: String,
    /// SHA-256 of its bytes, hexadecimal.
    pub sha256: String,
    /// Its bytes.
    pub size: u64,
    /// As in the rows.
    pub state: PluginState,
    /// As in the rows; for one that went, what took over.
    pub reason: Option<String>,
    /// Where it stands.
    pub phase: GenerationPhase,
    /// Since when it has stood there.
    pub since_ms: u64,
    /// When it was loaded.
    pub loaded_ms: u64,
    /// The drivers that it serves.
    pub serves: Vec<String>,
    /// Calls that run in it now.
    pub calls_in_flight: usize,
    /// Driver instances that are kept, one for each driver and its settings.
    pub driver_instances: usize,
    /// Callers and open copies that hold on to it.
    pub users: usize,
    /// Calls that failed, by the plugin's own error code or, in small letters, the host's verdict.
    pub errors: BTreeMap<String, u64>,
    /// What the library itself counts; null where that is unknown: once it is retired, and where none of its drivers runs in
    /// the broker's own process.
    pub library: Option<LibraryStats>,
    /// Of one that went: users that its drain deadline found, and that have not gone since.
    pub late_users: usize,
}

/// One driver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DriverStatus {
    /// Its name.
    pub driver: String,
    /// The plugin that serves it.
    pub plugin: Option<String>,
    /// That plugin's version.
    pub version: Option<String>,
    /// The file that plugin was loaded from.
    pub file: Option<String>,
    /// `plugin[@version]` that the configuration pins it to.
    pub pin: Option<String>,
    /// Every plugin that claims it: `file (name version)`.
    pub claimed_by: Vec<String>,
    /// Whether several plugins claim it and none is pinned.
    pub conflict: bool,
    /// What an operator should do something about; completes "driver X …".
    pub problem: Option<String>,
}

/// Memory of libraries that are not in charge.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetiredStatus {
    /// Libraries that were in charge.
    pub count: usize,
    /// Bytes of every library that is loaded and not in charge.
    pub bytes: u64,
    /// `offloadersRetiredBytesMax`.
    pub bytes_max: u64,
}

/// When the folder is looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RescanStatus {
    /// `offloadersRescanIntervalSeconds`; 0 is never by itself.
    pub interval_seconds: u64,
    /// The end of the last look.
    pub last_ms: u64,
    /// The next look by the clock.
    pub next_ms: Option<u64>,
}

/// The status as `registry` has it and `instances` counts it; `rescan` has the times but for the last look's.
pub(super) fn status(
    registry: &Registry,
    instances: &Instances,
    retired_bytes_max: u64,
    rescan: (u64, Option<u64>),
) -> PluginStatus {
    let threads = Threads::now();
    let of = |generation: &Arc<Generation>| of_generation(registry, instances, &threads, generation);
    let (in_charge, went) = (registry.serving.iter().map(of), registry.relieved.iter().map(of));
    PluginStatus {
        now_ms: now_ms(),
        directory: registry.directory.display().to_string(),
        folder_error: registry.folder_error.clone(),
        policy_problems: registry.policy_problems.clone(),
        plugins: in_charge.chain(went).collect(),
        drivers: drivers(registry),
        retired: RetiredStatus {
            count: registry.relieved.len(),
            bytes: registry.retired.values().sum(),
            bytes_max: retired_bytes_max,
        },
        named_threads: threads.named_by_others(),
        rescan: RescanStatus { interval_seconds: rescan.0, last_ms: registry.looked_ms, next_ms: rescan.1 },
        files: registry.rows.iter().map(Row::now).collect(),
    }
}

fn of_generation(
    registry: &Registry,
    instances: &Instances,
    threads: &Threads,
    generation: &Generation,
) -> GenerationStatus {
    let plugin = generation.plugin();
    let row = registry
        .rows
        .iter()
        .find(|row| row.generation.as_ref().is_some_and(|of_row| of_row.number == generation.number));
    let (phase, since_ms, why, late_users) = match generation.phase() {
        Phase::Serving => (GenerationPhase::Serving, generation.loaded_ms, None, 0),
        Phase::Draining { since_ms, why } => (GenerationPhase::Draining, since_ms, Some(why), 0),
        Phase::Retired { since_ms, why, left_count } => (GenerationPhase::Retired, since_ms, Some(why), left_count),
    };
    let (state, reason) = match row.map(Row::now) {
        Some(report) => (report.state, report.reason),
        None => (PluginState::Retired, why),
    };
    let serves = registry.services.iter().filter_map(Service::server);
    let serves = serves.filter(|claim| claim.generation.number == generation.number);
    GenerationStatus {
        generation: generation.number,
        name: plugin.note.name.clone(),
        version: plugin.note.version.to_string(),
        file: plugin.file.clone(),
        sha256: generation.content.sha256_hex(),
        size: generation.content.len,
        state,
        reason,
        phase,
        since_ms,
        loaded_ms: generation.loaded_ms,
        serves: serves.map(|claim| claim.driver.clone()).collect(),
        calls_in_flight: plugin.calls_running(),
        driver_instances: instances.count_of(generation),
        users: instances.user_count(generation),
        errors: plugin.errors(),
        library: plugin.stats(threads).filter(|_| phase != GenerationPhase::Retired),
        late_users,
    }
}

/// The claimed drivers, then those that are pinned and that nobody claims.
fn drivers(registry: &Registry) -> Vec<DriverStatus> {
    let claimed = registry.services.iter().map(|service| {
        let plugin = service.server().map(|claim| claim.generation.plugin());
        DriverStatus {
            driver: service.server().map_or(&service.driver, |claim| &claim.driver).clone(),
            plugin: plugin.map(|plugin| plugin.note.name.clone()),
            version: plugin.map(|plugin| plugin.note.version.to_string()),
            file: plugin.map(|plugin| plugin.file.clone()),
            pin: registry.pins.of(&service.driver).map(ToString::to_string),
            claimed_by: service.claims.iter().map(|claim| claim.generation.label()).collect(),
            conflict: matches!(service.ruling.rule, Rule::Conflict | Rule::Incumbent),
            problem: service.problem(&registry.pins),
        }
    });
    let unclaimed = registry.pins.0.iter().filter(|(driver, _)| registry.service(driver).is_none());
    let unclaimed = unclaimed.map(|(driver, pin)| DriverStatus {
        driver: driver.clone(),
        plugin: None,
        version: None,
        file: None,
        pin: Some(pin.to_string()),
        claimed_by: Vec::new(),
        conflict: false,
        problem: Some(format!("is claimed by nobody, and {} names what is not there", pins::line(driver, pin))),
    });
    claimed.chain(unclaimed).collect()
}

/// What an operator should do something about, by driver.
pub(super) fn driver_problems(registry: &Registry) -> BTreeMap<String, String> {
    drivers(registry).into_iter().filter_map(|driver| Some((driver.driver, driver.problem?))).collect()
}
