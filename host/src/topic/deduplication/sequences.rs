//! Which numbers each producer has sent, and which of them are stored. Pure.
//!
//! Source: Pulsar `MessageDeduplication`.

use std::collections::{BTreeMap, HashMap};

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::topic) enum Verdict {
    /// It is new.
    Fresh,
    /// It is stored already.
    Stored,
    /// It was sent before, and nobody knows yet whether it will be stored.
    Underway,
}

/// The numbers of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::topic) struct Numbers {
    /// Of its first message.
    pub(in crate::topic) first: u64,
    /// Of its last.
    pub(in crate::topic) last: u64,
    /// Whether a message is complete with it: false for all chunks but the last.
    pub(in crate::topic) completes: bool,
}

/// One producer, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Known {
    sent: Option<u64>,
    stored: Option<u64>,
    /// Since when no producer of that name is connected, milliseconds since 1970; `None` while one is.
    gone_since_ms: Option<u64>,
}

/// The numbers of all producers of a topic.
#[derive(Debug, Default)]
pub(in crate::topic) struct Sequences {
    by_name: HashMap<String, Known>,
}

impl Sequences {
    /// Decides about an entry; a fresh one counts as sent from now on.
    ///
    /// All chunks of a message carry its number. Only the last one says that the message is there: chunks of a message
    /// that is stored are known like any other, those of one that was interrupted are taken again.
    pub(super) fn judge(&mut self, producer: &str, numbers: Numbers) -> Verdict {
        if !self.by_name.contains_key(producer) {
            self.by_name.insert(producer.to_owned(), Known::default());
        }
        let known = self.by_name.get_mut(producer).expect("it was put there");
        let reaches = |known: Option<u64>| known.is_some_and(|known| numbers.first <= known);
        if reaches(known.stored) {
            return Verdict::Stored;
        }
        if reaches(known.sent) {
            return Verdict::Underway;
        }
        if numbers.completes {
            known.sent = known.sent.max(Some(numbers.last));
        }
        Verdict::Fresh
    }

    /// An entry is in the log.
    pub(super) fn stored(&mut self, producer: &str, numbers: Numbers, gone_since_ms: Option<u64>) {
        if !numbers.completes {
            return;
        }
        let known = self.by_name.entry(producer.to_owned()).or_insert(Known { gone_since_ms, ..Known::default() });
        known.stored = known.stored.max(Some(numbers.last));
        known.sent = known.sent.max(known.stored);
    }

    /// What was recorded of a producer.
    pub(super) fn recorded(&mut self, producer: String, last: u64, now_ms: u64) {
        let known = Known { sent: Some(last), stored: Some(last), gone_since_ms: Some(now_ms) };
        self.by_name.insert(producer, known);
    }

    /// The highest number that a producer has sent.
    pub(super) fn last(&self, producer: &str) -> Option<u64> {
        self.by_name.get(producer)?.sent
    }

    /// A producer is connected.
    pub(super) fn came(&mut self, producer: &str) {
        if let Some(known) = self.by_name.get_mut(producer) {
            known.gone_since_ms = None;
        }
    }

    /// A producer is gone.
    pub(super) fn left(&mut self, producer: &str, now_ms: u64) {
        if let Some(known) = self.by_name.get_mut(producer) {
            known.gone_since_ms = Some(now_ms);
        }
    }

    /// Forgets producers that are gone since before `before_ms`, and beyond `count_max` those that are gone longest.
    pub(super) fn forget(&mut self, before_ms: u64, count_max: usize) {
        self.by_name.retain(|_, known| known.gone_since_ms.is_none_or(|since| since >= before_ms));
        let Some(excess) = self.by_name.len().checked_sub(count_max).filter(|excess| *excess > 0) else { return };
        let gone = self.by_name.iter().filter_map(|(name, known)| Some((known.gone_since_ms?, name.clone())));
        let mut gone: Vec<_> = gone.collect();
        gone.sort_unstable();
        for (_, name) in gone.into_iter().take(excess) {
            self.by_name.remove(&name);
        }
    }

    /// What is stored, for the record; at most `count_max` producers, those that are connected or left last.
    pub(super) fn record(&self, count_max: usize) -> BTreeMap<String, u64> {
        let stored = self.by_name.iter().filter_map(|(name, known)| Some((known, name, known.stored?)));
        let mut stored: Vec<_> = stored.collect();
        if stored.len() > count_max {
            stored.sort_unstable_by_key(|(known, ..)| std::cmp::Reverse(known.gone_since_ms.unwrap_or(u64::MAX)));
            stored.truncate(count_max);
        }
        stored.into_iter().map(|(_, name, last)| (name.clone(), last)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict::{Fresh, Stored, Underway};
    use super::*;

    fn batch(first: u64, last: u64) -> Numbers {
        Numbers { first, last, completes: true }
    }

    fn one(number: u64) -> Numbers {
        batch(number, number)
    }

    fn chunk(number: u64) -> Numbers {
        Numbers { completes: false, ..one(number) }
    }

    #[test]
    fn numbers_go_from_sent_to_stored() {
        let mut known = Sequences::default();
        assert_eq!((known.judge("p", one(0)), known.judge("p", one(0))), (Fresh, Underway));
        known.stored("p", one(0), None);
        assert_eq!((known.judge("p", one(0)), known.judge("p", one(1))), (Stored, Fresh));
        assert_eq!(known.judge("q", one(0)), Fresh, "each name by itself");
        assert_eq!(known.judge("p", batch(5, 9)), Fresh, "numbers may be left out");
        assert_eq!((known.judge("p", one(7)), known.last("p")), (Underway, Some(9)));
        known.stored("p", batch(5, 9), None);
        assert_eq!((known.judge("p", batch(9, 12)), known.judge("p", batch(10, 12))), (Stored, Fresh));
        assert_eq!(known.last("nobody"), None);
    }

    #[test]
    fn a_message_in_chunks_is_there_with_its_last_one() {
        let mut known = Sequences::default();
        for _ in 0..2 {
            assert_eq!(known.judge("p", chunk(3)), Fresh);
            known.stored("p", chunk(3), None);
        }
        assert_eq!(known.judge("p", chunk(3)), Fresh, "it was interrupted and comes again from its first chunk");
        assert_eq!(known.judge("p", one(3)), Fresh);
        known.stored("p", one(3), None);
        assert_eq!((known.judge("p", chunk(3)), known.judge("p", one(3))), (Stored, Stored));
    }

    #[test]
    fn those_who_are_gone_are_forgotten_in_their_order() {
        let mut known = Sequences::default();
        for (name, left_ms) in [("old", 10), ("older", 5), ("young", 90)] {
            known.recorded(name.to_owned(), 7, left_ms);
        }
        known.judge("here", one(4));
        known.stored("here", one(4), None);
        let names = |known: &Sequences, count| known.record(count).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&known, 9), ["here", "old", "older", "young"]);
        assert_eq!(names(&known, 2), ["here", "young"]);
        known.came("older");
        known.forget(50, 9);
        assert_eq!(names(&known, 9), ["here", "older", "young"]);
        known.left("older", 60);
        known.forget(0, 2);
        assert_eq!(names(&known, 9), ["here", "young"]);
        known.forget(0, 0);
        assert_eq!(names(&known, 9), ["here"], "one that is connected stays");
    }
}
