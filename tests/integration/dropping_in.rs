//! Drivers that come, go and change under a running broker: the binary itself, its REST API, its commands and their exit codes.

use std::process::Output;

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::plugins;
use longshore_tests::rig::{LEDGER_ENTRIES, Rig, Topic, run};
use serde_json::Value;

const PACKAGE: &str = "tiered-storage-file-system";

/// The filesystem driver's plugin as another version.
fn version(version: &str) -> Vec<u8> {
    plugins::rebuilt(PACKAGE, "\"version\":\"0.1.0\"", &format!("\"version\":\"{version}\""))
}

fn offloaders(broker: &BrokerProcess, command: &str, more: &[&str]) -> Result<Output> {
    let arguments = [&["offloaders", command, "--admin-url", &broker.web_url], more].concat();
    run(&arguments)
}

fn json(output: &Output) -> Result<Value> {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).with_context(|| format!("{text}{}", String::from_utf8_lossy(&output.stderr)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_comes_and_is_replaced_while_topics_use_it() -> Result<()> {
    let topic = Topic("living");
    let mut rig = Rig::without_plugins()?;
    rig.set("managedLedgerOffloadDriver", "filesystem");
    rig.set("offloadersRescanIntervalSeconds", "0");
    let broker = rig.start()?;
    topic.fill(&broker, 0..15).await?;
    let status = topic.offload(&broker)?;
    ensure!(status["status"] == "ERROR", "nobody claims the driver yet: {status}");

    // Dropped in.
    plugins::put(&rig.path("offloaders"), "first.so", &version("0.1.0"));
    let output = offloaders(&broker, "rescan", &["--json"])?;
    let rescan = json(&output)?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    ensure!(rescan["changes"][0]["change"] == "added" && rescan["changes"][0]["file"] == "first.so", "{rescan}");
    topic.must_offload(&broker)?;
    let cold: Vec<u64> = topic.ledgers(&broker)?.iter().filter(|row| row.closed).map(|row| row.id).collect();
    topic.cool(&broker, &cold)?;
    topic.check(&broker, 15).await?;

    // Replaced; the copies that the topic keeps open are opened anew, so that the old version drains.
    plugins::put(&rig.path("offloaders"), "second.so", &version("0.1.1"));
    let answer = ureq::post(format!("{}/admin/v2/brokers/offloaders/rescan", broker.web_url)).send_empty()?;
    let rescan: Value = serde_json::from_str(&answer.into_body().read_to_string()?)?;
    let replaced = rescan["changes"].as_array().context("changes")?.iter().find(|c| c["change"] == "replaced");
    ensure!(replaced.context("replaced")?["replaces"] == "0.1.0", "{rescan}");
    topic.check(&broker, 15).await?;
    topic.fill(&broker, 15..15 + LEDGER_ENTRIES).await?;
    topic.must_offload(&broker)?;
    for _ in 0..500 {
        if broker.get("/brokers/offloaders/status")?["plugins"][1]["phase"] == "retired" {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let output = offloaders(&broker, "status", &["--json"])?;
    let status = json(&output)?;
    ensure!(output.status.code() == Some(0), "{output:?}");
    let (now, old) = (&status["plugins"][0], &status["plugins"][1]);
    ensure!(now["version"] == "0.1.1" && now["generation"] == 2 && now["phase"] == "serving", "{status}");
    ensure!(old["phase"] == "retired" && old["late_users"] == 0 && old["users"] == 0, "{status}");
    ensure!(status["drivers"][0]["driver"] == "filesystem" && status["drivers"][0]["version"] == "0.1.1", "{status}");
    ensure!(status["retired"]["count"] == 1 && status["rescan"]["next_ms"].is_null(), "{status}");
    let rows = broker.get("/brokers/offloaders")?;
    ensure!(rows == status["files"] && rows[0]["state"] == "retired" && rows[1]["state"] == "loaded", "{rows}");

    // A worse one changes nothing but the report.
    plugins::put(&rig.path("offloaders"), "third.so", b"no library");
    let output = offloaders(&broker, "rescan", &[])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(3) && text.contains("refused     third.so"), "{output:?}");
    let output = offloaders(&broker, "status", &[])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.code() == Some(3), "{output:?}");
    for part in
        ["tiered-storage-file-system 0.1.1", "driver filesystem: served by", "refused third.so", "no look by the clock"]
    {
        ensure!(text.contains(part), "`{part}` is missing: {text}");
    }
    topic.check(&broker, 15 + LEDGER_ENTRIES).await?;
    let log = rig.log();
    for part in ["offloader file file=\"first.so\" change=Added", "has drained", "third.so"] {
        ensure!(log.contains(part), "`{part}` is not in the log: {log}");
    }
    broker.stop()?;
    let output = run(&["offloaders", "status", "--admin-url", "http://127.0.0.1:1"])?;
    ensure!(output.status.code() == Some(1), "no broker: {output:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_notices_what_is_dropped_in() -> Result<()> {
    let mut rig = Rig::without_plugins()?;
    rig.set("managedLedgerOffloadDriver", "filesystem");
    rig.set("offloadersRescanIntervalSeconds", "1");
    rig.set("managedLedgerOffloadDriverPlugin.filesystem", "tiered-storage-file-system@0.1.0");
    let broker = rig.start()?;
    plugins::put(&rig.path("offloaders"), "a.so", &version("0.1.0"));
    plugins::put(&rig.path("offloaders"), "b.so", &version("0.1.1"));
    let mut status = Value::Null;
    for _ in 0..1000 {
        status = broker.get("/brokers/offloaders/status")?;
        if !status["drivers"][0]["plugin"].is_null() {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let driver = &status["drivers"][0];
    ensure!(driver["version"] == "0.1.0" && driver["pin"] == "tiered-storage-file-system@0.1.0", "{status}");
    ensure!(status["rescan"]["interval_seconds"] == 1 && status["rescan"]["next_ms"].is_u64(), "{status}");
    let topic = Topic("noticed");
    topic.fill(&broker, 0..15).await?;
    topic.must_offload(&broker)?;
    ensure!(!rig.log().contains("keys that nothing knows"), "the pin is a known key");
    broker.stop()
}
