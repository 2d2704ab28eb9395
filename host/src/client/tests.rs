//! The client against a broker of a hundred lines that keeps entries in a `Vec` and can be told to misbehave.

use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::protocol::command::{
    Ack, Connected, Empty, Flow, GetLastMessageIdResponse, LookupResponse, Message, PartitionedMetadataResponse,
    ProducerSuccess, SendError, SendReceipt, ServerError, Subscribe, Success,
};
use crate::protocol::frame::{self, Frame};

const LEDGER: u64 = 7;
const MESSAGE_SIZE_MAX: i32 = 100_000;

/// What the broker does beside its duty.
#[derive(Clone, Copy, Default)]
pub(crate) struct Misbehaviour {
    partitions: u32,
    refuse_producers: bool,
    fail_send: Option<u64>,
    swap_receipts: bool,
    flip_a_bit: bool,
    more_than_permits: bool,
    hang_up_on_send: bool,
}

#[derive(Default)]
struct Log {
    entries: Vec<Bytes>,
    acks: Vec<Ack>,
    pongs: usize,
    flows: Vec<u32>,
}

/// Keeps the entries of all topics in one list.
pub(crate) struct FakeBroker {
    pub(crate) url: String,
    log: Arc<Mutex<Log>>,
}

impl FakeBroker {
    pub(crate) async fn start(misbehaviour: Misbehaviour) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("pulsar://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Log::default()));
        let (log_of_task, url_of_task) = (Arc::clone(&log), url.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (log, url) = (Arc::clone(&log_of_task), url_of_task.clone());
                tokio::spawn(
                    async move { Session { stream, log, url, misbehaviour, held: None, sent: 0 }.serve().await },
                );
            }
        });
        Self { url, log }
    }

    fn entries(&self) -> usize {
        self.log.lock().unwrap().entries.len()
    }
}

struct Session {
    stream: TcpStream,
    log: Arc<Mutex<Log>>,
    url: String,
    misbehaviour: Misbehaviour,
    held: Option<Command>,
    sent: usize,
}

impl Session {
    async fn serve(mut self) {
        let mut buffer = BytesMut::new();
        loop {
            while let Ok(Some(frame)) = frame::take(&mut buffer, 1 << 20) {
                let mut out = BytesMut::new();
                if !self.answer(frame, &mut out) {
                    return;
                }
                self.stream.write_all(&out).await.unwrap();
            }
            if !matches!(self.stream.read_buf(&mut buffer).await, Ok(1..)) {
                return;
            }
        }
    }

    fn answer(&mut self, frame: Frame, out: &mut BytesMut) -> bool {
        let topic_url = self.url.clone();
        match frame.command.command.unwrap() {
            Command::Connect(_) => {
                let connected = Connected { max_message_size: Some(MESSAGE_SIZE_MAX), ..Connected::default() };
                frame::put(Command::Connected(Connected { server_version: "fake".to_owned(), ..connected }), out);
                frame::put(Command::Ping(Empty {}), out);
            }
            Command::Pong(_) => self.log.lock().unwrap().pongs += 1,
            Command::PartitionedMetadata(ask) => {
                let partitions = Some(self.misbehaviour.partitions);
                let answer =
                    PartitionedMetadataResponse { partitions, request_id: ask.request_id, ..Default::default() };
                frame::put(Command::PartitionedMetadataResponse(answer), out);
            }
            Command::Lookup(ask) => {
                let answer = LookupResponse {
                    broker_service_url: Some(topic_url),
                    response: Some(1),
                    request_id: ask.request_id,
                    ..LookupResponse::default()
                };
                frame::put(Command::LookupResponse(answer), out);
            }
            Command::Producer(ask) if self.misbehaviour.refuse_producers => {
                let (request_id, error) = (ask.request_id, ServerError::ProducerBusy as i32);
                let message = "somebody has that name".to_owned();
                frame::put(Command::Error(crate::protocol::command::CommandError { request_id, error, message }), out);
            }
            Command::Producer(ask) => {
                let producer_name = ask.producer_name.unwrap_or_else(|| "made-1".to_owned());
                let answer =
                    ProducerSuccess { request_id: ask.request_id, producer_name, ..ProducerSuccess::default() };
                frame::put(Command::ProducerSuccess(answer), out);
            }
            Command::Send(send) => return self.store(&send, frame.payload, out),
            Command::Subscribe(ask) => self.subscribed(&ask, out),
            Command::Flow(flow) => self.deliver(&flow, out),
            Command::Ack(ack) => self.log.lock().unwrap().acks.push(ack),
            Command::GetLastMessageId(ask) => {
                let entry_id = (self.log.lock().unwrap().entries.len() as u64).checked_sub(1);
                let id = entry_id.map_or((NONE, NONE), |entry_id| (LEDGER, entry_id));
                let answer = GetLastMessageIdResponse {
                    last_message_id: wire_id(id.0, id.1),
                    request_id: ask.request_id,
                    ..Default::default()
                };
                frame::put(Command::GetLastMessageIdResponse(answer), out);
            }
            Command::CloseProducer(close) => {
                frame::put(Command::Success(Success { request_id: close.request_id }), out)
            }
            Command::CloseConsumer(close) => {
                frame::put(Command::Success(Success { request_id: close.request_id }), out)
            }
            other => panic!("{} was not expected", other.name()),
        }
        true
    }

