//! Topics that others offloaded become topics here: golden ledgers of Apache Pulsar 4.0.6 from files, and whole topics from the REST
//! API of a running cluster. What is recorded is read to the last byte; what cannot be read leaves nothing behind.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use longshore::client::{Client, ConsumerOptions, Start};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::rig::{PATIENCE, Rig, Topic, ask, flip, payload, run};
use serde_json::json;

const UID: &str = "a272f775-0ffb-4312-aa1e-b6f8acb2c94f";
const TOPIC: &str = "persistent://public/fsvec/vec-v-tiny";
const COPY: &str = "tier/public/fsvec/persistent/vec-v-tiny/17-a272f775-0ffb-4312-aa1e-b6f8acb2c94f";

fn vector() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/pulsar-4.0.6/v-tiny")
}

/// Message `i` of the golden ledger; its README has the formula.
fn golden(i: usize) -> Vec<u8> {
    let count = 37 * i % 301;
    (0..count).map(|k| ((1 + 131 * i + 7 * k + 13 * (k / 256)) % 256) as u8).collect()
}

fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A rig whose tier is a copy of the golden one, and the file with what the original says of the topic.
struct Golden {
    rig: Rig,
    info: String,
    stats: String,
}

impl Golden {
    fn new() -> Result<Self> {
        let rig = Rig::new()?;
        copy_folder(&vector().join("mapfile"), &rig.path("tier"))?;
        let info = rig.path("internal-info.json");
        std::fs::write(&info, json!({
            "version": 4, "creationDate": "2026-11-21T07:26:00Z", "modificationDate": "2026-11-21T07:26:24Z",
            "ledgers": [
                { "ledgerId": 18, "timestamp": 1_795_245_985_000_u64, "isOffloaded": false },
                { "ledgerId": 17, "entries": 20, "size": 3296, "timestamp": 1_795_245_984_000_u64, "isOffloaded": true,
                  "offloadedContextUuid": UID },
            ],
            "cursors": { "sub": { "version": 0, "creationDate": "", "modificationDate": "", "cursorsLedgerId": -1,
                "markDelete": { "ledgerId": 17, "entryId": 4 } } },
        }).to_string())?;
        let stats = vector().join("stats-internal.json").display().to_string();
        Ok(Self { rig, info: info.display().to_string(), stats })
    }

    fn configuration(&self) -> Result<String> {
        let more = format!("longshoreDataDirectory={}\n", self.rig.path("data").display());
        Ok(self.rig.configuration(&more)?.display().to_string())
    }

