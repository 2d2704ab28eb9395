//! The state machine as a client meets it: frames over an in-memory pipe, real topics behind.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio_util::sync::CancellationToken;

use super::command::*;
use super::frame::{self, Frame};
use super::{ProtocolSettings, Shared, connection};
use crate::access::Access;
use crate::access::tests::{door, of_secret, secret_key};
use crate::topic::message::tests::entry;
use crate::topic::test_kit::{Kit, fill, kit, moment, until};
use crate::topic::{Missing, TopicSettings};

const LIMIT: usize = 6 << 20;
/// Longest that a test waits for a frame.
const PATIENCE: Duration = Duration::from_secs(20);

/// A client's end of a connection.
struct Peer {
    read: ReadHalf<DuplexStream>,
    write: WriteHalf<DuplexStream>,
    buffer: BytesMut,
}

impl Peer {
    async fn send(&mut self, command: Command) {
        self.send_with(command, b"").await;
    }

    async fn send_with(&mut self, command: Command, payload: &[u8]) {
        let mut out = BytesMut::new();
        frame::put_before_payload(command, payload.len(), &mut out);
        out.extend_from_slice(payload);
        self.send_bytes(&out).await;
    }

    async fn send_bytes(&mut self, bytes: &[u8]) {
        self.write.write_all(bytes).await.expect("the broker reads");
    }

    /// The next frame; `None` at the end of the connection.
    async fn next_frame(&mut self) -> Option<Frame> {
        let read = async {
            loop {
                if let Some(frame) = frame::take(&mut self.buffer, LIMIT).expect("the broker writes frames") {
                    return Some(frame);
                }
                if self.read.read_buf(&mut self.buffer).await.unwrap_or(0) == 0 {
                    return None;
                }
            }
        };
        tokio::time::timeout(PATIENCE, read).await.expect("the broker answers")
    }

    async fn next(&mut self) -> Command {
        let frame = self.next_frame().await.expect("the connection lives");
        frame.command.command.expect("a known command")
    }

    async fn is_closed(&mut self) -> bool {
        self.next_frame().await.is_none()
    }

    /// Whether nothing comes for a moment.
    async fn is_quiet(&mut self) -> bool {
        tokio::time::timeout(Duration::from_millis(100), self.next_frame()).await.is_err()
    }

    async fn produce(&mut self, producer_id: u64) {
        let producer = Producer { topic: "t".to_owned(), producer_id, request_id: 100, ..Producer::default() };
        self.send(Command::Producer(Box::new(producer))).await;
        let answer = self.next().await;
        assert!(matches!(&answer, Command::ProducerSuccess(success) if success.request_id == 100), "{answer:?}");
    }

    async fn publish(&mut self, producer_id: u64, sequence_id: u64, payload: &[u8]) {
        self.send_with(Command::Send(Send { producer_id, sequence_id, ..Send::default() }), payload).await;
    }

    async fn subscribe(&mut self, subscribe: Subscribe) {
        let request_id = subscribe.request_id;
        self.send(Command::Subscribe(Box::new(subscribe))).await;
        assert_eq!(self.next().await, Command::Success(Success { request_id }));
    }

    async fn message(&mut self) -> (Message, Bytes) {
        let frame = self.next_frame().await.expect("the connection lives");
        match frame.command.command {
            Some(Command::Message(message)) => (message, frame.payload),
            other => panic!("not a message: {other:?}"),
        }
    }
}

fn subscribe(subscription: &str) -> Subscribe {
    Subscribe {
        topic: "t".to_owned(),
        subscription: subscription.to_owned(),
        consumer_id: 1,
        request_id: 7,
        initial_position: Some(1),
        ..Subscribe::default()
    }
}

fn settings() -> ProtocolSettings {
    ProtocolSettings { advertised_service_url: "pulsar://here:6650".to_owned(), ..ProtocolSettings::default() }
}

/// A client that has said nothing yet.
fn raw_peer(kit: &Kit, settings: ProtocolSettings) -> Peer {
    peer_at(kit, settings, Arc::default())
}

fn peer_at(kit: &Kit, settings: ProtocolSettings, access: Arc<Access>) -> Peer {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (read, write) = tokio::io::split(theirs);
    let shared = Shared::new(kit.topics.clone(), settings, access);
    tokio::spawn(connection::run(shared, "/test:1".to_owned(), read, write, CancellationToken::new()));
    let (read, write) = tokio::io::split(ours);
    Peer { read, write, buffer: BytesMut::new() }
}

async fn peer_with(kit: &Kit, settings: ProtocolSettings, version: &str, protocol_version: i32) -> (Peer, Connected) {
    let mut peer = raw_peer(kit, settings);
    let connect =
        Connect { client_version: version.to_owned(), protocol_version: Some(protocol_version), ..Connect::default() };
    peer.send(Command::Connect(Box::new(connect))).await;
    match peer.next().await {
        Command::Connected(connected) => (peer, connected),
        other => panic!("not CONNECTED: {other:?}"),
    }
}

