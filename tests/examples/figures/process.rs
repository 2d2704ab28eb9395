//! The broker as a process, with one topic whose one ledger takes everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use longshore::client::{Client, ConsumerOptions, ProducerOptions, Start};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::plugins;
use serde_json::{Value, json};

use crate::{MIB, raw};

/// The topic.
pub(crate) const TOPIC: &str = "persistent://public/default/figures";
/// Its place in the REST API.
const PATH: &str = "/persistent/public/default/figures";
/// Its place below the tier's folder.
const TIER_PATH: &str = "public/default/persistent/figures";
/// Payloads come from so many different bytes, so that no cache of the processor holds them.
const POOL_BYTES: usize = 32 * MIB as usize;
/// Entries of a ledger, a bound on the checksums that an offload keeps of it.
pub(crate) const ENTRIES_MAX: u64 = 4_000_000;
/// How often the end of an offload is looked for: seldom enough to cost nothing.
const POLL: Duration = Duration::from_millis(20);
/// The longest offload.
const OFFLOAD_MAX: Duration = Duration::from_secs(600);

/// Puts the plugin where a broker in `home` finds it.
pub(crate) fn stage(home: &Path) -> Result<()> {
    let offloaders = home.join("offloaders");
    fs::create_dir_all(&offloaders)?;
    plugins::stage("tiered-storage-file-system", &offloaders, "tiered-storage-file-system-0.1.0.so");
    Ok(())
}

/// Starts a broker with its data in `home`, the plugin staged, and the keys in `more`.
pub(crate) fn start(home: &Path, more: &[(&str, String)]) -> Result<BrokerProcess> {
    stage(home)?;
    start_staged(home, more)
}

/// The same where [`stage`] was called.
pub(crate) fn start_staged(home: &Path, more: &[(&str, String)]) -> Result<BrokerProcess> {
    let mut settings = vec![
        ("offloadersDirectory", home.join("offloaders").display().to_string()),
        ("managedLedgerMaxEntriesPerLedger", ENTRIES_MAX.to_string()),
        ("managedLedgerMaxSizePerLedgerMbytes", "16384".to_owned()),
        ("defaultRetentionTimeInMinutes", "-1".to_owned()),
        ("defaultRetentionSizeInMB", "-1".to_owned()),
        ("brokerDeleteInactiveTopicsEnabled", "false".to_owned()),
        ("managedLedgerOffloadDriver", "filesystem".to_owned()),
        ("managedLedgerOffloadDeletionLagMs", "0".to_owned()),
        ("retentionCheckIntervalInSeconds", "1".to_owned()),
        ("fileSystemURI", tier(home).display().to_string()),
    ];
    settings.extend(more.iter().cloned());
    BrokerProcess::start(home, &settings)
}

/// Where a broker in `home` keeps cold copies.
pub(crate) fn tier(home: &Path) -> PathBuf {
    home.join("tier")
}

/// The folder of the one cold copy of a broker in `home`.
pub(crate) fn copy_folder(home: &Path) -> Result<PathBuf> {
    let folders = fs::read_dir(tier(home).join(TIER_PATH)).context("list the cold copies")?;
    let folders: Vec<PathBuf> = folders.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    match &folders[..] {
        [one] => Ok(one.clone()),
        other => bail!("one cold copy was expected, not {other:?}"),
    }
}

/// What a ledger holds, and what its messages sum up to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sum {
    /// Messages.
    pub(crate) messages: u64,
    /// Bytes of payload.
    pub(crate) bytes: u64,
    crc: u32,
}

impl Sum {
    const NOTHING: Self = Self { messages: 0, bytes: 0, crc: 0 };

    fn add(&mut self, payload: &[u8]) {
        self.messages += 1;
        self.bytes += payload.len() as u64;
        self.crc = crc32c::crc32c_append(self.crc, payload);
    }
}

/// One closed ledger in a stopped broker's data, from which brokers can be started again and again.
pub(crate) struct Seed {
    home: tempfile::TempDir,
    /// What is in it.
    pub(crate) sum: Sum,
}

