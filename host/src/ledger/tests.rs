//! What the hot store promises: every answered entry back, in order, byte for byte, or an error that names the place.
//!
//! A crash is a copy of the folder taken from a living store; a lost page cache is that copy with its ledger files cut.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use tempfile::TempDir;

use super::disk::Action;
use super::layout::Layout;
use super::{FileLedgerStore, LedgerStoreSettings, RecoveryReport};
use crate::storage::{Entry, LedgerId, LedgerStore, LedgerSummary, ReadError, ReadHandle, StoreError};

const L: LedgerId = LedgerId(3);
const NAME: &str = "public/default/persistent/t";

fn journaled() -> LedgerStoreSettings {
    LedgerStoreSettings { direct_bytes_min: u64::MAX, ..Default::default() }
}

fn direct() -> LedgerStoreSettings {
    LedgerStoreSettings { direct_bytes_min: 0, direct_ledgers_max: usize::MAX, ..Default::default() }
}

fn unsynced() -> LedgerStoreSettings {
    LedgerStoreSettings { sync: false, ..Default::default() }
}

async fn open(folder: &Path, settings: LedgerStoreSettings) -> (FileLedgerStore, RecoveryReport) {
    FileLedgerStore::open(folder, settings).await.unwrap()
}

async fn append_all(store: &FileLedgerStore, id: LedgerId, first: u64, payloads: &[Bytes]) {
    let answers: Vec<_> = (first..).zip(payloads).map(|(entry, p)| store.append(id, entry, p.clone())).collect();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
}

async fn read_all(handle: &dyn ReadHandle) -> Result<Vec<Bytes>, ReadError> {
    let count = handle.metadata().entry_count;
    let mut entries: Vec<Entry> = Vec::new();
    while (entries.len() as u64) < count {
        entries.extend(handle.read(entries.len() as u64, count - 1, 4096).await?);
    }
    assert!((0..).zip(&entries).all(|(id, entry): (u64, _)| entry.entry_id == id));
    Ok(entries.into_iter().map(|entry| entry.payload).collect())
}

async fn read_ledger(store: &FileLedgerStore, id: LedgerId) -> Result<Vec<Bytes>, ReadError> {
    read_all(&*store.open(id).await?).await
}

fn payloads(count: usize, seed: u64) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(seed);
    let payload = |random: &mut fastrand::Rng| {
        let length = if random.u8(..) < 10 { random.usize(..20_000) } else { random.usize(..100) };
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    };
    (0..count).map(|_| payload(&mut random)).collect()
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).unwrap()),
        }
    }
}

/// The folder as a kill would leave it now.
fn crash_image(from: &Path) -> TempDir {
    let image = tempfile::tempdir().unwrap();
    copy_folder(from, image.path());
    image
}

fn cut_file(path: &Path, bytes: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(bytes).unwrap();
}

fn flip(path: &Path, offset: u64) {
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], offset).unwrap();
}

fn len(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

#[tokio::test]
async fn a_handle_follows_its_ledger_from_open_to_sealed_to_deleted() {
    for settings in [journaled(), direct(), unsynced()] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), settings).await;
        store.create(L, NAME, 42).await.unwrap();
        let handle = store.open(L).await.unwrap();
        assert_eq!(handle.metadata().entry_count, 0);
        assert!(matches!(handle.read(0, 0, 1).await, Err(ReadError::OutOfRange { entry_count: 0, .. })));
        let expected = payloads(300, 1);
        append_all(&store, L, 0, &expected).await;
        assert_eq!(read_all(&*handle).await.unwrap(), expected);
        let length_bytes = expected.iter().map(|payload| payload.len() as u64).sum();
        let summary = LedgerSummary { entry_count: 300, length_bytes };
        assert_eq!(store.seal(L).await.unwrap(), summary);
        assert_eq!(store.seal(L).await.unwrap(), summary, "a second seal answers the same");
        assert_eq!(read_all(&*handle).await.unwrap(), expected);
        let metadata = handle.metadata();
        assert_eq!((metadata.closed, metadata.created_ms, metadata.managed_ledger.as_str()), (true, 42, NAME));
        assert_eq!(metadata.length_bytes, length_bytes);
        let refused = store.append(L, 300, Bytes::new()).await.unwrap();
        assert_eq!(refused, Err(StoreError::NotOpen(L)));
        store.delete(L).await.unwrap();
        store.delete(L).await.unwrap();
        assert!(store.ledgers().is_empty());
        assert!(matches!(store.open(L).await, Err(ReadError::NotFound(_))));
        assert!(matches!(handle.read(0, 9, 1).await, Err(ReadError::NotFound(_))));
        assert_eq!(store.seal(L).await, Err(StoreError::NotOpen(L)));
    }
}