async fn peer(kit: &Kit) -> Peer {
    peer_with(kit, settings(), "Pulsar-CPP-v4.2.0", 20).await.0
}

#[tokio::test]
async fn the_lower_protocol_version_is_spoken() {
    let kit = kit(TopicSettings::default()).await;
    for (theirs, spoken) in [(0, 0), (12, 12), (17, 17), (20, 20), (21, 21), (99, 21)] {
        let (_peer, connected) = peer_with(&kit, settings(), "x", theirs).await;
        assert_eq!(connected.protocol_version(), spoken);
        assert_eq!(connected.max_message_size(), 5 * 1024 * 1024);
        assert!(!connected.server_version.is_empty());
        let flags = connected.feature_flags.expect("flags are sent");
        assert_eq!((flags.topic_watchers, flags.metadata_without_auto_creation), (Some(false), Some(true)));
    }
}

#[tokio::test]
async fn what_is_out_of_place_ends_the_connection() {
    let kit = kit(TopicSettings::default()).await;
    let mut early = raw_peer(&kit, settings());
    early.send(Command::Ping(Empty {})).await;
    assert!(early.is_closed().await, "a command before CONNECT");
    let mut garbage = raw_peer(&kit, settings());
    garbage.send_bytes(b"GET / HTTP/1.1\r\n\r\n").await;
    assert!(garbage.is_closed().await, "no Pulsar at all");
    let mut oversized = peer(&kit).await;
    oversized.send_bytes(&(5_253_121u32).to_be_bytes()).await;
    assert!(oversized.is_closed().await, "one byte more than a frame may have");

    let twice = Command::Connect(Box::default());
    let unknown_producer = Command::Send(Send::default());
    let no_permits = Command::Flow(Flow::default());
    let of_a_broker = Command::Success(Success::default());
    for command in [twice, unknown_producer, no_permits, of_a_broker] {
        let mut peer = peer(&kit).await;
        let name = command.name();
        peer.send(command).await;
        assert!(peer.is_closed().await, "{name}");
    }
}

#[tokio::test]
async fn random_bytes_after_the_handshake_never_hang_or_panic() {
    let kit = kit(TopicSettings::default()).await;
    for seed in 0..60 {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut peer = peer(&kit).await;
        let mut bytes = BytesMut::new();
        for _ in 0..random.usize(1..20) {
            // Frames of the right shape, with a random kind and random fields.
            let body: Vec<u8> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
            let mut command = vec![0x08, random.u8(2..70)];
            command.extend(body);
            bytes.put_u32(4 + command.len() as u32);
            bytes.put_u32(command.len() as u32);
            bytes.extend_from_slice(&command);
        }
        // The broker may have closed the connection already.
        let _ = peer.write.write_all(&bytes).await;
        let _ = peer.write.shutdown().await;
        while peer.next_frame().await.is_some() {}
    }
}

#[tokio::test]
async fn entries_come_back_byte_for_byte_and_not_before_permits() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.produce(5).await;
    let sent: Vec<Bytes> = (0..25u8)
        .map(|n| entry(&vec![n; usize::from(n) * 100], |metadata| metadata.of_tomorrow = Some(u64::from(n))))
        .collect();
    for (n, entry) in sent.iter().enumerate() {
        peer.publish(5, n as u64, entry).await;
    }
    let mut stored = Vec::new();
    for n in 0..25 {
        let Command::SendReceipt(receipt) = peer.next().await else { panic!("not a receipt") };
        assert_eq!((receipt.producer_id, receipt.sequence_id, receipt.highest_sequence_id), (5, n, Some(0)));
        stored.push(receipt.message_id.expect("stored somewhere"));
    }
    peer.subscribe(subscribe("s")).await;
    assert!(peer.is_quiet().await);
    peer.send(Command::Flow(Flow { consumer_id: 1, permits: 1000 })).await;
    for (entry, id) in sent.iter().zip(&stored) {
        let (message, payload) = peer.message().await;
        assert_eq!((message.consumer_id, &message.message_id, message.redelivery_count), (1, id, None));
        assert_eq!(payload, entry);
    }
}

#[tokio::test]
async fn a_damaged_entry_is_refused_in_its_place_and_the_connection_lives() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.produce(5).await;
    let good = entry(b"good", |_| {});
    let mut bad = good.to_vec();
    *bad.last_mut().expect("not empty") ^= 1;
    kit.faults.hold_appends.store(true, SeqCst);
    peer.publish(5, 1, &good).await;
    peer.publish(5, 2, &bad).await;
    peer.publish(5, 3, b"\0\0").await;
    peer.send(Command::Ping(Empty {})).await;
    assert_eq!(peer.next().await, Command::Pong(Empty {}), "nothing is answered before what was sent first");
    kit.faults.hold_appends.store(false, SeqCst);
    peer.publish(5, 4, &good).await;
    let mut answers = Vec::new();
    for _ in 0..4 {
        answers.push(match peer.next().await {
            Command::SendReceipt(receipt) => (receipt.sequence_id, None),
            Command::SendError(error) => (error.sequence_id, Some(error.error)),
            other => panic!("{other:?}"),
        });
    }
    assert_eq!(answers, [(1, None), (2, Some(9)), (3, Some(9)), (4, None)]);
    assert_eq!(kit.topic("t").await.stats().traffic_in.messages, 2);
}

