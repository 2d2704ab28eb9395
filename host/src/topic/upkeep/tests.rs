//! What the clock does to a topic: expiry of messages and subscriptions, quotas, and topics that nobody needs.

use super::*;
use crate::topic::TopicSettings;
use crate::topic::consumer::SubscriptionKind::{Exclusive, Shared};
use crate::topic::operations::StartAt;
use crate::topic::terms::{BacklogQuotas, InactiveRule, Quota, QuotaAction};
use crate::topic::test_kit::{Kit, Recorder, Sent, fill_with, kit, producer_request, subscribe_request, until};

/// Messages of a fixed size, one each second, the first at the kit's time.
async fn filled(kit: &Kit, count: u64) -> Arc<Topic> {
    let topic = kit.topic("t").await;
    let start_ms = topic.surroundings.clock.now_ms();
    fill_with(&topic, count, |n, metadata| metadata.publish_time = start_ms + n * 1000).await;
    topic
}

async fn subscribe(topic: &Arc<Topic>, name: &str) -> Arc<Subscription> {
    topic.create_subscription(name, StartAt::Earliest, Default::default()).await.expect("it is new");
    topic.subscription(name).expect("it was made")
}

async fn set(topic: &Topic, change: impl FnOnce(&mut Terms)) {
    let mut terms = Terms::default();
    change(&mut terms);
    topic.set_terms(Arc::new(terms)).await.expect("they need nothing");
}

#[tokio::test]
async fn old_messages_count_as_acknowledged_and_young_ones_do_not() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 25).await;
    let subscription = subscribe(&topic, "s").await;
    topic.expire_messages().await;
    assert_eq!(subscription.cursor().backlog(), 25, "without a time to live nothing expires");
    set(&topic, |terms| terms.message_ttl = Some(Duration::from_secs(10))).await;
    // The tenth is ten seconds old to the millisecond.
    kit.clock.advance(20_000);
    for _ in 0..2 {
        topic.expire_messages().await;
        let stats = subscription.stats();
        assert_eq!((stats.backlog_entries, stats.expired.messages), (15, 10));
    }
    kit.clock.advance(3_600_000);
    topic.expire_messages().await;
    assert_eq!(subscription.cursor().backlog(), 0);
}

#[tokio::test]
async fn messages_with_a_consumer_expire_too_and_are_not_delivered_again() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 5).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "s", Shared)).await.expect("free");
    consumer.flow(3);
    client.expect(1, 3).await;
    kit.clock.advance(3_600_000);
    assert!(topic.expire_older("s", Duration::from_secs(60)).await.expect("they are read"));
    assert!(!topic.expire_older("s", Duration::from_secs(60)).await.expect("they are read"), "once");
    drop(consumer);
    let next = topic.subscribe(subscribe_request(&client, 2, "s", Shared)).await.expect("free");
    next.flow(10);
    client.expect(2, 0).await;
}

#[tokio::test]
async fn operators_expire_up_to_a_message() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 25).await;
    let subscription = subscribe(&topic, "s").await;
    let at = |n| topic.ledger().nth(topic.ledger().first(), n).expect("it exists");
    assert!(topic.expire_through("s", at(9)).expect("it is there"));
    assert_eq!(topic.ledger().valid_from(subscription.cursor().first_unacked()), at(10));
    assert!(!topic.expire_through("s", at(4)).expect("it is there"), "never back");
    let absent = topic.expire_through("absent", at(4));
    assert!(matches!(absent, Err(TopicError::SubscriptionNotFound { .. })));
}

fn bytes(limit: u64, action: QuotaAction) -> BacklogQuotas {
    BacklogQuotas { bytes: Some(Quota { limit, action }), age: None }
}

fn age(seconds: u64, action: QuotaAction) -> BacklogQuotas {
    BacklogQuotas { bytes: None, age: Some(Quota { limit: Duration::from_secs(seconds), action }) }
}

#[tokio::test]
async fn a_backlog_over_its_quota_keeps_producers_out_until_it_is_read() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 25).await;
    let subscription = subscribe(&topic, "s").await;
    kit.clock.advance(60_000);
    let client = Recorder::new(1);
    let whole = topic.backlog_bytes();
    for (quotas, action) in [
        (bytes(whole, QuotaAction::HoldProducers), QuotaAction::HoldProducers),
        (age(60, QuotaAction::FailProducers), QuotaAction::FailProducers),
    ] {
        subscription.reset(topic.ledger().first()).await.expect("nobody else moves it");
        client.forget();
        let _producer = topic.add_producer(producer_request(&client, 1, None)).await.expect("no quota yet");
        set(&topic, |terms| terms.backlog = quotas).await;
        topic.keep_backlog_quotas().await;
        assert_eq!(client.sent(), [Sent::CloseProducer(1)], "{quotas:?}");
        let refused = topic.add_producer(producer_request(&client, 2, None)).await.err();
        assert_eq!(refused, Some(TopicError::BacklogExceeded(action)));
        topic.skip_all("s").expect("it is there");
        topic.keep_backlog_quotas().await;
        drop(topic.add_producer(producer_request(&client, 3, None)).await.expect("there is room again"));
        set(&topic, |_| {}).await;
    }
}

