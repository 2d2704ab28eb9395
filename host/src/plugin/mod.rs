//! Plugins: found in a folder, judged without being run, loaded once, called under deadlines, replaced while they run.
//!
//! A look at the folder, in the order of its steps: [`scan`] lists it, `look` says which files may have changed, `assemble`
//! reads and judges those ([`inspect`], [`elf`]), `choose` says which file of a plugin is tried, `load` opens its very bytes,
//! `takeover` lets it prove itself where a driver is in use, `claims` says who serves a driver. `lookout` tells that story; its
//! end is a `registry`, from which calls are routed without waiting for any of it. `driver` and `read_handle` put a plugin's
//! tables behind the traits of [`crate::storage`], `isolation` does so across processes. A replaced `generation` drains: new calls go elsewhere, what began with it
//! ends with it. Each file ends as one [`PluginReport`], the same in the log, in the admin API and on the command line.
//!
//! Nothing is ever unloaded: a library, its runtime's threads and its memory stay until the process ends, within a bound on
//! replaced ones (`room`).

// The room of `unsafe` in the host: opening a library is trusting it.
#![allow(unsafe_code)]

pub mod admission;
pub mod anatomy;
mod assemble;
mod c_module;
mod calls;
pub mod change;
mod choose;
mod claims;
pub mod config_schema;
mod driver;
pub mod elf;
mod failure;
pub mod figures;
mod freed_memory;
mod gate;
mod generation;
mod inline;
pub mod inspect;
pub mod inspection;
mod instances;
pub mod isolation;
mod layout;
mod lent_ledger;
mod load;
mod loaded;
mod look;
mod lookout;
mod module;
#[cfg(test)]
mod one_process;
pub mod own_metrics;
mod pages;
pub mod pins;
mod private_copy;
mod read_handle;
mod registry;
pub mod report;
mod room;
mod rows;
pub mod scan;
mod secrets;
mod services;
pub mod settings;
pub mod state;
pub mod status;
mod takeover;
mod threads;
pub mod verification;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use tokio::sync::Mutex;
use tokio::time::{sleep, timeout};

use self::calls::Call;
pub use self::change::{Change, ChangeKind, Rescan};
use self::config_schema::check::{is_known, schema_of, unknown_extra_keys};
use self::driver::PluginDriver;
use self::figures::Verb;
pub use self::freed_memory::give_back_memory;
use self::generation::drain;
use self::instances::{InstanceKey, Instances};
pub use self::loaded::{LibraryStats, PluginFigures, RetiredFigures};
pub use self::lookout::Cause;
use self::lookout::{Looked, Lookout, now_ms};
use self::module::Module;
pub use self::pins::{Pin, Pins};
use self::registry::Registry;
pub use self::report::PluginReport;
use self::rows::Row;
pub use self::settings::PluginSettings;
pub use self::state::PluginState;
pub use self::status::PluginStatus;
use self::threads::Threads;
use crate::storage::{DriverError, DriverErrorKind, DriverLookup, DriverOrigin, DriverSettings, OffloadDriver};

/// How many calls' deadlines a caller waits for an instance that others may be making. Two calls make one (validate, create),
/// so that whoever makes it gets its own error first.
const CREATE_CALLS_AWAITED: u32 = 3;

/// Between two looks at threads that are to end.
const THREADS_LOOK: Duration = Duration::from_millis(2);

/// The plugins of one folder, and the driver instances that were made of them.
pub struct PluginHost {
    settings: Arc<PluginSettings>,
    registry: Arc<RwLock<Arc<Registry>>>,
    instances: Arc<Instances>,
    /// Held by the look that runs; calls never wait for it.
    lookout: Arc<Mutex<Lookout>>,
}

impl PluginHost {
    /// Looks at `directory` and loads what may be loaded; reports each file in the log. Never fails: a folder that is missing
    /// or cannot be read is a warning, see [`folder_error`](Self::folder_error). Reads files and runs constructors of
    /// libraries, so call it where blocking is allowed.
    pub fn load(directory: &Path, settings: PluginSettings) -> Self {
        let settings = Arc::new(settings);
        let instances = Arc::new(Instances::new(settings.driver_instances_max));
        let mut lookout = Lookout::new(directory.to_owned(), settings.clone(), instances.clone());
        let looked = lookout.look(Cause::Start).now_or_never();
        let Looked { registry, .. } = looked.expect("the first look blocks instead of waiting");
        if let Some(problem) = &registry.folder_error {
            tracing::warn!(problem, "no offloaders");
        }
        for row in &registry.rows {
            row.settled().log(None);
        }
        log_drivers(&registry, None);
        let registry = Arc::new(RwLock::new(Arc::new(registry)));
        Self { settings, registry, instances, lookout: Arc::new(Mutex::new(lookout)) }
    }

