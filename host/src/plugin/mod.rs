//! Plugins: found in a folder, judged without being run, loaded once, called under deadlines.
//!
//! In the order of a start: [`scan`] lists the folder, [`inspect`] (with [`elf`]) reads each file and its identity note,
//! `load` opens the inspected bytes, `registry` records who serves which driver, `driver` and `read_handle` put a plugin's
//! tables behind the traits of [`crate::storage`]. Each file ends as one [`PluginReport`], the same in the log, in the admin
//! API and on the command line; [`state`] has the states and their moves.
//!
//! Nothing is ever unloaded: a library, its runtime's threads and its memory stay until the process ends.

// The room of `unsafe` in the host: opening a library is trusting it.
#![allow(unsafe_code)]

pub mod admission;
pub mod anatomy;
mod assemble;
mod c_module;
mod calls;
pub mod config_schema;
mod driver;
pub mod elf;
pub mod figures;
mod gate;
mod inline;
pub mod inspect;
mod layout;
mod lent_ledger;
mod load;
mod loaded;
mod module;
pub mod own_metrics;
mod read_handle;
mod registry;
pub mod report;
pub mod scan;
mod services;
pub mod settings;
pub mod state;
mod threads;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::join_all;
use tokio::sync::OnceCell;
use tokio::time::timeout;

use self::calls::Call;
use self::config_schema::check::{schema_of, unknown_extra_keys};
use self::driver::PluginDriver;
use self::figures::Verb;
pub use self::loaded::{LibraryStats, PluginFigures};
use self::module::Module;
use self::registry::{Claim, Registry, Row};
pub use self::report::PluginReport;
pub use self::settings::PluginSettings;
pub use self::state::PluginState;
use self::threads::Threads;
use crate::storage::{DriverError, DriverErrorKind, DriverLookup, DriverSettings, OffloadDriver};

/// How many calls' deadlines a caller waits for an instance that others may be making. Two calls make one (validate, create),
/// so that whoever makes it gets its own error first.
const CREATE_CALLS_AWAITED: u32 = 3;

/// The plugins of one folder, and the driver instances that were made of them.
pub struct PluginHost {
    settings: Arc<PluginSettings>,
    registry: RwLock<Arc<Registry>>,
    instances: Mutex<HashMap<InstanceKey, Arc<Instance>>>,
}

type Instance = OnceCell<Arc<PluginDriver>>;

/// What tells one driver instance from another: the plugin's address, the driver, its settings.
#[derive(Clone, PartialEq, Eq, Hash)]
struct InstanceKey {
    plugin: usize,
    driver: String,
    settings: DriverSettings,
}

impl PluginHost {
    /// Looks at `directory` and loads what may be loaded; reports each file in the log. Never fails: a folder that is missing
    /// or cannot be read is a warning, see [`folder_error`](Self::folder_error). Reads files and runs constructors of
    /// libraries, so call it where blocking is allowed.
    pub fn load(directory: &Path, settings: PluginSettings) -> Self {
        let settings = Arc::new(settings);
        let registry = assemble::assemble(directory, &settings);
        if let Some(problem) = &registry.folder_error {
            tracing::warn!(problem, "no offloaders");
        }
        for row in &registry.rows {
            row.now().log();
        }
        Self { settings, registry: RwLock::new(Arc::new(registry)), instances: Mutex::default() }
    }

    /// One row for each `*.so` entry of the folder, by file name, as things stand now.
    pub fn reports(&self) -> Vec<PluginReport> {
        self.registry().rows.iter().map(Row::now).collect()
    }

    /// Why the folder could not be listed, if so.
    pub fn folder_error(&self) -> Option<String> {
        self.registry().folder_error.clone()
    }

    /// The library that serves from `file`, if one does.
    pub fn library(&self, file: &str) -> Option<Library> {
        let registry = self.registry();
        let plugin = registry.rows.iter().filter_map(|row| row.plugin.as_ref()).find(|plugin| plugin.file == file)?;
        Some(Library(plugin.module))
    }

