//! Tenants, namespaces, partitioned topics and their policies.
//!
//! Owns the records under `tenants/`, `namespaces/`, `partitioned/` and `topic-policies/`, all JSON. [`policies`] and
//! [`offload_policies`] are plain data and pure merges; [`store`] reads and writes with compare-and-set; [`effective`]
//! turns broker, namespace and topic into the settings of one managed ledger, [`terms`] into the terms of a topic's life.

pub mod effective;
pub mod error;
pub mod explain;
pub mod offload_policies;
pub mod permissions;
pub mod policies;
mod rules;
pub mod store;
pub mod terms;

pub use effective::Defaults;
pub use error::NamespaceError;
pub use offload_policies::OffloadPolicies;
pub use policies::{AutoTopicCreation, Policies, RetentionPolicies, Tenant, TopicPolicies};
pub use store::Namespaces;
pub use terms::{BacklogQuota, InactiveTopicPolicies, TermDefaults};
