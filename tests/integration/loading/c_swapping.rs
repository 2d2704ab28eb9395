//! A library written in C is replaced while reads run: the old build drains, the new one takes over, no read fails.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use longshore::plugin::status::GenerationPhase;
use longshore::plugin::{Cause, ChangeKind, PluginHost};
use longshore::storage::{DriverLookup, ReadHandle};
use longshore_tests::c_plugins::example;
use longshore_tests::plugins::{put, replace_all};

use super::{MemoryLedger, quick, read_all, settings};

const FILE: &str = "example-c.so";
const READERS: usize = 50;

/// The example as a later build of the same plugin.
fn build(version: &str) -> Option<Vec<u8>> {
    let mut library = fs::read(example()?).unwrap();
    let to = format!("\"version\":\"{version}\"");
    replace_all(&mut library, b"\"version\":\"0.1.0\"", to.as_bytes());
    Some(library)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_c_library_is_replaced_while_reads_run() {
    let (Some(old), Some(new)) = (build("0.6.0"), build("0.6.1")) else { return };
    let (folder, cold) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    put(folder.path(), FILE, &old);
    let host = Arc::new(PluginHost::load(folder.path(), quick()));
    let settings = settings(&[("managedLedgerOffloadExtraConfigFolder", cold.path().to_str().unwrap())]);
    let ledger = MemoryLedger::new(20, 500);
    let target = ledger.target();
    let first = host.driver("example-c", &settings).await.unwrap();
    first.offload(Arc::clone(&ledger) as Arc<dyn ReadHandle>, target.clone()).await.unwrap();
    let kept_open = first.open(&target).await.unwrap();
    drop(first);

    let (stop, reads) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let readers: Vec<_> = (0..READERS)
        .map(|_| {
            let (host, settings, target) = (Arc::clone(&host), settings.clone(), target.clone());
            let (stop, reads, ledger) = (Arc::clone(&stop), Arc::clone(&reads), Arc::clone(&ledger));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let driver = host.driver("example-c", &settings).await.unwrap();
                    let copy = driver.open(&target).await.unwrap();
                    assert_eq!(read_all(&*copy, 2000).await.unwrap(), ledger.payloads);
                    reads.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let more_reads = async |count: u64| {
        let goal = reads.load(Ordering::Relaxed) + count;
        while reads.load(Ordering::Relaxed) < goal && !readers.iter().any(tokio::task::JoinHandle::is_finished) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    more_reads(READERS as u64).await;
    put(folder.path(), FILE, &new);
    let rescan = host.rescan(Cause::Operator).await;
    let changes: Vec<ChangeKind> = rescan.changes.iter().map(|change| change.change).collect();
    assert_eq!(changes, [ChangeKind::Replaced, ChangeKind::Retired], "{rescan:?}");
    assert_eq!(host.origin("example-c").unwrap().version, "0.6.1");
    more_reads(READERS as u64 * 2).await;

    // What was opened before ends on the build that opened it, which drains for as long.
    let old = host.status(0, None).plugins.remove(1);
    assert_eq!((old.version.as_str(), old.phase), ("0.6.0", GenerationPhase::Draining));
    assert!(old.users >= 1, "{old:?}");
    assert_eq!(read_all(&*kept_open, 2000).await.unwrap(), ledger.payloads);
    stop.store(true, Ordering::Relaxed);
    for reader in readers {
        reader.await.unwrap();
    }
    drop(kept_open);
    for _ in 0..1000 {
        if host.status(0, None).plugins[1].phase == GenerationPhase::Retired {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let old = host.status(0, None).plugins.remove(1);
    assert_eq!((old.phase, old.late_users, old.users), (GenerationPhase::Retired, 0, 0));
}
