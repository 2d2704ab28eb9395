//! What the driver promises of each operation.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use longshore_plugin_api::read_handle::{BoxFuture, LedgerSource};
use longshore_plugin_api::{
    DriverConfig, Entry, Error, ErrorCode, LedgerMetadata, LedgerReader, Offloader, OffloaderFactory, ReadHandle,
    Result, ScanRequest, StoredLedger,
};
use tiered_storage_file_system::FileSystemFactory;
use uuid::Uuid;

use crate::kit::{
    COMPRESSIONS, MANAGED_LEDGER, Tier, config, driver_on, random_payloads, read_all, request, stored, tree,
};

fn uid(number: u128) -> Uuid {
    Uuid::from_u128(number)
}

fn payloads(texts: &[&'static str]) -> Vec<Bytes> {
    texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect()
}

#[tokio::test]
async fn random_ledgers_come_back_in_each_compression() {
    for seed in 0..8 {
        let mut random = fastrand::Rng::with_seed(seed);
        let (count, longest) = (random.usize(1..1500), [0, 100, 3000, 200_000][random.usize(0..4)]);
        let model = random_payloads(&mut random, count.min(40_000_000 / (longest + 1)), longest);
        for compression in [Some("NONE"), Some("RECORD"), Some("BLOCK"), None] {
            let tier = Tier::new(compression).await;
            tier.offload(5, uid(1), &model).await.unwrap();
            let handle = tier.open(5, uid(1)).await.unwrap();
            assert_eq!(handle.metadata().entry_count, model.len() as u64);
            let case = format!("seed {seed}, {compression:?}");
            assert!(read_all(&handle, 1 << 20).await.unwrap() == model, "{case}");
            for _ in 0..40 {
                let first = random.usize(0..model.len());
                let last = random.usize(first..model.len());
                let max_bytes = random.u64(0..300_000);
                let read = handle.read(first as u64, last as u64, max_bytes).await.unwrap();
                let wanted = LedgerReader::in_memory(5, model.clone());
                let wanted = wanted.read(first as u64, last as u64, max_bytes).await.unwrap();
                assert!(read == wanted, "{case}: {first}..={last}, at most {max_bytes} bytes");
            }
        }
    }
}

#[tokio::test]
async fn the_largest_entries_and_empty_ones_come_back() {
    let mut random = fastrand::Rng::with_seed(9);
    let large: Vec<u8> = (0..5 << 20).map(|_| random.u8(..)).collect();
    let model = vec![Bytes::new(), large.into(), Bytes::from_static(b"x"), vec![0; 5 << 20].into(), Bytes::new()];
    for compression in COMPRESSIONS {
        let tier = Tier::new(Some(compression)).await;
        tier.offload(5, uid(1), &model).await.unwrap();
        let handle = tier.open(5, uid(1)).await.unwrap();
        assert!(read_all(&handle, 1000).await.unwrap() == model, "{compression}");
        assert!(read_all(&handle, u64::MAX).await.unwrap() == model, "{compression}");
    }
}

#[tokio::test]
async fn a_copy_has_pulsars_layout_and_nothing_beside_it() {
    let tier = Tier::new(None).await;
    tier.offload(17, uid(7), &payloads(&["a", "b"])).await.unwrap();
    let copy = format!("{MANAGED_LEDGER}/17-{}", uid(7));
    let mut expected: Vec<String> =
        ["public", "public/default", "public/default/persistent", MANAGED_LEDGER, &copy].map(str::to_owned).into();
    expected.extend([".data.crc", ".index.crc", "data", "index"].map(|name| format!("{copy}/{name}")));
    assert_eq!(tree(&tier.base()), expected);
    let metadata = tier.driver.driver_metadata();
    let base = format!("file://{}", tier.base().display());
    assert_eq!(metadata, BTreeMap::from([("storageBasePath".to_owned(), base)]));
}

#[tokio::test]
async fn a_repeated_offload_replaces_the_copy_and_takes_debris_away() {
    let tier = Tier::new(None).await;
    let debris = tier.topic_folder().join(format!(".5-{}.tmp/old", uid(1)));
    fs::create_dir_all(&debris).unwrap();
    fs::write(debris.join("data"), b"half").unwrap();
    for model in [payloads(&["a", "b"]), payloads(&["c"])] {
        tier.offload(5, uid(1), &model).await.unwrap();
        let handle = tier.open(5, uid(1)).await.unwrap();
        assert_eq!(read_all(&handle, u64::MAX).await.unwrap(), model);
        let names: Vec<_> = fs::read_dir(tier.topic_folder()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, [format!("5-{}", uid(1)).as_str()]);
    }
}

#[tokio::test]
async fn an_empty_or_open_ledger_is_refused() {
    let tier = Tier::new(None).await;
    let error = tier.offload(5, uid(1), &[]).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
    let open = Source::new(&["a"], |metadata| metadata.closed = false);
    let error = tier.driver.offload(LedgerReader::new(open), request(5, uid(1))).await.unwrap_err();
    assert_eq!(error.message(), "An empty or open ledger should never be offloaded");
    assert_eq!(tree(&tier.base()), [""; 0]);
}

/// A ledger whose host misbehaves.
struct Source {
    metadata: LedgerMetadata,
    entries: Vec<Entry>,
    fail_at: Option<u64>,
    hang_at: Option<u64>,
    progress: AtomicU64,
}

impl Source {
    fn build(texts: &[&'static str]) -> Self {
        let entries: Vec<Entry> =
            (0..).zip(payloads(texts)).map(|(entry_id, payload)| Entry { entry_id, payload }).collect();
        let metadata = LedgerReader::in_memory(5, payloads(texts)).metadata().clone();
        Self { metadata, entries, fail_at: None, hang_at: None, progress: AtomicU64::new(0) }
    }

    fn new(texts: &[&'static str], change: impl FnOnce(&mut LedgerMetadata)) -> Arc<Self> {
        let mut source = Self::build(texts);
        change(&mut source.metadata);
        Arc::new(source)
    }
}

impl LedgerSource for Source {
    fn metadata(&self) -> &LedgerMetadata {
        &self.metadata
    }

    fn read(&self, first: u64, _last: u64, _max_bytes: u64) -> BoxFuture<'_, Result<Vec<Entry>>> {
        Box::pin(async move {
            if self.fail_at == Some(first) {
                return Err(Error::new(ErrorCode::Unavailable, "the hot ledger is gone"));
            }
            if self.hang_at == Some(first) {
                std::future::pending::<()>().await;
            }
            Ok(self.entries.get(first as usize).cloned().into_iter().collect())
        })
    }

    fn progress(&self, bytes: u64) {
        self.progress.fetch_add(bytes, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn a_ledger_that_is_not_what_its_metadata_says_leaves_nothing() {
    let tier = Tier::new(None).await;
    let mut failing = Source::build(&["a", "b"]);
    failing.fail_at = Some(1);
    let mut gap = Source::build(&["a", "b", "c"]);
    gap.entries[1].entry_id = 2;
    for (source, code, part) in [
        (Arc::new(failing), ErrorCode::Unavailable, "the hot ledger is gone"),
        (Arc::new(gap), ErrorCode::InvalidArgument, "entry 2 where 1 follows"),
        (Source::new(&["a"], |it| it.entry_count = 2), ErrorCode::InvalidArgument, "no entry from 1 on"),
        (Source::new(&["a"], |it| it.length_bytes = 9), ErrorCode::InvalidArgument, "its metadata says 1 with 9"),
    ] {
        let error = tier.driver.offload(LedgerReader::new(source), request(5, uid(1))).await.unwrap_err();
        assert_eq!(error.code(), code, "{error}");
        assert!(error.to_string().contains(part), "{error}");
        assert_eq!(tree(&tier.topic_folder()), [""; 0]);
    }
}

#[tokio::test]
async fn progress_adds_up_to_the_payload() {
    let tier = Tier::new(None).await;
    let source = Source::new(&["abc", "", "de"], |_| {});
    tier.driver.offload(LedgerReader::new(source.clone()), request(5, uid(1))).await.unwrap();
    assert_eq!(source.progress.load(Ordering::Relaxed), 5);
}

#[tokio::test]
async fn an_offload_that_is_dropped_takes_its_attempt_away() {
    let tier = Tier::new(None).await;
    let mut source = Source::build(&["a", "b"]);
    source.hang_at = Some(1);
    let offload = tier.driver.offload(LedgerReader::new(Arc::new(source)), request(5, uid(1)));
    let has_begun = async {
        while !tier.topic_folder().is_dir() || tree(&tier.topic_folder()).is_empty() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = offload => panic!("{ended:?}"),
        () = has_begun => {}
    }
    for _ in 0..200 {
        if tree(&tier.topic_folder()).is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("left behind: {:?}", tree(&tier.topic_folder()));
}

#[tokio::test]
async fn a_missing_copy_is_not_found_and_names_where_it_was_looked_for() {
    let tier = Tier::new(None).await;
    let error = tier.open(5, uid(1)).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(error.message().contains(&tier.copy_folder(5, uid(1)).display().to_string()), "{error}");
}

#[tokio::test]
async fn a_copy_without_one_of_its_files_or_with_a_folder_for_it_is_corrupt() {
    let tier = Tier::new(None).await;
    for name in ["data", "index"] {
        tier.offload(5, uid(1), &payloads(&["a"])).await.unwrap();
        let path = tier.copy_folder(5, uid(1)).join(name);
        fs::remove_file(&path).unwrap();
        let error = tier.open(5, uid(1)).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::Corrupt, "{error}");
        assert!(error.message().ends_with(&format!("it has no file {name}")), "{error}");
        fs::create_dir(&path).unwrap();
        assert_eq!(tier.open(5, uid(1)).await.unwrap_err().code(), ErrorCode::Corrupt);
    }
}

#[tokio::test]
async fn ranges_are_checked() {
    let tier = Tier::new(None).await;
    tier.offload(5, uid(1), &payloads(&["a", "b"])).await.unwrap();
    let handle = tier.open(5, uid(1)).await.unwrap();
    assert_eq!(handle.read(1, 0, 10).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    assert_eq!(handle.read(0, 2, 10).await.unwrap_err().code(), ErrorCode::OutOfRange);
}

#[tokio::test]
async fn reads_at_once_do_not_disturb_each_other() {
    let model = random_payloads(&mut fastrand::Rng::with_seed(2), 1200, 900);
    for compression in COMPRESSIONS {
        let tier = Tier::with_profile(&[
            ("io.seqfile.compression.type", compression),
            ("io.seqfile.compress.blocksize", "20000"),
        ])
        .await;
        tier.offload(5, uid(1), &model).await.unwrap();
        let handle = Arc::new(tier.open(5, uid(1)).await.unwrap());
        let readers: Vec<_> = (0..8u64)
            .map(|seed| {
                let (handle, model) = (handle.clone(), model.clone());
                tokio::spawn(async move {
                    let mut random = fastrand::Rng::with_seed(seed);
                    for _ in 0..60 {
                        let first = random.u64(0..1200);
                        let entries = handle.read(first, 1199, 5000).await.unwrap();
                        assert!(entries.iter().all(|entry| entry.payload == model[entry.entry_id as usize]));
                    }
                })
            })
            .collect();
        for reader in readers {
            reader.await.unwrap();
        }
    }
}

#[tokio::test]
async fn delete_removes_the_copy_and_every_attempt_and_may_be_repeated() {
    let tier = Tier::new(None).await;
    for ledger in [5, 6] {
        tier.offload(ledger, uid(1), &payloads(&["a"])).await.unwrap();
    }
    for left in [".tmp/x", ".deleted"] {
        let folder = tier.topic_folder().join(format!(".5-{}{left}", uid(1)));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("data"), b"half").unwrap();
    }
    for _ in 0..2 {
        tier.driver.delete(stored(5, uid(1))).await.unwrap();
        let names: Vec<_> = fs::read_dir(tier.topic_folder()).unwrap().map(|it| it.unwrap().file_name()).collect();
        assert_eq!(names, [format!("6-{}", uid(1)).as_str()]);
    }
    tier.driver.delete(stored(99, uid(1))).await.unwrap();
    assert_eq!(tier.open(5, uid(1)).await.unwrap_err().code(), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_file_where_a_folder_should_be_is_named_and_does_no_harm_once_removed() {
    let tier = Tier::new(None).await;
    let in_the_way = tier.base().join("public");
    fs::create_dir_all(tier.base()).unwrap();
    fs::write(&in_the_way, b"in the way").unwrap();
    let error = tier.offload(5, uid(1), &payloads(&["a"])).await.unwrap_err();
    assert!(error.to_string().contains(&in_the_way.display().to_string()), "{error}");
    tier.driver.delete(stored(5, uid(1))).await.unwrap();
    assert_eq!(tier.open(5, uid(1)).await.unwrap_err().code(), ErrorCode::NotFound);
    fs::remove_file(&in_the_way).unwrap();
    tier.offload(5, uid(1), &payloads(&["a"])).await.unwrap();
    tier.open(5, uid(1)).await.unwrap();
}

#[tokio::test]
async fn copies_below_the_old_base_and_below_the_recorded_one_are_found_and_deleted() {
    let old = Tier::new(None).await;
    old.offload(5, uid(1), &payloads(&["old"])).await.unwrap();
    let moved = tempfile::tempdir().unwrap();

    let with_old_base = driver_on(moved.path(), &[("hadoop.tmp.dir", old.base().to_str().unwrap())]).await;
    let handle = with_old_base.open_read(stored(5, uid(1))).await.unwrap();
    assert_eq!(read_all(&handle, 10).await.unwrap(), payloads(&["old"]));
    // NFS lets nothing go that is open.
    drop(handle);
    let page = with_old_base.scan(ScanRequest { after: None, limit: 10 }).await.unwrap();
    assert_eq!(page.ledgers.len(), 1);

    let moved_driver = driver_on(moved.path(), &[]).await;
    assert_eq!(moved_driver.open_read(stored(5, uid(1))).await.unwrap_err().code(), ErrorCode::NotFound);
    let recorded = StoredLedger { driver_metadata: old.driver.driver_metadata(), ..stored(5, uid(1)) };
    moved_driver.open_read(recorded).await.unwrap();

    with_old_base.delete(stored(5, uid(1))).await.unwrap();
    assert_eq!(tree(&old.topic_folder()), [""; 0]);
}

#[tokio::test]
async fn scan_lists_complete_copies_page_by_page() {
    let tier = Tier::new(None).await;
    assert_eq!(tier.driver.scan(ScanRequest { after: None, limit: 3 }).await.unwrap().ledgers, []);
    for ledger in 0..10 {
        tier.offload(ledger, uid(u128::from(ledger)), &payloads(&["a"])).await.unwrap();
    }
    fs::create_dir_all(tier.topic_folder().join(format!(".77-{}.tmp/x", uid(1)))).unwrap();
    fs::create_dir_all(tier.topic_folder().join(format!("77-{}", uid(1)))).unwrap();
    fs::create_dir_all(tier.topic_folder().join("somebody's")).unwrap();
    for limit in [1, 3, 5, 10, 100] {
        let (mut ledgers, mut after) = (Vec::new(), None);
        loop {
            let page = tier.driver.scan(ScanRequest { after, limit }).await.unwrap();
            assert!(page.ledgers.len() <= limit as usize && !page.ledgers.is_empty());
            ledgers.extend(page.ledgers);
            after = page.next;
            if after.is_none() {
                break;
            }
            assert!(ledgers.len() <= 10);
        }
        assert_eq!(ledgers.iter().map(|it| it.ledger_id).collect::<Vec<_>>(), (0..10).collect::<Vec<_>>());
        assert!(ledgers.iter().all(|it| it.managed_ledger.as_deref() == Some(MANAGED_LEDGER)));
        assert!(ledgers.iter().all(|it| it.size_bytes > 200 && it.uid == uid(u128::from(it.ledger_id))));
    }
    let error = tier.driver.scan(ScanRequest { after: Some("nonsense".to_owned()), limit: 1 }).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument);
}

#[tokio::test]
async fn health_leaves_nothing_and_sees_a_base_that_is_no_folder() {
    let tier = Tier::new(None).await;
    tier.driver.health().await.unwrap();
    assert!(!tier.base().exists());
    fs::create_dir(tier.base()).unwrap();
    tier.driver.health().await.unwrap();
    assert_eq!(tree(&tier.base()), [""; 0]);
    fs::remove_dir(tier.base()).unwrap();
    fs::write(tier.base(), b"").unwrap();
    let error = tier.driver.health().await.unwrap_err();
    assert!(error.to_string().contains("is not a folder"), "{error}");
}

#[tokio::test]
async fn the_shipped_profile_compresses_by_block_and_needs_a_base() {
    let conf = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../conf");
    let folder = tempfile::tempdir().unwrap();
    let properties =
        BTreeMap::from([("fileSystemProfilePath".to_owned(), "filesystem_offload_core_site.xml".to_owned())]);
    let mut config =
        DriverConfig { driver: "filesystem".to_owned(), properties, search_folders: vec!["/nowhere".into(), conf] };
    let keys: Vec<String> = FileSystemFactory::validate(&config).into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["fileSystemURI"]);

    config.properties.insert("fileSystemURI".to_owned(), format!("file://{}", folder.path().display()));
    let driver = FileSystemFactory::create(config).await.unwrap();
    let ledger = LedgerReader::in_memory(5, payloads(&["a"]));
    driver.offload(ledger, request(5, uid(1))).await.unwrap();
    let data = folder.path().join(MANAGED_LEDGER).join(format!("5-{}/data", uid(1)));
    let header = fs::read(data).unwrap();
    // Behind magic, version and two class names with their lengths: compressed, by block.
    assert_eq!(header[4 + 34 + 35..][..2], [1, 1]);
}

#[tokio::test]
async fn a_configuration_that_cannot_work_is_refused_with_every_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config(folder.path(), folder.path(), &[("io.seqfile.compression.type", "SNAPPY")]);
    config.properties.insert("fileSystemURI".to_owned(), "viewfs://cluster/tier".to_owned());
    let keys: Vec<String> = FileSystemFactory::validate(&config).into_iter().map(|it| it.key).collect();
    assert_eq!(keys, ["fileSystemURI", "io.seqfile.compression.type"]);
    let error = FileSystemFactory::create(config).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidConfig);
    assert!(
        error.message().contains("viewfs joins several file systems and is not supported: use file:///"),
        "{error}"
    );
}
