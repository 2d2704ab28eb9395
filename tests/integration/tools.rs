//! The tools that are names of the program say what the originals say, line by line.
//!
//! The fixtures in `fixtures/tools` hold lines, and what the original tools answered to them. Each is a story from a
//! fresh broker to an empty one: the lines are run in order, and codes, outputs and errors are compared after times,
//! sizes and addresses were replaced by names. Where we differ on purpose, a table says why, and a line that stands in it
//! must differ. The second half tells what is ours alone: JSON, completion, settings, tokens.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use longshore_tests::broker::{BrokerProcess, binary};
use longshore_tests::plugins;
use regex_lite::Regex;
use serde_json::Value;
use tempfile::TempDir;

/// Lines that are answered in another way than by the original, and why.
const DIFFERENT: &[(&str, &str)] = &[
    ("pulsar-admin topics list public/n1", "in alphabetical order, not in that of a hash table"),
    ("pulsar-admin topics list -td persistent public/n1", "in alphabetical order, not in that of a hash table"),
    ("pulsar-admin topics create-partitioned-topic -p 0 public/n1/parts0", "without the name of a Java class"),
    ("pulsar-admin topics offload -s 0 a/b", "without the name of a Java class"),
    ("pulsar-admin topics offload -s 0 non-persistent://public/n1/t", "without the name of a Java class"),
    ("pulsar-admin topics offload-status non-persistent://public/n1/t", "without the name of a Java class"),
    ("pulsar-admin topics terminate public/n1/absent", "the broker's reason, as for every other command"),
    ("pulsar-admin topics offload --sise-threshold 0 public/n1/t", "a near match is offered for an option too"),
    ("pulsar-admin topics offlod -s 0 public/n1/t", "only the nearest matches are offered"),
    ("pulsar-admin nosuch", "no match is offered that is not near"),
    ("pulsar-admin topics peek-messages -s s -n 2 public/n1/story", "with key and properties where a message has them"),
    (
        "pulsar-admin topics examine-messages -i earliest public/n1/story",
        "with key and properties where a message has them",
    ),
    ("pulsar-client read -m earliest -n 1 --hex public/n1/story", "--hex has its effect"),
    ("pulsar-client produce public/n1/story", "the synopsis has the options that have an effect here"),
    ("pulsar-client consume public/n1/story", "the synopsis has the options that have an effect here"),
    ("pulsar-client consume -s s -t wrong public/n1/story", "the synopsis has the options that have an effect here"),
    ("pulsar-client read -m bad public/n1/story", "without the name of a Java class"),
];

/// The same for the second story.
const DIFFERENT_POLICIES: &[(&str, &str)] = &[
    ("pulsar-admin topics grant-permission -r app -a fly public/n2/t", "the synopsis is broken at blanks"),
    ("pulsar-admin namespaces grant-permission public/n2", "the synopsis is broken at blanks"),
    ("pulsar-admin namespaces clear-backlog -f public/n2", "the usage follows, in place of a guess"),
    ("pulsar-admin schemas upload -f /no/such/schema.json public/n2/t", "without the name of a Java class"),
];

/// What the tools add on the standard error where the broker says that a policy is without effect.
const NOTE: &str = "note: kept and shown, but without effect on this broker\n";

/// A broker, and links to the program beside each other.
struct Desk {
    broker: BrokerProcess,
    folder: TempDir,
}

struct Answer {
    code: i32,
    out: String,
    err: String,
}

