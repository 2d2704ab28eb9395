//! One subscription: its place, its consumers, and who of them gets what.
//!
//! State sits behind one lock that is held for short decisions only, never across an await. The commands of clients change
//! it and wake the subscription's task ([`super::delivery`]), which reads entries and hands them to the dispatcher. Lock
//! order: subscription, then cursor or a client's queue; neither calls back.
//!
//! Durable is only what the cursor keeps. After a crash everything that it does not name as acknowledged is delivered
//! again. Redelivery counts, delayed entries and acknowledged parts of batches live in memory.

mod acknowledging;
mod figures;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::acks::PartialAcks;
use super::client::Client;
use super::consumer::{Consumer, ConsumerKey, ConsumerRequest, SubscriptionKind};
use super::dispatcher::multi::Multi;
use super::dispatcher::single::Single;
use super::dispatcher::{Plan, Scene};
use super::error::TopicError;
use super::names::TopicName;
use super::settings::TopicSettings;
use super::stats::Counter;
use crate::managed_ledger::{Cursor, ManagedLedger, Position};
use crate::storage::Clock;

/// How long a non-durable subscription waits for its first consumer, and for its consumer to come back after a seek.
const RETURN_MAX: Duration = Duration::from_secs(60);

/// An acknowledged entry, or part of one: the words of a set are the messages that remain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// The entry.
    pub position: Position,
    /// Its messages that are not acknowledged; empty for none.
    pub remaining: Vec<i64>,
}

/// What all subscriptions of a topic share.
pub(super) struct Surroundings {
    pub(super) topic: TopicName,
    pub(super) ledger: Arc<ManagedLedger>,
    pub(super) settings: Arc<TopicSettings>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) out: Counter,
    pub(super) terminated: AtomicBool,
}

/// One subscription of a loaded topic.
pub struct Subscription {
    pub(super) surroundings: Arc<Surroundings>,
    pub(super) cursor: Arc<Cursor>,
    pub(super) wake: Arc<Notify>,
    /// Taken by whoever admits a consumer or moves the place, across awaits: one at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// Cancelled when the task has ended.
    pub(super) ended: CancellationToken,
    /// Cancelled when the topic no longer knows the subscription.
    pub(super) gone: CancellationToken,
    properties: BTreeMap<String, String>,
    out: Counter,
    redelivered: Counter,
    acknowledged: Counter,
    expired: Counter,
    expired_ms: AtomicU64,
    next_key: AtomicU64,
    state: Mutex<State>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Open,
    Moving,
    Closed,
}

struct State {
    phase: Phase,
    dispatcher: Dispatcher,
    partial: PartialAcks,
    /// The kind that consumers used last.
    kind: Option<SubscriptionKind>,
    /// A non-durable subscription without consumers ends at this time.
    returns_by_ms: Option<u64>,
    flow_ms: u64,
    consumed_ms: u64,
    acked_ms: u64,
}

enum Dispatcher {
    /// Nobody is connected.
    Idle,
    Single(Single),
    Multi(Box<Multi>),
}

impl Dispatcher {
    fn consumers(&self) -> &[Consumer] {
        match self {
            Self::Idle => &[],
            Self::Single(single) => &single.consumers,
            Self::Multi(multi) => &multi.consumers,
        }
    }

    fn consumers_mut(&mut self) -> &mut [Consumer] {
        match self {
            Self::Idle => &mut [],
            Self::Single(single) => &mut single.consumers,
            Self::Multi(multi) => &mut multi.consumers,
        }
    }

    fn consumer(&mut self, key: ConsumerKey) -> Option<&mut Consumer> {
        self.consumers_mut().iter_mut().find(|consumer| consumer.key == key)
    }

    fn kind(&self) -> Option<SubscriptionKind> {
        match self {
            Self::Idle => None,
            Self::Single(single) => Some(single.kind),
            Self::Multi(multi) => Some(multi.kind()),
        }
    }
}

