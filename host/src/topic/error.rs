//! Why a topic refuses. The protocol and admin rooms turn the kinds into codes of their own.

use super::names::{NameError, NamespaceName, TopicName};
use super::terms::QuotaAction;
use crate::managed_ledger::ManagedLedgerError;
use crate::storage::ReadError;

/// Why a topic refuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TopicError {
    /// The text names no topic.
    #[error(transparent)]
    InvalidName(#[from] NameError),
    /// There is no such topic, and none may be made.
    #[error("Topic {0} not found")]
    NotFound(TopicName),
    /// There is no such namespace.
    #[error("Namespace {0} not found")]
    NamespaceNotFound(NamespaceName),
    /// There is no such subscription.
    #[error("Subscription {subscription} not found for topic {topic}")]
    SubscriptionNotFound {
        /// The subscription.
        subscription: String,
        /// Its topic.
        topic: TopicName,
    },
    /// The subscription is there already.
    #[error("Subscription already exists for topic")]
    SubscriptionExists,
    /// Somebody else uses the subscription in a way that excludes this one.
    #[error("{0}")]
    ConsumerBusy(String),
    /// The subscription has consumers.
    #[error("Subscription has active connected consumers")]
    SubscriptionInUse,
    /// The consumer is no longer connected.
    #[error("Consumer not found")]
    ConsumerNotFound,
    /// Key ranges of consumers clash.
    #[error("{0}")]
    ConsumerAssign(String),
    /// The producer's name is taken.
    #[error("{0}")]
    ProducerBusy(String),
    /// The name of a subscription or producer cannot be used.
    #[error("{0}")]
    BadName(String),
    /// An exclusive producer has the topic.
    #[error("{0}")]
    ProducerFenced(String),
    /// A schema does not fit those of the topic.
    #[error("{0}")]
    IncompatibleSchema(String),
    /// So much waits for consumers that producers are kept out, in this way.
    #[error("Cannot create producer on topic with backlog quota exceeded")]
    BacklogExceeded(QuotaAction),
    /// Clients are connected.
    #[error("Topic has {0} connected producers/consumers")]
    InUse(usize),
    /// The topic is being closed or moved; the same request may succeed soon.
    #[error("{0}")]
    NotReady(String),
    /// The topic takes no more messages.
    #[error("topic {0} is terminated")]
    Terminated(TopicName),
    /// This broker does not do that.
    #[error("{0}")]
    NotAllowed(String),
    /// The client's role may not.
    #[error("{0}")]
    Unauthorized(String),
    /// The rules of the namespace, or their store, stand against it.
    #[error("{0}")]
    Metadata(String),
    /// The managed ledger failed.
    #[error(transparent)]
    Storage(#[from] ManagedLedgerError),
    /// Entries cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
}
