//! The producers of a topic: whose name is whose, and who may write beside whom.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, MutexGuard};

use super::error::TopicError;
use super::names::TopicName;
use super::operations::StartAt;
use super::producer::{AccessMode, Producer, ProducerHandle, ProducerRequest};
use super::stats::Counter;
use super::topic::Topic;

#[derive(Default)]
pub(super) struct Producers {
    pub(super) by_name: HashMap<String, Arc<Producer>>,
    next_key: u64,
    /// Term of the last exclusive producer.
    epoch: u64,
}

impl Topic {
    pub(super) fn lock_producers(&self) -> MutexGuard<'_, Producers> {
        self.producers.lock().expect("no code panics while it holds a topic's producers")
    }

    /// Takes a producer in.
    ///
    /// # Errors
    /// `ProducerBusy`, `ProducerFenced`, `Terminated`, `NotReady`, and those of making the initial subscription.
    pub async fn add_producer(self: &Arc<Self>, request: ProducerRequest) -> Result<ProducerHandle, TopicError> {
        if let Some(subscription) = request.initial_subscription.as_deref().filter(|name| !name.is_empty()) {
            self.find_or_make(subscription, true, StartAt::Earliest, None, &BTreeMap::new()).await?;
        }
        match self.try_add_producer(&request) {
            Err(TopicError::ProducerBusy(_) | TopicError::ProducerFenced(_)) if self.holder_is_dead(&request).await => {
                self.try_add_producer(&request)
            }
            result => result,
        }
    }

    /// Asks the other connection that holds the name for a sign of life.
    async fn holder_is_dead(&self, request: &ProducerRequest) -> bool {
        let holder = {
            let producers = self.lock_producers();
            let named = request.name.as_ref().and_then(|name| producers.by_name.get(name));
            named.or_else(|| producers.by_name.values().next()).map(|producer| producer.client.clone())
        };
        let own = request.client.info().connection_id;
        match holder.filter(|holder| holder.info().connection_id != own) {
            Some(holder) => !holder.probe().await,
            None => false,
        }
    }

    fn try_add_producer(self: &Arc<Self>, request: &ProducerRequest) -> Result<ProducerHandle, TopicError> {
        if self.ledger().is_terminated() {
            return Err(TopicError::Terminated(self.name().clone()));
        }
        let mut producers = self.lock_producers();
        // Under the lock: whoever closes the topic says so first, and closes the producers after.
        self.check_open()?;
        let name = match &request.name {
            Some(name) => name.clone(),
            None => self.registry.upgrade().map(|topics| topics.next_producer_name()).unwrap_or_default(),
        };
        if let Some(holder) = producers.by_name.get(&name) {
            let same = holder.client.info().connection_id == request.client.info().connection_id
                && holder.producer_id == request.producer_id;
            if !(same && holder.epoch < request.epoch || holder.closed.load(Relaxed)) {
                let text = format!("Producer with name '{name}' is already connected to topic {}", self.name());
                return Err(TopicError::ProducerBusy(text));
            }
            holder.closed.store(true, Relaxed);
            producers.by_name.remove(&name);
        }
        let topic_epoch = producers.admit(request, self.name())?;
        producers.next_key += 1;
        let producer = Arc::new(Producer {
            key: producers.next_key,
            name: name.clone(),
            epoch: request.epoch,
            access: request.access,
            producer_id: request.producer_id,
            client: request.client.clone(),
            metadata: request.metadata.clone(),
            supports_partial: request.supports_partial,
            connected_ms: self.surroundings.clock.now_ms(),
            counter: Counter::default(),
            closed: AtomicBool::new(false),
        });
        producers.by_name.insert(name, producer.clone());
        drop(producers);
        Ok(ProducerHandle::new(self.clone(), producer, request.pending_max, topic_epoch))
    }

    pub(super) fn remove_producer(&self, producer: &Producer) {
        producer.closed.store(true, Relaxed);
        let mut producers = self.lock_producers();
        if producers.by_name.get(&producer.name).is_some_and(|holder| holder.key == producer.key) {
            producers.by_name.remove(&producer.name);
        }
    }

    pub(super) fn close_producers(&self) {
        let producers: Vec<_> = self.lock_producers().by_name.drain().map(|(_, producer)| producer).collect();
        producers.iter().for_each(|producer| producer.close());
    }
}

impl Producers {
    /// Checks the access modes against each other. Answers the term of an exclusive producer.
    fn admit(&mut self, request: &ProducerRequest, topic: &TopicName) -> Result<Option<u64>, TopicError> {
        match request.access {
            AccessMode::Shared => {
                if self.by_name.values().any(|producer| producer.access == AccessMode::Exclusive) {
                    let text = format!("Topic {topic} has an existing exclusive producer");
                    return Err(TopicError::ProducerBusy(text));
                }
                Ok(None)
            }
            AccessMode::Exclusive => {
                if !self.by_name.is_empty() {
                    return Err(TopicError::ProducerFenced(format!("Topic {topic} already has a producer")));
                }
                if request.topic_epoch.is_some_and(|epoch| epoch < self.epoch) {
                    let text = format!("Topic {topic} had another exclusive producer since");
                    return Err(TopicError::ProducerFenced(text));
                }
                self.epoch = request.topic_epoch.unwrap_or(self.epoch + 1);
                Ok(Some(self.epoch))
            }
        }
    }
}
