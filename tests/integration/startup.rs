//! What a start says and does when something about it is wrong, and drivers that change between starts: the binary itself, its
//! sentences and its exit codes.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::binary;
use longshore_tests::plugins;
use longshore_tests::rig::{PATIENCE, Rig, Topic, check_life, run};
use serde_json::Value;

const PORTS: &str = "brokerServicePort=0\nwebServicePort=0\nbindAddress=127.0.0.1\n";

/// Starts a broker that must refuse, and waits for its end.
fn refused(configuration: &Path) -> Result<Output> {
    let mut child = Command::new(binary())
        .args(["standalone", "--config"])
        .arg(configuration)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let end = Instant::now() + PATIENCE;
    while child.try_wait()?.is_none() {
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            anyhow::bail!("the broker runs although it should have refused to start");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(child.wait_with_output()?)
}

/// The one line that an error is.
fn sentence(output: &Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    let errors: Vec<&str> = text.lines().filter(|line| line.starts_with("error: ")).collect();
    ensure!(errors.len() == 1 && output.stdout.is_empty(), "one sentence is expected: {text}");
    ensure!(text.trim_end().ends_with(errors[0]), "the sentence is not the end: {text}");
    Ok(errors[0].to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_nobody_claims_fails_offloads_and_nothing_else() -> Result<()> {
    let topic = Topic("unclaimed");
    let mut rig = Rig::new()?;
    rig.set("managedLedgerOffloadDriver", "aws-s3");
    let broker = rig.start()?;
    check_life(&broker, Topic("alive")).await?;
    topic.fill(&broker, 0..15).await?;
    for _ in 0..2 {
        let status = topic.offload(&broker)?;
        let text = status["lastError"].as_str().context("lastError")?;
        ensure!(status["status"] == "ERROR", "{status}");
        ensure!(text.contains("no offloader claims driver `aws-s3`") && text.contains("found: filesystem"), "{text}");
    }
    ensure!(topic.ledgers(&broker)?[0].place == "hot", "nothing was copied");
    let log = rig.log();
    let line = log.lines().find(|line| line.contains("ERROR") && line.contains("aws-s3"));
    ensure!(line.is_some_and(|line| line.contains("found: filesystem")), "no error line at the start: {log}");

    let shown = run(&["offloaders", "list", "--admin-url", &broker.web_url])?;
    let (table, problem) = (String::from_utf8_lossy(&shown.stdout), String::from_utf8_lossy(&shown.stderr));
    ensure!(shown.status.code() == Some(0), "{:?}: {problem}", shown.status);
    ensure!(table.contains("tiered-storage-file-system-0.1.0.so") && table.contains("loaded"), "{table}");
    ensure!(
        problem.contains("managedLedgerOffloadDriver=aws-s3") && problem.contains("no offloader serves"),
        "{problem}"
    );
    broker.stop()
}

#[test]
fn a_required_driver_that_nobody_claims_refuses_the_start() -> Result<()> {
    let rig = Rig::new()?;
    let more = format!("{PORTS}longshoreDataDirectory={}\noffloadersRequired=aws-s3\n", rig.path("data").display());
    let output = refused(&rig.configuration(&more)?)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    let sentence = sentence(&output)?;
    for words in ["offloadersRequired", "aws-s3", "claimed: filesystem", "put its plugin there"] {
        ensure!(sentence.contains(words), "`{words}` is missing: {sentence}");
    }
    let more = more.replace("aws-s3", "FileSystem,tiered-storage-file-system");
    let configuration = rig.configuration(&more)?;
    let mut child = Command::new(binary())
        .args(["standalone", "--config"])
        .arg(configuration)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let mut ready = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().context("stdout")?), &mut ready)?;
    child.kill()?;
    child.wait()?;
    ensure!(ready.starts_with("ready: "), "a claimed driver in other letters refuses the start: {ready}");
    Ok(())
}

#[test]
fn a_port_in_use_is_one_sentence() -> Result<()> {
    let rig = Rig::new()?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let port = taken.local_addr()?.port();
    for key in ["brokerServicePort", "webServicePort"] {
        let ports = PORTS.replace(&format!("{key}=0"), &format!("{key}={port}"));
        let more = format!("{ports}longshoreDataDirectory={}\n", rig.path("data").display());
        let output = refused(&rig.configuration(&more)?)?;
        let sentence = sentence(&output)?;
        ensure!(output.status.code() == Some(1), "{output:?}");
        ensure!(sentence.contains(&port.to_string()) && sentence.contains(key), "{sentence}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_broker_on_the_same_data_is_refused_and_the_first_goes_on() -> Result<()> {
    let topic = Topic("first");
    let rig = Rig::new()?;
    let broker = rig.start()?;
    topic.fill(&broker, 0..15).await?;
    let data = rig.path("data");
    let more = format!("{PORTS}longshoreDataDirectory={}\n", data.display());
    let output = refused(&rig.configuration(&more)?)?;
    let sentence = sentence(&output)?;
    ensure!(output.status.code() == Some(1), "{output:?}");
    ensure!(sentence.contains(&data.canonicalize()?.display().to_string()), "the folder is not named: {sentence}");
    ensure!(sentence.contains("another") && sentence.contains("stop"), "it does not say what to do: {sentence}");
    topic.check(&broker, 15).await?;
    topic.must_offload(&broker)?;
    broker.stop()
}

#[test]
fn a_data_folder_that_cannot_be_made_is_one_sentence() -> Result<()> {
    let rig = Rig::new()?;
    std::fs::write(rig.path("file"), "not a folder")?;
    let more = format!("{PORTS}longshoreDataDirectory={}\n", rig.path("file/data").display());
    let output = refused(&rig.configuration(&more)?)?;
    let sentence = sentence(&output)?;
    ensure!(output.status.code() == Some(1) && sentence.contains("longshoreDataDirectory"), "{sentence}");
    Ok(())
}

#[test]
fn a_wrong_configuration_tells_all_its_mistakes_at_once() -> Result<()> {
    let rig = Rig::without_plugins()?;
    let file = rig.path("wrong.conf");
    std::fs::write(
        &file,
        "# a comment\nbrokerServicePort=pulsar\nnumIOThreads=3\nwebServicePort=99999\nlongshoreOffloadVerify=maybe\n",
    )?;
    let output = refused(&file)?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.code() == Some(2), "{output:?}");
    for (line, setting) in
        [(2, "brokerServicePort=pulsar"), (4, "webServicePort=99999"), (5, "longshoreOffloadVerify=maybe")]
    {
        let place = format!("{}:{line}: {setting}: ", file.display());
        let found = text.lines().find(|text| text.contains(&place));
        let found = found.with_context(|| format!("`{place}` is missing: {text}"))?;
        ensure!(found.contains("allowed"), "it does not say what is allowed: {found}");
    }
    let missing = refused(&rig.path("none.conf"))?;
    ensure!(missing.status.code() == Some(2), "{missing:?}");
    ensure!(String::from_utf8_lossy(&missing.stderr).contains("none.conf"), "{missing:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_keys_are_warned_of_once_and_the_broker_starts() -> Result<()> {
    let mut rig = Rig::new()?;
    rig.set("brokerServicePorrt", "1");
    rig.set("somethingElseEntirely", "x");
    let broker = rig.start()?;
    let log = rig.log();
    for key in ["brokerServicePorrt", "somethingElseEntirely"] {
        let lines: Vec<&str> = log.lines().filter(|line| line.contains(key)).collect();
        ensure!(lines.len() == 1 && lines[0].contains("WARN"), "{key}: {lines:?}");
    }
    broker.stop()
}

/// A third party's library is dropped beside the shipped one, asked for in other letters, and both read their ledgers whichever
/// of them is configured.
#[tokio::test(flavor = "multi_thread")]
async fn drivers_change_between_starts_and_old_ledgers_stay_readable() -> Result<()> {
    let topic = Topic("swapped");
    let mut rig = Rig::new()?;
    rig.stage("example-folder", "example-folder-0.1.0.so");
    let shelf = rig.path("shelf");
    rig.set("managedLedgerOffloadExtraConfigFolder", &shelf.display().to_string());
    let mut sent = 0;
    for (driver, recorded) in
        [("EXAMPLE-FOLDER", "example-folder"), ("FileSystem", "filesystem"), ("example-folder", "example-folder")]
    {
        rig.set("managedLedgerOffloadDriver", driver);
        let broker = rig.start()?;
        topic.check(&broker, sent).await.with_context(|| format!("ledgers of before, with {driver}"))?;
        topic.fill(&broker, sent..sent + 15).await?;
        sent += 15;
        let before: Vec<u64> =
            topic.ledgers(&broker)?.iter().filter(|row| row.place == "hot" && row.closed).map(|row| row.id).collect();
        topic.must_offload(&broker)?;
        topic.cool(&broker, &before)?;
        for row in topic.ledgers(&broker)?.iter().filter(|row| before.contains(&row.id)) {
            ensure!(row.driver.as_deref() == Some(recorded), "the claimed spelling is recorded: {row:?}");
            ensure!(!rig.hot_file(row.id).exists(), "the hot file of {} is there", row.id);
        }
        topic.check(&broker, sent).await?;
        broker.stop()?;
    }
    let copies = std::fs::read_dir(&shelf)?.count();
    ensure!(copies >= 2, "{copies} copies lie in the third party's folder");
    // With no driver at all, what was recorded decides.
    rig.set("managedLedgerOffloadDriver", "");
    let broker = rig.start()?;
    topic.check(&broker, sent).await?;
    broker.stop()
}

fn listed(arguments: &[&str]) -> Result<(Option<i32>, Vec<Value>, String)> {
    let output = run(&[&["offloaders", "list", "--json"], arguments].concat())?;
    let rows: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Array(Vec::new()));
    let rows = rows.as_array().context("an array")?.clone();
    Ok((output.status.code(), rows, String::from_utf8_lossy(&output.stderr).into_owned()))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_of_the_folder_has_a_row() -> Result<()> {
    let rig = Rig::new()?;
    let folder = rig.path("offloaders");
    plugins::put(&folder, "text.so", b"not a library");
    plugins::put(&folder, "writable.so", b"not a library");
    std::fs::set_permissions(folder.join("writable.so"), std::fs::Permissions::from_mode(0o666))?;
    std::fs::create_dir(folder.join("folder.so"))?;
    std::os::unix::fs::symlink("text.so", folder.join("link.so"))?;
    ensure!(Command::new("mkfifo").arg(folder.join("fifo.so")).status()?.success(), "mkfifo");
    plugins::put(&folder, "readme.txt", b"no plugin");

    let directory = folder.display().to_string();
    let (code, rows, problem) = listed(&["--directory", &directory])?;
    ensure!(code == Some(0), "{problem}");
    let files: Vec<&str> = rows.iter().filter_map(|row| row["file"].as_str()).collect();
    let expected = ["fifo.so", "folder.so", "link.so", "text.so", "tiered-storage-file-system-0.1.0.so", "writable.so"];
    ensure!(files == expected, "{files:?}");
    for row in &rows {
        let fields: Vec<&String> = row.as_object().context("an object")?.keys().collect();
        ensure!(fields.len() == 11, "{fields:?}");
        let path = row["path"].as_str().context("path")?;
        ensure!(path == folder.join(row["file"].as_str().context("file")?).display().to_string(), "{path}");
        if row["file"] != "tiered-storage-file-system-0.1.0.so" {
            ensure!(row["state"] == "refused" && row["reason"].is_string() && row["drivers"].is_null(), "{row}");
            continue;
        }
        ensure!(row["state"] == "loaded" && row["reason"].is_null(), "{row}");
        ensure!(row["name"] == "tiered-storage-file-system" && row["version"] == "0.1.0", "{row}");
        ensure!(row["drivers"] == serde_json::json!(["filesystem"]), "{row}");
        ensure!(row["api"].is_string() && row["api_min"].is_string(), "{row}");
        ensure!(row["size"] == std::fs::metadata(path)?.len(), "{row}");
        ensure!(row["sha256"].as_str().is_some_and(|sum| sum.len() == 64), "{row}");
    }

    let broker = rig.start()?;
    let (code, running, problem) = listed(&["--admin-url", &broker.web_url])?;
    ensure!(code == Some(0) && running == rows, "{problem}: the running broker answers {running:?}");
    broker.stop()?;

    let configuration = rig.configuration("")?.display().to_string();
    let (code, configured, problem) = listed(&["--config", &configuration])?;
    ensure!(code == Some(0) && configured == rows, "{problem}: by the configuration {configured:?}");
    Ok(())
}

#[test]
fn a_folder_that_cannot_be_read_is_exit_code_2() -> Result<()> {
    let rig = Rig::without_plugins()?;
    let (code, rows, problem) = listed(&["--directory", &rig.path("offloaders").display().to_string()])?;
    ensure!(code == Some(0) && rows.is_empty(), "an empty folder: {problem}");
    let missing = rig.path("missing").display().to_string();
    let (code, _, problem) = listed(&["--directory", &missing])?;
    ensure!(code == Some(2) && problem.contains(&missing), "{code:?}: {problem}");
    Ok(())
}
