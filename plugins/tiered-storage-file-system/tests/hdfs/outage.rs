//! A DataNode or a NameNode that goes, or that is there and says nothing: errors are typed and in time, nothing is said to be missing,
//! no half copy stays, and everything works again when the server does.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_conformance::StoreProbe;
use longshore_plugin_api::{Error, ErrorCode, LedgerReader, Offloader, ReadHandle, Result, ScanRequest};
use uuid::Uuid;

use crate::behaviour::Halting;
use crate::kit::{random_payloads, read_all, request, stored};
use crate::server::{Server, Tier, alone, uri};

const UID: Uuid = Uuid::from_u128(1);
/// Short, so that the tests are.
const DEADLINE: (&str, &str) = ("longshore.hdfs.deadline.ms", "4000");

fn assert_no_answer(error: &Error) {
    let code = error.code();
    assert!(code == ErrorCode::Unavailable || code == ErrorCode::Timeout, "{code}: {error}");
    assert!(error.is_retryable(), "{error}");
}

/// A server that just came back may be slow for a while on a busy machine: what may be tried again is.
async fn soon<T>(mut work: impl AsyncFnMut() -> Result<T>) -> T {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match work().await {
            Err(error) if error.is_retryable() && Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            answer => return answer.unwrap(),
        }
    }
}

fn payloads() -> Vec<Bytes> {
    random_payloads(&mut fastrand::Rng::with_seed(1), 40, 200_000)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_goes_in_the_middle_of_an_offload_leaves_nothing() {
    let Some(uri) = uri("a_datanode_that_goes_in_the_middle_of_an_offload_leaves_nothing") else { return };
    let servers = alone().await;
    let tier = Tier::new(&uri, &[DEADLINE]).await;
    for (stop, start) in [("kill-one", "start-one"), ("pause-one", "resume-one")] {
        let source = Halting::new(payloads(), 20);
        let reader = LedgerReader::new(source.clone());
        let (ended, ()) = tokio::join!(tier.driver.offload(reader, request(5, UID)), async {
            source.halted.notified().await;
            servers.tell(stop, Server::DataNode);
            source.go_on.notify_one();
        });
        let names = tier.store.names();
        servers.tell(start, Server::DataNode);
        assert_no_answer(&ended.unwrap_err());
        assert!(names.iter().all(|name| !name.contains("5-")), "{stop}: {names:?}");
        soon(async || tier.offload(5, UID, &payloads()).await).await;
        let handle = soon(async || tier.open(5, UID).await).await;
        assert!(soon(async || read_all(&handle, 1 << 20).await).await == payloads(), "{stop}");
        tier.driver.delete(stored(5, UID)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_goes_in_the_middle_of_a_read_is_unavailable_until_it_is_back() {
    let Some(uri) = uri("a_datanode_that_goes_in_the_middle_of_a_read_is_unavailable_until_it_is_back") else { return };
    let servers = alone().await;
    let tier = Tier::new(&uri, &[DEADLINE]).await;
    soon(async || tier.offload(5, UID, &payloads()).await).await;
    let handle = tier.open(5, UID).await.unwrap();
    for (stop, start) in [("kill-one", "start-one"), ("pause-one", "resume-one")] {
        soon(async || handle.read(0, 5, u64::MAX).await).await;
        servers.tell(stop, Server::DataNode);
        let started = Instant::now();
        let (read, opened) = (handle.read(20, 39, u64::MAX).await, tier.open(5, UID).await.map(|_| ()));
        let took = started.elapsed();
        servers.tell(start, Server::DataNode);
        assert_no_answer(&read.unwrap_err());
        assert_no_answer(&opened.unwrap_err());
        assert!(took < Duration::from_secs(25), "{stop}: {took:?}");
        assert!(
            soon(async || read_all(&handle, 1 << 20).await).await == payloads(),
            "{stop}: the same handle reads again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namenode_that_says_nothing_is_never_a_missing_copy() {
    let Some(uri) = uri("a_namenode_that_says_nothing_is_never_a_missing_copy") else { return };
    let servers = alone().await;
    let tier = Tier::new(&uri, &[DEADLINE]).await;
    soon(async || tier.offload(5, UID, &payloads()).await).await;
    let driver = &tier.driver;
    for (stop, start) in [("pause-one", "resume-one"), ("kill-one", "start-one")] {
        servers.tell(stop, Server::NameNode);
        let started = Instant::now();
        let (opened, deleted, scanned, health, offloaded) = tokio::join!(
            async { driver.open_read(stored(5, UID)).await.map(|_| ()) },
            driver.delete(stored(99, UID)),
            async { driver.scan(ScanRequest { after: None, limit: 9 }).await.map(|_| ()) },
            driver.health(),
            driver.offload(LedgerReader::in_memory(6, payloads()), request(6, UID)),
        );
        let took = started.elapsed();
        servers.tell(start, Server::NameNode);
        for answer in [opened, deleted, scanned, health, offloaded] {
            assert_no_answer(&answer.unwrap_err());
        }
        assert!(took < Duration::from_secs(30), "{stop}: {took:?}");
        let handle = soon(async || tier.open(5, UID).await).await;
        assert!(soon(async || read_all(&handle, 1 << 20).await).await == payloads(), "{stop}");
        soon(async || tier.driver.delete(stored(6, UID)).await).await;
        assert_eq!(tier.store.objects().unwrap().len(), 2, "{stop}");
    }
}
