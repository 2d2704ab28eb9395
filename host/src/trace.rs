//! Which trace work belongs to, as W3C Trace Context names it: taken from a request's `traceparent`, kept by the task that does
//! the work, handed to whoever works for it. Owns nothing else; nothing is sampled or exported here.
//!
//! Source: W3C Recommendation "Trace Context", section 3.2 (`traceparent`).

use std::fmt;
use std::future::Future;

/// The version that no header may have.
const VERSION_FORBIDDEN: u128 = 0xff;

tokio::task_local! {
    static CURRENT: TraceContext;
}

/// A trace and the span in it under which things happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The whole trace; not 0.
    pub trace_id: u128,
    /// The span; not 0.
    pub span_id: u64,
    /// Bit 0 is `sampled`.
    pub flags: u8,
}

impl TraceContext {
    /// A trace of its own, which nobody samples.
    pub fn fresh() -> Self {
        Self { trace_id: fastrand::u128(1..), span_id: fastrand::u64(1..), flags: 0 }
    }

    /// Another span of the same trace.
    #[must_use]
    pub fn child(self) -> Self {
        Self { span_id: fastrand::u64(1..), ..self }
    }

    /// Reads a `traceparent` header; `None` where it is not one. A version later than ours is read as far as we know it, which
    /// the standard asks for.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(5, '-');
        let version = hex(parts.next()?, 2)?;
        let (trace_id, span_id) = (hex(parts.next()?, 32)?, hex(parts.next()?, 16)?);
        let flags = hex(parts.next()?, 2)?;
        let more = parts.next().is_some();
        if version == VERSION_FORBIDDEN || (version == 0 && more) || trace_id == 0 || span_id == 0 {
            return None;
        }
        // Both fit: their digits were counted.
        Some(Self { trace_id, span_id: span_id as u64, flags: flags as u8 })
    }
}

/// Exactly so many lower-case hexadecimal digits.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    (text.len() == digits && text.bytes().all(is_digit)).then(|| u128::from_str_radix(text, 16).ok())?
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// The trace of the task that asks, if it has one.
pub fn current() -> Option<TraceContext> {
    CURRENT.try_with(|trace| *trace).ok()
}

/// Does `work` as a part of `trace`. What it spawns has to be given the trace again.
pub fn within<F: Future>(trace: TraceContext, work: F) -> impl Future<Output = F::Output> {
    CURRENT.scope(trace, work)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_header_is_read_and_written() {
        let trace = TraceContext::parse(HEADER).unwrap();
        assert_eq!(
            (trace.trace_id, trace.span_id, trace.flags),
            (0x4bf92f3577b34da6a3ce929d0e0e4736, 0x00f067aa0ba902b7, 1)
        );
        assert_eq!(trace.to_string(), HEADER);
        let child = trace.child();
        assert_eq!(child.trace_id, trace.trace_id);
        assert_ne!(child.span_id, trace.span_id);
    }

    #[test]
    fn a_later_version_is_read_as_far_as_it_is_known() {
        let later = format!("cc{}-what-comes", &HEADER[2..]);
        assert_eq!(TraceContext::parse(&later), TraceContext::parse(HEADER));
    }

    #[test]
    fn what_the_standard_forbids_is_none() {
        let zeros = [
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ];
        for bad in [
            "",
            "00",
            "00-4bf9-00f0-01",
            "nonsense",
            &format!("ff{}", &HEADER[2..]),
            &format!("{HEADER}-more"),
            &HEADER.to_uppercase(),
            &HEADER[..54],
            zeros[0],
            zeros[1],
        ] {
            assert_eq!(TraceContext::parse(bad), None, "{bad}");
        }
    }

    #[tokio::test]
    async fn work_belongs_to_the_trace_it_is_given() {
        assert_eq!(current(), None);
        let trace = TraceContext::fresh();
        within(trace, async { assert_eq!(current(), Some(trace)) }).await;
        assert_eq!(current(), None);
    }
}
