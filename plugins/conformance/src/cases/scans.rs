//! The listing: complete, in pages of any size, steady while copies go away.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;
use longshore_plugin_api::{ScanRequest, ScannedLedger, StoredLedger};
use tokio::task::block_in_place;
use uuid::Uuid;

use crate::case::{During, Failure, Verdict, cases, ensure};
use crate::model::{Source, payloads};
use crate::stage::{Attempt, Stage, probe_failed};

cases! {
    "scan-lists-copies": "every complete copy is listed once, with its ledger, uid and size",
        "Offloader::scan", [Scan] => lists_copies;
    "scan-pages": "pages of every size hold the same copies in the same order",
        "Offloader::scan: stable order, a page at a time", [Scan] => pages;
    "scan-leads-back": "what is listed can be opened and deleted by what the listing says",
        "ScannedLedger", [Scan] => leads_back;
    "scan-forgets-the-deleted": "a deleted copy is not listed",
        "Offloader::scan: complete copies", [Scan] => forgets_the_deleted;
    "scan-leaves-out-unfinished": "attempts that run, or that failed, are not listed",
        "Offloader::scan: unfinished attempts", [Scan] => leaves_out_unfinished;
    "scan-under-deletion": "deletes between the pages neither end the listing nor hide others",
        "Offloader::scan: concurrent deletes", [Scan] => under_deletion;
    "scan-leaves-out-foreign": "objects of strangers are left out and do no harm",
        "Offloader::scan: foreign objects", [Scan, Probe] => leaves_out_foreign;
}

/// Copies of several topics, two of them of one ledger.
async fn several(stage: &Stage, count: usize) -> Verdict<Vec<Attempt>> {
    let mut random = stage.random();
    let mut copies: Vec<Attempt> = Vec::new();
    for number in 0..count {
        let topic = stage.topic(["orders", "orders-partition-1", "a%2Fb"][number % 3]);
        let ledger = match copies.last() {
            Some(before) if number == 1 => before.model.clone(),
            _ => crate::model::Model::new(stage.ledger_id(), &topic, vec![Bytes::from(vec![7; random.usize(1..300)])]),
        };
        let copy = stage.attempt(&ledger);
        copy.offload().await?;
        copies.push(copy);
    }
    Ok(copies)
}

/// Fails unless exactly these copies are listed, each once.
fn must_list(found: &[ScannedLedger], wanted: &[Attempt], when: &str) -> Verdict {
    let uids: HashSet<Uuid> = found.iter().map(|ledger| ledger.uid).collect();
    ensure!(uids.len() == found.len(), "{when}: {} rows list {} copies", found.len(), uids.len());
    for copy in wanted {
        ensure!(uids.contains(&copy.stored.uid), "{when}: {copy} is not listed");
    }
    let (listed, there) = (found.len(), wanted.len());
    ensure!(listed == there, "{when}: {listed} copies are listed where {there} are");
    Ok(())
}

async fn lists_copies(stage: Arc<Stage>) -> Verdict {
    let copies = several(&stage, stage.profile.copies_listed()).await?;
    let found = stage.scan(1_000).await?;
    must_list(&found, &copies, "scan in one page")?;
    for row in &found {
        let copy = copies.iter().find(|copy| copy.stored.uid == row.uid);
        let copy = copy.ok_or_else(|| Failure(format!("{} is listed and unknown", row.uid)))?;
        let (id, wanted) = (row.ledger_id, copy.stored.ledger_id);
        ensure!(id == wanted, "{copy} is listed as one of ledger {id}");
        ensure!(row.size_bytes > 0, "{copy} is listed with a size of 0 bytes");
        if let Some(name) = &row.managed_ledger {
            ensure!(*name == copy.stored.managed_ledger, "{copy} is listed as one of {name}");
        }
    }
    Ok(())
}

async fn pages(stage: Arc<Stage>) -> Verdict {
    let copies = several(&stage, stage.profile.copies_listed()).await?;
    let count = copies.len() as u32;
    let whole = stage.scan(u32::MAX).await?;
    for limit in [1, 2, 3, count - 1, count, count + 1] {
        let found = stage.scan(limit).await?;
        must_list(&found, &copies, &format!("scan in pages of {limit}"))?;
        let order = |rows: &[ScannedLedger]| rows.iter().map(|row| row.uid).collect::<Vec<_>>();
        ensure!(order(&found) == order(&whole), "pages of {limit} come in another order than the whole listing");
    }
    Ok(())
}

async fn leads_back(stage: Arc<Stage>) -> Verdict {
    let copies = several(&stage, 4).await?;
    for row in stage.scan(2).await? {
        let copy = copies.iter().find(|copy| copy.stored.uid == row.uid);
        let copy = copy.ok_or_else(|| Failure(format!("{} is listed and unknown", row.uid)))?;
        let stored = StoredLedger {
            ledger_id: row.ledger_id,
            uid: row.uid,
            managed_ledger: row.managed_ledger.unwrap_or_else(|| copy.stored.managed_ledger.clone()),
            driver_metadata: stage.subject.driver_metadata(),
        };
        let open = stage.subject.open_read(stored.clone()).await.during(format_args!("open {copy} as it is listed"))?;
        copy.check_open(&*open).await?;
        stage.subject.delete(stored).await.during(format_args!("delete {copy} as it is listed"))?;
        copy.must_be_missing("after it was deleted as it is listed").await?;
    }
    Ok(())
}

