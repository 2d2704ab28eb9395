//! A plugin that serves: its identity, its root module, and what all calls to it share: permits, places on the host's threads,
//! counters, standing. The rules of a call are in [`calls`](super::calls).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use abi_stable::std_types::RErr;
use longshore_plugin_api::abi::{FfiStartOptions, Pairs};
use longshore_plugin_api::note::PluginNote;
use longshore_plugin_api::{Error, runtime};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use super::calls::{Call, ERROR_CHARS_MAX};
use super::figures::{DriverCounters, DriverFigures};
use super::inline::InlineCalls;
use super::isolation::Homes;
use super::own_metrics::{OwnFamily, OwnMetrics};
use super::secrets;
use super::services::services;
use super::settings::PluginSettings;
use super::state::Standing;
use super::threads::{self, Threads};
use crate::storage::{DriverError, DriverErrorKind, DriverOrigin};

/// One library with its limits.
pub(super) struct LoadedPlugin {
    pub(super) note: PluginNote,
    pub(super) file: String,
    /// Where its drivers are made.
    pub(super) homes: Homes,
    pub(super) settings: Arc<PluginSettings>,
    pub(super) standing: Standing,
    /// `name version`.
    pub(super) label: String,
    /// Calls that run at once.
    pub(super) permits: Semaphore,
    /// Calls that are answered on the host's threads.
    pub(super) inline: InlineCalls,
    /// Faults since the last answer.
    faults: AtomicU32,
    /// See [`threads`].
    thread_name: String,
    /// By driver.
    counters: Mutex<BTreeMap<String, Arc<DriverCounters>>>,
    /// The plugin's own metrics.
    own: Arc<OwnMetrics>,
}

/// What was counted of one plugin: by the host of its calls, and by itself.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginFigures {
    /// The plugin's name.
    pub plugin: String,
    /// Its version.
    pub version: String,
    /// Calls, by driver.
    pub drivers: Vec<(String, DriverFigures)>,
    /// What the plugin counted.
    pub own: Vec<OwnFamily>,
    /// What its library holds and runs, where it is open in this process.
    pub stats: Option<LibraryStats>,
}

/// What libraries hold that are loaded and not in charge, until the process ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetiredFigures {
    /// Bytes by name and version of each plugin that was ever loaded; 0 for what serves.
    pub bytes: BTreeMap<(String, String), u64>,
    /// `offloadersRetiredBytesMax`, which the sum never exceeds.
    pub bytes_max: u64,
}

/// What a library holds and runs at a moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LibraryStats {
    /// Threads of the process that the library started and that its author gave no name of their own.
    pub threads: u64,
    /// Threads of its runtime, which come and go with its work.
    pub runtime_threads: u64,
    /// Tasks on its runtime that have not ended.
    pub tasks: u64,
    /// Driver instances that have not been dropped.
    pub offloaders: u64,
    /// Open copies that have not been dropped.
    pub read_handles: u64,
    /// Calls that have not ended inside, those that the host gave up included.
    pub calls: u64,
}

impl LibraryStats {
    fn add(&mut self, other: Self) {
        self.threads += other.threads;
        self.runtime_threads += other.runtime_threads;
        self.tasks += other.tasks;
        self.offloaders += other.offloaders;
        self.read_handles += other.read_handles;
        self.calls += other.calls;
    }

    /// Threads beside the runtime's: an author's own, which nobody ends.
    pub fn leaked_threads(&self) -> u64 {
        self.threads.saturating_sub(self.runtime_threads)
    }
}

impl LoadedPlugin {
    /// Starts a library where it is open in this process: its runtime and its log. `own` is where its metrics go, `sha256`
    /// the sum of its bytes.
    ///
    /// # Errors
    /// A sentence with what the library says.
    pub(super) fn start(
        note: PluginNote,
        sha256: &[u8; 32],
        file: String,
        homes: Homes,
        own: Arc<OwnMetrics>,
        settings: Arc<PluginSettings>,
    ) -> Result<Self, String> {
        let thread_name = threads::name_for(&note.name, sha256);
        let options = FfiStartOptions {
            runtime_workers: settings.runtime_workers,
            reserved: 0,
            host_marker: runtime::library_marker(),
            thread_name: thread_name.as_str().into(),
            extras: Pairs::new(),
        };
        let label = format!("{} {}", note.name, note.version);
        if let Some(library) = homes.library {
            let services = services(&label, Arc::clone(&own));
            if let RErr(error) = library.start(services, options) {
                return Err(format!("it could not be started: {}", Error::from(error)));
            }
        }
        let standing = Standing::new(settings.degraded_after);
        let permits = Semaphore::new(settings.concurrent_calls_max.min(Semaphore::MAX_PERMITS));
        let inline = InlineCalls::new(settings.inline_calls_max);
        let (faults, counters) = (AtomicU32::new(0), Mutex::default());
        Ok(Self { note, file, homes, settings, standing, label, permits, inline, faults, thread_name, counters, own })
    }