    /// What the library that serves from `file` holds and runs at this moment, if one does. Reads a file for each thread of the
    /// process.
    pub fn library_stats(&self, file: &str) -> Option<LibraryStats> {
        let registry = self.registry();
        let plugin = registry.rows.iter().filter_map(|row| row.plugin.as_ref()).find(|plugin| plugin.file == file)?;
        Some(plugin.stats(&Threads::now()))
    }

    /// What was counted of the plugins, each version once, by name and version.
    pub fn figures(&self) -> Vec<PluginFigures> {
        let registry = self.registry();
        let (plugins, threads) = (registry.rows.iter().filter_map(|row| row.plugin.as_ref()), Threads::now());
        loaded::sum(plugins.map(|plugin| plugin.figures(&threads)))
    }

    /// The configuration keys whose values must never be shown, by the schemas of the plugins that serve.
    pub fn secret_keys(&self) -> BTreeSet<String> {
        let registry = self.registry();
        let schemas = registry.rows.iter().filter_map(|row| schema_of(&row.plugin.as_ref()?.note));
        schemas.flat_map(|schema| schema.secrets().map(str::to_owned).collect::<Vec<_>>()).collect()
    }

    /// A sentence for each extra key of `properties` that no plugin knows.
    pub fn unknown_keys(&self, properties: &BTreeMap<String, String>) -> Vec<String> {
        let registry = self.registry();
        let plugins = registry.rows.iter().filter_map(|row| row.plugin.as_ref());
        unknown_extra_keys(plugins.map(|plugin| &plugin.note), properties)
    }

    /// Lets every driver instance finish, all at once, within `deadline`. Calls afterwards still work; the process is expected
    /// to end.
    pub async fn shutdown(&self, deadline: Duration) {
        let instances: Vec<(InstanceKey, Arc<Instance>)> = {
            let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
            instances.drain().collect()
        };
        join_all(instances.iter().map(async |(key, instance)| {
            let Some(driver) = instance.get() else { return };
            match driver.shutdown(deadline).await {
                Ok(0) => tracing::debug!(driver = key.driver, "driver shut down"),
                Ok(abandoned) => {
                    tracing::warn!(driver = key.driver, abandoned, "driver shut down, calls were given up")
                }
                Err(error) => tracing::warn!(driver = key.driver, %error, "driver did not answer its shutdown"),
            }
        }))
        .await;
    }

    fn registry(&self) -> Arc<Registry> {
        Arc::clone(&self.registry.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// The place of an instance, made if need be.
    fn instance(&self, key: &InstanceKey) -> Arc<Instance> {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if instances.len() >= self.settings.driver_instances_max && !instances.contains_key(key) {
            instances.retain(|_, instance| is_used(instance));
        }
        Arc::clone(instances.entry(key.clone()).or_default())
    }

    /// Forgets an instance that could not be made, unless somebody else is trying.
    fn forget(&self, key: &InstanceKey) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        if instances.get(key).is_some_and(|instance| !is_used(instance)) {
            instances.remove(key);
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

/// Whether anybody beside the cache holds the instance or waits for it.
fn is_used(instance: &Arc<Instance>) -> bool {
    Arc::strong_count(instance) > 1 || instance.get().is_some_and(|driver| Arc::strong_count(driver) > 1)
}

#[async_trait]
impl DriverLookup for PluginHost {
    async fn driver(&self, name: &str, settings: &DriverSettings) -> Result<Arc<dyn OffloadDriver>, DriverError> {
        let registry = self.registry();
        let Claim { driver, plugin } = registry.claim(name).map_err(|message| DriverError {
            kind: DriverErrorKind::Unclaimed,
            driver: name.to_owned(),
            plugin: String::new(),
            message,
            retryable: false,
        })?;
        let key =
            InstanceKey { plugin: Arc::as_ptr(plugin) as usize, driver: driver.clone(), settings: settings.clone() };
        let instance = self.instance(&key);
        let create = async || PluginDriver::create(Arc::clone(plugin), driver, settings).await.map(Arc::new);
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
            self.forget(&key);
        }
        Ok(made?)
    }
}

impl fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PluginHost").field("reports", &self.reports()).finish_non_exhaustive()
    }
}
