//! Attempts at cold copies that somebody works on at this moment.
//!
//! The copy of a ledger that leaves the list is removed at once, unless an attempt at it is under way: whatever was removed then,
//! the driver would make again behind it, with no record that names it. Such a copy is removed when the attempt ends, however it
//! ends; until then the intent stays recorded, and a crash leaves it to the next start.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};

use uuid::Uuid;

use super::ManagedLedger;
use super::offload_context::Attempt;
use crate::storage::LedgerId;

/// By uid; with what is to be removed in the end.
#[derive(Debug, Default)]
pub(super) struct Attempts(Mutex<HashMap<Uuid, Option<(LedgerId, Attempt)>>>);

impl Attempts {
    fn lock(&self) -> MutexGuard<'_, HashMap<Uuid, Option<(LedgerId, Attempt)>>> {
        self.0.lock().expect("no code panics while it holds the attempts")
    }

    /// Leaves the removal to the end of the attempt. Answers it back where none is under way.
    pub(super) fn leave(&self, ledger_id: LedgerId, attempt: Attempt) -> Option<Attempt> {
        match self.lock().get_mut(&attempt.uid) {
            None => Some(attempt),
            Some(in_the_end) => {
                *in_the_end = Some((ledger_id, attempt));
                None
            }
        }
    }
}

/// An attempt is under way while this lives.
pub struct UnderWay<'a> {
    ledger: &'a ManagedLedger,
    uid: Uuid,
}

impl ManagedLedger {
    /// An attempt begins, before it is recorded as prepared; the answer is kept until nothing works on it any more.
    pub fn begin_attempt(&self, uid: Uuid) -> UnderWay<'_> {
        self.attempts.lock().insert(uid, None);
        UnderWay { ledger: self, uid }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let ended = self.ledger.attempts.lock().remove(&self.uid);
        if let Some(Some((ledger_id, attempt))) = ended {
            self.ledger.remove_later(ledger_id, attempt);
        }
    }
}
