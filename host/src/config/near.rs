//! Finds the known name that a mistyped one was meant to be.

/// The candidate within a few letters of `name`, or `None`. Letter case does not count. Ties go to the first candidate.
pub(super) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let name: Vec<char> = name.to_lowercase().chars().collect();
    let allowed = (name.len() / 6).clamp(1, 3);
    let mut best: Option<(usize, &str)> = None;
    for candidate in candidates {
        let letters: Vec<char> = candidate.to_lowercase().chars().collect();
        if letters.len().abs_diff(name.len()) > allowed {
            continue;
        }
        let edits = distance(&name, &letters);
        if edits <= allowed && best.is_none_or(|(least, _)| edits < least) {
            best = Some((edits, candidate));
        }
    }
    best.map(|(_, candidate)| candidate)
}

/// Insertions, deletions and replacements that turn one into the other (Levenshtein), one row at a time.
fn distance(from: &[char], to: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (above, letter) in from.iter().enumerate() {
        let mut diagonal = row[0];
        row[0] = above + 1;
        for (left, other) in to.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != other);
            diagonal = row[left + 1];
            row[left + 1] = replaced.min(row[left] + 1).min(diagonal + 1);
        }
    }
    row[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance_is_levenshtein() {
        for (from, to, expected) in
            [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("abc", "abc", 0), ("ab", "ba", 2)]
        {
            let letters = |text: &str| text.chars().collect::<Vec<_>>();
            assert_eq!(distance(&letters(from), &letters(to)), expected, "{from} {to}");
        }
    }

    #[test]
    fn a_near_name_is_found_and_a_far_one_is_not() {
        let known = ["managedLedgerOffloadDriver", "brokerServicePort", "webServicePort"];
        let near = |name| nearest(name, known.into_iter());
        assert_eq!(near("managedLedgerOffloadDrivr"), Some("managedLedgerOffloadDriver"));
        assert_eq!(near("brokerserviceport"), Some("brokerServicePort"));
        assert_eq!(near("webServisPort"), Some("webServicePort"));
        assert_eq!(near("somethingElse"), None);
        assert_eq!(near(""), None);
    }
}
