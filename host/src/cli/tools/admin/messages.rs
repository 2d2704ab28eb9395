//! Single messages of a topic, told as the original tells them: id, times, properties and the bytes in hexadecimal digits.

use serde_json::{Value, json};

use super::{Answer, Failure, Session, field_order};
use crate::cli::grammar::{Matches, Opt, Takes, value};
use crate::cli::http::Reply;
use crate::cli::tools::answer::Form;
use crate::cli::tools::json_text::Json;
use crate::cli::tools::names::{Topic, encoded};
use crate::client::unpack_batch_payload;

pub(super) const PEEK: &[Opt] = &[
    value(&["-s", "--subscription"], "subName", Takes::Text, "The subscription.").required(),
    value(&["-n", "--count"], "numMessages", Takes::Int, "How many messages.").or("1"),
    value(&["-til", "--transaction-isolation-level"], "transactionIsolationLevel", Takes::Text, "").hidden(),
];
pub(super) const EXAMINE: &[Opt] = &[
    value(
        &["-i", "--initialPosition"],
        "initialPosition",
        Takes::OneOf(&["earliest", "latest"]),
        "From which end: earliest or latest.",
    )
    .or("latest"),
    value(&["-m", "--messagePosition"], "messagePosition", Takes::Long, "The how many-th from there.").or("1"),
];
pub(super) const BY_ID: &[Opt] = &[
    value(&["-l", "--ledgerId"], "ledgerId", Takes::Long, "Its ledger.").required(),
    value(&["-e", "--entryId"], "entryId", Takes::Long, "Its entry.").required(),
];
pub(super) const BY_TIME: &[Opt] = &[value(
    &["-d", "--datetime"],
    "datetime",
    Takes::Text,
    "A time with its zone: 2021-06-28T16:53:08Z, 2021-06-28T16:53:08.123+08:00.",
)
.required()];

/// Between two messages.
const LINE: &str = "-------------------------------------------------------------------------\n\n";

/// One message, as the REST API tells of it.
struct Message {
    id: String,
    headers: Vec<(&'static str, String)>,
    properties: Json,
    payload: Vec<u8>,
}

pub(super) fn peek(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let subscription = encoded(matches.text("-s").unwrap_or_default());
    let wanted = matches.number::<i32>("-n").unwrap_or(1).max(0) as usize;
    let mut messages = Vec::new();
    let mut nth = 1;
    while messages.len() < wanted {
        match session.get_reply(&format!("{}/subscription/{subscription}/position/{nth}", topic.path())) {
            Ok(reply) => messages.extend(messages_of(&reply)?),
            // Behind the last message there is nothing more to see.
            Err(Failure::Refused { status: 404, reason }) if reason == "Message not found" => break,
            Err(failure) => return Err(failure),
        }
        nth += 1;
    }
    messages.truncate(wanted);
    Ok(told(session, &messages))
}

pub(super) fn examine(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (from, nth) = (matches.text("-i").unwrap_or_default(), matches.text("-m").unwrap_or_default());
    one(session, matches, &format!("/examinemessage?initialPosition={from}&messagePosition={nth}"))
}

pub(super) fn by_id(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let (ledger, entry) = (matches.text("-l").unwrap_or_default(), matches.text("-e").unwrap_or_default());
    one(session, matches, &format!("/ledger/{ledger}/entry/{entry}"))
}

fn one(session: &Session, matches: &Matches, rest: &str) -> Result<Answer, Failure> {
    let topic = Topic::new(matches.argument(0))?;
    let messages = messages_of(&session.get_reply(&format!("{}{rest}", topic.path()))?)?;
    Ok(told(session, &messages))
}

pub(super) fn id_at_time(session: &Session, matches: &Matches) -> Result<Answer, Failure> {
    let text = matches.text("-d").unwrap_or_default();
    let time: jiff::Timestamp = text.parse().map_err(|error| {
        Failure::Wrong(format!("`{text}` is no time with its zone ({error}); give 2021-06-28T16:53:08Z"))
    })?;
    let topic = Topic::new(matches.argument(0))?;
    let json = session.get(&format!("{}/messageid/{}", topic.path(), time.as_millisecond().max(0)))?;
    Ok(Answer::Shown { json: field_order::ordered(json), form: Form::Jackson })
}

fn told(session: &Session, messages: &[Message]) -> Answer {
    if session.as_json {
        let facts: Vec<Value> = messages.iter().map(Message::facts).collect();
        return Answer::said("", Value::Array(facts));
    }
    let texts: Vec<String> = messages.iter().map(Message::text).collect();
    Answer::Text(texts.join(LINE))
}

impl Message {
    fn text(&self) -> String {
        let mut text = format!("Message ID: {}\n", self.id);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\n");
        }
        if !self.properties.pairs().is_empty() {
            text += &format!("Properties:\n{}\n", self.properties.jackson());
        }
        text + &hex_dump(&self.payload)
    }

