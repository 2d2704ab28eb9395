//! Whether the broker can do its work: a record is written and read, and a message goes through a topic of its own and back.
//!
//! The topic is the original's: `persistent://pulsar/<host>:<port>/healthcheck`, of a namespace that no list shows. It is kept
//! like any topic, so that a check costs one entry; retention takes the entries with their ledger, and nothing of it is
//! offloaded.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use async_trait::async_trait;

use crate::metadata::{Expect, MetadataStore};
use crate::topic::{Domain, NamespaceName, TopicName, Topics};

/// Tells whether the broker can do its work.
#[async_trait]
pub trait HealthCheck: Send + Sync {
    /// `Err` says what does not answer, and how.
    async fn check(&self) -> Result<(), String>;
}

/// The record that a check writes.
const KEY: &str = "health";
/// What is in it.
const VALUE: &[u8] = b"health";
/// The topic in the namespace of the broker's own.
const TOPIC: &str = "healthcheck";

/// Writes to the metadata store and to a topic, and reads back.
pub struct BrokerHealth {
    metadata: Arc<dyn MetadataStore>,
    topics: Arc<Topics>,
    topic: TopicName,
    checks: AtomicU64,
    /// One check at a time, however many ask.
    turn: tokio::sync::Mutex<()>,
}

impl BrokerHealth {
    /// Of the broker whose REST API is told to be at `web_address`, `host:port`.
    pub fn new(metadata: Arc<dyn MetadataStore>, topics: Arc<Topics>, web_address: &str) -> Self {
        Self { metadata, topics, topic: topic_of(web_address), checks: AtomicU64::new(0), turn: Default::default() }
    }

    async fn check_metadata(&self) -> Result<(), String> {
        let failed = |error| format!("the metadata store does not answer: {error}");
        self.metadata.put(KEY, VALUE.to_vec(), Expect::Anything).await.map_err(failed)?;
        match self.metadata.get(KEY).await.map_err(failed)? {
            Some(record) if record.value == VALUE => Ok(()),
            _ => Err(format!("the metadata store lost record `{KEY}` that was just written")),
        }
    }

    async fn check_topic(&self) -> Result<(), String> {
        let word = self.checks.fetch_add(1, Relaxed).to_string();
        let beaten = self.topics.beat(&self.topic, &word).await;
        beaten.map_err(|error| format!("a message did not go through {} and back: {error}", self.topic))
    }
}

/// An address of letters that no namespace may have, such as `[::1]:8080`, has others in their place.
fn topic_of(web_address: &str) -> TopicName {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | ':' | '.');
    let local: String = web_address.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
    let namespace = NamespaceName::new("pulsar", &local).expect("its letters were seen to above");
    TopicName::new(Domain::Persistent, namespace, TOPIC).expect("the local name is one word")
}

#[async_trait]
impl HealthCheck for BrokerHealth {
    async fn check(&self) -> Result<(), String> {
        let _turn = self.turn.lock().await;
        self.check_metadata().await?;
        self.check_topic().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_has_a_topic_in_a_namespace_of_health_checks() {
        for (address, want) in [
            ("broker-1.example:8080", "persistent://pulsar/broker-1.example:8080/healthcheck"),
            ("[::1]:8080", "persistent://pulsar/-::1-:8080/healthcheck"),
            ("under_score:1", "persistent://pulsar/under-score:1/healthcheck"),
        ] {
            let topic = topic_of(address);
            assert_eq!(topic.to_string(), want);
            assert!(topic.namespace().is_of_health_checks(), "{topic}");
        }
    }
}
