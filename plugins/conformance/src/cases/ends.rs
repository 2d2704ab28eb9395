//! Ends: of handles, of instances. The driver's instance is a fresh one here, so that shutting it down hurts no other case.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::case::{Failure, Verdict, cases, ensure};
use crate::model::{Source, payloads};
use crate::stage::Stage;

/// What a shutdown is given.
const SHUTDOWN_DEADLINE: Duration = Duration::from_millis(500);
/// How much longer it may take until the answer is here, on a busy machine.
const GRACE: Duration = Duration::from_secs(3);
/// Open files that may come and go for other reasons while handles are counted.
const OTHER_FILES: usize = 40;

cases! {
    "handles-are-given-back": "handles that were dropped, or closed, hold no open file",
        "ReadHandle::close: dropping must suffice", [] => handles_are_given_back;
    "close-once": "a handle is closed after its last read, others of the copy go on",
        "ReadHandle::close", [] => close_once;
    "shutdown-is-in-time": "a shutdown ends within its deadline, also while an offload is stuck",
        "Offloader::shutdown: within the deadline", [] => shutdown_is_in_time;
    "shutdown-loses-nothing": "what was offloaded before a shutdown is there afterwards",
        "Offloader::shutdown: finish what cannot be left", [] => shutdown_loses_nothing;
}

/// How many files the process has open, where the system tells.
fn open_files() -> Option<usize> {
    std::fs::read_dir("/proc/self/fd").ok().map(Iterator::count)
}

async fn handles_are_given_back(stage: Arc<Stage>) -> Verdict {
    let copy = stage.copy(payloads(&mut stage.random(), 5, 200)).await?;
    copy.check().await?;
    let before = open_files();
    for number in 0..stage.profile.handles_opened() {
        let open = copy.open().await?;
        copy.read(&*open, 0, 0, 1).await?;
        if number % 2 == 0 {
            open.close().await;
        }
    }
    let Some(before) = before else { return Ok(()) };
    let until = Instant::now() + GRACE;
    loop {
        let now = open_files().unwrap_or(0);
        if now <= before + OTHER_FILES {
            return Ok(());
        }
        let (handles, more) = (stage.profile.handles_opened(), now - before);
        ensure!(Instant::now() < until, "{more} files stay open after {handles} handles were dropped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn close_once(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    let (one, other) = (copy.open().await?, copy.open().await?);
    copy.check_open(&*one).await?;
    one.close().await;
    drop(one);
    copy.check_open(&*other).await?;
    copy.check().await
}

async fn shutdown(subject: &dyn crate::subject::Subject, when: &str) -> Verdict {
    let began = Instant::now();
    let late = || Failure(format!("a shutdown {when} goes on beyond its deadline of {SHUTDOWN_DEADLINE:?}"));
    let ended = tokio::time::timeout(SHUTDOWN_DEADLINE + GRACE, subject.shutdown(SHUTDOWN_DEADLINE)).await;
    ended.map_err(|_| late())?;
    ensure!(began.elapsed() <= SHUTDOWN_DEADLINE + GRACE, "{}", late());
    Ok(())
}

async fn shutdown_is_in_time(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    shutdown(&*stage.fresh().await?, "of an instance that does nothing").await?;
    let stuck = stage.attempt(&stage.small_ledger(&mut random)).through(&stage.fresh().await?);
    let source = Arc::new(Source::new(&stuck.model).waiting_at(0));
    let (running, reader) = (stuck.clone(), source.lend());
    let task = tokio::spawn(async move { running.try_offload(reader).await });
    source.until_reads(1).await;
    let ended = shutdown(&*stuck.subject, "beside an offload that is stuck").await;
    task.abort();
    source.release();
    ended
}

async fn shutdown_loses_nothing(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let instance = stage.fresh().await?;
    let mut copies = Vec::new();
    for _ in 0..3 {
        let copy = stage.attempt(&stage.small_ledger(&mut random)).through(&instance);
        copy.offload().await?;
        copies.push(copy);
    }
    shutdown(&*instance, "after three offloads").await?;
    drop(instance);
    let other = stage.fresh().await?;
    for copy in &copies {
        copy.through(&other).check().await?;
    }
    Ok(())
}
