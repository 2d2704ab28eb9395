//! Where copies are made: a folder of this machine, or an HDFS; the driver and the raw client for it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use longshore_plugin_api::{DriverConfig, OffloaderFactory};
use rustix::fs::Advice;
use tiered_storage_file_system::{FileSystemFactory, FileSystemOffloader};

use crate::ledger::Pool;
use crate::raw::{Raw, RawFolder, RawHdfs};

/// Below it lies everything that this program makes.
const BASE: &str = "longshore-map-files";

/// A place, and what is in it.
pub(crate) struct Place {
    /// On this machine: of profiles, and where the place is a folder, of everything.
    folder: PathBuf,
    hdfs: Option<String>,
    pub(crate) raw: Raw,
}

impl Place {
    pub(crate) fn folder(folder: &Path, pool: &Pool) -> Result<Self> {
        let folder = fresh(folder)?;
        let raw = folder.join("raw");
        fs::create_dir(&raw).with_context(|| format!("make {}", raw.display()))?;
        Ok(Self { folder, hdfs: None, raw: Raw::Folder(RawFolder::new(raw, pool)) })
    }

    pub(crate) async fn hdfs(folder: &Path, url: String, pool: &Pool) -> Result<Self> {
        let raw = RawHdfs::new(&url, &format!("/{BASE}"), pool).await?;
        Ok(Self { folder: fresh(folder)?, hdfs: Some(url), raw: Raw::Hdfs(raw) })
    }

    pub(crate) fn name(&self) -> String {
        self.hdfs.clone().unwrap_or_else(|| self.folder.display().to_string())
    }

    fn tier(&self) -> PathBuf {
        self.folder.join("tier")
    }

    /// A driver that knows nothing yet, for copies with this compression.
    pub(crate) async fn driver(&self, compression: &str) -> Result<FileSystemOffloader> {
        let tier = self.tier();
        let base = match &self.hdfs {
            Some(url) => url.clone(),
            None => tier.display().to_string(),
        };
        let profile = self.folder.join("profile.xml");
        let property =
            |name: &str, value: &str| format!("<property><name>{name}</name><value>{value}</value></property>");
        let xml = [
            property("io.seqfile.compression.type", compression),
            property("fs.defaultFS", self.hdfs.as_deref().unwrap_or_default()),
            property("dfs.replication", "1"),
        ];
        let wanted = if self.hdfs.is_some() { &xml[..] } else { &xml[..1] };
        fs::write(&profile, format!("<configuration>{}</configuration>", wanted.concat()))
            .with_context(|| format!("write {}", profile.display()))?;
        let properties = [("fileSystemURI", base), ("fileSystemProfilePath", profile.display().to_string())];
        let properties: BTreeMap<String, String> =
            properties.map(|(key, value)| (key.to_owned(), value)).into_iter().collect();
        let config = DriverConfig { driver: "filesystem".to_owned(), properties, search_folders: Vec::new() };
        FileSystemFactory::create(config).await.context("make the driver")
    }

    /// Bytes of the copies' files where they can be counted: in a folder.
    pub(crate) fn copies_bytes(&self) -> Result<Option<u64>> {
        if self.hdfs.is_some() {
            return Ok(None);
        }
        let lengths =
            files(&self.tier())?.iter().map(|path| Ok(fs::metadata(path)?.len())).collect::<Result<Vec<_>>>()?;
        Ok(Some(lengths.iter().sum()))
    }

    /// Whether the system can be told to forget what it holds of the files in memory.
    pub(crate) fn can_forget(&self) -> bool {
        self.hdfs.is_none()
    }

    /// Has the system forget what it holds in memory of every file here.
    pub(crate) fn forget(&self) -> Result<()> {
        for path in files(&self.folder)? {
            rustix::fs::fadvise(File::open(&path)?, 0, None, Advice::DontNeed)
                .with_context(|| format!("forget {}", path.display()))?;
        }
        Ok(())
    }

    pub(crate) async fn remove(self) -> Result<()> {
        self.raw.remove_all().await?;
        fs::remove_dir_all(&self.folder).with_context(|| format!("remove {}", self.folder.display()))
    }
}

/// An empty folder of this program's name.
fn fresh(folder: &Path) -> Result<PathBuf> {
    let folder = folder.join(BASE);
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    // A base of the driver has no relative parts.
    folder.canonicalize().with_context(|| format!("look at {}", folder.display()))
}

/// Every file in a folder and below it.
fn files(folder: &Path) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let entry = entry?;
            if entry.file_type()?.is_dir() { folders.push(entry.path()) } else { found.push(entry.path()) }
        }
    }
    Ok(found)
}
