//! A loaded topic: its managed ledger, producers and subscriptions.
//!
//! A topic is open until [`Topic::close`] begins; from then on whoever connects is asked to come again. What operators do
//! to a topic is in [`super::operations`].

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, RwLock, Weak};
use std::time::Duration;

use tokio::sync::watch;

use super::Topics;
use super::consumer::{ConsumerKey, ConsumerRequest, SubscriptionKind};
use super::deduplication::Deduplication;
use super::error::TopicError;
use super::handle::ConsumerHandle;
use super::names::TopicName;
use super::operations::StartAt;
use super::producers::Producers;
use super::rules::LedgerFactory;
use super::settings::TopicSettings;
use super::stats::{Counter, TopicStats};
use super::subscription::{Subscription, Surroundings};
use super::terms::Terms;
use super::upkeep::{Evicted, NO_AGE};
use crate::managed_ledger::{AppendError, ManagedLedger, Position};
use crate::schema::Schemas;
use crate::storage::Clock;

/// Subscriptions whose names belong to the broker.
const RESERVED_PREFIX: &str = "pulsar.repl";
const RESERVED_NAME: &str = super::deduplication::CURSOR;

/// What a client asks for when it subscribes.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// Subscription.
    pub subscription: String,
    /// Whether its place outlives the consumer.
    pub durable: bool,
    /// Where a new one starts.
    pub start: StartAt,
    /// Where a new non-durable one starts; beyond the end, `start` decides.
    pub start_entry: Option<StartAt>,
    /// Shown in stats.
    pub properties: BTreeMap<String, String>,
    /// Whether only the newest value of each key is wanted. No topic is compacted here, so everything is read.
    pub read_compacted: bool,
    /// The consumer.
    pub consumer: ConsumerRequest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Open,
    Closing,
    Closed,
}

/// A loaded topic.
pub struct Topic {
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) subscriptions: Mutex<BTreeMap<String, Arc<Subscription>>>,
    /// Held across the making and removing of subscriptions, so that a cursor and its subscription come and go together.
    admission: tokio::sync::Mutex<()>,
    pub(super) producers: Mutex<Producers>,
    incoming: Counter,
    chunked: AtomicBool,
    failed: AtomicBool,
    life: watch::Sender<Life>,
    pub(super) registry: Weak<Topics>,
    pub(super) schemas: Arc<Schemas>,
    pub(super) terms: RwLock<Arc<Terms>>,
    /// Taken by whoever puts terms in force: one at a time.
    pub(super) terms_turn: tokio::sync::Mutex<()>,
    pub(super) deduplication: RwLock<Option<Arc<Deduplication>>>,
    /// When it was loaded, milliseconds since 1970.
    pub(super) loaded_ms: u64,
    /// When it was seen in use, milliseconds since 1970.
    pub(super) used_ms: AtomicU64,
    /// Age of the oldest entry of the backlog when somebody looked last.
    pub(super) oldest_age_ms: AtomicU64,
    pub(super) evicted: Evicted,
}

impl Topic {
    pub(super) fn new(
        name: TopicName,
        ledger: Arc<ManagedLedger>,
        settings: Arc<TopicSettings>,
        clock: Arc<dyn Clock>,
        schemas: Arc<Schemas>,
        registry: Weak<Topics>,
    ) -> Arc<Self> {
        let loaded_ms = clock.now_ms();
        let terminated = AtomicBool::new(ledger.is_terminated());
        let surroundings = Surroundings { topic: name, ledger, settings, clock, out: Counter::default(), terminated };
        let topic = Arc::new(Self {
            surroundings: Arc::new(surroundings),
            subscriptions: Mutex::default(),
            admission: tokio::sync::Mutex::new(()),
            producers: Mutex::default(),
            incoming: Counter::default(),
            chunked: AtomicBool::new(false),
            failed: AtomicBool::new(false),
            life: watch::channel(Life::Open).0,
            registry,
            schemas,
            terms: RwLock::default(),
            terms_turn: tokio::sync::Mutex::new(()),
            deduplication: RwLock::new(None),
            loaded_ms,
            used_ms: AtomicU64::new(loaded_ms),
            oldest_age_ms: AtomicU64::new(NO_AGE),
            evicted: Evicted::default(),
        });
        for cursor in topic.ledger().cursors().into_iter().filter(|cursor| cursor.name() != RESERVED_NAME) {
            let properties = cursor.labels().clone();
            topic.attach(Subscription::new(topic.surroundings.clone(), cursor, properties));
        }
        topic
    }

    /// Full name.
    pub fn name(&self) -> &TopicName {
        &self.surroundings.topic
    }

    /// Its log.
    pub fn ledger(&self) -> &Arc<ManagedLedger> {
        &self.surroundings.ledger
    }

    /// Whether it is being closed.
    pub fn is_closing(&self) -> bool {
        *self.life.borrow() != Life::Open
    }

