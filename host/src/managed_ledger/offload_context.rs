//! The states of a ledger's cold copy, and every legal move between them. Pure: nothing here reads or writes.
//!
//! ```text
//! None --prepare--> Prepared --complete--> Complete --delete_hot--> HotDeleted
//!                   |     ^                   |
//!                   +-----+ prepare           | find_damaged (hot copy there): Complete{damaged} --prepare--> Prepared
//! ```
//!
//! Each move is one metadata write. A crash between two moves leaves the state before the move, which names every
//! attempt that may have left bytes in the store.

use std::collections::BTreeMap;

use uuid::Uuid;

/// One attempt to copy a ledger: recorded before a byte moves, so that whatever it leaves can be found again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Names the attempt.
    pub uid: Uuid,
    /// The driver in the spelling that its plugin claims.
    pub driver: String,
    /// What the driver wants back on read and delete.
    pub driver_metadata: BTreeMap<String, String>,
}

/// Where a ledger's cold copy stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum OffloadState {
    /// Never tried.
    #[default]
    None,
    /// An attempt is recorded; nothing may be read from it.
    Prepared(Attempt),
    /// The cold copy is complete and verified; the hot copy is still there.
    Complete {
        /// What wrote it.
        attempt: Attempt,
        /// When it was completed, milliseconds since 1970.
        completed_ms: u64,
        /// What was found wrong with it later; such a copy keeps the hot one alive and is made again.
        damaged: Option<String>,
    },
    /// Only the cold copy is left.
    HotDeleted {
        /// What wrote it.
        attempt: Attempt,
        /// When it was completed, milliseconds since 1970.
        completed_ms: u64,
    },
}

/// A move that the present state does not allow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalMove {
    /// Another attempt has taken over.
    #[error("existing UUID({found}) in metadata does not match the UUID({ours}) of this offload")]
    OtherAttempt {
        /// Recorded.
        found: String,
        /// This attempt's.
        ours: Uuid,
    },
    /// A complete copy needs no other attempt.
    #[error("the ledger is offloaded already")]
    AlreadyComplete,
    /// The hot copy may go only when a sound cold copy is complete.
    #[error("the cold copy is not complete and sound")]
    NoSoundColdCopy,
}

/// Which copies of a ledger can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tier {
    /// Our own store.
    Hot,
    /// The driver's store.
    Cold,
}

/// Which copy is asked first where both are there (`managedLedgerDataReadPriority`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadPriority {
    /// `tiered-storage-first`.
    #[default]
    ColdFirst,
    /// `bookkeeper-first`.
    HotFirst,
}

impl OffloadState {
    /// The attempt whose bytes may be in the store.
    pub fn attempt(&self) -> Option<&Attempt> {
        match self {
            Self::None => None,
            Self::Prepared(attempt) | Self::Complete { attempt, .. } | Self::HotDeleted { attempt, .. } => {
                Some(attempt)
            }
        }
    }

    /// Whether a complete cold copy is recorded, sound or not; what the original shows as `offloaded`.
    pub fn is_complete(&self) -> bool {
        matches!(self, Self::Complete { .. } | Self::HotDeleted { .. })
    }

    /// Whether a complete copy exists that nothing is known against.
    pub fn is_sound(&self) -> bool {
        matches!(self, Self::Complete { damaged: None, .. } | Self::HotDeleted { .. })
    }

    /// What was found wrong with a complete copy.
    pub fn damage(&self) -> Option<&str> {
        match self {
            Self::Complete { damaged, .. } => damaged.as_deref(),
            Self::None | Self::Prepared(_) | Self::HotDeleted { .. } => None,
        }
    }

    /// Whether the hot copy is there.
    pub fn has_hot(&self) -> bool {
        !matches!(self, Self::HotDeleted { .. })
    }

    /// When the copy was completed, milliseconds since 1970.
    pub fn completed_ms(&self) -> Option<u64> {
        match self {
            Self::Complete { completed_ms, .. } | Self::HotDeleted { completed_ms, .. } => Some(*completed_ms),
            Self::None | Self::Prepared(_) => None,
        }
    }

    /// Records a fresh attempt; answers the one that it replaces, whose debris must be removed.
    ///
    /// # Errors
    /// [`IllegalMove::AlreadyComplete`] where a sound copy is complete or the hot copy is gone.
    pub fn prepare(&mut self, attempt: Attempt) -> Result<Option<Attempt>, IllegalMove> {
        if self.is_sound() {
            return Err(IllegalMove::AlreadyComplete);
        }
        let replaced = self.attempt().cloned();
        *self = Self::Prepared(attempt);
        Ok(replaced)
    }

    /// Completes the attempt `uid`.
    ///
    /// # Errors
    /// [`IllegalMove::OtherAttempt`] unless exactly this attempt is prepared.
    pub fn complete(&mut self, uid: Uuid, now_ms: u64) -> Result<(), IllegalMove> {
        match std::mem::take(self) {
            Self::Prepared(attempt) if attempt.uid == uid => {
                *self = Self::Complete { attempt, completed_ms: now_ms, damaged: None };
                Ok(())
            }
            other => {
                let found = other.attempt().map_or_else(|| "none".to_owned(), |attempt| attempt.uid.to_string());
                *self = other;
                Err(IllegalMove::OtherAttempt { found, ours: uid })
            }
        }
    }

