//! What the broker has promised: messages that it acknowledged and where, policies that it answered for, how far each cursor
//! was seen. Pure, but for the locks that the tasks of one life share it by.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::AddAssign;

use anyhow::{Context, Result, bail, ensure};
use longshore::client::{MessageId, Received};
use serde_json::Value;

/// Keys of each producer.
const KEYS: u64 = 4;

/// Message `number` of a producer: both, then bytes that follow from them.
pub(super) fn payload(producer: &str, number: u64) -> Vec<u8> {
    let seed = producer.bytes().fold(number, |seed, byte| seed.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut random = fastrand::Rng::with_seed(seed);
    let noise = std::iter::repeat_with(|| random.u8(..)).take(300);
    format!("{producer} {number} ").into_bytes().into_iter().chain(noise).collect()
}

/// The key that it has.
pub(super) fn key(producer: &str, number: u64) -> String {
    format!("{producer}-{}", number % KEYS)
}

/// Whose message it is, and its number; it must be exactly what was sent.
pub(super) fn author(message: &Received) -> Result<(String, u64)> {
    let mut words = message.payload.splitn(3, |byte| *byte == b' ').map(String::from_utf8_lossy);
    let (producer, number) = (words.next().unwrap_or_default().into_owned(), words.next().unwrap_or_default());
    let number: u64 = number.parse().with_context(|| format!("message {} is nobody's", message.id))?;
    ensure!(message.payload == payload(&producer, number), "message {} is not what was sent", message.id);
    ensure!(message.key.as_deref() == Some(&key(&producer, number)), "message {} has another key", message.id);
    Ok((producer, number))
}

/// What was told a producer.
#[derive(Debug, Default)]
pub(super) struct Sent {
    /// The next number, never sent before: what a kill left unanswered is not sent again.
    pub(super) next: u64,
    /// Numbers that were acknowledged, and as which message.
    pub(super) acknowledged: BTreeMap<u64, MessageId>,
}

/// What is known of a place in a topic's log: everything up to it was read.
#[derive(Debug, Default)]
pub(super) struct Reading {
    /// The last message that was read.
    pub(super) last: Option<MessageId>,
    found: BTreeMap<String, BTreeMap<u64, MessageId>>,
}

impl Reading {
    /// Takes the next message of the log. Within a producer numbers rise, so that none is there twice and the order of every
    /// key is kept.
    pub(super) fn take(&mut self, message: &Received) -> Result<()> {
        ensure!(self.last.is_none_or(|last| last < message.id), "message {} after {:?}", message.id, self.last);
        self.last = Some(message.id);
        let (producer, number) = author(message)?;
        let found = self.found.entry(producer.clone()).or_default();
        if let Some((last, _)) = found.last_key_value().filter(|(last, _)| **last >= number) {
            bail!("message {} is number {number} of {producer}, behind {last}", message.id);
        }
        found.insert(number, message.id);
        Ok(())
    }
}

/// What a subscription has handed out.
#[derive(Debug, Default)]
pub(super) struct Taken {
    by_producer: BTreeMap<String, BTreeSet<u64>>,
    last_of_key: BTreeMap<String, u64>,
    /// Deliveries of messages that had been delivered before.
    pub(super) again: u64,
}

impl Taken {
    /// Takes a delivery. One that is new must come after all others of its key, unless the subscription shares by key and the
    /// message was in a batch: this client's batches mix keys, and are handed out as if they had none.
    pub(super) fn take(&mut self, message: &Received, shares_by_key: bool) -> Result<()> {
        let (producer, number) = author(message)?;
        let key = key(&producer, number);
        if !self.by_producer.entry(producer).or_default().insert(number) {
            self.again += 1;
            return Ok(());
        }
        let is_in_order = !shares_by_key || message.batch_messages.is_none();
        match self.last_of_key.insert(key.clone(), number).filter(|last| is_in_order && *last > number) {
            Some(last) => bail!("{} is the first delivery of number {number} of key {key}, after {last}", message.id),
            None => Ok(()),
        }
    }

    fn lacks(&self, producer: &str, sent: &Sent) -> Option<u64> {
        let taken = self.by_producer.get(producer);
        sent.acknowledged.keys().copied().find(|number| taken.is_none_or(|taken| !taken.contains(number)))
    }
}

/// A setting that was written: what was answered for, and what a write may have made of it whose answer never came.
#[derive(Clone, Debug)]
pub(super) struct Written {
    sure: Value,
    perhaps: Option<Value>,
}

impl Written {
    /// As it is before the first write.
    pub(super) fn new(value: Value) -> Self {
        Self { sure: value, perhaps: None }
    }

    /// A write begins.
    pub(super) fn begin(&mut self, value: Value) {
        self.perhaps = Some(value);
    }

    /// It was answered for.
    pub(super) fn end(&mut self) {
        self.sure = self.perhaps.take().unwrap_or(Value::Null);
    }

    /// After a restart the setting is this.
    pub(super) fn check(&mut self, found: Value) -> Result<()> {
        ensure!(found == self.sure || Some(&found) == self.perhaps.as_ref(), "{found} is in force, and not {self:?}");
        *self = Self::new(found);
        Ok(())
    }
}

/// A place: ledger and entry.
pub(super) type Place = (i64, i64);

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Model {
    /// By topic and producer.
    pub(super) sent: BTreeMap<(&'static str, String), Sent>,
    /// Of the topic whose messages are all kept.
    pub(super) reading: Reading,
    /// By topic and subscription.
    pub(super) taken: BTreeMap<(&'static str, &'static str), Taken>,
    /// By path.
    pub(super) written: BTreeMap<&'static str, Written>,
    /// How far each cursor was seen, by topic and name.
    pub(super) cursors: BTreeMap<(&'static str, String), Place>,
}

impl Model {
    /// Everything is to be read again.
    pub(super) fn forget_reading(&mut self) {
        self.reading = Reading::default();
    }

    /// Every message of `topic` that was acknowledged was read, as the message that was told.
    pub(super) fn check_reading(&self, topic: &str) -> Result<()> {
        for ((_, producer), sent) in self.sent.iter().filter(|((of, _), _)| *of == topic) {
            let none = BTreeMap::new();
            let found = self.reading.found.get(producer).unwrap_or(&none);
            for (number, id) in &sent.acknowledged {
                let at = found.get(number).with_context(|| format!("number {number} of {producer}, {id}, is lost"))?;
                ensure!(at == id, "number {number} of {producer} was acknowledged as {id} and is at {at}");
            }
        }
        Ok(())
    }

    /// A message that was acknowledged to a producer and never came to one of its topic's subscriptions.
    pub(super) fn missing(&self) -> Option<String> {
        self.taken.iter().find_map(|((topic, subscription), taken)| {
            let mut sent = self.sent.iter().filter(|((of, _), _)| of == topic);
            sent.find_map(|((_, producer), sent)| {
                let number = taken.lacks(producer, sent)?;
                Some(format!("number {number} of {producer} for subscription {subscription} of {topic}"))
            })
        })
    }

    /// Messages that were acknowledged.
    pub(super) fn acknowledged_count(&self) -> u64 {
        self.sent.values().map(|sent| sent.acknowledged.len() as u64).sum()
    }
}

/// What was done, so that a test that shows nothing fails.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Acknowledged messages.
    pub(super) messages: u64,
    /// Changes of policies that were answered.
    pub(super) policies: u64,
    /// Changes of the driver for the next ledgers.
    pub(super) drivers: u64,
    /// Plugins that were replaced by another version.
    pub(super) versions: u64,
    /// Offloads by request.
    pub(super) offloads: u64,
    /// Copies at the end, by driver.
    pub(super) copies: BTreeMap<&'static str, usize>,
    /// Ledgers that were trimmed from the topic that keeps none.
    pub(super) ledgers_trimmed: u64,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, more: Self) {
        self.messages += more.messages;
        self.policies += more.policies;
        self.drivers += more.drivers;
        self.versions += more.versions;
        self.offloads += more.offloads;
    }
}

impl Tally {
    /// Fails where `kills` kills hit nothing.
    pub(super) fn must_show_something(&self, kills: u64) -> Result<()> {
        let copies: usize = self.copies.values().sum();
        let mut all = self.messages > 5 * kills && self.policies > 0 && self.ledgers_trimmed > 0 && copies > 0;
        if kills >= 20 {
            all &= self.copies.len() > 1 && self.copies.values().all(|count| *count > 0);
            all &= self.versions > 0 && self.drivers > 0 && self.offloads > 0;
        }
        ensure!(all, "{self:?}: these kills show nothing");
        Ok(())
    }
}
