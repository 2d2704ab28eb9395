//! Libraries whose entry is C: their tables, checked once, behind the same root functions and objects as a Rust plugin's.
//!
//! Everything downstream (deadlines, limits, health, swaps, reports) sees one kind of plugin. The C author writes plain blocking
//! functions; each call runs on a thread of a runtime that the host keeps for the library (`threads`), so that a function that
//! never returns costs one thread of that library and nothing else. What such a library says is believed as far as it can be
//! checked: pointers for null, counts, lengths, texts, sizes of structures. Its memory errors are the host's.
//!
//! `table` copies tables of any size, `values` reads and lends data, `host_table` is what a library may call, `lent_ledger` the
//! ledger that it copies; `driver` and `copy` are the traits of a driver over its functions.

mod copy;
mod driver;
mod host_table;
mod lent_ledger;
mod table;
#[cfg(test)]
mod tests;
mod threads;
mod values;

use std::ffi::c_void;
use std::sync::OnceLock;

use abi_stable::std_types::{RErr, ROk, RResult, RVec};
use async_ffi::FutureExt;
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiConfigProblem, FfiDriverConfig, FfiError, FfiLibraryStats, FfiStartOptions,
    HostServicesBox, OffloaderBox,
};
use longshore_plugin_api::c_abi::Root;
use longshore_plugin_api::runtime::PluginRuntime;
use longshore_plugin_api::{DriverConfig, Error, ErrorCode};

pub(super) use self::table::TableProblem;
use self::table::{Functions, Tables};
use self::threads::Threads;

/// Worker threads of a library's runtime: its tasks only wait for the threads on which C runs.
const WORKERS: u32 = 1;

/// A loaded library. Stays, as its mapping does, until the process ends.
pub(super) struct CModule {
    note: String,
    functions: Functions,
    /// How the library answered its one call of `start`.
    started: OnceLock<Result<Threads, Error>>,
}

/// A library that was started: what its drivers and handles need of it.
#[derive(Clone, Copy)]
struct Started {
    functions: &'static Functions,
    threads: &'static Threads,
}

/// An object of the library: `self` of its functions.
#[derive(Clone, Copy)]
struct This(*mut c_void);

// SAFETY: the header says that functions which take it are called on any thread, several at once; it is only passed on.
unsafe impl Send for This {}

// SAFETY: as above.
unsafe impl Sync for This {}

impl This {
    /// The pointer. By a method, so that a closure captures what may be sent and not the pointer inside.
    fn get(self) -> *mut c_void {
        self.0
    }
}

impl CModule {
    /// Copies and checks the tables that `root` leads to.
    ///
    /// # Errors
    /// What is missing or too short.
    ///
    /// # Safety
    /// `root` is null or the symbol of that name of a library that stays mapped.
    pub(super) unsafe fn open(root: *const Root) -> Result<(&'static Self, String), TableProblem> {
        // SAFETY: passed on to the caller.
        let Tables { note, api, functions } = unsafe { Tables::read(root)? };
        let module = Self { note, functions, started: OnceLock::new() };
        Ok((Box::leak(Box::new(module)), api))
    }

    /// The text that the library gives as its note.
    pub(super) fn describe(&'static self) -> &'static str {
        &self.note
    }

    /// Starts the library; a second call answers as the first did.
    pub(super) fn start(&'static self, host: HostServicesBox, options: &FfiStartOptions) -> RResult<(), FfiError> {
        let started = self.started.get_or_init(|| {
            let options = FfiStartOptions { runtime_workers: WORKERS, ..options.clone() };
            let runtime: &'static PluginRuntime = Box::leak(Box::new(PluginRuntime::new(&options)?));
            let host = host_table::leak(host);
            // SAFETY: `start` came from a checked table of a library that stays mapped; the host's table is never freed.
            values::ask(|error| unsafe { (self.functions.start)(host, error) })?;
            Ok(Threads::new(runtime))
        });
        match started {
            Ok(_) => ROk(()),
            Err(error) => RErr(FfiError::from(error.clone())),
        }
    }

    /// Checks a configuration.
    pub(super) fn validate(
        &'static self,
        context: FfiCallContext,
        config: FfiDriverConfig,
    ) -> FfiCall<RVec<FfiConfigProblem>> {
        let config = DriverConfig::from(config);
        self.started(|library| {
            let check = driver::validate(library, config);
            let answer = async { Ok(check.await?.into_iter().map(FfiConfigProblem::from).collect()) };
            library.threads.runtime().call("validate", context, answer)
        })
    }

    /// Makes a driver's instance.
    pub(super) fn create(&'static self, context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<OffloaderBox> {
        let config = DriverConfig::from(config);
        self.started(|library| library.threads.runtime().offloader(context, driver::create(library, config)))
    }

    /// Ends the runtime on whose threads its functions are called. C has nothing to stop beside its drivers.
    pub(super) fn stop(&'static self) {
        if let Some(Ok(threads)) = self.started.get() {
            threads.runtime().stop();
        }
    }

    /// What the library holds and runs at this moment; zeros before it was started.
    pub(super) fn stats(&'static self) -> FfiLibraryStats {
        match self.started.get() {
            Some(Ok(threads)) => threads.runtime().stats(),
            Some(Err(_)) | None => FfiLibraryStats::default(),
        }
    }

    fn started<T: Send + 'static>(&'static self, call: impl FnOnce(Started) -> FfiCall<T>) -> FfiCall<T> {
        match self.started.get() {
            Some(Ok(threads)) => call(Started { functions: &self.functions, threads }),
            Some(Err(error)) => std::future::ready(RErr(FfiError::from(error.clone()))).into_ffi(),
            None => {
                let error = Error::new(ErrorCode::Internal, "the host called the plugin before it was started");
                std::future::ready(RErr(FfiError::from(error))).into_ffi()
            }
        }
    }
}
