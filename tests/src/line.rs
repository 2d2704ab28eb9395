//! A line between a client and a server on loopback, which loses, delays, cuts and answers as a test tells it to.
//!
//! On a line for HTTP each connection carries one request: the line asks the server to close it afterwards. So a fault befalls
//! a request, which a test knows by its number, method and target, and never a later one that shares its connection. On a line
//! for anything else a fault befalls a connection. Nothing is random, and what a line did is counted.

#![allow(clippy::unwrap_used, reason = "a failed step of a test is the test's failure")]
#![allow(dead_code, reason = "each test binary uses some of it")]
#![allow(unreachable_pub, reason = "shared by several binaries")]

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes that go over the line at once.
const PIECE_BYTES: usize = 32 << 10;
/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// A connection that was accepted and, on a line for HTTP, the request on it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Counted from 0, since the line was last told what to do.
    pub number: usize,
    /// Connections on which something was asked and that are open, this one included.
    pub at_once: usize,
    /// Empty on a line that is not for HTTP.
    pub method: String,
    /// Path and query; empty on a line that is not for HTTP.
    pub target: String,
    /// The length of the body, as announced.
    pub body_bytes: u64,
}

/// What becomes of it. Bytes of a request are those of its body, bytes of an answer those of its head as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is carried.
    None,
    /// Both directions begin late and are slow.
    Slow {
        /// How late the first piece is.
        latency: Duration,
        /// How quick pieces are.
        bytes_per_second: u64,
    },
    /// Reset with so many bytes of the request carried; with none, the server hears nothing of it.
    ResetUp(u64),
    /// Reset with so many bytes of the answer carried; with none, the server has done what it was asked.
    ResetDown(u64),
    /// After so many bytes of the answer an orderly end.
    CutDown(u64),
    /// After so many bytes of the request nothing more is carried, and nobody is told.
    StallUp(u64),
    /// The same with an answer.
    StallDown(u64),
    /// The server's side is closed at once; what the client sends still arrives.
    HalfClosed,
    /// The request is read, and the line answers in the server's place.
    Answer {
        /// The status.
        status: u16,
        /// Names and values beside the usual ones.
        headers: Vec<(&'static str, String)>,
        /// The body.
        body: String,
    },
}

impl Fault {
    /// How a store asks for fewer requests.
    pub fn slow_down(retry_after: Option<u32>) -> Self {
        let body =
            "<?xml version=\"1.0\"?><Error><Code>SlowDown</Code><Message>Reduce your request rate.</Message></Error>";
        let headers = retry_after.map(|seconds| ("retry-after", seconds.to_string()));
        Self::Answer { status: 503, headers: headers.into_iter().collect(), body: body.to_owned() }
    }
}

type Rule = dyn Fn(&Asked) -> Fault + Send + Sync;

/// See the module; gone when it is dropped, with all its connections.
pub struct Line {
    /// Where clients connect.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    server: String,
    is_http: bool,
    rule: Mutex<Arc<Rule>>,
    asked: Mutex<Vec<(Instant, Asked, Fault)>>,
    open: AtomicUsize,
    /// Changes when all connections are to end.
    hung_up: watch::Sender<usize>,
}

impl Line {
    /// A line to a server at `host:port` that speaks HTTP.
    pub async fn http(server: &str) -> Self {
        Self::to(server, true).await
    }

    /// A line to a server at `host:port` that speaks anything.
    pub async fn plain(server: &str) -> Self {
        Self::to(server, false).await
    }

