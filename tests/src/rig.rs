//! What tests of the whole broker do again and again: a folder with plugins and settings, messages that tell their number,
//! ledgers that are offloaded and lose their hot copies, a byte that is not what was written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use longshore::client::{Client, ConsumerOptions, ProducerOptions, Received, Start};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::broker::{BrokerProcess, binary};
use crate::plugins;

/// Entries of a full ledger.
pub const LEDGER_ENTRIES: u64 = 10;
/// No single step of a test takes longer on a machine that is not hopelessly busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A folder for one broker: its data, its cold tier, its plugins, its log and its settings.
pub struct Rig {
    folder: TempDir,
    settings: BTreeMap<String, String>,
}

impl Rig {
    /// Ledgers of [`LEDGER_ENTRIES`], nothing offloaded or removed unless asked for, the filesystem driver.
    pub fn new() -> Result<Self> {
        let mut rig = Self::without_plugins()?;
        rig.stage("tiered-storage-file-system", "tiered-storage-file-system-0.1.0.so");
        rig.set("managedLedgerOffloadDriver", "filesystem");
        Ok(rig)
    }

    /// The same, with an empty folder of plugins and no driver.
    pub fn without_plugins() -> Result<Self> {
        let mut rig = Self { folder: tempfile::tempdir()?, settings: BTreeMap::new() };
        std::fs::create_dir(rig.path("offloaders"))?;
        let entries = LEDGER_ENTRIES.to_string();
        for (key, value) in [
            ("managedLedgerMaxEntriesPerLedger", entries.as_str()),
            ("managedLedgerMinLedgerRolloverTimeMinutes", "0"),
            ("defaultRetentionTimeInMinutes", "-1"),
            ("defaultRetentionSizeInMB", "-1"),
            ("brokerDeleteInactiveTopicsEnabled", "false"),
        ] {
            rig.set(key, value);
        }
        let (tier, offloaders) = (rig.path("tier"), rig.path("offloaders"));
        rig.set("fileSystemURI", &format!("file://{}", tier.display()));
        rig.set("offloadersDirectory", &offloaders.display().to_string());
        Ok(rig)
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Sets a key for starts from now on.
    pub fn set(&mut self, key: &str, value: &str) {
        self.settings.insert(key.to_owned(), value.to_owned());
    }

    /// Puts the library of `package` among the plugins.
    pub fn stage(&self, package: &str, file: &str) {
        plugins::stage(package, &self.path("offloaders"), file);
    }

    /// Starts a broker.
    pub fn start(&self) -> Result<BrokerProcess> {
        let settings: Vec<(&str, String)> = self.settings.iter().map(|(k, v)| (k.as_str(), v.clone())).collect();
        BrokerProcess::start(self.folder.path(), &settings)
    }

    /// Everything that brokers in this folder have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.path("broker.log")).unwrap_or_default()
    }

    /// The configuration as a file of its own, for commands.
    pub fn configuration(&self, more: &str) -> Result<PathBuf> {
        let lines: String = self.settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        let file = self.path("command.conf");
        std::fs::write(&file, lines + more)?;
        Ok(file)
    }

    /// The file of a sealed ledger in the hot store.
    pub fn hot_file(&self, ledger_id: u64) -> PathBuf {
        self.path("data").join(format!("ledgers/{}/{ledger_id}.ledger", ledger_id / 4096))
    }