    /// Gives up the prepared attempt `uid`, once its debris is gone.
    ///
    /// # Errors
    /// [`IllegalMove::OtherAttempt`] unless exactly this attempt is prepared.
    pub fn abandon(&mut self, uid: Uuid) -> Result<(), IllegalMove> {
        match self {
            Self::Prepared(attempt) if attempt.uid == uid => {
                *self = Self::None;
                Ok(())
            }
            other => Err(IllegalMove::OtherAttempt {
                found: other.attempt().map_or_else(|| "none".to_owned(), |attempt| attempt.uid.to_string()),
                ours: uid,
            }),
        }
    }

    /// Marks the hot copy as deleted; its bytes go after this is durable.
    ///
    /// # Errors
    /// [`IllegalMove::NoSoundColdCopy`].
    pub fn delete_hot(&mut self) -> Result<(), IllegalMove> {
        match std::mem::take(self) {
            Self::Complete { attempt, completed_ms, damaged: None } => {
                *self = Self::HotDeleted { attempt, completed_ms };
                Ok(())
            }
            other => {
                *self = other;
                Err(IllegalMove::NoSoundColdCopy)
            }
        }
    }

    /// Remembers what is wrong with a complete copy whose hot twin is still there. Answers whether that is news.
    pub fn find_damaged(&mut self, problem: &str) -> bool {
        match self {
            Self::Complete { damaged: damaged @ None, .. } => {
                *damaged = Some(problem.to_owned());
                true
            }
            _ => false,
        }
    }

    /// The copies to ask, in order; the second is the fall-back when the first fails.
    pub fn tiers(&self, priority: ReadPriority) -> Vec<Tier> {
        match self {
            Self::None | Self::Prepared(_) => vec![Tier::Hot],
            Self::HotDeleted { .. } => vec![Tier::Cold],
            Self::Complete { damaged: Some(_), .. } => vec![Tier::Hot, Tier::Cold],
            Self::Complete { .. } => match priority {
                ReadPriority::ColdFirst => vec![Tier::Cold, Tier::Hot],
                ReadPriority::HotFirst => vec![Tier::Hot, Tier::Cold],
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt() -> Attempt {
        Attempt { uid: Uuid::new_v4(), driver: "filesystem".into(), driver_metadata: BTreeMap::new() }
    }

    fn complete() -> OffloadState {
        OffloadState::Complete { attempt: attempt(), completed_ms: 1, damaged: None }
    }

    #[test]
    fn the_whole_way() {
        let (mut state, first, second) = (OffloadState::None, attempt(), attempt());
        assert_eq!(state.prepare(first.clone()), Ok(None));
        assert_eq!(state.prepare(second.clone()), Ok(Some(first.clone())), "the replaced attempt is named");
        assert!(matches!(state.complete(first.uid, 7), Err(IllegalMove::OtherAttempt { .. })));
        assert_eq!(state.complete(second.uid, 7), Ok(()));
        assert_eq!(state.completed_ms(), Some(7));
        assert_eq!(state.prepare(attempt()), Err(IllegalMove::AlreadyComplete));
        assert_eq!(state.delete_hot(), Ok(()));
        assert!(!state.has_hot() && state.is_complete());
        assert_eq!(state.prepare(attempt()), Err(IllegalMove::AlreadyComplete));
    }

    #[test]
    fn a_damaged_copy_keeps_the_hot_one_and_is_made_again() {
        let mut state = complete();
        assert!(state.find_damaged("data at 12"));
        assert!(!state.find_damaged("data at 13"), "the first finding stays");
        assert_eq!(state.delete_hot(), Err(IllegalMove::NoSoundColdCopy));
        assert_eq!(state.tiers(ReadPriority::ColdFirst), vec![Tier::Hot, Tier::Cold]);
        let bad = state.attempt().cloned();
        assert_eq!(state.prepare(attempt()), Ok(bad));
    }

    #[test]
    fn the_hot_copy_never_goes_without_a_complete_cold_one() {
        for mut state in [OffloadState::None, OffloadState::Prepared(attempt())] {
            let before = state.clone();
            assert_eq!(state.delete_hot(), Err(IllegalMove::NoSoundColdCopy));
            assert_eq!(state, before);
        }
    }

    #[test]
    fn tiers_follow_the_priority_where_both_copies_are_there() {
        let gone = OffloadState::HotDeleted { attempt: attempt(), completed_ms: 1 };
        let table = [
            (OffloadState::None, vec![Tier::Hot], vec![Tier::Hot]),
            (OffloadState::Prepared(attempt()), vec![Tier::Hot], vec![Tier::Hot]),
            (complete(), vec![Tier::Cold, Tier::Hot], vec![Tier::Hot, Tier::Cold]),
            (gone, vec![Tier::Cold], vec![Tier::Cold]),
        ];
        for (state, cold_first, hot_first) in table {
            assert_eq!(state.tiers(ReadPriority::ColdFirst), cold_first, "{state:?}");
            assert_eq!(state.tiers(ReadPriority::HotFirst), hot_first, "{state:?}");
        }
    }
}
