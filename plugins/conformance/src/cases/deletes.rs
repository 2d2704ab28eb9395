//! Deletes: of copies, of what failed, of what is not there, and what readers meet afterwards.

use std::sync::Arc;

use futures_util::future::join_all;
use longshore_plugin_api::ErrorCode;

use crate::case::{Failure, Verdict, cases, ensure};
use crate::model::{Model, Source, payloads};
use crate::profile::REPEATS;
use crate::stage::{Stage, must_be};

cases! {
    "open-after-delete": "a deleted copy is `NotFound`, for every instance",
        "Offloader::open_read: errors", [] => open_after_delete;
    "delete-what-is-missing": "deleting what was never written is a success",
        "Offloader::delete: what does not exist", [] => delete_what_is_missing;
    "delete-repeats": "a delete succeeds ten times, one after the other and at once",
        "Offloader::delete: also when repeated", [] => delete_repeats;
    "delete-what-is-unfinished": "a delete takes away what a failed offload left",
        "Offloader::delete: complete or not", [] => delete_what_is_unfinished;
    "delete-takes-its-own-only": "a delete leaves other ledgers, uids and topics alone",
        "Offloader::delete: the attempt with this uid", [] => delete_takes_its_own_only;
    "delete-leaves-nothing": "after the deletes the store is as it was, also after failures",
        "Offloader::delete: whatever the attempt left", [Probe] => delete_leaves_nothing;
    "offload-after-delete": "the same attempt can be made again after its delete",
        "Offloader::offload: idempotent", [] => offload_after_delete;
    "read-after-delete": "an open handle answers sound entries or `NotFound` after the delete",
        "ReadHandle::read: errors", [] => read_after_delete;
}

async fn open_after_delete(stage: Arc<Stage>) -> Verdict {
    let copy = stage.small_copy(&mut stage.random()).await?;
    copy.check().await?;
    copy.delete().await?;
    copy.must_be_missing("after its delete").await?;
    copy.through(&stage.fresh().await?).must_be_missing("by another instance, after its delete").await
}

async fn delete_what_is_missing(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    stage.attempt(&stage.small_ledger(&mut random)).delete().await?;
    let mut elsewhere = stage.small_ledger(&mut random);
    elsewhere = Model::new(elsewhere.metadata.ledger_id, &stage.topic("nobody-wrote-here"), Vec::new());
    stage.attempt(&elsewhere).delete().await
}

async fn delete_repeats(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let copy = stage.small_copy(&mut random).await?;
    for _ in 0..REPEATS {
        copy.delete().await?;
        copy.must_be_missing("after its delete").await?;
    }
    let copy = stage.small_copy(&mut random).await?;
    let deletes = (0..REPEATS).map(|_| {
        let copy = copy.clone();
        tokio::spawn(async move { copy.delete().await })
    });
    for deleted in join_all(deletes).await {
        deleted.map_err(|lost| Failure(format!("one of several deletes at once: {lost}")))??;
    }
    copy.must_be_missing("after ten deletes at once").await
}

async fn failed_attempt(stage: &Stage, random: &mut fastrand::Rng) -> Verdict<crate::stage::Attempt> {
    let copy = stage.attempt(&stage.ledger(payloads(random, 6, 200)));
    let source = Arc::new(Source::new(&copy.model).one_entry_a_read().failing_at(4));
    ensure!(copy.try_offload(source.lend()).await.is_err(), "offload a ledger whose read 4 fails: succeeded");
    Ok(copy)
}

async fn delete_what_is_unfinished(stage: Arc<Stage>) -> Verdict {
    let copy = failed_attempt(&stage, &mut stage.random()).await?;
    for _ in 0..2 {
        copy.delete().await?;
        copy.must_be_missing("after its offload failed and it was deleted").await?;
    }
    Ok(())
}

async fn delete_takes_its_own_only(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let id = stage.ledger_id();
    let (here, there) = (stage.topic("orders"), stage.topic("orders-2"));
    // Ids and topics of which one is the beginning of the other.
    let neighbours = [(id, &here), (id * 10, &here), (id * 10 + 1, &here), (id / 10, &here), (id, &there)];
    let mut copies = Vec::new();
    for (ledger_id, name) in neighbours {
        let copy = stage.attempt(&Model::new(ledger_id, name, payloads(&mut random, 4, 90)));
        copy.offload().await?;
        copies.push(copy);
    }
    let twin = stage.attempt(&copies[0].model);
    twin.offload().await?;
    copies[0].delete().await?;
    copies[0].must_be_missing("after its delete").await?;
    for copy in copies[1..].iter().chain([&twin]) {
        copy.check().await.map_err(|failure| Failure(format!("after another copy was deleted: {failure}")))?;
    }
    Ok(())
}

async fn delete_leaves_nothing(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let before = stage.objects()?;
    let mut copies = vec![failed_attempt(&stage, &mut random).await?];
    for _ in 0..3 {
        copies.push(stage.small_copy(&mut random).await?);
    }
    copies[1].offload().await?;
    ensure!(stage.objects()? != before, "the probe sees no object of four offloads: it looks at another store");
    for copy in &copies {
        copy.delete().await?;
    }
    let mut after = stage.objects()?;
    after.retain(|name| !before.contains(name));
    ensure!(after.is_empty(), "the deletes left {after:?}");
    Ok(())
}

async fn offload_after_delete(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let copy = stage.small_copy(&mut random).await?;
    for _ in 0..3 {
        copy.delete().await?;
        let again = copy.with_payloads(payloads(&mut random, 9, 120));
        again.offload().await?;
        again.check().await?;
    }
    Ok(())
}

async fn read_after_delete(stage: Arc<Stage>) -> Verdict {
    let copy = stage.copy(payloads(&mut stage.random(), 400, 1_000)).await?;
    let read = copy.open().await?;
    copy.read(&*read, 0, copy.model.last(), 5_000).await?;
    let unread = copy.open().await?;
    copy.delete().await?;
    for open in [read, unread] {
        for first in [0, 200, copy.model.last()] {
            match open.read(first, copy.model.last(), 5_000).await {
                Ok(found) => copy.model.check(first, copy.model.last(), 5_000, &found)?,
                Err(error) => must_be(&error, &[ErrorCode::NotFound], "read of a handle whose copy was deleted")?,
            }
        }
    }
    Ok(())
}
