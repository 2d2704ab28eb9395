//! The hot store: one append-only segment file per ledger, and one commit point that all ledgers share.
//!
//! Owns the ledger folder (`layout` says what lies where). The story of an entry: [`FileLedgerStore::append`](
//! crate::storage::LedgerStore::append) queues it; `commit` takes what is queued, of all ledgers, as one group, writes each
//! entry to its ledger's file, makes the group durable (`form`: by the files themselves, or by one record each in the
//! shared `journal`), lets readers see it and answers. `checkpoint` flushes the files behind the journal and drops it.
//! `segment` is one ledger's state, `reader` reads it, `recovery` puts everything right after a crash.
//!
//! # Invariants
//! - An entry is answered, and visible to readers, only when it is on disk (with `sync` off: when the system has it).
//! - A file named `.ledger` is complete, flushed and never changes. Only `.open` files are scanned at a start.
//! - What the journal holds is on disk a second time, in the ledgers' files, before the journal is dropped.
//!
//! # After a crash
//! Every answered entry is there, in order; entries that were written but not answered may be there too. A create or delete
//! that was answered holds; one that was not may have happened. Bytes that are no ordinary torn tail are set aside in a
//! `.cut` file beside the ledger, reported and left for an operator; a delete of the ledger leaves them too.

mod checkpoint;
mod commit;
mod disk;
mod form;
mod format;
mod journal;
mod layout;
mod offsets;
mod reader;
mod recovery;
mod segment;
mod store;
#[cfg(test)]
mod tests;
mod window;

pub use disk::LedgerStoreCounters;
pub use recovery::{RecoveredLedger, RecoveryReport};
pub use store::FileLedgerStore;

/// How the hot store works. Each field is a configuration key of the broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerStoreSettings {
    /// `journalSyncData`: whether an entry is on disk when it is answered. Off, it survives a crash of the broker, not one
    /// of the machine.
    pub sync: bool,
    /// `journalBufferedWritesThreshold`: payload bytes that close a group. One larger entry is a group of its own.
    pub group_bytes_max: u64,
    /// `journalMaxSizeMB`: bytes of all journal files together; half of it makes one segment.
    pub journal_bytes_max: u64,
    /// `longshoreJournalBypassBytes`: a ledger with so many bytes in a group has its file flushed and skips the journal.
    pub direct_bytes_min: u64,
    /// `longshoreJournalBypassLedgers`: with more such ledgers in a group, none of them does.
    pub direct_ledgers_max: usize,
    /// `longshoreLedgerIndexCacheSizeMB`: bytes of offset indexes of sealed ledgers kept in memory.
    pub index_cache_bytes_max: u64,
    /// `openFileLimit`: sealed ledgers kept open for reading. Each open ledger keeps one more file open.
    pub files_open_max: usize,
}

impl Default for LedgerStoreSettings {
    fn default() -> Self {
        Self {
            sync: true,
            group_bytes_max: 2 << 20,
            journal_bytes_max: 128 << 20,
            direct_bytes_min: 256 << 10,
            direct_ledgers_max: 1,
            index_cache_bytes_max: 32 << 20,
            files_open_max: 256,
        }
    }
}
