//! The smallest complete plugin, to copy from: driver `example-folder` keeps each ledger as one flat file.
//!
//! A file is a row of frames: the ledger's metadata, then each entry. A frame is its length and its CRC-32 (both `u32`,
//! big-endian), then the bytes. It is written under a temporary name, flushed and renamed, so that a reader never meets half
//! a copy; a crash leaves a temporary file, which `delete` removes.
#![forbid(unsafe_code)]

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use longshore_plugin_api::read_handle::check_range;
use longshore_plugin_api::{
    ConfigProblem, DriverConfig, Entry, Error, ErrorCode, LedgerMetadata, LedgerReader, OffloadRequest, Offloader,
    OffloaderFactory, ReadHandle, Result, StoredLedger,
};
use tokio::task::block_in_place;

longshore_plugin_api::export_offloader! { factory: Factory, name: "example-folder", drivers: ["example-folder"] }

const FOLDER_KEY: &str = "managedLedgerOffloadExtraConfigFolder";
const BATCH_BYTES: u64 = 1 << 20;
const FRAME_HEADER_BYTES: u64 = 8;

struct Factory;

impl OffloaderFactory for Factory {
    type Offloader = Folder;

    fn validate(config: &DriverConfig) -> Vec<ConfigProblem> {
        let missing = || ConfigProblem::new(FOLDER_KEY, "is needed: the folder that keeps the ledgers");
        config.get(FOLDER_KEY).map_or_else(|| vec![missing()], |_| Vec::new())
    }

    async fn create(config: DriverConfig) -> Result<Folder> {
        let path = PathBuf::from(config.get(FOLDER_KEY).unwrap_or_default());
        fs::create_dir_all(&path).map_err(|e| Error::io(format!("create folder {}", path.display()), &e))?;
        Ok(Folder { path })
    }
}

struct Folder {
    path: PathBuf,
}

impl Folder {
    fn file(&self, of: &StoredLedger, ending: &str) -> PathBuf {
        self.path.join(format!("{}-{}.{ending}", of.ledger_id, of.uid))
    }
}

impl Offloader for Folder {
    type ReadHandle = Copy;

    async fn offload(&self, ledger: LedgerReader, request: OffloadRequest) -> Result<()> {
        ledger.metadata().ensure_offloadable()?;
        let (ledger_id, uid, managed_ledger) = (request.ledger_id, request.uid, request.managed_ledger);
        let stored = StoredLedger { ledger_id, uid, managed_ledger, driver_metadata: Default::default() };
        let (part, done) = (self.file(&stored, "part"), self.file(&stored, "ledger"));
        let wrote = |e: io::Error| Error::io(format!("write ledger {ledger_id} to {}", part.display()), &e);
        let mut file = BufWriter::new(File::create(&part).map_err(wrote)?);
        write_frame(&mut file, &ledger.metadata().to_bookkeeper_bytes()).map_err(wrote)?;
        let (mut next, end) = (0, ledger.metadata().entry_count);
        while next < end {
            let batch = ledger.read(next, end - 1, BATCH_BYTES).await?;
            next += batch.len() as u64;
            block_in_place(|| batch.iter().try_for_each(|entry| write_frame(&mut file, &entry.payload)))
                .map_err(wrote)?;
            ledger.progress(batch.iter().map(|entry| entry.payload.len() as u64).sum());
        }
        block_in_place(|| {
            file.into_inner().map_err(|e| e.into_error())?.sync_all()?;
            fs::rename(&part, &done)?;
            File::open(&self.path)?.sync_all()
        })
        .map_err(wrote)
    }

    async fn open_read(&self, stored: StoredLedger) -> Result<Copy> {
        let path = self.file(&stored, "ledger");
        block_in_place(|| Copy::open(stored.ledger_id, path))
    }

    async fn delete(&self, stored: StoredLedger) -> Result<()> {
        for path in [self.file(&stored, "part"), self.file(&stored, "ledger")] {
            match fs::remove_file(&path) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => {
                    Err(Error::io(format!("delete {}", path.display()), &e))?
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// A complete copy: the place (offset, length) of each entry's frame.
struct Copy {
    path: PathBuf,
    file: File,
    metadata: LedgerMetadata,
    frames: Vec<(u64, u32)>,
}

impl Copy {
    fn open(ledger_id: u64, path: PathBuf) -> Result<Self> {
        let failed = |e: io::Error| Error::io(format!("open ledger {ledger_id} at {}", path.display()), &e);
        let file = File::open(&path).map_err(failed)?;
        let file_bytes = file.metadata().map_err(failed)?.len();
        let (mut frames, mut end, mut reader) = (Vec::new(), 0, BufReader::new(&file));
        while end < file_bytes {
            let mut length = [0; 4];
            reader.read_exact(&mut length).map_err(failed)?;
            let length = u32::from_be_bytes(length);
            reader.seek_relative(4 + i64::from(length)).map_err(failed)?;
            frames.push((end, length));
            end += FRAME_HEADER_BYTES + u64::from(length);
        }
        if end != file_bytes || frames.is_empty() {
            return Err(Error::new(ErrorCode::Corrupt, format!("{} ends inside a frame at {end}", path.display())));
        }
        let metadata = read_frame(&file, &path, frames.remove(0))?;
        let metadata = LedgerMetadata::from_bookkeeper_bytes(ledger_id, &metadata)?;
        if metadata.entry_count != frames.len() as u64 {
            let problem = format!("{} has {} of {} entries", path.display(), frames.len(), metadata.entry_count);
            return Err(Error::new(ErrorCode::Corrupt, problem));
        }
        Ok(Copy { path, file, metadata, frames })
    }
}

impl ReadHandle for Copy {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    async fn read(&self, first: u64, last: u64, max_bytes: u64) -> Result<Vec<Entry>> {
        check_range(&self.metadata, first, last)?;
        let (mut entries, mut bytes) = (Vec::new(), 0);
        for entry_id in first..=last {
            let frame = self.frames[entry_id as usize];
            bytes += u64::from(frame.1);
            if entry_id > first && bytes > max_bytes {
                break;
            }
            let payload = block_in_place(|| read_frame(&self.file, &self.path, frame))?.into();
            entries.push(Entry { entry_id, payload });
        }
        Ok(entries)
    }
}

fn write_frame(file: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    file.write_all(&length.to_be_bytes())?;
    file.write_all(&crc32fast::hash(bytes).to_be_bytes())?;
    file.write_all(bytes)
}

fn read_frame(file: &File, path: &Path, (offset, length): (u64, u32)) -> Result<Vec<u8>> {
    let failed = |e: io::Error| Error::io(format!("read {} at offset {offset}", path.display()), &e);
    let mut frame = vec![0; FRAME_HEADER_BYTES as usize + length as usize];
    file.read_exact_at(&mut frame, offset).map_err(failed)?;
    let payload = frame.split_off(FRAME_HEADER_BYTES as usize);
    if frame[4..8] != crc32fast::hash(&payload).to_be_bytes() {
        let problem = format!("{} at offset {offset} does not match its checksum", path.display());
        return Err(Error::new(ErrorCode::Corrupt, problem));
    }
    Ok(payload)
}
