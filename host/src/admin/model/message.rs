//! Message ids, and one stored message as an answer.

use axum::body::Body;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use serde_json::{Value, json};

use super::iso;
use crate::admin::error::AdminError;
use crate::managed_ledger::WirePosition;
use crate::topic::message::{Layout, MessageView};
use crate::topic::{StoredEntry, TopicName};

/// A message id as the original writes it; -1 for a topic that is no partition.
pub(in crate::admin) fn message_id(position: WirePosition, topic: &TopicName) -> Value {
    let mut id = full_message_id(position);
    id["partitionIndex"] = json!(topic.partition_index().map_or(-1, i64::from));
    id
}

/// A message id of no particular partition.
pub(super) fn full_message_id(position: WirePosition) -> Value {
    json!({
        "ledgerId": position.ledger_id,
        "entryId": position.entry_id,
        "partitionIndex": -1,
        "batchSize": 0,
        "batchIndex": -1,
    })
}

/// An entry's payload as its producer sent it, batched and compressed or not, and what its metadata says as headers.
///
/// # Errors
/// 500 where the entry is none that a client may have sent.
pub(in crate::admin) fn entry(stored: &StoredEntry) -> Result<Response, AdminError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        let text = format!("entry {} cannot be read: {error}", stored.position);
        AdminError::new(axum::http::StatusCode::INTERNAL_SERVER_ERROR, text)
    };
    let layout = Layout::of(&stored.entry).map_err(|error| unreadable(&error))?;
    let view = MessageView::of(&stored.entry).map_err(|error| unreadable(&error))?;
    let properties = view.properties().map_err(|error| unreadable(&error))?;
    let mut response = Response::new(Body::from(stored.entry.slice(layout.payload_from..)));
    let headers = response.headers_mut();
    // The original calls the raw bytes JSON.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    for (name, text) in header_texts(stored, &view, &properties) {
        // What cannot stand in a header, such as a line break in a producer's name, is left out.
        if let Ok(value) = HeaderValue::from_str(&text) {
            headers.insert(HeaderName::from_static(name), value);
        }
    }
    Ok(response)
}

fn header_texts(
    stored: &StoredEntry,
    view: &MessageView<'_>,
    properties: &[(String, String)],
) -> Vec<(&'static str, String)> {
    let properties: serde_json::Map<_, _> =
        properties.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
    let mut texts = vec![
        ("x-pulsar-message-id", stored.position.to_string()),
        ("x-pulsar-publish-time", iso(view.publish_time_ms)),
        ("x-pulsar-property", ascii_json(&Value::Object(properties))),
        ("x-pulsar-producer-name", view.producer_name.to_owned()),
        ("x-pulsar-sequence-id", view.sequence_id.to_string()),
    ];
    if view.event_time_ms > 0 {
        texts.push(("x-pulsar-event-time", iso(view.event_time_ms)));
    }
    if let Some(messages) = view.batch_messages {
        texts.push(("x-pulsar-num-batch-message", messages.to_string()));
    }
    if let Some(key) = view.partition_key {
        texts.push(("x-pulsar-partition-key", key.to_owned()));
        texts.push(("x-pulsar-partition-key-b64-encoded", view.partition_key_is_base64.to_string()));
    }
    if let Some(name) = compression(view.compression) {
        texts.push(("x-pulsar-compression", name.to_owned()));
        texts.push(("x-pulsar-uncompressed-size", view.uncompressed_size.to_string()));
    }
    texts
}

/// Pulsar's `CompressionType`.
fn compression(number: i32) -> Option<&'static str> {
    ["LZ4", "ZLIB", "ZSTD", "SNAPPY"].get(usize::try_from(number).ok()?.checked_sub(1)?).copied()
}

/// JSON in ASCII: other characters as `\u` escapes, so that any reader of headers gets them.
fn ascii_json(value: &Value) -> String {
    let mut text = String::new();
    for character in value.to_string().chars() {
        if character.is_ascii() {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn properties_travel_in_ascii() {
        let text = ascii_json(&json!({"k\n": "é😀"}));
        assert!(text.is_ascii());
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!({"k\n": "é😀"}));
        assert!(HeaderValue::from_str(&text).is_ok());
    }

    #[test]
    fn compressions_have_the_originals_names() {
        assert_eq!([0, 1, 3, 9, -1].map(compression), [None, Some("LZ4"), Some("ZSTD"), None, None]);
    }
}
