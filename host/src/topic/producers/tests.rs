//! Exclusive producers: who has a topic, who waits, who is put out, and what a restart remembers.

use super::*;
use crate::topic::test_kit::{Recorder, Sent, kit, moment, producer_request, publish};
use crate::topic::{Missing, TopicSettings};

fn request(client: &Arc<Recorder>, id: u64, access: AccessMode, topic_epoch: Option<u64>) -> ProducerRequest {
    let name = format!("p{id}");
    ProducerRequest { access, topic_epoch, ..producer_request(client, id, Some(&name)) }
}

async fn queued(topic: &Arc<Topic>, request: ProducerRequest) -> QueuedProducer {
    match topic.admit_producer(request).await.expect("a place in the queue") {
        Admitted::Queued(producer) => producer,
        Admitted::Ready(producer) => panic!("{} did not wait", producer.name()),
    }
}

#[tokio::test]
async fn exclusive_producers_stand_alone() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let exclusive = |id, epoch| request(&client, id, AccessMode::Exclusive, epoch);
    let alone = topic.add_producer(exclusive(1, None)).await.expect("free");
    assert_eq!(alone.topic_epoch(), Some(0));
    let shared = topic.add_producer(producer_request(&client, 2, None)).await.err();
    assert!(matches!(shared, Some(TopicError::ProducerBusy(_))));
    let second = topic.add_producer(exclusive(3, None)).await.err();
    assert!(matches!(second, Some(TopicError::ProducerFenced(_))));
    drop(alone);
    let next = topic.add_producer(exclusive(4, None)).await.expect("free");
    assert_eq!(next.topic_epoch(), Some(1));
    drop(next);
    let fenced = topic.add_producer(exclusive(1, Some(0))).await.err();
    assert!(matches!(fenced, Some(TopicError::ProducerFenced(_))));
    let again = topic.add_producer(exclusive(4, Some(1))).await.expect("nobody had it since");
    assert_eq!(again.topic_epoch(), Some(1));
}

#[tokio::test]
async fn those_who_wait_get_the_topic_in_their_order() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let waiter = |id| request(&client, id, AccessMode::WaitForExclusive, None);
    let first = topic.add_producer(waiter(1)).await.expect("free");
    let second = queued(&topic, waiter(2)).await;
    let gives_up = queued(&topic, waiter(3)).await;
    let last = queued(&topic, waiter(4)).await;
    assert_eq!((topic.stats().waiting_producers, topic.client_count()), (3, 4));
    drop(gives_up);
    drop(first);
    let second = second.ready().await.expect("its turn");
    assert_eq!((second.name(), second.topic_epoch()), ("p2", Some(1)));
    drop(second);
    let last = last.ready().await.expect("its turn");
    assert_eq!((last.name(), last.topic_epoch()), ("p4", Some(2)));
}

#[tokio::test]
async fn one_that_fences_puts_out_the_others_and_they_stay_out() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let (client, other) = (Recorder::new(1), Recorder::new(2));
    let first = topic.add_producer(request(&client, 1, AccessMode::Exclusive, None)).await.expect("free");
    let waits = queued(&topic, request(&client, 2, AccessMode::WaitForExclusive, None)).await;
    let fencing = request(&other, 3, AccessMode::ExclusiveWithFencing, None);
    let winner = topic.add_producer(fencing).await.expect("it fences");
    assert_eq!(winner.topic_epoch(), Some(1));
    assert_eq!(client.sent(), [Sent::CloseProducer(1)]);
    let error = waits.ready().await.err();
    assert_eq!(error, Some(TopicError::ProducerFenced("Fenced out by p3".to_owned())));

    publish(&first, &client, 7, "late", |_| {}).await;
    moment().await;
    assert_eq!(topic.ledger().snapshot().entry_count, 0, "a fenced producer stores nothing");
    let back = topic.add_producer(request(&client, 1, AccessMode::ExclusiveWithFencing, Some(0))).await.err();
    assert!(matches!(back, Some(TopicError::ProducerFenced(_))), "they would put each other out for ever");
}

#[tokio::test]
async fn epochs_survive_the_topic() {
    let kit = kit(TopicSettings::default()).await;
    let name = kit.topic("t").await.name().clone();
    let client = Recorder::new(1);
    let exclusive = |epoch| request(&client, 1, AccessMode::Exclusive, epoch);
    for epoch in 0..3 {
        let topic = kit.topic("t").await;
        drop(topic.add_producer(exclusive(None)).await.expect("free"));
        assert_eq!(topic.ledger().number(EPOCH), Some(epoch));
        kit.topics.unload(&name).await;
    }
    let topic = kit.topics.load(&name, Missing::Refuse).await.expect("it is there");
    let stale = topic.add_producer(exclusive(Some(1))).await.err();
    assert!(matches!(stale, Some(TopicError::ProducerFenced(_))));
}

#[tokio::test]
async fn closing_the_topic_ends_the_waiting() {
    let kit = kit(TopicSettings::default()).await;
    let topic = kit.topic("t").await;
    let client = Recorder::new(1);
    let _holder = topic.add_producer(request(&client, 1, AccessMode::Exclusive, None)).await.expect("free");
    let waits = queued(&topic, request(&client, 2, AccessMode::WaitForExclusive, None)).await;
    kit.topics.unload(topic.name()).await;
    assert!(matches!(waits.ready().await.err(), Some(TopicError::NotReady(_))));
}
