//! The rooms of a broker that does not run, for commands that work on its data folder: records and drivers, no hot store.
//!
//! The metadata file is locked by whoever has it open, so a running broker keeps such commands out, and they keep it out.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result};

use super::{PLUGIN_SHUTDOWN, data_folder, load_plugins, open_metadata};
use crate::config::Config;
use crate::metadata::MetadataStore;
use crate::metadata::memory::MemoryMetadataStore;
use crate::namespace::Namespaces;
use crate::plugin::PluginHost;
use crate::storage::{Clock, SystemClock};

/// What a command may do with the data folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Change records; what is missing is made, as at a start.
    Change,
    /// Look. A folder that is not there is as good as an empty one, and stays away.
    Look,
}

/// Records and drivers.
pub struct StoppedBroker {
    /// The records.
    pub metadata: Arc<dyn MetadataStore>,
    /// Tenants, namespaces and policies.
    pub namespaces: Namespaces,
    /// The drivers.
    pub plugins: PluginHost,
}

impl StoppedBroker {
    /// Opens the data folder to change its records.
    ///
    /// # Errors
    /// A broker runs on it; what else keeps a broker from starting.
    pub async fn open(config: &Config) -> Result<Self> {
        Self::open_to(config, Purpose::Change).await
    }

    /// Opens the data folder to look at its records.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn look(config: &Config) -> Result<Self> {
        Self::open_to(config, Purpose::Look).await
    }

    async fn open_to(config: &Config, purpose: Purpose) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let folder = PathBuf::from(&config.data_directory);
        let metadata: Arc<dyn MetadataStore> = match purpose {
            Purpose::Look if !has_records(&folder) => Arc::new(MemoryMetadataStore::new(clock)),
            _ => open_metadata(&data_folder(config)?, clock).await.context("no broker may run on this data folder")?,
        };
        let namespaces = Namespaces::open(metadata.clone(), config).await.context("open the namespaces")?;
        Ok(Self { metadata, namespaces, plugins: load_plugins(config).await? })
    }

    /// Lets the drivers finish.
    pub async fn close(self) {
        self.plugins.shutdown(PLUGIN_SHUTDOWN).await;
    }
}

fn has_records(folder: &Path) -> bool {
    super::metadata_file(folder).exists()
}
