//! Copies in a data object and an index object, by the engine of the object-store drivers over a bucket in memory.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use block_format::keys::{self, CopyKeys, Role};
use block_format::store::ObjectAttributes;
use block_format::store::memory::{MemoryStore, StoredObject};
use block_format::user_metadata::{CLUSTER_NAME, SOFTWARE_VERSION, UserMetadata};
use block_format::{CopyEngine, CopyHandle, EngineOptions, MemoryObject, StoredCopy, UploadOptions, WriteOptions};
use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{Entry, LedgerMetadata, LedgerReader, OffloadRequest, ReadHandle, StoredLedger};

use crate::{Form, ensure_same, shuffled};

/// So much is asked for at once in sequential reads.
const READ_BYTES: u64 = 1 << 20;
/// Ledger metadata's name for the managed ledger.
const MANAGED_LEDGER_OF_LEDGER: &str = "pulsar/managed-ledger";

/// All payloads, read in sequence and at random through the engine, and by the walker that needs none.
pub(crate) async fn entries(data: &Path) -> Result<Vec<Bytes>> {
    let copy = Copy::load(data)?;
    let handle = copy.open().await?;
    let payloads = read_in_sequence(&handle).await?;
    for entry_id in shuffled(payloads.len()) {
        let entries = handle.read(entry_id, entry_id, READ_BYTES).await?;
        ensure!(entries.len() == 1 && entries[0].entry_id == entry_id, "entry {entry_id} was answered with others");
        ensure_same(entry_id, &entries[0].payload, &payloads)?;
    }
    let mut walk = StoredCopy::open(MemoryObject::new("data", copy.data.clone()), handle.index())?;
    let mut walked = 0;
    while let Some(entry) = walk.next_entry()? {
        ensure_same(entry.entry_id, &entry.payload, &payloads)?;
        walked += 1;
    }
    ensure!(walked == payloads.len(), "a walk met {walked} of {} entries", payloads.len());
    Ok(payloads)
}

/// Writes the ledger of `data` into the folder `to`, and beside each object what it is stored with, as
/// `<key>.attributes.json`.
pub(crate) async fn rewrite(data: &Path, to: &Path, form: Form) -> Result<()> {
    let copy = Copy::load(data)?;
    let handle = copy.open().await?;
    let payloads = read_in_sequence(&handle).await?;
    let ledger = Ledger { metadata: handle.metadata().clone(), payloads };
    let managed_ledger = managed_ledger(&ledger.metadata)?;

    let bucket = Arc::new(MemoryStore::new("ours"));
    let write =
        WriteOptions { block_bytes_max: form.block_bytes, index: form.index(), granule_bytes: form.granule_bytes };
    let upload = UploadOptions { write, ..UploadOptions::default() };
    let engine = CopyEngine::new(bucket.clone(), EngineOptions { upload, ..EngineOptions::default() })?;
    let extra = BTreeMap::from([
        (CLUSTER_NAME.to_owned(), "longshore".to_owned()),
        (SOFTWARE_VERSION.to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    let request = OffloadRequest { ledger_id: copy.stored.ledger_id, uid: copy.stored.uid, managed_ledger, extra };
    engine.offload(LedgerReader::new(Arc::new(ledger)), request).await?;

    fs::create_dir_all(to)?;
    for key in bucket.keys() {
        let object = bucket.object(&key).context("an object that was listed")?;
        fs::write(to.join(&key), &object.bytes)?;
        let attributes = serde_json::json!({
            "contentType": object.attributes.content_type,
            "userMetadata": object.attributes.user_metadata.pairs().iter().cloned().collect::<BTreeMap<_, _>>(),
        });
        fs::write(to.join(format!("{key}.attributes.json")), attributes.to_string())?;
    }
    Ok(())
}

/// The two objects of a copy, as they were downloaded.
struct Copy {
    stored: StoredLedger,
    keys: CopyKeys,
    data: Bytes,
    index: Bytes,
}

impl Copy {
    fn load(data: &Path) -> Result<Self> {
        let name = data.file_name().and_then(|name| name.to_str()).context("a file's name")?;
        let parsed = keys::parse(name).filter(|key| key.role == Role::Data);
        let parsed = parsed.with_context(|| format!("{name} is not the key of a data object"))?;
        let keys = CopyKeys::new(parsed.ledger_id, parsed.uid);
        let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display())).map(Bytes::from);
        Ok(Self {
            stored: StoredLedger {
                ledger_id: parsed.ledger_id,
                uid: parsed.uid,
                managed_ledger: String::new(),
                driver_metadata: BTreeMap::new(),
            },
            data: read(data)?,
            index: read(&data.with_file_name(&keys.index))?,
            keys,
        })
    }

    async fn open(&self) -> Result<CopyHandle> {
        let bucket = Arc::new(MemoryStore::new("theirs"));
        for (role, key, bytes) in
            [(Role::Data, &self.keys.data, &self.data), (Role::Index, &self.keys.index, &self.index)]
        {
            let user_metadata = UserMetadata::for_object(role, "", [])?;
            let attributes = ObjectAttributes { content_type: "application/octet-stream", user_metadata };
            bucket.set_object(key, Some(StoredObject { bytes: bytes.clone(), attributes }));
        }
        Ok(CopyEngine::new(bucket, EngineOptions::default())?.open_read(&self.stored).await?)
    }
}

async fn read_in_sequence(handle: &CopyHandle) -> Result<Vec<Bytes>> {
    let last = handle.metadata().last_entry_id().context("a ledger with entries")?;
    let mut payloads = Vec::new();
    while payloads.len() as u64 <= last {
        let entries = handle.read(payloads.len() as u64, last, READ_BYTES).await?;
        payloads.extend(entries.into_iter().map(|entry| entry.payload));
    }
    Ok(payloads)
}

fn managed_ledger(metadata: &LedgerMetadata) -> Result<String> {
    let custom = metadata.custom.iter().find(|(name, _)| name == MANAGED_LEDGER_OF_LEDGER);
    let (_, name) = custom.with_context(|| format!("the ledger's metadata has no {MANAGED_LEDGER_OF_LEDGER}"))?;
    String::from_utf8(name.clone()).with_context(|| format!("{MANAGED_LEDGER_OF_LEDGER} in UTF-8"))
}

/// The original's ledger, lent to our writer with its own metadata.
struct Ledger {
    metadata: LedgerMetadata,
    payloads: Vec<Bytes>,
}

impl LedgerSource for Ledger {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, last: u64, max_bytes: u64) -> BoxFuture<'_, longshore_plugin_api::Result<Vec<Entry>>> {
        let mut bytes = 0;
        let entries = (first..=last)
            .map(|entry_id| Entry { entry_id, payload: self.payloads[entry_id as usize].clone() })
            .take_while(|entry| {
                bytes += entry.payload.len() as u64;
                entry.entry_id == first || bytes <= max_bytes
            })
            .collect();
        Box::pin(async move { Ok(entries) })
    }

    fn progress(&self, _bytes: u64) {}
}
