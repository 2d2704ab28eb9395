//! A request's body for the HTTP client: the pieces go to the socket from where they are, several with one call of the system.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use block_format::store::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

/// The client's form of a body.
pub(super) fn body_of(body: &Body) -> reqwest::Body {
    match body.pieces() {
        [] => reqwest::Body::from(Bytes::new()),
        [one] => reqwest::Body::from(one.clone()),
        _ => reqwest::Body::wrap(Pieces { body: body.clone(), next: 0, left: body.len() as u64 }),
    }
}

/// The pieces that were not taken yet.
struct Pieces {
    body: Body,
    next: usize,
    left: u64,
}

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.body.pieces().get(self.next).cloned();
        if let Some(piece) = &piece {
            self.next += 1;
            self.left -= piece.len() as u64;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    /// Exact, so that the request says its length.
    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
