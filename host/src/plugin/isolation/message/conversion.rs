//! The safe types of the plugin API as what is sent, and back: what came is checked here as far as its form goes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use longshore_plugin_api::abi::FfiCallContext;
use longshore_plugin_api::offloader::{ScanPage, ScanRequest, ScannedLedger};
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Error, ErrorCode, LedgerMetadata, OffloadRequest, Retry, StoredLedger,
};
use prost::Message;
use uuid::Uuid;

use super::super::frame::{Frame, Kind, ProtocolError};
use super::{Config, Context, Custom, Failure, Metadata, Page, Pair, Problem, Scan, Scanned, Stored};

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
