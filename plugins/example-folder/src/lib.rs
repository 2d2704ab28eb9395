//! Driver `example-folder`: keeps each ledger as one flat file. The smallest complete plugin, a place to begin.
//!
//! The file `<id>-<uid>/ledger` is a row of frames: the ledger's metadata, then each entry. A frame is length and CRC-32
//! (`u32`, big-endian), then the bytes. It is written under another name, flushed and renamed, so that nobody meets half a
//! copy; a crash leaves the part, which `delete` removes. Opening reads the file once; a bigger driver keeps an index.
#![forbid(unsafe_code)]

use longshore_plugin_api::{read_handle::check_range, *};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::{fs, fs::File, io, io::Write, os::unix::fs::FileExt, path::Path, path::PathBuf};
use tokio::task::block_in_place;

export_offloader! {
    factory: Factory, name: "example-folder", drivers: ["example-folder"], schema: include_str!("../config.schema.json")
}
const FOLDER_KEY: &str = "managedLedgerOffloadExtraConfigFolder";
struct Factory;
struct Folder(PathBuf);
/// An open copy: its file, what is known of it, and where the frame of each entry begins.
struct Copy(PathBuf, File, LedgerMetadata, Vec<u64>);

impl OffloaderFactory for Factory {
    type Offloader = Folder;
    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        let missing = || vec![ConfigProblem::new(FOLDER_KEY, "is needed: the folder that keeps the ledgers")];
        config.get(FOLDER_KEY).map_or_else(missing, |_| Vec::new())
    }
    async fn create(config: DriverConfig) -> Result<Folder> {
        let folder = PathBuf::from(config.get(FOLDER_KEY).unwrap_or_default());
        fs::create_dir_all(&folder).map_err(failed("create folder", &folder))?;
        Ok(Folder(folder))
    }
}

impl Folder {
    /// Holds whatever one attempt leaves: the file `ledger` once it is complete, parts before.
    fn attempt(&self, ledger_id: u64, uid: impl std::fmt::Display) -> PathBuf {
        self.0.join(format!("{ledger_id}-{uid}"))
    }
}

impl Offloader for Folder {
    type ReadHandle = Copy;
    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        ledger.metadata().ensure_offloadable()?;
        static PARTS: AtomicU64 = AtomicU64::new(0);
        let folder = self.attempt(request.ledger_id, request.uid);
        let part = folder.join(format!("{}-{}.part", std::process::id(), PARTS.fetch_add(1, Relaxed)));
        fs::create_dir_all(&folder).map_err(failed("create", &folder))?;
        let mut file = File::create(&part).map_err(failed("create", &part))?;
        write_frame(&mut file, &ledger.metadata().to_bookkeeper_bytes()).map_err(failed("write", &part))?;
        let (mut next, count) = (0, ledger.metadata().entry_count);
        while next < count {
            let batch = ledger.read(next, count - 1, 1 << 20).await?;
            next += batch.len() as u64;
            let write = || batch.iter().try_for_each(|entry| write_frame(&mut file, &entry.payload));
            block_in_place(write).map_err(failed("write", &part))?;
            ledger.progress(batch.iter().map(|entry| entry.payload.len() as u64).sum());
        }
        let sync = |folder: &Path| File::open(folder)?.sync_all();
        let finish =
            || fs::rename(&part, folder.join("ledger")).and_then(|()| sync(&folder)).and_then(|()| sync(&self.0));
        block_in_place(|| file.sync_all().and_then(|()| finish())).map_err(failed("finish", &part))
    }
    async fn open_read(&self, stored: StoredLedger) -> Result<Copy> {
        let path = self.attempt(stored.ledger_id, stored.uid).join("ledger");
        block_in_place(|| {
            let file = File::open(&path).map_err(failed("open", &path))?;
            let (metadata, mut next) = read_frame(&file, &path, 0)?;
            let metadata = LedgerMetadata::from_bookkeeper_bytes(stored.ledger_id, &metadata)?;
            let mut offsets = Vec::new();
            for _ in 0..metadata.entry_count {
                offsets.push(next);
                next = read_frame(&file, &path, next)?.1;
            }
            Ok(Copy(path, file, metadata, offsets))
        })
    }
    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        let folder = self.attempt(stored.ledger_id, stored.uid);
        match block_in_place(|| fs::remove_dir_all(&folder)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(failed("delete", &folder)(e)),
            _ => Ok(()),
        }
    }
}

impl ReadHandle for Copy {
    fn metadata(&self) -> &LedgerMetadata {
        &self.2
    }
    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        check_range(&self.2, first, last)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry_id in first..=last {
            let payload = block_in_place(|| read_frame(&self.1, &self.0, self.3[entry_id as usize]))?.0;
            bytes += payload.len() as u64;
            if entry_id > first && bytes > max_bytes {
                break;
            }
            entries.push(Entry { entry_id, payload: payload.into() });
        }
        Ok(entries)
    }
}

fn write_frame(file: &mut File, bytes: &[u8]) -> io::Result<()> {
    let (length, crc) = ((bytes.len() as u32).to_be_bytes(), crc32fast::hash(bytes).to_be_bytes());
    file.write_all(&[&length, &crc, bytes].concat())
}

/// The bytes of the frame at `offset`, and where the next one begins.
fn read_frame(file: &File, path: &Path, offset: u64) -> Result<(Vec<u8>, u64)> {
    let damaged = || Error::new(ErrorCode::Corrupt, format!("{} is damaged at offset {offset}", path.display()));
    let read = |buffer: &mut [u8], at| file.read_exact_at(buffer, at).map_err(failed("read", path));
    let mut header = [0; 8];
    read(&mut header, offset)?;
    let (length, crc) = (u64::from_be_bytes(header) >> 32, u64::from_be_bytes(header) as u32);
    let end = offset + 8 + length;
    if end > file.metadata().map_err(failed("read", path))?.len() {
        return Err(damaged());
    }
    let mut bytes = vec![0; length as usize];
    read(&mut bytes, offset + 8)?;
    if crc32fast::hash(&bytes) == crc { Ok((bytes, end)) } else { Err(damaged()) }
}

fn failed(what: &str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |e| Error::io(format!("{what} {}", path.display()), &e)
}

#[cfg(test)]
mod tests;
