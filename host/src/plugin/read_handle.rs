//! A plugin's open copy as the host's [`ReadHandle`]. What comes back is checked before anybody sees it: entries in order,
//! without gaps, inside the range that was asked for, at least one, and no more bytes than allowed.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use abi_stable::std_types::RVec;
use async_trait::async_trait;
use longshore_plugin_api::LedgerMetadata as PluginMetadata;
use longshore_plugin_api::abi::{FfiEntry, FfiLedgerMetadata, FfiReadRequest, ReadHandleBox};

use super::calls::{Call, DriverCalls};
use super::freed_memory::GivesBack;
use super::lent_ledger::MANAGED_LEDGER_KEY;
use crate::storage::{Entry, LedgerId, LedgerMetadata, ReadError, ReadHandle};

/// No ledger has more: entry ids are signed 64-bit numbers for clients.
const ENTRIES_MAX: u64 = i64::MAX as u64;

/// An open cold copy.
pub(super) struct ColdLedger {
    calls: Arc<DriverCalls>,
    handle: ReadHandleBox,
    metadata: LedgerMetadata,
    /// Behind the handle, with which the plugin frees what it fetched.
    _at_its_end: GivesBack,
}

impl ColdLedger {
    /// Takes over a handle that the plugin opened for `ledger_id`.
    ///
    /// # Errors
    /// A sentence, where its metadata cannot be right.
    pub(super) fn new(calls: Arc<DriverCalls>, ledger_id: LedgerId, handle: ReadHandleBox) -> Result<Self, String> {
        let metadata = from_plugin(handle.metadata());
        if metadata.ledger_id != ledger_id {
            return Err(format!("the copy that was opened is of ledger {}", metadata.ledger_id));
        }
        if metadata.entry_count > ENTRIES_MAX {
            return Err(format!("the copy that was opened says that it has {} entries", metadata.entry_count));
        }
        if metadata.entry_count == 0 || !metadata.closed {
            return Err("the copy that was opened is of an empty or open ledger".to_owned());
        }
        Ok(Self { calls, handle, metadata, _at_its_end: GivesBack })
    }
}

#[async_trait]
impl ReadHandle for ColdLedger {
    fn metadata(&self) -> LedgerMetadata {
        self.metadata.clone()
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>, ReadError> {
        let LedgerMetadata { ledger_id, entry_count, .. } = self.metadata;
        if first > last || last >= entry_count {
            return Err(ReadError::OutOfRange { ledger_id, first, last, entry_count });
        }
        let call = Call::read(ledger_id, first, last);
        let request = FfiReadRequest::new(first, last, max_bytes);
        let read = |context| self.handle.read(context, request);
        let take = |batch| take(batch, first, last, max_bytes);
        let (entries, bytes) = self.calls.call_for(call, read, take).await?;
        self.calls.counters.bytes_out.fetch_add(bytes, Ordering::Relaxed);
        Ok(entries)
    }
}

/// Takes over a batch and its bytes of payload; a sentence, where it cannot be an answer to the read.
fn take(batch: RVec<FfiEntry>, first: u64, last: u64, max_bytes: u64) -> Result<(Vec<Entry>, u64), String> {
    check_count(batch.len(), first, last)?;
    let (mut entries, mut bytes) = (Vec::with_capacity(batch.len()), 0_u64);
    for (expected, entry) in (first..).zip(batch) {
        if entry.entry_id != expected {
            return Err(format!("the plugin answered with entry {} where {expected} belongs", entry.entry_id));
        }
        if !entry.payload.is_sound() {
            return Err(format!("entry {expected} came with an impossible pointer or length"));
        }
        bytes = bytes.saturating_add(entry.payload.len() as u64);
        entries.push(Entry { entry_id: expected, payload: entry.payload.into() });
    }
    if entries.len() > 1 && bytes > max_bytes {
        return Err(format!("the plugin answered with {bytes} bytes where {max_bytes} were allowed"));
    }
    Ok((entries, bytes))
}

/// Whether that many entries are a possible answer to the read, asked before any of them is touched.
fn check_count(count: usize, first: u64, last: u64) -> Result<(), String> {
    // `last` is below a ledger's number of entries, so that adding 1 cannot overflow.
    let asked = last - first + 1;
    match count as u64 {
        0 => Err("the plugin answered with no entry".to_owned()),
        count if count > asked => Err(format!("the plugin answered with {count} entries where {asked} were asked for")),
        _ => Ok(()),
    }
}

fn from_plugin(metadata: FfiLedgerMetadata) -> LedgerMetadata {
    let metadata = PluginMetadata::from(metadata);
    let managed_ledger = metadata.custom.iter().find(|(key, _)| key == MANAGED_LEDGER_KEY);
    LedgerMetadata {
        ledger_id: LedgerId(metadata.ledger_id),
        entry_count: metadata.entry_count,
        length_bytes: metadata.length_bytes,
        created_ms: metadata.created_ms,
        closed: metadata.closed,
        managed_ledger: managed_ledger.map(|(_, name)| String::from_utf8_lossy(name).into_owned()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(ids: &[u64], bytes: usize) -> RVec<FfiEntry> {
        let payload = bytes::Bytes::from(vec![0; bytes]);
        ids.iter().map(|&entry_id| FfiEntry { entry_id, payload: payload.clone().into() }).collect()
    }

    #[test]
    fn only_possible_answers_pass() {
        let (entries, bytes) = take(batch(&[3, 4, 5], 10), 3, 9, 30).unwrap();
        assert_eq!((entries.len(), entries[2].entry_id, bytes), (3, 5, 30));
        assert!(take(batch(&[3], 1000), 3, 3, 30).is_ok());
        for (ids, bytes) in [(&[][..], 1), (&[4], 1), (&[3, 5], 1), (&[3, 3], 1), (&[3, 4, 5], 11)] {
            assert!(take(batch(ids, bytes), 3, 9, 30).is_err(), "{ids:?} of {bytes}");
        }
        assert!(take(batch(&[3, 4], 1), 3, 3, 30).is_err(), "more than was asked for");
        assert!(check_count(0, 3, 9).is_err() && check_count(8, 3, 9).is_err());
        assert_eq!((check_count(1, 3, 9), check_count(7, 3, 9)), (Ok(()), Ok(())));
    }
}
