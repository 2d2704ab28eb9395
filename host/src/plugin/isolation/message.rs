//! The bodies of frames without entries: protobuf, for its tolerance of fields that one end does not know.
//!
//! Here the safe types of the plugin API stand on one side and what is sent on the other. Texts that the child sends are not
//! believed: whoever uses them bounds and checks them as if they came from a library in this process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longshore_plugin_api::abi::FfiCallContext;
use longshore_plugin_api::offloader::{ScanPage, ScanRequest, ScannedLedger};
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerMetadata, OffloadRequest, Retry, StoredLedger,
};
use prost::Message;
use uuid::Uuid;

use super::frame::{Frame, Kind, ProtocolError};

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

/// See [`DriverConfig`].
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

/// See [`ConfigProblem`].
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

/// See [`LedgerMetadata`].
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

/// Names a copy or an attempt at it: [`StoredLedger`] and [`OffloadRequest`].
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

/// See [`ScanRequest`].
#[derive(Clone, PartialEq, Message)]
pub struct Scan {
    /// Where to go on.
    #[prost(string, optional, tag = "1")]
    pub after: Option<String>,
    /// The most copies of a page.
    #[prost(uint32, tag = "2")]
    pub limit: u32,
}

/// See [`ScannedLedger`].
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

/// See [`ScanPage`].
#[derive(Clone, PartialEq, Message)]
pub struct Page {
    /// The copies.
    #[prost(message, repeated, tag = "1")]
    pub ledgers: Vec<Scanned>,
    /// Where the next page begins.
    #[prost(string, optional, tag = "2")]
    pub next: Option<String>,
}

/// See [`Error`].
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

impl From<FfiCallContext> for Context {
    /// As it goes to the other end, without the caller's number.
    fn from(context: FfiCallContext) -> Self {
        let traced = context.trace().is_some();
        Self {
            trace_id: if traced { context.trace_id.to_vec() } else { Vec::new() },
            span_id: if traced { context.span_id.to_vec() } else { Vec::new() },
            trace_flags: context.trace_flags,
            timeout_ms: context.timeout_ms,
            call: 0,
        }
    }
}

impl From<&Context> for FfiCallContext {
    /// As it came; ids of a wrong length are none. The caller's number is left out.
    fn from(context: &Context) -> Self {
        let trace_id = <[u8; 16]>::try_from(&*context.trace_id).unwrap_or_default();
        let span_id = <[u8; 8]>::try_from(&*context.span_id).unwrap_or_default();
        let (trace_flags, timeout_ms) = (context.trace_flags, context.timeout_ms);
        Self { trace_id, span_id, trace_flags, timeout_ms, ..Self::default() }
    }
}

/// The body of a call: what goes along, then what is asked.
pub fn call_body(context: &Context, asked: &impl Message) -> Vec<u8> {
    let mut body = context.encode_length_delimited_to_vec();
    asked.encode(&mut body).expect("a vector grows");
    body
}

/// Reads the body of a call.
///
/// # Errors
/// `Malformed`.
pub fn read_call<M: Message + Default>(frame: &Frame) -> Result<(Context, M), ProtocolError> {
    let malformed = |error| ProtocolError::malformed(frame.kind, error);
    let mut body = frame.body.clone();
    let context = Context::decode_length_delimited(&mut body).map_err(malformed)?;
    let asked = M::decode(body).map_err(malformed)?;
    Ok((context, asked))
}

/// Reads the body of a frame.
///
/// # Errors
/// `Malformed`.
pub fn read<M: Message + Default>(frame: &Frame) -> Result<M, ProtocolError> {
    M::decode(&*frame.body).map_err(|error| ProtocolError::malformed(frame.kind, error))
}

/// Names and values as they are sent.
pub fn to_pairs(map: &BTreeMap<String, String>) -> Vec<Pair> {
    map.iter().map(|(name, value)| Pair { name: name.clone(), value: value.clone() }).collect()
}

/// Names and values as they are used.
pub fn from_pairs(pairs: Vec<Pair>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|Pair { name, value }| (name, value)).collect()
}

fn uid(kind: Kind, bytes: &[u8]) -> Result<Uuid, ProtocolError> {
    Uuid::from_slice(bytes).map_err(|error| ProtocolError::malformed(kind, error))
}

impl From<DriverConfig> for Config {
    fn from(config: DriverConfig) -> Self {
        let folders = config.search_folders.iter().filter_map(|folder| folder.to_str());
        Self {
            driver: config.driver,
            properties: to_pairs(&config.properties),
            search_folders: folders.map(str::to_owned).collect(),
        }
    }
}

impl From<Config> for DriverConfig {
    fn from(config: Config) -> Self {
        Self {
            driver: config.driver,
            properties: from_pairs(config.properties),
            search_folders: config.search_folders.into_iter().map(PathBuf::from).collect(),
        }
    }
}

