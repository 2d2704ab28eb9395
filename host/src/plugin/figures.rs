//! What is counted of the calls to one driver of one plugin. Counting takes no lock: it is a few relaxed additions for each call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use longshore_plugin_api::ErrorCode;

/// A call, by what it does. The order is that of [`Verb::ALL`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verb {
    /// Checks a configuration.
    Validate,
    /// Makes a driver's instance.
    Create,
    /// Copies a ledger.
    Offload,
    /// Opens a copy.
    Open,
    /// Reads entries of a copy.
    Read,
    /// Deletes a copy.
    Delete,
    /// Lists copies.
    Scan,
    /// Asks whether the store can be reached.
    Health,
    /// Shuts an instance down.
    Shutdown,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Validate,
        Self::Create,
        Self::Offload,
        Self::Open,
        Self::Read,
        Self::Delete,
        Self::Scan,
        Self::Health,
        Self::Shutdown,
    ];

    /// One word, as labels have it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Validate => "validate",
            Self::Create => "create",
            Self::Offload => "offload",
            Self::Open => "open",
            Self::Read => "read",
            Self::Delete => "delete",
            Self::Scan => "scan",
            Self::Health => "health",
            Self::Shutdown => "shutdown",
        }
    }
}

/// Upper bounds of the latency buckets; what takes longer falls into one beyond them.
pub const LATENCY_BOUNDS: [Duration; 14] = [
    Duration::from_micros(1),
    Duration::from_micros(10),
    Duration::from_micros(100),
    Duration::from_millis(1),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(5),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(300),
];

/// How a call ended that brought no answer of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The plugin answered with this code; a panic is one of them.
    Code(ErrorCode),
    /// The deadline passed.
    TimedOut,
    /// The answer cannot be.
    Misbehaved,
    /// No place was free within the deadline.
    Busy,
    /// The driver is not asked for a while.
    Suspended,
    /// The process that the driver runs in ended.
    Crashed,
}

/// Codes with a counter of their own: those that the contract names. Others share the place 0.
const CODES: usize = 17;

impl Failure {
    const COUNT: usize = CODES + 5;

    fn place(self) -> usize {
        match self {
            Self::Code(ErrorCode(code)) => usize::try_from(code).ok().filter(|code| *code < CODES).unwrap_or(0),
            Self::TimedOut => CODES,
            Self::Misbehaved => CODES + 1,
            Self::Busy => CODES + 2,
            Self::Suspended => CODES + 3,
            Self::Crashed => CODES + 4,
        }
    }

    /// The name of a place, as labels have it.
    fn name(place: usize) -> &'static str {
        match place {
            CODES => "deadline",
            place if place == CODES + 1 => "misbehaved",
            place if place == CODES + 2 => "busy",
            place if place == CODES + 3 => "suspended",
            place if place == CODES + 4 => "crashed",
            place => u32::try_from(place).ok().and_then(|code| ErrorCode(code).name()).unwrap_or("unknown"),
        }
    }
}

/// The calls of one kind to one driver.
#[derive(Debug, Default)]
struct VerbFigures {
    begun: AtomicU64,
    /// Ended calls by latency; the last place is beyond the bounds.
    latency: [AtomicU64; LATENCY_BOUNDS.len() + 1],
    latency_sum_ns: AtomicU64,
    /// The caller went away before the end.
    abandoned: AtomicU64,
    failures: [AtomicU64; Failure::COUNT],
}

/// The calls to one driver.
#[derive(Debug, Default)]
pub(super) struct DriverCounters {
    verbs: [VerbFigures; Verb::ALL.len()],
    /// Payload that the plugin was given to copy.
    pub(super) bytes_in: AtomicU64,
    /// Payload that the plugin read back.
    pub(super) bytes_out: AtomicU64,
}

