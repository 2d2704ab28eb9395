//! Pulsar's offloaded objects: one data object of blocks and one index object for each ledger, read and written as Apache
//! Pulsar's own offloader does, so that each reads what the other wrote.
//!
//! | to understand | read |
//! |---|---|
//! | what the objects are called, and what stands beside them | [`keys`], [`user_metadata`] |
//! | the bytes of a data object | [`data_block`] |
//! | where an entry goes | [`layout`], then `encoder` |
//! | the bytes of an index object, and what we add | `index`, `extension`, `granule_check` |
//! | how entries are found in the bytes again | [`walk`], then `stored_copy` |
//! | what is asked of an object store | [`store`] |
//! | one offload | [`CopyEngine`], then `upload`, `removal` |
//! | one read | [`CopyEngine`], then `read` |
//!
//! What we add is invisible to the original: further lines in the index, which make a random read one request for it as
//! well, and checksums behind them ([`layout::IndexForm`]).
//!
//! Bytes from a store never panic and never make memory: each length is held against what is there before anything is
//! allocated, and a walk moves forward with each step.
//!
//! Formats: docs/formats/data-block.md, docs/formats/index-block.md, docs/formats/extension.md.
//!
//! ```
//! use block_format::{Index, MemoryObject, StoredCopy, WriteOptions, encode_copy};
//! use longshore_plugin_api::LedgerReader;
//!
//! let payloads = ["first".into(), "second".into()];
//! let ledger = LedgerReader::in_memory(7, payloads.to_vec());
//! let (data, index) = encode_copy(ledger.metadata(), uuid::Uuid::nil(), &payloads, WriteOptions::default())?;
//!
//! let index = Index::decode("index", 7, &index.encode()?)?;
//! let mut copy = StoredCopy::open(MemoryObject::new("data", data), &index)?;
//! assert_eq!(copy.next_entry()?.unwrap().payload, "first");
//! assert_eq!(copy.next_entry()?.unwrap().payload, "second");
//! assert_eq!(copy.next_entry()?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod crc;
pub mod data_block;
mod encoder;
mod engine;
mod error;
mod extension;
mod granule_check;
mod index;
pub mod keys;
pub mod layout;
mod listing;
mod read;
mod removal;
pub mod store;
mod stored_copy;
mod turns;
mod upload;
pub mod user_metadata;
pub mod walk;

pub use encoder::{CopyEncoder, DataCrcs, EncodedCopy, EncodedEntry, Piece, encode_copy};
pub use engine::{CopyEngine, EngineOptions};
pub use error::{Error, Result};
pub use extension::Extension;
pub use index::{Index, IndexEntry, Written};
pub use layout::{IndexForm, WriteOptions};
pub use read::{CopyHandle, ReadOptions};
pub use stored_copy::{MemoryObject, Source, StoredCopy, StoredEntry, WalkError};
pub use upload::{UploadOptions, Verify};
