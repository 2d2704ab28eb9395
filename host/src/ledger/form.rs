//! Which way a group becomes durable. Pure; docs/decisions/0006-hot-store-form.md has the figures.

use super::LedgerStoreSettings;

/// For each ledger of a group, given its bytes there: whether its own file is flushed (`true`) or the journal speaks for
/// it (`false`).
///
/// Small groups go to the journal, also of one ledger: a write over blocks that exist is flushed quicker than a file that
/// grows. Many bytes of one ledger are not worth writing twice, but two flushes cost more than a second write.
pub(super) fn flushed_directly(bytes: &[u64], settings: &LedgerStoreSettings) -> Vec<bool> {
    let is_large = |bytes: &u64| *bytes >= settings.direct_bytes_min;
    let few = bytes.iter().filter(|bytes| is_large(bytes)).count() <= settings.direct_ledgers_max;
    bytes.iter().map(|bytes| few && is_large(bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_ledger_skips_the_journal_unless_there_are_many() {
        let settings = LedgerStoreSettings { direct_ledgers_max: 1, direct_bytes_min: 100, ..Default::default() };
        let cases: [(&[u64], &[bool]); 5] = [
            (&[], &[]),
            (&[1], &[false]),
            (&[100], &[true]),
            (&[1, 100, 1, 1], &[false, true, false, false]),
            (&[100, 1, 100], &[false, false, false]),
        ];
        for (bytes, expected) in cases {
            assert_eq!(flushed_directly(bytes, &settings), expected, "{bytes:?}");
        }
    }
}
