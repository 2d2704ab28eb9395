//! Attempts at one copy take turns.
//!
//! An offload that was given up still clears away what it wrote when the same copy is already tried again. Without turns the first
//! could take the second one's folder for its own debris.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// The copies that are being written by this driver.
#[derive(Debug, Default)]
pub(crate) struct Turns(Mutex<HashMap<PathBuf, Arc<AsyncMutex<()>>>>);

/// The right to write one copy, until it is dropped.
pub(crate) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits until nobody else writes `copy`.
    pub(crate) async fn take(&self, copy: &Path) -> Turn {
        let turn = {
            let mut turns = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            turns.entry(copy.to_owned()).or_default().clone()
        };
        turn.lock_owned().await
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn one_copy_is_written_once_at_a_time_and_nothing_is_kept_of_it() {
        let turns = Turns::default();
        let first = turns.take(Path::new("/a")).await;
        let _other = turns.take(Path::new("/b")).await;
        let second = tokio::time::timeout(Duration::from_millis(20), turns.take(Path::new("/a"))).await;
        assert!(second.is_err());
        drop(first);
        let again = turns.take(Path::new("/a")).await;
        assert_eq!(turns.0.lock().unwrap().len(), 2);
        drop(again);
        let _last = turns.take(Path::new("/c")).await;
        assert_eq!(turns.0.lock().unwrap().len(), 2, "what nobody writes is forgotten");
    }
}