#[tokio::test]
async fn entries_of_transactions_and_markers_are_refused() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.produce(5).await;
    let payload = entry(b"x", |_| {});
    let sends = [
        Send { producer_id: 5, sequence_id: 1, txn_most: Some(1), ..Send::default() },
        Send { producer_id: 5, sequence_id: 2, marker: Some(true), ..Send::default() },
        Send { producer_id: 5, sequence_id: 3, message_id: Some(MessageId::default()), ..Send::default() },
    ];
    for send in sends {
        let sequence_id = send.sequence_id;
        peer.send_with(Command::Send(send), &payload).await;
        let answer = peer.next().await;
        assert!(matches!(&answer, Command::SendError(error) if error.sequence_id == sequence_id && error.error == 22));
    }
}

#[tokio::test]
async fn the_socket_is_not_read_while_too_much_is_in_flight() {
    let kit = kit(TopicSettings::default()).await;
    let settings = ProtocolSettings { max_pending_publish_requests: 3, ..settings() };
    let (mut peer, _) = peer_with(&kit, settings, "x", 20).await;
    peer.produce(5).await;
    kit.faults.hold_appends.store(true, SeqCst);
    let payload = entry(&[7; 100], |_| {});
    for n in 0..4 {
        peer.publish(5, n, &payload).await;
    }
    peer.send(Command::Ping(Empty {})).await;
    assert!(peer.is_quiet().await, "the fourth entry and the ping wait in the socket");
    assert_eq!(kit.topic("t").await.stats().traffic_in.messages, 3);
    kit.faults.hold_appends.store(false, SeqCst);
    // Another topic's entry lets the store of this test go on.
    fill(&kit.topic("other").await, 1).await;
    let mut receipts = 0;
    loop {
        match peer.next().await {
            Command::SendReceipt(receipt) => {
                assert_eq!(receipt.sequence_id, receipts);
                receipts += 1;
            }
            Command::Pong(_) => {}
            other => panic!("{other:?}"),
        }
        if receipts == 4 {
            break;
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_costs_bounded_memory() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    {
        let mut producer = peer(&kit).await;
        producer.produce(5).await;
        let payload = entry(&vec![1; 200_000], |_| {});
        for n in 0..40 {
            producer.publish(5, n, &payload).await;
            assert!(matches!(producer.next().await, Command::SendReceipt(_)));
        }
    }
    let bytes_max = 1_000_000;
    let (mut peer, _) =
        peer_with(&kit, ProtocolSettings { outgoing_bytes_max: bytes_max, ..settings() }, "x", 20).await;
    peer.subscribe(subscribe("s")).await;
    peer.send(Command::Flow(Flow { consumer_id: 1, permits: 1000 })).await;
    until("something is out", || topic.stats().traffic_out.messages > 0).await;
    moment().await;
    let queued = topic.stats().traffic_out.bytes as usize;
    // The bound, one entry that exceeds it, and what the pipe holds.
    assert!(queued <= bytes_max + 200_100 + 64 * 1024, "{queued} bytes out");
    for _ in 0..40 {
        peer.message().await;
    }
}

#[tokio::test]
async fn silence_after_a_ping_ends_the_connection() {
    let kit = kit(TopicSettings::default()).await;
    let settings = ProtocolSettings { keep_alive_interval: Duration::from_millis(150), ..settings() };
    let (mut peer, _) = peer_with(&kit, settings, "x", 20).await;
    for _ in 0..4 {
        assert_eq!(peer.next().await, Command::Ping(Empty {}));
        peer.send(Command::Pong(Empty {})).await;
    }
    assert_eq!(peer.next().await, Command::Ping(Empty {}));
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn questions_are_answered_by_their_own_responses_whatever_their_ids() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.send(Command::Lookup(Lookup { topic: "t".to_owned(), request_id: 2, ..Lookup::default() })).await;
    let Command::LookupResponse(found) = peer.next().await else { panic!("not a lookup response") };
    assert_eq!((found.request_id, found.response(), found.authoritative()), (2, 1, true));
    assert_eq!(found.broker_service_url(), "pulsar://here:6650");

    let metadata = |topic: &str, auto_creation| {
        let topic = topic.to_owned();
        Command::PartitionedMetadata(PartitionedMetadata { topic, request_id: 2, auto_creation })
    };
    for (topic, auto_creation, expected) in [
        ("t", None, (0, Some(0), None)),
        ("t", Some(false), (1, None, Some(11))),
        ("t-partition-3", Some(false), (0, Some(0), None)),
        ("a/b", None, (1, None, Some(17))),
        ("non-persistent://public/default/t", None, (1, None, Some(22))),
    ] {
        peer.send(metadata(topic, auto_creation)).await;
        let Command::PartitionedMetadataResponse(response) = peer.next().await else { panic!("not a response") };
        assert_eq!((response.response(), response.partitions, response.error), expected, "{topic}");
    }

    peer.send(Command::Lookup(Lookup { topic: "a/b".to_owned(), request_id: 3, ..Lookup::default() })).await;
    let Command::LookupResponse(refused) = peer.next().await else { panic!("not a lookup response") };
    assert_eq!((refused.response(), refused.error()), (2, 17));

    peer.send(Command::GetSchema(GetSchema { request_id: 4, topic: "t".to_owned(), schema_version: None })).await;
    let Command::GetSchemaResponse(schema) = peer.next().await else { panic!("not a schema response") };
    assert_eq!((schema.request_id, schema.error), (4, Some(11)));

    peer.send(Command::ConsumerStats(ConsumerStats { request_id: 5, consumer_id: 77 })).await;
    let Command::ConsumerStatsResponse(stats) = peer.next().await else { panic!("not a stats response") };
    assert_eq!((stats.request_id, stats.error), (5, Some(13)));

    peer.send(Command::NewTxn(Request { request_id: 6 })).await;
    let Command::Error(error) = peer.next().await else { panic!("not an error") };
    assert_eq!((error.request_id, error.error, error.message.as_str()), (6, 22, "Transactions are not enabled."));

    peer.send(Command::Ack(Ack { consumer_id: 77, request_id: Some(8), ..Ack::default() })).await;
    let Command::AckResponse(ack) = peer.next().await else { panic!("not an ack response") };
    assert_eq!((ack.request_id, ack.error), (Some(8), None));

    // A command of tomorrow is ignored; the connection lives.
    peer.send_bytes(&[0, 0, 0, 9, 0, 0, 0, 5, 0x08, 90, 0xd2, 0x05, 0]).await;
    for command in [
        Command::CloseProducer(CloseProducer { producer_id: 1, request_id: 9 }),
        Command::CloseConsumer(CloseConsumer { consumer_id: 1, request_id: 9 }),
    ] {
        peer.send(command).await;
        assert_eq!(peer.next().await, Command::Success(Success { request_id: 9 }));
    }
}

#[tokio::test]
async fn topics_of_a_namespace_are_listed() {
    let kit = kit(TopicSettings::default()).await;
    for name in ["b", "a b", "p-partition-0", "x/y/z"] {
        kit.topic(name).await;
    }
    let mut peer = peer(&kit).await;
    let question = |namespace: &str, mode| GetTopicsOfNamespace {
        request_id: 1,
        namespace: namespace.to_owned(),
        mode: Some(mode),
        topics_pattern: None,
    };
    peer.send(Command::GetTopicsOfNamespace(question("public/default", 0))).await;
    let Command::GetTopicsOfNamespaceResponse(response) = peer.next().await else { panic!("not a response") };
    let full = |local: &str| format!("persistent://public/default/{local}");
    assert_eq!(response.topics, [full("a b"), full("b"), full("p-partition-0")]);
    peer.send(Command::GetTopicsOfNamespace(question("public/default", 1))).await;
    let Command::GetTopicsOfNamespaceResponse(response) = peer.next().await else { panic!("not a response") };
    assert!(response.topics.is_empty());
    peer.send(Command::GetTopicsOfNamespace(question("nonsense", 0))).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 17));
}