async fn forgets_the_deleted(stage: Arc<Stage>) -> Verdict {
    let mut copies = several(&stage, 5).await?;
    for at in [2, 0] {
        copies.remove(at).delete().await?;
        must_list(&stage.scan(3).await?, &copies, "scan after a delete")?;
    }
    Ok(())
}

async fn leaves_out_unfinished(stage: Arc<Stage>) -> Verdict {
    let mut random = stage.random();
    let copies = several(&stage, 2).await?;
    let failed = stage.attempt(&stage.ledger(payloads(&mut random, 6, 200)));
    let source = Arc::new(Source::new(&failed.model).one_entry_a_read().failing_at(4));
    ensure!(failed.try_offload(source.lend()).await.is_err(), "offload a ledger whose read 4 fails: succeeded");
    let running = stage.attempt(&stage.ledger(payloads(&mut random, 6, 200)));
    let source = Arc::new(Source::new(&running.model).one_entry_a_read().waiting_at(4));
    let (attempt, reader) = (running.clone(), source.lend());
    let task = tokio::spawn(async move { attempt.try_offload(reader).await });
    source.until_reads(5).await;
    let found = stage.scan(10).await?;
    source.release();
    let ended = task.await.map_err(|lost| Failure(format!("offload {running}: {lost}")))?;
    ended.map_err(|error| Failure(format!("offload {running}: {error}")))?;
    must_list(&found, &copies, "scan beside an attempt that runs and one that failed")
}

async fn under_deletion(stage: Arc<Stage>) -> Verdict {
    let copies = several(&stage, stage.profile.copies_listed()).await?;
    let order: Vec<Uuid> = stage.scan(1_000).await?.iter().map(|row| row.uid).collect();
    let copy_of = |uid: &Uuid| copies.iter().find(|copy| copy.stored.uid == *uid);
    // The second page begins behind a copy that is gone by then; the one after next goes as well.
    let (mut found, mut after, mut deleted) = (Vec::new(), None, HashSet::new());
    for round in 0.. {
        ensure!(round < 100_000, "scan: no end under deletion");
        let page = stage.subject.scan(ScanRequest { after, limit: 2 }).await.during("scan after deletes")?;
        let uids = page.ledgers.iter().map(|row| row.uid);
        let ours: Vec<Uuid> = uids.filter(|uid| order.contains(uid)).collect();
        let last = ours.last().and_then(|uid| order.iter().position(|other| other == uid));
        found.extend(ours);
        let Some(next) = page.next else { break };
        after = Some(next);
        for gone in last.into_iter().flat_map(|last| [last, last + 2]) {
            if let Some(copy) = order.get(gone).and_then(copy_of).filter(|copy| deleted.insert(copy.stored.uid)) {
                copy.delete().await?;
            }
        }
    }
    for uid in order.iter().filter(|uid| !deleted.contains(uid)) {
        ensure!(found.contains(uid), "{uid}, which nobody deleted, is not listed beside deletes");
    }
    let listed: HashSet<&Uuid> = found.iter().collect();
    ensure!(listed.len() == found.len(), "copies are listed twice beside deletes");
    Ok(())
}

/// Objects of strangers, planted beside those of copies; taken away when dropped.
struct Planted<'a>(&'a Stage, Vec<String>);

impl Drop for Planted<'_> {
    fn drop(&mut self) {
        if let Ok(probe) = self.0.probe() {
            // What stays is seen by who looks at the store; the case has its verdict already.
            block_in_place(|| self.1.iter().for_each(|name| drop(probe.remove(name))));
        }
    }
}

/// How many rows a page has, whoever they belong to.
async fn rows_of(stage: &Stage) -> Verdict<usize> {
    let page = stage.subject.scan(ScanRequest { after: None, limit: 1_000 }).await.during("scan");
    page.map(|page| page.ledgers.len())
}

async fn leaves_out_foreign(stage: Arc<Stage>) -> Verdict {
    let before = stage.objects()?;
    let copies = several(&stage, 3).await?;
    let mut names = vec!["conformance-stranger".to_owned(), "7-not-a-uid/data".to_owned(), ".hidden".to_owned()];
    for object in stage.objects()?.iter().filter(|name| !before.contains(name)) {
        let folder = object.rsplit_once('/').map_or(String::new(), |(folder, _)| format!("{folder}/"));
        names.push(format!("{folder}strangers-file"));
        names.push(format!("{object}.bak"));
    }
    let rows_before = rows_of(&stage).await?;
    let probe = stage.probe()?;
    let plant = || names.iter().try_for_each(|name| probe.write(name, b"not ours"));
    block_in_place(plant).map_err(probe_failed("write a stranger's object"))?;
    let planted = Planted(&stage, names);
    must_list(&stage.scan(2).await?, &copies, "scan among strangers' objects")?;
    let rows = rows_of(&stage).await?;
    ensure!(rows == rows_before, "{rows} rows are listed with strangers' objects, {rows_before} without");
    for copy in &copies {
        copy.check().await?;
    }
    drop(planted);
    Ok(())
}
