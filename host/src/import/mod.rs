//! Topics of an Apache Pulsar cluster become topics here, by what its metadata says and without a byte of data being copied:
//! each ledger that it offloaded is recorded as one whose hot copy is gone.
//!
//! | step | read |
//! |---|---|
//! | what the original says of a topic | `source`, from `internal_info` (its REST API) or `record` (its metadata store) |
//! | what would be recorded, or why not | [`plan()`], pure |
//! | whether the copies can be read | [`check`] |
//! | the records | `managed_ledger::adopt`, `namespace` |
//!
//! Nothing is ever written to a driver's store. A topic is imported as a whole or not at all: the last of its records is the one
//! that makes it exist (docs/decisions/0019-import.md).

pub mod check;
pub mod internal_info;
pub mod plan;
pub mod record;
pub mod source;

pub use check::CheckMode;
pub use plan::{Refusal, Rules, Standing, TopicPlan, plan, standing};
pub use source::{CursorOrigin, SourceCopy, SourceCursor, SourceLedger, SourceTopic};

/// What the original said cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("read {what}: {problem}")]
pub struct BadSource {
    /// Which answer or file.
    pub what: String,
    /// What is wrong with it.
    pub problem: String,
}

impl BadSource {
    fn new(what: &str, problem: impl Into<String>) -> Self {
        Self { what: what.to_owned(), problem: problem.into() }
    }
}
