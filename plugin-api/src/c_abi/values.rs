//! Values and records: plain data, each lent for one call unless the header says otherwise.

use std::ffi::{c_char, c_void};
use std::ptr;

pub type Code = u32;

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Str {
    pub ptr: *const c_char,
    pub len: usize,
}

impl Str {
    /// The text that is absent.
    pub const NULL: Self = Self { ptr: ptr::null(), len: 0 };

    /// `text`, for as long as it lives.
    pub const fn lend(text: &str) -> Self {
        Self { ptr: text.as_ptr().cast(), len: text.len() }
    }
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    pub ptr: *const u8,
    pub len: usize,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Pair {
    pub name: Str,
    pub value: Str,
}

#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub entry_id: u64,
    pub payload: Bytes,
}

#[repr(C)]
#[derive(Debug)]
pub struct Batch {
    pub struct_size: usize,
    pub entries: *const Entry,
    pub count: usize,
    pub owner: *mut c_void,
    pub release: Option<unsafe extern "C" fn(owner: *mut c_void)>,
}

/// `offloader_error_t`.
#[repr(C)]
#[derive(Debug)]
pub struct ErrorBuffer {
    pub struct_size: usize,
    pub retry: u32,
    pub reserved: u32,
    pub message: *mut c_char,
    pub message_capacity: usize,
    pub message_len: usize,
    pub retry_after_ms: u64,
}

#[repr(C)]
#[derive(Debug)]
pub struct LedgerMetadata {
    pub struct_size: usize,
    pub ledger_id: u64,
    pub entry_count: u64,
    pub length_bytes: u64,
    pub created_ms: u64,
    pub closed: u32,
    pub reserved: u32,
    pub stored_form: Bytes,
}

#[repr(C)]
#[derive(Debug)]
pub struct Config {
    pub struct_size: usize,
    pub driver: Str,
    pub properties: *const Pair,
    pub property_count: usize,
    pub search_folders: *const Str,
    pub search_folder_count: usize,
}

#[repr(C)]
#[derive(Debug)]
pub struct OffloadRequest {
    pub struct_size: usize,
    pub ledger_id: u64,
    pub uid: [u8; 16],
    pub managed_ledger: Str,
    pub extra: *const Pair,
    pub extra_count: usize,
}

#[repr(C)]
#[derive(Debug)]
pub struct StoredLedger {
    pub struct_size: usize,
    pub ledger_id: u64,
    pub uid: [u8; 16],
    pub managed_ledger: Str,
    pub driver_metadata: *const Pair,
    pub driver_metadata_count: usize,
}

#[repr(C)]
#[derive(Debug)]
pub struct ScannedLedger {
    pub struct_size: usize,
    pub ledger_id: u64,
    pub uid: [u8; 16],
    pub managed_ledger: Str,
    pub size_bytes: u64,
}

#[repr(C)]
#[derive(Debug)]
pub struct LogEvent {
    pub struct_size: usize,
    pub level: u32,
    pub reserved: u32,
    pub target: Str,
    pub message: Str,
    pub fields: *const Pair,
    pub field_count: usize,
}

#[repr(C)]
#[derive(Debug)]
pub struct Metric {
    pub struct_size: usize,
    pub kind: u32,
    pub reserved: u32,
    pub name: Str,
    pub help: Str,
    pub labels: *const Pair,
    pub label_count: usize,
    pub buckets: *const f64,
    pub bucket_count: usize,
}
