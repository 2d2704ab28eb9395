//! Opens inspected bytes as a library, by the entry that its note names, and proves from inside that it is what its note says.
//!
//! The bytes go into a sealed memory file, so that neither a copy over the plugin's file nor its deletion can reach what runs.
//! A library stays mapped until the process ends, and its memory file's number is never used again (the system's loader
//! knows libraries by name): both are leaked on purpose, once for each distinct content. Loading the same content again
//! answers the same module.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write};
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

use abi_stable::StableAbi;
use abi_stable::library::{AbiHeaderRef, LibHeader, ROOT_MODULE_LOADER_NAME_WITH_NUL};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use longshore_plugin_api::abi::OffloaderModuleRef;
use longshore_plugin_api::c_abi;
use longshore_plugin_api::note::EntryKind;
use rustix::fs::{MemfdFlags, SealFlags};

use super::c_module::{CModule, TableProblem};
use super::elf::FoundNote;
use super::inspect::Image;
use super::layout;
use super::module::Module;
use super::private_copy;

/// `RTLD_NODELETE` of glibc and musl on Linux: the library stays mapped whatever closes it.
const RTLD_NODELETE: i32 = 0x1000;

/// `MFD_EXEC` of Linux 6.3: the memory file may be mapped for execution whatever `vm.memfd_noexec` says.
const MFD_EXEC: u32 = 0x10;

/// Why inspected bytes could not be opened as a plugin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum LoadError {
    /// No memory file, and no private copy.
    #[error("copying it to memory failed: {0}")]
    Memory(#[from] io::Error),
    /// The system's loader refuses (a missing library, an undefined symbol).
    #[error("the system cannot load it: {0}")]
    System(String),
    /// A library without our entry.
    #[error("it has an identity note but does not export an offloader; use the export macro of the plugin API")]
    NoRoot,
    /// A library whose note promises another entry than it has.
    #[error("its note says that its entry is C, but it does not export {symbol}; let OFFLOADER_EXPORT of offloader.h make both", symbol = c_abi::ROOT_SYMBOL)]
    NoCRoot,
    /// The tables of a library whose entry is C.
    #[error("{0}; compile it against offloader.h of plugin API {host}", host = longshore_plugin_api::version::ABI_VERSION)]
    Tables(#[from] TableProblem),
    /// An entry by another abi_stable, or another C ABI.
    #[error("its entry is of another kind than this host's: {0}")]
    Header(String),
    /// A type that crosses differs.
    #[error("{reason}; it was built for plugin API {plugin}, this host offers {host}; rebuild it")]
    Layout {
        /// Type, field and the difference.
        reason: String,
        /// Of the plugin.
        plugin: String,
        /// Of this host.
        host: String,
    },
    /// Note and library were built against different contracts.
    #[error("its note says plugin API {note}, the library itself says {library}; rebuild it")]
    Version {
        /// In the note.
        note: String,
        /// In the library.
        library: String,
    },
    /// The constructor of the root module failed.
    #[error("its root module could not be made: {0}")]
    Root(String),
    /// The library says something else about itself than its note.
    #[error("its note lies: the library describes itself as {0}")]
    NoteLies(String),
}

static LOADED: Mutex<Option<HashMap<[u8; 32], Module>>> = Mutex::new(None);

/// Opens `image` and answers its root, which is valid until the process ends.
///
/// Runs the library's constructors on this thread.
///
/// # Errors
/// See [`LoadError`].
pub(super) fn load(name: &str, image: &Image, found: &FoundNote) -> Result<Module, LoadError> {
    // Held while loading, so that two callers do not load one content twice.
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let loaded = loaded.get_or_insert_default();
    let module = match loaded.get(&image.sha256) {
        Some(module) => *module,
        None => {
            let library = open_library(name, image)?;
            let module = match found.note.entry {
                EntryKind::Rust => Module::Rust(open_rust(&library, found)?),
                EntryKind::C => Module::C(open_c(&library, found)?),
            };
            loaded.insert(image.sha256, module);
            module
        }
    };
    let described = module.describe();
    if described.as_bytes() != found.json {
        return Err(LoadError::NoteLies(described.chars().take(400).collect::<String>().escape_debug().to_string()));
    }
    Ok(module)
}

/// The root module of a library made by the export macro.
fn open_rust(library: &Library, found: &FoundNote) -> Result<OffloaderModuleRef, LoadError> {
    let header = open_header(library)?;
    let library_api = header.version_strings().to_string();
    if library_api != found.note.api.to_string() {
        return Err(LoadError::Version { note: found.note.api.to_string(), library: library_api });
    }
    let Some(plugin_layout) = header.layout() else {
        return Err(LoadError::Header("it was built without a description of its types".to_owned()));
    };
    layout::check_both_ways(OffloaderModuleRef::LAYOUT, plugin_layout).map_err(|reason| LoadError::Layout {
        reason,
        plugin: library_api,
        host: longshore_plugin_api::version::ABI_VERSION.to_owned(),
    })?;
    // SAFETY: one side's every type is a checked prefix of the other's (`check_both_ways`), and the accessors of prefix types
    // test at run time whether a field is there; the header came from a library that stays mapped.
    let module = unsafe { header.unchecked_layout::<OffloaderModuleRef>() };
    module.map_err(|e| LoadError::Root(e.to_string()))
}

/// The tables of a library made by `OFFLOADER_EXPORT`.
fn open_c(library: &Library, found: &FoundNote) -> Result<&'static CModule, LoadError> {
    // SAFETY: a symbol of that name is the constant of `offloader.h`; only its address is taken here.
    let root = unsafe { library.get::<*const c_abi::Root>(c_abi::ROOT_SYMBOL.as_bytes()) };
    let root = *root.map_err(|_| LoadError::NoCRoot)?;
    // SAFETY: the symbol of a library that stays mapped.
    let (module, api) = unsafe { CModule::open(root)? };
    if api != found.note.api.to_string() {
        return Err(LoadError::Version { note: found.note.api.to_string(), library: api });
    }
    Ok(module)
}

