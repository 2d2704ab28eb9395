//! SUBSCRIBE, FLOW, ACK, REDELIVER, SEEK, UNSUBSCRIBE, CLOSE_CONSUMER, GET_LAST_MESSAGE_ID, CONSUMER_STATS.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::command::{
    Ack, AckResponse, CloseConsumer, Command, ConsumerStats, ConsumerStatsResponse, Flow, GetLastMessageId,
    GetLastMessageIdResponse, KeySharedMeta, KeyValue, MessageId, NONE, Redeliver, Seek, ServerError, Subscribe,
    Success, Unsubscribe,
};
use super::connection::{Connection, Outcome, Slot, Violation};
use super::outgoing::{Outgoing, message_id};
use super::refusal;
use super::schemas::definition;
use super::server::Shared;
use crate::access::Principal;
use crate::access::rules::Wish;
use crate::managed_ledger::Position;
use crate::storage::LedgerId;
use crate::topic::client::Client;
use crate::topic::consumer::{ConsumerRequest, KeySharing, SubscriptionKind};
use crate::topic::message::MessageView;
use crate::topic::subscription::{Acknowledged, Subscription};
use crate::topic::{ConsumerHandle, Missing, StartAt, SubscribeRequest, Topic, TopicError, TopicName};

const CUMULATIVE: i32 = 1;
const FROM_EARLIEST: i32 = 1;
const STICKY: i32 = 1;

/// A consumer that was asked for.
pub(super) struct Subscribed {
    consumer_id: u64,
    request_id: u64,
    request: u64,
    result: Result<ConsumerHandle, TopicError>,
}

