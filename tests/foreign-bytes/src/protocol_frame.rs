//! Any bytes as a client's stream: frames are taken until more is needed or the stream is refused.

use bytes::BytesMut;
use longshore::protocol::frame;

const FRAME_BYTES_MAX: usize = 64 << 10;

/// Panics where a promise is broken.
pub fn check(stream: &[u8]) {
    let mut buffer = BytesMut::from(stream);
    loop {
        let before = buffer.len();
        match frame::take(&mut buffer, FRAME_BYTES_MAX) {
            Ok(Some(_)) => assert!(buffer.len() < before, "a frame that takes no byte would be taken for ever"),
            Ok(None) => break,
            Err(_) => return,
        }
    }
    assert!(buffer.capacity() <= stream.len() + 2 * FRAME_BYTES_MAX, "room for more than a frame was reserved");
}
