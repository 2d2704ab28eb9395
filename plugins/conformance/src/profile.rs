//! How much a run tries: the same cases, smaller or larger.

use std::str::FromStr;
use std::time::Duration;

/// The sizes of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Seconds against a folder; for each commit.
    Quick,
    /// Ledgers of 100,000 entries, entries of 5 MiB, hundreds of calls at once; for each release.
    Full,
}

/// How often what must be idempotent is repeated, in each profile.
pub(crate) const REPEATS: usize = 10;

impl Profile {
    /// `quick` or `full`.
    pub fn name(self) -> &'static str {
        self.of("quick", "full")
    }

    /// How long one case may take where the suite is not told otherwise.
    pub fn case_deadline(self) -> Duration {
        self.of(Duration::from_secs(60), Duration::from_secs(600))
    }

    /// How long a run may take where the suite is not told otherwise; cases that have not begun by then fail.
    pub fn run_deadline(self) -> Duration {
        self.of(Duration::from_secs(600), Duration::from_secs(2 * 3600))
    }

    pub(crate) fn entries_many(self) -> usize {
        self.of(3_000, 100_000)
    }

    pub(crate) fn large_entry_bytes(self) -> usize {
        self.of(300 << 10, 5 << 20)
    }

    pub(crate) fn ledgers_at_once(self) -> usize {
        self.of(16, 64)
    }

    pub(crate) fn readers_at_once(self) -> usize {
        self.of(8, 32)
    }

    pub(crate) fn random_reads(self) -> usize {
        self.of(50, 500)
    }

    pub(crate) fn copies_listed(self) -> usize {
        self.of(7, 50)
    }

    pub(crate) fn handles_opened(self) -> usize {
        self.of(200, 1_000)
    }

    pub(crate) fn bytes_damaged(self) -> usize {
        self.of(40, 400)
    }

    fn of<T>(self, quick: T, full: T) -> T {
        match self {
            Self::Quick => quick,
            Self::Full => full,
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            "quick" => Ok(Self::Quick),
            "full" => Ok(Self::Full),
            other => Err(format!("no profile {other}; allowed: quick, full")),
        }
    }
}
