//! [`FfiCallContext`]: what goes along with every call in either direction, and costs no allocation.

use abi_stable::StableAbi;

use crate::trace::TraceContext;

/// The plugin may answer in the call itself, on the caller's thread, where it can do so without waiting. Where the flag is not
/// set, none of the author's code runs before the call returns.
pub const CALL_MAY_ANSWER_INLINE: u32 = 1;

/// What goes along with a call. Frozen; a value, owned by nobody. The parts that nobody knows are 0, a reserved part is written
/// as 0 and not looked at.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FfiCallContext {
    /// The W3C trace id, most significant byte first.
    pub trace_id: [u8; 16],
    /// The W3C id of the caller's span for this call, most significant byte first.
    pub span_id: [u8; 8],
    /// The host's own number for the span; comes back with log events and means nothing to a plugin.
    pub host_span: u64,
    /// How long the caller is going to wait, in milliseconds.
    pub timeout_ms: u64,
    /// The W3C trace flags; bit 0 is `sampled`.
    pub trace_flags: u32,
    /// See [`CALL_MAY_ANSWER_INLINE`]; unknown bits are ignored.
    pub flags: u32,
    pub reserved: [u64; 2],
}

impl FfiCallContext {
    /// The trace that the call belongs to, if it belongs to one.
    pub fn trace(&self) -> Option<TraceContext> {
        // The standard keeps the upper bits for later, and zeros are no ids.
        TraceContext::new(self.trace_id, self.span_id, self.trace_flags as u8)
    }

    /// The same with this trace.
    #[must_use]
    pub fn with_trace(mut self, trace: Option<TraceContext>) -> Self {
        if let Some(trace) = trace {
            (self.trace_id, self.span_id) = (trace.trace_id(), trace.span_id());
            self.trace_flags = u32::from(trace.flags());
        }
        self
    }

    /// Whether the plugin may answer on the caller's thread.
    pub fn may_answer_inline(&self) -> bool {
        self.flags & CALL_MAY_ANSWER_INLINE != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_crosses_and_no_trace_is_none() {
        assert_eq!(FfiCallContext::default().trace(), None);
        let trace = TraceContext::new([1; 16], [2; 8], 1);
        assert_eq!(FfiCallContext::default().with_trace(trace).trace(), trace);
    }
}
