//! Reads the text format of Java's properties files.
//!
//! Owned here: lines, comments, continuation, separators and escapes. What a key means is decided elsewhere. Two courtesies
//! beyond the format, which every such file of an operator needs: blanks around a value and quotes around a whole value are
//! dropped. Nothing here fails as a whole: a line that cannot be read is reported and the rest is still read.
//!
//! Format: `java.util.Properties`, method `load`.

/// One `key=value` as it stands in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Property {
    /// The key, escapes resolved.
    pub key: String,
    /// The value, escapes resolved, blanks and quotes around it dropped.
    pub value: String,
    /// Line on which it begins, counted from 1.
    pub line: usize,
    /// That line as it was typed, for messages.
    pub typed: String,
}

/// A line that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Malformed {
    /// Counted from 1.
    pub line: usize,
    /// That line as it was typed.
    pub typed: String,
    /// What is wrong; lower case, no full stop.
    pub problem: String,
}

/// All properties of `text` in order, duplicates included, and the lines that cannot be read.
pub(super) fn parse(text: &str) -> (Vec<Property>, Vec<Malformed>) {
    let (mut properties, mut malformed) = (Vec::new(), Vec::new());
    for logical in logical_lines(text) {
        let (key, value) = split(&logical.text);
        match (unescape(key), unescape(value)) {
            (Ok(key), Ok(value)) => {
                let value = without_quotes(value.trim()).to_owned();
                properties.push(Property { key, value, line: logical.line, typed: logical.typed });
            }
            (Err(problem), _) | (_, Err(problem)) => {
                malformed.push(Malformed { line: logical.line, typed: logical.typed, problem });
            }
        }
    }
    (properties, malformed)
}

/// Bytes of a file as text: UTF-8, or where they are not that, ISO-8859-1 as Java's own reader takes them.
pub(super) fn decode(bytes: &[u8]) -> String {
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    };
    text.strip_prefix('\u{feff}').map_or(text.clone(), str::to_owned)
}

struct LogicalLine {
    line: usize,
    typed: String,
    text: String,
}

/// Lines with comments and blank lines left out and continued lines joined.
fn logical_lines(text: &str) -> Vec<LogicalLine> {
    let mut logical: Vec<LogicalLine> = Vec::new();
    let mut continued = false;
    for (index, natural) in natural_lines(text).enumerate() {
        let content = natural.trim_start_matches(is_blank);
        if !continued && (content.is_empty() || content.starts_with(['#', '!'])) {
            continue;
        }
        let goes_on = content.bytes().rev().take_while(|&byte| byte == b'\\').count() % 2 == 1;
        let part = if goes_on { &content[..content.len() - 1] } else { content };
        match logical.last_mut() {
            Some(open) if continued => open.text.push_str(part),
            _ => logical.push(LogicalLine { line: index + 1, typed: natural.to_owned(), text: part.to_owned() }),
        }
        continued = goes_on;
    }
    logical
}

/// Lines ended by a line feed, a carriage return, or both.
fn natural_lines(text: &str) -> impl Iterator<Item = &str> {
    text.split('\n').flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\u{c}')
}

/// Splits at the first separator that no backslash guards: `=`, `:` or a blank, blanks around it dropped.
fn split(line: &str) -> (&str, &str) {
    let mut guarded = false;
    for (index, c) in line.char_indices() {
        if !guarded && (c == '=' || c == ':' || is_blank(c)) {
            let rest = line[index..].trim_start_matches(is_blank);
            let rest = rest.strip_prefix(['=', ':']).unwrap_or(rest);
            return (&line[..index], rest.trim_start_matches(is_blank));
        }
        guarded = c == '\\' && !guarded;
    }
    (line, "")
}

fn unescape(text: &str) -> Result<String, String> {
    let mut resolved = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            resolved.push(c);
            continue;
        }
        match rest.next() {
            Some('t') => resolved.push('\t'),
            Some('n') => resolved.push('\n'),
            Some('r') => resolved.push('\r'),
            Some('f') => resolved.push('\u{c}'),
            Some('u') => resolved.push(unicode(&mut rest)?),
            Some(other) => resolved.push(other),
            None => {}
        }
    }
    Ok(resolved)
}

/// The character after `\u`; two escapes in a row where it needs a surrogate pair.
fn unicode(rest: &mut std::str::Chars<'_>) -> Result<char, String> {
    let first = unit(rest)?;
    let mut units = vec![first];
    if (0xd800..0xdc00).contains(&first) && rest.as_str().starts_with("\\u") {
        rest.nth(1);
        units.push(unit(rest)?);
    }
    match char::decode_utf16(units).next() {
        Some(Ok(c)) => Ok(c),
        _ => Err(format!("\\u{first:04x} is half of a surrogate pair; write both halves or the character itself")),
    }
}

