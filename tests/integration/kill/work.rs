//! One life of the broker: clients and an operator at work until it is killed.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use longshore::client::{
    BatchLimits, Client, ClientError, Consumer, ConsumerOptions, Outgoing, Producer, ProducerOptions, Receipt,
    SubscriptionKind,
};
use longshore_tests::broker::BrokerProcess;
use longshore_tests::rig::Topic;
use serde_json::{Value, json};

use super::model::{Model, Sent, Taken, Tally, key, payload};
use super::stage::{DRAINED, KEPT, MARKED, POLICIES, Stage, THRESHOLD};

/// Producers of each topic; every second one sends batches.
const PRODUCERS: [&str; 2] = ["single", "batch"];
/// Entries on their way.
const WINDOW: usize = 32;
const BATCH: BatchLimits = BatchLimits { messages_max: 10, size_max_bytes: 128 << 10 };
/// Time between two messages of a producer, so that ledgers and not messages are many.
const PACE: Duration = Duration::from_millis(2);
/// Time before a client whose connection was closed comes again.
const RETURN: Duration = Duration::from_millis(5);
/// One delivery in so many is acknowledged late, so that acknowledgements have holes.
const LATE_EVERY: u64 = 13;
/// How many deliveries later.
const LATE_BY: usize = 20;
/// Nothing comes for so long: nothing waits.
const QUIET: Duration = Duration::from_millis(500);
/// How long taking everything that waits may take.
const REST_MAX: Duration = Duration::from_secs(120);

const IN_ORDER: &str = "in-order";
const BY_KEY: &str = "by-key";

type Held<T> = Arc<Mutex<T>>;

/// What one life's tasks share.
struct Life {
    service_url: String,
    over: AtomicBool,
}

impl Life {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }
}

fn of<T>(held: &Held<T>) -> std::sync::MutexGuard<'_, T> {
    held.lock().expect("no task panics while it holds what it knows")
}

/// Takes what a life's tasks held back again.
fn back<T>(held: Held<T>) -> T {
    let held = Arc::into_inner(held).expect("the tasks of a life have ended");
    held.into_inner().expect("no task panics while it holds what it knows")
}

/// Lets everybody work for `life`, kills the broker, and notes what was promised.
pub(super) async fn live_and_die(
    stage: &Stage,
    broker: BrokerProcess,
    model: &mut Model,
    seed: u64,
    life: Duration,
) -> Result<Tally> {
    let shared = Arc::new(Life { service_url: broker.service_url.clone(), over: AtomicBool::new(false) });
    let mut clients = tokio::task::JoinSet::new();
    let (mut sending, mut taking) = (Vec::new(), Vec::new());
    for (topic, name) in [KEPT, DRAINED].iter().flat_map(|topic| PRODUCERS.map(|name| (*topic, name))) {
        let who = (topic.0, format!("{}-{name}", topic.0));
        let sent: Held<Sent> = Arc::new(Mutex::new(model.sent.remove(&who).unwrap_or_default()));
        let batch = (name == "batch").then_some(BATCH);
        clients.spawn(produce(shared.clone(), topic, who.1.clone(), batch, sent.clone()));
        sending.push((who, sent));
    }
    for (topic, subscription, kind, count) in subscriptions() {
        let taken: Held<Taken> = Arc::new(Mutex::new(model.taken.remove(&(topic.0, subscription)).unwrap_or_default()));
        for _ in 0..count {
            clients.spawn(consume(shared.clone(), topic, subscription, kind, taken.clone()));
        }
        taking.push(((topic.0, subscription), taken));
    }
    let before = sending.iter().map(|(_, sent)| of(sent).acknowledged.len() as u64).sum::<u64>();
    let done = operate_until_killed(stage, broker, model, seed, life);
    shared.over.store(true, Ordering::SeqCst);
    let mut problems = Vec::new();
    while let Some(ended) = clients.join_next().await {
        problems.extend(ended?.err());
    }
    model.sent.extend(sending.into_iter().map(|(who, sent)| (who, back(sent))));
    model.taken.extend(taking.into_iter().map(|(which, taken)| (which, back(taken))));
    if let Some(problem) = problems.into_iter().next() {
        return Err(problem);
    }
    Ok(Tally { messages: model.acknowledged_count() - before, ..done? })
}

