//! The offload engine: copies closed ledgers to the cold tier, one run at a time for each managed ledger.
//!
//! In story order: [`trigger`] starts a run, [`select`] chooses the ledgers, [`engine`] loops over them, [`attempt`] copies
//! one, [`verify`] compares the copy, [`status`] is what the admin shows, [`counters`] what the metrics do.
//!
//! Owns nothing on disk: every step that must survive a crash is a move in `managed_ledger::moves`.

pub mod attempt;
pub mod counted;
pub mod counters;
pub mod engine;
pub mod select;
pub mod status;
pub mod trigger;
pub mod verify;

pub use engine::{OffloadSettings, Offloads};
pub use status::OffloadStatus;
pub use verify::VerifyMode;
