//! Where it happens: a folder with data, plugins and tiers, the settings of each start, and what is asked of a broker that
//! has come back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use longshore::client::{Client, ConsumerOptions, Start};
use longshore_tests::broker::{BrokerProcess, log_tail};
use longshore_tests::plugins;
use longshore_tests::rig::{PATIENCE, Topic, ask};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::model::{Model, Place, Written};
use super::tiers::{Bucket, Tier};

/// The topic whose messages are all kept.
pub(super) const KEPT: Topic = Topic("kept");
/// The topic whose ledgers go when they are acknowledged, with their copies.
pub(super) const DRAINED: Topic = Topic("drained");
/// A subscription that an operator moves.
pub(super) const MARKED: &str = "marked";
/// What it was made with.
const LABEL: &str = "moved by hand";
/// The setting of when ledgers are offloaded by themselves.
pub(super) const THRESHOLD: &str = "/namespaces/public/default/offloadThreshold";
/// The setting of where.
pub(super) const POLICIES: &str = "/namespaces/public/default/offloadPolicies";
/// The plugin that is replaced by another version of itself.
const VERSIONED: &str = "tiered-storage-file-system";
/// How long what a crash left may take to be cleaned up.
const SETTLED_MAX: Duration = Duration::from_secs(60);

/// What the topics' records say: complete copies by driver, closed ledgers with a hot copy, open ledgers.
#[derive(Debug, Default, PartialEq, Eq)]
struct Recorded {
    copies: BTreeMap<String, BTreeSet<String>>,
    hot: BTreeSet<u64>,
    open: BTreeSet<u64>,
}

/// The folder, the tiers, the settings.
pub(super) struct Stage {
    folder: TempDir,
    tiers: Vec<Tier>,
    settings: Vec<(String, String)>,
    /// The versioned plugin's bytes, version by version.
    versions: Vec<Vec<u8>>,
}

impl Stage {
    /// Driver `filesystem`, and `example-folder` to change to.
    pub(super) fn with_folders() -> Result<Self> {
        let mut stage = Self::new("filesystem")?;
        let folder = stage.path("example");
        plugins::stage("example-folder", &stage.path("offloaders"), "example-folder.so");
        stage.set("pulsar.extra.offload.drivers", "example-folder");
        stage.set("managedLedgerOffloadExtraConfigFolder", &folder.display().to_string());
        stage.tiers.push(Tier::Example(folder));
        Ok(stage)
    }

    /// Driver `aws-s3` on a server, and `filesystem` to change to.
    pub(super) fn with_bucket(bucket: Bucket) -> Result<Self> {
        bucket.make()?;
        let mut stage = Self::new("aws-s3")?;
        plugins::stage("tiered-storage-jcloud", &stage.path("offloaders"), "tiered-storage-jcloud.so");
        stage.set("s3ManagedLedgerOffloadBucket", &bucket.name);
        stage.set("s3ManagedLedgerOffloadServiceEndpoint", &bucket.endpoint);
        stage.set("s3ManagedLedgerOffloadCredentialId", &bucket.access_key);
        stage.set("s3ManagedLedgerOffloadCredentialSecret", &bucket.secret_key);
        stage.tiers.push(Tier::Bucket(bucket));
        Ok(stage)
    }

    fn new(driver: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (root, offloaders) = (folder.path().join("tier"), folder.path().join("offloaders"));
        std::fs::create_dir_all(&offloaders)?;
        let other = plugins::rebuilt(VERSIONED, "\"version\":\"0.1.0\"", "\"version\":\"0.1.1\"");
        let versions = vec![std::fs::read(plugins::built(VERSIONED))?, other];
        let mut stage = Self { tiers: vec![Tier::FileSystem(root.clone())], folder, settings: Vec::new(), versions };
        for (key, value) in [
            ("managedLedgerMaxEntriesPerLedger", "25"),
            ("managedLedgerMinLedgerRolloverTimeMinutes", "0"),
            ("managedLedgerDefaultMarkDeleteRateLimit", "20"),
            ("defaultRetentionTimeInMinutes", "-1"),
            ("defaultRetentionSizeInMB", "-1"),
            ("retentionCheckIntervalInSeconds", "1"),
            ("brokerDeleteInactiveTopicsEnabled", "false"),
            ("offloadersRescanIntervalSeconds", "0"),
            ("managedLedgerOffloadDriver", driver),
            ("managedLedgerOffloadAutoTriggerSizeThresholdBytes", "0"),
            ("managedLedgerOffloadDeletionLagMs", "0"),
            ("fileSystemURI", &format!("file://{}", root.display())),
            ("offloadersDirectory", &offloaders.display().to_string()),
        ] {
            stage.set(key, value);
        }
        stage.put_version(0);
        Ok(stage)
    }

