//! The contract for authors of C, as `include/offloader.h` spells it: every structure and table, mirrored; nothing else.
//!
//! The header is the contract and its comments are the documentation: what each item means, on which thread it is called, who
//! owns what until when. A structure here has the header's name without `offloader_`, its members the header's names. `layout`
//! pins sizes and offsets, and a test compares them with what a C compiler makes of the header.
//!
//! The host calls these tables ([`Root`], [`Plugin`], [`Driver`], [`ReadHandle`]) and lends the others.

#![allow(missing_docs)]

mod layout;
pub mod lent;
pub mod tables;
pub mod values;

pub use self::lent::{Call, Host, Ledger, Page, Pairs, Problems};
pub use self::tables::{Driver, Plugin, ReadHandle, Root, Table};
pub use self::values::{
    Batch, Bytes, Code, Config, Entry, ErrorBuffer, LedgerMetadata, LogEvent, Metric, OffloadRequest, Pair,
    ScannedLedger, StoredLedger, Str,
};

/// The symbol that a library whose entry is C exports: a constant [`Root`].
pub const ROOT_SYMBOL: &str = "offloader_root";

/// What a function answers on success; every other number is an [`ErrorCode`](crate::error::ErrorCode).
pub const OK: Code = 0;

/// [`ErrorBuffer::retry`] where the code decides.
pub const RETRY_BY_CODE: u32 = 3;
