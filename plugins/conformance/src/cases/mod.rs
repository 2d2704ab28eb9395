//! The cases, one file for each group, in the order of a run: simple things first, so that the first failure is the one to
//! look at.

mod cancel;
mod concurrent;
mod configuration;
mod copies;
mod damage;
mod deletes;
mod ends;
mod offloads;
mod ranges;
mod scans;

use crate::case::Case;
pub(crate) use configuration::secret_keys;

const GROUPS: [&[Case]; 10] = [
    configuration::CASES,
    copies::CASES,
    ranges::CASES,
    offloads::CASES,
    deletes::CASES,
    scans::CASES,
    concurrent::CASES,
    cancel::CASES,
    damage::CASES,
    ends::CASES,
];

/// Every case, in the order of a run.
pub fn all() -> impl Iterator<Item = &'static Case> {
    GROUPS.iter().flat_map(|group| group.iter())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_claims_fit_their_column() {
        let mut seen = HashSet::new();
        for case in all() {
            assert!(seen.insert(case.id), "{} is there twice", case.id);
            assert!(case.id.chars().all(|c| c.is_ascii_lowercase() || c == '-') && case.id.len() <= 28, "{}", case.id);
            assert!(case.title.len() <= 72, "{}: {} is too long by {}", case.id, case.title, case.title.len() - 72);
        }
    }
}
