//! The body of an answer that may be long in coming, but may not stop.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::time::{Instant, Sleep, sleep};

use super::failure::Failure;

/// The chunks of a body, until none comes for a while.
pub(super) struct UntilSilent<S> {
    chunks: S,
    silence_max: Duration,
    /// Counts from the moment at which there was nothing to read.
    end: Pin<Box<Sleep>>,
    is_silent: bool,
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> UntilSilent<S> {
    pub(super) fn new(chunks: S, silence_max: Duration) -> Self {
        Self { chunks, silence_max, end: Box::pin(sleep(silence_max)), is_silent: false }
    }
}

impl<S: Stream<Item = reqwest::Result<Bytes>> + Unpin> Stream for UntilSilent<S> {
    type Item = Result<Bytes, Failure>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        if let Poll::Ready(chunk) = this.chunks.poll_next_unpin(context) {
            this.is_silent = false;
            return Poll::Ready(chunk.map(|chunk| chunk.map_err(Failure::of_client)));
        }
        if !this.is_silent {
            this.is_silent = true;
            this.end.as_mut().reset(Instant::now() + this.silence_max);
        }
        ready!(this.end.as_mut().poll(context));
        let how = format!("the answer stopped for {} s", this.silence_max.as_secs_f32());
        Poll::Ready(Some(Err(Failure::TimedOut(how))))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn a_body_may_be_slow_and_may_not_stop() {
        let pause = Duration::from_millis(30);
        let slow = stream::unfold(0, |sent| async move {
            sleep(Duration::from_millis(if sent < 4 { 30 } else { 60_000 })).await;
            Some((Ok(Bytes::from_static(b"x")), sent + 1))
        });
        let mut body = UntilSilent::new(Box::pin(slow), pause * 10);
        for _ in 0..4 {
            assert_eq!(body.next().await.unwrap().unwrap(), "x");
        }
        let stopped = body.next().await.unwrap().unwrap_err();
        assert!(matches!(&stopped, Failure::TimedOut(how) if how == "the answer stopped for 0.3 s"), "{stopped:?}");
    }
}
