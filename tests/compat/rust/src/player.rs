//! Who plays a scenario: its steps, and what it has made, by name.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures::TryStreamExt;
use pulsar::consumer::{InitialPosition, Message};
use pulsar::message::proto::schema::Type;
use pulsar::message::proto::{MessageIdData, Schema};
use pulsar::{
    Authentication, Consumer, ConsumerOptions, OperationRetryOptions, Producer, ProducerOptions, Pulsar, SubType,
    TokioExecutor, producer,
};
use serde_json::Value;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::{ask, text, texts};

pub type Failure = Box<dyn Error + Send + Sync>;
type Made<T> = Result<T, pulsar::Error>;
type Messages = Consumer<Vec<u8>, TokioExecutor>;

const PATIENCE: Duration = Duration::from_secs(20);
const SILENCE: Duration = Duration::from_millis(700);
/// How long a request may take that nobody answers.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
/// The earliest message, as the protocol writes it.
const EARLIEST: MessageIdData = MessageIdData {
    ledger_id: u64::MAX,
    entry_id: u64::MAX,
    partition: None,
    batch_index: None,
    ack_set: Vec::new(),
    batch_size: None,
    first_chunk_message_id: None,
};
/// How each refusal shows: the broker's name for it, or the client's own, somewhere in the error.
const REFUSALS: &[(&str, &[&str])] = &[
    ("fenced", &["ProducerFenced", "Producer is fenced"]),
    ("producer-busy", &["ProducerBusy"]),
    ("consumer-busy", &["ConsumerBusy"]),
    ("incompatible-schema", &["IncompatibleSchema"]),
    ("quota", &["ProducerBlockedQuotaExceededException"]),
    ("terminated", &["TopicTerminated"]),
    ("not-authenticated", &["AuthenticationError"]),
    ("not-authorized", &["AuthorizationError"]),
];

pub struct Player {
    service_url: String,
    web_url: String,
    token: Option<String>,
    /// Made when it is asked for the first time: it connects at once.
    client: Option<Pulsar<TokioExecutor>>,
    producers: HashMap<String, Producer<TokioExecutor>>,
    consumers: HashMap<String, Messages>,
    later: HashMap<String, JoinHandle<Made<Producer<TokioExecutor>>>>,
    time_ms: u64,
}

impl Player {
    pub fn new(service_url: &str, web_url: &str) -> Self {
        Self {
            service_url: service_url.to_owned(),
            web_url: web_url.to_owned(),
            token: None,
            client: None,
            producers: HashMap::new(),
            consumers: HashMap::new(),
            later: HashMap::new(),
            time_ms: 0,
        }
    }

