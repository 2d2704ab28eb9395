//! The bodies of frames without entries: protobuf, for its tolerance of fields that one end does not know.
//!
//! Here is what is sent; `conversion` makes it of the safe types of the plugin API and back. Texts that the child sends are not
//! believed: whoever uses them bounds and checks them as if they came from a library in this process.

mod conversion;

use prost::Message;

pub use self::conversion::{call_body, from_pairs, read, read_call, to_pairs};

/// The version of the protocol. Both ends are the same binary, so that any difference is a mistake.
pub const VERSION: u32 = 1;

/// The most series of its own metrics that a child may describe.
pub const SERIES_MAX: usize = 1024;

/// What the host tells the child before anything else.
#[derive(Clone, PartialEq, Message)]
pub struct Hello {
    /// See [`VERSION`].
    #[prost(uint32, tag = "1")]
    pub version: u32,
    /// The library's file name, for messages.
    #[prost(string, tag = "2")]
    pub file: String,
    /// SHA-256 of the bytes that the host checked.
    #[prost(bytes = "vec", tag = "3")]
    pub sha256: Vec<u8>,
    /// Worker threads of the library's runtime.
    #[prost(uint32, tag = "4")]
    pub runtime_workers: u32,
    /// The longest body of entries, in bytes.
    #[prost(uint64, tag = "5")]
    pub entries_bytes_max: u64,
    /// Calls at once in either direction.
    #[prost(uint64, tag = "6")]
    pub calls_max: u64,
    /// The most detailed level of events that anybody wants: 0 none, 1 error to 5 trace.
    #[prost(uint32, tag = "7")]
    pub log_level: u32,
    /// The most memory that the child may write to, in bytes; 0 is no limit.
    #[prost(uint64, tag = "8")]
    pub memory_bytes_max: u64,
}

/// A text.
#[derive(Clone, PartialEq, Message)]
pub struct Text {
    /// The text.
    #[prost(string, tag = "1")]
    pub text: String,
}

/// A number.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Number {
    /// The number.
    #[prost(uint64, tag = "1")]
    pub number: u64,
}

