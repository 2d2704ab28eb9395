//! Records of a managed ledger that was made elsewhere. The broker does not run meanwhile.
//!
//! The managed ledger exists from the write of its list on, which is the last one and happens only where there is none: a crash
//! before leaves cursors without a list, which the next try replaces, and a gap in the ids.

use std::collections::BTreeMap;

use super::error::ManagedLedgerError;
use super::factory::LedgerIds;
use super::keys;
use super::ledgers::Ledgers;
use super::records::{StoredCursor, decode_ledgers, encode_cursor, encode_ledgers};
use crate::metadata::{Expect, MetadataError, MetadataStore};

/// The list of a managed ledger as recorded; `None` where there is none.
///
/// # Errors
/// `BadRecord`; those of the metadata store.
pub async fn recorded(metadata: &dyn MetadataStore, name: &str) -> Result<Option<Ledgers>, ManagedLedgerError> {
    let Some(record) = metadata.get(&keys::ledger(name)).await? else { return Ok(None) };
    let bad = |problem: super::records::BadRecord| ManagedLedgerError::BadRecord {
        name: name.to_owned(),
        problem: problem.to_string(),
    };
    decode_ledgers(&record.value).map(Some).map_err(bad)
}

/// Records a managed ledger whose ledgers are all closed. New ledgers, of whatever topic, get ids from `next_ledger_id` on.
///
/// # Errors
/// `Conflict` where the name is taken; those of the metadata store. Nothing exists under the name then.
pub async fn adopt(
    metadata: &dyn MetadataStore,
    name: &str,
    ledgers: &Ledgers,
    cursors: &BTreeMap<String, StoredCursor>,
    next_ledger_id: u64,
) -> Result<(), ManagedLedgerError> {
    let key = keys::ledger(name);
    if let Some(record) = metadata.get(&key).await? {
        let found = Some(record.version);
        return Err(MetadataError::Conflict { key, expected: Expect::Absent, found }.into());
    }
    LedgerIds::begin_with(metadata, next_ledger_id).await?;
    for key in metadata.keys(&keys::cursors(name)).await? {
        if keys::cursor_name(name, &key).is_none_or(|cursor| !cursors.contains_key(&cursor)) {
            metadata.delete(&key, Expect::Anything).await?;
        }
    }
    for (cursor, stored) in cursors {
        metadata.put(&keys::cursor(name, cursor), encode_cursor(stored, usize::MAX), Expect::Anything).await?;
    }
    metadata.put(&key, encode_ledgers(ledgers), Expect::Absent).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use uuid::Uuid;

    use super::*;
    use crate::managed_ledger::offload_context::{Attempt, OffloadState};
    use crate::managed_ledger::ranges::AckedRanges;
    use crate::managed_ledger::{LedgerInfo, Position};
    use crate::metadata::memory::MemoryMetadataStore;
    use crate::storage::{LedgerId, SystemClock};

    const NAME: &str = "t/n/persistent/x";

    fn ledgers(id: u64) -> Ledgers {
        let attempt = Attempt { uid: Uuid::from_u128(1), driver: "d".to_owned(), driver_metadata: BTreeMap::new() };
        let info = LedgerInfo {
            ledger_id: LedgerId(id),
            entry_count: 2,
            size_bytes: 20,
            closed_ms: Some(3),
            offload: OffloadState::HotDeleted { attempt, completed_ms: 3 },
        };
        Ledgers { by_id: [(info.ledger_id, info)].into(), ..Ledgers::default() }
    }

    fn cursor(id: u64) -> StoredCursor {
        let first_unacked = Position::new(LedgerId(id), 1);
        StoredCursor {
            first_unacked,
            acked: AckedRanges::default(),
            properties: BTreeMap::new(),
            last_active_ms: 0,
            labels: BTreeMap::new(),
        }
    }

    #[tokio::test]
    async fn ids_go_on_behind_the_adopted_and_never_back() {
        let metadata = MemoryMetadataStore::new(Arc::new(SystemClock));
        let first = LedgerIds::default().take(&metadata).await.unwrap();
        adopt(&metadata, NAME, &ledgers(1000), &[("s".to_owned(), cursor(1000))].into(), 1001).await.unwrap();
        assert_eq!(recorded(&metadata, NAME).await.unwrap(), Some(ledgers(1000)));
        adopt(&metadata, "t/n/persistent/y", &ledgers(5), &BTreeMap::new(), 6).await.unwrap();
        let next = LedgerIds::default().take(&metadata).await.unwrap();
        assert_eq!((first, next), (LedgerId(0), LedgerId(1001)));
    }

    #[tokio::test]
    async fn what_exists_stays_as_it_is_and_what_a_crash_left_is_replaced() {
        let metadata = MemoryMetadataStore::new(Arc::new(SystemClock));
        let stale = keys::cursor(NAME, "stale");
        metadata.put(&stale, b"x".to_vec(), Expect::Absent).await.unwrap();
        let cursors: BTreeMap<String, StoredCursor> = [("s".to_owned(), cursor(7))].into();
        adopt(&metadata, NAME, &ledgers(7), &cursors, 8).await.unwrap();
        assert_eq!(metadata.keys(&keys::cursors(NAME)).await.unwrap(), [keys::cursor(NAME, "s")]);

        let again = adopt(&metadata, NAME, &ledgers(9), &BTreeMap::new(), 10).await;
        assert!(matches!(again, Err(ManagedLedgerError::Metadata(MetadataError::Conflict { .. }))));
        assert_eq!(recorded(&metadata, NAME).await.unwrap(), Some(ledgers(7)));
        assert_eq!(metadata.keys(&keys::cursors(NAME)).await.unwrap().len(), 1);
    }
}