impl Connection {
    /// SUBSCRIBE.
    pub(super) fn subscribe(&mut self, command: Subscribe) {
        let (consumer_id, request_id) = (command.consumer_id, command.request_id);
        match self.consumers.get(&consumer_id) {
            Some(Slot::Pending { .. }) => {
                let text = "Consumer is already present on the connection";
                return self.out.send(refusal::plain(request_id, ServerError::ServiceNotReady, text));
            }
            Some(Slot::Live(consumer)) if consumer.is_live() => {
                return self.out.send(Command::Success(Success { request_id }));
            }
            _ => {}
        }
        let request = self.number();
        self.consumers.insert(consumer_id, Slot::Pending { request, permits: 0 });
        let shared = self.shared.clone();
        let (client, principal) = (self.out.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let result = open_consumer(&shared, &principal, command, client).await;
            Outcome::Subscribed(Subscribed { consumer_id, request_id, request, result })
        });
    }

    pub(super) fn subscribed(&mut self, subscribed: Subscribed) {
        let Subscribed { consumer_id, request_id, request, result } = subscribed;
        let expected = match self.consumers.get(&consumer_id) {
            Some(Slot::Pending { request: pending, permits }) if *pending == request => Some(*permits),
            _ => None,
        };
        match (result, expected) {
            (Ok(consumer), Some(permits)) => {
                self.out.send(Command::Success(Success { request_id }));
                if permits > 0 {
                    consumer.flow(permits);
                }
                self.consumers.insert(consumer_id, Slot::Live(consumer));
            }
            // The client closed it before it was there: dropping it disconnects it.
            (Ok(consumer), None) => drop(consumer),
            (Err(error), expected) => {
                if expected.is_some() {
                    self.consumers.remove(&consumer_id);
                }
                self.out.send(refusal::error(request_id, &error));
            }
        }
    }

    fn consumer(&self, consumer_id: u64) -> Option<&ConsumerHandle> {
        match self.consumers.get(&consumer_id) {
            Some(Slot::Live(consumer)) => Some(consumer),
            _ => None,
        }
    }

    fn live_consumer(&self, consumer_id: u64) -> Option<&ConsumerHandle> {
        self.consumer(consumer_id).filter(|consumer| consumer.is_live())
    }

    /// FLOW. Without permits it is a violation, as in Pulsar.
    pub(super) fn flow(&mut self, flow: &Flow) -> Result<(), Violation> {
        if flow.permits == 0 {
            return Err(Violation::Command("FLOW without permits".to_owned()));
        }
        match self.consumers.get_mut(&flow.consumer_id) {
            Some(Slot::Live(consumer)) => consumer.flow(flow.permits),
            Some(Slot::Pending { permits, .. }) => *permits = permits.saturating_add(flow.permits),
            None => {}
        }
        Ok(())
    }

    /// ACK. For unknown consumers it is ignored, as in Pulsar.
    pub(super) fn ack(&mut self, ack: Ack) {
        let refused = (ack.txn_least.is_some() || ack.txn_most.is_some()).then_some("Transactions are not enabled.");
        if refused.is_none()
            && let Some(consumer) = self.consumer(ack.consumer_id)
        {
            if let Some(reason) = ack.validation_error {
                tracing::warn!(client = self.client().address, topic = %consumer.topic().name(), reason,
                    "a client discarded messages that it could not read");
            }
            let mut entries = ack.message_ids.into_iter().filter_map(acknowledged);
            if ack.kind == CUMULATIVE {
                entries.next().into_iter().for_each(|last| consumer.acknowledge_through(last));
            } else {
                consumer.acknowledge(entries.collect());
            }
        }
        if let Some(request_id) = ack.request_id {
            self.out.send(Command::AckResponse(AckResponse {
                consumer_id: ack.consumer_id,
                request_id: Some(request_id),
                error: refused.map(|_| ServerError::NotAllowed as i32),
                message: refused.map(str::to_owned),
            }));
        }
    }

    /// REDELIVER.
    pub(super) fn redeliver(&mut self, redeliver: &Redeliver) {
        let Some(consumer) = self.consumer(redeliver.consumer_id) else { return };
        let epoch = redeliver.consumer_epoch.filter(|epoch| *epoch != NONE);
        let only: Vec<_> = redeliver.message_ids.iter().filter_map(entry_of).collect();
        let only = (!redeliver.message_ids.is_empty()).then_some(only);
        consumer.redeliver(only.as_deref(), epoch);
    }

    /// SEEK.
    pub(super) fn seek(&mut self, seek: &Seek) {
        let request_id = seek.request_id;
        let to = match (&seek.message_id, seek.publish_time_ms) {
            (Some(id), _) => start_at(id),
            (None, Some(time_ms)) => StartAt::Time(time_ms),
            (None, None) => {
                let text = "SEEK names neither a message nor a time";
                return self.out.send(refusal::plain(request_id, ServerError::Metadata, text));
            }
        };
        let Some(consumer) = self.live_consumer(seek.consumer_id) else {
            return self.out.send(refusal::error(request_id, &TopicError::ConsumerNotFound));
        };
        let (topic, subscription) = (consumer.topic().clone(), consumer.subscription().clone());
        self.requests.spawn(async move {
            let moved = match topic.place(to, StartAt::Latest).await {
                Ok(place) => subscription.reset(place).await,
                Err(error) => Err(error),
            };
            Outcome::Reply(match moved {
                Ok(()) => Command::Success(Success { request_id }),
                Err(error) => refusal::plain(request_id, ServerError::Unknown, &error.to_string()),
            })
        });
    }

    /// UNSUBSCRIBE.
    pub(super) fn unsubscribe(&mut self, command: Unsubscribe) {
        let Unsubscribe { consumer_id, request_id, force } = command;
        let Some(Slot::Live(consumer)) = self.consumers.remove(&consumer_id) else {
            return self.out.send(refusal::error(request_id, &TopicError::ConsumerNotFound));
        };
        self.requests.spawn(async move {
            match consumer.unsubscribe(force.unwrap_or(false)).await {
                Ok(()) => Outcome::Reply(Command::Success(Success { request_id })),
                Err(error) => Outcome::Kept(consumer_id, consumer, refusal::error(request_id, &error)),
            }
        });
    }

    /// CLOSE_CONSUMER: always a success.
    pub(super) fn close_consumer(&mut self, close: CloseConsumer) {
        self.consumers.remove(&close.consumer_id);
        self.out.send(Command::Success(Success { request_id: close.request_id }));
    }

    /// GET_LAST_MESSAGE_ID.
    pub(super) fn last_message_id(&mut self, question: GetLastMessageId) {
        let request_id = question.request_id;
        let Some(consumer) = self.live_consumer(question.consumer_id) else {
            return self.out.send(refusal::error(request_id, &TopicError::ConsumerNotFound));
        };
        let (topic, subscription) = (consumer.topic().clone(), consumer.subscription().clone());
        self.requests.spawn(async move { Outcome::Reply(last_message_id(&topic, &subscription, request_id).await) });
    }

    /// CONSUMER_STATS.
    pub(super) fn consumer_stats(&mut self, question: &ConsumerStats) {
        let request_id = question.request_id;
        let stats = self.consumer(question.consumer_id).and_then(ConsumerHandle::stats);
        let Some((stats, kind, backlog)) = stats else {
            return self.out.send(refusal::no_consumer_stats(request_id));
        };
        let connected = jiff::Timestamp::from_millisecond(i64::try_from(stats.connected_since_ms).unwrap_or(0));
        self.out.send(Command::ConsumerStatsResponse(ConsumerStatsResponse {
            request_id,
            error: None,
            message: None,
            msg_rate_out: Some(stats.traffic_out.messages_per_s),
            msg_throughput_out: Some(stats.traffic_out.bytes_per_s),
            msg_rate_redeliver: Some(stats.redelivered.messages_per_s),
            consumer_name: Some(stats.name),
            available_permits: Some(stats.permits.max(0) as u64),
            unacked_messages: Some(stats.unacked_messages),
            blocked: Some(stats.blocked_on_unacked),
            address: Some(stats.address),
            connected_since: connected.ok().map(|time| time.to_string()),
            kind: kind.map(|kind| kind.as_str().to_owned()),
            msg_backlog: Some(backlog),
        }));
    }
}