fn unit(rest: &mut std::str::Chars<'_>) -> Result<u16, String> {
    let digits: String = rest.by_ref().take(4).collect();
    let is_hex = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    match u16::from_str_radix(&digits, 16) {
        Ok(unit) if is_hex => Ok(unit),
        _ => Err(format!(
            "\\u{digits} is not an escape; allowed: \\u and four hexadecimal digits, or \\\\u for the letters"
        )),
    }
}

fn without_quotes(value: &str) -> &str {
    value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(text: &str) -> Vec<(String, String, usize)> {
        let (properties, malformed) = parse(text);
        assert_eq!(malformed, []);
        properties.into_iter().map(|p| (p.key, p.value, p.line)).collect()
    }

    #[test]
    fn separators_comments_escapes_and_continuation() {
        type Expected<'a> = &'a [(&'a str, &'a str, usize)];
        let table: &[(&str, Expected<'_>)] = &[
            ("", &[]),
            ("a=b", &[("a", "b", 1)]),
            ("a = b \n", &[("a", "b", 1)]),
            ("a: b", &[("a", "b", 1)]),
            ("a b", &[("a", "b", 1)]),
            ("a\t:\tb c ", &[("a", "b c", 1)]),
            ("a==b", &[("a", "=b", 1)]),
            ("a = = b", &[("a", "= b", 1)]),
            ("a", &[("a", "", 1)]),
            ("a=", &[("a", "", 1)]),
            ("=b", &[("", "b", 1)]),
            ("# c\n! d\n\n  # e\na=b", &[("a", "b", 5)]),
            ("a=b # stays", &[("a", "b # stays", 1)]),
            ("  a=b\r\nc=d\re=f", &[("a", "b", 1), ("c", "d", 2), ("e", "f", 3)]),
            ("a=one,\\\n   two,\\\n\tthree\nb=c", &[("a", "one,two,three", 1), ("b", "c", 4)]),
            ("a=b\\\n# not a comment", &[("a", "b# not a comment", 1)]),
            ("# a comment is not continued \\\na=b", &[("a", "b", 2)]),
            ("a=b\\\\\nc=d", &[("a", "b\\", 1), ("c", "d", 2)]),
            ("a=b\\", &[("a", "b", 1)]),
            ("a\\=b\\:c\\ d=e", &[("a=b:c d", "e", 1)]),
            ("a=x\\t\\n\\r\\f\\q\\\\.", &[("a", "x\t\n\r\u{c}q\\.", 1)]),
            ("a=\\u00e4\\uD83D\\uDE00", &[("a", "\u{e4}\u{1f600}", 1)]),
            ("a=\"/with blanks/key.json\"", &[("a", "/with blanks/key.json", 1)]),
            ("a=\"one", &[("a", "\"one", 1)]),
            ("a=\"", &[("a", "\"", 1)]),
            ("a=1\na=2", &[("a", "1", 1), ("a", "2", 2)]),
        ];
        for (text, expected) in table {
            let expected: Vec<_> = expected.iter().map(|&(k, v, line)| (k.to_owned(), v.to_owned(), line)).collect();
            assert_eq!(pairs(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_bad_escape_is_reported_and_the_rest_is_read() {
        let (properties, malformed) = parse("a=\\u12\nb=\\uzzzz\nc=\\ud800x\nd=e");
        assert_eq!(properties.len(), 1);
        assert_eq!(malformed.iter().map(|bad| bad.line).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(malformed[1].problem.contains("four hexadecimal digits"), "{}", malformed[1].problem);
        assert!(malformed[2].problem.contains("surrogate"), "{}", malformed[2].problem);
    }

    #[test]
    fn bytes_that_are_not_utf8_are_latin1() {
        assert_eq!(decode(b"a=\xe4"), "a=\u{e4}");
        assert_eq!(decode("a=\u{e4}".as_bytes()), "a=\u{e4}");
        assert_eq!(decode(b"\xef\xbb\xbfa=b"), "a=b");
    }

    #[test]
    fn no_text_makes_the_reader_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet: Vec<char> = "ab=: \t\\u0dDd\n\r#!\"\u{e4}\u{1f600}".chars().collect();
        for _ in 0..20_000 {
            let length = random.usize(0..24);
            let text: String = (0..length).map(|_| alphabet[random.usize(0..alphabet.len())]).collect();
            let _ = parse(&text);
        }
    }
}