/// A name and its value.
#[derive(Clone, PartialEq, Message)]
pub struct Pair {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// Names and values.
#[derive(Clone, PartialEq, Message)]
pub struct Pairs {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub pairs: Vec<Pair>,
}

/// See [`DriverConfig`](longshore_plugin_api::DriverConfig).
#[derive(Clone, PartialEq, Message)]
pub struct Config {
    /// In the spelling that the plugin claims.
    #[prost(string, tag = "1")]
    pub driver: String,
    /// Key to value.
    #[prost(message, repeated, tag = "2")]
    pub properties: Vec<Pair>,
    /// Where relative paths are looked for.
    #[prost(string, repeated, tag = "3")]
    pub search_folders: Vec<String>,
}

/// See [`ConfigProblem`](longshore_plugin_api::ConfigProblem).
#[derive(Clone, PartialEq, Message)]
pub struct Problem {
    /// The key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Its value.
    #[prost(string, optional, tag = "2")]
    pub value: Option<String>,
    /// What is wrong.
    #[prost(string, tag = "3")]
    pub problem: String,
}

/// What is wrong with a configuration.
#[derive(Clone, PartialEq, Message)]
pub struct Problems {
    /// Each of them.
    #[prost(message, repeated, tag = "1")]
    pub problems: Vec<Problem>,
}

/// A name and its bytes.
#[derive(Clone, PartialEq, Message)]
pub struct Custom {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// The value.
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// See [`LedgerMetadata`](longshore_plugin_api::LedgerMetadata).
#[derive(Clone, PartialEq, Message)]
pub struct Metadata {
    /// The ledger.
    #[prost(uint64, tag = "1")]
    pub ledger_id: u64,
    /// Entries.
    #[prost(uint64, tag = "2")]
    pub entry_count: u64,
    /// Bytes of payload.
    #[prost(uint64, tag = "3")]
    pub length_bytes: u64,
    /// Milliseconds since 1970.
    #[prost(uint64, tag = "4")]
    pub created_ms: u64,
    /// Whether no entry can follow.
    #[prost(bool, tag = "5")]
    pub closed: bool,
    /// Names and values kept with the ledger.
    #[prost(message, repeated, tag = "6")]
    pub custom: Vec<Custom>,
}

/// Names a copy or an attempt at it: [`StoredLedger`](longshore_plugin_api::StoredLedger) and
/// [`OffloadRequest`](longshore_plugin_api::OffloadRequest).
#[derive(Clone, PartialEq, Message)]
pub struct Stored {
    /// The ledger.
    #[prost(uint64, tag = "1")]
    pub ledger_id: u64,
    /// The attempt, 16 bytes, most significant first.
    #[prost(bytes = "vec", tag = "2")]
    pub uid: Vec<u8>,
    /// The managed ledger's name.
    #[prost(string, tag = "3")]
    pub managed_ledger: String,
    /// The driver's metadata, or what else goes along.
    #[prost(message, repeated, tag = "4")]
    pub pairs: Vec<Pair>,
}

/// Asks for a copy of a ledger.
#[derive(Clone, PartialEq, Message)]
pub struct Offload {
    /// The ledger.
    #[prost(message, required, tag = "1")]
    pub metadata: Metadata,
    /// The attempt.
    #[prost(message, required, tag = "2")]
    pub target: Stored,
}

/// Asks for entries: of an open copy, or of the ledger that is being copied.
#[derive(Clone, Copy, PartialEq, Message)]
pub struct Range {
    /// The call that opened the copy, or the offload.
    #[prost(uint64, tag = "1")]
    pub of: u64,
    /// The first entry.
    #[prost(uint64, tag = "2")]
    pub first: u64,
    /// The last entry, inclusive.
    #[prost(uint64, tag = "3")]
    pub last: u64,
    /// The most bytes of payload, but for the first entry.
    #[prost(uint64, tag = "4")]
    pub max_bytes: u64,
}

/// See [`ScanRequest`](longshore_plugin_api::ScanRequest).
#[derive(Clone, PartialEq, Message)]
pub struct Scan {
    /// Where to go on.
    #[prost(string, optional, tag = "1")]
    pub after: Option<String>,
    /// The most copies of a page.
    #[prost(uint32, tag = "2")]
    pub limit: u32,
}

/// See [`ScannedLedger`](longshore_plugin_api::ScannedLedger).
#[derive(Clone, PartialEq, Message)]
pub struct Scanned {
    /// The ledger.
    #[prost(uint64, tag = "1")]
    pub ledger_id: u64,
    /// The attempt, 16 bytes, most significant first.
    #[prost(bytes = "vec", tag = "2")]
    pub uid: Vec<u8>,
    /// The managed ledger's name.
    #[prost(string, optional, tag = "3")]
    pub managed_ledger: Option<String>,
    /// Bytes in the store.
    #[prost(uint64, tag = "4")]
    pub size_bytes: u64,
}

/// See [`ScanPage`](longshore_plugin_api::ScanPage).
#[derive(Clone, PartialEq, Message)]
pub struct Page {
    /// The copies.
    #[prost(message, repeated, tag = "1")]
    pub ledgers: Vec<Scanned>,
    /// Where the next page begins.
    #[prost(string, optional, tag = "2")]
    pub next: Option<String>,
}

/// See [`Error`](longshore_plugin_api::Error).
#[derive(Clone, PartialEq, Message)]
pub struct Failure {
    /// The stable code.
    #[prost(uint32, tag = "1")]
    pub code: u32,
    /// 0 never, 1 at once, 2 later.
    #[prost(uint32, tag = "2")]
    pub retry: u32,
    /// What was tried.
    #[prost(string, tag = "3")]
    pub message: String,
    /// The causes, nearest first.
    #[prost(string, repeated, tag = "4")]
    pub chain: Vec<String>,
}

/// A span around an event.
#[derive(Clone, PartialEq, Message)]
pub struct Span {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its fields.
    #[prost(message, repeated, tag = "2")]
    pub fields: Vec<Pair>,
}

/// An event of the library's log.
#[derive(Clone, PartialEq, Message)]
pub struct Event {
    /// 1 error to 5 trace.
    #[prost(uint32, tag = "1")]
    pub level: u32,
    /// The target.
    #[prost(string, tag = "2")]
    pub target: String,
    /// The message.
    #[prost(string, tag = "3")]
    pub message: String,
    /// Its fields.
    #[prost(message, repeated, tag = "4")]
    pub fields: Vec<Pair>,
    /// The spans around it, outermost first.
    #[prost(message, repeated, tag = "5")]
    pub spans: Vec<Span>,
    /// Events that were left out before this one, since too many were on their way.
    #[prost(uint64, tag = "6")]
    pub left_out: u64,
    /// The source file; empty where unknown.
    #[prost(string, tag = "7")]
    pub file: String,
    /// The line in it; 0 where unknown.
    #[prost(uint32, tag = "8")]
    pub line: u32,
    /// The call in which it happened.
    #[prost(message, optional, tag = "9")]
    pub context: Option<Context>,
}

/// One series of the library's own metrics.
#[derive(Clone, PartialEq, Message)]
pub struct Metric {
    /// 1 counter, 2 gauge, 3 histogram.
    #[prost(uint32, tag = "1")]
    pub kind: u32,
    /// The name.
    #[prost(string, tag = "2")]
    pub name: String,
    /// One sentence for people.
    #[prost(string, tag = "3")]
    pub help: String,
    /// What tells this series from others of the name.
    #[prost(message, repeated, tag = "4")]
    pub labels: Vec<Pair>,
    /// Upper bounds of a histogram's buckets.
    #[prost(double, repeated, tag = "5")]
    pub buckets: Vec<f64>,
}

/// Values of one series, in their order.
#[derive(Clone, PartialEq, Message)]
pub struct Sample {
    /// The series.
    #[prost(uint64, tag = "1")]
    pub series: u64,
    /// The values.
    #[prost(double, repeated, tag = "2")]
    pub values: Vec<f64>,
}

/// Values of several series.
#[derive(Clone, PartialEq, Message)]
pub struct Samples {
    /// By series.
    #[prost(message, repeated, tag = "1")]
    pub samples: Vec<Sample>,
}

/// What goes along with each call, in front of its body. The caller's own number for its span stays with the caller.
#[derive(Clone, PartialEq, Message)]
pub struct Context {
    /// The W3C trace id, 16 bytes, most significant first; empty where there is none.
    #[prost(bytes = "vec", tag = "1")]
    pub trace_id: Vec<u8>,
    /// The W3C id of the caller's span, 8 bytes, most significant first.
    #[prost(bytes = "vec", tag = "2")]
    pub span_id: Vec<u8>,
    /// The W3C trace flags.
    #[prost(uint32, tag = "3")]
    pub trace_flags: u32,
    /// How long the caller is going to wait, in milliseconds.
    #[prost(uint64, tag = "4")]
    pub timeout_ms: u64,
    /// The host's call in which an event happened; 0 outside of calls.
    #[prost(uint64, tag = "5")]
    pub call: u64,
}
