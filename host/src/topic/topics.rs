//! All topics: which are loaded, loading at first use, unloading, deletion.
//!
//! A managed ledger must never be open twice. Each name has at most one slot; whoever loads, closes or deletes the topic
//! does so through the slot, and a slot leaves the table only when nothing of the topic is open any more.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, Weak};
use std::time::Duration;

use tokio::sync::OnceCell;

use super::error::TopicError;
use super::names::{Domain, NamespaceName, TopicName};
use super::rules::{AutoCreate, LedgerFactory, TopicRules};
use super::schemas::schema_key;
use super::settings::TopicSettings;
use super::topic::Topic;
use crate::managed_ledger::ManagedLedgerError;
use crate::schema::Schemas;
use crate::storage::Clock;

/// What happens when a topic that is asked for is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// An error.
    Refuse,
    /// It is made if the namespace allows it.
    Ask,
    /// It is made.
    Create,
}

/// The topics of this broker.
pub struct Topics {
    factory: Arc<dyn LedgerFactory>,
    rules: Arc<dyn TopicRules>,
    settings: Arc<TopicSettings>,
    clock: Arc<dyn Clock>,
    pub(super) schemas: Arc<Schemas>,
    slots: Mutex<HashMap<TopicName, Arc<Slot>>>,
    next_producer: AtomicU64,
    own: Weak<Topics>,
}

/// A topic that is loaded, or being loaded by one of those who hold the slot.
#[derive(Default)]
struct Slot {
    topic: OnceCell<Arc<Topic>>,
    /// Held across closing and deleting: one at a time.
    leaving: tokio::sync::Mutex<()>,
}

impl Topics {
    /// No topic is loaded yet.
    pub fn new(
        factory: Arc<dyn LedgerFactory>,
        rules: Arc<dyn TopicRules>,
        settings: TopicSettings,
        clock: Arc<dyn Clock>,
        schemas: Arc<Schemas>,
    ) -> Arc<Self> {
        Arc::new_cyclic(|own| Self {
            factory,
            rules,
            settings: Arc::new(settings),
            clock,
            schemas,
            slots: Mutex::default(),
            next_producer: AtomicU64::new(0),
            own: own.clone(),
        })
    }

    /// The namespaces' rules.
    pub fn rules(&self) -> &Arc<dyn TopicRules> {
        &self.rules
    }

    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    pub(super) fn next_producer_name(&self) -> String {
        format!("{}-{}", self.settings.producer_name_prefix, self.next_producer.fetch_add(1, Relaxed))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicName, Arc<Slot>>> {
        self.slots.lock().expect("no code panics while it holds the table of topics")
    }

    /// The topic, if it is loaded.
    pub fn get(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.lock().get(name).and_then(|slot| slot.topic.get()).filter(|topic| !topic.is_closing()).cloned()
    }

    /// All loaded topics.
    pub fn loaded(&self) -> Vec<Arc<Topic>> {
        self.lock().values().filter_map(|slot| slot.topic.get()).cloned().collect()
    }

    /// The topic, loaded if it is not. Whoever asks while it is loaded waits for the same load; whoever asks while it is
    /// closed waits for the end of that.
    ///
    /// # Errors
    /// `NotFound`, `NamespaceNotFound`, `NotAllowed`, `Metadata`, `Storage`.
    pub async fn load(&self, name: &TopicName, missing: Missing) -> Result<Arc<Topic>, TopicError> {
        loop {
            let slot = self.lock().entry(name.clone()).or_default().clone();
            let loaded = slot.topic.get_or_try_init(|| self.open(name, missing)).await.cloned();
            match loaded {
                Err(error) => {
                    self.forget_empty(name, slot);
                    return Err(error);
                }
                Ok(topic) if topic.is_closing() => topic.settled().await,
                Ok(topic) => return Ok(topic),
            }
        }
    }

    /// Removes a slot whose topic could not be loaded, unless somebody else tries with it. Slots are cloned under the lock
    /// only, so two owners, the table and this caller, are all there are.
    fn forget_empty(&self, name: &TopicName, slot: Arc<Slot>) {
        let mut slots = self.lock();
        if slot.topic.get().is_none() && Arc::strong_count(&slot) == 2 {
            slots.remove(name);
        }
    }

    async fn open(&self, name: &TopicName, missing: Missing) -> Result<Arc<Topic>, TopicError> {
        if name.domain() == Domain::NonPersistent {
            return Err(TopicError::NotAllowed(format!("{name}: this broker serves persistent topics only")));
        }
        let managed_ledger = name.managed_ledger();
        let ledger = match self.factory.open(&managed_ledger, false).await {
            Err(ManagedLedgerError::NotFound(_)) if missing != Missing::Refuse => {
                self.check_creation(name, missing).await?;
                self.factory.open(&managed_ledger, true).await?
            }
            Err(ManagedLedgerError::NotFound(_)) => return Err(TopicError::NotFound(name.clone())),
            result => result?,
        };
        let (settings, clock) = (self.settings.clone(), self.clock.clone());
        let topic = Topic::new(name.clone(), ledger, settings, clock, self.schemas.clone(), self.own.clone());
        if let Err(error) = self.put_in_force(&topic).await {
            topic.close(&*self.factory).await;
            return Err(error);
        }
        tracing::info!(topic = %name, "topic loaded");
        Ok(topic)
    }

    /// Puts the terms of its namespace in force on a topic.
    ///
    /// # Errors
    /// `NamespaceNotFound`, `Metadata`, and those of [`Topic::set_terms`].
    pub async fn put_in_force(&self, topic: &Topic) -> Result<(), TopicError> {
        topic.set_terms(self.rules.terms(topic.name()).await?).await
    }

    async fn check_creation(&self, name: &TopicName, missing: Missing) -> Result<(), TopicError> {
        let partitions = self.rules.partitions(&name.partitioned()).await?;
        match name.partition_index() {
            Some(index) if partitions > 0 && index < partitions => return Ok(()),
            Some(_) if partitions > 0 => return Err(TopicError::NotFound(name.clone())),
            None if partitions > 0 => {
                return Err(TopicError::NotAllowed(format!("{name} is partitioned: use one of its partitions")));
            }
            _ => {}
        }
        let rule = self.rules.auto_create(name).await?;
        match (missing, rule) {
            (Missing::Ask, AutoCreate::Forbidden) => Err(TopicError::NotFound(name.clone())),
            _ => Ok(()),
        }
    }

    /// Whether there is such a topic, loaded or not.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn exists(&self, name: &TopicName) -> Result<bool, TopicError> {
        Ok(self.get(name).is_some() || self.factory.exists(&name.managed_ledger()).await?)
    }

