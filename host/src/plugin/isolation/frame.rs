//! Frames: what the two ends of a child's socket send each other, and the bounds that are checked before a byte is reserved.
//!
//! A frame is a header of [`HEADER_BYTES`] and a body. Integers are little-endian: both ends run on one machine.
//!
//! | offset | bytes | what |
//! |---:|---:|---|
//! | 0 | 4 | length of the body |
//! | 4 | 2 | [`Kind`] |
//! | 6 | 2 | zero |
//! | 8 | 8 | the number of the call; for a notice the number of what it concerns, or zero |
//!
//! Calls are numbered by whoever makes them, from 1 on, so that an answer needs nothing but the number.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of a header.
pub const HEADER_BYTES: usize = 16;

/// The longest body of a frame that carries no entries.
pub const MESSAGE_BYTES_MAX: usize = 4 << 20;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $number:literal;)*) => {
        /// What a frame is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)*
        }

        impl Kind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            const fn number(self) -> u16 {
                match self { $(Self::$name => $number,)* }
            }

            const fn of(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Self::$name),)*
                    _ => None,
                }
            }
        }
    };
}

kinds! {
    /// Host calls, first of all and once: load the library and start it.
    Hello = 1;
    /// An answer of success.
    Answer = 4;
    /// An answer of success that consists of entries.
    Entries = 5;
    /// An answer of failure.
    Failure = 6;
    /// Notice: whoever called does not wait any longer.
    Cancel = 7;
    /// Host calls: check a configuration.
    Validate = 16;
    /// Host calls: make the driver.
    Create = 17;
    /// Host calls: copy a ledger.
    Offload = 18;
    /// Host calls: open a copy.
    Open = 19;
    /// Host calls: read an open copy.
    Read = 20;
    /// Host calls: delete a copy.
    Delete = 21;
    /// Host calls: list copies.
    Scan = 22;
    /// Host calls: report the store's health.
    Health = 23;
    /// Host calls: finish; the child ends after its answer.
    Shutdown = 24;
    /// Notice of the host: an open copy, named by the call that opened it, is not needed any longer.
    Close = 25;
    /// Notice of the host: the most detailed level of events that anybody wants changed.
    LogLevel = 26;
    /// Child calls: read the ledger that is being copied.
    ReadLedger = 32;
    /// Notice of the child: bytes of an offload, named by its call, reached the store.
    Progress = 33;
    /// Notice of the child: an event of the library's log.
    Log = 34;
    /// Notice of the child: one of the library's own metrics, which has the number from now on.
    Metric = 35;
    /// Notice of the child: values of the library's own metrics.
    Samples = 36;
}

impl Kind {
    /// The longest body.
    fn bytes_max(self, entries_bytes_max: usize) -> usize {
        if self == Self::Entries { entries_bytes_max } else { MESSAGE_BYTES_MAX }
    }
}

/// A frame that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Which call.
    pub id: u64,
    /// The rest.
    pub body: Bytes,
}

/// Why the other end cannot be listened to any longer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A kind that this version does not know.
    #[error("a frame of the unknown kind {0} came")]
    UnknownKind(u16),
    /// Something stands where zeros belong.
    #[error("a frame's reserved bytes hold {0}")]
    Reserved(u16),
    /// Longer than a frame of this kind may be.
    #[error("a frame {kind:?} of {len} bytes came, {max} are allowed")]
    TooLong {
        /// What it is.
        kind: Kind,
        /// Bytes of its body.
        len: usize,
        /// Bytes allowed.
        max: usize,
    },
    /// A body that is not what its kind says.
    #[error("a frame {kind:?} cannot be read: {problem}")]
    Malformed {
        /// What it is.
        kind: Kind,
        /// What is wrong.
        problem: String,
    },
    /// A kind that does not belong here.
    #[error("a frame {0:?} came where none may come")]
    Unexpected(Kind),
    /// An answer to a call that nobody made.
    #[error("an answer to call {0} came, which nobody made")]
    UnknownCall(u64),
    /// More calls at once than agreed.
    #[error("more than {0} calls at once came")]
    TooManyCalls(usize),
    /// Another version of this protocol.
    #[error("the other end speaks version {theirs} of the protocol, this one {ours}")]
    Version {
        /// The other end's.
        theirs: u32,
        /// Ours.
        ours: u32,
    },
    /// The end came within a frame.
    #[error("the connection ended within a frame")]
    CutOff,
    /// The system's word.
    #[error("the connection failed: {0}")]
    Io(String),
}

