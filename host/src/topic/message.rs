//! What an entry says about itself: a read-only view of the bytes that producers send and consumers get.
//!
//! An entry is stored and sent exactly as received. It is looked into, never decoded and encoded again: that would drop
//! fields of tomorrow and break the checksum. Format, integers big-endian, from Pulsar `Commands.parseMessageMetadata`:
//!
//! ```text
//! [ u16 0x0e02 | u32 size | BrokerEntryMetadata ]     if a broker added it; outside the checksum
//! [ u16 0x0e01 | u32 crc32c ]                         if the client sent it; all known ones do
//! u32 metadata_size | MessageMetadata | payload
//! ```

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message;
use prost::encoding::{WireType, decode_key, decode_varint};

const MAGIC_BROKER_ENTRY: u16 = 0x0e02;
const MAGIC_CHECKSUM: u16 = 0x0e01;
const MAGIC_BYTES: usize = 2;
const SIZE_BYTES: usize = 4;

/// Why bytes are not an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MessageError {
    /// A section reaches beyond the end.
    #[error("entry of {length} bytes ends inside its {section}")]
    Truncated {
        /// Bytes there are.
        length: usize,
        /// Which section.
        section: &'static str,
    },
    /// The metadata is not protobuf.
    #[error("message metadata is not readable: {0}")]
    Metadata(String),
}

/// Where the sections of an entry are: offsets in bytes from its start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The sum the client sent.
    pub checksum: Option<u32>,
    /// First byte that the sum covers.
    pub checked_from: usize,
    /// First byte after the section a broker may have added: what consumers get starts here.
    pub sent_from: usize,
    /// First byte of the message metadata.
    pub metadata_from: usize,
    /// First byte of the payload, and end of the metadata.
    pub payload_from: usize,
    broker_entry: Option<(usize, usize)>,
}

impl Layout {
    /// Finds the sections.
    pub fn of(entry: &[u8]) -> Result<Self, MessageError> {
        let truncated = |section| MessageError::Truncated { length: entry.len(), section };
        let mut at = 0;
        let mut broker_entry = None;
        if magic(entry, at) == Some(MAGIC_BROKER_ENTRY) {
            let size = size(entry, at + MAGIC_BYTES).ok_or_else(|| truncated("broker entry metadata"))?;
            let from = at + MAGIC_BYTES + SIZE_BYTES;
            at = end(entry, from, size).ok_or_else(|| truncated("broker entry metadata"))?;
            broker_entry = Some((from, at));
        }
        let sent_from = at;
        let mut checksum = None;
        if magic(entry, at) == Some(MAGIC_CHECKSUM) {
            checksum = Some(size(entry, at + MAGIC_BYTES).ok_or_else(|| truncated("checksum"))?);
            at += MAGIC_BYTES + SIZE_BYTES;
        }
        let metadata_size = size(entry, at).ok_or_else(|| truncated("metadata size"))?;
        let metadata_from = at + SIZE_BYTES;
        let payload_from = end(entry, metadata_from, metadata_size).ok_or_else(|| truncated("message metadata"))?;
        Ok(Self { checksum, checked_from: at, sent_from, metadata_from, payload_from, broker_entry })
    }
}

fn magic(entry: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*entry.get(at..)?.first_chunk()?))
}

fn size(entry: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*entry.get(at..)?.first_chunk()?))
}

fn end(entry: &[u8], from: usize, size: u32) -> Option<usize> {
    from.checked_add(size as usize).filter(|end| *end <= entry.len())
}

/// The bytes a consumer gets: the entry without what a broker may have put in front.
pub fn sent_bytes(entry: Bytes) -> Bytes {
    match Layout::of(&entry) {
        Ok(layout) if layout.sent_from > 0 => entry.slice(layout.sent_from..),
        _ => entry,
    }
}

/// Which part of a message in chunks an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chunk<'a> {
    /// Names the message.
    pub uuid: &'a str,
    /// 0-based.
    pub id: i32,
    /// Chunks of the message.
    pub count: i32,
}

