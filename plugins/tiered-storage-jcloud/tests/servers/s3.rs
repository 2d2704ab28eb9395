//! What drivers `aws-s3` and `S3` do on each server.

use http::Method;
use longshore_conformance::table::trying;
use longshore_plugin_api::{Error, ErrorCode, Offloader, ReadHandle, ScanRequest};

use crate::behind::Behind;
use crate::faults;
use crate::raw::Raw;
use crate::server::{MANAGED_LEDGER, Server, data_key, new_copy, offload, payloads, read_all, scan};

const DRIVERS: [&str; 2] = ["aws-s3", "S3"];
const SMALL_PARTS: (&str, &str) = ("managedLedgerOffloadExtraConfigPartSizeInBytes", "5242880");

#[tokio::test]
async fn a_ledger_of_one_part_goes_out_comes_back_is_listed_and_deleted() {
    for server in Server::all() {
        for name in DRIVERS {
            let case = "a ledger of one part goes out, comes back, is listed and deleted";
            let _trying = trying(server.place(name), "behaviour", case);
            let driver = server.driver(name, &[]).await;
            driver.health().await.unwrap();
            let (stored, other) = (new_copy(&driver, 11), new_copy(&driver, 12));
            let entries = payloads(700, 1500);
            offload(&driver, &stored, &entries).await.unwrap();
            offload(&driver, &other, &entries[..10]).await.unwrap();
            assert!(read_all(&driver, &stored).await.unwrap() == entries);

            // Other tests have copies in this bucket too.
            for limit in [1, 1000] {
                let found = scan(&driver, limit).await;
                for copy in [&stored, &other] {
                    assert!(found.contains(&(copy.ledger_id, copy.uid.to_string())), "{limit}: {found:?}");
                }
            }

            let head = Raw::new(&server).head(&data_key(&stored)).await;
            assert_eq!(head.headers()["x-amz-meta-managedledgername"], MANAGED_LEDGER);
            assert_eq!(head.headers()["x-amz-meta-s3managedledgeroffloaderformatversion"], "1");

            for copy in [&stored, &other] {
                for _ in 0..2 {
                    driver.delete(copy.clone()).await.unwrap();
                }
                let gone = driver.open_read(copy.clone()).await.unwrap_err();
                assert_eq!(gone.code(), ErrorCode::NotFound, "{gone}");
            }
        }
    }
}

#[tokio::test]
async fn a_ledger_of_many_parts_is_read_in_any_order() {
    for server in Server::all() {
        for (name, checksum) in [("aws-s3", "crc32c"), ("S3", "none")] {
            let _trying = trying(server.place(name), "behaviour", "a ledger of many parts is read in any order");
            let more = [SMALL_PARTS, ("managedLedgerOffloadExtraConfigChecksum", checksum)];
            let driver = server.driver(name, &more).await;
            let stored = new_copy(&driver, 13);
            let entries = payloads(400, 60_000);
            offload(&driver, &stored, &entries).await.unwrap();
            let raw = Raw::new(&server);
            assert_eq!(raw.open_uploads(&data_key(&stored)).await, 0);
            let head = raw.head(&data_key(&stored)).await;
            assert!(head.headers()["etag"].to_str().unwrap().contains("-5"), "{:?}", head.headers());
            assert_eq!(head.headers()["x-amz-meta-role"], "data");
            // Another process, which knows nothing yet.
            let reader = server.driver(name, &[]).await;
            assert!(read_all(&reader, &stored).await.unwrap() == entries);
            let handle = server.driver(name, &[]).await.open_read(stored.clone()).await.unwrap();
            for entry_id in [399, 0, 250, 7] {
                let found = handle.read(entry_id, entry_id, 1).await.unwrap();
                assert!(found[0].payload == entries[entry_id as usize]);
            }
            driver.delete(stored).await.unwrap();
        }
    }
}

