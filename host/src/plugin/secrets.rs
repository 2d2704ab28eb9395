//! The values of keys that plugins declare secret, kept out of what plugins say: their log, their errors.
//!
//! A value is known from the moment on at which a driver is made with it. What is known is the process's, not one plugin's: a
//! plugin that tells another's secret is no better. Only exact occurrences are found, which is enough for the accident that
//! this is for; a plugin that wants to tell has other ways. Looking costs one step for each byte of a text, however many values
//! are known, and nothing where none is.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError, RwLock};

use super::config_schema::STARS;

/// Shorter values stand in texts by chance.
const VALUE_BYTES_MIN: usize = 6;

/// Values that are known at once; beyond it the oldest is forgotten.
const VALUES_MAX: usize = 256;

/// Words of 64 bits with a bit for every pair of bytes.
const PAIR_WORDS: usize = (1 << 16) / 64;

static KNOWN: RwLock<Option<Arc<Secrets>>> = RwLock::new(None);

/// Keeps these values out of what is said from now on; those that are too short are left alone.
pub(super) fn remember<'a>(values: impl Iterator<Item = &'a str>) {
    let mut values = values.filter(|value| value.len() >= VALUE_BYTES_MIN).peekable();
    if values.peek().is_some() {
        let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
        let before = known.as_ref().map(|known| known.values.clone()).unwrap_or_default();
        *known = Some(Arc::new(Secrets::with(before, values)));
    }
}

/// `text` with stars for every secret in it.
pub(super) fn without(text: &str) -> Cow<'_, str> {
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner).clone();
    known.map_or(Cow::Borrowed(text), |known| known.starred(text))
}

/// Values, and the pairs of bytes that they begin with.
struct Secrets {
    /// The oldest first.
    values: VecDeque<String>,
    pairs: Box<[u64; PAIR_WORDS]>,
}

impl Secrets {
    fn with<'a>(mut values: VecDeque<String>, more: impl Iterator<Item = &'a str>) -> Self {
        for value in more {
            // One that is in use again is as good as new.
            values.retain(|known| known != value);
            values.push_back(value.to_owned());
        }
        values.drain(..values.len().saturating_sub(VALUES_MAX));
        let mut pairs = Box::new([0; PAIR_WORDS]);
        for value in &values {
            let pair = pair(value.as_bytes());
            pairs[pair / 64] |= 1 << (pair % 64);
        }
        Self { values, pairs }
    }

    fn starred<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let (mut out, mut taken, mut at) = (String::new(), 0, 0);
        while at + VALUE_BYTES_MIN <= text.len() {
            match self.longest_at(&text.as_bytes()[at..]) {
                None => at += 1,
                Some(len) => {
                    // A value is text, so that both ends of an occurrence lie between characters.
                    out.push_str(&text[taken..at]);
                    out.push_str(STARS);
                    at += len;
                    taken = at;
                }
            }
        }
        if taken == 0 {
            return Cow::Borrowed(text);
        }
        out.push_str(&text[taken..]);
        Cow::Owned(out)
    }

    /// The length of the longest value that `bytes` begin with. They are at least two.
    fn longest_at(&self, bytes: &[u8]) -> Option<usize> {
        let pair = pair(bytes);
        if self.pairs[pair / 64] & (1 << (pair % 64)) == 0 {
            return None;
        }
        let here = self.values.iter().filter(|value| bytes.starts_with(value.as_bytes()));
        here.map(String::len).max()
    }
}

fn pair(bytes: &[u8]) -> usize {
    usize::from(u16::from_be_bytes([bytes[0], bytes[1]]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(values: &[&str]) -> Secrets {
        Secrets::with(VecDeque::new(), values.iter().copied())
    }

    #[test]
    fn every_occurrence_is_starred_and_the_longest_first() {
        let secrets = secrets(&["hunter2", "hunter2-and-more", "\u{e4}\u{f6}\u{fc}xyz"]);
        for (text, expected) in [
            ("hunter2", "***"),
            ("a hunter2, b=hunter2-and-more.", "a ***, b=***."),
            ("hunterhunter2hunter2", "hunter******"),
            ("\u{e4}\u{e4}\u{f6}\u{fc}xyz", "\u{e4}***"),
            ("hunter", "hunter"),
            ("", ""),
        ] {
            assert_eq!(secrets.starred(text), expected, "{text}");
        }
        assert!(matches!(secrets.starred("nothing to hide"), Cow::Borrowed(_)));
    }

    #[test]
    fn few_values_are_kept_and_the_oldest_goes_first() {
        let many: Vec<String> = (0..VALUES_MAX).map(|n| format!("secret-{n:04}")).collect();
        let known = secrets(&many.iter().map(String::as_str).collect::<Vec<_>>());
        let later = Secrets::with(known.values, ["secret-0000", "newcomer"].into_iter());
        assert_eq!(later.values.len(), VALUES_MAX);
        assert_eq!(later.starred("secret-0000 secret-0001 secret-0002 newcomer"), "*** secret-0001 *** ***");
    }

    #[test]
    fn what_is_remembered_is_starred_from_then_on_but_for_what_is_short() {
        assert_eq!(without("of the test: open-sesame"), "of the test: open-sesame");
        remember(["open-sesame", "short"].into_iter());
        assert_eq!(without("of the test: open-sesame, short"), "of the test: ***, short");
    }
}
