//! Any bytes as the hot store's files after a crash: a journal, a ledger that was open and one that was sealed. The first two
//! numbers (`u16`, big-endian) are the lengths of the first two files. What recovery lets stand is read to its end.

use std::fs;
use std::path::Path;

use longshore::ledger::{FileLedgerStore, LedgerStoreSettings};
use longshore::storage::LedgerStore;
use tokio::runtime::Builder;

/// More than any entry that fits into an input.
const READ_BYTES_MAX: u64 = 1 << 20;

fn split(input: &[u8]) -> Option<[&[u8]; 3]> {
    let (first, rest) = input.split_first_chunk::<2>()?;
    let (second, rest) = rest.split_first_chunk::<2>()?;
    let (journal, rest) = rest.split_at(usize::from(u16::from_be_bytes(*first)).min(rest.len()));
    let (open, sealed) = rest.split_at(usize::from(u16::from_be_bytes(*second)).min(rest.len()));
    Some([journal, open, sealed])
}

/// Puts a file where the store looks for it; nothing where there are no bytes.
fn put(folder: &Path, name: &str, bytes: &[u8]) {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("make the folder");
    if !bytes.is_empty() {
        fs::write(path, bytes).expect("write the file");
    }
}

/// Panics where a promise is broken.
pub fn check(input: &[u8]) {
    let Some([journal, open, sealed]) = split(input) else { return };
    let folder = tempfile::tempdir().expect("make a folder");
    put(folder.path(), "journal/0000000001.journal", journal);
    put(folder.path(), "0/1.open", open);
    put(folder.path(), "0/2.ledger", sealed);
    let settings = LedgerStoreSettings { sync: false, journal_bytes_max: 1 << 20, ..LedgerStoreSettings::default() };
    let runtime = Builder::new_current_thread().build().expect("make a runtime");
    runtime.block_on(async {
        let Ok((store, _report)) = FileLedgerStore::open(folder.path(), settings).await else { return };
        for ledger_id in store.ledgers() {
            let Ok(handle) = store.open(ledger_id).await else { continue };
            let count = handle.metadata().entry_count;
            let mut next = 0;
            while next < count {
                let Ok(entries) = handle.read(next, count - 1, READ_BYTES_MAX).await else { break };
                assert!(entries.iter().map(|entry| entry.entry_id).eq(next..next + entries.len() as u64));
                assert!(!entries.is_empty(), "a read without an entry would be repeated for ever");
                next += entries.len() as u64;
            }
        }
        let _ = store.close().await;
    });
}
