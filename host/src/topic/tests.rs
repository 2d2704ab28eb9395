//! Topics as clients meet them: real managed ledgers over files, recorded clients.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use super::client::Delivery;
use super::consumer::SubscriptionKind::{Exclusive, Failover, KeyShared, Shared};
use super::producer::PublishError;
use super::subscription::Acknowledged;
use super::test_kit::*;
use super::*;
use crate::managed_ledger::Position;
use crate::storage::LedgerId;

const MANY: u32 = 1000;

fn whole(position: Position) -> Acknowledged {
    Acknowledged { position, remaining: Vec::new() }
}

fn positions(deliveries: &[Delivery]) -> Vec<Position> {
    deliveries.iter().map(|delivery| delivery.position).collect()
}

fn numbers(range: std::ops::Range<u64>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn nothing_is_delivered_before_permits_and_then_in_order_across_ledgers() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 25).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    moment().await;
    assert!(client.sent().is_empty());
    consumer.flow(7);
    client.expect(1, 7).await;
    consumer.flow(MANY);
    let deliveries = client.expect(1, 25).await;
    assert_eq!(positions(&deliveries), stored);
    assert_eq!(client.texts(1), numbers(0..25));
    assert_eq!(topic.stats().traffic_out.messages, 25);
}

#[tokio::test]
async fn permits_count_messages_and_may_go_below_zero() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    fill_with(&topic, 4, |_, metadata| metadata.batch = Some(10)).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(11);
    client.expect(1, 2).await;
    let (stats, ..) = consumer.stats().expect("connected");
    assert_eq!(stats.permits, -9);
    consumer.flow(9);
    moment().await;
    assert_eq!(client.deliveries(1).len(), 2);
    consumer.flow(1);
    client.expect(1, 3).await;
}

#[tokio::test]
async fn entries_that_are_appended_reach_a_waiting_consumer() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let mut request = subscribe_request(&client, 1, "s", Exclusive);
    request.start = StartAt::Latest;
    let consumer = topic.subscribe(request).await.expect("free");
    consumer.flow(MANY);
    for round in 1..=3 {
        fill(&topic, 9).await;
        client.expect(1, 9 * round).await;
    }
}

#[tokio::test]
async fn a_new_consumer_gets_what_the_last_one_did_not_acknowledge() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 6).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(MANY);
    client.expect(1, 6).await;
    consumer.acknowledge(vec![whole(stored[0]), whole(stored[1]), whole(stored[4])]);
    drop(consumer);
    let consumer = topic.subscribe(subscribe_request(&client, 2, "s", Exclusive)).await.expect("free again");
    consumer.flow(MANY);
    client.expect(2, 3).await;
    assert_eq!(client.texts(2), ["2", "3", "5"]);
    consumer.acknowledge_through(whole(stored[3]));
    consumer.redeliver(None, None);
    client.expect(2, 4).await;
    assert_eq!(client.texts(2)[3..], ["5"]);
}

#[tokio::test]
async fn acknowledgements_of_what_does_not_exist_are_ignored() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 12).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    let strange = |ledger_id, entry_id| whole(Position::new(LedgerId(ledger_id), entry_id));
    consumer.acknowledge(vec![
        strange(u64::MAX, u64::MAX),
        strange(stored[0].ledger_id.0, 10),
        strange(stored[0].ledger_id.0, u64::MAX),
        strange(0, 999),
    ]);
    consumer.acknowledge_through(strange(stored[11].ledger_id.0, 500));
    let subscription = consumer.subscription();
    assert_eq!(subscription.cursor().first_unacked(), stored[11].next());
    assert_eq!(subscription.stats().backlog_entries, 0);
    fill(&topic, 1).await;
    assert_eq!(subscription.stats().backlog_entries, 1);
}

