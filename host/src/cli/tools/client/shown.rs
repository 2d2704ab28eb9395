//! How a received message is printed.

use std::fmt::Write as _;

use serde_json::json;

use crate::cli::grammar::Matches;
use crate::client::Received;

/// What of a message is printed, and how.
pub(super) struct Style {
    is_hidden: bool,
    is_hex: bool,
    has_metadata: bool,
    as_json: bool,
}

impl Style {
    /// As the line asks for.
    pub(super) fn of(matches: &Matches) -> Self {
        Self {
            is_hidden: matches.has("--hide-content"),
            is_hex: matches.has("--hex"),
            has_metadata: matches.has("-mp"),
            as_json: matches.has("--json"),
        }
    }

    /// The message's lines; none where it is hidden.
    pub(super) fn of_message(&self, message: &Received) -> String {
        if self.is_hidden {
            return String::new();
        }
        if self.as_json {
            return format!("{}\n", self.facts(message));
        }
        let key = message.key.as_deref().unwrap_or("null");
        let properties: Vec<String> =
            message.properties.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text = format!(
            "----- got message -----\npublishTime:[{}], eventTime:[{}], key:[{key}], properties:[{}], content:{}",
            message.publish_time_ms,
            message.event_time_ms,
            properties.join(", "),
            self.content(message)
        );
        if self.has_metadata {
            let event_time = jiff::Timestamp::from_millisecond(message.event_time_ms as i64).unwrap_or_default();
            let _ = write!(
                text,
                ", event-time:{event_time}, message-id:{}:{}:{}, producer-name:{}, sequence-id:{}, \
                 replicated-from:null, redelivery-count:{}, ordering-key:, schema-version:",
                message.id.ledger_id,
                message.id.entry_id,
                message.id.batch_index.map_or("-1".to_owned(), |index| format!("-1:{index}")),
                message.producer_name,
                message.sequence_id,
                message.redelivery_count
            );
        }
        text.push('\n');
        text
    }

    fn content(&self, message: &Received) -> String {
        if !self.is_hex {
            return String::from_utf8_lossy(&message.payload).into_owned();
        }
        let digits: Vec<String> = message.payload.iter().map(|byte| format!("{byte:02x}")).collect();
        digits.join(" ")
    }

    fn facts(&self, message: &Received) -> serde_json::Value {
        let properties: serde_json::Map<_, _> =
            message.properties.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        let is_text = !self.is_hex && std::str::from_utf8(&message.payload).is_ok();
        let content_is = if is_text { "content" } else { "hex" };
        let content = if is_text { self.content(message) } else { Style { is_hex: true, ..*self }.content(message) };
        json!({
            "id": message.id.to_string(),
            "publishTime": message.publish_time_ms,
            "eventTime": message.event_time_ms,
            "key": message.key,
            "properties": properties,
            "producerName": message.producer_name,
            "sequenceId": message.sequence_id,
            "redeliveryCount": message.redelivery_count,
            content_is: content,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::MessageId;

    fn message() -> Received {
        Received {
            id: MessageId { ledger_id: 8, entry_id: 1, batch_index: None },
            payload: "ab".into(),
            key: Some("k".to_owned()),
            properties: vec![("x".to_owned(), "y".to_owned())],
            producer_name: "p".to_owned(),
            sequence_id: 1,
            publish_time_ms: 5,
            event_time_ms: 0,
            redelivery_count: 0,
            batch_messages: None,
        }
    }

    #[test]
    fn messages_are_printed_as_the_original_prints_them() {
        let style = |is_hex, has_metadata| Style { is_hidden: false, is_hex, has_metadata, as_json: false };
        assert_eq!(
            style(false, false).of_message(&message()),
            "----- got message -----\npublishTime:[5], eventTime:[0], key:[k], properties:[x=y], content:ab\n"
        );
        let text = style(true, true).of_message(&message());
        let expected = "content:61 62, event-time:1970-01-01T00:00:00Z, message-id:8:1:-1, producer-name:p, \
                        sequence-id:1, replicated-from:null, redelivery-count:0, ordering-key:, schema-version:\n";
        assert!(text.ends_with(expected), "{text}");
    }
}