    pub async fn act(&mut self, act: &str, step: &Value) -> Result<(), Failure> {
        let by = texts(step, "by");
        match act {
            "client" => {
                (self.token, self.client) = (Some(text(step, "token").to_owned()), None);
                Ok(())
            }
            "producer" => self.make_producer(step).await,
            "waits" => check(!self.later[text(step, "what")].is_finished(), "it did not wait"),
            "ready" => {
                let what = text(step, "what");
                let made = self.later.remove(what).ok_or("nothing waits")?;
                self.producers.insert(what.to_owned(), timeout(PATIENCE, made).await???);
                Ok(())
            }
            "consumer" => self.make_consumer(step).await,
            "send" => self.send(step).await,
            "send_batch" => self.send_batch(step).await,
            "send_keyed" => self.send_keyed(step).await,
            "receive" => self.receive(step).await,
            "receive_active" => self.receive_active(step).await,
            "receive_keyed" => self.receive_keyed(step).await,
            "silence" => match self.take(by[0], SILENCE).await? {
                Some(message) => Err(format!("there is {}", payload(&message)).into()),
                None => Ok(()),
            },
            "remember_time" => {
                self.time_ms = u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_millis())?;
                Ok(())
            }
            "seek" => {
                let client = self.client().await?;
                let (id, time_ms) =
                    if text(step, "to") == "earliest" { (Some(EARLIEST), None) } else { (None, Some(self.time_ms)) };
                Ok(self.consumer(by[0])?.seek(None, id, time_ms, client).await?)
            }
            "read" => self.read(step).await,
            "close" => self.close(step).await,
            "pause" => {
                sleep(Duration::from_millis(step["ms"].as_u64().unwrap_or_default())).await;
                Ok(())
            }
            "admin" => self.admin(step),
            "restart" => ask("restart", text(step, "how")),
            "offload" => ask("offload", text(step, "topic")),
            _ => Err("no such step".into()),
        }
    }

    async fn make_producer(&mut self, step: &Value) -> Result<(), Failure> {
        let access = match text(step, "access") {
            "Exclusive" => 1,
            "WaitForExclusive" => 2,
            "ExclusiveWithFencing" => 3,
            _ => 0,
        };
        let batch_size = step["batching"].as_u64().map(u32::try_from).transpose()?;
        let options =
            ProducerOptions { schema: declared(step), access_mode: Some(access), batch_size, ..Default::default() };
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return expect::<()>(step, Err(error)).map(drop),
        };
        let mut builder = client.producer().with_topic(text(step, "topic")).with_options(options);
        if let Some(name) = step["name"].as_str() {
            builder = builder.with_name(name);
        }
        let name = text(step, "as").to_owned();
        if step["later"] == true {
            self.later.insert(name, tokio::spawn(builder.build()));
        } else if let Some(producer) = expect(step, builder.build().await)? {
            self.producers.insert(name, producer);
        }
        Ok(())
    }

    async fn make_consumer(&mut self, step: &Value) -> Result<(), Failure> {
        let kind = match text(step, "type") {
            "Shared" => SubType::Shared,
            "Failover" => SubType::Failover,
            "Key_Shared" => SubType::KeyShared,
            _ => SubType::Exclusive,
        };
        let mut options = ConsumerOptions { schema: declared(step), ..Default::default() };
        if text(step, "start") == "earliest" {
            options.initial_position = InitialPosition::Earliest;
        }
        let client = match self.client().await {
            Ok(client) => client,
            Err(error) => return expect::<()>(step, Err(error)).map(drop),
        };
        let builder = client.consumer();
        let builder = match step["pattern"].as_str() {
            // It looks for topics in a namespace, and for the pattern in their whole names.
            Some(pattern) => {
                builder.with_lookup_namespace("public/default").with_topic_regex(regex::Regex::new(pattern)?)
            }
            None => builder.with_topic(text(step, "topic")),
        };
        let builder = builder.with_subscription(text(step, "subscription")).with_subscription_type(kind);
        if let Some(consumer) = expect(step, builder.with_options(options).build().await)? {
            self.consumers.insert(text(step, "as").to_owned(), consumer);
        }
        Ok(())
    }

    async fn send(&mut self, step: &Value) -> Result<(), Failure> {
        for value in texts(step, "values") {
            let producer = self.producer(text(step, "by"))?;
            let mut message = producer.create_message().with_content(value);
            if let Some(delay_ms) = step["delay_ms"].as_u64() {
                message = message.delay(Duration::from_millis(delay_ms))?;
            }
            let sent = match message.send_non_blocking().await {
                Ok(receipt) => receipt.await,
                Err(error) => Err(error),
            };
            expect(step, sent)?;
        }
        Ok(())
    }

    async fn send_batch(&mut self, step: &Value) -> Result<(), Failure> {
        let producer = self.producer(text(step, "by"))?;
        let mut receipts = Vec::new();
        for value in texts(step, "values") {
            receipts.push(producer.send_non_blocking(value).await?);
        }
        producer.send_batch().await?;
        for receipt in receipts {
            receipt.await?;
        }
        Ok(())
    }

    async fn send_keyed(&mut self, step: &Value) -> Result<(), Failure> {
        let producer = self.producer(text(step, "by"))?;
        for turn in 0..number(step, "each") {
            for key in 0..number(step, "keys") {
                let payload = format!("{key}-{turn}").into_bytes();
                let message =
                    producer::Message { payload, partition_key: Some(format!("k{key}")), ..Default::default() };
                producer.send_non_blocking(message).await?.await?;
            }
        }
        Ok(())
    }

    async fn receive(&mut self, step: &Value) -> Result<(), Failure> {
        let (by, wanted) = (text(step, "by"), texts(step, "values"));
        let mut found = Vec::new();
        for number in 0..wanted.len() {
            let message = self.take(by, PATIENCE).await?.ok_or_else(|| format!("found {found:?} and no more"))?;
            found.push(payload(&message));
            match text(step, "then") {
                "nack" => self.consumer(by)?.nack(&message).await?,
                "ack-odd" if number % 2 == 0 => {}
                _ => self.consumer(by)?.ack(&message).await?,
            }
        }
        if step["any_order"] == true {
            found.sort();
        }
        check(found == wanted, &format!("found {found:?}"))
    }

    /// Of two consumers the one that gets the message is `active` from now on, and the one that does not is `other`.
    async fn receive_active(&mut self, step: &Value) -> Result<(), Failure> {
        let mut names = texts(step, "by");
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            let Some(message) = self.take(names[0], Duration::from_millis(300)).await? else {
                names.reverse();
                continue;
            };
            check(payload(&message) == text(step, "value"), "another message")?;
            self.consumer(names[0])?.ack(&message).await?;
            for (name, role) in names.into_iter().zip(["active", "other"]) {
                let consumer = self.consumers.remove(name).ok_or("no such consumer")?;
                self.consumers.insert(role.to_owned(), consumer);
            }
            return Ok(());
        }
        Err("nobody got it".into())
    }

    async fn receive_keyed(&mut self, step: &Value) -> Result<(), Failure> {
        let by = texts(step, "by");
        let mut left = number(step, "keys") * number(step, "each");
        let (mut owners, mut turns) = (HashMap::new(), HashMap::new());
        let deadline = Instant::now() + PATIENCE;
        while left > 0 && Instant::now() < deadline {
            for &name in &by {
                let Some(message) = self.take(name, Duration::from_millis(100)).await? else { continue };
                self.consumer(name)?.ack(&message).await?;
                let found = payload(&message);
                let (key, turn) = found.split_once('-').ok_or("another message")?;
                check(*owners.entry(key.to_owned()).or_insert(name) == name, &format!("key {key} moved"))?;
                let expected = turns.entry(key.to_owned()).or_insert(0);
                check(turn == expected.to_string(), &format!("key {key}: {turn} came in the place of {expected}"))?;
                *expected += 1;
                left -= 1;
            }
        }
        check(left == 0, &format!("{left} messages are missing"))?;
        check(owners.values().collect::<HashSet<_>>().len() == by.len(), "one consumer has everything")
    }

    async fn read(&mut self, step: &Value) -> Result<(), Failure> {
        let options = ConsumerOptions::default()
            .durable(false)
            .read_compacted(step["compacted"] == true)
            .with_initial_position(InitialPosition::Earliest);
        let builder = self.client().await?.reader().with_topic(text(step, "topic")).with_options(options);
        let mut reader = builder.into_reader::<Vec<u8>>().await?;
        for value in texts(step, "values") {
            let message = timeout(PATIENCE, reader.try_next()).await??.ok_or("the reader ended")?;
            check(payload(&message) == value, &format!("found {}", payload(&message)))?;
        }
        Ok(())
    }

    async fn close(&mut self, step: &Value) -> Result<(), Failure> {
        for name in texts(step, "what") {
            if let Some(mut producer) = self.producers.remove(name) {
                producer.close().await?;
            } else {
                self.consumers.remove(name).ok_or("no such thing")?.close().await?;
            }
        }
        Ok(())
    }

    /// One request on a connection of its own, which the answer's end closes.
    fn admin(&self, step: &Value) -> Result<(), Failure> {
        let address = self.web_url.trim_start_matches("http://");
        let body = step.get("body").map(Value::to_string).unwrap_or_default();
        let mut stream = TcpStream::connect(address)?;
        write!(
            stream,
            "{} /admin/v2{} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            text(step, "method"),
            text(step, "path"),
            body.len(),
        )?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        check(answer.starts_with("HTTP/1.1 2") && answer.contains(text(step, "contains")), &answer)
    }

    /// The next message; `None` if there is none in time.
    async fn take(&mut self, name: &str, wait: Duration) -> Result<Option<Message<Vec<u8>>>, Failure> {
        match timeout(wait, self.consumer(name)?.try_next()).await {
            Ok(message) => Ok(Some(message?.ok_or("the consumer ended")?)),
            Err(_) => Ok(None),
        }
    }

    /// The client, which is connected when it is asked for the first time.
    async fn client(&mut self) -> Made<Pulsar<TokioExecutor>> {
        if let Some(client) = &self.client {
            return Ok(client.clone());
        }
        let retries = OperationRetryOptions {
            operation_timeout: OPERATION_TIMEOUT,
            retry_delay: Duration::from_millis(500),
            max_retries: Some(4),
        };
        let mut builder = Pulsar::builder(&self.service_url, TokioExecutor).with_operation_retry_options(retries);
        if let Some(token) = &self.token {
            let data = token.as_bytes().to_vec();
            builder = builder.with_auth(Authentication { name: "token".to_owned(), data });
        }
        let client = builder.build().await?;
        self.client = Some(client.clone());
        Ok(client)
    }

    fn producer(&mut self, name: &str) -> Result<&mut Producer<TokioExecutor>, Failure> {
        self.producers.get_mut(name).ok_or_else(|| format!("there is no producer {name}").into())
    }

    fn consumer(&mut self, name: &str) -> Result<&mut Messages, Failure> {
        self.consumers.get_mut(name).ok_or_else(|| format!("there is no consumer {name}").into())
    }
}

