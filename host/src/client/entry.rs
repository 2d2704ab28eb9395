//! Builds entries that are sent, and takes entries apart that are received.
//!
//! Format: binary protocol, `MessageMetadata` and `SingleMessageMetadata` of Pulsar 4.0; integers big-endian. See also
//! `topic::message`, which looks into entries without taking them apart.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use prost::Message as _;

use crate::protocol::checksum;
use crate::protocol::command::{KeyValue, MessageId as WireId, Send};
use crate::protocol::frame;
use crate::topic::message::{Layout, MessageView};

use super::{ClientError, MessageId, Outgoing, Received};

const MAGIC_CHECKSUM: u16 = 0x0e01;
const SIZE_BYTES: usize = 4;
const CHECKSUM_SECTION_BYTES: usize = 2 + SIZE_BYTES;

/// What stands before the payload of an entry, as far as this client writes it.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Metadata {
    #[prost(string, required, tag = "1")]
    pub(super) producer_name: String,
    #[prost(uint64, required, tag = "2")]
    pub(super) sequence_id: u64,
    #[prost(uint64, required, tag = "3")]
    pub(super) publish_time: u64,
    #[prost(message, repeated, tag = "4")]
    pub(super) properties: Vec<KeyValue>,
    #[prost(string, optional, tag = "6")]
    pub(super) partition_key: Option<String>,
    #[prost(int32, optional, tag = "11")]
    pub(super) num_messages_in_batch: Option<i32>,
    #[prost(uint64, optional, tag = "24")]
    pub(super) highest_sequence_id: Option<u64>,
}

/// What stands before each message of a batch.
#[derive(Clone, PartialEq, prost::Message)]
struct Single {
    #[prost(message, repeated, tag = "1")]
    properties: Vec<KeyValue>,
    #[prost(string, optional, tag = "2")]
    partition_key: Option<String>,
    #[prost(int32, required, tag = "3")]
    payload_size: i32,
    #[prost(uint64, optional, tag = "8")]
    sequence_id: Option<u64>,
    #[prost(bool, optional, tag = "4")]
    compacted_out: Option<bool>,
    #[prost(uint64, optional, tag = "5")]
    event_time: Option<u64>,
}

/// Bytes of an entry of `metadata` and `payload_bytes`, as the broker's limit counts them.
pub(super) fn limited_size(metadata: &Metadata, payload_bytes: usize) -> usize {
    metadata.encoded_len() + payload_bytes
}

/// Appends the SEND frame of one entry.
pub(super) fn put(send: Send, metadata: &Metadata, payload: &[u8], out: &mut BytesMut) {
    let metadata_bytes = metadata.encoded_len();
    let entry_bytes = CHECKSUM_SECTION_BYTES + SIZE_BYTES + metadata_bytes + payload.len();
    frame::put_before_payload(crate::protocol::command::Command::Send(send), entry_bytes, out);
    out.reserve(entry_bytes);
    out.put_u16(MAGIC_CHECKSUM);
    let sum_at = out.len();
    out.put_u32(0);
    out.put_u32(metadata_bytes as u32);
    metadata.encode(out).expect("room was reserved, and a BytesMut grows");
    out.extend_from_slice(payload);
    let sum = crc32c::crc32c(&out[sum_at + SIZE_BYTES..]);
    out[sum_at..sum_at + SIZE_BYTES].copy_from_slice(&sum.to_be_bytes());
}

/// Bytes that one message takes in the payload of a batch.
pub(super) fn single_size(sequence_id: u64, message: &Outgoing<'_>) -> usize {
    SIZE_BYTES + single(sequence_id, message).encoded_len() + message.payload.len()
}

/// Appends one message to the payload of a batch.
pub(super) fn put_single(sequence_id: u64, message: &Outgoing<'_>, batch: &mut BytesMut) {
    let single = single(sequence_id, message);
    batch.reserve(SIZE_BYTES + single.encoded_len() + message.payload.len());
    batch.put_u32(single.encoded_len() as u32);
    single.encode(batch).expect("room was reserved, and a BytesMut grows");
    batch.extend_from_slice(message.payload);
}

fn single(sequence_id: u64, message: &Outgoing<'_>) -> Single {
    Single {
        payload_size: message.payload.len() as i32,
        sequence_id: Some(sequence_id),
        partition_key: message.key.map(str::to_owned),
        properties: properties_of(message),
        ..Single::default()
    }
}

/// A message's properties as they travel.
pub(super) fn properties_of(message: &Outgoing<'_>) -> Vec<KeyValue> {
    let pairs = message.properties.iter();
    pairs.map(|(key, value)| KeyValue { key: key.clone(), value: value.clone() }).collect()
}

