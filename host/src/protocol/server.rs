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
use crate::access::rules::Wish;
use crate::access::tls::Tls;
use crate::access::{Access, NotAllowed, Principal};
use crate::topic::{TopicError, Topics};

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
    /// Who clients are, and what they may do.
    pub access: Arc<Access>,
    /// Bytes of entries in flight that are left.
    pub(super) publish_bytes: Arc<Semaphore>,
}

impl Shared {
    /// No client yet.
    pub fn new(topics: Arc<Topics>, settings: ProtocolSettings, access: Arc<Access>) -> Arc<Self> {
        // One entry must always fit, and a request for permits is a u32.
        let bytes = settings.max_publish_buffer_bytes.clamp(settings.frame_bytes_max(), u32::MAX as usize);
        Arc::new(Self { topics, settings, access, publish_bytes: Arc::new(Semaphore::new(bytes)) })
    }

    /// Whether a client may do that.
    pub(super) async fn allow(&self, principal: &Principal, wish: Wish) -> Result<(), TopicError> {
        self.access.allow(principal, &wish).await.map_err(|error| match error {
            NotAllowed::Role { .. } => TopicError::Unauthorized(error.to_string()),
            NotAllowed::Namespace(error) => TopicError::Metadata(error.to_string()),
        })
    }
}

/// Names a connection, unique while the process lives.
pub(super) fn next_connection_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Relaxed)
}

/// Serves clients, over TLS where there is one, until `stop`; then waits a while for their connections to end. `when_one_left` is
/// called behind each of them.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Tls>,
    shared: Arc<Shared>,
    stop: CancellationToken,
    when_one_left: fn(),
) {
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
                let (shared, address, stop) = (shared.clone(), format!("/{address}"), stop.child_token());
                match &tls {
                    None => {
                        let (read, write) = socket.into_split();
                        let served = connection::run(shared, address, read, write, stop);
                        connections.spawn(followed_by(served, when_one_left));
                    }
                    Some(tls) => {
                        let (read, write) = tokio::io::split(tls.accept(socket));
                        let served = connection::run(shared, address, read, write, stop);
                        connections.spawn(followed_by(served, when_one_left));
                    }
                }
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

async fn followed_by(served: impl Future<Output = ()>, then: fn()) {
    served.await;
    then();
}