#[tokio::test]
async fn a_seek_closes_the_consumer_before_success_and_the_reader_finds_its_place() {
    let kit = kit(TopicSettings::default()).await;
    let stored = fill(&kit.topic("t").await, 15).await;
    let mut peer = peer(&kit).await;
    let start = MessageId { ledger_id: NONE, entry_id: NONE, ..MessageId::default() };
    let reader = Subscribe { durable: Some(false), start_message_id: Some(start), ..subscribe("reader") };
    peer.subscribe(reader).await;
    peer.send(Command::Flow(Flow { consumer_id: 1, permits: 2 })).await;
    assert_eq!(peer.message().await.0.message_id.entry_id, 0);
    assert_eq!(peer.message().await.0.message_id.entry_id, 1);
    let id = MessageId { ledger_id: stored[11].ledger_id.0, entry_id: 1, ..MessageId::default() };
    peer.send(Command::Seek(Seek { consumer_id: 1, request_id: 8, message_id: Some(id), publish_time_ms: None })).await;
    assert_eq!(peer.next().await, Command::CloseConsumer(CloseConsumer { consumer_id: 1, request_id: NONE }));
    assert_eq!(peer.next().await, Command::Success(Success { request_id: 8 }));
    peer.subscribe(Subscribe { durable: Some(false), initial_position: Some(0), ..subscribe("reader") }).await;
    peer.send(Command::Flow(Flow { consumer_id: 1, permits: 1000 })).await;
    for expected in &stored[11..] {
        let (message, _) = peer.message().await;
        assert_eq!(
            (message.message_id.ledger_id, message.message_id.entry_id),
            (expected.ledger_id.0, expected.entry_id)
        );
    }
    let neither = Seek { consumer_id: 1, request_id: 9, ..Seek::default() };
    peer.send(Command::Seek(neither)).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 1 && error.request_id == 9));
    let nobody = Seek { consumer_id: 6, request_id: 10, publish_time_ms: Some(1), ..Seek::default() };
    peer.send(Command::Seek(nobody)).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 1 && error.request_id == 10));
}

