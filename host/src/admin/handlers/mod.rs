//! Handlers: each turns a request into calls of other rooms and their answer into a body. They decide nothing else.

pub(super) mod backlogs;
pub(super) mod broker_stats;
pub(super) mod brokers;
pub(super) mod internals;
pub(super) mod kept_policies;
pub(super) mod life_policies;
pub(super) mod messages;
pub(super) mod namespace_policies;
pub(super) mod namespaces;
pub(super) mod offload;
pub(super) mod permissions;
pub(super) mod schema_policies;
pub(super) mod schemas;
pub(super) mod subscriptions;
pub(super) mod tenants;
pub(super) mod topic_policies;
pub(super) mod topics;

use std::sync::Arc;

use axum::extract::State;

use super::{AdminError, AdminState};
use crate::topic::{TopicError, TopicName};

/// What every handler works with.
pub(super) type Shared = State<Arc<AdminState>>;

/// Refuses a topic that does not exist, without loading it.
async fn require_topic(state: &AdminState, name: &TopicName) -> Result<(), AdminError> {
    if state.topics.exists(name).await? || state.namespaces.partitions_of(name).await?.is_some() {
        return Ok(());
    }
    Err(TopicError::NotFound(name.clone()).into())
}
