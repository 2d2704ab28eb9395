//! Where topics get their managed ledgers from: opened with the settings of their namespace, recovered, and closed only
//! after their offload has stopped.

use std::sync::Arc;

use async_trait::async_trait;

use crate::managed_ledger::{ManagedLedger, ManagedLedgerError, ManagedLedgers};
use crate::metadata::MetadataError;
use crate::namespace::{NamespaceError, Namespaces};
use crate::offload::Offloads;
use crate::storage::DriverSettings;
use crate::topic::names::TopicName;
use crate::topic::rules::LedgerFactory;

pub(super) struct TopicLedgers {
    managed: Arc<ManagedLedgers>,
    namespaces: Arc<Namespaces>,
    offloads: Arc<Offloads>,
    check_on_load: bool,
}

impl TopicLedgers {
    pub(super) fn new(
        managed: Arc<ManagedLedgers>,
        namespaces: Arc<Namespaces>,
        offloads: Arc<Offloads>,
        check_on_load: bool,
    ) -> Self {
        Self { managed, namespaces, offloads, check_on_load }
    }
}

fn topic(name: &str) -> Result<TopicName, ManagedLedgerError> {
    TopicName::from_managed_ledger(name).ok_or_else(|| ManagedLedgerError::NotFound(name.to_owned()))
}

fn refused(error: NamespaceError) -> ManagedLedgerError {
    MetadataError::Failed(error.to_string()).into()
}

#[async_trait]
impl LedgerFactory for TopicLedgers {
    async fn open(&self, name: &str, create: bool) -> Result<Arc<ManagedLedger>, ManagedLedgerError> {
        if !create && !self.managed.exists(name).await? {
            return Err(ManagedLedgerError::NotFound(name.to_owned()));
        }
        let settings = self.namespaces.settings(&topic(name)?).await.map_err(refused)?;
        let ledger = self.managed.open(name, create, settings).await?;
        let (offloads, loaded, check) = (self.offloads.clone(), ledger.clone(), self.check_on_load);
        tokio::spawn(async move {
            offloads.recover(&loaded).await;
            if check {
                offloads.check(&loaded).await;
            }
        });
        Ok(ledger)
    }

    async fn close(&self, ledger: &Arc<ManagedLedger>) -> Result<(), ManagedLedgerError> {
        self.offloads.stop(ledger).await;
        ledger.close().await
    }

    async fn exists(&self, name: &str) -> Result<bool, ManagedLedgerError> {
        self.managed.exists(name).await
    }

    async fn delete(&self, name: &str) -> Result<(), ManagedLedgerError> {
        let topic = topic(name)?;
        let settings = match self.namespaces.settings(&topic).await {
            Ok(settings) => settings.offload.driver_settings.clone(),
            Err(_) => DriverSettings::default(),
        };
        self.managed.delete(name, &settings).await?;
        self.namespaces.forget_topic(&topic).await.map_err(refused)
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>, ManagedLedgerError> {
        self.managed.names(prefix).await
    }
}
