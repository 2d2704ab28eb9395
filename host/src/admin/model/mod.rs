//! Bodies: what is sent, in the original's spelling, made of other rooms' snapshots. Pure.

pub(super) mod explain;
pub(super) mod info;
pub(super) mod internal;
pub(super) mod ledgers;
pub(super) mod message;
pub(super) mod offload;
pub(super) mod policies;
pub(super) mod stats;

/// Milliseconds since 1970 as ISO-8601 in UTC, with the digits that are needed.
pub(super) fn iso(ms: u64) -> String {
    let ms = i64::try_from(ms).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    #[test]
    fn times_have_the_digits_that_are_needed() {
        assert_eq!(super::iso(0), "1970-01-01T00:00:00Z");
        assert_eq!(super::iso(1_795_251_631_355), "2026-11-21T09:00:31.355Z");
        assert_eq!(super::iso(250), "1970-01-01T00:00:00.25Z");
        assert_eq!(super::iso(u64::MAX), jiff::Timestamp::MAX.to_string());
    }
}
