//! The sending half of a connection: frames in the order in which they were pushed, written from where their payloads lie.
//!
//! Whoever pushes into an idle outbox writes at once, on its own thread and without waiting; what the socket does not take is
//! left to [`Outbox::run`]. So a frame that fits costs no wake-up of another task. What queues is bounded by what is allowed to
//! be in flight: each frame belongs to a call, and notices are left out while the outbox is [congested](Outbox::is_congested).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Buf, Bytes};
use tokio::net::UnixStream;
use tokio::sync::Notify;

/// Pieces of one write: as many as the system takes (`IOV_MAX`), since entries may be small.
const PIECES_MAX: usize = 1024;

/// Pieces in the queue from which on notices that can be done without are left out.
const CONGESTED_PIECES: usize = 1024;

pub(super) struct Outbox {
    stream: Arc<UnixStream>,
    queue: Mutex<Queue>,
    /// What was taken off the queue and is being written; locked by the one that writes.
    writing: Mutex<VecDeque<Bytes>>,
    blocked: Notify,
}

#[derive(Default)]
struct Queue {
    pieces: VecDeque<Bytes>,
    /// Somebody writes, or the socket is full and `run` will.
    is_written: bool,
    failed: bool,
}

/// How far a flush came.
#[derive(PartialEq, Eq)]
enum Flushed {
    All,
    Blocked,
}

impl Outbox {
    pub(super) fn new(stream: Arc<UnixStream>) -> Self {
        Self { stream, queue: Mutex::default(), writing: Mutex::default(), blocked: Notify::new() }
    }

    /// Sends a frame: its head, then its payloads. Never waits. Frames after a failure of the socket are dropped; the reading
    /// half notices that failure too.
    pub(super) fn push(&self, head: Bytes, payloads: impl IntoIterator<Item = Bytes>) {
        let mut queue = self.queue();
        if queue.failed {
            return;
        }
        queue.pieces.push_back(head);
        queue.pieces.extend(payloads.into_iter().filter(|payload| !payload.is_empty()));
        if queue.is_written {
            return;
        }
        queue.is_written = true;
        drop(queue);
        self.flush_or_leave();
    }

    /// Whether so much waits that notices should be left out.
    pub(super) fn is_congested(&self) -> bool {
        self.queue().pieces.len() > CONGESTED_PIECES
    }

    /// Whether everything was written.
    pub(super) fn is_empty(&self) -> bool {
        let queue = self.queue();
        queue.failed || !queue.is_written
    }

    /// Writes what the socket did not take at once, for as long as it lives.
    pub(super) async fn run(&self) {
        loop {
            self.blocked.notified().await;
            loop {
                if let Err(error) = self.stream.writable().await {
                    return self.fail(&error);
                }
                match self.flush() {
                    Ok(Flushed::All) => break,
                    Ok(Flushed::Blocked) => {}
                    Err(error) => return self.fail(&error),
                }
            }
        }
    }

    fn flush_or_leave(&self) {
        match self.flush() {
            Ok(Flushed::All) => {}
            Ok(Flushed::Blocked) => self.blocked.notify_one(),
            Err(error) => self.fail(&error),
        }
    }

    /// Writes until nothing is left or the socket is full.
    fn flush(&self) -> io::Result<Flushed> {
        let mut writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if writing.is_empty() {
                let mut queue = self.queue();
                if queue.pieces.is_empty() {
                    queue.is_written = false;
                    return Ok(Flushed::All);
                }
                std::mem::swap(&mut *writing, &mut queue.pieces);
            }
            let slices: Vec<IoSlice<'_>> = writing.iter().take(PIECES_MAX).map(|piece| IoSlice::new(piece)).collect();
            match self.stream.try_write_vectored(&slices) {
                Ok(written) => advance(&mut writing, written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Flushed::Blocked),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn fail(&self, error: &io::Error) {
        tracing::debug!(%error, "the connection to a driver's process takes nothing any more");
        let mut queue = self.queue();
        queue.failed = true;
        queue.pieces.clear();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes `written` bytes off the front.
fn advance(pieces: &mut VecDeque<Bytes>, mut written: usize) {
    while let Some(piece) = pieces.front_mut() {
        if written < piece.len() {
            piece.advance(written);
            return;
        }
        written -= piece.len();
        pieces.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn more_than_the_socket_takes_arrives_in_order() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let outbox = Arc::new(Outbox::new(Arc::new(near)));
        let running = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.run().await }
        });
        let payload = |n: u8| Bytes::from(vec![n; 300_000]);
        for n in 0..10 {
            outbox.push(Bytes::copy_from_slice(&[n]), [payload(n), Bytes::new(), payload(n)]);
        }
        let mut received = vec![0; 10 * 600_001];
        far.read_exact(&mut received).await.unwrap();
        for (n, frame) in received.chunks(600_001).enumerate() {
            assert!(frame.iter().all(|byte| *byte == n as u8), "frame {n}");
        }
        while !outbox.is_empty() {
            tokio::task::yield_now().await;
        }
        running.abort();
    }

    #[tokio::test]
    async fn a_socket_that_closed_drops_what_comes() {
        let (near, far) = UnixStream::pair().unwrap();
        drop(far);
        let outbox = Outbox::new(Arc::new(near));
        outbox.push(Bytes::from_static(b"head"), []);
        outbox.run().await;
        outbox.push(Bytes::from_static(b"head"), []);
        assert!(outbox.is_empty());
    }
}
