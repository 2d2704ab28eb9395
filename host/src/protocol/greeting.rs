//! The handshake: who comes, and what both speak. Who is not let in learns why, in the form that the client tells.

use std::io;

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::command::{Command, Connect, Connected, FeatureFlags, ServerError};
use super::connection::Violation;
use super::frame::{self, Frame};
use super::refusal;
use super::server::Shared;
use crate::access::{NotLetIn, Principal};

/// Newest protocol version that is spoken.
const PROTOCOL_VERSION: i32 = 21;
/// Requests of a client that is not let in that are answered with the reason.
const REFUSALS_MAX: usize = 8;

/// Who has connected.
pub(super) struct Greeted {
    /// As the client says.
    pub(super) version: String,
    /// What both speak.
    pub(super) protocol_version: i32,
    pub(super) principal: Principal,
}

/// Awaits CONNECT and answers it.
pub(super) async fn greet(
    shared: &Shared,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
) -> Result<Greeted, Violation> {
    let frame = next_frame(shared, reader, buffer).await?;
    let Some(Command::Connect(connect)) = frame.command.command else {
        return Err(Violation::Command(format!("command {} came before CONNECT", frame.command.kind)));
    };
    let Connect { client_version: version, protocol_version, auth_method_name, auth_data, .. } = *connect;
    let method = auth_method_name.unwrap_or_default();
    let principal = shared.access.principal(&method, &auth_data.unwrap_or_default());
    let protocol_version = protocol_version.unwrap_or(0).min(PROTOCOL_VERSION);
    let connected = Connected {
        server_version: concat!("Longshore-", env!("CARGO_PKG_VERSION")).to_owned(),
        protocol_version: Some(protocol_version),
        max_message_size: i32::try_from(shared.settings.max_message_size).ok(),
        feature_flags: Some(FeatureFlags {
            topic_watchers: Some(false),
            metadata_without_auto_creation: Some(true),
            ..FeatureFlags::default()
        }),
    };
    match principal {
        Ok(principal) => {
            write(Command::Connected(connected), writer).await?;
            Ok(Greeted { version, protocol_version, principal })
        }
        Err(problem) => {
            if takes_errors_for_losses(&version) {
                write(Command::Connected(connected), writer).await?;
                refuse_first_requests(shared, reader, writer, buffer, &problem).await?;
            } else {
                write(refusal::plain(u64::MAX, ServerError::Authentication, &told(&problem)), writer).await?;
            }
            Err(problem.into())
        }
    }
}

/// What the version of a client has in it that takes any first answer but CONNECTED for a lost connection: C++ and what is built
/// on it, and Go, try again until they report a timeout; Rust reports a connection that failed, without the reason.
const TAKE_ERRORS_FOR_LOSSES: [&str; 5] = ["CPP", "Python", "Node", "Pulsar-Go", "pulsar-rs"];

/// Whether a client tells its user the reason only if it is the answer to the first request.
fn takes_errors_for_losses(client_version: &str) -> bool {
    TAKE_ERRORS_FOR_LOSSES.iter().any(|name| client_version.contains(name))
}

/// The reason, for clients that show their users no code: the first words say what failed.
fn told(problem: &NotLetIn) -> String {
    match problem {
        NotLetIn::Nothing => "Authentication failed: nothing was shown; connect with a token".to_owned(),
        NotLetIn::Token(_) => problem.to_string(),
        other => format!("Authentication failed: {other}"),
    }
}

/// Answers requests of a client that is not let in with nothing but the reason.
async fn refuse_first_requests(
    shared: &Shared,
    reader: &mut (impl AsyncRead + Unpin),
    writer: &mut (impl AsyncWrite + Unpin),
    buffer: &mut BytesMut,
    problem: &NotLetIn,
) -> Result<(), Violation> {
    let message = told(problem);
    for _ in 0..REFUSALS_MAX {
        let Some(command) = next_frame(shared, reader, buffer).await?.command.command else { continue };
        if let Some(refusal) = refusal::of_first_request(&command, ServerError::Authentication, &message) {
            write(refusal, writer).await?;
        }
    }
    Ok(())
}

async fn next_frame(
    shared: &Shared,
    reader: &mut (impl AsyncRead + Unpin),
    buffer: &mut BytesMut,
) -> Result<Frame, Violation> {
    loop {
        if let Some(frame) = frame::take(buffer, shared.settings.frame_bytes_max())? {
            return Ok(frame);
        }
        if reader.read_buf(buffer).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
    }
}

async fn write(command: Command, writer: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
    let mut answer = BytesMut::new();
    frame::put(command, &mut answer);
    writer.write_all(&answer).await?;
    // An encrypted stream keeps what it was not told to send.
    writer.flush().await
}
