//! What operators and seeking clients do to a topic: find places, move and skip, look at entries, terminate.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::error::TopicError;
use super::message::MessageView;
use super::subscription::Subscription;
use super::topic::Topic;
use crate::managed_ledger::Position;
use crate::storage::ReadError;

/// A place as clients and operators name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StartAt {
    /// Before the first entry.
    Earliest,
    /// Behind the last.
    Latest,
    /// At an entry, or the next one that exists.
    Entry(Position),
    /// Behind the newest entry older than this, milliseconds since 1970.
    Time(u64),
}

/// An entry and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Where.
    pub position: Position,
    /// The bytes as stored.
    pub entry: Bytes,
}

impl Topic {
    /// The position that `at` means; a position beyond the end means `otherwise`.
    ///
    /// # Errors
    /// `Read` when a search by time meets entries that cannot be read.
    pub async fn place(&self, at: StartAt, otherwise: StartAt) -> Result<Position, TopicError> {
        let ledger = self.ledger();
        match at {
            StartAt::Earliest => Ok(ledger.first()),
            StartAt::Latest if otherwise == StartAt::Earliest => Ok(ledger.first()),
            StartAt::Latest => Ok(ledger.end()),
            StartAt::Entry(position) if position < ledger.end() => Ok(ledger.valid_from(position)),
            StartAt::Entry(_) if otherwise == StartAt::Earliest => Ok(ledger.first()),
            StartAt::Entry(_) => Ok(ledger.end()),
            StartAt::Time(time_ms) => self.first_since(time_ms).await,
        }
    }

    /// The first entry behind the newest one older than `time_ms`, the end if all are older. A binary search: publish times
    /// are taken to ascend, as Pulsar does.
    ///
    /// # Errors
    /// `Read` when entries cannot be read.
    pub async fn first_since(&self, time_ms: u64) -> Result<Position, TopicError> {
        self.first_since_in(self.ledger().first(), time_ms).await
    }

