//! The allow-list: hashes of the files that may be loaded, one a line, as `sha256sum` writes them.
//!
//! A line is `<64 hex digits>`, then optionally blanks and a name, which is for people: the hash decides alone, so that a file
//! may be renamed. `sha256sum --tag` lines and the `\` that stands before escaped names are read too. Empty lines and lines that
//! begin with `#` are skipped. Anything else makes the whole list unusable: half a list would refuse what was meant to be
//! allowed, and nobody would know which half.

use subtle::{Choice, ConstantTimeEq};

/// The most bytes of a list.
pub(super) const LIST_BYTES_MAX: u64 = 4 << 20;

/// Hexadecimal digits of a SHA-256.
const HASH_DIGITS: usize = 64;

/// The hashes of a list.
#[derive(Debug)]
pub(super) struct AllowList {
    hashes: Vec<[u8; 32]>,
}

impl AllowList {
    /// Reads a list's text.
    ///
    /// # Errors
    /// The first line (from 1) that is none, and what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut hashes = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if !line.is_empty() && !line.starts_with('#') {
                hashes.push(parse_line(line).map_err(|problem| (index + 1, problem))?);
            }
        }
        Ok(Self { hashes })
    }

    /// How many files it allows.
    pub(super) fn len(&self) -> usize {
        self.hashes.len()
    }

    /// Whether `sha256` is in the list; takes as long whatever is compared with.
    pub(super) fn contains(&self, sha256: &[u8; 32]) -> bool {
        let found = self.hashes.iter().fold(Choice::from(0), |found, hash| found | hash.ct_eq(sha256));
        found.into()
    }
}

fn parse_line(line: &str) -> Result<[u8; 32], String> {
    if let Some(tagged) = line.strip_prefix("SHA256 (").or_else(|| line.strip_prefix("\\SHA256 (")) {
        let (_, hex) = tagged.rsplit_once(") = ").ok_or("it begins as `sha256sum --tag` does, but has no `) = `")?;
        return hash_of(hex);
    }
    let line = line.strip_prefix('\\').unwrap_or(line);
    let hex = line.split_once([' ', '\t']).map_or(line, |(hex, _name)| hex);
    hash_of(hex)
}

fn hash_of(hex: &str) -> Result<[u8; 32], String> {
    let wrong = || {
        let shown: String = hex.chars().take(HASH_DIGITS).collect();
        format!(
            "`{}` is not a SHA-256, which has {HASH_DIGITS} hexadecimal digits; write lines with `sha256sum FILE`",
            shown.escape_debug()
        )
    };
    parse_hex(hex).ok_or_else(wrong)
}

/// 64 hexadecimal digits as bytes.
pub(super) fn parse_hex(hex: &str) -> Option<[u8; 32]> {
    let digits = hex.as_bytes();
    if digits.len() != HASH_DIGITS {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let mut hash = [0; 32];
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn every_form_of_sha256sum_is_read() {
        let upper = A.to_ascii_uppercase();
        for line in [
            A.to_owned(),
            upper,
            format!("{A}  tape-1.2.3.so"),
            format!("{A} *a name.so"),
            format!("\\{A}  a\\nb.so"),
            format!("SHA256 (a (b).so) = {A}"),
            format!("  {A}\ttape"),
        ] {
            let list = AllowList::parse(&format!("# ours\n\n{line}\r\n")).unwrap();
            assert_eq!(list.len(), 1, "{line}");
            assert!(list.contains(&parse_hex(A).unwrap()), "{line}");
        }
    }

    #[test]
    fn a_wrong_line_spoils_the_list_and_is_told_by_number() {
        for line in
            [&A[1..], &format!("{A}0"), "tape.so", &format!("x{}", &A[1..]), "SHA256 (a.so) x", &format!("{A}\u{a0}x")]
        {
            let (number, problem) = AllowList::parse(&format!("{A}\n# x\n{line}\n")).unwrap_err();
            assert_eq!(number, 3, "{line}");
            assert!(problem.contains("sha256sum"), "{problem}");
        }
    }

    #[test]
    fn every_bit_counts() {
        let list = AllowList::parse(A).unwrap();
        let hash = parse_hex(A).unwrap();
        for bit in 0..256 {
            let mut other = hash;
            other[bit / 8] ^= 1 << (bit % 8);
            assert!(!list.contains(&other), "bit {bit}");
        }
        assert!(!AllowList::parse("# nothing\n").unwrap().contains(&hash));
    }
}
