//! How much memory replaced libraries may hold. A library is never unmapped, so each that was ever loaded counts until the
//! process ends: in charge it is in use, otherwise retired. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::look::Content;

/// Every content that this process will hold until its end, with the name and version of the plugin in it.
pub(super) type Mapped = HashMap<Content, (String, String)>;

/// Bytes of all libraries that were loaded and are not in charge, by name and version of their plugins.
pub(super) fn retired(mapped: &Mapped, serving: impl Iterator<Item = Content>) -> BTreeMap<(String, String), u64> {
    let serving: HashSet<Content> = serving.collect();
    let mut retired = BTreeMap::new();
    for (content, plugin) in mapped.iter().filter(|(content, _)| !serving.contains(content)) {
        *retired.entry(plugin.clone()).or_default() += content.len;
    }
    retired
}

/// Whether `next` may be loaded, to take over from `before` if there is one.
///
/// # Errors
/// The sentence that says what is full and how to make room.
pub(super) fn check(
    mapped: &Mapped,
    serving: impl Iterator<Item = Content>,
    next: Content,
    before: Option<Content>,
    max: u64,
) -> Result<(), String> {
    let mut serving: HashSet<Content> = serving.collect();
    before.map(|before| serving.remove(&before));
    serving.insert(next);
    let retired: u64 = retired(mapped, serving.into_iter()).values().sum();
    if retired <= max {
        return Ok(());
    }
    Err(format!(
        "libraries that were replaced would hold {retired} bytes, more than offloadersRetiredBytesMax={max}; restart to \
         reclaim"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(byte: u8, len: u64) -> Content {
        Content { sha256: [byte; 32], len }
    }

    fn mapped<const N: usize>(contents: [Content; N]) -> Mapped {
        let plugin = |content: &Content| ("x".to_owned(), format!("1.0.{}", content.sha256[0]));
        contents.into_iter().map(|content| (content, plugin(&content))).collect()
    }

    #[test]
    fn what_was_replaced_counts_until_it_serves_again() {
        let (a, b, c) = (content(1, 100), content(2, 50), content(3, 70));
        let mapped = mapped([a, b]);
        let serving = || std::iter::once(b);
        assert_eq!(retired(&mapped, serving()), [(("x".to_owned(), "1.0.1".to_owned()), 100)].into());
        assert_eq!(check(&mapped, serving(), c, Some(b), 150), Ok(()));
        let full = check(&mapped, serving(), c, Some(b), 149).unwrap_err();
        assert!(full.contains("150 bytes") && full.contains("restart to reclaim"), "{full}");
        // Back to bytes that are there already.
        assert_eq!(check(&mapped, serving(), a, Some(b), 50), Ok(()));
    }

    #[test]
    fn a_plugin_that_replaces_nothing_is_refused_only_where_there_is_too_much_already() {
        let (a, failed, next) = (content(1, 100), content(2, 60), content(3, 1000));
        let mapped = mapped([a, failed]);
        assert_eq!(check(&mapped, std::iter::once(a), next, None, 60), Ok(()));
        assert!(check(&mapped, std::iter::once(a), next, None, 59).is_err());
    }
}