async fn open_consumer(
    shared: &Shared,
    principal: &Principal,
    mut command: Subscribe,
    client: Arc<Outgoing>,
) -> Result<ConsumerHandle, TopicError> {
    let name: TopicName = command.topic.parse()?;
    shared.allow(principal, Wish::Consume(name.clone(), Some(command.subscription.clone()))).await?;
    let missing = if command.force_topic_creation() { Missing::Ask } else { Missing::Refuse };
    let definition = definition(command.schema.take())?;
    let request = subscribe_request(command, client, shared.topics.clock().now_ms())?;
    let topic = shared.topics.load(&name, missing).await?;
    if let Some(definition) = &definition {
        topic.check_consumer_schema(definition).await?;
    }
    topic.subscribe(request).await
}

fn subscribe_request(command: Subscribe, client: Arc<dyn Client>, now_ms: u64) -> Result<SubscribeRequest, TopicError> {
    let kind = match command.kind {
        0 => SubscriptionKind::Exclusive,
        1 => SubscriptionKind::Shared,
        2 => SubscriptionKind::Failover,
        3 => SubscriptionKind::KeyShared,
        other => return Err(TopicError::NotAllowed(format!("subscription type {other} is not served"))),
    };
    let start = match command.rollback_seconds() {
        0 if command.initial_position() == FROM_EARLIEST => StartAt::Earliest,
        0 => StartAt::Latest,
        seconds => StartAt::Time(now_ms.saturating_sub(seconds.saturating_mul(1000))),
    };
    Ok(SubscribeRequest {
        durable: command.durable(),
        start,
        start_entry: command.start_message_id.as_ref().map(start_at),
        read_compacted: command.read_compacted(),
        consumer: ConsumerRequest {
            consumer_id: command.consumer_id,
            kind,
            priority: command.priority_level(),
            key_sharing: key_sharing(command.key_shared)?,
            epoch: command.consumer_epoch.filter(|epoch| *epoch != NONE),
            name: command.consumer_name.unwrap_or_default(),
            metadata: pairs(command.metadata),
            client,
        },
        subscription: command.subscription,
        properties: pairs(command.subscription_properties),
    })
}

