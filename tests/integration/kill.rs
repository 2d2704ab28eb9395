//! The real broker with the real filesystem plugin is killed (SIGKILL) at seeded random moments under produce, rollover,
//! automatic offload and the deletion of hot copies. After each restart every acknowledged message is there exactly, in
//! order, no cold copy stays without a complete record, and no complete record is without its copy.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore::client::{Client, ConsumerOptions, ProducerOptions, Start};
use longshore_tests::broker::{BrokerProcess, log_tail};
use longshore_tests::plugins;

const TOPIC: &str = "persistent://public/default/kill";
const PATH: &str = "/persistent/public/default/kill";
const KILLS: u64 = 20;
/// The first seed; a failure names the one to repeat.
const SEED: u64 = 20_261_121;

fn settings(root: &Path, offloaders: &Path) -> Vec<(&'static str, String)> {
    [
        ("managedLedgerMaxEntriesPerLedger", "20"),
        ("managedLedgerMinLedgerRolloverTimeMinutes", "0"),
        ("defaultRetentionTimeInMinutes", "-1"),
        ("defaultRetentionSizeInMB", "-1"),
        ("retentionCheckIntervalInSeconds", "1"),
        ("brokerDeleteInactiveTopicsEnabled", "false"),
        ("managedLedgerOffloadDriver", "filesystem"),
        ("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "0"),
        ("managedLedgerOffloadDeletionLagMs", "0"),
    ]
    .into_iter()
    .map(|(key, value)| (key, value.to_owned()))
    .chain([
        ("fileSystemURI", format!("file://{}", root.display())),
        ("offloadersDirectory", offloaders.display().to_string()),
    ])
    .collect()
}

fn payload(i: u64) -> Vec<u8> {
    let mut bytes = format!("{i:010}|").into_bytes();
    let mut random = fastrand::Rng::with_seed(i);
    bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(600));
    bytes
}

/// Produces from message `from` on until it is killed; answers how many were acknowledged.
async fn produce_until_killed(broker: BrokerProcess, from: u64, life: Duration) -> Result<u64> {
    let client = Client::connect(&broker.service_url).await?;
    let mut producer =
        client.producer(TOPIC, ProducerOptions { in_flight_max: 64, ..ProducerOptions::default() }).await?;
    let acknowledged = tokio::spawn(async move {
        let mut waiting = std::collections::VecDeque::new();
        let mut acknowledged = from;
        for i in from.. {
            let Ok(receipt) = producer.send(&payload(i)).await else { break };
            waiting.push_back(receipt);
            while waiting.len() > 32 {
                let receipt = waiting.pop_front().expect("it is not empty");
                if receipt.message_id().await.is_err() {
                    return acknowledged;
                }
                acknowledged += 1;
            }
        }
        for receipt in waiting {
            if receipt.message_id().await.is_err() {
                break;
            }
            acknowledged += 1;
        }
        acknowledged
    });
    tokio::time::sleep(life).await;
    broker.kill()?;
    Ok(acknowledged.await?)
}

/// All messages from the first on.
async fn read_all(broker: &BrokerProcess) -> Result<Vec<Vec<u8>>> {
    let client = Client::connect(&broker.service_url).await?;
    let mut reader = client.consumer(TOPIC, ConsumerOptions::reader(Start::Earliest)).await?;
    let Some(last) = reader.last_message_id().await? else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    loop {
        let message =
            tokio::time::timeout(Duration::from_secs(20), reader.receive()).await.context("a read hangs")??;
        found.push(message.payload.to_vec());
        if message.id >= last {
            return Ok(found);
        }
    }
}

/// Folders of cold copies that have a name which readers take for complete.
fn cold_folders(root: &Path) -> BTreeSet<String> {
    let folder = root.join("public/default/persistent/kill");
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect()
}

fn recorded_copies(broker: &BrokerProcess) -> Result<BTreeSet<String>> {
    let info = broker.get(&format!("{PATH}/internal-info"))?;
    let ledgers = info["ledgers"].as_array().context("internal-info has ledgers")?;
    let complete = ledgers.iter().filter(|ledger| ledger["isOffloaded"] == true);
    complete
        .map(|ledger| {
            let uid = ledger["offloadedContextUuid"].as_str().context("an offloaded ledger has a uuid")?;
            Ok(format!("{}-{uid}", ledger["ledgerId"]))
        })
        .collect()
}

/// Offloads go on while this looks, so it looks until both sides agree.
fn check_cold_copies(broker: &BrokerProcess, root: &Path) -> Result<usize> {
    let mut seen = (BTreeSet::new(), BTreeSet::new());
    for _ in 0..200 {
        let before = recorded_copies(broker)?;
        let folders = cold_folders(root);
        if before == folders && recorded_copies(broker)? == before {
            return Ok(folders.len());
        }
        seen = (before, folders);
        std::thread::sleep(Duration::from_millis(50));
    }
    anyhow::bail!("recorded copies {:?}, folders {:?}", seen.0, seen.1)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_message_survives_kills_at_random_moments() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (root, offloaders) = (folder.path().join("tier"), folder.path().join("offloaders"));
    std::fs::create_dir_all(&offloaders)?;
    plugins::stage("tiered-storage-file-system", &offloaders, "tiered-storage-file-system-0.1.0.so");
    let settings = settings(&root, &offloaders);
    let (mut stored, mut most_copies) = (0, 0);
    for kill in 0..KILLS {
        let seed = SEED + kill;
        let life = Duration::from_millis(fastrand::Rng::with_seed(seed).u64(30..700));
        let describe = || format!("seed {seed}, kill {kill} after {life:?}: {}", log_tail(folder.path()));
        let broker = BrokerProcess::start(folder.path(), &settings).with_context(describe)?;
        let acknowledged = produce_until_killed(broker, stored, life).await.with_context(describe)?;

        let broker = BrokerProcess::start(folder.path(), &settings).with_context(describe)?;
        let found = read_all(&broker).await.with_context(describe)?;
        let all_right = found.iter().zip(0..).all(|(message, i)| *message == payload(i));
        ensure!(all_right, "messages are not 0, 1, 2 ... : {}", describe());
        let count = found.len() as u64;
        ensure!(count >= acknowledged, "{count} messages found, {acknowledged} acknowledged: {}", describe());
        most_copies = most_copies.max(check_cold_copies(&broker, &root).with_context(describe)?);
        stored = count;
        broker.stop().with_context(describe)?;
    }
    ensure!(
        stored > 400 && most_copies > 10,
        "only {stored} messages and {most_copies} copies: the test shows nothing"
    );
    eprintln!("{stored} messages, {most_copies} cold copies after {KILLS} kills");
    Ok(())
}
