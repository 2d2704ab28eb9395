//! The producers of a topic: whose name is whose, who has the topic for itself, and who waits for it.
//!
//! [`super::access`] decides under the lock; what must be durable, the epoch of an exclusive producer, is written after it,
//! while the producer's place in the table keeps others out. A producer that is fenced sends nothing any more when its
//! successor hears that it has the topic: see [`Producer::fence`].

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::oneshot;

use super::access::{AccessMode, Admission, Present, admit, next_epoch};
use super::error::TopicError;
use super::operations::StartAt;
use super::producer::{Producer, ProducerHandle, ProducerRequest};
use super::stats::Counter;
use super::topic::Topic;
use crate::schema::Version;

/// The property of a topic that keeps the epoch of its last exclusive producer; the original's name.
const EPOCH: &str = "pulsar.topic.epoch";

/// Producers that wait for a topic at most.
const WAITING_MAX: usize = 1000;

#[derive(Default)]
pub(super) struct Producers {
    pub(super) by_name: HashMap<String, Arc<Producer>>,
    waiting: VecDeque<Waiting>,
    next_key: u64,
    /// Of the last exclusive producer; may be ahead of what is recorded, never behind.
    epoch: Option<u64>,
}

/// A producer that waits for the topic, and the epoch that it had.
struct Waiting {
    producer: Arc<Producer>,
    own_epoch: Option<u64>,
    turn: oneshot::Sender<Result<u64, TopicError>>,
}

/// A producer that was let in, or may be later.
pub enum Admitted {
    /// It may send.
    Ready(ProducerHandle),
    /// It waits until those before it are gone.
    Queued(QueuedProducer),
}

/// A producer that waits for its topic. Dropping it gives the place up.
pub struct QueuedProducer {
    topic: Arc<Topic>,
    producer: Arc<Producer>,
    turn: oneshot::Receiver<Result<u64, TopicError>>,
    pending_max: usize,
    ready: bool,
}

impl QueuedProducer {
    /// Name.
    pub fn name(&self) -> &str {
        &self.producer.name
    }

    /// The version of its schema.
    pub fn schema_version(&self) -> Option<Version> {
        self.producer.schema_version
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// `ProducerFenced` when another one took the topic, `NotReady` when the topic is closed, those of storage.
    pub async fn ready(mut self) -> Result<ProducerHandle, TopicError> {
        let gone = || Err(TopicError::NotReady("the topic is being closed".to_owned()));
        let epoch = (&mut self.turn).await.unwrap_or_else(|_| gone())?;
        self.topic.keep_epoch(&self.producer, epoch).await?;
        self.ready = true;
        Ok(ProducerHandle::new(self.topic.clone(), self.producer.clone(), self.pending_max, Some(epoch)))
    }
}

impl Drop for QueuedProducer {
    fn drop(&mut self) {
        if !self.ready {
            self.topic.remove_producer(&self.producer);
        }
    }
}

impl Topic {
    pub(super) fn lock_producers(&self) -> MutexGuard<'_, Producers> {
        self.producers.lock().expect("no code panics while it holds a topic's producers")
    }

    /// Takes a producer in, waiting for its turn where its access mode says so.
    ///
    /// # Errors
    /// Those of [`Self::admit_producer`] and [`QueuedProducer::ready`].
    pub async fn add_producer(self: &Arc<Self>, request: ProducerRequest) -> Result<ProducerHandle, TopicError> {
        match self.admit_producer(request).await? {
            Admitted::Ready(producer) => Ok(producer),
            Admitted::Queued(producer) => producer.ready().await,
        }
    }

