//! Ledgers as plugins see them: what is known of a closed ledger, its entries, and the bytes in which Pulsar stores
//! a ledger's metadata beside the entries.

use bytes::Bytes;
use prost::Message;

use crate::error::{Error, ErrorCode, Result};

/// One record of a ledger. The payload is opaque: Pulsar's message metadata and payload, as the client sent them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// 0-based, dense in its ledger.
    pub entry_id: u64,
    /// The bytes; cheap to clone and slice.
    pub payload: Bytes,
}

/// What is known of a closed ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedgerMetadata {
    /// The ledger's id, cluster-wide and never reused.
    pub ledger_id: u64,
    /// Number of entries; at least 1 for a ledger that is offloaded.
    pub entry_count: u64,
    /// Sum of the payload lengths in bytes.
    pub length_bytes: u64,
    /// When the ledger was created, milliseconds since 1970.
    pub created_ms: u64,
    /// Whether no entry can follow.
    pub closed: bool,
    /// Names and values kept with the ledger (`pulsar/managed-ledger`, `component`, `application`).
    pub custom: Vec<(String, Vec<u8>)>,
}

impl LedgerMetadata {
    /// The id of the last entry, or `None` for an empty ledger.
    pub fn last_entry_id(&self) -> Option<u64> {
        self.entry_count.checked_sub(1)
    }

    /// Refuses what must never be offloaded, in the original's words.
    ///
    /// # Errors
    /// `InvalidArgument` for an empty or an open ledger.
    pub fn ensure_offloadable(&self) -> Result<()> {
        if self.entry_count == 0 || !self.closed {
            return Err(Error::new(ErrorCode::InvalidArgument, "An empty or open ledger should never be offloaded"));
        }
        Ok(())
    }

    /// The bytes that both of Pulsar's offloaders store: BookKeeper's `LedgerMetadataFormat`, protobuf 2, without any
    /// envelope, every field present also where it is zero. We have no bookies: the ensemble is the one name `longshore`.
    ///
    /// Source: BookKeeper `DataFormats.proto`; Pulsar `OffloadUtils.buildLedgerMetadataFormat`.
    pub fn to_bookkeeper_bytes(&self) -> Vec<u8> {
        LedgerMetadataFormat {
            quorum_size: 1,
            ensemble_size: 1,
            length: self.length_bytes as i64,
            last_entry_id: Some(self.entry_count as i64 - 1),
            state: if self.closed { STATE_CLOSED } else { STATE_OPEN },
            segments: vec![Segment { ensemble_members: vec!["longshore".to_owned()], first_entry_id: 0 }],
            digest_type: Some(DIGEST_CRC32C),
            ack_quorum_size: Some(1),
            ctime: Some(self.created_ms as i64),
            custom_metadata: self
                .custom
                .iter()
                .map(|(key, value)| CustomMetadata { key: Some(key.clone()), value: Some(value.clone()) })
                .collect(),
        }
        .encode_to_vec()
    }

    /// Reads what [`to_bookkeeper_bytes`](Self::to_bookkeeper_bytes) or the original wrote. The stored form does not name
    /// its ledger, so the caller does. Fields that we do not need are ignored.
    ///
    /// # Errors
    /// `Corrupt` where the bytes are not such a message or their numbers make no sense.
    pub fn from_bookkeeper_bytes(ledger_id: u64, bytes: &[u8]) -> Result<Self> {
        let stored = LedgerMetadataFormat::decode(bytes).map_err(|e| {
            Error::new(ErrorCode::Corrupt, format!("ledger metadata of ledger {ledger_id} cannot be decoded"))
                .with_source(&e)
        })?;
        let last_entry_id = stored.last_entry_id.unwrap_or(-1);
        let entry_count = last_entry_id.checked_add(1).and_then(|count| u64::try_from(count).ok());
        let (Some(entry_count), Ok(length_bytes)) = (entry_count, u64::try_from(stored.length)) else {
            return Err(Error::new(
                ErrorCode::Corrupt,
                format!(
                    "ledger metadata of ledger {ledger_id} has last entry {last_entry_id} and length {}",
                    stored.length
                ),
            ));
        };
        Ok(Self {
            ledger_id,
            entry_count,
            length_bytes,
            created_ms: stored.ctime.and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0),
            closed: stored.state == STATE_CLOSED,
            custom: stored
                .custom_metadata
                .into_iter()
                .map(|pair| (pair.key.unwrap_or_default(), pair.value.unwrap_or_default()))
                .collect(),
        })
    }
}