impl ProtocolError {
    /// A body that cannot be read.
    pub(super) fn malformed(kind: Kind, problem: impl ToString) -> Self {
        Self::Malformed { kind, problem: problem.to_string() }
    }
}

/// A header that stood up to its checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What follows.
    pub kind: Kind,
    /// Which call.
    pub id: u64,
    /// Bytes of the body.
    pub len: usize,
}

impl Header {
    /// Reads a header, or answers `None` where there are not enough bytes yet.
    ///
    /// # Errors
    /// `UnknownKind`, `Reserved`, `TooLong`.
    pub fn peek(bytes: &[u8], entries_bytes_max: usize) -> Result<Option<Self>, ProtocolError> {
        let Some(mut header) = bytes.get(..HEADER_BYTES) else { return Ok(None) };
        let (len, number, reserved) = (header.get_u32_le() as usize, header.get_u16_le(), header.get_u16_le());
        let id = header.get_u64_le();
        let kind = Kind::of(number).ok_or(ProtocolError::UnknownKind(number))?;
        if reserved != 0 {
            return Err(ProtocolError::Reserved(reserved));
        }
        let max = kind.bytes_max(entries_bytes_max);
        if len > max {
            return Err(ProtocolError::TooLong { kind, len, max });
        }
        Ok(Some(Self { kind, id, len }))
    }

    /// Writes a header.
    pub fn put(self, into: &mut BytesMut) {
        into.put_u32_le(u32::try_from(self.len).expect("bodies are bounded far below 4 GiB"));
        into.put_u16_le(self.kind.number());
        into.put_u16_le(0);
        into.put_u64_le(self.id);
    }
}

/// Takes a frame off the front of what came, or answers `None` where there is no whole one yet.
///
/// # Errors
/// Those of [`Header::peek`].
pub fn take(bytes: &mut BytesMut, entries_bytes_max: usize) -> Result<Option<Frame>, ProtocolError> {
    let Some(Header { kind, id, len }) = Header::peek(bytes, entries_bytes_max)? else { return Ok(None) };
    if bytes.len() < HEADER_BYTES + len {
        return Ok(None);
    }
    bytes.advance(HEADER_BYTES);
    Ok(Some(Frame { kind, id, body: bytes.split_to(len).freeze() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: Kind, id: u64, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        Header { kind, id, len: body.len() }.put(&mut bytes);
        bytes.extend_from_slice(body);
        bytes
    }

    #[test]
    fn every_kind_comes_back() {
        for (id, &kind) in Kind::ALL.iter().enumerate() {
            let mut bytes = frame(kind, id as u64, b"body");
            bytes.extend_from_slice(b"next");
            let taken = take(&mut bytes, 100).unwrap().unwrap();
            assert_eq!(taken, Frame { kind, id: id as u64, body: Bytes::from_static(b"body") });
            assert_eq!(&bytes[..], b"next");
        }
    }

    #[test]
    fn a_part_of_a_frame_waits_for_the_rest() {
        let whole = frame(Kind::Health, 7, b"abc");
        for end in 0..whole.len() {
            let mut part = BytesMut::from(&whole[..end]);
            assert_eq!(take(&mut part, 100), Ok(None), "{end}");
            assert_eq!(part.len(), end);
        }
    }

    #[test]
    fn lengths_kinds_and_reserved_bytes_are_checked_by_the_header_alone() {
        let header = |len: usize, kind| {
            let mut bytes = BytesMut::new();
            Header { kind, id: 1, len }.put(&mut bytes);
            bytes
        };
        assert!(matches!(
            take(&mut header(MESSAGE_BYTES_MAX + 1, Kind::Log), usize::MAX),
            Err(ProtocolError::TooLong { max: MESSAGE_BYTES_MAX, .. })
        ));
        assert!(matches!(take(&mut header(101, Kind::Entries), 100), Err(ProtocolError::TooLong { max: 100, .. })));
        assert_eq!(take(&mut header(100, Kind::Entries), 100), Ok(None));
        let mut unknown = header(0, Kind::Log);
        unknown[4] = 99;
        assert_eq!(take(&mut unknown, 100), Err(ProtocolError::UnknownKind(99)));
        let mut reserved = header(0, Kind::Log);
        reserved[6] = 1;
        assert_eq!(take(&mut reserved, 100), Err(ProtocolError::Reserved(1)));
    }
}
