//! Cancellation at every await: a call is dropped after 0 polls, after 1, and so on until it once comes to its end; and at
//! every read of the ledger. Afterwards the driver works as if nothing had been.
//!
//! In a library a dropped call's task ends a moment later, so a driver may still be writing when the delete comes. That is
//! part of what is tried.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use longshore_plugin_api::ScanRequest;

use crate::case::{Failure, Verdict, cases, ensure};
use crate::model::{Source, payloads};
use crate::stage::{Attempt, Stage};

/// Polls after which a call counts as endless.
const POLLS_MAX: u64 = 5_000;
/// How long a driver may take to be rid of what a dropped call was writing.
const SETTLE: Duration = Duration::from_secs(5);

cases! {
    "cancel-offload-by-polls": "after an offload dropped at any await a delete leaves no copy",
        "Offloader::offload: cancel", [] => offload_by_polls;
    "cancel-offload-by-reads": "an offload dropped at any read of the ledger leaves no copy",
        "Offloader::offload: cancel", [] => offload_by_reads;
    "cancel-then-retry": "after a dropped offload the same attempt works, without a delete",
        "Offloader::offload: cancel, idempotent", [] => then_retry;
    "cancel-leaves-nothing": "a delete after a dropped offload leaves the store as it was",
        "Offloader::delete: whatever the attempt left", [Probe] => leaves_nothing;
    "cancel-open": "an open dropped at any await does no harm",
        "Offloader::open_read: cancel", [] => open;
    "cancel-read": "a read dropped at any await leaves the handle sound",
        "ReadHandle::read: cancel", [] => read;
    "cancel-delete": "after a delete dropped at any await another delete finishes it",
        "Offloader::delete: cancel", [] => delete;
    "cancel-scan": "a scan dropped at any await does no harm",
        "Offloader::scan: cancel", [Scan] => scan;
}

/// Polls `call` so often at most, each time when it asks to be polled; then drops it.
async fn polled<T>(call: impl Future<Output = T>, polls: u64) -> Option<T> {
    let (mut call, mut left) = (pin!(call), polls);
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(None);
        }
        left -= 1;
        match call.as_mut().poll(context) {
            Poll::Ready(value) => Poll::Ready(Some(value)),
            // The last poll there is: nobody waits for what comes of it.
            Poll::Pending if left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// After the drop: deleting works at once, and nothing becomes visible later.
async fn delete_and_look(copy: &Attempt, dropped: &str) -> Verdict {
    copy.delete().await?;
    copy.must_be_missing(&format!("after its offload was dropped {dropped} and it was deleted")).await
}

async fn offload_by_polls(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for polls in 0..POLLS_MAX {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 300)));
        let source = Arc::new(Source::new(&copy.model).one_entry_a_read());
        let ended = polled(copy.try_offload(source.lend()), polls).await;
        match ended {
            None => delete_and_look(&copy, &format!("after {polls} polls")).await?,
            Some(Err(error)) => return Err(Failure(format!("offload {copy}: {error}"))),
            Some(Ok(())) => return copy.check().await,
        }
        copy.offload().await?;
        copy.check().await?;
        copy.delete().await?;
    }
    Err(Failure(format!("an offload of 6 entries was not done after {POLLS_MAX} polls")))
}

/// An offload that was dropped while it waited for its read of this number.
async fn dropped_at(copy: &Attempt, read: u64) -> Verdict {
    let source = Arc::new(Source::new(&copy.model).one_entry_a_read().waiting_at(read));
    let mut offload = Box::pin(copy.try_offload(source.lend()));
    let ended = tokio::select! {
        biased;
        ended = &mut offload => Some(ended),
        () = source.until_reads(read + 1) => None,
    };
    ensure!(ended.is_none(), "offload {copy}: ended before it had read its {} entries", copy.model.count());
    drop(offload);
    Ok(())
}

async fn offload_by_reads(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for read in 0..6 {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 300)));
        dropped_at(&copy, read).await?;
        copy.must_be_missing(&format!("after its offload was dropped at read {read}")).await?;
        delete_and_look(&copy, &format!("at read {read}")).await?;
        copy.offload().await?;
        copy.check().await?;
    }
    Ok(())
}

async fn then_retry(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for read in 0..6 {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 300)));
        dropped_at(&copy, read).await?;
        copy.offload().await?;
        copy.check().await?;
        copy.delete().await?;
        copy.must_be_missing("after a dropped offload, a whole one and a delete").await?;
    }
    Ok(())
}

async fn leaves_nothing(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let before = stage.objects()?;
    for read in 0..6 {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 300)));
        dropped_at(&copy, read).await?;
        let until = tokio::time::Instant::now() + SETTLE;
        loop {
            copy.delete().await?;
            let mut left = stage.objects()?;
            left.retain(|name| !before.contains(name));
            if left.is_empty() {
                break;
            }
            let late = tokio::time::Instant::now() > until;
            ensure!(!late, "an offload that was dropped at read {read} left {left:?}, which no delete takes away");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

async fn open(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    for polls in 0..POLLS_MAX {
        let opened = polled(copy.try_open(), polls).await;
        copy.check().await?;
        if let Some(open) = opened {
            let open = open.map_err(|error| Failure(format!("open {copy}: {error}")))?;
            return copy.check_open(&*open).await;
        }
    }
    Err(Failure(format!("open {copy} was not done after {POLLS_MAX} polls")))
}

async fn read(stage: Arc<Stage>) -> Verdict {
    let copy = stage.copy(payloads(&mut stage.random(), 50, 3_000)).await?;
    let open = copy.open().await?;
    for polls in 0..POLLS_MAX {
        let read = polled(copy.read(&*open, 3, copy.model.last(), 40_000), polls).await;
        copy.check_open(&*open).await?;
        if let Some(read) = read {
            return read;
        }
    }
    Err(Failure(format!("a read of {copy} was not done after {POLLS_MAX} polls")))
}

async fn delete(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for polls in 0..POLLS_MAX {
        let copy = stage.small_copy(&mut random).await?;
        let deleted = polled(copy.delete(), polls).await;
        if let Some(deleted) = deleted {
            deleted?;
            return copy.must_be_missing("after its delete").await;
        }
        copy.delete().await?;
        copy.must_be_missing(&format!("after a delete dropped after {polls} polls, and a whole one")).await?;
    }
    Err(Failure(format!("a delete was not done after {POLLS_MAX} polls")))
}

async fn scan(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for _ in 0..3 {
        stage.small_copy(&mut random).await?;
    }
    for polls in 0..POLLS_MAX {
        let page = polled(stage.subject.scan(ScanRequest { after: None, limit: 2 }), polls).await;
        let found = stage.scan(2).await?.len();
        ensure!(found == 3, "{found} copies of 3 are listed after a scan dropped after {polls} polls");
        if page.is_some() {
            return Ok(());
        }
    }
    Err(Failure(format!("a scan was not done after {POLLS_MAX} polls")))
}
