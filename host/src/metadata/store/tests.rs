//! The redb store against the store in memory, and what only a file can do: come back, be taken, be damaged.

use std::fs;
use std::sync::atomic::{AtomicU64, Ordering};

use super::*;
use crate::metadata::memory::MemoryMetadataStore;

/// A clock that ticks at each look.
#[derive(Default)]
struct Ticks(AtomicU64);

impl Clock for Ticks {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

fn open(folder: &Path) -> RedbMetadataStore {
    RedbMetadataStore::open(&folder.join("m/records.redb"), Arc::new(Ticks::default())).unwrap()
}

#[tokio::test]
async fn versions_and_times_follow_the_writes() {
    let dir = tempfile::tempdir().unwrap();
    let memory = MemoryMetadataStore::new(Arc::new(Ticks::default()));
    let redb = open(dir.path());
    let stores: [&dyn MetadataStore; 2] = [&memory, &redb];
    for store in stores {
        let first = store.put("k", b"a".to_vec(), Expect::Absent).await.unwrap();
        let second = store.put("k", b"b".to_vec(), Expect::Version(0)).await.unwrap();
        assert_eq!((first.version, second.version), (0, 1));
        assert_eq!(second.created_ms, first.created_ms);
        assert!(second.modified_ms > first.modified_ms);
        assert_eq!(store.get("k").await.unwrap(), Some(second));
        let conflict = store.put("k", b"c".to_vec(), Expect::Version(0)).await.unwrap_err();
        let expected = MetadataError::Conflict { key: "k".into(), expected: Expect::Version(0), found: Some(1) };
        assert_eq!(conflict, expected);
        assert!(store.delete("k", Expect::Version(7)).await.is_err());
        store.delete("k", Expect::Version(1)).await.unwrap();
        store.delete("k", Expect::Anything).await.unwrap();
        assert_eq!(store.get("k").await.unwrap(), None);
        assert_eq!(store.put("k", vec![], Expect::Anything).await.unwrap().version, 0);
    }
}

#[tokio::test]
async fn random_writes_agree_with_the_store_in_memory_across_restarts() {
    let dir = tempfile::tempdir().unwrap();
    let seed = 7;
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let model = MemoryMetadataStore::new(Arc::new(crate::storage::SystemClock));
    let mut store = open(dir.path());
    for step in 0..400 {
        let key = format!("{}/{}", random.u8(..3), random.u8(..5));
        let expect = [Expect::Absent, Expect::Version(random.u64(..4)), Expect::Anything][random.usize(..3)];
        let value = vec![random.u8(..); random.usize(..200)];
        match random.u8(..10) {
            0..6 => {
                let (ours, theirs) =
                    (store.put(&key, value.clone(), expect).await, model.put(&key, value, expect).await);
                assert_eq!(ours.map(|record| record.version), theirs.map(|record| record.version), "step {step}");
            }
            6..8 => assert_eq!(store.delete(&key, expect).await, model.delete(&key, expect).await, "step {step}"),
            8 => {
                let prefix = format!("{}/", random.u8(..4));
                assert_eq!(store.keys(&prefix).await, model.keys(&prefix).await);
                assert_eq!(store.keys("").await, model.keys("").await);
            }
            _ => {
                drop(store);
                store = open(dir.path());
            }
        }
        let value = |record: Option<Record>| record.map(|record| (record.value, record.version));
        assert_eq!(store.get(&key).await.map(value), model.get(&key).await.map(value));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_writers_with_the_same_belief_one_wins() {
    let dir = tempfile::tempdir().unwrap();
    let store = Arc::new(open(dir.path()));
    let mut writers = tokio::task::JoinSet::new();
    for writer in 0..100_u8 {
        let store = store.clone();
        writers.spawn(async move { store.put("k", vec![writer], Expect::Absent).await.map(|_| writer) });
    }
    let outcomes = writers.join_all().await;
    let winners: Vec<u8> = outcomes.into_iter().flatten().collect();
    assert_eq!(winners.len(), 1);
    assert_eq!(store.get("k").await.unwrap().unwrap().value, winners);
}

#[tokio::test]
async fn an_answered_write_is_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for record in 0..20_u8 {
        store.put(&format!("{record:02}"), vec![record], Expect::Absent).await.unwrap();
        // What a kill would leave.
        let copy = tempfile::tempdir().unwrap();
        fs::create_dir(copy.path().join("m")).unwrap();
        fs::copy(dir.path().join("m/records.redb"), copy.path().join("m/records.redb")).unwrap();
        assert_eq!(open(copy.path()).keys("").await.unwrap().len(), usize::from(record) + 1);
    }
}

#[tokio::test]
async fn a_taken_or_damaged_file_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    let file = dir.path().join("m/records.redb");
    let taken = RedbMetadataStore::open(&file, Arc::new(Ticks::default())).err().unwrap();
    assert!(taken.to_string().contains("another process") && taken.to_string().contains("records.redb"), "{taken}");
    drop(store);
    fs::write(&file, b"this is no database, but long enough to be looked at".repeat(100)).unwrap();
    let damaged = RedbMetadataStore::open(&file, Arc::new(Ticks::default())).err().unwrap();
    assert!(damaged.to_string().contains("records.redb"), "{damaged}");
}

/// Whatever redb makes of a damaged page, nobody is told a wrong value.
#[tokio::test]
async fn a_damaged_byte_never_gives_a_wrong_value() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(dir.path());
    for key in ["a", "b", "c"] {
        store.put(key, key.repeat(40).into_bytes(), Expect::Absent).await.unwrap();
    }
    drop(store);
    let intact = fs::read(dir.path().join("m/records.redb")).unwrap();
    let used: Vec<usize> = (0..intact.len()).filter(|at| intact[*at] != 0).collect();
    let mut noticed_count = 0;
    for at in used.into_iter().step_by(29) {
        let copy = tempfile::tempdir().unwrap();
        let mut bytes = intact.clone();
        bytes[at] ^= 0x40;
        fs::write(copy.path().join("records.redb"), bytes).unwrap();
        let opened = RedbMetadataStore::open(&copy.path().join("records.redb"), Arc::new(Ticks::default()));
        let Ok(store) = opened else {
            noticed_count += 1;
            continue;
        };
        for key in ["a", "b", "c"] {
            match store.get(key).await {
                Ok(Some(record)) => assert_eq!(record.value, key.repeat(40).into_bytes(), "byte {at}"),
                Ok(None) => panic!("byte {at}: {key} is gone"),
                Err(_) => noticed_count += 1,
            }
        }
    }
    assert!(noticed_count > 0, "the damage was noticed somewhere");
}
