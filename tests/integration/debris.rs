//! Kill -9 while an offload is held: after the restart nothing of the attempt is visible, reads are as before, and the next
//! offload, with a driver that works, does its job.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::rig::{PATIENCE, Rig, Topic};
use serde_json::json;

fn start_offload(broker: &longshore_tests::broker::BrokerProcess, topic: Topic) -> Result<()> {
    let last = topic.ledgers(broker)?.last().context("a ledger")?.id;
    broker.put(&format!("{}/offload", topic.path()), &json!({ "ledgerId": last, "entryId": 0 }))
}

/// The driver of the killed attempt is gone for good, together with its plugin.
#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_held_by_a_plugin_that_is_gone_does_not_stand_in_the_way() -> Result<()> {
    let topic = Topic("held");
    let mut rig = Rig::new()?;
    rig.stage("misbehaving-plugin", "misbehaving-1.2.3.so");
    rig.set("managedLedgerOffloadDriver", "misbehaving");
    rig.set("managedLedgerOffloadExtraConfigMode", "stall-offload");
    let broker = rig.start()?;
    topic.fill(&broker, 0..25).await?;
    start_offload(&broker, topic)?;
    let end = Instant::now() + PATIENCE;
    let prepared = loop {
        let info = broker.get(&format!("{}/internal-info", topic.path()))?;
        if let Some(uid) = info["ledgers"][0]["offloadedContextUuid"].as_str() {
            break uid.to_owned();
        }
        ensure!(Instant::now() < end, "no attempt is recorded: {info}");
        std::thread::sleep(Duration::from_millis(10));
    };
    ensure!(broker.get(&format!("{}/offload", topic.path()))?["status"] == "RUNNING", "the offload is not held");
    broker.kill()?;

    std::fs::remove_file(rig.path("offloaders/misbehaving-1.2.3.so"))?;
    rig.set("managedLedgerOffloadDriver", "filesystem");
    let broker = rig.start()?;
    topic.check(&broker, 25).await?;
    ensure!(topic.ledgers(&broker)?.iter().all(|row| row.place == "hot"), "an attempt counts as a copy");
    ensure!(broker.get(&format!("{}/offload", topic.path()))?["status"] == "NOT_RUN", "a status outlived its broker");
    topic.must_offload(&broker)?;
    let rows = topic.ledgers(&broker)?;
    ensure!(rows[..2].iter().all(|row| row.driver.as_deref() == Some("filesystem")), "{rows:?}");
    let info = broker.get(&format!("{}/internal-info", topic.path()))?;
    ensure!(info["ledgers"][0]["offloadedContextUuid"] != prepared, "the old attempt was completed");
    topic.cool(&broker, &[rows[0].id, rows[1].id])?;
    topic.check(&broker, 25).await?;
    broker.stop()
}

/// The filesystem driver is killed while its temporary folder is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_half_written_copy_is_never_visible_and_is_removed_after_the_restart() -> Result<()> {
    const MESSAGE_BYTES: usize = 1 << 20;
    let topic = Topic("half");
    let rig = Rig::new()?;
    let broker = rig.start()?;
    let big = |i: u8| vec![i; MESSAGE_BYTES];
    topic.send(&broker, (0..15).map(big)).await?;
    start_offload(&broker, topic)?;
    let parent = rig.path("tier/public/default/persistent/half");
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&parent).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let end = Instant::now() + PATIENCE;
    while !names().iter().any(|name| name.ends_with(".tmp")) {
        ensure!(Instant::now() < end, "no attempt appears: {:?}", names());
        std::thread::yield_now();
    }
    broker.kill()?;
    let debris = names();
    ensure!(debris.iter().all(|name| name.starts_with('.')), "the copy was finished before the kill: {debris:?}");

    let broker = rig.start()?;
    let found = topic.read(&broker, 15, PATIENCE).await?;
    ensure!(found.len() == 15 && found.iter().zip(0..).all(|(message, i)| *message == big(i)), "{}", found.len());
    topic.until(&broker, |_| names().is_empty()).with_context(|| format!("debris stays: {:?}", names()))?;
    topic.must_offload(&broker)?;
    let rows = topic.ledgers(&broker)?;
    topic.cool(&broker, &[rows[0].id])?;
    let found = topic.read(&broker, 15, PATIENCE).await?;
    ensure!(found.len() == 15 && found.iter().zip(0..).all(|(message, i)| *message == big(i)), "{}", found.len());
    broker.stop()
}
