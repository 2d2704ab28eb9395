//! How soon a broker serves: with nothing behind it, and with many sealed ledgers.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use longshore::client::{Client, ProducerOptions};
use longshore::ledger::{FileLedgerStore, LedgerStoreSettings};
use longshore::managed_ledger::factory::LedgerIds;
use longshore::managed_ledger::records::encode_ledgers;
use longshore::managed_ledger::{LedgerInfo, Ledgers, keys};
use longshore::metadata::store::RedbMetadataStore;
use longshore::metadata::{Expect, MetadataStore};
use longshore::storage::{LedgerId, LedgerStore, SystemClock};

use crate::process::{self, TOPIC};
use crate::table::Table;
use crate::{Arguments, MIB};

/// Sealed ledgers behind a start.
const LEDGERS: u64 = 100_000;
/// An entry of theirs; each has one.
const ENTRY: &[u8] = &[7; 1 << 10];

/// Prints how long each kind of start takes.
pub(crate) async fn measure(arguments: &Arguments, folder: &Path) -> Result<()> {
    let columns = &[("ready, ms", 0), ("first message acknowledged, ms", 0), ("resident, MiB", 1)];
    let table = Table::new("### Start, from the execution of the process on", "behind it", columns);
    let rows =
        [("nothing", 0), ("100,000 sealed ledgers of 1,000 topics", 1_000), ("100,000 sealed ledgers of one topic", 1)];
    for (what, topics) in rows.into_iter().filter(|(what, _)| arguments.wants_row(what)) {
        let mut runs = Vec::new();
        let home = tempfile::Builder::new().prefix("start-").tempdir_in(folder)?;
        if topics > 0 {
            seal_many(&home.path().join("data"), topics).await?;
        }
        process::stage(home.path())?;
        for _ in 0..arguments.runs {
            runs.push(start_once(home.path()).await?);
        }
        table.row(what, &runs);
    }
    Ok(())
}

/// Puts [`LEDGERS`] where a broker keeps them, as many for each topic, [`TOPIC`] being the first.
async fn seal_many(data: &Path, topics: u64) -> Result<()> {
    let settings = LedgerStoreSettings { sync: false, ..LedgerStoreSettings::default() };
    let (store, _) = FileLedgerStore::open(&data.join("ledgers"), settings).await?;
    let metadata = RedbMetadataStore::open(&data.join("metadata/longshore.redb"), Arc::new(SystemClock))?;
    LedgerIds::begin_with(&metadata, LEDGERS).await?;
    for topic in 0..topics {
        let number = if topic == 0 { String::new() } else { topic.to_string() };
        let name = format!("public/default/persistent/figures{number}");
        let mut ledgers = Ledgers::default();
        for ledger_id in (topic * LEDGERS / topics..(topic + 1) * LEDGERS / topics).map(LedgerId) {
            store.create(ledger_id, &name, 0).await?;
            store.append(ledger_id, 0, Bytes::from_static(ENTRY)).await??;
            let summary = store.seal(ledger_id).await?;
            let sealed = LedgerInfo {
                entry_count: summary.entry_count,
                size_bytes: summary.length_bytes,
                closed_ms: Some(0),
                ..LedgerInfo::open(ledger_id)
            };
            ledgers.by_id.insert(ledger_id, sealed);
        }
        metadata.put(&keys::ledger(&name), encode_ledgers(&ledgers), Expect::Absent).await?;
    }
    store.close().await?;
    Ok(())
}

/// Milliseconds until a broker in `home` says that it is ready, and until a first message is durable; MiB that it takes then.
async fn start_once(home: &Path) -> Result<Vec<f64>> {
    let began = Instant::now();
    let ms = || began.elapsed().as_secs_f64() * 1e3;
    let broker = process::start_staged(home, &[])?;
    let ready = ms();
    let client = Client::connect(&broker.service_url).await?;
    let mut producer = client.producer(TOPIC, ProducerOptions::default()).await?;
    producer.send(ENTRY).await?.message_id().await?;
    let first = ms();
    let resident = broker.memory_bytes()?.0 as f64 / MIB as f64;
    broker.stop()?;
    Ok(vec![ready, first, resident])
}
