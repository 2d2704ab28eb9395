//! Log events and metrics of a plugin on their way to the host. Everything is lent for one call: the host copies what it keeps.

use abi_stable::StableAbi;
use abi_stable::std_types::{RSlice, RStr};

use super::context::FfiCallContext;

/// A name and its value, lent.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct FfiField<'a> {
    pub name: RStr<'a>,
    pub value: RStr<'a>,
}

/// A span around an event, lent.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct FfiLogSpan<'a> {
    pub name: RStr<'a>,
    pub fields: RSlice<'a, FfiField<'a>>,
}

/// One event of the plugin's log, lent. Frozen.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct FfiLogEvent<'a> {
    /// 1 error, 2 warn, 3 info, 4 debug, 5 trace.
    pub level: u32,
    /// The line in `file`; 0 where unknown.
    pub line: u32,
    /// The source file; empty where unknown.
    pub file: RStr<'a>,
    pub target: RStr<'a>,
    pub message: RStr<'a>,
    pub fields: RSlice<'a, FfiField<'a>>,
    /// The spans around the event, outermost first.
    pub spans: RSlice<'a, FfiLogSpan<'a>>,
    /// What the host sent along with the call in which the event happened; zeros outside of calls.
    pub context: FfiCallContext,
    /// What later versions may add; unknown names are ignored.
    pub extras: RSlice<'a, FfiField<'a>>,
}

/// A count that only grows; recording adds.
pub const METRIC_COUNTER: u32 = 1;
/// A value that goes up and down; recording sets it.
pub const METRIC_GAUGE: u32 = 2;
/// A distribution; recording observes one value.
pub const METRIC_HISTOGRAM: u32 = 3;

/// Describes one series of a metric, lent. Frozen.
#[repr(C)]
#[derive(StableAbi, Clone, Copy, Debug)]
pub struct FfiMetric<'a> {
    /// [`METRIC_COUNTER`], [`METRIC_GAUGE`] or [`METRIC_HISTOGRAM`].
    pub kind: u32,
    pub reserved: u32,
    /// Letters, digits and `_`, beginning with a letter; the unit last, a counter ends in `_total`. The host puts a prefix in
    /// front of it.
    pub name: RStr<'a>,
    /// One sentence for people.
    pub help: RStr<'a>,
    /// What tells this series from others of the name. The host adds the plugin's name.
    pub labels: RSlice<'a, FfiField<'a>>,
    /// Upper bounds of a histogram's buckets, ascending; none leaves them to the host.
    pub buckets: RSlice<'a, f64>,
    /// What later versions may add; unknown names are ignored.
    pub extras: RSlice<'a, FfiField<'a>>,
}