    fn facts(&self) -> Value {
        let payload = match std::str::from_utf8(&self.payload) {
            Ok(text) => json!({ "text": text }),
            Err(_) => json!({ "hex": self.payload.iter().map(|byte| format!("{byte:02x}")).collect::<String>() }),
        };
        let properties: serde_json::Map<String, Value> =
            self.properties.pairs().iter().map(|(key, value)| (key.clone(), value.bare().into())).collect();
        let header =
            |name: &str| self.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str());
        json!({
            "id": self.id,
            "publishTime": header("Publish time").and_then(|time| time.parse::<i64>().ok()),
            "key": header("Partition key"),
            "properties": properties,
            "payload": payload,
        })
    }
}

/// The messages of one entry: a batch is taken apart, unless it is compressed.
fn messages_of(reply: &Reply) -> Result<Vec<Message>, Failure> {
    let header = |name: &str| reply.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let id = header("x-pulsar-message-id").unwrap_or_default();
    let millis = |name: &str| {
        let time = header(name).and_then(|text| text.parse::<jiff::Timestamp>().ok());
        time.map_or(0, jiff::Timestamp::as_millisecond).to_string()
    };
    let mut headers =
        vec![("Publish time", millis("x-pulsar-publish-time")), ("Event time", millis("x-pulsar-event-time"))];
    headers.extend(header("x-pulsar-partition-key").map(|key| ("Partition key", key)));
    let properties =
        header("x-pulsar-property").and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(Json::Null);
    let message = |id: String, payload: &[u8], properties: Json| Message {
        id,
        headers: headers.clone(),
        properties,
        payload: payload.to_vec(),
    };
    let batch: Option<u32> = header("x-pulsar-num-batch-message").and_then(|count| count.parse().ok());
    match batch.filter(|_| header("x-pulsar-compression").is_none()) {
        None => Ok(vec![message(id, &reply.body, properties)]),
        Some(count) => {
            let parts = unpack_batch_payload(count, reply.body.clone().into())
                .map_err(|problem| Failure::Found(format!("entry {id} cannot be taken apart: {problem}")))?;
            let of_part = parts.into_iter().enumerate().map(|(index, (payload, properties))| {
                let pairs = properties.into_iter().map(|(key, value)| (key, Json::Text(value))).collect();
                message(format!("{id}:{index}"), &payload, Json::Object(pairs))
            });
            Ok(of_part.collect())
        }
    }
}

/// Sixteen bytes a line, in hexadecimal digits and as text.
fn hex_dump(bytes: &[u8]) -> String {
    const EDGE: &str = "+--------+-------------------------------------------------+----------------+\n";
    let mut text = String::from(
        "         +-------------------------------------------------+\n         \
         |  0  1  2  3  4  5  6  7  8  9  a  b  c  d  e  f |\n",
    );
    text += EDGE;
    for (line, chunk) in bytes.chunks(16).enumerate() {
        let digits: String = chunk.iter().map(|byte| format!(" {byte:02x}")).collect();
        let letters: String =
            chunk.iter().map(|&byte| if (0x20..0x7f).contains(&byte) { char::from(byte) } else { '.' }).collect();
        text += &format!("|{:08x}|{digits:<48} |{letters:<16}|\n", line * 16);
    }
    text + EDGE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_sixteen_a_line() {
        let text = hex_dump(b"0123456789abcdefX\n");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[3], "|00000000| 30 31 32 33 34 35 36 37 38 39 61 62 63 64 65 66 |0123456789abcdef|");
        assert_eq!(lines[4], "|00000010| 58 0a                                           |X.              |");
        assert_eq!(lines.len(), 6);
        assert!(lines[2..].iter().all(|line| line.len() == lines[2].len()), "{text}");
    }
}
