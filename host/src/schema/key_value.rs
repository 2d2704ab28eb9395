//! The two halves of a key-value schema.
//!
//! Data is `u32 length | key's data | u32 length | value's data`, big-endian; `u32::MAX` is a length of nothing. Kinds and
//! properties of the halves are properties of the whole. Source: Pulsar `KeyValueSchemaInfo`.

use std::collections::BTreeMap;

use super::definition::Definition;

const LENGTH_BYTES: usize = 4;

/// Key and value; `None` where the data is not of that form.
pub(super) fn halves(whole: &Definition) -> Option<[Definition; 2]> {
    let (key, rest) = split(&whole.data)?;
    let (value, rest) = split(rest)?;
    rest.is_empty().then_some(())?;
    Some([half(whole, "key", key)?, half(whole, "value", value)?])
}

fn split(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_at_checked(LENGTH_BYTES)?;
    let length = u32::from_be_bytes(length.try_into().ok()?);
    if length == u32::MAX { Some((&[], rest)) } else { rest.split_at_checked(length as usize) }
}

fn half(whole: &Definition, which: &str, data: &[u8]) -> Option<Definition> {
    let kind = whole.properties.get(&format!("{which}.schema.type")).map_or("NONE", String::as_str);
    // The original calls bytes so here and there.
    let kind = if kind.eq_ignore_ascii_case("BYTES") { "NONE" } else { kind };
    let half = Definition::named(kind, data.to_vec(), BTreeMap::new())?;
    // One level: the original's clients make no others, and a chain of them would never end.
    (half.name() != "KEY_VALUE").then_some(half)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(data: &[u8]) -> Definition {
        let kinds = [("key.schema.type", "INT32"), ("value.schema.type", "AVRO")];
        let properties = kinds.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        Definition::named("KEY_VALUE", data.to_vec(), properties).unwrap()
    }

    #[test]
    fn halves_are_found_and_strange_data_is_refused() {
        let [key, value] = halves(&whole(b"\0\0\0\0\0\0\0\x02{}")).unwrap();
        assert_eq!((key.name(), key.data.len(), value.name(), &value.data[..]), ("INT32", 0, "AVRO", &b"{}"[..]));
        let [key, _] = halves(&whole(b"\xff\xff\xff\xff\0\0\0\x02{}")).unwrap();
        assert_eq!(key.data.len(), 0);
        for strange in [&b""[..], b"\0\0\0", b"\0\0\0\x09x", b"\0\0\0\0\xff\xff\xff\xfex", b"\0\0\0\0\0\0\0\0more"] {
            assert_eq!(halves(&whole(strange)), None, "{strange:?}");
        }
        let mut nested = whole(b"\0\0\0\0\0\0\0\0");
        nested.properties.insert("key.schema.type".to_owned(), "KEY_VALUE".to_owned());
        assert_eq!(halves(&nested), None);
    }
}