#[tokio::test]
async fn the_last_message_of_an_empty_topic_is_none_and_of_a_batch_its_last_index() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.subscribe(subscribe("s")).await;
    let question = Command::GetLastMessageId(GetLastMessageId { consumer_id: 1, request_id: 3 });
    peer.send(question.clone()).await;
    let Command::GetLastMessageIdResponse(empty) = peer.next().await else { panic!("not a response") };
    let last = &empty.last_message_id;
    assert_eq!((last.ledger_id, last.entry_id, last.batch_index()), (NONE, NONE, -1));
    assert_eq!(empty.mark_delete_position.map(|id| id.entry_id), Some(NONE));
    peer.produce(5).await;
    for (n, batch) in [(0, None), (1, Some(1)), (2, Some(6))] {
        peer.publish(5, n, &entry(b"x", |metadata| metadata.batch = batch)).await;
        assert!(matches!(peer.next().await, Command::SendReceipt(_)));
        peer.send(question.clone()).await;
        let Command::GetLastMessageIdResponse(response) = peer.next().await else { panic!("not a response") };
        assert_eq!(response.last_message_id.entry_id, n);
        assert_eq!(response.last_message_id.batch_index(), batch.unwrap_or(0) - 1);
    }
}

#[tokio::test]
async fn producers_and_consumers_that_are_there_already_are_confirmed() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.produce(5).await;
    peer.produce(5).await;
    peer.subscribe(subscribe("s")).await;
    peer.subscribe(subscribe("s")).await;
    // A second consumer of an Exclusive subscription, by the same connection.
    let second = Subscribe { consumer_id: 2, ..subscribe("s") };
    peer.send(Command::Subscribe(Box::new(second))).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 5));
    let odd = Subscribe { consumer_id: 3, kind: 9, ..subscribe("odd") };
    peer.send(Command::Subscribe(Box::new(odd))).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 22));
    let unknown = Producer { topic: "t".to_owned(), producer_id: 6, access_mode: Some(9), ..Producer::default() };
    peer.send(Command::Producer(Box::new(unknown))).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 22));
}

#[tokio::test]
async fn an_unloaded_topic_has_its_clients_come_again_and_late_entries_are_ignored() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    peer.produce(5).await;
    peer.subscribe(subscribe("s")).await;
    let name = "t".parse().expect("a valid name");
    assert!(kit.topics.unload(&name).await);
    assert_eq!(peer.next().await, Command::CloseConsumer(CloseConsumer { consumer_id: 1, request_id: NONE }));
    assert_eq!(peer.next().await, Command::CloseProducer(CloseProducer { producer_id: 5, request_id: NONE }));
    peer.publish(5, 1, &entry(b"late", |_| {})).await;
    assert!(peer.is_quiet().await, "the client will send it again");
    peer.produce(5).await;
    peer.publish(5, 1, &entry(b"again", |_| {})).await;
    assert!(matches!(peer.next().await, Command::SendReceipt(receipt) if receipt.sequence_id == 1));
    let topic = kit.topics.load(&name, Missing::Refuse).await.expect("it is there");
    assert_eq!(topic.ledger().count(topic.ledger().first(), topic.ledger().end()), 1);
}

#[tokio::test]
async fn a_lost_connection_takes_its_producers_and_consumers_along() {
    let kit = kit(TopicSettings::default()).await;
    let mut first = peer(&kit).await;
    let named = |request_id| {
        let producer_name = Some("p".to_owned());
        Command::Producer(Box::new(Producer {
            topic: "t".to_owned(),
            request_id,
            producer_name,
            ..Producer::default()
        }))
    };
    first.send(named(1)).await;
    assert!(matches!(first.next().await, Command::ProducerSuccess(success) if success.producer_name == "p"));
    first.subscribe(subscribe("s")).await;
    drop(first);
    let topic = kit.topic("t").await;
    until("nobody is connected", || topic.client_count() == 0).await;
    let mut second = peer(&kit).await;
    second.send(named(2)).await;
    assert!(matches!(second.next().await, Command::ProducerSuccess(_)));
    second.subscribe(subscribe("s")).await;
}

