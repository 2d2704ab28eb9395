//! A topic's record in the original's metadata store: the protobuf message `ManagedLedgerInfo` under `/managed-ledgers/…`. It
//! tells everything but the places of subscriptions, which have records of their own.

use super::BadSource;
use super::source::{SourceCopy, SourceLedger, SourceTopic};
use crate::managed_ledger::LedgerInfo;
use crate::managed_ledger::offload_context::{Attempt, OffloadState};
use crate::managed_ledger::records::decode_ledgers;

/// What a compressed record begins with (`managedLedgerInfoCompressionType`).
const COMPRESSED_MAGIC: [u8; 2] = [0x47, 0x78];

/// A topic by its record. `what` names the file for messages.
///
/// # Errors
/// The bytes are no such record, or compressed.
pub fn from_record(what: &str, bytes: &[u8]) -> Result<SourceTopic, BadSource> {
    if bytes.starts_with(&COMPRESSED_MAGIC) {
        let problem =
            "the record is compressed (managedLedgerInfoCompressionType): take the answer to internal-info instead";
        return Err(BadSource::new(what, problem));
    }
    let ledgers = decode_ledgers(bytes).map_err(|error| BadSource::new(what, error.to_string()))?;
    if ledgers.by_id.is_empty() {
        return Err(BadSource::new(what, "it has no ledgers"));
    }
    Ok(SourceTopic {
        ledgers: ledgers.by_id.into_values().map(|info| (info.ledger_id.0, ledger(info))).collect(),
        terminated: ledgers.terminated_end.map(|end| end.before()),
        ..SourceTopic::default()
    })
}

fn ledger(info: LedgerInfo) -> SourceLedger {
    let LedgerInfo { entry_count, size_bytes, closed_ms, offload, .. } = info;
    let copy = |attempt: Attempt, completed_ms| SourceCopy::Complete {
        uid: attempt.uid,
        driver: Some((attempt.driver, attempt.driver_metadata)),
        completed_ms: Some(completed_ms),
    };
    SourceLedger {
        entry_count: closed_ms.map(|_| entry_count),
        size_bytes,
        closed_ms,
        copy: match offload {
            OffloadState::None => SourceCopy::None,
            OffloadState::Prepared(attempt) => SourceCopy::Incomplete(attempt.uid),
            OffloadState::Complete { attempt, completed_ms, .. }
            | OffloadState::HotDeleted { attempt, completed_ms } => copy(attempt, completed_ms),
        },
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::managed_ledger::Ledgers;
    use crate::managed_ledger::records::encode_ledgers;
    use crate::storage::LedgerId;

    #[test]
    fn a_record_tells_driver_and_bucket_too() {
        let metadata = [("bucket".to_owned(), "b".to_owned())].into();
        let attempt = Attempt { uid: Uuid::from_u128(9), driver: "aws-s3".to_owned(), driver_metadata: metadata };
        let info = |id, offload| LedgerInfo {
            ledger_id: LedgerId(id),
            entry_count: 3,
            size_bytes: 30,
            closed_ms: Some(5),
            offload,
        };
        let complete = OffloadState::Complete { attempt: attempt.clone(), completed_ms: 6, damaged: None };
        let infos =
            [info(1, complete), info(2, OffloadState::Prepared(attempt.clone())), LedgerInfo::open(LedgerId(3))];
        let by_id = infos.map(|info| (info.ledger_id, info)).into();
        let topic = from_record("x", &encode_ledgers(&Ledgers { by_id, ..Ledgers::default() })).unwrap();
        let copy = SourceCopy::Complete {
            uid: attempt.uid,
            driver: Some((attempt.driver, attempt.driver_metadata)),
            completed_ms: Some(6),
        };
        assert_eq!(topic.ledgers[&1].copy, copy, "the original's own copy does not matter");
        assert_eq!(topic.ledgers[&2].copy, SourceCopy::Incomplete(Uuid::from_u128(9)));
        assert_eq!((topic.ledgers[&3].entry_count, topic.ledgers[&3].closed_ms), (None, None));
    }

    #[test]
    fn other_bytes_are_refused() {
        assert!(from_record("x", b"").unwrap_err().to_string().contains("no ledgers"));
        assert!(from_record("x", b"\x47\x78\0\0\0\x04").unwrap_err().to_string().contains("compressed"));
        assert!(from_record("x", b"\xff\xff").is_err());
    }
}
