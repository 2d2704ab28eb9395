//! The commands of Pulsar's binary protocol as hand-written protobuf messages.
//!
//! Format: proto2, `PulsarApi.proto` of Apache Pulsar 4.0, protocol version 21. Three rules keep every client content:
//! `required` fields are written even when zero; an absent `optional` field means its default, which the generated getters
//! (`durable()`, `num_messages()`, ...) answer; repeated scalars are written unpacked. Enumerations stay `i32`, so that a value
//! of tomorrow is refused by whoever acts on it instead of failing the frame.
//!
//! `-1` in an unsigned field is `u64::MAX`: see [`NONE`].

use bytes::Bytes;

/// What Java writes as `-1` into an unsigned field: no ledger, no entry, a command nobody asked for.
pub const NONE: u64 = u64::MAX;

/// One frame's command: the number of its kind and the message of the same number.
#[derive(Clone, PartialEq, prost::Message)]
pub struct BaseCommand {
    /// Field number of the message.
    #[prost(int32, required, tag = "1")]
    pub kind: i32,
    /// The message; `None` when the kind is unknown here.
    #[prost(
        oneof = "Command",
        tags = "2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, \
                30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 50, 52, 54, 56, 58, 60, 62, 64, 67"
    )]
    pub command: Option<Command>,
}