#[tokio::test]
async fn a_name_held_by_a_dead_connection_is_given_up_after_a_ping() {
    let kit = kit(TopicSettings::default()).await;
    let (mut alive, mut newcomer) = (peer(&kit).await, peer(&kit).await);
    let named = || {
        let producer_name = Some("p".to_owned());
        Command::Producer(Box::new(Producer { topic: "t".to_owned(), producer_name, ..Producer::default() }))
    };
    alive.send(named()).await;
    assert!(matches!(alive.next().await, Command::ProducerSuccess(_)));
    newcomer.send(named()).await;
    assert_eq!(alive.next().await, Command::Ping(Empty {}));
    alive.send(Command::Pong(Empty {})).await;
    assert!(matches!(newcomer.next().await, Command::Error(error) if error.error == 16));
    newcomer.send(named()).await;
    assert_eq!(alive.next().await, Command::Ping(Empty {}));
    // This time it does not answer.
    assert!(matches!(newcomer.next().await, Command::ProducerSuccess(_)));
    assert!(alive.is_closed().await);
}

#[tokio::test]
async fn the_end_of_a_topic_is_told_to_java_alone() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let (mut java, _) = peer_with(&kit, settings(), "Pulsar-Java-v4.0.6", 21).await;
    let (mut python, _) = peer_with(&kit, settings(), "Pulsar-CPP-v4.2.0", 20).await;
    java.subscribe(subscribe("java")).await;
    python.subscribe(subscribe("python")).await;
    topic.terminate().await.expect("the store works");
    for peer in [&mut java, &mut python] {
        peer.send(Command::Flow(Flow { consumer_id: 1, permits: 10 })).await;
    }
    assert_eq!(java.next().await, Command::ReachedEndOfTopic(ReachedEndOfTopic { consumer_id: 1 }));
    assert!(python.is_quiet().await);
    java.send(Command::Producer(Box::new(Producer { topic: "t".to_owned(), ..Producer::default() }))).await;
    assert!(matches!(java.next().await, Command::Error(error) if error.error == 15));
}

#[tokio::test]
async fn acknowledgements_and_redeliveries_reach_the_subscription() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 4).await;
    let mut peer = peer(&kit).await;
    peer.subscribe(Subscribe { kind: 1, ..subscribe("s") }).await;
    peer.send(Command::Flow(Flow { consumer_id: 1, permits: 10 })).await;
    for _ in 0..4 {
        peer.message().await;
    }
    let id = |n: usize| MessageId {
        ledger_id: stored[n].ledger_id.0,
        entry_id: stored[n].entry_id,
        // As the Rust client does: a message of a batch without a set means the whole entry.
        batch_index: Some(0),
        ..MessageId::default()
    };
    let beyond = MessageId { ledger_id: i64::MAX as u64, entry_id: NONE, ..MessageId::default() };
    peer.send(Command::Ack(Ack {
        consumer_id: 1,
        message_ids: vec![id(0), id(2), beyond],
        request_id: Some(1),
        ..Ack::default()
    }))
    .await;
    assert!(matches!(peer.next().await, Command::AckResponse(answer) if answer.error.is_none()));
    assert_eq!(topic.stats().subscriptions["s"].backlog_entries, 2);
    peer.send(Command::Redeliver(Redeliver { consumer_id: 1, message_ids: vec![id(0), id(3)], consumer_epoch: None }))
        .await;
    let (message, _) = peer.message().await;
    assert_eq!((message.message_id.entry_id, message.redelivery_count), (stored[3].entry_id, Some(1)));
    peer.send(Command::Unsubscribe(Unsubscribe { consumer_id: 1, request_id: 2, force: None })).await;
    assert_eq!(peer.next().await, Command::Success(Success { request_id: 2 }));
    assert!(topic.subscription("s").is_none());
}

#[tokio::test]
async fn many_connections_share_one_topic() {
    let kit = Arc::new(kit(TopicSettings::default()).await);
    let clients = (0..20u64).map(|n| {
        let kit = kit.clone();
        tokio::spawn(async move {
            let mut peer = peer(&kit).await;
            peer.produce(n).await;
            for sequence_id in 0..10 {
                peer.publish(n, sequence_id, &entry(&n.to_be_bytes(), |_| {})).await;
            }
            for sequence_id in 0..10 {
                let answer = peer.next().await;
                assert!(matches!(answer, Command::SendReceipt(receipt) if receipt.sequence_id == sequence_id));
            }
        })
    });
    for client in futures_util::future::join_all(clients).await {
        client.expect("no client failed");
    }
    let topic = kit.topic("t").await;
    assert_eq!(topic.ledger().count(topic.ledger().first(), topic.ledger().end()), 200);
}

fn connect_with(version: &str, token: Option<Vec<u8>>) -> Command {
    Command::Connect(Box::new(Connect {
        client_version: version.to_owned(),
        protocol_version: Some(21),
        auth_method_name: token.as_ref().map(|_| "token".to_owned()),
        auth_data: token.map(Bytes::from),
        ..Connect::default()
    }))
}