impl Subscription {
    pub(super) fn new(
        surroundings: Arc<Surroundings>,
        cursor: Arc<Cursor>,
        properties: BTreeMap<String, String>,
    ) -> Arc<Self> {
        let returns_by_ms = surroundings.clock.now_ms() + RETURN_MAX.as_millis() as u64;
        Arc::new(Self {
            surroundings,
            cursor,
            wake: Arc::new(Notify::new()),
            turn: tokio::sync::Mutex::new(()),
            ended: CancellationToken::new(),
            gone: CancellationToken::new(),
            properties,
            out: Counter::default(),
            redelivered: Counter::default(),
            acknowledged: Counter::default(),
            expired: Counter::default(),
            expired_ms: AtomicU64::new(0),
            next_key: AtomicU64::new(1),
            state: Mutex::new(State {
                phase: Phase::Open,
                dispatcher: Dispatcher::Idle,
                partial: PartialAcks::default(),
                kind: None,
                returns_by_ms: Some(returns_by_ms),
                flow_ms: 0,
                consumed_ms: 0,
                acked_ms: 0,
            }),
        })
    }

    /// Name.
    pub fn name(&self) -> &str {
        self.cursor.name()
    }

    /// Its place.
    pub fn cursor(&self) -> &Arc<Cursor> {
        &self.cursor
    }

    /// Whether consumers are connected.
    pub fn is_in_use(&self) -> bool {
        !self.lock().dispatcher.consumers().is_empty()
    }

    /// How many consumers are connected.
    pub fn consumer_count(&self) -> usize {
        self.lock().dispatcher.consumers().len()
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().phase == Phase::Closed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no code panics while it holds a subscription's state")
    }

    fn ledger(&self) -> &Arc<ManagedLedger> {
        &self.surroundings.ledger
    }

    fn scene<'a>(&'a self, partial: &'a PartialAcks) -> Scene<'a> {
        Scene {
            cursor: &self.cursor,
            partial,
            settings: &self.surroundings.settings,
            wake: &self.wake,
            partition: self.surroundings.topic.partition_index(),
            now_ms: self.surroundings.clock.now_ms(),
            out: [&self.out, &self.surroundings.out],
            redelivered: &self.redelivered,
        }
    }