#[tokio::test]
async fn exclusive_and_mixed_subscriptions_are_busy() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let (client, other) = (Recorder::new(1), Recorder::new(2));
    let _consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    for kind in [Exclusive, Shared, Failover, KeyShared] {
        let refused = topic.subscribe(subscribe_request(&other, 2, "s", kind)).await.err();
        assert!(matches!(refused, Some(TopicError::ConsumerBusy(_))), "{kind:?}: {refused:?}");
    }
    for name in ["", " ", "pulsar.dedup", "pulsar.repl.x"] {
        let refused = topic.subscribe(subscribe_request(&other, 2, name, Exclusive)).await.err();
        assert!(matches!(refused, Some(TopicError::BadName(_))), "{name:?}: {refused:?}");
    }
    let mut reader = subscribe_request(&other, 2, "s", Exclusive);
    reader.durable = false;
    assert!(matches!(topic.subscribe(reader).await.err(), Some(TopicError::NotAllowed(_))));
    let mut compacted = subscribe_request(&other, 2, "x", Shared);
    compacted.read_compacted = true;
    assert!(matches!(topic.subscribe(compacted).await.err(), Some(TopicError::NotAllowed(_))));
}

#[tokio::test]
async fn shared_consumers_take_turns_and_inherit_with_a_count() {
    let kit = kit(TopicSettings { round_robin_entries_max: 3, ..TopicSettings::default() }).await;
    let topic = kit.topic("t").await;
    let (a, b) = (Recorder::new(1), Recorder::new(2));
    let first = topic.subscribe(subscribe_request(&a, 1, "s", Shared)).await.expect("free");
    let second = topic.subscribe(subscribe_request(&b, 2, "s", Shared)).await.expect("free");
    first.flow(MANY);
    second.flow(MANY);
    let stored = fill(&topic, 20).await;
    until("all are delivered", || a.deliveries(1).len() + b.deliveries(2).len() == 20).await;
    assert!(a.deliveries(1).len() >= 5 && b.deliveries(2).len() >= 5);
    let held = a.deliveries(1);
    first.acknowledge(vec![whole(held[0].position)]);
    let of_second = b.deliveries(2).len();
    drop(first);
    let all = b.expect(2, of_second + held.len() - 1).await;
    assert!(all[..of_second].iter().all(|delivery| delivery.redelivery_count == 0));
    assert!(all[of_second..].iter().all(|delivery| delivery.redelivery_count == 1));
    second.acknowledge(positions(&all).into_iter().map(whole).collect());
    assert_eq!(second.subscription().cursor().first_unacked(), stored[19].next());
    assert_eq!(second.subscription().stats().unacked_messages, 0);
}

#[tokio::test]
async fn shared_gives_out_again_what_is_asked_for_and_only_that() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 12).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Shared)).await.expect("free");
    consumer.flow(MANY);
    client.expect(1, 12).await;
    consumer.redeliver(Some(&[stored[3], stored[11], Position::new(LedgerId(999), 0)]), None);
    let again = client.expect(1, 14).await;
    assert_eq!(positions(&again[12..]), [stored[3], stored[11]]);
    assert_eq!(again[13].redelivery_count, 1);
    consumer.acknowledge(stored[..11].iter().copied().map(whole).collect());
    consumer.redeliver(None, None);
    let again = client.expect(1, 15).await;
    assert_eq!((again[14].position, again[14].redelivery_count), (stored[11], 2));
}

#[tokio::test]
async fn too_many_unacknowledged_messages_stop_a_shared_consumer() {
    let kit =
        kit(TopicSettings { unacked_per_consumer_max: 4, dispatch_read_entries_max: 2, ..Default::default() }).await;
    let topic = kit.topic("t").await;
    fill(&topic, 10).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Shared)).await.expect("free");
    consumer.flow(MANY);
    let held = client.expect(1, 4).await;
    assert!(consumer.stats().is_some_and(|(stats, ..)| stats.blocked_on_unacked));
    consumer.acknowledge(positions(&held[..2]).into_iter().map(whole).collect());
    client.expect(1, 6).await;
}