/// The fields of an entry's metadata that a broker acts on. Fields that are absent have the defaults of the format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MessageView<'a> {
    /// Who sent it.
    pub producer_name: &'a str,
    /// Number of the (first) message.
    pub sequence_id: u64,
    /// Number of the last message of a batch; 0 where absent.
    pub highest_sequence_id: u64,
    /// When the producer sent it, milliseconds since 1970.
    pub publish_time_ms: u64,
    /// When a broker stored it, milliseconds since 1970, where it noted that.
    pub broker_time_ms: Option<u64>,
    /// When it happened, by the producer's word, milliseconds since 1970; 0 where absent.
    pub event_time_ms: u64,
    /// Messages in the batch; the field's presence, not its value, marks a batch.
    pub batch_messages: Option<i32>,
    /// Routing key.
    pub partition_key: Option<&'a str>,
    /// Whether the routing key is base64 of the real one.
    pub partition_key_is_base64: bool,
    /// Key for Key_Shared, before the routing key.
    pub ordering_key: Option<&'a [u8]>,
    /// Not before this time on Shared subscriptions, milliseconds since 1970.
    pub deliver_at_ms: Option<i64>,
    /// Set for what is not for consumers.
    pub marker: bool,
    /// 0 none, 1 LZ4, 2 zlib, 3 zstd, 4 Snappy.
    pub compression: i32,
    /// Payload bytes before compression.
    pub uncompressed_size: u32,
    chunk_uuid: Option<&'a str>,
    chunk_id: Option<i32>,
    chunk_count: Option<i32>,
    metadata: &'a [u8],
}

impl<'a> MessageView<'a> {
    /// Looks into `entry`.
    pub fn of(entry: &'a [u8]) -> Result<Self, MessageError> {
        let layout = Layout::of(entry)?;
        let metadata = &entry[layout.metadata_from..layout.payload_from];
        let mut view = Self { metadata, ..Self::default() };
        for field in Fields(metadata) {
            view.take(field?)?;
        }
        if let Some((from, to)) = layout.broker_entry {
            for field in Fields(&entry[from..to]) {
                if let (1, Value::Number(time)) = field? {
                    view.broker_time_ms = Some(time);
                }
            }
        }
        Ok(view)
    }

    fn take(&mut self, (number, value): (u32, Value<'a>)) -> Result<(), MessageError> {
        match (number, value) {
            (1, Value::Bytes(name)) => self.producer_name = text(name)?,
            (2, Value::Number(id)) => self.sequence_id = id,
            (3, Value::Number(time)) => self.publish_time_ms = time,
            (6, Value::Bytes(key)) => self.partition_key = Some(text(key)?),
            (8, Value::Number(kind)) => self.compression = kind as i32,
            (9, Value::Number(size)) => self.uncompressed_size = size as u32,
            (11, Value::Number(count)) => self.batch_messages = Some(count as i32),
            (12, Value::Number(time)) => self.event_time_ms = time,
            (17, Value::Number(flag)) => self.partition_key_is_base64 = flag != 0,
            (18, Value::Bytes(key)) => self.ordering_key = Some(key),
            (19, Value::Number(time)) => self.deliver_at_ms = Some(time as i64),
            (20, Value::Number(_)) => self.marker = true,
            (24, Value::Number(id)) => self.highest_sequence_id = id,
            (26, Value::Bytes(uuid)) => self.chunk_uuid = Some(text(uuid)?),
            (27, Value::Number(count)) => self.chunk_count = Some(count as i32),
            (29, Value::Number(id)) => self.chunk_id = Some(id as i32),
            _ => {}
        }
        Ok(())
    }

    /// How many messages the entry counts for: never less than one.
    pub fn messages(&self) -> u32 {
        self.batch_messages.map_or(1, |count| count.max(1) as u32)
    }

    /// When it was stored as far as anyone noted, milliseconds since 1970: what a search by time compares.
    pub fn time_ms(&self) -> u64 {
        self.broker_time_ms.unwrap_or(self.publish_time_ms)
    }

    /// Which chunk it is, if its message came in chunks.
    pub fn chunk(&self) -> Option<Chunk<'a>> {
        Some(Chunk { uuid: self.chunk_uuid?, id: self.chunk_id?, count: self.chunk_count? })
    }