    /// The folder of a ledger's copy in the cold tier of the filesystem driver.
    pub fn cold_folder(&self, topic: &Topic, ledger_id: u64) -> Result<PathBuf> {
        let parent = self.path("tier/public/default/persistent").join(topic.0);
        let prefix = format!("{ledger_id}-");
        let mut names = std::fs::read_dir(&parent).with_context(|| format!("list {}", parent.display()))?.flatten();
        let found = names.find(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
        Ok(found.with_context(|| format!("no copy {prefix} in {}", parent.display()))?.path())
    }
}

/// Runs the binary to its end.
pub fn run(arguments: &[&str]) -> Result<Output> {
    Ok(Command::new(binary()).args(arguments).env_remove("RUST_LOG").output()?)
}

/// Changes one byte of a file.
pub fn flip(file: &Path, at: impl FnOnce(&[u8]) -> usize) -> Result<u64> {
    let mut bytes = std::fs::read(file).with_context(|| format!("read {}", file.display()))?;
    let at = at(&bytes);
    bytes[at] ^= 0x10;
    std::fs::write(file, bytes)?;
    Ok(at as u64)
}

/// The place of `needle` in `bytes`.
pub fn find(bytes: &[u8], needle: &[u8]) -> Option<usize> {
    bytes.windows(needle.len()).position(|window| window == needle)
}

/// Message `i`: its number, and bytes that follow from it.
pub fn payload(i: u64) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(i);
    let noise = std::iter::repeat_with(|| random.u8(..)).take(600);
    format!("{i:010}|").into_bytes().into_iter().chain(noise).collect()
}

/// A topic of `public/default`.
#[derive(Clone, Copy, Debug)]
pub struct Topic(pub &'static str);

/// A ledger as the broker's own table shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The ledger.
    pub id: u64,
    /// Entries of it.
    pub entries: u64,
    /// Whether it is closed.
    pub closed: bool,
    /// `hot`, `cold` or `both`.
    pub place: String,
    /// The driver of the cold copy.
    pub driver: Option<String>,
}

/// What the REST API answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// The body; what is not text in it is replaced.
    pub text: String,
}

/// A request to the REST API; no status code is an error. It fails when no answer comes in time.
pub fn ask(broker: &BrokerProcess, method: &str, path: &str, body: &str) -> Result<Answer> {
    let url = format!("{}/admin/v2{path}", broker.web_url);
    let agent = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build();
    let agent = ureq::Agent::new_with_config(agent);
    let answer = match method {
        "GET" => agent.get(&url).call(),
        "DELETE" => agent.delete(&url).call(),
        "POST" => agent.post(&url).header("content-type", "application/json").send(body),
        "PUT" => agent.put(&url).header("content-type", "application/json").send(body),
        other => bail!("no method {other}"),
    };
    let mut answer = answer.with_context(|| format!("{method} {path}"))?;
    let body = answer.body_mut().read_to_vec()?;
    Ok(Answer { status: answer.status().as_u16(), text: String::from_utf8_lossy(&body).into_owned() })
}

impl Topic {
    /// `persistent://…`.
    pub fn name(&self) -> String {
        format!("persistent://public/default/{}", self.0)
    }

    /// Its path in the REST API.
    pub fn path(&self) -> String {
        format!("/persistent/public/default/{}", self.0)
    }

    /// Sends these payloads and waits until all are stored.
    pub async fn send(&self, broker: &BrokerProcess, payloads: impl IntoIterator<Item = Vec<u8>>) -> Result<()> {
        let client = Client::connect(&broker.service_url).await?;
        let mut producer = client.producer(&self.name(), ProducerOptions::default()).await?;
        for payload in payloads {
            producer.send(&payload).await?;
        }
        tokio::time::timeout(PATIENCE, producer.close()).await.context("produce hangs")??;
        Ok(())
    }

    /// Sends the messages of these numbers.
    pub async fn fill(&self, broker: &BrokerProcess, numbers: Range<u64>) -> Result<()> {
        self.send(broker, numbers.map(payload)).await
    }

    /// What a reader gets from the first message on: `count` messages, or fewer where none comes for `quiet`.
    pub async fn read(&self, broker: &BrokerProcess, count: usize, quiet: Duration) -> Result<Vec<Bytes>> {
        let received = self.receive(broker, count, quiet).await?;
        Ok(received.into_iter().map(|message| message.payload).collect())
    }

    async fn receive(&self, broker: &BrokerProcess, count: usize, quiet: Duration) -> Result<Vec<Received>> {
        let client = Client::connect(&broker.service_url).await?;
        let mut reader = client.consumer(&self.name(), ConsumerOptions::reader(Start::Earliest)).await?;
        let mut received = Vec::new();
        while received.len() < count {
            match tokio::time::timeout(quiet, reader.receive()).await {
                Ok(message) => received.push(message?),
                Err(_) => break,
            }
        }
        Ok(received)
    }