#[tokio::test]
async fn uploads_that_were_left_are_aborted_with_their_attempt_alone() {
    for server in Server::all() {
        let _trying =
            trying(server.place("aws-s3"), "behaviour", "uploads that were left are aborted with their attempt alone");
        let (driver, raw) = (server.driver("aws-s3", &[]).await, Raw::new(&server));
        let (stored, other) = (new_copy(&driver, 14), new_copy(&driver, 14));
        for copy in [&stored, &stored, &other] {
            let begun = raw.send(Method::POST, &format!("{}?uploads=", data_key(copy)), &[], Vec::new()).await;
            let answer = begun.text().await.unwrap();
            let id = answer.split("<UploadId>").nth(1).unwrap().split('<').next().unwrap();
            let part = format!("{}?partNumber=1&uploadId={id}", data_key(copy));
            assert_eq!(raw.send(Method::PUT, &part, &[], vec![7; 6 << 20]).await.status(), 200);
        }
        assert_eq!(raw.open_uploads(&data_key(&stored)).await, 2);
        driver.delete(stored.clone()).await.unwrap();
        assert_eq!(raw.open_uploads(&data_key(&stored)).await, 0);
        assert_eq!(raw.open_uploads(&data_key(&other)).await, 1);
        driver.delete(other).await.unwrap();
    }
}

/// Everything that can be asked of a driver fails, with this code, and tells no secret.
async fn all_fail(server: &Server, more: &[(&str, &str)], code: ErrorCode, told: &[&str], secret: &str) {
    for name in DRIVERS {
        let driver = server.driver(name, more).await;
        let stored = new_copy(&driver, 15);
        let errors: Vec<Error> = vec![
            driver.health().await.unwrap_err(),
            offload(&driver, &stored, &payloads(10, 10)).await.unwrap_err(),
            driver.open_read(stored.clone()).await.unwrap_err(),
            driver.delete(stored.clone()).await.unwrap_err(),
            driver.scan(ScanRequest { after: None, limit: 1 }).await.unwrap_err(),
        ];
        for error in errors {
            let text = format!("{error} {error:?}");
            assert_eq!(error.code(), code, "{text}");
            assert!(!text.contains(secret), "{text}");
            for part in told {
                assert!(text.contains(part), "{part} is not in {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_not_told() {
    for server in Server::all() {
        let _trying = trying(server.place("aws-s3"), "behaviour", "a wrong key is refused and not told");
        let (secret, id) = ("s3ManagedLedgerOffloadCredentialSecret", "s3ManagedLedgerOffloadCredentialId");
        let told = ["403", &*format!("bucket {}", server.bucket)];
        all_fail(&server, &[(secret, "not-the-secret")], ErrorCode::PermissionDenied, &told, "not-the-secret").await;
        let nobody = [(id, "NOBODY"), (secret, "not-the-secret")];
        all_fail(&server, &nobody, ErrorCode::PermissionDenied, &told, "not-the-secret").await;
    }
}

#[tokio::test]
async fn a_bucket_that_is_not_there_is_named() {
    for server in Server::all() {
        let _trying = trying(server.place("aws-s3"), "behaviour", "a missing bucket is named");
        let missing = [("managedLedgerOffloadBucket", "not-there"), ("s3ManagedLedgerOffloadBucket", "not-there")];
        all_fail(&server, &missing, ErrorCode::NotFound, &["bucket not-there"], &server.secret_key).await;
    }
}

/// On all servers at once: most of it is waiting.
async fn on_each<F: Future>(test: impl Fn(Behind) -> F) {
    futures_util::future::join_all(Server::all().into_iter().map(|server| test(Behind::S3(server)))).await;
}

#[tokio::test]
async fn passing_faults_pass() {
    on_each(faults::passing_faults_pass).await;
}

#[tokio::test]
async fn lasting_faults_are_errors_in_time() {
    on_each(faults::lasting_faults_are_errors_in_time).await;
}

#[tokio::test]
async fn a_copy_that_cannot_be_finished_leaves_nothing() {
    on_each(faults::a_copy_that_cannot_be_finished_leaves_nothing).await;
}

#[tokio::test]
async fn a_short_outage_is_waited_for() {
    on_each(faults::a_short_outage_is_waited_for).await;
}

#[tokio::test]
async fn a_crowded_store_gets_fewer_requests() {
    on_each(faults::a_crowded_store_gets_fewer_requests).await;
}
