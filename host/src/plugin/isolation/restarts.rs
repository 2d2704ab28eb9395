//! When a process that crashed is started again. Pure: times come in.
//!
//! The first crash costs no pause, so that one bad object costs one call. Each further one within the window doubles the pause.
//! From `crashes_max` on the driver has given up: it is tried once in a long while, and calls in between fail at once.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::settings::IsolationSettings;

/// The crashes of one driver with one configuration that still count.
#[derive(Debug, Default)]
pub(super) struct Restarts {
    crashes: VecDeque<Instant>,
    /// How the latest one was.
    latest: String,
    /// All there ever were.
    count: u64,
}

/// Whether a process may be started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Now.
    Now,
    /// Not yet.
    Wait {
        /// For so long.
        pause: Duration,
        /// Why, for people.
        why: String,
    },
}

impl Restarts {
    /// A process crashed, or could not be started.
    pub(super) fn crashed(&mut self, now: Instant, cause: &str, settings: &IsolationSettings) {
        self.count += 1;
        cause.clone_into(&mut self.latest);
        self.crashes.push_back(now);
        self.forget(now, settings);
        // Older ones decide nothing any more.
        while self.crashes.len() > settings.crashes_max.max(1) as usize {
            self.crashes.pop_front();
        }
    }

    /// Crashes since the beginning, and how the latest one was.
    pub(super) fn history(&self) -> (u64, &str) {
        (self.count, &self.latest)
    }

    /// Whether a process may be started at `now`.
    pub(super) fn verdict(&mut self, now: Instant, settings: &IsolationSettings) -> Verdict {
        self.forget(now, settings);
        let Some(latest) = self.crashes.back() else { return Verdict::Now };
        let count = self.crashes.len() as u32;
        let given_up = count >= settings.crashes_max;
        let pause = match count {
            _ if given_up => settings.probe_pause,
            1 => Duration::ZERO,
            // Shifting further than the pause can grow would overflow.
            more => settings.restart_pause.saturating_mul(1 << (more - 2).min(16)).min(settings.probe_pause),
        };
        let left = pause.saturating_sub(now.saturating_duration_since(*latest));
        if left.is_zero() {
            return Verdict::Now;
        }
        let window = settings.crash_window.as_secs();
        let limit = settings.crashes_max;
        let often = match given_up {
            true => format!("crashed {count} times within {window} s (offloadersIsolationCrashesMax={limit})"),
            false => format!("crashed {count} times within {window} s"),
        };
        let why =
            format!("its process {often}, the latest: {}; it is tried again in {} ms", self.latest, left.as_millis());
        Verdict::Wait { pause: left, why }
    }

    fn forget(&mut self, now: Instant, settings: &IsolationSettings) {
        while self.crashes.front().is_some_and(|crash| now.saturating_duration_since(*crash) > settings.crash_window) {
            self.crashes.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> IsolationSettings {
        IsolationSettings {
            crashes_max: 4,
            crash_window: Duration::from_secs(100),
            restart_pause: Duration::from_secs(1),
            probe_pause: Duration::from_secs(30),
            ..IsolationSettings::default()
        }
    }

    fn pause(restarts: &mut Restarts, now: Instant) -> u64 {
        match restarts.verdict(now, &settings()) {
            Verdict::Now => 0,
            Verdict::Wait { pause, .. } => pause.as_secs(),
        }
    }

    #[test]
    fn pauses_grow_and_end_in_a_probe_now_and_then() {
        let (mut restarts, now) = (Restarts::default(), Instant::now());
        assert_eq!(pause(&mut restarts, now), 0);
        for expected in [0, 1, 2, 30, 30, 30] {
            restarts.crashed(now, "signal: 6 (SIGABRT)", &settings());
            assert_eq!(pause(&mut restarts, now), expected);
        }
        let Verdict::Wait { why, .. } = restarts.verdict(now, &settings()) else { panic!("not given up") };
        assert_eq!(
            why,
            "its process crashed 4 times within 100 s (offloadersIsolationCrashesMax=4), the latest: signal: 6 (SIGABRT); it \
             is tried again in 30000 ms"
        );
        assert_eq!(pause(&mut restarts, now + Duration::from_secs(30)), 0);
        assert_eq!(restarts.history(), (6, "signal: 6 (SIGABRT)"));
    }

    #[test]
    fn crashes_that_are_long_ago_are_forgotten() {
        let (mut restarts, now) = (Restarts::default(), Instant::now());
        for second in 0..3 {
            restarts.crashed(now + Duration::from_secs(second * 60), "x", &settings());
        }
        // The first one is 120 s old, beyond the window of 100.
        assert_eq!(pause(&mut restarts, now + Duration::from_secs(120)), 1);
        assert_eq!(pause(&mut restarts, now + Duration::from_secs(300)), 0);
    }
}
