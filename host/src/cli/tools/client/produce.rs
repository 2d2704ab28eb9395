//! `produce`.

use std::time::{Duration, Instant};

use anyhow::Context as _;

use super::parts;
use crate::cli::grammar::{Matches, Opt, Takes, flag, value};
use crate::client::{Client, Outgoing, Producer, ProducerOptions};

pub(super) const OPTIONS: &[Opt] = &[
    value(&["-m", "--messages"], "messages", Takes::Many, "What to send, again and again; cut at the separator."),
    value(
        &["-f", "--files"],
        "messageFileNames",
        Takes::Many,
        "Files to send, one message each; more of them between commas.",
    ),
    value(&["-n", "--num-produce"], "numTimesProduce", Takes::Int, "How often all of it is sent.").or("1"),
    value(&["-r", "--rate"], "publishRate", Takes::Double, "Messages in a second; 0 is as fast as possible.").or("0"),
    value(&["-s", "--separator"], "separator", Takes::Text, "Where -m is cut; a comma where not given.").or(","),
    value(
        &["-p", "--properties"],
        "properties",
        Takes::Pairs,
        "What each message carries: key=value, again and again.",
    ),
    value(&["-k", "--key"], "key", Takes::Text, "Routing key of each message."),
    flag(&["-db", "--disable-batching"], "One entry for each message, as is done here in any case."),
    flag(&["-c", "--chunking"], "").hidden(),
    flag(&["-dr", "--disable-replication"], "").hidden(),
    value(&["-vs", "--value-schema"], "valueSchema", Takes::OneOf(&["bytes"]), "bytes.").or("bytes"),
];

/// What only this command can see to be wrong.
pub(super) fn check(matches: &Matches) -> Result<(), String> {
    if matches.all("-m").is_empty() && matches.all("-f").is_empty() {
        return Err("Please supply message content with either --messages or --files".to_owned());
    }
    match matches.number::<i32>("-n") {
        Some(1..) => Ok(()),
        _ => Err("Number of times need to be positive number.".to_owned()),
    }
}

pub(super) async fn produce(client: &Client, matches: &Matches, count: &mut u64) -> anyhow::Result<()> {
    let topic = matches.argument(0);
    let messages = messages(matches)?;
    let properties: Vec<(String, String)> =
        matches.pairs("-p").into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    let mut producers = Vec::new();
    for part in parts(client, topic).await? {
        producers.push(client.producer(&part, ProducerOptions::default()).await?);
    }
    let mut pace = Pace::new(matches.number("-r").unwrap_or(0.0));
    let times = matches.number::<u64>("-n").unwrap_or(1);
    let mut sent = 0;
    let key = matches.text("-k");
    for payload in (0..times).flat_map(|_| &messages) {
        pace.wait().await;
        let chosen = chosen(key, sent, producers.len());
        let message = Outgoing { payload, key, properties: &properties };
        producers[chosen].send_message(message).await?;
        sent += 1;
    }
    close(producers).await?;
    *count = sent;
    Ok(())
}

async fn close(producers: Vec<Producer>) -> anyhow::Result<()> {
    for producer in producers {
        producer.close().await?;
    }
    Ok(())
}

/// The partition of a message: of one key always the same, else one after the other.
fn chosen(key: Option<&str>, number: u64, partitions: usize) -> usize {
    match key {
        _ if partitions == 1 => 0,
        Some(key) => java_hash(key) as usize % partitions,
        None => (number % partitions as u64) as usize,
    }
}

/// Java's hash of a text without its sign, by which the original chooses partitions.
fn java_hash(text: &str) -> u32 {
    let hash = text.encode_utf16().fold(0i32, |hash, unit| hash.wrapping_mul(31).wrapping_add(i32::from(unit)));
    (hash & i32::MAX) as u32
}

/// What is sent each time: what `-m` gave, cut at the separator, then the files.
fn messages(matches: &Matches) -> anyhow::Result<Vec<Vec<u8>>> {
    let separator = matches.text("-s").unwrap_or(",");
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for text in matches.all("-m") {
        // Cut at nothing is cut between all letters, as in the original.
        let parts: Vec<String> = match separator {
            "" => text.chars().map(String::from).collect(),
            separator => text.split(separator).map(str::to_owned).collect(),
        };
        messages.extend(parts.into_iter().map(String::into_bytes));
    }
    for path in matches.all("-f").into_iter().flat_map(|paths| paths.split(',')) {
        messages.push(std::fs::read(path).with_context(|| format!("read the message file {path}"))?);
    }
    Ok(messages)
}

/// Keeps to a rate.
pub(in super::super) struct Pace {
    every: Duration,
    next: Instant,
}

impl Pace {
    /// `rate` in a second; 0 does not wait.
    pub(in super::super) fn new(rate: f64) -> Self {
        let every =
            if rate > 0.0 { Duration::try_from_secs_f64(1.0 / rate).unwrap_or(Duration::MAX) } else { Duration::ZERO };
        Self { every, next: Instant::now() }
    }

    /// Waits until it is time.
    pub(in super::super) async fn wait(&mut self) {
        if self.every.is_zero() {
            return;
        }
        tokio::time::sleep_until(self.next.into()).await;
        self.next = self.next.checked_add(self.every).unwrap_or(self.next);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_goes_to_one_partition_the_rest_goes_round() {
        assert_eq!(java_hash("hello"), 99_162_322);
        assert_eq!(java_hash("polygenelubricants"), 0, "the hash i32::MIN has no other sign");
        assert_eq!([0, 1, 2, 3].map(|number| chosen(None, number, 3)), [0, 1, 2, 0]);
        assert_eq!(chosen(Some("hello"), 0, 3), chosen(Some("hello"), 1, 3));
        assert_eq!(chosen(Some("hello"), 0, 1), 0);
    }
}