impl From<ConfigProblem> for Problem {
    fn from(problem: ConfigProblem) -> Self {
        Self { key: problem.key, value: problem.value, problem: problem.problem }
    }
}

impl From<Problem> for ConfigProblem {
    fn from(problem: Problem) -> Self {
        Self { key: problem.key, value: problem.value, problem: problem.problem }
    }
}

impl From<LedgerMetadata> for Metadata {
    fn from(metadata: LedgerMetadata) -> Self {
        let custom = metadata.custom.into_iter().map(|(name, value)| Custom { name, value });
        Self {
            ledger_id: metadata.ledger_id,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
            created_ms: metadata.created_ms,
            closed: metadata.closed,
            custom: custom.collect(),
        }
    }
}

impl From<Metadata> for LedgerMetadata {
    fn from(metadata: Metadata) -> Self {
        let custom = metadata.custom.into_iter().map(|Custom { name, value }| (name, value));
        Self {
            ledger_id: metadata.ledger_id,
            entry_count: metadata.entry_count,
            length_bytes: metadata.length_bytes,
            created_ms: metadata.created_ms,
            closed: metadata.closed,
            custom: custom.collect(),
        }
    }
}

impl From<OffloadRequest> for Stored {
    fn from(request: OffloadRequest) -> Self {
        Self {
            ledger_id: request.ledger_id,
            uid: request.uid.into_bytes().to_vec(),
            managed_ledger: request.managed_ledger,
            pairs: to_pairs(&request.extra),
        }
    }
}

impl From<StoredLedger> for Stored {
    fn from(stored: StoredLedger) -> Self {
        Self {
            ledger_id: stored.ledger_id,
            uid: stored.uid.into_bytes().to_vec(),
            managed_ledger: stored.managed_ledger,
            pairs: to_pairs(&stored.driver_metadata),
        }
    }
}

impl Stored {
    /// As the request for a copy.
    ///
    /// # Errors
    /// `Malformed` where the uid has another length than 16.
    pub fn into_request(self) -> Result<OffloadRequest, ProtocolError> {
        Ok(OffloadRequest {
            ledger_id: self.ledger_id,
            uid: uid(Kind::Offload, &self.uid)?,
            managed_ledger: self.managed_ledger,
            extra: from_pairs(self.pairs),
        })
    }

    /// As the name of a copy, which came in a frame of this kind.
    ///
    /// # Errors
    /// `Malformed` where the uid has another length than 16.
    pub fn into_stored(self, kind: Kind) -> Result<StoredLedger, ProtocolError> {
        Ok(StoredLedger {
            ledger_id: self.ledger_id,
            uid: uid(kind, &self.uid)?,
            managed_ledger: self.managed_ledger,
            driver_metadata: from_pairs(self.pairs),
        })
    }
}

impl From<ScanRequest> for Scan {
    fn from(request: ScanRequest) -> Self {
        Self { after: request.after, limit: request.limit }
    }
}

impl From<Scan> for ScanRequest {
    fn from(request: Scan) -> Self {
        Self { after: request.after, limit: request.limit }
    }
}

impl From<ScanPage> for Page {
    fn from(page: ScanPage) -> Self {
        let ledgers = page.ledgers.into_iter().map(|ledger| Scanned {
            ledger_id: ledger.ledger_id,
            uid: ledger.uid.into_bytes().to_vec(),
            managed_ledger: ledger.managed_ledger,
            size_bytes: ledger.size_bytes,
        });
        Self { ledgers: ledgers.collect(), next: page.next }
    }
}

impl Page {
    /// As the plugin API has it.
    ///
    /// # Errors
    /// `Malformed` where a uid has another length than 16.
    pub fn into_page(self) -> Result<ScanPage, ProtocolError> {
        let ledgers = self.ledgers.into_iter().map(|ledger| {
            Ok(ScannedLedger {
                ledger_id: ledger.ledger_id,
                uid: uid(Kind::Answer, &ledger.uid)?,
                managed_ledger: ledger.managed_ledger,
                size_bytes: ledger.size_bytes,
            })
        });
        Ok(ScanPage { ledgers: ledgers.collect::<Result<_, ProtocolError>>()?, next: self.next })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self {
            code: error.code().0,
            retry: match error.retry() {
                Retry::Never => 0,
                Retry::Now => 1,
                Retry::Later => 2,
            },
            message: error.message().to_owned(),
            chain: error.chain().to_vec(),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        let retry = match failure.retry {
            1 => Retry::Now,
            2 => Retry::Later,
            _ => Retry::Never,
        };
        Self::new(ErrorCode(failure.code), failure.message).with_retry(retry).with_chain(failure.chain)
    }
}
