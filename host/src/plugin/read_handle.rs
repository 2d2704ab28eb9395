//! A plugin's open copy as the host's [`ReadHandle`]. What comes back is checked before anybody sees it: entries in order,
//! without gaps, inside the range that was asked for, at least one, and no more bytes than allowed.

use std::sync::Arc;

use async_trait::async_trait;
use longshore_plugin_api::abi::requests::from_batch;
use longshore_plugin_api::abi::{FfiLedgerMetadata, FfiReadRequest, ReadHandleBox};
use longshore_plugin_api::{self as plugin_api, LedgerMetadata as PluginMetadata};

use super::lent_ledger::MANAGED_LEDGER_KEY;
use super::loaded::{Call, LoadedPlugin};
use crate::storage::{Entry, LedgerId, LedgerMetadata, ReadError, ReadHandle};

/// An open cold copy.
pub(super) struct ColdLedger {
    plugin: Arc<LoadedPlugin>,
    driver: String,
    handle: ReadHandleBox,
    metadata: LedgerMetadata,
}

impl ColdLedger {
    /// Takes over a handle that the plugin opened for `ledger_id`.
    ///
    /// # Errors
    /// A sentence, where its metadata cannot be right.
    pub(super) fn new(
        plugin: Arc<LoadedPlugin>,
        driver: String,
        ledger_id: LedgerId,
        handle: ReadHandleBox,
    ) -> Result<Self, String> {
        let metadata = from_plugin(handle.metadata());
        if metadata.ledger_id != ledger_id {
            return Err(format!("the copy that was opened is of ledger {}", metadata.ledger_id));
        }
        if metadata.entry_count == 0 || !metadata.closed {
            return Err("the copy that was opened is of an empty or open ledger".to_owned());
        }
        Ok(Self { plugin, driver, handle, metadata })
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
        let what = format!("read entries {first}..={last} of ledger {ledger_id}");
        let call = Call { driver: &self.driver, what: &what };
        let request = FfiReadRequest::new(first, last, max_bytes);
        let batch = self.plugin.call(call, |context| self.handle.read(context, request)).await?;
        check_count(batch.len(), first, last).map_err(|problem| self.plugin.misbehaved(call, &problem))?;
        let entries = from_batch(batch).map_err(|e| self.plugin.misbehaved(call, e.message()))?;
        check_batch(&entries, first, max_bytes).map_err(|problem| self.plugin.misbehaved(call, &problem))?;
        Ok(entries.into_iter().map(|entry| Entry { entry_id: entry.entry_id, payload: entry.payload }).collect())
    }
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

/// Whether a batch is a possible answer to the read; the sentence says why not.
fn check_batch(entries: &[plugin_api::Entry], first: u64, max_bytes: u64) -> Result<(), String> {
    for (expected, entry) in (first..).zip(entries) {
        if entry.entry_id != expected {
            return Err(format!("the plugin answered with entry {} where {expected} belongs", entry.entry_id));
        }
    }
    let bytes: u64 = entries.iter().map(|entry| entry.payload.len() as u64).sum();
    if entries.len() > 1 && bytes > max_bytes {
        return Err(format!("the plugin answered with {bytes} bytes where {max_bytes} were allowed"));
    }
    Ok(())
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

    fn batch(ids: &[u64], bytes: usize) -> Vec<plugin_api::Entry> {
        let payload = bytes::Bytes::from(vec![0; bytes]);
        ids.iter().map(|&entry_id| plugin_api::Entry { entry_id, payload: payload.clone() }).collect()
    }

    #[test]
    fn only_possible_answers_pass() {
        assert_eq!(check_batch(&batch(&[3, 4, 5], 10), 3, 30), Ok(()));
        assert_eq!(check_batch(&batch(&[3], 1000), 3, 30), Ok(()));
        for (ids, bytes) in [(&[4][..], 1), (&[3, 5], 1), (&[3, 3], 1), (&[3, 4, 5], 11)] {
            assert!(check_batch(&batch(ids, bytes), 3, 30).is_err(), "{ids:?} of {bytes}");
        }
        assert!(check_count(0, 3, 9).is_err() && check_count(8, 3, 9).is_err());
        assert_eq!((check_count(1, 3, 9), check_count(7, 3, 9)), (Ok(()), Ok(())));
    }
}
