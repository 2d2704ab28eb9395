//! What the library gets of the host in the child: a log and metrics, which cross to the host's.
//!
//! The host tells how detailed the most detailed level is that anybody wants; its own filter, which knows targets, decides on what
//! comes. Events are left out, and counted, while more waits to be written than a busy connection should have to carry.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::RStr;
use longshore_plugin_api::abi::{FfiField, FfiHostServices, FfiLogEvent, FfiMetric, HostServicesBox};

use super::super::frame::Kind;
use super::super::link::{Link, NOTHING};
use super::super::message::{Context, Event, Pair, Span};
use super::metrics::FarMetrics;

/// The most detailed level that the host's log wants: 0 none, 1 error to 5 trace.
pub(super) struct LogLevel {
    level: AtomicU32,
    generation: AtomicU64,
}

impl LogLevel {
    pub(super) fn new(level: u32) -> Self {
        Self { level: AtomicU32::new(level), generation: AtomicU64::new(0) }
    }

    pub(super) fn set(&self, level: u32) {
        self.level.store(level, Ordering::Relaxed);
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn wants(&self, level: u32) -> bool {
        level <= self.level.load(Ordering::Relaxed)
    }
}

/// The services of a host at the other end of `link`.
pub(super) fn services(link: Weak<Link>, level: Arc<LogLevel>, metrics: Arc<FarMetrics>) -> HostServicesBox {
    HostServicesBox::from_value(FarServices { link, level, metrics, left_out: AtomicU64::new(0) }, TD_Opaque)
}

struct FarServices {
    link: Weak<Link>,
    level: Arc<LogLevel>,
    metrics: Arc<FarMetrics>,
    left_out: AtomicU64,
}

// A panic must not unwind into the library.
impl FfiHostServices for FarServices {
    fn log_enabled(&self, level: u32, _target: RStr<'_>) -> bool {
        self.level.wants(level)
    }

    fn log_generation(&self) -> u64 {
        self.level.generation.load(Ordering::Relaxed)
    }

    fn log_event(&self, event: FfiLogEvent<'_>) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.send(&event)));
    }

    fn metric(&self, metric: FfiMetric<'_>) -> u64 {
        catch_unwind(AssertUnwindSafe(|| self.metrics.number(&metric))).unwrap_or(0)
    }

    fn metric_record(&self, series: u64, value: f64) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.metrics.record(series, value)));
    }
}

impl FarServices {
    fn send(&self, event: &FfiLogEvent<'_>) {
        let Some(link) = self.link.upgrade().filter(|_| self.level.wants(event.level)) else { return };
        if link.is_congested() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let spans = event.spans.iter();
        // The number that came along as the caller's is the one of the host's call.
        let context = Context { call: event.context.host_span, ..Context::from(event.context) };
        let event = Event {
            level: event.level,
            target: event.target.as_str().to_owned(),
            message: event.message.as_str().to_owned(),
            fields: from_ffi(&event.fields),
            spans: spans
                .map(|span| Span { name: span.name.as_str().to_owned(), fields: from_ffi(&span.fields) })
                .collect(),
            left_out: self.left_out.swap(0, Ordering::Relaxed),
            file: event.file.as_str().to_owned(),
            line: event.line,
            context: Some(context),
        };
        link.notice(Kind::Log, NOTHING, &event);
    }
}

/// Names and values as they are sent.
pub(super) fn from_ffi(fields: &[FfiField<'_>]) -> Vec<Pair> {
    let pair =
        |field: &FfiField<'_>| Pair { name: field.name.as_str().to_owned(), value: field.value.as_str().to_owned() };
    fields.iter().map(pair).collect()
}
