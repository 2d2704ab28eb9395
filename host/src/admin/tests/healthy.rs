//! The health check: a message goes through a topic of the broker's own; what cannot be stored is not called healthy.

use serde_json::json;

use super::super::test_desk::Desk;
use crate::topic::TopicName;

fn topic(desk: &Desk) -> TopicName {
    format!("persistent://pulsar/{}/healthcheck", desk.web_address).parse().unwrap()
}

#[tokio::test]
async fn a_check_is_a_message_that_leaves_an_entry_and_no_one_behind() {
    let desk = Desk::open().await;
    for checks in 1..=3 {
        let got = desk.call("GET", "/brokers/health", None).await;
        assert_eq!((got.status, got.body()), (200, json!("ok")));
        let topic = desk.state.topics.get(&topic(&desk)).expect("the topic is kept");
        assert_eq!(topic.ledger().snapshot().open_entry_count, checks);
        desk.until("producer and reader are gone", || async {
            topic.client_count() == 0 && topic.subscriptions().is_empty()
        })
        .await;
    }
    // Like any broker's, the namespace is in no list, and what is in it is not kept or offloaded.
    assert_eq!(desk.ok("GET", "/namespaces/pulsar", None).await, json!(["pulsar/system"]));
    let ledger = desk.state.topics.get(&topic(&desk)).unwrap().ledger().clone();
    assert_eq!(ledger.settings().offload.driver, None);
    assert_eq!(ledger.settings().retention.time_ms, Some(0));
}

#[tokio::test]
async fn many_who_ask_at_once_are_answered_one_after_the_other() {
    let desk = Desk::open().await;
    let asked = (0..8).map(|_| desk.call("GET", "/brokers/health", None));
    let answers = futures_util::future::join_all(asked).await;
    assert!(answers.iter().all(|got| got.status == 200), "{answers:?}");
}

#[tokio::test]
async fn a_broker_whose_disk_takes_nothing_is_not_healthy() {
    let desk = Desk::open().await;
    assert_eq!(desk.call("GET", "/brokers/health", None).await.status, 200);
    desk.store.close().await.unwrap();
    // The loaded topic cannot store, and then it cannot be loaded again.
    for _ in 0..2 {
        let got = desk.call("GET", "/brokers/health", None).await;
        let reason = got.body()["reason"].as_str().unwrap_or_default().to_owned();
        assert_eq!(got.status, 503, "{reason}");
        assert!(reason.contains("/healthcheck and back: "), "{reason}");
    }
}