    /// Reads the messages `0..count`, each exactly as it was sent.
    pub async fn check(&self, broker: &BrokerProcess, count: u64) -> Result<()> {
        let found = self.read(broker, count as usize, PATIENCE).await?;
        ensure!(found.len() as u64 == count, "{} messages of {count} came back", found.len());
        let wrong = found.iter().zip(0..).find(|(message, i)| **message != payload(*i));
        ensure!(wrong.is_none(), "message {:?} is not what was sent", wrong.map(|(_, i)| i));
        Ok(())
    }

    /// Its ledgers.
    pub fn ledgers(&self, broker: &BrokerProcess) -> Result<Vec<Row>> {
        let rows = broker.get(&format!("{}/ledgers", self.path()))?;
        let row = |row: &Value| {
            Some(Row {
                id: row["ledgerId"].as_u64()?,
                entries: row["entries"].as_u64()?,
                closed: row["state"] == "closed",
                place: row["where"].as_str()?.to_owned(),
                driver: row["driver"].as_str().map(str::to_owned),
            })
        };
        rows.as_array().context("rows")?.iter().map(|value| row(value).context("a row")).collect()
    }

    /// Asks for an offload up to a position and waits for its end; the answer is its status.
    pub fn offload_before(&self, broker: &BrokerProcess, ledger_id: i64, entry_id: i64) -> Result<Value> {
        let body = json!({ "ledgerId": ledger_id, "entryId": entry_id });
        broker.put(&format!("{}/offload", self.path()), &body)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let status = broker.get(&format!("{}/offload", self.path()))?;
            if status["status"] != "RUNNING" {
                return Ok(status);
            }
            ensure!(Instant::now() < end, "the offload of {} runs and runs", self.0);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Offloads every closed ledger; the answer is the status.
    pub fn offload(&self, broker: &BrokerProcess) -> Result<Value> {
        let last = self.ledgers(broker)?.last().context("a topic has a ledger")?.id;
        self.offload_before(broker, last as i64, 0)
    }

    /// Offloads every closed ledger, which must succeed.
    pub fn must_offload(&self, broker: &BrokerProcess) -> Result<()> {
        let status = self.offload(broker)?;
        ensure!(status["status"] == "SUCCESS", "{status}");
        Ok(())
    }

    /// Lets the hot copies of offloaded ledgers go now, and waits until those of `ledgers` are gone.
    pub fn cool(&self, broker: &BrokerProcess, ledgers: &[u64]) -> Result<()> {
        let set = ask(broker, "PUT", "/namespaces/public/default/offloadDeletionLagMs", "0")?;
        ensure!(set.status < 300, "{set:?}");
        self.until(broker, |rows| {
            let _ = ask(broker, "POST", &format!("{}/trim", self.path()), "");
            rows.iter().filter(|row| ledgers.contains(&row.id)).all(|row| row.place == "cold")
        })
    }

    /// Waits until the table of ledgers is so.
    pub fn until(&self, broker: &BrokerProcess, done: impl Fn(&[Row]) -> bool) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let rows = self.ledgers(broker)?;
            if done(&rows) {
                return Ok(());
            }
            ensure!(Instant::now() < end, "the ledgers stay {rows:?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The REST API's answer for one entry.
    pub fn entry(&self, broker: &BrokerProcess, ledger_id: u64, entry_id: u64) -> Result<Answer> {
        ask(broker, "GET", &format!("{}/ledger/{ledger_id}/entry/{entry_id}", self.path()), "")
    }
}

/// Whether produce and consume of another topic go on at once.
pub async fn check_life(broker: &BrokerProcess, topic: Topic) -> Result<()> {
    let before = topic.read(broker, usize::MAX, Duration::from_millis(100)).await?.len() as u64;
    let began = Instant::now();
    topic.fill(broker, before..before + 50).await?;
    topic.check(broker, before + 50).await?;
    ensure!(began.elapsed() < Duration::from_secs(5), "another topic took {:?}", began.elapsed());
    Ok(())
}
