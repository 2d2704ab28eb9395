//! `demo`: the main job on a running broker, step by step, with what there is before and after.
//!
//! Everything goes the way that a user's tools go: messages over TCP, the rest over REST. The topic is a new one of
//! namespace `public/demo` on each run; it stays, so that one can look at it.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, bail, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::runtime::Runtime;

use crate::cli::args::{DemoArgs, ProduceArgs, ReadArgs};
use crate::cli::http::Admin;
use crate::cli::output::{Progress, grouped, size, table};
use crate::cli::workload::Summary;
use crate::client::{Client, Start};

use super::client::{produce, read};

const NAMESPACE: &str = "public/demo";
/// Time between two questions about work in progress.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long an offload may show no progress.
const OFFLOAD_STALL: Duration = Duration::from_secs(120);
/// How long hot copies may stay: trimming is also done by itself, every two minutes as shipped.
const TRIM_WAIT: Duration = Duration::from_secs(180);

/// One ledger as `GET …/ledgers` tells it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Ledger {
    ledger_id: u64,
    entries: u64,
    size: u64,
    state: String,
    #[serde(rename = "where")]
    place: String,
    driver: Option<String>,
    plugin_file: Option<String>,
    plugin_version: Option<String>,
}

#[derive(Debug, Deserialize)]
struct OffloadStatus {
    status: String,
    #[serde(default, rename = "lastError")]
    last_error: String,
}

/// Runs `demo`. Answers whether what was read is what was sent.
///
/// # Errors
/// The step that could not be done, with its causes.
pub fn run_demo(args: &DemoArgs) -> anyhow::Result<bool> {
    let runtime = Runtime::new().context("start the asynchronous runtime")?;
    let admin = Admin::new(&args.admin_url);
    wait_for_broker(&admin, args)?;
    let demo = Demo::prepare(args, &admin)?;
    let client = runtime.block_on(Client::connect(&args.url))?;

    println!("1. sending {} messages of {} to {}", grouped(args.messages), size(args.size.into()), demo.topic);
    let sent = runtime.block_on(produce(&client, &demo.produce_args()))?;
    println!("   {}", sent.sentence("sent"));
    demo.show_ledgers("before")?;

    println!("2. offloading through PUT {}/offload", demo.path);
    demo.offload()?;
    println!("3. removing the hot copies through POST {}/trim", demo.path);
    demo.trim()?;
    demo.show_ledgers("after")?;

    println!("4. reading everything back from the first message");
    let back = runtime.block_on(read(&client, &demo.read_args()))?;
    println!("   {}", back.sentence("read"));
    Ok(compare(&sent, &back))
}

fn compare(sent: &Summary, back: &Summary) -> bool {
    let same = (sent.messages, &sent.sha256) == (back.messages, &back.sha256);
    if same {
        println!("Every message came back as it was sent: the digests are the same.");
    } else {
        println!(
            "What came back is NOT what was sent: {} of {} messages, digests differ.",
            back.messages, sent.messages
        );
    }
    same
}

fn wait_for_broker(admin: &Admin, args: &DemoArgs) -> anyhow::Result<()> {
    let deadline = Instant::now() + Duration::from_secs(args.wait);
    loop {
        let problem = match admin.text("/brokers/health") {
            Ok(health) if health.trim() == "ok" => return Ok(()),
            Ok(health) => anyhow::anyhow!("its health is `{}`", health.trim()),
            Err(error) => error,
        };
        if args.broker_pid.is_some_and(|pid| !is_running(pid)) {
            bail!("the broker has ended; its log says why");
        }
        if Instant::now() >= deadline {
            return Err(problem.context(format!(
                "no broker is ready at {} after {} s; start one with `longshore standalone`",
                args.admin_url, args.wait
            )));
        }
        std::thread::sleep(ASK_EVERY);
    }
}

fn is_running(pid: i32) -> bool {
    rustix::process::Pid::from_raw(pid).is_some_and(|pid| rustix::process::test_kill_process(pid).is_ok())
}

struct Demo<'a> {
    args: &'a DemoArgs,
    admin: &'a Admin,
    topic: String,
    /// Path of the topic in the REST API.
    path: String,
}