/// Maps the library for ever. A reference to it may be dropped; the mapping stays.
fn open_library(name: &str, image: &Image) -> Result<ManuallyDrop<Library>, LoadError> {
    let library = open_in_memory(name, image).or_else(|error| open_copy(name, image, error))?;
    // Never closed.
    Ok(ManuallyDrop::new(library))
}

/// abi_stable's header in a library.
fn open_header(library: &Library) -> Result<&'static LibHeader, LoadError> {
    // SAFETY: only a library made by the export macro has this symbol, and there it is a `LibHeader`, whose first part is
    // the header that `AbiHeaderRef` points to; `upgrade` checks its mark before it looks any further.
    let header = unsafe { library.get::<AbiHeaderRef>(ROOT_MODULE_LOADER_NAME_WITH_NUL.as_bytes()) };
    let header: AbiHeaderRef = *header.map_err(|_| LoadError::NoRoot)?;
    header.upgrade().map_err(|e| LoadError::Header(first_line(&e.to_string())))
}

/// Opens the bytes from a sealed memory file.
fn open_in_memory(name: &str, image: &Image) -> Result<Library, LoadError> {
    let memory = sealed_memory(name, &image.bytes)?;
    let library = open_at(&format!("/proc/self/fd/{}", memory.as_raw_fd()), name)?;
    // Never closed: the loader knows the library by this number's name.
    let _number = memory.into_raw_fd();
    Ok(library)
}

/// Opens the bytes from a private copy where the system does not let memory files be executed; else it is the first error.
fn open_copy(name: &str, image: &Image, error: LoadError) -> Result<Library, LoadError> {
    let forbidden = match &error {
        LoadError::Memory(_) => true,
        LoadError::System(words) => private_copy::may_help(words),
        _ => false,
    };
    if !forbidden {
        return Err(error);
    }
    let path = match private_copy::of(image) {
        Ok(path) => path,
        Err(problem) => {
            return Err(LoadError::System(format!("{error}; and keeping a private copy of it failed: {problem}")));
        }
    };
    tracing::debug!(file = name, %error, copy = %path.display(), "a memory file cannot be executed here; a copy is opened");
    open_at(&path.to_string_lossy(), name)
}

fn open_at(path: &str, name: &str) -> Result<Library, LoadError> {
    // SAFETY: constructors of the library run here. That is what loading a plugin means; inspection has admitted the file.
    let library = unsafe { Library::open(Some(path), RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) };
    library.map_err(|e| LoadError::System(system_words(&e, path, name)))
}

/// A memory file with these bytes that nobody can change any more.
pub(super) fn sealed_memory(name: &str, bytes: &[u8]) -> io::Result<OwnedFd> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    // A kernel older than 6.3 does not know the flag, and does not need it.
    let memory = rustix::fs::memfd_create(name, flags | MemfdFlags::from_bits_retain(MFD_EXEC))
        .or_else(|_| rustix::fs::memfd_create(name, flags))?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    rustix::fs::fcntl_add_seals(&file, SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL)?;
    Ok(file.into())
}

/// The loader's own words, with the file's name for the memory file's.
fn system_words(error: &libloading::Error, path: &str, name: &str) -> String {
    let text = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    first_line(&text.replace(path, name))
}

fn first_line(text: &str) -> String {
    text.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("no reason given").to_owned()
}
