//! Producers that send again: what is known, in memory, after a restart, and after a restart at any moment between an entry
//! and its record.

use std::sync::Arc;

use super::*;
use crate::topic::client::Receipt;
use crate::topic::producer::{ProducerHandle, PublishError};
use crate::topic::terms::Terms;
use crate::topic::test_kit::{Kit, Recorder, Sent, kit, moment, producer_request, publish, until};
use crate::topic::{Topic, TopicSettings};

async fn kit_that_knows(settings: DeduplicationSettings) -> Kit {
    let kit = kit(TopicSettings { deduplication: settings, ..TopicSettings::default() }).await;
    kit.rules.set_terms(Terms { deduplication: true, ..Terms::default() });
    kit
}

async fn producer(topic: &Arc<Topic>, client: &Arc<Recorder>, name: &str) -> ProducerHandle {
    topic.add_producer(producer_request(client, 1, Some(name))).await.expect("free")
}

/// Sends a message under a number and answers whether it was stored now.
async fn send(producer: &ProducerHandle, client: &Recorder, number: u64) -> bool {
    client.forget();
    let name = producer.name().to_owned();
    publish(producer, client, number, &number.to_string(), |metadata| {
        metadata.producer_name = name;
        metadata.sequence_id = number;
    })
    .await;
    until("the receipt", || !client.receipts().is_empty()).await;
    client.receipts()[0] != Receipt::KNOWN
}

#[tokio::test]
async fn what_is_sent_again_is_stored_once() {
    let kit = kit_that_knows(DeduplicationSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let first = producer(&topic, &client, "p").await;
    assert_eq!(first.last_sequence_id(), None);
    for (number, fresh) in [(0, true), (1, true), (1, false), (0, false), (5, true), (3, false)] {
        assert_eq!(send(&first, &client, number).await, fresh, "{number}");
    }
    drop(first);
    let again = producer(&topic, &client, "p").await;
    assert_eq!(again.last_sequence_id(), Some(5));
    assert!(!send(&again, &client, 5).await);
    drop(again);
    let other = producer(&topic, &client, "other").await;
    assert!(send(&other, &client, 0).await, "each name by itself");
    assert_eq!(topic.ledger().snapshot().entry_count, 4);
    assert!(topic.subscriptions().is_empty(), "the cursor of the numbers is no subscription");
}

#[tokio::test]
async fn a_restart_forgets_nothing_wherever_the_record_stands() {
    for recorded_after in [0, 3, 7, 12] {
        let kit = kit_that_knows(DeduplicationSettings::default()).await;
        let client = Recorder::new(1);
        let topic = kit.topic("t").await;
        let (p, q) = (producer(&topic, &client, "p").await, producer(&topic, &client, "q").await);
        for number in 0..12 {
            if number == recorded_after {
                topic.deduplication().expect("it is on").record(0).await;
            }
            assert!(send(&p, &client, number).await);
            assert!(send(&q, &client, number * 10).await);
        }
        let name = topic.name().clone();
        drop((p, q, topic));
        // Nothing is recorded at the end: what lies behind the record is in the log alone, as after a crash.
        kit.topics.unload(&name).await;
        let topic = kit.topic("t").await;
        for (name, last) in [("p", 11), ("q", 110)] {
            let producer = producer(&topic, &client, name).await;
            assert_eq!(producer.last_sequence_id(), Some(last), "{name}, recorded after {recorded_after}");
            assert!(!send(&producer, &client, last).await);
            assert!(send(&producer, &client, last + 1).await);
        }
    }
}

#[tokio::test]
async fn numbers_are_recorded_after_entries_and_after_a_time() {
    let settings = DeduplicationSettings { entries_interval: 3, ..DeduplicationSettings::default() };
    let kit = kit_that_knows(settings).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let producer = producer(&topic, &client, "p").await;
    let recorded = || topic.ledger().cursor(CURSOR).expect("it is on").properties().get("p").copied();
    kit.clock.advance(RECORD_INTERVAL_MIN_MS);
    for number in 0..3 {
        send(&producer, &client, number).await;
    }
    until("the record", || recorded() == Some(2)).await;
    for number in 3..9 {
        send(&producer, &client, number).await;
    }
    moment().await;
    assert_eq!(recorded(), Some(2), "once a second is often enough");
    kit.clock.advance(120_000);
    topic.tick().await;
    assert_eq!(recorded(), Some(8));
    let place = topic.ledger().cursor(CURSOR).expect("it is on").first_unacked();
    assert_eq!(topic.ledger().count(place, topic.ledger().end()), 0);
}

#[tokio::test]
async fn the_record_never_goes_beyond_an_entry_that_is_under_way() {
    let kit = kit_that_knows(DeduplicationSettings::default()).await;
    let topic = kit.topic("t").await;
    let known = topic.deduplication().expect("it is on");
    let numbers = |number| Numbers { first: number, last: number, completes: true };
    let at = |entry_id| Position { entry_id, ..topic.ledger().end() };
    let (slow, ()) = known.admit("slow", numbers(7), || ()).expect("new");
    let (quick, ()) = known.admit("quick", numbers(9), || ()).expect("new");
    assert_eq!(known.admit("quick", numbers(9), || ()).err(), Some(Verdict::Underway));
    known.stored("quick", quick, at(1), 0);
    known.record(0).await;
    let cursor = topic.ledger().cursor(CURSOR).expect("it is on");
    assert_eq!((cursor.first_unacked(), cursor.properties().len()), (topic.ledger().end(), 0));
    known.stored("slow", slow, at(0), 0);
    known.record(0).await;
    assert_eq!(cursor.first_unacked(), at(2));
    assert_eq!(cursor.properties(), [("quick".to_owned(), 9), ("slow".to_owned(), 7)].into());
}

#[tokio::test]
async fn it_is_turned_on_and_off_while_the_topic_lives() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let producer = producer(&topic, &client, "p").await;
    let set = |deduplication| topic.set_terms(Arc::new(Terms { deduplication, ..Terms::default() }));
    assert!(send(&producer, &client, 0).await && send(&producer, &client, 0).await);
    set(true).await.expect("it is read");
    assert!(send(&producer, &client, 0).await, "from now on");
    assert!(!send(&producer, &client, 0).await);
    set(false).await.expect("it is forgotten");
    assert!(send(&producer, &client, 0).await);
    assert!(topic.ledger().cursor(CURSOR).is_none(), "it would hold ledgers back");
}

#[tokio::test]
async fn one_that_is_under_way_is_refused_and_not_stored_twice() {
    let kit = kit_that_knows(DeduplicationSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let producer = producer(&topic, &client, "p").await;
    let numbers = Numbers { first: 3, last: 3, completes: true };
    let _underway = topic.deduplication().expect("it is on").admit("p", numbers, || ()).expect("new");
    publish(&producer, &client, 3, "again", |_| {}).await;
    let is_refused = || matches!(client.sent().first(), Some(Sent::Refused(1, 3, PublishError::Storage(_))));
    until("the refusal", is_refused).await;
    assert_eq!(topic.ledger().snapshot().entry_count, 0);
}
