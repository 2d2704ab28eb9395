//! The listener: accepts clients and gives each its state machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::connection;
use super::settings::ProtocolSettings;
use crate::topic::Topics;

/// Pause after a client could not be accepted, for instance because no file descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long connections have to end when the broker stops.
const CLOSING_MAX: Duration = Duration::from_secs(10);

/// What all connections of a broker share.
pub struct Shared {
    /// The topics.
    pub topics: Arc<Topics>,
    /// The settings.
    pub settings: ProtocolSettings,
    /// Bytes of entries in flight that are left.
    pub(super) publish_bytes: Arc<Semaphore>,
}

impl Shared {
    /// No client yet.
    pub fn new(topics: Arc<Topics>, settings: ProtocolSettings) -> Arc<Self> {
        // One entry must always fit, and a request for permits is a u32.
        let bytes = settings.max_publish_buffer_bytes.clamp(settings.frame_bytes_max(), u32::MAX as usize);
        Arc::new(Self { topics, settings, publish_bytes: Arc::new(Semaphore::new(bytes)) })
    }
}

/// Names a connection, unique while the process lives.
pub(super) fn next_connection_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// Serves clients until `stop`, then waits a while for their connections to end.
pub async fn serve(listener: TcpListener, topics: Arc<Topics>, settings: ProtocolSettings, stop: CancellationToken) {
    let shared = Shared::new(topics, settings);
    let connections = TaskTracker::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((socket, address)) => {
                // Without it small answers wait for the client's acknowledgement; a socket that refuses is only slower.
                let _ = socket.set_nodelay(true);
                let (read, write) = socket.into_split();
                let address = format!("/{address}");
                connections.spawn(connection::run(shared.clone(), address, read, write, stop.child_token()));
            }
            Err(error) => {
                tracing::warn!(%error, "a client could not be accepted; trying on");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(CLOSING_MAX, connections.wait()).await.is_err() {
        tracing::warn!(connections = connections.len(), "connections did not end in time");
    }
}
