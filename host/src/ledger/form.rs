//! Which way a group becomes durable. Pure; docs/decisions/0006-hot-store-form.md has the figures.

use super::LedgerStoreSettings;

/// For each ledger of a group, given its bytes there: whether its own file is flushed (`true`) or the journal speaks for
/// it (`false`).
///
/// A ledger with many bytes is not written twice. The rest shares the journal's one flush, unless so few are left that
/// flushing their files is as quick, and saves the second write.
pub(super) fn flushed_directly(bytes: &[u64], settings: &LedgerStoreSettings) -> Vec<bool> {
    let is_large = |bytes: &u64| *bytes >= settings.direct_bytes_min;
    let small_count = bytes.iter().filter(|bytes| !is_large(bytes)).count();
    let few = small_count <= settings.direct_ledgers_max;
    bytes.iter().map(|bytes| few || is_large(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_ledgers_and_large_ones_skip_the_journal() {
        let settings = LedgerStoreSettings { direct_ledgers_max: 2, direct_bytes_min: 100, ..Default::default() };
        let cases: [(&[u64], &[bool]); 5] = [
            (&[], &[]),
            (&[1], &[true]),
            (&[1, 1], &[true, true]),
            (&[1, 1, 1], &[false, false, false]),
            (&[1, 100, 1, 1], &[false, true, false, false]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(flushed_directly(bytes, &settings), expected, "{bytes:?}");
        }
    }
}
