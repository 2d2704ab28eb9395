//! Offload, read-back and removal over the real hot store and a memory driver that misbehaves on request: a copy counts
//! only when it is complete and right, and the hot copy goes only after that.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use longshore::managed_ledger::offload_context::{Attempt, OffloadState, ReadPriority};
use longshore::managed_ledger::trim::DeletionLag;
use longshore::managed_ledger::{ManagedLedger, WirePosition};
use longshore::metadata::memory::MemoryMetadataStore;
use longshore::offload::OffloadStatus;
use longshore::storage::{DriverSettings, LedgerStore, OffloadDriver};
use longshore_tests::house::{Ground, House, check_all, fill};
use longshore_tests::memory_driver::Fault;
use uuid::Uuid;

async fn start(change: impl FnOnce(&Ground)) -> Result<(Ground, House, Arc<ManagedLedger>)> {
    let ground = Ground::new()?;
    change(&ground);
    let house = ground.house(Arc::new(MemoryMetadataStore::new(ground.clock.clone()))).await?;
    let ledger = house.open(&ground).await?;
    Ok((ground, house, ledger))
}

fn states(ledger: &ManagedLedger) -> Vec<OffloadState> {
    ledger.snapshot().ledgers.by_id.into_values().map(|info| info.offload).collect()
}

fn complete_count(ledger: &ManagedLedger) -> usize {
    states(ledger).iter().filter(|state| state.is_complete()).count()
}

async fn failed(house: &House, ledger: &Arc<ManagedLedger>) -> Result<String> {
    match house.offload_all(ledger).await? {
        OffloadStatus::Error(text) => Ok(text),
        other => bail!("an error was expected, not {other:?}"),
    }
}

