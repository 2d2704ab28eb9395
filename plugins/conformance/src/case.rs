//! What a case is: a name, a promise of the contract that it repeats, what it needs, and a body that ends well or says why
//! not.

use std::fmt;
use std::sync::Arc;

use longshore_plugin_api::Error;

use crate::stage::Stage;
use crate::subject::BoxFuture;

/// Why a case failed: one sentence, with the numbers that matter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure(pub String);

/// How a body ends.
pub type Verdict<T = ()> = Result<T, Failure>;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

/// Ends a body with a failure where the condition does not hold.
macro_rules! ensure {
    ($condition:expr, $($text:tt)+) => {
        if !$condition {
            return Err($crate::case::Failure(format!($($text)+)));
        }
    };
}
pub(crate) use ensure;

/// Names the call that an unexpected error came from.
pub(crate) trait During<T> {
    /// `what` is verb and object: `offload ledger 5`.
    fn during(self, what: impl fmt::Display) -> Verdict<T>;
}

impl<T> During<T> for Result<T, Error> {
    fn during(self, what: impl fmt::Display) -> Verdict<T> {
        self.map_err(|error| Failure(format!("{what}: {error} ({})", error.code())))
    }
}

/// What a case needs beyond the driver; without it the case is skipped and says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// The driver offers `scan`.
    Scan,
    /// The driver hears of bad ranges.
    OwnRanges,
    /// The factory can be asked to validate apart from making an instance.
    Validate,
    /// The configuration has a key that holds a secret.
    Secret,
    /// The suite may look at the store behind the driver's back.
    Probe,
}

/// One case.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its name, which never changes: `range-beyond-the-end`.
    pub id: &'static str,
    /// The claim.
    pub title: &'static str,
    /// The place of the contract that it repeats: `Offloader::offload`.
    pub repeats: &'static str,
    /// What it needs.
    pub needs: &'static [Need],
    pub(crate) body: fn(Arc<Stage>) -> BoxFuture<'static, Verdict>,
}

impl fmt::Debug for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Case").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Rows of a table of cases: `"id": "title", "what it repeats", [needs] => body;`.
macro_rules! cases {
    ($($id:literal: $title:literal, $repeats:literal, [$($need:ident),*] => $body:path;)+) => {
        pub(super) const CASES: &[$crate::case::Case] = &[
            $($crate::case::Case {
                id: $id,
                title: $title,
                repeats: $repeats,
                needs: &[$($crate::case::Need::$need),*],
                body: |stage| Box::pin($body(stage)),
            },)+
        ];
    };
}
pub(crate) use cases;
