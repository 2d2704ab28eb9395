//! What did not work although it was admitted, and when it is tried again. Pure.

use super::lookout::Cause;

/// How often a plugin that failed for a reason that may pass is tried again without being asked for.
const TRIES_MAX: u32 = 5;

/// Why a content is not in charge although it was admitted.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    reason: String,
    pub(super) retry: Retry,
    tries: u32,
    /// The look of the last try.
    look: u64,
}

impl Failure {
    /// One more failure of what failed `before`, if it did, at the look of this number.
    pub(super) fn new(before: Option<&Self>, reason: String, retry: Retry, look: u64) -> Self {
        Self { reason, retry, tries: before.map_or(0, |before| before.tries) + 1, look }
    }

    /// Whether it is to be tried again at the look of this number.
    pub(super) fn is_due(&self, cause: Cause, look: u64) -> bool {
        let wanted = match self.retry {
            Retry::Never => false,
            Retry::Asked => cause == Cause::Operator,
            Retry::Soon => cause == Cause::Operator || self.tries < TRIES_MAX,
            Retry::Always => true,
        };
        wanted && self.look != look
    }

    /// The reason, and what has it tried again.
    pub(super) fn told(&self) -> String {
        let again = match self.retry {
            Retry::Never | Retry::Always => return self.reason.clone(),
            Retry::Asked => "it is tried again by `longshore offloaders rescan`, or when its file changes".to_owned(),
            Retry::Soon if self.tries < TRIES_MAX => "it is tried again".to_owned(),
            Retry::Soon => format!("after {TRIES_MAX} tries it waits for `longshore offloaders rescan`"),
        };
        format!("{}; {again}", self.reason)
    }
}

/// When a failure is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// Not in this process: trying costs memory each time.
    Never,
    /// When an operator asks.
    Asked,
    /// A few times by itself.
    Soon,
    /// At each look: finding out costs nothing.
    Always,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tries_what_may_pass_a_few_times_and_an_operator_what_costs_nothing() {
        let table =
            [(Retry::Never, 0, 0), (Retry::Asked, 0, 9), (Retry::Soon, TRIES_MAX - 1, 9), (Retry::Always, 9, 9)];
        for (retry, by_clock, by_operator) in table {
            for (cause, expected) in [(Cause::Clock, by_clock), (Cause::Operator, by_operator)] {
                let mut failure = Failure::new(None, "it fails".to_owned(), retry, 1);
                let mut tries = 0;
                for look in 2..=10 {
                    if failure.is_due(cause, look) {
                        tries += 1;
                        failure = Failure::new(Some(&failure), "it fails".to_owned(), retry, look);
                    }
                    assert!(!failure.is_due(cause, failure.look), "not twice at one look");
                }
                assert_eq!(tries, expected, "{retry:?} {cause:?}");
            }
        }
    }

    #[test]
    fn a_reason_says_what_has_it_tried_again() {
        let mut failure = Failure::new(None, "it fails".to_owned(), Retry::Soon, 1);
        assert_eq!(failure.told(), "it fails; it is tried again");
        for look in 2..=u64::from(TRIES_MAX) {
            failure = Failure::new(Some(&failure), "it fails".to_owned(), Retry::Soon, look);
        }
        assert_eq!(failure.told(), "it fails; after 5 tries it waits for `longshore offloaders rescan`");
        assert_eq!(Failure::new(None, "full".to_owned(), Retry::Always, 1).told(), "full");
    }
}
