//! Drivers in processes of their own (`offloadersIsolation=process`): what a library does to its process, it does not do to the
//! broker.
//!
//! In the order of a call: [`proxy`] stands where the library's own objects would, so that the host's rules around a call are
//! the same; [`instance`] has the process for it, started again after a crash as [`restarts`] allows; [`session`] is one life of
//! that process, [`process`] starts and ends it, [`words`] carries its standard error into the log. [`link`] makes calls in both
//! directions over a socket, [`inbox`] reads, [`outbox`] writes, [`frame`], [`entries`] and [`message`] are what is sent. [`host_side`] does what
//! the child asks for: it reads the ledger that is being copied. [`child`] is the other process.
//!
//! What always holds: the bytes that were checked are the bytes that run there (a sealed memory file, whose hash the child
//! computes again); a library whose drivers are all isolated is never opened in this process; a child never outlives the broker,
//! however that ends; nothing that a child sends is believed before it was checked.
//!
//! There is one child for each driver and configuration: a crash, or a leak, of one concerns nobody else's, and credentials of
//! two configurations never lie in one memory.

pub mod child;
pub mod entries;
pub mod frame;
mod host_side;
mod inbox;
mod instance;
mod link;
pub mod message;
mod outbox;
mod process;
mod proxy;
mod restarts;
mod session;
pub mod settings;
mod words;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use abi_stable::std_types::RVec;
use longshore_plugin_api::abi::{FfiCall, FfiCallContext, FfiConfigProblem, FfiDriverConfig, OffloaderBox};
use longshore_plugin_api::note::PluginNote;
use longshore_plugin_api::{DriverConfig, Error, ErrorCode};

pub use self::instance::ProcessReport;
use self::instance::{Instance, Record};
use self::process::Plan;
pub use self::process::SUBCOMMAND;
use self::session::Session;
pub use self::settings::{Isolation, IsolationSettings};
use super::inspect::Image;
use super::load::sealed_memory;
use super::module::Module;
use super::own_metrics::OwnMetrics;
use super::settings::PluginSettings;

/// The code of an error that is the end of a driver's process. The host alone makes it: no plugin has a number for it, and one
/// that comes out of a process is taken for `Internal`.
pub(super) const CRASHED: ErrorCode = ErrorCode(u32::MAX);

/// The same for the other calls that ran in the process: one crash is one fault, however many calls it costs.
pub(super) const CRASHED_BESIDE: ErrorCode = ErrorCode(u32::MAX - 1);

/// The driver that a library's trial is logged under.
const TRIAL: &str = "(trial)";

/// The library of one plugin, as far as its drivers run in processes of their own.
pub(super) struct Processes {
    plan: Arc<Plan>,
    /// By driver and what it is made with.
    records: Mutex<HashMap<Key, Arc<Record>>>,
}

type Key = (String, Vec<(String, String)>);

impl Processes {
    /// Tries a library in a process: whether it can be loaded and started, and is what its note says. Blocks; the process has
    /// ended when this returns. `own` is where the library's metrics go.
    ///
    /// # Errors
    /// A sentence.
    pub(super) fn try_out(
        file: &str,
        note: &PluginNote,
        image: &Image,
        own: &Arc<OwnMetrics>,
        settings: &Arc<PluginSettings>,
    ) -> Result<Self, String> {
        let library =
            sealed_memory(file, &image.bytes).map_err(|error| format!("copying it to memory failed: {error}"))?;
        let plan = Arc::new(Plan {
            file: file.to_owned(),
            label: format!("{} {}", note.name, note.version),
            library,
            sha256: image.sha256,
            own: Arc::clone(own),
            settings: Arc::clone(settings),
        });
        let tried = apart(async || {
            let session = Session::start(&plan, TRIAL, |_, _| {}).await?;
            session.stop(Duration::ZERO).await;
            Ok(())
        });
        match tried {
            Ok(Ok(())) => Ok(Self { plan, records: Mutex::default() }),
            Ok(Err(error)) => Err(Error::to_string(&error)),
            Err(error) => Err(format!("it could not be tried in a process: {error}")),
        }
    }

    /// What is known of each process, by driver.
    pub(super) fn reports(&self) -> Vec<ProcessReport> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let mut reports: Vec<ProcessReport> = records.values().map(|record| record.report()).collect();
        reports.sort_by(|a, b| (&a.driver, a.pid).cmp(&(&b.driver, b.pid)));
        reports
    }

    fn instance(&self, config: &DriverConfig) -> Arc<Instance> {
        let properties = config.properties.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
        let key = (config.driver.clone(), properties);
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= self.plan.settings.driver_instances_max && !records.contains_key(&key) {
            // Whoever is in use is held elsewhere too.
            records.retain(|_, record| Arc::strong_count(record) > 1);
        }
        let record = records.entry(key).or_insert_with(|| Arc::new(Record::new(&config.driver)));
        Arc::new(Instance::new(Arc::clone(&self.plan), Arc::clone(record)))
    }
}

/// Runs what is asynchronous to its end, on a thread and a runtime of its own: nothing of it is left behind.
fn apart<T: Send>(work: impl AsyncFnOnce() -> T + Send) -> io::Result<T> {
    // The runtime is dropped there too, where that may block.
    let on_its_thread = || Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(work()));
    std::thread::scope(|scope| {
        let worked = scope.spawn(on_its_thread).join();
        worked.unwrap_or_else(|_| Err(io::Error::other("its thread panicked")))
    })
}

/// Where a plugin's drivers are made: by its library in this process, in processes of their own, or some here and some there.
pub(super) struct Homes {
    /// Absent where every driver is isolated: the library is not open here then.
    pub(super) library: Option<Module>,
    pub(super) processes: Option<Processes>,
}

/// One driver with one configuration, in a process of its own.
pub(super) struct Process(Arc<Instance>);

/// What makes one driver.
pub(super) enum Maker {
    /// The library in this process.
    Library(Module),
    /// A process.
    Process(Process),
}

impl Homes {
    /// What is known of the processes of its drivers.
    pub(super) fn reports(&self) -> Vec<ProcessReport> {
        self.processes.as_ref().map(Processes::reports).unwrap_or_default()
    }

    /// What makes the driver of this configuration.
    pub(super) fn maker(&self, config: &FfiDriverConfig, settings: &IsolationSettings) -> Result<Maker, String> {
        let config = DriverConfig::from(config.clone());
        match (settings.of(&config.driver), &self.library, &self.processes) {
            (Isolation::Process, _, Some(processes)) => Ok(Maker::Process(Process(processes.instance(&config)))),
            (Isolation::None, Some(library), _) => Ok(Maker::Library(*library)),
            _ => Err("it was not opened where offloadersIsolation wants it to run; restart the broker".to_owned()),
        }
    }
}

impl Maker {
    /// Checks a configuration.
    pub(super) fn validate(&self, context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<RVec<FfiConfigProblem>> {
        match self {
            Self::Library(library) => library.validate(context, config),
            Self::Process(Process(instance)) => proxy::validate(Arc::clone(instance), context, config),
        }
    }

    /// Makes the driver.
    pub(super) fn create(&self, context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<OffloaderBox> {
        match self {
            Self::Library(library) => library.create(context, config),
            Self::Process(Process(instance)) => proxy::create(Arc::clone(instance), context, config),
        }
    }
}
