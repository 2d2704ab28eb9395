//! A byte that is not what was written, in a hot file or in a MapFile of each compression, and a copy that is gone, under the
//! real broker: with another copy the reader gets the right bytes and the bad copy is never trimmed to; without one nobody
//! ever gets wrong bytes, the log and the REST API name file and offset, and other topics go on.

use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::rig::{LEDGER_ENTRIES, Rig, Topic, check_life, find, flip, payload};

/// How long a reader of a damaged ledger is listened to.
const QUIET: Duration = Duration::from_millis(1500);

fn with_compression(compression: &str) -> Result<Rig> {
    let mut rig = Rig::new()?;
    let profile = rig.path("profile.xml");
    std::fs::write(
        &profile,
        format!(
            "<configuration><property><name>io.seqfile.compression.type</name><value>{compression}</value></property>\
             </configuration>"
        ),
    )?;
    rig.set("fileSystemProfilePath", &profile.display().to_string());
    Ok(rig)
}

/// Reading a ledger whose only copy is damaged: right bytes up to it, then nothing, and nobody else is hurt.
async fn check_only_copy(rig: &Rig, broker: &BrokerProcess, topic: Topic, readable: Range<u64>) -> Result<()> {
    let logged = rig.log().len();
    let (damaged, other) =
        tokio::join!(topic.read(broker, usize::MAX, QUIET), check_life(broker, Topic("other-topic")));
    other.context("another topic beside a damaged ledger")?;
    let damaged = damaged?;
    let count = damaged.len() as u64;
    ensure!(damaged.iter().zip(0..).all(|(message, i)| *message == payload(i)), "a reader got wrong bytes");
    ensure!(readable.contains(&count), "{count} messages came, {readable:?} can be read before the damage");
    let log = rig.log();
    // Pauses of 100, 200, 400, 800 ms: a handful of reads while the reader waits, twice as many where it comes again.
    let tries = log[logged..].matches("a copy failed").count();
    ensure!((1..=12).contains(&tries), "{tries} reads of a damaged ledger in {QUIET:?}");
    Ok(())
}

/// Whether a text names a place in a file.
fn names_place(text: &str, file: &str) -> bool {
    text.find(file).is_some_and(|at| text[at..].contains("is damaged at offset "))
}