impl<'a> Demo<'a> {
    /// Makes the namespace: everything is kept, and hot copies may go at once.
    fn prepare(args: &'a DemoArgs, admin: &'a Admin) -> anyhow::Result<Self> {
        let namespace = format!("/namespaces/{NAMESPACE}");
        admin.put(&namespace, &json!({}))?;
        let keep_all = json!({"retentionTimeInMinutes": -1, "retentionSizeInMB": -1});
        admin.post(&format!("{namespace}/retention"), &keep_all)?;
        admin.put(&format!("{namespace}/offloadDeletionLagMs"), &json!(0))?;
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since_1970| since_1970.as_secs());
        let name = format!("run-{seconds}-{}", std::process::id());
        let topic = format!("persistent://{NAMESPACE}/{name}");
        Ok(Self { args, admin, topic, path: format!("/persistent/{NAMESPACE}/{name}") })
    }

    fn produce_args(&self) -> ProduceArgs {
        ProduceArgs {
            topic: self.topic.clone(),
            messages: self.args.messages,
            size: self.args.size,
            batch: false,
            in_flight: 1000,
            seed: 1,
            producer_name: None,
        }
    }

    fn read_args(&self) -> ReadArgs {
        ReadArgs { topic: self.topic.clone(), from: Start::Earliest, messages: Some(self.args.messages), timeout: 60 }
    }

    fn ledgers(&self) -> anyhow::Result<Vec<Ledger>> {
        let mut ledgers: Vec<Ledger> = self.admin.get(&format!("{}/ledgers", self.path))?;
        ledgers.sort_by_key(|ledger| ledger.ledger_id);
        Ok(ledgers)
    }

    fn show_ledgers(&self, when: &str) -> anyhow::Result<()> {
        let ledgers = self.ledgers()?;
        let heading = ["ledger", "state", "entries", "size", "where", "driver", "plugin", "version"];
        let rows: Vec<Vec<String>> = ledgers.iter().map(row).collect();
        println!("   ledgers {when}:\n{}", table(&heading, &rows));
        Ok(())
    }

    /// Asks for an offload of everything but the open ledger and waits for its end.
    fn offload(&self) -> anyhow::Result<()> {
        let ledgers = self.ledgers()?;
        let open = ledgers.last().context("the topic has no ledgers")?;
        let closed = ledgers.iter().filter(|ledger| ledger.state == "closed").count() as u64;
        ensure!(
            closed > 0,
            "no ledger is closed yet: send more messages than managedLedgerMaxEntriesPerLedger, with \
             managedLedgerMinLedgerRolloverTimeMinutes=0"
        );
        let position = json!({"ledgerId": open.ledger_id, "entryId": 0, "partitionIndex": -1});
        let path = format!("{}/offload", self.path);
        self.admin.put(&path, &position)?;
        let mut progress = Progress::new("offload", Some(closed));
        let (mut done, mut moved) = (0, Instant::now());
        loop {
            let status: OffloadStatus = self.admin.get(&path)?;
            match status.status.as_str() {
                "RUNNING" => {}
                "SUCCESS" => break,
                other => bail!("the offload ended with {other}: {}", status.last_error),
            }
            let now = self.ledgers()?.iter().filter(|ledger| ledger.place != "hot").count() as u64;
            if now != done {
                (done, moved) = (now, Instant::now());
                progress.set(done);
            }
            ensure!(moved.elapsed() < OFFLOAD_STALL, "the offload made no progress for {} s", OFFLOAD_STALL.as_secs());
            std::thread::sleep(ASK_EVERY);
        }
        println!("   {closed} ledgers in {:.2} s", progress.finish().as_secs_f64());
        Ok(())
    }

    /// Asks for a trim and waits until no ledger is both hot and cold.
    fn trim(&self) -> anyhow::Result<()> {
        let started = Instant::now();
        self.admin.post(&format!("{}/trim", self.path), &json!({}))?;
        loop {
            let both: Vec<Ledger> = self.ledgers()?.into_iter().filter(|ledger| ledger.place == "both").collect();
            if both.is_empty() {
                println!("   done in {:.2} s", started.elapsed().as_secs_f64());
                return Ok(());
            }
            ensure!(
                started.elapsed() < TRIM_WAIT,
                "{} ledgers still have a hot copy after {} s",
                both.len(),
                TRIM_WAIT.as_secs()
            );
            std::thread::sleep(ASK_EVERY);
        }
    }
}

fn row(ledger: &Ledger) -> Vec<String> {
    let or_dash =
        |text: &Option<String>| text.clone().filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned());
    vec![
        ledger.ledger_id.to_string(),
        ledger.state.clone(),
        grouped(ledger.entries),
        size(ledger.size),
        ledger.place.clone(),
        or_dash(&ledger.driver),
        or_dash(&ledger.plugin_file),
        or_dash(&ledger.plugin_version),
    ]
}
