//! What topics ask of their namespace.

use std::sync::Arc;

use async_trait::async_trait;

use super::error::NamespaceError;
use super::policies::{AutoTopicCreation, Policies};
use super::store::Namespaces;
use super::terms::terms;
use crate::topic::Terms;
use crate::topic::names::TopicName;
use crate::topic::rules::{AutoCreate, RuleError, TopicRules};

#[async_trait]
impl TopicRules for Namespaces {
    async fn partitions(&self, topic: &TopicName) -> Result<u32, RuleError> {
        let partitions = self.partitions_of(topic).await.map_err(|error| RuleError::Metadata(error.to_string()))?;
        Ok(partitions.unwrap_or(0))
    }

    async fn auto_create(&self, topic: &TopicName) -> Result<AutoCreate, RuleError> {
        let policies = self.policies_of(topic).await?;
        Ok(policies.auto_topic_creation.as_ref().map_or_else(|| rule(&self.defaults_for_new_topics), rule))
    }

    async fn terms(&self, topic: &TopicName) -> Result<Arc<Terms>, RuleError> {
        let namespace = self.policies_of(topic).await?;
        let own = self.topic_policies(topic).await.map_err(|error| RuleError::Metadata(error.to_string()))?;
        Ok(Arc::new(terms(&self.defaults().terms, &namespace, &own)))
    }

    async fn create_partitioned(&self, topic: &TopicName, partitions: u32) -> Result<(), RuleError> {
        match self.create_partitioned_topic(topic, partitions).await {
            Ok(()) | Err(NamespaceError::Exists(_)) => Ok(()),
            Err(error) => Err(RuleError::Metadata(error.to_string())),
        }
    }
}

impl Namespaces {
    async fn policies_of(&self, topic: &TopicName) -> Result<Policies, RuleError> {
        self.policies(topic.namespace()).await.map_err(|error| match error {
            NamespaceError::NotFound(_) => RuleError::NamespaceNotFound(topic.namespace().clone()),
            error => RuleError::Metadata(error.to_string()),
        })
    }
}

fn rule(rule: &AutoTopicCreation) -> AutoCreate {
    match (rule.allow_auto_topic_creation, rule.topic_type.as_deref()) {
        (false, _) => AutoCreate::Forbidden,
        (true, Some("partitioned")) => AutoCreate::Partitioned(rule.default_num_partitions.unwrap_or(1).max(1)),
        (true, _) => AutoCreate::Plain,
    }
}
