//! What is done to a topic by the clock, as its [`Terms`] say: old messages and unused subscriptions expire, a backlog is cut
//! or keeps producers out, an abandoned topic is found. [`super::terms`] decides.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::deduplication::{self, Deduplication, Ticket};
use super::error::TopicError;
use super::message::MessageView;
use super::subscription::Subscription;
use super::terms::{Terms, Use};
use super::topic::Topic;
use crate::managed_ledger::Position;

/// A topic must be loaded for this long before its subscriptions expire: consumers of before a restart come back first.
const RETURN_MAX: Duration = Duration::from_secs(60);

/// In [`Topic::oldest_age_ms`]: nothing waits, or nobody has looked.
pub(super) const NO_AGE: u64 = u64::MAX;

/// How often a topic's backlog was cut, by the quota that was exceeded, since it was loaded.
#[derive(Debug, Default)]
pub(super) struct Evicted {
    pub(super) by_size: AtomicU64,
    pub(super) by_age: AtomicU64,
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Topic {
    /// The terms in force.
    pub fn terms(&self) -> Arc<Terms> {
        self.terms.read().expect("no code panics while it holds a topic's terms").clone()
    }

    pub(super) fn deduplication(&self) -> Option<Arc<Deduplication>> {
        self.deduplication.read().expect("no code panics while it holds a topic's deduplication").clone()
    }

    /// Puts terms in force.
    ///
    /// # Errors
    /// `Read`, `Storage` when the numbers of producers cannot be recovered or forgotten; the old terms stay then.
    pub async fn set_terms(&self, terms: Arc<Terms>) -> Result<(), TopicError> {
        let _turn = self.terms_turn.lock().await;
        let put = |deduplication| {
            *self.deduplication.write().expect("no code panics while it holds a topic's deduplication") = deduplication;
        };
        match (terms.deduplication, self.deduplication().is_some()) {
            (true, false) => {
                let settings = self.surroundings.settings.deduplication.clone();
                let now_ms = self.surroundings.clock.now_ms();
                put(Some(Arc::new(Deduplication::recover(self.ledger(), settings, now_ms).await?)));
            }
            (false, _) => {
                put(None);
                // It would hold ledgers back.
                self.ledger().delete_cursor(deduplication::CURSOR).await?;
            }
            (true, true) => {}
        }
        *self.terms.write().expect("no code panics while it holds a topic's terms") = terms;
        Ok(())
    }

    /// An entry of a producer is in the log.
    pub(super) fn count_stored(&self, by: Arc<Deduplication>, producer: &str, ticket: Ticket, position: Position) {
        let now_ms = self.surroundings.clock.now_ms();
        if by.stored(producer, ticket, position, now_ms) {
            tokio::spawn(async move { by.record(now_ms).await });
        }
    }

    /// What is done every second or so.
    pub async fn tick(&self) {
        self.ledger().tick().await;
        if let Some(deduplication) = self.deduplication() {
            deduplication.tick(self.surroundings.clock.now_ms(), self.terms().deduplication_interval).await;
        }
    }

    /// Messages that are older than their time to live count as acknowledged.
    pub async fn expire_messages(&self) {
        let Some(ttl) = self.terms().message_ttl else { return };
        let before_ms = self.surroundings.clock.now_ms().saturating_sub(ms(ttl));
        for subscription in self.subscriptions() {
            if let Err(error) = self.expire(&subscription, before_ms).await {
                tracing::warn!(topic = %self.name(), subscription = subscription.name(), %error,
                    "messages did not expire; it will be tried again");
            }
        }
    }

    /// Messages of a subscription from before `before_ms` count as acknowledged. Answers whether there were any.
    ///
    /// # Errors
    /// `Read`.
    pub(super) async fn expire(&self, subscription: &Subscription, before_ms: u64) -> Result<bool, TopicError> {
        let from = self.ledger().valid_from(subscription.cursor().first_unacked());
        // Mostly the oldest is young enough, and a look at it is all.
        if self.age_mark(from).await?.is_none_or(|time_ms| time_ms >= before_ms) {
            return Ok(false);
        }
        subscription.expire_to(self.first_since_in(from, before_ms).await?);
        Ok(true)
    }

    /// When the entry at `position` was stored, milliseconds since 1970; `None` if there is none, or it says nothing.
    async fn age_mark(&self, position: Position) -> Result<Option<u64>, TopicError> {
        let stored = self.entry_at(position).await?;
        let view = stored.as_ref().and_then(|stored| MessageView::of(&stored.entry).ok());
        Ok(view.map(|view| view.time_ms()))
    }

    /// The first position that a durable subscription has not acknowledged.
    fn slowest(&self) -> Option<Position> {
        let durable = self.subscriptions().into_iter().filter(|subscription| subscription.cursor().is_durable());
        durable.map(|subscription| subscription.cursor().first_unacked()).min()
    }

    /// Bytes that wait for the slowest subscription.
    pub fn backlog_bytes(&self) -> u64 {
        self.slowest().map_or(0, |from| self.ledger().bytes_from(from))
    }

    /// Refuses producers while too much waits.
    pub(super) fn check_backlog(&self) -> Result<(), TopicError> {
        let quotas = self.terms().backlog;
        if quotas.bytes.is_none() && quotas.age.is_none() {
            return Ok(());
        }
        let age = Some(self.oldest_age_ms.load(Relaxed)).filter(|age| *age != NO_AGE).map(Duration::from_millis);
        match quotas.refusal(self.backlog_bytes(), age) {
            Some(action) => Err(TopicError::BacklogExceeded(action)),
            None => Ok(()),
        }
    }

    /// Cuts the backlog, or closes producers, where more waits than the quotas allow.
    pub async fn keep_backlog_quotas(&self) {
        let quotas = self.terms().backlog;
        if let Some(bytes) = quotas.bytes_kept(self.backlog_bytes()) {
            self.evict_to(self.ledger().tail_of(bytes), "size", &self.evicted.by_size);
        }
        if quotas.age.is_some() {
            if let Err(error) = self.look_at_age().await {
                tracing::warn!(topic = %self.name(), %error, "the age of the backlog is not known; it will be asked again");
            }
            if let Some(age) = quotas.age_kept() {
                self.evict_older(age).await;
            }
        } else {
            self.oldest_age_ms.store(NO_AGE, Relaxed);
        }
        if self.check_backlog().is_err() && self.client_count() > 0 {
            tracing::warn!(topic = %self.name(), "the backlog is over its quota; producers are closed");
            self.close_producers();
        }
    }

    async fn look_at_age(&self) -> Result<(), TopicError> {
        let mark = match self.slowest() {
            Some(from) => self.age_mark(self.ledger().valid_from(from)).await?,
            None => None,
        };
        let now_ms = self.surroundings.clock.now_ms();
        self.oldest_age_ms.store(mark.map_or(NO_AGE, |time_ms| now_ms.saturating_sub(time_ms)), Relaxed);
        Ok(())
    }

    async fn evict_older(&self, age: Duration) {
        let Some(from) = self.slowest() else { return };
        let before_ms = self.surroundings.clock.now_ms().saturating_sub(ms(age));
        match self.first_since_in(self.ledger().valid_from(from), before_ms).await {
            Ok(end) => self.evict_to(end, "age", &self.evicted.by_age),
            Err(error) => {
                tracing::warn!(topic = %self.name(), %error, "the backlog was not cut; it will be tried again")
            }
        }
    }

    /// `count` is of evictions, as the original has it: times that a backlog was cut, not entries.
    fn evict_to(&self, end: Position, quota: &'static str, count: &AtomicU64) {
        let mut evicted = false;
        let durable = self.subscriptions().into_iter().filter(|subscription| subscription.cursor().is_durable());
        for subscription in durable.filter(|subscription| subscription.cursor().first_unacked() < end) {
            let entries = subscription.skip_to(end);
            evicted = true;
            tracing::warn!(topic = %self.name(), subscription = subscription.name(), entries, quota,
                "the backlog is over its quota; its oldest entries count as acknowledged");
        }
        count.fetch_add(u64::from(evicted), Relaxed);
    }

    /// Deletes subscriptions that nobody used for as long as the terms say.
    pub async fn expire_subscriptions(&self) {
        let Some(expiry) = self.terms().subscription_expiry else { return };
        let now_ms = self.surroundings.clock.now_ms();
        for subscription in self.subscriptions() {
            let cursor = subscription.cursor();
            if !cursor.is_durable() {
                continue;
            }
            // Noted also while it is used: after a crash it is known that it was.
            if subscription.is_in_use() || cursor.last_active_ms() == 0 {
                cursor.touch(now_ms);
                continue;
            }
            let is_settled = now_ms.saturating_sub(self.loaded_ms) >= ms(RETURN_MAX);
            if is_settled && now_ms.saturating_sub(cursor.last_active_ms()) >= ms(expiry) {
                match self.delete_subscription(subscription.name(), false).await {
                    Ok(()) => tracing::info!(topic = %self.name(), subscription = subscription.name(),
                        "a subscription that nobody used expired"),
                    Err(error) => tracing::debug!(topic = %self.name(), subscription = subscription.name(), %error,
                        "a subscription did not expire"),
                }
            }
        }
    }

    pub(super) fn use_now(&self) -> Use {
        let subscriptions = self.subscriptions();
        let behind = |subscription: &Arc<Subscription>| subscription.cursor().backlog() > 0;
        Use {
            clients: self.client_count(),
            subscriptions: subscriptions.len(),
            unread: subscriptions.iter().any(behind),
        }
    }

    /// Whether the terms say that the topic goes: nobody has used it for long enough, and retention does not keep it.
    pub fn is_abandoned(&self) -> bool {
        let Some(rule) = self.terms().inactive else { return false };
        let now_ms = self.surroundings.clock.now_ms();
        if rule.is_used(self.use_now()) {
            self.used_ms.store(now_ms, Relaxed);
            return false;
        }
        let idle_ms = now_ms.saturating_sub(self.used_ms.load(Relaxed));
        let is_retained = self.ledger().settings().retention.time_ms.is_none_or(|kept_ms| idle_ms < kept_ms);
        idle_ms >= ms(rule.after) && !is_retained
    }
}

#[cfg(test)]
mod tests;
