//! One TCP connection: handshake, the reading and the writing task, requests and their answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_rustls::TlsConnector;

use crate::protocol::command::{Command, Connect, Connected, Empty};
use crate::protocol::frame::{self, FRAME_PADDING_BYTES, Frame};

use super::address::Address;
use super::outbox::Outbox;
use super::routes::Routes;
use super::{ClientError, ClientOptions};

/// How long a connection attempt, the handshake and each request may take.
const OPERATION_SECONDS: u64 = 30;
/// How often the broker is asked whether it is there; it is given up when nothing came for two of these.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Bytes asked of the socket at once.
const READ_BYTES: usize = 256 << 10;
/// The protocol version that this client speaks; see `protocol::command`.
const PROTOCOL_VERSION: i32 = 21;
/// Largest message where the broker names no limit, bytes.
const MESSAGE_SIZE_DEFAULT_BYTES: usize = 5 << 20;
/// Largest message that is believed when a broker names it, bytes.
const MESSAGE_SIZE_MAX_BYTES: usize = 1 << 27;

/// A connection; its tasks end when it is dropped.
pub(super) struct Connection {
    address: Address,
    options: Arc<ClientOptions>,
    message_size_max_bytes: usize,
    next_id: AtomicU64,
    pub(super) outbox: Arc<Outbox>,
    pub(super) routes: Arc<Routes>,
    tasks: [JoinHandle<()>; 3],
}

impl Drop for Connection {
    fn drop(&mut self) {
        // The writer ends by itself when all frames are out; the others have nothing left to do.
        self.outbox.close();
        let [reader, _, keeper] = &self.tasks;
        reader.abort();
        keeper.abort();
    }
}

impl Connection {
    /// Connects to `address` and shakes hands, with a token where there is one.
    pub(super) async fn open(address: Address, options: Arc<ClientOptions>) -> Result<Arc<Self>, ClientError> {
        let connect_error = |problem: String| ClientError::Connect { address: address.to_string(), problem };
        let tls = if address.is_encrypted { Some(options.tls.client_config()?) } else { None };
        let deadline = Duration::from_secs(OPERATION_SECONDS);
        let halves = timeout(deadline, connect(&address, tls)).await;
        let halves = halves.map_err(|_| connect_error(format!("no answer within {OPERATION_SECONDS} s")))?;
        let (mut read, mut write) = halves.map_err(|error| connect_error(error.to_string()))?;

        let outbox = Arc::new(Outbox::default());
        let routes = Arc::new(Routes::default());
        outbox.put_now(|out| frame::put(Command::Connect(Box::new(hello(options.token.as_deref()))), out));
        let writer = tokio::spawn({
            let (outbox, routes) = (Arc::clone(&outbox), Arc::clone(&routes));
            async move {
                if let Err(error) = outbox.write_to(&mut write).await {
                    routes.end(format!("the connection was lost: {error}"));
                    outbox.close();
                }
            }
        });
        let mut buffer = BytesMut::new();
        let limit = MESSAGE_SIZE_DEFAULT_BYTES + FRAME_PADDING_BYTES;
        let first = timeout(deadline, next_frame(&mut read, &mut buffer, limit)).await;
        let connected = first
            .map_err(|_| ClientError::TimedOut { what: "answer the greeting", seconds: OPERATION_SECONDS })
            .and_then(|first| greeting(first, &address))
            .inspect_err(|_| writer.abort())?;
        let message_size_max_bytes = message_size(&connected);

        let reader = tokio::spawn({
            let (outbox, routes) = (Arc::clone(&outbox), Arc::clone(&routes));
            async move {
                let reason = read_frames(&mut read, buffer, message_size_max_bytes, &outbox, &routes).await;
                routes.end(reason);
                outbox.close();
            }
        });
        let keeper = tokio::spawn(keep_alive(Arc::clone(&outbox)));
        let tasks = [reader, writer, keeper];
        let next_id = AtomicU64::new(1);
        Ok(Arc::new(Self { address, options, message_size_max_bytes, next_id, outbox, routes, tasks }))
    }

    /// Where the broker is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// What it was connected with.
    pub(super) fn options(&self) -> Arc<ClientOptions> {
        Arc::clone(&self.options)
    }

    /// Most bytes of metadata and payload that the broker takes in one entry.
    pub(super) fn message_size_max_bytes(&self) -> usize {
        self.message_size_max_bytes
    }

    /// A number that no request, producer or consumer of this connection has.
    pub(super) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Sends `command` and waits for the answer to `request_id`, which `command` carries. `what` completes "the broker
    /// refused to …".
    pub(super) async fn request(
        &self,
        what: &'static str,
        request_id: u64,
        command: Command,
    ) -> Result<Command, ClientError> {
        let answer = self.routes.expect(request_id)?;
        self.outbox.put(|out| frame::put(command, out)).await;
        let answer = timeout(Duration::from_secs(OPERATION_SECONDS), answer).await.map_err(|_| {
            self.routes.forget(request_id);
            ClientError::TimedOut { what, seconds: OPERATION_SECONDS }
        })?;
        match answer {
            Ok(Command::Error(error)) => Err(ClientError::refused(what, error.error, &error.message)),
            Ok(answer) => Ok(answer),
            Err(_) => Err(self.ended()),
        }
    }

