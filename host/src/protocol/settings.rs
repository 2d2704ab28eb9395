//! What bounds connections: plain data, named after Pulsar's keys.

use std::time::Duration;

use super::frame::FRAME_PADDING_BYTES;

/// Settings of the binary protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolSettings {
    /// `pulsar://host:port`, what lookups answer.
    pub advertised_service_url: String,
    /// `pulsar+ssl://host:port`, the same over TLS.
    pub advertised_service_url_tls: Option<String>,
    /// Largest message, bytes: `maxMessageSize`.
    pub max_message_size: usize,
    /// Time between two pings, and how long silence may last after one: `keepAliveIntervalSeconds`.
    pub keep_alive_interval: Duration,
    /// Entries in flight on one connection before its socket is not read: `maxPendingPublishRequestsPerConnection`.
    pub max_pending_publish_requests: usize,
    /// Bytes of entries in flight on all connections before sockets are not read: `maxMessagePublishBufferSizeInMB`.
    pub max_publish_buffer_bytes: usize,
    /// Bytes that may be queued for one client before nothing is dispatched to it.
    pub outgoing_bytes_max: usize,
    /// Requests of one connection that are worked on at a time, before its socket is not read.
    pub requests_max: usize,
    /// Producers of one connection that may wait for their topics (`WaitForExclusive`).
    pub queued_producers_max: usize,
}

impl Default for ProtocolSettings {
    fn default() -> Self {
        Self {
            advertised_service_url: "pulsar://localhost:6650".to_owned(),
            advertised_service_url_tls: None,
            max_message_size: 5 * 1024 * 1024,
            keep_alive_interval: Duration::from_secs(30),
            max_pending_publish_requests: 1000,
            max_publish_buffer_bytes: 256 * 1024 * 1024,
            outgoing_bytes_max: 8 * 1024 * 1024,
            requests_max: 1000,
            queued_producers_max: 1000,
        }
    }
}

impl ProtocolSettings {
    /// Largest frame without its size field, bytes.
    pub fn frame_bytes_max(&self) -> usize {
        self.max_message_size + FRAME_PADDING_BYTES
    }
}