impl Desk {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let offloaders = folder.path().join("offloaders");
        std::fs::create_dir(&offloaders).unwrap();
        plugins::stage("tiered-storage-file-system", &offloaders, "tiered-storage-file-system.so");
        let broker = BrokerProcess::start(
            folder.path(),
            &[
                ("offloadersDirectory", offloaders.display().to_string()),
                ("managedLedgerOffloadDriver", "filesystem".to_owned()),
                ("fileSystemURI", format!("file://{}", folder.path().join("tier").display())),
                ("managedLedgerMinLedgerRolloverTimeMinutes", "0".to_owned()),
                ("managedLedgerMaxEntriesPerLedger", "10".to_owned()),
                ("defaultRetentionTimeInMinutes", "-1".to_owned()),
                ("defaultRetentionSizeInMB", "-1".to_owned()),
                ("forceDeleteNamespaceAllowed", "true".to_owned()),
            ],
        )
        .unwrap();
        for name in ["pulsar-admin", "pulsarctl", "pulsar-client", "pulsar-perf"] {
            symlink(binary(), folder.path().join(name)).unwrap();
        }
        Self { broker, folder }
    }

    /// Runs a line, with the broker's address where it names none.
    fn run(&self, line: &str) -> Answer {
        let words = words(line);
        let address = match words[0].as_str() {
            "pulsar-admin" => ["--admin-url", &self.broker.web_url],
            "pulsarctl" => ["--admin-service-url", &self.broker.web_url],
            "pulsar-client" => ["--url", &self.broker.service_url],
            _ => ["", ""],
        };
        let mut all: Vec<&str> = words[1..].iter().map(String::as_str).collect();
        if words[0] == "pulsar-perf" {
            all.splice(1..1, ["-u", &self.broker.service_url]);
        } else {
            all.splice(0..0, address);
        }
        run(&self.folder.path().join(&words[0]), &all, &[])
    }

    /// What a test may compare.
    fn normal(&self, text: &str) -> String {
        let cut = |text: &str| {
            let usage = Regex::new(r"(?m)^Usage:.*\n(?: {7,}.*\n)*").unwrap();
            usage.find(text).map_or(text.to_owned(), |found| text[..found.end()].to_owned())
        };
        let mut text = cut(text)
            .replace(&self.broker.web_url, "<WEB>")
            .replace(&self.broker.service_url, "<SVC>")
            .replace(&self.broker.web_url[7..], "<HOST>");
        for (pattern, name) in [
            (r"(?m)^\d{4}-\d\d-\d\dT\S+ \[\S+\] ", "<LOG> "),
            (r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<TIME>"),
            (r"\d{13}", "<MS>"),
            (r"[0-9a-f]{8}-[0-9a-f-]{27}", "<UUID>"),
            (r#""(size|totalSize|currentLedgerSize)"( ?): [1-9]\d*"#, r#""$1"$2: <BYTES>"#),
            (r#"("offloadersDirectory" : )"/.*""#, r#"$1"<OFFLOADERS>""#),
            (r#"("fileSystemURI" : )".*""#, r#"$1"<TIER>""#),
        ] {
            text = Regex::new(pattern).unwrap().replace_all(&text, name).into_owned();
        }
        text
    }

    /// Runs a fixture's lines; answers how many differ that should not, each told on the standard error.
    fn compare(&self, fixture: &str, different: &[(&str, &str)]) {
        let different: BTreeMap<&str, &str> = different.iter().copied().collect();
        let mut wrong = 0;
        let mut met = 0;
        for (line, expected) in entries(fixture) {
            let answer = self.run(&line.replace("<HOST>", &self.broker.web_url[7..]));
            let (out, err) = (self.normal(&answer.out), self.normal(&answer.err).replace(NOTE, ""));
            let given = format!("exit {}\n--- stdout\n{out}--- stderr\n{err}", answer.code);
            match different.get(line) {
                None if given == expected => {}
                None => {
                    wrong += 1;
                    eprintln!("$ {line}\n<<< the original\n{expected}>>> ours\n{given}");
                }
                Some(why) => {
                    met += 1;
                    let has_same_code = expected.lines().next() == given.lines().next();
                    if given == expected || !has_same_code {
                        wrong += 1;
                        eprintln!("$ {line}\nis said to differ ({why}) with the same exit code; ours:\n{given}");
                    }
                }
            }
        }
        assert_eq!(wrong, 0, "lines that differ");
        assert_eq!(met, different.len(), "lines of the table of differences that are in no fixture");
    }
}

fn run(program: &Path, words: &[&str], environment: &[(&str, &Path)]) -> Answer {
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).env_remove("PULSAR_CLIENT_CONF");
    command.envs(environment.iter().copied());
    let output = command.output().unwrap();
    Answer {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// The lines of a fixture, each with what was recorded for it.
fn entries(fixture: &str) -> Vec<(&str, &str)> {
    let starts: Vec<usize> = fixture.match_indices("\n$ ").map(|(at, _)| at + 1).collect();
    let ends = starts.iter().skip(1).copied().chain([fixture.len()]);
    let entries: Vec<_> = (starts.iter().zip(ends))
        .map(|(&start, end)| fixture[start + 2..end].split_once('\n').expect("something was recorded"))
        .collect();
    assert!(entries.len() > 10, "the fixture is read");
    entries
}

fn words(line: &str) -> Vec<String> {
    let words = Regex::new(r"'([^']*)'|(\S+)").unwrap();
    words.captures_iter(line).map(|found| found.get(1).or(found.get(2)).unwrap().as_str().to_owned()).collect()
}

#[test]
fn every_line_is_answered_as_by_apache_pulsar_4_0_6() {
    Desk::new().compare(include_str!("../fixtures/tools/pulsar-4.0.6.txt"), DIFFERENT);
}

#[test]
fn policies_are_answered_as_by_apache_pulsar_4_0_6() {
    Desk::new().compare(include_str!("../fixtures/tools/policies-4.0.6.txt"), DIFFERENT_POLICIES);
}

#[test]
fn a_policy_without_effect_is_named_as_such() {
    let desk = Desk::new();
    let line = "pulsar-admin namespaces set-max-consumers-per-topic -c 3 public/default";
    let Answer { code, out, err } = desk.run(line);
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", NOTE));
    let Answer { code, err, .. } = desk.run("pulsar-admin namespaces clear-backlog public/default");
    assert!(code == 1 && err.contains("--force"), "{err}");
}

#[test]
fn every_line_is_answered_as_by_pulsarctl() {
    let desk = Desk::new();
    assert_eq!(desk.run("pulsar-client produce -m hello -n 25 public/default/t").code, 0);
    desk.compare(include_str!("../fixtures/tools/pulsarctl.txt"), &[]);
}

#[test]
fn a_size_threshold_is_understood_by_pulsarctl_as_tutorials_write_it() {
    let desk = Desk::new();
    assert_eq!(desk.run("pulsar-client produce -m hello -n 25 public/default/t").code, 0);
    let answer = desk.run("pulsarctl topic offload -s 0 public/default/t");
    let Answer { code, out, .. } = answer;
    assert!(
        code == 0 && out.starts_with("Offload triggered for persistent://public/default/t for messages before "),
        "{out}"
    );
    assert_eq!(
        desk.run("pulsarctl topic offload-status -w public/default/t").out.trim(),
        "Offloading topic persistent://public/default/t is done successfully"
    );
}

#[test]
fn json_is_one_line_for_answers_and_errors() {
    let desk = Desk::new();
    let json = |line: &str| -> (i32, Value) {
        let answer = desk.run(line);
        let text = if answer.code == 0 { &answer.out } else { &answer.err };
        assert_eq!(text.lines().count(), 1, "{line}: {text}");
        (answer.code, serde_json::from_str(text).unwrap_or_else(|error| panic!("{line}: {error}: {text}")))
    };
    assert_eq!(json("pulsar-admin --json tenants list"), (0, serde_json::json!(["public", "pulsar"])));
    let (code, error) = json("pulsar-admin topics stats absent --json");
    assert_eq!((code, &error["status"]), (1, &Value::from(404)));
    assert_eq!(json("pulsar-admin topics create --json t"), (0, serde_json::json!({ "done": true })));
    let (_, status) = json("pulsarctl --json topic offload-status t");
    assert_eq!(status["status"], "NOT_RUN");
    let (_, threshold) = json("pulsar-admin --json namespaces get-offload-threshold public/default");
    assert_eq!(threshold["offloadThresholdInBytes"], -1);
}

#[test]
fn perf_counts_what_it_sends_and_what_it_receives() {
    let desk = Desk::new();
    let last_json = |line: &str| -> Value {
        let answer = desk.run(line);
        assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
        serde_json::from_str(answer.out.lines().last().unwrap()).unwrap()
    };
    let sent = last_json("pulsar-perf produce -r 0 -m 2000 -s 100 --json t");
    assert_eq!(sent["sent"], 2000);
    assert_eq!(last_json("pulsar-perf consume -sp Earliest -m 2000 --json t")["received"], 2000);
    assert_eq!(last_json("pulsar-perf read -n 2000 --json t")["received"], 2000);
    let stats = desk.broker.get("/persistent/public/default/t/stats").unwrap();
    assert_eq!(stats["subscriptions"]["sub"]["msgBacklog"], 0, "what was counted was acknowledged");
    let answer = desk.run("pulsar-perf consume -sp Earliest -ss late -m 2000 t");
    for text in
        ["Aggregated throughput stats --- 2000 records received --- ", "Aggregated latency stats --- Latency: mean: "]
    {
        assert!(answer.out.contains(text), "{}", answer.out);
    }
}

#[test]
fn messages_go_round_the_partitions_and_come_back() {
    let desk = Desk::new();
    assert_eq!(desk.run("pulsar-admin topics create-partitioned-topic -p 3 parts").code, 0);
    assert_eq!(desk.run("pulsar-client produce -m a,b,c,d,e,f parts").code, 0);
    let answer = desk.run("pulsar-client --json consume -s s -n 6 -p Earliest parts");
    let mut contents: Vec<String> = (answer.out.lines())
        .filter_map(|line| Some(serde_json::from_str::<Value>(line).unwrap()["content"].as_str()?.to_owned()))
        .collect();
    contents.sort();
    assert_eq!(contents, ["a", "b", "c", "d", "e", "f"]);
    let stats = desk.broker.get("/persistent/public/default/parts-partition-1/stats").unwrap();
    assert_eq!(stats["msgInCounter"], 2);
}

#[test]
fn the_file_of_settings_names_the_broker() {
    let desk = Desk::new();
    let conf = desk.folder.path().join("client.conf");
    let text = format!("webServiceUrl={}/\nbrokerServiceUrl={}/\n", desk.broker.web_url, desk.broker.service_url);
    std::fs::write(&conf, text).unwrap();
    let settings = [("PULSAR_CLIENT_CONF", conf.as_path())];
    let program = |name: &str| -> PathBuf { desk.folder.path().join(name) };
    assert_eq!(run(&program("pulsar-admin"), &["brokers", "healthcheck"], &settings).out, "ok\n");
    assert_eq!(run(&program("pulsarctl"), &["brokers", "healthcheck"], &settings).err, "ok\n");
    assert_eq!(run(&program("pulsar-client"), &["produce", "-m", "a", "t"], &settings).code, 0);
    let absent = [("PULSAR_CLIENT_CONF", Path::new("/no/such/client.conf"))];
    let answer = run(&program("pulsar-admin"), &["tenants", "list"], &absent);
    assert!(answer.code == 1 && answer.err.contains("/no/such/client.conf"), "{}", answer.err);
    // The commands of the program itself are the same tools.
    let words = ["admin", "--admin-url", &desk.broker.web_url, "tenants", "list"];
    assert_eq!(run(&binary(), &words, &[]).out, "public\npulsar\n");
}

/// A server that answers one request and tells what it was asked.
fn asked(tool: &str, words: &[&str]) -> String {
    use std::io::{Read as _, Write as _};
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        while !request.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut part = [0; 4096];
            let count = stream.read(&mut part).unwrap();
            assert!(count > 0, "the request is cut off");
            request.extend_from_slice(&part[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n[]").unwrap();
        String::from_utf8(request).unwrap()
    });
    let folder = tempfile::tempdir().unwrap();
    let link = folder.path().join(tool);
    symlink(binary(), &link).unwrap();
    let address = if tool == "pulsar-admin" { "--admin-url" } else { "-s" };
    let answer = run(&link, &[&[address, &url], words].concat(), &[]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    server.join().unwrap()
}

#[test]
fn a_token_is_sent_along() {
    const PLUGIN: &str = "org.apache.pulsar.client.impl.auth.AuthenticationToken";
    let request =
        asked("pulsar-admin", &["--auth-plugin", PLUGIN, "--auth-params", "token:abc.def", "tenants", "list"]);
    assert!(request.to_lowercase().contains("authorization: bearer abc.def"), "{request}");
    let request = asked("pulsarctl", &["--token", "abc.def", "tenants", "list"]);
    assert!(request.to_lowercase().contains("authorization: bearer abc.def"), "{request}");
    let request = asked("pulsar-admin", &["tenants", "list"]);
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
}

#[test]
fn a_reader_that_goes_away_ends_a_tool_quietly() {
    let desk = Desk::new();
    assert_eq!(desk.run("pulsar-client produce -m hello -n 2000 t").code, 0);
    let mut child = Command::new(desk.folder.path().join("pulsar-client"))
        .args(["--url", &desk.broker.service_url, "read", "-m", "earliest", "-n", "2000", "t"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    let err = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && err.is_empty(), "{err}");
}
