//! The contract between Longshore and its tiered storage plugins.
//!
//! A plugin is a `cdylib` whose author implements three traits and calls one macro:
//!
//! - [`OffloaderFactory`] checks a configuration and makes a driver's instance,
//! - [`Offloader`] copies closed ledgers to a store, opens them for reading, deletes them,
//! - [`ReadHandle`] reads the entries of one copy,
//! - [`export_offloader!`] turns the factory into the library's one exported symbol and its identity note.
//!
//! Authors write ordinary `async` Rust on tokio and no `unsafe`. This is a whole plugin, which keeps ledgers in memory;
//! `plugins/example-folder` is one that keeps them in files, to copy from.
//!
//! ```
//! #![forbid(unsafe_code)]
//! use std::collections::HashMap;
//! use std::sync::Mutex;
//!
//! use longshore_plugin_api::{read_handle::check_range, *};
//!
//! export_offloader! { factory: ShelfFactory, name: "shelf", drivers: ["shelf"] }
//!
//! struct ShelfFactory;
//! #[derive(Default)]
//! struct Shelf(Mutex<HashMap<uuid::Uuid, Copy>>);
//! #[derive(Clone)]
//! struct Copy(LedgerMetadata, Vec<Entry>);
//!
//! impl OffloaderFactory for ShelfFactory {
//!     type Offloader = Shelf;
//!     fn validate(_config: &DriverConfig) -> Vec<ConfigProblem> {
//!         Vec::new()
//!     }
//!     async fn create(_config: DriverConfig) -> Result<Shelf> {
//!         Ok(Shelf::default())
//!     }
//! }
//!
//! impl Offloader for Shelf {
//!     type ReadHandle = Copy;
//!     async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
//!         ledger.metadata().ensure_offloadable()?;
//!         let (mut entries, count) = (Vec::new(), ledger.metadata().entry_count);
//!         while (entries.len() as u64) < count {
//!             entries.extend(ledger.read(entries.len() as u64, count - 1, 1 << 20).await?);
//!         }
//!         let copy = Copy(ledger.metadata().clone(), entries);
//!         self.0.lock().expect("no panic under the lock").insert(request.uid, copy);
//!         Ok(())
//!     }
//!     async fn open_read(&self, stored: StoredLedger) -> Result<Copy> {
//!         let copy = self.0.lock().expect("no panic under the lock").get(&stored.uid).cloned();
//!         copy.ok_or_else(|| Error::new(ErrorCode::NotFound, format!("no copy {} on the shelf", stored.uid)))
//!     }
//!     async fn delete(&self, stored: StoredLedger) -> Result<()> {
//!         self.0.lock().expect("no panic under the lock").remove(&stored.uid);
//!         Ok(())
//!     }
//! }
//!
//! impl ReadHandle for Copy {
//!     fn metadata(&self) -> &LedgerMetadata {
//!         &self.0
//!     }
//!     async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
//!         check_range(&self.0, first, last)?;
//!         let mut bytes = 0;
//!         let fits = |entry: &&Entry| {
//!             bytes += entry.payload.len() as u64;
//!             entry.entry_id == first || bytes <= max_bytes
//!         };
//!         Ok(self.1[first as usize..=last as usize].iter().take_while(fits).cloned().collect())
//!     }
//! }
//! ```
//!
//! # How a library is loaded
//!
//! 1. The host lists `offloadersDirectory` and reads each `*.so`, once, without running it.
//! 2. It reads the identity [`note`]: name, version, drivers, [`version`]s of the contract, target, panic strategy.
//! 3. It opens the very bytes that it judged, finds the root symbol, compares the layout of every type in both directions.
//! 4. The library describes itself, which must equal its note; then it is started: runtime, log, panic hook.
//! 5. At the first use of a driver the configuration is validated and an instance made.
//!
//! A library stays loaded until the process ends.
//!
//! # Threads and ownership
//!
//! An author's code runs on the plugin's own tokio runtime ([`runtime`]), never on a thread of the host, but for reads that the
//! author says are ready at once ([`ReadHandle::answers_inline`]). A plugin's methods may run at once on any of its threads. Dropping a call on the host's side aborts its task at the next `await`; code that does
//! not await is never interrupted, so long computations and blocking calls belong into `spawn_blocking` or `block_in_place`.
//! Payloads are [`bytes::Bytes`] on both sides and cross without a copy: keeping one keeps the memory of whoever made it.
//!
//! # Logs, traces, figures
//!
//! `tracing` events arrive in the host's log under the plugin's name and under the call in which they happen; [`trace::current`]
//! is that call's trace, to be sent along with a driver's own requests; [`metrics`] are shown among the host's.
//!
//! # What crosses
//!
//! [`abi`] holds the types and interfaces, an author needs none of it; [`c_abi`] is the same for authors of C, whose contract is
//! `include/offloader.h`. What is appended there and what would break is said in
//! [`version`].
#![warn(unsafe_op_in_unsafe_fn)]

pub mod abi;
pub mod c_abi;
pub mod config;
pub mod error;
pub mod export;
pub mod ledger;
pub mod metrics;
pub mod note;
pub mod offloader;
pub mod read_handle;
pub mod runtime;
pub mod schema;
pub mod spare;
pub mod trace;
pub mod version;

pub use config::{ConfigProblem, DriverConfig};
pub use error::{Error, ErrorCode, Result, Retry};
pub use ledger::{Entry, LedgerMetadata};
pub use offloader::{OffloadRequest, Offloader, OffloaderFactory, ScanPage, ScanRequest, ScannedLedger, StoredLedger};
pub use read_handle::{LedgerReader, ReadHandle};