impl Seed {
    /// Fills a ledger with messages of `message_bytes`, an entry each.
    pub(crate) async fn fill(folder: &Path, total_bytes: u64, message_bytes: usize) -> Result<Self> {
        let home = tempfile::Builder::new().prefix("seed-").tempdir_in(folder)?;
        let broker = start(home.path(), &[("journalSyncData", "false".to_owned())])?;
        let client = Client::connect(&broker.service_url).await?;
        let mut producer = client.producer(TOPIC, ProducerOptions::default()).await?;
        let pool = raw::payloads(POOL_BYTES);
        let mut sum = Sum::NOTHING;
        let mut starts = (0..=POOL_BYTES - message_bytes).step_by(message_bytes).cycle();
        while sum.bytes < total_bytes {
            let at = starts.next().context("a pool is larger than a message")?;
            let payload = &pool[at..at + message_bytes];
            sum.add(payload);
            drop(producer.send(payload).await?);
        }
        producer.close().await?;
        broker.stop()?;
        Ok(Self { home, sum })
    }

    /// The one segment file.
    pub(crate) fn segment(&self) -> Result<PathBuf> {
        let mut found = Vec::new();
        segments(&self.home.path().join("data"), &mut found)?;
        let largest = found.into_iter().max_by_key(|(bytes, _)| *bytes);
        Ok(largest.context("a seed has a closed ledger")?.1)
    }

    /// The same data in `home`; closed segments, which never change, are shared.
    pub(crate) fn plant(&self, home: &Path) -> Result<()> {
        plant(&self.home.path().join("data"), &home.join("data"))
    }
}

fn is_segment(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "ledger")
}

fn segments(folder: &Path, found: &mut Vec<(u64, PathBuf)>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            segments(&path, found)?;
        } else if is_segment(&path) {
            found.push((fs::metadata(&path)?.len(), path));
        }
    }
    Ok(())
}

fn plant(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        if source.is_dir() {
            plant(&source, &target)?;
        } else if is_segment(&source) {
            fs::hard_link(&source, &target)?;
        } else {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

/// Loads the topic, offloads its closed ledger and waits until the hot copy is gone. Answers how long the offload took.
pub(crate) async fn offload(broker: &BrokerProcess, home: &Path) -> Result<Duration> {
    let client = Client::connect(&broker.service_url).await?;
    let reader = client.consumer(TOPIC, ConsumerOptions::reader(Start::Latest)).await?;
    let stats = broker.get(&format!("{PATH}/internalStats"))?;
    let open = stats["ledgers"].as_array().and_then(|ledgers| ledgers.last()).context("a topic has ledgers")?;
    let before = json!({ "ledgerId": open["ledgerId"], "entryId": 0, "partitionIndex": -1 });
    let began = Instant::now();
    broker.put(&format!("{PATH}/offload"), &before)?;
    loop {
        tokio::time::sleep(POLL).await;
        let status: Value = broker.get(&format!("{PATH}/offload"))?;
        match status["status"].as_str() {
            Some("SUCCESS") => break,
            Some("RUNNING") if began.elapsed() < OFFLOAD_MAX => {}
            _ => bail!("the offload did not succeed: {status}"),
        }
    }
    let took = began.elapsed();
    drop(reader);
    wait_until_trimmed(home).await?;
    Ok(took)
}

async fn wait_until_trimmed(home: &Path) -> Result<()> {
    let began = Instant::now();
    loop {
        let mut found = Vec::new();
        segments(&home.join("data"), &mut found)?;
        if found.is_empty() {
            return Ok(());
        }
        ensure!(began.elapsed() < Duration::from_secs(30), "the hot copy stays: {found:?}");
        tokio::time::sleep(POLL).await;
    }
}

/// Reads the topic from its first message on and compares it with `expected`. Answers how long that took.
pub(crate) async fn read_back(broker: &BrokerProcess, expected: Sum) -> Result<Duration> {
    let client = Client::connect(&broker.service_url).await?;
    let began = Instant::now();
    let mut reader = client.consumer(TOPIC, ConsumerOptions::reader(Start::Earliest)).await?;
    let mut sum = Sum::NOTHING;
    while sum.messages < expected.messages {
        sum.add(&reader.receive().await?.payload);
    }
    let took = began.elapsed();
    ensure!(sum == expected, "{sum:?} came back where {expected:?} was sent");
    Ok(took)
}