    fn set(&mut self, key: &str, value: &str) {
        self.settings.push((key.to_owned(), value.to_owned()));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts a version of the plugin in the place of the other, by rename.
    pub(super) fn put_version(&self, version: usize) {
        let bytes = &self.versions[version % self.versions.len()];
        plugins::put(&self.path("offloaders"), &format!("{VERSIONED}.so"), bytes);
    }

    /// The policies that make the `n`th tier's driver that of the next ledgers.
    pub(super) fn policies(&self, n: usize) -> Value {
        let tier = &self.tiers[n % self.tiers.len()];
        let bucket = match tier {
            Tier::FileSystem(_) => return json!({ "managedLedgerOffloadDriver": tier.driver() }),
            // The check of policies wants one for any driver but `filesystem`.
            Tier::Example(_) => "none",
            Tier::Bucket(bucket) => &bucket.name,
        };
        json!({ "managedLedgerOffloadDriver": tier.driver(), "managedLedgerOffloadBucket": bucket })
    }

    /// Starts a broker on what is there.
    pub(super) fn start(&self) -> Result<BrokerProcess> {
        let settings: Vec<(&str, String)> = self.settings.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        BrokerProcess::start(self.folder.path(), &settings)
    }

    /// Copies the folder to where it stays, for who looks into a failure, and tells the log's end.
    pub(super) fn keep(&self) -> String {
        let to = std::env::temp_dir().join(format!("longshore-kill-{}", std::process::id()));
        let copied = std::process::Command::new("cp").arg("-a").arg(self.folder.path()).arg(&to).status();
        let kept = copied.is_ok_and(|status| status.success());
        format!(
            "{}: {}",
            if kept { to.display().to_string() } else { "not kept".to_owned() },
            log_tail(self.folder.path())
        )
    }

    /// Topics and subscriptions, before the first kill.
    pub(super) fn set_up(&self, broker: &BrokerProcess) -> Result<()> {
        for topic in [KEPT, DRAINED] {
            must(broker, "PUT", &topic.path(), "")?;
        }
        let none = json!({ "retentionTimeInMinutes": 0, "retentionSizeInMB": 0 }).to_string();
        must(broker, "POST", &format!("{}/retention", DRAINED.path()), &none)?;
        let labelled = json!({ "ledgerId": -1, "entryId": -1, "partitionIndex": -1, "properties": { "label": LABEL } });
        must(broker, "PUT", &format!("{}/subscription/{MARKED}", KEPT.path()), &labelled.to_string())
    }

    /// No recorded place lies before where it was seen.
    pub(super) fn check_cursors(&self, broker: &BrokerProcess, model: &mut Model) -> Result<()> {
        for topic in [KEPT, DRAINED] {
            let info = broker.get(&format!("{}/internal-info", topic.path()))?;
            for (name, cursor) in info["cursors"].as_object().context("internal-info has cursors")? {
                let number = |of: &str| cursor["markDelete"][of].as_i64().context("a place has numbers");
                let place: Place = (number("ledgerId")?, number("entryId")?);
                let seen = model.cursors.entry((topic.0, name.clone())).or_insert(place);
                ensure!(place >= *seen, "cursor {name} of {} went back from {seen:?} to {place:?}", topic.0);
                *seen = place;
            }
        }
        let stats = broker.get(&format!("{}/stats", KEPT.path()))?;
        let marked = &stats["subscriptions"][MARKED];
        ensure!(marked["subscriptionProperties"]["label"] == LABEL, "subscription {MARKED} is now {marked}");
        Ok(())
    }

    /// What was answered for is in force.
    pub(super) fn check_policies(&self, broker: &BrokerProcess, model: &mut Model) -> Result<()> {
        for (path, written) in &mut model.written {
            let answer = ask(broker, "GET", path, "")?;
            ensure!(answer.status < 300, "GET {path}: {answer:?}");
            let found = serde_json::from_str(&answer.text).unwrap_or(Value::Null);
            let found = if *path == POLICIES { found["managedLedgerOffloadDriver"].clone() } else { found };
            written.check(found).with_context(|| (*path).to_owned())?;
        }
        Ok(())
    }

    /// How a setting is before its first write.
    pub(super) fn unwritten(path: &str) -> Written {
        Written::new(if path == THRESHOLD { json!(-1) } else { Value::Null })
    }

    /// Reads the kept topic from where it was read to its end.
    pub(super) async fn read_on(&self, broker: &BrokerProcess, model: &mut Model) -> Result<()> {
        let client = Client::connect(&broker.service_url).await?;
        let start = model.reading.last.map_or(Start::Earliest, Start::At);
        let mut reader = client.consumer(&KEPT.name(), ConsumerOptions::reader(start)).await?;
        let end = reader.last_message_id().await?;
        while let Some(end) = end.filter(|end| model.reading.last.is_none_or(|last| last < *end)) {
            let message = tokio::time::timeout(PATIENCE, reader.receive()).await;
            let message = message.with_context(|| format!("nothing comes before {end}"))??;
            // The entry of the last message comes again, as a whole.
            if model.reading.last.is_none_or(|last| last < message.id) {
                model.reading.take(&message)?;
            }
        }
        model.check_reading(KEPT.0)
    }

    fn recorded(&self, broker: &BrokerProcess) -> Result<Recorded> {
        let mut recorded = Recorded::default();
        for topic in [KEPT, DRAINED] {
            let rows = broker.get(&format!("{}/ledgers", topic.path()))?;
            for row in rows.as_array().context("rows")? {
                let ledger = row["ledgerId"].as_u64().context("a ledger has an id")?;
                if let (Some(driver), Some(uid)) = (row["driver"].as_str(), row["uid"].as_str()) {
                    recorded.copies.entry(driver.to_owned()).or_default().insert(format!("{ledger}-{uid}"));
                }
                if row["state"] == "open" {
                    recorded.open.insert(ledger);
                } else if row["where"] != "cold" {
                    recorded.hot.insert(ledger);
                }
            }
        }
        Ok(recorded)
    }

    fn difference(&self, broker: &BrokerProcess) -> Result<Option<String>> {
        let before = self.recorded(broker)?;
        for tier in &self.tiers {
            let recorded = before.copies.get(tier.driver()).cloned().unwrap_or_default();
            let there = tier.copies(&[KEPT.0, DRAINED.0])?;
            if recorded != there {
                let (orphans, missing): (Vec<_>, Vec<_>) =
                    (there.difference(&recorded).collect(), recorded.difference(&there).collect());
                return Ok(Some(format!(
                    "{}: without a record {orphans:?}, without a copy {missing:?}",
                    tier.driver()
                )));
            }
        }
        // An open ledger has its file with the first entry that leaves the journal.
        let files = &hot_files(&self.path("data/ledgers")) - &before.open;
        if files != before.hot {
            let orphans: Vec<_> = files.difference(&before.hot).collect();
            let missing: Vec<_> = before.hot.difference(&files).collect();
            return Ok(Some(format!("hot store: without a record {orphans:?}, without a file {missing:?}")));
        }
        // What changed meanwhile says nothing.
        Ok((self.recorded(broker)? != before).then(|| "the records change".to_owned()))
    }

    /// Tiers and hot store hold exactly what the records name. Offloads and trims go on while this looks, so it looks until both
    /// sides agree.
    pub(super) fn check_copies(&self, broker: &BrokerProcess) -> Result<BTreeMap<&'static str, usize>> {
        let end = Instant::now() + SETTLED_MAX;
        loop {
            let Some(difference) = self.difference(broker)? else { break };
            if Instant::now() > end {
                bail!("{difference}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let count = |tier: &Tier| Ok((tier.driver(), tier.copies(&[KEPT.0, DRAINED.0])?.len()));
        self.tiers.iter().map(count).collect()
    }

    /// Ledgers of the drained topic that are gone: the ids of both topics are one row of numbers.
    pub(super) fn ledgers_trimmed(&self, broker: &BrokerProcess) -> Result<u64> {
        let (kept, drained) = (KEPT.ledgers(broker)?, DRAINED.ledgers(broker)?);
        let last = kept.iter().chain(&drained).map(|row| row.id).max().unwrap_or(0);
        let first = kept.iter().chain(&drained).map(|row| row.id).min().unwrap_or(0);
        Ok((last + 1 - first).saturating_sub((kept.len() + drained.len()) as u64))
    }

    /// Deletes the topics; nothing of them is left anywhere. Answers how many copies there were.
    pub(super) fn delete_topics(&self, broker: &BrokerProcess) -> Result<BTreeMap<&'static str, usize>> {
        let copies = self.check_copies(broker)?;
        for topic in [KEPT, DRAINED] {
            delete(broker, &format!("{}?force=true", topic.path()))?;
        }
        let end = Instant::now() + SETTLED_MAX;
        loop {
            let mut left = BTreeSet::new();
            for tier in &self.tiers {
                left.extend(tier.copies(&[KEPT.0, DRAINED.0])?);
            }
            left.extend(hot_files(&self.path("data/ledgers")).iter().map(|id| format!("hot ledger {id}")));
            if left.is_empty() {
                return Ok(copies);
            }
            ensure!(Instant::now() < end, "the topics are deleted and left {left:?}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A request that must be answered with 2xx.
pub(super) fn must(broker: &BrokerProcess, method: &str, path: &str, body: &str) -> Result<()> {
    let answer = ask(broker, method, path, body)?;
    ensure!(answer.status < 300, "{method} {path}: {answer:?}");
    Ok(())
}

/// A deletion that must be answered with 2xx: each cold copy's removal is recorded first, which takes a slow disk its time.
fn delete(broker: &BrokerProcess, path: &str) -> Result<()> {
    let agent = ureq::Agent::config_builder().timeout_global(Some(SETTLED_MAX * 3)).build();
    let agent = ureq::Agent::new_with_config(agent);
    agent.delete(&format!("{}/admin/v2{path}", broker.web_url)).call().with_context(|| format!("DELETE {path}"))?;
    Ok(())
}

/// Ledgers that have a file in the hot store.
fn hot_files(folder: &Path) -> BTreeSet<u64> {
    let groups = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = groups.flat_map(|group| std::fs::read_dir(group.path()).into_iter().flatten().flatten());
    files.filter_map(|file| file.file_name().to_string_lossy().strip_suffix(".ledger")?.parse().ok()).collect()
}