#[tokio::test]
async fn a_client_that_does_not_read_gets_no_more_than_its_room() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    fill(&topic, 30).await;
    let (slow, quick) = (Recorder::new(1), Recorder::new(2));
    slow.make_room(1);
    let consumer = topic.subscribe(subscribe_request(&slow, 1, "slow", Exclusive)).await.expect("free");
    let other = topic.subscribe(subscribe_request(&quick, 2, "quick", Shared)).await.expect("free");
    consumer.flow(MANY);
    other.flow(MANY);
    quick.expect(2, 30).await;
    slow.expect(1, 1).await;
    slow.make_room(100);
    until("some more", || slow.deliveries(1).len() > 2).await;
    assert!(slow.deliveries(1).len() < 30);
    slow.make_room(1 << 20);
    slow.expect(1, 30).await;
    assert_eq!(slow.texts(1), numbers(0..30));
}

#[tokio::test]
async fn priority_levels_are_served_first_on_shared() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let (best, rest) = (Recorder::new(1), Recorder::new(2));
    let first = topic.subscribe(subscribe_request(&best, 1, "s", Shared)).await.expect("free");
    let mut request = subscribe_request(&rest, 2, "s", Shared);
    request.consumer.priority = 1;
    let second = topic.subscribe(request).await.expect("free");
    first.flow(8);
    second.flow(MANY);
    fill(&topic, 20).await;
    best.expect(1, 8).await;
    rest.expect(2, 12).await;
}

#[tokio::test]
async fn failover_elects_by_name_and_hands_over_after_a_delay() {
    let delay = std::time::Duration::from_millis(500);
    let kit = kit(TopicSettings { failover_delay: delay, ..TopicSettings::default() }).await;
    let topic = kit.topic("t-partition-0").await;
    let stored = fill(&topic, 10).await;
    let client = Recorder::new(1);
    let b = topic.subscribe(subscribe_request(&client, 2, "s", Failover)).await.expect("free");
    b.flow(MANY);
    client.expect(2, 10).await;
    b.acknowledge_through(whole(stored[3]));
    // c1 comes before c2: it takes over, and waits for what the other still does.
    let a = topic.subscribe(subscribe_request(&client, 1, "s", Failover)).await.expect("free");
    a.flow(MANY);
    let changes: Vec<_> = client.sent().into_iter().filter(|sent| matches!(sent, Sent::Active(..))).collect();
    assert_eq!(changes, [Sent::Active(2, true), Sent::Active(2, false), Sent::Active(1, true)]);
    moment().await;
    assert!(client.deliveries(1).is_empty());
    kit.clock.advance(500);
    client.expect(1, 6).await;
    assert_eq!(client.texts(1), numbers(4..10));
    drop(a);
    kit.clock.advance(500);
    client.expect(2, 16).await;
}

#[tokio::test]
async fn key_shared_keeps_order_within_a_key_while_consumers_come_and_go() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let (a, b) = (Recorder::new(1), Recorder::new(2));
    let first = topic.subscribe(subscribe_request(&a, 1, "s", KeyShared)).await.expect("free");
    first.flow(MANY);
    let key = |n: u64, metadata: &mut message::tests::Metadata| metadata.partition_key = Some(format!("k{}", n % 16));
    fill_with(&topic, 32, key).await;
    let held = a.expect(1, 32).await;
    let second = topic.subscribe(subscribe_request(&b, 2, "s", KeyShared)).await.expect("free");
    second.flow(MANY);
    fill_with(&topic, 32, key).await;
    moment().await;
    // What moved to the second is held back while the first has unacknowledged messages of the same key.
    assert!(b.deliveries(2).is_empty());
    let kept = a.deliveries(1).len() - 32;
    assert!(kept < 32);
    first.acknowledge(positions(&held).into_iter().map(whole).collect());
    b.expect(2, 32 - kept).await;
    for client_texts in [a.texts(1), b.texts(2)] {
        for key in 0..16 {
            let of_key: Vec<u64> =
                client_texts.iter().filter_map(|t| t.parse().ok()).filter(|n| n % 16 == key).collect();
            assert!(of_key.is_sorted() || of_key == [key, key + 16, key, key + 16], "key {key}: {of_key:?}");
        }
    }
    // Both halves of a key are at one consumer only.
    let second_keys: std::collections::BTreeSet<u64> =
        b.texts(2).iter().filter_map(|text| text.parse::<u64>().ok()).map(|n| n % 16).collect();
    let first_later: Vec<u64> = a.texts(1)[32..].iter().filter_map(|text| text.parse().ok()).collect();
    assert!(first_later.iter().all(|n| !second_keys.contains(&(n % 16))));
    drop(second);
    a.expect(1, 64).await;
}