#[tokio::test]
async fn reads_stop_at_the_byte_limit_but_answer_one_entry_at_least() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), direct()).await;
    store.create(L, NAME, 0).await.unwrap();
    append_all(&store, L, 0, &vec![Bytes::from(vec![7; 100]); 10]).await;
    let handle = store.open(L).await.unwrap();
    for sealed in [false, true] {
        if sealed {
            store.seal(L).await.unwrap();
        }
        for (max_bytes, expected) in [(0, 1), (199, 1), (200, 2), (u64::MAX, 8)] {
            assert_eq!(handle.read(2, 9, max_bytes).await.unwrap().len(), expected);
        }
        assert!(matches!(handle.read(2, 10, 1).await, Err(ReadError::OutOfRange { last: 10, entry_count: 10, .. })));
        assert!(matches!(handle.read(2, 1, 1).await, Err(ReadError::OutOfRange { .. })));
    }
}

#[tokio::test]
async fn an_append_out_of_order_or_to_an_unknown_ledger_is_refused_and_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), direct()).await;
    assert_eq!(store.append(L, 0, Bytes::new()).await.unwrap(), Err(StoreError::NotOpen(L)));
    store.create(L, NAME, 0).await.unwrap();
    assert!(matches!(store.append(L, 1, Bytes::new()).await.unwrap(), Err(StoreError::WriteFailed(_))));
    store.append(L, 0, Bytes::new()).await.unwrap().unwrap();
    assert!(matches!(store.create(L, NAME, 0).await, Err(StoreError::WriteFailed(_))));
    assert_eq!(read_ledger(&store, L).await.unwrap(), [Bytes::new()]);
}

#[tokio::test]
async fn one_folder_serves_one_store() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), direct()).await;
    let error = FileLedgerStore::open(dir.path(), direct()).await.err().unwrap();
    assert!(error.to_string().contains("another process"), "{error}");
    store.close().await.unwrap();
    assert!(matches!(store.create(L, NAME, 0).await, Err(StoreError::WriteFailed(_))));
    assert!(store.append(L, 0, Bytes::new()).await.is_err(), "a stopped store drops the sender");
    drop(store);
    open(dir.path(), direct()).await;
}