    fn import(&self, more: &[&str]) -> Result<Output> {
        let config = self.configuration()?;
        let fixed =
            ["import", TOPIC, "--config", &config, "--internal-info", &self.info, "--stats-internal", &self.stats];
        run(&fixed.into_iter().chain(more.iter().copied()).collect::<Vec<_>>())
    }
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// What a reader, or a subscription, gets from its first message on.
async fn receive(broker: &BrokerProcess, options: ConsumerOptions, count: usize) -> Result<Vec<Vec<u8>>> {
    let client = Client::connect(&broker.service_url).await?;
    let mut consumer = client.consumer(TOPIC, options).await?;
    let mut received = Vec::new();
    while received.len() < count {
        let message = tokio::time::timeout(PATIENCE, consumer.receive()).await.context("no message comes")??;
        received.push(message.payload.to_vec());
    }
    Ok(received)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_golden_ledger_is_read_to_the_last_byte_and_written_behind() -> Result<()> {
    let mut golden_topic = Golden::new()?;
    // Without a subscription nothing else would hold the ledgers.
    golden_topic.rig.set("defaultRetentionTimeInMinutes", "0");
    golden_topic.rig.set("defaultRetentionSizeInMB", "0");
    let dry = golden_topic.import(&["--dry-run"])?;
    ensure!(dry.status.code() == Some(0) && text(&dry).contains("1 topics would be imported"), "{}", text(&dry));
    ensure!(!golden_topic.rig.path("data").exists(), "a dry run makes nothing");
    let real = golden_topic.import(&["--check", "full"])?;
    ensure!(real.status.code() == Some(0), "{}", text(&real));
    for part in ["ledger 17: 20 entries", "subscription sub: goes on at 17:5 (internal-info)", "begin with 19"] {
        ensure!(text(&real).contains(part), "{part}: {}", text(&real));
    }

    let broker = golden_topic.rig.start()?;
    let refused = golden_topic.import(&[])?;
    ensure!(
        refused.status.code() == Some(1) && text(&refused).contains("used by another process"),
        "{}",
        text(&refused)
    );
    let received = receive(&broker, ConsumerOptions::reader(Start::Earliest), 20).await?;
    ensure!(received == (0..20).map(golden).collect::<Vec<_>>());
    let of_subscription = receive(&broker, ConsumerOptions::subscription("sub"), 15).await?;
    ensure!(of_subscription == (5..20).map(golden).collect::<Vec<_>>());

    let client = Client::connect(&broker.service_url).await?;
    let mut producer = client.producer(TOPIC, Default::default()).await?;
    producer.send(b"behind").await?;
    producer.close().await?;
    let received = receive(&broker, ConsumerOptions::reader(Start::Earliest), 21).await?;
    ensure!(received[20] == b"behind");
    let path = "/persistent/public/fsvec/vec-v-tiny";
    ensure!(ask(&broker, "DELETE", &format!("{path}/subscription/sub?force=true"), "")?.status < 300);
    ensure!(ask(&broker, "POST", &format!("{path}/trim"), "")?.status < 300);
    let rows = broker.get(&format!("{path}/ledgers"))?;
    ensure!(rows[0]["ledgerId"] == 17 && rows[0]["where"] == "cold", "{rows}");
    ensure!(rows[1]["ledgerId"].as_u64().is_some_and(|id| id >= 19), "{rows}");
    broker.stop()?;

    let again = golden_topic.import(&[])?;
    ensure!(
        again.status.code() == Some(0) && text(&again).contains("0 topics imported, 1 here already"),
        "{}",
        text(&again)
    );
    let broker = golden_topic.rig.start()?;
    ensure!(receive(&broker, ConsumerOptions::reader(Start::Earliest), 21).await?.len() == 21);
    broker.stop()
}

#[test]
fn what_cannot_be_read_is_refused_and_leaves_nothing() -> Result<()> {
    let golden_topic = Golden::new()?;
    let config = golden_topic.configuration()?;
    let without_stats = run(&["import", TOPIC, "--config", &config, "--internal-info", &golden_topic.info])?;
    ensure!(
        without_stats.status.code() == Some(1) && text(&without_stats).contains("ledger 18 is open"),
        "{}",
        text(&without_stats)
    );
    let data = golden_topic.rig.path(COPY).join("data");
    let sound = std::fs::read(&data)?;
    flip(&data, |bytes| bytes.len() / 2)?;
    let damaged = golden_topic.import(&[])?;
    ensure!(
        damaged.status.code() == Some(1) && text(&damaged).contains("ledger 17 cannot be read"),
        "{}",
        text(&damaged)
    );
    std::fs::write(&data, sound)?;
    let other_driver = golden_topic.import(&["--driver", "aws-s3"])?;
    ensure!(text(&other_driver).contains("no offloader claims driver `aws-s3`"), "{}", text(&other_driver));
    // A refused topic does not exist: it can be imported now.
    let real = golden_topic.import(&[])?;
    ensure!(real.status.code() == Some(0) && text(&real).contains("1 topics imported"), "{}", text(&real));
    for wrong in [&["import"][..], &["import", "t"], &["import", "t", "--from", "x", "--record", "y"]] {
        ensure!(run(wrong)?.status.code() == Some(2), "{wrong:?}");
    }
    Ok(())
}

/// The cluster is a broker of ours, whose answers are held against the original's by other tests.
#[tokio::test(flavor = "multi_thread")]
async fn topics_come_from_a_running_cluster_and_ids_of_other_topics_stay_theirs() -> Result<()> {
    let (theirs, ours) = (Topic("theirs"), Topic("ours"));
    let source = Rig::new()?;
    let cluster = source.start()?;
    theirs.fill(&cluster, 0..30).await?;
    // The full ledger closes with its topic; only closed ones are offloaded.
    let unloaded = ask(&cluster, "PUT", &format!("{}/unload", theirs.path()), "")?;
    ensure!(unloaded.status < 300, "{unloaded:?}");
    theirs.read(&cluster, 1, PATIENCE).await?;
    theirs.must_offload(&cluster)?;

    let mut rig = Rig::new()?;
    rig.set("fileSystemURI", &format!("file://{}", source.path("tier").display()));
    let broker = rig.start()?;
    ours.fill(&broker, 0..35).await?;
    broker.stop()?;
    let config = rig.configuration(&format!("longshoreDataDirectory={}\n", rig.path("data").display()))?;
    let config = config.display().to_string();
    let import = |topic: &str| run(&["import", topic, "--config", &config, "--from", &cluster.web_url]);
    let imported = import(&theirs.name())?;
    ensure!(imported.status.code() == Some(0), "{}", text(&imported));
    ensure!(text(&imported).contains("1 topics imported"), "{}", text(&imported));
    let taken = import(&ours.name())?;
    ensure!(taken.status.code() == Some(1), "the cluster has no such topic: {}", text(&taken));

    let broker = rig.start()?;
    theirs.check(&broker, 30).await?;
    ours.check(&broker, 35).await?;
    let (theirs_ids, ours_ids) = (ids(&theirs, &broker)?, ids(&ours, &broker)?);
    ensure!(theirs_ids.iter().any(|id| ours_ids.contains(id)), "both clusters began to count at the same number");
    let received = theirs.read(&broker, 30, Duration::from_secs(5)).await?;
    ensure!(received.iter().zip(0..).all(|(found, i)| *found == payload(i)));
    theirs.check(&cluster, 30).await?;
    let deleted = ask(&broker, "DELETE", &format!("{}?force=true", theirs.path()), "")?;
    ensure!(deleted.status < 300, "{deleted:?}");
    ours.check(&broker, 35).await?;
    broker.stop()?;
    let broker = rig.start()?;
    ours.check(&broker, 35).await?;
    broker.stop()?;
    cluster.stop()
}

/// Fills a topic of a cluster and offloads all that is closed of it.
async fn offloaded(topic: &Topic, cluster: &BrokerProcess, messages: u64) -> Result<()> {
    topic.fill(cluster, 0..messages).await?;
    let unloaded = ask(cluster, "PUT", &format!("{}/unload", topic.path()), "")?;
    ensure!(unloaded.status < 300, "{unloaded:?}");
    topic.read(cluster, 1, PATIENCE).await?;
    topic.must_offload(cluster)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_comes_with_its_partitioned_topics_whole_or_without_them() -> Result<()> {
    let (plain, first, second) = (Topic("plain"), Topic("wide-partition-0"), Topic("wide-partition-1"));
    let source = Rig::new()?;
    let cluster = source.start()?;
    let made = ask(&cluster, "PUT", "/persistent/public/default/wide/partitions", "2")?;
    ensure!(made.status < 300, "{made:?}");
    offloaded(&plain, &cluster, 30).await?;
    offloaded(&first, &cluster, 20).await?;
    // Never offloaded: the messages of this partition cannot be read elsewhere.
    second.fill(&cluster, 0..25).await?;

    let mut rig = Rig::new()?;
    rig.set("fileSystemURI", &format!("file://{}", source.path("tier").display()));
    let config = rig.configuration(&format!("longshoreDataDirectory={}\n", rig.path("data").display()))?;
    let config = config.display().to_string();
    let import = || run(&["import", "--namespace", "public/default", "--config", &config, "--from", &cluster.web_url]);
    let refused = import()?;
    ensure!(refused.status.code() == Some(1), "{}", text(&refused));
    for part in ["its partitions come together, or none does", "1 topics imported"] {
        ensure!(text(&refused).contains(part), "{part}: {}", text(&refused));
    }

    offloaded(&second, &cluster, 0).await?;
    let imported = import()?;
    ensure!(imported.status.code() == Some(0), "{}", text(&imported));
    let broker = rig.start()?;
    let partitions = broker.get("/persistent/public/default/wide/partitions")?;
    ensure!(partitions["partitions"] == 2, "clients see one topic of two partitions: {partitions}");
    plain.check(&broker, 30).await?;
    first.check(&broker, 20).await?;
    second.check(&broker, 25).await?;
    broker.stop()?;
    let again = import()?;
    ensure!(text(&again).contains("0 topics imported"), "{}", text(&again));
    cluster.stop()
}

fn ids(topic: &Topic, broker: &BrokerProcess) -> Result<Vec<u64>> {
    Ok(topic.ledgers(broker)?.into_iter().map(|row| row.id).collect())
}
