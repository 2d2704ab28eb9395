//! What a look at the folder has to do, decided from what was known and what is seen. Pure: nothing here touches a file.
//!
//! A file is told from what it was by its name, its length, its times and its number ([`Stamp`]), and by what else decides on
//! it ([`Terms`]: the operator's policy, its signature). Only where one of them differs are its bytes read again and hashed; equal bytes under equal terms keep their
//! verdict. File systems count time in steps, so a file that changed a moment before it was read may change again without a
//! trace: until [`SETTLES_AFTER`] has passed it is read at each look, and the hash decides.

use std::time::Duration;

use longshore_plugin_api::note::PluginNote;

use super::admission::{Fingerprint, Ownership};
use super::scan::{Candidate, EntryKind, Stamp};

/// How old a change must be before equal times prove equal bytes. The coarsest clock of a file system in use has 2 s.
pub(super) const SETTLES_AFTER: Duration = Duration::from_secs(2);

/// How long a file may be incomplete without changing before its reason says that its copy was probably abandoned.
pub(super) const INCOMPLETE_MAX: Duration = Duration::from_secs(300);

/// What decides on a file beside its bytes, as it was when the file was judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Terms {
    pub(super) ownership: Ownership,
    /// Of the policy, for this file.
    pub(super) fingerprint: Fingerprint,
}

/// Which bytes: their number and their SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Content {
    pub(super) sha256: [u8; 32],
    pub(super) len: u64,
}

impl Content {
    /// The hash in hexadecimal.
    pub(super) fn sha256_hex(&self) -> String {
        self.sha256.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// What inspection decided on a file's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may be loaded.
    Admitted,
    /// It may not.
    Refused(String),
    /// It may be complete at another look.
    Incomplete(String),
}

/// A file that was read and judged; its bytes are gone again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// Absent where it could not be read.
    pub(super) content: Option<Content>,
    /// Present with the content.
    pub(super) terms: Option<Terms>,
    pub(super) note: Option<PluginNote>,
    pub(super) verdict: Verdict,
}

/// What is known of one entry of the folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) candidate: Candidate,
    pub(super) finding: Finding,
    /// Whether its stamp was old enough, when it was read, to tell the next change.
    settled: bool,
    /// Since when it has been what it is, milliseconds since 1970.
    since_ms: u64,
}

impl Known {
    /// What `candidate` was found to be at `now_ms`, after `before`, if that was known.
    pub(super) fn new(candidate: Candidate, finding: Finding, before: Option<&Self>, now_ms: u64) -> Self {
        let settled = is_settled(&candidate.stamp, now_ms);
        let same = before.filter(|before| before.candidate.stamp == candidate.stamp && before.finding == finding);
        let since_ms = same.map_or(now_ms, |before| before.since_ms);
        Self { candidate, finding, settled, since_ms }
    }

    /// The plugin that it is, if it may be loaded.
    pub(super) fn admitted(&self) -> Option<(&PluginNote, Content)> {
        match (&self.finding.verdict, &self.finding.note, self.finding.content) {
            (Verdict::Admitted, Some(note), Some(content)) => Some((note, content)),
            _ => None,
        }
    }

    /// Why it may not be loaded, as things stand at `now_ms`.
    pub(super) fn problem(&self, now_ms: u64) -> Option<String> {
        match &self.finding.verdict {
            Verdict::Admitted => None,
            Verdict::Refused(reason) => Some(reason.clone()),
            Verdict::Incomplete(reason) => {
                let waited = Duration::from_millis(now_ms.saturating_sub(self.since_ms));
                let abandoned = waited >= INCOMPLETE_MAX;
                let minutes = INCOMPLETE_MAX.as_secs() / 60;
                let verdict = match abandoned {
                    true => format!(
                        "; it has not changed for {minutes} minutes, so its copy was probably abandoned: remove it or \
                         install it again"
                    ),
                    false => "; it is looked at again".to_owned(),
                };
                Some(reason.clone() + &verdict)
            }
        }
    }
}

/// What is to be done about one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// What is known still holds.
    Keep,
    /// Its bytes are to be read and judged.
    Read,
}

/// Decides on one entry that is seen. `terms_hold` tells whether what decided beside its bytes is as it was; it is asked only
/// where everything else is.
pub(super) fn work(known: Option<&Known>, seen: &Candidate, terms_hold: impl FnOnce(&Known) -> bool) -> Work {
    let Some(known) = known else { return Work::Read };
    // What is no file is judged by its kind alone; the times of a folder change with what is in it.
    let same = match seen.kind {
        EntryKind::File => {
            let was_read = known.finding.content.is_some();
            was_read && known.candidate == *seen && known.settled && terms_hold(known)
        }
        _ => known.candidate.kind == seen.kind,
    };
    if same { Work::Keep } else { Work::Read }
}