/// Random operations against a plain model, with closes and crashes between.
#[tokio::test]
async fn random_operations_agree_with_a_model() {
    for seed in 0..24 {
        println!("seed {seed}");
        let mut settings = [journaled(), direct(), unsynced(), LedgerStoreSettings::default()][seed as usize % 4];
        settings.journal_bytes_max = 100_000;
        settings.index_cache_bytes_max = 1000;
        settings.files_open_max = 2;
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path(), settings).await;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut model: BTreeMap<LedgerId, (Vec<Bytes>, bool)> = BTreeMap::new();
        let mut next_id = 4090;
        for step in 0..120 {
            let ids: Vec<LedgerId> = model.keys().copied().collect();
            let chosen = (!ids.is_empty()).then(|| ids[random.usize(..ids.len())]);
            match (random.u8(..100), chosen) {
                (0..20, _) | (_, None) => {
                    next_id += random.u64(1..3);
                    store.create(LedgerId(next_id), NAME, step).await.unwrap();
                    model.insert(LedgerId(next_id), (Vec::new(), true));
                }
                (20..70, Some(id)) => {
                    let (entries, open) = model.get_mut(&id).unwrap();
                    let more = payloads(random.usize(1..30), random.u64(..));
                    if *open {
                        append_all(&store, id, entries.len() as u64, &more).await;
                        entries.extend(more);
                    } else {
                        let refused = store.append(id, entries.len() as u64, Bytes::new()).await.unwrap();
                        assert_eq!(refused, Err(StoreError::NotOpen(id)));
                    }
                }
                (70..80, Some(id)) => {
                    let summary = store.seal(id).await.unwrap();
                    let (entries, open) = model.get_mut(&id).unwrap();
                    assert_eq!(summary.entry_count, entries.len() as u64);
                    *open = false;
                }
                (80..88, Some(id)) => {
                    store.delete(id).await.unwrap();
                    model.remove(&id);
                }
                (88..92, _) => {
                    if random.bool() {
                        store.close().await.unwrap();
                    }
                    drop(store);
                    (store, _) = open(dir.path(), settings).await;
                    model.values_mut().for_each(|(_, open)| *open = false);
                }
                (_, Some(id)) => assert_eq!(read_ledger(&store, id).await.unwrap(), model[&id].0),
            }
            assert_eq!(store.ledgers(), model.keys().copied().collect::<Vec<_>>());
        }
        for (id, (entries, _)) in &model {
            assert_eq!(&read_ledger(&store, *id).await.unwrap(), entries);
        }
    }
}

/// Opens a crash image and answers what ledger [`L`] holds.
async fn recovered(image: &Path) -> (Vec<Bytes>, RecoveryReport) {
    let (store, report) = open(image, journaled()).await;
    let entries = read_ledger(&store, L).await.unwrap();
    store.seal(L).await.unwrap();
    assert_eq!(read_ledger(&store, L).await.unwrap(), entries, "sealing a recovered ledger changes nothing");
    (entries, report)
}

async fn image_with(settings: LedgerStoreSettings, expected: &[Bytes]) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), settings).await;
    store.create(L, NAME, 5).await.unwrap();
    append_all(&store, L, 0, expected).await;
    crash_image(dir.path())
}

fn small(count: u8) -> Vec<Bytes> {
    (0..count).map(|i| Bytes::from(vec![i; usize::from(i) * 3])).collect()
}

