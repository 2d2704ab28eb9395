//! What crosses the boundary: every `repr(C)` type, every interface, the root module; nothing else. A diff of this folder
//! is the review of the ABI, and `layout` pins the sizes.
//!
//! Rules that hold for every item:
//! - Whoever allocates frees. Strings and vectors carry their maker's functions; bytes carry their owner ([`FfiBytes`]).
//! - No panic crosses in either direction. The plugin's side is implemented once, in [`crate::runtime`]; the host's once,
//!   in its own plugin room. Nobody else implements these traits.
//! - Requests and results are frozen: what may grow has a list `extras` of names and values, whose unknown names are ignored.
//!   Interfaces and the root grow at their end, behind the last prefix field.
//! - Every object is `Send + Sync`, no call assumes a thread, and no call blocks: what takes time is a future. Dropping a
//!   future asks for cancellation and returns at once.
//! - What takes time has a context as its first argument ([`FfiCallContext`]): whose trace it is, how long the caller waits.
//! - Integers in the machine's order: both sides run in one process.

// The derives and `#[sabi_trait]` of abi_stable expand to unsafe impls, to impls inside constants, to
// undocumented items and to the forgetting of a guard.
#![allow(unsafe_code, non_local_definitions, missing_docs, unreachable_pub, unused_qualifications, clippy::mem_forget)]

pub mod bytes;
pub mod context;
pub mod error;
mod layout;
pub mod objects;
pub mod requests;
pub mod root;
pub mod telemetry;

pub use self::bytes::FfiBytes;
pub use self::context::FfiCallContext;
pub use self::error::FfiError;
pub use self::objects::{
    FfiHostServices, FfiLedgerReader, FfiOffloader, FfiReadHandle, HostServicesBox, LedgerReaderBox, OffloaderBox,
    ReadHandleBox,
};
pub use self::requests::{
    FfiConfigProblem, FfiDriverConfig, FfiEntry, FfiLedgerMetadata, FfiLibraryStats, FfiOffloadRequest, FfiReadRequest,
    FfiScanPage, FfiScanRequest, FfiScannedLedger, FfiStartOptions, FfiStoredLedger, Pairs,
};
pub use self::root::{OffloaderModule, OffloaderModuleRef, ROOT_SYMBOL};
pub use self::telemetry::{FfiField, FfiLogEvent, FfiLogSpan, FfiMetric};

use abi_stable::std_types::RResult;
use async_ffi::FfiFuture;

/// How every operation that takes time answers: an inert future that waits for work on its maker's own runtime.
///
/// Polled on any thread of the other side; polling runs no code of an author. Dropping it aborts the work and never blocks.
pub type FfiCall<T> = FfiFuture<RResult<T, FfiError>>;