    fn store(&mut self, send: &crate::protocol::command::Send, entry: Bytes, out: &mut BytesMut) -> bool {
        if self.misbehaviour.hang_up_on_send {
            return false;
        }
        crate::protocol::checksum::verify(&entry).unwrap();
        if self.misbehaviour.fail_send == Some(send.sequence_id) {
            let error = SendError {
                producer_id: send.producer_id,
                sequence_id: send.sequence_id,
                error: ServerError::Persistence as i32,
                message: "disk full".to_owned(),
            };
            frame::put(Command::SendError(error), out);
            return true;
        }
        let mut log = self.log.lock().unwrap();
        let receipt = Command::SendReceipt(SendReceipt {
            producer_id: send.producer_id,
            sequence_id: send.sequence_id,
            message_id: Some(wire_id(LEDGER, log.entries.len() as u64)),
            highest_sequence_id: send.highest_sequence_id,
        });
        log.entries.push(entry);
        match (self.misbehaviour.swap_receipts, self.held.take()) {
            (true, None) => self.held = Some(receipt),
            (_, held) => {
                frame::put(receipt, out);
                held.into_iter().for_each(|held| frame::put(held, out));
            }
        }
        true
    }

    fn subscribed(&mut self, ask: &Subscribe, out: &mut BytesMut) {
        self.sent = ask.start_message_id.as_ref().map_or(0, |id| match id.entry_id {
            NONE => 0,
            entry_id => (entry_id as usize).min(self.log.lock().unwrap().entries.len()),
        });
        frame::put(Command::Success(Success { request_id: ask.request_id }), out);
    }

    fn deliver(&mut self, flow: &Flow, out: &mut BytesMut) {
        let mut log = self.log.lock().unwrap();
        log.flows.push(flow.permits);
        let mut permits = i64::from(flow.permits);
        while (permits > 0 || self.misbehaviour.more_than_permits) && self.sent < log.entries.len() {
            let mut entry = log.entries[self.sent].to_vec();
            permits -= i64::from(crate::topic::message::MessageView::of(&entry).unwrap().messages());
            if self.misbehaviour.flip_a_bit {
                *entry.last_mut().unwrap() ^= 1;
            }
            let message_id = wire_id(LEDGER, self.sent as u64);
            let message = Message { consumer_id: flow.consumer_id, message_id, ..Message::default() };
            frame::put_before_payload(Command::Message(message), entry.len(), out);
            out.extend_from_slice(&entry);
            self.sent += 1;
        }
    }
}

fn wire_id(ledger_id: u64, entry_id: u64) -> crate::protocol::command::MessageId {
    crate::protocol::command::MessageId { ledger_id, entry_id, ..Default::default() }
}