#[tokio::test]
async fn a_file_cut_anywhere_keeps_the_whole_records_before_the_cut() {
    let expected = small(5);
    let image = image_with(direct(), &expected).await;
    let path = Layout::new(image.path()).open_path(L);
    let header = 36 + NAME.len() as u64 + 4;
    for end in header..=len(&path) {
        let copy = crash_image(image.path());
        cut_file(&Layout::new(copy.path()).open_path(L), end);
        let fitting = expected.iter().scan(header, |at, payload| {
            *at += 16 + payload.len() as u64;
            (*at <= end).then_some(())
        });
        let (entries, report) = recovered(copy.path()).await;
        assert_eq!(entries, expected[..fitting.count()], "cut at {end}");
        assert_eq!(report.cut_files, Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
async fn the_journal_brings_back_what_a_ledger_file_lost() {
    let expected = small(6);
    let image = image_with(journaled(), &expected).await;
    for end in 0..=len(&Layout::new(image.path()).open_path(L)) {
        let copy = crash_image(image.path());
        cut_file(&Layout::new(copy.path()).open_path(L), end);
        let (entries, report) = recovered(copy.path()).await;
        assert_eq!(entries, expected, "ledger file cut at {end}");
        assert!(report.cut_files.is_empty());
    }
    let copy = crash_image(image.path());
    fs::remove_file(Layout::new(copy.path()).open_path(L)).unwrap();
    assert_eq!(recovered(copy.path()).await.0, expected, "the file's name itself was lost");
}

#[tokio::test]
async fn a_journal_cut_anywhere_brings_back_a_prefix() {
    let expected = small(6);
    let image = image_with(journaled(), &expected).await;
    let journal = Layout::new(image.path()).journal_path(0);
    let (mut last_count, mut whole) = (0, 0);
    for end in 0..=len(&journal) {
        let copy = crash_image(image.path());
        let layout = Layout::new(copy.path());
        cut_file(&layout.journal_path(0), end);
        cut_file(&layout.open_path(L), 40);
        let (store, report) = open(copy.path(), journaled()).await;
        assert!(report.cut_files.is_empty(), "cut at {end}");
        let Ok(entries) = read_ledger(&store, L).await else {
            assert!(store.ledgers().is_empty() && last_count == 0);
            continue;
        };
        assert_eq!(entries, expected[..entries.len()]);
        assert!(entries.len() >= last_count, "a longer journal brings back no less");
        last_count = entries.len();
        whole += usize::from(entries.len() == expected.len());
    }
    assert_eq!(whole, 1, "all entries need the whole journal");
}

#[tokio::test]
async fn whatever_byte_of_a_journal_is_damaged_no_garbage_comes_back() {
    let expected = small(4);
    let image = image_with(journaled(), &expected).await;
    for offset in 0..len(&Layout::new(image.path()).journal_path(0)) {
        let copy = crash_image(image.path());
        let layout = Layout::new(copy.path());
        flip(&layout.journal_path(0), offset);
        cut_file(&layout.open_path(L), 70);
        let (store, _) = open(copy.path(), journaled()).await;
        if let Ok(entries) = read_ledger(&store, L).await {
            assert_eq!(entries, expected[..entries.len()]);
        }
    }
}

#[tokio::test]
async fn whatever_byte_of_an_open_ledger_is_damaged_the_rest_is_set_aside_or_replayed() {
    let expected = small(4);
    for (settings, from_journal) in [(direct(), false), (journaled(), true)] {
        let image = image_with(settings, &expected).await;
        for offset in 0..len(&Layout::new(image.path()).open_path(L)) {
            let copy = crash_image(image.path());
            let layout = Layout::new(copy.path());
            flip(&layout.open_path(L), offset);
            let (entries, report) = recovered(copy.path()).await;
            assert_eq!(entries, expected[..entries.len()]);
            assert!(!from_journal || entries.len() == expected.len(), "offset {offset}");
            let lost_several = entries.len() + 1 < expected.len();
            assert_eq!(!report.cut_files.is_empty(), lost_several, "offset {offset}: {report:?}");
            assert!(report.cut_files.iter().all(|file| len(file) > 0));
        }
    }
}

#[tokio::test]
async fn a_seal_cut_anywhere_leaves_every_entry() {
    let expected = small(5);
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), direct()).await;
    store.create(L, NAME, 5).await.unwrap();
    append_all(&store, L, 0, &expected).await;
    let unsealed_bytes = len(&Layout::new(dir.path()).open_path(L));
    store.seal(L).await.unwrap();
    let sealed_bytes = len(&Layout::new(dir.path()).sealed_path(L));
    for end in unsealed_bytes..=sealed_bytes {
        let copy = crash_image(dir.path());
        let layout = Layout::new(copy.path());
        fs::rename(layout.sealed_path(L), layout.open_path(L)).unwrap();
        cut_file(&layout.open_path(L), end);
        let (entries, report) = recovered(copy.path()).await;
        assert_eq!(entries, expected, "cut at {end}");
        assert_eq!(report.sealed_count, usize::from(end == sealed_bytes));
        assert!(report.cut_files.is_empty());
    }
}

/// The footer's page may reach the disk before the records' pages do.
#[tokio::test]
async fn a_footer_in_front_of_lost_records_is_not_believed() {
    let expected = small(5);
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), journaled()).await;
    store.create(L, NAME, 5).await.unwrap();
    append_all(&store, L, 0, &expected).await;
    store.seal(L).await.unwrap();
    let copy = crash_image(dir.path());
    let layout = Layout::new(copy.path());
    fs::rename(layout.sealed_path(L), layout.open_path(L)).unwrap();
    let file = OpenOptions::new().write(true).open(layout.open_path(L)).unwrap();
    file.write_all_at(&[0; 60], 90).unwrap();
    assert_eq!(recovered(copy.path()).await.0, expected);
}

