//! Which consumer of a Key_Shared subscription owns which keys.
//!
//! A message's key is its ordering key, else its partition key (decoded from base64 where flagged), else producer name and
//! sequence id. Its hash is MurmurHash3 x86_32 with seed 0, sign bit cleared, modulo 65536, 0 counted as 1: from Pulsar
//! `StickyKeyConsumerSelector`.

use std::collections::BTreeSet;

use crate::topic::consumer::ConsumerKey;
use crate::topic::message::MessageView;

/// Points that a consumer has on the ring.
const POINTS_PER_CONSUMER: u32 = 100;

/// Who owns a hash.
#[derive(Debug)]
pub(super) enum Owners {
    /// The consumer of the next point on a ring.
    Ring(BTreeSet<(u16, ConsumerKey)>),
    /// The consumer that insisted on a range, inclusive.
    Ranges(Vec<(u16, u16, ConsumerKey)>),
}

impl Owners {
    pub(super) fn ring() -> Self {
        Self::Ring(BTreeSet::new())
    }

    pub(super) fn is_ring(&self) -> bool {
        matches!(self, Self::Ring(_))
    }

    /// Gives a consumer its place.
    ///
    /// # Errors
    /// The text for the client, when a range is empty or taken.
    pub(super) fn add(&mut self, key: ConsumerKey, name: &str, wanted: Option<&[(u16, u16)]>) -> Result<(), String> {
        match (self, wanted) {
            (Self::Ring(points), None) => {
                points
                    .extend((0..POINTS_PER_CONSUMER).map(|n| (hash(format!("{name}/{}/{n}", key.0).as_bytes()), key)));
                Ok(())
            }
            (Self::Ranges(taken), Some(wanted)) => {
                if wanted.is_empty() {
                    return Err("Ranges for KeyShared policy must not be empty.".to_owned());
                }
                for (first, last) in wanted {
                    if first > last {
                        return Err(format!("range [{first}, {last}] ends before it begins"));
                    }
                    if let Some((a, b, _)) = taken.iter().find(|(a, b, _)| first <= b && a <= last) {
                        return Err(format!("range [{first}, {last}] overlaps [{a}, {b}] of another consumer"));
                    }
                }
                taken.extend(wanted.iter().map(|(first, last)| (*first, *last, key)));
                Ok(())
            }
            _ => {
                Err("consumers of a Key_Shared subscription must all split automatically, or all name ranges"
                    .to_owned())
            }
        }
    }

    pub(super) fn remove(&mut self, key: ConsumerKey) {
        match self {
            Self::Ring(points) => points.retain(|(_, owner)| *owner != key),
            Self::Ranges(taken) => taken.retain(|(_, _, owner)| *owner != key),
        }
    }

    pub(super) fn owner(&self, hash: u16) -> Option<ConsumerKey> {
        match self {
            Self::Ring(points) => {
                let next = points.range((hash, ConsumerKey(0))..).next().or_else(|| points.first());
                next.map(|(_, owner)| *owner)
            }
            Self::Ranges(taken) => {
                taken.iter().find(|(first, last, _)| (*first..=*last).contains(&hash)).map(|(_, _, owner)| *owner)
            }
        }
    }
}

/// The hash of a message's key.
pub(super) fn hash_of(view: &MessageView<'_>) -> u16 {
    if let Some(key) = view.ordering_key {
        return hash(key);
    }
    match view.partition_key {
        Some(key) if view.partition_key_is_base64 => hash(&decode_base64(key).unwrap_or_else(|| key.into())),
        Some(key) => hash(key.as_bytes()),
        None => hash(format!("{}-{}", view.producer_name, view.sequence_id).as_bytes()),
    }
}

fn hash(key: &[u8]) -> u16 {
    let hash = (murmur3_32(key) & 0x7fff_ffff) % 65536;
    (hash as u16).max(1)
}