#[tokio::test]
async fn entries_with_a_time_wait_for_it_on_shared_only() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let shared = topic.subscribe(subscribe_request(&client, 1, "shared", Shared)).await.expect("free");
    let exclusive = topic.subscribe(subscribe_request(&client, 2, "exclusive", Exclusive)).await.expect("free");
    shared.flow(MANY);
    exclusive.flow(MANY);
    fill_with(&topic, 2, |n, metadata| metadata.deliver_at = (n == 0).then_some(1_000_150)).await;
    client.expect(2, 2).await;
    client.expect(1, 1).await;
    assert_eq!(client.texts(1), ["1"]);
    assert_eq!(shared.subscription().stats().delayed_entries, 1);
    kit.clock.advance(200);
    let deliveries = client.expect(1, 2).await;
    assert_eq!((client.texts(1)[1].as_str(), deliveries[1].redelivery_count), ("0", 0));
}

#[tokio::test]
async fn all_chunks_of_a_message_go_to_one_shared_consumer() {
    let kit = kit(TopicSettings { round_robin_entries_max: 1, ..TopicSettings::default() }).await;
    let topic = kit.topic("t").await;
    let (a, b) = (Recorder::new(1), Recorder::new(2));
    let first = topic.subscribe(subscribe_request(&a, 1, "s", Shared)).await.expect("free");
    let second = topic.subscribe(subscribe_request(&b, 2, "s", Shared)).await.expect("free");
    first.flow(MANY);
    second.flow(MANY);
    // Two messages of six chunks, interleaved, so that taking turns alone would part them.
    fill_with(&topic, 12, |n, metadata| {
        metadata.uuid = Some(format!("m{}", n / 3 % 2));
        metadata.chunks = Some(6);
        metadata.chunk_id = Some((n / 6 * 3 + n % 3) as i32);
    })
    .await;
    until("all are delivered", || a.deliveries(1).len() + b.deliveries(2).len() == 12).await;
    let message = |text: &String| text.parse::<u64>().expect("a number") / 3 % 2;
    for texts in [a.texts(1), b.texts(2)] {
        for m in 0..2 {
            let count = texts.iter().filter(|text| message(text) == m).count();
            assert!(count == 0 || count == 6, "{count} chunks of message {m} at one consumer");
        }
    }
}

#[tokio::test]
async fn markers_are_passed_over_and_acknowledged() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill_with(&topic, 3, |n, metadata| metadata.marker = (n > 0).then_some(10)).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(MANY);
    client.expect(1, 1).await;
    consumer.acknowledge(vec![whole(stored[0])]);
    assert_eq!(consumer.subscription().stats().backlog_entries, 0);
    let last = topic.last_message().await.expect("readable").expect("there is one");
    assert_eq!(last.position, stored[0]);
}

#[tokio::test]
async fn parts_of_a_batch_are_acknowledged() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill_with(&topic, 2, |_, metadata| metadata.batch = Some(4)).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Shared)).await.expect("free");
    consumer.flow(MANY);
    client.expect(1, 2).await;
    consumer.acknowledge(vec![Acknowledged { position: stored[0], remaining: vec![0b1100] }]);
    consumer.redeliver(Some(&stored[..1]), None);
    let again = client.expect(1, 3).await;
    assert_eq!(again[2].ack_set, [0b1100]);
    assert_eq!(consumer.stats().map(|(stats, ..)| (stats.permits, stats.unacked_messages)), Some((990, 6)));
    consumer.acknowledge(vec![Acknowledged { position: stored[0], remaining: vec![0b0011] }]);
    assert_eq!(consumer.subscription().cursor().first_unacked(), stored[1]);
}