/// The offset that a text names.
fn offset_in(text: &str) -> Option<u64> {
    let behind = text.split("is damaged at offset ").nth(1)?;
    behind.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// `readable`: how many messages come before the damage in the second ledger, which lies behind three quarters of its file.
async fn a_damaged_map_file(compression: &str, readable: Range<u64>) -> Result<()> {
    let topic = Topic("damage");
    let rig = with_compression(compression)?;
    let broker = rig.start()?;
    topic.fill(&broker, 0..35).await?;
    topic.must_offload(&broker)?;
    let ids: Vec<u64> = topic.ledgers(&broker)?.iter().map(|row| row.id).collect();
    broker.stop()?;

    let file = rig.cold_folder(&topic, ids[0])?.join("data");
    flip(&file, |bytes| bytes.len() * 3 / 4)?;
    let broker = rig.start()?;
    topic.check(&broker, 35).await.context("the hot copy was there")?;
    let log = rig.log();
    ensure!(log.contains("the other copy is asked"), "the fall-back is not in the log");
    ensure!(names_place(&log, &file.display().to_string()), "the log does not name {}", file.display());
    ensure!(log.matches("the cold copy is damaged: the hot copy stays").count() == 1, "the damage is marked once");
    topic.cool(&broker, &ids[1..3])?;
    let first = topic.ledgers(&broker)?[0].clone();
    ensure!(first.place == "both", "a damaged copy was trimmed to: {first:?}");
    broker.stop()?;

    // The mark is durable, the next offload makes the copy anew, and then the hot one may go.
    let broker = rig.start()?;
    topic.check(&broker, 35).await?;
    topic.must_offload(&broker)?;
    topic.cool(&broker, &ids[..3])?;
    topic.until(&broker, |_| !file.exists()).context("the damaged copy was not removed")?;
    topic.check(&broker, 35).await?;
    broker.stop()?;

    let file = rig.cold_folder(&topic, ids[1])?.join("data");
    flip(&file, |bytes| bytes.len() * 3 / 4)?;
    let broker = rig.start()?;
    check_only_copy(&rig, &broker, topic, readable).await?;
    ensure!(names_place(&rig.log(), &file.display().to_string()), "the log does not name {}", file.display());
    let answers: Vec<_> =
        (0..LEDGER_ENTRIES).map(|entry| topic.entry(&broker, ids[1], entry)).collect::<Result<_>>()?;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status != 200).collect();
    ensure!(!refused.is_empty(), "every entry of a damaged ledger is answered");
    for answer in refused {
        ensure!(answer.status == 500 && names_place(&answer.text, &file.display().to_string()), "{answer:?}");
        ensure!(answer.text.contains("tiered-storage-file-system 0.1.0"), "{answer:?}");
    }
    ensure!(topic.entry(&broker, ids[2], 0)?.status == 200, "the ledger behind it can be read");
    broker.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_map_file_without_compression() -> Result<()> {
    a_damaged_map_file("NONE", 16..18).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_map_file_compressed_by_record() -> Result<()> {
    a_damaged_map_file("RECORD", 16..18).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_map_file_compressed_by_block() -> Result<()> {
    a_damaged_map_file("BLOCK", 10..11).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_hot_file_is_read_around_or_refused_and_never_offloaded() -> Result<()> {
    let (both, hot_only) = (Topic("both"), Topic("hot-only"));
    let mut rig = Rig::new()?;
    rig.set("managedLedgerDataReadPriority", "bookkeeper-first");
    let broker = rig.start()?;
    both.fill(&broker, 0..25).await?;
    hot_only.fill(&broker, 0..25).await?;
    both.must_offload(&broker)?;
    let ids = [both.ledgers(&broker)?[0].id, hot_only.ledgers(&broker)?[1].id];
    broker.stop()?;

    for (id, message) in [(ids[0], 5), (ids[1], 15)] {
        flip(&rig.hot_file(id), |bytes| find(bytes, &payload(message)).expect("the payload lies there") + 300)?;
    }
    let files = ids.map(|id| rig.hot_file(id).canonicalize().expect("it is there").display().to_string());
    let broker = rig.start()?;
    both.check(&broker, 25).await.context("the cold copy was there")?;
    ensure!(names_place(&rig.log(), &files[0]), "the log does not name {}", files[0]);
    both.cool(&broker, &ids[..1])?;
    both.check(&broker, 25).await?;

    check_only_copy(&rig, &broker, hot_only, 15..16).await?;
    ensure!(names_place(&rig.log(), &files[1]), "the log does not name {}", files[1]);
    let answer = hot_only.entry(&broker, ids[1], 5)?;
    ensure!(answer.status == 500 && names_place(&answer.text, &files[1]), "{answer:?}");
    let at = std::fs::read(&files[1])?;
    let next = find(&at, &payload(16)).context("the next message")? as u64;
    let offset = offset_in(&answer.text).context("an offset")?;
    ensure!((next - 1400..next).contains(&offset), "offset {offset}, the next message is at {next}");
    for entry in (0..LEDGER_ENTRIES).filter(|entry| *entry != 5) {
        ensure!(hot_only.entry(&broker, ids[1], entry)?.status == 200, "entry {entry} is sound");
    }

    let status = hot_only.offload(&broker)?;
    let text = status["lastError"].as_str().unwrap_or_default();
    ensure!(status["status"] == "ERROR" && names_place(text, &files[1]), "{status}");
    let damaged = hot_only.ledgers(&broker)?.into_iter().find(|row| row.id == ids[1]).context("its row")?;
    ensure!(damaged.place == "hot" && damaged.driver.is_none(), "{damaged:?}");
    broker.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_folder_that_is_gone_costs_its_readers_alone_and_is_found_again() -> Result<()> {
    let topic = Topic("gone");
    let rig = Rig::new()?;
    let broker = rig.start()?;
    topic.fill(&broker, 0..35).await?;
    topic.must_offload(&broker)?;
    let ids: Vec<u64> = topic.ledgers(&broker)?.iter().map(|row| row.id).collect();
    topic.cool(&broker, &ids[..3])?;
    broker.stop()?;

    let folder = rig.cold_folder(&topic, ids[1])?;
    let aside = rig.path("aside");
    std::fs::rename(&folder, &aside)?;
    let broker = rig.start()?;
    check_only_copy(&rig, &broker, topic, 10..11).await?;
    let answer = topic.entry(&broker, ids[1], 0)?;
    ensure!(answer.status >= 400 && answer.text.contains(&folder.display().to_string()), "{answer:?}");
    std::fs::rename(&aside, &folder)?;
    topic.check(&broker, 35).await.context("the folder is back")?;
    broker.stop()
}

/// Each way to spoil a sealed file at its ends: the start does not read it, its readers get an error that names it, and the
/// broker, the topic's newer messages and other topics go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_hot_file_spoiled_at_its_ends_or_gone_costs_its_ledger_alone() -> Result<()> {
    type Spoil = fn(&Path) -> Result<()>;
    let ways: [(Topic, Spoil); 6] = [
        (Topic("header"), |file| flip(file, |_| 9).map(|_| ())),
        (Topic("footer"), |file| flip(file, |bytes| bytes.len() - 3).map(|_| ())),
        (Topic("offsets"), |file| flip(file, |bytes| bytes.len() - 80).map(|_| ())),
        (Topic("cut"), |file| Ok(File::options().write(true).open(file)?.set_len(3000)?)),
        (Topic("emptied"), |file| Ok(File::options().write(true).open(file)?.set_len(0)?)),
        (Topic("removed"), |file| Ok(std::fs::remove_file(file)?)),
    ];
    let rig = Rig::new()?;
    let broker = rig.start()?;
    let mut files = Vec::new();
    for (topic, _) in &ways {
        topic.fill(&broker, 0..15).await?;
        let id = topic.ledgers(&broker)?[0].id;
        files.push((id, rig.hot_file(id)));
    }
    broker.stop()?;
    for ((_, spoil), (_, file)) in ways.iter().zip(&files) {
        spoil(file)?;
    }

    let broker = rig.start()?;
    check_life(&broker, Topic("alive")).await?;
    for ((topic, _), (id, file)) in ways.iter().zip(&files) {
        let context = || format!("{}: {}", topic.0, file.display());
        let found = topic.read(&broker, usize::MAX, Duration::from_millis(200)).await.with_context(context)?;
        ensure!(found.iter().zip(0..).all(|(message, i)| *message == payload(i)), "{}: wrong bytes", topic.0);
        let name = format!("{id}.ledger");
        let answers = [topic.entry(&broker, *id, 0)?, topic.entry(&broker, *id, 9)?];
        for answer in &answers {
            ensure!(answer.status == 200 || answer.text.contains(&name), "{}: {answer:?}", topic.0);
        }
        ensure!(answers.iter().any(|answer| answer.status >= 500), "{}: {answers:?}", topic.0);
        ensure!(rig.log().contains(&name), "{}: the log does not name the file", topic.0);
        let status = topic.offload(&broker).with_context(context)?;
        ensure!(
            status["status"] == "ERROR" && status["lastError"].to_string().contains(&name),
            "{}: {status}",
            topic.0
        );
        topic.fill(&broker, 15..20).await.with_context(context)?;
        let rows = topic.ledgers(&broker)?;
        let next = rows.iter().find(|row| row.id > *id && row.entries > 0).with_context(context)?;
        ensure!(topic.entry(&broker, next.id, 0)?.status == 200, "{}: the next ledger can be read", topic.0);
    }
    check_life(&broker, Topic("alive")).await?;
    broker.stop()
}

/// Damage in what is not sealed yet: the start goes on, whatever is read is right, and what had to be cut off is set aside and
/// named.
async fn a_damaged_open_ledger(journal_too: bool) -> Result<()> {
    let topic = Topic("open");
    let mut rig = Rig::new()?;
    rig.set("managedLedgerMaxEntriesPerLedger", "1000");
    let broker = rig.start()?;
    topic.fill(&broker, 0..40).await?;
    let id = topic.ledgers(&broker)?[0].id;
    // A stop in order would seal it.
    broker.kill()?;
    let file = rig.hot_file(id).with_extension("open");
    let spoil = |file: &Path| flip(file, |bytes| find(bytes, &payload(20)).expect("the payload lies there") + 300);
    spoil(&file)?;
    let journals = std::fs::read_dir(rig.path("data/ledgers/journal"))?.flatten().map(|entry| entry.path());
    for journal in journals.filter(|file| journal_too && file.extension().is_some_and(|end| end == "journal")) {
        spoil(&journal)?;
    }
    let broker = rig.start()?;
    let found = topic.read(&broker, usize::MAX, Duration::from_millis(500)).await?;
    ensure!(found.iter().zip(0..).all(|(message, i)| *message == payload(i)), "a reader got wrong bytes");
    let log = rig.log();
    let named = log.lines().any(|line| line.contains("WARN") && line.contains(&format!("{id}.cut")));
    ensure!(found.len() == if journal_too { 20 } else { 40 }, "{} messages; {log}", found.len());
    ensure!(named == journal_too, "what was cut off is named where it is lost: {log}");
    topic.fill(&broker, 40..45).await?;
    let after = topic.read(&broker, usize::MAX, Duration::from_millis(500)).await?;
    ensure!(after.len() == found.len() + 5, "{} messages after five more", after.len());
    broker.stop()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_open_ledger_is_mended_from_the_journal_or_cut_loudly() -> Result<()> {
    a_damaged_open_ledger(false).await.context("the journal is sound")?;
    a_damaged_open_ledger(true).await.context("the journal is damaged at the same message")
}

/// Each file of a MapFile spoiled, with the hot copy gone.
#[tokio::test(flavor = "multi_thread")]
async fn a_map_file_with_a_spoiled_or_missing_file_is_never_read_wrong() -> Result<()> {
    type Spoil = fn(&Path) -> Result<()>;
    let middle: fn(&Path) -> Result<()> = |file| flip(file, |bytes| bytes.len() / 2).map(|_| ());
    let begin: fn(&Path) -> Result<()> = |file| flip(file, |_| 1).map(|_| ());
    let half: fn(&Path) -> Result<()> = |file| {
        let len = std::fs::metadata(file)?.len();
        Ok(File::options().write(true).open(file)?.set_len(len / 2)?)
    };
    let remove: fn(&Path) -> Result<()> = |file| Ok(std::fs::remove_file(file)?);
    let ways: [(Topic, &str, Spoil); 9] = [
        (Topic("data-begin"), "data", begin),
        (Topic("data-half"), "data", half),
        (Topic("data-gone"), "data", remove),
        (Topic("index-begin"), "index", begin),
        (Topic("index-middle"), "index", middle),
        (Topic("index-half"), "index", half),
        (Topic("index-gone"), "index", remove),
        (Topic("sums-middle"), ".data.crc", middle),
        (Topic("sums-half"), ".data.crc", half),
    ];
    let rig = Rig::new()?;
    let broker = rig.start()?;
    let mut copies = Vec::new();
    for (topic, _, _) in &ways {
        topic.fill(&broker, 0..15).await?;
        topic.must_offload(&broker)?;
        let id = topic.ledgers(&broker)?[0].id;
        topic.cool(&broker, &[id])?;
        copies.push((id, rig.cold_folder(topic, id)?));
    }
    broker.stop()?;
    for ((_, name, spoil), (_, folder)) in ways.iter().zip(&copies) {
        spoil(&folder.join(name))?;
    }

    let broker = rig.start()?;
    for ((topic, _, _), (id, folder)) in ways.iter().zip(&copies) {
        let found = topic.read(&broker, usize::MAX, Duration::from_millis(150)).await?;
        ensure!(found.iter().zip(0..).all(|(message, i)| *message == payload(i)), "{}: wrong bytes", topic.0);
        let answers = (0..LEDGER_ENTRIES).map(|entry| topic.entry(&broker, *id, entry)).collect::<Result<Vec<_>>>()?;
        let mut refused = answers.iter().filter(|answer| answer.status != 200).peekable();
        ensure!(refused.peek().is_some(), "{}: nothing shows the damage", topic.0);
        let folder = folder.display().to_string();
        let wrong = refused.find(|answer| answer.status != 500 || !answer.text.contains(&folder));
        ensure!(wrong.is_none(), "{}: {wrong:?}", topic.0);
    }
    check_life(&broker, Topic("alive")).await?;
    broker.stop()
}
