//! What a request writes: pieces of memory in their order, so that bytes are sent from where they are.

use std::sync::Arc;

use bytes::Bytes;

/// Bytes in pieces. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Body {
    /// None is empty.
    pieces: Arc<[Bytes]>,
    len: usize,
}

impl Body {
    /// The pieces one behind the other.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: Arc<[Bytes]> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let len = pieces.iter().map(Bytes::len).sum();
        Self { pieces, len }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The pieces; none of them is empty.
    pub fn pieces(&self) -> &[Bytes] {
        &self.pieces
    }

    /// All bytes in one place: copied, unless there is only one piece.
    pub fn to_bytes(&self) -> Bytes {
        match &*self.pieces {
            [] => Bytes::new(),
            [one] => one.clone(),
            pieces => pieces.concat().into(),
        }
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::new([bytes])
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_body() {
        let one = Bytes::from_static(b"one");
        let body = Body::new([one.clone(), Bytes::new(), Bytes::from_static(b" two")]);
        assert_eq!((body.len(), body.pieces().len(), &body.to_bytes()[..]), (7, 2, &b"one two"[..]));
        assert_eq!(Body::from(one.clone()).to_bytes().as_ptr(), one.as_ptr(), "one piece is not copied");
        assert!(Body::from(Bytes::new()).is_empty() && Body::default().to_bytes().is_empty());
    }
}
