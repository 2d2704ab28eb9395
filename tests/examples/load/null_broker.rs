//! A broker that keeps nothing: every entry gets its receipt in the moment in which it was read, every permit the largest
//! entry that any client has sent. What a client reaches here it can reach nowhere else.
//!
//! One task for each connection: it reads what there is, answers all of it, and writes the answers in one piece. Any HTTP
//! request is answered with the counters, by the names that a topic's stats have.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use bytes::{Bytes, BytesMut};
use longshore::protocol::command::{
    Command, Connected, Empty, GetLastMessageIdResponse, LookupResponse, Message, MessageId,
    PartitionedMetadataResponse, ProducerSuccess, SendReceipt, Success,
};
use longshore::protocol::frame::{self, FRAME_PADDING_BYTES};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MESSAGE_BYTES_MAX: usize = 5 << 20;
const READ_BYTES: usize = 256 << 10;
/// Bytes of messages that are written in one piece.
const WRITE_BYTES: usize = 256 << 10;
/// The newest protocol that is spoken here.
const PROTOCOL_VERSION: i32 = 21;
const LOOKUP_CONNECT: i32 = 1;
const LEDGER: u64 = 1;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Where clients connect, on 127.0.0.1.
    #[arg(long)]
    port: u16,
    /// Where the counters are told.
    #[arg(long)]
    web_port: u16,
}

/// What all connections share.
struct Shared {
    url: String,
    messages_in: AtomicU64,
    messages_out: AtomicU64,
    /// The largest entry so far, and its messages.
    largest: Mutex<(Bytes, u32)>,
}

pub(crate) async fn run(arguments: &Arguments) -> Result<()> {
    let clients = TcpListener::bind(("127.0.0.1", arguments.port)).await.context("listen for clients")?;
    let web = TcpListener::bind(("127.0.0.1", arguments.web_port)).await.context("listen for questions")?;
    let shared = Arc::new(Shared {
        url: format!("pulsar://127.0.0.1:{}", arguments.port),
        messages_in: AtomicU64::new(0),
        messages_out: AtomicU64::new(0),
        largest: Mutex::default(),
    });
    tokio::spawn(tell(web, shared.clone()));
    loop {
        let (socket, _) = clients.accept().await.context("accept a client")?;
        let client = Client { shared: shared.clone(), next_entry: 0, consumer: None, out: BytesMut::new() };
        tokio::spawn(async move {
            if let Err(error) = client.serve(socket).await {
                eprintln!("null broker: {error:#}");
            }
        });
    }
}

async fn tell(web: TcpListener, shared: Arc<Shared>) -> Result<()> {
    loop {
        let (mut socket, _) = web.accept().await?;
        let (sent, received) = (shared.messages_in.load(Relaxed), shared.messages_out.load(Relaxed));
        let body = format!("{{\"msgInCounter\":{sent},\"msgOutCounter\":{received}}}");
        let length = body.len();
        // Whoever asks has sent its whole question with its first bytes.
        let mut question = [0; 4096];
        let _ = socket.read(&mut question).await;
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
        let _ = socket.write_all(format!("{head}Content-Length: {length}\r\n\r\n{body}").as_bytes()).await;
    }
}

/// One connection.
struct Client {
    shared: Arc<Shared>,
    next_entry: u64,
    /// The consumer that was last given permits, and its permits; a batch may take more than are left.
    consumer: Option<(u64, i64)>,
    out: BytesMut,
}

