//! A DataNode or a NameNode that goes, or that is there and says nothing: errors are typed and in time, nothing is said to be missing,
//! no half copy stays, and everything works again when the server does.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_conformance::StoreProbe;
use longshore_conformance::table::trying;
use longshore_plugin_api::{Error, ErrorCode, LedgerReader, Offloader, ReadHandle, Result, ScanRequest};
use uuid::Uuid;

use crate::behaviour::Halting;
use crate::kit::{random_payloads, read_all, request, stored};
use crate::server::{Alone, HDFS, Server, Stop, Tier, alone, uri};

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

/// How an offload ends whose DataNode goes in the middle of it; an error where the offload does not come that far. On a busy
/// machine it may not, and who only waited for its middle would wait for ever.
async fn offload_losing_the_datanode(tier: &Tier, servers: &Alone, stop: Stop) -> Result<Error> {
    let source = Halting::new(payloads(), 20);
    let offload = tier.driver.offload(LedgerReader::new(source.clone()), request(5, UID));
    tokio::pin!(offload);
    tokio::select! {
        ended = &mut offload => return Err(ended.expect_err("it cannot end before its middle")),
        () = source.halted.notified() => {}
    }
    servers.stop(stop, Server::DataNode);
    source.go_on.notify_one();
    Ok(offload.await.expect_err("there is no DataNode"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_goes_in_the_middle_of_an_offload_leaves_nothing() {
    let Some(uri) = uri("a_datanode_that_goes_in_the_middle_of_an_offload_leaves_nothing") else { return };
    let _trying = trying(HDFS, "faults", "a datanode that goes in the middle of an offload leaves nothing");
    let servers = alone().await;
    let tier = Tier::new(&uri, &[DEADLINE]).await;
    for stop in [Stop::Kill, Stop::Pause] {
        let ended = soon(async || offload_losing_the_datanode(&tier, &servers, stop).await).await;
        let names = tier.store.names();
        servers.start();
        assert_no_answer(&ended);
        assert!(names.iter().all(|name| !name.contains("5-")), "{stop:?}: {names:?}");
        soon(async || tier.offload(5, UID, &payloads()).await).await;
        let handle = soon(async || tier.open(5, UID).await).await;
        assert!(soon(async || read_all(&handle, 1 << 20).await).await == payloads(), "{stop:?}");
        tier.driver.delete(stored(5, UID)).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datanode_that_goes_in_the_middle_of_a_read_is_unavailable_until_it_is_back() {
    let Some(uri) = uri("a_datanode_that_goes_in_the_middle_of_a_read_is_unavailable_until_it_is_back") else { return };
    let _trying =
        trying(HDFS, "faults", "a datanode that goes in the middle of a read is unavailable until it is back");
    let servers = alone().await;
    let tier = Tier::new(&uri, &[DEADLINE]).await;
    soon(async || tier.offload(5, UID, &payloads()).await).await;
    let handle = tier.open(5, UID).await.unwrap();
    for stop in [Stop::Kill, Stop::Pause] {
        soon(async || handle.read(0, 5, u64::MAX).await).await;
        servers.stop(stop, Server::DataNode);
        let started = Instant::now();
        let (read, opened) = (handle.read(20, 39, u64::MAX).await, tier.open(5, UID).await.map(|_| ()));
        let took = started.elapsed();
        servers.start();
        assert_no_answer(&read.unwrap_err());
        assert_no_answer(&opened.unwrap_err());
        assert!(took < Duration::from_secs(25), "{stop:?}: {took:?}");
        assert!(
            soon(async || read_all(&handle, 1 << 20).await).await == payloads(),
            "{stop:?}: the same handle reads again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namenode_that_says_nothing_is_never_a_missing_copy() {
    let Some(uri) = uri("a_namenode_that_says_nothing_is_never_a_missing_copy") else { return };
    let _trying = trying(HDFS, "faults", "a namenode that says nothing is never a missing copy");
    let servers = alone().await;
    let tier = Tier::new(&uri, &[DEADLINE]).await;
    soon(async || tier.offload(5, UID, &payloads()).await).await;
    let driver = &tier.driver;
    for stop in [Stop::Pause, Stop::Kill] {
        servers.stop(stop, Server::NameNode);
        let started = Instant::now();
        let (opened, deleted, scanned, health, offloaded) = tokio::join!(
            async { driver.open_read(stored(5, UID)).await.map(|_| ()) },
            driver.delete(stored(99, UID)),
            async { driver.scan(ScanRequest { after: None, limit: 9 }).await.map(|_| ()) },
            driver.health(),
            driver.offload(LedgerReader::in_memory(6, payloads()), request(6, UID)),
        );
        let took = started.elapsed();
        servers.start();
        for answer in [opened, deleted, scanned, health, offloaded] {
            assert_no_answer(&answer.unwrap_err());
        }
        assert!(took < Duration::from_secs(30), "{stop:?}: {took:?}");
        let handle = soon(async || tier.open(5, UID).await).await;
        assert!(soon(async || read_all(&handle, 1 << 20).await).await == payloads(), "{stop:?}");
        soon(async || tier.driver.delete(stored(6, UID)).await).await;
        assert_eq!(tier.store.objects().unwrap().len(), 2, "{stop:?}");
    }
}