    /// Lets `act` decide over the dispatcher.
    fn with<T>(&self, act: impl FnOnce(&mut Dispatcher, &Scene<'_>) -> T) -> T {
        let mut state = self.lock();
        let State { dispatcher, partial, .. } = &mut *state;
        act(dispatcher, &self.scene(partial))
    }

    /// Takes a consumer in; the caller has the turn.
    pub(super) fn add(&self, request: ConsumerRequest) -> Result<ConsumerKey, TopicError> {
        let key = ConsumerKey(self.next_key.fetch_add(1, Relaxed));
        let mut state = self.lock();
        let State { phase, dispatcher, partial, kind, returns_by_ms, .. } = &mut *state;
        if *phase != Phase::Open {
            return Err(TopicError::NotReady(format!("subscription {} is being closed", self.name())));
        }
        if let Some(connected) = dispatcher.kind() {
            check_kind(connected, request.kind)?;
        }
        let scene = self.scene(partial);
        let start = self.cursor.first_unacked();
        let requested = request.kind;
        if matches!(dispatcher, Dispatcher::Idle) {
            *dispatcher = if requested.is_shared() {
                Dispatcher::Multi(Box::new(Multi::new(&request, start)))
            } else {
                Dispatcher::Single(Single::new(requested, start))
            };
        }
        let consumer = Consumer::new(key, request, scene.now_ms);
        let added = match dispatcher {
            Dispatcher::Multi(multi) => multi.add(consumer).map_err(TopicError::ConsumerAssign),
            Dispatcher::Single(single) => {
                single.add(consumer, &self.surroundings.topic.to_string(), &scene);
                Ok(())
            }
            Dispatcher::Idle => unreachable!("an idle dispatcher was replaced above"),
        };
        if dispatcher.consumers().is_empty() {
            *dispatcher = Dispatcher::Idle;
        }
        added?;
        (*kind, *returns_by_ms) = (Some(requested), None);
        drop(state);
        self.wake.notify_one();
        Ok(key)
    }

    /// The client of the consumer that keeps others out, if it is another connection than `connection_id`.
    pub(super) fn exclusive_holder(&self, connection_id: u64) -> Option<Arc<dyn Client>> {
        let state = self.lock();
        match &state.dispatcher {
            Dispatcher::Single(single) if single.kind == SubscriptionKind::Exclusive => {
                let holder = single.consumers.first()?.client();
                (holder.info().connection_id != connection_id).then(|| holder.clone())
            }
            _ => None,
        }
    }

    /// A consumer is gone: what it held is given out again.
    pub(super) fn remove(&self, key: ConsumerKey) {
        let topic = self.surroundings.topic.to_string();
        self.with(|dispatcher, scene| {
            match dispatcher {
                Dispatcher::Idle => {}
                Dispatcher::Single(single) => drop(single.remove(key, &topic, scene)),
                Dispatcher::Multi(multi) => drop(multi.remove(key)),
            }
            if dispatcher.consumers().is_empty() && !matches!(dispatcher, Dispatcher::Idle) {
                *dispatcher = Dispatcher::Idle;
                self.cursor.touch(scene.now_ms);
            }
        });
        self.wake.notify_one();
    }

    pub(super) fn has(&self, key: ConsumerKey) -> bool {
        self.lock().dispatcher.consumer(key).is_some()
    }

    pub(super) fn flow(&self, key: ConsumerKey, permits: u32) {
        let mut state = self.lock();
        let now_ms = self.surroundings.clock.now_ms();
        state.flow_ms = now_ms;
        if let Some(consumer) = state.dispatcher.consumer(key) {
            consumer.flow(permits, now_ms);
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Gives out again what a consumer holds: those entries, or all. On Exclusive and Failover always all.
    pub(super) fn redeliver(&self, key: ConsumerKey, only: Option<&[Position]>, epoch: Option<u64>) {
        self.with(|dispatcher, scene| {
            if let (Some(consumer), Some(epoch)) = (dispatcher.consumer(key), epoch) {
                let known = &mut consumer.request.epoch;
                *known = Some(known.map_or(epoch, |known| known.max(epoch)));
            }
            match dispatcher {
                Dispatcher::Idle => {}
                Dispatcher::Single(single) => single.rewind(key, scene),
                Dispatcher::Multi(multi) => multi.give_back(key, only),
            }
        });
        self.wake.notify_one();
    }

    /// Moves the place: `next` is read next. Consumers are closed first, and come again; whoever subscribes meanwhile waits.
    ///
    /// # Errors
    /// `NotReady` when the subscription is being closed; `Storage` when the new place may not be durable.
    pub async fn reset(&self, next: Position) -> Result<(), TopicError> {
        let _turn = self.turn.lock().await;
        {
            let mut state = self.lock();
            if state.phase != Phase::Open {
                return Err(TopicError::NotReady(format!("subscription {} is being closed", self.name())));
            }
            state.phase = Phase::Moving;
            state.partial.clear();
            state.returns_by_ms = None;
            close_consumers(&mut state, None);
        }
        let moved = self.cursor.reset(next).await;
        let mut state = self.lock();
        if state.phase == Phase::Moving {
            state.phase = Phase::Open;
            if !self.cursor.is_durable() {
                state.returns_by_ms = Some(self.surroundings.clock.now_ms() + RETURN_MAX.as_millis() as u64);
            }
        }
        drop(state);
        self.wake.notify_one();
        Ok(moved?)
    }

    /// Everything before `end` is too old to be delivered.
    pub(super) fn expire_to(&self, end: Position) {
        let entries = self.skip_to(end);
        self.expired.add(entries, 0);
        self.expired_ms.store(self.surroundings.clock.now_ms(), Relaxed);
    }

    /// Acknowledges everything before `end`, for an operator who skips messages. Answers how many entries that were.
    pub(super) fn skip_to(&self, end: Position) -> u64 {
        let Some(last) = self.ledger().previous(end) else { return 0 };
        let before = self.cursor.backlog();
        let mut state = self.lock();
        let State { dispatcher, partial, .. } = &mut *state;
        self.cursor.acknowledge_through(last);
        partial.forget_before(end);
        if let Dispatcher::Multi(multi) = dispatcher {
            multi.forget_before(end, &self.scene(partial));
        }
        drop(state);
        self.wake.notify_one();
        before.saturating_sub(self.cursor.backlog())
    }

    /// Closes all consumers, but for one that asked for it and knows, and lets the task end.
    pub(super) fn close(&self, but: Option<ConsumerKey>) {
        let mut state = self.lock();
        state.phase = Phase::Closed;
        close_consumers(&mut state, but);
        drop(state);
        self.wake.notify_one();
    }

    /// What the task does next; `None` when it ends.
    pub(super) fn plan(&self, end: Position) -> Option<Plan> {
        let mut state = self.lock();
        let State { phase, dispatcher, partial, returns_by_ms, .. } = &mut *state;
        let scene = self.scene(partial);
        match phase {
            Phase::Closed => return None,
            Phase::Moving => return Some(Plan::Wait(None)),
            Phase::Open => {}
        }
        let plan = match dispatcher {
            Dispatcher::Idle if self.cursor.is_durable() => Plan::Wait(None),
            Dispatcher::Idle => match *returns_by_ms {
                Some(time_ms) if scene.now_ms < time_ms => Plan::Wait(Some(time_ms)),
                _ => {
                    *phase = Phase::Closed;
                    return None;
                }
            },
            Dispatcher::Single(single) => single.plan(end, &scene),
            Dispatcher::Multi(multi) => multi.plan(end, &scene),
        };
        if matches!(plan, Plan::AtEnd(_)) && self.surroundings.terminated.load(Relaxed) {
            self.tell_end(dispatcher);
        }
        Some(plan)
    }

    fn tell_end(&self, dispatcher: &mut Dispatcher) {
        if self.cursor.backlog() > 0 {
            return;
        }
        for consumer in dispatcher.consumers_mut().iter_mut().filter(|consumer| !consumer.told_end) {
            consumer.told_end = true;
            consumer.client().end_of_topic(consumer.request.consumer_id);
        }
    }

    /// Takes what was read for a plan. False if that changed nothing.
    pub(super) fn accept(&self, plan: Plan, entries: Vec<(Position, Bytes)>) -> bool {
        let Some(from) = plan.from() else { return false };
        let mut state = self.lock();
        let State { dispatcher, partial, consumed_ms, .. } = &mut *state;
        let scene = self.scene(partial);
        *consumed_ms = scene.now_ms;
        let next = if entries.is_empty() { Some(self.ledger().valid_from(from)) } else { None };
        match (dispatcher, plan) {
            (Dispatcher::Single(single), Plan::Read(_)) => match next {
                Some(next) => {
                    single.skip(from, next);
                    next != from
                }
                None => single.accept(from, entries, &scene),
            },
            (Dispatcher::Multi(multi), Plan::Read(_)) => match next {
                Some(next) => {
                    multi.skip(from, next);
                    next != from
                }
                None => multi.accept(from, entries, &scene),
            },
            (Dispatcher::Multi(multi), Plan::Replay(_)) => multi.accept_replay(from, entries, &scene),
            // The consumers changed while the read ran.
            _ => true,
        }
    }
}

fn check_kind(connected: SubscriptionKind, requested: SubscriptionKind) -> Result<(), TopicError> {
    if connected != requested {
        return Err(TopicError::ConsumerBusy(format!(
            "Subscription is of different type: it is {}, the consumer wants {}",
            connected.as_str(),
            requested.as_str()
        )));
    }
    if connected == SubscriptionKind::Exclusive {
        return Err(TopicError::ConsumerBusy("Exclusive consumer is already connected".to_owned()));
    }
    Ok(())
}

fn close_consumers(state: &mut State, but: Option<ConsumerKey>) {
    for consumer in state.dispatcher.consumers().iter().filter(|consumer| Some(consumer.key) != but) {
        consumer.client().close_consumer(consumer.request.consumer_id);
    }
    state.dispatcher = Dispatcher::Idle;
}
