//! How many calls of a plugin may be answered on the host's own threads, and whether it may do so at all.
//!
//! An author promises that such an answer needs no waiting. Who breaks the promise blocks a thread of the host, so that few may
//! try at once: a plugin that blocks there for ever costs the host as many threads and no more, since nobody of it gets a place
//! any more. A plugin that took too long several times is never let in again.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// What an answer on the host's thread may take; a task on the plugin's runtime costs a hundredth of it.
const TOOK_MAX: Duration = Duration::from_millis(5);

/// So many answers that took longer end it for the plugin.
const SLOW_MAX: u32 = 5;

/// The places of one plugin.
#[derive(Debug)]
pub(super) struct InlineCalls {
    places: usize,
    running: AtomicUsize,
    slow: AtomicU32,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a AtomicUsize);

impl InlineCalls {
    /// At most `places` at once; 0 lets nobody in.
    pub(super) fn new(places: usize) -> Self {
        Self { places, running: AtomicUsize::new(0), slow: AtomicU32::new(0) }
    }

    /// A place, if there is one.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        if self.running.load(Ordering::Relaxed) >= self.places || self.slow.load(Ordering::Relaxed) >= SLOW_MAX {
            return None;
        }
        let place = Place(&self.running);
        (self.running.fetch_add(1, Ordering::Relaxed) < self.places).then_some(place)
    }

    /// Somebody in a place took so long.
    pub(super) fn took(&self, took: Duration, plugin: &str) {
        if took > TOOK_MAX && self.slow.fetch_add(1, Ordering::Relaxed) + 1 == SLOW_MAX {
            let limit_ms = TOOK_MAX.as_millis() as u64;
            tracing::warn!(
                plugin,
                limit_ms,
                "the plugin was slow on the host's threads too often and answers on its own from now on"
            );
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_few_and_come_back() {
        let inline = InlineCalls::new(1);
        let taken = inline.enter();
        assert!(taken.is_some() && inline.enter().is_none());
        drop(taken);
        assert!(inline.enter().is_some());
        assert!(InlineCalls::new(0).enter().is_none());
    }

    #[test]
    fn who_is_slow_too_often_is_not_let_in_again() {
        let inline = InlineCalls::new(1);
        inline.took(TOOK_MAX, "quick");
        for _ in 0..SLOW_MAX {
            assert!(inline.enter().is_some());
            inline.took(TOOK_MAX * 2, "slow");
        }
        assert!(inline.enter().is_none());
    }
}