    /// Why the connection has ended.
    pub(super) fn ended(&self) -> ClientError {
        self.routes.ended().unwrap_or_else(|| ClientError::Closed("the connection has ended".to_owned()))
    }
}

/// What a connection is read from, and what it is written to.
type Halves = (Box<dyn AsyncRead + Send + Unpin>, Box<dyn AsyncWrite + Send + Unpin>);

async fn connect(address: &Address, tls: Option<Arc<ClientConfig>>) -> std::io::Result<Halves> {
    let stream = TcpStream::connect(address.to_string()).await?;
    stream.set_nodelay(true)?;
    let Some(tls) = tls else {
        let (read, write) = stream.into_split();
        return Ok((Box::new(read), Box::new(write)));
    };
    let host = ServerName::try_from(address.host().to_owned()).map_err(std::io::Error::other)?;
    let (read, write) = tokio::io::split(TlsConnector::from(tls).connect(host, stream).await?);
    Ok((Box::new(read), Box::new(write)))
}

fn hello(token: Option<&str>) -> Connect {
    Connect {
        client_version: concat!("Longshore-v", env!("CARGO_PKG_VERSION")).to_owned(),
        protocol_version: Some(PROTOCOL_VERSION),
        auth_method_name: Some(if token.is_some() { "token" } else { "none" }.to_owned()),
        auth_data: token.map(|token| Bytes::copy_from_slice(token.as_bytes())),
        ..Connect::default()
    }
}

fn greeting(first: Result<Frame, String>, address: &Address) -> Result<Connected, ClientError> {
    let frame = first.map_err(|problem| ClientError::Connect { address: address.to_string(), problem })?;
    match frame.command.command {
        Some(Command::Connected(connected)) => Ok(connected),
        Some(Command::Error(error)) => Err(ClientError::refused("connect", error.error, &error.message)),
        Some(other) => Err(ClientError::unexpected("connect", &other)),
        None => Err(ClientError::Closed(format!("the broker greeted with command {}", frame.command.kind))),
    }
}

fn message_size(connected: &Connected) -> usize {
    let named = connected.max_message_size.and_then(|size| usize::try_from(size).ok()).filter(|size| *size > 0);
    named.unwrap_or(MESSAGE_SIZE_DEFAULT_BYTES).min(MESSAGE_SIZE_MAX_BYTES)
}

/// Reads until a whole frame is there.
async fn next_frame(
    read: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
    limit_bytes: usize,
) -> Result<Frame, String> {
    loop {
        if let Some(frame) = frame::take(buffer, limit_bytes).map_err(|error| format!("the broker's {error}"))? {
            return Ok(frame);
        }
        buffer.reserve(READ_BYTES);
        match read.read_buf(buffer).await {
            Ok(0) => return Err("the broker closed the connection".to_owned()),
            Ok(_) => {}
            Err(error) => return Err(format!("the connection was lost: {error}")),
        }
    }
}

/// Hands frames on until the connection ends; answers why it did. What one reading brings is handed on together.
async fn read_frames(
    read: &mut (impl AsyncRead + Unpin),
    mut buffer: BytesMut,
    message_size_max_bytes: usize,
    outbox: &Outbox,
    routes: &Routes,
) -> String {
    let limit = message_size_max_bytes + FRAME_PADDING_BYTES;
    let mut frames = Vec::new();
    loop {
        let broken = cut_frames(&mut buffer, limit, outbox, &mut frames).err();
        if let Err(reason) = routes.take_all(frames.drain(..)) {
            return reason;
        }
        if let Some(reason) = broken {
            return reason;
        }
        buffer.reserve(READ_BYTES);
        match timeout(2 * KEEP_ALIVE, read.read_buf(&mut buffer)).await {
            Err(_) => return format!("nothing came from the broker for {} s", 2 * KEEP_ALIVE.as_secs()),
            Ok(Ok(0)) => return "the broker closed the connection".to_owned(),
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return format!("the connection was lost: {error}"),
        }
    }
}

/// Cuts the whole frames out of `buffer`; pings are answered at once.
fn cut_frames(
    buffer: &mut BytesMut,
    limit_bytes: usize,
    outbox: &Outbox,
    frames: &mut Vec<Frame>,
) -> Result<(), String> {
    while let Some(frame) = frame::take(buffer, limit_bytes).map_err(|error| format!("the broker's {error}"))? {
        if matches!(frame.command.command, Some(Command::Ping(_))) {
            outbox.put_now(|out| frame::put(Command::Pong(Empty {}), out));
        } else {
            frames.push(frame);
        }
    }
    Ok(())
}

async fn keep_alive(outbox: Arc<Outbox>) {
    let mut ticks = interval(KEEP_ALIVE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        outbox.put_now(|out| frame::put(Command::Ping(Empty {}), out));
    }
}
