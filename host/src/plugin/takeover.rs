//! The health gate: what a plugin must show before it takes a driver over from the one that serves it.
//!
//! For each configuration that the driver is in use with, the newcomer checks it, makes an instance and reports its health, each
//! under `offloadersCallTimeoutMs`. An instance that passed is the one that callers get. One thing is forgiven: a store that
//! the plugin in charge cannot reach either.

use std::sync::Arc;

use futures_util::stream::{self, StreamExt};

use super::driver::PluginDriver;
use super::generation::Generation;
use super::instances::InstanceKey;
use crate::storage::{DriverError, DriverErrorKind, DriverSettings, OffloadDriver};

/// Configurations that are tried at once.
const TRIED_AT_ONCE_MAX: usize = 8;

/// A driver as it is in use.
pub(super) struct InUse {
    /// In the newcomer's spelling.
    pub(super) driver: String,
    pub(super) settings: DriverSettings,
    /// Of the plugin in charge.
    pub(super) instance: Arc<PluginDriver>,
}

/// Why a newcomer did not pass.
#[derive(Debug)]
pub(super) struct Failed {
    pub(super) reason: String,
    /// Whether the same attempt may succeed later.
    pub(super) retryable: bool,
}

/// Tries `newcomer` on every configuration in use; the answer is the instances that were made.
pub(super) async fn pass(
    newcomer: &Generation,
    in_use: Vec<InUse>,
) -> Result<Vec<(InstanceKey, Arc<PluginDriver>)>, Failed> {
    let mut tried = stream::iter(in_use).map(|in_use| try_one(newcomer, in_use)).buffer_unordered(TRIED_AT_ONCE_MAX);
    let mut made = Vec::new();
    while let Some(passed) = tried.next().await {
        made.push(passed?);
    }
    Ok(made)
}

async fn try_one(newcomer: &Generation, in_use: InUse) -> Result<(InstanceKey, Arc<PluginDriver>), Failed> {
    let InUse { driver, settings, instance } = in_use;
    let made = PluginDriver::create(newcomer.share(), &driver, &settings).await.map_err(|error| failed(&error))?;
    if let Err(error) = made.health().await {
        let orderly = matches!(error.kind, DriverErrorKind::Failed | DriverErrorKind::NotFound);
        if !orderly || instance.health().await.is_ok() {
            return Err(failed(&error));
        }
        tracing::warn!(%error, "a new plugin does not reach its store, and neither does the one in charge");
    }
    Ok((InstanceKey { generation: newcomer.number, driver, settings }, Arc::new(made)))
}

fn failed(error: &DriverError) -> Failed {
    Failed {
        reason: format!("driver `{}` failed its trial: {}", error.driver, error.message),
        retryable: error.retryable,
    }
}