#[tokio::test]
async fn who_is_not_let_in_learns_why_in_the_form_that_the_client_tells() {
    let kit = kit(TopicSettings::default()).await;
    let access = Arc::new(door(&secret_key()).await.unwrap());
    for token in [None, Some(b"forged".to_vec())] {
        let mut java = peer_at(&kit, settings(), access.clone());
        java.send(connect_with("Pulsar-Java-v4.0.6", token.clone())).await;
        let Command::Error(refused) = java.next().await else { panic!("let in") };
        assert_eq!((refused.request_id, refused.error), (u64::MAX, ServerError::Authentication as i32));
        assert!(refused.message.starts_with("Authentication failed: "), "{}", refused.message);
        assert!(java.next_frame().await.is_none(), "the connection stays open");

        // These would take an error for a lost connection.
        for version in ["Pulsar-CPP-v4.2.0", "Pulsar-Go-0.21.0", "pulsar-rs-v6.9.1", "Pulsar-Flex Nodejs Client v0.0.0"]
        {
            let mut other = peer_at(&kit, settings(), access.clone());
            other.send(connect_with(version, token.clone())).await;
            assert!(matches!(other.next().await, Command::Connected(_)), "{version}");
            let question =
                PartitionedMetadata { topic: "t".to_owned(), request_id: 3, ..PartitionedMetadata::default() };
            other.send(Command::PartitionedMetadata(question)).await;
            let Command::PartitionedMetadataResponse(refused) = other.next().await else { panic!("answered") };
            assert_eq!((refused.request_id, refused.error), (3, Some(ServerError::Authentication as i32)));
            let message = refused.message.expect("a reason");
            assert!(message.starts_with("Authentication failed: "), "{message}");
        }
    }
    let mut peer = peer_at(&kit, settings(), access);
    peer.send(connect_with("Pulsar-CPP-v4.2.0", Some(of_secret(serde_json::json!({"sub": "app"}))))).await;
    assert!(matches!(peer.next().await, Command::Connected(_)));
    let question = PartitionedMetadata { topic: "t".to_owned(), request_id: 3, ..PartitionedMetadata::default() };
    peer.send(Command::PartitionedMetadata(question)).await;
    let Command::PartitionedMetadataResponse(answer) = peer.next().await else { panic!("refused") };
    assert_eq!(answer.partitions, Some(0));
}

