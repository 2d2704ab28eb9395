//! What a loaded library offers, whatever its entry: the functions of the root module.

use abi_stable::std_types::{RResult, RVec};
use longshore_plugin_api::abi::{
    FfiCall, FfiCallContext, FfiConfigProblem, FfiDriverConfig, FfiError, FfiLibraryStats, FfiStartOptions,
    HostServicesBox, OffloaderBox, OffloaderModuleRef,
};

use super::c_module::CModule;

/// The root of a library, valid until the process ends.
#[derive(Clone, Copy)]
pub(super) enum Module {
    /// Built by the export macro of the plugin API.
    Rust(OffloaderModuleRef),
    /// Built by `OFFLOADER_EXPORT` of `offloader.h`.
    C(&'static CModule),
}

impl Module {
    /// The JSON of its note, as the library repeats it.
    pub(super) fn describe(self) -> &'static str {
        match self {
            Self::Rust(module) => module.describe()().as_str(),
            Self::C(module) => module.describe(),
        }
    }

    /// Starts the library; once for each process, later calls answer as the first.
    pub(super) fn start(self, host: HostServicesBox, options: FfiStartOptions) -> RResult<(), FfiError> {
        match self {
            Self::Rust(module) => module.start()(host, options),
            Self::C(module) => module.start(host, &options),
        }
    }

    /// Checks a configuration.
    pub(super) fn validate(self, context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<RVec<FfiConfigProblem>> {
        match self {
            Self::Rust(module) => module.validate()(context, config),
            Self::C(module) => module.validate(context, config),
        }
    }

    /// Makes a driver's instance.
    pub(super) fn create(self, context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<OffloaderBox> {
        match self {
            Self::Rust(module) => module.create()(context, config),
            Self::C(module) => module.create(context, config),
        }
    }

    /// Ends the library's runtime, for good; returns at once. See [`super::PluginHost::stop_libraries`].
    pub(super) fn stop(self) {
        match self {
            Self::Rust(module) => module.stop()(),
            Self::C(module) => module.stop(),
        }
    }

    /// What the library holds and runs at this moment.
    pub(super) fn stats(self) -> FfiLibraryStats {
        match self {
            Self::Rust(module) => module.stats()(),
            Self::C(module) => module.stats(),
        }
    }
}