    async fn to(server: &str, is_http: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            server: server.to_owned(),
            is_http,
            rule: Mutex::new(Arc::new(|_| Fault::None)),
            asked: Mutex::default(),
            open: AtomicUsize::new(0),
            hung_up: watch::Sender::new(0),
        });
        let address = listener.local_addr().unwrap();
        let accepting = Mutex::new(Some(tokio::spawn(accept(listener, shared.clone()))));
        Self { address, shared, accepting }
    }

    /// From now on, this becomes of each connection; they are counted anew.
    pub fn misbehave(&self, rule: impl Fn(&Asked) -> Fault + Send + Sync + 'static) {
        self.shared.asked.lock().unwrap().clear();
        *self.shared.rule.lock().unwrap() = Arc::new(rule);
    }

    /// From now on, all is carried; stalled connections stay so.
    pub fn behave(&self) {
        self.misbehave(|_| Fault::None);
    }

    /// What was asked since the line was last told what to do, when, and what became of it.
    pub fn asked(&self) -> Vec<(Instant, Asked, Fault)> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// How many of them a fault befell.
    pub fn faults(&self) -> usize {
        self.asked().iter().filter(|(_, _, fault)| *fault != Fault::None).count()
    }

    /// Nobody listens any more, and all connections end.
    pub fn close(&self) {
        if let Some(accepting) = self.accepting.lock().unwrap().take() {
            accepting.abort();
        }
        self.shared.hung_up.send_modify(|times| *times += 1);
    }

    /// All is carried again; whoever hung up listens again where it did.
    pub async fn open_again(&self) {
        self.behave();
        if self.accepting.lock().unwrap().is_some() {
            return;
        }
        let listener = loop {
            // The one before goes when its task has noticed.
            match TcpListener::bind(self.address).await {
                Ok(listener) => break listener,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        };
        *self.accepting.lock().unwrap() = Some(tokio::spawn(accept(listener, self.shared.clone())));
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.close();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let shared = shared.clone();
        tokio::spawn(async move {
            let mut hung_up = shared.hung_up.subscribe();
            let _ = client.set_nodelay(true);
            tokio::select! {
                // Either side may go whenever it likes.
                _ = shared.carry(client) => {}
                _ = hung_up.changed() => {}
            }
        });
    }
}

/// Counts a connection as long as it is open.
struct Open<'a>(&'a AtomicUsize);

