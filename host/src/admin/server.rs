//! Serves HTTP/1.1 on one listener, to clients that may be slow, many or malicious: each gets a place among a bounded number of
//! connections, and keeps it only while it asks something. [`HttpLimits`] has the bounds.
//!
//! A client that does not finish a request's head in time, or takes no more of its answer, is cut; so is one that says
//! nothing between two requests. A slow body is answered with 408 by whoever reads it ([`super::request::Body`]).

use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connections::{BoundedListener, Connection};
use super::{AdminState, router};
use crate::access::tls::Tls;

/// How long requests that run may take when the broker stops.
const STOP_MAX: Duration = Duration::from_secs(10);

/// What clients of the REST API may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HttpLimits {
    /// Connections at a time, of each listener; who comes beyond them waits in the system's queue.
    pub connections_max: usize,
    /// Longest head of a request: its line and its fields. A longer one is answered with 431.
    pub head_bytes_max: usize,
    /// How long a client may take for a request's head, the silence before it included, and how long it may leave an answer where
    /// it is.
    pub idle: Duration,
    /// How long the body of a request may take; a longer one is answered with 408.
    pub body: Duration,
}

impl Default for HttpLimits {
    /// Those of the shipped configuration.
    fn default() -> Self {
        Self {
            connections_max: 2048,
            head_bytes_max: 8192,
            idle: Duration::from_secs(30),
            body: Duration::from_secs(10),
        }
    }
}

/// Answers requests, over TLS where there is one, until `stop`; those that run then are finished, within bounds.
pub async fn serve(listener: TcpListener, tls: Option<Tls>, state: Arc<AdminState>, stop: CancellationToken) {
    let limits = state.http;
    let mut listener = BoundedListener::new(listener, tls, limits);
    let service = TowerToHyperService::new(router(state));
    let connections = TaskTracker::new();
    while let Some(connection) = stop.run_until_cancelled(listener.accept()).await {
        connections.spawn(converse(connection, service.clone(), limits, stop.clone()));
    }
    // Nobody is let in any more; the port is free.
    drop(listener);
    connections.close();
    if tokio::time::timeout(STOP_MAX, connections.wait()).await.is_err() {
        tracing::warn!(seconds = STOP_MAX.as_secs(), "admin requests were given up: they did not end in time");
    }
}

/// One client, request after request.
async fn converse(
    connection: Connection,
    service: TowerToHyperService<axum::Router>,
    limits: HttpLimits,
    stop: CancellationToken,
) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.idle).max_buf_size(limits.head_bytes_max);
    let serving = http.serve_connection(TokioIo::new(connection), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection of the REST API ended");
    }
}
