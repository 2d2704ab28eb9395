//! What topics ask of their namespace.

use async_trait::async_trait;

use super::error::NamespaceError;
use super::policies::AutoTopicCreation;
use super::store::Namespaces;
use crate::topic::names::TopicName;
use crate::topic::rules::{AutoCreate, RuleError, TopicRules};

#[async_trait]
impl TopicRules for Namespaces {
    async fn partitions(&self, topic: &TopicName) -> Result<u32, RuleError> {
        let partitions = self.partitions_of(topic).await.map_err(|error| RuleError::Metadata(error.to_string()))?;
        Ok(partitions.unwrap_or(0))
    }

    async fn auto_create(&self, topic: &TopicName) -> Result<AutoCreate, RuleError> {
        let policies = match self.policies(topic.namespace()).await {
            Ok(policies) => policies,
            Err(NamespaceError::NotFound(_)) => return Err(RuleError::NamespaceNotFound(topic.namespace().clone())),
            Err(error) => return Err(RuleError::Metadata(error.to_string())),
        };
        Ok(policies.auto_topic_creation.as_ref().map_or_else(|| rule(&self.defaults_for_new_topics), rule))
    }

    async fn create_partitioned(&self, topic: &TopicName, partitions: u32) -> Result<(), RuleError> {
        match self.create_partitioned_topic(topic, partitions).await {
            Ok(()) | Err(NamespaceError::Exists(_)) => Ok(()),
            Err(error) => Err(RuleError::Metadata(error.to_string())),
        }
    }
}

fn rule(rule: &AutoTopicCreation) -> AutoCreate {
    match (rule.allow_auto_topic_creation, rule.topic_type.as_deref()) {
        (false, _) => AutoCreate::Forbidden,
        (true, Some("partitioned")) => AutoCreate::Partitioned(rule.default_num_partitions.unwrap_or(1).max(1)),
        (true, _) => AutoCreate::Plain,
    }
}
