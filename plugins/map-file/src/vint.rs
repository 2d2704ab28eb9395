//! Hadoop's variable-length integers (`WritableUtils.writeVLong`): one byte for -112..=127, else a byte that tells sign
//! and number of magnitude bytes, then the magnitude, most significant byte first.

/// No vint is longer than this, in bytes.
pub(crate) const VINT_BYTES_MAX: usize = 9;

/// The least value that is stored as its own byte.
const LEAST_SINGLE_BYTE: i8 = -112;
/// First bytes below this stand for negative numbers, whose magnitude is the bitwise complement.
const FIRST_NEGATIVE: i8 = -120;

/// Appends `value`.
pub(crate) fn write(out: &mut Vec<u8>, value: i64) {
    if (i64::from(LEAST_SINGLE_BYTE)..=127).contains(&value) {
        out.push(value as u8);
        return;
    }
    let (base, magnitude) = if value < 0 { (FIRST_NEGATIVE, !value) } else { (LEAST_SINGLE_BYTE, value) };
    let len = 8 - magnitude.leading_zeros() as usize / 8;
    out.push((base - len as i8) as u8);
    out.extend_from_slice(&magnitude.to_be_bytes()[8 - len..]);
}

/// How many bytes the vint takes whose first byte is `first`.
pub(crate) fn len_of(first: u8) -> usize {
    let first = first as i8;
    if first >= LEAST_SINGLE_BYTE {
        1
    } else if first < FIRST_NEGATIVE {
        1 + usize::from((i16::from(FIRST_NEGATIVE) - i16::from(first)) as u16)
    } else {
        1 + usize::from((i16::from(LEAST_SINGLE_BYTE) - i16::from(first)) as u16)
    }
}

/// The vint at the start of `bytes` and its length in bytes, or `None` where `bytes` ends within it.
pub(crate) fn read(bytes: &[u8]) -> Option<(i64, usize)> {
    let first = *bytes.first()?;
    let len = len_of(first);
    if len == 1 {
        return Some((i64::from(first as i8), 1));
    }
    let magnitude = bytes.get(1..len)?.iter().fold(0i64, |sum, byte| (sum << 8) | i64::from(*byte));
    Some((if (first as i8) < FIRST_NEGATIVE { !magnitude } else { magnitude }, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_bytes() {
        for (value, bytes) in [
            (127, &[0x7f][..]),
            (-112, &[0x90]),
            (128, &[0x8f, 0x80]),
            (201, &[0x8f, 0xc9]),
            (352, &[0x8e, 0x01, 0x60]),
            (65536, &[0x8d, 0x01, 0x00, 0x00]),
            (-113, &[0x87, 0x70]),
            (-256, &[0x87, 0xff]),
        ] {
            let mut out = Vec::new();
            write(&mut out, value);
            assert_eq!(out, bytes, "{value}");
            assert_eq!(read(&out), Some((value, out.len())));
        }
    }

    #[test]
    fn every_width_comes_back_and_every_prefix_is_incomplete() {
        for shift in 0..63 {
            for value in [1i64 << shift, (1i64 << shift) - 1, -(1i64 << shift), i64::MAX, i64::MIN] {
                let mut out = Vec::new();
                write(&mut out, value);
                assert!(out.len() <= VINT_BYTES_MAX);
                assert_eq!(read(&out), Some((value, out.len())));
                assert!((0..out.len()).all(|len| read(&out[..len]).is_none()));
            }
        }
    }
}