#[tokio::test]
async fn a_seek_closes_consumers_and_readers_keep_their_place() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 15).await;
    let client = Recorder::new(1);
    let mut request = subscribe_request(&client, 1, "reader", Exclusive);
    request.durable = false;
    request.start_entry = Some(StartAt::Entry(stored[9]));
    let reader = topic.subscribe(request.clone()).await.expect("free");
    reader.flow(MANY);
    client.expect(1, 6).await;
    reader.subscription().reset(stored[12]).await.expect("it can move");
    assert!(!reader.is_live());
    assert_eq!(client.sent().last(), Some(&Sent::CloseConsumer(1)));
    drop(reader);
    moment().await;
    // It comes again without a start, as clients do, and is at the place it sought.
    request.start_entry = None;
    request.start = StartAt::Latest;
    client.forget();
    let reader = topic.subscribe(request.clone()).await.expect("free");
    reader.flow(MANY);
    client.expect(1, 3).await;
    assert_eq!(client.texts(1), numbers(12..15));
    // When it leaves for good, the subscription does too, cursor and all.
    drop(reader);
    until("the subscription is gone", || topic.subscription("reader").is_none()).await;
    assert!(topic.ledger().cursor("reader").is_none());
}

#[tokio::test]
async fn a_reader_that_does_not_come_back_after_a_seek_is_forgotten() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    fill(&topic, 3).await;
    let client = Recorder::new(1);
    let mut request = subscribe_request(&client, 1, "reader", Exclusive);
    request.durable = false;
    let reader = topic.subscribe(request).await.expect("free");
    let subscription = reader.subscription().clone();
    subscription.reset(topic.ledger().first()).await.expect("it can move");
    drop(reader);
    moment().await;
    assert!(topic.subscription("reader").is_some());
    kit.clock.advance(60_000);
    subscription.wake.notify_one();
    until("the subscription is gone", || topic.subscription("reader").is_none()).await;
}

#[tokio::test]
async fn readers_start_where_they_say() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 12).await;
    let at = |ledger_id: u64, entry_id| StartAt::Entry(Position::new(LedgerId(ledger_id), entry_id));
    let first_ledger = stored[0].ledger_id.0;
    let table = [
        (StartAt::Earliest, stored[0]),
        (StartAt::Latest, stored[11].next()),
        (StartAt::Entry(stored[7]), stored[7]),
        (at(first_ledger, 99), stored[10]),
        (at(u64::MAX >> 1, 0), stored[11].next()),
    ];
    for (start, expected) in table {
        assert_eq!(topic.place(start, StartAt::Latest).await.expect("readable"), expected, "{start:?}");
    }
    let beyond = topic.place(at(u64::MAX >> 1, 0), StartAt::Earliest).await.expect("readable");
    assert_eq!(beyond, stored[0]);
}

#[tokio::test]
async fn a_search_by_time_finds_the_first_entry_not_older() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let empty = topic.first_since(5).await.expect("nothing to read");
    assert_eq!(empty, topic.ledger().end());
    let stored = fill_with(&topic, 33, |n, metadata| metadata.publish_time = 100 + n / 2 * 10).await;
    for time_ms in [0, 99, 100, 101, 110, 175, 180, 259, 260, 261, 1000] {
        let model = (0..33u64).find(|n| 100 + n / 2 * 10 >= time_ms);
        let expected = model.map_or(topic.ledger().end(), |n| stored[n as usize]);
        assert_eq!(topic.first_since(time_ms).await.expect("readable"), expected, "{time_ms}");
    }
}