/// Who takes messages: on the kept topic two consumers that share by key, on the other one alone.
fn subscriptions() -> [(Topic, &'static str, SubscriptionKind, usize); 2] {
    [(KEPT, BY_KEY, SubscriptionKind::KeyShared, 2), (DRAINED, IN_ORDER, SubscriptionKind::Exclusive, 1)]
}

async fn produce(
    life: Arc<Life>,
    topic: Topic,
    name: String,
    batch: Option<BatchLimits>,
    sent: Held<Sent>,
) -> Result<()> {
    while !life.is_over() {
        let options = ProducerOptions { name: Some(name.clone()), in_flight_max: 64, batch };
        if let Ok(client) = Client::connect(&life.service_url).await
            && let Ok(producer) = client.producer(&topic.name(), options).await
        {
            // A connection that ends is what happens here.
            let _ = send(&life, producer, &name, &sent).await;
        }
        tokio::time::sleep(RETURN).await;
    }
    Ok(())
}

async fn send(life: &Life, mut producer: Producer, name: &str, sent: &Held<Sent>) -> Result<(), ClientError> {
    let mut waiting: VecDeque<(u64, Receipt)> = VecDeque::new();
    let mut ended = Ok(());
    while !life.is_over() && ended.is_ok() {
        let number = of(sent).next;
        of(sent).next += 1;
        let (payload, key) = (payload(name, number), key(name, number));
        let outgoing = Outgoing { payload: &payload, key: Some(&key), ..Outgoing::default() };
        match producer.send_message(outgoing).await {
            Ok(receipt) => waiting.push_back((number, receipt)),
            Err(error) => ended = Err(error),
        }
        while waiting.len() > WINDOW {
            let (number, receipt) = waiting.pop_front().expect("it is not empty");
            match receipt.message_id().await {
                Ok(id) => drop(of(sent).acknowledged.insert(number, id)),
                Err(error) => ended = Err(error),
            }
        }
        tokio::time::sleep(PACE).await;
    }
    // What was not sent yet is not waited for.
    drop(producer);
    for (number, receipt) in waiting {
        if let Ok(id) = receipt.message_id().await {
            of(sent).acknowledged.insert(number, id);
        }
    }
    ended
}

async fn consume(
    life: Arc<Life>,
    topic: Topic,
    subscription: &'static str,
    kind: SubscriptionKind,
    taken: Held<Taken>,
) -> Result<()> {
    while !life.is_over() {
        let options = ConsumerOptions { kind, queue: 50, ..ConsumerOptions::subscription(subscription) };
        if let Ok(client) = Client::connect(&life.service_url).await
            && let Ok(consumer) = client.consumer(&topic.name(), options).await
        {
            let told = || format!("{subscription} of {}", topic.0);
            take(consumer, kind, &taken, || life.is_over()).await.with_context(told)?;
        }
        tokio::time::sleep(RETURN).await;
    }
    Ok(())
}

/// Takes and acknowledges until the connection ends, or nothing comes and `enough`.
async fn take(
    mut consumer: Consumer,
    kind: SubscriptionKind,
    taken: &Held<Taken>,
    enough: impl Fn() -> bool,
) -> Result<()> {
    let mut late = VecDeque::new();
    for count in 1_u64.. {
        let message = match tokio::time::timeout(QUIET, consumer.receive()).await {
            Err(_) if enough() => break,
            Err(_) => continue,
            Ok(Err(ClientError::Corrupt { .. })) => bail!("a delivery is corrupt"),
            Ok(Err(_)) => return Ok(()),
            Ok(Ok(message)) => message,
        };
        of(taken).take(&message, kind == SubscriptionKind::KeyShared)?;
        if count.is_multiple_of(LATE_EVERY) {
            late.push_back(message.id);
        } else {
            consumer.ack(message.id).await;
        }
        if late.len() > LATE_BY {
            consumer.ack(late.pop_front().expect("it is not empty")).await;
        }
    }
    for id in late {
        consumer.ack(id).await;
    }
    // Its answer comes after the acknowledgements.
    let _ = consumer.close().await;
    Ok(())
}

/// After the last kill: every message that was ever acknowledged comes to each subscription.
pub(super) async fn take_the_rest(broker: &BrokerProcess, model: &mut Model) -> Result<()> {
    let end = Instant::now() + REST_MAX;
    for (topic, subscription, kind, _) in subscriptions() {
        let taken = model.taken.remove(&(topic.0, subscription)).context("the subscription was used")?;
        let taken = Arc::new(Mutex::new(taken));
        let client = Client::connect(&broker.service_url).await?;
        let options = ConsumerOptions { kind, ..ConsumerOptions::subscription(subscription) };
        take(client.consumer(&topic.name(), options).await?, kind, &taken, || true).await?;
        model.taken.insert((topic.0, subscription), back(taken));
        ensure!(Instant::now() < end, "it takes too long");
    }
    match model.missing() {
        None => Ok(()),
        Some(missing) => bail!("lost: {missing}"),
    }
}

/// The operator's hand, until the broker is killed under it.
struct Operator<'a> {
    stage: &'a Stage,
    broker: &'a BrokerProcess,
    model: &'a mut Model,
    random: fastrand::Rng,
    done: Tally,
}

/// What an answer says; no answer is the end of the broker.
enum Answered {
    Done(Value),
    Refused,
}

fn operate_until_killed(
    stage: &Stage,
    broker: BrokerProcess,
    model: &mut Model,
    seed: u64,
    life: Duration,
) -> Result<Tally> {
    let pid = i32::try_from(broker.pid()).context("a process id")?;
    let pid = rustix::process::Pid::from_raw(pid).context("a process id")?;
    // The kill comes whatever the operator waits for.
    let killer = std::thread::spawn(move || {
        std::thread::sleep(life);
        rustix::process::kill_process(pid, rustix::process::Signal::KILL)
    });
    let random = fastrand::Rng::with_seed(seed ^ 0x5eed);
    let mut operator = Operator { stage, broker: &broker, model, random, done: Tally::default() };
    let worked = operator.work(&|| killer.is_finished());
    let done = operator.done;
    killer.join().expect("the killer does not panic").context("kill the broker")?;
    broker.kill()?;
    worked.map(|()| done)
}

