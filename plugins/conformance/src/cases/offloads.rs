//! One offload: what it refuses, what it shows before it is complete, what it does with a ledger that fails.

use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::ErrorCode;

use crate::case::{Failure, Verdict, cases, ensure};
use crate::model::{Model, Source, payload, payloads};
use crate::profile::REPEATS;
use crate::stage::{Stage, must_be, must_fail};

cases! {
    "refuses-an-empty-ledger": "a ledger without entries is `InvalidArgument`, and no copy is there",
        "Offloader::offload: refuses an empty or open ledger", [] => refuses_an_empty_ledger;
    "refuses-an-open-ledger": "a ledger that is open is `InvalidArgument`, and no copy is there",
        "Offloader::offload: refuses an empty or open ledger", [] => refuses_an_open_ledger;
    "offload-repeats": "the same offload ten times is as good as once",
        "Offloader::offload: idempotent", [] => offload_repeats;
    "offload-overwrites": "a repeated offload replaces what was there, longer or shorter",
        "Offloader::offload: idempotent, overwrites", [] => offload_overwrites;
    "short-reads": "a ledger that answers each read with one entry is copied whole",
        "Offloader::offload: complete", [] => short_reads;
    "unfinished-is-invisible": "readers see nothing of an attempt before it is complete",
        "Offloader::offload: invisible before it is complete", [] => unfinished_is_invisible;
    "source-fails": "a ledger that fails midway: its error comes back, no copy is there",
        "Offloader::offload: errors", [] => source_fails;
    "retry-after-failure": "after a failed attempt the same offload works, deleted before or not",
        "Offloader::offload: errors", [] => retry_after_failure;
    "progress-is-told": "bytes that reached the store are reported as progress",
        "Offloader::offload: LedgerReader::progress", [] => progress_is_told;
}

async fn refuses_an_empty_ledger(stage: Arc<Stage>) -> Verdict {
    let empty = stage.attempt(&stage.ledger(Vec::new()));
    let answer = empty.try_offload(Arc::new(Source::new(&empty.model)).lend()).await;
    must_fail(answer, &[ErrorCode::InvalidArgument], "offload an empty ledger")?;
    empty.must_be_missing("though it was refused").await
}

async fn refuses_an_open_ledger(stage: Arc<Stage>) -> Verdict {
    let mut open: Model = stage.small_ledger(&mut stage.random());
    open.metadata.closed = false;
    let open = stage.attempt(&open);
    let answer = open.try_offload(Arc::new(Source::new(&open.model)).lend()).await;
    must_fail(answer, &[ErrorCode::InvalidArgument], "offload an open ledger")?;
    open.must_be_missing("though it was refused").await
}

async fn offload_repeats(stage: Arc<Stage>) -> Verdict {
    let copy = stage.attempt(&stage.small_ledger(&mut stage.random()));
    for _ in 0..REPEATS {
        copy.offload().await?;
        copy.check().await?;
    }
    copy.delete().await?;
    copy.must_be_missing("after ten offloads and one delete").await
}

async fn offload_overwrites(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let copy = stage.attempt(&stage.small_ledger(&mut random));
    for (count, len) in [(20, 500), (3, 100), (50, 900), (1, 0)] {
        let version = copy.with_payloads(payloads(&mut random, count, len));
        version.offload().await?;
        version.check().await?;
        let metadata = version.open().await?.metadata();
        let (found, wanted) = (metadata.length_bytes, version.model.metadata.length_bytes);
        ensure!(found == wanted, "the metadata says {found} bytes, the last offload had {wanted}");
    }
    Ok(())
}

async fn short_reads(stage: Arc<Stage>) -> Verdict {
    let copy = stage.attempt(&stage.ledger(payloads(&mut stage.random(), 70, 200)));
    let source = Arc::new(Source::new(&copy.model).one_entry_a_read());
    copy.try_offload(source.lend()).await.map_err(|error| Failure(format!("offload {copy}: {error}")))?;
    copy.check().await
}

async fn unfinished_is_invisible(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let other = stage.fresh().await?;
    for waits_at in [0, 1, 5] {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 200)));
        let source = Arc::new(Source::new(&copy.model).one_entry_a_read().waiting_at(waits_at));
        let (running, reader) = (copy.clone(), source.lend());
        let task = tokio::spawn(async move { running.try_offload(reader).await });
        source.until_reads(waits_at + 1).await;
        copy.must_be_missing("while its offload waits for the ledger").await?;
        copy.through(&other).must_be_missing("by another instance, while its offload waits for the ledger").await?;
        source.release();
        let ended = task.await.map_err(|lost| Failure(format!("offload {copy}: {lost}")))?;
        ended.map_err(|error| Failure(format!("offload {copy}: {error}")))?;
        copy.check().await?;
    }
    Ok(())
}

async fn source_fails(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for fails_at in 0..6 {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 200)));
        let source = Arc::new(Source::new(&copy.model).one_entry_a_read().failing_at(fails_at));
        let answer = copy.try_offload(source.lend()).await;
        let what = format!("offload a ledger whose read {fails_at} fails with `Unavailable`");
        let Err(error) = answer else { return Err(Failure(format!("{what}: succeeded"))) };
        must_be(&error, &[ErrorCode::Unavailable], &what)?;
        ensure!(error.is_retryable(), "{what}: the error says that no retry helps");
        copy.must_be_missing("after its offload failed").await?;
        copy.delete().await?;
        copy.must_be_missing("after its offload failed and it was deleted").await?;
    }
    Ok(())
}

async fn retry_after_failure(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    for (fails_at, deleted) in [(3, false), (3, true), (5, false)] {
        let copy = stage.attempt(&stage.ledger(payloads(&mut random, 6, 200)));
        let source = Arc::new(Source::new(&copy.model).one_entry_a_read().failing_at(fails_at));
        let answer = copy.try_offload(source.lend()).await;
        ensure!(answer.is_err(), "offload a ledger whose read {fails_at} fails: succeeded");
        if deleted {
            copy.delete().await?;
        }
        copy.offload().await?;
        copy.check().await?;
    }
    Ok(())
}

async fn progress_is_told(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let ledger: Vec<Bytes> = (0..100).map(|_| payload(&mut random, 10_000)).collect();
    let copy = stage.attempt(&stage.ledger(ledger));
    let source = Arc::new(Source::new(&copy.model));
    let ended = copy.try_offload(source.lend()).await;
    ended.map_err(|error| Failure(format!("offload {copy}: {error}")))?;
    let told = source.progress_bytes();
    ensure!(
        told > 0,
        "no progress was reported for 1,000,000 bytes: the host would take a slow store for a stalled one"
    );
    // What a store counts may have headers in it; a multiple of the payload is made up.
    ensure!(told <= 2_000_000, "progress of {told} bytes was reported for 1,000,000 bytes");
    Ok(())
}
