//! The figures of a subscription.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{Dispatcher, Subscription};
use crate::topic::consumer::{ConsumerKey, SubscriptionKind};
use crate::topic::stats::{ConsumerStats, SubscriptionStats};

impl Subscription {
    /// Figures now.
    pub fn stats(&self) -> SubscriptionStats {
        let state = self.lock();
        let settings = &self.surroundings.settings;
        let mut stats = SubscriptionStats {
            traffic_out: self.out.snapshot(),
            redelivered: self.redelivered.snapshot(),
            acknowledged: self.acknowledged.snapshot(),
            expired: self.expired.snapshot(),
            last_expired_ms: self.expired_ms.load(Relaxed),
            backlog_entries: self.cursor.backlog(),
            kind: state.kind.map(SubscriptionKind::as_str),
            durable: self.cursor.is_durable(),
            consumers: state
                .dispatcher
                .consumers()
                .iter()
                .map(|c| c.stats(settings.unacked_per_consumer_max))
                .collect(),
            properties: self.properties.clone(),
            last_flow_ms: state.flow_ms,
            last_consumed_ms: state.consumed_ms,
            last_acked_ms: state.acked_ms,
            ..SubscriptionStats::default()
        };
        let read = match &state.dispatcher {
            Dispatcher::Idle => self.cursor.first_unacked(),
            Dispatcher::Single(single) => {
                stats.active_consumer = single.active().map(|consumer| consumer.request.name.clone());
                single.read_position()
            }
            Dispatcher::Multi(multi) => {
                stats.delayed_entries = multi.delayed_count() as u64;
                stats.replay_entries = multi.replay_count() as u64;
                stats.unacked_messages = multi.unacked;
                stats.blocked_on_unacked = multi.is_blocked_on_unacked(settings.unacked_per_subscription_max);
                stats.allow_out_of_order = multi.allow_out_of_order;
                multi.read_position()
            }
        };
        stats.read_position = Some((read.ledger_id.0, read.entry_id));
        stats
    }

    pub(in crate::topic) fn consumer_stats(
        &self,
        key: ConsumerKey,
    ) -> Option<(ConsumerStats, Option<SubscriptionKind>, u64)> {
        let mut state = self.lock();
        let limit = self.surroundings.settings.unacked_per_consumer_max;
        let stats = state.dispatcher.consumer(key)?.stats(limit);
        Some((stats, state.kind, self.cursor.backlog()))
    }

    pub(in crate::topic) fn tick_rates(&self, elapsed: Duration) {
        [&self.out, &self.redelivered, &self.acknowledged, &self.expired]
            .iter()
            .for_each(|counter| counter.tick(elapsed));
        for consumer in self.lock().dispatcher.consumers() {
            [&consumer.out, &consumer.redelivered, &consumer.acknowledged].iter().for_each(|c| c.tick(elapsed));
        }
    }
}
