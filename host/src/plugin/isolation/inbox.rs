//! Reads frames from a socket. A long body goes straight into a buffer of its own and of its size, which its header tells and
//! [`frame`] has bounded.

use bytes::{BufMut, BytesMut};
use tokio::net::UnixStream;

use super::frame::{self, Frame, HEADER_BYTES, Header, ProtocolError};

/// Bytes that are read at once where it is not known how many come.
const CHUNK_BYTES: usize = 16 * 1024;

/// Reads the next frame; `None` where the other end closed between two frames.
pub(super) async fn read_frame(
    stream: &UnixStream,
    buffer: &mut BytesMut,
    entries_bytes_max: usize,
) -> Result<Option<Frame>, ProtocolError> {
    loop {
        if let Some(frame) = frame::take(buffer, entries_bytes_max)? {
            return Ok(Some(frame));
        }
        let header = Header::peek(buffer, entries_bytes_max)?;
        if let Some(header) = header.filter(|header| header.len > CHUNK_BYTES) {
            return read_body(stream, buffer, header).await.map(Some);
        }
        buffer.reserve(CHUNK_BYTES);
        if read_some(stream, buffer, CHUNK_BYTES).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(ProtocolError::CutOff) };
        }
    }
}

/// Reads a long body into a buffer of its own and of its size; its header and its beginning lie in `buffer`.
async fn read_body(stream: &UnixStream, buffer: &mut BytesMut, header: Header) -> Result<Frame, ProtocolError> {
    let Header { kind, id, len } = header;
    let mut body = BytesMut::with_capacity(len);
    body.extend_from_slice(&buffer[HEADER_BYTES..]);
    buffer.clear();
    while body.len() < len {
        let left = len - body.len();
        if read_some(stream, &mut body, left).await? == 0 {
            return Err(ProtocolError::CutOff);
        }
    }
    Ok(Frame { kind, id, body: body.freeze() })
}

async fn read_some(stream: &UnixStream, buffer: &mut BytesMut, bytes_max: usize) -> Result<usize, ProtocolError> {
    let failed = |error: std::io::Error| ProtocolError::Io(error.to_string());
    loop {
        stream.readable().await.map_err(failed)?;
        match stream.try_read_buf(&mut (&mut *buffer).limit(bytes_max)) {
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Ok(0),
            Err(error) => return Err(failed(error)),
        }
    }
}
