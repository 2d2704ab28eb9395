//! Bytes on their way to the socket: many callers append whole frames, one task writes them in large pieces.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// Bytes that may wait; a single frame may be larger.
const WAITING_BYTES_MAX: usize = 4 << 20;

/// The waiting frames of one connection.
#[derive(Default)]
pub(super) struct Outbox {
    waiting: Mutex<Waiting>,
    filled: Notify,
    drained: Notify,
}

#[derive(Default)]
struct Waiting {
    frames: BytesMut,
    closed: bool,
}

impl Outbox {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends the whole frame that `write` writes, once there is room; answers what `write` does. After
    /// [`Outbox::close`] nothing is appended, and the answer is `None`.
    pub(super) async fn put<T>(&self, write: impl FnOnce(&mut BytesMut) -> T) -> Option<T> {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            drained.as_mut().enable();
            if self.has_room() {
                return self.put_now(write);
            }
            drained.await;
        }
    }

    fn has_room(&self) -> bool {
        let waiting = self.lock();
        waiting.closed || waiting.frames.len() < WAITING_BYTES_MAX
    }

    /// Appends a small frame whether there is room or not.
    pub(super) fn put_now<T>(&self, write: impl FnOnce(&mut BytesMut) -> T) -> Option<T> {
        let mut waiting = self.lock();
        if waiting.closed {
            return None;
        }
        let answer = write(&mut waiting.frames);
        drop(waiting);
        self.filled.notify_one();
        Some(answer)
    }

    /// Writes what waits before, then ends [`Outbox::write_to`].
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Writes to `socket` until the outbox is closed and empty.
    pub(super) async fn write_to(&self, socket: &mut (impl AsyncWrite + Unpin)) -> std::io::Result<()> {
        let mut piece = BytesMut::new();
        loop {
            let closed = {
                let mut waiting = self.lock();
                std::mem::swap(&mut waiting.frames, &mut piece);
                waiting.closed
            };
            if piece.is_empty() {
                if closed {
                    return socket.shutdown().await;
                }
                self.filled.notified().await;
                continue;
            }
            self.drained.notify_waiters();
            socket.write_all(&piece).await?;
            // What encrypts keeps back what has not filled a record.
            socket.flush().await?;
            piece.clear();
        }
    }
}