fn id(entry_id: u64, batch_index: Option<u32>) -> MessageId {
    MessageId { ledger_id: LEDGER, entry_id, batch_index }
}

fn batches_of(messages_max: usize) -> ProducerOptions {
    ProducerOptions { batch: Some(BatchLimits { messages_max, ..BatchLimits::default() }), ..Default::default() }
}

async fn produce(client: &Client, options: ProducerOptions, count: u32) -> Vec<MessageId> {
    let mut producer = client.producer("t", options).await.unwrap();
    let mut receipts = Vec::new();
    for number in 0..count {
        receipts.push(producer.send(&number.to_be_bytes()).await.unwrap());
    }
    producer.flush().await.unwrap();
    let mut ids = Vec::new();
    for receipt in receipts {
        ids.push(receipt.message_id().await.unwrap());
    }
    producer.close().await.unwrap();
    ids
}

#[tokio::test]
async fn what_is_sent_comes_back_in_order_single_and_in_batches() {
    let broker = FakeBroker::start(Misbehaviour::default()).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let ids = produce(&client, ProducerOptions { in_flight_max: 3, ..Default::default() }, 50).await;
    assert_eq!(ids, (0..50).map(|entry| id(entry, None)).collect::<Vec<_>>());
    let ids = produce(&client, batches_of(20), 50).await;
    assert_eq!(
        (ids[0], ids[19], ids[20], ids[49]),
        (id(50, Some(0)), id(50, Some(19)), id(51, Some(0)), id(52, Some(9)))
    );
    assert_eq!(broker.entries(), 53);

    let mut reader =
        client.consumer("t", ConsumerOptions { queue: 8, ..ConsumerOptions::reader(Start::Earliest) }).await.unwrap();
    for number in (0..50u32).chain(0..50) {
        let message = reader.receive().await.unwrap();
        assert_eq!(message.payload[..], number.to_be_bytes());
    }
    assert_eq!(reader.last_message_id().await.unwrap(), Some(id(52, None)));
    reader.close().await.unwrap();
    let log = broker.log.lock().unwrap();
    assert_eq!(log.pongs, 1, "a ping is answered");
    assert_eq!(log.flows[0], 8);
    assert!(log.flows[1..].iter().all(|permits| *permits == 4), "{:?}", log.flows);
    assert!(log.acks.is_empty(), "a reader acknowledges nothing");
}

#[tokio::test]
async fn a_batch_never_exceeds_what_the_broker_takes() {
    let broker = FakeBroker::start(Misbehaviour::default()).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let limits = BatchLimits { messages_max: 1000, size_max_bytes: usize::MAX };
    let options = ProducerOptions { batch: Some(limits), ..Default::default() };
    let mut producer = client.producer("t", options).await.unwrap();
    for _ in 0..250 {
        producer.send(&[7; 1000]).await.unwrap();
    }
    assert!(matches!(producer.send(&[7; MESSAGE_SIZE_MAX as usize]).await.err(), Some(ClientError::TooLarge { .. })));
    producer.close().await.unwrap();
    assert_eq!(broker.entries(), 3);
    let mut reader = client.consumer("t", ConsumerOptions::reader(Start::Earliest)).await.unwrap();
    for _ in 0..250 {
        assert_eq!(reader.receive().await.unwrap().payload[..], [7; 1000]);
    }
}

#[tokio::test]
async fn messages_of_a_batch_have_one_key_which_is_its_own() {
    let broker = FakeBroker::start(Misbehaviour::default()).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let mut producer = client.producer("t", batches_of(2)).await.unwrap();
    for key in [None, Some("a"), Some("a"), Some("a"), Some("b"), None] {
        producer.send_message(Outgoing { payload: b"x", key, properties: &[] }).await.unwrap();
    }
    producer.close().await.unwrap();
    let entries = broker.log.lock().unwrap().entries.clone();
    let views = entries.iter().map(|entry| crate::topic::message::MessageView::of(entry).unwrap());
    let found: Vec<_> = views.map(|view| (view.partition_key, view.messages())).collect();
    assert_eq!(found, [(None, 1), (Some("a"), 2), (Some("a"), 1), (Some("b"), 1), (None, 1)]);
}

