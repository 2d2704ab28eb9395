//! Removing everything that an earlier run left in the data folder. What lies in cold stores stays: nothing here says which of
//! it is whose, once the records are gone.

use std::io;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use super::{ledgers_folder, metadata_file};
use crate::config::Config;
use crate::metadata::store::RedbMetadataStore;
use crate::storage::SystemClock;

/// Removes the topics, policies and hot ledgers of the data folder, unless a broker runs on it. The records go first: ledgers
/// that no record names are removed by the next start, if this one is cut short.
///
/// # Errors
/// A broker runs on the folder, or something cannot be removed.
pub fn wipe(config: &Config) -> Result<()> {
    let data = Path::new(&config.data_directory);
    let metadata = metadata_file(data);
    if metadata.exists() {
        // Held open, so that no broker starts on it meanwhile.
        let _held =
            RedbMetadataStore::open(&metadata, Arc::new(SystemClock)).context("open the metadata to wipe it")?;
        remove(metadata.parent().unwrap_or(&metadata))?;
    }
    remove(&ledgers_folder(data))
}

fn remove(folder: &Path) -> Result<()> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => {
            tracing::warn!(folder = %folder.display(), "removed, as --wipe-data asks");
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error).with_context(|| format!("remove {}", folder.display())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Source;

    #[test]
    fn only_what_the_broker_owns_goes_and_never_under_a_running_one() {
        let folder = tempfile::tempdir().unwrap();
        let text = format!("longshoreDataDirectory={}", folder.path().display());
        let (config, _) = Config::from_sources(&[Source::text("test", &text)]).unwrap();
        wipe(&config).unwrap();
        let file = metadata_file(folder.path());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::create_dir_all(folder.path().join("ledgers/0")).unwrap();
        std::fs::create_dir_all(folder.path().join("offloaded")).unwrap();
        let running = RedbMetadataStore::open(&file, Arc::new(SystemClock)).unwrap();
        assert!(wipe(&config).is_err());
        assert!(file.exists() && folder.path().join("ledgers/0").exists());
        drop(running);
        wipe(&config).unwrap();
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["offloaded"]);
    }
}