#[tokio::test]
async fn a_store_that_fails_is_asked_now_and_then_and_holds_up_nobody_else() {
    let kit = kit(TopicSettings::default()).await;
    let (broken, sound) = (kit.topic("broken").await, kit.topic("sound").await);
    let stored = fill(&broken, 12).await;
    let client = Recorder::new(1);
    kit.faults.fail_reads.store(true, SeqCst);
    let consumer = broken.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(MANY);
    tokio::time::sleep(std::time::Duration::from_millis(800)).await;
    let reads = kit.faults.reads.load(SeqCst);
    // Pauses of 100, 200, 400 ms; every try asks once.
    assert!((2..=6).contains(&reads), "{reads} reads of a store that fails");
    assert!(client.deliveries(1).is_empty());
    kit.faults.fail_reads.store(false, SeqCst);
    client.expect(1, 12).await;

    kit.faults.hang_reads.store(true, SeqCst);
    let hanging = broken.subscribe(subscribe_request(&client, 2, "hangs", Exclusive)).await.expect("free");
    hanging.flow(MANY);
    moment().await;
    kit.faults.hang_reads.store(false, SeqCst);
    fill(&sound, 5).await;
    let other = sound.subscribe(subscribe_request(&client, 3, "s", Exclusive)).await.expect("free");
    other.flow(MANY);
    client.expect(3, 5).await;
    // The read that hangs is dropped when the place moves.
    hanging.subscription().reset(stored[5]).await.expect("it can move");
    let again = broken.subscribe(subscribe_request(&client, 4, "hangs", Exclusive)).await.expect("free");
    again.flow(MANY);
    client.expect(4, 7).await;
}

#[tokio::test]
async fn receipts_and_refusals_keep_the_order_of_sending() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let producer = topic.add_producer(producer_request(&client, 7, None)).await.expect("free");
    kit.faults.hold_appends.store(true, SeqCst);
    for n in 0..3 {
        publish(&producer, &client, n, "x", |_| {}).await;
    }
    producer.refuse(3, 0, PublishError::Checksum("damaged".to_owned())).await;
    moment().await;
    assert!(client.sent().is_empty());
    kit.faults.hold_appends.store(false, SeqCst);
    publish(&producer, &client, 4, "x", |_| {}).await;
    producer.close().await;
    let order: Vec<_> = client
        .sent()
        .into_iter()
        .map(|sent| match sent {
            Sent::Receipt(7, sequence_id, _) => (sequence_id, true),
            Sent::Refused(7, sequence_id, _) => (sequence_id, false),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(order, [(0, true), (1, true), (2, true), (3, false), (4, true)]);
}

#[tokio::test]
async fn a_failed_write_is_told_and_the_topic_is_loaded_again() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let kept = fill(&topic, 3).await;
    let client = Recorder::new(1);
    let producer = topic.add_producer(producer_request(&client, 7, Some("p"))).await.expect("free");
    kit.faults.fail_appends.store(true, SeqCst);
    publish(&producer, &client, 0, "x", |_| {}).await;
    until("the refusal", || {
        client.sent().iter().any(|sent| matches!(sent, Sent::Refused(7, 0, PublishError::Storage(_))))
    })
    .await;
    until("the producer is closed", || client.sent().contains(&Sent::CloseProducer(7))).await;
    assert!(producer.is_closed());
    kit.faults.fail_appends.store(false, SeqCst);
    let again = kit.topic("t").await;
    assert!(!Arc::ptr_eq(&topic, &again));
    let more = fill(&again, 1).await;
    assert!(more[0] > kept[2]);
    let reader = Recorder::new(2);
    let consumer = again.subscribe(subscribe_request(&reader, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(MANY);
    let deliveries = reader.expect(1, 4).await;
    assert_eq!(positions(&deliveries), [kept, more].concat());
}

#[tokio::test]
async fn producer_names_are_unique_until_their_holder_is_gone() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let (client, other) = (Recorder::new(1), Recorder::new(2));
    let holder = topic.add_producer(producer_request(&client, 1, Some("p"))).await.expect("free");
    let refused = topic.add_producer(producer_request(&other, 1, Some("p"))).await.err();
    assert!(matches!(refused, Some(TopicError::ProducerBusy(_))));
    // The same producer that comes again with a greater epoch takes over.
    let mut again = producer_request(&client, 1, Some("p"));
    again.epoch = 1;
    let taken_over = topic.add_producer(again).await.expect("its own name");
    assert!(holder.is_closed() && !taken_over.is_closed());
    // Leaving late, the old one does not take the name away from the new one.
    drop(holder);
    assert!(topic.add_producer(producer_request(&other, 1, Some("p"))).await.is_err());
    taken_over.close().await;
    drop(topic.add_producer(producer_request(&other, 1, Some("p"))).await.expect("free again"));
    let made: Vec<_> = [
        topic.add_producer(producer_request(&client, 2, None)).await.expect("a made name"),
        topic.add_producer(producer_request(&client, 3, None)).await.expect("a made name"),
    ]
    .into();
    assert_ne!(made[0].name(), made[1].name());
    assert!(made[0].name().starts_with("standalone-0-"));
}

#[tokio::test]
async fn a_terminated_topic_takes_nothing_and_is_read_to_its_end() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 3).await;
    let client = Recorder::new(1);
    let producer = topic.add_producer(producer_request(&client, 1, None)).await.expect("free");
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(MANY);
    client.expect(1, 3).await;
    topic.terminate().await.expect("the store works");
    assert!(client.sent().contains(&Sent::CloseProducer(1)));
    publish(&producer, &client, 9, "late", |_| {}).await;
    until("the refusal", || client.sent().contains(&Sent::Refused(1, 9, PublishError::Terminated))).await;
    let refused = topic.add_producer(producer_request(&client, 2, None)).await.err();
    assert!(matches!(refused, Some(TopicError::Terminated(_))));
    assert!(!client.sent().contains(&Sent::End(1)));
    consumer.acknowledge_through(whole(stored[2]));
    until("the end is told", || client.sent().contains(&Sent::End(1))).await;
    moment().await;
    assert_eq!(client.sent().iter().filter(|sent| **sent == Sent::End(1)).count(), 1);
}