#[tokio::test]
async fn batches_are_acknowledged_when_all_their_messages_are() {
    let broker = FakeBroker::start(Misbehaviour::default()).await;
    let client = Client::connect(&broker.url).await.unwrap();
    produce(&client, batches_of(3), 6).await;
    let mut consumer = client.consumer("t", ConsumerOptions::subscription("s")).await.unwrap();
    let mut ids = Vec::new();
    for _ in 0..6 {
        ids.push(consumer.receive().await.unwrap().id);
    }
    for place in [2, 0, 0, 1] {
        consumer.ack(ids[place]).await;
    }
    consumer.ack_cumulative(ids[4]).await;
    consumer.ack_cumulative(ids[5]).await;
    consumer.close().await.unwrap();
    let log = broker.log.lock().unwrap();
    let acks: Vec<(i32, u64)> = log.acks.iter().map(|ack| (ack.kind, ack.message_ids[0].entry_id)).collect();
    assert_eq!(acks, [(0, 0), (1, 0), (1, 1)], "entry 0 once, then up to it, then up to the last");
}

#[tokio::test]
async fn a_failed_message_fails_alone_and_flush_tells_it() {
    let broker = FakeBroker::start(Misbehaviour { fail_send: Some(1), ..Default::default() }).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let mut producer = client.producer("t", ProducerOptions::default()).await.unwrap();
    let receipts =
        [producer.send(b"a").await.unwrap(), producer.send(b"b").await.unwrap(), producer.send(b"c").await.unwrap()];
    let failure = producer.flush().await.unwrap_err();
    assert_eq!(failure.to_string(), "the broker refused to store a message: disk full (error 2)");
    assert_eq!(producer.flush().await, Ok(()));
    let [a, b, c] = receipts;
    assert_eq!(a.message_id().await, Ok(id(0, None)));
    assert_eq!(b.message_id().await, Err(failure));
    assert_eq!(c.message_id().await, Ok(id(1, None)));
}

#[tokio::test]
async fn a_broker_that_breaks_the_protocol_ends_the_connection() {
    let broker = FakeBroker::start(Misbehaviour { swap_receipts: true, ..Default::default() }).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let mut producer = client.producer("t", ProducerOptions::default()).await.unwrap();
    producer.send(b"a").await.unwrap();
    producer.send(b"b").await.unwrap();
    let error = producer.flush().await.unwrap_err().to_string();
    assert!(error.contains("answered message 1 before message 0"), "{error}");

    let broker = FakeBroker::start(Misbehaviour { more_than_permits: true, ..Default::default() }).await;
    let client = Client::connect(&broker.url).await.unwrap();
    produce(&client, ProducerOptions::default(), 10).await;
    let options = ConsumerOptions { queue: 2, ..ConsumerOptions::reader(Start::Earliest) };
    let mut reader = client.consumer("t", options).await.unwrap();
    let error = loop {
        if let Err(error) = reader.receive().await {
            break error.to_string();
        }
    };
    assert!(error.contains("more messages than were asked for"), "{error}");
}

#[tokio::test]
async fn a_lost_connection_fails_everything_that_waits_and_says_so() {
    let broker = FakeBroker::start(Misbehaviour { hang_up_on_send: true, ..Default::default() }).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let mut producer = client.producer("t", ProducerOptions { in_flight_max: 1, ..Default::default() }).await.unwrap();
    let receipt = producer.send(b"a").await.unwrap();
    let error = receipt.message_id().await.unwrap_err().to_string();
    assert!(error.starts_with("1 messages were not acknowledged: "), "{error}");
    assert!(matches!(producer.flush().await, Err(ClientError::Closed(_))));
    assert!(matches!(producer.send(b"b").await, Err(ClientError::Closed(_))));
    assert!(matches!(client.producer("t", ProducerOptions::default()).await, Err(ClientError::Closed(_))));
}

