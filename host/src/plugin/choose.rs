//! Which file of a plugin is to serve. Pure: the same folder gives the same choice at a start and while the broker runs, but
//! for one thing: what serves goes on until something better has proved that it works.
//!
//! Of the files of one plugin the pinned version comes first, then the higher version, then the earlier file name. Files
//! are tried in that order; the first that works serves.

use std::cmp::Reverse;

use semver::Version;

use super::look::Content;

/// A file that may be loaded as the plugin in question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) file: String,
    pub(super) version: Version,
    pub(super) content: Content,
    /// It was tried and does not work.
    pub(super) failed: bool,
}

/// What serves as that plugin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Incumbent {
    /// The name that it was loaded under.
    pub(super) file: String,
    pub(super) version: Version,
    pub(super) content: Content,
    /// Its file now holds bytes that may not be loaded: half a copy, or something that is refused.
    pub(super) file_is_unfit: bool,
}

/// Puts the offers into the order in which they are tried.
pub(super) fn rank(offers: &mut [Offer], pinned: Option<&Version>) {
    offers.sort_by(|a, b| place(&a.version, pinned).cmp(&place(&b.version, pinned)).then_with(|| a.file.cmp(&b.file)));
}

/// How many of the ranked offers are tried before the incumbent stays.
///
/// Those that rank before its own file. Where its bytes are in the folder no more, all of them: whoever removes a version wants
/// the next best one, be it older. But a file that is just being written over, or a newer one that does not work, is no
/// wish for an older version: then only those that rank before the incumbent are tried. Ask again after each that failed.
pub(super) fn tries(offers: &[Offer], incumbent: Option<&Incumbent>, pinned: Option<&Version>) -> usize {
    let Some(incumbent) = incumbent else { return offers.len() };
    if let Some(own) = offers.iter().position(|offer| offer.content == incumbent.content) {
        return own;
    }
    let own = place(&incumbent.version, pinned);
    let is_better = |offer: &&Offer| place(&offer.version, pinned) < own;
    let newer_failed = offers.iter().any(|offer| offer.failed && (offer.file == incumbent.file || is_better(&offer)));
    if incumbent.file_is_unfit || newer_failed { offers.iter().take_while(is_better).count() } else { offers.len() }
}

/// Sorts first what is tried first.
fn place<'a>(version: &'a Version, pinned: Option<&Version>) -> (bool, Reverse<&'a Version>) {
    (pinned != Some(version), Reverse(version))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8) -> Content {
        Content { sha256: [byte; 32], len: 1 }
    }

    fn offer(file: &str, minor: u64, byte: u8) -> Offer {
        Offer { file: file.to_owned(), version: Version::new(1, minor, 0), content: content(byte), failed: false }
    }

    /// It was loaded from `a.so`.
    fn incumbent(minor: u64, byte: u8, file_is_unfit: bool) -> Option<Incumbent> {
        let file = "a.so".to_owned();
        Some(Incumbent { file, version: Version::new(1, minor, 0), content: content(byte), file_is_unfit })
    }

    fn tried(mut offers: Vec<Offer>, incumbent: Option<Incumbent>, pinned: Option<u64>) -> Vec<String> {
        let pinned = pinned.map(|minor| Version::new(1, minor, 0));
        rank(&mut offers, pinned.as_ref());
        let count = tries(&offers, incumbent.as_ref(), pinned.as_ref());
        offers.into_iter().take(count).map(|offer| offer.file).collect()
    }

    #[test]
    fn the_higher_version_then_the_earlier_name_and_a_pin_before_both() {
        let offers = || vec![offer("c.so", 1, 1), offer("b.so", 2, 2), offer("a.so", 1, 3), offer("d.so", 10, 4)];
        assert_eq!(tried(offers(), None, None), ["d.so", "b.so", "a.so", "c.so"]);
        assert_eq!(tried(offers(), None, Some(1)), ["a.so", "c.so", "d.so", "b.so"]);
        assert_eq!(tried(offers(), None, Some(7)), ["d.so", "b.so", "a.so", "c.so"]);
    }

    #[test]
    fn what_serves_is_left_for_something_better_alone() {
        let folder = || vec![offer("a.so", 1, 1), offer("b.so", 2, 2), offer("c.so", 3, 3)];
        let nothing: [&str; 0] = [];
        // Its file is there.
        assert_eq!(tried(folder(), incumbent(2, 2, false), None), ["c.so"]);
        assert_eq!(tried(folder(), incumbent(3, 3, false), None), nothing);
        // Pinned to an older version that has come.
        assert_eq!(tried(folder(), incumbent(3, 3, false), Some(1)), ["a.so"]);
        // The same version, built again, in the same file and in a later one.
        assert_eq!(tried(vec![offer("a.so", 1, 9)], incumbent(1, 1, false), None), ["a.so"]);
        assert_eq!(tried(vec![offer("a.so", 1, 1), offer("b.so", 1, 9)], incumbent(1, 1, false), None), nothing);
        assert_eq!(tried(vec![offer("a.so", 1, 9), offer("b.so", 1, 1)], incumbent(1, 1, false), None), ["a.so"]);
    }

    #[test]
    fn a_version_that_was_removed_gives_way_to_the_next_best() {
        let folder = || vec![offer("a.so", 1, 1), offer("b.so", 2, 2)];
        assert_eq!(tried(folder(), incumbent(3, 3, false), None), ["b.so", "a.so"]);
        assert_eq!(tried(vec![], incumbent(3, 3, false), None), [""; 0]);
    }

    #[test]
    fn a_file_that_is_being_written_over_is_no_wish_for_an_older_version() {
        let folder = || vec![offer("a.so", 1, 1), offer("b.so", 4, 4)];
        assert_eq!(tried(folder(), incumbent(3, 3, true), None), ["b.so"]);
        assert_eq!(tried(folder(), incumbent(4, 9, true), None), [""; 0]);
    }

    #[test]
    fn a_newer_version_that_does_not_work_is_no_wish_for_an_older_one() {
        let folder = |file: &str| vec![Offer { failed: true, ..offer(file, 4, 4) }, offer("c.so", 1, 1)];
        assert_eq!(tried(folder("b.so"), incumbent(3, 3, false), None), ["b.so"]);
        assert_eq!(tried(folder("a.so"), incumbent(3, 3, false), None), ["a.so"]);
        // Its own file, written over with the same version, which does not work.
        assert_eq!(tried(folder("a.so"), incumbent(4, 3, false), None), [""; 0]);
        // At a start, and without one that failed.
        assert_eq!(tried(folder("b.so"), None, None), ["b.so", "c.so"]);
        assert_eq!(tried(folder("b.so").split_off(1), incumbent(3, 3, false), None), ["c.so"]);
    }
}