    /// Takes a producer in, or into the queue.
    ///
    /// # Errors
    /// `ProducerBusy`, `ProducerFenced`, `Terminated`, `NotReady`, and those of making the initial subscription and of
    /// recording the epoch.
    pub async fn admit_producer(self: &Arc<Self>, request: ProducerRequest) -> Result<Admitted, TopicError> {
        self.check_backlog()?;
        if let Some(subscription) = request.initial_subscription.as_deref().filter(|name| !name.is_empty()) {
            self.find_or_make(subscription, true, StartAt::Earliest, None, &BTreeMap::new()).await?;
        }
        let entered = match self.enter(&request) {
            Err(TopicError::ProducerBusy(_) | TopicError::ProducerFenced(_)) if self.holder_is_dead(&request).await => {
                self.enter(&request)
            }
            result => result,
        };
        let (producer, place) = entered?;
        let epoch = match place {
            Place::Beside(epoch) => epoch,
            Place::Alone(epoch) => {
                self.keep_epoch(&producer, epoch).await?;
                Some(epoch)
            }
            Place::Queue(turn) => {
                let (topic, pending_max) = (self.clone(), request.pending_max);
                return Ok(Admitted::Queued(QueuedProducer { topic, producer, turn, pending_max, ready: false }));
            }
        };
        Ok(Admitted::Ready(ProducerHandle::new(self.clone(), producer, request.pending_max, epoch)))
    }

    /// Records the epoch of a producer that has the topic; if that fails, or it was fenced meanwhile, it has it no more.
    async fn keep_epoch(&self, producer: &Producer, epoch: u64) -> Result<(), TopicError> {
        let kept = self.ledger().raise_number(EPOCH, epoch).await;
        if kept.is_err() {
            self.remove_producer(producer);
        }
        kept?;
        if producer.closed.load(Relaxed) {
            return Err(TopicError::ProducerFenced(format!("epoch {epoch} of topic {} is over", self.name())));
        }
        Ok(())
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

    /// Decides about a producer, and gives it its place.
    fn enter(&self, request: &ProducerRequest) -> Result<(Arc<Producer>, Place), TopicError> {
        if self.ledger().is_terminated() {
            return Err(TopicError::Terminated(self.name().clone()));
        }
        let mut producers = self.lock_producers();
        // Under the lock: whoever closes the topic says so first, and closes the producers after.
        self.check_open()?;
        producers.epoch = producers.epoch.max(self.ledger().number(EPOCH));
        let name = match &request.name {
            Some(name) => name.clone(),
            None => self.registry.upgrade().map(|topics| topics.next_producer_name()).unwrap_or_default(),
        };
        producers.free_name(&name, request).map_err(|()| {
            let text = format!("Producer with name '{name}' is already connected to topic {}", self.name());
            TopicError::ProducerBusy(text)
        })?;
        let admission = admit(request.access, request.topic_epoch, &producers.present());
        producers.next_key += 1;
        let producer = Arc::new(Producer {
            key: producers.next_key,
            name,
            epoch: request.epoch,
            access: request.access,
            producer_id: request.producer_id,
            client: request.client.clone(),
            metadata: request.metadata.clone(),
            supports_partial: request.supports_partial,
            connected_ms: self.surroundings.clock.now_ms(),
            counter: Counter::default(),
            closed: AtomicBool::new(false),
            fenced: Mutex::new(false),
            schema_version: request.schema_version,
        });
        match producers.place(admission, &producer, request.topic_epoch) {
            Ok(place) => {
                if let Some(deduplication) = self.deduplication() {
                    deduplication.came(&producer.name);
                }
                Ok((producer, place))
            }
            Err(error) => {
                // The name may have been freed of the last one that others wait for.
                producers.promote();
                Err(error)
            }
        }
    }

    pub(super) fn remove_producer(&self, producer: &Producer) {
        producer.closed.store(true, Relaxed);
        let mut producers = self.lock_producers();
        producers.waiting.retain(|waiting| waiting.producer.key != producer.key);
        if producers.by_name.get(&producer.name).is_some_and(|holder| holder.key == producer.key) {
            producers.by_name.remove(&producer.name);
            producers.promote();
            if let Some(deduplication) = self.deduplication() {
                deduplication.left(&producer.name, self.surroundings.clock.now_ms());
            }
        }
    }

    /// Has all producers come again, also those that wait.
    pub(super) fn close_producers(&self) {
        let (connected, waiting) = {
            let mut producers = self.lock_producers();
            let connected: Vec<_> = producers.by_name.drain().map(|(_, producer)| producer).collect();
            (connected, std::mem::take(&mut producers.waiting))
        };
        connected.iter().for_each(|producer| producer.close());
        // Without its sender each one's turn ends.
        drop(waiting);
    }
}

/// What place a producer got.
enum Place {
    /// Beside others, in the epoch of the last exclusive one.
    Beside(Option<u64>),
    /// Alone, for this epoch, which is not recorded yet.
    Alone(u64),
    /// In the queue.
    Queue(oneshot::Receiver<Result<u64, TopicError>>),
}

impl Producers {
    /// How many are connected or wait.
    pub(super) fn len(&self) -> usize {
        self.by_name.len() + self.waiting.len()
    }

