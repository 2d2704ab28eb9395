//! The admin REST API and the metrics: HTTP in, calls of other rooms, JSON out.
//!
//! [`server`] takes clients in, [`routes`] is the table of paths, [`openapi`] its description for others, [`handlers`] the calls,
//! [`model`] the bodies, [`error`] the statuses, [`metrics`] the Prometheus text. The room owns nothing on disk: every write is one
//! call of the room that owns the record, so a crash leaves what that room promises. A policy is in force on loaded topics when the
//! answer to its write is sent.
//!
//! Paths, bodies and reasons are those of Apache Pulsar 4.0; `brokers/offloaders…` and `…/ledgers` are ours.

mod answer;
mod connections;
pub mod error;
mod guard;
mod handlers;
pub mod health;
mod metrics;
mod model;
mod openapi;
mod request;
mod routes;
mod secrets;
mod server;
#[cfg(test)]
mod test_desk;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;

pub use error::AdminError;
pub use health::{BrokerHealth, HealthCheck};
#[cfg(test)]
pub(crate) use metrics::page as metrics_page;
pub use metrics::{Detail, Kind, MetricFamily, MetricSeries, MetricValue};
pub use routes::router;
pub use server::{HttpLimits, serve};

use crate::access::Access;
use crate::managed_ledger::ManagedLedgers;
use crate::managed_ledger::cache::CacheBudget;
use crate::namespace::Namespaces;
use crate::offload::Offloads;
use crate::storage::{Clock, DriverOrigin};
use crate::topic::{Missing, NamespaceName, Topic, TopicError, TopicName, Topics};

/// The version of Apache Pulsar that clients may take this broker for.
pub const COMPATIBLE_VERSION: &str = "4.0.6";

/// What the broker says about itself.
#[derive(Clone, Debug)]
pub struct BrokerFacts {
    /// The cluster's name.
    pub cluster: String,
    /// `host:port` of this API, as told to clients.
    pub web_address: String,
    /// `host:port` of the binary protocol, as told to clients.
    pub service_address: String,
    /// `host:port` of this API over TLS, where there is one.
    pub web_address_tls: Option<String>,
    /// `host:port` of the binary protocol over TLS, where there is one.
    pub service_address_tls: Option<String>,
    /// Whether metrics are for those alone who show who they are.
    pub authenticate_metrics: bool,
    /// Where plugins are looked for, as configured.
    pub offloaders_directory: String,
    /// Whether a namespace may be deleted with its topics.
    pub force_delete_namespace_allowed: bool,
    /// Whether a tenant may be deleted with its namespaces.
    pub force_delete_tenant_allowed: bool,
    /// Drivers that policies may name besides the original's own.
    pub extra_offload_drivers: Vec<String>,
    /// How finely the metrics tell topics apart.
    pub metrics_detail: Detail,
    /// Every configuration key and its value in force, without secrets.
    pub configuration: BTreeMap<String, String>,
}

impl BrokerFacts {
    fn web_url(&self) -> String {
        format!("http://{}", self.web_address)
    }

    fn service_url(&self) -> String {
        format!("pulsar://{}", self.service_address)
    }
}

/// What is known of plugins, as plain data.
#[async_trait]
pub trait OffloaderReport: Send + Sync {
    /// A row for every file that was looked at.
    fn report(&self) -> serde_json::Value;

    /// What is counted of plugins at this moment.
    fn metrics(&self) -> Vec<MetricFamily>;

    /// How every plugin and every driver stands.
    fn status(&self) -> serde_json::Value;

    /// Looks at the folder of plugins at once; the answer is what changed. A request that goes away stops nothing.
    async fn rescan(&self) -> serde_json::Value;

    /// The plugin that claims a driver, by any spelling of its name.
    fn origin(&self, driver: &str) -> Option<DriverOrigin>;

    /// The keys whose values must never be shown, as the loaded plugins' configuration schemas mark them.
    fn secret_keys(&self) -> BTreeSet<String> {
        BTreeSet::new()
    }
}

/// What requests are answered from.
pub struct AdminState {
    /// Who asks, and what they may.
    pub access: Arc<Access>,
    /// About this broker.
    pub facts: BrokerFacts,
    /// What clients may take.
    pub http: HttpLimits,
    /// Tenants, namespaces, policies.
    pub namespaces: Arc<Namespaces>,
    /// Topics.
    pub topics: Arc<Topics>,
    /// The records of topics that are not loaded.
    pub managed_ledgers: Arc<ManagedLedgers>,
    /// The offload engine.
    pub offloads: Arc<Offloads>,
    /// The memory of all entry caches.
    pub cache_budget: Arc<CacheBudget>,
    /// Plugins.
    pub offloaders: Arc<dyn OffloaderReport>,
    /// Whether it can do its work.
    pub health: Arc<dyn HealthCheck>,
    /// The time.
    pub clock: Arc<dyn Clock>,
}

impl AdminState {
    /// A topic that exists, loaded.
    async fn topic(&self, name: &TopicName) -> Result<Arc<Topic>, AdminError> {
        if name.domain() != crate::topic::Domain::Persistent {
            return Err(TopicError::NotFound(name.clone()).into());
        }
        Ok(self.topics.load(name, Missing::Refuse).await?)
    }

    /// The topic itself, or each partition of a partitioned one.
    async fn parts(&self, name: &TopicName) -> Result<Vec<TopicName>, AdminError> {
        let partitions = self.namespaces.partitions_of(name).await?;
        Ok(partitions.map_or_else(|| vec![name.clone()], |count| (0..count).map(|i| name.partition(i)).collect()))
    }

    /// Puts a namespace's policies in force on its loaded topics.
    async fn refresh(&self, namespace: &NamespaceName) -> Result<(), AdminError> {
        self.refresh_where(|topic| topic.namespace() == namespace).await
    }

    /// Puts a topic's policies in force on it, or on its loaded partitions.
    async fn refresh_topic(&self, name: &TopicName) -> Result<(), AdminError> {
        let whole = name.partitioned();
        self.refresh_where(|topic| topic.partitioned() == whole).await
    }

    async fn refresh_where(&self, concerns: impl Fn(&TopicName) -> bool) -> Result<(), AdminError> {
        for topic in self.topics.loaded().iter().filter(|topic| concerns(topic.name())) {
            topic.ledger().update_settings(self.namespaces.settings(topic.name()).await?);
            self.topics.put_in_force(topic).await?;
        }
        Ok(())
    }
}