/// MurmurHash3 x86_32, seed 0. Blocks are little-endian.
pub(super) fn murmur3_32(bytes: &[u8]) -> u32 {
    const C1: u32 = 0xcc9e_2d51;
    const C2: u32 = 0x1b87_3593;
    let mix = |block: u32| block.wrapping_mul(C1).rotate_left(15).wrapping_mul(C2);
    let (blocks, tail) = bytes.as_chunks::<4>();
    let mut hash = blocks.iter().fold(0u32, |hash, block| {
        (hash ^ mix(u32::from_le_bytes(*block))).rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64)
    });
    if !tail.is_empty() {
        let mut block = [0; 4];
        block[..tail.len()].copy_from_slice(tail);
        hash ^= mix(u32::from_le_bytes(block));
    }
    hash ^= bytes.len() as u32;
    hash = (hash ^ (hash >> 16)).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ (hash >> 13)).wrapping_mul(0xc2b2_ae35);
    hash ^ (hash >> 16)
}

/// Standard base64 with padding, as Java's `Base64.getDecoder` takes it.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' => Some(62),
        b'/' => Some(63),
        _ => None,
    };
    let digits = text.trim_end_matches('=').bytes().map(digit).collect::<Option<Vec<u8>>>()?;
    let mut decoded = Vec::with_capacity(digits.len() * 3 / 4);
    for group in digits.chunks(4) {
        let bits = group.iter().fold(0u32, |bits, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - group.len()));
        decoded.extend_from_slice(&bits.to_be_bytes()[1..group.len()]);
    }
    (digits.len() % 4 != 1).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn murmur_gives_the_published_values() {
        for (text, expected) in [
            ("", 0),
            ("test", 0xba6b_d213),
            ("Hello, world!", 0xc036_3e43),
            ("The quick brown fox jumps over the lazy dog", 0x2e4f_f723),
        ] {
            assert_eq!(murmur3_32(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn base64_is_decoded_with_and_without_padding() {
        for (text, expected) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9v", "foo"), ("Zm9vYg==", "foob")] {
            assert_eq!(decode_base64(text).as_deref(), Some(expected.as_bytes()), "{text}");
        }
        assert_eq!(decode_base64("a"), None);
        assert_eq!(decode_base64("Zm9%"), None);
    }

    #[test]
    fn a_ring_moves_only_what_must_move() {
        let mut owners = Owners::ring();
        owners.add(ConsumerKey(1), "a", None).expect("no ranges, no clash");
        owners.add(ConsumerKey(2), "b", None).expect("no ranges, no clash");
        let before: Vec<_> = (1..=u16::MAX).map(|hash| owners.owner(hash)).collect();
        let of_first = before.iter().filter(|owner| **owner == Some(ConsumerKey(1))).count();
        assert!((13_000..52_000).contains(&of_first), "{of_first} of 65535");
        owners.add(ConsumerKey(3), "c", None).expect("no ranges, no clash");
        for (hash, was) in (1..=u16::MAX).zip(&before) {
            let is = owners.owner(hash);
            assert!(is == *was || is == Some(ConsumerKey(3)));
        }
        owners.remove(ConsumerKey(3));
        assert!((1..=u16::MAX).zip(&before).all(|(hash, was)| owners.owner(hash) == *was));
    }

    #[test]
    fn ranges_must_not_overlap() {
        let mut owners = Owners::Ranges(Vec::new());
        owners.add(ConsumerKey(1), "a", Some(&[(0, 99), (200, 299)])).expect("free");
        assert!(owners.add(ConsumerKey(2), "b", Some(&[(99, 100)])).is_err());
        assert!(owners.add(ConsumerKey(2), "b", Some(&[(7, 3)])).is_err());
        assert!(owners.add(ConsumerKey(2), "b", Some(&[])).is_err());
        assert!(owners.add(ConsumerKey(2), "b", None).is_err());
        owners.add(ConsumerKey(2), "b", Some(&[(100, 199)])).expect("free");
        assert_eq!(owners.owner(150), Some(ConsumerKey(2)));
        assert_eq!(owners.owner(250), Some(ConsumerKey(1)));
        assert_eq!(owners.owner(300), None);
    }
}
