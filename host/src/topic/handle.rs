//! A connected consumer, as its connection holds it.

use std::sync::Arc;

use super::consumer::{ConsumerKey, SubscriptionKind};
use super::error::TopicError;
use super::stats::ConsumerStats;
use super::subscription::{Acknowledged, Subscription};
use super::topic::Topic;
use crate::managed_ledger::Position;

/// A connected consumer. Dropping it disconnects it: what it did not acknowledge is delivered again.
pub struct ConsumerHandle {
    pub(super) topic: Arc<Topic>,
    pub(super) subscription: Arc<Subscription>,
    pub(super) key: ConsumerKey,
}

impl ConsumerHandle {
    /// Its topic.
    pub fn topic(&self) -> &Arc<Topic> {
        &self.topic
    }

    /// Its subscription.
    pub fn subscription(&self) -> &Arc<Subscription> {
        &self.subscription
    }

    /// Whether it is still connected: the broker may have closed it.
    pub fn is_live(&self) -> bool {
        self.subscription.has(self.key)
    }

    /// It has room for so many more messages.
    pub fn flow(&self, permits: u32) {
        self.subscription.flow(self.key, permits);
    }

    /// Entries, or parts of batches, are done with.
    pub fn acknowledge(&self, entries: Vec<Acknowledged>) {
        self.subscription.acknowledge(self.key, entries);
    }

    /// Everything up to and including `last` is done with. Ignored on Shared and Key_Shared.
    pub fn acknowledge_through(&self, last: Acknowledged) {
        self.subscription.acknowledge_through(self.key, last);
    }

    /// Gives out again what it holds: those entries, or all.
    pub fn redeliver(&self, only: Option<&[Position]>, epoch: Option<u64>) {
        self.subscription.redeliver(self.key, only, epoch);
    }

    /// Deletes the subscription.
    ///
    /// # Errors
    /// `Metadata` when others are connected and `force` is not set; those of storage.
    pub async fn unsubscribe(&self, force: bool) -> Result<(), TopicError> {
        let others = self.subscription.consumer_count() > usize::from(self.is_live());
        if others && !force {
            return Err(TopicError::Metadata("Unconnected or shared consumer attempting to unsubscribe".to_owned()));
        }
        let _turn = self.subscription.turn.lock().await;
        self.subscription.close(Some(self.key));
        if self.subscription.cursor().is_durable() {
            return self.topic.retire(&self.subscription).await;
        }
        // The task of a reader's subscription removes it.
        self.subscription.gone.cancelled().await;
        Ok(())
    }

    /// Figures now, the subscription's kind, and its backlog in entries.
    pub fn stats(&self) -> Option<(ConsumerStats, Option<SubscriptionKind>, u64)> {
        self.subscription.consumer_stats(self.key)
    }
}

impl Drop for ConsumerHandle {
    fn drop(&mut self) {
        self.subscription.remove(self.key);
    }
}