    /// Looks at the folder again: loads what is new, lets better versions take over, drains what they replace. Looks follow
    /// each other; calls go on meanwhile. A caller that goes away leaves a look that is completed.
    pub async fn rescan(&self, cause: Cause) -> Rescan {
        let lookout = Arc::clone(&self.lookout).lock_owned().await;
        let (registry, instances) = (Arc::clone(&self.registry), Arc::clone(&self.instances));
        let drain_timeout = self.settings.drain_timeout;
        let look = tokio::spawn(async move {
            let (mut lookout, began) = (lookout, Instant::now());
            let Looked { registry: next, relieved, files_read } = lookout.look(cause).await;
            let files_seen = lookout.known.len();
            let before = publish(&registry, next);
            let now = current(&registry);
            // Nobody is led to them from here on.
            for generation in relieved {
                tokio::spawn(drain(generation, Arc::clone(&instances), drain_timeout, now_ms));
            }
            let changes = change::changes(&settled(&before), &settled(&now));
            for Change { change, row, .. } in &changes {
                row.log(Some(*change));
            }
            log_drivers(&now, Some(&before));
            let duration_ms = began.elapsed().as_millis() as u64;
            Rescan { folder_error: now.folder_error.clone(), files_seen, files_read, duration_ms, changes }
        });
        match look.await {
            Ok(rescan) => rescan,
            Err(lost) if lost.is_panic() => std::panic::resume_unwind(lost.into_panic()),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        }
    }

    /// One row for each `*.so` entry of the folder, by file name, as things stand now; and one for each library that runs, or
    /// ran, although the folder does not have it any more.
    pub fn reports(&self) -> Vec<PluginReport> {
        self.registry().rows.iter().map(Row::now).collect()
    }

    /// How everything stands. The look by the clock has an interval in seconds and a next time, milliseconds since 1970.
    pub fn status(&self, interval_seconds: u64, next_ms: Option<u64>) -> PluginStatus {
        let rescan = (interval_seconds, next_ms);
        status::status(&self.registry(), &self.instances, self.settings.retired_bytes_max, rescan)
    }

    /// Why the folder could not be listed, if so.
    pub fn folder_error(&self) -> Option<String> {
        self.registry().folder_error.clone()
    }

    /// The drivers that are served, in their plugins' spelling.
    pub fn served(&self) -> Vec<String> {
        self.registry().services.iter().filter_map(|service| Some(service.server()?.driver.clone())).collect()
    }

    /// The plugin that serves a driver, by any spelling of its name.
    pub fn origin(&self, driver: &str) -> Option<DriverOrigin> {
        Some(self.registry().claim(driver).ok()?.generation.plugin().origin())
    }

    /// The library that serves from `file` in this process, if one does.
    pub fn library(&self, file: &str) -> Option<Library> {
        let registry = self.registry();
        let generation = registry.serving.iter().find(|generation| generation.plugin().file == file)?;
        generation.plugin().homes.library.map(Library)
    }

    /// What the library that serves from `file` holds and runs at this moment, if one does in this process. Reads a file for each
    /// thread of the process.
    pub fn library_stats(&self, file: &str) -> Option<LibraryStats> {
        let registry = self.registry();
        let generation = registry.serving.iter().find(|generation| generation.plugin().file == file)?;
        generation.plugin().stats(&Threads::now())
    }

    /// What was counted of the plugins, each version once, by name and version. Those that were replaced stay, so that no
    /// counter ever falls.
    pub fn figures(&self) -> Vec<PluginFigures> {
        let (registry, threads) = (self.registry(), Threads::now());
        // Generations of one content are one library, which counts for all of them.
        let mut told = HashSet::new();
        let newest_first = registry.serving.iter().chain(registry.relieved.iter().rev());
        loaded::sum(newest_first.map(|generation| {
            let figures = generation.plugin().figures(&threads);
            match told.insert(generation.content) {
                true => figures,
                false => PluginFigures { stats: None, ..figures },
            }
        }))
    }

    /// What libraries hold that are loaded and not in charge.
    pub fn retired(&self) -> RetiredFigures {
        let registry = self.registry();
        let known = registry.serving.iter().chain(&registry.relieved).map(|generation| {
            let note = &generation.plugin().note;
            ((note.name.clone(), note.version.to_string()), 0)
        });
        let mut bytes: BTreeMap<(String, String), u64> = known.collect();
        bytes.extend(registry.retired.clone());
        RetiredFigures { bytes, bytes_max: self.settings.retired_bytes_max }
    }

