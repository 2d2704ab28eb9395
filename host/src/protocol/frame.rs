//! Frames: how commands and payloads are cut out of a byte stream, and written into one.
//!
//! Format, all integers big-endian, from Pulsar `Commands` and `PulsarDecoder`:
//!
//! ```text
//! u32 total_size | u32 command_size | command | headers and payload (SEND and MESSAGE only)
//! ```
//!
//! `total_size` counts everything after itself. It is checked against the cap before a byte is allocated for it. The payload
//! is a slice of the bytes read from the socket: it is stored and sent as it came.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use prost::Message as _;

use super::command::{BaseCommand, Command};

/// What a frame may have besides the largest message, bytes. Pulsar's `MESSAGE_SIZE_FRAME_PADDING`.
pub const FRAME_PADDING_BYTES: usize = 10 * 1024;

const SIZE_BYTES: usize = 4;

/// One frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    /// The command.
    pub command: BaseCommand,
    /// What follows it; empty for all but SEND and MESSAGE.
    pub payload: Bytes,
}

/// Why a stream cannot be read on. The connection is closed without an answer, as Pulsar does.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The peer announces more than it may send.
    #[error("frame of {size} bytes announced, the limit is {limit}")]
    TooLarge {
        /// Announced.
        size: usize,
        /// Allowed.
        limit: usize,
    },
    /// Sizes that contradict each other.
    #[error("frame of {size} bytes cannot hold a command of {command_size} bytes")]
    Malformed {
        /// Size of the frame.
        size: usize,
        /// Size of the command.
        command_size: usize,
    },
    /// The command is not protobuf.
    #[error("command is not readable")]
    Command(#[from] prost::DecodeError),
}

/// Takes the first frame out of `buffer`; `None` when more bytes are needed, for which room is then reserved.
///
/// `limit_bytes` bounds the frame without its own size field.
pub fn take(buffer: &mut BytesMut, limit_bytes: usize) -> Result<Option<Frame>, FrameError> {
    let Some(head) = buffer.first_chunk::<SIZE_BYTES>() else { return Ok(None) };
    let size = u32::from_be_bytes(*head) as usize;
    if size > limit_bytes {
        return Err(FrameError::TooLarge { size, limit: limit_bytes });
    }
    if size < SIZE_BYTES {
        return Err(FrameError::Malformed { size, command_size: 0 });
    }
    if buffer.len() < SIZE_BYTES + size {
        buffer.reserve(SIZE_BYTES + size - buffer.len());
        return Ok(None);
    }
    buffer.advance(SIZE_BYTES);
    let mut frame = buffer.split_to(size).freeze();
    let command_size = frame.get_u32() as usize;
    if command_size > frame.len() {
        return Err(FrameError::Malformed { size, command_size });
    }
    let command = BaseCommand::decode(frame.split_to(command_size))?;
    Ok(Some(Frame { command, payload: frame }))
}

/// Appends a frame without payload.
pub fn put(command: Command, out: &mut BytesMut) {
    put_before_payload(command, 0, out);
}

/// Appends a frame up to its payload of `payload_bytes` bytes, which the caller sends next.
pub fn put_before_payload(command: Command, payload_bytes: usize, out: &mut BytesMut) {
    let command = BaseCommand::from(command);
    let command_size = command.encoded_len();
    out.reserve(2 * SIZE_BYTES + command_size);
    out.put_u32((SIZE_BYTES + command_size + payload_bytes) as u32);
    out.put_u32(command_size as u32);
    command.encode(out).expect("room was reserved, and a BytesMut grows");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::command::{Empty, Flow, Send, Success};

    const LIMIT: usize = 4096;

    fn wire(command: Command, payload: &[u8]) -> Vec<u8> {
        let mut out = BytesMut::new();
        put_before_payload(command, payload.len(), &mut out);
        out.extend_from_slice(payload);
        out.to_vec()
    }

    #[test]
    fn golden_bytes_of_simple_frames() {
        assert_eq!(wire(Command::Ping(Empty {}), b""), [0, 0, 0, 9, 0, 0, 0, 5, 0x08, 18, 0x92, 0x01, 0]);
        assert_eq!(
            wire(Command::Success(Success { request_id: 300 }), b""),
            [0, 0, 0, 11, 0, 0, 0, 7, 0x08, 13, 0x6a, 3, 0x08, 0xac, 0x02]
        );
    }

    #[test]
    fn frames_are_cut_at_every_split_point() {
        let send = Command::Send(Send { producer_id: 1, sequence_id: 2, ..Send::default() });
        let mut stream = wire(send.clone(), b"headers and payload");
        stream.extend(wire(Command::Flow(Flow { consumer_id: 1, permits: 1000 }), b""));
        for split in 0..=stream.len() {
            let mut buffer = BytesMut::new();
            let mut frames = Vec::new();
            for part in [&stream[..split], &stream[split..]] {
                buffer.extend_from_slice(part);
                while let Some(frame) = take(&mut buffer, LIMIT).expect("well formed") {
                    frames.push(frame);
                }
            }
            assert_eq!(frames.len(), 2);
            assert_eq!(frames[0].command.command, Some(send.clone()));
            assert_eq!(&frames[0].payload[..], b"headers and payload");
            assert!(frames[1].payload.is_empty());
        }
    }

    #[test]
    fn a_long_announcement_is_refused_before_allocation() {
        let mut buffer = BytesMut::from(&[0x7f, 0xff, 0xff, 0xff][..]);
        let capacity = buffer.capacity();
        assert_eq!(take(&mut buffer, LIMIT), Err(FrameError::TooLarge { size: 0x7fff_ffff, limit: LIMIT }));
        assert_eq!(buffer.capacity(), capacity);
        let mut at_limit = BytesMut::from(&(LIMIT as u32).to_be_bytes()[..]);
        assert_eq!(take(&mut at_limit, LIMIT), Ok(None));
    }

    #[test]
    fn contradicting_sizes_are_refused() {
        let mut short = BytesMut::from(&[0, 0, 0, 3, 0, 0, 0][..]);
        assert!(matches!(take(&mut short, LIMIT), Err(FrameError::Malformed { .. })));
        let mut outside = BytesMut::from(&[0, 0, 0, 5, 0, 0, 0, 9, 0x08][..]);
        assert_eq!(take(&mut outside, LIMIT), Err(FrameError::Malformed { size: 5, command_size: 9 }));
    }

    #[test]
    fn random_and_damaged_bytes_never_panic() {
        let good = wire(Command::Send(Send { producer_id: 9, sequence_id: 1, ..Send::default() }), &[7; 40]);
        for seed in 0..4000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = if seed % 2 == 0 { good.clone() } else { vec![0; random.usize(0..64)] };
            if seed % 2 == 0 {
                for _ in 0..random.usize(1..6) {
                    let at = random.usize(0..bytes.len());
                    bytes[at] = random.u8(..);
                }
                bytes.truncate(random.usize(0..=bytes.len()));
            } else {
                bytes.iter_mut().for_each(|byte| *byte = random.u8(..));
                if bytes.len() > 2 {
                    bytes[..2].fill(0);
                }
            }
            let mut buffer = BytesMut::from(&bytes[..]);
            let mut taken = 0;
            while let Ok(Some(frame)) = take(&mut buffer, LIMIT) {
                taken += 2 * SIZE_BYTES + frame.payload.len();
                assert!(taken <= bytes.len(), "seed {seed} gave more than it had");
            }
        }
    }
}