impl Operator<'_> {
    /// Does one thing after another; a request that fails after the kill is the end of it.
    fn work(&mut self, killed: &dyn Fn() -> bool) -> Result<()> {
        let mut swapped = false;
        while !killed() {
            let topic = if self.random.bool() { KEPT } else { DRAINED };
            let step = match self.random.u8(0..12) {
                0..=2 => self.offload(topic),
                3 | 4 => self.ask("POST", &format!("{}/trim", topic.path()), "").map(|_| ()),
                5 | 6 => self.change_threshold(),
                7 => self.change_driver(),
                8 | 9 => self.mark(),
                10 => self.ask("PUT", &format!("{}/unload", topic.path()), "").map(|_| ()),
                _ if !std::mem::replace(&mut swapped, true) => self.swap(),
                _ => Ok(()),
            };
            if let Err(error) = step {
                // The answer may be lost a moment before the kill is known here.
                std::thread::sleep(Duration::from_millis(100));
                return if killed() { Ok(()) } else { Err(error) };
            }
            std::thread::sleep(Duration::from_millis(self.random.u64(1..40)));
        }
        Ok(())
    }

    /// A refusal is one that the API names for what runs at the same time: an offload that runs, a topic that is being unloaded.
    fn ask(&self, method: &str, path: &str, body: &str) -> Result<Answered> {
        let answer = longshore_tests::rig::ask(self.broker, method, path, body)?;
        match answer.status {
            200..300 => Ok(Answered::Done(serde_json::from_str(&answer.text).unwrap_or(Value::Null))),
            404 | 409 | 503 => Ok(Answered::Refused),
            _ => bail!("{method} {path} {body}: {answer:?}"),
        }
    }

    fn last(&self, topic: Topic) -> Result<Option<Value>> {
        match self.ask("GET", &format!("{}/lastMessageId", topic.path()), "")? {
            Answered::Done(id) if id["ledgerId"].as_i64().is_some_and(|ledger| ledger >= 0) => Ok(Some(id)),
            _ => Ok(None),
        }
    }

    fn offload(&mut self, topic: Topic) -> Result<()> {
        let Some(last) = self.last(topic)? else { return Ok(()) };
        let position = json!({ "ledgerId": last["ledgerId"], "entryId": last["entryId"] }).to_string();
        if let Answered::Done(_) = self.ask("PUT", &format!("{}/offload", topic.path()), &position)? {
            self.done.offloads += 1;
        }
        Ok(())
    }

    /// Writes a setting; what is checked of it later is `value`.
    fn write(&mut self, method: &str, path: &'static str, body: &Value, value: Value) -> Result<()> {
        let written = self.model.written.entry(path).or_insert_with(|| Stage::unwritten(path));
        written.begin(value);
        let Answered::Done(_) = self.ask(method, path, &body.to_string())? else {
            bail!("{method} {path} {body} was refused");
        };
        self.model.written.get_mut(path).expect("it was begun above").end();
        self.done.policies += 1;
        Ok(())
    }

    fn change_threshold(&mut self) -> Result<()> {
        let bytes = json!(*self.random.choice(&[0, 0, 20_000, -1]).expect("there are some"));
        self.write("PUT", THRESHOLD, &bytes, bytes.clone())
    }

    fn change_driver(&mut self) -> Result<()> {
        let policies = self.stage.policies(self.random.usize(0..2));
        let driver = policies["managedLedgerOffloadDriver"].clone();
        self.done.drivers += 1;
        self.write("POST", POLICIES, &policies, driver)
    }

    /// Moves the marked subscription to the end; an answer means that it stays there.
    fn mark(&mut self) -> Result<()> {
        let Some(last) = self.last(KEPT)? else { return Ok(()) };
        let path = format!("{}/subscription/{MARKED}/resetcursor", KEPT.path());
        if let Answered::Done(_) = self.ask("POST", &path, &last.to_string())? {
            let number = |of: &str| last[of].as_i64().unwrap_or(-1);
            let place = (number("ledgerId"), number("entryId") - 1);
            let seen = self.model.cursors.entry((KEPT.0, MARKED.to_owned())).or_insert(place);
            *seen = place.max(*seen);
        }
        Ok(())
    }

    fn swap(&mut self) -> Result<()> {
        self.stage.put_version(self.random.usize(0..2));
        if let Answered::Done(changes) = self.ask("POST", "/brokers/offloaders/rescan", "")? {
            let changes = changes["changes"].as_array().context("a rescan answers changes")?;
            self.done.versions += changes.iter().filter(|change| change["change"] == "replaced").count() as u64;
        }
        Ok(())
    }
}