macro_rules! commands {
    ($($(#[$doc:meta])* $number:literal $name:ident($message:ty),)*) => {
        /// Every command this broker understands, or knows how to refuse.
        #[derive(Clone, PartialEq, prost::Oneof)]
        pub enum Command {
            $($(#[$doc])* #[prost(message, tag = $number)] $name($message),)*
        }

        impl Command {
            /// The number of the kind as text, which is the field's number.
            fn number(&self) -> &'static str {
                match self { $(Self::$name(_) => $number,)* }
            }

            /// The command's name, for logs.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$name(_) => stringify!($name),)* }
            }
        }
    };
}

commands! {
    /// The first command of a client.
    "2" Connect(Box<Connect>),
    /// Its answer.
    "3" Connected(Connected),
    /// A new consumer.
    "4" Subscribe(Box<Subscribe>),
    /// A new producer.
    "5" Producer(Box<Producer>),
    /// One entry to store.
    "6" Send(Send),
    /// It is stored.
    "7" SendReceipt(SendReceipt),
    /// It is not.
    "8" SendError(SendError),
    /// One entry for a consumer.
    "9" Message(Message),
    /// Entries are done with.
    "10" Ack(Ack),
    /// Room at a consumer.
    "11" Flow(Flow),
    /// End of a subscription.
    "12" Unsubscribe(Unsubscribe),
    /// Plain success.
    "13" Success(Success),
    /// Plain failure.
    "14" Error(CommandError),
    /// End of a producer, in either direction.
    "15" CloseProducer(CloseProducer),
    /// End of a consumer, in either direction.
    "16" CloseConsumer(CloseConsumer),
    /// A producer is ready.
    "17" ProducerSuccess(ProducerSuccess),
    /// Are you there?
    "18" Ping(Empty),
    /// Yes.
    "19" Pong(Empty),
    /// Deliver again what was not acknowledged.
    "20" Redeliver(Redeliver),
    /// How many partitions?
    "21" PartitionedMetadata(PartitionedMetadata),
    /// So many.
    "22" PartitionedMetadataResponse(PartitionedMetadataResponse),
    /// Which broker serves a topic?
    "23" Lookup(Lookup),
    /// This one.
    "24" LookupResponse(LookupResponse),
    /// Figures of one consumer, please.
    "25" ConsumerStats(ConsumerStats),
    /// Here they are.
    "26" ConsumerStatsResponse(ConsumerStatsResponse),
    /// A terminated topic was read to its end.
    "27" ReachedEndOfTopic(ReachedEndOfTopic),
    /// Move a subscription.
    "28" Seek(Seek),
    /// What is the newest message?
    "29" GetLastMessageId(GetLastMessageId),
    /// This one.
    "30" GetLastMessageIdResponse(GetLastMessageIdResponse),
    /// A failover consumer became active or idle.
    "31" ActiveConsumerChange(ActiveConsumerChange),
    /// Names of a namespace's topics, please.
    "32" GetTopicsOfNamespace(GetTopicsOfNamespace),
    /// Here they are.
    "33" GetTopicsOfNamespaceResponse(GetTopicsOfNamespaceResponse),
    /// Which schema has a topic?
    "34" GetSchema(GetSchema),
    /// This one.
    "35" GetSchemaResponse(GetSchemaResponse),
    /// Who are you, again?
    "36" AuthChallenge(Empty),
    /// The answer to a challenge.
    "37" AuthResponse(Empty),
    /// The answer to an acknowledgement that asked for one.
    "38" AckResponse(AckResponse),
    /// Register a schema.
    "39" GetOrCreateSchema(GetOrCreateSchema),
    /// It has this version.
    "40" GetOrCreateSchemaResponse(GetOrCreateSchemaResponse),
    /// Transactions: refused.
    "50" NewTxn(Request),
    /// Transactions: refused.
    "52" AddPartitionToTxn(Request),
    /// Transactions: refused.
    "54" AddSubscriptionToTxn(Request),
    /// Transactions: refused.
    "56" EndTxn(Request),
    /// Transactions: refused.
    "58" EndTxnOnPartition(Request),
    /// Transactions: refused.
    "60" EndTxnOnSubscription(Request),
    /// Transactions: refused.
    "62" TcClientConnect(Request),
    /// Topic watchers: refused.
    "64" WatchTopicList(Request),
    /// Topic watchers: nothing to close.
    "67" WatchTopicListClose(Request),
}

impl From<Command> for BaseCommand {
    fn from(command: Command) -> Self {
        let kind = command.number().parse().expect("the numbers above are decimal");
        Self { kind, command: Some(command) }
    }
}

macro_rules! message {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* [$($kind:tt)*] $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, prost::Message)]
        pub struct $name {
            $($(#[$field_doc])* #[prost($($kind)*)] pub $field: $type,)*
        }
    };
}

message! {
    /// A message that says nothing but its kind.
    Empty {}
}

message! {
    /// Any command of which only the request id matters, because it is refused.
    Request {
        /// Echoed in the answer.
        [uint64, required, tag = "1"] request_id: u64,
    }
}

message! {
    /// Names an entry, or a message of a batch.
    MessageId {
        /// The ledger; [`NONE`] for none, `i64::MAX` for "latest".
        [uint64, required, tag = "1"] ledger_id: u64,
        /// The entry; [`NONE`] for the place before the first.
        [uint64, required, tag = "2"] entry_id: u64,
        /// Partition of the topic.
        [int32, optional, tag = "3", default = "-1"] partition: Option<i32>,
        /// Message of a batch.
        [int32, optional, tag = "4", default = "-1"] batch_index: Option<i32>,
        /// Words, least significant bit first: 1 is a message of the batch not yet acknowledged.
        [int64, repeated, packed = "false", tag = "5"] ack_set: Vec<i64>,
        /// Messages in the batch.
        [int32, optional, tag = "6"] batch_size: Option<i32>,
        /// First chunk of a message in chunks.
        [message, optional, boxed, tag = "7"] first_chunk: Option<Box<MessageId>>,
    }
}

message! {
    /// A pair of strings.
    KeyValue {
        /// Name.
        [string, required, tag = "1"] key: String,
        /// Value.
        [string, required, tag = "2"] value: String,
    }
}

message! {
    /// An inclusive range of key hashes.
    IntRange {
        /// First hash.
        [int32, required, tag = "1"] start: i32,
        /// Last hash.
        [int32, required, tag = "2"] end: i32,
    }
}

message! {
    /// How a Key_Shared consumer wants its keys.
    KeySharedMeta {
        /// 0: the broker splits; 1: the consumer names its ranges.
        [int32, required, tag = "1"] mode: i32,
        /// Ranges of mode 1.
        [message, repeated, tag = "3"] ranges: Vec<IntRange>,
        /// Whether order within a key may be given up.
        [bool, optional, tag = "4", default = "false"] allow_out_of_order: Option<bool>,
    }
}

message! {
    /// What a client or broker can do.
    FeatureFlags {
        /// Answers challenges.
        [bool, optional, tag = "1"] auth_refresh: Option<bool>,
        /// Understands broker entry metadata.
        [bool, optional, tag = "2"] broker_entry_metadata: Option<bool>,
        /// Lazy partition producers.
        [bool, optional, tag = "3"] partial_producer: Option<bool>,
        /// Topic watchers.
        [bool, optional, tag = "4"] topic_watchers: Option<bool>,
        /// Partition metadata without creating the topic.
        [bool, optional, tag = "5"] metadata_without_auto_creation: Option<bool>,
    }
}

message! {
    /// A schema as clients send it.
    Schema {
        /// Name.
        [string, required, tag = "1"] name: String,
        /// Definition.
        [bytes = "bytes", required, tag = "3"] data: Bytes,
        /// Kind.
        [int32, required, tag = "4"] kind: i32,
        /// Properties.
        [message, repeated, tag = "5"] properties: Vec<KeyValue>,
    }
}

message! {
    /// The first command of a client.
    Connect {
        /// For instance `Pulsar-Java-v4.0.6`.
        [string, required, tag = "1"] client_version: String,
        /// Credentials.
        [bytes = "bytes", optional, tag = "3"] auth_data: Option<Bytes>,
        /// Newest protocol the client speaks.
        [int32, optional, tag = "4"] protocol_version: Option<i32>,
        /// How it wants to be known.
        [string, optional, tag = "5"] auth_method_name: Option<String>,
        /// What it can do.
        [message, optional, tag = "10"] feature_flags: Option<FeatureFlags>,
    }
}

message! {
    /// Welcome.
    Connected {
        /// Never empty.
        [string, required, tag = "1"] server_version: String,
        /// The version both sides speak.
        [int32, optional, tag = "2"] protocol_version: Option<i32>,
        /// Largest message, bytes.
        [int32, optional, tag = "3"] max_message_size: Option<i32>,
        /// What the broker can do.
        [message, optional, tag = "4"] feature_flags: Option<FeatureFlags>,
    }
}

message! {
    /// A new consumer.
    Subscribe {
        /// Topic, perhaps in a short form.
        [string, required, tag = "1"] topic: String,
        /// Subscription.
        [string, required, tag = "2"] subscription: String,
        /// Exclusive 0, Shared 1, Failover 2, Key_Shared 3.
        [int32, required, tag = "3"] kind: i32,
        /// The client's number for the consumer.
        [uint64, required, tag = "4"] consumer_id: u64,
        /// Echoed in the answer.
        [uint64, required, tag = "5"] request_id: u64,
        /// The consumer's name.
        [string, optional, tag = "6"] consumer_name: Option<String>,
        /// 0 is served first.
        [int32, optional, tag = "7"] priority_level: Option<i32>,
        /// Whether the place outlives the consumer.
        [bool, optional, tag = "8", default = "true"] durable: Option<bool>,
        /// Where a non-durable one starts.
        [message, optional, tag = "9"] start_message_id: Option<MessageId>,
        /// Shown in stats.
        [message, repeated, tag = "10"] metadata: Vec<KeyValue>,
        /// Whether only the newest value of each key is wanted.
        [bool, optional, tag = "11"] read_compacted: Option<bool>,
        /// What the consumer expects to find.
        [message, optional, tag = "12"] schema: Option<Schema>,
        /// Where a new subscription starts: 0 latest, 1 earliest.
        [int32, optional, tag = "13"] initial_position: Option<i32>,
        /// Geo-replicated subscription; accepted, without effect on one broker.
        [bool, optional, tag = "14"] replicate_state: Option<bool>,
        /// Whether a missing topic may be made.
        [bool, optional, tag = "15", default = "true"] force_topic_creation: Option<bool>,
        /// Start this many seconds ago; 0 for no.
        [uint64, optional, tag = "16"] rollback_seconds: Option<u64>,
        /// For Key_Shared.
        [message, optional, tag = "17"] key_shared: Option<KeySharedMeta>,
        /// Shown in stats.
        [message, repeated, tag = "18"] subscription_properties: Vec<KeyValue>,
        /// Grows with each rewind of a Java consumer.
        [uint64, optional, tag = "19"] consumer_epoch: Option<u64>,
    }
}

message! {
    /// A new producer.
    Producer {
        /// Topic, perhaps in a short form.
        [string, required, tag = "1"] topic: String,
        /// The client's number for the producer.
        [uint64, required, tag = "2"] producer_id: u64,
        /// Echoed in the answer.
        [uint64, required, tag = "3"] request_id: u64,
        /// Name; the broker makes one if absent.
        [string, optional, tag = "4"] producer_name: Option<String>,
        /// Whether payloads are encrypted.
        [bool, optional, tag = "5"] encrypted: Option<bool>,
        /// Shown in stats.
        [message, repeated, tag = "6"] metadata: Vec<KeyValue>,
        /// What the producer writes.
        [message, optional, tag = "7"] schema: Option<Schema>,
        /// Grows with each reconnection.
        [uint64, optional, tag = "8"] epoch: Option<u64>,
        /// Whether a person chose the name.
        [bool, optional, tag = "9", default = "true"] user_provided_producer_name: Option<bool>,
        /// Shared 0, Exclusive 1, WaitForExclusive 2, ExclusiveWithFencing 3.
        [int32, optional, tag = "10"] access_mode: Option<i32>,
        /// The term of an exclusive producer that comes back.
        [uint64, optional, tag = "11"] topic_epoch: Option<u64>,
        /// Transactions: refused.
        [bool, optional, tag = "12"] txn_enabled: Option<bool>,
        /// A subscription to make beforehand.
        [string, optional, tag = "13"] initial_subscription_name: Option<String>,
    }
}

message! {
    /// One entry to store; headers and payload follow the command.
    Send {
        /// The producer.
        [uint64, required, tag = "1"] producer_id: u64,
        /// Number of the (first) message.
        [uint64, required, tag = "2"] sequence_id: u64,
        /// Messages in the entry.
        [int32, optional, tag = "3", default = "1"] num_messages: Option<i32>,
        /// Transactions: refused.
        [uint64, optional, tag = "4"] txn_least: Option<u64>,
        /// Transactions: refused.
        [uint64, optional, tag = "5"] txn_most: Option<u64>,
        /// Number of the last message of a batch.
        [uint64, optional, tag = "6"] highest_sequence_id: Option<u64>,
        /// Part of a message.
        [bool, optional, tag = "7"] is_chunk: Option<bool>,
        /// Not for consumers: refused.
        [bool, optional, tag = "8"] marker: Option<bool>,
        /// Shadow topics: refused.
        [message, optional, tag = "9"] message_id: Option<MessageId>,
    }
}

message! {
    /// An entry is stored.
    SendReceipt {
        /// The producer.
        [uint64, required, tag = "1"] producer_id: u64,
        /// As sent.
        [uint64, required, tag = "2"] sequence_id: u64,
        /// Where it is.
        [message, optional, tag = "3"] message_id: Option<MessageId>,
        /// As sent.
        [uint64, optional, tag = "4"] highest_sequence_id: Option<u64>,
    }
}

message! {
    /// An entry is not stored.
    SendError {
        /// The producer.
        [uint64, required, tag = "1"] producer_id: u64,
        /// The highest number of the entry.
        [uint64, required, tag = "2"] sequence_id: u64,
        /// A [`ServerError`].
        [int32, required, tag = "3"] error: i32,
        /// For people.
        [string, required, tag = "4"] message: String,
    }
}

message! {
    /// One entry for a consumer; headers and payload follow the command.
    Message {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Where the entry is.
        [message, required, tag = "2"] message_id: MessageId,
        /// How often it was given out before.
        [uint32, optional, tag = "3"] redelivery_count: Option<u32>,
        /// Messages of the batch that are still wanted.
        [int64, repeated, packed = "false", tag = "4"] ack_set: Vec<i64>,
        /// The consumer's epoch.
        [uint64, optional, tag = "5"] consumer_epoch: Option<u64>,
    }
}

message! {
    /// Entries are done with.
    Ack {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// 0 individual, 1 cumulative.
        [int32, required, tag = "2"] kind: i32,
        /// What is done with.
        [message, repeated, tag = "3"] message_ids: Vec<MessageId>,
        /// Why the client discarded it.
        [int32, optional, tag = "4"] validation_error: Option<i32>,
        /// Transactions: refused.
        [uint64, optional, tag = "6"] txn_least: Option<u64>,
        /// Transactions: refused.
        [uint64, optional, tag = "7"] txn_most: Option<u64>,
        /// Present if an answer is wanted.
        [uint64, optional, tag = "8"] request_id: Option<u64>,
    }
}

message! {
    /// Room at a consumer.
    Flow {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// For how many more messages.
        [uint32, required, tag = "2"] permits: u32,
    }
}

message! {
    /// End of a subscription.
    Unsubscribe {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Echoed in the answer.
        [uint64, required, tag = "2"] request_id: u64,
        /// Even while others are connected.
        [bool, optional, tag = "3"] force: Option<bool>,
    }
}

message! {
    /// Plain success.
    Success {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
    }
}

message! {
    /// Plain failure.
    CommandError {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
        /// A [`ServerError`].
        [int32, required, tag = "2"] error: i32,
        /// For people.
        [string, required, tag = "3"] message: String,
    }
}

message! {
    /// End of a producer, in either direction.
    CloseProducer {
        /// The producer.
        [uint64, required, tag = "1"] producer_id: u64,
        /// Echoed in the answer; [`NONE`] when the broker closes.
        [uint64, required, tag = "2"] request_id: u64,
    }
}

message! {
    /// End of a consumer, in either direction.
    CloseConsumer {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Echoed in the answer; [`NONE`] when the broker closes.
        [uint64, required, tag = "2"] request_id: u64,
    }
}

message! {
    /// A producer is ready.
    ProducerSuccess {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
        /// As asked, or made by the broker.
        [string, required, tag = "2"] producer_name: String,
        /// The highest number stored of this name; -1 where that is not kept.
        [int64, optional, tag = "3", default = "-1"] last_sequence_id: Option<i64>,
        /// Empty where no schema is registered.
        [bytes = "bytes", optional, tag = "4"] schema_version: Option<Bytes>,
        /// The term of an exclusive producer.
        [uint64, optional, tag = "5"] topic_epoch: Option<u64>,
        /// False while it waits for its turn.
        [bool, optional, tag = "6", default = "true"] producer_ready: Option<bool>,
    }
}

message! {
    /// Deliver again what was not acknowledged.
    Redeliver {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Which; none for all.
        [message, repeated, tag = "2"] message_ids: Vec<MessageId>,
        /// The consumer's new epoch.
        [uint64, optional, tag = "3"] consumer_epoch: Option<u64>,
    }
}

message! {
    /// How many partitions?
    PartitionedMetadata {
        /// Topic, perhaps in a short form.
        [string, required, tag = "1"] topic: String,
        /// Echoed in the answer.
        [uint64, required, tag = "2"] request_id: u64,
        /// Whether a missing topic may be made.
        [bool, optional, tag = "6", default = "true"] auto_creation: Option<bool>,
    }
}

message! {
    /// So many partitions.
    PartitionedMetadataResponse {
        /// 0 for a topic that is not partitioned.
        [uint32, optional, tag = "1"] partitions: Option<u32>,
        /// As asked.
        [uint64, required, tag = "2"] request_id: u64,
        /// 0 success, 1 failed.
        [int32, optional, tag = "3"] response: Option<i32>,
        /// A [`ServerError`].
        [int32, optional, tag = "4"] error: Option<i32>,
        /// For people.
        [string, optional, tag = "5"] message: Option<String>,
    }
}

message! {
    /// Which broker serves a topic?
    Lookup {
        /// Topic, perhaps in a short form.
        [string, required, tag = "1"] topic: String,
        /// Echoed in the answer.
        [uint64, required, tag = "2"] request_id: u64,
        /// Whether a broker already said that this is the one.
        [bool, optional, tag = "3"] authoritative: Option<bool>,
    }
}

message! {
    /// This broker serves it.
    LookupResponse {
        /// Where to connect.
        [string, optional, tag = "1"] broker_service_url: Option<String>,
        /// The same with TLS.
        [string, optional, tag = "2"] broker_service_url_tls: Option<String>,
        /// 0 redirect, 1 connect, 2 failed.
        [int32, optional, tag = "3"] response: Option<i32>,
        /// As asked.
        [uint64, required, tag = "4"] request_id: u64,
        /// Whether the answer is final.
        [bool, optional, tag = "5"] authoritative: Option<bool>,
        /// A [`ServerError`].
        [int32, optional, tag = "6"] error: Option<i32>,
        /// For people.
        [string, optional, tag = "7"] message: Option<String>,
        /// Whether to go through the service URL.
        [bool, optional, tag = "8"] proxy_through_service_url: Option<bool>,
    }
}

message! {
    /// Figures of one consumer, please.
    ConsumerStats {
        /// Echoed in the answer.
        [uint64, required, tag = "1"] request_id: u64,
        /// The consumer.
        [uint64, required, tag = "4"] consumer_id: u64,
    }
}

message! {
    /// Figures of one consumer; rates are per second.
    ConsumerStatsResponse {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
        /// A [`ServerError`].
        [int32, optional, tag = "2"] error: Option<i32>,
        /// For people.
        [string, optional, tag = "3"] message: Option<String>,
        /// Messages given out.
        [double, optional, tag = "4"] msg_rate_out: Option<f64>,
        /// Bytes given out.
        [double, optional, tag = "5"] msg_throughput_out: Option<f64>,
        /// Messages given out again.
        [double, optional, tag = "6"] msg_rate_redeliver: Option<f64>,
        /// Name.
        [string, optional, tag = "7"] consumer_name: Option<String>,
        /// Permits; negative ones as 0.
        [uint64, optional, tag = "8"] available_permits: Option<u64>,
        /// Messages given out and not acknowledged.
        [uint64, optional, tag = "9"] unacked_messages: Option<u64>,
        /// Whether too many are unacknowledged.
        [bool, optional, tag = "10"] blocked: Option<bool>,
        /// The client's address.
        [string, optional, tag = "11"] address: Option<String>,
        /// ISO-8601.
        [string, optional, tag = "12"] connected_since: Option<String>,
        /// Subscription type.
        [string, optional, tag = "13"] kind: Option<String>,
        /// Entries not acknowledged by the subscription.
        [uint64, optional, tag = "15"] msg_backlog: Option<u64>,
    }
}

message! {
    /// A terminated topic was read to its end.
    ReachedEndOfTopic {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
    }
}

message! {
    /// Move a subscription.
    Seek {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Echoed in the answer.
        [uint64, required, tag = "2"] request_id: u64,
        /// To this entry.
        [message, optional, tag = "3"] message_id: Option<MessageId>,
        /// Or to this time, milliseconds since 1970.
        [uint64, optional, tag = "4"] publish_time_ms: Option<u64>,
    }
}

message! {
    /// What is the newest message?
    GetLastMessageId {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Echoed in the answer.
        [uint64, required, tag = "2"] request_id: u64,
    }
}

message! {
    /// The newest message.
    GetLastMessageIdResponse {
        /// [`NONE`] twice where there is none.
        [message, required, tag = "1"] last_message_id: MessageId,
        /// As asked.
        [uint64, required, tag = "2"] request_id: u64,
        /// Where the subscription stands.
        [message, optional, tag = "3"] mark_delete_position: Option<MessageId>,
    }
}

message! {
    /// A failover consumer became active or idle.
    ActiveConsumerChange {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// Whether it is the one that is served.
        [bool, optional, tag = "2"] is_active: Option<bool>,
    }
}

message! {
    /// Names of a namespace's topics, please.
    GetTopicsOfNamespace {
        /// Echoed in the answer.
        [uint64, required, tag = "1"] request_id: u64,
        /// `tenant/namespace`.
        [string, required, tag = "2"] namespace: String,
        /// 0 persistent, 1 non-persistent, 2 both.
        [int32, optional, tag = "3"] mode: Option<i32>,
        /// The client filters again, so this may be ignored.
        [string, optional, tag = "4"] topics_pattern: Option<String>,
    }
}

message! {
    /// A namespace's topics.
    GetTopicsOfNamespaceResponse {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
        /// Full names, each partition by itself.
        [string, repeated, tag = "2"] topics: Vec<String>,
        /// Whether the pattern was applied.
        [bool, optional, tag = "3"] filtered: Option<bool>,
        /// Whether the names differ from those the client knows.
        [bool, optional, tag = "5", default = "true"] changed: Option<bool>,
    }
}

message! {
    /// Which schema has a topic?
    GetSchema {
        /// Echoed in the answer.
        [uint64, required, tag = "1"] request_id: u64,
        /// Topic.
        [string, required, tag = "2"] topic: String,
        /// Which version; absent for the newest.
        [bytes = "bytes", optional, tag = "3"] schema_version: Option<Bytes>,
    }
}

message! {
    /// A topic's schema.
    GetSchemaResponse {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
        /// A [`ServerError`].
        [int32, optional, tag = "2"] error: Option<i32>,
        /// For people.
        [string, optional, tag = "3"] message: Option<String>,
        /// The schema.
        [message, optional, tag = "4"] schema: Option<Schema>,
        /// Its version.
        [bytes = "bytes", optional, tag = "5"] schema_version: Option<Bytes>,
    }
}

message! {
    /// The answer to an acknowledgement that asked for one.
    AckResponse {
        /// The consumer.
        [uint64, required, tag = "1"] consumer_id: u64,
        /// A [`ServerError`].
        [int32, optional, tag = "4"] error: Option<i32>,
        /// For people.
        [string, optional, tag = "5"] message: Option<String>,
        /// As asked.
        [uint64, optional, tag = "6"] request_id: Option<u64>,
    }
}

message! {
    /// Register a schema.
    GetOrCreateSchema {
        /// Echoed in the answer.
        [uint64, required, tag = "1"] request_id: u64,
        /// Topic.
        [string, required, tag = "2"] topic: String,
        /// The schema.
        [message, required, tag = "3"] schema: Schema,
    }
}

message! {
    /// A registered schema's version.
    GetOrCreateSchemaResponse {
        /// As asked.
        [uint64, required, tag = "1"] request_id: u64,
        /// A [`ServerError`].
        [int32, optional, tag = "2"] error: Option<i32>,
        /// For people.
        [string, optional, tag = "3"] message: Option<String>,
        /// The version.
        [bytes = "bytes", optional, tag = "4"] schema_version: Option<Bytes>,
    }
}

/// Why a request failed, in the numbers of the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerError {
    /// Nothing better fits; clients retry.
    Unknown = 0,
    /// The metadata forbids it or cannot be read.
    Metadata = 1,
    /// Storage failed.
    Persistence = 2,
    /// Nobody knows who the client is.
    Authentication = 3,
    /// The client's role may not.
    Authorization = 4,
    /// Another consumer has the subscription.
    ConsumerBusy = 5,
    /// Try again soon.
    ServiceNotReady = 6,
    /// The backlog is too long; the producer should wait.
    ProducerBlockedQuota = 7,
    /// The backlog is too long; the producer should fail.
    ProducerBlockedQuotaException = 8,
    /// The bytes are not what their checksum says.
    Checksum = 9,
    /// No such topic.
    TopicNotFound = 11,
    /// No such subscription.
    SubscriptionNotFound = 12,
    /// No such consumer.
    ConsumerNotFound = 13,
    /// More at a time than is allowed.
    TooManyRequests = 14,
    /// The topic takes no more messages.
    TopicTerminated = 15,
    /// Another producer has the name.
    ProducerBusy = 16,
    /// Not a topic's name.
    InvalidTopicName = 17,
    /// The schema does not fit the topic's.
    IncompatibleSchema = 18,
    /// Key ranges clash.
    ConsumerAssign = 19,
    /// This broker does not do that.
    NotAllowed = 22,
    /// An exclusive producer has the topic.
    ProducerFenced = 25,
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    fn bytes_of(command: Command) -> Vec<u8> {
        BaseCommand::from(command).encode_to_vec()
    }

    #[test]
    fn zero_required_fields_are_written() {
        let receipt = SendReceipt { message_id: Some(MessageId::default()), ..SendReceipt::default() };
        assert_eq!(
            bytes_of(Command::SendReceipt(receipt)),
            [0x08, 7, 0x3a, 10, 0x08, 0, 0x10, 0, 0x1a, 4, 0x08, 0, 0x10, 0]
        );
        assert_eq!(bytes_of(Command::Pong(Empty {})), [0x08, 19, 0x9a, 0x01, 0]);
    }

    #[test]
    fn minus_one_is_a_ten_byte_varint() {
        let close = CloseProducer { producer_id: 3, request_id: NONE };
        let mut expected = vec![0x08, 15, 0x7a, 13, 0x08, 3, 0x10];
        expected.extend([0xff; 9]);
        expected.push(1);
        assert_eq!(bytes_of(Command::CloseProducer(close)), expected);
    }

    #[test]
    fn ack_sets_are_unpacked_and_read_either_way() {
        let id = MessageId { ledger_id: 1, entry_id: 2, ack_set: vec![28, -1], ..MessageId::default() };
        let wire = id.encode_to_vec();
        assert_eq!(wire[..8], [0x08, 1, 0x10, 2, 0x28, 28, 0x28, 0xff]);
        assert_eq!(MessageId::decode(wire.as_slice()).expect("own bytes"), id);
        let packed = [0x08, 1, 0x10, 2, 0x2a, 1, 28];
        assert_eq!(MessageId::decode(packed.as_slice()).expect("packed form").ack_set, [28]);
    }

    #[test]
    fn absent_fields_mean_their_defaults() {
        let subscribe = Subscribe::default();
        assert!(subscribe.durable() && subscribe.force_topic_creation() && !subscribe.read_compacted());
        assert_eq!(Send::default().num_messages(), 1);
        assert_eq!((MessageId::default().partition(), MessageId::default().batch_index()), (-1, -1));
        assert!(PartitionedMetadata::default().auto_creation());
    }

    #[test]
    fn unknown_fields_and_kinds_are_tolerated() {
        // Field 99 of FLOW, then a kind that nobody knows with a message of its own.
        let flow = [0x08, 11, 0x5a, 7, 0x08, 1, 0x10, 2, 0x98, 0x06, 5];
        let command = BaseCommand::decode(flow.as_slice()).expect("unknown field").command;
        assert_eq!(command, Some(Command::Flow(Flow { consumer_id: 1, permits: 2 })));
        let unknown = [0x08, 70, 0xb2, 0x04, 2, 0x08, 1];
        let decoded = BaseCommand::decode(unknown.as_slice()).expect("unknown kind");
        assert_eq!((decoded.kind, decoded.command), (70, None));
    }

    #[test]
    fn a_python_connect_is_understood() {
        // client_version "Pulsar-CPP-v4.2.0", protocol 20, auth "none", feature flags 1 and 2.
        let mut connect = vec![0x0a, 17];
        connect.extend(b"Pulsar-CPP-v4.2.0");
        connect.extend([0x20, 20, 0x2a, 4]);
        connect.extend(b"none");
        connect.extend([0x52, 4, 0x08, 1, 0x10, 1]);
        let mut wire = vec![0x08, 2, 0x12, connect.len() as u8];
        wire.extend(connect);
        let Some(Command::Connect(connect)) = BaseCommand::decode(wire.as_slice()).expect("connect").command else {
            panic!("not a CONNECT");
        };
        assert_eq!((connect.client_version.as_str(), connect.protocol_version()), ("Pulsar-CPP-v4.2.0", 20));
        assert_eq!(connect.feature_flags.and_then(|flags| flags.broker_entry_metadata), Some(true));
    }
}
