//! What the export macro stands on: the root module of a plugin, generic over the author's factory.
//!
//! [`export_offloader!`](crate::export_offloader) emits two statics, the identity note and the root symbol; all code behind
//! them is here, so that an author's crate can forbid unsafe code.

use abi_stable::library::{__call_root_module_loader, CheckTypeLayout, LibHeader, RootModuleResult};
use abi_stable::prefix_type::PrefixTypeTrait;
use abi_stable::std_types::{RErr, RResult, RStr, RVec};
use async_ffi::FutureExt;

use crate::abi::{
    FfiCall, FfiCallContext, FfiConfigProblem, FfiDriverConfig, FfiError, FfiLibraryStats, FfiStartOptions,
    HostServicesBox, OffloaderBox, OffloaderModule, OffloaderModuleRef,
};
use crate::config::DriverConfig;
use crate::error::Error;
use crate::offloader::OffloaderFactory;
use crate::runtime::{self, adapter};

/// The type of the exported symbol.
pub type RootSymbol = LibHeader;

/// A plugin as the export macro describes it. Implemented by the macro alone.
pub trait ExportedPlugin: 'static {
    /// The author's factory.
    type Factory: OffloaderFactory;
    /// The JSON of the identity note.
    const NOTE_JSON: &'static [u8];
}

/// The exported symbol's value: abi_stable's header in front of the root module.
#[allow(unsafe_code)]
pub const fn root_symbol<P: ExportedPlugin>() -> RootSymbol {
    // SAFETY: `construct` answers an `OffloaderModuleRef`, the very module type that is named here.
    unsafe { LibHeader::from_constructor::<OffloaderModuleRef>(construct::<P>, CheckTypeLayout::Yes) }
}

/// The root module, for tests that call a plugin's table without a library.
pub fn root_module<P: ExportedPlugin>() -> OffloaderModuleRef {
    OffloaderModule { describe: describe::<P>, start, validate: validate::<P>, create: create::<P>, stats, stop }
        .leak_into_prefix()
}

/// Called once, by the host's loader; a panic ends inside `__call_root_module_loader`.
extern "C" fn construct<P: ExportedPlugin>() -> RootModuleResult {
    __call_root_module_loader(root_module::<P>)
}

extern "C" fn describe<P: ExportedPlugin>() -> RStr<'static> {
    const {
        match std::str::from_utf8(P::NOTE_JSON) {
            Ok(json) => RStr::from_str(json),
            Err(_) => panic!("a note is UTF-8, as the strings that it is made of"),
        }
    }
}

extern "C" fn start(host: HostServicesBox, options: FfiStartOptions) -> RResult<(), FfiError> {
    runtime::start(host, &options).map_err(FfiError::from).into()
}

extern "C" fn stats() -> FfiLibraryStats {
    runtime::guard::catch("stats", || Ok(runtime::stats())).unwrap_or_default()
}

extern "C" fn stop() {
    // A panic has been reported by the hook, and there is nobody to tell.
    let _ = runtime::guard::catch("stop", || {
        runtime::stop();
        Ok(())
    });
}

extern "C" fn validate<P: ExportedPlugin>(
    context: FfiCallContext,
    config: FfiDriverConfig,
) -> FfiCall<RVec<FfiConfigProblem>> {
    match runtime::started() {
        Ok(runtime) => adapter::validate::<P::Factory>(runtime, context, DriverConfig::from(config)),
        Err(error) => failed(error),
    }
}

extern "C" fn create<P: ExportedPlugin>(context: FfiCallContext, config: FfiDriverConfig) -> FfiCall<OffloaderBox> {
    match runtime::started() {
        Ok(runtime) => adapter::create(runtime, context, P::Factory::create(DriverConfig::from(config))),
        Err(error) => failed(error),
    }
}

fn failed<T: Send + 'static>(error: Error) -> FfiCall<T> {
    std::future::ready(RErr(FfiError::from(error))).into_ffi()
}

/// Makes a crate of type `cdylib` a plugin: emits its identity note and its one exported symbol.
///
/// `name` is the plugin's name, `drivers` the driver names that it claims; both are letters, digits, `-`, `_` and `.`. Version,
/// description, license and repository come from the crate's `Cargo.toml`. Use it once in a crate. Works under
/// `#![forbid(unsafe_code)]`.
///
/// `schema`, which may be left out, is the text of the configuration schema ([`crate::schema`]), say
/// `include_str!("../config.schema.json")`; a mistake in its form is an error of the compiler.
///
/// The crate's documentation has a whole plugin.
#[macro_export]
macro_rules! export_offloader {
    (factory: $factory:ty, name: $name:expr, drivers: [$($driver:expr),+ $(,)?] $(, schema: $schema:expr)? $(,)?) => {
        #[doc(hidden)]
        const _: () = {
            const CONFIG_SCHEMA: &str = [$($schema,)? ""][0];
            const _: () = $crate::schema::assert_valid(CONFIG_SCHEMA);
            const IDENTITY: $crate::note::Identity = $crate::note::Identity {
                name: $name,
                version: env!("CARGO_PKG_VERSION"),
                description: env!("CARGO_PKG_DESCRIPTION"),
                license: env!("CARGO_PKG_LICENSE"),
                homepage: env!("CARGO_PKG_REPOSITORY"),
                drivers: &[$($driver),+],
                panic: if cfg!(panic = "unwind") { $crate::note::PANIC_UNWIND } else { "abort" },
                config_schema: CONFIG_SCHEMA,
            };
            const JSON_LEN: usize = $crate::note::json_len(&IDENTITY);
            const JSON: [u8; JSON_LEN] = $crate::note::json(&IDENTITY);

            struct Exported;

            impl $crate::export::ExportedPlugin for Exported {
                type Factory = $factory;
                const NOTE_JSON: &'static [u8] = &JSON;
            }

            // The section must be `note::NOTE_SECTION`; an attribute takes a literal only.
            #[used]
            #[unsafe(link_section = ".note.longshore")]
            static NOTE: $crate::note::Note<JSON_LEN> = $crate::note::Note::new(JSON);

            // The name must be `abi::ROOT_SYMBOL`; an attribute takes a literal only.
            #[unsafe(export_name = "_1as_0lib_1header_0root_bmodule_bloader")]
            pub static ROOT: $crate::export::RootSymbol = $crate::export::root_symbol::<Exported>();
        };
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_literals_in_the_macro_are_the_names_of_the_contract() {
        let source = include_str!("export.rs");
        assert!(
            source.contains(&format!("export_name = \"{}\"", crate::abi::ROOT_SYMBOL)),
            "{}",
            crate::abi::ROOT_SYMBOL
        );
        assert!(source.contains(&format!("link_section = \"{}\"", crate::note::NOTE_SECTION)));
    }
}
