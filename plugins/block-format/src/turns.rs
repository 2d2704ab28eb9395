//! Lets writers of one copy take turns: an attempt that was given up still takes away what it wrote, and must be done with
//! that before the same attempt is made again or deleted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Mutex as Queue, OwnedMutexGuard};

use crate::read::CopyId;

/// Who is writing or waits to write; nothing is kept of copies that nobody writes.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<BTreeMap<CopyId, Arc<Queue<()>>>>);

/// The right to write one copy, or the wait for it.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Arc<Turns>,
    id: CopyId,
    queue: Arc<Queue<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits until nobody else writes this copy.
    pub(crate) async fn take(self: &Arc<Self>, id: CopyId) -> Turn {
        let queue = self.queues().entry(id).or_default().clone();
        let mut turn = Turn { turns: self.clone(), id, queue, held: None };
        turn.held = Some(turn.queue.clone().lock_owned().await);
        turn
    }

    fn queues(&self) -> MutexGuard<'_, BTreeMap<CopyId, Arc<Queue<()>>>> {
        // Each change is one call on the map.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut queues = self.turns.queues();
        // The map's and this one: nobody waits, and nobody can begin to while the map is locked.
        if Arc::strong_count(&self.queue) == 2 {
            queues.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[tokio::test]
    async fn one_writes_at_a_time_and_nothing_is_kept() {
        let turns = Arc::new(Turns::default());
        let id = CopyId { uid: Uuid::nil(), ledger_id: 1 };
        let first = turns.take(id).await;
        let other = turns.take(CopyId { ledger_id: 2, ..id }).await;
        let mut second = Box::pin(turns.take(id));
        let mut leaver = Box::pin(turns.take(id));
        assert!(futures_util::poll!(&mut second).is_pending());
        assert!(futures_util::poll!(&mut leaver).is_pending());
        drop(first);
        drop(second.await);
        drop((leaver, other));
        assert!(turns.queues().is_empty());
    }
}