async fn eventually(what: &str, done: impl Fn() -> bool) -> Result<()> {
    for _ in 0..500 {
        if done() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    bail!("not within 5 s: {what}")
}

#[tokio::test(flavor = "multi_thread")]
async fn closed_ledgers_go_out_and_every_entry_comes_back() -> Result<()> {
    let (ground, house, ledger) = start(|_| ()).await?;
    fill(&ledger, 0..35).await?;
    let version = ledger.snapshot().version;
    let open = *ledger.snapshot().ledgers.by_id.keys().next_back().unwrap();
    match house.offload_all(&ledger).await? {
        OffloadStatus::Success { first_unoffloaded } => assert_eq!(first_unoffloaded.ledger_id, open),
        other => bail!("{other:?}"),
    }
    assert_eq!((complete_count(&ledger), ground.driver.ledgers().len()), (3, 3));
    assert_eq!(ledger.snapshot().version, version + 6, "two writes for each ledger");
    check_all(&ledger, 0..35).await?;
    assert!(ground.driver.read_count.load(std::sync::atomic::Ordering::Relaxed) > 3, "the cold copies were read");
    let again = house.offload_all(&ledger).await?;
    assert!(matches!(again, OffloadStatus::Success { .. }), "nothing to do is a success");
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_not_right_never_counts_and_leaves_nothing() -> Result<()> {
    let faults = [
        (Fault::RefuseOffload, "the store says no"),
        (Fault::FailAfterCopy, "the store failed late"),
        (Fault::LoseLastEntry, "the copy differs"),
        (Fault::FlipByte, "has other bytes"),
        (Fault::LieAboutSuccess, "the copy differs"),
        (Fault::CorruptReads, "the copy cannot be read back"),
    ];
    for (fault, text) in faults {
        let (ground, house, ledger) = start(|_| ()).await?;
        fill(&ledger, 0..12).await?;
        ground.driver.misbehave(fault);
        let error = failed(&house, &ledger).await?;
        assert!(error.starts_with("org.apache.bookkeeper.mledger.ManagedLedgerException: "), "{error}");
        assert!(error.contains(text), "{fault:?}: {error}");
        assert_eq!((complete_count(&ledger), ground.driver.ledgers().len()), (0, 0), "{fault:?}");
        assert_eq!(house.offloads.history(&ledger).failed_count, 1);
        check_all(&ledger, 0..12).await?;
        ground.driver.misbehave(Fault::None);
        assert!(matches!(house.offload_all(&ledger).await?, OffloadStatus::Success { .. }), "{fault:?}");
        check_all(&ledger, 0..12).await?;
        house.stop(ledger).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn debris_that_cannot_be_removed_is_removed_later() -> Result<()> {
    let (ground, house, ledger) = start(|_| ()).await?;
    fill(&ledger, 0..12).await?;
    let held = ground.driver.clone();
    held.misbehave(Fault::FailAfterCopy);
    // The debris of this attempt can be removed; it is there to show that a clean failure forgets its attempt.
    failed(&house, &ledger).await?;
    assert!(matches!(states(&ledger)[0], OffloadState::None));
    held.misbehave(Fault::RefuseDelete);
    held.gate.forget_permits(1000);
    let open = *ledger.snapshot().ledgers.by_id.keys().next_back().unwrap();
    house.offloads.start(ledger.clone(), WirePosition { ledger_id: open.0 as i64, entry_id: 0 })?;
    eventually("an attempt is prepared", || matches!(states(&ledger)[0], OffloadState::Prepared(_))).await?;
    let again = house.offloads.start(ledger.clone(), WirePosition { ledger_id: open.0 as i64, entry_id: 0 });
    assert_eq!(again.unwrap_err().to_string(), "Offload already in progress");
    house.offloads.stop(&ledger).await;
    ledger.close().await?;
    assert!(matches!(states(&ledger)[0], OffloadState::Prepared(_)), "the attempt stays recorded");
    held.gate.add_permits(1000);
    held.misbehave(Fault::None);
    let ledger = house.open(&ground).await?;
    assert!(matches!(states(&ledger)[0], OffloadState::None), "the load came for it");
    assert!(matches!(house.offload_all(&ledger).await?, OffloadStatus::Success { .. }));
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_hot_copy_survives_until_the_lag_passes() -> Result<()> {
    let (ground, house, ledger) =
        start(|ground| ground.set(|settings| settings.offload.deletion_lag = DeletionLag::AfterMs(14_400_000))).await?;
    fill(&ledger, 0..12).await?;
    house.offload_all(&ledger).await?;
    let first = *ledger.snapshot().ledgers.by_id.keys().next().unwrap();
    ground.clock.advance(14_400_000);
    ledger.trim().await?;
    assert!(house.store.ledgers().contains(&first), "strictly after the lag");
    ground.clock.advance(1);
    ledger.trim().await?;
    assert!(!house.store.ledgers().contains(&first));
    assert!(matches!(states(&ledger)[0], OffloadState::HotDeleted { .. }));
    check_all(&ledger, 0..12).await?;
    ground.driver.lose_everything();
    ledger.close().await?;
    let ledger = house.open(&ground).await?;
    let error = check_all(&ledger, 0..12).await.unwrap_err();
    assert!(error.to_string().contains("there is no such copy"), "{error}");
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cold_copy_that_turns_out_damaged_keeps_the_hot_one_and_is_made_again() -> Result<()> {
    let (ground, house, ledger) =
        start(|ground| ground.set(|settings| settings.offload.deletion_lag = DeletionLag::AfterMs(0))).await?;
    fill(&ledger, 0..12).await?;
    house.offload_all(&ledger).await?;
    ground.driver.misbehave(Fault::CorruptReads);
    check_all(&ledger, 0..12).await?;
    assert!(matches!(&states(&ledger)[0], OffloadState::Complete { damaged: Some(_), .. }));
    ground.clock.advance(10);
    ledger.trim().await?;
    assert!(matches!(&states(&ledger)[0], OffloadState::Complete { .. }), "the hot copy stays");
    ground.driver.misbehave(Fault::None);
    assert!(matches!(house.offload_all(&ledger).await?, OffloadStatus::Success { .. }));
    assert!(matches!(&states(&ledger)[0], OffloadState::Complete { damaged: None, .. }));
    eventually("the damaged copy is removed", || ground.driver.ledgers().len() == 1).await?;
    check_all(&ledger, 0..12).await?;
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_store_is_no_damage() -> Result<()> {
    let (ground, house, ledger) = start(|_| ()).await?;
    fill(&ledger, 0..12).await?;
    house.offload_all(&ledger).await?;
    ground.driver.misbehave(Fault::UnavailableReads);
    check_all(&ledger, 0..12).await?;
    assert!(matches!(&states(&ledger)[0], OffloadState::Complete { damaged: None, .. }));
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_hot_copy_falls_back_to_the_cold_one() -> Result<()> {
    let (ground, house, ledger) =
        start(|ground| ground.set(|settings| settings.offload.read_priority = ReadPriority::HotFirst)).await?;
    fill(&ledger, 0..12).await?;
    house.offload_all(&ledger).await?;
    let first = *ledger.snapshot().ledgers.by_id.keys().next().unwrap();
    house.store.delete(first).await?;
    check_all(&ledger, 0..12).await?;
    drop(ground);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_threshold_offloads_by_itself_when_a_ledger_closes() -> Result<()> {
    let (ground, house, ledger) =
        start(|ground| ground.set(|settings| settings.offload.threshold_bytes = Some(0))).await?;
    fill(&ledger, 0..25).await?;
    let announced = house.announcements.lock().await.recv().await;
    assert_eq!(announced.as_deref(), Some(ledger.name()));
    house.offloads.check(&ledger).await;
    assert_eq!((complete_count(&ledger), ground.driver.ledgers().len()), (2, 2));
    assert_eq!(house.offloads.status(&ledger), OffloadStatus::NotRun, "automatic runs do not show in the status");
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_waits_for_the_run_that_is_under_way() -> Result<()> {
    let (ground, house, ledger) =
        start(|ground| ground.set(|settings| settings.offload.threshold_bytes = Some(0))).await?;
    fill(&ledger, 0..25).await?;
    ground.driver.gate.forget_permits(1000);
    let (offloads, held) = (house.offloads.clone(), ledger.clone());
    let automatic = tokio::spawn(async move { offloads.check(&held).await });
    eventually("the automatic run copies", || matches!(states(&ledger)[0], OffloadState::Prepared(_))).await?;
    let open = *ledger.snapshot().ledgers.by_id.keys().next_back().unwrap();
    house.offloads.start(ledger.clone(), WirePosition { ledger_id: open.0 as i64, entry_id: 0 })?;
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(house.offloads.status(&ledger), OffloadStatus::Running);
    ground.driver.gate.add_permits(1000);
    automatic.await?;
    eventually("the request ends", || house.offloads.status(&ledger) != OffloadStatus::Running).await?;
    assert!(matches!(house.offloads.status(&ledger), OffloadStatus::Success { .. }));
    assert_eq!((complete_count(&ledger), ground.driver.ledgers().len()), (2, 2), "nothing was copied twice");
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn positions_and_drivers_that_do_not_exist_end_in_error() -> Result<()> {
    let (ground, house, ledger) = start(|_| ()).await?;
    fill(&ledger, 0..12).await?;
    house.offloads.start(ledger.clone(), WirePosition { ledger_id: 999_999, entry_id: 0 })?;
    eventually("the run ends", || house.offloads.status(&ledger) != OffloadStatus::Running).await?;
    let invalid = "org.apache.bookkeeper.mledger.ManagedLedgerException$InvalidCursorPositionException: \
                   Invalid position for offload: 999999:0";
    assert_eq!(house.offloads.status(&ledger), OffloadStatus::Error(invalid.to_owned()));
    ledger.close().await?;
    ground.set(|settings| settings.offload.driver = Some("aws-s3".to_owned()));
    let ledger = house.open(&ground).await?;
    let error = failed(&house, &ledger).await?;
    assert!(error.contains("claimed: memory"), "{error}");
    ledger.close().await?;
    ground.set(|settings| settings.offload.driver = None);
    let ledger = house.open(&ground).await?;
    let error = failed(&house, &ledger).await?;
    assert!(error.ends_with("[NullLedgerOffloader] does not support offload"), "{error}");
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_a_topic_removes_its_cold_copies() -> Result<()> {
    let (ground, house, ledger) = start(|_| ()).await?;
    fill(&ledger, 0..25).await?;
    house.offload_all(&ledger).await?;
    assert_eq!(ground.driver.ledgers().len(), 2);
    house.offloads.stop(&ledger).await;
    ledger.close().await?;
    house.managed.delete(ledger.name(), &DriverSettings::default()).await?;
    eventually("the copies are gone", || ground.driver.ledgers().is_empty()).await
}

/// What was removed while the driver still works, it would make again, with no record that names it.
#[tokio::test]
async fn a_copy_in_the_making_whose_ledger_leaves_is_removed_when_the_attempt_ends() -> Result<()> {
    let (ground, house, ledger) = start(|_| ()).await?;
    fill(&ledger, 0..25).await?;
    let first = *ledger.snapshot().ledgers.by_id.keys().next().expect("there are ledgers");
    let attempt = Attempt { uid: Uuid::new_v4(), driver: "memory".to_owned(), driver_metadata: BTreeMap::new() };
    let stored = ledger.stored_ledger(first, &attempt);
    let under_way = ledger.begin_attempt(attempt.uid);
    ledger.prepare_offload(first, attempt).await?;
    let hot = ledger.hot_copy(first).await?;
    ground.driver.offload(hot, stored).await?;

    // The ledger goes; the driver may still be at work.
    ledger.truncate().await?;
    ensure!(!ledger.snapshot().ledgers.by_id.contains_key(&first), "it was to leave");
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let intents = async || house.metadata.keys("").await.map(|keys| keys.iter().any(|key| key.contains("removal")));
    ensure!(ground.driver.ledgers() == [first] && intents().await?, "the removal was not left to the attempt's end");
    // However it ends: a crash finds the intent.
    drop(under_way);
    eventually("the copy is removed", || ground.driver.ledgers().is_empty()).await?;
    for _ in 0..500 {
        if !intents().await? {
            return house.stop(ledger).await;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    bail!("the intent is never cleared")
}
