//! A bounded number of connections, plain or encrypted: who comes beyond it waits in the system's queue until another one
//! leaves. A client that takes nothing of what is written to it for too long loses its connection.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

use super::server::HttpLimits;
use crate::access::tls::{Tls, TlsConnection};

/// Pause after a client could not be accepted, for instance because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A listener that gives out a bounded number of connections at a time.
pub(super) struct BoundedListener {
    listener: TcpListener,
    tls: Option<Tls>,
    places: Arc<Semaphore>,
    stall_max: Duration,
}

impl BoundedListener {
    /// With a place for as many connections as `limits` say.
    pub(super) fn new(listener: TcpListener, tls: Option<Tls>, limits: HttpLimits) -> Self {
        Self { listener, tls, places: Arc::new(Semaphore::new(limits.connections_max)), stall_max: limits.idle }
    }

    /// The next client. What passes, such as too many open files, is waited for.
    pub(super) async fn accept(&mut self) -> Connection {
        let place = self.places.clone().acquire_owned().await.expect("the places are never closed");
        let stream = loop {
            match self.listener.accept().await {
                Ok((stream, _)) => break stream,
                Err(error) => {
                    tracing::warn!(%error, "a client of the REST API was not accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        };
        let stream = match &self.tls {
            None => Stream::Plain(stream),
            Some(tls) => Stream::Encrypted(tls.accept(stream)),
        };
        Connection { stream, stall: None, stall_max: self.stall_max, _place: place }
    }
}

/// A connection and its place.
pub(super) struct Connection {
    stream: Stream,
    /// Runs while the client takes nothing.
    stall: Option<Pin<Box<Sleep>>>,
    stall_max: Duration,
    _place: OwnedSemaphorePermit,
}

enum Stream {
    Plain(TcpStream),
    Encrypted(TlsConnection),
}

/// Runs `$act` on whichever stream it is.
macro_rules! on_stream {
    ($connection:expr, $stream:ident => $act:expr) => {
        match &mut $connection.stream {
            Stream::Plain($stream) => $act,
            Stream::Encrypted($stream) => $act,
        }
    };
}

impl Connection {
    /// What a write came to; one that goes on for too long without a byte is an error.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall_max = self.stall_max;
        ready!(self.stall.get_or_insert_with(|| Box::pin(sleep(stall_max))).as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the client does not take its answer")))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        on_stream!(self, stream => Pin::new(stream).poll_read(cx, into))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = on_stream!(self, stream => Pin::new(stream).poll_write(cx, bytes));
        self.watch(cx, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = on_stream!(self, stream => Pin::new(stream).poll_flush(cx));
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = on_stream!(self, stream => Pin::new(stream).poll_shutdown(cx));
        self.watch(cx, ended)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = on_stream!(self, stream => Pin::new(stream).poll_write_vectored(cx, slices));
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        matches!(&self.stream, Stream::Plain(stream) if stream.is_write_vectored())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_more_waits_until_another_leaves() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = HttpLimits { connections_max: 1, ..HttpLimits::default() };
        let mut bounded = BoundedListener::new(listener, None, limits);
        let _clients = (TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap());
        let first = bounded.accept().await;
        let waits = tokio::time::timeout(Duration::from_millis(50), bounded.accept()).await;
        assert!(waits.is_err(), "the second connection has no place yet");
        drop(first);
        tokio::time::timeout(Duration::from_secs(5), bounded.accept()).await.expect("the place is free again");
    }

    #[tokio::test]
    async fn a_client_that_takes_nothing_is_an_error() {
        use tokio::io::AsyncWriteExt;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let limits = HttpLimits { idle: Duration::from_millis(50), ..HttpLimits::default() };
        let mut bounded = BoundedListener::new(listener, None, limits);
        let _client = TcpStream::connect(address).await.unwrap();
        let mut connection = bounded.accept().await;
        let endless = async { while connection.write_all(&[0; 65_536]).await.is_ok() {} };
        tokio::time::timeout(Duration::from_secs(20), endless).await.expect("the write ends, though nobody reads");
        let error = connection.write_all(&[0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
