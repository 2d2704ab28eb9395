//! User metadata as headers carry it, and back.
//!
//! Names are percent-encoded where a header's cannot have them, values that are not printable ASCII become encoded words
//! (RFC 2047), which is how Amazon gives such values back. Stores hold little of it: what the format wants goes first, and of
//! the rest what has no name, or no room, is left out rather than fail the copy.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use block_format::user_metadata::{FORMAT_VERSION, MANAGED_LEDGER_NAME, ROLE, UserMetadata};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Bytes of all names and values: Amazon's limit, the lowest of all stores.
const BYTES_MAX: usize = 2048;

/// What stands as it is in a name.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');
const WORD_START: &str = "=?UTF-8?B?";
const WORD_END: &str = "?=";

/// Names, in their own case, and values as headers carry them.
pub(crate) fn encode(metadata: &UserMetadata) -> Vec<(String, String)> {
    let is_needed =
        |name: &str| [FORMAT_VERSION, ROLE, MANAGED_LEDGER_NAME].iter().any(|it| it.eq_ignore_ascii_case(name));
    let (needed, rest): (Vec<_>, Vec<_>) = metadata.pairs().iter().partition(|(name, _)| is_needed(name));
    let mut room = BYTES_MAX;
    let mut encoded = Vec::with_capacity(metadata.pairs().len());
    for (name, value) in needed.into_iter().chain(rest) {
        let pair = (utf8_percent_encode(name, NAME).to_string(), encode_value(value));
        let bytes = pair.0.len() + pair.1.len();
        if !is_needed(name) && (name.is_empty() || bytes > room) {
            tracing::debug!(name, bytes, "user metadata is left out: no store has room for it");
            continue;
        }
        room = room.saturating_sub(bytes);
        encoded.push(pair);
    }
    encoded
}

/// What [`encode`] was given, but for what it left out; other clients' names and values as they are.
pub(crate) fn decode<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> UserMetadata {
    let name = |name: &str| percent_decode_str(name).decode_utf8().map_or_else(|_| name.to_owned(), Into::into);
    pairs.map(|(key, value)| (name(key), decode_value(value))).collect()
}

fn encode_value(value: &str) -> String {
    let is_plain = value.bytes().all(|it| matches!(it, b' '..=b'~')) && value.trim() == value;
    if is_plain && !value.starts_with(WORD_START) {
        return value.to_owned();
    }
    format!("{WORD_START}{}{WORD_END}", BASE64_STANDARD.encode(value))
}

fn decode_value(value: &str) -> String {
    let word = value.strip_prefix(WORD_START).and_then(|word| word.strip_suffix(WORD_END));
    let text = word.and_then(|word| String::from_utf8(BASE64_STANDARD.decode(word).ok()?).ok());
    text.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(pairs: &[(&str, &str)]) -> UserMetadata {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn what_headers_cannot_carry_comes_back_all_the_same() {
        let given = metadata(&[
            (ROLE, "data"),
            (MANAGED_LEDGER_NAME, "public/default/persistent/a%2Fb"),
            ("caf\u{e9} au/lait", "\u{fffd}\n\t"),
            ("blank", " x "),
            ("empty", ""),
            ("word", "=?UTF-8?B?no?="),
        ]);
        let encoded = encode(&given);
        for (name, value) in &encoded {
            assert!(http::HeaderName::try_from(format!("x-amz-meta-{name}")).is_ok(), "{name}");
            assert!(http::HeaderValue::try_from(value).is_ok(), "{value}");
        }
        assert_eq!(encoded[1].1, "public/default/persistent/a%2Fb");
        assert_eq!(decode(encoded.iter().map(|(name, value)| (name.as_str(), value.as_str()))), given);
    }

    #[test]
    fn what_has_no_name_or_no_room_is_left_out() {
        let long = "v".repeat(BYTES_MAX);
        let given = metadata(&[("", "x"), ("long", &long), ("short", "x"), (FORMAT_VERSION, "1")]);
        let names: Vec<String> = encode(&given).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [FORMAT_VERSION, "short"]);
    }

    #[test]
    fn strange_values_of_others_are_left_as_they_are() {
        let given = [("a%zz", "=?UTF-8?B?!?="), ("b%ff", "=?UTF-8?Q?x?=")];
        assert_eq!(decode(given.into_iter()), metadata(&given));
    }
}