impl DriverCounters {
    /// A call begins; it counts as abandoned where nobody ends it.
    pub(super) fn begin(self: &Arc<Self>, verb: Verb) -> RunningCall<'_> {
        let figures = &self.verbs[verb as usize];
        figures.begun.fetch_add(1, Ordering::Relaxed);
        RunningCall { figures, began: Instant::now(), ended: false }
    }

    /// A call ended without an answer of use.
    pub(super) fn failed(&self, verb: Verb, failure: Failure) {
        self.verbs[verb as usize].failures[failure.place()].fetch_add(1, Ordering::Relaxed);
    }

    /// All figures at a moment. Those of calls that end meanwhile may be half in.
    pub(super) fn snapshot(&self) -> DriverFigures {
        let verbs = Verb::ALL.into_iter().map(|verb| (verb, self.verbs[verb as usize].snapshot()));
        DriverFigures {
            calls: verbs.filter(|(_, calls)| calls.begun > 0 || !calls.errors.is_empty()).collect(),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

impl VerbFigures {
    fn end(&self, took: Duration) {
        let place = LATENCY_BOUNDS.iter().position(|bound| took <= *bound).unwrap_or(LATENCY_BOUNDS.len());
        self.latency[place].fetch_add(1, Ordering::Relaxed);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.latency_sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    fn snapshot(&self) -> CallFigures {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let latency = self.latency.each_ref().map(load);
        let ended: u64 = latency.iter().sum();
        let abandoned = load(&self.abandoned);
        let errors = self.failures.iter().enumerate().map(|(place, count)| (Failure::name(place), load(count)));
        // Read last, so that a call that begins and ends meanwhile never makes less than none.
        let begun = load(&self.begun);
        CallFigures {
            begun,
            in_flight: begun.saturating_sub(ended + abandoned),
            abandoned,
            latency,
            latency_sum: Duration::from_nanos(load(&self.latency_sum_ns)),
            errors: errors.filter(|(_, count)| *count > 0).collect(),
        }
    }
}

/// A call that was begun.
pub(super) struct RunningCall<'a> {
    figures: &'a VerbFigures,
    pub(super) began: Instant,
    ended: bool,
}

impl RunningCall<'_> {
    /// It ended, whatever with; the answer is how long it took.
    pub(super) fn end(mut self) -> Duration {
        let took = self.began.elapsed();
        self.figures.end(took);
        self.ended = true;
        took
    }
}

impl Drop for RunningCall<'_> {
    fn drop(&mut self) {
        if !self.ended {
            self.figures.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What was counted of one driver of one plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct DriverFigures {
    /// The calls by kind, those that ever happened.
    pub calls: Vec<(Verb, CallFigures)>,
    /// Payload that the plugin was given to copy, in bytes.
    pub bytes_in: u64,
    /// Payload that the plugin read back, in bytes.
    pub bytes_out: u64,
}

/// What was counted of one kind of call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallFigures {
    /// Calls that were begun.
    pub begun: u64,
    /// Calls that run now.
    pub in_flight: u64,
    /// Calls whose caller went away before the end.
    pub abandoned: u64,
    /// Ended calls, by [`LATENCY_BOUNDS`] and beyond.
    pub latency: [u64; LATENCY_BOUNDS.len() + 1],
    /// What ended calls took together.
    pub latency_sum: Duration,
    /// Failures by name: an [`ErrorCode`], or `deadline`, `misbehaved`, `busy`, `suspended`.
    pub errors: Vec<(&'static str, u64)>,
}

impl DriverFigures {
    /// Adds those of another generation of the same plugin.
    pub fn add(&mut self, other: &Self) {
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        for (verb, calls) in &other.calls {
            match self.calls.iter_mut().find(|(known, _)| known == verb) {
                Some((_, known)) => known.add(calls),
                None => self.calls.push((*verb, calls.clone())),
            }
        }
    }
}

impl CallFigures {
    fn add(&mut self, other: &Self) {
        self.begun += other.begun;
        self.in_flight += other.in_flight;
        self.abandoned += other.abandoned;
        self.latency_sum += other.latency_sum;
        for (sum, more) in self.latency.iter_mut().zip(other.latency) {
            *sum += more;
        }
        for (name, more) in &other.errors {
            match self.errors.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += more,
                None => self.errors.push((name, *more)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_call_is_in_flight_until_it_ends_or_is_abandoned() {
        let counters = Arc::new(DriverCounters::default());
        let (first, second) = (counters.begin(Verb::Read), counters.begin(Verb::Read));
        let of_reads = || counters.snapshot().calls[0].1.clone();
        assert_eq!((of_reads().begun, of_reads().in_flight), (2, 2));
        drop(first);
        second.end();
        let reads = of_reads();
        assert_eq!((reads.in_flight, reads.abandoned, reads.latency.iter().sum::<u64>()), (0, 1, 1));
    }

    #[test]
    fn failures_have_names_and_unknown_codes_share_one() {
        let counters = Arc::new(DriverCounters::default());
        for failure in [Failure::Code(ErrorCode::NotFound), Failure::Code(ErrorCode(4711)), Failure::TimedOut] {
            counters.failed(Verb::Open, failure);
        }
        let errors = counters.snapshot().calls[0].1.errors.clone();
        assert_eq!(errors, [("unknown", 1), ("NotFound", 1), ("deadline", 1)]);
        let named = (1..).take_while(|code| ErrorCode(*code).name().is_some()).count();
        assert_eq!(named + 1, CODES, "each code of the contract has a place");
    }

    #[test]
    fn generations_add_up() {
        let (old, new) = (Arc::new(DriverCounters::default()), Arc::new(DriverCounters::default()));
        old.begin(Verb::Read).end();
        new.begin(Verb::Read).end();
        new.begin(Verb::Open).end();
        new.failed(Verb::Read, Failure::Busy);
        let mut sum = old.snapshot();
        sum.add(&new.snapshot());
        assert_eq!(sum.calls.len(), 2);
        assert_eq!((sum.calls[0].1.begun, sum.calls[0].1.errors.as_slice()), (2, &[("busy", 1)][..]));
    }

    #[test]
    fn verbs_stand_in_the_order_of_their_places() {
        assert!(Verb::ALL.iter().enumerate().all(|(place, verb)| *verb as usize == place));
    }
}
