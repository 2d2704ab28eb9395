//! The misbehaving plugin as the driver of the running broker: whichever verb panics, or blocks its thread for ever, one offload
//! ends in ERROR with a text that names the plugin, within the deadline; produce and consume go on meanwhile; the broker stops
//! in order when told to.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::rig::{PATIENCE, Rig, Topic, ask, check_life};
use tokio::runtime::Handle;

/// Both deadlines of a call.
const CALL_MS: u64 = 1000;
/// An offload has up to four calls that may run into their deadline: create, copy, read back, delete what was copied.
const OFFLOAD_MAX: Duration = Duration::from_millis(4 * CALL_MS + 2000);
/// The broker gives plugins 10 s to finish.
const STOP_MAX: Duration = Duration::from_secs(15);

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
fn one_failed_offload(mode: &str, words: &str) -> Result<()> {
    let rig = rig(mode)?;
    let broker = rig.start()?;
    block_on(TOPIC.fill(&broker, 0..15))?;
    let began = Instant::now();
    let handle = Handle::current();
    let (status, life) = std::thread::scope(|scope| {
        let life = scope.spawn(|| handle.block_on(check_life(&broker, Topic("alive"))).map(|()| began.elapsed()));
        (TOPIC.offload(&broker), life.join().expect("the thread only returns errors"))
    });
    let (status, took, life) = (status?, began.elapsed(), life?);
    let text = status["lastError"].as_str().unwrap_or_default();
    ensure!(status["status"] == "ERROR", "{status}");
    ensure!(text.contains("misbehaving 1.2.3") && text.contains(words), "{status}");
    ensure!(took < OFFLOAD_MAX, "the offload took {took:?}");
    ensure!(!mode.starts_with("block") || life < took, "another topic took {life:?}, the blocked offload {took:?}");
    // The ledger is as it was, and can be read and written.
    let rows = TOPIC.ledgers(&broker)?;
    ensure!(rows.iter().all(|row| row.place == "hot"), "{rows:?}");
    block_on(TOPIC.fill(&broker, 15..20))?;
    block_on(TOPIC.check(&broker, 20))?;
    stop_in_order(broker, &rig)
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    Handle::current().block_on(future)
}