#[tokio::test]
async fn whatever_byte_of_a_sealed_ledger_is_damaged_reads_are_right_or_name_the_place() {
    let expected = small(6);
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), direct()).await;
    store.create(L, NAME, 5).await.unwrap();
    append_all(&store, L, 0, &expected).await;
    store.seal(L).await.unwrap();
    store.close().await.unwrap();
    let path = Layout::new(dir.path()).sealed_path(L);
    for offset in 0..len(&path) {
        flip(&path, offset);
        drop_lock_and_read(dir.path(), &expected, &path, offset).await;
        flip(&path, offset);
    }
    cut_file(&path, len(&path) - 1);
    drop_lock_and_read(dir.path(), &expected, &path, 0).await;
}

async fn drop_lock_and_read(folder: &Path, expected: &[Bytes], path: &Path, offset: u64) {
    let copy = crash_image(folder);
    let (store, _) = open(copy.path(), direct()).await;
    let error = read_ledger(&store, L).await.expect_err(&format!("byte {offset} is covered by a checksum"));
    let ReadError::Corrupt { place, .. } = &error else { panic!("{error}") };
    assert!(place.ends_with(&path.file_name().unwrap().to_string_lossy().into_owned()), "{error}");
    let intact = store.open(L).await;
    if let Ok(handle) = intact
        && let Ok(entries) = handle.read(0, 0, 1).await
    {
        assert_eq!(entries[0].payload, expected[0]);
    }
}

#[tokio::test]
async fn the_journal_stays_within_its_limit_and_its_ledgers_survive_its_dropping() {
    let dir = tempfile::tempdir().unwrap();
    let settings = LedgerStoreSettings { journal_bytes_max: 40_000, group_bytes_max: 1000, ..journaled() };
    let (store, _) = open(dir.path(), settings).await;
    store.create(L, NAME, 0).await.unwrap();
    let payload = Bytes::from(vec![1; 500]);
    let layout = Layout::new(dir.path());
    let mut written_over = 0;
    for entry in 0..1000 {
        store.append(L, entry, payload.clone()).await.unwrap().unwrap();
        // A listing may miss a file that is renamed meanwhile.
        let Some(active) = layout.journal_numbers().unwrap().pop() else { continue };
        written_over += usize::from(fs::metadata(layout.journal_path(active)).is_ok_and(|file| file.len() >= 20_000));
        // Only one segment may wait for its checkpoint.
        assert!(layout.journal_numbers().unwrap().len() <= 3);
        assert!(layout.spare_numbers().unwrap().len() <= 2);
    }
    assert!(layout.journal_numbers().unwrap().first().is_none_or(|first| *first > 10), "old segments are gone");
    assert!(written_over > 500, "segments are used again: {written_over}");
    let copy = crash_image(dir.path());
    assert_eq!(recovered(copy.path()).await.0.len(), 1000, "what an earlier use of a segment left does not count");
    store.close().await.unwrap();
    assert_eq!(layout.journal_numbers().unwrap(), Vec::<u64>::new(), "an orderly end leaves no journal");
}