/// Payloads and properties of the messages in the payload of a batch of `count`, which is not compressed.
///
/// # Errors
/// What is wrong with the bytes.
pub(super) fn unpack_payload(count: u32, payload: Bytes) -> Result<Vec<Received>, String> {
    let whole = Received {
        id: MessageId { ledger_id: 0, entry_id: 0, batch_index: None },
        payload: Bytes::new(),
        key: None,
        properties: Vec::new(),
        producer_name: String::new(),
        sequence_id: 0,
        publish_time_ms: 0,
        event_time_ms: 0,
        redelivery_count: 0,
        batch_messages: Some(count),
    };
    unpack_batch(&whole, count, &[], payload)
}

/// The messages of an entry, its checksum checked. `ack_set` leaves out messages of a batch that are acknowledged.
pub(super) fn unpack(
    id: &WireId,
    redelivery_count: u32,
    ack_set: &[i64],
    entry: &Bytes,
) -> Result<Vec<Received>, ClientError> {
    let entry_id = MessageId { ledger_id: id.ledger_id, entry_id: id.entry_id, batch_index: None };
    let corrupt = |problem: String| ClientError::Corrupt { id: entry_id, problem };
    checksum::verify(entry).map_err(|error| corrupt(error.to_string()))?;
    let layout = Layout::of(entry).map_err(|error| corrupt(error.to_string()))?;
    let view = MessageView::of(entry).map_err(|error| corrupt(error.to_string()))?;
    if view.compression != 0 {
        let problem = format!("message {entry_id} is compressed; this client reads only plain messages");
        return Err(ClientError::Unsupported(problem));
    }
    if view.chunk().is_some() {
        let problem = format!("message {entry_id} is a chunk of a larger one; this client reads only whole messages");
        return Err(ClientError::Unsupported(problem));
    }
    let payload = entry.slice(layout.payload_from..);
    let whole = Received {
        id: entry_id,
        payload: payload.clone(),
        key: view.partition_key.map(str::to_owned),
        properties: view.properties().map_err(|error| corrupt(error.to_string()))?,
        producer_name: view.producer_name.to_owned(),
        sequence_id: view.sequence_id,
        publish_time_ms: view.publish_time_ms,
        event_time_ms: view.event_time_ms,
        redelivery_count,
        batch_messages: view.batch_messages.map(|_| view.messages()),
    };
    match view.batch_messages {
        None => Ok(vec![whole]),
        Some(_) => unpack_batch(&whole, view.messages(), ack_set, payload).map_err(corrupt),
    }
}

fn unpack_batch(whole: &Received, count: u32, ack_set: &[i64], mut payload: Bytes) -> Result<Vec<Received>, String> {
    // A message of a batch takes at least its size field, so a false count costs nothing.
    let mut messages = Vec::with_capacity((count as usize).min(payload.len() / SIZE_BYTES));
    for index in 0..count {
        let ends = || format!("its batch of {count} ends inside message {index}");
        if payload.len() < SIZE_BYTES {
            return Err(ends());
        }
        let size = payload.get_u32() as usize;
        if size > payload.len() {
            return Err(ends());
        }
        let single = Single::decode(payload.split_to(size)).map_err(|error| format!("message {index}: {error}"))?;
        let size = usize::try_from(single.payload_size).ok().filter(|size| *size <= payload.len()).ok_or_else(ends)?;
        let body = payload.split_to(size);
        if is_acknowledged(ack_set, index) || single.compacted_out() {
            continue;
        }
        messages.push(Received {
            id: MessageId { batch_index: Some(index), ..whole.id },
            payload: body,
            key: single.partition_key,
            properties: single.properties.into_iter().map(|pair| (pair.key, pair.value)).collect(),
            producer_name: whole.producer_name.clone(),
            sequence_id: single.sequence_id.unwrap_or(whole.sequence_id.saturating_add(u64::from(index))),
            publish_time_ms: whole.publish_time_ms,
            event_time_ms: single.event_time.unwrap_or(whole.event_time_ms),
            redelivery_count: whole.redelivery_count,
            batch_messages: whole.batch_messages,
        });
    }
    Ok(messages)
}

/// Words with the least significant bit first; 1 is a message that is not acknowledged.
fn is_acknowledged(ack_set: &[i64], index: u32) -> bool {
    if ack_set.is_empty() {
        return false;
    }
    ack_set.get(index as usize / 64).is_none_or(|word| word >> (index % 64) & 1 == 0)
}
