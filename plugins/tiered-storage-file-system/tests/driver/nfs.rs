//! A mounted folder whose server restarts, and forgets its handles. `scripts/servers/nfs-in-uml run` makes one; without it these
//! tests say that they were skipped.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bytes::Bytes;
use longshore_plugin_api::{ErrorCode, LedgerReader, Offloader, ReadHandle};
use tempfile::TempDir;
use uuid::Uuid;

use crate::kit::{MANAGED_LEDGER, driver_on, random_payloads, read_all, request, stored};

const UID: Uuid = Uuid::from_u128(1);

struct Mount {
    folder: TempDir,
    control: PathBuf,
    /// The same folder as the server has it.
    export: PathBuf,
}

impl Mount {
    fn find(test: &str) -> Option<Self> {
        let Some(mounted) = env::var_os("LONGSHORE_TEST_NFS").map(PathBuf::from) else {
            eprintln!("SKIPPED: {test}: LONGSHORE_TEST_NFS names no mount; scripts/servers/nfs-in-uml run makes one");
            return None;
        };
        let folder = tempfile::tempdir_in(&mounted).unwrap();
        let export = PathBuf::from(env::var_os("LONGSHORE_TEST_NFS_EXPORT").unwrap());
        let export = export.join(folder.path().strip_prefix(&mounted).unwrap());
        let control = PathBuf::from(env::var_os("LONGSHORE_TEST_NFS_CONTROL").unwrap());
        Some(Self { folder, control, export })
    }

    fn tell(&self, what: &str, file: Option<&Path>) {
        let status = Command::new(&self.control).arg(what).args(file).status().unwrap();
        assert!(status.success(), "{what}");
    }

    /// Runs `work`, which begins while there is no server.
    fn restart_under<T>(&self, work: impl Future<Output = T>) -> T {
        self.tell("stop", None);
        // What this machine holds in memory needs no server.
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_secs(2));
                self.tell("start", None);
            });
            tokio::runtime::Handle::current().block_on(work)
        })
    }
}

/// One after the other: both stop the one server.
static SERVER: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn model() -> Vec<Bytes> {
    random_payloads(&mut fastrand::Rng::with_seed(1), 60, 200_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_restarts_is_waited_for() {
    let Some(mount) = Mount::find("a_server_that_restarts_is_waited_for") else { return };
    let _server = SERVER.lock().await;
    let driver = driver_on(&mount.folder.path().join("tier"), &[("io.seqfile.compression.type", "NONE")]).await;
    driver.offload(LedgerReader::in_memory(5, model()), request(5, UID)).await.unwrap();
    let handle = driver.open_read(stored(5, UID)).await.unwrap();
    let read = tokio::task::block_in_place(|| mount.restart_under(read_all(&handle, 100_000)));
    assert!(read.unwrap() == model());
    // What is open keeps a name on NFS: the copy cannot be deleted yet, which is not for ever.
    let error = driver.delete(stored(5, UID)).await.unwrap_err();
    assert_eq!((error.code(), error.is_retryable()), (ErrorCode::Unavailable, true), "{error}");
    assert_eq!(driver.open_read(stored(5, UID)).await.unwrap_err().code(), ErrorCode::NotFound);
    drop(handle);
    driver.delete(stored(5, UID)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handle_that_the_server_forgot_is_opened_once_more() {
    let Some(mount) = Mount::find("a_handle_that_the_server_forgot_is_opened_once_more") else { return };
    let _server = SERVER.lock().await;
    let driver = driver_on(&mount.folder.path().join("tier"), &[("io.seqfile.compression.type", "NONE")]).await;
    driver.offload(LedgerReader::in_memory(5, model()), request(5, UID)).await.unwrap();
    let handle = driver.open_read(stored(5, UID)).await.unwrap();
    assert_eq!(handle.read(0, 0, 1).await.unwrap()[0].payload, model()[0]);
    // A plain handle of ours, to see that there is something to get over.
    let copy = format!("{MANAGED_LEDGER}/5-{UID}");
    let plain = fs::File::open(mount.folder.path().join("tier").join(&copy).join("data")).unwrap();
    tokio::task::block_in_place(|| {
        mount.tell("stop", None);
        for name in ["data", ".data.crc"] {
            mount.tell("renew", Some(&mount.export.join("tier").join(&copy).join(name)));
        }
        mount.tell("start", None);
        // What this machine holds in memory would hide it.
        fs::write("/proc/sys/vm/drop_caches", "3").unwrap();
    });
    use std::os::unix::fs::FileExt;
    let stale = plain.read_at(&mut [0; 100], 1_000_000).unwrap_err();
    eprintln!("a plain handle reads: {stale}");
    assert!(read_all(&handle, 100_000).await.unwrap() == model());
}
