//! Every write of the metadata store is a crash point. A scenario of appends, rollovers, an offload, a trim of hot copies
//! and one of whole ledgers is stopped at each of them, in each way that a write can fail; after a restart every
//! acknowledged entry that was not trimmed is there in order, every complete record has its copy, and no copy is left
//! without a record.

use std::collections::BTreeSet;
use std::sync::Arc;

use anyhow::{Context, Result};
use longshore::managed_ledger::ManagedLedger;
use longshore::managed_ledger::trim::{DeletionLag, Retention};
use longshore::metadata::faulty::{Fault, FaultyMetadataStore};
use longshore::metadata::memory::MemoryMetadataStore;
use longshore_tests::house::{Ground, House, check_all, fill, payload, read_all};

/// What the scenario was told by the broker.
#[derive(Debug, Default)]
struct Told {
    acknowledged: u64,
    /// Entries before this one may have been trimmed.
    trimmable: u64,
}

/// Runs until something fails; a failure is the crash.
async fn scenario(house: &House, ledger: &Arc<ManagedLedger>, ground: &Ground, told: &mut Told) -> Result<()> {
    for i in 0..35 {
        fill(ledger, i..i + 1).await?;
        told.acknowledged = i + 1;
    }
    house.offload_all(ledger).await?;
    ground.clock.advance(10);
    ledger.trim().await?;
    for i in 35..48 {
        fill(ledger, i..i + 1).await?;
        told.acknowledged = i + 1;
    }
    house.offload_all(ledger).await?;
    told.trimmable = 30;
    let mut settings = (*ledger.settings()).clone();
    settings.retention = Retention { time_ms: None, size_bytes: Some(59 * 15) };
    ledger.update_settings(Arc::new(settings));
    ledger.trim().await?;
    Ok(())
}

async fn check(house: &House, ledger: &ManagedLedger, ground: &Ground, told: &Told) -> Result<()> {
    let found = read_all(ledger).await?;
    let last = found.last().map(|last| (0..).find(|i| *last == payload(*i)).expect("numbers are endless"));
    let end = last.map_or(0, |last| last + 1);
    let first = end - found.len() as u64;
    anyhow::ensure!(first <= told.trimmable, "entries from {first} on are left, {told:?}");
    anyhow::ensure!(end >= told.acknowledged, "entries up to {end} are there, {told:?}");
    check_all(ledger, first..end).await?;
    let recorded: BTreeSet<_> = ledger
        .snapshot()
        .ledgers
        .by_id
        .into_values()
        .filter(|info| info.offload.is_complete())
        .map(|info| info.ledger_id)
        .collect();
    let copies = ground.driver.ledgers();
    anyhow::ensure!(
        copies.iter().copied().collect::<BTreeSet<_>>() == recorded,
        "copies {copies:?}, recorded {recorded:?}"
    );
    anyhow::ensure!(copies.len() == recorded.len(), "two copies of one ledger: {copies:?}");
    anyhow::ensure!(house.metadata.keys("cold-removals/").await?.is_empty(), "an intended removal was not carried out");
    Ok(())
}

/// Stops the scenario at write `point`; answers whether the scenario got that far.
async fn crash_at(point: u64, fault: Option<Fault>) -> Result<bool> {
    let ground = Ground::new()?;
    ground.set(|settings| settings.offload.deletion_lag = DeletionLag::AfterMs(0));
    let records = Arc::new(MemoryMetadataStore::new(ground.clock.clone()));
    let faulty = Arc::new(FaultyMetadataStore::new(records.clone()));
    let house = ground.house(faulty.clone()).await?;
    let mut told = Told::default();
    if let Some(fault) = fault {
        faulty.fail_after(point, fault);
    }
    let ended = match house.open(&ground).await {
        Ok(ledger) => scenario(&house, &ledger, &ground, &mut told).await.is_ok(),
        Err(_) => false,
    };
    // A stopped broker writes nothing more.
    faulty.stop();
    house.crash().await?;
    let reached = faulty.writes_seen() > point;
    let house = ground.house(records).await?;
    let ledger = house.open(&ground).await?;
    check(&house, &ledger, &ground, &told).await?;
    fill(&ledger, 1000..1003).await.context("the topic takes entries again")?;
    anyhow::ensure!(fault.is_some() || ended, "the scenario itself failed");
    house.stop(ledger).await?;
    Ok(reached)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_at_any_write() -> Result<()> {
    crash_at(0, None).await.context("without a fault")?;
    for fault in [Fault::Before, Fault::UnknownBefore, Fault::UnknownAfter] {
        let mut points = 0;
        while crash_at(points, Some(fault)).await.with_context(|| format!("{fault:?} at write {points}"))? {
            points += 1;
        }
        assert!(points > 20, "only {points} crash points were reached");
        eprintln!("{points} crash points with {fault:?}");
    }
    Ok(())
}
