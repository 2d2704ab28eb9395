//! PRODUCER, SEND, CLOSE_PRODUCER.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::checksum;
use super::command::{CloseProducer, Command, Producer, ProducerSuccess, Send, ServerError, Success};
use super::connection::{Connection, Outcome, Slot, Violation};
use super::refusal;
use super::schemas::{definition, version_bytes};
use super::server::Shared;
use crate::access::Principal;
use crate::access::rules::Wish;
use crate::schema::Version;
use crate::topic::producer::{
    AccessMode, Admitted, ProducerHandle, ProducerRequest, Publish, PublishError, QueuedProducer,
};
use crate::topic::{Missing, TopicError, TopicName};

/// A producer that was asked for.
pub(super) struct Produced {
    producer_id: u64,
    request_id: u64,
    request: u64,
    result: Result<ProducerHandle, TopicError>,
}

/// A producer that waits for its topic.
pub(super) struct Queued {
    producer_id: u64,
    request_id: u64,
    request: u64,
    producer: QueuedProducer,
}

impl Connection {
    /// PRODUCER.
    pub(super) fn produce(&mut self, command: Producer) {
        let (producer_id, request_id) = (command.producer_id, command.request_id);
        match self.producers.get(&producer_id) {
            Some(Slot::Pending { .. }) => {
                let text = "Producer is already present on the connection";
                return self.out.send(refusal::plain(request_id, ServerError::ServiceNotReady, text));
            }
            Some(Slot::Live(producer)) if !producer.is_closed() => {
                return self.out.send(producer_success(request_id, producer));
            }
            _ => {}
        }
        let request = self.number();
        self.producers.insert(producer_id, Slot::Pending { request, permits: 0 });
        let shared = self.shared.clone();
        let (client, principal) = (self.out.clone(), self.principal.clone());
        self.requests.spawn(async move {
            let result = open_producer(&shared, &principal, command, client).await;
            let produced = |result| Outcome::Produced(Produced { producer_id, request_id, request, result });
            match result {
                Ok(Admitted::Ready(producer)) => produced(Ok(producer)),
                Ok(Admitted::Queued(producer)) => {
                    Outcome::Queued(Queued { producer_id, request_id, request, producer })
                }
                Err(error) => produced(Err(error)),
            }
        });
    }

    /// The producer must wait: the client is told, and told again when it is its turn. It waits apart from the requests,
    /// whose number bounds what is read.
    pub(super) fn queued(&mut self, queued: Queued) {
        let Queued { producer_id, request_id, request, producer } = queued;
        if !self.expects_producer(producer_id, request) {
            return;
        }
        if self.queued.len() >= self.shared.settings.queued_producers_max {
            self.producers.remove(&producer_id);
            let text = format!("{} producers of this connection wait already", self.queued.len());
            return self.out.send(refusal::plain(request_id, ServerError::TooManyRequests, &text));
        }
        self.out.send(Command::ProducerSuccess(ProducerSuccess {
            producer_ready: Some(false),
            ..success(request_id, producer.name(), producer.schema_version(), None)
        }));
        let waits = self.turns.spawn(async move {
            let result = producer.ready().await;
            Produced { producer_id, request_id, request, result }
        });
        self.queued.insert(producer_id, waits);
    }

    fn expects_producer(&self, producer_id: u64, request: u64) -> bool {
        matches!(self.producers.get(&producer_id), Some(Slot::Pending { request: r, .. }) if *r == request)
    }

    pub(super) fn produced(&mut self, produced: Produced) {
        let Produced { producer_id, request_id, request, result } = produced;
        let expected = self.expects_producer(producer_id, request);
        if expected {
            self.queued.remove(&producer_id);
        }
        match result {
            Ok(producer) if expected => {
                self.out.send(producer_success(request_id, &producer));
                self.producers.insert(producer_id, Slot::Live(producer));
            }
            // The client closed it before it was there.
            Ok(producer) => drop(producer),
            Err(error) => {
                if expected {
                    self.producers.remove(&producer_id);
                }
                self.out.send(refusal::error(request_id, &error));
            }
        }
    }