#[tokio::test]
async fn a_backlog_over_its_quota_is_cut_at_its_old_end() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 25).await;
    let (slow, quick) = (subscribe(&topic, "slow").await, subscribe(&topic, "quick").await);
    topic.skip("quick", 20).expect("it is there");
    let whole = topic.backlog_bytes();
    set(&topic, |terms| terms.backlog = bytes(whole + 1, QuotaAction::Evict)).await;
    topic.keep_backlog_quotas().await;
    assert_eq!(slow.cursor().backlog(), 25);
    let limit = whole / 2;
    set(&topic, |terms| terms.backlog = bytes(limit, QuotaAction::Evict)).await;
    topic.keep_backlog_quotas().await;
    let left = topic.backlog_bytes();
    assert!(left <= limit - limit / 10 && left > limit / 2, "{left} of {limit}");
    assert_eq!(quick.cursor().backlog(), 5, "who is ahead loses nothing");

    kit.clock.advance(30_000);
    set(&topic, |terms| terms.backlog = age(10, QuotaAction::Evict)).await;
    topic.keep_backlog_quotas().await;
    // The twenty-first was sent at 20 s.
    assert_eq!((slow.cursor().backlog(), quick.cursor().backlog()), (5, 5));
}

#[tokio::test]
async fn a_subscription_expires_when_nobody_used_it_for_long() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 1).await;
    let client = Recorder::new(1);
    let consumer = topic.subscribe(subscribe_request(&client, 1, "used", Exclusive)).await.expect("free");
    subscribe(&topic, "unused").await;
    let names = || topic.subscriptions().iter().map(|s| s.name().to_owned()).collect::<Vec<_>>();
    set(&topic, |terms| terms.subscription_expiry = Some(Duration::from_secs(600))).await;
    topic.expire_subscriptions().await;
    kit.clock.advance(599_000);
    topic.expire_subscriptions().await;
    assert_eq!(names(), ["unused", "used"]);
    kit.clock.advance(1_000);
    topic.expire_subscriptions().await;
    assert_eq!(names(), ["used"]);
    drop(consumer);
    kit.clock.advance(599_000);
    topic.expire_subscriptions().await;
    assert_eq!(names(), ["used"], "it was used when its consumer left");
}

#[tokio::test]
async fn the_time_of_use_survives_and_consumers_may_come_back_first() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 1).await;
    let expiry = |terms: &mut Terms| terms.subscription_expiry = Some(Duration::from_secs(600));
    subscribe(&topic, "s").await;
    set(&topic, expiry).await;
    topic.expire_subscriptions().await;
    let name = topic.name().clone();
    drop(topic);
    kit.topics.unload(&name).await;
    kit.clock.advance(3_600_000);
    let topic = kit.topic("t").await;
    set(&topic, expiry).await;
    topic.expire_subscriptions().await;
    assert!(topic.subscription("s").is_some(), "its consumers may be on their way");
    kit.clock.advance(60_000);
    topic.expire_subscriptions().await;
    assert!(topic.subscription("s").is_none());
}

#[tokio::test]
async fn a_topic_is_abandoned_when_nobody_used_it_for_long_and_nothing_keeps_it() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 3).await;
    let rule = |even_with_subscriptions| InactiveRule { even_with_subscriptions, after: Duration::from_secs(60) };
    let retention = |time_ms| {
        let mut settings = (*topic.ledger().settings()).clone();
        settings.retention.time_ms = time_ms;
        topic.ledger().update_settings(Arc::new(settings));
    };
    retention(Some(0));
    kit.clock.advance(60_000);
    assert!(!topic.is_abandoned(), "no rule");
    set(&topic, |terms| terms.inactive = Some(rule(false))).await;
    assert!(topic.is_abandoned());
    retention(None);
    assert!(!topic.is_abandoned(), "it is kept for ever");
    retention(Some(120_000));
    assert!(!topic.is_abandoned());
    kit.clock.advance(60_000);
    assert!(topic.is_abandoned());

    subscribe(&topic, "s").await;
    assert!(!topic.is_abandoned());
    set(&topic, |terms| terms.inactive = Some(rule(true))).await;
    kit.clock.advance(120_000);
    assert!(!topic.is_abandoned(), "three messages are unread");
    topic.skip_all("s").expect("it is there");
    kit.clock.advance(119_000);
    assert!(!topic.is_abandoned(), "it was seen in use");
    kit.clock.advance(1_000);
    assert!(topic.is_abandoned());
    kit.topics.delete_abandoned(topic.name()).await.expect("nobody came");
    assert!(!kit.topics.exists(topic.name()).await.expect("the record is read"));
}

#[tokio::test]
async fn a_topic_that_somebody_uses_again_is_not_deleted() {
    let kit = kit(TopicSettings::default()).await;
    let topic = filled(&kit, 1).await;
    let rule = InactiveRule { even_with_subscriptions: false, after: Duration::ZERO };
    set(&topic, |terms| terms.inactive = Some(rule)).await;
    let client = Recorder::new(1);
    let producer = topic.add_producer(producer_request(&client, 1, None)).await.expect("free");
    let kept = kit.topics.delete_abandoned(topic.name()).await;
    assert_eq!(kept, Err(TopicError::InUse(1)));
    assert!(!producer.is_closed());
    until("the topic is open", || topic.check_open().is_ok()).await;
}
