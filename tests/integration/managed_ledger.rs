//! The life of a managed ledger over the real hot store: rollover, reload, cursors, trim, termination.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::Result;
use longshore::managed_ledger::trim::Retention;
use longshore::managed_ledger::{AppendError, ManagedLedger, Position};
use longshore::metadata::memory::MemoryMetadataStore;
use longshore::storage::{DriverSettings, LedgerId};
use longshore_tests::house::{Ground, House, check_all, fill, payload, read_all};

async fn start() -> Result<(Ground, House, Arc<ManagedLedger>)> {
    let ground = Ground::new()?;
    let house = house(&ground).await?;
    let ledger = house.open(&ground).await?;
    Ok((ground, house, ledger))
}

async fn house(ground: &Ground) -> Result<House> {
    ground.house(Arc::new(MemoryMetadataStore::new(ground.clock.clone()))).await
}

fn entries(ledger: &ManagedLedger) -> Vec<u64> {
    ledger.snapshot().ledgers.by_id.values().map(|info| info.entry_count).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_ledger_closes_with_the_entry_that_fills_it() -> Result<()> {
    let (_ground, house, ledger) = start().await?;
    let positions = fill(&ledger, 0..34).await?;
    assert_eq!(positions.iter().map(|p| p.entry_id).collect::<Vec<_>>()[8..12], [8, 9, 0, 1]);
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    let snapshot = ledger.snapshot();
    assert_eq!(entries(&ledger), [10, 10, 10, 0]);
    assert_eq!((snapshot.entry_count, snapshot.open_entry_count, snapshot.entries_added), (34, 4, 34));
    assert_eq!(snapshot.size_bytes, (0..34).map(|i| payload(i).len() as u64).sum::<u64>());
    check_all(&ledger, 0..34).await?;
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_rollover_is_one_write_of_the_record() -> Result<()> {
    let (_ground, house, ledger) = start().await?;
    let before = ledger.snapshot().version;
    fill(&ledger, 0..25).await?;
    assert_eq!(ledger.snapshot().version, before + 2);
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_closes_the_open_ledger_and_drops_an_empty_one() -> Result<()> {
    let (ground, house, ledger) = start().await?;
    fill(&ledger, 0..14).await?;
    let (end, last) = (ledger.end(), *ledger.snapshot().ledgers.by_id.keys().next_back().unwrap());
    for expected in [[10, 4, 0], [10, 4, 0]] {
        ledger.close().await?;
        let again = house.open(&ground).await?;
        assert_eq!(entries(&again), expected);
        assert_eq!(again.end(), end);
        assert!(*again.snapshot().ledgers.by_id.keys().next_back().unwrap() > last, "ids are never used again");
        check_all(&again, 0..14).await?;
        again.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn appends_to_a_closed_topic_are_refused() -> Result<()> {
    let (_ground, _house, ledger) = start().await?;
    ledger.close().await?;
    assert_eq!(ledger.append(payload(0)).await?, Err(AppendError::Closed));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminated_topic_stays_readable_and_takes_nothing() -> Result<()> {
    let (ground, house, ledger) = start().await?;
    fill(&ledger, 0..25).await?;
    let end = ledger.terminate().await?;
    assert_eq!(end, ledger.terminate().await?);
    assert_eq!(entries(&ledger), [10, 10, 5]);
    assert_eq!(ledger.append(payload(25)).await?, Err(AppendError::Terminated));
    ledger.close().await?;
    let again = house.open(&ground).await?;
    assert!(again.is_terminated());
    assert_eq!((again.end(), entries(&again)), (end, vec![10, 10, 5]));
    check_all(&again, 0..25).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_keeps_its_place_over_a_reload() -> Result<()> {
    let (ground, house, ledger) = start().await?;
    let positions = fill(&ledger, 0..25).await?;
    let cursor = ledger.open_cursor("s", ledger.first(), BTreeMap::new()).await?;
    cursor.acknowledge(&[positions[0], positions[1], positions[4], positions[12]]);
    assert_eq!(cursor.first_unacked(), positions[2]);
    assert_eq!(cursor.backlog(), 21);
    cursor.acknowledge_through(positions[9]);
    assert_eq!(cursor.first_unacked(), Position::new(positions[9].ledger_id, 10));
    cursor.acknowledge(&[positions[10], positions[11]]);
    assert_eq!(cursor.first_unacked(), positions[13], "acknowledged ranges are swallowed across ledgers");
    ledger.close().await?;
    let again = house.open(&ground).await?;
    let cursor = again.cursor("s").expect("it is durable");
    assert_eq!((cursor.first_unacked(), cursor.backlog()), (positions[13], 12));
    assert!(cursor.is_acknowledged(positions[12]) && !cursor.is_acknowledged(positions[13]));
    cursor.reset(positions[3]).await?;
    assert_eq!(cursor.backlog(), 22);
    again.delete_cursor("s").await?;
    again.close().await?;
    assert!(house.open(&ground).await?.cursor("s").is_none());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn retention_waits_for_the_slowest_cursor_and_readers_hold_nothing() -> Result<()> {
    let (ground, house, ledger) = start().await?;
    let positions = fill(&ledger, 0..35).await?;
    let cursor = ledger.open_cursor("s", ledger.first(), BTreeMap::new()).await?;
    let reader = ledger.open_reader("r", ledger.first());
    ledger.close().await?;
    ground.set(|settings| settings.retention = Retention { time_ms: Some(0), size_bytes: Some(0) });
    let ledger = house.open(&ground).await?;
    ledger.trim().await?;
    check_all(&ledger, 0..35).await?;
    ledger.cursor("s").expect("it is durable").acknowledge_through(positions[14]);
    ledger.trim().await?;
    check_all(&ledger, 10..35).await?;
    ledger.delete_cursor("s").await?;
    ledger.trim().await?;
    check_all(&ledger, 35..35).await?;
    fill(&ledger, 35..37).await?;
    check_all(&ledger, 35..37).await?;
    drop((cursor, reader));
    let files = house.managed.stored(ledger.name()).await?.expect("the topic exists").ledgers.by_id.len();
    assert_eq!(files, 1, "only the open ledger is left");
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn truncation_removes_everything_and_the_topic_lives_on() -> Result<()> {
    let (_ground, house, ledger) = start().await?;
    fill(&ledger, 0..25).await?;
    let cursor = ledger.open_cursor("s", ledger.first(), BTreeMap::new()).await?;
    ledger.truncate().await?;
    assert_eq!((read_all(&ledger).await?.len(), cursor.backlog()), (0, 0));
    fill(&ledger, 100..103).await?;
    check_all(&ledger, 100..103).await?;
    assert_eq!(cursor.backlog(), 3);
    house.stop(ledger).await
}

#[tokio::test(flavor = "multi_thread")]
async fn deleting_the_topic_leaves_no_file_and_no_record() -> Result<()> {
    use longshore::storage::LedgerStore;
    let (_ground, house, ledger) = start().await?;
    fill(&ledger, 0..25).await?;
    ledger.open_cursor("s", ledger.first(), BTreeMap::new()).await?;
    ledger.close().await?;
    house.managed.delete(ledger.name(), &DriverSettings::default()).await?;
    assert_eq!(house.store.ledgers(), Vec::<LedgerId>::new());
    assert!(house.managed.stored(ledger.name()).await?.is_none());
    assert_eq!(house.metadata.keys("cursors/").await?, Vec::<String>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn many_appends_at_once_keep_their_order_across_rollovers() -> Result<()> {
    let (_ground, house, ledger) = start().await?;
    let answers: Vec<_> = (0..2000).map(|i| ledger.append(payload(i))).collect();
    let mut last = None;
    for answer in answers {
        let position = answer.await??;
        assert!(last.is_none_or(|last| last < position));
        last = Some(position);
    }
    check_all(&ledger, 0..2000).await?;
    house.stop(ledger).await
}

/// The figures of a period are of what happened in it, and the next period forgets them.
#[tokio::test(flavor = "multi_thread")]
async fn what_goes_in_and_out_is_counted_by_period() -> Result<()> {
    let (_ground, house, ledger) = start().await?;
    let _somebody_listens = ledger.watch_end();
    let period = std::time::Duration::from_secs(2);
    fill(&ledger, 0..34).await?;
    read_all(&ledger).await?;
    let cursor = ledger.open_cursor("s", ledger.first(), BTreeMap::new()).await?;
    cursor.acknowledge_through(ledger.first());
    assert_eq!(ledger.figures().added_entries, 0, "the period has not ended");
    ledger.tick_figures(period);
    let figures = ledger.figures();
    let bytes: u64 = (0..34).map(|i| payload(i).len() as u64).sum();
    assert_eq!((figures.added_entries, figures.refused_entries, figures.failed_reads), (34, 0, 0));
    assert_eq!((figures.added_entries_per_s, figures.added_bytes_per_s), (17.0, bytes as f64 / 2.0));
    assert_eq!((figures.entry_size.count(), figures.entry_size.sum), (34, bytes));
    assert_eq!((figures.append_latency.count(), figures.store_latency.count()), (34, 34));
    assert!(figures.append_latency.sum >= figures.store_latency.sum, "{figures:?}");
    assert_eq!(figures.replace_latency.count(), 3, "ledgers of ten entries");
    assert_eq!((figures.read_entries_per_s, figures.missed_entries_per_s), (17.0, 0.0));
    assert_eq!((figures.read_bytes_per_s, figures.cursor_moves_per_s), (bytes as f64 / 2.0, 0.5));

    ledger.terminate().await?;
    assert!(ledger.append(payload(34)).await?.is_err());
    ledger.tick_figures(period);
    let figures = ledger.figures();
    assert_eq!((figures.added_entries, figures.refused_entries, figures.reads), (0, 1, 0));
    assert_eq!((figures.append_latency.count(), figures.read_entries_per_s), (0, 0.0));
    house.stop(ledger).await
}

/// What memory does not have any more is read from a copy, and counted as such.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_memory_let_go_are_misses() -> Result<()> {
    let (ground, house, ledger) = start().await?;
    fill(&ledger, 0..25).await?;
    ledger.close().await?;
    let ledger = house.open(&ground).await?;
    read_all(&ledger).await?;
    ledger.tick_figures(std::time::Duration::from_secs(1));
    let figures = ledger.figures();
    assert_eq!((figures.read_entries_per_s, figures.missed_entries_per_s), (25.0, 25.0));
    house.stop(ledger).await
}