/// What is done with a driver in a mode, and the words that its error must have.
type Case = (Run, &'static str, String);
type Run = fn(&str, &str) -> Result<()>;

/// Runs cases at once, each on a thread of its own: most of their time is waiting for deadlines.
async fn at_once(cases: Vec<Case>) -> Result<()> {
    let cases = cases.into_iter().map(|(run, mode, words)| {
        tokio::task::spawn_blocking(move || run(mode, &words).with_context(|| format!("in the mode {mode}")))
    });
    for case in cases.collect::<Vec<_>>() {
        case.await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_verb_costs_one_operation() -> Result<()> {
    let panicking = |run: Run, mode: &'static str| (run, mode, mode.replace("panic-", "told to panic in "));
    at_once(vec![
        panicking(one_failed_offload, "panic-validate"),
        panicking(one_failed_offload, "panic-create"),
        panicking(one_failed_offload, "panic-offload"),
        panicking(one_failed_offload, "panic-open"),
        panicking(one_failed_offload, "panic-read"),
        (one_failed_offload, "midway-offload", "told to panic midway".to_owned()),
        panicking(unhealthy, "panic-health"),
        panicking(reader_of_the_only_copy, "panic-open"),
        panicking(reader_of_the_only_copy, "panic-read"),
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_in_any_verb_costs_one_operation() -> Result<()> {
    let call = || format!("offloadersCallTimeoutMs={CALL_MS}");
    at_once(vec![
        (one_failed_offload, "block-create", call()),
        (one_failed_offload, "block-offload", format!("offloadersOffloadStallTimeoutMs={CALL_MS}")),
        (one_failed_offload, "block-open", call()),
        (one_failed_offload, "block-read", call()),
        (unhealthy, "block-health", call()),
        (without_a_free_thread, "block-delete", "driver did not answer its shutdown".to_owned()),
        (reader_of_the_only_copy, "block-open", call()),
        (reader_of_the_only_copy, "block-read", call()),
    ])
    .await
}

/// A secret that the plugin tells, in every way that it has to tell anything.
#[tokio::test(flavor = "multi_thread")]
async fn a_secret_that_a_plugin_tells_is_starred() -> Result<()> {
    for isolation in ["none", "process"] {
        let mut rig = rig("confess-health")?;
        rig.set("managedLedgerOffloadExtraConfigMisbehavingPin", "correct-horse-battery");
        rig.set("offloadersIsolation", isolation);
        let broker = rig.start()?;
        let end = Instant::now() + PATIENCE;
        while !(rig.log().contains("the pin is ***, again ***") && rig.log().contains("*** is no good pin")) {
            ensure!(Instant::now() < end, "{isolation}: neither event nor error is in the log: {}", rig.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        let log = rig.log();
        for word in ["of_field=***", "confessing{of_span=***}", "caused by ***", "(Conflict)"] {
            ensure!(log.contains(word), "{isolation}: `{word}` is not in the log: {log}");
        }
        ensure!(!log.contains("correct-horse-battery"), "{isolation}: the secret is in the log: {log}");
        let status = broker.get("/brokers/offloaders/status")?;
        ensure!(status["plugins"][0]["errors"]["Conflict"].as_u64() >= Some(1), "{status}");
        ensure!(!status.to_string().contains("correct-horse-battery"), "{isolation}: the secret is in the status");
        stop_in_order(broker, &rig)?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn threads_that_a_plugin_names_itself_are_counted_and_what_is_unknown_is_null() -> Result<()> {
    let until = |mode: &str, isolation: &str, want: u64| -> Result<()> {
        let mut rig = rig(mode)?;
        rig.set("offloadersIsolation", isolation);
        let broker = rig.start()?;
        let end = Instant::now() + PATIENCE;
        loop {
            let status = broker.get("/brokers/offloaders/status")?;
            let (plugin, process) = (&status["plugins"][0], &status["files"][0]["processes"][0]);
            let is_asked = plugin["driver_instances"] == 1 && plugin["calls_in_flight"] == 0;
            let is_known = match isolation {
                "none" => plugin["library"]["threads"].as_u64() >= Some(2),
                _ => plugin["library"].is_null() && process["resident_bytes"].as_u64() > Some(1 << 20),
            };
            let has_threads = isolation == "none" || process["threads"].as_u64() > Some(2 + want);
            let named = if isolation == "none" { want } else { 0 };
            if is_asked && is_known && has_threads && status["named_threads"] == named {
                return stop_in_order(broker, &rig);
            }
            ensure!(Instant::now() < end, "{mode} in {isolation}: {status:#}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until("ok", "none", 0)?;
    until("named-health", "none", 1)?;
    until("named-health", "process", 1)
}

/// The host alone knows how long the ledger was that was copied.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_another_length_than_the_recorded_one_is_not_read() -> Result<()> {
    let words = "the copy says that it has 10 entries and 0 bytes, the ledger that was copied had 10 and ";
    at_once(vec![(reader_of_the_only_copy, "nonsense-open-length", words.to_owned())]).await
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

/// The store of a driver whose health cannot be asked for is named in the log; what it can do, it does.
fn unhealthy(mode: &str, words: &str) -> Result<()> {
    let rig = rig(mode)?;
    let broker = rig.start()?;
    block_on(TOPIC.fill(&broker, 0..15))?;
    TOPIC.must_offload(&broker)?;
    let end = Instant::now() + PATIENCE;
    while !rig.log().contains(words) {
        ensure!(Instant::now() < end, "{words} is not in the log");
        std::thread::sleep(Duration::from_millis(20));
    }
    stop_in_order(broker, &rig)
}

/// Deletions block every worker of the plugin, so that its shutdown is not even begun.
fn without_a_free_thread(mode: &str, words: &str) -> Result<()> {
    let rig = rig(mode)?;
    let broker = rig.start()?;
    for topic in [TOPIC, Topic("contained-too")] {
        block_on(topic.fill(&broker, 0..15))?;
        topic.must_offload(&broker)?;
        let began = Instant::now();
        let deleted = ask(&broker, "DELETE", &topic.path(), "")?;
        ensure!(deleted.status == 204 && began.elapsed() < OFFLOAD_MAX, "{deleted:?} after {:?}", began.elapsed());
    }
    block_on(check_life(&broker, Topic("alive")))?;
    stop_in_order(broker, &rig)?;
    for words in [words, "threads of a plugin do not end"] {
        ensure!(rig.log().contains(words), "`{words}` is not in the log");
    }
    Ok(())
}

/// A reader of the only copy: while the plugin fails it gets nothing and the REST API an error in time, and once the plugin
/// works again it gets everything.
fn reader_of_the_only_copy(mode: &str, words: &str) -> Result<()> {
    let mut rig = rig("ok")?;
    let file = rig.path("mode");
    std::fs::write(&file, "ok")?;
    rig.set("managedLedgerOffloadExtraConfigMode", &format!("@{}", file.display()));
    // Each blocked call keeps a thread for good.
    rig.set("offloadersRuntimeWorkers", "16");
    let broker = rig.start()?;
    block_on(TOPIC.fill(&broker, 0..15))?;
    TOPIC.must_offload(&broker)?;
    let first = TOPIC.ledgers(&broker)?[0].id;
    TOPIC.cool(&broker, &[first])?;

    std::fs::write(&file, mode)?;
    let handle = Handle::current();
    let (read, life) = std::thread::scope(|scope| {
        let life = scope.spawn(|| handle.block_on(check_life(&broker, Topic("alive"))));
        let read = block_on(TOPIC.read(&broker, 15, Duration::from_millis(CALL_MS + 500)));
        (read, life.join().expect("the thread only returns errors"))
    });
    life?;
    let read = read?;
    ensure!(read.is_empty(), "{} messages came from a plugin that fails", read.len());
    let began = Instant::now();
    let answer = TOPIC.entry(&broker, first, 3)?;
    ensure!(answer.status == 500 && answer.text.contains(words), "{answer:?}");
    ensure!(answer.text.contains("misbehaving 1.2.3") && began.elapsed() < OFFLOAD_MAX, "{answer:?}");

    std::fs::write(&file, "ok")?;
    block_on(TOPIC.check(&broker, 15)).context("after the plugin came to its senses")?;
    stop_in_order(broker, &rig)
}

/// One topic holds the only place for offloads for as long as its plugin stalls; another that waits for it, and then the
/// first itself, are unloaded at once, and no status stays at RUNNING.
#[tokio::test(flavor = "multi_thread")]
async fn topics_are_unloaded_while_their_offloads_stall_or_wait() -> Result<()> {
    let mut rig = rig("stall-offload")?;
    rig.set("offloadersOffloadStallTimeoutMs", "600000");
    rig.set("managedLedgerOffloadMaxThreads", "1");
    let broker = rig.start()?;
    let topics = [TOPIC, Topic("waiting")];
    for topic in topics {
        topic.fill(&broker, 0..15).await?;
        let last = topic.ledgers(&broker)?.last().context("a ledger")?.id;
        broker.put(&format!("{}/offload", topic.path()), &serde_json::json!({ "ledgerId": last, "entryId": 0 }))?;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    for topic in topics.into_iter().rev() {
        let status = || broker.get(&format!("{}/offload", topic.path()));
        ensure!(status()?["status"] == "RUNNING", "{} ended already", topic.0);
        let began = Instant::now();
        let unloaded = ask(&broker, "PUT", &format!("{}/unload", topic.path()), "")?;
        ensure!(unloaded.status < 300 && began.elapsed() < Duration::from_secs(3), "{unloaded:?}");
        ensure!(status()?["status"] == "NOT_RUN", "{}", status()?);
        topic.check(&broker, 15).await?;
    }
    stop_in_order(broker, &rig)
}
