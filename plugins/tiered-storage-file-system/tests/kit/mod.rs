//! What the tests share: a driver on a folder of its own, and ledgers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use longshore_plugin_api::{
    DriverConfig, Entry, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, ReadHandle, Result, StoredLedger,
};
use tempfile::TempDir;
use tiered_storage_file_system::{FileReadHandle, FileSystemFactory, FileSystemOffloader};
use uuid::Uuid;

pub(crate) const MANAGED_LEDGER: &str = "public/default/persistent/orders";
pub(crate) const COMPRESSIONS: [&str; 3] = ["NONE", "RECORD", "BLOCK"];

/// A driver and its base folder, which goes away with it.
pub(crate) struct Tier {
    pub(crate) driver: FileSystemOffloader,
    pub(crate) folder: TempDir,
}

impl Tier {
    /// A driver that compresses as told; `None` for no profile.
    pub(crate) async fn new(compression: Option<&str>) -> Self {
        let values: Vec<(&str, &str)> =
            compression.map(|value| ("io.seqfile.compression.type", value)).into_iter().collect();
        Self::with_profile(&values).await
    }

    pub(crate) async fn with_profile(values: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let driver = driver_on(&folder.path().join("tier"), values).await;
        Self { driver, folder }
    }

    pub(crate) fn base(&self) -> PathBuf {
        self.folder.path().join("tier")
    }

    pub(crate) fn topic_folder(&self) -> PathBuf {
        self.base().join(MANAGED_LEDGER)
    }

    pub(crate) fn copy_folder(&self, ledger_id: u64, uid: Uuid) -> PathBuf {
        self.topic_folder().join(format!("{ledger_id}-{uid}"))
    }

    /// Copies a ledger of these payloads.
    pub(crate) async fn offload(&self, ledger_id: u64, uid: Uuid, payloads: &[Bytes]) -> Result<()> {
        self.driver.offload(LedgerReader::in_memory(ledger_id, payloads.to_vec()), request(ledger_id, uid)).await
    }

    pub(crate) async fn open(&self, ledger_id: u64, uid: Uuid) -> Result<FileReadHandle> {
        self.driver.open_read(stored(ledger_id, uid)).await
    }
}

/// A driver on `base`, with a profile of these values.
pub(crate) async fn driver_on(base: &Path, values: &[(&str, &str)]) -> FileSystemOffloader {
    let config_folder = tempfile::tempdir().unwrap();
    let config = config(config_folder.path(), base, values);
    assert_eq!(FileSystemFactory::validate(&config), []);
    FileSystemFactory::create(config).await.unwrap()
}

/// A configuration for `base`, its profile written into `folder`.
pub(crate) fn config(folder: &Path, base: &Path, values: &[(&str, &str)]) -> DriverConfig {
    let mut properties: BTreeMap<String, String> =
        [("fileSystemURI".to_owned(), format!("file://{}", base.display()))].into();
    if !values.is_empty() {
        let xml: String = values
            .iter()
            .map(|(name, value)| format!("<property><name>{name}</name><value>{value}</value></property>"))
            .collect();
        fs::write(folder.join("profile.xml"), format!("<configuration>{xml}</configuration>")).unwrap();
        properties.insert("fileSystemProfilePath".to_owned(), "profile.xml".to_owned());
    }
    DriverConfig { driver: "filesystem".to_owned(), properties, search_folders: vec![folder.to_owned()] }
}

pub(crate) fn request(ledger_id: u64, uid: Uuid) -> OffloadRequest {
    OffloadRequest { ledger_id, uid, managed_ledger: MANAGED_LEDGER.to_owned(), extra: BTreeMap::new() }
}

pub(crate) fn stored(ledger_id: u64, uid: Uuid) -> StoredLedger {
    StoredLedger { ledger_id, uid, managed_ledger: MANAGED_LEDGER.to_owned(), driver_metadata: BTreeMap::new() }
}

/// Payloads of lengths up to `len_max`, half of them compressible.
pub(crate) fn random_payloads(random: &mut fastrand::Rng, count: usize, len_max: usize) -> Vec<Bytes> {
    let payload = |random: &mut fastrand::Rng| {
        let len = random.usize(0..=len_max);
        let noise = random.bool();
        (0..len).map(|at| if noise { random.u8(..) } else { (at / 40) as u8 }).collect::<Vec<u8>>().into()
    };
    (0..count).map(|_| payload(random)).collect()
}

/// Reads a whole ledger in batches of at most `max_bytes`.
pub(crate) async fn read_all(handle: &FileReadHandle, max_bytes: u64) -> Result<Vec<Bytes>> {
    let count = handle.metadata().entry_count;
    let mut payloads = Vec::new();
    while (payloads.len() as u64) < count {
        let first = payloads.len() as u64;
        let entries = handle.read(first, count - 1, max_bytes).await?;
        assert!(!entries.is_empty());
        for Entry { entry_id, payload } in entries {
            assert_eq!(entry_id, payloads.len() as u64);
            payloads.push(payload);
        }
    }
    Ok(payloads)
}

/// Every path below `folder`, relative to it, sorted.
pub(crate) fn tree(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).into_iter().flatten() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(folder).unwrap().display().to_string());
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The repository's golden bytes.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
}