/// What `made` holds; `None` where it was refused as the step says.
fn expect<T>(step: &Value, made: Made<T>) -> Result<Option<T>, Failure> {
    let refusal = text(step, "refused");
    match made {
        Ok(_) if !refusal.is_empty() => Err(format!("it was not refused: {refusal}").into()),
        Ok(made) => Ok(Some(made)),
        Err(error) => {
            let said = error.to_string();
            let forms = REFUSALS.iter().find(|(word, _)| *word == refusal).map(|(_, forms)| *forms).unwrap_or_default();
            if forms.iter().any(|form| said.contains(form)) { Ok(None) } else { Err(said.into()) }
        }
    }
}

/// A schema that is only declared: payloads are bytes.
fn declared(step: &Value) -> Option<Schema> {
    let schema = step.get("schema")?;
    let definition = format!(r#"{{"type":"record","name":"R","fields":{}}}"#, text(schema, "fields"));
    let kind = if text(schema, "type") == "JSON" { Type::Json } else { Type::Avro };
    Some(Schema {
        name: "R".to_owned(),
        schema_data: definition.into_bytes(),
        r#type: kind as i32,
        properties: Vec::new(),
    })
}

fn payload(message: &Message<Vec<u8>>) -> String {
    String::from_utf8_lossy(&message.deserialize()).into_owned()
}

fn number(step: &Value, key: &str) -> u64 {
    step[key].as_u64().unwrap_or_default()
}

fn check(holds: bool, what: &str) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(what.into()) }
}