    /// How many wait.
    pub(super) fn waiting_count(&self) -> usize {
        self.waiting.len()
    }

    fn present(&self) -> Present<'_> {
        let alone = |producer: &&Arc<Producer>| producer.access != AccessMode::Shared;
        Present {
            producers: !self.by_name.is_empty(),
            exclusive: self.by_name.values().find(alone).map(|producer| producer.name.as_str()),
            waiting: !self.waiting.is_empty(),
            epoch: self.epoch,
        }
    }

    /// Makes a name free if its holder is gone, or is the same producer that comes again.
    fn free_name(&mut self, name: &str, request: &ProducerRequest) -> Result<(), ()> {
        let own = request.client.info().connection_id;
        let may_go = |holder: &Producer| {
            let same = holder.client.info().connection_id == own && holder.producer_id == request.producer_id;
            same && holder.epoch < request.epoch || holder.closed.load(Relaxed)
        };
        if let Some(holder) = self.by_name.get(name) {
            if !may_go(holder) {
                return Err(());
            }
            holder.closed.store(true, Relaxed);
            self.by_name.remove(name);
        }
        if self.waiting.iter().any(|waiting| waiting.producer.name == name && !may_go(&waiting.producer)) {
            return Err(());
        }
        self.waiting.retain(|waiting| waiting.producer.name != name);
        Ok(())
    }

    fn place(
        &mut self,
        admission: Admission,
        producer: &Arc<Producer>,
        own_epoch: Option<u64>,
    ) -> Result<Place, TopicError> {
        match admission {
            Admission::Busy(text) => return Err(TopicError::ProducerBusy(text)),
            Admission::Fenced(text) => return Err(TopicError::ProducerFenced(text)),
            Admission::Wait => {
                if self.waiting.len() >= WAITING_MAX {
                    return Err(TopicError::ProducerBusy(format!(
                        "{WAITING_MAX} producers wait for the topic already"
                    )));
                }
                let (sender, turn) = oneshot::channel();
                self.waiting.push_back(Waiting { producer: producer.clone(), own_epoch, turn: sender });
                return Ok(Place::Queue(turn));
            }
            Admission::Fence(epoch) => {
                self.fence_all(&producer.name);
                self.epoch = Some(epoch);
            }
            Admission::Take(epoch) => self.epoch = Some(epoch),
            Admission::Join => {}
        }
        self.by_name.insert(producer.name.clone(), producer.clone());
        Ok(match admission {
            Admission::Take(epoch) | Admission::Fence(epoch) => Place::Alone(epoch),
            _ => Place::Beside(self.epoch),
        })
    }

    /// Puts out whoever is connected or waits.
    fn fence_all(&mut self, by: &str) {
        for waiting in self.waiting.drain(..) {
            // One that gave up does not want the answer.
            let _ = waiting.turn.send(Err(TopicError::ProducerFenced(format!("Fenced out by {by}"))));
        }
        self.by_name.drain().for_each(|(_, producer)| producer.fence());
    }

    /// Gives the topic to the first that waits for it and still wants it.
    fn promote(&mut self) {
        while self.by_name.is_empty()
            && let Some(Waiting { producer, own_epoch, turn }) = self.waiting.pop_front()
        {
            let epoch = next_epoch(own_epoch, self.epoch).map_err(TopicError::ProducerFenced);
            let granted = epoch.as_ref().ok().copied();
            if turn.send(epoch).is_ok()
                && let Some(epoch) = granted
            {
                self.epoch = Some(epoch);
                self.by_name.insert(producer.name.clone(), producer);
            }
        }
    }
}

#[cfg(test)]
mod tests;