/// Whether a change after `now_ms` must show in the stamp. A time that lies in the future proves nothing.
fn is_settled(stamp: &Stamp, now_ms: u64) -> bool {
    let last_ns = stamp.modified_ns.max(stamp.changed_ns);
    last_ns + SETTLES_AFTER.as_nanos() as i128 <= i128::from(now_ms) * 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: u64 = 1_700_000_000_000;
    const OLD_NS: i128 = 1_600_000_000_000_000_000;

    fn candidate(change: impl FnOnce(&mut Candidate)) -> Candidate {
        let stamp = Stamp { len: 10, modified_ns: OLD_NS, changed_ns: OLD_NS, inode: 7, device: 1 };
        let mut candidate =
            Candidate { name: "a.so".into(), path: "plugins/a.so".into(), kind: EntryKind::File, stamp };
        change(&mut candidate);
        candidate
    }

    fn finding(verdict: Verdict) -> Finding {
        Finding { content: Some(Content { sha256: [1; 32], len: 10 }), terms: None, note: None, verdict }
    }

    fn known(candidate: Candidate, verdict: Verdict) -> Known {
        Known::new(candidate, finding(verdict), None, NOW_MS)
    }

    fn decided(known: Option<Known>, seen: &Candidate) -> Work {
        work(known.as_ref(), seen, |_| true)
    }

    #[test]
    fn only_what_differs_is_read_again() {
        let same = candidate(|_| {});
        let before = || Some(known(same.clone(), Verdict::Admitted));
        let table: Vec<(&str, Option<Known>, Candidate, Work)> = vec![
            ("new", None, same.clone(), Work::Read),
            ("unchanged", before(), same.clone(), Work::Keep),
            ("longer", before(), candidate(|c| c.stamp.len += 1), Work::Read),
            ("written again", before(), candidate(|c| c.stamp.modified_ns += 1), Work::Read),
            ("times set back, or another mode", before(), candidate(|c| c.stamp.changed_ns += 1), Work::Read),
            ("renamed over", before(), candidate(|c| c.stamp.inode += 1), Work::Read),
            ("another file system", before(), candidate(|c| c.stamp.device += 1), Work::Read),
            ("a link now", before(), candidate(|c| c.kind = EntryKind::Link), Work::Read),
        ];
        for (case, known, seen, expected) in table {
            assert_eq!(decided(known, &seen), expected, "{case}");
        }
        let other_terms = work(before().as_ref(), &same, |_| false);
        assert_eq!(other_terms, Work::Read);
    }

    #[test]
    fn what_is_no_file_is_not_judged_again_when_its_times_change() {
        let folder = |changed_ns| {
            candidate(|c| {
                c.kind = EntryKind::Folder;
                c.stamp.changed_ns = changed_ns;
            })
        };
        let before = known(folder(OLD_NS), Verdict::Refused("it is a folder".to_owned()));
        assert_eq!(decided(Some(before), &folder(OLD_NS + 5)), Work::Keep);
    }

    #[test]
    fn a_file_that_changed_a_moment_before_it_was_read_is_read_again() {
        let at = |changed_ns: i128| candidate(|c| c.stamp.changed_ns = changed_ns);
        let now_ns = i128::from(NOW_MS) * 1_000_000;
        let settle_ns = SETTLES_AFTER.as_nanos() as i128;
        for (changed_ns, expected) in [
            (now_ns, Work::Read),
            (now_ns - settle_ns + 1, Work::Read),
            (now_ns - settle_ns, Work::Keep),
            (now_ns + settle_ns, Work::Read),
        ] {
            let seen = at(changed_ns);
            assert_eq!(decided(Some(known(seen.clone(), Verdict::Admitted)), &seen), expected);
        }
    }

    #[test]
    fn what_is_incomplete_waits_for_a_change_and_what_could_not_be_read_does_not() {
        let seen = candidate(|_| {});
        let incomplete = || Verdict::Incomplete("the file is cut off".to_owned());
        assert_eq!(decided(Some(known(seen.clone(), incomplete())), &seen), Work::Keep);
        let unread = Finding { content: None, ..finding(incomplete()) };
        assert_eq!(decided(Some(Known::new(seen.clone(), unread, None, NOW_MS)), &seen), Work::Read);
        let grown = candidate(|c| c.stamp.len += 1);
        assert_eq!(decided(Some(known(seen, incomplete())), &grown), Work::Read);
    }

    #[test]
    fn what_stays_incomplete_is_called_abandoned_in_the_end() {
        let seen = candidate(|_| {});
        let incomplete = finding(Verdict::Incomplete("cut off".to_owned()));
        let max_ms = INCOMPLETE_MAX.as_millis() as u64;
        let first = Known::new(seen.clone(), incomplete.clone(), None, NOW_MS);
        assert_eq!(first.problem(NOW_MS + max_ms - 1).unwrap(), "cut off; it is looked at again");
        let again = Known::new(seen.clone(), incomplete.clone(), Some(&first), NOW_MS + max_ms / 2);
        assert!(again.problem(NOW_MS + max_ms).unwrap().contains("has not changed for 5 minutes"));
        let grown = candidate(|c| c.stamp.len += 1);
        let grown = Known::new(grown, incomplete, Some(&again), NOW_MS + max_ms);
        assert_eq!(grown.problem(NOW_MS + max_ms).unwrap(), "cut off; it is looked at again");
    }
}