#[tokio::test]
async fn a_deleted_ledger_does_not_come_back_from_the_journal() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), journaled()).await;
    store.create(L, NAME, 0).await.unwrap();
    append_all(&store, L, 0, &small(3)).await;
    store.create(LedgerId(9), NAME, 0).await.unwrap();
    let before = crash_image(dir.path());
    store.delete(L).await.unwrap();
    let after = crash_image(dir.path());
    // The unlink was lost with the page cache, the journal's record was not.
    fs::copy(Layout::new(before.path()).open_path(L), Layout::new(after.path()).open_path(L)).unwrap();
    let (recovered, _) = open(after.path(), journaled()).await;
    assert_eq!(recovered.ledgers(), [LedgerId(9)]);
}

#[tokio::test]
async fn a_damaged_header_of_an_unsealed_ledger_costs_the_name_not_the_bytes() {
    let image = image_with(direct(), &small(4)).await;
    let layout = Layout::new(image.path());
    for number in layout.journal_numbers().unwrap() {
        fs::remove_file(layout.journal_path(number)).unwrap();
    }
    flip(&layout.open_path(L), 2);
    fs::write(layout.folder(L).join("8.open"), b"LSHS").unwrap();
    let (store, report) = open(image.path(), direct()).await;
    assert!(store.ledgers().is_empty());
    assert_eq!(report.cut_files, [layout.cut_path(L)], "a create that was never answered leaves nothing");
    assert!(!layout.open_path(LedgerId(8)).exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tasks_append_to_many_ledgers_while_others_read_and_delete() {
    let dir = tempfile::tempdir().unwrap();
    let store =
        Arc::new(open(dir.path(), LedgerStoreSettings { journal_bytes_max: 1 << 20, ..Default::default() }).await.0);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..8_u64 {
        let store = store.clone();
        tasks.spawn(async move {
            let ids: Vec<LedgerId> = (0..50).filter(|id| id % 8 == task).map(LedgerId).collect();
            for id in &ids {
                store.create(*id, NAME, 0).await.unwrap();
            }
            for round in 0..20 {
                for id in &ids {
                    let entries = payloads(5, id.0 * 1000 + round);
                    append_all(&store, *id, round * 5, &entries).await;
                    let handle = store.open(*id).await.unwrap();
                    let read = handle.read(round * 5, round * 5 + 4, u64::MAX).await.unwrap();
                    assert!(read.iter().map(|entry| &entry.payload).eq(&entries), "an answered entry is readable");
                }
            }
            for id in &ids {
                let handle = store.open(*id).await.unwrap();
                let reading = tokio::spawn(async move { read_all(&*handle).await });
                match id.0 % 3 {
                    0 => store.delete(*id).await.unwrap(),
                    _ => assert_eq!(store.seal(*id).await.unwrap().entry_count, 100),
                }
                match reading.await.unwrap() {
                    Ok(entries) => assert!(
                        entries.chunks(5).zip(0..).all(|(chunk, round)| chunk == payloads(5, id.0 * 1000 + round))
                    ),
                    Err(error) => assert!(id.0 % 3 == 0 && matches!(error, ReadError::NotFound(_)), "{error}"),
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!(store.ledgers(), (0..50).filter(|id| id % 3 != 0).map(LedgerId).collect::<Vec<_>>());
}

fn fail(store: &FileLedgerStore, action: Action, ending: &'static str, kind: io::ErrorKind) {
    let fault = move |a: Action, path: &Path| (a == action && path.to_string_lossy().ends_with(ending)).then_some(kind);
    *store.disk().fault.lock().unwrap() = Some(Box::new(fault));
}

fn mend(store: &FileLedgerStore) {
    *store.disk().fault.lock().unwrap() = None;
}

#[tokio::test]
async fn a_full_disk_refuses_the_ledger_keeps_it_readable_and_passes() {
    for (settings, ending) in [(direct(), "3.open"), (journaled(), ".journal")] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), settings).await;
        store.create(L, NAME, 0).await.unwrap();
        append_all(&store, L, 0, &small(4)).await;
        fail(&store, Action::Write, ending, io::ErrorKind::StorageFull);
        let refused = store.append(L, 4, Bytes::from_static(b"x")).await.unwrap();
        assert!(matches!(refused, Err(StoreError::StorageFull(_))), "{refused:?}");
        assert_eq!(read_ledger(&store, L).await.unwrap(), small(4));
        mend(&store);
        let refused = store.append(L, 5, Bytes::new()).await.unwrap();
        assert!(matches!(refused, Err(StoreError::WriteFailed(_))), "refused until a restart: {refused:?}");
        store.create(LedgerId(4), NAME, 0).await.unwrap();
        append_all(&store, LedgerId(4), 0, &small(4)).await;
        assert_eq!(store.seal(L).await.unwrap().entry_count, 4, "what was answered can be sealed");
        assert_eq!(read_ledger(&store, L).await.unwrap(), small(4));
        drop(store);
        let (store, _) = open(dir.path(), settings).await;
        assert_eq!(read_ledger(&store, L).await.unwrap(), small(4));
        assert_eq!(read_ledger(&store, LedgerId(4)).await.unwrap(), small(4));
    }
}

#[tokio::test]
async fn a_failed_flush_refuses_the_ledger_until_a_restart() {
    for (settings, ending, sealable) in [(direct(), "3.open", false), (journaled(), ".journal", true)] {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = open(dir.path(), settings).await;
        store.create(L, NAME, 0).await.unwrap();
        append_all(&store, L, 0, &small(4)).await;
        fail(&store, Action::Flush, ending, io::ErrorKind::Other);
        let refused = store.append(L, 4, Bytes::from_static(b"x")).await.unwrap();
        assert!(matches!(refused, Err(StoreError::WriteFailed(_))), "{refused:?}");
        mend(&store);
        assert!(store.append(L, 5, Bytes::new()).await.unwrap().is_err());
        assert_eq!(read_ledger(&store, L).await.unwrap(), small(4), "an unanswered entry is not shown");
        assert_eq!(store.seal(L).await.is_ok(), sealable, "only the ledger's own flush makes its file doubtful");
        store.create(LedgerId(4), NAME, 0).await.unwrap();
        append_all(&store, LedgerId(4), 0, &small(4)).await;
        drop(store);
        let (store, _) = open(dir.path(), settings).await;
        let entries = read_ledger(&store, L).await.unwrap();
        assert_eq!(entries[..4], small(4), "the acknowledged entries, or more");
        assert_eq!(read_ledger(&store, LedgerId(4)).await.unwrap(), small(4));
        store.seal(L).await.unwrap();
    }
}

#[tokio::test]
async fn a_failed_checkpoint_keeps_the_journal_for_the_next_start() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), journaled()).await;
    store.create(L, NAME, 0).await.unwrap();
    append_all(&store, L, 0, &small(4)).await;
    fail(&store, Action::Flush, "3.open", io::ErrorKind::Other);
    assert!(store.close().await.is_err());
    let copy = crash_image(dir.path());
    cut_file(&Layout::new(copy.path()).open_path(L), 70);
    assert_eq!(recovered(copy.path()).await.0, small(4));
}

#[tokio::test]
async fn a_failed_create_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), journaled()).await;
    for ending in ["3.open", ".journal"] {
        fail(&store, Action::Write, ending, io::ErrorKind::StorageFull);
        assert!(matches!(store.create(L, NAME, 0).await, Err(StoreError::StorageFull(_))));
        assert!(store.ledgers().is_empty());
        mend(&store);
    }
    store.create(L, NAME, 0).await.unwrap();
    append_all(&store, L, 0, &small(2)).await;
    let long = "x".repeat(100_000);
    assert!(matches!(store.create(LedgerId(5), &long, 0).await, Err(StoreError::WriteFailed(_))));
}