impl<'a> Open<'a> {
    fn new(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Shared {
    fn decide(&self, head: &Head) -> Fault {
        let mut asked = self.asked.lock().unwrap();
        let this = Asked {
            number: asked.len(),
            at_once: self.open.load(Ordering::SeqCst),
            method: head.method.clone(),
            target: head.target.clone(),
            body_bytes: head.body_bytes,
        };
        let fault = (self.rule.lock().unwrap().clone())(&this);
        asked.push((Instant::now(), this, fault.clone()));
        fault
    }

    async fn carry(&self, mut client: TcpStream) -> io::Result<()> {
        let head = if self.is_http { Head::read(&mut client).await? } else { Head::default() };
        // A connection on which nothing was asked yet is not one of a crowd.
        let _open = Open::new(&self.open);
        let fault = self.decide(&head);
        match &fault {
            Fault::ResetUp(0) => return client.set_zero_linger(),
            Fault::StallUp(0) => return pending().await,
            Fault::Answer { status, headers, body } => return answer(client, &head, *status, headers, body).await,
            _ => {}
        }
        let mut server = TcpStream::connect(&self.server).await?;
        server.set_nodelay(true)?;
        server.write_all(&head.bytes).await?;
        let ended = both_ways(&mut client, &mut server, &head, &fault).await?;
        match fault {
            Fault::ResetUp(_) | Fault::ResetDown(_) if ended == Ended::AtLimit => {
                server.set_zero_linger()?;
                client.set_zero_linger()
            }
            Fault::StallUp(_) | Fault::StallDown(_) if ended == Ended::AtLimit => pending().await,
            // What is left on its way still arrives.
            _ => client.shutdown().await,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ended {
    /// The server has said all, or a fault wants the end.
    Orderly,
    /// So many bytes were carried as the fault allows.
    AtLimit,
}

async fn both_ways(client: &mut TcpStream, server: &mut TcpStream, head: &Head, fault: &Fault) -> io::Result<Ended> {
    let (up_max, down_max) = match fault {
        // A body that is shorter is carried whole.
        Fault::ResetUp(bytes) | Fault::StallUp(bytes) if !head.method.is_empty() => {
            (Some((*bytes).min(head.body_bytes)), None)
        }
        Fault::ResetUp(bytes) | Fault::StallUp(bytes) => (Some(*bytes), None),
        Fault::ResetDown(bytes) | Fault::StallDown(bytes) | Fault::CutDown(bytes) => (None, Some(*bytes)),
        _ => (None, None),
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    if *fault == Fault::HalfClosed {
        to_client.shutdown().await?;
        tokio::io::copy(&mut from_client, &mut to_server).await?;
        return Ok(Ended::Orderly);
    }
    let mut up = Way { fault, left: up_max.map(|max| max.saturating_sub(head.body_sent)), checks_first: true };
    let mut down = Way { fault, left: down_max, checks_first: false };
    let up = async {
        let ended = up.carry(&mut from_client, &mut to_server).await?;
        if ended == Ended::Orderly {
            // The client has said all; the answer is still due.
            to_server.shutdown().await?;
            return pending().await;
        }
        Ok(ended)
    };
    tokio::select! {
        ended = up => ended,
        ended = down.carry(&mut from_server, &mut to_client) => ended,
    }
}

/// One direction.
struct Way<'a> {
    fault: &'a Fault,
    /// Bytes until the limit.
    left: Option<u64>,
    /// Whether the limit may be reached before anything came. An answer has begun when there is something of it.
    checks_first: bool,
}

impl Way<'_> {
    async fn carry(
        &mut self,
        from: &mut (impl AsyncRead + Unpin),
        to: &mut (impl AsyncWrite + Unpin),
    ) -> io::Result<Ended> {
        let (mut piece, mut is_first) = (vec![0; PIECE_BYTES], true);
        if self.checks_first && self.left == Some(0) {
            return Ok(Ended::AtLimit);
        }
        loop {
            let found = from.read(&mut piece).await?;
            if found == 0 {
                return Ok(Ended::Orderly);
            }
            if let Fault::Slow { latency, bytes_per_second } = self.fault {
                let latency = if std::mem::take(&mut is_first) { *latency } else { Duration::ZERO };
                tokio::time::sleep(latency + Duration::from_secs_f64(found as f64 / *bytes_per_second as f64)).await;
            }
            let carried = self.left.map_or(found, |left| found.min(usize::try_from(left).unwrap_or(usize::MAX)));
            to.write_all(&piece[..carried]).await?;
            if let Some(left) = &mut self.left {
                *left -= carried as u64;
                if *left == 0 {
                    return Ok(Ended::AtLimit);
                }
            }
        }
    }
}

/// The head of a request, and what came with it.
#[derive(Debug, Default)]
struct Head {
    method: String,
    target: String,
    body_bytes: u64,
    /// Of the body, what came with the head.
    body_sent: u64,
    /// For the server, which is told to close the connection.
    bytes: Vec<u8>,
}

impl Head {
    async fn read(client: &mut TcpStream) -> io::Result<Self> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(at) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                break at + 4;
            }
            if bytes.len() > HEAD_BYTES_MAX || client.read_buf(&mut bytes).await? == 0 {
                return Err(io::ErrorKind::InvalidData.into());
            }
        };
        let text = String::from_utf8_lossy(&bytes[..end - 2]).into_owned();
        let (first, rest) = text.split_once("\r\n").unwrap_or((&text, ""));
        let mut words = first.split(' ').map(str::to_owned);
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let mut for_server = format!("{first}\r\nconnection: close\r\n");
        let mut body_bytes = 0;
        for line in rest.lines() {
            match line.split_once(':').map(|(name, value)| (name.to_ascii_lowercase(), value.trim())) {
                Some((name, _)) if name == "connection" => continue,
                Some((name, value)) if name == "content-length" => body_bytes = value.parse().unwrap_or(0),
                _ => {}
            }
            for_server += &format!("{line}\r\n");
        }
        let body_sent = (bytes.len() - end) as u64;
        let bytes = [for_server.as_bytes(), b"\r\n", &bytes[end..]].concat();
        Ok(Self { method, target, body_bytes, body_sent, bytes })
    }
}

async fn answer(
    mut client: TcpStream,
    head: &Head,
    status: u16,
    headers: &[(&'static str, String)],
    body: &str,
) -> io::Result<()> {
    let mut left = head.body_bytes.saturating_sub(head.body_sent);
    let mut piece = vec![0; PIECE_BYTES];
    while left > 0 {
        match client.read(&mut piece).await? {
            0 => return Ok(()),
            found => left = left.saturating_sub(found as u64),
        }
    }
    let mut text = format!("HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        text += &format!("{name}: {value}\r\n");
    }
    text += "\r\n";
    if head.method != "HEAD" {
        text += body;
    }
    client.write_all(text.as_bytes()).await?;
    client.shutdown().await
}