    /// SEND.
    pub(super) async fn send(&mut self, send: Send, entry: Bytes) -> Result<(), Violation> {
        let Some(Slot::Live(producer)) = self.producers.get(&send.producer_id) else {
            return Err(Violation::Command(format!("SEND of an unknown producer {}", send.producer_id)));
        };
        if producer.is_closed() {
            return Ok(());
        }
        let highest_sequence_id = send.highest_sequence_id.unwrap_or(0);
        if let Err(error) = check(&send, &entry) {
            producer.refuse(send.sequence_id, highest_sequence_id, error).await;
            return Ok(());
        }
        let bytes = u32::try_from(entry.len()).expect("a frame is smaller than 4 GiB");
        let permits = match try_permits(&self.publishes, &self.shared, bytes) {
            Some(permits) => permits,
            None => {
                self.out.paused.store(true, Relaxed);
                let permits = permits(&self.publishes, &self.shared, bytes).await;
                self.out.paused.store(false, Relaxed);
                permits
            }
        };
        producer
            .publish(Publish {
                sequence_id: send.sequence_id,
                highest_sequence_id,
                messages: send.num_messages().max(1) as u32,
                is_chunk: send.is_chunk.unwrap_or(false),
                entry,
                permits,
            })
            .await;
        Ok(())
    }

    /// CLOSE_PRODUCER: answered when everything sent before is.
    pub(super) fn close_producer(&mut self, close: CloseProducer) {
        let success = Command::Success(Success { request_id: close.request_id });
        if let Some(waits) = self.queued.remove(&close.producer_id) {
            waits.abort();
        }
        match self.producers.remove(&close.producer_id) {
            Some(Slot::Live(producer)) => {
                self.requests.spawn(async move {
                    producer.close().await;
                    Outcome::Reply(success)
                });
            }
            _ => self.out.send(success),
        }
    }
}

fn check(send: &Send, entry: &[u8]) -> Result<(), PublishError> {
    if send.txn_least.is_some() || send.txn_most.is_some() {
        return Err(PublishError::NotAllowed("Transactions are not enabled.".to_owned()));
    }
    if send.marker.unwrap_or(false) || send.message_id.is_some() {
        return Err(PublishError::NotAllowed("markers and shadow topics are not served".to_owned()));
    }
    checksum::verify(entry).map_err(|error| PublishError::Checksum(error.to_string()))
}

fn try_permits(publishes: &Arc<Semaphore>, shared: &Shared, bytes: u32) -> Option<[OwnedSemaphorePermit; 2]> {
    let publish = publishes.clone().try_acquire_owned().ok()?;
    let bytes = shared.publish_bytes.clone().try_acquire_many_owned(bytes).ok()?;
    Some([publish, bytes])
}

async fn permits(publishes: &Arc<Semaphore>, shared: &Shared, bytes: u32) -> [OwnedSemaphorePermit; 2] {
    const OPEN: &str = "the semaphores of publishing are never closed";
    let publish = publishes.clone().acquire_owned().await.expect(OPEN);
    [publish, shared.publish_bytes.clone().acquire_many_owned(bytes).await.expect(OPEN)]
}

fn producer_success(request_id: u64, producer: &ProducerHandle) -> Command {
    Command::ProducerSuccess(ProducerSuccess {
        last_sequence_id: Some(producer.last_sequence_id().and_then(|last| i64::try_from(last).ok()).unwrap_or(-1)),
        ..success(request_id, producer.name(), producer.schema_version(), producer.topic_epoch())
    })
}

fn success(request_id: u64, name: &str, schema_version: Option<Version>, topic_epoch: Option<u64>) -> ProducerSuccess {
    ProducerSuccess {
        request_id,
        producer_name: name.to_owned(),
        last_sequence_id: Some(-1),
        schema_version: Some(version_bytes(schema_version)),
        topic_epoch,
        producer_ready: Some(true),
    }
}

async fn open_producer(
    shared: &Shared,
    principal: &Principal,
    mut command: Producer,
    client: Arc<super::outgoing::Outgoing>,
) -> Result<Admitted, TopicError> {
    let name: TopicName = command.topic.parse()?;
    shared.allow(principal, Wish::Produce(name.clone())).await?;
    let access = AccessMode::from_wire(command.access_mode())
        .ok_or_else(|| TopicError::NotAllowed(format!("access mode {} is not known", command.access_mode())))?;
    if command.txn_enabled() {
        return Err(TopicError::NotAllowed("Transactions are not enabled.".to_owned()));
    }
    let definition = definition(command.schema.take())?;
    let topic = shared.topics.load(&name, Missing::Ask).await?;
    let schema_version = topic.schema_of_producer(definition.as_ref()).await?;
    topic
        .admit_producer(ProducerRequest {
            producer_id: command.producer_id,
            epoch: command.epoch(),
            access,
            topic_epoch: command.topic_epoch,
            metadata: super::consuming::pairs(command.metadata),
            supports_partial: false,
            schema_version,
            initial_subscription: command.initial_subscription_name,
            name: command.producer_name.filter(|name| !name.is_empty()),
            pending_max: shared.settings.max_pending_publish_requests,
            client,
        })
        .await
}
