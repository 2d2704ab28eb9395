//! Whether a driver instance is asked at all: after so many faults in a row it is suspended, and asked for its health alone, at
//! pauses that grow, until it answers. Pure but for the locks.
//!
//! A fault is a call that passed its deadline, panicked or broke the contract; an orderly error is an answer. The other instances
//! of the plugin go on: a store that hangs for one configuration says nothing of another's.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The pause before the first probe.
const PAUSE_MIN: Duration = Duration::from_secs(1);

/// The longest pause between two probes.
pub(super) const PAUSE_MAX: Duration = Duration::from_secs(60);

/// The door in front of one driver instance.
#[derive(Debug)]
pub(super) struct Gate {
    faults_max: u32,
    faults: AtomicU32,
    suspended: AtomicBool,
    probing: Mutex<Probing>,
}

#[derive(Debug)]
struct Probing {
    pause: Duration,
    /// When it was opened again.
    reopened: Option<Instant>,
    /// The fault that closed it.
    reason: String,
}

impl Gate {
    /// An open gate that closes after `faults_max` faults in a row.
    pub(super) fn new(faults_max: u32) -> Self {
        let probing = Probing { pause: PAUSE_MIN, reopened: None, reason: String::new() };
        Self { faults_max, faults: AtomicU32::new(0), suspended: AtomicBool::new(false), probing: Mutex::new(probing) }
    }

    /// How many faults in a row close it.
    pub(super) fn faults_max(&self) -> u32 {
        self.faults_max
    }

    /// Lets a call pass.
    ///
    /// # Errors
    /// The fault that closed the gate.
    pub(super) fn pass(&self) -> Result<(), String> {
        if !self.suspended.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(self.probing.lock().unwrap_or_else(PoisonError::into_inner).reason.clone())
    }

    /// A call was answered. Whether the gate was closed until now.
    pub(super) fn answered(&self) -> bool {
        if self.faults.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.faults.store(0, Ordering::Relaxed);
        let was_closed = self.suspended.swap(false, Ordering::AcqRel);
        if was_closed {
            self.probing.lock().unwrap_or_else(PoisonError::into_inner).reopened = Some(Instant::now());
        }
        was_closed
    }

    /// A call was at fault. Whether this closed the gate; then somebody has to [probe](Self::next_pause).
    pub(super) fn faulted(&self, reason: &str) -> bool {
        let before = self.faults.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |faults| faults.checked_add(1));
        let faults = before.map_or(u32::MAX, |before| before + 1);
        if faults < self.faults_max {
            return false;
        }
        let mut probing = self.probing.lock().unwrap_or_else(PoisonError::into_inner);
        reason.clone_into(&mut probing.reason);
        if self.suspended.swap(true, Ordering::AcqRel) {
            return false;
        }
        // Who failed again soon after it had recovered is probed as seldom as before.
        if probing.reopened.is_none_or(|reopened| reopened.elapsed() > probing.pause * 2) {
            probing.pause = PAUSE_MIN;
        }
        true
    }

    /// How long to wait before the next probe, or `None` where there is nothing to probe any more.
    pub(super) fn next_pause(&self) -> Option<Duration> {
        if !self.suspended.load(Ordering::Acquire) {
            return None;
        }
        let mut probing = self.probing.lock().unwrap_or_else(PoisonError::into_inner);
        let pause = probing.pause;
        probing.pause = (pause * 2).min(PAUSE_MAX);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_in_a_row_close_it_and_an_answer_opens_it() {
        let gate = Gate::new(2);
        assert!(!gate.faulted("one"));
        assert!(!gate.answered());
        assert!(!gate.faulted("two"));
        assert!(gate.pass().is_ok());
        assert!(gate.faulted("three") && !gate.faulted("four"), "it closes once");
        assert_eq!(gate.pass(), Err("four".to_owned()));
        assert!(gate.answered());
        assert!(gate.pass().is_ok() && gate.next_pause().is_none());
    }

    #[test]
    fn pauses_grow_up_to_a_bound_and_stay_long_for_who_fails_again_at_once() {
        let gate = Gate::new(1);
        assert!(gate.faulted("x"));
        let pauses: Vec<u64> = (0..8).map(|_| gate.next_pause().unwrap().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);
        gate.answered();
        assert!(gate.faulted("again"));
        assert_eq!(gate.next_pause(), Some(PAUSE_MAX));
    }
}
