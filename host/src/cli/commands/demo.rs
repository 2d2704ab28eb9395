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
use crate::cli::http::{Admin, HEALTH_PATH};
use crate::cli::output::{Progress, grouped, size, table};
use crate::cli::workload::Summary;
use crate::client::{Client, Start};

use super::workload::{produce, read};

const NAMESPACE: &str = "public/demo";
/// Time between two questions about work in progress.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How long it is waited for the ledger after a full one.
const NEXT_LEDGER_WAIT: Duration = Duration::from_secs(5);
/// Ledgers that a table shows: the first and the last half of so many.
const ROWS_MAX: usize = 20;
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
    demo.ledgers_up_to_one_with_room()?;
    demo.show_ledgers("before")?;

    println!("2. offloading through PUT /admin/v2{}/offload", demo.path);
    demo.offload()?;
    println!("3. removing the hot copies through POST /admin/v2{}/trim", demo.path);
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
        let problem = match admin.text(HEALTH_PATH) {
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

    /// The ledgers once the last one has room: a full one is closed, and the next one made, after its last message was
    /// acknowledged, and only what lies before the open one can be offloaded.
    fn ledgers_up_to_one_with_room(&self) -> anyhow::Result<Vec<Ledger>> {
        let deadline = Instant::now() + NEXT_LEDGER_WAIT;
        loop {
            let ledgers = self.ledgers()?;
            if ends_with_room(&ledgers) || Instant::now() >= deadline {
                return Ok(ledgers);
            }
            std::thread::sleep(ASK_EVERY);
        }
    }

    fn show_ledgers(&self, when: &str) -> anyhow::Result<()> {
        let ledgers = self.ledgers()?;
        let heading = ["ledger", "state", "entries", "size", "where", "driver", "plugin", "version"];
        let rows = shortened(ledgers.iter().map(row).collect());
        println!("   ledgers {when}:\n{}", table(&heading, &rows));
        Ok(())
    }

    /// Asks for an offload of everything but the open ledger and waits for its end.
    fn offload(&self) -> anyhow::Result<()> {
        let ledgers = self.ledgers_up_to_one_with_room()?;
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

/// Whether the last ledger is open and has fewer entries than the closed ones, so that it is not just being closed.
fn ends_with_room(ledgers: &[Ledger]) -> bool {
    let Some((last, closed)) = ledgers.split_last() else { return false };
    let full = closed.iter().map(|ledger| ledger.entries).max();
    last.state == "open" && full.is_none_or(|full| last.entries < full)
}

/// The first and the last rows, with one between that tells how many are left out.
fn shortened(mut rows: Vec<Vec<String>>) -> Vec<Vec<String>> {
    if rows.len() > ROWS_MAX {
        let left_out = rows.len() - ROWS_MAX;
        let between = vec![format!("({} more)", grouped(left_out as u64))];
        rows.splice(ROWS_MAX / 2..ROWS_MAX / 2 + left_out, [between]);
    }
    rows
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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use axum::Router;
    use axum::extract::Request;
    use axum::http::StatusCode;

    use super::*;
    use crate::client::tests::{FakeBroker, Misbehaviour};

    /// A REST API that knows one topic of three ledgers and does at once what it is asked.
    #[derive(Clone, Default)]
    struct FakeAdmin {
        calls: Arc<Mutex<Vec<String>>>,
        place: Arc<Mutex<&'static str>>,
        all_open: bool,
        offload_fails: bool,
    }

    impl FakeAdmin {
        async fn start(self) -> String {
            *self.place.lock().unwrap() = "hot";
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let router = Router::new().fallback(move |request: Request| {
                let answer = self.answer(request.method().as_str(), request.uri().path());
                async move { answer }
            });
            tokio::spawn(async move { axum::serve(listener, router).await });
            url
        }

        fn answer(&self, method: &str, path: &str) -> (StatusCode, String) {
            let last = path.rsplit('/').next().unwrap_or_default();
            self.calls.lock().unwrap().push(format!("{method} {last}"));
            let ok = |body: String| (StatusCode::OK, body);
            match (method, last) {
                ("GET", "health") => ok("ok".to_owned()),
                ("GET", "ledgers") => ok(self.ledgers()),
                ("PUT", "demo") => (StatusCode::CONFLICT, r#"{"reason":"exists"}"#.to_owned()),
                ("GET", "offload") if self.offload_fails => {
                    ok(r#"{"status":"ERROR","lastError":"no such bucket"}"#.to_owned())
                }
                ("GET", "offload") => ok(r#"{"status":"SUCCESS","lastError":""}"#.to_owned()),
                ("PUT", "offload") => {
                    *self.place.lock().unwrap() = "both";
                    (StatusCode::NO_CONTENT, String::new())
                }
                ("POST", "trim") => {
                    *self.place.lock().unwrap() = "cold";
                    ok(String::new())
                }
                ("POST", "retention") | ("PUT", "offloadDeletionLagMs") => (StatusCode::NO_CONTENT, String::new()),
                _ => (StatusCode::NOT_FOUND, r#"{"reason":"no such path"}"#.to_owned()),
            }
        }

        fn ledgers(&self) -> String {
            let place = *self.place.lock().unwrap();
            let state = if self.all_open { "open" } else { "closed" };
            let closed = |id: u64| {
                json!({"ledgerId": id, "entries": 10, "size": 2000, "state": state, "where": place, "driver": "filesystem",
                       "pluginFile": "a.so", "pluginVersion": "0.1.0"})
            };
            let open = json!({"ledgerId": 9, "entries": 0, "size": 0, "state": "open", "where": "hot", "driver": null,
                              "pluginFile": null, "pluginVersion": null});
            json!([open, closed(7), closed(8)]).to_string()
        }
    }

    fn run(admin: FakeAdmin) -> anyhow::Result<bool> {
        let servers = Runtime::new().unwrap();
        let (url, admin_url) =
            servers.block_on(async { (FakeBroker::start(Misbehaviour::default()).await.url, admin.start().await) });
        run_demo(&DemoArgs { url, admin_url, messages: 30, size: 100, wait: 1, broker_pid: None })
    }

    #[test]
    fn every_step_is_asked_for_in_order_and_the_digests_agree() {
        let admin = FakeAdmin::default();
        let calls = Arc::clone(&admin.calls);
        assert!(run(admin).unwrap());
        let mut calls = calls.lock().unwrap().clone();
        calls.retain(|call| call != "GET ledgers");
        let expected = [
            "GET health",
            "PUT demo",
            "POST retention",
            "PUT offloadDeletionLagMs",
            "PUT offload",
            "GET offload",
            "POST trim",
        ];
        assert_eq!(calls, expected);
    }

    #[test]
    fn a_step_that_fails_says_what_to_do() {
        let failed = run(FakeAdmin { offload_fails: true, ..FakeAdmin::default() }).unwrap_err().to_string();
        assert_eq!(failed, "the offload ended with ERROR: no such bucket");
        let nothing = run(FakeAdmin { all_open: true, ..FakeAdmin::default() }).unwrap_err().to_string();
        assert!(nothing.contains("managedLedgerMaxEntriesPerLedger"), "{nothing}");
    }

    #[test]
    fn a_broker_that_is_not_there_or_has_ended_is_not_waited_for() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let admin = Admin::new(&format!("http://{free}"));
        let mut ended = std::process::Command::new("true").spawn().unwrap();
        ended.wait().unwrap();
        let pid = i32::try_from(ended.id()).unwrap();
        let args = |wait, broker_pid| DemoArgs {
            url: String::new(),
            admin_url: format!("http://{free}"),
            messages: 1,
            size: 1,
            wait,
            broker_pid,
        };
        let error = wait_for_broker(&admin, &args(600, Some(pid))).unwrap_err().to_string();
        assert_eq!(error, "the broker has ended; its log says why");
        let error = format!("{:#}", wait_for_broker(&admin, &args(0, None)).unwrap_err());
        assert!(error.contains("start one with `longshore standalone`"), "{error}");
    }

    #[test]
    fn a_full_ledger_that_is_not_closed_yet_has_no_room() {
        let ledger = |state: &str, entries| Ledger {
            ledger_id: 1,
            entries,
            size: 1,
            state: state.to_owned(),
            place: "hot".to_owned(),
            driver: None,
            plugin_file: None,
            plugin_version: None,
        };
        assert!(ends_with_room(&[ledger("closed", 10), ledger("open", 3)]));
        assert!(ends_with_room(&[ledger("open", 3)]));
        assert!(!ends_with_room(&[ledger("closed", 10), ledger("open", 10)]));
        assert!(!ends_with_room(&[ledger("closed", 10)]));
    }

    #[test]
    fn long_tables_show_both_ends() {
        let rows = |count: usize| (0..count).map(|number| vec![number.to_string()]).collect::<Vec<_>>();
        assert_eq!(shortened(rows(20)), rows(20));
        let short = shortened(rows(300));
        assert_eq!((short.len(), short[9][0].as_str(), short[11][0].as_str()), (21, "9", "290"));
        assert_eq!(short[10], ["(280 more)"]);
    }

    #[test]
    fn a_difference_is_told() {
        let tally = |payload: &[u8]| {
            let mut tally = crate::cli::workload::Tally::default();
            tally.add(payload);
            tally.summary(Duration::from_secs(1))
        };
        assert!(compare(&tally(b"a"), &tally(b"a")));
        assert!(!compare(&tally(b"a"), &tally(b"b")));
    }
}