    pub(super) fn lock_subscriptions(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Subscription>>> {
        self.subscriptions.lock().expect("no code panics while it holds a topic's subscriptions")
    }

    pub(super) fn check_open(&self) -> Result<(), TopicError> {
        if self.is_closing() {
            Err(TopicError::NotReady("Topic is temporarily unavailable".to_owned()))
        } else {
            Ok(())
        }
    }

    pub(super) fn count_in(&self, messages: u64, bytes: u64, is_chunk: bool) {
        self.incoming.add(messages, bytes);
        if is_chunk {
            self.chunked.store(true, Relaxed);
        }
    }

    /// Storage refused an entry: producers are closed, and the topic is unloaded, so that the next client has it recovered.
    pub(super) fn storage_failed(&self, error: &AppendError) {
        if self.failed.swap(true, Relaxed) {
            return;
        }
        tracing::error!(topic = %self.name(), %error, "an entry was not stored; the topic is loaded again");
        self.close_producers();
        if let Some(topics) = self.registry.upgrade() {
            let name = self.name().clone();
            tokio::spawn(async move { topics.unload(&name).await });
        }
    }

    /// Takes a consumer in; makes the subscription if there is none.
    ///
    /// # Errors
    /// `ConsumerBusy`, `ConsumerAssign`, `NotAllowed`, `BadName`, `SubscriptionNotFound`, `NotReady`, and those of storage.
    pub async fn subscribe(self: &Arc<Self>, request: SubscribeRequest) -> Result<ConsumerHandle, TopicError> {
        check_subscription_name(&request.subscription)?;
        let in_order = !request.consumer.kind.is_shared();
        if request.read_compacted && !in_order {
            let text = "readCompacted only allowed on failover or exclusive subscriptions";
            return Err(TopicError::NotAllowed(text.to_owned()));
        }
        loop {
            self.check_open()?;
            let SubscribeRequest { subscription, durable, start, start_entry, properties, .. } = &request;
            let found = self.find_or_make(subscription, *durable, *start, *start_entry, properties).await?;
            if found.cursor().is_durable() != *durable {
                let text = "Durable and non-durable subscriptions can't share a name";
                return Err(TopicError::NotAllowed(format!("{text}: {subscription}")));
            }
            let _turn = found.turn.lock().await;
            if found.is_closed() {
                drop(_turn);
                found.gone.cancelled().await;
                continue;
            }
            return match self.admit(&found, request.consumer.clone()).await {
                Ok(key) => Ok(ConsumerHandle { topic: self.clone(), subscription: found.clone(), key }),
                Err(error) => {
                    if !durable && !found.is_in_use() {
                        found.close(None);
                    }
                    Err(error)
                }
            };
        }
    }

    async fn admit(&self, subscription: &Subscription, request: ConsumerRequest) -> Result<ConsumerKey, TopicError> {
        let exclusive = request.kind == SubscriptionKind::Exclusive;
        let holder = subscription.exclusive_holder(request.client.info().connection_id).filter(|_| exclusive);
        match (subscription.add(request.clone()), holder) {
            (Err(TopicError::ConsumerBusy(_)), Some(holder)) if !holder.probe().await => subscription.add(request),
            (result, _) => result,
        }
    }

    /// The subscription of that name; made if there is none and that is allowed.
    pub(super) async fn find_or_make(
        self: &Arc<Self>,
        name: &str,
        durable: bool,
        start: StartAt,
        start_entry: Option<StartAt>,
        properties: &BTreeMap<String, String>,
    ) -> Result<Arc<Subscription>, TopicError> {
        if let Some(found) = self.subscription(name) {
            return Ok(found);
        }
        if durable && !self.surroundings.settings.auto_subscription_creation {
            let (subscription, topic) = (name.to_owned(), self.name().clone());
            return Err(TopicError::SubscriptionNotFound { subscription, topic });
        }
        let place = self.place(if durable { start } else { start_entry.unwrap_or(start) }, start).await?;
        self.make(name, durable, place, properties).await.map(|(subscription, _)| subscription)
    }

    /// Makes a subscription at `place` unless there is one. Answers whether it is new.
    pub(super) async fn make(
        self: &Arc<Self>,
        name: &str,
        durable: bool,
        place: Position,
        properties: &BTreeMap<String, String>,
    ) -> Result<(Arc<Subscription>, bool), TopicError> {
        let _admission = self.admission.lock().await;
        self.check_open()?;
        if let Some(found) = self.subscription(name) {
            return Ok((found, false));
        }
        let cursor = if durable {
            self.ledger().open_cursor(name, place, properties.clone()).await?
        } else {
            self.ledger().open_reader(name, place)
        };
        let subscription = Subscription::new(self.surroundings.clone(), cursor, properties.clone());
        self.attach(subscription.clone());
        Ok((subscription, true))
    }

    /// Lists a subscription and starts its task.
    fn attach(self: &Arc<Self>, subscription: Arc<Subscription>) {
        self.lock_subscriptions().insert(subscription.name().to_owned(), subscription.clone());
        let topic = Arc::downgrade(self);
        tokio::spawn(async move {
            subscription.clone().run().await;
            if !subscription.cursor().is_durable()
                && let Some(topic) = topic.upgrade()
                && let Err(error) = topic.retire(&subscription).await
            {
                tracing::warn!(topic = %topic.name(), subscription = subscription.name(), %error,
                    "a reader's cursor was not removed");
            }
        });
    }

    /// Forgets a subscription whose task has ended, and its cursor.
    pub(super) async fn retire(&self, subscription: &Arc<Subscription>) -> Result<(), TopicError> {
        subscription.ended.cancelled().await;
        let _admission = self.admission.lock().await;
        let deleted = self.ledger().delete_cursor(subscription.name()).await;
        self.lock_subscriptions().remove(subscription.name());
        subscription.gone.cancel();
        Ok(deleted?)
    }

    /// The subscription of that name.
    pub fn subscription(&self, name: &str) -> Option<Arc<Subscription>> {
        self.lock_subscriptions().get(name).cloned()
    }

    /// All subscriptions, by name.
    pub fn subscriptions(&self) -> Vec<Arc<Subscription>> {
        self.lock_subscriptions().values().cloned().collect()
    }

    /// Connected producers and consumers.
    pub fn client_count(&self) -> usize {
        let consumers: usize = self.subscriptions().iter().map(|subscription| subscription.consumer_count()).sum();
        consumers + self.lock_producers().len()
    }

    /// Lets nobody in any more.
    pub(super) fn begin_close(&self) {
        self.life.send_replace(Life::Closing);
    }

    /// Lets clients in again, after a deletion that was refused.
    pub(super) fn reopen(&self) {
        self.life.send_replace(Life::Open);
    }

    /// Nothing of it is open any more.
    pub(super) fn end_close(&self) {
        self.life.send_replace(Life::Closed);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.life.borrow() == Life::Closed
    }

    /// Waits while it is being closed.
    pub(super) async fn settled(&self) {
        // The sender lives as long as the topic.
        let _ = self.life.subscribe().wait_for(|life| *life != Life::Closing).await;
    }

    pub(super) fn set_terminated(&self) {
        self.surroundings.terminated.store(true, Relaxed);
        self.subscriptions().iter().for_each(|subscription| subscription.wake.notify_one());
    }

    /// Has all clients come again, writes the cursors, closes the log.
    pub(super) async fn close(&self, ledgers: &dyn LedgerFactory) {
        self.begin_close();
        // Whoever makes a subscription now is done before, or sees that the topic closes.
        drop(self.admission.lock().await);
        let subscriptions = self.subscriptions();
        subscriptions.iter().for_each(|subscription| subscription.close(None));
        self.close_producers();
        for subscription in &subscriptions {
            subscription.ended.cancelled().await;
        }
        if let Err(error) = ledgers.close(self.ledger()).await {
            tracing::warn!(topic = %self.name(), %error, "the log was not closed in order; the next load recovers it");
        }
        subscriptions.iter().for_each(|subscription| subscription.gone.cancel());
    }

    /// Figures now.
    pub fn stats(&self) -> TopicStats {
        let (mut producers, waiting_producers) = {
            let producers = self.lock_producers();
            (producers.by_name.values().cloned().collect::<Vec<_>>(), producers.waiting_count())
        };
        producers.sort_by(|a, b| a.name.cmp(&b.name));
        let terms = self.terms();
        TopicStats {
            backlog_bytes_max: terms.backlog.bytes.map(|quota| quota.limit),
            backlog_age_max: terms.backlog.age.map(|quota| quota.limit),
            oldest_age: Some(self.oldest_age_ms.load(Relaxed)).filter(|age| *age != NO_AGE).map(Duration::from_millis),
            deduplication: self.deduplication().is_some(),
            evicted_by_size: self.evicted.by_size.load(Relaxed),
            evicted_by_age: self.evicted.by_age.load(Relaxed),
            traffic_in: self.incoming.snapshot(),
            traffic_out: self.surroundings.out.snapshot(),
            chunk_published: self.chunked.load(Relaxed),
            producers: producers.iter().map(|producer| producer.stats()).collect(),
            waiting_producers: waiting_producers as u64,
            subscriptions: self.subscriptions().iter().map(|s| (s.name().to_owned(), s.stats())).collect(),
        }
    }

    pub(super) fn tick_rates(&self, elapsed: Duration) {
        self.ledger().tick_figures(elapsed);
        self.incoming.tick(elapsed);
        self.surroundings.out.tick(elapsed);
        self.lock_producers().by_name.values().for_each(|producer| producer.counter.tick(elapsed));
        self.subscriptions().iter().for_each(|subscription| subscription.tick_rates(elapsed));
    }
}

fn check_subscription_name(name: &str) -> Result<(), TopicError> {
    if name.trim().is_empty() {
        return Err(TopicError::BadName("Empty subscription name".to_owned()));
    }
    if name.starts_with(RESERVED_PREFIX) || name == RESERVED_NAME {
        return Err(TopicError::BadName(format!("Subscription name {name} is reserved for the broker")));
    }
    Ok(())
}