#[tokio::test]
async fn topics_are_loaded_once_and_unloaded_whole() {
    let kit = kit(TopicSettings::default()).await;
    let name = topic_name("t");
    let missing = kit.topics.load(&name, Missing::Refuse).await.err();
    assert_eq!(missing, Some(TopicError::NotFound(name.clone())));
    let loads = (0..20).map(|_| kit.topics.load(&name, Missing::Ask));
    let loaded: Vec<_> = futures_util::future::join_all(loads).await.into_iter().map(|t| t.expect("made")).collect();
    assert!(loaded.iter().all(|topic| Arc::ptr_eq(topic, &loaded[0])));
    let stored = fill(&loaded[0], 5).await;
    let client = Recorder::new(1);
    let consumer = loaded[0].subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.acknowledge(vec![whole(stored[0]), whole(stored[2])]);
    let _producer = loaded[0].add_producer(producer_request(&client, 4, None)).await.expect("free");
    assert!(kit.topics.unload(&name).await);
    assert!(!kit.topics.unload(&name).await);
    assert_eq!(client.sent(), [Sent::CloseConsumer(1), Sent::CloseProducer(4)]);
    for name in ["s", "s2"] {
        let late = loaded[0].subscribe(subscribe_request(&client, 2, name, Exclusive)).await.err();
        assert!(matches!(late, Some(TopicError::NotReady(_))), "{late:?}");
    }
    let again = kit.topics.load(&name, Missing::Refuse).await.expect("it is there");
    client.forget();
    let consumer = again.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    consumer.flow(MANY);
    client.expect(1, 3).await;
    assert_eq!(client.texts(1), ["1", "3", "4"]);
}

#[tokio::test]
async fn a_topic_in_use_is_deleted_only_by_force() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let _consumer = topic.subscribe(subscribe_request(&client, 1, "s", Exclusive)).await.expect("free");
    let _producer = topic.add_producer(producer_request(&client, 4, None)).await.expect("free");
    assert_eq!(kit.topics.delete(&topic_name("t"), false).await, Err(TopicError::InUse(2)));
    // The refused deletion left the topic open.
    assert!(Arc::ptr_eq(&kit.topic("t").await, &topic));
    kit.topics.delete(&topic_name("t"), true).await.expect("by force");
    assert_eq!(client.sent().len(), 2);
    assert_eq!(kit.topics.exists(&topic_name("t")).await, Ok(false));
    assert!(kit.topics.load(&topic_name("t"), Missing::Refuse).await.is_err());
    assert_eq!(kit.topics.names(topic_name("t").namespace()).await, Ok(Vec::new()));
}