const STATE_OPEN: i32 = 1;
const STATE_CLOSED: i32 = 3;
const DIGEST_CRC32C: i32 = 3;

#[derive(Clone, PartialEq, Message)]
struct LedgerMetadataFormat {
    #[prost(int32, required, tag = "1")]
    quorum_size: i32,
    #[prost(int32, required, tag = "2")]
    ensemble_size: i32,
    #[prost(int64, required, tag = "3")]
    length: i64,
    #[prost(int64, optional, tag = "4")]
    last_entry_id: Option<i64>,
    #[prost(int32, required, tag = "5")]
    state: i32,
    #[prost(message, repeated, tag = "6")]
    segments: Vec<Segment>,
    #[prost(int32, optional, tag = "7")]
    digest_type: Option<i32>,
    #[prost(int32, optional, tag = "9")]
    ack_quorum_size: Option<i32>,
    #[prost(int64, optional, tag = "10")]
    ctime: Option<i64>,
    #[prost(message, repeated, tag = "11")]
    custom_metadata: Vec<CustomMetadata>,
}

#[derive(Clone, PartialEq, Message)]
struct Segment {
    #[prost(string, repeated, tag = "1")]
    ensemble_members: Vec<String>,
    #[prost(int64, required, tag = "2")]
    first_entry_id: i64,
}

#[derive(Clone, PartialEq, Message)]
struct CustomMetadata {
    #[prost(string, optional, tag = "1")]
    key: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    value: Option<Vec<u8>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The metadata inside Pulsar's own test object `ledger-1-index`.
    const FROM_A_REAL_BROKER: &str = "0801100118412000280332120a0e3132372e302e302e313a333138311000380348\
        0150f9febfe4c02f5a3c0a1570756c7361722f6d616e616765642d6c656467657212237075626c69632f64656661756c742f70657273697374\
        656e742f726561642d746573745a1b0a09636f6d706f6e656e74120e6d616e616765642d6c65646765725a150a0b6170706c69636174696f6e\
        120670756c736172";

    fn unhex(text: &str) -> Vec<u8> {
        let digits: Vec<u32> = text.chars().filter_map(|c| c.to_digit(16)).collect();
        digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
    }

    #[test]
    fn metadata_of_a_real_broker_is_understood() {
        let read = LedgerMetadata::from_bookkeeper_bytes(7, &unhex(FROM_A_REAL_BROKER)).unwrap();
        assert_eq!((read.ledger_id, read.entry_count, read.length_bytes), (7, 1, 65));
        assert_eq!(read.created_ms, 1_632_298_336_121);
        assert!(read.closed);
        assert_eq!(read.custom[0], ("pulsar/managed-ledger".into(), b"public/default/persistent/read-test".to_vec()));
    }

    #[test]
    fn our_bytes_come_back_and_zero_fields_are_present() {
        let ours = LedgerMetadata {
            ledger_id: 3,
            entry_count: 1,
            length_bytes: 0,
            created_ms: 5,
            closed: true,
            custom: vec![("application".into(), b"pulsar".to_vec())],
        };
        let bytes = ours.to_bookkeeper_bytes();
        assert_eq!(&bytes[..10], &[0x08, 1, 0x10, 1, 0x18, 0, 0x20, 0, 0x28, 3]);
        assert_eq!(LedgerMetadata::from_bookkeeper_bytes(3, &bytes).unwrap(), ours);
    }

    #[test]
    fn nonsense_is_corrupt() {
        let e = LedgerMetadata::from_bookkeeper_bytes(3, b"\x18\x01\x20\x01\xff").unwrap_err();
        assert_eq!(e.code(), ErrorCode::Corrupt);
        let last_entry_of_all = b"\x08\x01\x10\x01\x18\x01\x20\xff\xff\xff\xff\xff\xff\xff\xff\x7f\x28\x03";
        let e = LedgerMetadata::from_bookkeeper_bytes(3, last_entry_of_all).unwrap_err();
        assert!(e.message().contains("9223372036854775807"), "{e}");
    }
}
