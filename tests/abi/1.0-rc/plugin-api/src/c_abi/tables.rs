//! What a library offers: the exported constant and the three tables it leads to. Functions are optional here, because a table
//! may be shorter than ours or have holes; who reads one checks what is needed.

use std::ffi::c_void;
use std::mem::{offset_of, size_of};

use super::lent::{Call, Host, Ledger, Page, Pairs, Problems};
use super::values::{Batch, Bytes, Code, Config, ErrorBuffer, OffloadRequest, StoredLedger, Str};

/// A structure of a library that begins with its size, and may be shorter or longer than ours.
///
/// # Safety
/// The first member is `struct_size: usize`, all zeros is a valid value, and no member needs to be dropped.
#[allow(unsafe_code)]
pub unsafe trait Table: Sized {
    /// The name in the header.
    const NAME: &'static str;
    /// The size in version 1.0, which no table may fall below.
    const SIZE_MIN: usize;
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Root {
    pub struct_size: usize,
    pub api_major: u32,
    pub api_minor: u32,
    pub api_patch: u32,
    pub reserved: u32,
    pub note: Str,
    pub plugin: *const Plugin,
    pub driver: *const Driver,
    pub read_handle: *const ReadHandle,
}

/// `start` of a plugin.
pub type Start = unsafe extern "C" fn(host: *const Host, error: *mut ErrorBuffer) -> Code;

/// `validate` of a plugin.
pub type Validate = unsafe extern "C" fn(call: *const Call, config: *const Config, problems: *const Problems);

/// `create` of a plugin.
pub type Create = unsafe extern "C" fn(
    call: *const Call,
    config: *const Config,
    driver: *mut *mut c_void,
    error: *mut ErrorBuffer,
) -> Code;

/// `get_extension` of a plugin.
pub type GetExtension = unsafe extern "C" fn(id: Str) -> *const c_void;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Plugin {
    pub struct_size: usize,
    pub start: Option<Start>,
    pub validate: Option<Validate>,
    pub create: Option<Create>,
    pub get_extension: Option<GetExtension>,
}

/// `offload` of a driver.
pub type Offload = unsafe extern "C" fn(
    this: *mut c_void,
    call: *const Call,
    ledger: *const Ledger,
    request: *const OffloadRequest,
    error: *mut ErrorBuffer,
) -> Code;

/// `open_read` of a driver.
pub type OpenRead = unsafe extern "C" fn(
    this: *mut c_void,
    call: *const Call,
    stored: *const StoredLedger,
    handle: *mut *mut c_void,
    stored_form: *mut Bytes,
    error: *mut ErrorBuffer,
) -> Code;

/// `delete_ledger` of a driver.
pub type DeleteLedger = unsafe extern "C" fn(
    this: *mut c_void,
    call: *const Call,
    stored: *const StoredLedger,
    error: *mut ErrorBuffer,
) -> Code;

/// `destroy` of a driver, `close` of a read handle.
pub type GiveBack = unsafe extern "C" fn(this: *mut c_void);

/// `driver_metadata` of a driver.
pub type DriverMetadata = unsafe extern "C" fn(this: *mut c_void, pairs: *const Pairs);

/// `scan` of a driver.
pub type Scan = unsafe extern "C" fn(
    this: *mut c_void,
    call: *const Call,
    after: Str,
    limit: u32,
    page: *const Page,
    error: *mut ErrorBuffer,
) -> Code;

/// `health` of a driver.
pub type Health = unsafe extern "C" fn(this: *mut c_void, call: *const Call, error: *mut ErrorBuffer) -> Code;

/// `shutdown` of a driver.
pub type Shutdown = unsafe extern "C" fn(this: *mut c_void, call: *const Call, deadline_ms: u64);

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Driver {
    pub struct_size: usize,
    pub offload: Option<Offload>,
    pub open_read: Option<OpenRead>,
    pub delete_ledger: Option<DeleteLedger>,
    pub destroy: Option<GiveBack>,
    pub driver_metadata: Option<DriverMetadata>,
    pub scan: Option<Scan>,
    pub health: Option<Health>,
    pub shutdown: Option<Shutdown>,
}

/// `read` of a read handle.
pub type Read = unsafe extern "C" fn(
    this: *mut c_void,
    call: *const Call,
    first: u64,
    last: u64,
    max_bytes: u64,
    out: *mut Batch,
    error: *mut ErrorBuffer,
) -> Code;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct ReadHandle {
    pub struct_size: usize,
    pub read: Option<Read>,
    pub close: Option<GiveBack>,
}

macro_rules! tables {
    ($($type:ident = $name:literal, up to $last:ident;)*) => {
        $(
            // SAFETY: the structure above begins with `struct_size`; its members are numbers, pointers and optional functions.
            #[allow(unsafe_code)]
            unsafe impl Table for $type {
                const NAME: &'static str = $name;
                // Of 1.0; the last member that version had is a pointer.
                const SIZE_MIN: usize = offset_of!($type, $last) + size_of::<usize>();
            }
        )*
    };
}

tables! {
    Root = "offloader_root", up to read_handle;
    Plugin = "offloader_plugin_t", up to get_extension;
    Driver = "offloader_driver_t", up to shutdown;
    ReadHandle = "offloader_read_handle_t", up to close;
}
