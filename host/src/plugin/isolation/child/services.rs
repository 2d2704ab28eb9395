//! What the library gets of the host in the child: a log, whose events cross to the host's.
//!
//! The host tells how detailed the most detailed level is that anybody wants; its own filter, which knows targets, decides on what
//! comes. Events are left out, and counted, while more waits to be written than a busy connection should have to carry.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use abi_stable::sabi_trait::TD_Opaque;
use abi_stable::std_types::{RStr, Tuple2};
use longshore_plugin_api::abi::{FfiHostServices, FfiLogEvent, HostServicesBox, Pairs};

use super::super::frame::Kind;
use super::super::link::{Link, NOTHING};
use super::super::message::{Event, Pair, Span};

/// The most detailed level that the host's log wants: 0 none, 1 error to 5 trace.
pub(super) struct LogLevel(AtomicU32);

impl LogLevel {
    pub(super) fn new(level: u32) -> Self {
        Self(AtomicU32::new(level))
    }

    pub(super) fn set(&self, level: u32) {
        self.0.store(level, Ordering::Relaxed);
    }

    fn wants(&self, level: u32) -> bool {
        level <= self.0.load(Ordering::Relaxed)
    }
}

/// The services of a host at the other end of `link`.
pub(super) fn services(link: Weak<Link>, level: Arc<LogLevel>) -> HostServicesBox {
    HostServicesBox::from_value(FarServices { link, level, left_out: AtomicU64::new(0) }, TD_Opaque)
}

struct FarServices {
    link: Weak<Link>,
    level: Arc<LogLevel>,
    left_out: AtomicU64,
}

impl FfiHostServices for FarServices {
    fn log_enabled(&self, level: u32, _target: RStr<'_>) -> bool {
        self.level.wants(level)
    }

    fn log_event(&self, event: FfiLogEvent) {
        // A panic must not unwind into the library.
        let _ = catch_unwind(AssertUnwindSafe(|| self.send(event)));
    }
}

impl FarServices {
    fn send(&self, event: FfiLogEvent) {
        let Some(link) = self.link.upgrade().filter(|_| self.level.wants(event.level)) else { return };
        if link.is_congested() {
            self.left_out.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let spans = event.spans.into_iter();
        let event = Event {
            level: event.level,
            target: event.target.into_string(),
            message: event.message.into_string(),
            fields: from_ffi(event.fields),
            spans: spans.map(|span| Span { name: span.name.into_string(), fields: from_ffi(span.fields) }).collect(),
            left_out: self.left_out.swap(0, Ordering::Relaxed),
        };
        link.notice(Kind::Log, NOTHING, &event);
    }
}

fn from_ffi(pairs: Pairs) -> Vec<Pair> {
    pairs.into_iter().map(|Tuple2(name, value)| Pair { name: name.into_string(), value: value.into_string() }).collect()
}
