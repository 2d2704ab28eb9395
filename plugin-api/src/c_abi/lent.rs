//! What the host offers to a library: tables of its own functions, each with the host's `self`.

use std::ffi::c_void;

use super::values::{Batch, Code, ErrorBuffer, LedgerMetadata, LogEvent, Metric, ScannedLedger, Str};

#[repr(C)]
#[derive(Debug)]
pub struct Host {
    pub struct_size: usize,
    pub api_major: u32,
    pub api_minor: u32,
    pub api_patch: u32,
    pub reserved: u32,
    /// `self`.
    pub this: *mut c_void,
    pub log_enabled: unsafe extern "C" fn(host: *const Host, level: u32, target: Str) -> u32,
    pub log: unsafe extern "C" fn(host: *const Host, event: *const LogEvent),
    pub metric: unsafe extern "C" fn(host: *const Host, metric: *const Metric) -> u64,
    pub metric_record: unsafe extern "C" fn(host: *const Host, series: u64, value: f64),
    pub get_extension: unsafe extern "C" fn(host: *const Host, id: Str) -> *const c_void,
}

#[repr(C)]
#[derive(Debug)]
pub struct Call {
    pub struct_size: usize,
    /// `self`.
    pub this: *mut c_void,
    pub cancelled: unsafe extern "C" fn(call: *const Call) -> u32,
    pub timeout_ms: u64,
    pub trace_id: [u8; 16],
    pub span_id: [u8; 8],
    pub trace_flags: u32,
    pub reserved: u32,
}

#[repr(C)]
#[derive(Debug)]
pub struct Ledger {
    pub struct_size: usize,
    /// `self`.
    pub this: *mut c_void,
    pub metadata: *const LedgerMetadata,
    pub read: unsafe extern "C" fn(
        ledger: *const Ledger,
        first: u64,
        last: u64,
        max_bytes: u64,
        out: *mut Batch,
        error: *mut ErrorBuffer,
    ) -> Code,
    pub progress: unsafe extern "C" fn(ledger: *const Ledger, bytes: u64),
}

#[repr(C)]
#[derive(Debug)]
pub struct Problems {
    pub struct_size: usize,
    /// `self`.
    pub this: *mut c_void,
    pub report: unsafe extern "C" fn(problems: *const Problems, key: Str, value: Str, problem: Str),
}

#[repr(C)]
#[derive(Debug)]
pub struct Pairs {
    pub struct_size: usize,
    /// `self`.
    pub this: *mut c_void,
    pub put: unsafe extern "C" fn(pairs: *const Pairs, name: Str, value: Str),
}

#[repr(C)]
#[derive(Debug)]
pub struct Page {
    pub struct_size: usize,
    /// `self`.
    pub this: *mut c_void,
    pub put: unsafe extern "C" fn(page: *const Page, ledger: *const ScannedLedger),
    pub next: unsafe extern "C" fn(page: *const Page, after: Str),
}
