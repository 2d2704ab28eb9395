//! The largest and the smallest entries, and the offloads that have nothing to copy, as the original answers them.

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, BytesMut};
use longshore::client::{BatchLimits, Client, ClientError, ProducerOptions};
use longshore::protocol::command::{Command, Connect, Producer, Send};
use longshore::protocol::frame;
use longshore_tests::broker::BrokerProcess;
use longshore_tests::rig::{PATIENCE, Rig, Topic, ask, check_life};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// The largest message with its metadata that the broker takes.
const MESSAGE_MAX: usize = 5 << 20;
/// The largest frame without its own size field.
const FRAME_MAX: usize = MESSAGE_MAX + frame::FRAME_PADDING_BYTES;

fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

/// Sends a payload that makes the largest message which the client may send; answers its length.
async fn send_largest(broker: &BrokerProcess, topic: Topic, seed: u64, batch: Option<BatchLimits>) -> Result<usize> {
    let client = Client::connect(&broker.service_url).await?;
    let options = ProducerOptions { batch, ..ProducerOptions::default() };
    let mut producer = client.producer(&topic.name(), options).await?;
    let over = match producer.send(&noise(seed, MESSAGE_MAX)).await {
        Ok(_) => 0,
        Err(ClientError::TooLarge { size, limit }) => {
            ensure!(limit == MESSAGE_MAX, "the broker told its clients {limit}");
            size - limit
        }
        Err(error) => return Err(error.into()),
    };
    let len = MESSAGE_MAX - over;
    if over > 0 {
        let refused = producer.send(&noise(seed, len + 1)).await.map(|_| ());
        ensure!(matches!(refused, Err(ClientError::TooLarge { .. })), "one byte more was sent: {refused:?}");
        producer.send(&noise(seed, len)).await?;
    }
    tokio::time::timeout(PATIENCE, producer.close()).await.context("produce hangs")??;
    Ok(len)
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_of_the_largest_size_and_of_none_come_back_from_the_cold_tier() -> Result<()> {
    let topic = Topic("sizes");
    let mut rig = Rig::new()?;
    rig.set("managedLedgerMaxEntriesPerLedger", "4");
    let broker = rig.start()?;
    let single = send_largest(&broker, topic, 1, None).await?;
    topic.send(&broker, [Vec::new()]).await?;
    let batched =
        send_largest(&broker, topic, 2, Some(BatchLimits { messages_max: 1, ..BatchLimits::default() })).await?;
    topic.send(&broker, [Vec::new(), Vec::new(), b"open".to_vec()]).await?;
    let sent = [noise(1, single), Vec::new(), noise(2, batched), Vec::new(), Vec::new(), b"open".to_vec()];
    ensure!(single > MESSAGE_MAX - 200 && batched > MESSAGE_MAX - 200, "{single} and {batched} are not the largest");

    topic.must_offload(&broker)?;
    let first = topic.ledgers(&broker)?[0].clone();
    ensure!(first.closed && first.entries == 4, "{first:?}");
    topic.cool(&broker, &[first.id])?;
    ensure!(!rig.hot_file(first.id).exists(), "the hot copy is there");
    broker.stop()?;

    let broker = rig.start()?;
    let found = topic.read(&broker, sent.len(), PATIENCE).await?;
    ensure!(found.len() == sent.len(), "{} messages of {}", found.len(), sent.len());
    for (i, (found, sent)) in found.iter().zip(&sent).enumerate() {
        ensure!(found == sent, "message {i} of {} bytes came back with {} others", sent.len(), found.len());
    }
    broker.stop()
}

/// A client that minds no limit but the one it is told.
struct RawProducer {
    stream: TcpStream,
    buffer: BytesMut,
}

impl RawProducer {
    async fn open(broker: &BrokerProcess, topic: Topic) -> Result<Self> {
        let address = broker.service_url.trim_start_matches("pulsar://");
        let mut raw = Self { stream: TcpStream::connect(address).await?, buffer: BytesMut::new() };
        let mut out = BytesMut::new();
        let connect = Connect { client_version: "raw".to_owned(), protocol_version: Some(19), ..Connect::default() };
        frame::put(Command::Connect(Box::new(connect)), &mut out);
        let producer = Producer { topic: topic.name(), producer_id: 1, request_id: 1, ..Producer::default() };
        frame::put(Command::Producer(Box::new(producer)), &mut out);
        raw.stream.write_all(&out).await?;
        ensure!(raw.answer().await?.as_deref() == Some("Connected"), "the greeting");
        ensure!(raw.answer().await?.as_deref() == Some("ProducerSuccess"), "the producer");
        Ok(raw)
    }

    /// The next command's name; `None` where the broker closes.
    async fn answer(&mut self) -> Result<Option<String>> {
        loop {
            if let Some(found) = frame::take(&mut self.buffer, FRAME_MAX)? {
                return Ok(found.command.command.map(|command| command.name().to_owned()));
            }
            let read = tokio::time::timeout(PATIENCE, self.stream.read_buf(&mut self.buffer)).await?;
            if read.unwrap_or(0) == 0 {
                return Ok(None);
            }
        }
    }

    /// Sends one entry in a frame of `frame_bytes` without its own size field; answers the payload.
    async fn send(&mut self, sequence_id: u64, frame_bytes: usize) -> Result<Vec<u8>> {
        // `MessageMetadata`: producer_name = 1, sequence_id = 2, publish_time = 3; without a checksum, as the format allows.
        let metadata = [b"\x0a\x03raw\x10".as_slice(), &[sequence_id as u8], b"\x18\x01"].concat();
        let send = || Command::Send(Send { producer_id: 1, sequence_id, ..Send::default() });
        let mut head = BytesMut::new();
        frame::put_before_payload(send(), 0, &mut head);
        let entry_bytes = frame_bytes + 4 - head.len();
        let payload = noise(sequence_id, entry_bytes - 4 - metadata.len());
        let mut out = BytesMut::with_capacity(frame_bytes + 4);
        frame::put_before_payload(send(), entry_bytes, &mut out);
        out.put_u32(metadata.len() as u32);
        out.put_slice(&metadata);
        out.put_slice(&payload);
        ensure!(out.len() == frame_bytes + 4, "the frame has {} bytes", out.len());
        // A broker that refuses by the size alone closes before it has read everything.
        let _ = self.stream.write_all(&out).await;
        Ok(payload)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_frame_is_kept_and_offloaded_and_a_larger_one_ends_its_connection() -> Result<()> {
    let topic = Topic("frames");
    let mut rig = Rig::new()?;
    rig.set("managedLedgerMaxEntriesPerLedger", "1");
    let broker = rig.start()?;
    let mut raw = RawProducer::open(&broker, topic).await?;
    let sent = raw.send(1, FRAME_MAX).await?;
    ensure!(raw.answer().await?.as_deref() == Some("SendReceipt"), "the largest frame is taken");
    raw.send(2, FRAME_MAX + 1).await?;
    ensure!(raw.answer().await?.is_none(), "a larger frame ends the connection");
    check_life(&broker, Topic("alive")).await?;

    topic.fill(&broker, 0..1).await?;
    topic.must_offload(&broker)?;
    let first = topic.ledgers(&broker)?[0].clone();
    topic.cool(&broker, &[first.id])?;
    let path = format!("{}/admin/v2{}/ledger/{}/entry/0", broker.web_url, topic.path(), first.id);
    let found = ureq::get(path).call()?.body_mut().with_config().limit(FRAME_MAX as u64).read_to_vec()?;
    ensure!(found == sent, "{} bytes came back, {} were sent", found.len(), sent.len());
    broker.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn offloads_of_nothing_answer_as_the_original_does() -> Result<()> {
    let rig = Rig::new()?;
    let broker = rig.start()?;

    let empty = Topic("empty");
    ensure!(ask(&broker, "PUT", &empty.path(), "")?.status == 204, "the topic is made");
    let open = empty.ledgers(&broker)?[0].id as i64;
    let status = empty.offload_before(&broker, open, 0)?;
    ensure!(status["status"] == "SUCCESS" && status["lastError"] == "", "an empty topic: {status}");
    ensure!(status["firstUnoffloadedMessage"]["ledgerId"] == open, "{status}");

    let young = Topic("young");
    young.fill(&broker, 0..3).await?;
    let open = young.ledgers(&broker)?[0].id as i64;
    for entry_id in [0, 2] {
        let status = young.offload_before(&broker, open, entry_id)?;
        ensure!(status["status"] == "SUCCESS", "the open ledger alone: {status}");
        ensure!(status["firstUnoffloadedMessage"]["ledgerId"] == open, "{status}");
        ensure!(status["firstUnoffloadedMessage"]["entryId"] == 0, "{status}");
    }
    ensure!(young.ledgers(&broker)?[0].place == "hot", "the open ledger was copied");

    for (ledger_id, entry_id) in [(999_999, 0), (open, 100), (-1, -1)] {
        let status = young.offload_before(&broker, ledger_id, entry_id)?;
        let text = status["lastError"].as_str().context("lastError")?;
        let expected = "org.apache.bookkeeper.mledger.ManagedLedgerException$InvalidCursorPositionException: \
                        Invalid position for offload: ";
        ensure!(status["status"] == "ERROR" && text.starts_with(expected), "{ledger_id}:{entry_id}: {status}");
        ensure!(text.ends_with(&format!("{ledger_id}:{entry_id}")), "{text}");
    }
    // A failed offload leaves nothing behind: the next one works.
    young.fill(&broker, 3..15).await?;
    young.must_offload(&broker)?;
    broker.stop()
}