impl Client {
    async fn serve(mut self, mut socket: TcpStream) -> Result<()> {
        socket.set_nodelay(true)?;
        let mut buffer = BytesMut::new();
        loop {
            while let Some(frame) = frame::take(&mut buffer, MESSAGE_BYTES_MAX + FRAME_PADDING_BYTES)? {
                if let Some(command) = frame.command.command {
                    self.answer(command, frame.payload)?;
                }
            }
            self.deliver();
            if !self.out.is_empty() {
                socket.write_all(&self.out).await?;
                self.out.clear();
            }
            let may_wait = !self.may_deliver();
            buffer.reserve(READ_BYTES);
            if may_wait {
                if socket.read_buf(&mut buffer).await? == 0 {
                    return Ok(());
                }
            } else if let Ok(0) = socket.try_read_buf(&mut buffer) {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, command: Command, payload: Bytes) -> Result<()> {
        let answer = match command {
            Command::Send(send) => {
                let messages = send.num_messages().max(1) as u32;
                self.keep_largest(payload, messages);
                self.shared.messages_in.fetch_add(u64::from(messages), Relaxed);
                Command::SendReceipt(SendReceipt {
                    producer_id: send.producer_id,
                    sequence_id: send.sequence_id,
                    message_id: Some(self.next_id()),
                    highest_sequence_id: send.highest_sequence_id,
                })
            }
            Command::Flow(flow) => {
                let left = self.consumer.filter(|(id, _)| *id == flow.consumer_id).map_or(0, |(_, left)| left);
                self.consumer = Some((flow.consumer_id, left + i64::from(flow.permits)));
                return Ok(());
            }
            Command::Connect(connect) => Command::Connected(Connected {
                server_version: "null".to_owned(),
                protocol_version: Some(connect.protocol_version().min(PROTOCOL_VERSION)),
                max_message_size: Some(MESSAGE_BYTES_MAX as i32),
                feature_flags: None,
            }),
            Command::PartitionedMetadata(question) => {
                Command::PartitionedMetadataResponse(PartitionedMetadataResponse {
                    partitions: Some(0),
                    request_id: question.request_id,
                    response: Some(0),
                    ..Default::default()
                })
            }
            Command::Lookup(question) => Command::LookupResponse(LookupResponse {
                broker_service_url: Some(self.shared.url.clone()),
                response: Some(LOOKUP_CONNECT),
                request_id: question.request_id,
                authoritative: Some(true),
                ..Default::default()
            }),
            Command::Producer(producer) => Command::ProducerSuccess(ProducerSuccess {
                request_id: producer.request_id,
                producer_name: producer.producer_name.unwrap_or_else(|| "null".to_owned()),
                last_sequence_id: Some(-1),
                schema_version: Some(Bytes::new()),
                producer_ready: Some(true),
                ..Default::default()
            }),
            Command::GetLastMessageId(question) => Command::GetLastMessageIdResponse(GetLastMessageIdResponse {
                last_message_id: MessageId { ledger_id: LEDGER, entry_id: i64::MAX as u64 - 1, ..Default::default() },
                request_id: question.request_id,
                mark_delete_position: None,
            }),
            Command::Subscribe(subscribe) => Command::Success(Success { request_id: subscribe.request_id }),
            Command::CloseProducer(close) => Command::Success(Success { request_id: close.request_id }),
            Command::CloseConsumer(close) => {
                self.consumer = None;
                Command::Success(Success { request_id: close.request_id })
            }
            Command::Unsubscribe(end) => Command::Success(Success { request_id: end.request_id }),
            Command::Ping(_) => Command::Pong(Empty {}),
            Command::Ack(_) | Command::Pong(_) => return Ok(()),
            other => bail!("{} is not spoken here", other.name()),
        };
        frame::put(answer, &mut self.out);
        Ok(())
    }

    fn next_id(&mut self) -> MessageId {
        self.next_entry += 1;
        MessageId { ledger_id: LEDGER, entry_id: self.next_entry, ..Default::default() }
    }

    fn keep_largest(&self, entry: Bytes, messages: u32) {
        let mut largest = self.shared.largest.lock().unwrap_or_else(PoisonError::into_inner);
        if entry.len() > largest.0.len() {
            // A copy, because the entry's own memory is that of all that was read with it.
            *largest = (Bytes::copy_from_slice(&entry), messages);
        }
    }

    fn may_deliver(&self) -> bool {
        let has_entry = self.shared.largest.lock().unwrap_or_else(PoisonError::into_inner).1 > 0;
        has_entry && self.consumer.is_some_and(|(_, permits)| permits > 0)
    }

    /// As much as permits and one piece allow.
    fn deliver(&mut self) {
        let (entry, messages) = self.shared.largest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some((consumer_id, mut permits)) = self.consumer else { return };
        let before = permits;
        while messages > 0 && permits > 0 && self.out.len() < WRITE_BYTES {
            let message = Message { consumer_id, message_id: self.next_id(), ..Default::default() };
            frame::put_before_payload(Command::Message(message), entry.len(), &mut self.out);
            self.out.extend_from_slice(&entry);
            permits -= i64::from(messages);
        }
        self.consumer = Some((consumer_id, permits));
        self.shared.messages_out.fetch_add((before - permits) as u64, Relaxed);
    }
}