    /// The configuration keys whose values must never be shown, by the schemas of the plugins that serve.
    pub fn secret_keys(&self) -> BTreeSet<String> {
        let registry = self.registry();
        let schemas = registry.serving.iter().filter_map(|generation| schema_of(&generation.plugin().note));
        schemas.flat_map(|schema| schema.secrets().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// A sentence for each extra key of `properties` that no plugin knows.
    pub fn unknown_keys(&self, properties: &BTreeMap<String, String>) -> Vec<String> {
        let registry = self.registry();
        unknown_extra_keys(registry.serving.iter().map(|generation| &generation.plugin().note), properties)
    }

    /// Whether a plugin that serves has such a configuration key.
    pub fn knows_key(&self, key: &str) -> bool {
        is_known(self.registry().serving.iter().map(|generation| &generation.plugin().note), key)
    }

    /// Lets every driver instance finish, all at once, within `deadline`. Calls afterwards still work; the process is expected
    /// to end.
    pub async fn shutdown(&self, deadline: Duration) {
        self.instances.shutdown_all(deadline).await;
    }

    /// Ends the runtimes of all libraries, the oldest first, and waits until their threads have ended, all within `deadline`:
    /// a thread that runs on while the process ends meets what is torn down around it. After [`shutdown`](Self::shutdown); what
    /// is called afterwards fails, and no library can be started again in this process. A thread that never comes back is told
    /// of in the log, and left to the end of the process.
    pub async fn stop_libraries(&self, deadline: Duration) {
        let registry = self.registry();
        let mut generations: Vec<_> = registry.relieved.iter().chain(&registry.serving).collect();
        generations.sort_by_key(|generation| generation.number);
        let plugins = || generations.iter().map(|generation| generation.plugin());
        plugins().filter_map(|plugin| plugin.homes.library).for_each(Module::stop);
        let end = Instant::now() + deadline;
        for plugin in plugins() {
            let Some(library) = plugin.homes.library else { continue };
            while library.stats().runtime_threads > 0 && Instant::now() < end {
                sleep(THREADS_LOOK).await;
            }
            let threads = library.stats().runtime_threads;
            if threads > 0 {
                tracing::warn!(
                    plugin = plugin.label,
                    threads,
                    "threads of a plugin do not end; the process ends with them"
                );
            }
        }
    }

    fn registry(&self) -> Arc<Registry> {
        current(&self.registry)
    }
}

fn current(registry: &RwLock<Arc<Registry>>) -> Arc<Registry> {
    Arc::clone(&registry.read().unwrap_or_else(PoisonError::into_inner))
}

/// Leads every later call by `next`; answers what led before.
fn publish(registry: &RwLock<Arc<Registry>>, next: Registry) -> Arc<Registry> {
    let mut registry = registry.write().unwrap_or_else(PoisonError::into_inner);
    std::mem::replace(&mut registry, Arc::new(next))
}

fn settled(registry: &Registry) -> Vec<PluginReport> {
    registry.rows.iter().map(|row| row.settled().clone()).collect()
}

/// Warns of drivers that want an operator, unless the look before said the same.
fn log_drivers(registry: &Registry, before: Option<&Registry>) {
    let told = before.map(status::driver_problems).unwrap_or_default();
    for (driver, problem) in status::driver_problems(registry) {
        if told.get(&driver) != Some(&problem) {
            tracing::warn!(driver, problem, "offload driver");
        }
    }
}

/// A library that was loaded, for questions that need no driver.
#[derive(Clone, Copy)]
pub struct Library(Module);

impl Library {
    /// What the library says about itself: the JSON of its note. Calls into the library.
    pub fn describe(&self) -> &'static str {
        self.0.describe()
    }
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Library").field(&self.describe()).finish()
    }
}

#[async_trait]
impl DriverLookup for PluginHost {
    async fn driver(&self, name: &str, settings: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        // The share is taken while the registry still leads here, so that a drain waits for this caller.
        let found = {
            let registry = self.registry.read().unwrap_or_else(PoisonError::into_inner);
            registry.claim(name).map(|claim| {
                let generation = &claim.generation;
                (generation.share(), generation.number, claim.driver.clone())
            })
        };
        let (plugin, generation, driver) = found.map_err(|message| DriverError {
            kind: DriverErrorKind::Unclaimed,
            driver: name.to_owned(),
            plugin: String::new(),
            code: None,
            message,
            retryable: false,
        })?;
        let driver = driver.as_str();
        let key = InstanceKey { generation, driver: driver.to_owned(), settings: settings.clone() };
        let instance = self.instances.place(&key);
        let create = async || PluginDriver::create(Arc::clone(&plugin), driver, settings).await.map(Arc::new);
        let patience = self.settings.call_timeout * CREATE_CALLS_AWAITED;
        let made = match timeout(patience, instance.get_or_try_init(create)).await {
            Ok(made) => made.cloned(),
            Err(_) => {
                let text = "others were trying to create it with these settings, and none succeeded in time";
                Err(plugin.busy(driver, Call::of(Verb::Create), text))
            }
        };
        drop(instance);
        if made.is_err() {
            self.instances.forget(&key);
        }
        Ok(made?)
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("reports", &self.reports()).finish_non_exhaustive()
    }
}