    /// The message's properties, in the order sent.
    pub fn properties(&self) -> Result<Vec<(String, String)>, MessageError> {
        let mut properties = Vec::new();
        for field in Fields(self.metadata) {
            let (4, Value::Bytes(pair)) = field? else { continue };
            let mut property = (String::new(), String::new());
            for part in Fields(pair) {
                match part? {
                    (1, Value::Bytes(key)) => property.0 = text(key)?.to_owned(),
                    (2, Value::Bytes(value)) => property.1 = text(value)?.to_owned(),
                    _ => {}
                }
            }
            properties.push(property);
        }
        Ok(properties)
    }
}

fn text(bytes: &[u8]) -> Result<&str, MessageError> {
    std::str::from_utf8(bytes).map_err(|error| MessageError::Metadata(error.to_string()))
}

enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// Walks over protobuf fields without copying them.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn field(&mut self) -> Result<(u32, Value<'a>), MessageError> {
        let unreadable = |error: prost::DecodeError| MessageError::Metadata(error.to_string());
        let (number, wire_type) = decode_key(&mut self.0).map_err(unreadable)?;
        let value = match wire_type {
            WireType::Varint => Value::Number(decode_varint(&mut self.0).map_err(unreadable)?),
            WireType::LengthDelimited => {
                let length = decode_varint(&mut self.0).map_err(unreadable)?;
                Value::Bytes(self.split(length)?)
            }
            WireType::SixtyFourBit => self.split(8).map(|_| Value::Fixed)?,
            WireType::ThirtyTwoBit => self.split(4).map(|_| Value::Fixed)?,
            WireType::StartGroup | WireType::EndGroup => {
                return Err(MessageError::Metadata(format!("field {number} is a group")));
            }
        };
        Ok((number, value))
    }

    fn split(&mut self, length: u64) -> Result<&'a [u8], MessageError> {
        let length = usize::try_from(length).ok().filter(|length| *length <= self.0.remaining());
        let Some(length) = length else {
            return Err(MessageError::Metadata("a field reaches beyond the end".to_owned()));
        };
        let (field, rest) = self.0.split_at(length);
        self.0 = rest;
        Ok(field)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), MessageError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// An entry of this metadata as a client sends it, with its checksum.
