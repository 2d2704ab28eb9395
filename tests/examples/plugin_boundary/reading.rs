//! The same driver linked into this process and through its `.so`: reading a copy that the system holds in memory.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use longshore::plugin::PluginHost;
use longshore::storage::{DriverLookup, DriverSettings};
use longshore_plugin_api::{
    DriverConfig, LedgerReader, OffloadRequest, Offloader, OffloaderFactory, ReadHandle, StoredLedger,
};
use tiered_storage_file_system::FileSystemFactory;

use crate::{Row, cpu_ns, median, stored};

const ENTRIES: usize = 2048;
const ENTRY_BYTES: usize = 64 * 1024;
const READ_BYTES: u64 = 1 << 20;
const ROUNDS: usize = 9;

pub(crate) async fn figures(host: &PluginHost) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir().context("make a folder for the copy")?;
    let uri = folder.path().to_str().context("a path of text")?.to_owned();
    let profile = folder.path().join("profile.xml");
    let text = "<configuration><property><name>io.seqfile.compression.type</name><value>NONE</value></property></configuration>";
    std::fs::write(&profile, text).context("write the profile")?;
    let profile = profile.to_str().context("a path of text")?.to_owned();
    let properties = BTreeMap::from([("fileSystemURI".to_owned(), uri), ("fileSystemProfilePath".to_owned(), profile)]);
    let config =
        DriverConfig { driver: "filesystem".to_owned(), properties: properties.clone(), search_folders: Vec::new() };
    let linked = FileSystemFactory::create(config).await?;
    let target = stored(7);
    let payloads: Vec<Bytes> = (0..ENTRIES).map(|n| Bytes::from(vec![n as u8; ENTRY_BYTES])).collect();
    let request = OffloadRequest {
        ledger_id: 7,
        uid: target.uid,
        managed_ledger: target.managed_ledger.clone(),
        extra: BTreeMap::new(),
    };
    linked.offload(LedgerReader::in_memory(7, payloads), request).await?;
    let near = linked
        .open_read(StoredLedger {
            ledger_id: 7,
            uid: target.uid,
            managed_ledger: target.managed_ledger.clone(),
            driver_metadata: linked.driver_metadata(),
        })
        .await?;
    let loaded = host.driver("filesystem", &DriverSettings { properties, search_folders: Vec::new() }).await?;
    let far = loaded.open(&target).await?;

    let last = ENTRIES as u64 - 1;
    let (mut here, mut across, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    // The first round warms both up.
    for round in 0..=ROUNDS {
        let began = cpu_ns()?;
        let mut next = 0;
        while next <= last {
            next += near.read(next, last, READ_BYTES).await?.len() as u64;
        }
        let linked_s = (cpu_ns()? - began) / 1e9;
        let began = cpu_ns()?;
        let mut next = 0;
        while next <= last {
            let batch = far.read(next, last, READ_BYTES).await?;
            ensure!(!batch.is_empty(), "nothing was read");
            next += batch.len() as u64;
        }
        let loaded_s = (cpu_ns()? - began) / 1e9;
        if round > 0 {
            here.push(linked_s);
            across.push(loaded_s);
            ratios.push(linked_s / loaded_s);
        }
    }
    let mib = (ENTRIES * ENTRY_BYTES) as f64 / (1 << 20) as f64;
    let us_each = |seconds: Vec<f64>| median(seconds.into_iter()) / mib * 1e6;
    let (here, across) = (us_each(here), us_each(across));
    let throughput = median(ratios.into_iter());
    Ok(vec![
        Row::new("read 1 MiB of a file in memory, driver `filesystem`", Some(here), across, "us").at_most(here * 1.02),
        Row::new("percent of the linked driver's throughput (99 are wanted)", None, throughput * 100.0, "%"),
    ])
}
