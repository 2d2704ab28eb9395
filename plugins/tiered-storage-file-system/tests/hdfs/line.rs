//! Faults between the driver and the NameNode: every call ends in time, in success or in an error that may be tried again, and a
//! healed line serves all. Blocks go to the DataNode directly; `outage` is about that one.

use std::time::{Duration, Instant};

use bytes::Bytes;
use longshore_conformance::StoreProbe;
use longshore_conformance::table::trying;
use longshore_plugin_api::{ErrorCode, LedgerReader, Offloader, Result, ScanRequest};
use uuid::Uuid;

use crate::kit::{random_payloads, read_all, request, stored};
use crate::line_between::{Fault, Line};
use crate::server::{HDFS, Tier, shared, uri};

const UID: Uuid = Uuid::from_u128(1);
/// Short, so that the tests are.
const DEADLINE: (&str, &str) = ("longshore.hdfs.deadline.ms", "3000");
/// As long as any call may take with that: a copy has several.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(40);

fn payloads() -> Vec<Bytes> {
    random_payloads(&mut fastrand::Rng::with_seed(1), 40, 20_000)
}

async fn timed(call: &str, work: impl Future<Output = Result<()>>) -> (&str, Result<()>, Duration) {
    let began = Instant::now();
    let answer = work.await;
    (call, answer, began.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_on_the_way_to_the_namenode_are_errors_in_time_or_none() {
    let Some(uri) = uri("faults_on_the_way_to_the_namenode_are_errors_in_time_or_none") else { return };
    let _servers = shared().await;
    let namenode = uri.strip_prefix("hdfs://").unwrap();
    let late = Fault::Slow { latency: Duration::from_millis(100), bytes_per_second: 1 << 20 };
    for (what, fault, passes) in [
        ("late and slow", Some(late), true),
        ("resets at once", Some(Fault::ResetUp(0)), false),
        ("resets in the middle of answers", Some(Fault::ResetDown(10)), false),
        ("cut answers", Some(Fault::CutDown(10)), false),
        ("half-closed connections", Some(Fault::HalfClosed), false),
        ("silence", Some(Fault::StallUp(0)), false),
        ("silence in the middle of answers", Some(Fault::StallDown(10)), false),
        ("nobody listens", None, false),
    ] {
        let promise = if passes { "success" } else { "an error in time, works afterwards" };
        let _trying = trying(HDFS, "faults", format!("{what}, to the NameNode: {promise}"));
        let line = Line::plain(namenode).await;
        let through = format!("hdfs://{}", line.address);
        // Behind the line's back the folder is looked at through the same address, which the line then carries.
        let tier = Tier::new(&through, &[DEADLINE]).await;
        tier.offload(5, UID, &payloads()).await.unwrap();
        match fault {
            Some(fault) => {
                // What is open already ends too.
                line.close();
                line.open_again().await;
                line.misbehave(move |_| fault.clone());
            }
            None => line.close(),
        }
        let driver = &tier.driver;
        let (opened, deleted, scanned, health, copied) = tokio::join!(
            timed("open", async { driver.open_read(stored(5, UID)).await.map(drop) }),
            timed("delete", driver.delete(stored(99, UID))),
            timed("scan", async { driver.scan(ScanRequest { after: None, limit: 9 }).await.map(drop) }),
            timed("health", driver.health()),
            timed("offload", driver.offload(LedgerReader::in_memory(6, payloads()), request(6, UID))),
        );
        for (call, answer, took) in [opened, deleted, scanned, health, copied] {
            assert!(took < ANSWER_TIME_MAX, "{what}, {call}: {took:?}");
            match answer {
                Ok(()) => assert!(passes, "{what}, {call}: nothing went wrong"),
                Err(error) => {
                    let code = error.code();
                    assert!(!passes, "{what}, {call}: {error}");
                    assert!(
                        matches!(code, ErrorCode::Unavailable | ErrorCode::Timeout),
                        "{what}, {call}: {code} {error}"
                    );
                    assert!(error.is_retryable(), "{what}, {call}: {error}");
                }
            }
        }
        line.close();
        line.open_again().await;
        driver.delete(stored(6, UID)).await.unwrap();
        let handle = tier.open(5, UID).await.unwrap();
        assert!(read_all(&handle, 1 << 20).await.unwrap() == payloads(), "{what}");
        assert_eq!(tier.store.objects().unwrap().len(), 2, "{what}: data and index of the one copy");
    }
}