pub(super) fn checked_entry(metadata: &impl Message, payload: &[u8]) -> Bytes {
    let mut checked = BytesMut::new();
    checked.put_u32(metadata.encoded_len() as u32);
    metadata.encode(&mut checked).expect("a BytesMut grows");
    checked.put_slice(payload);
    let mut entry = BytesMut::with_capacity(MAGIC_BYTES + SIZE_BYTES + checked.len());
    entry.put_u16(MAGIC_CHECKSUM);
    entry.put_u32(crc32c::crc32c(&checked));
    entry.put_slice(&checked);
    entry.freeze()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Message metadata as a client writes it.
    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Metadata {
        #[prost(string, required, tag = "1")]
        pub(crate) producer_name: String,
        #[prost(uint64, required, tag = "2")]
        pub(crate) sequence_id: u64,
        #[prost(uint64, required, tag = "3")]
        pub(crate) publish_time: u64,
        #[prost(message, repeated, tag = "4")]
        pub(crate) properties: Vec<Pair>,
        #[prost(string, optional, tag = "6")]
        pub(crate) partition_key: Option<String>,
        #[prost(int32, optional, tag = "11")]
        pub(crate) batch: Option<i32>,
        #[prost(int64, optional, tag = "19")]
        pub(crate) deliver_at: Option<i64>,
        #[prost(int32, optional, tag = "20")]
        pub(crate) marker: Option<i32>,
        #[prost(string, optional, tag = "26")]
        pub(crate) uuid: Option<String>,
        #[prost(int32, optional, tag = "27")]
        pub(crate) chunks: Option<i32>,
        #[prost(int32, optional, tag = "29")]
        pub(crate) chunk_id: Option<i32>,
        #[prost(fixed64, optional, tag = "900")]
        pub(crate) of_tomorrow: Option<u64>,
    }

    /// A property.
    #[derive(Clone, PartialEq, Message)]
    pub(crate) struct Pair {
        #[prost(string, required, tag = "1")]
        pub(crate) key: String,
        #[prost(string, required, tag = "2")]
        pub(crate) value: String,
    }

    /// An entry as a client sends it, with checksum.
    pub(crate) fn entry(payload: &[u8], change: impl FnOnce(&mut Metadata)) -> Bytes {
        let mut metadata = Metadata { producer_name: "p".to_owned(), publish_time: 1000, ..Metadata::default() };
        change(&mut metadata);
        checked_entry(&metadata, payload)
    }

    fn with_broker_time(entry: &[u8], time_ms: u8) -> Bytes {
        let mut whole = BytesMut::new();
        whole.put_u16(MAGIC_BROKER_ENTRY);
        whole.put_u32(2);
        whole.extend_from_slice(&[0x08, time_ms]);
        whole.extend_from_slice(entry);
        whole.freeze()
    }

    #[test]
    fn fields_are_found_and_unknown_ones_passed_over() {
        let bytes = entry(b"x", |metadata| {
            metadata.sequence_id = 7;
            metadata.partition_key = Some("k".to_owned());
            metadata.batch = Some(3);
            metadata.deliver_at = Some(-5);
            metadata.of_tomorrow = Some(1);
            metadata.properties = vec![Pair { key: "a".to_owned(), value: "1".to_owned() }, Pair::default()];
        });
        let view = MessageView::of(&bytes).expect("well formed");
        assert_eq!((view.producer_name, view.sequence_id, view.time_ms()), ("p", 7, 1000));
        assert_eq!((view.partition_key, view.messages(), view.deliver_at_ms), (Some("k"), 3, Some(-5)));
        let properties = view.properties().expect("well formed");
        assert_eq!(properties, [("a".to_owned(), "1".to_owned()), (String::new(), String::new())]);
        assert!(!view.marker && view.chunk().is_none());
    }

    #[test]
    fn presence_of_the_batch_field_marks_a_batch() {
        let single = entry(b"", |_| {});
        let batch_of_one = entry(b"", |metadata| metadata.batch = Some(1));
        assert_eq!(MessageView::of(&single).expect("well formed").batch_messages, None);
        assert_eq!(MessageView::of(&batch_of_one).expect("well formed").batch_messages, Some(1));
        let nonsense = entry(b"", |metadata| metadata.batch = Some(-4));
        assert_eq!(MessageView::of(&nonsense).expect("well formed").messages(), 1);
    }

    #[test]
    fn what_a_broker_added_is_read_but_not_sent() {
        let plain = entry(b"payload", |_| {});
        let stored = with_broker_time(&plain, 99);
        assert_eq!(MessageView::of(&stored).expect("well formed").time_ms(), 99);
        assert_eq!(sent_bytes(stored), plain);
        assert_eq!(sent_bytes(plain.clone()), plain);
        assert_eq!(sent_bytes(plain.slice(6..)), plain.slice(6..));
    }

    #[test]
    fn truncated_and_random_entries_never_panic() {
        let good = with_broker_time(&entry(b"", |metadata| metadata.partition_key = Some("key".to_owned())), 1);
        for length in 0..good.len() {
            assert!(MessageView::of(&good[..length]).is_err(), "{length} bytes were enough");
        }
        for seed in 0..4000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bad = good.to_vec();
            for _ in 0..random.usize(1..8) {
                let at = random.usize(0..bad.len());
                bad[at] = random.u8(..);
            }
            if let Ok(view) = MessageView::of(&bad) {
                let _ = (view.properties(), view.messages(), view.chunk());
            }
        }
    }
}
