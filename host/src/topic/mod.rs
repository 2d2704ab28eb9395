//! Topics: names, producers, subscriptions, and who gets which message.
//!
//! The way in: [`producer`] hands an entry to the managed ledger and awaits the answers in order. The way out:
//! [`delivery`](subscription) is the task of a subscription; it asks the dispatcher what to read and hands over what it
//! read; acknowledgements go to the cursor. [`topics`] loads, unloads and deletes; [`operations`] is what operators do,
//! `upkeep` what is done by the clock, `heartbeat` what tells that it works.
//!
//! The room knows clients as [`client::Client`], namespaces as [`rules::TopicRules`], and where managed ledgers come from as
//! [`rules::LedgerFactory`]. Durable state belongs to the managed ledger, and to the schema room, alone; a crash loses what is
//! in flight, which producers send again and consumers get again.

mod access;
mod acks;
pub mod client;
pub mod consumer;
mod deduplication;
mod delivery;
mod dispatcher;
pub mod error;
pub mod handle;
mod heartbeat;
pub mod message;
pub mod names;
pub mod operations;
pub mod producer;
mod producers;
pub mod rules;
pub mod schemas;
pub mod settings;
pub mod stats;
pub mod subscription;
pub mod terms;
#[cfg(test)]
pub(crate) mod test_kit;
#[cfg(test)]
mod tests;
#[expect(clippy::module_inception, reason = "a topic is the noun of the room")]
pub mod topic;
pub mod topics;
mod upkeep;

pub use error::TopicError;
pub use handle::ConsumerHandle;
pub use names::{Domain, NamespaceName, TopicName};
pub use operations::{StartAt, StoredEntry};
pub use rules::{AutoCreate, LedgerFactory, OpenRules, RuleError, TopicRules};
pub use settings::TopicSettings;
pub use terms::Terms;
pub use topic::{SubscribeRequest, Topic};
pub use topics::{Missing, Topics};
