//! What options take, and how the original reads it.

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum TakesKind {
    /// See [`Takes`].
    Scalar,
    /// May be given again and again.
    Repeated,
}

/// What an option takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum Takes {
    /// Nothing: it is there or not.
    Nothing,
    /// Any text.
    Text,
    /// A whole number of 32 bits.
    Int,
    /// A whole number of 64 bits.
    Long,
    /// A number.
    Double,
    /// `true` or `false`.
    Bool,
    /// Bytes, with a unit: `10M`.
    Size,
    /// A time, with a unit: `2h`; seconds where none is given.
    Seconds,
    /// One of these words.
    OneOf(&'static [&'static str]),
    /// Words between commas, which may also be given one by one.
    Comma,
    /// Any text, again and again.
    Many,
    /// `key=value`, again and again.
    Pairs,
}

impl Takes {
    /// Whether it may be given more than once.
    pub(super) fn kind(self) -> TakesKind {
        match self {
            Self::Comma | Self::Many | Self::Pairs => TakesKind::Repeated,
            _ => TakesKind::Scalar,
        }
    }

    /// What is wrong with `text`, in the original's words.
    pub(super) fn check(self, text: &str) -> Result<(), String> {
        let is_not = |what: &str| format!("'{text}' is not {what}");
        match self {
            Self::Nothing | Self::Text | Self::Comma | Self::Many => Ok(()),
            Self::Int => text.parse::<i32>().map(drop).map_err(|_| is_not("an int")),
            Self::Long => text.parse::<i64>().map(drop).map_err(|_| is_not("a long")),
            Self::Double => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Ok(()),
                _ => Err(is_not("a double")),
            },
            Self::Bool if ["true", "false"].contains(&text.to_ascii_lowercase().as_str()) => Ok(()),
            Self::Bool => Err(is_not("a boolean")),
            Self::Size => size_of(text).map(drop),
            Self::Seconds => seconds_of(text).map(drop),
            Self::OneOf(words) if words.contains(&text) => Ok(()),
            Self::OneOf(words) => {
                Err(format!("expected one of [{}] (case-sensitive) but was '{text}'", words.join(", ")))
            }
            Self::Pairs if text.contains('=') => Ok(()),
            Self::Pairs => Err(format!("Value for option should be in KEY=VALUE format but was {text}")),
        }
    }
}

/// Bytes of `4096`, `100K`, `10m`, `16G`, `2T`; a sign is allowed.
pub(in crate::cli) fn size_of(text: &str) -> Result<i64, String> {
    let wrong = || format!("Invalid size '{text}'. Valid formats are: (4096, 100K, 10M, 16G, 2T)");
    let (digits, power) = match text.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&text[..at], 1),
        Some((at, 'm' | 'M')) => (&text[..at], 2),
        Some((at, 'g' | 'G')) => (&text[..at], 3),
        Some((at, 't' | 'T')) => (&text[..at], 4),
        _ => (text, 0),
    };
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(1024_i64.pow(power)).ok_or_else(wrong)
}

/// Seconds of `30`, `30s`, `10m`, `4h`, `2d`, `5w`, `1y` (365 days); a sign is allowed.
pub(in crate::cli) fn seconds_of(text: &str) -> Result<i64, String> {
    let wrong = || format!("Invalid time '{text}'. Valid formats are: (30, 30s, 10m, 4h, 2d, 5w, 1y)");
    let last = text.chars().next_back().ok_or_else(wrong)?;
    let (digits, unit) = match last.to_ascii_lowercase() {
        '0'..='9' => (text, 1),
        's' => (&text[..text.len() - 1], 1),
        'm' => (&text[..text.len() - 1], 60),
        'h' => (&text[..text.len() - 1], 3600),
        'd' => (&text[..text.len() - 1], 86_400),
        'w' => (&text[..text.len() - 1], 7 * 86_400),
        'y' => (&text[..text.len() - 1], 365 * 86_400),
        _ => return Err(format!("Invalid time unit '{last}'")),
    };
    let count: i64 = digits.parse().map_err(|_| wrong())?;
    count.checked_mul(unit).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_of_1024() {
        for (text, bytes) in
            [("0", 0), ("4096", 4096), ("1k", 1024), ("10M", 10 << 20), ("-10G", -10 << 30), ("2t", 2 << 40)]
        {
            assert_eq!(size_of(text), Ok(bytes), "{text}");
        }
        for text in ["", "M", "10X", "1.5M", "10MB", "9999999999T", "é"] {
            let error = size_of(text).unwrap_err();
            assert_eq!(error, format!("Invalid size '{text}'. Valid formats are: (4096, 100K, 10M, 16G, 2T)"));
        }
    }

    #[test]
    fn times_are_seconds_unless_a_unit_says_otherwise() {
        for (text, seconds) in [("120", 120), ("30s", 30), ("10m", 600), ("4H", 14_400), ("2d", 172_800), ("-1", -1)] {
            assert_eq!(seconds_of(text), Ok(seconds), "{text}");
        }
        assert_eq!(seconds_of("1y"), Ok(31_536_000));
        assert_eq!(seconds_of("2x").unwrap_err(), "Invalid time unit 'x'");
        for text in ["", "h", "1.5h", "9223372036854775807w", "2é"] {
            assert!(seconds_of(text).unwrap_err().starts_with("Invalid time"), "{text}");
        }
    }

    #[test]
    fn wrong_values_are_told_in_the_originals_words() {
        for (takes, text, problem) in [
            (Takes::Int, "x", "'x' is not an int"),
            (Takes::Long, "10M", "'10M' is not a long"),
            (Takes::OneOf(&["a", "b"]), "c", "expected one of [a, b] (case-sensitive) but was 'c'"),
        ] {
            assert_eq!(takes.check(text), Err(problem.to_owned()));
        }
        assert_eq!(Takes::Double.check("2.5"), Ok(()));
        assert!(Takes::Double.check("NaN").is_err());
    }
}