fn key_sharing(meta: Option<KeySharedMeta>) -> Result<KeySharing, TopicError> {
    let Some(meta) = meta else { return Ok(KeySharing::default()) };
    let allow_out_of_order = meta.allow_out_of_order();
    if meta.mode != STICKY {
        return Ok(KeySharing { ranges: None, allow_out_of_order });
    }
    let bound = |value: i32| {
        u16::try_from(value).map_err(|_| TopicError::ConsumerAssign(format!("{value} is no hash: 0 to 65535 are")))
    };
    let ranges = meta.ranges.iter().map(|range| Ok((bound(range.start)?, bound(range.end)?)));
    Ok(KeySharing { ranges: Some(ranges.collect::<Result<_, TopicError>>()?), allow_out_of_order })
}

pub(super) fn pairs(pairs: Vec<KeyValue>) -> BTreeMap<String, String> {
    pairs.into_iter().map(|pair| (pair.key, pair.value)).collect()
}

/// The place that a message id names: "latest" by its ledger alone, anything negative as "earliest".
fn start_at(id: &MessageId) -> StartAt {
    match i64::try_from(id.ledger_id) {
        Err(_) => StartAt::Earliest,
        Ok(i64::MAX) => StartAt::Latest,
        Ok(_) => {
            let entry_id = if i64::try_from(id.entry_id).is_ok() { id.entry_id } else { 0 };
            StartAt::Entry(Position::new(LedgerId(id.ledger_id), entry_id))
        }
    }
}

/// The entry that a message id names; `None` for the places before and behind all entries.
fn entry_of(id: &MessageId) -> Option<Position> {
    let is_real = |number: u64| number < i64::MAX as u64;
    (is_real(id.ledger_id) && is_real(id.entry_id)).then(|| Position::new(LedgerId(id.ledger_id), id.entry_id))
}

fn acknowledged(id: MessageId) -> Option<Acknowledged> {
    entry_of(&id).map(|position| Acknowledged { position, remaining: id.ack_set })
}

async fn last_message_id(topic: &Topic, subscription: &Subscription, request_id: u64) -> Command {
    let last = match topic.last_message().await {
        Ok(last) => last,
        Err(error) => return refusal::error(request_id, &error.into()),
    };
    let partition = topic.name().partition_index();
    let last_message_id = match last {
        None => MessageId { ledger_id: NONE, entry_id: NONE, batch_index: Some(-1), ..message_id_of(partition) },
        Some(stored) => {
            let batch = MessageView::of(&stored.entry).ok().and_then(|view| view.batch_messages);
            let batch_index = Some(batch.map_or(-1, |count| count.max(1) - 1));
            MessageId { batch_index, ..message_id(stored.position, partition) }
        }
    };
    let first_unacked = subscription.cursor().first_unacked();
    let done = topic.ledger().previous(first_unacked).map(Position::on_wire).unwrap_or(first_unacked.before());
    Command::GetLastMessageIdResponse(GetLastMessageIdResponse {
        last_message_id,
        request_id,
        // Java writes -1 into unsigned fields.
        mark_delete_position: Some(MessageId {
            ledger_id: done.ledger_id as u64,
            entry_id: done.entry_id as u64,
            ..MessageId::default()
        }),
    })
}

fn message_id_of(partition: Option<u32>) -> MessageId {
    message_id(Position::new(LedgerId(0), 0), partition)
}
