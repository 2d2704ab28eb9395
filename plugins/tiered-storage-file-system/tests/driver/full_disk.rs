//! A file system that runs full: a tmpfs of 4 MiB, which takes root to mount, or the one that LONGSHORE_TEST_SMALL_DISK names.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_plugin_api::{ErrorCode, LedgerReader, Offloader, Retry};
use tempfile::TempDir;
use tiered_storage_file_system::FileSystemOffloader;
use uuid::Uuid;

use crate::kit::{COMPRESSIONS, MANAGED_LEDGER, driver_on, read_all, request, stored, tree};

const SPACE_IS_BACK: Duration = Duration::from_secs(30);

/// A file system of 4 MiB. A tmpfs of its own is unmounted when this is dropped.
struct SmallDisk {
    folder: TempDir,
    mounted: bool,
}

impl SmallDisk {
    fn find() -> Option<Self> {
        let Some(small) = env::var_os("LONGSHORE_TEST_SMALL_DISK") else { return Self::mount("size=4m") };
        Some(Self { folder: tempfile::tempdir_in(small).unwrap(), mounted: false })
    }

    fn mount(options: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(folder.path()).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { folder, mounted: true }),
            Ok(output) => {
                eprintln!("SKIPPED: full_disk: no tmpfs: {}", String::from_utf8_lossy(&output.stderr).trim());
                None
            }
            Err(e) => {
                eprintln!("SKIPPED: full_disk: mount cannot be run: {e}");
                None
            }
        }
    }

    fn base(&self) -> PathBuf {
        self.folder.path().join("tier")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.mounted {
            let _ = Command::new("umount").arg("--lazy").arg(self.folder.path()).status();
        }
    }
}

fn noise(mib: usize) -> Vec<Bytes> {
    let mut random = fastrand::Rng::with_seed(1);
    (0..mib).map(|_| (0..1 << 20).map(|_| random.u8(..)).collect::<Vec<u8>>().into()).collect()
}

/// An NFS server keeps a file that was removed open for some seconds, and its space with it.
async fn offload_when_there_is_room(driver: &FileSystemOffloader, payloads: &[Bytes]) {
    let until = Instant::now() + SPACE_IS_BACK;
    loop {
        let ledger = LedgerReader::in_memory(6, payloads.to_vec());
        match driver.offload(ledger, request(6, Uuid::nil())).await {
            Err(error) if error.code() == ErrorCode::StorageFull && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            copied => return copied.unwrap(),
        }
    }
}

#[tokio::test]
async fn a_disk_that_runs_full_is_said_so_and_gets_its_space_back() {
    let Some(disk) = SmallDisk::find() else { return };
    let (too_much, fits) = (noise(8), noise(3));
    for compression in COMPRESSIONS {
        let driver = driver_on(&disk.base(), &[("io.seqfile.compression.type", compression)]).await;
        for _ in 0..3 {
            let ledger = LedgerReader::in_memory(5, too_much.clone());
            let error = driver.offload(ledger, request(5, Uuid::nil())).await.unwrap_err();
            assert_eq!((error.code(), error.retry()), (ErrorCode::StorageFull, Retry::Later), "{error}");
            assert_eq!(tree(&disk.base().join(MANAGED_LEDGER)), [""; 0], "{compression}");
        }
        // Three of four MiB: whatever had stayed would be in the way.
        offload_when_there_is_room(&driver, &fits).await;
        let handle = driver.open_read(stored(6, Uuid::nil())).await.unwrap();
        assert!(read_all(&handle, u64::MAX).await.unwrap() == fits, "{compression}");
        // NFS keeps what is open under another name in the folder, which then cannot go.
        drop(handle);
        let error =
            driver.offload(LedgerReader::in_memory(7, fits.clone()), request(7, Uuid::nil())).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::StorageFull, "{error}");
        driver.delete(stored(6, Uuid::nil())).await.unwrap();
    }
}

#[tokio::test]
async fn a_disk_without_room_for_another_name_still_lets_copies_go() {
    let Some(disk) = SmallDisk::mount("size=4m,nr_inodes=24") else { return };
    let driver = driver_on(&disk.base(), &[]).await;
    let mut ledger_id = 0;
    let error = loop {
        let ledger = LedgerReader::in_memory(ledger_id, vec![Bytes::from_static(b"a")]);
        match driver.offload(ledger, request(ledger_id, Uuid::nil())).await {
            Ok(()) => ledger_id += 1,
            Err(error) => break error,
        }
        assert!(ledger_id < 24);
    };
    assert_eq!(error.code(), ErrorCode::StorageFull, "{error}");
    assert!(ledger_id > 0);
    for id in 0..ledger_id {
        driver.delete(stored(id, Uuid::nil())).await.unwrap();
    }
    assert_eq!(tree(&disk.base().join(MANAGED_LEDGER)), [""; 0]);
}