#[tokio::test]
async fn creation_follows_the_rules_of_the_namespace() {
    let kit = kit_with(TopicSettings::default(), AutoCreate::Forbidden).await;
    let name = topic_name("t");
    assert_eq!(kit.topics.load(&name, Missing::Ask).await.err(), Some(TopicError::NotFound(name.clone())));
    assert_eq!(kit.topics.partitions(&name, true).await, Err(TopicError::NotFound(name.clone())));
    kit.topics.load(&name, Missing::Create).await.expect("an operator makes it");
    assert_eq!(kit.topics.partitions(&name, false).await, Ok(0));
    let parts = topic_name("parts");
    kit.topics.rules().create_partitioned(&parts, 2).await.expect("in memory");
    assert_eq!(kit.topics.partitions(&parts, false).await, Ok(2));
    assert_eq!(kit.topics.partitions(&parts.partition(7), false).await, Ok(0));
    kit.topics.load(&parts.partition(1), Missing::Ask).await.expect("a partition is made by its first use");
    let beyond = kit.topics.load(&parts.partition(2), Missing::Ask).await.err();
    assert_eq!(beyond, Some(TopicError::NotFound(parts.partition(2))));
    assert!(matches!(kit.topics.load(&parts, Missing::Ask).await.err(), Some(TopicError::NotAllowed(_))));
    let passing = topic_name("non-persistent://public/default/t");
    assert!(matches!(kit.topics.load(&passing, Missing::Ask).await.err(), Some(TopicError::NotAllowed(_))));
}

#[tokio::test]
async fn operators_skip_peek_and_reset() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let stored = fill(&topic, 15).await;
    topic.create_subscription("s", StartAt::Earliest, Default::default()).await.expect("new");
    let again = topic.create_subscription("s", StartAt::Latest, Default::default()).await.err();
    assert_eq!(again, Some(TopicError::SubscriptionExists));
    let backlog = || topic.stats().subscriptions["s"].backlog_entries;
    assert_eq!(backlog(), 15);
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Shared)).await.expect("free");
    consumer.acknowledge(vec![whole(stored[1])]);
    topic.skip("s", 2).expect("known");
    assert_eq!(backlog(), 12);
    let peeked = topic.peek("s", 2).await.expect("readable").expect("there are more");
    assert_eq!((peeked.position, text(&peeked.entry).as_str()), (stored[4], "4"));
    assert_eq!(topic.peek("s", 13).await, Ok(None));
    topic.skip_all("s").expect("known");
    assert_eq!(backlog(), 0);
    assert_eq!(topic.delete_subscription("s", false).await, Err(TopicError::SubscriptionInUse));
    assert_eq!(topic.reset("s", StartAt::Entry(stored[3])).await, Ok(stored[3]));
    assert_eq!((backlog(), client.sent()), (12, vec![Sent::CloseConsumer(1)]));
    topic.delete_subscription("s", false).await.expect("nobody uses it now");
    assert!(matches!(topic.skip_all("s"), Err(TopicError::SubscriptionNotFound { .. })));
    assert!(topic.ledger().cursor("s").is_none());
}

#[tokio::test]
async fn unsubscribing_deletes_unless_others_are_there() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    fill(&topic, 3).await;
    let client = Recorder::new(1);
    let first = topic.subscribe(subscribe_request(&client, 1, "s", Shared)).await.expect("free");
    let second = topic.subscribe(subscribe_request(&client, 2, "s", Shared)).await.expect("free");
    assert!(matches!(first.unsubscribe(false).await, Err(TopicError::Metadata(_))));
    first.unsubscribe(true).await.expect("by force");
    assert_eq!(client.sent(), [Sent::CloseConsumer(2)]);
    drop((first, second));
    assert!(topic.subscription("s").is_none());
    let anew = topic.subscribe(subscribe_request(&client, 3, "s", Exclusive)).await.expect("free");
    anew.flow(MANY);
    client.expect(3, 3).await;
}