#[tokio::test]
async fn damaged_messages_are_refused_with_their_id() {
    let broker = FakeBroker::start(Misbehaviour { flip_a_bit: true, ..Default::default() }).await;
    let client = Client::connect(&broker.url).await.unwrap();
    produce(&client, ProducerOptions::default(), 1).await;
    let mut reader = client.consumer("t", ConsumerOptions::reader(Start::Earliest)).await.unwrap();
    let error = reader.receive().await.unwrap_err();
    assert!(matches!(&error, ClientError::Corrupt { id: damaged, .. } if *damaged == id(0, None)), "{error}");
}

#[tokio::test]
async fn refusals_are_told() {
    let busy = FakeBroker::start(Misbehaviour { refuse_producers: true, ..Default::default() }).await;
    let client = Client::connect(&busy.url).await.unwrap();
    let error = client.producer("t", ProducerOptions::default()).await.err().unwrap();
    assert_eq!(error.to_string(), "the broker refused to open a producer: somebody has that name (error 16)");

    let partitioned = FakeBroker::start(Misbehaviour { partitions: 3, ..Default::default() }).await;
    let client = Client::connect(&partitioned.url).await.unwrap();
    let error = client.producer("t", ProducerOptions::default()).await.err().unwrap();
    assert_eq!(error.to_string(), "t has 3 partitions; name one of them, such as t-partition-0");

    let broker = FakeBroker::start(Misbehaviour::default()).await;
    let client = Client::connect(&broker.url).await.unwrap();
    let mut producer = client.producer("t", ProducerOptions::default()).await.unwrap();
    let too_large = producer.send(&vec![0; MESSAGE_SIZE_MAX as usize]).await.err().unwrap();
    assert!(matches!(too_large, ClientError::TooLarge { limit: 100_000, .. }), "{too_large}");
    producer.send(b"small").await.expect("the producer goes on");
    producer.close().await.expect("and has given its place back");
}

#[tokio::test]
async fn nobody_there_is_a_clear_error() {
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = Client::connect(&format!("pulsar://{free}")).await.err().unwrap().to_string();
    assert!(error.contains(&free.to_string()) && error.contains("is the broker running?"), "{error}");
}

#[test]
fn urls_and_ids_are_parsed() {
    assert_eq!("7:3".parse(), Ok(id(3, None)));
    assert_eq!("7:3:2".parse(), Ok(id(3, Some(2))));
    assert_eq!(id(3, Some(2)).to_string(), "7:3:2");
    for text in ["", "7", "7:x", "-1:0", "1:2:3:4", "1:2:99999999999"] {
        assert!(text.parse::<MessageId>().is_err(), "{text}");
    }
}

#[test]
fn damaged_entries_never_panic() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut batch = BytesMut::new();
    for number in 0..5u64 {
        let message = Outgoing { payload: &[number as u8; 10], ..Outgoing::default() };
        entry::put_single(number, &message, &mut batch);
    }
    let metadata =
        entry::Metadata { num_messages_in_batch: Some(5), producer_name: "p".to_owned(), ..Default::default() };
    let mut frame_bytes = BytesMut::new();
    entry::put(Default::default(), &metadata, &batch, &mut frame_bytes);
    let good = frame::take(&mut frame_bytes, 1 << 20).unwrap().unwrap().payload;
    assert_eq!(entry::unpack(&wire_id(1, 2), 0, &[0b11100], &good).unwrap().len(), 3);
    for _ in 0..20_000 {
        // Without its checksum section, so that the damage is met further in.
        let mut bad = good[6..].to_vec();
        for _ in 0..random.usize(1..5) {
            let at = random.usize(0..bad.len());
            bad[at] = random.u8(..);
        }
        bad.truncate(random.usize(0..=bad.len()));
        if let Ok(messages) = entry::unpack(&wire_id(1, 2), 0, &[], &Bytes::from(bad)) {
            assert!(messages.len() <= good.len());
        }
    }
}
