//! Many calls at once, for the same and for different ledgers.

use std::sync::Arc;

use futures_util::future::join_all;
use longshore_plugin_api::{ErrorCode, Result};

use crate::case::{Failure, Verdict, cases};
use crate::model::{Source, payloads};
use crate::stage::{Attempt, Stage, must_be};

cases! {
    "many-ledgers-at-once": "many ledgers are copied, read and deleted at once",
        "Offloader: all methods may run at once", [] => many_ledgers;
    "many-readers-of-one": "many readers share one handle and disturb nobody",
        "ReadHandle: any number of reads at once", [] => many_readers;
    "many-handles-of-one": "many open handles of one copy read at once",
        "Offloader::open_read", [] => many_handles;
    "offload-beside-others": "offloads, reads and deletes of other ledgers go on side by side",
        "Offloader: all methods may run at once", [] => beside_others;
    "same-attempt-at-once": "one attempt made several times at once: success means a sound copy",
        "Offloader::offload: idempotent, at once", [] => same_attempt_at_once;
    "reads-beside-a-delete": "reads while the copy is deleted answer sound entries or `NotFound`",
        "ReadHandle::read: errors", [] => reads_beside_a_delete;
}

/// Runs all bodies as tasks; the answer is the first failure.
async fn all(bodies: impl IntoIterator<Item = impl Future<Output = Verdict> + Send + 'static>) -> Verdict {
    let tasks: Vec<_> = bodies.into_iter().map(tokio::spawn).collect();
    for ended in join_all(tasks).await {
        ended.map_err(|lost| Failure(format!("one of several calls at once: {lost}")))??;
    }
    Ok(())
}

async fn many_ledgers(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let ledgers = (0..stage.profile.ledgers_at_once()).map(|_| stage.attempt(&stage.small_ledger(&mut random)));
    all(ledgers.collect::<Vec<_>>().into_iter().map(|copy| async move {
        copy.offload().await?;
        copy.check().await?;
        copy.delete().await?;
        copy.must_be_missing("after its delete").await
    }))
    .await
}

async fn many_readers(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let copy = stage.copy(payloads(&mut random, 500, 1_500)).await?;
    let open = copy.open().await?;
    let reads = stage.profile.random_reads();
    all((0..stage.profile.readers_at_once()).map(|_| {
        let (copy, open, mut random) = (copy.clone(), Arc::clone(&open), random.fork());
        async move {
            for _ in 0..reads {
                let first = random.u64(0..copy.model.count());
                copy.read(&*open, first, copy.model.last(), 10_000).await?;
            }
            Ok(())
        }
    }))
    .await
}

async fn many_handles(stage: Arc<Stage>) -> Verdict {
    let copy = stage.copy(payloads(&mut stage.random(), 100, 1_500)).await?;
    all((0..stage.profile.readers_at_once()).map(|_| {
        let copy = copy.clone();
        async move { copy.check().await }
    }))
    .await
}

async fn beside_others(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let steady = stage.copy(payloads(&mut random, 200, 1_000)).await?;
    let open = steady.open().await?;
    // One offload is under way all the time, whatever the others' pace.
    let long = stage.attempt(&stage.ledger(payloads(&mut random, 6, 300)));
    let source = Arc::new(Source::new(&long.model).one_entry_a_read().waiting_at(3));
    let (running, reader) = (long.clone(), source.lend());
    let offload = tokio::spawn(async move { running.try_offload(reader).await });
    source.until_reads(4).await;
    let rounds: Vec<Vec<Attempt>> = (0..stage.profile.ledgers_at_once() / 4)
        .map(|_| (0..4).map(|_| stage.attempt(&stage.small_ledger(&mut random))).collect())
        .collect();
    let writers = rounds.into_iter().map(|ledgers: Vec<Attempt>| async move {
        for copy in ledgers {
            copy.offload().await?;
            copy.check().await?;
            copy.delete().await?;
        }
        Ok(())
    });
    let readers = (0..4).map(|number| {
        let (steady, open) = (steady.clone(), Arc::clone(&open));
        async move {
            for first in (number..steady.model.count()).step_by(5) {
                steady.read(&*open, first, steady.model.last(), 4_000).await?;
            }
            steady.check().await
        }
    });
    let (written, read) = tokio::join!(all(writers), all(readers));
    source.release();
    let ended = offload.await.map_err(|lost| Failure(format!("offload {long} beside others: {lost}")))?;
    ended.map_err(|error| Failure(format!("offload {long} beside others: {error}")))?;
    long.check().await?;
    written.and(read)
}

async fn same_attempt_at_once(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for _ in 0..4 {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 60, 2_000)));
        let offloads = (0..4).map(|_| {
            let copy = copy.clone();
            let source = Arc::new(Source::new(&copy.model).one_entry_a_read());
            tokio::spawn(async move { copy.try_offload(source.lend()).await })
        });
        let ended = join_all(offloads).await.into_iter().collect::<Result<Vec<Result<()>>, _>>();
        let ended = ended.map_err(|lost| Failure(format!("one of four offloads of one attempt: {lost}")))?;
        if ended.iter().any(Result::is_ok) {
            copy.check().await.map_err(|failure| Failure(format!("after four offloads at once: {failure}")))?;
        }
        for error in ended.into_iter().filter_map(Result::err) {
            must_be(&error, &[ErrorCode::Conflict], "one of four offloads of one attempt at once")?;
        }
        copy.delete().await?;
        copy.must_be_missing("after four offloads at once and a delete").await?;
    }
    Ok(())
}

async fn reads_beside_a_delete(stage: Arc<Stage>) -> Verdict {
    let copy = stage.copy(payloads(&mut stage.random(), 300, 1_000)).await?;
    let open = copy.open().await?;
    let readers = (0..4u64).map(|number| {
        let (copy, open) = (copy.clone(), Arc::clone(&open));
        tokio::spawn(async move {
            for round in 0..200 {
                let first = (round * 37 + number * 11) % copy.model.count();
                match open.read(first, copy.model.last(), 3_000).await {
                    Ok(found) => copy.model.check(first, copy.model.last(), 3_000, &found)?,
                    Err(error) => must_be(&error, &[ErrorCode::NotFound], "read beside a delete of the copy")?,
                }
            }
            Verdict::Ok(())
        })
    });
    let readers: Vec<_> = readers.collect();
    copy.delete().await?;
    for ended in join_all(readers).await {
        ended.map_err(|lost| Failure(format!("read beside a delete: {lost}")))??;
    }
    match open.read(0, copy.model.last(), 3_000).await {
        Ok(found) => copy.model.check(0, copy.model.last(), 3_000, &found),
        Err(error) => must_be(&error, &[ErrorCode::NotFound], "read after a delete of the copy"),
    }
}
