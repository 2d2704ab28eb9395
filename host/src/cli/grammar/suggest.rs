//! Near matches of mistyped words.

/// Most words that are offered.
const OFFERED_MAX: usize = 3;

/// The words nearest to `typed`, the nearest first; none where all are far.
///
/// Near is up to a third of the letters wrong, or a word that begins as the other does.
pub(in crate::cli) fn nearest(typed: &str, words: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    let bare = |word: &str| word.trim_start_matches('-').to_ascii_lowercase();
    let typed = bare(typed);
    let mut near: Vec<(usize, &'static str)> = words
        .filter_map(|word| {
            let candidate = bare(word);
            let far = typed.len().max(candidate.len()) / 3;
            let steps = distance(&typed, &candidate);
            let begins = typed.len() >= 3 && candidate.starts_with(&typed);
            (steps <= far && candidate.len() > 1 || begins).then_some((steps, word))
        })
        .collect();
    near.sort_by_key(|(steps, _)| *steps);
    near.truncate(OFFERED_MAX);
    near.into_iter().map(|(_, word)| word).collect()
}

/// Letters to change, add, take away or swap with their neighbour to get from one word to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to): (Vec<char>, Vec<char>) = (from.chars().collect(), to.chars().collect());
    let mut before_last = vec![0; to.len() + 1];
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (i, letter) in from.iter().enumerate() {
        let mut row = vec![i + 1; to.len() + 1];
        for (j, other) in to.iter().enumerate() {
            let changed = last[j] + usize::from(letter != other);
            row[j + 1] = changed.min(last[j + 1] + 1).min(row[j] + 1);
            let is_swapped = i > 0 && j > 0 && *letter == to[j - 1] && from[i - 1] == *other;
            if is_swapped {
                row[j + 1] = row[j + 1].min(before_last[j - 1] + 1);
            }
        }
        before_last = std::mem::replace(&mut last, row);
    }
    last[to.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typing_mistakes_are_seen_through() {
        let words = || ["offload", "offload-status", "unload", "list", "stats"].into_iter();
        assert_eq!(nearest("offlod", words())[0], "offload");
        assert_eq!(nearest("ofload", words()), ["offload", "unload"]);
        assert_eq!(nearest("offload-stauts", words()), ["offload-status"]);
        assert_eq!(nearest("lst", words()), ["list"]);
        assert_eq!(nearest("zebra", words()), Vec::<&str>::new());
        assert_eq!(nearest("--sise", ["--size", "-s"].into_iter()), ["--size"]);
    }

    #[test]
    fn the_distance_counts_single_mistakes() {
        for (from, to, steps) in
            [("", "abc", 3), ("abc", "abc", 0), ("abc", "acb", 1), ("abc", "abx", 1), ("abc", "ab", 1)]
        {
            assert_eq!((distance(from, to), distance(to, from)), (steps, steps), "{from} {to}");
        }
    }
}
