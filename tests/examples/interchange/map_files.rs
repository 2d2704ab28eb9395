//! Copies in a MapFile, by the reader and the writer of the driver `filesystem`.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use longshore_plugin_api::LedgerMetadata;
use map_file::checksum::{Checked, ChecksumWriter, side_file_name};
use map_file::{Compression, MapFile, MapFileWriter, MemoryFile, ReadLimits, WriteOptions};

use crate::{ensure_same, shuffled};

/// The key of the ledger's metadata.
const METADATA_KEY: i64 = -1;

/// All payloads, read in sequence and at random.
pub(crate) fn entries(folder: &Path) -> Result<Vec<Bytes>> {
    let file = open(folder)?;
    let last = metadata(&file)?.last_entry_id().context("a ledger with entries")?;
    let mut cursor = file.data().cursor();
    cursor.next_record()?;
    let mut payloads = Vec::new();
    while let Some(record) = cursor.next_record()? {
        ensure!(record.key == payloads.len() as i64, "record {} where {} follows", record.key, payloads.len());
        payloads.push(record.value);
    }
    ensure!(payloads.len() as u64 == last + 1, "{} records, the metadata's last entry is {last}", payloads.len());
    for entry_id in shuffled(payloads.len()) {
        let value = file.get(entry_id as i64)?.with_context(|| format!("entry {entry_id} is not found by itself"))?;
        ensure_same(entry_id, &value, &payloads)?;
    }
    Ok(payloads)
}

/// Writes the ledger of `folder` below the folder `to`, with checksums.
pub(crate) fn rewrite(folder: &Path, to: &Path, compression: Compression) -> Result<()> {
    let payloads = entries(folder)?;
    let metadata = metadata(&open(folder)?)?;
    let to = to.join(folder.file_name().context("a folder's name")?);
    fs::create_dir_all(&to)?;
    let sink = |name: &str| -> Result<_> {
        Ok(ChecksumWriter::new(File::create(to.join(name))?, File::create(to.join(side_file_name(name)))?))
    };
    let options = WriteOptions { compression, ..WriteOptions::default() };
    let mut writer = MapFileWriter::new(sink("data")?, sink("index")?, [[0xA5; 16], [0x5A; 16]], options)?;
    writer.append(METADATA_KEY, &metadata.to_bookkeeper_bytes())?;
    for (key, payload) in (0..).zip(&payloads) {
        writer.append(key, payload)?;
    }
    let (data, index, _) = writer.finish()?;
    data.finish()?;
    index.finish()?;
    Ok(())
}

fn open(folder: &Path) -> Result<MapFile<Checked<MemoryFile>>> {
    let load = |name: &str| -> Result<MemoryFile> {
        let path = folder.join(name);
        Ok(MemoryFile::new(name, fs::read(&path).with_context(|| format!("read {}", path.display()))?))
    };
    // Beside local files Hadoop keeps checksums, within HDFS it does not.
    let checked = |name: &str| -> Result<Checked<MemoryFile>> {
        let side_file = side_file_name(name);
        let side_file = folder.join(&side_file).exists().then(|| load(&side_file)).transpose()?;
        Ok(Checked::open(load(name)?, side_file)?)
    };
    Ok(MapFile::open(checked("data")?, checked("index")?, ReadLimits::default())?)
}

fn metadata(file: &MapFile<Checked<MemoryFile>>) -> Result<LedgerMetadata> {
    let bytes = file.get(METADATA_KEY)?.context("a MapFile without the ledger's metadata")?;
    // The stored form does not name its ledger, and nothing here asks for it.
    Ok(LedgerMetadata::from_bookkeeper_bytes(0, &bytes)?)
}
