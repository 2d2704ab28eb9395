//! What waits in all topics of a namespace: acknowledged at one blow, or given up with its subscription.

use std::sync::Arc;

use axum::extract::State;

use super::Shared;
use crate::admin::AdminState;
use crate::admin::answer::{Answer, done};
use crate::admin::error::AdminError;
use crate::admin::request::Params;
use crate::topic::{Topic, TopicError};

const SUBSCRIPTION: &str = "subscription";

pub(in crate::admin) async fn clear_all(State(state): Shared, params: Params) -> Answer {
    let mut topics = Topics::of(&state, &params).await?;
    while let Some(topic) = topics.next().await? {
        for subscription in topic.subscriptions() {
            unless_gone(topic.skip_all(subscription.name()))?;
        }
    }
    Ok(done())
}

pub(in crate::admin) async fn clear(State(state): Shared, params: Params) -> Answer {
    let mut topics = Topics::of(&state, &params).await?;
    while let Some(topic) = topics.next().await? {
        unless_gone(topic.skip_all(params.text(SUBSCRIPTION)))?;
    }
    Ok(done())
}

/// A topic without that subscription is left as it is.
pub(in crate::admin) async fn unsubscribe(State(state): Shared, params: Params) -> Answer {
    let mut topics = Topics::of(&state, &params).await?;
    while let Some(topic) = topics.next().await? {
        unless_gone(topic.delete_subscription(params.text(SUBSCRIPTION), false).await)?;
    }
    Ok(done())
}

fn unless_gone(done: Result<(), TopicError>) -> Result<(), AdminError> {
    match done {
        Err(TopicError::SubscriptionNotFound { .. }) | Ok(()) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The topics of a namespace, one after the other; those that go meanwhile are left out.
struct Topics<'a> {
    state: &'a AdminState,
    names: std::vec::IntoIter<crate::topic::TopicName>,
}

impl<'a> Topics<'a> {
    async fn of(state: &'a AdminState, params: &Params) -> Result<Self, AdminError> {
        let namespace = params.namespace()?;
        state.namespaces.policies(&namespace).await?;
        Ok(Self { state, names: state.topics.names(&namespace).await?.into_iter() })
    }

    async fn next(&mut self) -> Result<Option<Arc<Topic>>, AdminError> {
        for name in self.names.by_ref() {
            match self.state.topic(&name).await {
                Err(error) if error.status() == axum::http::StatusCode::NOT_FOUND => {}
                found => return found.map(Some),
            }
        }
        Ok(None)
    }
}
