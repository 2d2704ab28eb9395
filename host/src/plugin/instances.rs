//! The driver instances of all generations: each made once for a driver and its settings, kept for the next caller.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::OnceCell;

use super::driver::PluginDriver;
use super::generation::Generation;
use crate::storage::{DriverSettings, OffloadDriver};

/// A place for an instance, filled by whoever comes first.
pub(super) type Instance = OnceCell<Arc<PluginDriver>>;

/// What tells one instance from another.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct InstanceKey {
    /// The generation's number.
    pub(super) generation: u64,
    /// In the plugin's spelling.
    pub(super) driver: String,
    pub(super) settings: DriverSettings,
}

/// All instances that are kept, at most `offloadersDriverInstancesMax` unless more are in use.
pub(super) struct Instances {
    max: usize,
    kept: Mutex<HashMap<InstanceKey, Arc<Instance>>>,
}

impl Instances {
    pub(super) fn new(max: usize) -> Self {
        Self { max, kept: Mutex::default() }
    }

    /// The place of an instance, made if need be.
    pub(super) fn place(&self, key: &InstanceKey) -> Arc<Instance> {
        let mut kept = self.kept();
        if kept.len() >= self.max && !kept.contains_key(key) {
            kept.retain(|_, instance| is_used(instance));
        }
        Arc::clone(kept.entry(key.clone()).or_default())
    }

    /// Forgets an instance that could not be made, unless somebody else is trying.
    pub(super) fn forget(&self, key: &InstanceKey) {
        let mut kept = self.kept();
        if kept.get(key).is_some_and(|instance| !is_used(instance)) {
            kept.remove(key);
        }
    }

    /// Keeps instances that were made ahead of their first caller.
    pub(super) fn keep(&self, made: Vec<(InstanceKey, Arc<PluginDriver>)>) {
        let mut kept = self.kept();
        for (key, driver) in made {
            kept.entry(key).or_insert_with(|| Arc::new(OnceCell::new_with(Some(driver))));
        }
    }

    /// The configurations of `driver`, in any letter case, that a generation has instances for, with those instances.
    pub(super) fn in_use(&self, generation: &Generation, driver: &str) -> Vec<(DriverSettings, Arc<PluginDriver>)> {
        let kept = self.kept();
        let of_driver = kept
            .iter()
            .filter(|(key, _)| key.generation == generation.number && key.driver.eq_ignore_ascii_case(driver));
        of_driver.filter_map(|(key, instance)| Some((key.settings.clone(), Arc::clone(instance.get()?)))).collect()
    }

    /// How many instances of a generation are kept.
    pub(super) fn count_of(&self, generation: &Generation) -> usize {
        let kept = self.kept();
        kept.iter().filter(|(key, instance)| key.generation == generation.number && instance.initialized()).count()
    }

    /// Who uses a generation: callers that hold an instance or make one, calls that run, and open copies.
    pub(super) fn user_count(&self, generation: &Generation) -> usize {
        let kept = self.kept();
        let own = kept.iter().filter(|(key, _)| key.generation == generation.number);
        let made: Vec<usize> = own.filter_map(|(_, instance)| users(instance)).collect();
        let others = generation.share_count().saturating_sub(made.len());
        others + made.iter().sum::<usize>()
    }

    /// Lets the instances of a generation without users finish.
    pub(super) async fn shutdown_of(&self, generation: &Generation, deadline: Duration) {
        self.shutdown(|key| key.generation == generation.number, deadline).await;
    }

    /// Lets every instance finish, all at once.
    pub(super) async fn shutdown_all(&self, deadline: Duration) {
        self.shutdown(|_| true, deadline).await;
    }

    async fn shutdown(&self, concerned: impl Fn(&InstanceKey) -> bool, deadline: Duration) {
        let ended: Vec<(InstanceKey, Arc<Instance>)> = self.kept().extract_if(|key, _| concerned(key)).collect();
        join_all(ended.iter().map(async |(key, instance)| {
            let Some(driver) = instance.get() else { return };
            let (driver_name, generation) = (&key.driver, key.generation);
            match driver.shutdown(deadline).await {
                Ok(0) => tracing::debug!(driver = driver_name, generation, "driver shut down"),
                Ok(abandoned) => {
                    tracing::warn!(
                        driver = driver_name,
                        generation,
                        abandoned,
                        "driver shut down, calls were given up"
                    );
                }
                Err(error) => {
                    tracing::warn!(driver = driver_name, generation, %error, "driver did not answer its shutdown");
                }
            }
        }))
        .await;
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<InstanceKey, Arc<Instance>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether anybody beside the cache holds the instance, waits for it, or holds what came of it.
fn is_used(instance: &Arc<Instance>) -> bool {
    users(instance).map_or_else(|| Arc::strong_count(instance) > 1, |users| users > 0)
}

/// Who beside the cache holds an instance that was made: callers, and the open copies that came of it.
fn users(instance: &Arc<Instance>) -> Option<usize> {
    let driver = instance.get()?;
    Some(Arc::strong_count(instance) - 1 + Arc::strong_count(driver) - 1 + driver.user_count())
}
