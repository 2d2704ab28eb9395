//! The root module: the functions that a library offers, reached through its one exported symbol.

use abi_stable::StableAbi;
use abi_stable::library::RootModule;
use abi_stable::sabi_types::VersionStrings;
use abi_stable::std_types::{RResult, RStr, RVec};

use super::objects::{HostServicesBox, OffloaderBox};
use super::requests::{FfiConfigProblem, FfiDriverConfig, FfiLibraryStats, FfiStartOptions};
use super::{FfiCall, FfiCallContext, FfiError};

/// The symbol that a library exports, and the only one: abi_stable's header, which leads to the [`OffloaderModule`].
pub const ROOT_SYMBOL: &str = abi_stable::library::ROOT_MODULE_LOADER_NAME;

/// What a library offers. Grows at its end only; a host asks for later fields and may be told that they are absent.
#[repr(C)]
#[derive(StableAbi)]
#[sabi(kind(Prefix(prefix_ref = OffloaderModuleRef, prefix_fields = OffloaderModulePrefix)))]
pub struct OffloaderModule {
    /// The plugin's identity: the same bytes as in its note. Any thread, before `start` as well; does not block.
    pub describe: extern "C" fn() -> RStr<'static>,
    /// Starts the library's runtime and connects its log. Called once for each library and process, before all that follows;
    /// the library owns `host` until the process ends. Starts threads, and waits for nothing else.
    pub start: extern "C" fn(host: HostServicesBox, options: FfiStartOptions) -> RResult<(), FfiError>,
    /// Checks a configuration; any thread, after `start`.
    pub validate: extern "C" fn(context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<RVec<FfiConfigProblem>>,
    /// Makes a driver's instance, which the host owns; any thread, after `start`.
    pub create: extern "C" fn(context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<OffloaderBox>,
    /// What the library holds and runs at this moment; any thread, zeros before `start`. Does not block.
    pub stats: extern "C" fn() -> FfiLibraryStats,
    /// Ends the library's runtime, once, when the host holds no object of it any more: tasks end at their next `await`, threads
    /// when they come back from blocking work. Returns at once; calls afterwards answer `Unavailable`.
    #[sabi(last_prefix_field)]
    pub stop: extern "C" fn(),
}

impl RootModule for OffloaderModuleRef {
    abi_stable::declare_root_module_statics! {OffloaderModuleRef}
    const BASE_NAME: &'static str = "longshore_offloader";
    const NAME: &'static str = "longshore_offloader";
    const VERSION_STRINGS: VersionStrings = VersionStrings::new(crate::version::ABI_VERSION);
}