    /// What the library holds and runs at this moment; unknown where it is not open in this process.
    pub(super) fn stats(&self, threads: &Threads) -> Option<LibraryStats> {
        let stats = self.homes.library?.stats();
        Some(LibraryStats {
            threads: threads.called(&self.thread_name),
            runtime_threads: stats.runtime_threads,
            tasks: stats.tasks,
            offloaders: stats.offloaders,
            read_handles: stats.read_handles,
            calls: stats.calls,
        })
    }

    /// Calls that failed, by code.
    pub(super) fn errors(&self) -> BTreeMap<String, u64> {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut errors = BTreeMap::new();
        for (_, calls) in counters.values().flat_map(|counters| counters.snapshot().calls) {
            for (code, count) in calls.errors {
                *errors.entry(code.to_owned()).or_default() += count;
            }
        }
        errors
    }

    /// `name version`.
    pub(super) fn label(&self) -> String {
        self.label.clone()
    }

    pub(super) fn origin(&self) -> DriverOrigin {
        DriverOrigin { plugin: self.note.name.clone(), version: self.note.version.to_string(), file: self.file.clone() }
    }

    /// Calls that somebody waits for.
    pub(super) fn calls_running(&self) -> usize {
        let most = self.settings.concurrent_calls_max.min(Semaphore::MAX_PERMITS);
        most.saturating_sub(self.permits.available_permits())
    }

    /// The counters of a driver that it serves.
    pub(super) fn counters(&self, driver: &str) -> Arc<DriverCounters> {
        let mut counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(counters.entry(driver.to_owned()).or_default())
    }

    /// What was counted so far.
    pub(super) fn figures(&self, threads: &Threads) -> PluginFigures {
        let counters = self.counters.lock().unwrap_or_else(PoisonError::into_inner).clone();
        PluginFigures {
            plugin: self.note.name.clone(),
            version: self.note.version.to_string(),
            drivers: counters.into_iter().map(|(driver, counters)| (driver, counters.snapshot())).collect(),
            own: self.own.snapshot(),
            stats: self.stats(threads),
        }
    }

    /// A call was answered, with a success or with an orderly error.
    pub(super) fn answered(&self) {
        // The standing has a lock, which calls that are fine need not meet.
        if self.faults.load(Ordering::Relaxed) != 0 {
            self.faults.store(0, Ordering::Relaxed);
            self.standing.answered();
        }
    }

    /// A call was at fault.
    pub(super) fn faulted(&self, fault: &str) {
        self.faults.fetch_add(1, Ordering::Relaxed);
        if self.standing.faulted(fault) {
            tracing::error!(plugin = self.label, file = self.file, reason = fault, "plugin is degraded");
        }
    }

    /// The call did not begin, by nobody's fault.
    pub(super) fn busy(&self, driver: &str, call: Call, text: &str) -> DriverError {
        self.error(driver, call, DriverErrorKind::Timeout, text, true)
    }

    /// The error of a call to `driver`; no secret is in it.
    pub(super) fn error(
        &self,
        driver: &str,
        call: Call,
        kind: DriverErrorKind,
        text: &str,
        retryable: bool,
    ) -> DriverError {
        let text: String = secrets::without(text).chars().take(ERROR_CHARS_MAX).collect();
        DriverError {
            kind,
            driver: driver.to_owned(),
            plugin: self.label.clone(),
            code: None,
            message: format!("{call}: {text}"),
            retryable,
        }
    }
}

/// Figures of several generations, each name and version once.
pub(super) fn sum(all: impl Iterator<Item = PluginFigures>) -> Vec<PluginFigures> {
    let mut sums: BTreeMap<(String, String), PluginFigures> = BTreeMap::new();
    for figures in all {
        match sums.entry((figures.plugin.clone(), figures.version.clone())) {
            Entry::Vacant(place) => _ = place.insert(figures),
            Entry::Occupied(mut sum) => sum.get_mut().add(figures),
        }
    }
    sums.into_values().collect()
}

impl PluginFigures {
    fn add(&mut self, later: Self) {
        for (driver, figures) in later.drivers {
            match self.drivers.iter_mut().find(|(known, _)| *known == driver) {
                Some((_, sum)) => sum.add(&figures),
                None => self.drivers.push((driver, figures)),
            }
        }
        if let Some(more) = later.stats {
            self.stats.get_or_insert_default().add(more);
        }
        for family in later.own {
            match self.own.iter_mut().find(|known| known.name == family.name) {
                Some(sum) => sum.add(&family),
                None => self.own.push(family),
            }
        }
    }
}