    /// Like [`first_since`](Self::first_since), from `first` on.
    pub(super) async fn first_since_in(&self, first: Position, time_ms: u64) -> Result<Position, TopicError> {
        let ledger = self.ledger();
        let end = ledger.end();
        let (mut low, mut high) = (0, ledger.count(first, end));
        while low < high {
            let middle = low + (high - low) / 2;
            // Entries may be trimmed meanwhile; then the search ends early, at a place that exists.
            let Some(position) = ledger.nth(first, middle) else { break };
            if self.time_of(position).await? < time_ms {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(ledger.nth(first, low).unwrap_or(end))
    }

    async fn time_of(&self, position: Position) -> Result<u64, TopicError> {
        let stored = self.entry_at(position).await?;
        let view = stored.as_ref().and_then(|stored| MessageView::of(&stored.entry).ok());
        Ok(view.map_or(0, |view| view.time_ms()))
    }

    /// The entry at `position`; `None` if there is none.
    ///
    /// # Errors
    /// `Read`.
    pub async fn entry_at(&self, position: Position) -> Result<Option<StoredEntry>, ReadError> {
        if position >= self.ledger().end() || self.ledger().valid_from(position) != position {
            return Ok(None);
        }
        let entries = self.ledger().read(position, 1, u64::MAX).await?;
        let found = entries.into_iter().next().filter(|(found, _)| *found == position);
        Ok(found.map(|(position, entry)| StoredEntry { position, entry }))
    }

    /// The newest entry that consumers can get; `None` if there is none.
    ///
    /// # Errors
    /// `Read`.
    pub async fn last_message(&self) -> Result<Option<StoredEntry>, ReadError> {
        let mut next = self.ledger().last_confirmed();
        while let Some(position) = next {
            let found = self.entry_at(position).await?;
            let is_marker = |stored: &StoredEntry| MessageView::of(&stored.entry).is_ok_and(|view| view.marker);
            if let Some(stored) = found.filter(|stored| !is_marker(stored)) {
                return Ok(Some(stored));
            }
            next = self.ledger().previous(position);
        }
        Ok(None)
    }

    fn known(&self, name: &str) -> Result<Arc<Subscription>, TopicError> {
        self.subscription(name).ok_or_else(|| TopicError::SubscriptionNotFound {
            subscription: name.to_owned(),
            topic: self.name().clone(),
        })
    }

    /// Makes a durable subscription.
    ///
    /// # Errors
    /// `SubscriptionExists`, `NotReady`, and those of storage.
    pub async fn create_subscription(
        self: &Arc<Self>,
        name: &str,
        at: StartAt,
        properties: BTreeMap<String, String>,
    ) -> Result<(), TopicError> {
        let place = self.place(at, StartAt::Latest).await?;
        match self.make(name, true, place, &properties).await? {
            (_, true) => Ok(()),
            (_, false) => Err(TopicError::SubscriptionExists),
        }
    }

    /// Deletes a subscription.
    ///
    /// # Errors
    /// `SubscriptionNotFound`; `SubscriptionInUse` unless `force`, which closes its consumers; those of storage.
    pub async fn delete_subscription(&self, name: &str, force: bool) -> Result<(), TopicError> {
        let subscription = self.known(name)?;
        let _turn = subscription.turn.lock().await;
        if subscription.is_in_use() && !force {
            return Err(TopicError::SubscriptionInUse);
        }
        subscription.close(None);
        if subscription.cursor().is_durable() {
            return self.retire(&subscription).await;
        }
        subscription.gone.cancelled().await;
        Ok(())
    }

    /// Acknowledges everything there is now.
    ///
    /// # Errors
    /// `SubscriptionNotFound`.
    pub fn skip_all(&self, subscription: &str) -> Result<(), TopicError> {
        self.known(subscription)?.skip_to(self.ledger().end());
        Ok(())
    }

    /// Acknowledges the next `count` entries that are not acknowledged.
    ///
    /// # Errors
    /// `SubscriptionNotFound`.
    pub fn skip(&self, subscription: &str, count: u64) -> Result<(), TopicError> {
        let subscription = self.known(subscription)?;
        if let Some(last) = count.checked_sub(1).map(|n| self.nth_unacknowledged(&subscription, n)) {
            subscription.skip_to(last.map_or(self.ledger().end(), Position::next));
        }
        Ok(())
    }

    /// The entry `n` entries behind the first one that is not acknowledged, counting only such entries.
    fn nth_unacknowledged(&self, subscription: &Subscription, n: u64) -> Option<Position> {
        let snapshot = subscription.cursor().snapshot();
        let is_acked = |position: Position| snapshot.acked.contains(position);
        let mut at = self.ledger().nth(snapshot.first_unacked, 0)?;
        let mut left = n;
        loop {
            if !is_acked(at) {
                if left == 0 {
                    return Some(at);
                }
                left -= 1;
            }
            at = self.ledger().nth(at, 1)?;
        }
    }

    /// Entries of a subscription that are older than `age` count as acknowledged. Answers whether there were any.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `Read`.
    pub async fn expire_older(&self, subscription: &str, age: Duration) -> Result<bool, TopicError> {
        let age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
        let before_ms = self.surroundings.clock.now_ms().saturating_sub(age_ms);
        self.expire(&*self.known(subscription)?, before_ms).await
    }

    /// Entries of a subscription up to a place count as acknowledged; `behind` it also the one there. Answers whether there
    /// were any.
    ///
    /// # Errors
    /// `SubscriptionNotFound`.
    pub fn expire_through(&self, subscription: &str, last: Position) -> Result<bool, TopicError> {
        let subscription = self.known(subscription)?;
        let end = self.ledger().valid_from(last.next());
        let is_ahead = subscription.cursor().first_unacked() < end;
        if is_ahead {
            subscription.expire_to(end);
        }
        Ok(is_ahead)
    }

    /// Moves a subscription; its consumers come again.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `Read`, `NotReady`, `Storage`.
    pub async fn reset(&self, subscription: &str, to: StartAt) -> Result<Position, TopicError> {
        let subscription = self.known(subscription)?;
        let place = self.place(to, StartAt::Latest).await?;
        subscription.reset(place).await?;
        Ok(place)
    }

    /// The `n`-th entry, 1 for the first, that a subscription has not acknowledged; `None` if it has fewer.
    ///
    /// # Errors
    /// `SubscriptionNotFound`, `Read`.
    pub async fn peek(&self, subscription: &str, n: u64) -> Result<Option<StoredEntry>, TopicError> {
        let subscription = self.known(subscription)?;
        match self.nth_unacknowledged(&subscription, n.saturating_sub(1)) {
            Some(position) => Ok(self.entry_at(position).await?),
            None => Ok(None),
        }
    }

    /// Ends the topic: no message can follow. Answers its end, exclusive. Producers are closed, and find it terminated when
    /// they come again; consumers read on.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn terminate(&self) -> Result<Position, TopicError> {
        let end = self.ledger().terminate().await?;
        self.set_terminated();
        self.close_producers();
        Ok(end)
    }
}
