//! The task of a subscription: reads what its dispatcher wants, and hands it over.
//!
//! One read at a time. A read that is no longer wanted, because the place moved or the consumers left, is dropped, so that
//! a store that hangs holds up nobody who went elsewhere. A read that fails is tried again after a pause that doubles; the
//! failure is logged once, and the recovery once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::Instant;

use super::dispatcher::{Plan, Wanted};
use super::subscription::Subscription;
use crate::managed_ledger::Position;
use crate::storage::ReadError;

/// Pause after the first failed read.
const RETRY_FIRST: Duration = Duration::from_millis(100);
/// Longest pause between reads that fail.
const RETRY_MAX: Duration = Duration::from_secs(10);
/// Longest wait after entries were read that nobody took, if nothing wakes the task before.
const STALL_MAX: Duration = Duration::from_secs(1);

/// A place that cannot be read.
struct Failing {
    from: Position,
    pause: Duration,
    again: Instant,
}

impl Subscription {
    /// Runs until the subscription is closed.
    pub(super) async fn run(self: Arc<Self>) {
        let mut end = self.surroundings.ledger.watch_end();
        let mut failing: Option<Failing> = None;
        loop {
            let end_now = *end.borrow_and_update();
            let Some(plan) = self.plan(end_now) else { break };
            match plan {
                Plan::Wait(until_ms) => self.wait(None, self.instant(until_ms)).await,
                Plan::AtEnd(until_ms) => self.wait(Some(&mut end), self.instant(until_ms)).await,
                Plan::Read(wanted) | Plan::Replay(wanted) => {
                    let paused = failing.as_ref().filter(|failing| failing.from == wanted.from);
                    if let Some(again) = paused.map(|failing| failing.again).filter(|again| *again > Instant::now()) {
                        self.wait(None, Some(again)).await;
                    } else if let Some(read) = self.read(wanted, &end).await {
                        self.take(plan, wanted, read, &mut failing).await;
                    }
                }
            }
        }
        self.ended.cancel();
    }

    fn instant(&self, until_ms: Option<u64>) -> Option<Instant> {
        let left_ms = until_ms?.saturating_sub(self.surroundings.clock.now_ms()).max(1);
        Some(Instant::now() + Duration::from_millis(left_ms))
    }

    async fn wait(&self, end: Option<&mut watch::Receiver<Position>>, until: Option<Instant>) {
        let new_entries = async {
            // The managed ledger outlives its subscriptions, so its sender is there.
            let changed = match end {
                Some(end) => end.changed().await.is_ok(),
                None => false,
            };
            if !changed {
                std::future::pending().await
            }
        };
        let time = async {
            match until {
                Some(until) => tokio::time::sleep_until(until).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = self.wake.notified() => {}
            () = new_entries => {}
            () = time => {}
        }
    }

    /// Reads, as long as that is wanted; `None` when it no longer is.
    async fn read(
        &self,
        wanted: Wanted,
        end: &watch::Receiver<Position>,
    ) -> Option<Result<Vec<(Position, Bytes)>, ReadError>> {
        let read = self.surroundings.ledger.read(wanted.from, wanted.entries_max, wanted.bytes_max);
        tokio::pin!(read);
        loop {
            tokio::select! {
                biased;
                result = &mut read => return Some(result),
                () = self.wake.notified() => {}
            }
            let end_now = *end.borrow();
            if self.plan(end_now).and_then(|plan| plan.from()) != Some(wanted.from) {
                // Somebody else consumed the wake-up: the next round looks again.
                self.wake.notify_one();
                return None;
            }
        }
    }

    async fn take(
        &self,
        plan: Plan,
        wanted: Wanted,
        read: Result<Vec<(Position, Bytes)>, ReadError>,
        failing: &mut Option<Failing>,
    ) {
        match read {
            Ok(entries) => {
                if failing.take().is_some() {
                    tracing::info!(topic = %self.surroundings.topic, subscription = self.name(),
                        position = %wanted.from, "entries can be read again");
                }
                if self.accept(plan, entries) {
                    tokio::task::yield_now().await;
                } else {
                    self.wait(None, Some(Instant::now() + STALL_MAX)).await;
                }
            }
            Err(error) => {
                let before = failing.take().filter(|failing| failing.from == wanted.from);
                if before.is_none() {
                    tracing::error!(topic = %self.surroundings.topic, subscription = self.name(),
                        position = %wanted.from, %error, "entries cannot be read; trying again until they can");
                }
                let pause = before.map_or(RETRY_FIRST, |failing| (failing.pause * 2).min(RETRY_MAX));
                *failing = Some(Failing { from: wanted.from, pause, again: Instant::now() + pause });
            }
        }
    }
}
