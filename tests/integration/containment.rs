//! The misbehaving plugin as the driver of the running broker: whichever verb panics, or blocks its thread for ever, one offload
//! ends in ERROR with a text that names the plugin, within the deadline; produce and consume go on meanwhile; the broker stops
//! in order when told to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::rig::{Rig, Topic, ask, check_life};

/// Both deadlines of a call.
const CALL_MS: u64 = 700;
/// An offload has up to four calls that may run into their deadline: create, copy, read back, delete what was copied.
const OFFLOAD_MAX: Duration = Duration::from_millis(4 * CALL_MS + 2000);
/// The broker gives plugins 10 s to finish.
const STOP_MAX: Duration = Duration::from_secs(12);

const TOPIC: Topic = Topic("contained");

fn rig(mode: &str) -> Result<Rig> {
    let mut rig = Rig::without_plugins()?;
    rig.stage("misbehaving-plugin", "misbehaving-1.2.3.so");
    rig.set("managedLedgerOffloadDriver", "misbehaving");
    rig.set("managedLedgerOffloadExtraConfigMode", mode);
    rig.set("offloadersCallTimeoutMs", &CALL_MS.to_string());
    rig.set("offloadersOffloadStallTimeoutMs", &CALL_MS.to_string());
    Ok(rig)
}

fn stop_in_order(broker: BrokerProcess, rig: &Rig) -> Result<()> {
    let began = Instant::now();
    broker.stop()?;
    ensure!(began.elapsed() < STOP_MAX, "stopping took {:?}", began.elapsed());
    ensure!(rig.log().trim_end().ends_with("stopped"), "the last line of the log is another");
    Ok(())
}

/// An offload with a driver that fails in `mode` ends in time with `words`, while others work.
async fn one_failed_offload(mode: &str, words: &str) -> Result<()> {
    let rig = rig(mode)?;
    let broker = rig.start()?;
    TOPIC.fill(&broker, 0..15).await?;
    let began = Instant::now();
    let (status, life) = tokio::join!(
        async { tokio::task::block_in_place(|| TOPIC.offload(&broker)) },
        check_life(&broker, Topic("alive"))
    );
    let (status, took) = (status?, began.elapsed());
    life?;
    let text = status["lastError"].as_str().unwrap_or_default();
    ensure!(status["status"] == "ERROR", "{status}");
    ensure!(text.contains("misbehaving 1.2.3") && text.contains(words), "{status}");
    ensure!(took < OFFLOAD_MAX, "the offload took {took:?}");
    // The ledger is as it was, and can be read and written.
    let rows = TOPIC.ledgers(&broker)?;
    ensure!(rows.iter().all(|row| row.place == "hot"), "{rows:?}");
    TOPIC.fill(&broker, 15..20).await?;
    TOPIC.check(&broker, 20).await?;
    stop_in_order(broker, &rig)
}

async fn panic_in(place: &str) -> Result<()> {
    one_failed_offload(&format!("panic-{place}"), &format!("told to panic in {place}")).await.context(place.to_owned())
}

async fn block_in(place: &str, key: &str) -> Result<()> {
    one_failed_offload(&format!("block-{place}"), &format!("{key}={CALL_MS}")).await.context(place.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_the_driver_is_made_fails_one_offload() -> Result<()> {
    panic_in("validate").await?;
    panic_in("create").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_while_copying_or_reading_back_fails_one_offload() -> Result<()> {
    for place in ["offload", "open", "read"] {
        panic_in(place).await?;
    }
    one_failed_offload("midway-offload", "told to panic midway").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_blocks_while_it_is_made_fails_one_offload() -> Result<()> {
    block_in("create", "offloadersCallTimeoutMs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_blocks_while_copying_fails_one_offload() -> Result<()> {
    block_in("offload", "offloadersOffloadStallTimeoutMs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_blocks_while_it_is_read_fails_one_offload() -> Result<()> {
    block_in("open", "offloadersCallTimeoutMs").await?;
    block_in("read", "offloadersCallTimeoutMs").await
}

/// The copy goes out, and a deleted topic is gone although its copy is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_delete_costs_one_deletion() -> Result<()> {
    let rig = rig("panic-delete")?;
    let broker = rig.start()?;
    TOPIC.fill(&broker, 0..15).await?;
    TOPIC.must_offload(&broker)?;
    let began = Instant::now();
    let deleted = ask(&broker, "DELETE", &TOPIC.path(), "")?;
    ensure!(deleted.status == 204 && began.elapsed() < OFFLOAD_MAX, "{deleted:?} after {:?}", began.elapsed());
    check_life(&broker, Topic("alive")).await?;
    let end = Instant::now() + Duration::from_secs(15);
    while !rig.log().contains("a cold copy was not removed; the next start tries again") {
        ensure!(Instant::now() < end, "a deletion that fails is not in the log");
        std::thread::sleep(Duration::from_millis(50));
    }
    ensure!(rig.log().contains("told to panic in delete"), "the log does not say why");
    ensure!(ask(&broker, "GET", &format!("{}/stats", TOPIC.path()), "")?.status == 404, "the topic is there");
    stop_in_order(broker, &rig)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_or_a_block_in_health_is_a_line_in_the_log() -> Result<()> {
    for (mode, words) in [("panic-health", "told to panic in health"), ("block-health", "offloadersCallTimeoutMs=700")]
    {
        let rig = rig(mode)?;
        let broker = rig.start()?;
        TOPIC.fill(&broker, 0..15).await?;
        TOPIC.must_offload(&broker).context(mode)?;
        let end = Instant::now() + Duration::from_secs(5);
        while !rig.log().contains(words) {
            ensure!(Instant::now() < end, "{mode} is not in the log");
            std::thread::sleep(Duration::from_millis(20));
        }
        stop_in_order(broker, &rig)?;
    }
    Ok(())
}

/// Deletions block every worker of the plugin, so that its shutdown is not even begun.
#[tokio::test(flavor = "multi_thread")]
async fn a_plugin_without_a_free_thread_does_not_keep_the_broker() -> Result<()> {
    let rig = rig("block-delete")?;
    let broker = rig.start()?;
    for topic in [TOPIC, Topic("contained-too")] {
        topic.fill(&broker, 0..15).await?;
        topic.must_offload(&broker)?;
        let began = Instant::now();
        let deleted = ask(&broker, "DELETE", &topic.path(), "")?;
        ensure!(deleted.status == 204 && began.elapsed() < OFFLOAD_MAX, "{deleted:?} after {:?}", began.elapsed());
    }
    check_life(&broker, Topic("alive")).await?;
    stop_in_order(broker, &rig)?;
    ensure!(rig.log().contains("driver did not answer its shutdown"), "the driver that blocks is not in the log");
    Ok(())
}