    /// The topics of a namespace, each partition by itself, loaded or not.
    ///
    /// # Errors
    /// `Storage`.
    pub async fn names(&self, namespace: &NamespaceName) -> Result<Vec<TopicName>, TopicError> {
        let names = self.factory.names(&namespace.managed_ledger_prefix()).await?;
        Ok(names.iter().filter_map(|name| TopicName::from_managed_ledger(name)).collect())
    }

    /// How many partitions a topic has, 0 for a plain one. A missing topic has what the namespace gives to new ones; if that
    /// is partitions, it is recorded so when `may_create`.
    ///
    /// # Errors
    /// `NotFound` when the topic is missing and may not be made; `NamespaceNotFound`, `Metadata`, `Storage`.
    pub async fn partitions(&self, name: &TopicName, may_create: bool) -> Result<u32, TopicError> {
        if name.partition_index().is_some() {
            return Ok(0);
        }
        let partitions = self.rules.partitions(name).await?;
        if partitions > 0 || self.exists(name).await? {
            return Ok(partitions);
        }
        match self.rules.auto_create(name).await? {
            _ if !may_create => Err(TopicError::NotFound(name.clone())),
            AutoCreate::Forbidden => Err(TopicError::NotFound(name.clone())),
            AutoCreate::Plain => Ok(0),
            AutoCreate::Partitioned(count) => {
                self.rules.create_partitioned(name, count).await?;
                Ok(count)
            }
        }
    }

    /// Closes a topic: its clients come again, and find it loaded anew. Answers whether it was loaded.
    pub async fn unload(&self, name: &TopicName) -> bool {
        let Some(slot) = self.lock().get(name).cloned() else { return false };
        let _leaving = slot.leaving.lock().await;
        let Some(topic) = slot.topic.get().filter(|topic| !topic.is_closed()) else { return false };
        topic.close(&*self.factory).await;
        self.lock().remove(name);
        topic.end_close();
        tracing::info!(topic = %name, "topic unloaded");
        true
    }

    /// Deletes a topic with everything in it.
    ///
    /// # Errors
    /// `NotFound`; `InUse` while clients are connected, unless `force`; `Storage`.
    pub async fn delete(&self, name: &TopicName, force: bool) -> Result<(), TopicError> {
        self.delete_unless(name, |topic| !force && topic.client_count() > 0).await
    }

    /// Deletes a topic that its terms give up, unless somebody came meanwhile.
    ///
    /// # Errors
    /// As for [`delete`](Self::delete).
    pub async fn delete_abandoned(&self, name: &TopicName) -> Result<(), TopicError> {
        self.delete_unless(name, |topic| !topic.is_abandoned()).await
    }

    async fn delete_unless(&self, name: &TopicName, is_needed: impl Fn(&Topic) -> bool) -> Result<(), TopicError> {
        let topic = self.load(name, Missing::Refuse).await?;
        let Some(slot) = self.lock().get(name).cloned() else { return Err(TopicError::NotFound(name.clone())) };
        let _leaving = slot.leaving.lock().await;
        if topic.is_closed() {
            return Err(TopicError::NotReady(format!("topic {name} is being closed; try again")));
        }
        topic.begin_close();
        if is_needed(&topic) {
            topic.reopen();
            return Err(TopicError::InUse(topic.client_count()));
        }
        topic.close(&*self.factory).await;
        let deleted = self.factory.delete(&name.managed_ledger()).await;
        // Partitions share their topic's schemas, which go with it.
        if deleted.is_ok() && name.partition_index().is_none() {
            self.schemas.forget(&schema_key(name)).await?;
        }
        self.lock().remove(name);
        topic.end_close();
        tracing::info!(topic = %name, "topic deleted");
        Ok(deleted?)
    }

    /// Closes all topics, for the end of the broker.
    pub async fn close(&self) {
        let names: Vec<_> = self.lock().keys().cloned().collect();
        for batch in names.chunks(CLOSED_AT_ONCE) {
            futures_util::future::join_all(batch.iter().map(|name| self.unload(name))).await;
        }
    }

    /// Takes the rates of all figures over the time since the last call, which was `elapsed` ago.
    pub fn tick_rates(&self, elapsed: Duration) {
        self.loaded().iter().for_each(|topic| topic.tick_rates(elapsed));
    }
}

/// Topics that are closed at the same time when the broker ends.
const CLOSED_AT_ONCE: usize = 64;
