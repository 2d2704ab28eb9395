//! How many calls of a plugin may be answered on the host's own threads, and whether it may do so at all.
//!
//! An author promises that such an answer needs no waiting. Who breaks the promise blocks a thread of the host, so that few may
//! try at once: a plugin that blocks there for ever costs the host as many threads and no more, since nobody of it gets a place
//! any more. A plugin that takes long again and again stays out for a while, and tries again. A slow answer among very many quick
//! ones is none of its fault: the system may have had other work for the processor.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What an answer on the host's thread may take: more than a thread waits for its turn on a machine that is busy.
const TOOK_MAX: Duration = Duration::from_millis(25);

/// A slow answer weighs as much as so many quick ones.
const SLOW_WEIGHT: u32 = 20;

/// The weight at which a plugin stays out: five slow answers in a row.
const WEIGHT_MAX: u32 = 5 * SLOW_WEIGHT;

/// For how long it stays out. One slow answer afterwards is enough for the next time.
const OUT_FOR: Duration = Duration::from_secs(30);

/// The places of one plugin.
#[derive(Debug)]
pub(super) struct InlineCalls {
    places: usize,
    running: AtomicUsize,
    weight: AtomicU32,
    out_since: Mutex<Option<Instant>>,
}

/// A place that is taken until this is dropped.
#[derive(Debug)]
pub(super) struct Place<'a>(&'a AtomicUsize);

impl InlineCalls {
    /// At most `places` at once; 0 lets nobody in.
    pub(super) fn new(places: usize) -> Self {
        let (running, weight) = (AtomicUsize::new(0), AtomicU32::new(0));
        Self { places, running, weight, out_since: Mutex::new(None) }
    }

    /// A place, if there is one.
    pub(super) fn enter(&self) -> Option<Place<'_>> {
        if self.running.load(Ordering::Relaxed) >= self.places || self.is_out() {
            return None;
        }
        let place = Place(&self.running);
        (self.running.fetch_add(1, Ordering::Relaxed) < self.places).then_some(place)
    }

    fn is_out(&self) -> bool {
        if self.weight.load(Ordering::Relaxed) < WEIGHT_MAX {
            return false;
        }
        let mut out_since = self.out_since.lock().unwrap_or_else(PoisonError::into_inner);
        if out_since.is_some_and(|since| since.elapsed() < OUT_FOR) {
            return true;
        }
        *out_since = None;
        self.weight.store(WEIGHT_MAX - SLOW_WEIGHT, Ordering::Relaxed);
        false
    }

    /// Somebody in a place took so long.
    pub(super) fn took(&self, took: Duration, plugin: &str) {
        if took <= TOOK_MAX {
            if self.weight.load(Ordering::Relaxed) != 0 {
                let less = |weight: u32| weight.checked_sub(1);
                let _ = self.weight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            }
            return;
        }
        let before = self.weight.fetch_add(SLOW_WEIGHT, Ordering::Relaxed);
        if before < WEIGHT_MAX && before + SLOW_WEIGHT >= WEIGHT_MAX {
            *self.out_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let (limit_ms, seconds) = (TOOK_MAX.as_millis() as u64, OUT_FOR.as_secs());
            tracing::warn!(
                plugin,
                limit_ms,
                seconds,
                "the plugin is slow on the host's threads and answers on its own for a while"
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
    fn who_is_slow_in_a_row_stays_out() {
        let inline = InlineCalls::new(1);
        for _ in 0..WEIGHT_MAX / SLOW_WEIGHT {
            assert!(inline.enter().is_some());
            inline.took(TOOK_MAX * 2, "slow");
        }
        assert!(inline.enter().is_none());
    }

    #[test]
    fn who_is_slow_once_in_a_while_stays_in() {
        let inline = InlineCalls::new(1);
        for n in 0..10_000_u32 {
            inline.took(if n % (SLOW_WEIGHT + 1) == 0 { TOOK_MAX * 2 } else { TOOK_MAX }, "mostly quick");
            assert!(inline.enter().is_some());
        }
    }
}