#[tokio::test]
async fn a_role_without_the_permission_gets_no_producer_and_no_consumer() {
    let kit = kit(TopicSettings::default()).await;
    let access = door(&format!("{}authorizationEnabled=true\nsuperUserRoles=root\n", secret_key())).await.unwrap();
    let access = Arc::new(access);
    for (role, may) in [("app", false), ("root", true)] {
        let mut peer = peer_at(&kit, settings(), access.clone());
        peer.send(connect_with("x", Some(of_secret(serde_json::json!({ "sub": role }))))).await;
        assert!(matches!(peer.next().await, Command::Connected(_)));
        let producer = Producer { topic: "t".to_owned(), producer_id: 1, request_id: 4, ..Producer::default() };
        peer.send(Command::Producer(Box::new(producer))).await;
        match peer.next().await {
            Command::ProducerSuccess(_) => assert!(may),
            Command::Error(refused) => {
                assert!(!may && refused.error == ServerError::Authorization as i32, "{refused:?}");
                assert!(refused.message.contains("role `app` may not produce to"), "{refused:?}");
            }
            other => panic!("{other:?}"),
        }
        peer.send(Command::Subscribe(Box::new(subscribe("s")))).await;
        match peer.next().await {
            Command::Success(_) => assert!(may),
            Command::Error(refused) => assert!(!may && refused.error == ServerError::Authorization as i32),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn a_producer_that_waits_is_told_twice() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    let ask = |producer_id, request_id, access_mode| {
        let topic = "t".to_owned();
        let producer =
            Producer { topic, producer_id, request_id, access_mode: Some(access_mode), ..Producer::default() };
        Command::Producer(Box::new(producer))
    };
    let answer = |command| match command {
        Command::ProducerSuccess(success) => (success.request_id, success.producer_ready(), success.topic_epoch),
        other => panic!("not a producer: {other:?}"),
    };
    peer.send(ask(1, 100, 1)).await;
    assert_eq!(answer(peer.next().await), (100, true, Some(0)));
    peer.send(ask(2, 101, 2)).await;
    assert_eq!(answer(peer.next().await), (101, false, None));
    peer.send(ask(3, 102, 2)).await;
    assert_eq!(answer(peer.next().await), (102, false, None));
    // One that waits may leave.
    peer.send(Command::CloseProducer(CloseProducer { producer_id: 2, request_id: 103 })).await;
    assert_eq!(peer.next().await, Command::Success(Success { request_id: 103 }));
    peer.send(Command::CloseProducer(CloseProducer { producer_id: 1, request_id: 104 })).await;
    let mut answers = [peer.next().await, peer.next().await];
    answers.sort_by_key(|answer| matches!(answer, Command::ProducerSuccess(_)));
    assert_eq!(answers[0], Command::Success(Success { request_id: 104 }));
    assert_eq!(answer(answers[1].clone()), (102, true, Some(1)));
}

fn schema(kind: i32, data: &str) -> Schema {
    Schema { name: "s".to_owned(), data: Bytes::copy_from_slice(data.as_bytes()), kind, properties: Vec::new() }
}

fn avro(fields: &str) -> Schema {
    schema(4, &format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#))
}

#[tokio::test]
async fn schemas_are_kept_by_version_and_told() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    let first = avro(r#"{"name":"a","type":"int"}"#);
    let second = avro(r#"{"name":"a","type":"int"},{"name":"b","type":"int","default":0}"#);
    let breaking = avro(r#"{"name":"c","type":"string"}"#);
    let produce = |producer_id, schema: Option<&Schema>| {
        let (topic, schema) = ("t".to_owned(), schema.cloned());
        let producer = Producer { topic, producer_id, request_id: producer_id, schema, ..Producer::default() };
        Command::Producer(Box::new(producer))
    };
    let version = |command| match command {
        Command::ProducerSuccess(success) => success.schema_version.expect("always there").to_vec(),
        other => panic!("not a producer: {other:?}"),
    };
    for (id, schema, expected) in
        [(1, Some(&first), vec![0; 8]), (2, Some(&second), vec![0, 0, 0, 0, 0, 0, 0, 1]), (3, Some(&first), vec![0; 8])]
    {
        peer.send(produce(id, schema)).await;
        assert_eq!(version(peer.next().await), expected);
    }
    peer.send(produce(4, None)).await;
    assert_eq!(version(peer.next().await), b"", "a producer of bytes is welcome");
    peer.send(produce(5, Some(&breaking))).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 18));

    let ask = |version: Option<&[u8]>| {
        let schema_version = version.map(Bytes::copy_from_slice);
        Command::GetSchema(GetSchema { request_id: 9, topic: "t-partition-3".to_owned(), schema_version })
    };
    for (wanted, found) in [(None, &second), (Some(&[0; 8][..]), &first)] {
        peer.send(ask(wanted)).await;
        let Command::GetSchemaResponse(response) = peer.next().await else { panic!("not a schema response") };
        let schema = response.schema.expect("it is known");
        assert_eq!((schema.name.as_str(), schema.kind, &schema.data), ("public/default/t", 4, &found.data));
    }
    for (wanted, code) in [(&b""[..], 18), (&[0, 0, 0, 0, 0, 0, 0, 7], 11), (b"odd", 11)] {
        peer.send(ask(Some(wanted))).await;
        let Command::GetSchemaResponse(response) = peer.next().await else { panic!("not a schema response") };
        assert_eq!(response.error, Some(code), "{wanted:?}");
    }
    let create = GetOrCreateSchema { request_id: 3, topic: "t".to_owned(), schema: second.clone() };
    peer.send(Command::GetOrCreateSchema(create)).await;
    let Command::GetOrCreateSchemaResponse(response) = peer.next().await else { panic!("not a schema response") };
    assert_eq!((response.error, response.schema_version.as_deref()), (None, Some(&[0, 0, 0, 0, 0, 0, 0, 1][..])));
    let create = GetOrCreateSchema { request_id: 3, topic: "absent".to_owned(), schema: second };
    peer.send(Command::GetOrCreateSchema(create)).await;
    let Command::GetOrCreateSchemaResponse(response) = peer.next().await else { panic!("not a schema response") };
    assert_eq!(response.error, Some(11));
}

#[tokio::test]
async fn a_consumers_schema_must_read_what_the_topic_has() {
    let kit = kit(TopicSettings::default()).await;
    let mut peer = peer(&kit).await;
    let with = |consumer_id, topic: &str, schema| Subscribe {
        topic: topic.to_owned(),
        consumer_id,
        request_id: consumer_id,
        schema: Some(schema),
        ..subscribe(&format!("s{consumer_id}"))
    };
    // The first client of an empty topic says what it is.
    peer.subscribe(with(1, "t", schema(1, ""))).await;
    peer.subscribe(with(2, "t", schema(1, "null"))).await;
    peer.subscribe(with(3, "t", schema(21, ""))).await;
    peer.send(Command::Subscribe(Box::new(with(4, "t", schema(9, ""))))).await;
    assert!(matches!(peer.next().await, Command::Error(error) if error.error == 18));
    fill(&kit.topic("full").await, 1).await;
    peer.send(Command::Subscribe(Box::new(with(5, "full", schema(1, ""))))).await;
    let Command::Error(error) = peer.next().await else { panic!("a schema where none can be checked") };
    assert_eq!((error.error, error.message.as_str()), (18, "Topic does not have schema to check"));
}
