//! Reads and writes tenants, namespaces, partitioned topics and topic policies; answers what topics ask.

use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::effective::{Defaults, managed_ledger_settings};
use super::error::NamespaceError;
use super::policies::{AutoTopicCreation, PartitionedTopic, Policies, Tenant, TopicPolicies};
use crate::managed_ledger::{ManagedLedgerSettings, OffloadPolicy};
use crate::metadata::{Expect, MetadataError, MetadataStore};
use crate::topic::names::{NamespaceName, TopicName};

/// Tries to write a record that others write too.
const UPDATE_TRIES: usize = 10;

/// All tenants and namespaces.
pub struct Namespaces {
    metadata: Arc<dyn MetadataStore>,
    defaults: Defaults,
    pub(super) defaults_for_new_topics: AutoTopicCreation,
    cluster: String,
}

fn tenant_key(tenant: &str) -> String {
    format!("tenants/{tenant}")
}

fn namespace_key(namespace: &NamespaceName) -> String {
    format!("namespaces/{namespace}")
}

fn partitioned_key(topic: &TopicName) -> String {
    format!("partitioned/{}", topic.managed_ledger())
}

fn topic_policies_key(topic: &TopicName) -> String {
    format!("topic-policies/{}", topic.managed_ledger())
}

impl Namespaces {
    /// Over the metadata store; makes the tenants `public` and `pulsar` and their namespaces at the first start.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn open(
        metadata: Arc<dyn MetadataStore>,
        config: &crate::config::Config,
    ) -> Result<Self, NamespaceError> {
        let this = Self {
            metadata,
            defaults: Defaults::from_config(config),
            defaults_for_new_topics: AutoTopicCreation::from_config(config),
            cluster: config.cluster_name.clone(),
        };
        for (tenant, namespace) in [("public", "default"), ("pulsar", "system")] {
            let record = Tenant { admin_roles: Vec::new(), allowed_clusters: vec![this.cluster.clone()] };
            this.create_if_absent(&tenant_key(tenant), &record).await?;
            let name = NamespaceName::new(tenant, namespace).expect("the built-in names are valid");
            this.create_if_absent(&namespace_key(&name), &Policies::default()).await?;
        }
        Ok(this)
    }

    /// What holds where no policy says otherwise.
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// The cluster's name.
    pub fn cluster(&self) -> &str {
        &self.cluster
    }

    /// Names of all tenants, ascending.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn tenants(&self) -> Result<Vec<String>, NamespaceError> {
        let keys = self.metadata.keys("tenants/").await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix("tenants/")).map(str::to_owned).collect())
    }

    /// A tenant.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn tenant(&self, tenant: &str) -> Result<Tenant, NamespaceError> {
        self.get(&tenant_key(tenant)).await?.ok_or_else(|| NamespaceError::NotFound("Tenant does not exist".to_owned()))
    }

    /// Makes a tenant.
    ///
    /// # Errors
    /// `Exists`, `Refused`.
    pub async fn create_tenant(&self, tenant: &str, record: &Tenant) -> Result<(), NamespaceError> {
        if NamespaceName::new(tenant, "x").is_err() {
            return Err(NamespaceError::Refused("Tenant name is not valid".to_owned()));
        }
        self.check_clusters(record)?;
        if !self.create_if_absent(&tenant_key(tenant), record).await? {
            return Err(NamespaceError::Exists("Tenant already exist".to_owned()));
        }
        Ok(())
    }

    /// Replaces a tenant's record.
    ///
    /// # Errors
    /// `NotFound`, `Refused`.
    pub async fn update_tenant(&self, tenant: &str, record: Tenant) -> Result<(), NamespaceError> {
        self.check_clusters(&record)?;
        let absent = || NamespaceError::NotFound(format!("Tenant {tenant} not found"));
        self.update(&tenant_key(tenant), absent, |stored| *stored = record.clone()).await
    }

    /// Deletes a tenant without namespaces.
    ///
    /// # Errors
    /// `NotFound`, `Exists` where it still has namespaces.
    pub async fn delete_tenant(&self, tenant: &str) -> Result<(), NamespaceError> {
        if self.get::<Tenant>(&tenant_key(tenant)).await?.is_none() {
            return Err(NamespaceError::NotFound("Tenant doesn't exist".to_owned()));
        }
        if !self.namespaces(tenant).await?.is_empty() {
            return Err(NamespaceError::Exists("The tenant still has active namespaces".to_owned()));
        }
        Ok(self.metadata.delete(&tenant_key(tenant), Expect::Anything).await?)
    }

    fn check_clusters(&self, tenant: &Tenant) -> Result<(), NamespaceError> {
        let problem = if tenant.allowed_clusters.is_empty() {
            "Clusters can not be empty"
        } else if tenant.allowed_clusters.iter().any(|cluster| *cluster != self.cluster) {
            "Clusters do not exist"
        } else {
            return Ok(());
        };
        Err(NamespaceError::Refused(problem.to_owned()))
    }

    /// Namespaces of a tenant, ascending.
    ///
    /// # Errors
    /// `NotFound` for the tenant.
    pub async fn namespaces(&self, tenant: &str) -> Result<Vec<NamespaceName>, NamespaceError> {
        self.tenant(tenant).await?;
        let keys = self.metadata.keys(&format!("namespaces/{tenant}/")).await?;
        Ok(keys.iter().filter_map(|key| key.strip_prefix("namespaces/")?.parse().ok()).collect())
    }

    /// A namespace's policies.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn policies(&self, namespace: &NamespaceName) -> Result<Policies, NamespaceError> {
        let unrecorded = || namespace.is_of_health_checks().then(Policies::of_health_checks);
        self.get(&namespace_key(namespace)).await?.or_else(unrecorded).ok_or_else(no_namespace)
    }

    /// Makes a namespace.
    ///
    /// # Errors
    /// `NotFound` for the tenant, `Exists`.
    pub async fn create_namespace(&self, namespace: &NamespaceName, policies: &Policies) -> Result<(), NamespaceError> {
        self.tenant(namespace.tenant()).await?;
        if !self.create_if_absent(&namespace_key(namespace), policies).await? {
            return Err(NamespaceError::Exists("Namespace already exists".to_owned()));
        }
        Ok(())
    }

    /// Deletes a namespace's record; the caller has seen to its topics.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn delete_namespace(&self, namespace: &NamespaceName) -> Result<(), NamespaceError> {
        self.policies(namespace).await?;
        Ok(self.metadata.delete(&namespace_key(namespace), Expect::Anything).await?)
    }

    /// Changes a namespace's policies.
    ///
    /// # Errors
    /// `NotFound`, `Conflict`.
    pub async fn update_policies(
        &self,
        namespace: &NamespaceName,
        change: impl Fn(&mut Policies),
    ) -> Result<(), NamespaceError> {
        self.update(&namespace_key(namespace), no_namespace, change).await
    }

    /// A topic's own policies; empty where none were set.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn topic_policies(&self, topic: &TopicName) -> Result<TopicPolicies, NamespaceError> {
        Ok(self.get(&topic_policies_key(&topic.partitioned())).await?.unwrap_or_default())
    }

    /// Changes a topic's own policies.
    ///
    /// # Errors
    /// `Conflict`, those of the metadata store.
    pub async fn update_topic_policies(
        &self,
        topic: &TopicName,
        change: impl Fn(&mut TopicPolicies),
    ) -> Result<(), NamespaceError> {
        let key = topic_policies_key(&topic.partitioned());
        self.create_if_absent(&key, &TopicPolicies::default()).await?;
        self.update(&key, || NamespaceError::Conflict, change).await
    }

    /// The settings of a topic's managed ledger.
    ///
    /// # Errors
    /// `NotFound` for the namespace.
    pub async fn settings(&self, topic: &TopicName) -> Result<Arc<ManagedLedgerSettings>, NamespaceError> {
        let namespace = self.policies(topic.namespace()).await?;
        let own = self.topic_policies(topic).await?;
        let mut settings = managed_ledger_settings(&self.defaults, &namespace, &own);
        if topic.namespace().is_of_health_checks() {
            settings.offload = OffloadPolicy::default();
        }
        Ok(Arc::new(settings))
    }

    /// Partitioned topics of a namespace, ascending.
    ///
    /// # Errors
    /// `NotFound` for the namespace.
    pub async fn partitioned_topics(&self, namespace: &NamespaceName) -> Result<Vec<TopicName>, NamespaceError> {
        self.policies(namespace).await?;
        let keys = self.metadata.keys(&format!("partitioned/{}", namespace.managed_ledger_prefix())).await?;
        let names = keys.iter().filter_map(|key| key.strip_prefix("partitioned/"));
        Ok(names.filter_map(TopicName::from_managed_ledger).collect())
    }

    /// How many partitions a topic has, if it is a partitioned one.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn partitions_of(&self, topic: &TopicName) -> Result<Option<u32>, NamespaceError> {
        Ok(self.get::<PartitionedTopic>(&partitioned_key(topic)).await?.map(|record| record.partitions))
    }

    /// Records a topic as partitioned.
    ///
    /// # Errors
    /// `NotAcceptable` for 0, `Exists`, `NotFound` for the namespace.
    pub async fn create_partitioned_topic(&self, topic: &TopicName, partitions: u32) -> Result<(), NamespaceError> {
        if partitions == 0 {
            return Err(NamespaceError::NotAcceptable("Number of partitions should be more than 0".to_owned()));
        }
        self.policies(topic.namespace()).await?;
        if !self.create_if_absent(&partitioned_key(topic), &PartitionedTopic { partitions }).await? {
            return Err(NamespaceError::Exists("This topic already exists".to_owned()));
        }
        Ok(())
    }

    /// Adds partitions.
    ///
    /// # Errors
    /// `NotFound`, `Unprocessable` for fewer than there are.
    pub async fn update_partitions(&self, topic: &TopicName, partitions: u32) -> Result<(), NamespaceError> {
        let absent = || NamespaceError::NotFound(format!("Topic {topic} not found"));
        let present = self.partitions_of(topic).await?.ok_or_else(absent)?;
        if partitions < present {
            return Err(NamespaceError::Unprocessable(format!(
                "Desired partitions {partitions} can't be less than the current partitions {present}."
            )));
        }
        self.update(&partitioned_key(topic), absent, |stored: &mut PartitionedTopic| {
            stored.partitions = stored.partitions.max(partitions);
        })
        .await
    }

    /// Forgets that a topic is partitioned, and its policies.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn delete_partitioned_topic(&self, topic: &TopicName) -> Result<(), NamespaceError> {
        self.metadata.delete(&partitioned_key(topic), Expect::Anything).await?;
        self.forget_topic(topic).await
    }

    /// Forgets a deleted topic's policies; a partition has none of its own.
    ///
    /// # Errors
    /// Those of the metadata store.
    pub async fn forget_topic(&self, topic: &TopicName) -> Result<(), NamespaceError> {
        if topic.partition_index().is_some() {
            return Ok(());
        }
        Ok(self.metadata.delete(&topic_policies_key(topic), Expect::Anything).await?)
    }

    async fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, NamespaceError> {
        let Some(record) = self.metadata.get(key).await? else { return Ok(None) };
        let parsed = serde_json::from_slice(&record.value);
        parsed.map(Some).map_err(|error| NamespaceError::Metadata(format!("record {key} cannot be read: {error}")))
    }

    /// Whether it was absent.
    async fn create_if_absent<T: Serialize>(&self, key: &str, value: &T) -> Result<bool, NamespaceError> {
        match self.metadata.put(key, to_json(value), Expect::Absent).await {
            Ok(_) => Ok(true),
            Err(MetadataError::Conflict { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn update<T: Serialize + DeserializeOwned>(
        &self,
        key: &str,
        absent: impl Fn() -> NamespaceError,
        change: impl Fn(&mut T),
    ) -> Result<(), NamespaceError> {
        for _ in 0..UPDATE_TRIES {
            let record = self.metadata.get(key).await?.ok_or_else(&absent)?;
            let mut value: T = serde_json::from_slice(&record.value)
                .map_err(|error| NamespaceError::Metadata(format!("record {key} cannot be read: {error}")))?;
            change(&mut value);
            match self.metadata.put(key, to_json(&value), Expect::Version(record.version)).await {
                Err(MetadataError::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(()),
            }
        }
        Err(NamespaceError::Conflict)
    }
}

fn to_json<T: Serialize>(value: &T) -> Vec<u8> {
    serde_json::to_vec(value).expect("records have only text keys")
}

fn no_namespace() -> NamespaceError {
    NamespaceError::NotFound("Namespace does not exist".to_owned())
}
