//! What a topic must ask about its namespace, and where its managed ledger comes from: two seams that others implement.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;

use super::error::TopicError;
use super::names::{NamespaceName, TopicName};
use super::terms::Terms;
use crate::managed_ledger::{ManagedLedger, ManagedLedgerError};

/// What a namespace says when a client uses a topic that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AutoCreate {
    /// It is refused.
    Forbidden,
    /// It is made.
    Plain,
    /// It is made with so many partitions.
    Partitioned(u32),
}

/// Why a namespace gives no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// There is no such namespace.
    #[error("Namespace {0} not found")]
    NamespaceNotFound(NamespaceName),
    /// The rules cannot be read or written.
    #[error("{0}")]
    Metadata(String),
}

impl From<RuleError> for TopicError {
    fn from(error: RuleError) -> Self {
        match error {
            RuleError::NamespaceNotFound(namespace) => Self::NamespaceNotFound(namespace),
            RuleError::Metadata(text) => Self::Metadata(text),
        }
    }
}

/// The namespace's side of a topic's life.
#[async_trait]
pub trait TopicRules: Send + Sync {
    /// How many partitions a topic has; 0 for one that is not partitioned, or not there.
    async fn partitions(&self, topic: &TopicName) -> Result<u32, RuleError>;

    /// What happens when a client uses a topic that is not there.
    async fn auto_create(&self, topic: &TopicName) -> Result<AutoCreate, RuleError>;

    /// The terms under which a topic lives.
    async fn terms(&self, topic: &TopicName) -> Result<Arc<Terms>, RuleError>;

    /// Records a topic as partitioned; a success if it has as many partitions already.
    async fn create_partitioned(&self, topic: &TopicName, partitions: u32) -> Result<(), RuleError>;
}

/// Opens the managed ledgers of topics. At most one instance of a name is open at a time: the registry sees to that.
#[async_trait]
pub trait LedgerFactory: Send + Sync {
    /// Opens a managed ledger; a missing one is made if `create`.
    ///
    /// # Errors
    /// `NotFound` unless `create`; those of the stores.
    async fn open(&self, name: &str, create: bool) -> Result<Arc<ManagedLedger>, ManagedLedgerError>;

    /// Closes a managed ledger that [`open`](Self::open) gave, after whatever else uses it has stopped.
    ///
    /// # Errors
    /// Those of the stores; the next open recovers all the same.
    async fn close(&self, ledger: &Arc<ManagedLedger>) -> Result<(), ManagedLedgerError>;

    /// Whether there is such a managed ledger.
    async fn exists(&self, name: &str) -> Result<bool, ManagedLedgerError>;

    /// Deletes a closed managed ledger with all its entries and cursors, hot and cold.
    async fn delete(&self, name: &str) -> Result<(), ManagedLedgerError>;

    /// Names that begin with `prefix`, ascending.
    async fn names(&self, prefix: &str) -> Result<Vec<String>, ManagedLedgerError>;
}

/// Rules kept in memory: every namespace exists and has the same rule. For tests, and for embedding without an admin room.
#[derive(Debug)]
pub struct OpenRules {
    auto_create: AutoCreate,
    partitions: Mutex<BTreeMap<TopicName, u32>>,
    terms: Mutex<Arc<Terms>>,
}

impl OpenRules {
    /// Rules that answer `auto_create` for every missing topic.
    pub fn new(auto_create: AutoCreate) -> Self {
        Self { auto_create, partitions: Mutex::default(), terms: Mutex::default() }
    }

    /// Puts terms in force for topics that are loaded from now on.
    pub fn set_terms(&self, terms: Terms) {
        *self.terms.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(terms);
    }
}

#[async_trait]
impl TopicRules for OpenRules {
    async fn partitions(&self, topic: &TopicName) -> Result<u32, RuleError> {
        let partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(partitions.get(topic).copied().unwrap_or(0))
    }

    async fn auto_create(&self, _topic: &TopicName) -> Result<AutoCreate, RuleError> {
        Ok(self.auto_create)
    }

    async fn terms(&self, _topic: &TopicName) -> Result<Arc<Terms>, RuleError> {
        Ok(self.terms.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }

    async fn create_partitioned(&self, topic: &TopicName, partitions: u32) -> Result<(), RuleError> {
        self.partitions.lock().unwrap_or_else(PoisonError::into_inner).insert(topic.clone(), partitions);
        Ok(())
    }
}
